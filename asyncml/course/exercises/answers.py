"""What an answer must be before it is judged: not a stub, and a list, dict, lines or class.

All lessons read their bets here, so a forgotten `...` always gets the same message.
"""

import inspect
import types
from collections.abc import Iterable, Mapping
from numbers import Real
from typing import Any

from asyncml.course.exercises import Wrong, demand, exercise, expect, plain
from asyncml.failures import shorten


def ask_number(
    name: str, right: Any, passed: str, hint: str, wrong: Mapping[Any, tuple[str, str]]
) -> None:
    """Register an exercise that asks for one number.

    Args:
        name: the exercise's name.
        right: the only right number.
        passed: the verdict's message when the answer is right.
        hint: the hint for a wrong number that is not in `wrong`.
        wrong: typical wrong numbers, each with its code and its hint.
    """

    @exercise(name)
    def judge(answer: Any) -> str:
        expect(answer, right, dict(wrong), hint)
        return passed


def is_number(value: Any) -> bool:
    """Return whether it is a number, including NumPy's but not True and False."""
    return isinstance(value, Real) and not isinstance(value, bool)


def demand_given(answer: Any, what: str) -> None:
    """Demand that the stub was replaced; otherwise say what to put there."""
    is_open = answer is ... or answer is None
    demand(not is_open, "open", f"put {what} in place of the `...`")


def demand_each(bets: Iterable[Any], one: str) -> None:
    """Demand that no bet in a list or a dict is still open."""
    is_open = any(bet is ... or bet is None for bet in bets)
    demand(not is_open, "open", f"put {one} in place of each `...`")


def read_list(answer: Any, all_of_them: str, one: str) -> list[Any]:
    """Return a list of bets; a single bet becomes a list of one.

    Args:
        answer: the learner's bets.
        all_of_them: what the exercise asks for, in words such as "three numbers".
        one: one of them in words, such as "a number".
    """
    demand_given(answer, all_of_them)
    bets = list(answer) if isinstance(answer, list | tuple) else [answer]
    demand_each(bets, one)
    return bets


def demand_keys(answer: Any, keys: Iterable[str], kind: str) -> None:
    """Demand a dict with exactly these keys; `kind` is the message otherwise."""
    demand(isinstance(answer, dict) and set(answer) == set(keys), "kind", kind)


def read_lines(answer: Any, lines: Mapping[str, str], count: int, word: str) -> list[str]:
    """Return the letters of a program's lines; `count` of them are needed (`word` in words)."""
    demand_given(answer, "the letters of the lines")
    text = "".join(map(str, answer)) if isinstance(answer, str | list | tuple) else ""
    letters = [letter for letter in text.upper() if letter.isalpha()]
    if not letters or set(letters) - set(lines):
        kind = f"a text of letters from A to {max(lines)}"
        raise Wrong("kind", f"the answer is {kind}, got {answer!r:.40}.")
    shown = f"{word} different lines are needed, got {', '.join(letters)}."
    demand(len(letters) == len(set(letters)) == count, "count", shown)
    return letters


def check_kind(function: Any, is_async: bool) -> None:
    """Raise `Wrong` unless it is a function of the right kind and not a stub."""
    is_given = function is not ... and function is not None
    demand(is_given, "open", "put your answer in place of the `...`")
    shown = f"the answer is a function, got {shorten(function)}."
    demand(callable(function), "kind", shown, "Without the `()`?")
    name = getattr(function, "__name__", "it")
    demand(not is_stub(function), "open", f"write the body of `{name}` in place of the `...`")
    is_generator = is_async and inspect.isasyncgenfunction(function)
    shown = f"`{name}` has a `yield` in it, which makes it a generator."
    demand(not is_generator, "kind", shown, "Give the result back with `return`.")
    is_right = not is_async or inspect.iscoroutinefunction(function)
    demand(is_right, "kind", f"`{name}` must be an `async def`.", "Put `async` before its `def`.")


def is_stub(function: Any) -> bool:
    """Return whether a function's body is still just `...`, apart from a docstring."""
    code = getattr(function, "__code__", None)
    if code is None or set(code.co_consts) - {None, function.__doc__}:
        return False
    kind = "async def" if inspect.iscoroutinefunction(function) else "def"
    scope: dict[str, Any] = {}
    exec(f"{kind} bare(): ...\n{kind} told():\n    'doc'\n    ...", scope)
    return any(code.co_code == scope[name].__code__.co_code for name in ("bare", "told"))


def check_plain(function: Any) -> None:
    """Demand a plain `def` that is not a stub."""
    check_kind(function, False)
    shown = f"a function was expected, got {shorten(function)}."
    demand(isinstance(function, types.FunctionType), "kind", shown, "Without the `()`?")
    _demand_plain(function)


def _demand_plain(function: Any, why: str = "") -> None:
    is_async = inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)
    demand(not is_async, "kind", f"`{function.__name__}` must be a plain `def`.", why)


def demand_class(answer: Any) -> None:
    """Demand a class."""
    demand_given(answer, "your class")
    shown = f"a class was expected, got {shorten(answer)}."
    demand(isinstance(answer, type), "kind", shown, "Without the `()`?")


def read_class(answer: Any, names: str = "", why_plain: str = "") -> types.FunctionType:
    """Demand a class whose methods are plain and not stubs; return its first method.

    Args:
        answer: the learner's class.
        names: the methods that must be written, separated by spaces; by default all.
        why_plain: the hint if `__await__` is an `async def`.
    """
    demand_class(answer)
    methods = {n: one for n, one in vars(answer).items() if isinstance(one, types.FunctionType)}
    demand(bool(methods), "kind", f"`{answer.__name__}` has no methods of its own.")
    for name, method in methods.items():
        _demand_plain(method, why_plain if name == "__await__" else "")
    is_open = any(is_stub(methods.get(name)) for name in names.split() or methods)
    demand(not is_open, "open", f"write the methods of `{answer.__name__}` in place of each `...`")
    return next(iter(methods.values()))


def demand_method(answer: Any, name: str, given: type, is_async: bool) -> None:
    """Demand a class with a method that differs from the one the lesson gives.

    Args:
        answer: the learner's class.
        name: the method's name.
        given: the class as the lesson gives it.
        is_async: whether the method must be an `async def`.
    """
    demand_class(answer)
    method = getattr(answer, name, None)
    demand(callable(method), "kind", f"`{answer.__name__}` has no method `{name}`.")
    check_kind(method, is_async)
    if not is_async:
        _demand_plain(method, "Threads call it, and no loop runs there.")
    is_given = all(
        _code(getattr(answer, one)) == _code(getattr(given, one)) for one in (name, "__init__")
    )
    demand(not is_given, "open", "as it stands, updates get lost: mend it")


def _code(function: Any) -> bytes:
    return getattr(getattr(function, "__code__", None), "co_code", b"")


def demand_returned(result: Any) -> None:
    """Demand that a function returned something other than None."""
    demand(result is not None, "no-return", "it returned None.", "Is there a `return`?")


def read_results(result: Any) -> list[Any]:
    """Return the list that a function returned, with NumPy's values as Python's."""
    result = plain(result)
    if not isinstance(result, list | tuple):
        why = "Is there a `return`?" if result is None else "`return` a list of all the results."
        raise Wrong("kind", f"it returned {result!r:.60}, and not a list.", why)
    return list(result)


def is_mixed_up(found: list[Any], right: list[Any]) -> bool:
    """Return whether `found` is `right` in any order."""
    return sorted(map(repr, found)) == sorted(map(repr, right))


def codes_of(*functions: Any) -> list[types.CodeType]:
    """Return the code of functions and of functions nested in them; built-ins have none."""
    codes = [function.__code__ for function in functions if hasattr(function, "__code__")]
    for code in codes:  # the list grows during the loop
        codes += [part for part in code.co_consts if isinstance(part, types.CodeType)]
    return codes


def names_of(*functions: Any) -> set[str]:
    """Return the global and attribute names that functions use, without local variables."""
    return {name for code in codes_of(*functions) for name in code.co_names}


def times(count: int) -> str:
    """Return a count in words; more than fifty is "without end"."""
    return "once" if count == 1 else f"{count} times" if count <= 50 else "without end"
