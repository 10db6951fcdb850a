"""A recording as moments, at each of which something changes: the player steps through them.

In virtual time most steps take no time, and many happen at the same time. So the moments follow the
order in which the loop did things, and a time is only an attribute of each.
"""

import math
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Container, Iterator
from dataclasses import dataclass, field
from itertools import starmap

from asyncml.clock.waiting import INLINED, Site, is_library, is_ours
from asyncml.timeline.findings import site_within
from asyncml.timeline.lanes import Lanes
from asyncml.timeline.tracks import Awaited, Step, Track

MOST_PIECES = 6_000  # 2,000 slices of some length come with about as many that take no time
MOST_LANES = 400
_SHORT_S = 0.0001  # a shorter pause between two steps, in real time, is the loop's own work


@dataclass(slots=True)
class Piece:
    """A period of one state in one lane, possibly of no length.

    Attributes:
        state: as in a slice, or how the task ended.
        sites: where the task is suspended or, if it runs, works; outermost first.
        rank: its position among the pieces that begin at the same time.
        first: the index of the moment at which it begins.
    """

    state: str
    start_s: float
    end_s: float
    reason: str
    kind: str
    sites: tuple[Site, ...]
    rank: float
    first: int = -1


@dataclass
class Story:
    """Everything that happened, in order.

    Attributes:
        lanes: the pieces of each lane.
        times: the time of each moment, in seconds since the start.
        ranks: the position of each moment among the steps.
        timers: for each timer except those of `sleep`, when it is due, its task's lane, its first
            moment and the one after its last.
        left_out: the number of lanes that are left out.
        shortest_s: shorter pieces have been merged; 0 if none have.
    """

    lanes: dict[str, list[Piece]]
    left_out: int = 0
    shortest_s: float = 0.0
    times: list[float] = field(default_factory=list)
    ranks: list[float] = field(default_factory=list)
    timers: list[tuple[float, str, int, int]] = field(default_factory=list)


def story(timeline: Lanes) -> Story:
    """Return the moments of a recording; the pieces of a long one are merged."""
    places = _places(timeline)
    lanes = {
        track.label: list(_pieces(timeline, track, places[track])) for track in timeline.tracks
    }
    threads = _thread_pieces(timeline)
    lanes |= threads
    found = Story(dict(list(lanes.items())[:MOST_LANES]), max(0, len(lanes) - MOST_LANES))
    _thin(found, timeline.duration_s)
    _number(found, threads, _SHORT_S if timeline.is_real else 0.0)
    found.timers = list(_timers(timeline, found))
    return found


def _places(timeline: Lanes) -> dict[Track, list[int]]:
    """Return the positions of each task's steps among all steps."""
    places: dict[Track, list[int]] = defaultdict(list)
    for place, track in enumerate(timeline.order):
        places[track].append(place)
    return places


def _pieces(timeline: Lanes, track: Track, places: list[int]) -> Iterator[Piece]:
    """Yield what a task did, from start to end."""
    steps, number, ended, before = list(track.each_step()), -1, -1.0, ""
    waits: list[Awaited | None] = [*(step.awaited for step in steps), track.last_wait]
    stands: tuple[Site, ...] = ()
    end = timeline.relative(track.created_s)
    for state, start, end, reason, kind in track.states(timeline.end_s):
        start, end, sites = timeline.relative(start), timeline.relative(end), stands
        rank = max(ended + 0.3, _ready_rank(track, steps, number))
        if state == "waiting":
            number += 1
            rank = ended + 0.3 if number else _ready_rank(track, steps, 0)
            sites = stands = _standing(waits[number]) or (() if number else _beginning(waits))
        elif state == "running":
            is_back = before.startswith("while")  # after a task that this one started eagerly
            ended = rank = ended + 1.4 if is_back or number >= len(places) else places[number]
            work = site_within(timeline, start, end)
            begins = stands if number == 0 else ()
            sites = shown([work]) if work else begins
        before = reason
        yield Piece(state, start, end, reason, kind, sites, rank)
    if track.outcome != "pending":
        yield Piece(track.outcome, end, end, track.error, "", (), ended + 0.3)


def _ready_rank(track: Track, steps: list[Step], number: int) -> float:
    return (steps[number] if 0 <= number < len(steps) else track).ready_at - 0.5


def _standing(wait: Awaited | None) -> tuple[Site, ...]:
    return shown(list(starmap(Site, wait[2]))) if wait else ()


def _beginning(waits: list[Awaited | None]) -> tuple[Site, ...]:
    """Return where a task began; a later wait shows it if the first was too short to record."""
    code = next((wait[2][0][0] for wait in waits if wait and wait[2]), None)
    return shown([Site(code, -1)]) if code else ()


def _thread_pieces(timeline: Lanes) -> dict[str, list[Piece]]:
    """Return the threads' pieces: at equal times, jobs start after all steps, and end before."""
    lanes: dict[str, list[Piece]] = defaultdict(list)
    for lane, state, start, end, reason, kind in timeline.slices:
        if timeline.is_thread(lane):
            over = Piece("free", end, end, "", "", (), -1 if end > start else math.inf)
            lanes[lane] += [Piece(state, start, end, reason, kind, (), math.inf), over]
    return lanes


def shown(sites: list[Site]) -> tuple[Site, ...]:
    """Return the sites of the user's program; if there are none, those of this package."""
    outside = [it for it in sites if not is_library(it.code) and it.code.co_name not in INLINED]
    return tuple([site for site in outside if not is_ours(site.code)] or outside)


def _thin(found: Story, duration_s: float) -> None:
    """Merge short pieces, each group taking the state of its longest, until few enough are left."""
    width = duration_s / MOST_PIECES
    while sum(map(len, found.lanes.values())) > MOST_PIECES and width < duration_s:
        for lane, pieces in found.lanes.items():
            found.lanes[lane] = _merged(pieces, width)
        found.shortest_s, width = width, width * 2


def _merged(pieces: list[Piece], width_s: float) -> list[Piece]:
    kept: list[Piece] = []
    longest = 0.0
    for piece in pieces:
        length = piece.end_s - piece.start_s
        is_near = kept and piece.end_s - kept[-1].start_s <= width_s
        if not is_near or piece is pieces[-1]:
            kept.append(piece)
            longest = length
            continue
        before = kept[-1]
        if length > longest:
            longest, rank, start = length, before.rank, before.start_s
            kept[-1] = before = Piece(
                piece.state, start, piece.end_s, piece.reason, piece.kind, piece.sites, rank
            )
        before.end_s = piece.end_s
    return kept


def _number(found: Story, threads: Container[str], short_s: float) -> None:
    """Number the moments.

    Each step begins a new moment. All other changes at the same time appear together: with the step
    that begins then, or in a moment in which no task runs.
    """
    events = [(it, lane not in threads) for lane, pieces in found.lanes.items() for it in pieces]
    events.sort(key=lambda event: (event[0].start_s, event[0].rank))
    pending: list[Piece] = []

    def flush() -> None:
        for piece in pending:
            piece.first = len(found.times)
        if pending:
            found.times.append(pending[-1].start_s)
            found.ranks.append(
                max(
                    [*found.ranks[-1:], *(p.rank for p in pending if p.rank < math.inf)],
                    default=0.0,
                )
            )
        pending.clear()

    for piece, is_task in events:
        if pending and piece.start_s > pending[-1].start_s + short_s:
            flush()
        pending.append(piece)
        if piece.state == "running" and is_task:
            flush()
    flush()
    for lane, pieces in found.lanes.items():  # of pieces with the same moment, show the last
        afters = [*pieces[1:], None]
        pairs = zip(pieces, afters, strict=True)
        found.lanes[lane] = [it for it, after in pairs if not after or after.first > it.first]


def _timers(timeline: Lanes, found: Story) -> Iterator[tuple[float, str, int, int]]:
    """Yield each timer with the moments at which it is pending."""
    cancelled: dict[tuple[float, Track | None], list[int]] = defaultdict(list)
    for at, due, track in timeline.cancelled:
        cancelled[due, track].append(at)
    for at, due, track in timeline.timers:
        first, last = bisect_left(found.ranks, at - 0.75), bisect_left(found.times, due)
        if ends := cancelled[due, track]:
            last = min(last, bisect_left(found.ranks, ends.pop(0) - 0.75))
        if track is not None and last > first:
            yield due, track.label, first, last
