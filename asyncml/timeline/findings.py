"""Finds what is wrong with a recorded program, and on which line.

A timeline shows when things happened, not why. So a finding about waits in sequence says what is
possible if no wait needs the result of another, and leaves that question to the reader.
"""

from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import accumulate, islice
from operator import attrgetter, itemgetter
from types import CodeType

from asyncml.clock.reasons import BOUNDS
from asyncml.clock.waiting import Site, file_part, is_library, is_ours, user_site
from asyncml.look import printable
from asyncml.timeline.lanes import Lanes, Slice
from asyncml.timeline.tracks import Track, Wait
from asyncml.units import duration

_time = partial(duration, tenths=True)
_SAVING = 0.1  # overlapping must save at least this fraction of the program's time to be reported
_AT_ONCE = 16  # the concurrency of a considerate client; more than that is a deliberate choice
_LEAST_S = 1e-6  # less than this is rounding
_FLOOD = 64  # more concurrent waits than this from one line were started without a bound


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong with a program.

    Attributes:
        code: "in-sequence", "blocked", "unbounded", "never-awaited", "still-running", "dropped"
            or "error-unseen".
        message: what was seen, what to do, and where.
        line: the line of the source, from 1; 0 if it is not known.
        seconds: the cost: the time that could be saved, or for which the loop was blocked.
        at_s: where to look in the timeline, in seconds since its start; None if it shows nothing.
        lane: the lane to look at, or `""`.
    """

    code: str
    message: str
    line: int
    seconds: float
    at_s: float | None = None
    lane: str = ""

    def __str__(self) -> str:
        """Return the message."""
        return printable(self.message)


def find(timeline: Lanes) -> list[Finding]:
    """Return the findings, the most costly first; see `Timeline.findings`."""
    timed = [*_in_sequence(timeline), *_blocked(timeline)]
    timed.sort(key=lambda finding: -finding.seconds)
    return [*timed, *_unbounded(timeline), *_lost(timeline)]


def _line(site: Site | None) -> int:
    return site.line if site else 0


def _tasks(count: int) -> str:
    return "1 task" if count == 1 else f"{count} tasks"


# ---- waits in sequence ----


def _in_sequence(timeline: Lanes) -> Iterator[Finding]:
    """Find the tasks that wait for one thing after another while nothing else is going on."""
    shares = _exposed_waiting(timeline)
    word = "nothing" if timeline.statistics().overlap < 0.05 else "too little"
    blamed = {track for track, waits in timeline.waits.items() if _is_bounded(waits)}
    for track in timeline.tracks:  # parents come before their children
        if track.parent in blamed or track in blamed:
            blamed.add(track)
            continue
        units = _units(shares[track])
        site, lines = _where_in_sequence(units)
        alone = sum(seconds for seconds, _ in units)
        longest = max((seconds for seconds, _ in units), default=0.0)
        possible = max(longest, alone / min(len(units) or 1, _AT_ONCE))
        if site and alone - possible >= max(_SAVING * timeline.duration_s, _LEAST_S):
            blamed.add(track)
            bound = f" with {_AT_ONCE} at once" if len(units) > _AT_ONCE else ""
            message = (
                f"{word} overlapped: {_time(alone)} in sequence, {_time(possible)} possible"
                f"{bound}, {_name_lines(site, lines)}, unless one needs the result of the other: "
                "start them together, with `asyncio.TaskGroup` or `Pipeline.map`"
            )
            first = units[0][1][0]
            place = first.start_s, track.label
            yield Finding("in-sequence", message, lines[0], alone - possible, *place)


def _is_bounded(waits: list[Wait]) -> bool:
    return any(wait.reason in BOUNDS for wait in waits)


def _exposed_waiting(timeline: Lanes) -> dict[Track, dict[Wait, float]]:
    """Return how long each wait of each task was the only thing going on.

    Time exposed in a task also counts for the waits of its ancestors at that time.
    """
    exposed: dict[Wait, float] = defaultdict(float)
    for start, end, waits, busy in timeline.segments():
        if len(waits) == 1 and not busy:
            exposed[next(iter(waits))] += end - start
    own = timeline.waits
    shares: dict[Track, dict[Wait, float]] = defaultdict(lambda: defaultdict(float))
    for wait, seconds in exposed.items():
        if wait.is_cut:  # the next wait may well exist only because this one failed
            continue
        track: Track | None = wait.track
        while track is not None:
            index = bisect_right(own[track], wait.start_s, key=attrgetter("start_s")) - 1
            if index >= 0 and own[track][index].end_s >= wait.end_s:
                shares[track][own[track][index]] += seconds
            track = track.parent
    return shares


_Unit = tuple[float, list[Wait]]


def _units(share: dict[Wait, float]) -> list[_Unit]:
    """Group waits that follow each other on purpose.

    A loop that sleeps between its rounds (a heartbeat, a poll, a retry) sets its own pace, so its
    waits count as one.
    """
    waits = sorted(share, key=attrgetter("start_s"))
    paced = _paced(waits)
    units: list[_Unit] = []
    for wait in waits:
        common = user_site(wait.sites[: wait.shared])
        if units and common is not None and common.code in paced:
            seconds, members = units.pop()
            units.append((seconds + share[wait], [*members, wait]))
        else:
            units.append((share[wait], [wait]))
    return units


def _paced(waits: list[Wait]) -> set[CodeType]:
    """Return the functions that themselves sleep between two waits on one of their lines."""
    paced: set[CodeType] = set()
    slept: dict[CodeType, set[Site]] = defaultdict(set)  # sites of waits before the latest sleep
    seen: dict[CodeType, set[Site]] = defaultdict(set)
    for wait in waits:
        own = next((p for p in reversed(wait.sites) if not is_library(p.code)), None)
        for site in wait.sites:
            if site in slept[site.code]:
                paced.add(site.code)
            seen[site.code].add(site)
        if own is not None and wait.reason == "sleep":
            slept[own.code] |= seen[own.code]
    return paced


def _where_in_sequence(units: list[_Unit]) -> tuple[Site | None, list[int]]:
    """Return the function that waits repeatedly, and the lines of its waits.

    It is the innermost function that two waits have in common; each wait then made its own calls.
    """
    votes: Counter[CodeType] = Counter()
    for _, (wait, *_) in units[1:]:
        common = user_site(wait.sites[: wait.shared])
        if common is not None and not is_ours(common.code):
            votes[common.code] += 1
    if not votes:
        return None, []
    code = votes.most_common(1)[0][0]
    members = [wait for _, waits in units for wait in waits]
    sites = [site for wait in members for site in wait.sites if site.code is code]
    return sites[0], sorted({site.line for site in sites})


def _name_lines(site: Site, lines: list[int]) -> str:
    *most, last = map(str, lines)
    listed = f"lines {', '.join(most)} and {last}" if most else f"line {last}"
    return f"in {site.function}, {listed}"


# ---- a blocked loop ----


def _blocked(timeline: Lanes) -> Iterator[Finding]:
    """Find steps that took long, and the lines that spent the time."""
    blocks: dict[str, list[Slice]] = defaultdict(list)
    line_of: dict[str, int] = {}
    for piece in filter(timeline.blocks_loop, timeline.slices):
        site = site_within(timeline, piece.start_s, piece.end_s)
        where = f"in {site}" if site else f"by {piece.lane}"
        blocks[where].append(piece)
        line_of[where] = _line(site)
    ready = [piece for piece in timeline.slices if piece.state == "ready"]
    for where, pieces in blocks.items():
        pieces.sort(key=attrgetter("start_s"))
        held_up = {other.lane for other in ready if _is_during(other, pieces)}
        total = sum(piece.end_s - piece.start_s for piece in pieces)
        times = "" if len(pieces) == 1 else f" {len(pieces)} times, in all"
        late = f", while {_tasks(len(held_up))} could have run" if held_up else ""
        message = (
            f"the loop was blocked{times} for {_time(total)} {where}{late}: "
            "wait with `await`, or compute in a thread with `asyncio.to_thread`"
        )
        place = pieces[0].start_s, pieces[0].lane
        yield Finding("blocked", message, line_of[where], total, *place)


def _is_during(piece: Slice, pieces: list[Slice]) -> bool:
    """Return whether a slice overlaps any of `pieces`, which are sorted."""
    last = bisect_left(pieces, piece.end_s, key=attrgetter("start_s")) - 1
    return last >= 0 and piece.start_s < pieces[last].end_s


def site_within(timeline: Lanes, start_s: float, end_s: float) -> Site | None:
    """Return the line on which the loop worked longest in a period, as far as it was sampled."""
    spent: Counter[Site] = Counter()
    first = bisect_left(timeline.samples, start_s, key=itemgetter(0))
    for at, seconds, site in islice(timeline.samples, first, None):
        if at > end_s:
            break
        spent[site] += seconds  # type: ignore[assignment]  # a Counter sums floats as well
    return spent.most_common(1)[0][0] if spent else None


# ---- tasks without a bound ----


def _unbounded(timeline: Lanes) -> Iterator[Finding]:
    """Find the lines that started so many tasks that most of them waited at once."""
    begun: dict[Site, set[Track]] = defaultdict(set)
    for track in timeline.tracks:
        if track.origin is not None:
            begun[track.origin].add(track)
    for site, tracks in begun.items():
        waits = [wait for track in tracks for wait in timeline.waits[track]]
        outside = [wait for wait in waits if wait.is_outside]
        # workers wait again and again, and a pool of them is a bound, however large
        is_pool = len(outside) > 3 * len(tracks)
        if len(tracks) <= _FLOOD or is_pool or _is_bounded(waits):
            continue
        events = sorted([(w.start_s, 1) for w in outside] + [(w.end_s, -1) for w in outside])
        peak = max(accumulate(change for _, change in events), default=0)
        if peak > _FLOOD and peak > len(tracks) / 2:
            message = (
                f"{peak} waits at once, started without a bound in {site}: limit them with "
                "`asyncio.Semaphore`, or use `Pipeline.map(..., concurrency=16)`"
            )
            first = min(outside, key=attrgetter("start_s"))
            yield Finding("unbounded", message, site.line, 0.0, first.start_s, first.track.label)


# ---- what was never awaited ----


def _end(timeline: Lanes, track: Track) -> tuple[float, str]:
    """Return the time and the lane in which a task ended or was abandoned."""
    lane = [piece.end_s for piece in timeline.slices if piece.lane == track.label]
    return max(lane, default=timeline.duration_s), track.label


def _lost(timeline: Lanes) -> Iterator[Finding]:
    """Find coroutines never awaited, tasks left running or dropped, and exceptions unseen."""
    for (name, file, line), count in Counter(timeline.unawaited).items():
        times = "" if count == 1 else f" {count} times"
        where = f"{file_part(file)}line {line}" if line else "on a line that debug mode knows"
        message = (
            f"`{name}()` was called{times} but never awaited, {where}: "
            f"it did nothing; write `await {name}(...)` or start a task"
        )
        yield Finding("never-awaited", message, line, 0.0)
    running: dict[Site, list[Track]] = defaultdict(list)
    for track in timeline.tracks:
        if track.outcome == "pending" and track.origin is not None and not track.is_leaving:
            running[track.origin].append(track)
        if track.outcome == "dropped":
            message = (
                f"{track.label}, started in {track.origin}, was dropped while it waited: asyncio "
                "does not keep tasks alive; keep the task in a variable, and await it"
            )
            yield Finding("dropped", message, _line(track.origin), 0.0, *_end(timeline, track))
        if track.error:
            message = f"{track.label} failed with {track.error}, and nobody asked: await the task"
            message += f" started in {track.origin}" if track.origin else ""
            place = _end(timeline, track)
            yield Finding("error-unseen", message, _line(track.origin), 0.0, *place)
    for site, tracks in running.items():
        names = tracks[0].label if len(tracks) == 1 else _tasks(len(tracks))
        was, whom = ("was", "it") if len(tracks) == 1 else ("were", "them")
        message = (
            f"{names}, started in {site}, {was} still running when the program ended, since "
            f"nobody awaited {whom}: use `asyncio.TaskGroup`, or keep the task and await it"
        )
        yield Finding("still-running", message, site.line, 0.0, *_end(timeline, tracks[0]))
