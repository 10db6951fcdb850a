"""How busy each stage of a pipeline is, and so which one holds the others up.

A stage is busy while it serves an item; with `concurrency` items at once its busy share is the
served time over `concurrency` times the elapsed time. The stage nearest to 1 is the bottleneck,
unless the consumer is. Lesson 07 finds one.
"""

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from asyncml.look import printable
from asyncml.pipeline.retrying import LOGGED, FailedItem

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# below this share of the time spent waiting for data, the pipeline is not what is slow
_KEEPS_UP = 0.1
# a stage that works for less of the time is not what is waited for
_IS_BUSY = 0.5


class Meter:
    """Counts of one running stage; the engine adds to them."""

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
        self.failed_items = 0  # those that were skipped, and those that were replaced
        self.items = self.served_items = self.errors = self.skipped = self.retries = 0
        self.queued = 0
        self.busy_s = 0.0

    def served(self, seconds: float) -> None:
        """Add one item that took `seconds` on the loop."""
        self.items += 1
        self.served_items += 1
        self.busy_s += seconds


@dataclass(frozen=True)
class StageStatistics:
    """What one stage did in the epoch that runs, or ran last.

    Attributes:
        name: the stage, such as `map(decode)`.
        items: how many items it gave out.
        busy: share of the elapsed time that its slots spent serving items, 0 to 1.
        service_s: mean time of serving one item, in seconds.
        queue: mean number of finished items that were waiting when one was taken.
        errors: attempts that failed, time-outs included.
        skipped: items left out after their last attempt.
        retries: attempts after the first.
    """

    name: str
    items: int
    busy: float
    service_s: float
    queue: float
    errors: int
    skipped: int
    retries: int


@dataclass(frozen=True)
class PipelineStatistics:
    """What the stages did in the epoch that runs, or ran last; prints as a table.

    Attributes:
        stages: one record each, the source first.
        elapsed_s: how long the epoch has run, in seconds.
        wait_s: how much of it the consumer spent waiting for data, in seconds.
        bottleneck: the stage that holds the others up, and what to change.
        slowest: the place of that stage in `stages`, one more if it is the consumer; None if
            nothing has run, or none of them is busy half of the time.
        failures: the last 100 items that were skipped or replaced, oldest first.
    """

    stages: tuple[StageStatistics, ...]
    elapsed_s: float
    wait_s: float
    bottleneck: str
    slowest: int | None
    failures: tuple[FailedItem, ...] = ()

    def __str__(self) -> str:
        rows = self._rows()
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = [
            "  ".join(
                cell.rjust(width) if place else cell.ljust(width)
                for place, (cell, width) in enumerate(zip(row, widths, strict=True))
            )
            for row in rows
        ]
        return printable("\n".join([*lines, self._summary()]))

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Draw how busy each stage and the consumer are, and how much stands ready behind each.

        Args:
            ax: the axes to draw on; by default a new figure of fitting height.

        Raises:
            ModuleNotFoundError: matplotlib is not installed.
        """
        from asyncml.pipeline import drawing

        return drawing.plot(self, ax)

    def _repr_html_(self) -> str:
        import html  # only notebooks need it

        head, *body = self._rows()
        cells = [f"<tr>{''.join(f'<th>{cell}</th>' for cell in head)}</tr>"]
        for row in body:
            cells.append(f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in row)}</tr>")
        return f"<table>{''.join(cells)}</table><p>{html.escape(self._summary())}</p>"

    def _rows(self) -> list[tuple[str, ...]]:
        head = ("stage", "items", "busy", "service", "queue", "errors", "skipped", "retries")
        rows = [
            (
                stage.name,
                str(stage.items),
                f"{stage.busy:.0%}",
                _duration(stage.service_s),
                f"{stage.queue:.1f}",
                str(stage.errors),
                str(stage.skipped),
                str(stage.retries),
            )
            for stage in self.stages
        ]
        return [head, *rows]

    def _summary(self) -> str:
        wait, elapsed = _duration(self.wait_s), _duration(self.elapsed_s)
        return f"the consumer waited {wait} of {elapsed} for data\nbottleneck: {self.bottleneck}"


def _duration(seconds: float) -> str:
    if seconds < 0.9995:
        return f"{seconds * 1e3:.3g} ms"
    return f"{seconds:.3g} s" if seconds < 999.5 else f"{seconds:.0f} s"


def summarise(
    meters: list[Meter],
    elapsed_s: float,
    wait_s: float,
    failures: tuple[FailedItem, ...] = (),
) -> PipelineStatistics:
    """Turn the counts of a run into its statistics."""
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
        busy=_busy(meter, elapsed_s),
        service_s=meter.busy_s / meter.served_items if meter.served_items else 0.0,
        queue=meter.queued / meter.items if meter.items else 0.0,
        errors=meter.errors,
        skipped=meter.skipped,
        retries=meter.retries,
    )


def _busy(meter: Meter, elapsed_s: float) -> float:
    return min(1.0, meter.busy_s / (elapsed_s * meter.slots)) if elapsed_s > 0 else 0.0


def _slowest(
    stages: tuple[StageStatistics, ...], meters: list[Meter], elapsed_s: float, wait_s: float
) -> int | None:
    if elapsed_s <= 0 or not stages:
        return None
    busiest = max(range(len(stages)), key=lambda place: stages[place].busy)
    on_loop = meters[busiest].on_loop and stages[busiest].busy > 0.5  # then nobody waits
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
        f"none of the stages ({stage.name} is busiest, {stage.busy:.0%}): what takes the time is "
        "a source that gives its items slowly, a slow item that those behind it wait for (raise "
        "`lookahead`), pauses between attempts, or something else that holds the event loop"
    )
