"""The exercises of lesson 01: two bets, fetches in order, bounded, failing; a future; lines."""

import asyncio
import random
from collections.abc import Callable, Coroutine
from typing import Any, NamedTuple

from asyncml.clock import Deadlock
from asyncml.course.exercises import Wrong, exercise, expect, ours
from asyncml.course.exercises.answers import names_of, read_lines, read_list
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
    NOT_AWAITABLE,
    Hints,
    check_plain,
    demand,
    hinting,
    play,
    quietly,
)
from asyncml.failures import shorten

# 01-parsons: lines of a program, of which four are needed
LINES = {
    "A": "    return await future",
    "B": "    future = asyncio.get_running_loop().create_future()",
    "C": "    fetch_with_callbacks(key, future.set_result, print)",
    "D": "async def fetch_again(key):",
    "E": "    fetch_with_callbacks(key, future.set_result, future.set_exception)",
    "F": "    return future.result()",
}

# fetches: errors that are typical, with a hint of their own
_HINTS: Hints = {
    "run() cannot be called": (
        "run",
        "`run` starts an event loop. How many are running already?",
        "A loop is running your function: `await` in it what you would give to `run`.",
    ),
    **dict.fromkeys(
        NOT_AWAITABLE,
        (
            "not-awaitable",
            "You can await a coroutine, a task or a future. What did you await?",
            "`await fetch(key)`, or `await task` for each task. (A semaphore takes `async with`.)",
        ),
    ),
    "a coroutine was expected, got b": (
        "awaited",
        "Which `await` ran the fetch before it was made a task?",
        "Leave out the `await` before `fetch(key)`: `create_task` takes the coroutine.",
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
_AT_ONCE = 3  # 01-three-at-once: the most fetches that may run

# 01-states: each right answer, with the code and the hint of a wrong one
_STATES = [
    ("pending", "settled", "The fetch of `d` takes 15 ms. Can anything be known after 10?"),
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
        0: ("free", "Each `await` waits until its function has ended."),
        2000: ("unit", "That would be milliseconds. How many seconds is it?"),
    }
    expect(answer, 2.0, wrong, "Go through `main` line by line: which lines wait, and how long?")
    return "2 s. One second, and then another: nothing overlaps."


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
    return "a missing object costs its own result and nothing else; other errors come out."


def _run(answer: Any, shop: Shop, may_raise: tuple[type[BaseException], ...] = ()) -> Attempt:
    """Run an answer on the keys of a shop, with hints for what is typical of this lesson."""
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
    """Refuse too many at once, too few, and places that stay free while keys wait."""
    if shop.most > _AT_ONCE:
        raise Wrong(
            "too-many",
            f"{shop.most} fetches ran at once, and three are allowed.",
            "What makes the fourth fetch wait, until one of the first three has ended?",
            "One `asyncio.Semaphore(3)` for all tasks, and the `await fetch(key)` itself inside "
            "its `async with`, in a small `async def` of your own.",
        )
    began, ended = sorted(shop.began), sorted(shop.ended)
    if shop.most < _AT_ONCE and began:
        some = "one fetch ran" if shop.most == 1 else f"{shop.most} fetches ran"
        raise Wrong(
            "too-few",
            f"never more than {some} at once, and three are allowed.",
            "Which `await` has to end before the next fetch begins?",
            "Start a task for each key first; one `asyncio.Semaphore(3)` then lets three fetch.",
        )
    due = [0.0] * _AT_ONCE + ended
    for number, (start, free) in enumerate(zip(began, due, strict=False)):
        if start > free + 1e-6:
            count = len(began) - number
            raise Wrong(
                "free-place",
                f"at {free:.2f} s there was a free place and {count} "
                f"{'key' if count == 1 else 'keys'} waited, but the next fetch began at "
                f"{start:.2f} s.",
                "Does a fast fetch have to wait for a slow one before the next may begin?",
                "Do not divide the keys: start a task for each, and let a semaphore decide.",
            )


def _judge_failure(answer: Any) -> None:
    """Let one fetch fail early; refuse an answer that hides it, or works on."""
    shop = Watched(seed=4)
    failing = shop.keys[1]
    shop.delays[failing] = 0  # before any other ends
    shop.errors = {failing: ConnectionError("no route")}

    async def scene() -> tuple[bool, float, int, int]:
        came_out = False
        try:
            await answer(shop.fetch, list(shop.keys))
        except* ConnectionError:
            came_out = True
        at, running, asked = asyncio.get_running_loop().time(), shop.running, len(shop.asked)
        await asyncio.sleep(10)
        return came_out, at, running, len(shop.asked) - asked

    came_out, at, running, later = play(scene, of=answer).result
    if not came_out:
        why = "Which of your lines catches it, or leaves it in a list?"
        more = "Catch nothing, and do not use `return_exceptions`: let it come out."
        raise Wrong("swallowed", "one fetch raised, and the caller never saw the error.", why, more)
    if running or later:
        shown = f"the error came out while {running} "
        shown += f"{'fetch' if running == 1 else 'fetches'} ran on"
        shown += f", and {later} more began later." if later else "."
        why = "Which of the ways to wait cancels the others when one fails?"
        more = "Start the tasks in a `TaskGroup`, and ask for their results after its block."
        raise Wrong("left-running", shown, why, more)
    if at > 1e-6:
        shown = f"one fetch failed at once, and the error came out {at:.2f} s later, when "
        shown += f"{len(shop.asked)} fetches had begun."
        why = "What were the others fetched for?"
        more = "A `TaskGroup` cancels them as soon as one of its tasks fails."
        raise Wrong("late", shown, why, more)


def settle(done: Any, after: Any, function: Any) -> None:
    """Settle one future with what a function makes of another, which is done (01-settle)."""
    if after.cancelled():
        return  # nobody wants it any more
    try:
        after.set_result(function(done.result()))
    except asyncio.CancelledError:
        after.cancel()
    except Exception as error:
        after.set_exception(error)


@exercise("01-settle")
@quietly
def settles(answer: Any) -> str:
    """Check a function that settles a future with what comes of another."""
    check_plain(answer)
    shown = "It is called with three arguments: `(done, after, function)`."
    why = "`set_exception` takes an exception, such as the one that an `except` has caught."
    hints: Hints = {
        "positional argument": ("arguments", shown),
        "invalid exception object": ("no-exception", why, "`after.set_exception(error)`."),
    }
    play(_settle_all, answer, of=answer, hints=hints)
    return (
        "results, exceptions and cancellations are passed on, and what nobody wants is left alone."
    )


class _Case(NamedTuple):
    """A way in which the first future is done, and what the second must be then."""

    code: str
    when: str
    prepare: Callable[[Any, Any], object]  # called with `done` and `after`
    right: str
    hint: str
    more: str


_CASES = [
    _Case(
        "result",
        "`done` had the result 21, and `function` doubles it",
        lambda done, after: done.set_result(21),
        "finished with the result 42",
        "`function` takes the result of `done`. Which method gives `after` what comes of it?",
        "`after.set_result(function(done.result()))`.",
    ),
    _Case(
        "error",
        "`done` had a KeyError",
        lambda done, after: done.set_exception(KeyError("d")),
        "finished with a KeyError",
        "`done.result()` raises the exception. Who catches it, and which method takes it?",
        "A `try` around it; then `except Exception as error: after.set_exception(error)`.",
    ),
    _Case(
        "function",
        "`done` had a result, and `function` raised a ValueError",
        lambda done, after: done.set_result(None),
        "finished with a ValueError",
        "`function` may fail as well. Does the call stand inside the `try`?",
        "Put `function(...)` inside the `try`, whose `except` gives the exception to `after`.",
    ),
    _Case(
        "cancelled",
        "`done` was cancelled",
        lambda done, after: done.cancel(),
        "cancelled",
        "`done.result()` then raises a CancelledError, which is not an `Exception`.",
        "`except asyncio.CancelledError: after.cancel()`.",
    ),
    _Case(
        "unwanted",
        "somebody had cancelled `after`",
        lambda done, after: (done.set_result(21), after.cancel()),
        "cancelled",
        "It can be settled only once. What do you have to ask first?",
        "Begin with `if after.cancelled(): return`.",
    ),
]


async def _settle_all(answer: Any) -> None:
    """Let an answer settle a future in each case."""
    for case in _CASES:
        new = asyncio.get_running_loop().create_future
        given: list[Any] = []
        done, after = new(), new()
        case.prepare(done, after)

        mistake = ValueError("no PNG")

        def function(value: Any, given: list[Any] = given, mistake: Any = mistake) -> Any:
            given.append(value)
            if value is None:
                raise mistake
            return value * 2 if isinstance(value, int) else value

        try:
            answer(done, after, function)
        except (KeyError, ValueError, asyncio.CancelledError, asyncio.InvalidStateError) as raised:
            shown = f"{case.when}: your function raised {type(raised).__name__}."
            raise Wrong(case.code, shown, case.hint, case.more) from None
        _judge_calls(case, given)
        shown = f"{case.when}: `after` is {_state(after)}; it should be {case.right}."
        demand(_state(after) == case.right, case.code, shown, case.hint, case.more)
        if case.code in ("error", "function"):
            is_same = after.exception() in (mistake, done.exception())
            shown = f"{case.when}: `after` has another exception of that kind."
            demand(is_same, case.code, shown, "Pass on the one that you caught.", case.more)


def _judge_calls(case: _Case, given: list[Any]) -> None:
    """Refuse calls of the function with something else than the result, or too many."""
    right = {"result": 21, "function": None}
    if case.code in right and any(value is not right[case.code] for value in given):
        name = "future" if asyncio.isfuture(given[0]) else type(given[0]).__name__
        shown, why = f"`function` was given a {name}, and not the result.", "Where is the result?"
        raise Wrong("result", shown, why, "`function(done.result())`.")
    shown = f"{case.when}: `function` was called, and there is no result."
    why = "`done.result()` raises before the call: `function(done.result())`."
    demand(not given or case.code not in ("error", "cancelled"), case.code, shown, why)
    shown, why = f"`function` was called {len(given)} times.", "Keep what it returns in a variable."
    demand(len(given) < 2, "twice", shown, why)


def _state(future: Any) -> str:
    if not future.done():
        return "still pending"
    if future.cancelled():
        return "cancelled"
    if error := future.exception():
        return f"finished with a {type(error).__name__}"
    return f"finished with the result {shorten(future.result())}"


@exercise("01-states")
def states(answer: Any) -> str:
    """Check the bets on the states of the last future of a chain."""
    bets = read_list(answer, "three words", "a word")
    bets = [bet.strip().lower() if isinstance(bet, str) else bet for bet in bets]
    bets = ["cancelled" if bet == "canceled" else bet for bet in bets]
    words = ("pending", "result", "exception", "cancelled")
    shown = f"the answer is a list of three words out of {', '.join(words)}, got {answer!r}."
    demand(len(bets) == 3 and all(bet in words for bet in bets), "kind", shown)
    for number, (got, (right, code, why)) in enumerate(zip(bets, _STATES, strict=True), start=1):
        demand(got == right, code, f"number {number} is not {got!r}.", why)
    return "the chain passes them on by itself, from the first future to the last."


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
    demand(run.result == shop.data[key], "results", shown, "Which line gives the data back?")
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
    shown, why = "the function does not begin with its head.", "Which line is it?"
    demand(letters[0] == "D", "order", shown, why, "The `async def` comes first: D.")
    shown, why = (
        f"line {letters[1]} uses `future`, and it has not been made yet.",
        "Which line makes it?",
    )
    demand(letters[1] == "B", "order", shown, why, "B makes the future, right after D.")
    exec("\n".join(LINES[letter] for letter in letters), scope)
    return scope["fetch_again"], shop
