"""Draws a timeline as a figure, as text and as sentences."""

from collections import Counter
from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from asyncml import look as looks
from asyncml.clock.reasons import KINDS
from asyncml.look import BLUE, BROWN, GREEN, GREY, ORANGE, PURPLE, VERMILION, legend, rows
from asyncml.timeline.lanes import Lanes, Slice
from asyncml.units import figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LEGEND_SIGNS = 104  # characters in a line of the legend and the names of the lanes together
_MOST_SENTENCES = 8  # in a lane; longer lanes are summarised
_MARKS = {"running": "#", "ready": "=", "waiting": "."}
# state or kind of wait -> fill, edge (and hatch), hatch
LOOKS = {
    "running": (BLUE, "white", ""),
    "ready": (ORANGE, "white", "////"),
    "timer": (GREY, "white", "..."),
    "outside": (GREY, "white", ""),
    "thread": (BROWN, "white", "---"),
    "room": (GREEN, "white", r"\\\\"),
    "lock": (PURPLE, "white", "|||"),
    "task": ("white", GREY, ""),  # hollow: the task that it waits for has its own lane
}
_BLOCKED_HATCH = "xx"
_BLOCKED_FRAME: Any = {"facecolor": "none", "edgecolor": VERMILION, "linewidth": 2}


def _scale(duration_s: float) -> tuple[float, str]:
    return (1.0, "s") if duration_s >= 1 else (1e3, "ms")


def _lanes(timeline: Lanes, most: int = looks.ALL_LANES) -> tuple[dict[str, list[Slice]], str]:
    """Return the lanes to draw with their slices, and a note about the lanes left out."""
    lanes: dict[str, list[Slice]] = {}
    for piece in timeline.slices:
        lanes.setdefault(piece.lane, []).append(piece)
    threads = [lane for lane in lanes if timeline.is_thread(lane)]
    tasks = [lane for lane in lanes if lane not in threads]
    shown = tasks[: max(1, most - len(threads))] + threads[:most]
    left_out = len(lanes) - len(shown)
    return {lane: lanes[lane] for lane in shown}, f"and {left_out} more lanes" if left_out else ""


def plot(timeline: Lanes, ax: "Axes | None" = None) -> "Axes":
    """Draw the lanes as bars; see `Timeline.plot`."""
    from matplotlib.patches import Patch

    lanes, left_out = _lanes(timeline, looks.most_lanes if ax is None else looks.ALL_LANES)
    ax = rows(ax, [_plain(lane, 32) for lane in lanes], least=1.2, each=0.28)
    scale, unit = _scale(timeline.duration_s)
    for row, pieces in enumerate(lanes.values()):
        _draw_lane(ax, row, pieces, scale, timeline.blocks_loop)
    ax.set_xlim(0, timeline.duration_s * scale or 1)
    ax.set_xlabel(f"time ({unit})" + (f"   ({left_out})" if left_out else ""))
    drawn = [piece for pieces in lanes.values() for piece in pieces]
    found = {_look(piece) for piece in drawn}
    handles: dict[str, Any] = {
        look if look in _MARKS else f"waiting: {KINDS[look]}": Patch(**_style(look))
        for look in LOOKS
        if look in found
    }
    if any(map(timeline.blocks_loop, drawn)):
        fill = Patch(**_style("running", _BLOCKED_HATCH))
        handles["loop blocked"] = fill, Patch(**_BLOCKED_FRAME)
    room = _LEGEND_SIGNS / looks.larger() - max(
        (len(_plain(lane, 32)) for lane in lanes), default=0
    )
    columns = max(1, int(room // (6 + max(map(len, handles)))))
    legend(ax, list(handles.values()), list(handles), columns=min(columns, len(handles)))
    return ax


def _look(piece: Slice) -> str:
    return piece.state if piece.state != "waiting" else piece.kind or "outside"


def _style(look: str, hatch: str = "") -> dict[str, Any]:
    from matplotlib import rcParams

    ground = rcParams["axes.facecolor"]  # white, except in a dark theme
    fill, edge, own = (ground if part == "white" else part for part in LOOKS[look])
    return {"facecolor": fill, "edgecolor": edge, "hatch": hatch or own}


def _draw_lane(
    ax: "Axes", row: int, pieces: list[Slice], scale: float, is_block: Callable[[Slice], bool]
) -> None:
    thin = 0.6 * looks.larger()
    edge = thin if len(pieces) <= 150 else 0  # borders between more would hide the bars
    spans: dict[tuple[str, bool], list[tuple[float, float]]] = {}
    for piece in pieces:
        place = piece.start_s * scale, (piece.end_s - piece.start_s) * scale
        spans.setdefault((_look(piece), is_block(piece)), []).append(place)
    band = row - 0.38, 0.76
    for (look, is_blocked), places in spans.items():
        style = _style(look, _BLOCKED_HATCH if is_blocked else "")
        width = edge or (thin if look == "task" else 0)  # a hollow bar consists of its border
        ax.broken_barh(places, band, linewidth=width, zorder=2, **style)
        if is_blocked:
            ax.broken_barh(places, band, zorder=3, clip_on=False, **_BLOCKED_FRAME)


def text(timeline: Lanes, width: int = 72) -> str:
    """Return the lanes as lines of text; see `Timeline.text`."""
    if width < 40:
        raise ValueError(f"`width` must be >= 40, got {width}")
    lanes, left_out = _lanes(timeline)
    margin = min(16, max(map(len, lanes), default=0))
    columns = width - margin - 3
    lines = [
        f"{_plain(lane, margin):<{margin}} |{_bar(pieces, timeline.duration_s, columns)}|"
        for lane, pieces in lanes.items()
    ]
    if left_out:
        lines.append(f"{'...':<{margin}}  {left_out}")
    scale, unit = _scale(timeline.duration_s)
    end = f"{figure(timeline.duration_s * scale)} {unit}"
    lines.append(f"{'':<{margin}}  0{end:>{columns - 1}}")
    lines.append("# running  = ready  . waiting")
    return "\n".join(lines)


def _plain(name: str, length: int) -> str:
    """Return a name on a single line, of at most `length` characters."""
    name = " ".join(name.split())
    return name if len(name) <= length else name[: length - 1] + "…"


def _bar(pieces: list[Slice], duration_s: float, columns: int) -> str:
    """Return a mark for the main state in each column; "|" separates consecutive waits."""
    cells = [dict.fromkeys(_MARKS, 0.0) for _ in range(columns)]
    per_s = columns / duration_s if duration_s else 0.0
    for piece in pieces:
        start, end = piece.start_s * per_s, piece.end_s * per_s
        for column in range(int(start), min(columns, int(end) + 1)):
            part = min(end, column + 1) - max(start, column)
            cells[column][piece.state] += max(part, 0.0)
    bar = [
        _MARKS[max(cell, key=lambda state: cell[state])] if sum(cell.values()) > 1e-9 else " "
        for cell in cells
    ]
    if len(pieces) <= columns // 4:
        for before, piece in pairwise(pieces):
            if before.state == piece.state and before.end_s == piece.start_s:
                bar[min(columns - 1, round(piece.start_s * per_s))] = "|"
    return "".join(bar)


def describe(timeline: Lanes) -> str:
    """Return what each lane did, in sentences; see `Timeline.describe`."""
    lanes, left_out = _lanes(timeline)
    scale, unit = _scale(timeline.duration_s)
    duration = f"{figure(timeline.duration_s * scale)} {unit}"
    count = "1 lane" if len(timeline.lanes) == 1 else f"{len(timeline.lanes)} lanes"
    lines = [f"{count}, {duration}."]
    for lane, pieces in lanes.items():
        if len(pieces) <= _MOST_SENTENCES:
            lines += [_sentence(piece, scale, unit) for piece in pieces]
        else:
            lines += _summary(lane, pieces, scale, unit)
    return "\n".join([*lines, left_out] if left_out else lines)


_VERBS = {"running": "runs", "ready": "is ready", "waiting": "waits"}


def _sentence(piece: Slice, scale: float, unit: str) -> str:
    span = f"{figure(piece.start_s * scale)}-{figure(piece.end_s * scale)} {unit}"
    return f"{piece.lane} {_VERBS[piece.state]} {span}" + _why(piece)


def phrase(piece: Slice) -> str:
    """Return what a lane does in a slice, in the words of `describe` but without the times."""
    return _VERBS[piece.state] + _why(piece)


def _why(piece: Slice) -> str:
    if not piece.reason:
        return ""
    return f" for {piece.reason}" if piece.state == "waiting" else f" {piece.reason}"


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _summary(lane: str, pieces: Iterable[Slice], scale: float, unit: str) -> list[str]:
    times: Counter[tuple[str, str]] = Counter()
    total: dict[tuple[str, str], float] = {}
    for piece in pieces:
        kind = (_VERBS[piece.state], _why(piece))
        times[kind] += 1
        total[kind] = total.get(kind, 0.0) + piece.end_s - piece.start_s
    return [
        f"{lane} {verb} {_times(count)}{why}, {figure(total[verb, why] * scale)} {unit} in all"
        for (verb, why), count in times.items()
    ]
