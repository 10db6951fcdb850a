"""The data of a recording for the player's script, as JSON: each name, line and source once."""

import json
import linecache
import textwrap
from collections.abc import Sequence
from types import CodeType
from typing import Any

from asyncml.clock.reasons import KINDS
from asyncml.clock.waiting import Site, file_part, is_users
from asyncml.look import VERMILION
from asyncml.timeline import drawing
from asyncml.timeline.findings import find
from asyncml.timeline.lanes import Lanes, Slice
from asyncml.timeline.moments import Piece, Story, story
from asyncml.units import duration

_ENDS = {  # states in which a lane shows nothing
    "free": "",
    "finished": "has finished",
    "failed": "has failed",
    "cancelled": "was cancelled",
    "dropped": "was dropped",
}
_STATES = [*drawing.LOOKS, "blocked", *_ENDS]


def as_json(timelines: Sequence[Lanes], names: Sequence[str]) -> str:
    """Return all that `player.js` needs, with nothing that could end a script element in HTML."""
    data = {
        "looks": [_look(state) for state in [*drawing.LOOKS, "blocked"]],
        "runs": [_data(*run) for run in zip(timelines, names, strict=True)],
    }
    return json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")


def _look(state: str) -> list[str]:
    """Return the name, fill, edge and hatch of a state."""
    if state == "blocked":
        return ["running, loop blocked", drawing.LOOKS["running"][0], VERMILION, "xx"]
    name = f"waiting: {KINDS[state]}" if state in KINDS else state
    return [name, *drawing.LOOKS[state]]


class _Table:
    """Numbers values, so that each is written once."""

    def __init__(self) -> None:
        self.numbers: dict[Any, int] = {}

    def number(self, thing: Any) -> int:
        return self.numbers.setdefault(thing, len(self.numbers))


def _data(timeline: Lanes, name: str) -> dict[str, Any]:
    """Return the data of one recording for the script."""
    found = story(timeline)
    words, chains, codes = _Table(), _Table(), _Table()
    origins = {it.label: _origin(it.origin) for it in timeline.tracks if it.origin}

    def numbers(lane: str, piece: Piece) -> list[float]:
        site = tuple((codes.number(at.code), at.line) for at in _shown(piece.sites))
        state = _STATES.index(_state(timeline, lane, piece))
        return [piece.start_s, state, words.number(_words(piece)), chains.number(site), piece.first]

    lanes = [
        (
            lane,
            int(timeline.is_thread(lane)),
            origins.get(lane, ""),
            pieces[-1].end_s,
            [number for piece in pieces for number in numbers(lane, piece)],
        )
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


def _shown(sites: Sequence[Site]) -> Sequence[Site]:
    """Return the sites of the user's program, or all if there are none.

    Sites of this package do not concern the reader, and pages do not change when the package does.
    """
    return [site for site in sites if is_users(site.code)] or sites


def _state(timeline: Lanes, lane: str, piece: Piece) -> str:
    if piece.state == "waiting":
        return piece.kind or "outside"
    whole = Slice(lane, piece.state, piece.start_s, piece.end_s, "")
    return "blocked" if timeline.blocks_loop(whole) else piece.state


def _origin(site: Site) -> str:
    return f"started in {file_part(site.code.co_filename)}line {site.line}"


def _words(piece: Piece) -> str:
    if piece.state in _ENDS:
        return _ENDS[piece.state] + (f" with {piece.reason}" if piece.reason else "")
    return drawing.phrase(Slice("", piece.state, 0, 0, piece.reason))


def _note(found: Story) -> str:
    """Return a note on what is not shown of a long recording, or ""."""
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
    """Return a function's name, the number of its first line, and its source, if available."""
    first, last = code.co_firstlineno, _last_line(code)
    lines = linecache.getlines(code.co_filename)[first - 1 : last]
    name = f"{file_part(code.co_filename)}{code.co_name}"
    return name, first, textwrap.dedent("".join(lines)).rstrip()


def _last_line(code: CodeType) -> int:
    inner = [_last_line(const) for const in code.co_consts if isinstance(const, CodeType)]
    ends = [end for _, end, _, _ in code.co_positions() if end is not None]
    return max([code.co_firstlineno, *ends, *inner])
