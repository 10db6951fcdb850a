"""Figures for a projector: text, lines and lanes that can be read from the last row of a room.

From the last row you can read letters of a fortieth of the picture's height: 18 pixels of 720. So
text is set in 16 or 17 points at 110 pixels per inch, and a timeline shows at most eight lanes and
says how many it omits.
"""

from typing import Any, Literal

from asyncml import look

_LANES = 8
_SIZES: dict[str, Any] = {
    "figure.dpi": 110,
    "figure.figsize": (9.5, 5.2),
    "font.size": 17,
    "axes.titlesize": 17,
    "axes.labelsize": 17,
    "xtick.labelsize": 16,
    "ytick.labelsize": 16,
    "legend.fontsize": 16,
    "lines.linewidth": 3,
    "lines.markersize": 10,
    "axes.linewidth": 1.6,
    "xtick.major.width": 1.6,
    "xtick.major.size": 6,
    "hatch.linewidth": 1.6,
}
_GROUNDS = "figure.facecolor", "axes.facecolor", "savefig.facecolor", "legend.facecolor"
_INKS = "text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"
_COLOURS = {"light": ("white", "black"), "dark": ("#16181C", "#F2F2F2")}
_before: dict[str, Any] = {}


def projector(theme: Literal["light", "dark", "off"] = "light") -> None:
    """Draw all figures from here on for a projector of 1280 x 720 pixels.

    Args:
        theme: "dark" for a dark room, where a white figure dazzles; "off" to draw as before.

    Raises:
        ModuleNotFoundError: matplotlib is not installed.
        ValueError: there is no such theme.

    Example:
        >>> projector("dark")  # in the first cell of a lesson
        >>> projector("off")
    """
    import matplotlib as mpl

    if theme not in (*_COLOURS, "off"):
        raise ValueError(f'`theme` must be "light", "dark" or "off", got {theme!r}')
    parameters: Any = mpl.rcParams
    parameters.update(_before)
    _before.clear()
    look.most_lanes = look.ALL_LANES
    if theme == "off":
        return
    ground, ink = _COLOURS[theme]
    wanted = {**_SIZES, **dict.fromkeys(_GROUNDS, ground), **dict.fromkeys(_INKS, ink)}
    _before.update({name: parameters[name] for name in wanted})
    parameters.update(wanted)
    look.most_lanes = _LANES
