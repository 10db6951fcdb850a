"""The recorder's hooks: functions that temporarily replace methods of a loop.

Each records what it sees and then calls the method, so the loop behaves as before. `call_soon` is
called at every step of a task, so its hook is written to be fast.
"""

import asyncio
import functools
import weakref
from collections.abc import Callable
from concurrent.futures import Executor
from types import FrameType
from typing import Any, TypeVar

from asyncml.clock.loop import VirtualLoop
from asyncml.clock.waiting import own_name, running_site
from asyncml.internals import ENDS_SLEEP, coroutine_of, frame_at, variables
from asyncml.threads import thread_limit
from asyncml.timeline.recording import Recording
from asyncml.timeline.tracks import Job, Track
from asyncml.timeline.watched import Watched

T = TypeVar("T")
Method = Callable[..., Any]
_BLOCK_S = 0.001  # shorter work than this does not justify inspecting the stack
_RUN = asyncio.Handle._run.__code__  # runs callbacks for a loop


def hooks(recording: Recording, on_deadlock: Callable[[BaseException], None]) -> list[Method]:
    """Return the functions, each named after the method that it replaces.

    Args:
        recording: where to record what they see.
        on_deadlock: called with the Deadlock that is about to end the loop, bypassing all tasks.
    """
    loop = recording.loop
    found = [
        _watch_tasks(recording, loop.create_task),
        _watch_wake_ups(recording, loop.call_soon),
        _watch_timers(recording, loop.call_at),
        _watch_threads(recording, loop.run_in_executor),
        _watch_complaints(recording, loop.call_exception_handler),
    ]
    if hasattr(loop, "_timer_handle_cancelled"):
        found.append(_watch_cancelled_timers(recording, loop._timer_handle_cancelled))
    if isinstance(loop, VirtualLoop):
        found += [_watch_work(recording, loop.advance), _watch_deadlocks(on_deadlock, loop.give_up)]
    return found


def _watch_tasks(recording: Recording, make: Method) -> Method:
    def create_task(coro: Any, **kwargs: Any) -> Any:
        if not recording.is_active() or not asyncio.iscoroutine(coro):
            return make(coro, **kwargs)
        label = recording.next_label(own_name(coro) or type(coro).__name__)
        site = running_site(frame_at(1), through_us=False)
        track = Track(label, recording.now(), recording.current, site)
        track.ready_at = len(recording.order.steps)
        recording.tracks.append(track)
        task = make(Watched(coro, track, recording), **kwargs)
        if kwargs.get("name") is None:  # asyncio's own numbers continue from program to program
            task.set_name(label)
        track.label, track.task = task.get_name(), weakref.ref(task)
        return task

    create_task.recording = recording  # type: ignore[attr-defined]
    return create_task


def _watch_wake_ups(recording: Recording, later: Method) -> Method:
    now, task_type, steps = recording.now, asyncio.Task, recording.order.steps

    # `task._coro` is `coroutine_of(task)`, which explains why not get_coro()
    def call_soon(callback: Any, *args: Any, context: Any = None) -> Any:
        if not args:  # not a wake-up: a task that starts, or that yielded without waiting
            return later(callback, context=context)
        task: Any = getattr(callback, "__self__", None)
        if isinstance(task, task_type):  # what the task waited for is complete
            watched = task._coro  # type: ignore[attr-defined]
            if type(watched) is Watched:
                track = watched.track
                waker, ready_s = recording.current, now()
                if waker is None and ready_s - recording.step_end_s < recording.busy_s:
                    ready_s = _due(recording, ready_s)
                track.ready_s, track.waker = ready_s, waker or recording.ended
                track.ready_at = len(steps)
            return later(callback, args[0], context=context)
        if isinstance(args[0], task_type):  # a callback for the end of a task
            watched = args[0]._coro  # type: ignore[attr-defined]
            if type(watched) is Watched:
                args, callback = (recording, watched.track, callback, *args), _tell
        return later(callback, *args, context=context)

    return call_soon


def _watch_timers(recording: Recording, later: Method) -> Method:
    """Record each timer except those of `sleep`, which appear as waits."""
    note, steps = recording.order.timers.append, recording.order.steps

    def call_at(when: float, callback: Any, *args: Any, context: Any = None) -> Any:
        if callback is not ENDS_SLEEP and recording.current is not None:
            note((len(steps), when, recording.current))
        return later(when, callback, *args, context=context)

    return call_at


def _watch_cancelled_timers(recording: Recording, tell: Method) -> Method:
    note, steps = recording.order.cancelled.append, recording.order.steps

    def _timer_handle_cancelled(timer: Any) -> None:
        if timer._scheduled:
            note((len(steps), timer.when(), recording.current))
            tell(timer)

    return _timer_handle_cancelled


def _tell(recording: Recording, ended: Track, callback: Method, *args: Any) -> None:
    """Run a callback for the end of a task; meanwhile that task is recorded as the waker."""
    recording.ended = ended
    try:
        callback(*args)
    finally:
        recording.ended = None


def _due(recording: Recording, now: float) -> float:
    """Return when a task woken by a timer became ready: earlier than now if the loop was busy."""
    frame: FrameType | None = frame_at(2)
    while frame is not None and frame.f_code is not _RUN:
        frame = frame.f_back
    handle = variables(frame)["self"] if frame else None
    if not isinstance(handle, asyncio.TimerHandle):
        return now
    due = handle.when() + recording.offset_s
    return due if due < recording.step_end_s else now


def _watch_threads(recording: Recording, run: Method) -> Method:
    def run_in_executor(executor: Executor | None, func: Any, *args: Any) -> Any:
        if not recording.is_active():
            return run(executor, func, *args)
        job = Job(_name_of(func, args), recording.now())
        if executor is None or thread_limit(executor) is not None:
            future = run(executor, functools.partial(_timed, recording, job, func), *args)
        else:  # in another process, where only the time that the program waited can be seen
            job.start_s = job.submitted_s
            future = run(executor, func, *args)
            future.add_done_callback(lambda _: recording.end_job(job))
        recording.jobs.append(job)
        recording.jobs_of[future] = job
        return future

    return run_in_executor


def _timed(recording: Recording, job: Job, func: Callable[..., T], *args: Any) -> T:
    job.start_s = recording.now()
    try:
        return func(*args)
    finally:
        recording.end_job(job)


def _name_of(func: Any, args: tuple[Any, ...]) -> str:
    """Return the name of what a thread really runs: `f` in `partial(f, 1)` or `context.run(f)`."""
    while isinstance(func, functools.partial):
        func, args = func.func, (*func.args, *args)
    name = own_name(func) or type(func).__name__
    is_carrier = name == "run" or name.startswith("_")
    return _name_of(args[0], args[1:]) if is_carrier and args and callable(args[0]) else name


def _watch_work(recording: Recording, move: Method) -> Method:
    def advance(seconds: float) -> None:  # `compute` moves a virtual clock, in place of work
        if seconds >= _BLOCK_S:
            frame: FrameType = frame_at(1)
            recording.sample(seconds, frame)
        move(seconds)

    return advance


def _watch_deadlocks(tell: Method, end: Method) -> Method:
    def give_up(error: BaseException) -> None:
        tell(error)
        end(error)

    return give_up


def _watch_complaints(recording: Recording, complain: Method) -> Method:
    def call_exception_handler(context: dict[str, Any]) -> None:
        future = context.get("future")
        watched = coroutine_of(future) if isinstance(future, asyncio.Task) else None
        if isinstance(watched, Watched):  # the task and its exception are being dropped
            watched.track.note_unseen(context.get("exception"))
        complain(context)

    return call_exception_handler
