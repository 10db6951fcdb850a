"""What is known of a recording while it goes on: the notes that hooks and timed steps write into.

The recorder makes one for each program that it records; `lanes` reads it when the program has
ended.
"""

import asyncio
import math
import time
import weakref
from collections import Counter
from contextvars import ContextVar
from types import FrameType

from asyncml.clock.waiting import Site, running_site
from asyncml.clocks import clock_of
from asyncml.timeline.tracks import Job, Track

_IDLE_S = 0.0001  # in real time, a shorter pause between two steps is the loop's own work
_BUSY_S = 0.01  # a timer that fires so soon after a step may have been due during that


class Order:
    """In which order things happened, where the clock does not tell.

    Attributes:
        steps: whose steps began, one after the other.
        timers: after how many steps one was made, when it is due, in whose step.
        cancelled: the same of those that were cancelled before they were due.
    """

    def __init__(self) -> None:
        self.steps: list[Track] = []
        self.timers: list[tuple[int, float, Track | None]] = []
        self.cancelled: list[tuple[int, float, Track | None]] = []


class Recording:
    """What has been seen of a program on a loop so far."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.now = clock_of(loop, time.perf_counter)  # finer than asyncio's on Windows
        self.is_real = self.now is time.perf_counter
        self.idle_s, self.busy_s = (_IDLE_S, _BUSY_S) if self.is_real else (-1.0, 1e-9)
        self.closed, self.start_s, self.end_s = False, self.now(), math.nan
        self.current: Track | None = None  # whose step runs
        self.step_start_s, self.step_end_s = math.inf, -math.inf
        self.ended: Track | None = None  # whose end is being told to those who asked for it
        self.offset_s = self.now() - loop.time()
        self.tracks: list[Track] = []
        self.jobs: list[Job] = []
        self.order = Order()  # not lists here: `clock/polling` takes their growth for progress
        self.jobs_of: weakref.WeakKeyDictionary[asyncio.Future[object], Job]
        self.jobs_of = weakref.WeakKeyDictionary()
        self.samples: list[tuple[float, float, Site]] = []  # when, how long, where the loop worked
        self.unawaited: list[tuple[str, str, int]] = []  # only called: name, file, line
        self._counts: Counter[str] = Counter()

    def is_active(self) -> bool:
        """Tell whether the code that runs belongs to the recorded program."""
        return self.current is not None or active.get() is self

    def next_label(self, kind: str) -> str:
        """Return a name for the next task: that of its coroutine, counted from the second on."""
        if not self.tracks:
            return kind
        self._counts[kind] += 1
        return f"{kind}-{self._counts[kind]}"

    def end_job(self, job: Job) -> None:
        """Note that a function has ended."""
        if not self.closed:
            job.end_s = self.now()

    def note_unawaited(self, name: str, file: str, line: int) -> None:
        """Note a coroutine that was called and dropped, if the program did that."""
        if self.is_active():
            self.unawaited.append((name, file, line))

    def sample(self, seconds: float, frame: FrameType | None) -> None:
        """Note on which line the loop works for `seconds`."""
        site = running_site(frame)
        if site is not None:
            self.samples.append((self.now(), seconds, site))


# in whose recording the code runs; it is what tells a program's tasks from others on the loop
active: ContextVar[Recording | None] = ContextVar("asyncml_recording", default=None)
