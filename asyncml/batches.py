"""Batches: so many items as one, as a list or as arrays.

A stage as cheap as those of `stages`, which asks for all that is ready at once. Lesson 07 loads
batches, lesson 08 trains on them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any

import numpy as np

from asyncml.failures import ENDINGS, check_plain, noted
from asyncml.stages import END, Context, Entry, Flow, Mark, Rebuild, Stage, leaf


@dataclass(frozen=True)
class Batch(Stage):
    """Lists of `size` items, or what `collate` makes of them: its marks are lists of marks."""

    size: int
    drop_last: bool
    collate: Callable[[list[Any]], Any] | None

    @property
    def label(self) -> str:
        """Name it, with all that a saved state depends on."""
        return f"batch({self.size}, drop_last={self.drop_last})"

    def length(self, items: int) -> int | None:
        """Count what leaves."""
        return items // self.size if self.drop_last else -(-items // self.size)

    def needs(self, items: int) -> int | None:
        """Count what must come in."""
        return items * self.size

    def flow(self, up: Flow, context: Context) -> Flow:
        """Collect `size` entries; before an error, what came before it."""
        batch: list[Entry] = []
        failure = None
        while True:
            try:
                after = self._fill(batch, up, context.drain)
            except Exception as error:
                failure, after = error, END
            if after and after is not END:
                yield after
                continue
            if batch and (len(batch) == self.size or not self.drop_last):
                yield self._join(batch, context)
            if after is END:
                break
        if failure is not None:  # what came before it has been delivered
            try:
                raise failure
            finally:
                del failure  # its traceback holds this frame

    def _fill(
        self, batch: list[Entry], up: Flow, drain: Callable[[int], list[Entry]]
    ) -> Entry | None:
        """Add entries until there are `size`, or return what came instead of one."""
        batch += drain(self.size - len(batch))
        append = batch.append
        for entry in islice(up, self.size - len(batch)):
            if entry[1] is None:
                return entry
            append(entry)
        return None if len(batch) == self.size else END

    def _join(self, batch: list[Entry], context: Context) -> Entry:
        begun = context.time()
        values, marks = zip(*batch, strict=True)
        batch.clear()  # while the consumer works on what `collate` made, the items are let go
        try:
            joined = list(values) if self.collate is None else self._collated(list(values))
        except (*ENDINGS, Exception) as error:
            place = f"batch {context.meter.items}, which begins with item {leaf(marks[0])}"
            raise noted("collate", error, f"in stage {self.label}, {place}")  # noqa: B904
        context.meter.served(context.time() - begun)
        return joined, list(marks)

    def _collated(self, values: list[Any]) -> Any:
        assert self.collate is not None
        joined = self.collate(values)
        check_plain("collate", joined, "call an `async def` by .batch(n).map(collate)")
        return joined

    def split(self, mark: Mark, context: Context) -> tuple[Mark, Any]:
        """Stand after the last item of a batch."""
        return mark[-1], None

    def address(self, mark: Mark, above: Callable[[Mark], Any]) -> Any:
        """List the addresses of its items."""
        return [above(part) for part in mark]

    def inner(self, addresses: list[Any]) -> list[Any]:
        """Return the addresses of all items of all batches."""
        if not all(isinstance(address, list) and address for address in addresses):
            raise ValueError("a batch is a list of at least one item")
        return list(chain.from_iterable(addresses))

    async def rebuild(self, addresses: list[Any], above: Rebuild) -> list[Entry]:
        """Make the items again, and batch them as they were."""
        owners = [place for place, address in enumerate(addresses) for _ in address]
        batches: dict[int, list[Any]] = {}
        for value, place in await above(self.inner(addresses)):
            batches.setdefault(owners[place], []).append(value)
        join = list if self.collate is None else self._collated
        return [(join(values), place) for place, values in batches.items()]


def collate(items: list[Any]) -> Any:
    """Stack items into arrays: `(x, y)` pairs into `(xs, ys)`, and plain items into one array.

    Args:
        items: tuples of the same length, or arrays or numbers of the same shape.

    Returns:
        A tuple of arrays, `(batch, ...)` each, or one such array.

    Raises:
        ValueError: the items do not have the same length or shape, or there is none.

    Example:
        >>> x, y = collate([(np.zeros(3), 1), (np.ones(3), 0)])
        >>> x.shape, y.tolist()
        ((2, 3), [1, 0])
    """
    if not items:
        raise ValueError("`items` must hold at least one item, got none")
    if isinstance(items[0], tuple):
        lengths = sorted({len(item) for item in items})
        if len(lengths) > 1:
            raise ValueError(f"items of a batch must have the same length, got {lengths}")
        return tuple(_stack(field) for field in zip(*items, strict=True))
    return _stack(items)


def _stack(values: Any) -> np.ndarray[Any, Any]:
    arrays = [np.asarray(value) for value in values]
    shapes = sorted({array.shape for array in arrays})
    if len(shapes) > 1:
        raise ValueError(f"items of a batch must have the same shape, got {shapes}")
    return np.stack(arrays)
