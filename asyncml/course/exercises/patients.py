"""Judges mended patients of the clinic in lesson 06, and a clean-up that is cut short.

Each answer is put into the trouble that the lesson shows, and into what may happen beside it: an
error of the work, a stop from outside, a second stop.
"""

import asyncio
import math
import random
import statistics
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from asyncml.clock import Deadlock, compute
from asyncml.clock.turns import hold
from asyncml.course.exercises import Wrong, readings
from asyncml.course.exercises.answers import is_mixed_up, is_number, read_results
from asyncml.course.exercises.readings import no_pool_awaits
from asyncml.course.exercises.scenes import NOT_AWAITABLE, Hints, check_plain, demand, heart, play
from asyncml.failures import shorten
from asyncml.internals import running_loop

_GROUP = "A `TaskGroup` wraps each error in a group, also one that its own block raises."
_CALL = "What you gave is a coroutine function: call it, and await what the call gives."
_NOTHING_TO_AWAIT = "`cancel()` returns True or False at once: there is nothing to await."
_HINTS: Hints = {
    **dict.fromkeys(
        ("object bool can't", "'bool' object can't"),
        ("await-cancel", _NOTHING_TO_AWAIT, "`await asyncio.wait([task])` waits for its end."),
    ),
    **readings.SIGNATURE,
    "ExceptionGroup": (
        "group",
        _GROUP,
        "Start the task with `asyncio.create_task`, and cancel it yourself.",
    ),
    "a coroutine was expected": ("no-call", _CALL),
    "coroutine function was expected": ("no-call", _CALL),
    "an awaitable is required": ("no-call", _CALL),
    "'function' object can't be awaited": ("no-call", _CALL),
    "'method' object can't be awaited": ("no-call", _CALL),
    **dict.fromkeys(NOT_AWAITABLE, ("no-call", _CALL)),
}


@dataclass
class _Trouble:
    """What happens to the work: when it is cancelled, and what it raises; times in seconds."""

    told: str
    stops_at_s: tuple[float, ...] = ()
    error: Exception | None = None


@dataclass
class _End:
    """How an answer ended."""

    task: asyncio.Task[Any]
    at_s: float

    @property
    def error(self) -> BaseException | None:
        """What it raised, if it was not cancelled."""
        return None if self.task.cancelled() else self.task.exception()


class _Work:
    """One second of work."""

    def __init__(self, trouble: _Trouble) -> None:
        self.trouble, self.calls, self.was_stopped = trouble, 0, False

    async def work(self) -> str:
        """Wait, and return the result or raise the error."""
        self.calls += 1
        try:
            await asyncio.sleep(1)
        except asyncio.CancelledError:
            self.was_stopped = True
            raise
        if self.trouble.error is not None:
            raise self.trouble.error
        return "the result"


async def _end_of(coroutine: Any, trouble: _Trouble) -> _End:
    loop = asyncio.get_running_loop()
    task = asyncio.create_task(coroutine, name="answer")
    for stop_s in trouble.stops_at_s:
        loop.call_later(stop_s, task.cancel)
    await asyncio.wait([task])
    return _End(task, loop.time())


def _judge_end(end: _End, work: _Work) -> None:
    """Demand that the result, the error or the stop came out as it has to."""
    trouble, told = work.trouble, work.trouble.told
    shown = f"{told}: `work` was called {work.calls} times."
    demand(work.calls == 1, "calls", shown, "`await work()`, once.")
    if trouble.stops_at_s:
        if trouble.stops_at_s[0] < 1:
            shown = f"{told}, and the work went on to its end."
            why = "A cancel ends the work, and only the clean-up is finished. What do you shield?"
            demand(work.was_stopped, "not-stopped", shown, why)
        shown = f"{told}, and in the end it was not cancelled."
        why = "It may wait for the clean-up, but must not get lost. Which `except` swallows it?"
        more = "Keep the CancelledError, finish cleaning up, and then `raise` it."
        demand(end.task.cancelled(), "swallowed", shown, why, more)
        return
    shown = f"{told}, and a CancelledError came out."
    why = "Whose CancelledError is it? You cancelled a task, and awaited it."
    more = "`await asyncio.wait([task])` waits for a task, and raises nothing for what it raised."
    demand(not end.task.cancelled(), "cancelled", shown, why, more)
    if trouble.error is not None:
        shown = f"{told}, and the caller never saw it."
        why = "Is there an `except` too many, or a `return` in a `finally`?"
        demand(end.error is trouble.error, "lost-error", shown, why)
        return
    result = end.task.result()
    shown = f"{told}: `work` returned 'the result', and you returned {result!r:.40}."
    demand(result == "the result", "result", shown, "`return await work()`.")


# ---- a clean-up, and a second stop ----
class _Closing(_Work):
    """Work, and a clean-up of half a second."""

    def __init__(self, trouble: _Trouble) -> None:
        super().__init__(trouble)
        self.close_calls, self.is_closed, self.was_cut = 0, False, False

    async def close(self) -> None:
        """Close, which takes a while."""
        self.close_calls += 1
        try:
            await asyncio.sleep(0.5)
        except asyncio.CancelledError:
            self.was_cut = True
            raise
        self.is_closed = True

    async def run(self, answer: Callable[..., Awaitable[Any]]) -> tuple[_End, bool, bool]:
        """Return how the answer ended, whether it was closed then, and whether `close` was cut."""
        end = await _end_of(answer(self.work, self.close), self.trouble)
        was_closed, was_cut = self.is_closed, self.was_cut
        await asyncio.sleep(1)
        if end.error is not None and not isinstance(end.error, OSError):
            raise end.error
        return end, was_closed, was_cut


def judge_closing(answer: Any) -> None:
    """Refuse a clean-up that a second stop cuts off or leaves; raise `Wrong`."""
    for trouble in (
        _Trouble("nobody cancelled it"),
        _Trouble("`work` raised an OSError", error=OSError("disk failure")),
        _Trouble("it was cancelled once, at 0.4 s", (0.4,)),
        _Trouble("it was cancelled at 0.4 s, and again at 0.6 s while it closed", (0.4, 0.6)),
        _Trouble("it was cancelled for the first time while it closed, at 1.2 s", (1.2,)),
        _Trouble("it was cancelled four times, at 0.4, 0.5, 0.6 and 0.7 s", (0.4, 0.5, 0.6, 0.7)),
    ):
        file = _Closing(trouble)
        end, was_closed, was_cut = play(file.run, answer, of=answer, hints=_HINTS).result
        _judge_closed(file, end, was_closed, was_cut)
        _judge_end(end, file)


def _judge_closed(file: _Closing, end: _End, was_closed: bool, was_cut: bool) -> None:
    told = file.trouble.told
    shown = f"{told}, and `close` was never run."
    why = "Which lines run however the work ends?"
    demand(file.close_calls > 0, "not-closed", shown, why, "Close in a `finally`.")
    shown = f"{told}, and `close` was called {file.close_calls} times."
    why = "One call is enough: keep its task, and wait for that as often as you have to."
    demand(file.close_calls == 1, "twice", shown, why)
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
        demand(
            was_closed, "not-awaited", shown, "Who waits for it?", "`await` it, in the `finally`."
        )
    why = "`shield` keeps the closing alive, and not your wait for it. Who waits afterwards?"
    more = "`while not closing.done():`, and in it `await asyncio.shield(closing)` in a `try` that "
    more += "keeps the CancelledError for later."
    demand(was_closed, "left", shown, why, more)


# ---- patient 3: messages parsed beside a heart ----
_IN_THREAD = "`await asyncio.to_thread(parse, message)`: the function and its argument, not a call."
_CALLED: Hints = {
    "Result is not set": ("not-awaited", "You asked for a result before it was there. Who waits?"),
    **dict.fromkeys(
        NOT_AWAITABLE,
        (
            "called",
            "`parse` is a plain function: its call holds the loop, `await` or not.",
            _IN_THREAD,
        ),
    ),
    **readings.SIGNATURE,
    "object is not callable": (
        "called",
        "With `to_thread(parse(message))` you call `parse` yourself, first, and on the loop.",
        _IN_THREAD,
    ),
}


class _Parser:
    """Parses messages, each in a tenth of a second, wherever it is called."""

    def __init__(self, broken: str | None = None) -> None:
        self.broken, self.parsed = broken, list[str]()
        self.is_by_hand = self.is_reading = self.was_on_loop = False
        self.lags: list[float] = []
        self.error: BaseException | None = None

    def parse(self, message: str) -> str:
        """Hold the caller for a tenth of a second."""
        if not isinstance(message, str):
            shown = f"`parse` was called with {shorten(message)}, and not with a message."
            raise Wrong("argument", shown, "One message for each call.", _IN_THREAD)
        self.parsed.append(message)
        self.is_reading = True
        try:
            if running_loop() is not None:
                self.was_on_loop = True
                compute(0.1)
            else:
                self.is_by_hand |= not hold(0.1)
        finally:
            self.is_reading = False
        if message == self.broken:
            raise ValueError(f"{message} is broken")
        return message.upper()

    async def run(self, answer: Callable[..., Awaitable[Any]], messages: list[str]) -> Any:
        """Run the answer beside a heart that beats every 30 ms."""
        async with heart(self.lags, 0.03):
            await asyncio.sleep(0.005)  # so that the heart has begun
            try:
                return await answer(self.parse, messages)
            except (ValueError, BaseExceptionGroup) as error:
                if self.broken is None:
                    raise
                self.error = error
            finally:
                await asyncio.sleep(0.4)  # a thread that nobody waited for ends meanwhile
        return None


def judge_parsing(answer: Any) -> None:
    """Refuse an answer that holds up the heart or mixes up the messages; raise `Wrong`."""
    messages = ["ping", "news", "bye"]
    parser = _Parser()
    with no_pool_awaits(parser):
        result = play(parser.run, answer, messages, of=answer, hints=_CALLED).result
    late_ms = max(parser.lags, default=0) * 1000
    shown = f"a heartbeat came {late_ms:.0f} ms late, since `parse` ran on the loop."
    why = "An `await` elsewhere does not make a plain call wait. Where else could it run?"
    demand(not parser.was_on_loop, "blocked", shown, why, _IN_THREAD)
    demand(not parser.is_by_hand, "by-hand", readings.UNKNOWN_THREAD, _IN_THREAD)
    shown = f"a heartbeat came {late_ms:.0f} ms late."
    demand(
        late_ms < 1, "blocked", shown, "Which call holds the loop? Find the one without `await`."
    )
    if asyncio.iscoroutine(result):
        result.close()
        shown = "it returned a coroutine, and not a list."
        raise Wrong("not-awaited", shown, "Where is the `await`?")
    shown = f"it returned {shorten(result)}, and not a list."
    demand(not isinstance(result, dict), "kind", shown, "The results alone, in their order.")
    found = read_results(result)
    _refuse_coroutines(found)
    shown = f"{len(parser.parsed)} of the {len(messages)} messages were parsed."
    demand(len(parser.parsed) == len(messages), "calls", shown, "`parse` each message once.")
    right = [message.upper() for message in messages]
    shown = f"{found!r:.60} was returned, in place of {right}."
    if found != right and is_mixed_up(found, right):
        raise Wrong("order", shown, "The results are to be in the order of the messages.")
    demand(found == right, "result", shown, "Return a list of what `parse` returned.")
    parser = _Parser(broken="news")
    with no_pool_awaits(parser):
        play(parser.run, answer, messages, of=answer)
    shown = "`parse` raised a ValueError, and nothing came out."
    demand(parser.error is not None, "swallowed", shown, "The caller has to know: let it out.")


def _refuse_coroutines(found: list[Any]) -> None:
    coroutines = [value for value in found if asyncio.iscoroutine(value)]
    names = {getattr(coroutine, "__name__", "") for coroutine in coroutines}
    for coroutine in coroutines:
        coroutine.close()
    if names - {"to_thread"}:
        shown = f"in the list are coroutines, `{min(names)}`, and not their results."
        why = "A thread that calls an `async def` makes a coroutine, and does not run it."
        raise Wrong("coroutine", shown, why, _IN_THREAD)
    shown = "there are coroutines or tasks in the list, and not their results."
    is_done = not coroutines and not any(map(asyncio.isfuture, found))
    demand(is_done, "not-awaited", shown, "`to_thread` gives a coroutine. Who awaits it?")


# ---- patient 7: two locks ----
class _SlowLock(asyncio.Lock):
    """Takes a moment to be had, as one on a server does: nobody gets two at a stroke."""

    async def acquire(self) -> bool:  # type: ignore[override]
        """Wait a moment, and then for the lock."""
        await asyncio.sleep(0.01)
        return await super().acquire()


class _Workshop:
    """Four locks, and work that has to hold two of them."""

    def __init__(self) -> None:
        self.locks: dict[str, asyncio.Lock] = {
            name: _SlowLock() for name in ("model", "disk", "net", "gpu")
        }
        self.users: dict[str, int] = dict.fromkeys(self.locks, 0)
        self.is_unlocked, self.is_shared = False, False

    def work(self, first: str, second: str, error: Exception | None = None) -> Callable[..., Any]:
        """Return work that takes a tenth of a second."""

        async def work() -> str:
            for name in first, second:
                self.users[name] += 1
                self.is_unlocked |= not self.locks[name].locked()
                self.is_shared |= self.users[name] > 1
            await asyncio.sleep(0.1)
            for name in first, second:
                self.users[name] -= 1
            if error is not None:
                raise error
            return f"{first} and {second}"

        return work

    def start(self, answer: Any, pair: str, error: Exception | None = None) -> asyncio.Task[Any]:
        """Start the answer with the two locks named in `pair`."""
        first, second = pair.split()
        work = self.work(first, second, error)
        return asyncio.create_task(
            answer(self.locks, first, second, work), name=f"{first}-{second}"
        )

    async def together(self, answer: Any, *pairs: str) -> tuple[list[Any], float]:
        """Run the answer for several pairs at once; return the results and how long it took."""
        loop = asyncio.get_running_loop()
        start = loop.time()
        tasks = [self.start(answer, pair) for pair in pairs]
        results = await asyncio.gather(*tasks)
        return results, loop.time() - start

    async def fails(self, answer: Any) -> tuple[BaseException | None, list[str]]:
        """Run work that raises; return what came out, and the locks that are still held."""
        task = self.start(answer, "disk model", error=OSError("disk failure"))
        await asyncio.wait([task])
        error = task.exception()
        if error is not None and not isinstance(error, OSError):
            raise error
        return error, self.held()

    async def stops(self, answer: Any) -> tuple[bool, list[str]]:
        """Cancel two calls that wait and one that works; return what is still held."""
        working = self.start(answer, "gpu model")
        await asyncio.sleep(0.03)
        waiting = [self.start(answer, pair) for pair in ("disk model", "net model")]
        await asyncio.sleep(0.05)
        tasks = [*waiting, working]
        for task in tasks:
            task.cancel()
            await asyncio.wait([task])
        return all(task.cancelled() for task in tasks), self.held()

    def held(self) -> list[str]:
        """Return the names of the locks that are still held."""
        return [name for name, lock in self.locks.items() if lock.locked()]


def judge_locks(answer: Any) -> None:
    """Refuse an answer that deadlocks, or holds too little or too much; raise `Wrong`."""
    shop = _Workshop()
    results, took_s = _play_locks(shop.together, answer, "model disk", "net gpu")
    _judge_held(shop)
    if asyncio.iscoroutine(results[0]):
        for coroutine in results:
            coroutine.close()
        shown = "it returned a coroutine, and `work` was never run."
        raise Wrong("not-awaited", shown, "`work()` makes a coroutine. Who awaits it, and where?")
    shown = f"it returned {results[0]!r:.40}, and `work` returned 'model and disk'."
    demand(results[0] == "model and disk", "result", shown, "`return await work()`.")
    shown = f"two calls that share no lock took {took_s:.2f} s together; alone each takes 0.12 s."
    why = "One lock for everybody ends the deadlock, and all overlap with it. Which are needed?"
    demand(took_s < 0.15, "one-at-a-time", shown, why, "Take `locks[first]` and `locks[second]`.")
    for pairs in (
        ("model disk", "disk model"),
        ("model disk", "disk net", "net model"),
        ("gpu net", "net model", "model gpu", "gpu disk"),
        ("net model", "model net", "gpu disk", "disk gpu"),
    ):
        shop = _Workshop()
        _play_locks(shop.together, answer, *pairs)
        _judge_held(shop)
    shop = _Workshop()
    error, held = _play_locks(shop.fails, answer)
    shown = "`work` raised an OSError, and nothing came out."
    demand(error is not None, "swallowed", shown, "The caller has to know: let it out.")
    _judge_left("`work` raised an OSError", held)
    was_stopped, held = _play_locks(_Workshop().stops, answer)
    shown = "it was cancelled, and carried on regardless."
    demand(was_stopped, "stop-swallowed", shown, "Which `except` takes the CancelledError?")
    _judge_left("it was cancelled", held)


def _play_locks(scene: Callable[..., Any], answer: Any, *pairs: str) -> Any:
    hints = {
        **_HINTS,
        "'str' object does not": (
            "names",
            "`first` and `second` are names. Where are the locks?",
            "`locks[first]` and `locks[second]`.",
        ),
        "context manager protocol": ("no-with", "A lock needs `async with`."),
        "different event loop": (
            "other-loop",
            "A lock of your own belongs to the loop that it was first used on. Is one needed?",
        ),
    }
    hints["not supported between instances of"] = (
        "no-order",
        "Locks have no order of their own. What do you know of each, that has one?",
        "Sort the names, and not the locks: `for name in sorted((first, second))`.",
    )
    done = play(scene, answer, *pairs, of=answer, hints=hints, may_raise=(Deadlock,))
    if isinstance(done.error, Deadlock):
        calls = ", ".join(pair.replace(" ", " and ") for pair in pairs) or "model and disk"
        raise Wrong(
            "deadlock",
            f"calls that wanted {calls}, in this order, waited for each other for ever.",
            "Each holds what the other wants. What if all asked for the same lock first?",
            "Take them in an order that is the same for every caller: `sorted((first, second))`.",
        )
    return done.result


def _judge_held(shop: _Workshop) -> None:
    shown = "`work` ran while one of its two locks was not held."
    why = "Until when do you hold the first: until you have the second, or until `work` is done?"
    more = "`async with` the first, in it `async with` the second, and in that `await work()`."
    demand(not shop.is_unlocked, "unlocked", shown, why, more)
    shown = "two calls worked with the same lock at the same time."
    demand(not shop.is_shared, "unlocked", shown, why, more)


def _judge_left(told: str, held: list[str]) -> None:
    shown = f"{told}, and these locks are still held: {', '.join(held)}."
    why = "The next caller waits for ever. Which way of holding a lock lets go in any case?"
    demand(not held, "left-locked", shown, why, "`async with lock:` in place of `acquire()`.")


# ---- patient 8: a watchdog for each request ----
class _Kennel(_Work):
    """Work, and a watchdog that takes a moment to end."""

    def __init__(self, trouble: _Trouble) -> None:
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

    async def run(self, answer: Callable[..., Awaitable[Any]]) -> tuple[_End, int, int]:
        """Return how the answer ended, and how many dogs were left then, and a second later."""
        end = await _end_of(answer(self.watchdog, self.work), self.trouble)
        left = self.started - self.ended
        await asyncio.sleep(1)
        if end.error is not None and not isinstance(end.error, OSError):
            raise end.error
        return end, left, self.started - self.ended


def judge_watchdog(answer: Any) -> None:
    """Refuse an answer that leaves its watchdog running; raise `Wrong`."""
    for trouble in (
        _Trouble("all went well"),
        _Trouble("`work` raised an OSError", error=OSError("disk failure")),
        _Trouble("the request was cancelled at 0.4 s", (0.4,)),
    ):
        kennel = _Kennel(trouble)
        end, left, later = play(kennel.run, answer, of=answer, hints=_HINTS).result
        shown = f"{trouble.told}, and you waited {end.at_s:,.0f} s, until the watchdog had enough."
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


# ---- patient 5: a connection that is lost ----
_TRIES = 4


class _Lossy:
    """Fetches, of which the first few end with an error, a quarter of a second each."""

    def __init__(self, losses: int, error: type[Exception] = ConnectionError) -> None:
        self.losses, self.error, self.calls = losses, error, 0

    async def fetch(self) -> str:
        """Wait, and return the data or raise the error."""
        self.calls += 1
        if self.calls > 50:
            shown = "every try failed, and after 50 it was still trying."
            more = f"`for attempt in range({_TRIES})`, and in the last round `raise`."
            raise Wrong("endless", shown, f"{_TRIES} tries, and then the caller has to know.", more)
        await asyncio.sleep(0.25)
        if self.calls <= self.losses:
            raise self.error(f"try {self.calls}")
        return "the data"

    async def run(self, answer: Callable[..., Any], trouble: _Trouble) -> _End:
        """Return how the answer ended."""
        end = await _end_of(answer(self.fetch), trouble)
        if end.error is not None and not isinstance(end.error, ConnectionError | self.error):
            raise end.error
        return end


def judge_tries(answer: Any) -> None:
    """Refuse an answer that catches too much, or gives up without a word; raise `Wrong`."""

    def play_it(lossy: _Lossy, *stops_at_s: float) -> _End:
        trouble = _Trouble("", stops_at_s)
        end: _End = play(lossy.run, answer, trouble, of=answer, hints=_HINTS).result
        return end

    lossy = _Lossy(losses=2)
    end = play_it(lossy)
    demand(lossy.calls > 0, "calls", "`fetch` was not called.", "`await fetch()` is one try.")
    shown = f"the third try would have brought the data, and you tried {_times(lossy.calls)}."
    why = "Put the `try` around the `await`, in a loop that goes round again."
    demand(end.error is None and lossy.calls >= 3, "gave-up", shown, why)
    shown = f"the third try brought the data, and you tried {_times(lossy.calls)}."
    demand(lossy.calls == 3, "goes-on", shown, "`return` the data: that ends the loop, too.")
    result = end.task.result()
    shown = f"`fetch` returned 'the data', and you returned {result!r:.40}."
    demand(result == "the data", "result", shown, "`return await fetch()`.")
    only = "`except ConnectionError:`, and nothing wider."
    lossy = _Lossy(losses=99)
    end = play_it(lossy, 0.3)
    shown = "it was cancelled during the second try, and "
    shown += f"tried {_times(lossy.calls)}." if lossy.calls > 2 else "was not cancelled in the end."
    why = "Which `except` takes a CancelledError for a lost connection?"
    demand(end.task.cancelled(), "swallowed", shown, why, only)
    lossy = _Lossy(losses=99, error=ZeroDivisionError)
    end = play_it(lossy)
    shown = f"`fetch` raised a ZeroDivisionError, a bug, and you tried {_times(lossy.calls)}."
    why = "Which errors can another try mend?"
    demand(lossy.calls == 1, "hopeless", shown, why, only)
    shown = "`fetch` raised a ZeroDivisionError, a bug, and the caller never saw it."
    demand(isinstance(end.error, ZeroDivisionError), "lost-error", shown, why, only)
    lossy = _Lossy(losses=99)
    end = play_it(lossy)
    shown = f"every try failed, and you tried {_times(lossy.calls)}, not {_times(_TRIES)}."
    why = f"How often does your loop go round? {_TRIES} tries, the first included."
    demand(lossy.calls == _TRIES, "count", shown, why)
    shown = f"all {_TRIES} tries failed, and the ConnectionError did not come out."
    why = "The caller takes what you return for data. What happens after the last try?"
    more = f"`raise` in the `except` if `attempt == {_TRIES - 1}`."
    demand(isinstance(end.error, ConnectionError), "lost-error", shown, why, more)


def _times(count: int) -> str:
    return f"{count} times" if count > 1 else "once"


# ---- patient 10: a hundred clients ----
_CLIENTS, _MOST, _LONGEST_S = 100, 500, 4.0


_PAUSE_HINTS: Hints = {
    "positional argument": ("signature", "`pause` gets the number of the attempt, from 0 on.")
}


class _BusyStore:
    """Lets ten requests through in each tenth of a second."""

    def __init__(self) -> None:
        self.asked = Counter[int]()
        self.is_over = False

    async def get(self) -> bool:
        """Wait for the answer, and tell whether it was let through."""
        tenth = int(asyncio.get_running_loop().time() * 10 + 1e-6)
        self.asked[tenth] += 1
        is_let_through = self.asked[tenth] <= 10
        await asyncio.sleep(0.01)
        return is_let_through

    async def storm(self, pause: Callable[[int], Any]) -> tuple[int, float]:
        """Let all clients come at once; return how many requests they made, and when all are done.

        They give up after a hundred attempts.
        """

        async def client() -> None:
            for attempt in range(100):
                if await self.get() or self.is_over:
                    return
                try:
                    seconds = _seconds(pause(attempt))
                except BaseException:  # the others would only do the same
                    self.is_over = True
                    raise
                await asyncio.sleep(seconds)

        await asyncio.gather(*(client() for _ in range(_CLIENTS)))
        return self.asked.total(), asyncio.get_running_loop().time()


def _seconds(pause: Any) -> float:
    shown = f"`pause` returned {shorten(pause)}, and not a number of seconds."
    demand(is_number(pause) and math.isfinite(pause), "kind", shown, "Is there a `return`?")
    demand(pause >= 0, "negative", f"`pause` returned {pause:.3g} s.", "A pause is 0 s or more.")
    return float(pause)


def judge_pauses(answer: Any) -> None:
    """Refuse pauses after which the clients come back together, or too often; raise `Wrong`."""
    check_plain(answer)
    state = random.getstate()
    try:
        runs = []
        for seed in range(5):
            random.seed(seed)
            runs.append(play(_BusyStore().storm, answer, of=answer, hints=_PAUSE_HINTS).result)
        is_drawn = len({answer(2) for _ in range(20)}) > 1
    finally:
        random.setstate(state)
    asked, took_s = (statistics.median(figures) for figures in zip(*runs, strict=True))
    said = f"{asked:,.0f} requests, and the last client was done after {took_s:.1f} s; "
    shown = f"{said}{_MOST} requests are the most that it may take."
    why = "A refused client asks again too soon. What if it waits longer after each attempt?"
    more = "Double it: `0.1 * 2**attempt` is the most, and `random.uniform` draws from it."
    demand(asked <= _MOST or took_s > _LONGEST_S, "too-often", shown, why, more)
    shown = f"{said}{_LONGEST_S:g} s is the longest that it may take."
    why = "All who were refused together pause equally long. When do they meet again?"
    more = "`random.uniform(0, 0.1 * 2**attempt)`: a pause that doubles at most, drawn each time."
    demand(took_s <= _LONGEST_S or is_drawn, "in-step", shown, why, more)
    why = "Your pauses are drawn. But do they differ enough, and how long is the longest?"
    demand(took_s <= _LONGEST_S, "late", shown, why, more)
