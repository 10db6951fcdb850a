"""The state of a recording in progress, to which hooks and timed steps write.

The recorder creates one for each program that it records; `lanes` reads it after the program has
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

_IDLE_S = 0.0001  # a shorter pause between two steps, in real time, is the loop's own work
_BUSY_S = 0.01  # a timer that fires this soon after a step may have been due during it


class Order:
    """The order in which things happened, which times alone do not show.

    Attributes:
        steps: the task of each step, in the order in which the steps began.
        timers: for each timer, how many steps came before it, when it is due, and whose step set
            it.
        cancelled: the same for each timer cancelled before it was due.
    """

    def __init__(self) -> None:
        self.steps: list[Track] = []
        self.timers: list[tuple[int, float, Track | None]] = []
        self.cancelled: list[tuple[int, float, Track | None]] = []


class Recording:
    """What has been seen so far of a program on a loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.now = clock_of(loop, time.perf_counter)  # finer than asyncio's on Windows
        self.is_real = self.now is time.perf_counter
        self.idle_s, self.busy_s = (_IDLE_S, _BUSY_S) if self.is_real else (-1.0, 1e-9)
        self.closed, self.start_s, self.end_s = False, self.now(), math.nan
        self.current: Track | None = None  # the task whose step is running
        self.step_start_s, self.step_end_s = math.inf, -math.inf
        self.ended: Track | None = None  # the task whose done callbacks are running
        self.offset_s = self.now() - loop.time()
        self.tracks: list[Track] = []
        self.jobs: list[Job] = []
        self.order = Order()  # not as lists here: `clock/polling` would take growth for progress
        self.jobs_of: weakref.WeakKeyDictionary[asyncio.Future[object], Job]
        self.jobs_of = weakref.WeakKeyDictionary()
        self.samples: list[tuple[float, float, Site]] = []  # time, seconds of work, and where
        self.unawaited: list[tuple[str, str, int]] = []  # coroutines dropped: name, file, line
        self._counts: Counter[str] = Counter()

    def is_active(self) -> bool:
        """Return whether the running code belongs to the recorded program."""
        return self.current is not None or active.get() is self

    def next_label(self, kind: str) -> str:
        """Return a name for the next task: its coroutine's, numbered from the second task on."""
        if not self.tracks:
            return kind
        self._counts[kind] += 1
        return f"{kind}-{self._counts[kind]}"

    def end_job(self, job: Job) -> None:
        """Record that a function has ended."""
        if not self.closed:
            job.end_s = self.now()

    def note_unawaited(self, name: str, file: str, line: int) -> None:
        """Record a coroutine that was called and dropped, if the recorded program did that."""
        if self.is_active():
            self.unawaited.append((name, file, line))

    def sample(self, seconds: float, frame: FrameType | None) -> None:
        """Record that the loop works for `seconds` on the line of a frame."""
        site = running_site(frame)
        if site is not None:
            self.samples.append((self.now(), seconds, site))


# The recording that running code belongs to; tells a program's tasks from others on the same loop.
active: ContextVar[Recording | None] = ContextVar("asyncml_recording", default=None)
