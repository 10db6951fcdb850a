"""The exercises of lesson 01: two bets, fetches in order, one that fails, and lines to order."""

import asyncio
import inspect
import random
from collections.abc import Callable, Coroutine
from typing import Any

from asyncml.clock import Deadlock
from asyncml.exercises import Wrong, exercise, expect
from asyncml.exercises.attempts import Attempt, attempt

# 01-parsons: lines of a program, of which four are needed
LINES = {
    "A": "    return await future",
    "B": "    future = asyncio.get_running_loop().create_future()",
    "C": "    fetch_with_callbacks(key, future.set_result, print)",
    "D": "async def fetch_again(key):",
    "E": "    fetch_with_callbacks(key, future.set_result, future.set_exception)",
    "F": "    return future.result()",
}

# 01-states: each right answer, with the code and the hint of a wrong one
_STATES = [
    ("pending", "settled", "The fetch of `d` takes 15 ms. Who could know anything at 10?"),
    (
        "exception",
        "error",
        "`done.result()` raises in `settle`. What does `settle` do with an exception?",
    ),
    (
        "cancelled",
        "cancellation",
        "`done.result()` of a cancelled future raises a CancelledError. Where does `settle` go?",
    ),
]


@exercise("01-bet")
def bet(answer: Any) -> str:
    """Check the bet on the seconds that the copied sample takes."""
    wrong = {
        1: ("overlap", "Does `save_model` begin before `train_model` has ended?"),
        0: ("free", "Who awaits something waits for it, one second each time."),
        2000: ("unit", "That would be milliseconds."),
    }
    expect(answer, 2.0, wrong, "Go through `main` line by line: which lines wait, and how long?")
    return "2 s. One second, and then another: nothing overlaps."


class _Shop:
    """Fetches of a few keys, in an order of their own; another one for each seed."""

    def __init__(self, seed: int, count: int = 8) -> None:
        chance = random.Random(seed)
        self.keys = [f"{number:02}" for number in chance.sample(range(100), count)]
        self.data = {key: chance.randbytes(4) for key in self.keys}
        self.delays = dict(zip(self.keys, chance.sample(range(1, 50), count), strict=True))
        self.errors: dict[str, Exception] = {}
        self.asked: list[str] = []

    @property
    def longest_s(self) -> float:
        return max(self.delays.values()) / 100

    async def fetch(self, key: str) -> bytes:
        self.asked.append(key)
        await asyncio.sleep(self.delays[key] / 100)
        if key in self.errors:
            raise self.errors[key]
        return self.data[key]


@exercise("01-in-order")
def in_order(answer: Any) -> str:
    """Check a function that fetches all keys at once and returns the data in order."""
    for seed in range(1, 4):
        shop = _Shop(seed)
        _judge_results(shop, _run(answer, shop), [shop.data[key] for key in shop.keys])
    return "all eight at once, and in the order of the keys."


@exercise("01-keep-going")
def keep_going(answer: Any) -> str:
    """Check a function that fetches all keys at once, with None for those that are missing."""
    for seed in range(1, 4):
        shop = _Shop(seed)
        missing = random.Random(seed).sample(shop.keys, seed)
        shop.errors = {key: KeyError(key) for key in missing}
        right = [None if key in missing else shop.data[key] for key in shop.keys]
        run = _run(answer, shop, may_raise=(KeyError, BaseExceptionGroup))
        if run.error is not None:
            _refuse_error(run.error, missing)
        _judge_results(shop, run, right)
    shop.errors = {shop.keys[2]: ZeroDivisionError("a mistake in the program")}
    run = _run(answer, shop, may_raise=(ZeroDivisionError, BaseExceptionGroup))
    if run.error is None:
        raise Wrong(
            "swallowed",
            "when `fetch` raised a ZeroDivisionError, a plain mistake, nobody heard of it.",
            "Which exceptions do you expect? Only those should be caught.",
            "Write `except KeyError`: a bare `except`, or `return_exceptions=True`, also takes the "
            "errors that you have not thought of.",
        )
    return "a missing object costs its own result and nothing else; other errors come out."


def _run(answer: Any, shop: _Shop, may_raise: Any = ()) -> Attempt:
    run = attempt(answer, shop.fetch, list(shop.keys), may_raise=may_raise)
    if isinstance(run.result, list | tuple):
        _refuse_unfinished(list(run.result))
    elif inspect.isawaitable(run.result):
        _refuse_unfinished([run.result])
    return run


def _refuse_unfinished(results: list[Any]) -> None:
    coroutines = [result for result in results if inspect.iscoroutine(result)]
    for coroutine in coroutines:
        coroutine.close()
    if coroutines:
        raise Wrong(
            "not-started",
            "it returned coroutines: fetches that have not begun.",
            "What starts a coroutine?",
            "`asyncio.create_task(...)` starts one; `asyncio.gather(...)` starts several, and has "
            "to be awaited.",
        )
    if any(asyncio.isfuture(result) for result in results):
        raise Wrong(
            "not-awaited",
            "it returned tasks or futures, and not what is in them.",
            "How does one get the result of a task?",
            "Await each task, or leave the `async with` block and ask for its `.result()`.",
        )


def _refuse_error(error: BaseException, missing: list[str]) -> None:
    if isinstance(error, BaseExceptionGroup):
        raise Wrong(
            "group",
            f"the object {missing[0]!r} was missing, and the task group raised a "
            f"{type(error).__name__}.",
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


def _judge_results(shop: _Shop, run: Attempt, right: list[Any]) -> None:
    got, keys = run.result, len(shop.keys)
    if not isinstance(got, list | tuple):
        raise Wrong("kind", f"it returned {got!r:.60}, and not a list.", "Is there a `return`?")
    if sorted(shop.asked) != sorted(shop.keys):
        message = f"`fetch` was called {len(shop.asked)} times for {keys} keys."
        raise Wrong("calls", message, "Call it once for each key of this call.")
    if list(got) != right:
        _explain_results(list(got), right)
    if run.seconds > shop.longest_s + 1e-6:
        total = sum(shop.delays.values()) / 100
        word = "one after the other" if abs(run.seconds - total) < 1e-6 else "not all at once"
        raise Wrong(
            "sequence",
            f"the right results, but {word}: {run.seconds:.2f} s, and the slowest fetch takes "
            f"{shop.longest_s:.2f} s.",
            "Does the second fetch begin before the first one has ended?",
            "An `await` in a loop ends before the next fetch has begun. Start all of them first, "
            "with `asyncio.gather` or with `create_task` in a `TaskGroup`.",
        )


def _explain_results(got: list[Any], right: list[Any]) -> None:
    if sorted(map(repr, got)) == sorted(map(repr, right)):
        raise Wrong(
            "order",
            "all the data, but not in the order of the keys.",
            "`as_completed`, and appending to a list from each task, go by who is first.",
            "`asyncio.gather` keeps the order; so does a list of tasks, asked one by one.",
        )
    if any(isinstance(result, BaseException) for result in got):
        raise Wrong(
            "exception",
            "exceptions stand among the results.",
            "The exercise asks for None in those places.",
        )
    message = f"{len(got)} results: {_short(got)}; {len(right)} were expected: {_short(right)}."
    hint = "One result for each key, from `fetch`; None only where an object is missing."
    raise Wrong("results", message, hint)


def _short(results: list[Any]) -> str:
    return "[" + ", ".join(f"{result!r:.20}" for result in results[:2]) + ", ...]"


@exercise("01-states")
def states(answer: Any) -> str:
    """Check the bets on the states of the last future of a chain."""
    if answer is ... or answer is None:
        raise Wrong("open", "put three words in place of the `...`")
    bets = list(answer) if isinstance(answer, list | tuple) else [answer]
    if ... in bets:
        raise Wrong("open", "put a word in place of each `...`")
    words = ("pending", "result", "exception", "cancelled")
    if len(bets) != 3 or any(bet not in words for bet in bets):
        raise Wrong("kind", f"the answer is a list of three of {', '.join(words)}, got {answer!r}.")
    for number, (got, (right, code, why)) in enumerate(zip(bets, _STATES, strict=True), start=1):
        if got != right:
            raise Wrong(code, f"number {number} is not {got!r}.", why)
    return "nobody had to pass on the error or the cancellation: the chain does."


@exercise("01-parsons")
def parsons(answer: Any) -> str:
    """Check an order of lines by running the program that they make."""
    fetch_again, shop = _build(answer)
    key, missing = shop.keys[:2]
    run = attempt(fetch_again, key, may_raise=(asyncio.InvalidStateError, Deadlock))
    if isinstance(run.error, asyncio.InvalidStateError):
        raise Wrong(
            "early",
            "InvalidStateError: the future was asked for its result while it was still pending.",
            "Which line waits until it is settled?",
        )
    if isinstance(run.error, Deadlock):
        raise Wrong("order", "the future is awaited, and nobody was told to settle it.")
    if run.result != shop.data[key]:
        raise Wrong("results", f"it returned {run.result!r:.40}, not the data.", "What is awaited?")
    run = attempt(fetch_again, missing, may_raise=(KeyError, Deadlock))
    if isinstance(run.error, Deadlock):
        raise Wrong(
            "lost-error",
            "it works for an object that is there. For a missing one it waits for ever: the error "
            "was printed, and the future stays pending.",
            "Which function of a future takes an error?",
        )
    return "data arrives as a result, and a missing object as an exception: `await` is back."


def _build(answer: Any) -> tuple[Callable[[str], Coroutine[Any, Any, Any]], _Shop]:
    """Make the program; with it goes the store that its `fetch_with_callbacks` asks."""
    if answer is ... or answer is None:
        raise Wrong("open", "put the letters of the lines in place of the `...`")
    letters = [str(letter).upper() for letter in answer] if isinstance(answer, str | list) else []
    if not letters or set(letters) - set(LINES):
        raise Wrong("kind", f"the answer is a text of letters from A to F, got {answer!r:.40}.")
    if len(letters) != 4 or len(set(letters)) < 4:
        raise Wrong("count", f"four different lines are needed, got {len(letters)}.")
    shop = _Shop(seed=len(LINES))
    scope: dict[str, Any] = {"asyncio": asyncio, "print": lambda error: None}

    def fetch_with_callbacks(key: str, on_data: Any, on_error: Any) -> None:
        later = asyncio.get_running_loop().call_later
        if key == shop.keys[1]:
            later(shop.delays[key] / 100, on_error, KeyError(key))
        else:
            later(shop.delays[key] / 100, on_data, shop.data[key])

    scope["fetch_with_callbacks"] = fetch_with_callbacks
    if letters[:2] != ["D", "B"]:  # every other line uses the future
        raise Wrong(
            "order",
            "line by line, that is no program.",
            "What comes first: making a future, or using it? And the head of the function?",
            "It begins with D, the head of the function, and then B, which makes the future.",
        )
    exec("\n".join(LINES[letter] for letter in letters), scope)
    return scope["fetch_again"], shop
