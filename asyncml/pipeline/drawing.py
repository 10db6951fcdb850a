"""Draw the stages of a pipeline: how busy each one is, and how many items are ready behind it.

The last row is the consumer, the body of the loop. Kept apart from the engine, which never draws.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from asyncml.look import BLUE, VERMILION
from asyncml.look import rows as named_rows

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_HATCH = "//"
_LENGTH = 36  # of a name, in characters


def draw(
    rows: Sequence[tuple[str, float, float]], slowest: int | None, ax: "Axes | None"
) -> "Axes":
    """Draw a bar for each row, and below it the number of items that were ready.

    Args:
        rows: the name, the busy share from 0 to 1, and the mean number of items that were ready.
        slowest: the index of the row that is the bottleneck, if there is one.
        ax: the axes to draw on; by default those of a new figure.
    """
    names = [name if len(name) <= _LENGTH else name[: _LENGTH - 1] + "…" for name, *_ in rows]
    ax = named_rows(ax, names, each=0.45)
    for row, (_, busy, queue) in enumerate(rows):
        # the bottleneck is hatched too, for readers who cannot tell the colours apart
        is_slowest = row == slowest
        colour, hatch = (VERMILION, _HATCH) if is_slowest else (BLUE, "")
        word = "  the bottleneck" if is_slowest else ""
        ax.barh(row, busy * 100, 0.55, color=colour, hatch=hatch, edgecolor="white")
        ax.text(busy * 100 + 1, row, f"{busy:.0%}{word}", va="center")
        if queue:
            ax.text(160, row + 0.5, f"{queue:.1f} ready ↓", va="center", ha="right")
    ax.set_xlim(0, 160)  # room for the labels
    ax.set_xticks([0, 25, 50, 75, 100])
    ax.set_xlabel("busy (% of the time), and items that stood ready (mean)", loc="left")
    return ax
