"""A timeline that a reader walks through: in a notebook's output, or as a page of its own.

What a browser is given is one piece of HTML. Where scripts may not run, as in a notebook that is
not trusted, it shows the picture and the text; where they may, `player.js` takes their place. All
that comes from the recording is escaped, and nothing is loaded from anywhere.
"""

import base64
import html
import io
import json
import linecache
import textwrap
from functools import cache
from importlib.resources import files
from pathlib import Path
from types import CodeType
from typing import Any

from asyncml.clock.reasons import KINDS
from asyncml.clock.waiting import file_part
from asyncml.look import VERMILION
from asyncml.timeline import drawing
from asyncml.timeline.findings import find
from asyncml.timeline.lanes import Lanes, Slice
from asyncml.timeline.moments import Piece, Story, story
from asyncml.units import duration

_ENDS = {  # where a lane shows nothing
    "free": "",
    "finished": "has finished",
    "failed": "has failed",
    "cancelled": "was cancelled",
    "dropped": "was dropped",
}
_STATES = [*drawing.LOOKS, "blocked", *_ENDS]
_START = """"use strict";
for (const host of document.querySelectorAll(".asyncml-player:not([data-on])")) {
host.setAttribute("data-on", "");
"""
_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; \
style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<title>{title}</title>
<style>:root {{ color-scheme: light dark }} body {{ margin: 0 auto; padding: 1rem; \
max-width: 80rem; font: 15px/1.5 system-ui, sans-serif }}</style>
</head>
<body>
<main>
{fragment}
</main>
</body>
</html>
"""


class Player:
    """One or two timelines that can be walked through; made by `Timeline.play`.

    A notebook shows it in the output of its cell, and everything else as text.
    """

    def __init__(self, *timelines: Lanes) -> None:
        self._timelines = timelines
        names = [timeline.tracks[0].label for timeline in timelines]
        is_one_name = len({*names}) < len(names)
        self._names = [f"{n}: {name}" if is_one_name else name for n, name in enumerate(names, 1)]

    def save(self, path: str | Path) -> None:
        """Write a page that needs nothing else, and no network.

        Args:
            path: the file to write, such as "run.html".
        """
        title = html.escape(" and ".join(self._names)) + ": a timeline"
        page = _PAGE.format(title=title, fragment=self._fragment(picture=False))
        Path(path).write_text(page, encoding="utf-8")

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return {"text/html": self._fragment(picture=True), "text/plain": repr(self)}

    def __repr__(self) -> str:
        """Return the timelines in characters."""
        texts = [drawing.text(timeline) for timeline in self._timelines]
        return "\n\n".join(texts)

    def _fragment(self, *, picture: bool) -> str:
        data = {
            "looks": [_look(state) for state in [*drawing.LOOKS, "blocked"]],
            "runs": [_data(*run) for run in zip(self._timelines, self._names, strict=True)],
        }
        images = "".join(map(_image, self._timelines)) if picture else ""
        script = _file("player.js").replace("/*CSS*/", _file("player.css"))
        return (
            f'<div class="asyncml-player">{images}<details><summary>The timeline as text</summary>'
            f"<pre>{html.escape(self._text())}</pre></details>"
            f'<script type="application/json">{_as_json(data)}</script>'
            f"<script>{_START}{script}}}</script></div>"
        )

    def _text(self) -> str:
        words = [
            "\n".join([drawing.text(each), "", drawing.describe(each), *map(str, find(each))])
            for each in self._timelines
        ]
        return "\n\n".join(words)


@cache
def _file(name: str) -> str:
    return files("asyncml.timeline").joinpath(name).read_text(encoding="utf-8")


def _as_json(data: Any) -> str:
    """Return JSON that no HTML parser takes for the end of the script that holds it."""
    return json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")


def _image(timeline: Lanes) -> str:
    """Return the picture of a timeline as an HTML element; nothing where Matplotlib is missing."""
    try:
        import matplotlib.pyplot as plt
    except ModuleNotFoundError:
        return ""
    figure, png = drawing.plot(timeline).get_figure(), io.BytesIO()
    figure.savefig(png, dpi=80, metadata={"Software": None})
    plt.close(figure)
    name = html.escape(timeline.tracks[0].label, quote=True)
    first = drawing.describe(timeline).partition("\n")[0]
    source = f"data:image/png;base64,{base64.b64encode(png.getvalue()).decode()}"
    return f'<img src="{source}" alt="Timeline of {name}: {first} Its text follows.">'


def _look(state: str) -> list[str]:
    """Return name, fill, edge and hatch."""
    if state == "blocked":
        return ["running, loop blocked", drawing.LOOKS["running"][0], VERMILION, "xx"]
    name = f"waiting: {KINDS[state]}" if state in KINDS else state
    return [name, *drawing.LOOKS[state]]


class _Table:
    """Numbers things, so that each is written once."""

    def __init__(self) -> None:
        self.numbers: dict[Any, int] = {}

    def number(self, thing: Any) -> int:
        return self.numbers.setdefault(thing, len(self.numbers))


def _data(timeline: Lanes, name: str) -> dict[str, Any]:
    """Return all that the script needs of a recording."""
    found = story(timeline)
    words, chains, codes = _Table(), _Table(), _Table()
    origins = {it.label: f"started in {it.origin}" for it in timeline.tracks if it.origin}

    def numbers(lane: str, piece: Piece) -> list[float]:
        site = tuple((codes.number(at.code), at.line) for at in piece.sites)
        state = _STATES.index(_state(timeline, lane, piece))
        return [piece.start_s, state, words.number(_words(piece)), chains.number(site), piece.first]

    lanes = [
        [lane, int(timeline.is_thread(lane)), origins.get(lane, ""), pieces[-1].end_s]
        + [[number for piece in pieces for number in numbers(lane, piece)]]
        for lane, pieces in found.lanes.items()
    ]
    return {
        "name": name,
        "end": timeline.duration_s,
        "note": _note(found),
        "times": found.times,
        "lanes": lanes,
        "timers": found.timers,
        "marks": [[it.code, it.message, it.at_s, it.lane] for it in find(timeline)],
        "words": [*words.numbers],
        "sites": [*chains.numbers],
        "code": [_source(code) for code in codes.numbers],
    }


def _state(timeline: Lanes, lane: str, piece: Piece) -> str:
    if piece.state == "waiting":
        return piece.kind or "outside"
    whole = Slice(lane, piece.state, piece.start_s, piece.end_s, "")
    return "blocked" if timeline.blocks_loop(whole) else piece.state


def _words(piece: Piece) -> str:
    if piece.state in _ENDS:
        return _ENDS[piece.state] + (f" with {piece.reason}" if piece.reason else "")
    return drawing.phrase(Slice("", piece.state, 0, 0, piece.reason))


def _note(found: Story) -> str:
    """Say what is not shown of a long recording."""
    notes = []
    if found.shortest_s:
        notes.append(
            f"This recording is long: stretches shorter than {duration(found.shortest_s)} are "
            "taken together, and shown as the longest of them."
        )
    if found.left_out:
        notes.append(f"{found.left_out} more lanes are not shown.")
    return " ".join(notes)


def _source(code: CodeType) -> tuple[str, int, str]:
    """Return the name of a function, its first line's number and its text, if that can be had."""
    first, last = code.co_firstlineno, _last_line(code)
    lines = linecache.getlines(code.co_filename)[first - 1 : last]
    name = f"{file_part(code.co_filename)}{code.co_name}"
    return name, first, textwrap.dedent("".join(lines)).rstrip()


def _last_line(code: CodeType) -> int:
    inner = [_last_line(const) for const in code.co_consts if isinstance(const, CodeType)]
    ends = [end for _, end, _, _ in code.co_positions() if end is not None]
    return max([code.co_firstlineno, *ends, *inner])
