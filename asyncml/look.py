"""How things look: which marks a console can show, and the colours and axes of every picture.

An old Windows console, or a pipe without UTF-8, lacks our marks.
"""

import math
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# colours that colour-blind readers can tell apart (after Okabe and Ito 2008), in print too;
# on white and on JupyterLab's dark background each has a contrast of 3:1 or more
BLUE, ORANGE, VERMILION, GREY = "#0072B2", "#C77700", "#D55E00", "#8A9098"
GREEN, PURPLE, BROWN = "#009E73", "#B3588F", "#8C6D31"

ALL_LANES = 40  # of a timeline, in characters and in a picture
most_lanes = ALL_LANES  # in a picture of its own; `asyncml.projector` sets fewer

_SCREEN = 6.4  # inches: 704 pixels for a projector
_PLAIN = str.maketrans({"✔": "+", "✘": "x", "○": "o", "◆": "*", "…": "~", "µ": "u"})


def printable(text: str) -> str:
    """Return a text as standard output can print it, with plain characters for those it lacks.

    Each takes one column as before. Where the output has all of them, as in a notebook, the text
    is returned as it is.

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
    except LookupError:  # nobody knows an encoding of that name
        return text.isascii()
    return True


def rows(ax: "Axes | None", names: Sequence[str], *, least: float = 1, each: float = 0.4) -> "Axes":
    """Return axes with a named row for each bar: the first on top, and no frame but the x axis.

    Args:
        ax: the axes to use; None for those of a new figure, `least + each * rows` inches high.
        names: what the rows are called, in plain text.
        least: inches.
        each: inches.
    """
    if ax is None:
        import matplotlib.pyplot as plt

        size = min(8 * larger(), 9.5), (least + each * len(names)) * larger()
        _, ax = plt.subplots(figsize=size, layout="constrained")
    elif larger() > 1 and len(ax.figure.axes) > 1:  # as high as a screen: legends take their room
        figure: Any = ax.figure
        figure.set_figheight(max(figure.get_figheight(), _SCREEN))
    named = range(0, len(names), _apart(ax, len(names)))
    ax.set_yticks(named, labels=[names[row] for row in named], parse_math=False)
    ax.set_ylim(len(names) - 0.4, -0.6)
    ax.tick_params(axis="y", left=False)
    unframe(ax, "top", "right", "left")
    return ax


def larger() -> float:
    """Return how many times larger type is than usual."""
    from matplotlib import rcParams

    return max(1.0, float(rcParams["font.size"]) / 10)


def _apart(ax: "Axes", count: int) -> int:
    """Return which names to show, so that large ones do not collide: each, each second, ..."""
    figure: Any = ax.get_figure(root=True)
    points = 72 * figure.get_figheight() * ax.get_position().height
    return max(1, math.ceil(count * 13 * larger() / points)) if larger() > 1 else 1


def unframe(ax: "Axes", *sides: str) -> None:
    """Take away these sides of the frame."""
    ax.spines[list(sides)].set_visible(False)


def legend(ax: "Axes", *args: Any, columns: int = 2) -> None:
    """Put a legend above the axes, which hides nothing; `args` are those of `Axes.legend`."""
    place: dict[str, Any] = {"loc": "lower left", "bbox_to_anchor": (0, 1), "borderaxespad": 0.2}
    ax.legend(*args, ncols=columns, frameon=False, **place)
