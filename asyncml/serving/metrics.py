"""The statistics of a batcher, in the text format of Prometheus."""

from collections.abc import Iterator

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from asyncml.serving.statistics import BatcherStatistics

# upper bounds of the histogram of batch sizes
_BOUNDS = 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024
_COUNTERS = {
    "requests": "Rows that were asked for.",
    "answered": "Rows whose answer was handed out.",
    "rejected": "Rows refused, since the queue was full.",
    "cancelled": "Rows given up by their callers.",
    "failed": "Rows answered with an error.",
}


class _Collector:
    """Turns statistics into metrics when they are asked for."""

    def __init__(self, statistics: BatcherStatistics, model: str) -> None:
        self._statistics, self._model = statistics, model

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics."""
        now, labels = self._statistics, {"model": self._model}
        for name, what in _COUNTERS.items():
            counter = CounterMetricFamily(f"asyncml_{name}", what, labels=[*labels])
            counter.add_metric([self._model], getattr(now, name))
            yield counter
        queued = GaugeMetricFamily("asyncml_queued", "Rows that wait.", labels=[*labels])
        queued.add_metric([self._model], now.queued)
        yield queued
        left = CounterMetricFamily(
            "asyncml_batches", "Batches, by why they left.", labels=["model", "reason"]
        )
        for reason, count in now.reasons.items():
            left.add_metric([self._model, reason], count)
        yield left
        for name, what, seconds in (
            ("wait", "Seconds from the call to the batch.", now.waited_s),
            ("service", "Seconds that a batch took.", now.served_s),
        ):
            total = CounterMetricFamily(f"asyncml_{name}_seconds", what, labels=[*labels])
            total.add_metric([self._model], seconds)
            yield total
        sizes = HistogramMetricFamily("asyncml_batch_rows", "Rows in a batch.", labels=[*labels])
        buckets = [
            (str(float(bound)), sum(n for size, n in now.sizes.items() if size <= bound))
            for bound in _BOUNDS
        ]
        sizes.add_metric([self._model], [*buckets, ("+Inf", now.batches)], now.rows)
        yield sizes


def exposition(statistics: BatcherStatistics, model: str) -> tuple[bytes, str]:
    """Return the metrics in the format of Prometheus, and their content type."""
    registry = CollectorRegistry()
    registry.register(_Collector(statistics, model))
    return generate_latest(registry), CONTENT_TYPE_LATEST
