"""Draws the stages of a pipeline: how busy each one is, and how much stands ready behind it.

The consumer, the body of the loop, is the last row. Kept apart from the engine, which never draws.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_BUSY, _BOTTLENECK = "#0072B2", "#D55E00"  # Okabe and Ito 2008; the bottleneck is hatched as well
_HATCH = "//"
_LENGTH = 36  # of a name


def draw(
    rows: Sequence[tuple[str, float, float]], slowest: int | None, ax: "Axes | None"
) -> "Axes":
    """Draw a bar for each row, and what stands ready below it.

    Args:
        rows: the name, the busy share from 0 to 1, and the mean number of items that were ready.
        slowest: which of the rows is the bottleneck, if one is.
        ax: where to draw; by default a new figure.
    """
    import matplotlib.pyplot as plt

    if ax is None:
        _, ax = plt.subplots(figsize=(8, 1 + 0.45 * len(rows)), layout="constrained")
    for row, (_, busy, queue) in enumerate(rows):
        colour, hatch = (_BOTTLENECK, _HATCH) if row == slowest else (_BUSY, "")
        ax.barh(row, busy * 100, 0.55, color=colour, hatch=hatch, edgecolor="white")
        word = "  the bottleneck" if row == slowest else ""
        ax.text(busy * 100 + 1, row, f"{busy:.0%}{word}", va="center")
        if queue:
            ax.text(160, row + 0.5, f"{queue:.1f} ready ↓", va="center", ha="right")
    names = [name if len(name) <= _LENGTH else name[: _LENGTH - 1] + "…" for name, *_ in rows]
    ax.set_yticks(range(len(rows)), labels=names, parse_math=False)
    ax.set_ylim(len(rows) - 0.4, -0.6)
    ax.set_xlim(0, 160)  # room for the words
    ax.set_xticks([0, 25, 50, 75, 100])
    ax.set_xlabel("busy (% of the time), and items that stood ready (mean)", loc="left")
    ax.spines[["top", "right", "left"]].set_visible(False)
    ax.tick_params(axis="y", left=False)
    return ax
