"""Records what every task of a program does: each step, each wait with its reason, each thread.

A task factory wraps the coroutine of each task, so that its steps can be timed from outside; the
loop's `call_soon` tells when a waiting task becomes ready, and `run_in_executor` when threads work.
The program runs as it would without. What was seen becomes a `Timeline`. Lessons 03 and 05.
"""

import asyncio
import contextlib
import functools
import math
import sys
import threading
import time
import weakref
from collections import Counter
from collections.abc import Callable, Coroutine, Generator, Iterator
from concurrent.futures import Executor
from contextvars import ContextVar
from types import FrameType
from typing import Any, TypeVar

from asyncml.threads import thread_limit
from asyncml.timeline import Timeline
from asyncml.tracks import Awaited, Job, Track
from asyncml.unawaited import unawaited_noted
from asyncml.waiting import Place, await_chain, caller_place, check_coroutine, running_place

T = TypeVar("T")
_active: ContextVar["Recorder | None"] = ContextVar("asyncml_recorder", default=None)
_IDLE_S = 0.0001  # a shorter pause between two steps is the loop's own work
_SAMPLING_S = 0.02  # how often a thread looks whether the loop is blocked, and where
_BLOCK_S = 0.001  # shorter work than this is not worth a look at the stack


class _Watched(Coroutine[Any, Any, Any]):
    """A coroutine whose steps are timed."""

    __slots__ = ("_coro", "_now", "_recorder", "_send", "_throw", "track")

    def __init__(self, coro: Coroutine[Any, Any, Any], track: Track, recorder: "Recorder") -> None:
        self._coro, self.track, self._recorder = coro, track, recorder
        self._send, self._throw, self._now = coro.send, coro.throw, recorder.now

    def send(self, value: Any) -> Any:
        return self._step(self._send, value)

    def throw(self, error: Any, *_: Any) -> Any:
        return self._step(self._throw, error)

    def close(self) -> None:
        self._coro.close()

    def __await__(self) -> Generator[Any, Any, Any]:
        return self._coro.__await__()

    def __getattr__(self, name: str) -> Any:  # cr_frame, cr_await, __qualname__: asyncio reads them
        return getattr(self._coro, name)

    def _step(self, resume: Callable[[Any], Any], value: Any) -> Any:
        recorder, track = self._recorder, self.track
        if recorder.closed:
            return resume(value)
        outer, recorder.current = recorder.current, track
        recorder.step_start_s = start = self._now()
        if start - recorder.step_end_s > recorder.idle_s:
            recorder.busy_since_s = start
        # the chain still stands as it stood all the time; a short wait is not worth the walk
        wait = self.wait() if start - track.end_s > recorder.idle_s else None
        try:
            awaited = resume(value)
        except BaseException as error:
            self._record(start, wait, outer)
            track.finish(error, asyncio.current_task())
            raise
        self._record(start, wait, outer)
        track.awaited = awaited
        if awaited is None:
            track.ready_s = track.end_s
        return awaited

    def _record(self, start: float, wait: Any, outer: Track | None) -> None:
        recorder, track = self._recorder, self.track
        end = recorder.step_end_s = track.end_s = self._now()
        track.steps.append((track.ready_s, start, end, track.outside, wait))
        track.ready_s = math.nan
        recorder.current = outer
        recorder.step_start_s = math.inf
        if outer is not None:
            outer.pauses.append((start, end))

    def wait(self) -> Awaited:
        """Return what the task waits for: its target, the depth shared with the last, the chain."""
        track = self.track
        chain = await_chain(self._coro)
        shared = 0
        for before, after in zip(track.chain, chain):  # noqa: B905  # the lengths may well differ
            if before[0] is not after[0]:
                break
            shared += 1
        track.chain = chain
        target = self._recorder.target_of(track.awaited)
        return target, shared, [(code, lasti) for _, code, lasti in chain]


class Recorder:
    """Watches one loop while a program runs on it."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        # perf_counter is finer than the loop's clock on Windows; a virtual clock is its own
        is_real = type(loop).time is asyncio.BaseEventLoop.time
        self.now: Callable[[], float] = time.perf_counter if is_real else loop.time
        self.closed, self.start_s, self.end_s = False, self.now(), math.nan
        self.current: Track | None = None  # whose step runs
        self.step_start_s = math.inf
        self.step_end_s = self.busy_since_s = -math.inf
        self.idle_s = _IDLE_S if is_real else 0.0
        self._due_s: float | None = None
        self._offset_s = self.now() - loop.time()
        self.tracks: list[Track] = []
        self.jobs: list[Job] = []
        self.jobs_of: weakref.WeakKeyDictionary[asyncio.Future[Any], Job]
        self.jobs_of = weakref.WeakKeyDictionary()
        self.samples: list[tuple[float, float, Place]] = []  # when, how long, where the loop worked
        self.unawaited: list[tuple[str, str, int]] = []  # only called: name, file, line
        self._counts: Counter[str] = Counter()

    async def run(self, main: Coroutine[Any, Any, T]) -> T:
        """Run the program in a task of its own, watched."""
        token = _active.set(self)
        try:
            name = getattr(main, "__name__", "main")
            task = self.loop.create_task(main, name=name)
        finally:
            _active.reset(token)
        return await task

    def finish(self) -> None:
        """Take no more notes; what goes on after the program has ended goes on unseen."""
        self.closed, self.end_s = True, self.now()
        for track in self.tracks:
            task = track.task() if track.task else None
            if track.outcome == "pending" and task is not None:
                track.take_name(task)
                track.last_wait = task.get_coro().wait()  # type: ignore[union-attr]
            track.release()

    def timeline(self, result: T) -> Timeline[T]:
        """Return what was seen."""
        return Timeline(
            result, self.tracks, self.jobs, self.samples, self.unawaited, self.start_s, self.end_s
        )

    # ---- the places where it looks ----

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Watch the loop in the block, and leave it as it was."""
        loop, factory = self.loop, self.loop.get_task_factory()
        if getattr(factory, "recorder", None) is not None:
            raise RuntimeError(
                "this loop is being recorded already, and there is one recording per loop at a "
                "time: await the other first, or record one coroutine that runs both programs"
            )
        with contextlib.ExitStack() as stack:
            loop.set_task_factory(_factory(self, factory))
            stack.callback(loop.set_task_factory, factory)
            for name, watched in self._watched_methods().items():
                setattr(loop, name, watched)
                stack.callback(delattr, loop, name)
            stack.enter_context(unawaited_noted(self._note_unawaited))
            if self.now is time.perf_counter:
                stack.enter_context(self._sampling())
            stack.callback(self.finish)
            yield

    def start_task(
        self, make: Callable[..., Any], coro: Coroutine[Any, Any, Any], kwargs: dict[str, Any]
    ) -> Any:
        """Make a task of a watched coroutine."""
        kind = getattr(coro, "__name__", type(coro).__name__)
        if not self.tracks:
            label = kind
        else:
            self._counts[kind] += 1
            label = f"{kind}-{self._counts[kind]}"
        place = caller_place(sys._getframe(2))
        track = Track(label, self.now(), self.current, place)
        self.tracks.append(track)
        task = make(self.loop, _Watched(coro, track, self), **kwargs)
        if kwargs.get("name") is None:
            task.set_name(label)
        track.task = weakref.ref(task)
        return task

    def target_of(self, awaited: Any) -> Any:
        """Return the track, tracks or job behind an awaited future; None if it is neither."""
        if isinstance(awaited, asyncio.Task):
            watched = awaited.get_coro()
            return watched.track if isinstance(watched, _Watched) else awaited.get_name()
        children = getattr(awaited, "_children", None)  # asyncio.gather
        if children is not None:
            return tuple(self.target_of(child) for child in children)
        return self.jobs_of.get(awaited) if isinstance(awaited, asyncio.Future) else None

    def _watched_methods(self) -> dict[str, Callable[..., Any]]:
        loop, now, task_type = self.loop, self.now, asyncio.Task
        call_soon, call_at, run_in_executor = loop.call_soon, loop.call_at, loop.run_in_executor

        def watched_call_soon(callback: Any, *args: Any, context: Any = None) -> Any:
            task = getattr(callback, "__self__", None)
            if isinstance(task, task_type):  # its wake-up: what it waited for is there
                watched = task.get_coro()
                if type(watched) is _Watched:
                    watched.track.ready_s = now() if self._due_s is None else self._due_s
                    watched.track.outside = self.current is None
            return call_soon(callback, *args, context=context)

        def watched_call_at(when: float, callback: Any, *args: Any, context: Any = None) -> Any:
            if _active.get() is self:
                args, callback = (when, callback, *args), self._fire
            return call_at(when, callback, *args, context=context)

        def watched_run_in_executor(executor: Executor | None, func: Any, *args: Any) -> Any:
            if _active.get() is not self:
                return run_in_executor(executor, func, *args)
            job = Job(_name_of(func), now())
            self.jobs.append(job)
            if executor is None or thread_limit(executor) is not None:
                future = run_in_executor(executor, functools.partial(self._timed, job, func), *args)
            else:  # another process: all that can be seen is when it began and ended to wait
                job.start_s = job.submitted_s
                future = run_in_executor(executor, func, *args)
                future.add_done_callback(lambda _: setattr(job, "end_s", now()))
            self.jobs_of[future] = job
            return future

        methods: dict[str, Callable[..., Any]] = {
            "call_soon": watched_call_soon,
            "call_at": watched_call_at,
            "run_in_executor": watched_run_in_executor,
        }
        advance = getattr(loop, "advance", None)
        if advance is not None:  # a virtual clock moves under work, in `compute`

            def watched_advance(seconds: float) -> None:
                if seconds >= _BLOCK_S:
                    self._sample(seconds, sys._getframe(1))
                advance(seconds)

            methods["advance"] = watched_advance
        return methods

    def _fire(self, when: float, callback: Callable[..., Any], *args: Any) -> None:
        """Run a timer's callback; who it wakes has been ready since then if the loop was busy."""
        due = when + self._offset_s
        if due < self.step_end_s:
            self._due_s = max(due, self.busy_since_s)
        try:
            callback(*args)
        finally:
            self._due_s = None

    def _timed(self, job: Job, func: Callable[..., T], *args: Any) -> T:
        job.start_s = self.now()
        try:
            return func(*args)
        finally:
            if not self.closed:
                job.end_s = self.now()

    def _note_unawaited(self, name: str, file: str, line: int) -> None:
        if _active.get() is self:
            self.unawaited.append((name, file, line))

    def _sample(self, seconds: float, frame: FrameType | None) -> None:
        place = running_place(frame)
        if place is not None:
            self.samples.append((self.now(), seconds, place))

    @contextlib.contextmanager
    def _sampling(self) -> Iterator[None]:
        """Look now and then, from a thread, on which line a step of the loop is that takes long."""
        stop, loop_thread = threading.Event(), threading.get_ident()

        def look() -> None:
            while not stop.wait(_SAMPLING_S):
                if time.perf_counter() - self.step_start_s > _SAMPLING_S:
                    self._sample(_SAMPLING_S, sys._current_frames().get(loop_thread))

        thread = threading.Thread(target=look, name="asyncml-sampling", daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()


def _factory(recorder: Recorder, outer: Any) -> Any:
    """Return a task factory that watches the tasks of the recorded program, and no others."""

    def plain(loop: asyncio.AbstractEventLoop, coro: Any, **kwargs: Any) -> Any:
        return asyncio.Task(coro, loop=loop, **kwargs)

    make = outer or plain

    def factory(loop: asyncio.AbstractEventLoop, coro: Any, **kwargs: Any) -> Any:
        if _active.get() is recorder:
            return recorder.start_task(make, coro, kwargs)
        return make(loop, coro, **kwargs)

    factory.recorder = recorder  # type: ignore[attr-defined]
    return factory


def _name_of(func: Any) -> str:
    while isinstance(func, functools.partial):  # asyncio.to_thread: partial(context.run, func)
        is_context = getattr(func.func, "__name__", "") == "run" and func.args
        func = func.args[0] if is_context else func.func
    return getattr(func, "__name__", type(func).__name__)


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
        BaseException: what `main` raises; the timeline is its attribute `timeline`.

    If it is cancelled, `main` is cancelled, and the loop is left as it was.

    Example:
        >>> from asyncml.clock import simulate
        >>> async def main():
        ...     await asyncio.gather(asyncio.sleep(1), asyncio.sleep(2))
        >>> simulate(record(main())).statistics().overlap
        0.33
    """
    check_coroutine("record", main)
    recorder = Recorder(asyncio.get_running_loop())
    try:
        with recorder.watching():
            result = await recorder.run(main)
    except BaseException as error:
        main.close()  # if it never began; otherwise it has ended
        if recorder.tracks:
            error.timeline = recorder.timeline(None)  # type: ignore[attr-defined]
        raise
    return recorder.timeline(result)
