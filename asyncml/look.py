"""How output looks: plain substitutes for characters, and the colours and axes of every figure.

An old Windows console, or a pipe that is not UTF-8, cannot print every character that we use.
"""

import math
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Colours that colour-blind readers can tell apart, in print too (after Okabe and Ito 2008). Each
# has a contrast of at least 3:1 on white and on JupyterLab's dark background.
BLUE, ORANGE, VERMILION, GREY = "#0072B2", "#C77700", "#D55E00", "#8A9098"
GREEN, PURPLE, BROWN = "#009E73", "#B3588F", "#8C6D31"

ALL_LANES = 40  # the most lanes of a timeline, in text and in figures
most_lanes = ALL_LANES  # the most in a figure of its own; `asyncml.projector` lowers it

_SCREEN = 6.4  # inches: 704 pixels for a projector
_PLAIN = str.maketrans({"✔": "+", "✘": "x", "○": "o", "◆": "*", "…": "~", "µ": "u"})


def printable(text: str) -> str:
    """Return `text` with a plain character in place of each that standard output cannot print.

    Each replacement takes one column, as before. If the output can print them all, as in a
    notebook, the text is returned unchanged.

    Example:
        >>> printable("✔ passed, in 62 µs")
        '✔ passed, in 62 µs'
    """
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    if text.isascii() or _can(encoding, text):
        return text
    lacking = {ord(mark) for mark in set(text) if not _can(encoding, mark)}
    return text.translate({mark: _PLAIN.get(mark, "?") for mark in lacking})


def _can(encoding: str, text: str) -> bool:
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return False
    except LookupError:  # an unknown encoding
        return text.isascii()
    return True


def rows(ax: "Axes | None", names: Sequence[str], *, least: float = 1, each: float = 0.4) -> "Axes":
    """Return axes with one named row per bar, the first on top, and only the x axis as a frame.

    Args:
        ax: the axes to use; None makes a new figure, `least + each * len(names)` inches high.
        names: the names of the rows, in plain text.
        least: height without any rows, in inches.
        each: height of each row, in inches.
    """
    if ax is None:
        import matplotlib.pyplot as plt

        size = min(8 * larger(), 9.5), (least + each * len(names)) * larger()
        _, ax = plt.subplots(figsize=size, layout="constrained")
    elif larger() > 1 and len(ax.figure.axes) > 1:  # a screen high, since the legends need space
        figure: Any = ax.figure
        figure.set_figheight(max(figure.get_figheight(), _SCREEN))
    named = range(0, len(names), _apart(ax, len(names)))
    ax.set_yticks(named, labels=[names[row] for row in named], parse_math=False)
    ax.set_ylim(len(names) - 0.4, -0.6)
    ax.tick_params(axis="y", left=False)
    unframe(ax, "top", "right", "left")
    return ax


def larger() -> float:
    """Return the font size relative to the usual one, at least 1."""
    from matplotlib import rcParams

    return max(1.0, float(rcParams["font.size"]) / 10)


def _apart(ax: "Axes", count: int) -> int:
    """Return the step between rows that show their names, so that large names do not collide."""
    figure: Any = ax.get_figure(root=True)
    points = 72 * figure.get_figheight() * ax.get_position().height
    return max(1, math.ceil(count * 13 * larger() / points)) if larger() > 1 else 1


def unframe(ax: "Axes", *sides: str) -> None:
    """Hide these sides of the frame."""
    ax.spines[list(sides)].set_visible(False)


def legend(ax: "Axes", *args: Any, columns: int = 2) -> None:
    """Put a legend above the axes, where it hides nothing; `args` go to `Axes.legend`."""
    place: dict[str, Any] = {"loc": "lower left", "bbox_to_anchor": (0, 1), "borderaxespad": 0.2}
    ax.legend(*args, ncols=columns, frameon=False, **place)
