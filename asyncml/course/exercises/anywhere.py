"""Judges a function that runs a coroutine whether or not a loop is running, as in lesson 02."""

import asyncio
import functools
import inspect
import random
import threading
import time
from collections.abc import Callable
from typing import Any

from asyncml.clock.loop import VirtualLoop
from asyncml.course.exercises import Wrong, plain
from asyncml.course.exercises.answers import names_of
from asyncml.course.exercises.attempts import Attempt, attempt, check_kind
from asyncml.course.exercises.scenes import Hints, demand, hinting

_GRACE_S = 0.5  # a thread needs a moment to end
_HINTS: Hints = {
    "is not callable / : run() missing": (
        "called",
        "A pool calls the function itself. Which function, and with what argument?",
        "`pool.submit(asyncio.run, coroutine)`",
    ),
    "raised RuntimeError: cannot reuse already awaited": (
        "result",
        "Two lines run the same coroutine. Is there a `return` in both branches?",
    ),
    "positional argument": ("signature", "It is called with one argument, the coroutine."),
}


class _OwnLoop(BaseException):
    """The answer hands work to the loop that it is blocking, and would wait for ever."""


class _Job:
    """The coroutine for an answer to run: it sleeps for real and records its loop."""

    def __init__(self, seed: int, error: Exception | None) -> None:
        self.number, self.error = random.Random(seed).randrange(10**6), error
        self.loop: asyncio.AbstractEventLoop | None = None
        self.coroutine = self._work()

    async def _work(self) -> int:
        self.loop = asyncio.get_running_loop()
        await asyncio.sleep(0.001)
        if self.error is not None:
            raise self.error
        return self.number


def judge_anywhere(answer: Any) -> None:
    """Raise `Wrong` unless it returns or raises what the coroutine does, with or without a loop."""
    check_kind(answer, False)
    _refuse_as_given(answer)
    for seed, (place, call) in enumerate([("notebook", _call_on_a_loop), ("script", _call)] * 2):
        job = _Job(seed, RuntimeError("CUDA out of memory") if seed >= 2 else None)
        before = set(threading.enumerate())
        hook, threading.excepthook = threading.excepthook, lambda args: None
        try:  # errors lost in a thread go into the verdict, not into a printed traceback
            _judge_run(answer, place, job, call(answer, job.coroutine))
        finally:
            threading.excepthook = hook
            job.coroutine.close()
        _refuse_left_over(job, before)


def _refuse_as_given(answer: Callable[..., Any]) -> None:
    names = names_of(answer)
    shown = "as it stands it raises in a notebook, where a loop runs: mend it"
    demand(names != {"asyncio", "run"}, "open", shown)
    is_nested = hasattr(asyncio, "_nest_patched") or names & {"nest_asyncio", "nest_asyncio2"}
    shown = "nest_asyncio changes asyncio for the whole process, and here that is the kernel."
    more = "Run it in a thread of its own. If nest_asyncio was applied, restart the kernel."
    demand(not is_nested, "nested", shown, "Is there a place where no loop is running yet?", more)


def _call(answer: Callable[..., Any], coroutine: Any) -> Attempt:
    return attempt(answer, coroutine, is_async=False, may_raise=Exception)


def _call_on_a_loop(answer: Callable[..., Any], coroutine: Any) -> Attempt:
    @functools.wraps(answer)
    async def cell() -> Any:
        loop = asyncio.get_running_loop()
        hand_over, here = loop.call_soon_threadsafe, threading.get_ident()

        def refuse(*args: Any, **kwargs: Any) -> Any:
            if threading.get_ident() == here:
                raise _OwnLoop
            return hand_over(*args, **kwargs)

        loop.call_soon_threadsafe = refuse  # type: ignore[method-assign, assignment]
        try:
            return answer(coroutine)
        finally:
            loop.call_soon_threadsafe = hand_over  # type: ignore[method-assign]

    return attempt(cell, may_raise=(Exception, _OwnLoop))


def _judge_run(answer: Any, place: str, job: _Job, run: Attempt) -> None:
    shown = "in a notebook it waits for ever: it hands the work to the loop that it is holding."
    why = "Which thread should run the coroutine, and what is that thread doing?"
    more = "Start another thread, and call `asyncio.run` there."
    demand(not isinstance(run.error, _OwnLoop), "own-loop", shown, why, more)
    if job.error is not None and run.error is not job.error:
        _refuse_lost_error(f"in a {place} the coroutine raised {job.error!r}, and", run.error)
    why = "In which of the two places is a loop running?"
    more = "`asyncio.get_running_loop()` raises a RuntimeError where no loop runs: call "
    more += "`asyncio.run` there, and in a thread of its own where one does."
    if "asyncio.run() cannot" in str(run.error) and "submit" in names_of(answer):
        why = "The thread of the loop has called `asyncio.run`. "
        why += "Hand it to the pool, without `()`: the pool's thread calls it."
    with hinting(_HINTS):
        shown = f"in a {place} it raised {type(run.error).__name__}: {run.error}."
        demand(run.error is job.error, place, shown, why, more)
    _refuse_unfinished(place, run.result)
    shown = f"in a {place} it returned {run.result!r:.40}, but the coroutine returns {job.number}."
    is_right = job.error is not None or plain(run.result) == job.number
    demand(is_right, "result", shown, "Is there a `return` in every branch?")


def _refuse_lost_error(shown: str, got: BaseException | None) -> None:
    is_mistaken = isinstance(got, RuntimeError)
    why = "Your `except RuntimeError` also catches an error of the coroutine."
    more = "Put only `asyncio.get_running_loop()` into the `try`, and run the coroutine outside it."
    demand(not is_mistaken, "mistaken", f"{shown} your function raised `{got}`.", why, more)
    did = f"raised {type(got).__name__}" if got else "did not"
    why = "An error does not leave a `threading.Thread`. What does `future.result()` do with one?"
    more = "`pool.submit(...).result()` of a ThreadPoolExecutor raises what was raised in its "
    raise Wrong("lost-error", f"{shown} your function {did}.", why, f"{more}thread.")


def _refuse_unfinished(place: str, result: Any) -> None:
    is_unfinished = inspect.isawaitable(result) or inspect.isgenerator(result)
    is_unfinished = is_unfinished or hasattr(result, "add_done_callback")
    if inspect.iscoroutine(result):
        result.close()
    shown = f"in a {place} it returned a {type(result).__name__} instead of the result."
    why = "Your function is called by plain code, which cannot await."
    more = "Wait for the result inside it: `asyncio.run`, called in a thread of its own."
    demand(not is_unfinished, "unfinished", shown, why, more)


def _refuse_left_over(job: _Job, before: set[threading.Thread]) -> None:
    deadline = time.monotonic() + _GRACE_S
    while (left := set(threading.enumerate()) - before) and time.monotonic() < deadline:
        time.sleep(0.002)
    shown = "the result is right, but a thread is still running."
    more = "`with ThreadPoolExecutor(1) as pool:` ends its thread, and so does `thread.join()` "
    more += "after the function of the thread has returned."
    demand(not left, "left", shown, "What ends the thread?", more)
    is_virtual = isinstance(job.loop, VirtualLoop)
    shown = "it ran in virtual time, which does not wait for a real download."
    demand(not is_virtual, "virtual", shown, "What runs a coroutine in real time?")
    is_closed = job.loop is None or job.loop.is_closed()
    shown = "the result is right, but its loop was not closed."
    demand(is_closed, "left", shown, "`asyncio.run` makes a loop and closes it.")
