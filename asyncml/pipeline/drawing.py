"""Draws the stages of a pipeline: how busy each one is, and how much stands ready behind it.

The consumer, the body of the loop, is the last row. Kept apart from the engine, which never draws.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from asyncml.pipeline.meters import PipelineStatistics

_BUSY, _BOTTLENECK = "#0072B2", "#D55E00"  # Okabe and Ito 2008; the bottleneck is hatched as well
_HATCH = "//"
_LENGTH = 36  # of a name


def plot(statistics: "PipelineStatistics", ax: "Axes | None" = None) -> "Axes":
    """Draw a bar for each stage and the consumer; see `PipelineStatistics.plot`."""
    import matplotlib.pyplot as plt

    consumer = 1 - statistics.wait_s / statistics.elapsed_s if statistics.elapsed_s else 0.0
    rows = [(stage.name, stage.busy) for stage in statistics.stages]
    rows.append(("the consumer", min(1.0, max(0.0, consumer))))
    if ax is None:
        _, ax = plt.subplots(figsize=(8, 1 + 0.45 * len(rows)), layout="constrained")
    for row, (_, busy) in enumerate(rows):
        colour, hatch = (_BOTTLENECK, _HATCH) if row == statistics.slowest else (_BUSY, "")
        ax.barh(row, busy * 100, 0.55, color=colour, hatch=hatch, edgecolor="white")
        word = "  the bottleneck" if row == statistics.slowest else ""
        ax.text(busy * 100 + 1, row, f"{busy:.0%}{word}", va="center")
    for row, stage in enumerate(statistics.stages):
        if stage.queue:
            ax.text(160, row + 0.5, f"{stage.queue:.1f} ready ↓", va="center", ha="right")
    names = [name if len(name) <= _LENGTH else name[: _LENGTH - 1] + "…" for name, _ in rows]
    ax.set_yticks(range(len(rows)), labels=names, parse_math=False)
    ax.set_ylim(len(rows) - 0.4, -0.6)
    ax.set_xlim(0, 160)  # room for the words
    ax.set_xticks([0, 25, 50, 75, 100])
    ax.set_xlabel("busy (% of the time), and items that stood ready (mean)", loc="left")
    ax.spines[["top", "right", "left"]].set_visible(False)
    ax.tick_params(axis="y", left=False)
    return ax
