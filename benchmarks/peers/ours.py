"""asyncml."""

import asyncio

import asyncml as aml
from benchmarks.workloads import Job


class Adapter:
    def on_loop(self, job: Job) -> None:
        asyncio.run(_drain(job, _loading(job)))

    in_order = on_loop

    def in_threads(self, job: Job) -> None:
        loading = aml.Pipeline(job.items).map(job.plain, concurrency=job.concurrency)
        asyncio.run(_drain(job, loading.batch(job.batch)))

    def beside_steps(self, job: Job) -> None:
        for batch in _loading(job):
            job.step(batch)

    def beside_thread(self, job: Job) -> None:
        async def train() -> None:
            async for batch in _loading(job):
                await asyncio.to_thread(job.step, batch)

        asyncio.run(train())


def _loading(job: Job) -> aml.Pipeline:
    return aml.Pipeline(job.items).map(job.call, concurrency=job.concurrency).batch(job.batch)


async def _drain(job: Job, loading: aml.Pipeline) -> None:
    async for batch in loading:
        job.step(batch)
