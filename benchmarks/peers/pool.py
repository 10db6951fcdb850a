"""ThreadPoolExecutor.map: submits everything at once, with no bound on pending results."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any

from benchmarks.workloads import Job


class Adapter:
    def in_threads(self, job: Job) -> None:
        with ThreadPoolExecutor(job.concurrency) as pool:
            results = pool.map(job.plain, job.items)
            for batch in _batches(results, job.batch):
                job.step(batch)

    on_loop = in_order = beside_steps = in_threads  # a thread waits where a coroutine would


def _batches(results: Iterator[Any], size: int) -> Iterator[list[Any]]:
    while batch := list(islice(results, size)):
        yield batch
