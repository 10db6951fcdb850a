"""asyncml."""

import asyncio

import asyncml as aml
from asyncml.threads import ThreadPool
from benchmarks.peers.by_hand import AHEAD, there_and_back
from benchmarks.workloads import Job


class Adapter:
    def on_loop(self, job: Job) -> None:
        asyncio.run(_drain(job, _loading(job)))

    in_order = on_loop

    def in_threads(self, job: Job) -> None:
        loading = aml.Pipeline(job.items).map(job.plain, concurrency=job.concurrency)
        asyncio.run(_drain(job, loading.batch(job.batch)))

    def far_ahead(self, job: Job) -> None:
        """Run as many items ahead as the version by hand."""
        loading = aml.Pipeline(job.items).map(
            job.plain, concurrency=job.concurrency, lookahead=AHEAD * job.chunk * job.concurrency
        )
        asyncio.run(_drain(job, loading.batch(job.batch)))

    def one_by_one(self, job: Job) -> None:
        """Use the pipeline's thread pool without the pipeline."""
        with ThreadPool(job.concurrency) as pool:
            asyncio.run(there_and_back(job, pool))

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
