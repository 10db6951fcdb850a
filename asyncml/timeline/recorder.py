"""Records what every task of a program does: each step, each wait with its reason, each thread.

The coroutine of each task is wrapped, so that its steps can be timed from outside; hooks on the
loop's `call_soon` and `run_in_executor` see when a waiting task becomes ready and when threads
work. The program runs as it would without a recorder. Lessons 03 and 05.
"""

import asyncio
import contextlib
import math
import threading
import time
from collections.abc import Coroutine, Iterator
from typing import Any, TypeVar

from asyncml.clock.waiting import check_coroutine
from asyncml.failures import hide_stop
from asyncml.internals import awaited_by, coroutine_of, frames_of_threads, unseen_error
from asyncml.timeline.hooks import hooks
from asyncml.timeline.recording import Recording, active
from asyncml.timeline.timeline import Timeline
from asyncml.timeline.unawaited import unawaited_noted
from asyncml.timeline.watched import Watched, wait_of

T = TypeVar("T")
_SAMPLING_S = 0.02  # how often a thread checks whether the loop is blocked, and on which line


async def _run(main: Coroutine[Any, Any, T], recording: Recording) -> T:
    """Run the program in its own task, watched."""
    token = active.set(recording)
    try:
        task = recording.loop.create_task(main)
    finally:
        active.reset(token)
    try:
        return await task
    finally:
        del task  # it holds its error, whose traceback holds this frame


@contextlib.contextmanager
def _watching(recording: Recording) -> Iterator[None]:
    """Watch the loop within the block, and restore it afterwards."""
    loop = recording.loop
    if hasattr(loop.create_task, "recording"):
        raise RuntimeError(
            "this loop is being recorded already, and there is one recording per loop at a "
            "time: await the other first, or record one coroutine that runs both programs"
        )

    def on_deadlock(error: BaseException) -> None:
        _finish(recording)
        error.timeline = Timeline(None, recording)  # type: ignore[attr-defined]

    own = vars(loop)
    with contextlib.ExitStack() as stack:
        for method in hooks(recording, on_deadlock):
            name = method.__name__
            if name in own:  # a method that other code put there
                stack.callback(setattr, loop, name, own[name])
            else:
                stack.callback(delattr, loop, name)
            setattr(loop, name, method)
        stack.enter_context(unawaited_noted(recording.note_unawaited))
        if recording.is_real:
            stack.enter_context(_sampling(recording))
        stack.callback(_finish, recording)
        yield


@contextlib.contextmanager
def _sampling(recording: Recording) -> Iterator[None]:
    """Sample from a thread the line on which a long step of the loop is working."""
    stop, loop_thread = threading.Event(), threading.get_ident()

    def look() -> None:
        while not stop.wait(_SAMPLING_S):
            if recording.current and time.perf_counter() - recording.step_start_s > _SAMPLING_S:
                recording.sample(_SAMPLING_S, frames_of_threads().get(loop_thread))

    thread = threading.Thread(target=look, name="asyncml-sampling", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _finish(recording: Recording) -> None:
    """Close the recording: the program has ended, and what it left running is not recorded."""
    if recording.closed:
        return
    recording.closed, recording.end_s = True, recording.now()
    for track in recording.tracks:
        task = track.task() if track.task else None
        track.is_closed = True
        track.is_ready = not math.isnan(track.ready_s)  # before the loop's shutdown wakes it
        if task is None:
            continue
        track.label = task.get_name()
        watched = coroutine_of(task)
        if track.outcome == "pending" and isinstance(watched, Watched):
            track.waker, track.is_leaving = None, task.cancelling() > 0
            track.last_wait = wait_of(watched.coro, track, recording, awaited_by(task))
        elif error := unseen_error(task):
            track.note_unseen(error)
        track.forget()


async def record(main: Coroutine[Any, Any, T]) -> Timeline[T]:
    """Run a coroutine, and record what it and every task that it starts do.

    This works in real time (`timeline = await aml.record(main())` in a notebook) and in virtual
    time (`aml.simulate(aml.record(main()))`). The recording ends when `main` does. If this is
    cancelled, `main` is cancelled and the loop is restored.

    Args:
        main: a coroutine, as in `record(main())`.

    Returns:
        The timeline; its `result` is the result of the coroutine.

    Raises:
        TypeError: `main` is not a coroutine.
        RuntimeError: the running loop is being recorded already.
        BaseException: what `main` raises, or the Deadlock that it runs into; its attribute
            `timeline` holds the timeline.

    Example:
        >>> from asyncml.clock import simulate
        >>> async def main():
        ...     await asyncio.gather(asyncio.sleep(1), asyncio.sleep(2))
        >>> round(simulate(record(main())).statistics().overlap, 2)
        0.33
    """
    check_coroutine("record", main)
    recording = Recording(asyncio.get_running_loop())
    problem: BaseException | None = None
    try:
        with _watching(recording):
            try:
                result = await _run(main, recording)
            except BaseException as error:  # not raised in the block: some refuse a new traceback
                problem = error
        if problem is None:
            return Timeline(result, recording)
        timeline = Timeline(None, recording)
        with contextlib.suppress(Exception):  # some refuse attributes set in any way
            BaseException.__setattr__(problem, "timeline", timeline)
        raise problem
    except BaseException as error:
        hide_stop(error)
        raise
    finally:
        main.close()  # if it never started; otherwise it has ended
        del problem  # its traceback holds this frame
