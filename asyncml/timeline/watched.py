"""A coroutine whose steps are timed from outside: the recorder makes tasks of these.

A task resumes its coroutine again and again with `send`, and each time is a step. Here a generator
stands between the two and looks at the clock before and after. It runs at every step of a recorded
program, so it is written to be fast: it costs about as much as an `await asyncio.sleep(0)` does.
"""

import asyncio
import math
import weakref
from collections.abc import Callable, Coroutine, Generator
from itertools import takewhile
from types import CodeType, CoroutineType
from typing import Any

from asyncml.clock.reasons import target_name
from asyncml.clock.waiting import CHAINED, await_chain, is_library_file
from asyncml.internals import coroutine_of
from asyncml.timeline.recording import Recording
from asyncml.timeline.tracks import Awaited, Link, Target, Track

_Future: type = asyncio.Future


# asyncio takes any object of a class that is registered as a Coroutine, and at each step calls
# nothing but its `send` or its `throw`. If these were written as methods they would have to look up
# the coroutine, its track and the clock each time. A generator that is resumed has all of them in
# its local variables, so `Watched.send` is the `send` of a generator. It is started in `__init__`,
# up to its first `yield`, so that it can deal with a task whose first step is a `throw`.
#
# The generator lives as long as the task, and must not lengthen the life of anything else. So it
# lets go of each value that it has passed on, before the next step or at once: an exception would
# keep alive all that the functions in its traceback have in their variables. And it must not show:
# `_unwound` takes the generator's own line out of the tracebacks of exceptions that are thrown in.
#
# What a task waits for is looked up after the wait, just before the task goes on: only then is it
# known whether the wait took any time, and the suspended chain of coroutines stands as it stood.
# Most waits are those of a loop that has come back to the same line, so `wait_of` first follows the
# chain of the wait before for as long as nothing has changed, and walks only the rest anew.
# `shared` counts the outermost coroutines that are the very same objects as in the wait before.
# By that, findings tell a function that waits again from one that is called again.


@Coroutine.register
class Watched:
    """Stands for a coroutine in its task, and notes its steps in `track`."""

    def __init__(self, coro: Coroutine[Any, Any, Any], track: Track, recording: Recording) -> None:
        self.coro, self.track = coro, track
        steps = _steps(coro, track, recording)
        next(steps)
        self.send, self.throw = steps.send, steps.throw

    def __getattr__(self, name: str) -> Any:  # asyncio asks for close, cr_frame, __qualname__, ...
        return getattr(self.coro, name)


def _steps(
    coro: Coroutine[Any, Any, Any], track: Track, recording: Recording
) -> Generator[Any, Any, Any]:
    """Pass on what the task sends and what the coroutine yields, and note when each step was."""
    now, idle_s, note = recording.now, recording.idle_s, track.steps.extend
    begin = recording.order.steps.append
    resume: Callable[[Any], Any] = coro.send
    value, awaited, end = None, None, track.created_s
    try:
        yield
    except GeneratorExit:  # dropped before its first step: Python warns of it as ever
        return None
    except BaseException as error:
        resume, value = coro.throw, _unwound(error)
    while True:
        outer, recording.current = recording.current, track
        recording.step_start_s = start = now()
        # a wait leaves the chain of awaits as it stood; a short one is not worth the walk
        wait = None
        if start - end > idle_s:
            wait = wait_of(coro, track, recording, awaited, value is not None)
        awaited = None  # nothing that the program drops is kept
        if not recording.closed:
            begin(track)
        try:
            awaited = resume(value)
        except StopIteration as stop:
            track.finish("finished")
            return stop.value
        except BaseException as error:
            track.finish("cancelled" if isinstance(error, asyncio.CancelledError) else "failed")
            raise
        finally:
            recording.step_end_s = end = now()
            recording.current = outer
            value = None
            if not recording.closed:
                note((track.ready_s, start, end, wait, track.ready_at))
                if outer is not None:
                    outer.pauses.append((start, end))
                track.ready_s = end if awaited is None else math.nan
        try:
            yield awaited
        except GeneratorExit:  # the task was dropped while it waited
            track.last_wait = wait_of(coro, track, recording, awaited)
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
    coro: Any, track: Track, recording: Recording, awaited: Any, is_cut: bool = False
) -> Awaited:
    """Describe the wait of a task by the chain of awaits in which it is suspended."""
    waker, track.waker = track.waker, None
    target = (
        None if type(awaited) is _Future and not recording.jobs else _target_of(recording, awaited)
    )
    if target is None and waker is not None and waker.outcome != "pending":
        target = waker  # its end completed a future, as in asyncio.shield
    index, shared, link, links = 0, 0, coro, track.links
    for code, lasti, before in links:  # as far as it stands where it stood before, as in a loop
        if type(link) is not CoroutineType or link.cr_code is not code:
            break
        if before is not None:
            frame = link.cr_frame
            if frame is None or frame.f_lasti != lasti:
                break
            if before() is not link:
                links[index] = code, lasti, weakref.ref(link)
            elif shared == index:
                shared += 1
        elif shared == index:
            shared += 1
        index += 1
        link = link.cr_await
    if index < len(links) or not links or type(link) in CHAINED:
        shared += _note_rest(track, index, link, is_same=shared == index)
    wait = (target, shared, track.sites, waker, is_cut)
    if wait != track.wait:  # a loop waits for the same thing again: one copy will do
        track.wait = wait
        return wait
    return track.wait


def _target_of(recording: Recording, awaited: Any) -> Target:
    """Return what is behind an awaited future: a task, a job, a name for it, or None."""
    if isinstance(awaited, asyncio.Task):
        watched = coroutine_of(awaited)
        if isinstance(watched, Watched):
            return watched.track
    is_job = recording.jobs and isinstance(awaited, asyncio.Future)
    job = recording.jobs_of.get(awaited) if is_job else None
    return job or target_name(awaited)


def _note_rest(track: Track, index: int, link: Any, *, is_same: bool) -> int:
    """Replace what follows the first links of a chain; return how many of it are the same links.

    One that has moved on to another line is still the same.
    """
    old, rest = track.links[index:], await_chain(link)
    track.links[index:] = [_link(*found) for found in rest]
    sites = (*track.sites[:index], *[found[1:] for found in rest])
    if sites != track.sites:
        track.sites = sites
    befores = zip(old, rest)  # noqa: B905  # of different lengths
    are_same = (
        is_same and was is code and (before is None or before() is link)
        for (was, _, before), (link, code, _) in befores
    )
    return sum(1 for _ in takewhile(bool, are_same))


def _link(coro: Any, code: CodeType, lasti: int) -> Link:
    """Return what a link is known again by; of a library's, its code is enough."""
    if is_library_file(code.co_filename):
        return code, lasti, None
    # by reference, for another coroutine may come to stand at the address of one that has ended
    return code, lasti, weakref.ref(coro)
