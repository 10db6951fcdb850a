"""The checks of a learner's answers: a verdict in one line, and never a traceback.

`check("01-keep-going", keep_going)` runs the answer in virtual time, so that the verdict is exact
and the same everywhere, and says what was seen, what was expected, and what to try.

    lesson_NN  the exercises of each lesson
    answers    what an answer must be before it is judged
    attempts   runs an answer where it can do no harm
    scenes     code of a check in which an answer is used
    examples   mistakes, each known by an example of it
    kernels    judges what runs the cells of a notebook
    reporters  judges tasks that report in the background
    stopping   judges training runs that can be stopped
    fetches    judges functions that fetch many keys
    loaders    judges parts of a loader: workers, stages, a prefetch, a buffer
    retries    judges a fetch that is tried again
    readings   judges functions that read a file within a time
    troubles   judges functions that clean up, however they end
    patients   judges a blocked loop and a deadlock, mended
    storms     judges functions that try again, and their pauses
    servers    a server that keeps a parameter, and how it was used
    backward   judges the backward pass of a layer and of a network
    loops      judges a training loop by the rows that its model sees
    bucket     the bucket from hell
    batchers   judges micro-batchers
    tasks      judges tasks and futures of one's own
    nightly    a slow program that loads, trains and reports, to be mended
    tallies    judges a class that counts for many threads
    predictions  what formulas and experience say of lessons 04 and 05
    feeders    judges what trains ahead of its data
    endings    judges early stopping, and runs that go on after a kill
    ours       a loop of the learner's, or the course's until hers passes
    league     loaders that empty it, and their scores
"""

import importlib
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np

from asyncml.failures import shorten
from asyncml.look import printable

__all__ = ["Verdict", "Wrong", "check", "exercise", "expect"]

_MARKS = {"passed": "✔", "open": "○"}
_checks: dict[str, Callable[[Any], str]] = {}
_failures: Counter[str] = Counter()


@dataclass(frozen=True)
class Verdict:
    """What a check says of an answer; shows as one line.

    Attributes:
        exercise: its name, such as "01-keep-going".
        code: "passed", "open" for a stub, or a word for what was wrong, the same in any language.
        message: what was seen, what was expected, and a hint.
    """

    exercise: str
    code: str
    message: str

    def __repr__(self) -> str:
        """Return the verdict as one line."""
        mark = _MARKS.get(self.code, "✘")
        return printable(f"{mark} {self.exercise} {self.code}: {self.message}")


class Wrong(Exception):
    """Ends a check: the answer is not right.

    Args:
        code: a word for what was wrong; "open" if nothing was tried yet.
        message: what was seen, and what was expected.
        hint: what to think about, shown at the first failure.
        more: what to do, shown from the second failure on; by default the hint again.
    """

    def __init__(self, code: str, message: str, hint: str = "", more: str = "") -> None:
        super().__init__(code, message)
        self.code, self.message, self.hint, self.more = code, message, hint, more or hint


def exercise(name: str) -> Callable[[Callable[[Any], str]], Callable[[Any], str]]:
    """Register a check: a function of the answer that returns a sentence, or raises `Wrong`."""

    def register(function: Callable[[Any], str]) -> Callable[[Any], str]:
        _checks[name] = function
        return function

    return register


def check(name: str, answer: Any) -> Verdict:
    """Check the answer to an exercise.

    Args:
        name: the name of the exercise, which begins with the number of its lesson.
        answer: what the exercise asks for: a function, a number, an order of lines.

    Returns:
        The verdict. A wrong answer is a verdict too, whatever it does: nothing is raised for it.

    Raises:
        ValueError: there is no exercise of that name.
    """
    try:
        importlib.import_module(f"{__name__}.lesson_{name[:2]}")
        function = _checks[name]
    except (ModuleNotFoundError, KeyError):
        known = ", ".join(sorted(_checks)) or "none has been loaded"
        raise ValueError(f"there is no exercise {name!r}; known: {known}") from None
    try:
        return Verdict(name, "passed", function(plain(answer)))
    except Wrong as wrong:
        if wrong.code != "open":
            _failures[name] += 1
        hint = wrong.hint if _failures[name] < 2 else wrong.more
        return Verdict(name, wrong.code, " ".join(filter(None, [wrong.message, hint])))
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # of the answer's own methods, when it is compared or shown
        _failures[name] += 1
        message = f"it cannot be judged: comparing or showing it raised {said_by(error)}."
        return Verdict(name, "unusable", message)


def plain(answer: Any) -> Any:
    """Return an answer with lists in place of arrays, and Python's numbers in place of NumPy's."""
    try:
        if isinstance(answer, np.ndarray | np.generic):
            answer = answer.tolist()
        if type(answer) in (list, tuple):
            return type(answer)(map(plain, answer))
        if type(answer) is dict:
            return {plain(key): plain(value) for key, value in answer.items()}
    except Exception:  # nested too deeply, or in itself: no answer to anything
        return answer
    return answer


def said_by(error: BaseException) -> str:
    """Name an error with its message on one line; the message may be one that cannot be had."""
    try:
        text = re.sub(r" at 0x[0-9A-Fa-f]+", "", " ".join(str(error).split()))  # of this one run
    except Exception as second:
        text = f"a message that raises {type(second).__name__}"
    return f"{type(error).__name__}: {text}".rstrip(".: ")


def expect(answer: Any, right: Any, wrong: dict[Any, tuple[str, str]], hint: str = "") -> None:
    """Compare a bet with what is right; raise `Wrong` otherwise.

    Args:
        answer: the learner's number or word; `...` or None if there is none yet.
        right: the one right answer; numbers are compared with a tolerance of 1e-6.
        wrong: typical wrong answers, each with its code and its hint.
        hint: for every other answer.
    """
    if answer is ... or answer is None:
        raise Wrong("open", "put your answer in place of the `...`")
    if _same(answer, right):
        return
    for typical, (code, why) in wrong.items():
        if _same(answer, typical):
            raise Wrong(code, f"not {shorten(answer)}.", why)
    if type(answer) is not type(right) and not _are_numbers(answer, right):
        kind = "a number" if _are_numbers(right) else f"a {type(right).__name__}"
        raise Wrong("kind", f"the answer is {kind}, got {shorten(answer)}.", hint)
    raise Wrong("other", f"not {shorten(answer)}.", hint)


def _are_numbers(*values: Any) -> bool:
    return all(isinstance(value, Real) for value in values)  # NumPy's, too


def _same(answer: Any, value: Any) -> bool:
    if _are_numbers(answer, value) and not isinstance(answer, bool):
        try:
            return bool(abs(answer - value) < 1e-6)
        except OverflowError:  # an int with hundreds of digits
            return False
    return type(answer) is type(value) and bool(answer == value)
