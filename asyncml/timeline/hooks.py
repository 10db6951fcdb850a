"""Where the recorder looks: functions that stand before methods of a loop for a while.

Each notes what it sees and calls the method, so that the loop does what it would have done. Those
of a task's every step (`call_soon`) are written to be fast. Used by the recorder, lesson 03.
"""

import asyncio
import functools
import sys
import weakref
from collections.abc import Callable
from concurrent.futures import Executor
from types import FrameType
from typing import TYPE_CHECKING, Any, TypeVar

from asyncml.clock.waiting import caller_place, coroutine_of, own_name, variables
from asyncml.threads import thread_limit
from asyncml.timeline.tracks import Job, Track
from asyncml.timeline.watched import Watched

if TYPE_CHECKING:
    from asyncml.timeline.recorder import Recorder

T = TypeVar("T")
Method = Callable[..., Any]
_BLOCK_S = 0.001  # shorter work than this is not worth a look at the stack
_RUN = asyncio.Handle._run.__code__  # calls back for a loop


def hooks(recorder: "Recorder") -> list[Method]:
    """Return functions that have the names of the methods of the loop that they stand before."""
    loop = recorder.loop
    found = [
        _watch_tasks(recorder, loop.create_task),
        _watch_wake_ups(recorder, loop.call_soon),
        _watch_threads(recorder, loop.run_in_executor),
        _watch_complaints(recorder, loop.call_exception_handler),
    ]
    if hasattr(loop, "advance") and hasattr(loop, "give_up"):  # a virtual loop
        found += [_watch_work(recorder, loop.advance), _watch_deadlocks(recorder, loop.give_up)]
    return found


def _watch_tasks(recorder: "Recorder", make: Method) -> Method:
    def create_task(coro: Any, **kwargs: Any) -> Any:
        if not recorder.is_active() or not asyncio.iscoroutine(coro):
            return make(coro, **kwargs)
        label = recorder.next_label(own_name(coro) or type(coro).__name__)
        place = caller_place(sys._getframe(1))
        track = Track(label, recorder.now(), recorder.current, place)
        recorder.tracks.append(track)
        task = make(Watched(coro, track, recorder), **kwargs)
        if kwargs.get("name") is None:  # asyncio's own count goes on from program to program
            task.set_name(label)
        track.label, track.task = task.get_name(), weakref.ref(task)
        return task

    create_task.recorder = recorder  # type: ignore[attr-defined]
    return create_task


def _watch_wake_ups(recorder: "Recorder", later: Method) -> Method:
    now, task_type = recorder.now, asyncio.Task

    # `task._coro` stands for `coroutine_of(task)`, which says why not get_coro()
    def call_soon(callback: Any, *args: Any, context: Any = None) -> Any:
        if not args:  # nobody's wake-up: a task that begins, or that yielded without waiting
            return later(callback, context=context)
        task: Any = getattr(callback, "__self__", None)
        if isinstance(task, task_type):  # what it waited for is there
            watched = task._coro  # type: ignore[attr-defined]
            if type(watched) is Watched:
                track = watched.track
                waker, ready_s = recorder.current, now()
                if waker is None and ready_s - recorder.step_end_s < recorder.busy_s:
                    ready_s = _due(recorder, ready_s)
                track.ready_s, track.waker = ready_s, waker or recorder.ended
            return later(callback, args[0], context=context)
        if isinstance(args[0], task_type):  # somebody wants to know that a task has ended
            watched = args[0]._coro  # type: ignore[attr-defined]
            if type(watched) is Watched:
                args, callback = (recorder, watched.track, callback, *args), _tell
        return later(callback, *args, context=context)

    return call_soon


def _tell(recorder: "Recorder", ended: Track, callback: Method, *args: Any) -> None:
    """Call what was to be called at the end of a task; it wakes whoever waited for that."""
    recorder.ended = ended
    try:
        callback(*args)
    finally:
        recorder.ended = None


def _due(recorder: "Recorder", now: float) -> float:
    """Return since when a task is ready that a timer wakes: before now, if the loop was busy."""
    frame: FrameType | None = sys._getframe(2)
    while frame is not None and frame.f_code is not _RUN:
        frame = frame.f_back
    handle = variables(frame)["self"] if frame else None
    if not isinstance(handle, asyncio.TimerHandle):
        return now
    due = handle.when() + recorder.offset_s
    return due if due < recorder.step_end_s else now


def _watch_threads(recorder: "Recorder", run: Method) -> Method:
    def run_in_executor(executor: Executor | None, func: Any, *args: Any) -> Any:
        if not recorder.is_active():
            return run(executor, func, *args)
        job = Job(_name_of(func, args), recorder.now())
        if executor is None or thread_limit(executor) is not None:
            future = run(executor, functools.partial(_timed, recorder, job, func), *args)
        else:  # another process: all that can be seen is when it began and ended to wait
            job.start_s = job.submitted_s
            future = run(executor, func, *args)
            future.add_done_callback(lambda _: recorder.end_job(job))
        recorder.jobs.append(job)
        recorder.jobs_of[future] = job
        return future

    return run_in_executor


def _timed(recorder: "Recorder", job: Job, func: Callable[..., T], *args: Any) -> T:
    job.start_s = recorder.now()
    try:
        return func(*args)
    finally:
        recorder.end_job(job)


def _name_of(func: Any, args: tuple[Any, ...]) -> str:
    """Name what a thread really runs: `f` in `partial(f, 1)` or in `context.run(f)`."""
    while isinstance(func, functools.partial):
        func, args = func.func, (*func.args, *args)
    name = own_name(func) or type(func).__name__
    is_carrier = name == "run" or name.startswith("_")
    return _name_of(args[0], args[1:]) if is_carrier and args and callable(args[0]) else name


def _watch_work(recorder: "Recorder", move: Method) -> Method:
    def advance(seconds: float) -> None:  # a virtual clock moves under work, in `compute`
        if seconds >= _BLOCK_S:
            frame: FrameType = sys._getframe(1)
            recorder.sample(seconds, frame)
        move(seconds)

    return advance


def _watch_deadlocks(recorder: "Recorder", end: Method) -> Method:
    def give_up(error: BaseException) -> None:  # it goes past all tasks
        recorder.finish()
        error.timeline = recorder.timeline(None)  # type: ignore[attr-defined]
        end(error)

    return give_up


def _watch_complaints(recorder: "Recorder", complain: Method) -> Method:
    def call_exception_handler(context: dict[str, Any]) -> None:
        future = context.get("future")
        watched = coroutine_of(future) if isinstance(future, asyncio.Task) else None
        if isinstance(watched, Watched):  # a task that is dropped, and the exception in it with it
            recorder.note_unseen(watched.track, context.get("exception"))
        complain(context)

    return call_exception_handler
