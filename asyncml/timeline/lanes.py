"""A recording as lanes: what each task and each thread did when, and what that adds up to.

A task is in one of three states: it runs, it is ready to run but the loop is busy with another, or
it waits for something. A thread only runs.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from operator import attrgetter, itemgetter
from typing import NamedTuple

from asyncml.timeline.recording import Recording
from asyncml.timeline.tracks import Job, State, Track, Wait
from asyncml.units import figure

_BLOCK_S = 0.05  # so long a step keeps the others waiting for longer than a person notices


class Slice(NamedTuple):
    """A stretch of one state in one lane.

    Attributes:
        lane: the name of a task, or `thread-1`, `thread-2`, ...
        state: "running", "ready" or "waiting".
        start_s: seconds since the recording began.
        end_s: seconds since the recording began.
        reason: what a task waits for, which function a thread runs, else "".
        kind: of a wait: "timer", "outside" (a store or the network), "thread", "room" (in a queue
            or a window), "lock" (or another primitive) or "task"; else "".
    """

    lane: str
    state: str
    start_s: float
    end_s: float
    reason: str
    kind: str = ""


@dataclass(frozen=True)
class TimelineStatistics:
    """What a timeline adds up to.

    Attributes:
        duration_s: how long the recorded program took, in seconds.
        busy: the share of that time in which the loop ran a task, 0 to 1.
        longest_block_s: the longest stretch without a pause in one task, in seconds.
        peak_concurrency: the most waits for the outside world and running functions at one time.
        lag_s: the longest time that a task that was ready had to wait for its turn, in seconds.
        overlap: the share of the waiting for the outside world (not for other tasks) that was
            hidden behind other waiting or work, 0 to 1; 0 if nothing was waited for.
    """

    duration_s: float
    busy: float
    longest_block_s: float
    peak_concurrency: int
    lag_s: float
    overlap: float

    def __str__(self) -> str:
        """Return the figures as a small table."""
        rows = {
            "duration": f"{figure(self.duration_s, 3)} s",
            "loop busy": f"{self.busy:.0%}",
            "longest block": f"{figure(self.longest_block_s, 3)} s",
            "peak concurrency": f"{self.peak_concurrency}",
            "lag": f"{figure(self.lag_s, 3)} s",
            "waiting hidden": f"{self.overlap:.0%}",
        }
        return "\n".join(f"{name:<16}  {value:>8}" for name, value in rows.items())


class Lanes:
    """What a recorded program did; the data of a `Timeline`."""

    def __init__(self, recording: Recording) -> None:
        self._start_s, self.end_s = recording.start_s, recording.end_s
        self.duration_s = self.relative(self.end_s)
        self.tracks, self.unawaited = recording.tracks, recording.unawaited
        self.order, self.is_real = recording.order.steps, recording.is_real
        self.timers, self.cancelled = (  # without those of `sleep`, which the waits tell
            [(at, self.relative(due + recording.offset_s), track) for at, due, track in noted]
            for noted in (recording.order.timers, recording.order.cancelled)
        )
        self.samples = [(self.relative(at), s, site) for at, s, site in recording.samples]
        threads = _threads(recording.jobs, self.end_s)
        labels = [track.label for track in self.tracks]
        names = _unique(labels + [f"thread-{n}" for n, _ in enumerate(threads, 1)])
        for track, name in zip(self.tracks, names, strict=False):
            track.label = name
        self._threads = dict(zip(names[len(labels) :], threads, strict=True))

    @cached_property
    def slices(self) -> list[Slice]:
        """The states of all lanes, lane by lane in the order in which they began."""
        tasks = [(track.label, _lasting(track.states(self.end_s))) for track in self.tracks]
        return [
            Slice(lane, state, self.relative(start), self.relative(end), reason, kind)
            for lane, stretches in [*tasks, *self._threads.items()]
            for state, start, end, reason, kind in stretches
        ]

    @cached_property
    def waits(self) -> dict[Track, list[Wait]]:
        """The waits of each task, in order, with what `findings` asks of them."""
        waits = {track: list(track.waits(self.end_s)) for track in self.tracks}
        for wait in chain(*waits.values()):
            wait.start_s, wait.end_s = self.relative(wait.start_s), self.relative(wait.end_s)
        return waits

    def outside_waits(self) -> Iterator[Wait]:
        """Yield the waits for the outside world."""
        return filter(attrgetter("is_outside"), chain(*self.waits.values()))

    def relative(self, at: float) -> float:
        """Return seconds since the recording began, of seconds of its clock."""
        return round(at - self._start_s, 9)  # floats that should be equal are, to the nanosecond

    @property
    def lanes(self) -> list[str]:
        """The names of the tasks and threads, in the order in which they began."""
        return list(dict.fromkeys(piece.lane for piece in self.slices))

    def statistics(self) -> TimelineStatistics:
        """Add up: how busy, how concurrent, how late, and how much of the waiting was hidden."""
        return self._statistics

    @cached_property
    def _statistics(self) -> TimelineStatistics:
        running = [
            _length(piece)
            for piece in self.slices
            if piece.state == "running" and not self.is_thread(piece.lane)
        ]
        waited = sum(map(_length, self.outside_waits()))
        exposed, peak = 0.0, 0
        for start, end, waits, busy in self.segments():
            peak = max(peak, len(waits) + busy)
            if waits and not busy:
                exposed += end - start
        return TimelineStatistics(
            duration_s=self.duration_s,
            busy=sum(running) / self.duration_s if self.duration_s else 0.0,
            longest_block_s=max(running, default=0.0),
            peak_concurrency=peak,
            lag_s=max((_length(s) for s in self.slices if s.state == "ready"), default=0.0),
            overlap=max(0.0, 1 - exposed / waited) if waited else 0.0,
        )

    def is_thread(self, lane: str) -> bool:
        """Tell whether a lane is that of a worker thread, and not of a task."""
        return lane in self._threads

    def blocks_loop(self, piece: Slice) -> bool:
        """Tell whether a slice is a step that took so long that the loop seemed to hang."""
        is_step = piece.state == "running" and not self.is_thread(piece.lane)
        return is_step and _length(piece) >= _BLOCK_S

    def segments(self) -> Iterator[tuple[float, float, set[Wait], int]]:
        """Yield (start, end, waits for the outside world, lanes that run) wherever that changes.

        The set is the same object each time: copy it to keep it.
        """
        events: list[tuple[float, int, Wait | None]] = []
        for outside in self.outside_waits():
            events += [(outside.start_s, 1, outside), (outside.end_s, 0, outside)]
        for piece in self.slices:
            if piece.state == "running":
                events += [(piece.start_s, 1, None), (piece.end_s, 0, None)]
        waits: set[Wait] = set()
        busy, before = 0, 0.0
        for at, begins, wait in sorted(events, key=itemgetter(0, 1)):  # ends come first
            if at > before and (waits or busy):
                yield before, at, waits, busy
            before = at
            if wait is None:
                busy += 1 if begins else -1
            elif begins:
                waits.add(wait)
            else:
                waits.remove(wait)


def _length(piece: Slice | Wait) -> float:
    return piece.end_s - piece.start_s


def _unique(names: list[str]) -> list[str]:
    """Tell equal names apart: the second `fetch` becomes `fetch (2)`."""
    taken, times, found = set(names), Counter[str](), []
    for name in names:
        times[name] += 1
        unique = name
        while times[name] > 1 and unique in taken:
            unique = f"{name} ({times[name]})"
            times[name] += unique in taken
        taken.add(unique)
        found.append(unique)
    return found


def _lasting(stretches: Iterable[State]) -> list[State]:
    """Drop the stretches that took no time, but for the last one of a lane that has no other."""
    found = list(stretches)
    return [piece for piece in found if piece[2] > piece[1]] or found[-1:]


def _threads(jobs: list[Job], end_s: float) -> list[list[State]]:
    """Lay the jobs out in as few lanes as they need: no two at one time in one lane."""
    lanes: list[list[State]] = []
    started = [job for job in jobs if job.start_s == job.start_s]
    for job in sorted(started, key=lambda job: job.start_s):
        end = job.end_s if job.end_s == job.end_s else end_s
        free = (lane for lane in lanes if lane[-1][2] <= job.start_s)
        lane = next(free, None)
        if lane is None:
            lanes.append(lane := [])
        lane.append(("running", job.start_s, end, job.name, ""))
    return [_lasting(lane) for lane in lanes]
