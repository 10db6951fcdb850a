"""Statistics of the stages of a pipeline, as a record to read, print and plot.

`meters` counts while an epoch runs and computes what is recorded here. Lesson 07 reads it.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from asyncml.look import printable
from asyncml.pipeline.drawing import draw
from asyncml.pipeline.retrying import FailedItem
from asyncml.units import duration

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True)
class StageStatistics:
    """What one stage did in the current epoch, or in the last one.

    Attributes:
        name: the stage, such as `map(decode)`.
        items: how many items it gave out.
        busy: share of the elapsed time that its slots spent serving items, 0 to 1.
        service_s: mean time of serving one item, in seconds.
        queue: mean number of finished items that were waiting when one was taken.
        errors: attempts that failed, time-outs included.
        skipped: items skipped after their last attempt.
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
    """What the stages did in the current epoch, or in the last one; prints as a table.

    Attributes:
        stages: one record each, the source first.
        elapsed_s: how long the epoch has run, in seconds.
        wait_s: how much of it the consumer spent waiting for data, in seconds.
        bottleneck: the stage that holds up the others, and what to change.
        slowest: the index of that stage in `stages`, or one past the last if it is the consumer;
            None if nothing has run, or no stage is busy half of the time.
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
        """Draw how busy each stage and the consumer are, and how many items are ready behind each.

        Args:
            ax: the axes to draw on; by default a new figure of fitting height.

        Raises:
            ModuleNotFoundError: matplotlib is not installed.
        """
        rows = [(stage.name, stage.busy, stage.queue) for stage in self.stages]
        consumer = 1 - self.wait_s / self.elapsed_s if self.elapsed_s else 0.0
        rows.append(("the consumer", min(1.0, max(0.0, consumer)), 0.0))
        return draw(rows, self.slowest, ax)

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
                duration(stage.service_s),
                f"{stage.queue:.1f}",
                str(stage.errors),
                str(stage.skipped),
                str(stage.retries),
            )
            for stage in self.stages
        ]
        return [head, *rows]

    def _summary(self) -> str:
        wait, elapsed = duration(self.wait_s), duration(self.elapsed_s)
        return f"the consumer waited {wait} of {elapsed} for data\nbottleneck: {self.bottleneck}"
