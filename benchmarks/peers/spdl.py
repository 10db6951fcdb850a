"""SPDL: a pipeline in a background thread; by default results leave as they are completed."""

from collections.abc import Callable
from typing import Any

from spdl.pipeline import Pipeline, PipelineBuilder

from benchmarks.workloads import Job


class Adapter:
    def __init__(self, ordered: bool = False) -> None:
        self.output_order = "input" if ordered else "completion"
        if ordered:
            self.in_order = self.on_loop

    def on_loop(self, job: Job) -> None:
        self._drain(job, job.call)

    beside_steps = on_loop

    def in_threads(self, job: Job) -> None:
        self._drain(job, job.plain)

    def _drain(self, job: Job, call: Callable[[int], Any]) -> None:
        loading: Pipeline[Any] = (
            PipelineBuilder[int, Any]()
            .add_source(job.items)
            .pipe(call, concurrency=job.concurrency, output_order=self.output_order)
            .aggregate(job.batch)
            .add_sink()
            .build(num_threads=job.concurrency)
        )
        with loading.auto_stop():
            for batch in loading:
                job.step(batch)
