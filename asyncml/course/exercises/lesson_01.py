"""The exercises of lesson 01: two bets, fetches in order, one that fails, and lines to order."""

import asyncio
import random
from collections.abc import Callable, Coroutine
from typing import Any

from asyncml.clock import Deadlock
from asyncml.course.exercises import exercise, expect
from asyncml.course.exercises.answers import read_lines, read_list
from asyncml.course.exercises.attempts import attempt
from asyncml.course.exercises.fetches import (
    Shop,
    judge_results,
    refuse_all_lost,
    refuse_error,
    refuse_silence,
    run_fetches,
)
from asyncml.course.exercises.scenes import demand, quietly

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


@exercise("01-in-order")
@quietly
def in_order(answer: Any) -> str:
    """Check a function that fetches all keys at once and returns the data in order."""
    for seed in range(1, 4):
        shop = Shop(seed)
        judge_results(shop, run_fetches(answer, shop), [shop.data[key] for key in shop.keys])
    return "all eight at once, and in the order of the keys."


@exercise("01-keep-going")
@quietly
def keep_going(answer: Any) -> str:
    """Check a function that fetches all keys at once, with None for those that are missing."""
    for seed in range(1, 4):
        shop = Shop(seed)
        missing = random.Random(seed).sample(shop.keys, seed)
        shop.errors = {key: KeyError(key) for key in missing}
        right = [None if key in missing else shop.data[key] for key in shop.keys]
        run = run_fetches(answer, shop, may_raise=(KeyError, BaseExceptionGroup))
        if run.error is not None:
            refuse_error(run.error, missing)
        refuse_all_lost(answer, run)
        judge_results(shop, run, right)
    shop.errors = {shop.keys[2]: ZeroDivisionError("a mistake in the program")}
    run = run_fetches(answer, shop, may_raise=(ZeroDivisionError, BaseExceptionGroup))
    if run.error is None:
        refuse_silence(run.result)
    return "a missing object costs its own result and nothing else; other errors come out."


@exercise("01-states")
def states(answer: Any) -> str:
    """Check the bets on the states of the last future of a chain."""
    bets = read_list(answer, "three words", "a word")
    bets = [bet.strip().lower() if isinstance(bet, str) else bet for bet in bets]
    words = ("pending", "result", "exception", "cancelled")
    shown = f"the answer is a list of three of {', '.join(words)}, got {answer!r}."
    demand(len(bets) == 3 and all(bet in words for bet in bets), "kind", shown)
    for number, (got, (right, code, why)) in enumerate(zip(bets, _STATES, strict=True), start=1):
        demand(got == right, code, f"number {number} is not {got!r}.", why)
    return "nobody had to pass them on: from the first future to the last, the chain does."


@exercise("01-parsons")
def parsons(answer: Any) -> str:
    """Check an order of lines by running the program that they make."""
    fetch_again, shop = _build(answer)
    key, missing = shop.keys[:2]
    run = attempt(fetch_again, key, may_raise=(asyncio.InvalidStateError, Deadlock))
    is_early = isinstance(run.error, asyncio.InvalidStateError)
    shown = "InvalidStateError: the future was asked for its result while it was still pending."
    demand(not is_early, "early", shown, "Which line waits until it is settled?")
    shown = "the future is awaited, and nobody was told to settle it."
    demand(not isinstance(run.error, Deadlock), "order", shown)
    shown = f"it returned {run.result!r:.40}, not the data."
    demand(run.result == shop.data[key], "results", shown, "What is awaited?")
    run = attempt(fetch_again, missing, may_raise=(KeyError, Deadlock))
    shown = "it works for an object that is there. For a missing one it waits for ever: the error "
    shown += "was printed, and the future stays pending."
    why = "Which function of a future takes an error?"
    demand(not isinstance(run.error, Deadlock), "lost-error", shown, why)
    return "data arrives as a result, and a missing object as an exception: `await` is back."


def _build(answer: Any) -> tuple[Callable[[str], Coroutine[Any, Any, Any]], Shop]:
    """Make the program; with it goes the store that its `fetch_with_callbacks` asks."""
    letters = read_lines(answer, LINES, 4, "four")
    shop = Shop(seed=len(LINES))
    scope: dict[str, Any] = {"asyncio": asyncio, "print": lambda error: None}

    def fetch_with_callbacks(key: str, on_data: Any, on_error: Any) -> None:
        later = asyncio.get_running_loop().call_later
        if key == shop.keys[1]:
            later(shop.delays[key] / 100, on_error, KeyError(key))
        else:
            later(shop.delays[key] / 100, on_data, shop.data[key])

    scope["fetch_with_callbacks"] = fetch_with_callbacks
    why = "What comes first: making a future, or using it? And the head of the function?"
    more = "It begins with D, the head of the function, and then B, which makes the future."
    is_begun = letters[:2] == ["D", "B"]  # every other line uses the future
    demand(is_begun, "order", "line by line, that is no program.", why, more)
    exec("\n".join(LINES[letter] for letter in letters), scope)
    return scope["fetch_again"], shop
