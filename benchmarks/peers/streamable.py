"""streamable: `map` with a concurrency, `group`, and a `buffer` if the consumer is slow."""

import asyncio
from typing import Any

from streamable import stream

from benchmarks.workloads import Job

BUFFER = 2  # batches


class Adapter:
    def on_loop(self, job: Job) -> None:
        async def main() -> None:
            async for batch in _loading(job):
                job.step(batch)

        asyncio.run(main())

    in_order = on_loop

    def in_threads(self, job: Job) -> None:
        loading = stream(job.items).map(job.plain, concurrency=job.concurrency)
        for batch in loading.group(job.batch):
            job.step(batch)

    def beside_steps(self, job: Job) -> None:
        for batch in _loading(job).buffer(BUFFER):
            job.step(batch)

    def beside_thread(self, job: Job) -> None:
        async def train() -> None:
            async for batch in _loading(job).buffer(BUFFER):
                await asyncio.to_thread(job.step, batch)

        asyncio.run(train())


def _loading(job: Job) -> "stream[list[Any]]":
    return stream(job.items).map(job.call, concurrency=job.concurrency).group(job.batch)
