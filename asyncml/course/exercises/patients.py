"""Judges two patients of the clinic in lesson 06: the blocked loop and the deadlock."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from asyncml.clock import Deadlock, compute
from asyncml.clock.turns import hold
from asyncml.course.exercises import Wrong, readings
from asyncml.course.exercises.answers import is_mixed_up, read_results
from asyncml.course.exercises.readings import no_pool_awaits
from asyncml.course.exercises.scenes import UNAWAITABLE, Hints, demand, heart, play
from asyncml.course.exercises.troubles import HINTS
from asyncml.failures import shorten
from asyncml.internals import running_loop

# ---- patient 3: messages parsed beside a heartbeat ----
_IN_THREAD = "`await asyncio.to_thread(parse, message)`: the function and its argument, not a call."
_CALLED: Hints = {
    "Result is not set": ("not-awaited", "You asked for a result before it was there. Who waits?"),
    UNAWAITABLE: (
        "called",
        "`parse` is a plain function: its call holds the loop, `await` or not.",
        _IN_THREAD,
    ),
    **readings.SIGNATURE,
    "object is not callable": (
        "called",
        "With `to_thread(parse(message))` you call `parse` yourself, first, and on the loop.",
        _IN_THREAD,
    ),
}


class _Parser:
    """A parser that takes a tenth of a second for each message, in whatever thread it is called."""

    def __init__(self, broken: str | None = None) -> None:
        self.broken, self.parsed = broken, list[str]()
        self.is_by_hand = self.is_reading = self.was_on_loop = False
        self.loop: asyncio.AbstractEventLoop | None = None
        self.lags: list[float] = []
        self.error: BaseException | None = None

    def parse(self, message: str) -> str:
        """Block the calling thread for a tenth of a second; return the message in upper case."""
        if not isinstance(message, str):
            shown = f"`parse` was called with {shorten(message)}, and not with a message."
            raise Wrong("argument", shown, "One message for each call.", _IN_THREAD)
        self.parsed.append(message)
        self.is_reading = True
        try:
            if running_loop() is self.loop:
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
        """Run the answer beside a heartbeat every 30 ms."""
        self.loop = asyncio.get_running_loop()
        async with heart(self.lags, 0.03):
            await asyncio.sleep(0.005)  # lets the heart start
            try:
                return await answer(self.parse, messages)
            except (ValueError, BaseExceptionGroup) as error:
                if self.broken is None:
                    raise
                self.error = error
            finally:
                await asyncio.sleep(0.4)  # lets a thread that was not awaited end
        return None


def judge_parsing(answer: Any) -> None:
    """Raise `Wrong` for an answer that delays the heartbeat or mixes up the messages."""
    messages = ["ping", "news", "bye"]
    parser = _Parser()
    with no_pool_awaits(parser):
        result = play(parser.run, answer, messages, of=answer, hints=_CALLED).result
    late_ms = max(parser.lags, default=0) * 1000
    shown = f"a heartbeat came {late_ms:.0f} ms late: something held the loop."
    why = "An `await` elsewhere does not make a plain call wait. Where else could `parse` run?"
    demand(not parser.was_on_loop and late_ms < 1, "blocked", shown, why, _IN_THREAD)
    demand(not parser.is_by_hand, "by-hand", readings.UNKNOWN_THREAD, _IN_THREAD)
    if asyncio.iscoroutine(result):
        result.close()
        shown = "it returned a coroutine, and not a list."
        raise Wrong("not-awaited", shown, "Where is the `await`?")
    shown = f"it returned {type(result).__name__}, and not a list."
    is_list = result is None or isinstance(result, list | tuple)
    demand(is_list, "kind", shown, "A list of the results, in their order.")
    found = read_results(result)
    _refuse_coroutines(found)
    shown = f"`parse` was called {len(parser.parsed)} times for {len(messages)} messages."
    why = "Once for each message. (A process has a copy of `parse`, whose calls are not counted.)"
    demand(len(parser.parsed) == len(messages), "calls", shown, why)
    right = [message.upper() for message in messages]
    shown = f"{found!r:.60} was returned, in place of {right}."
    why = "An inner function looks `message` up when it runs. By then, which one has your loop?"
    demand(len(set(parser.parsed)) > 1, "late-message", shown, why, _IN_THREAD)
    if found != right and is_mixed_up(found, right):
        raise Wrong("order", shown, "The results are to be in the order of the messages.")
    demand(found == right, "result", shown, "Return a list of what `parse` returned.")
    parser = _Parser(broken="news")
    with no_pool_awaits(parser):
        play(parser.run, answer, messages, of=answer)
    shown = "`parse` raised a ValueError, and nothing came out."
    demand(parser.error is not None, "swallowed", shown, "The caller has to know: let it out.")


def _refuse_coroutines(found: list[Any]) -> None:
    shown = "there are coroutines or tasks in the list, and not their results."
    why = "`to_thread` gives a coroutine, and so does an `async def` in a thread. Who awaits it?"
    for coroutine in filter(asyncio.iscoroutine, found):
        coroutine.close()
    is_done = not any(asyncio.iscoroutine(each) or asyncio.isfuture(each) for each in found)
    demand(is_done, "not-awaited", shown, why, _IN_THREAD)


# ---- patient 7: two locks ----
_LOCK_HINTS: Hints = {
    **HINTS,
    "'str' object does not": (
        "names",
        "`first` and `second` are names. Where are the locks?",
        "`locks[first]` and `locks[second]`.",
    ),
    "context manager protocol": ("no-with", "A lock needs `async with`."),
    "Lock is not acquired": ("no-with", "`acquire()` only makes a coroutine. Who awaits it?"),
    "not supported between instances of": (
        "no-order",
        "Locks have no order of their own. What do you know about each that can be sorted?",
        "Sort the names, and not the locks: `for name in sorted((first, second))`.",
    ),
}


class _SlowLock(asyncio.Lock):
    """A lock that takes a moment to acquire, like one on a server: no caller gets two at once."""

    async def acquire(self) -> bool:  # type: ignore[override]
        """Wait a moment, then acquire the lock."""
        await asyncio.sleep(0.01)
        return await super().acquire()


class _Workshop:
    """Four locks, and work that has to hold two of them."""

    def __init__(self) -> None:
        self.locks: dict[str, asyncio.Lock] = {
            name: _SlowLock() for name in ("model", "disk", "net", "gpu")
        }
        self.at_work: set[str] = set()  # the names of the locks in use by work
        self.is_unlocked = False

    def work(self, first: str, second: str, error: Exception | None = None) -> Callable[..., Any]:
        """Return a coroutine function that works for a tenth of a second."""

        async def work() -> str:
            names = {first, second}
            held = all(self.locks[name].locked() for name in names)
            self.is_unlocked |= not held or bool(self.at_work & names)
            self.at_work |= names
            try:
                await asyncio.sleep(0.1)
            finally:
                self.at_work -= names
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
        """Run the answer for several pairs at once; return the results and the seconds taken."""
        loop = asyncio.get_running_loop()
        start = loop.time()
        tasks = [self.start(answer, pair) for pair in pairs]
        results = await asyncio.gather(*tasks)
        return results, loop.time() - start

    async def fails(self, answer: Any) -> tuple[BaseException | None, list[str]]:
        """Run work that raises; return the error that came out, and the locks still held."""
        task = self.start(answer, "disk model", error=OSError("disk failure"))
        await asyncio.wait([task])
        error = task.exception()
        if error is not None and not isinstance(error, OSError):
            raise error
        return error, self.held()

    async def stops(self, answer: Any) -> tuple[bool, list[str]]:
        """Cancel two waiting calls and a working one; return if all ended so, and held locks."""
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
        """Return the names of the locks held."""
        return [name for name, lock in self.locks.items() if lock.locked()]


def judge_locks(answer: Any) -> None:
    """Raise `Wrong` for an answer that deadlocks, or holds too few or too many locks."""
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
    why = "One lock for everybody ends the deadlock, and every overlap too. Which locks are needed?"
    demand(took_s < 0.15, "one-at-a-time", shown, why, "Take `locks[first]` and `locks[second]`.")
    for pairs in (
        ("model disk", "disk model"),
        ("model disk", "disk net", "net model"),
        ("gpu net", "net gpu"),
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
    shop = _Workshop()
    was_stopped, held = _play_locks(shop.stops, answer)
    _judge_held(shop)
    shown = "it was cancelled, and carried on regardless."
    demand(was_stopped, "stop-swallowed", shown, "Which `except` takes the CancelledError?")
    _judge_left("it was cancelled", held)


def _play_locks(scene: Callable[..., Any], answer: Any, *pairs: str) -> Any:
    done = play(scene, answer, *pairs, of=answer, hints=_LOCK_HINTS, may_raise=(Deadlock,))
    calls = ", ".join(pair.replace(" ", " and ") for pair in pairs) or "model and disk"
    shown = f"calls that wanted {calls}, in this order, at the same time, waited for ever."
    why = "Each holds what the other wants. What if all asked for the same lock first?"
    more = "Take them in an order that is the same for every caller: `sorted((first, second))`."
    demand(not isinstance(done.error, Deadlock), "deadlock", shown, why, more)
    return done.result


def _judge_held(shop: _Workshop) -> None:
    shown = "`work` ran while one of its two locks was not held."
    why = "Until when do you hold the first: until you have the second, or until `work` is done?"
    more = "`async with` the first, in it `async with` the second, and in that `await work()`."
    demand(not shop.is_unlocked, "unlocked", shown, why, more)


def _judge_left(told: str, held: list[str]) -> None:
    shown = f"{told}, and these locks are still held: {', '.join(held)}."
    why = "The next caller waits for ever. Which way of holding a lock always lets go of it?"
    demand(not held, "left-locked", shown, why, "`async with lock:` in place of `acquire()`.")
