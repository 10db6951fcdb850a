"""The exercises of lesson 01: bets, concurrent fetches, a future, and a program in pieces."""

import asyncio
import random
from collections.abc import Callable, Coroutine
from typing import Any

from asyncml.clock import Deadlock
from asyncml.course.exercises import exercise, ours
from asyncml.course.exercises.answers import ask_number, names_of, read_lines, read_list
from asyncml.course.exercises.attempts import Attempt, attempt, check_kind
from asyncml.course.exercises.fetches import (
    Shop,
    Watched,
    judge_results,
    refuse_all_lost,
    refuse_error,
    refuse_silence,
    run_fetches,
)
from asyncml.course.exercises.scenes import (
    UNAWAITABLE,
    Hints,
    demand,
    hinting,
    play,
    quietly,
)
from asyncml.course.exercises.settling import judge_settle, settle

__all__ = ["LINES", "settle"]  # for the notebook, and its test

# 01-parsons: the lines of a program; four are needed
LINES = {
    "A": "    return await future",
    "B": "    future = asyncio.get_running_loop().create_future()",
    "C": "    fetch_with_callbacks(key, future.set_result, print)",
    "D": "async def fetch_again(key):",
    "E": "    fetch_with_callbacks(\n           key, future.set_result, future.set_exception)",
    "F": "    return future.result()",
}

# fetches: typical errors, each with its own hint
_HINTS: Hints = {
    "run() cannot be called": (
        "run",
        "`run` starts an event loop. How many are running already?",
        "A loop is running your function: `await` in it what you would give to `run`.",
    ),
    UNAWAITABLE: (
        "not-awaitable",
        "You can await a coroutine, a task or a future. What did you await?",
        "`await fetch(key)`, or `await task` for each task. (A semaphore takes `async with`.)",
    ),
    "a coroutine was expected, got b": (
        "awaited",
        "Which `await` ran the fetch before it was made a task?",
        "Leave out the `await` before `fetch(key)`: `create_task` takes the coroutine.",
    ),
    "got bad yield": (  # up to Python 3.11 a generator counts as a coroutine
        "unpack",
        "Is there a `*` before the generator? It makes coroutines, and is not one itself.",
        "`asyncio.gather(*[fetch(key) for key in keys])`: the `*` passes the coroutines.",
    ),
    "unhashable type": (
        "one-key",
        "How many keys does `fetch` take?",
        "One: call `fetch(key)` for each key in `keys`.",
    ),
    "a coroutine was expected": (
        "not-called",
        "`create_task` takes one coroutine. What makes one?",
        "Call the function, for each key: `asyncio.create_task(fetch(key))`.",
    ),
    "context manager protocol": (
        "async-with",
        "Taking a place may have to wait. What kind of `with` can wait?",
        "`async with places:`, in place of `with places:`.",
    ),
    "positional argument": (
        "arguments",
        "Which arguments does each function get in that call?",
        "The check calls your function with `(fetch, keys)`, and `fetch` takes one key.",
    ),
}
_AT_ONCE = 3  # 01-three-at-once: the most fetches that may run at once
_SHORT_S = 1e-3  # by then cancelled fetches have ended, and no other has

# 01-states: each right answer, and the code and hint for a wrong one
_RAISES = "`done.result()` raises in `settle`. What does `settle` do with"
_STATES = [
    ("pending", "settled", "The fetch of `d` takes 15 ms. What can be known after 10?"),
    ("exception", "error", f"{_RAISES} an exception?"),
    ("cancelled", "cancellation", f"{_RAISES} the CancelledError of a cancelled future?"),
]


ask_number(
    "01-bet",
    2.0,
    "2 s. One second, and then another: nothing overlaps.",
    "Go through `main` line by line: which lines wait, and how long?",
    {
        1: ("overlap", "Does `save_model` begin before `train_model` has ended?"),
        0: ("free", "Each `await` waits until its function has ended."),
        2000: ("unit", "That would be milliseconds. How many seconds is it?"),
    },
)


@exercise("01-in-order", ours=ours.in_order)
@quietly
def in_order(answer: Any) -> str:
    """Check a function that fetches all keys at once and returns the data in order."""
    for seed in range(1, 4):
        shop = Shop(seed)
        judge_results(shop, _run(answer, shop), [shop.data[key] for key in shop.keys])
    return "all eight at once, and in the order of the keys."


@exercise("01-keep-going", ours=ours.keep_going)
@quietly
def keep_going(answer: Any) -> str:
    """Check a function that fetches all keys at once, with None for those that are missing."""
    for seed in range(1, 4):
        shop = Shop(seed)
        missing = random.Random(seed).sample(shop.keys, seed)
        shop.errors = {key: KeyError(key) for key in missing}
        right = [None if key in missing else shop.data[key] for key in shop.keys]
        run = _run(answer, shop, may_raise=(KeyError, BaseExceptionGroup))
        if run.error is not None:
            refuse_error(run.error, missing)
        refuse_all_lost(answer, run)
        judge_results(shop, run, right)
    shop.errors = {shop.keys[2]: ZeroDivisionError("a mistake in the program")}
    run = _run(answer, shop, may_raise=(ZeroDivisionError, BaseExceptionGroup))
    if run.error is None:
        refuse_silence(run.result)
    return "a missing object costs its own result and nothing else; other errors reach the caller."


def _run(answer: Any, shop: Shop, may_raise: tuple[type[BaseException], ...] = ()) -> Attempt:
    """Run an answer on a shop's keys, with this lesson's hints for typical errors."""
    with hinting(_HINTS):
        return run_fetches(answer, shop, may_raise)


@exercise("01-three-at-once", ours=ours.three_at_once)
@quietly
def three_at_once(answer: Any) -> str:
    """Check a function that fetches all keys, three at once, and stops at the first error."""
    check_kind(answer, is_async=True)
    shown = "`aml.Pipeline` does it for you."
    demand("Pipeline" not in names_of(answer), "by-hand", shown, "This time, write it by hand.")
    for seed in range(1, 4):
        shop = Watched(seed)
        run = _run(answer, shop)
        _judge_bound(shop)
        judge_results(shop, run, [shop.data[key] for key in shop.keys])
    _judge_failure(answer)
    return "never more than three, never a free place while keys wait, and an error stops it all."


def _judge_bound(shop: Watched) -> None:
    """Refuse too many fetches at once, too few, and free places while keys wait."""
    shown = f"{shop.most} fetches ran at once, and only three are allowed."
    why = "What makes the fourth fetch wait until one of the first three has ended?"
    more = "One `asyncio.Semaphore(3)` for all tasks, and the `await fetch(key)` itself inside "
    more += "its `async with`, in a small `async def` of your own."
    demand(shop.most <= _AT_ONCE, "too-many", shown, why, more)
    some = "one fetch ran" if shop.most == 1 else f"{shop.most} fetches ran"
    shown = f"never more than {some} at once, and three are allowed."
    why = "Which `await` has to end before the next fetch begins?"
    more = "Start a task for each key first; one `asyncio.Semaphore(3)` then lets three fetch."
    began, due = sorted(shop.began), [0.0] * _AT_ONCE + sorted(shop.ended)
    demand(shop.most == _AT_ONCE or not began, "too-few", shown, why, more)
    why = "When a fast fetch has ended, does the next one still wait for a slower one?"
    more = "Do not divide the keys: start a task for each, and let a semaphore decide."
    for number, (start, free) in enumerate(zip(began, due, strict=False)):
        waited = "1 key" if number == len(began) - 1 else f"{len(began) - number} keys"
        shown = f"at {free:.2f} s a place was free and {waited} left to fetch, but the next fetch "
        demand(start <= free + 1e-6, "free-place", f"{shown}began at {start:.2f} s.", why, more)


def _judge_failure(answer: Any) -> None:
    """Let one fetch fail early; refuse an answer that hides the error or continues."""
    shop = Watched(seed=4)
    failing = shop.keys[1]
    shop.delays[failing] = 0  # before any other ends
    shop.errors = {failing: ConnectionError("no route")}

    async def scene() -> tuple[bool, float, int, int, bool]:
        came_out = False
        try:
            await answer(shop.fetch, list(shop.keys))
        except* ConnectionError:
            came_out = True
        at, running, asked = asyncio.get_running_loop().time(), shop.running, len(shop.asked)
        await asyncio.sleep(_SHORT_S)
        is_cancelled = not shop.running
        await asyncio.sleep(10)
        return came_out, at, running, len(shop.asked) - asked, is_cancelled

    came_out, at, running, later, is_cancelled = play(scene, of=answer).result
    shown = "one fetch raised, and the caller never saw the error."
    why = "Which of your lines catches it, or leaves it in a list?"
    more = "Catch nothing, and do not use `return_exceptions`: let the error reach the caller."
    demand(came_out, "swallowed", shown, why, more)
    shown = "the caller got the error before the fetches that were cancelled had ended."
    why = "`cancel` only asks. What waits until they have ended?"
    more = "A `TaskGroup` cancels the others and waits for them."
    is_left = running > 0 and is_cancelled and not later
    demand(not is_left, "not-awaited", shown, why, more)
    shown = f"the caller got the error while {running} fetch{'es' * (running != 1)} ran on"
    shown += f", and {later} more began later." if later else "."
    why = "Which of the ways to wait cancels the others when one fails?"
    more = "Start the tasks in a `TaskGroup`, and ask for their results after its block."
    demand(not (running or later), "left-running", shown, why, more)
    shown = f"one fetch failed at once, but the caller got the error {at:.2f} s later, after "
    shown += f"{len(shop.asked)} fetches had begun."
    more = "A `TaskGroup` cancels them as soon as one of its tasks fails."
    demand(at <= 1e-6, "late", shown, "Why fetch the others once one has failed?", more)


@exercise("01-settle")
@quietly
def settles(answer: Any) -> str:
    """Check a function that settles one future with another's outcome."""
    judge_settle(answer)
    return "results, exceptions and cancellations are passed on; a cancelled `after` is left alone."


@exercise("01-states")
def states(answer: Any) -> str:
    """Check the bets on the state of the last future in a chain."""
    bets = read_list(answer, "three words", "a word")
    bets = [bet.strip().lower() if isinstance(bet, str) else bet for bet in bets]
    bets = ["cancelled" if bet == "canceled" else bet for bet in bets]
    words = ("pending", "result", "exception", "cancelled")
    shown = f"the answer is a list of three words out of {', '.join(words)}, got {answer!r}."
    demand(len(bets) == 3 and all(bet in words for bet in bets), "kind", shown)
    for number, (got, (right, code, why)) in enumerate(zip(bets, _STATES, strict=True), start=1):
        demand(got == right, code, f"number {number} is not {got!r}.", why)
    return "each outcome travels down the chain by itself, from the first future to the last."


@exercise("01-parsons")
def parsons(answer: Any) -> str:
    """Check an order of lines by running the program that they form."""
    fetch_again, shop = _build(answer)
    key, missing = shop.keys[:2]
    run = attempt(fetch_again, key, may_raise=(asyncio.InvalidStateError, Deadlock))
    is_early = isinstance(run.error, asyncio.InvalidStateError)
    shown = "InvalidStateError: the future was asked for its result while it was still pending."
    demand(not is_early, "early", shown, "Which line waits until it is settled?")
    shown = "the future is awaited, but nothing was told to settle it."
    demand(not isinstance(run.error, Deadlock), "order", shown)
    shown = f"it returned {run.result!r:.40}, not the data."
    demand(run.result == shop.data[key], "results", shown, "Which line returns the data?")
    run = attempt(fetch_again, missing, may_raise=(KeyError, Deadlock))
    shown = "it works for an object that is there. For a missing one it waits for ever: the error "
    shown += "was printed, and the future stays pending."
    why = "Which function of a future takes an error?"
    demand(not isinstance(run.error, Deadlock), "lost-error", shown, why)
    return "data arrives as a result, and a missing object as an exception: `await` is back."


def _build(answer: Any) -> tuple[Callable[[str], Coroutine[Any, Any, Any]], Shop]:
    """Build the program; return its function and the shop that it fetches from."""
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
    shown, why = "the first line is not the head of the function.", "Which line is?"
    demand(letters[0] == "D", "order", shown, why, "The `async def` comes first: D.")
    shown = f"line {letters[1]} uses `future`, and it has not been made yet."
    more = "B makes the future, right after D."
    demand(letters[1] == "B", "order", shown, "Which line makes it?", more)
    exec("\n".join(LINES[letter] for letter in letters), scope)
    return scope["fetch_again"], shop
