"""Our own answers to exercises of lessons 01, 09 and 10.

Later cells of lessons 09 and 10 use ours until the learner's pass. The verdict on a wrong answer
shows its timeline beside ours.
"""

import asyncio
import contextlib
import sys
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from asyncml.training.fit import fit


async def in_order(fetch: Callable[[str], Awaitable[Any]], keys: list[str]) -> list[Any]:
    """Fetch all keys at once."""
    return await asyncio.gather(*map(fetch, keys))


async def keep_going(fetch: Callable[[str], Awaitable[Any]], keys: list[str]) -> list[Any]:
    """Fetch all keys at once, with None for those that are missing."""

    async def fetch_or_none(key: str) -> Any:
        try:
            return await fetch(key)
        except KeyError:
            return None

    return await asyncio.gather(*map(fetch_or_none, keys))


async def three_at_once(fetch: Callable[[str], Awaitable[Any]], keys: list[str]) -> list[Any]:
    """Fetch all keys, three at a time; stop at the first error."""
    places = asyncio.Semaphore(3)

    async def fetch_in_turn(key: str) -> Any:
        async with places:
            return await fetch(key)

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(fetch_in_turn(key)) for key in keys]
    return [task.result() for task in tasks]


async def train_ahead(
    load: Callable[[int], Awaitable[Any]],
    step: Callable[[Any], Any],
    count: int,
    ahead: int = 2,
) -> None:
    """Train on batches while the next ones load, never more than `ahead` of them."""
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
    """Take steps until `patience` epochs in a row did not beat the best; return all scores."""
    scores: list[float] = []
    async for step in steps:
        if step.index == per_epoch - 1:
            scores.append(await evaluate())
            if len(scores) - 1 - scores.index(max(scores)) >= patience:
                break
    return scores


@contextlib.contextmanager
def switch_interval(seconds: float) -> Iterator[None]:
    """Set the thread switch interval for the duration of a `with` block."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(seconds)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


async def train_on(checkpoints: Any, model: Any, optimizer: Any, data: Any, epochs: int) -> None:
    """Resume from the newest checkpoint; save after every fourth step."""
    last = await checkpoints.restore(model, optimizer)
    async for step in fit(model, optimizer, data, epochs=epochs, resume_from=last):
        if step.index % 4 == 3:
            await checkpoints.save(step, model, optimizer)


async def serve_full(queue: asyncio.Queue[Any], model: Callable[..., Any], most: int) -> None:
    """Answer requests in full batches."""
    while True:
        batch = [await queue.get() for _ in range(most)]
        await _answer(model, batch)


async def serve_idle(queue: asyncio.Queue[Any], model: Callable[..., Any], most: int) -> None:
    """Answer those who wait whenever the model is free."""
    while True:
        batch = [await queue.get()]
        while len(batch) < most and not queue.empty():
            batch.append(queue.get_nowait())
        await _answer(model, batch)


async def _answer(model: Callable[..., Any], batch: list[Any]) -> None:
    outputs = await asyncio.to_thread(model, [x for x, _ in batch])
    for (_, answer), output in zip(batch, outputs, strict=True):
        answer.set_result(output)


async def serve_safely(queue: asyncio.Queue[Any], model: Callable[..., Any], most: int) -> None:
    """Answer those who wait; neither a bad row nor a caller that gives up harms the others."""
    while True:
        batch = [await queue.get()]
        batch += [queue.get_nowait() for _ in range(min(queue.qsize(), most - 1))]
        await _run_batch(model, batch)


async def _run_batch(model: Callable[..., Any], batch: list[Any]) -> None:
    batch = [(x, answer) for x, answer in batch if not answer.done()]
    try:
        outputs = await asyncio.to_thread(model, [x for x, _ in batch]) if batch else []
    except Exception as error:
        if len(batch) > 1:
            await _run_batch(model, batch[: len(batch) // 2])
            await _run_batch(model, batch[len(batch) // 2 :])
        elif not batch[0][1].done():
            batch[0][1].set_exception(error)
        return
    for (_, answer), output in zip(batch, outputs, strict=True):
        if not answer.done():
            answer.set_result(output)
