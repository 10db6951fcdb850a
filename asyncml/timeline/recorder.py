"""Records what every task of a program does: each step, each wait with its reason, each thread.

The coroutine of each task is wrapped, so that its steps can be timed from outside; the loop's
`call_soon` tells when a waiting task becomes ready, and `run_in_executor` when threads work. The
program runs as it would without. What was seen becomes a `Timeline`. Lessons 03 and 05.
"""

import asyncio
import contextlib
import math
import sys
import threading
import time
import weakref
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from types import FrameType
from typing import Any, TypeVar

from asyncml.clock.waiting import GATHERING, Place, check_coroutine, coroutine_of, running_place
from asyncml.timeline.hooks import hooks
from asyncml.timeline.timeline import Timeline
from asyncml.timeline.tracks import Job, Track
from asyncml.timeline.unawaited import unawaited_noted
from asyncml.timeline.watched import Watched, active, wait_of

T = TypeVar("T")
_IDLE_S = 0.0001  # a shorter pause between two steps is the loop's own work
_BUSY_S = 0.01  # a timer that fires so soon after a step may have been due during that
_SAMPLING_S = 0.02  # how often a thread looks whether the loop is blocked, and where


class Recorder:
    """Watches one loop while a program runs on it."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        # perf_counter is finer than the loop's clock on Windows; a virtual clock is its own
        is_real = type(loop).time is asyncio.BaseEventLoop.time
        self.now: Callable[[], float] = time.perf_counter if is_real else loop.time
        self.idle_s, self.busy_s = (_IDLE_S, _BUSY_S) if is_real else (0.0, 1e-9)
        self.closed, self.start_s, self.end_s = False, self.now(), math.nan
        self.current: Track | None = None  # whose step runs
        self.step_start_s, self.step_end_s = math.inf, -math.inf
        self.ended: Track | None = None  # whose end is being told to those who asked for it
        self.offset_s = self.now() - loop.time()
        self.tracks: list[Track] = []
        self.jobs: list[Job] = []
        self.jobs_of: weakref.WeakKeyDictionary[asyncio.Future[Any], Job]
        self.jobs_of = weakref.WeakKeyDictionary()
        self.samples: list[tuple[float, float, Place]] = []  # when, how long, where the loop worked
        self.unawaited: list[tuple[str, str, int]] = []  # only called: name, file, line
        self._counts: Counter[str] = Counter()

    async def run(self, main: Coroutine[Any, Any, T]) -> T:
        """Run the program in a task of its own, watched."""
        token = active.set(self)
        try:
            task = self.loop.create_task(main)
        finally:
            active.reset(token)
        try:
            return await task
        finally:
            del task  # which holds its error, which has this frame in its traceback

    def finish(self) -> None:
        """Take no more notes; what goes on after the program has ended goes on unseen."""
        if self.closed:
            return
        self.closed, self.end_s = True, self.now()
        for track in self.tracks:
            task = track.task() if track.task else None
            track.is_closed = True
            if task is None:
                continue
            track.label = task.get_name()
            watched = coroutine_of(task)
            if track.outcome == "pending" and isinstance(watched, Watched):
                track.waker, track.is_leaving = None, task.cancelling() > 0
                waiter = getattr(task, "_fut_waiter", None)
                track.last_wait = wait_of(watched.coro, track, self, waiter)
            # not by exception(): that would count as having asked, and asyncio would not complain
            elif getattr(task, "_log_traceback", False):
                self.note_unseen(track, getattr(task, "_exception", None))
            track.forget()

    def timeline(self, result: T) -> Timeline[T]:
        """Return what was seen."""
        return Timeline(
            result, self.tracks, self.jobs, self.samples, self.unawaited, self.start_s, self.end_s
        )

    # ---- the places where it looks ----

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Watch the loop in the block, and leave it as it was."""
        if hasattr(self.loop.create_task, "recorder"):
            raise RuntimeError(
                "this loop is being recorded already, and there is one recording per loop at a "
                "time: await the other first, or record one coroutine that runs both programs"
            )
        own = vars(self.loop)
        with contextlib.ExitStack() as stack:
            for method in hooks(self):
                name = method.__name__
                if name in own:  # somebody else put it there
                    stack.callback(setattr, self.loop, name, own[name])
                else:
                    stack.callback(delattr, self.loop, name)
                setattr(self.loop, name, method)
            stack.enter_context(unawaited_noted(self._note_unawaited))
            if self.now is time.perf_counter:
                stack.enter_context(self._sampling())
            stack.callback(self.finish)
            yield

    # ---- what the hooks ask and tell ----

    def is_active(self) -> bool:
        """Tell whether the code that runs belongs to the recorded program."""
        return self.current is not None or active.get() is self

    def next_label(self, kind: str) -> str:
        """Return a name for the next task: that of its coroutine, counted from the second on."""
        if not self.tracks:
            return kind
        self._counts[kind] += 1
        return f"{kind}-{self._counts[kind]}"

    def target_of(self, awaited: Any) -> Track | Job | str | None:
        """Return what is behind an awaited future: a task, a job, a word for it, or None."""
        if isinstance(awaited, asyncio.Task):
            watched = coroutine_of(awaited)
            return watched.track if isinstance(watched, Watched) else f"task {awaited.get_name()}"
        if isinstance(awaited, GATHERING):
            return "gather"
        is_job = self.jobs and isinstance(awaited, asyncio.Future)
        return self.jobs_of.get(awaited) if is_job else None

    def end_job(self, job: Job) -> None:
        """Note that a function has ended."""
        if not self.closed:
            job.end_s = self.now()

    def note_unseen(self, track: Track, error: BaseException | None) -> None:
        """Note an exception that nobody has asked for."""
        name = type(error).__name__
        try:
            track.error = f"{name}: {error}"
        except Exception as another:  # what is to be said about an error must not replace it
            track.error = f"{name}, whose str raises {type(another).__name__}"

    def _note_unawaited(self, name: str, file: str, line: int) -> None:
        if self.is_active():
            self.unawaited.append((name, file, line))

    def sample(self, seconds: float, frame: FrameType | None) -> None:
        """Note on which line the loop works for `seconds`."""
        place = running_place(frame)
        if place is not None:
            self.samples.append((self.now(), seconds, place))

    @contextlib.contextmanager
    def _sampling(self) -> Iterator[None]:
        """Look now and then, from a thread, on which line a step of the loop is that takes long."""
        stop, loop_thread = threading.Event(), threading.get_ident()

        def look() -> None:
            while not stop.wait(_SAMPLING_S):
                if self.current and time.perf_counter() - self.step_start_s > _SAMPLING_S:
                    self.sample(_SAMPLING_S, sys._current_frames().get(loop_thread))

        thread = threading.Thread(target=look, name="asyncml-sampling", daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()


async def record(main: Coroutine[Any, Any, T]) -> Timeline[T]:
    """Run a coroutine and record what it and every task that it starts do.

    Works in real time (`timeline = await aml.record(main())` in a notebook) and in virtual time
    (`aml.simulate(aml.record(main()))`). The recording ends when `main` does.

    Args:
        main: a coroutine, so `record(main())`.

    Returns:
        The timeline; its `result` is what the coroutine returned.

    Raises:
        TypeError: `main` is not a coroutine.
        RuntimeError: the running loop is being recorded already.
        BaseException: what `main` raises, or the Deadlock that it runs into; the timeline is its
            attribute `timeline`.

    If it is cancelled, `main` is cancelled, and the loop is left as it was.

    Example:
        >>> from asyncml.clock import simulate
        >>> async def main():
        ...     await asyncio.gather(asyncio.sleep(1), asyncio.sleep(2))
        >>> round(simulate(record(main())).statistics().overlap, 2)
        0.33
    """
    check_coroutine("record", main)
    recorder = Recorder(asyncio.get_running_loop())
    problem: BaseException | None = None
    try:
        with recorder.watching():
            try:
                result = await recorder.run(main)
            except BaseException as error:  # kept out of the block, for some take no traceback
                problem = error
        if problem is None:
            return recorder.timeline(result)
        timeline = recorder.timeline(None)
        with contextlib.suppress(Exception):  # nor attributes in the way of every other
            BaseException.__setattr__(problem, "timeline", timeline)
        raise problem
    finally:
        main.close()  # if it never began; otherwise it has ended
        del problem  # which holds this frame, in its traceback
