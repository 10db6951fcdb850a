"""torch's DataLoader: worker processes, as many as it suggests, which call a plain function."""

import os
from collections.abc import Callable
from typing import Any

from torch.utils.data import DataLoader, Dataset

from benchmarks.workloads import Job


class Calls(Dataset[Any]):
    """A dataset of the results of a function, one per item."""

    def __init__(self, call: Callable[[int], Any]) -> None:
        self.call = call

    def __getitem__(self, item: int) -> Any:
        return self.call(item)


class Adapter:
    def in_threads(self, job: Job) -> None:
        loading = DataLoader(
            Calls(job.plain),
            batch_size=job.batch,
            sampler=job.items,
            num_workers=min(job.concurrency, _cores()),
        )
        for batch in loading:
            job.step(batch)

    on_loop = in_order = beside_steps = in_threads


def _cores() -> int:
    """Return the most workers that DataLoader accepts without a warning."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1
