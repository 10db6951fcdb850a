"""aiostream: `stream.map` with a `task_limit`; there is no prefetching, and no plain `for`."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from aiostream import core, pipe, stream

from benchmarks.workloads import Job


class Adapter:
    def on_loop(self, job: Job) -> None:
        asyncio.run(_drain(job, _loading(job, job.call)))

    in_order = beside_steps = on_loop

    def in_threads(self, job: Job) -> None:
        async def main() -> None:
            loop = asyncio.get_running_loop()
            with ThreadPoolExecutor(job.concurrency) as pool:

                async def call(item: int) -> Any:
                    return await loop.run_in_executor(pool, job.plain, item)

                await _drain(job, _loading(job, call))

        asyncio.run(main())

    def beside_thread(self, job: Job) -> None:
        async def train() -> None:
            async with _loading(job, job.call).stream() as batches:
                async for batch in batches:
                    await asyncio.to_thread(job.step, batch)

        asyncio.run(train())


def _loading(job: Job, call: Any) -> core.Stream[Any]:
    return (
        stream.iterate(job.items)
        | pipe.map(call, ordered=True, task_limit=job.concurrency)
        | pipe.chunks(job.batch)
    )


async def _drain(job: Job, loading: core.Stream[Any]) -> None:
    async with loading.stream() as batches:
        async for batch in batches:
            job.step(batch)
