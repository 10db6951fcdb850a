"""Judges functions that clean up however they end: by an error, a cancel or a second cancel.

For lesson 06: a clean-up that is cut short, and patient 8, whose watchdogs leak.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from asyncml.course.exercises import Wrong, readings
from asyncml.course.exercises.scenes import UNAWAITABLE, Hints, demand, play

_GROUP = "A `TaskGroup` wraps each error in a group, even one that its own block raises."
_CALL = "no-call", "That is a coroutine function: call it, and await the coroutine that it returns."
HINTS: Hints = {
    "object bool can't / 'bool' object can't": (
        "await-cancel",
        "`cancel()` returns True or False at once: there is nothing to await.",
        "`await asyncio.wait([task])` waits for its end.",
    ),
    **readings.SIGNATURE,
    **readings.SPINS,
    "ExceptionGroup": (
        "group",
        _GROUP,
        "Start the task with `asyncio.create_task`, and cancel it yourself.",
    ),
    "coroutine was expected / function was expected / awaitable is required": _CALL,
    UNAWAITABLE: _CALL,
}


@dataclass
class Trouble:
    """What goes wrong: when the work is cancelled, in seconds, and what it raises."""

    told: str
    stops_at_s: tuple[float, ...] = ()
    error: Exception | None = None


@dataclass
class End:
    """How an answer ended."""

    task: asyncio.Task[Any]
    at_s: float

    @property
    def error(self) -> BaseException | None:
        """What it raised, if it was not cancelled."""
        return None if self.task.cancelled() else self.task.exception()


class _Work:
    """One second of work."""

    def __init__(self, trouble: Trouble) -> None:
        self.trouble, self.was_stopped, self.has_ended = trouble, False, False

    async def work(self) -> str:
        """Wait, and return the result or raise the error."""
        try:
            await asyncio.sleep(1)
        except asyncio.CancelledError:
            self.was_stopped = True
            raise
        finally:
            self.has_ended = True
        if self.trouble.error is not None:
            raise self.trouble.error
        return "the result"


async def end_of(coroutine: Any, trouble: Trouble) -> End:
    """Run a coroutine, cause its trouble, and return how and when it ended."""
    loop = asyncio.get_running_loop()
    task = asyncio.create_task(coroutine, name="answer")
    for stop_s in trouble.stops_at_s:
        loop.call_later(stop_s, task.cancel)
    await asyncio.wait([task])
    return End(task, loop.time())


def _judge_end(end: End, work: _Work) -> None:
    """Demand that the result, the error or the cancellation reached the caller."""
    trouble, told = work.trouble, work.trouble.told
    if trouble.stops_at_s:
        if trouble.stops_at_s[0] < 1:
            shown = f"{told}, and the work went on to its end."
            why = "A cancel ends the work, and only the clean-up is finished. What do you shield?"
            demand(work.was_stopped, "not-stopped", shown, why)
        shown = f"{told}, and in the end it was not cancelled."
        why = "A cancellation may wait for the clean-up, but not get lost. Which `except` takes it?"
        more = "Keep the CancelledError, finish cleaning up, and then `raise` it."
        demand(end.task.cancelled(), "swallowed", shown, why, more)
        return
    shown = f"{told}, and a CancelledError came out."
    why = "Whose CancelledError is it? You cancelled a task, and awaited it."
    more = "`await asyncio.wait([task])` waits for a task, and does not raise what the task raised."
    demand(not end.task.cancelled(), "cancelled", shown, why, more)
    if trouble.error is not None:
        shown = f"{told}, and the caller never saw it."
        why = "Is there one `except` too many, or a `return` in a `finally`?"
        demand(end.error is trouble.error, "lost-error", shown, why)
        return
    result = end.task.result()
    shown = f"{told}: `work` returned 'the result', and you returned {result!r:.40}."
    demand(result == "the result", "result", shown, "`return await work()`.")


# ---- a clean-up, and a second stop ----
class _Closing(_Work):
    """Work, and a clean-up of half a second."""

    def __init__(self, trouble: Trouble) -> None:
        super().__init__(trouble)
        self.close_calls, self.is_closed, self.was_cut, self.is_early = 0, False, False, False

    async def close(self) -> None:
        """Close; this takes half a second."""
        self.close_calls += 1
        self.is_early |= not self.has_ended
        try:
            await asyncio.sleep(0.5)
        except asyncio.CancelledError:
            self.was_cut = True
            raise
        self.is_closed = True

    async def run(self, answer: Callable[..., Awaitable[Any]]) -> tuple[End, bool, bool]:
        """Return how the answer ended, and whether by then it was closed or `close` was cut."""
        end = await end_of(answer(self.work, self.close), self.trouble)
        was_closed, was_cut = self.is_closed, self.was_cut
        await asyncio.sleep(1)
        if end.error is not None and not isinstance(end.error, OSError):
            raise end.error
        return end, was_closed, was_cut


def judge_closing(answer: Any) -> None:
    """Raise `Wrong` for a clean-up that a second cancel cuts off or leaves unawaited."""
    for trouble in (
        Trouble("nobody cancelled it"),
        Trouble("`work` raised an OSError", error=OSError("disk failure")),
        Trouble("it was cancelled once, at 0.4 s", (0.4,)),
        Trouble("it was cancelled at 0.4 s, and again at 0.6 s while it closed", (0.4, 0.6)),
        Trouble("it was cancelled for the first time while it closed, at 1.2 s", (1.2,)),
        Trouble("it was cancelled four times, at 0.4, 0.5, 0.6 and 0.7 s", (0.4, 0.5, 0.6, 0.7)),
    ):
        file = _Closing(trouble)
        end, was_closed, was_cut = play(file.run, answer, of=answer, hints=HINTS).result
        _judge_closed(file, end, was_closed, was_cut)
        _judge_end(end, file)


def _judge_closed(file: _Closing, end: End, was_closed: bool, was_cut: bool) -> None:
    told = file.trouble.told
    shown = f"{told}, and `close` was never run."
    why = "Which lines run however the work ends?"
    demand(file.close_calls > 0, "not-closed", shown, why, "Close in a `finally`.")
    shown = f"{told}, and `close` was called {file.close_calls} times."
    why = "One call is enough: keep its task, and wait for that as often as you have to."
    demand(file.close_calls == 1, "twice", shown, why)
    shown = f"{told}, and `close` began while `work` was still running."
    why = "It cleans up after `work`. Which lines run when that has ended, however it ended?"
    is_late = not file.is_early or bool(file.trouble.stops_at_s)
    demand(is_late, "early", shown, why, "Close in a `finally` around `await work()`.")
    is_third = len(file.trouble.stops_at_s) > 2
    if (was_cut or not was_closed) and is_third:
        shown = f"{told}; your clean-up survives a second cancel, and a later one "
        shown += "cut it off." if was_cut else "made you leave before it had ended."
        why = "How often can somebody cancel? And how often do you wait?"
        raise Wrong("third", shown, why, "Wait in a loop: `while not closing.done():`.")
    shown = f"{told}, and `close` was cut off in the middle."
    why = "A cancel hits the `await` at which your task stands. What can stand between the two?"
    more = "`closing = asyncio.create_task(close())`, and then `await asyncio.shield(closing)`: "
    more += "that wait is cancelled, and `closing` is not."
    demand(not was_cut, "cut-off", shown, why, more)
    shown = f"{told}; you were done at {end.at_s:g} s, and the closing was not."
    if not file.trouble.stops_at_s:
        why, more = "Who waits for it?", "`await` it, in the `finally`."
        demand(was_closed, "not-awaited", shown, why, more)
    why = "`shield` keeps the closing alive, and not your wait for it. Who waits afterwards?"
    more = "`while not closing.done():`, and in it `await asyncio.shield(closing)` in a `try` that "
    more += "keeps the CancelledError for later."
    demand(was_closed, "left", shown, why, more)


# ---- patient 8: a watchdog for each request ----
class _Kennel(_Work):
    """Work, and a watchdog that takes a moment to end."""

    def __init__(self, trouble: Trouble) -> None:
        super().__init__(trouble)
        self.started = self.ended = 0
        self.ran_out = False

    async def watchdog(self) -> None:
        """Wake up every minute, and clean up when it is cancelled."""
        self.started += 1
        try:
            for _ in range(50):
                await asyncio.sleep(60)
            self.ran_out = True
        finally:
            await asyncio.sleep(0.05)
            self.ended += 1

    async def run(self, answer: Callable[..., Awaitable[Any]]) -> tuple[End, int, int]:
        """Return how the answer ended, and how many watchdogs were left then and a second later."""
        end = await end_of(answer(self.watchdog, self.work), self.trouble)
        left = self.started - self.ended
        await asyncio.sleep(1)
        if end.error is not None and not isinstance(end.error, OSError):
            raise end.error
        return end, left, self.started - self.ended


def judge_watchdog(answer: Any) -> None:
    """Raise `Wrong` for an answer that leaves its watchdog running."""
    for trouble in (
        Trouble("all went well"),
        Trouble("`work` raised an OSError", error=OSError("disk failure")),
        Trouble("the request was cancelled at 0.4 s", (0.4,)),
    ):
        kennel = _Kennel(trouble)
        end, left, later = play(kennel.run, answer, of=answer, hints=HINTS).result
        shown = f"{trouble.told}, and you waited {end.at_s:,.0f} s, until the watchdog gave up."
        why = "It never ends by itself. Who tells it to?"
        more = "`dog.cancel()` when `work` has ended; a group waits for its tasks and ends none."
        demand(not kennel.ran_out, "waits-for-dog", shown, why, more)
        shown = f"{trouble.told}, and `watchdog` was started {kennel.started} times."
        why = "One, beside the work: a task that has its first turn while `work` waits."
        demand(kennel.started == 1, "calls", shown, why, "`asyncio.create_task(watchdog())`.")
        shown = f"{trouble.told}, and its watchdog was still running a second later."
        why = "Who ends it, and on which ways out?"
        more = "`dog.cancel()` in a `finally` around `await work()`: that runs on every way out."
        demand(not later, "leak", shown, why, more)
        shown = f"{trouble.told}; you had cancelled the watchdog, and returned before it had ended."
        why = "`cancel()` only asks. Who waits until it has cleaned up?"
        more = "After `dog.cancel()`: `await asyncio.wait([dog])`."
        demand(not left, "still-ending", shown, why, more)
        _judge_end(end, kennel)
