"""The loops that learners of lesson 09 write, as we wrote them: later cells run them meanwhile."""

import asyncio
import contextlib
import sys
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from asyncml.training.fit import fit


async def train_ahead(
    load: Callable[[int], Awaitable[Any]],
    step: Callable[[Any], Any],
    count: int,
    ahead: int = 2,
) -> None:
    """Train on batches while the next ones are loading, never more than `ahead` of them."""
    queue: asyncio.Queue[Any] = asyncio.Queue()
    room = asyncio.Semaphore(ahead)

    async def feed() -> None:
        for number in range(count):
            await room.acquire()
            queue.put_nowait(await load(number))

    async with asyncio.TaskGroup() as group:
        group.create_task(feed(), name="feeder")
        for _ in range(count):
            batch = await queue.get()
            room.release()
            await asyncio.to_thread(step, batch)


async def stop_early(
    steps: Any, per_epoch: int, evaluate: Callable[[], Awaitable[float]], patience: int = 3
) -> list[float]:
    """Take steps until so many epochs in a row were no better than the best."""
    scores: list[float] = []
    async for step in steps:
        if step.index == per_epoch - 1:
            scores.append(await evaluate())
            if len(scores) - 1 - scores.index(max(scores)) >= patience:
                break
    return scores


@contextlib.contextmanager
def switch_interval(seconds: float) -> Iterator[None]:
    """Set the switch interval for the time of a `with` block."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(seconds)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


async def train_on(checkpoints: Any, model: Any, optimizer: Any, data: Any, epochs: int) -> None:
    """Go on from the newest checkpoint, and save after each fourth step."""
    last = await checkpoints.restore(model, optimizer)
    async for step in fit(model, optimizer, data, epochs=epochs, resume_from=last):
        if step.index % 4 == 3:
            await checkpoints.save(step, model, optimizer)
