"""Feeding: turns any data into the numbered batches of a run, in order and ahead of the trainer.

Data is any iterable of batches (x, y): a list, a loader, an asynchronous iterable, or a pipeline
that can save its position. A coroutine takes the batches one by one, and waits until there is room.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterable
from dataclasses import dataclass
from typing import Any

from asyncml.failures import is_asked_to_end, ordinary, shorten
from asyncml.training.step import Step

Data = Iterable[Any] | AsyncIterable[Any]
Snapshot = Callable[[], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class NumberedBatch:
    """A batch of a run: its position, its arrays, and a function that gives the state after it."""

    epoch: int
    index: int
    x: Any
    y: Any
    snapshot: Snapshot | None

    def __str__(self) -> str:
        return f"step {self.index} of epoch {self.epoch}"


def check_data(data: object) -> None:
    """Raise TypeError if `data` is not iterable."""
    if not isinstance(data, Iterable | AsyncIterable):
        raise TypeError(f"`data` must give batches (x, y), got {type(data).__name__}")


async def feed(
    data: Data, epochs: int, resume_from: Step | None, queue: asyncio.Queue[NumberedBatch | None]
) -> None:
    """Put each batch of the run on `queue`, in order; return after the last one."""
    first, done = 0, 0
    if resume_from is not None:
        first, done = resume_from.epoch, resume_from.index + 1
    stateful: Any = data if hasattr(data, "state_dict") else None
    snapshot = None if stateful is None else snapshots_of(stateful)
    try:
        if stateful is not None and resume_from is not None:
            stateful.load_state_dict(resume_from.pipeline_state)
        for epoch in range(first, epochs):
            skip = done if epoch == first else 0
            index = 0 if stateful is None else skip
            async with contextlib.aclosing(batches_of(data)) as batches:
                async for batch in batches:
                    if index >= skip:
                        x, y = pair(batch)
                        now = snapshot and snapshot()
                        await queue.put(NumberedBatch(epoch, index, x, y, now))
                    else:
                        await asyncio.sleep(0)  # skipped batches are still loaded: yield to others
                    index += 1
            if index < max(skip, 1):
                raise _too_short(epoch, index, skip)
    except asyncio.CancelledError as error:
        if is_asked_to_end():
            raise
        raise ordinary("data", error) from error  # raised by the data: nobody cancelled this task


def snapshots_of(data: Any) -> Callable[[], Snapshot]:
    """Return a function that records the current position of `data`; its result builds the state.

    A pipeline has such a method. For other data, and for a subclass with its own `state_dict`, the
    state is built at once, because later it would be a different one.
    """
    kinds = [vars(kind) for kind in type(data).__mro__]
    if "_snapshot" in next((kind for kind in kinds if "state_dict" in kind), {}):
        noted: Callable[[], Snapshot] = data._snapshot
        return noted

    def at_once() -> Snapshot:
        state = data.state_dict()
        return lambda: state

    return at_once


def wake(queue: asyncio.Queue[NumberedBatch | None], feeder: "asyncio.Task[None]") -> None:
    """Put None on an empty queue once the feeder has ended, to wake a consumer that waits."""
    if queue.empty():
        queue.put_nowait(None)


async def batches_of(data: Data) -> AsyncGenerator[Any, None]:
    """Iterate over synchronous or asynchronous data; close its iterator if left early."""
    if not isinstance(data, AsyncIterable):
        for batch in data:
            yield batch
        return
    batches = aiter(data)
    try:
        async for batch in batches:
            yield batch
    finally:
        if hasattr(batches, "aclose"):
            await batches.aclose()


def pair(batch: Any) -> tuple[Any, Any]:
    """Return the x and y of a batch; raise TypeError with the reason if it is not one."""
    if isinstance(batch, tuple) and len(batch) == 2:
        if not hasattr(batch[1], "__len__") or getattr(batch[1], "ndim", 1) == 0:
            raise TypeError(
                "a batch must be a tuple (x, y) with a row for each example, got one example, "
                f"whose y is {shorten(batch[1])}: add .batch(n, collate=aml.collate) to a Pipeline"
            )
        return batch
    got = f"{type(batch).__name__} of {len(batch)}" if isinstance(batch, tuple | list) else None
    hint = ": .batch(n, collate=aml.collate) makes them" if isinstance(batch, list) else ""
    raise TypeError(f"a batch must be a tuple (x, y), got {got or type(batch).__name__}{hint}")


def _too_short(epoch: int, got: int, skip: int) -> ValueError:
    if got == 0 and skip == 0:
        return ValueError(f"`data` has no batch in epoch {epoch}: there is nothing to train on")
    return ValueError(
        f"`resume_from` is step {skip - 1} of epoch {epoch}, but `data` has only {got} batches"
    )
