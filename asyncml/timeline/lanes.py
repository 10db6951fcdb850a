"""A recording as lanes: what each task and each thread did and when, with statistics.

A task is in one of three states: running, ready to run while the loop is busy with another, or
waiting for something. A thread only runs.
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

_BLOCK_S = 0.05  # a step this long holds the others up for longer than a person notices


class Slice(NamedTuple):
    """A period of one state in one lane.

    Attributes:
        lane: the name of a task, or `thread-1`, `thread-2`, ...
        state: "running", "ready" or "waiting".
        start_s: seconds since the recording began.
        end_s: seconds since the recording began.
        reason: what a task waits for or which function a thread runs, else `""`.
        kind: the kind of a wait: "timer", "outside" (a store or the network), "thread", "room" (in
            a queue or a window), "lock" (or another primitive) or "task"; else `""`.
    """

    lane: str
    state: str
    start_s: float
    end_s: float
    reason: str
    kind: str = ""


@dataclass(frozen=True)
class TimelineStatistics:
    """The figures that summarise a timeline.

    Attributes:
        duration_s: how long the recorded program took, in seconds.
        busy: the share of that time in which the loop ran a task, 0 to 1.
        longest_block_s: the longest uninterrupted run of one task, in seconds.
        peak_concurrency: the most waits for the outside world and running functions at one time.
        lag_s: the longest time that a ready task had to wait for its turn, in seconds.
        overlap: the share of the waiting for the outside world (not for other tasks) that was
            hidden behind other waiting or work, 0 to 1; 0 if there was no such waiting.
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
        self.timers, self.cancelled = (  # except those of `sleep`, which appear as waits
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
        """The states of all lanes, lane by lane, in the order in which the lanes began."""
        tasks = [(track.label, _lasting(track.states(self.end_s))) for track in self.tracks]
        return [
            Slice(lane, state, self.relative(start), self.relative(end), reason, kind)
            for lane, stretches in [*tasks, *self._threads.items()]
            for state, start, end, reason, kind in stretches
        ]

    @cached_property
    def waits(self) -> dict[Track, list[Wait]]:
        """The waits of each task in order, with the details that `findings` needs."""
        waits = {track: list(track.waits(self.end_s)) for track in self.tracks}
        for wait in chain(*waits.values()):
            wait.start_s, wait.end_s = self.relative(wait.start_s), self.relative(wait.end_s)
        return waits

    def outside_waits(self) -> Iterator[Wait]:
        """Yield the waits for the outside world."""
        return filter(attrgetter("is_outside"), chain(*self.waits.values()))

    def relative(self, at: float) -> float:
        """Convert a time of the recording's clock to seconds since the recording began."""
        return round(at - self._start_s, 9)  # to the nanosecond, so that equal times compare equal

    @property
    def lanes(self) -> list[str]:
        """The names of the tasks and threads, in the order in which they began."""
        return list(dict.fromkeys(piece.lane for piece in self.slices))

    def statistics(self) -> TimelineStatistics:
        """Return how busy, concurrent and late the loop was, and how much waiting was hidden."""
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
        """Return whether a lane belongs to a worker thread rather than a task."""
        return lane in self._threads

    def blocks_loop(self, piece: Slice) -> bool:
        """Return whether a slice is a step so long that the loop seemed to hang."""
        is_step = piece.state == "running" and not self.is_thread(piece.lane)
        return is_step and _length(piece) >= _BLOCK_S

    def segments(self) -> Iterator[tuple[float, float, set[Wait], int]]:
        """Yield (start, end, waits for the outside world, number of running lanes) per segment.

        A segment ends where one of these changes. The set is the same object each time: copy it to
        keep it.
        """
        events: list[tuple[float, int, Wait | None]] = []
        for outside in self.outside_waits():
            events += [(outside.start_s, 1, outside), (outside.end_s, 0, outside)]
        for piece in self.slices:
            if piece.state == "running":
                events += [(piece.start_s, 1, None), (piece.end_s, 0, None)]
        waits: set[Wait] = set()
        busy, before = 0, 0.0
        for at, begins, wait in sorted(events, key=itemgetter(0, 1)):  # ends before beginnings
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
    """Make names unique: the second `fetch` becomes `fetch (2)`."""
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
    """Drop states that took no time; a lane with no others keeps its last one."""
    found = list(stretches)
    return [piece for piece in found if piece[2] > piece[1]] or found[-1:]


def _threads(jobs: list[Job], end_s: float) -> list[list[State]]:
    """Arrange the jobs in as few lanes as possible, with no two at the same time in one lane."""
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
