"""Judges functions that fetch many keys: what they return, how long it took, what went wrong."""

import asyncio
import inspect
import math
import random
import traceback
from typing import Any

from asyncml.course.exercises import Wrong
from asyncml.course.exercises.answers import is_mixed_up, read_results
from asyncml.course.exercises.attempts import Attempt, attempt


class Shop:
    """Fetches of a few keys, in an order of their own; another one for each seed."""

    def __init__(self, seed: int, count: int = 8) -> None:
        chance = random.Random(seed)
        self.keys = [f"{number:02}" for number in chance.sample(range(100), count)]
        self.data = {key: chance.randbytes(4) for key in self.keys}
        self.delays = dict(zip(self.keys, chance.sample(range(1, 50), count), strict=True))
        self.errors: dict[str, Exception] = {}
        self.asked: list[str] = []
        self.cancelled: list[str] = []

    @property
    def longest_s(self) -> float:
        """How long the slowest fetch takes."""
        return max(self.delays.values()) / 100

    async def fetch(self, key: str) -> bytes:
        """Wait, and return the data of the key, or raise its error."""
        self.asked.append(key)
        try:
            await asyncio.sleep(self.delays[key] / 100)
        except asyncio.CancelledError:
            self.cancelled.append(key)
            raise
        if key in self.errors:
            raise self.errors[key]
        return self.data[key]


class Watched(Shop):
    """A shop that notes when each fetch began and ended, and how many ran at once."""

    longest_s = math.inf  # the time is judged by its places

    def __init__(self, seed: int, count: int = 8) -> None:
        super().__init__(seed, count)
        self.began: list[float] = []
        self.ended: list[float] = []
        self.running = self.most = 0

    async def fetch(self, key: str) -> bytes:
        """Fetch, and note it."""
        time = asyncio.get_running_loop().time
        self.began.append(time())
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            return await super().fetch(key)
        finally:
            self.running -= 1
            self.ended.append(time())


def run_fetches(
    answer: Any, shop: Shop, may_raise: tuple[type[BaseException], ...] = ()
) -> Attempt:
    """Run an answer on the keys of a shop; refuse what is wrong with it whatever it returns."""
    misused = (TypeError, asyncio.InvalidStateError, BaseExceptionGroup)
    run = attempt(answer, shop.fetch, list(shop.keys), may_raise=(*misused, *may_raise))
    if run.error is not None:
        _refuse_misuse(run.error, bool(shop.asked))
        if not isinstance(run.error, may_raise):  # then `attempt` says what was raised, and where
            attempt(answer, shop.fetch, list(shop.keys), may_raise=may_raise)
    if isinstance(run.result, list | tuple):
        refuse_unfinished(list(run.result))
    elif inspect.isawaitable(run.result):
        refuse_unfinished([run.result])
    return run


def _refuse_misuse(error: BaseException, have_run: bool) -> None:
    early = asyncio.InvalidStateError
    if isinstance(error, early) or (
        isinstance(error, BaseExceptionGroup) and error.subgroup(early)
    ):
        raise Wrong(
            "early",
            "InvalidStateError: a task was asked for its result before it had one.",
            "A task group waits for its tasks at the end of its block: ask after the block.",
            "Move the line with `.result()` out of the `async with`, to where that begins.",
        )
    names = [frame.name for frame in traceback.extract_tb(error.__traceback__)]
    if isinstance(error, TypeError) and "gather" in names:
        if have_run:
            raise Wrong(
                "awaited",
                "`gather` was given data, which it cannot await: the fetches had run before.",
                "Which `await` ran them, one after the other?",
                "Leave out the `await` before `fetch(key)`: `gather` is given coroutines.",
            )
        raise Wrong(
            "unpack",
            "`gather` was given something that it cannot await, such as a list.",
            "Is there a `*` before the list, and a `(key)` behind each `fetch`?",
            "`asyncio.gather(*[fetch(key) for key in keys])`: the `*` hands over the coroutines in "
            "the list, and not the list.",
        )


def refuse_unfinished(results: list[Any]) -> None:
    """Refuse coroutines that have not begun and futures that were not awaited."""
    coroutines = [result for result in results if inspect.iscoroutine(result)]
    for coroutine in coroutines:
        coroutine.close()
    if coroutines:
        raise Wrong(
            "not-started",
            "it returned coroutines: fetches that have not begun.",
            "What starts a coroutine?",
            "`await` runs one, `asyncio.create_task(...)` starts one, and `asyncio.gather(...)` "
            "starts several, and has to be awaited.",
        )
    if any(asyncio.isfuture(result) for result in results):
        raise Wrong(
            "not-awaited",
            "it returned tasks or futures, and not what is in them.",
            "How do you get the result of a task?",
            "Await each task, or leave the `async with` block and ask for its `.result()`.",
        )


def refuse_error(error: BaseException, missing: list[str]) -> None:
    """Say why a missing object ended the answer with an error."""
    if isinstance(error, BaseExceptionGroup):
        raise Wrong(
            "group",
            f"the object {missing[0]!r} was missing, and the task group raised an ExceptionGroup.",
            "A task that fails makes its group cancel all the others.",
            "Catch the KeyError inside the task, in a small `async def` around `fetch`.",
        )
    raise Wrong(
        "escaped",
        f"the object {missing[0]!r} was missing, and the {type(error).__name__} ended everything.",
        "On which line is it raised? A `try` around `create_task` catches nothing of what happens "
        "later in the task.",
        "It is raised where the fetch is awaited. Put `try: return await fetch(key)` into a small "
        "`async def` of your own, and start that for each key.",
    )


def refuse_all_lost(answer: Any, run: Attempt) -> None:
    """Refuse an answer that returns nothing as soon as one object is missing."""
    got = run.result
    if got is not None and not (isinstance(got, list | tuple) and all(r is None for r in got)):
        return
    if run_fetches(answer, Shop(seed=0)).result != got:
        raise Wrong(
            "all-lost",
            "one missing object cost all the results.",
            "Where does the `try` stand? Around everything, or around one fetch?",
            "The first error ends a `try` around all of them. Put `try: return await fetch(key)` "
            "into a small `async def` of your own, and start that for each key.",
        )


def refuse_silence(result: Any) -> None:
    """Say that an error other than a KeyError did not come out."""
    what = "when `fetch` raised a ZeroDivisionError, a plain mistake, "
    if isinstance(result, list | tuple) and any(isinstance(r, ZeroDivisionError) for r in result):
        raise Wrong(
            "swallowed",
            what + "it was left in the list.",
            "Only a KeyError stands for a missing object: `raise` the others.",
        )
    raise Wrong(
        "swallowed",
        what + "nobody heard of it.",
        "Which exceptions do you expect? Only those should be caught.",
        "Write `except KeyError`: a bare `except`, or `return_exceptions=True`, also takes the "
        "errors that you have not thought of; if you use the latter, `raise` the others.",
    )


def judge_results(shop: Shop, run: Attempt, right: list[Any]) -> None:
    """Compare results, calls and time with what is right; raise `Wrong` if they are not."""
    got, keys = read_results(run.result), len(shop.keys)
    if sorted(shop.asked) != sorted(shop.keys):
        message = f"`fetch` was called {len(shop.asked)} times for {keys} keys."
        raise Wrong("calls", message, "Call it once for each key of this call.")
    if got != right:
        _explain_results(shop, got, right)
    if run.seconds > shop.longest_s + 1e-6:
        total = sum(shop.delays.values()) / 100
        is_one_by_one = abs(run.seconds - total) < 1e-6
        why, word = "Which fetches wait for which?", "not all at once"
        if is_one_by_one:
            why = "Does the second fetch begin before the first one has ended?"
            word = "one after the other"
        raise Wrong(
            "sequence",
            f"the right results, but {word}: {run.seconds:.2f} s, and the slowest fetch takes "
            f"{shop.longest_s:.2f} s.",
            why,
            "Start all of them before the first `await`: with one `gather` for all the keys, or "
            "with `create_task` for each.",
        )


def _explain_results(shop: Shop, got: list[Any], right: list[Any]) -> None:
    if is_mixed_up(got, right):
        raise Wrong(
            "order",
            "all the data, but not in the order of the keys.",
            "`as_completed`, and appending to a list from each task, give the order of arrival.",
            "`asyncio.gather` keeps the order; so does a list of tasks, asked one by one.",
        )
    if any(isinstance(result, BaseException) for result in got):
        raise Wrong(
            "exception",
            "there are exceptions among the results.",
            "The exercise asks for None in those places.",
        )
    if len(got) == len(right):
        _explain_difference(shop, got, right)
    message = f"expected were {len(right)} results, {_short(right)}; got {len(got)}, {_short(got)}."
    hint = "One result for each key, from `fetch`; None only where an object is missing."
    raise Wrong("results", message, hint)


def _explain_difference(shop: Shop, got: list[Any], right: list[Any]) -> None:
    place = next(i for i, pair in enumerate(zip(got, right, strict=True)) if pair[0] != pair[1])
    key = shop.keys[place]
    where = f"result {place + 1} of {len(got)}, for the key {key!r},"
    message = f"{where} is {got[place]!r:.40}; expected was {right[place]!r}."
    if key in shop.cancelled:
        raise Wrong(
            "cancelled",
            message,
            "Its fetch was cancelled: when a task of a group fails, the group cancels the others.",
            "Catch the KeyError inside the task, in a small `async def` around `fetch`: then no "
            "task fails, and the group cancels nothing.",
        )
    hint = "One result for each key, from `fetch`; None only where an object is missing."
    if got[place] is None:
        hint = "Does each of your functions `return` what it fetched?"
    raise Wrong("results", message, hint)


def _short(results: list[Any]) -> str:
    return "[" + ", ".join(f"{result!r:.20}" for result in results[:2]) + ", ...]"
