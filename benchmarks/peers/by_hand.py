"""A version by hand: workers that share an iterator, and a window that restores the order."""

import asyncio
import queue
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from itertools import chain, islice
from typing import Any

from benchmarks.workloads import Job

AHEAD = 16  # times the concurrency: how far workers may run ahead of the last item yielded


class Adapter:
    def on_loop(self, job: Job) -> None:
        async def main() -> None:
            async for batch in batches(load(job.items, job.call, job.concurrency), job.batch):
                job.step(batch)

        asyncio.run(main())

    in_order = on_loop

    def in_threads(self, job: Job) -> None:
        """Work in chunks, so that one hand-over serves many items."""

        def work_on(chunk: list[int]) -> list[Any]:
            return [job.plain(item) for item in chunk]

        async def main() -> None:
            loop = asyncio.get_running_loop()
            with ThreadPoolExecutor(job.concurrency) as pool:
                work = load(
                    chunks(job.items, job.chunk),
                    lambda chunk: loop.run_in_executor(pool, work_on, chunk),
                    job.concurrency,
                )
                async for batch in batches(flat(work), job.batch):
                    job.step(batch)

        asyncio.run(main())

    far_ahead = in_threads

    def one_by_one(self, job: Job) -> None:
        with ThreadPoolExecutor(job.concurrency) as pool:
            asyncio.run(there_and_back(job, pool))

    def beside_steps(self, job: Job) -> None:
        """Run a loop in a background thread, with a short queue from it."""
        ready: queue.Queue[list[Any]] = queue.Queue(2)

        async def main() -> None:
            async for batch in batches(load(job.items, job.call, job.concurrency), job.batch):
                await asyncio.to_thread(ready.put, batch)
            await asyncio.to_thread(ready.put, [])

        thread = threading.Thread(target=lambda: asyncio.run(main()))
        thread.start()
        while batch := ready.get():
            job.step(batch)
        thread.join()

    def beside_thread(self, job: Job) -> None:
        async def main() -> None:
            async for batch in batches(load(job.items, job.call, job.concurrency), job.batch):
                await asyncio.to_thread(job.step, batch)

        asyncio.run(main())


async def load(
    items: Iterable[Any], call: Callable[[Any], Awaitable[Any]], concurrency: int
) -> AsyncGenerator[list[Any], None]:
    """Call `call` on each item; yield all results that are ready and next in order, as a list."""
    source, window = enumerate(items), AHEAD * concurrency
    results: dict[int, Any] = {}
    head = 0
    working = concurrency
    news, room = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        nonlocal working
        try:
            for number, item in source:
                while number >= head + window:
                    room.clear()
                    await room.wait()
                results[number] = await call(item)
                if number == head:
                    news.set()
        finally:
            working -= 1
            news.set()

    tasks = [asyncio.create_task(work()) for _ in range(concurrency)]
    try:
        while working or head in results:
            ready = []
            while head in results:
                ready.append(results.pop(head))
                head += 1
            if ready:
                room.set()
                yield ready
            else:
                news.clear()
                await news.wait()
        await asyncio.gather(*tasks)  # re-raises a worker's error
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def there_and_back(job: Job, pool: Executor) -> None:
    """Hand items to a thread one by one, and wait for each: the cost of a single hand-over."""
    loop = asyncio.get_running_loop()
    batch: list[Any] = []
    for item in job.items:
        batch.append(await loop.run_in_executor(pool, job.plain, item))
        if len(batch) == job.batch:
            job.step(batch)
            batch = []
    if batch:
        job.step(batch)


async def batches(
    loaded: AsyncGenerator[list[Any], None], size: int
) -> AsyncGenerator[list[Any], None]:
    batch: list[Any] = []
    async for ready in loaded:
        batch += ready
        while len(batch) >= size:
            yield batch[:size]
            del batch[:size]
    if batch:
        yield batch


async def flat(loaded: AsyncGenerator[list[Any], None]) -> AsyncGenerator[list[Any], None]:
    async for chunked in loaded:
        yield list(chain.from_iterable(chunked))


def chunks(items: Iterable[int], size: int) -> Iterator[list[int]]:
    source = iter(items)
    while chunk := list(islice(source, size)):
        yield chunk
