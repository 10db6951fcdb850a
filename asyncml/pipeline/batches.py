"""Batches: several items joined into one, as a list or as arrays.

A cheap stage like those in `stages`, but it asks for everything that is ready at once. Lesson 07
loads batches, lesson 08 trains on them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any

import numpy as np

from asyncml.failures import ENDINGS, check_plain, noted, shorten
from asyncml.pipeline.stages import (
    END,
    PAUSE_S,
    PAUSED,
    Context,
    Entry,
    Flow,
    Mark,
    Rebuild,
    Stage,
    leaf,
)


@dataclass(frozen=True)
class Batch(Stage):
    """Lists of `size` items, or the result of `collate` for each; its marks are lists of marks."""

    size: int
    drop_last: bool
    collate: Callable[[list[Any]], Any] | None

    @property
    def label(self) -> str:
        """The stage's name, with everything that a saved state depends on."""
        return f"batch({self.size}, drop_last={self.drop_last})"

    def length(self, items: int) -> int | None:
        """Return how many batches leave when `items` items come in."""
        return items // self.size if self.drop_last else -(-items // self.size)

    def needs(self, items: int) -> int | None:
        """Return how many items must come in for `items` batches."""
        return items * self.size

    def flow(self, up: Flow, context: Context) -> Flow:
        """Yield batches of `size` entries; before an error, one of the entries before it."""
        batch: list[Entry] = []
        failure, paused_s = None, context.time()
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
                if context.time() - paused_s > PAUSE_S:
                    yield PAUSED
                    paused_s = context.time()
            if after is END:
                break
        if failure is not None:  # the items before it have been delivered
            try:
                raise failure
            finally:
                del failure  # its traceback holds this frame

    def _fill(
        self, batch: list[Entry], up: Flow, drain: Callable[[int], list[Entry]]
    ) -> Entry | None:
        """Fill the batch; return None once it has `size` entries, or the signal that came first."""
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
        batch.clear()  # release the items while the consumer works on the result of `collate`
        try:
            joined = list(values) if self.collate is None else self._collated(list(values))
        except (*ENDINGS, Exception) as error:
            place = f"batch {context.meter.items}, which begins with item {leaf(marks[0])}"
            raise noted("collate", error, f"in stage {self.label}, {place}")  # noqa: B904
        meter = context.meter
        meter.busy_s += context.time() - begun
        meter.items += 1
        meter.served_items += 1
        return joined, list(marks)

    def _collated(self, values: list[Any]) -> Any:
        assert self.collate is not None
        joined = self.collate(values)
        check_plain("collate", joined, "call an `async def` by .batch(n).map(collate)")
        return joined

    def split(self, mark: Mark, context: Context) -> tuple[Mark, Any]:
        """Return the mark of the batch's last item, and no state."""
        return mark[-1], None

    def address(self, mark: Mark, above: Callable[[Mark], Any]) -> Any:
        """Return the list of the addresses of its items."""
        return [above(part) for part in mark]

    def inner(self, addresses: list[Any]) -> list[Any]:
        """Return the addresses of all items of all batches."""
        if not all(isinstance(address, list) and address for address in addresses):
            raise ValueError("a batch is a list of at least one item")
        return list(chain.from_iterable(addresses))

    async def rebuild(self, addresses: list[Any], above: Rebuild) -> list[Entry]:
        """Remake the items, and batch them as they were."""
        owners = [place for place, address in enumerate(addresses) for _ in address]
        batches: dict[int, list[Any]] = {}
        for value, place in await above(self.inner(addresses)):
            batches.setdefault(owners[place], []).append(value)
        join = list if self.collate is None else self._collated
        return [(join(values), place) for place, values in batches.items()]


def collate(items: list[Any]) -> Any:
    """Stack items field by field: `(x, y)` pairs become `(xs, ys)`, two arrays.

    Tuples, named tuples included, are stacked field by field and dicts key by key, however deeply
    nested; each field becomes one array. Text and bytes stay a list: an array would strip trailing
    null characters.

    Args:
        items: arrays or numbers of the same shape, or tuples or dicts of these.

    Returns:
        One array, `(batch, ...)`, or a tuple or dict like the first item that holds such arrays.

    Raises:
        ValueError: the items differ in length, keys or shape, or there are none.
        TypeError: a value is not a number, such as None or a date, or the values differ in kind.

    Example:
        >>> x, y = collate([(np.zeros(3), 1), (np.ones(3), 0)])
        >>> x.shape, y.tolist()
        ((2, 3), [1, 0])
        >>> collate([{"x": 1, "name": "a"}, {"x": 2, "name": "b"}])
        {'x': array([1, 2]), 'name': ['a', 'b']}
    """
    if len(items) == 0:
        raise ValueError("`items` must hold at least one item, got none")
    return _joined(items, "")


def _joined(values: Sequence[Any], path: str) -> Any:
    """Stack the values found at one place of each item; `path` names that place."""
    first = values[0]
    if isinstance(first, tuple):
        _check_all_are(tuple, values, path)
        if len(set(map(len, values))) > 1:
            _check_same("length", list(map(len, values)), path)
        names = [f".{name}" for name in getattr(first, "_fields", ())]
        names = names or [f"[{place}]" for place in range(len(first))]
        columns = zip(*values, strict=True)
        fields = [_joined(part, path + name) for part, name in zip(columns, names, strict=True)]
        return type(first)._make(fields) if hasattr(first, "_make") else tuple(fields)
    if isinstance(first, Mapping):
        _check_all_are(Mapping, values, path)
        if any(value.keys() != first.keys() for value in values):
            names = [f"[{', '.join(sorted(map(shorten, value)))}]" for value in values]
            _check_same("keys", names, path)
        return {
            key: _joined([value[key] for value in values], f"{path}[{shorten(key)}]")
            for key in first
        }
    if isinstance(first, str | bytes):
        _check_all_are(str if isinstance(first, str) else bytes, values, path)
        return list(values)
    return _stack(values, path)


def _stack(values: Sequence[Any], path: str) -> np.ndarray[Any, Any]:
    arrays: list[np.ndarray[Any, Any]] = []
    try:
        arrays += map(np.asarray, values)
        if len({array.shape for array in arrays}) == 1:
            stacked = np.stack(arrays)
            if stacked.dtype.kind not in "OUS":
                return stacked
    except ValueError as error:  # a list of lists of several lengths
        raise ValueError(f"items[{len(arrays)}]{path} is no array: {error}") from None
    except TypeError as error:  # numbers and dates, for example
        reason = str(error).partition(". ")[0]
        raise TypeError(f"items[...]{path} have no array in common: {reason}") from None
    kinds = [array.dtype.kind for array in arrays]
    for place, (value, kind) in enumerate(zip(values, kinds, strict=True)):
        if kind == "O" or (kind != kinds[0] and (kind in "US" or kinds[0] in "US")):
            got = f"got {shorten(value)} of type {type(value).__name__}"
            needed = "numbers or arrays of one kind, or all text"
            raise TypeError(f"items[{place}]{path} must be {needed}, {got}")
    _check_same("shape", [array.shape for array in arrays], path)
    return np.stack(arrays)


def _check_all_are(kind: type, values: Sequence[Any], path: str) -> None:
    if all(isinstance(value, kind) for value in values):
        return
    place = next(place for place, value in enumerate(values) if not isinstance(value, kind))
    got, first = type(values[place]).__name__, type(values[0]).__name__
    raise TypeError(f"items[{place}]{path} must be a {first}, as items[0]{path} is, got {got}")


def _check_same(what: str, seen: Sequence[Any], path: str) -> None:
    place = next((place for place, one in enumerate(seen) if one != seen[0]), None)
    if place is not None:
        of, first = (f"items[{number}]{path}" for number in (place, 0))
        got = f"{of} has {seen[place]}, and {first} has {seen[0]}"
        raise ValueError(f"items of a batch must have the same {what}: {got}")
