"""A coroutine whose steps are timed from outside: what the recorder makes tasks of.

A task resumes its coroutine again and again with `send`; each time is a step. Here a generator
stands between the two and looks at the clock before and after. It runs at every step of a recorded
program, so it is written to be fast: about as much as an `await asyncio.sleep(0)` costs in all.
"""

import asyncio
import math
import weakref
from collections.abc import Callable, Coroutine, Generator
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from asyncml.tracks import Awaited, Track
from asyncml.waiting import await_chain

if TYPE_CHECKING:
    from asyncml.recorder import Recorder

# in whose recording the code runs; it is what tells a program's tasks from others on the loop
active: ContextVar["Recorder | None"] = ContextVar("asyncml_recorder", default=None)


class Watched(Coroutine[Any, Any, Any]):
    """Stands for a coroutine in its task, and notes its steps in `track`."""

    def __init__(self, coro: Coroutine[Any, Any, Any], track: Track, recorder: "Recorder") -> None:
        self.coro, self.track = coro, track
        steps = _steps(coro, track, recorder)
        next(steps)
        # found before the methods below, which are only there because the base class demands them
        self.__dict__.update(send=steps.send, throw=steps.throw)

    def send(self, value: Any) -> Any:  # noqa: D102
        raise NotImplementedError

    def throw(self, *_: Any) -> Any:  # noqa: D102
        raise NotImplementedError

    def close(self) -> None:
        """End the coroutine."""
        self.coro.close()

    def __await__(self) -> Generator[Any, Any, Any]:
        return self.coro.__await__()

    def __getattr__(self, name: str) -> Any:  # cr_frame, cr_code, __qualname__: asyncio reads them
        return getattr(self.coro, name)


def _steps(
    coro: Coroutine[Any, Any, Any], track: Track, recorder: "Recorder"
) -> Generator[Any, Any, Any]:
    """Pass on what the task sends and what the coroutine yields, and note how long it took."""
    now, idle_s, append = recorder.now, recorder.idle_s, track.steps.append
    resume: Callable[[Any], Any] = coro.send
    value, awaited, end = None, None, track.created_s
    try:
        yield
    except GeneratorExit:  # dropped before its first step: Python warns of it as ever
        return None
    except BaseException as error:
        resume, value = coro.throw, _unwound(error)
    while True:
        outer, recorder.current = recorder.current, track
        recorder.step_start_s = start = now()
        # a wait leaves the chain of awaits as it stood; a short one is not worth the walk
        wait = None
        if start - end > idle_s:
            wait = wait_of(coro, track, recorder, awaited, is_cut=value is not None)
        awaited = None  # nothing that the program drops is kept
        try:
            awaited = resume(value)
        except StopIteration as stop:
            track.finish("finished")
            return stop.value
        except BaseException as error:
            track.finish("cancelled" if isinstance(error, asyncio.CancelledError) else "failed")
            raise
        finally:
            recorder.step_end_s = end = now()
            recorder.current = outer
            value = None
            if not recorder.closed:
                append((track.ready_s, start, end, wait))
                if outer is not None:
                    outer.pauses.append((start, end))
                track.ready_s = end if awaited is None else math.nan
        try:
            yield awaited
        except GeneratorExit:  # the task was dropped while it waited
            track.last_wait = wait_of(coro, track, recorder, awaited)
            track.finish("dropped", now())
            coro.close()
            raise
        except BaseException as error:
            resume, value = coro.throw, _unwound(error)
        else:
            resume = coro.send


def _unwound(error: BaseException) -> BaseException:
    """Take the mark of the frame that passes it on out of an exception's traceback."""
    trace = error.__traceback__
    return error.with_traceback(trace and trace.tb_next)


def wait_of(
    coro: Any, track: Track, recorder: "Recorder", awaited: Any, *, is_cut: bool = False
) -> Awaited:
    """Say what a task waits for, from the chain of awaits that stands while it does."""
    chain = await_chain(coro)
    shared = 0
    # by reference, for another coroutine may come to stand at the address of one that has ended
    for (link, _, _), before in zip(chain, track.chain):  # noqa: B905  # of different lengths
        if before() is not link:
            break
        shared += 1
    track.chain[shared:] = [weakref.ref(link) for link, _, _ in chain[shared:]]
    places = tuple([link[1:] for link in chain])
    if places != track.places:  # a loop waits on the same line again: one copy will do
        track.places = places
    target, waker = recorder.target_of(awaited), track.waker
    track.waker = None
    if target is None and waker is not None and waker.outcome != "pending":
        target = waker  # its end completed a future, as in asyncio.shield
    return target, shared, track.places, waker, is_cut
