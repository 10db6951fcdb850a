"""Judges functions that fetch many keys: their results, their time and their errors."""

import asyncio
import inspect
import math
import random
import traceback
from typing import Any

from asyncml.course.exercises import Wrong
from asyncml.course.exercises.answers import is_mixed_up, read_results
from asyncml.course.exercises.attempts import Attempt, attempt
from asyncml.course.exercises.scenes import demand


class Shop:
    """A store of a few keys with a delay each; keys, data and delays depend on the seed."""

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
        """The seconds that the slowest fetch takes."""
        return max(self.delays.values()) / 100

    async def fetch(self, key: str) -> bytes:
        """Wait for the key's delay, then return its data or raise its error."""
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
    """A shop that records when each fetch began and ended, and how many ran at once."""

    longest_s = math.inf  # no bound here: the check judges the free places instead

    def __init__(self, seed: int, count: int = 8) -> None:
        super().__init__(seed, count)
        self.began: list[float] = []
        self.ended: list[float] = []
        self.running = self.most = 0

    async def fetch(self, key: str) -> bytes:
        """Fetch a key, and record when."""
        time = asyncio.get_running_loop().time
        self.began.append(time())
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            return await super().fetch(key)
        finally:
            self.running -= 1
            self.ended.append(time())


Raised = tuple[type[BaseException], ...]
_IN_EACH = (
    "Put `try: return await fetch(key)` into a small `async def` of your own, and start that "
)
_IN_EACH += "for each key."


def run_fetches(answer: Any, shop: Shop, may_raise: Raised = ()) -> Attempt:
    """Run an answer on a shop's keys; refuse misuse of asyncio, and results left unawaited."""
    misused = (TypeError, asyncio.InvalidStateError, BaseExceptionGroup)
    run = attempt(answer, shop.fetch, list(shop.keys), may_raise=(*misused, *may_raise))
    if run.error is not None:
        _refuse_misuse(run.error, bool(shop.asked))
        if not isinstance(run.error, may_raise):  # again, for `attempt` to say what was raised
            attempt(answer, shop.fetch, list(shop.keys), may_raise=may_raise)
    if isinstance(run.result, list | tuple):
        refuse_unfinished(list(run.result))
    elif inspect.isawaitable(run.result):
        refuse_unfinished([run.result])
    return run


def _refuse_misuse(error: BaseException, have_run: bool) -> None:
    early = asyncio.InvalidStateError
    in_group = isinstance(error, BaseExceptionGroup) and error.subgroup(early)
    shown = "InvalidStateError: a task was asked for its result before it had one."
    why = "A task group waits for its tasks at the end of its block: ask after the block."
    more = "Move the line with `.result()` below the block, indented like its `async with`."
    demand(not (in_group or isinstance(error, early)), "early", shown, why, more)
    names = [frame.name for frame in traceback.extract_tb(error.__traceback__)]
    is_misused = isinstance(error, TypeError) and "gather" in names
    shown = "`gather` was given data, which it cannot await: the fetches had already run."
    why = "Which `await` ran them, one after the other?"
    more = "Leave out the `await` before `fetch(key)`: `gather` is given coroutines."
    demand(not (is_misused and have_run), "awaited", shown, why, more)
    shown = "`gather` was given something that it cannot await, such as a list."
    why = "Is there a `*` before the list, and a `(key)` after each `fetch`?"
    more = "`asyncio.gather(*[fetch(key) for key in keys])`: the `*` passes the coroutines in "
    demand(not is_misused, "unpack", shown, why, more + "the list, and not the list itself.")


def refuse_unfinished(results: list[Any]) -> None:
    """Refuse coroutines that have not begun and futures that were not awaited."""
    coroutines = [result for result in results if inspect.iscoroutine(result)]
    for coroutine in coroutines:
        coroutine.close()
    shown = "it returned coroutines: fetches that have not begun."
    more = "`await` runs one, `asyncio.create_task(...)` starts one, and `asyncio.gather(...)` "
    more += "starts several, and has to be awaited."
    demand(not coroutines, "not-started", shown, "What starts a coroutine?", more)
    has_futures = any(asyncio.isfuture(result) for result in results)
    shown = "it returned tasks or futures, and not their results."
    more = "Await each task, or leave the `async with` block and ask for its `.result()`."
    demand(not has_futures, "not-awaited", shown, "How do you get the result of a task?", more)


def refuse_error(error: BaseException, missing: list[str]) -> None:
    """Raise `Wrong`; say why a missing object made the whole answer fail."""
    shown = f"the object {missing[0]!r} was missing, and the "
    if isinstance(error, BaseExceptionGroup):
        why = "A task that fails makes its group cancel all the others."
        more = "Catch the KeyError inside the task, in a small `async def` around `fetch`."
        raise Wrong("group", f"{shown}task group raised an ExceptionGroup.", why, more)
    why = "On which line is it raised? A `try` around `create_task` catches nothing of what "
    why += "happens later in the task."
    shown += f"{type(error).__name__} ended everything."
    raise Wrong("escaped", shown, why, f"It is raised where the fetch is awaited. {_IN_EACH}")


def refuse_all_lost(answer: Any, run: Attempt) -> None:
    """Refuse an answer that returns nothing as soon as one object is missing."""
    got = run.result
    is_none = got is None or (isinstance(got, list | tuple) and all(r is None for r in got))
    is_lost = is_none and run_fetches(answer, Shop(seed=0)).result != got
    why = "What does the `try` enclose: all the fetches, or one?"
    more = f"The first error ends a `try` around all of them. {_IN_EACH}"
    demand(not is_lost, "all-lost", "one missing object cost all the results.", why, more)


def refuse_silence(result: Any) -> None:
    """Raise `Wrong`: an error other than a KeyError did not come out."""
    shown = "when `fetch` raised a ZeroDivisionError, a plain mistake, "
    if isinstance(result, list | tuple) and any(isinstance(r, ZeroDivisionError) for r in result):
        why = "Only a KeyError stands for a missing object: `raise` the others."
        raise Wrong("swallowed", f"{shown}the error was left in the list.", why)
    why = "Which exceptions do you expect? Only those should be caught."
    more = "Write `except KeyError`: a bare `except`, or `return_exceptions=True`, also takes the "
    more += "errors that you did not expect; if you use the latter, `raise` the others."
    raise Wrong("swallowed", f"{shown}the error was lost.", why, more)


def judge_results(shop: Shop, run: Attempt, right: list[Any]) -> None:
    """Raise `Wrong` unless the results, the calls and the time are right."""
    got = read_results(run.result)
    shown = f"`fetch` was called {len(shop.asked)} times for {len(shop.keys)} keys."
    is_each = sorted(shop.asked) == sorted(shop.keys)
    demand(is_each, "calls", shown, "Call it once for each key of this call.")
    if got != right:
        _explain_results(shop, got, right)
    why, how = "Which fetches wait for which?", "not all at once"
    if abs(run.seconds - sum(shop.delays.values()) / 100) < 1e-6:
        why = "Does the second fetch begin before the first one has ended?"
        how = "one after the other"
    shown = f"the right results, but {how}: {run.seconds:.2f} s, and the slowest fetch takes "
    shown += f"{shop.longest_s:.2f} s."
    more = "Start all of them before the first `await`: with one `gather` for all the keys, or "
    more += "with `create_task` for each."
    demand(run.seconds <= shop.longest_s + 1e-6, "sequence", shown, why, more)


def _explain_results(shop: Shop, got: list[Any], right: list[Any]) -> None:
    why = "`as_completed`, and appending to a list from each task, give the order of arrival."
    more = "`asyncio.gather` keeps the order; so does a list of tasks, asked one by one."
    is_mixed = is_mixed_up(got, right)
    demand(not is_mixed, "order", "all the data, but not in the order of the keys.", why, more)
    has_errors = any(isinstance(result, BaseException) for result in got)
    why = "The exercise asks for None in those places."
    demand(not has_errors, "exception", "there are exceptions among the results.", why)
    why = "One result for each key, from `fetch`; None only where an object is missing."
    shown = f"expected {len(right)} results, {_short(right)}; got {len(got)}, {_short(got)}."
    demand(len(got) == len(right), "results", shown, why)
    place = next(n for n, result in enumerate(got) if result != right[n])
    key, result = shop.keys[place], got[place]
    shown = f"result {place + 1} of {len(got)}, for the key {key!r}, is {result!r:.40}; expected "
    shown += f"{right[place]!r}."
    ended = "Its fetch was cancelled: when a task of a group fails, the group cancels the others."
    more = "Catch the KeyError inside the task, in a small `async def` around `fetch`: then no "
    more += "task fails, and the group cancels nothing."
    demand(key not in shop.cancelled, "cancelled", shown, ended, more)
    if result is None:
        why = "Does each of your functions `return` what it fetched?"
    raise Wrong("results", shown, why)


def _short(results: list[Any]) -> str:
    return "[" + ", ".join(f"{result!r:.20}" for result in results[:2]) + ", ...]"
