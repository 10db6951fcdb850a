"""A coroutine whose steps are timed from outside; the recorder makes its tasks from these.

A task resumes its coroutine again and again with `send`, and each time is a step. Here a generator
stands between the two and reads the clock before and after. It runs at every step of a recorded
program, so it is written to be fast: it costs about as much as an `await asyncio.sleep(0)`.
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


# asyncio accepts any object of a class registered as a Coroutine, and at each step calls only its
# `send` or `throw`. Methods would have to look up the coroutine, its track and the clock each time.
# A suspended generator has all of them in its local variables, so `Watched.send` is the `send` of a
# generator. `__init__` starts the generator, up to its first `yield`, so that it can handle a task
# whose first step is a `throw`.
#
# The generator lives as long as the task, and must not keep anything else alive. So it drops each
# value that it has passed on, at once or before the next step: an exception would keep alive the
# local variables of every function in its traceback. And it must stay invisible: `_unwound` removes
# the generator's own frame from the tracebacks of exceptions that are thrown in.
#
# What a task waited for is looked up after the wait, just before the task resumes: only then is it
# known whether the wait took any time, and the chain of suspended coroutines is still the same.
# Most waits are in a loop that has returned to the same line. So `wait_of` first follows the chain
# of the previous wait for as long as nothing has changed, and walks only the rest again. `shared`
# counts the outermost coroutines that are the same objects as in the previous wait. With it,
# findings distinguish a function that waits again from one that is called again.


@Coroutine.register
class Watched:
    """Replaces a coroutine in its task, and records its steps in `track`."""

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
    """Relay what the task sends and what the coroutine yields, and record the time of each step."""
    now, idle_s, note = recording.now, recording.idle_s, track.steps.extend
    begin = recording.order.steps.append
    resume: Callable[[Any], Any] = coro.send
    value, awaited, end = None, None, track.created_s
    try:
        yield
    except GeneratorExit:  # dropped before its first step: Python still warns
        return None
    except BaseException as error:
        resume, value = coro.throw, _unwound(error)
    while True:
        outer, recording.current = recording.current, track
        recording.step_start_s = start = now()
        # the chain of awaits is unchanged since the wait; a short wait is not worth walking it
        wait = None
        if start - end > idle_s:
            wait = wait_of(coro, track, recording, awaited, value is not None)
        awaited = None  # keeps nothing alive that the program drops
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
    """Remove the frame that relays an exception from the top of its traceback."""
    trace = error.__traceback__
    return error.with_traceback(trace and trace.tb_next)


def wait_of(
    coro: Any, track: Track, recording: Recording, awaited: Any, is_cut: bool = False
) -> Awaited:
    """Return a record of a task's wait, from the chain of awaits in which it is suspended."""
    waker, track.waker = track.waker, None
    target = (
        None if type(awaited) is _Future and not recording.jobs else _target_of(recording, awaited)
    )
    if target is None and waker is not None and waker.outcome != "pending":
        target = waker  # its end completed a future, as in asyncio.shield
    index, shared, link, links = 0, 0, coro, track.links
    for code, lasti, before in links:  # as far as nothing has changed, as in a loop
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
    if wait != track.wait:  # a loop repeats the same wait: one copy is enough
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
    """Replace all but the first links of a chain; return how many of the new ones are the same.

    A link that has moved on to another line is still the same.
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
    """Return the record by which a link is recognised; a library's code is enough."""
    if is_library_file(code.co_filename):
        return code, lasti, None
    # by reference: an address may be reused after a coroutine has ended
    return code, lasti, weakref.ref(coro)
