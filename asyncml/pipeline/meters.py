"""How busy each stage of a pipeline is, and so which one holds up the others.

A stage is busy while it serves an item. With `concurrency` items at once, its busy share is the
time served divided by `concurrency` times the elapsed time. The stage closest to 1 is the
bottleneck, unless the consumer is. Lesson 07 finds one.
"""

from collections import deque

from asyncml.pipeline.retrying import LOGGED, FailedItem
from asyncml.pipeline.statistics import PipelineStatistics, StageStatistics

# if less than this share of the time is spent waiting for data, the pipeline keeps up
_KEEPS_UP = 0.1
# a stage that is busy for less than this share of the time is not what the consumer waits for
_IS_BUSY = 0.5


class Meter:
    """The counts of one running stage, which the engine updates."""

    def __init__(
        self,
        label: str,
        slots: int = 1,
        advice: str = "",
        *,
        on_loop: bool = False,
        failures: deque[FailedItem] | None = None,
    ) -> None:
        self.label = label
        self.slots = slots
        self.advice = advice
        self.on_loop = on_loop
        self.failures = deque[FailedItem](maxlen=LOGGED) if failures is None else failures
        self.last_failure: FailedItem | None = None
        self.failed_items = 0  # skipped or replaced
        self.items = self.served_items = self.errors = self.skipped = self.retries = 0
        self.queued = 0
        self.busy_s = 0.0


def summarise(
    meters: list[Meter],
    elapsed_s: float,
    wait_s: float,
    failures: tuple[FailedItem, ...] = (),
) -> PipelineStatistics:
    """Return the statistics of a run, from the counts of its stages."""
    stages = tuple(_stage(meter, elapsed_s) for meter in meters)
    slowest = _slowest(stages, meters, elapsed_s, wait_s)
    advice = _advice(stages, meters, slowest)
    if slowest is not None and slowest < len(stages) and stages[slowest].busy < _IS_BUSY:
        slowest = None
    return PipelineStatistics(stages, elapsed_s, wait_s, advice, slowest, failures)


def _stage(meter: Meter, elapsed_s: float) -> StageStatistics:
    return StageStatistics(
        name=meter.label,
        items=meter.items,
        busy=min(1.0, meter.busy_s / (elapsed_s * meter.slots)) if elapsed_s > 0 else 0.0,
        service_s=meter.busy_s / meter.served_items if meter.served_items else 0.0,
        queue=meter.queued / meter.items if meter.items else 0.0,
        errors=meter.errors,
        skipped=meter.skipped,
        retries=meter.retries,
    )


def _slowest(
    stages: tuple[StageStatistics, ...], meters: list[Meter], elapsed_s: float, wait_s: float
) -> int | None:
    if elapsed_s <= 0 or not stages:
        return None
    busiest = max(range(len(stages)), key=lambda place: stages[place].busy)
    on_loop = meters[busiest].on_loop and stages[busiest].busy > 0.5  # no wait is counted
    return busiest if wait_s >= _KEEPS_UP * elapsed_s or on_loop else len(stages)


def _advice(stages: tuple[StageStatistics, ...], meters: list[Meter], slowest: int | None) -> str:
    if slowest is None:
        return "none yet: nothing has run"
    if slowest == len(stages):
        return "the consumer: data is ready before it asks; make the loop's body faster"
    stage = stages[slowest]
    if stage.busy >= _IS_BUSY:
        return f"{stage.name}, busy {stage.busy:.0%}: {meters[slowest].advice}"
    return (
        f"none of the stages ({stage.name} is busiest, {stage.busy:.0%}): the time goes to "
        "a source that gives its items slowly, a slow item that those behind it wait for (raise "
        "`lookahead`), pauses between attempts, or something else that holds the event loop"
    )
