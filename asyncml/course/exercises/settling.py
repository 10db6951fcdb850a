"""Judges a function that settles one future with another's outcome, as in lesson 01.

Also has our own, which the lesson uses afterwards.
"""

import asyncio
from collections.abc import Callable
from typing import Any, NamedTuple

from asyncml.course.exercises import Wrong
from asyncml.course.exercises.scenes import Hints, check_plain, demand, play
from asyncml.failures import shorten

_HINTS: Hints = {
    "positional argument": (
        "arguments",
        "It is called with three arguments: `(done, after, function)`.",
    ),
    "invalid exception object": (
        "no-exception",
        "`set_exception` takes an exception, such as the one that an `except` has caught.",
        "`after.set_exception(error)`.",
    ),
}


def settle(done: Any, after: Any, function: Any) -> None:
    """Settle `after` with `function(done.result())`, or with whatever that raises (01-settle)."""
    if after.cancelled():
        return  # no longer wanted
    try:
        after.set_result(function(done.result()))
    except asyncio.CancelledError:
        after.cancel()
    except Exception as error:
        after.set_exception(error)


class _Case(NamedTuple):
    """A way in which the first future can be done, and the state that the second must have."""

    when: str
    prepare: Callable[[Any, Any], object]  # called with `done` and `after`
    right: str
    hint: str
    more: str


_CASES = {
    "result": _Case(
        "`done` had the result 21, and `function` doubles it",
        lambda done, after: done.set_result(21),
        "finished with the result 42",
        "`function` takes the result of `done`. Which method gives its own result to `after`?",
        "`after.set_result(function(done.result()))`.",
    ),
    "error": _Case(
        "`done` had a KeyError",
        lambda done, after: done.set_exception(KeyError("d")),
        "finished with a KeyError",
        "`done.result()` raises the exception. Where is it caught, and which method takes it?",
        "A `try` around it; then `except Exception as error: after.set_exception(error)`.",
    ),
    "function": _Case(
        "`done` had a result, and `function` raised a ValueError",
        lambda done, after: done.set_result(None),
        "finished with a ValueError",
        "`function` may fail as well. Is the call inside the `try`?",
        "Put `function(...)` inside the `try`, whose `except` gives the exception to `after`.",
    ),
    "cancelled": _Case(
        "`done` was cancelled",
        lambda done, after: done.cancel(),
        "cancelled",
        "`done.result()` then raises a CancelledError, which is not an `Exception`.",
        "`except asyncio.CancelledError: after.cancel()`.",
    ),
    "unwanted": _Case(
        "somebody had cancelled `after`",
        lambda done, after: (done.set_result(21), after.cancel()),
        "cancelled",
        "It can be settled only once. What do you have to ask first?",
        "Begin with `if after.cancelled(): return`.",
    ),
}


async def _settle_all(answer: Any) -> None:
    """Let the answer settle a future in each case."""
    for code, case in _CASES.items():
        new = asyncio.get_running_loop().create_future
        given, mistake = list[Any](), ValueError("no PNG")
        done, after = new(), new()
        case.prepare(done, after)

        def function(value: Any, given: list[Any] = given, mistake: Any = mistake) -> Any:
            given.append(value)
            if value is None:
                raise mistake
            return value * 2 if isinstance(value, int) else value

        hints = case.hint, case.more
        try:
            answer(done, after, function)
        except (KeyError, ValueError, asyncio.CancelledError, asyncio.InvalidStateError) as raised:
            shown = f"{case.when}: your function raised {type(raised).__name__}."
            raise Wrong(code, shown, *hints) from None
        _judge_calls(code, case.when, given)
        shown = f"{case.when}: `after` is {_state(after)}; it should be {case.right}."
        demand(_state(after) == case.right, code, shown, *hints)
        is_same = "finished with a " not in case.right or after.exception() in (
            mistake,
            done.exception(),
        )
        shown = f"{case.when}: `after` has another exception of that kind."
        demand(is_same, code, shown, "Pass on the one that you caught.", case.more)


def _judge_calls(code: str, when: str, given: list[Any]) -> None:
    """Refuse calls of the function with anything but the result, and repeated calls."""
    right = {"result": 21, "function": None}
    if code in right and any(value is not right[code] for value in given):
        name = "future" if asyncio.isfuture(given[0]) else type(given[0]).__name__
        shown, why = f"`function` was given a {name}, and not the result.", "Where is the result?"
        raise Wrong("result", shown, why, "`function(done.result())`.")
    shown = f"{when}: `function` was called, and there is no result."
    why = "`done.result()` raises before the call: `function(done.result())`."
    demand(not given or code not in ("error", "cancelled"), code, shown, why)
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


def judge_settle(answer: Any) -> None:
    """Raise `Wrong` unless results, exceptions and cancellations are passed on."""
    check_plain(answer)
    play(_settle_all, answer, of=answer, hints=_HINTS)
