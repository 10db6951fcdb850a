"""Checks of a learner's answers: each returns a verdict, never a traceback.

`check("01-keep-going", keep_going)` runs the answer in virtual time, so the verdict is exact and
the same on every machine. It says what was seen, what was expected, and what to try.

    lesson_NN  the exercises of each lesson
    exam       twelve questions before the course and twelve after it
    papers     the exam of a whole class, before and after
    answers    what an answer must be before it is judged: not a stub, of the right kind
    verdicts   a check's verdict, as a line and as a block
    standing   which exercises have passed or are open; the learner's answer if it passed, else ours
    cells      tells whether an answer's latest edit was judged
    attempts   runs an answer where it can do no harm
    scenes     runs a check's own code that uses an answer
    examples   recognises mistakes by example
    kernels    judges a function that runs the cells of a notebook
    reporters  judges tasks that report in the background
    stopping   judges training runs that can be stopped
    anywhere   judges a function that runs a coroutine whether or not a loop is running
    fetches    judges functions that fetch many keys
    settling   judges a function that settles one future with another's outcome
    loaders    judges loaders of several keys at a time: workers that share a buffer
    windows    judges loaders with four fetches in flight: all data at the end, or each in key order
    stages     judges a pipeline of two stages, and a generator that loads ahead
    retries    judges a fetch with retries
    harvests   judges a function that fetches all keys, some of which are broken
    readings   judges functions that read a file within a time limit
    troubles   judges functions that clean up however they end
    patients   judges fixes of a blocked loop and of a deadlock
    storms     judges functions that retry, and their pauses
    locks      judges the locking of a class whose state others update too
    servers    a parameter server that records how it was used
    arrays     judges plain functions of arrays
    backward   judges the backward pass of a layer and of a network
    loops      judges a training loop by the rows that its model sees
    bucket     the bucket from hell
    batchers   judges micro-batchers
    callers    six callers of a batcher, for a timeline
    shedding   judges a call that is refused when the queue is full
    drivers    judges schedulers of coroutines, in turns or by wake-up time
    futures    judges the learner's Future
    steppers   judges the learner's Task, with and without cancellation
    sockets    judges a future for a socket
    tasks      our own Future, Task and the rest of a loop
    hearts     judges code that keeps a loop free, by a heartbeat beside it
    recipes    judges a program that loads, trains and reports
    nightly    a slow program that loads, trains and reports, for the learner to mend
    tallies    judges a counter that many threads update
    predictions  what formulas and experience predict for lessons 04, 05 and 08
    fleets     workers of a distributed training run, and parameters behind a slow connection
    feeders    judges training while the next batches load
    snapshots  judges a snapshot from which a training run resumes
    endings    judges early stopping, and runs that resume after a kill
    ours       our own answers to exercises of lessons 01 and 09
    league     scores loaders that empty the bucket from hell
    capstone   the world of lesson 12, and our four functions in it
    nights     judges training runs that resume after a power cut
    rush       judges an application under a burst of requests
    programs   runs cells as a program in a process, and kills it
    board      the score of a whole program, and a leaderboard for a class
"""

import contextlib
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from numbers import Real
from typing import Any

import numpy as np

from asyncml.course.exercises.cells import outdated
from asyncml.course.exercises.standing import CHECKS, OURS, load, note, progress, yours_or_ours
from asyncml.course.exercises.verdicts import Verdict, recording
from asyncml.failures import hide_stop, shorten

__all__ = ["Verdict", "Wrong", "check", "exercise", "expect", "progress", "yours_or_ours"]

_failures: Counter[str] = Counter()


class Wrong(Exception):
    """Raised by a check: the answer is not right.

    Args:
        code: a word for what was wrong; "open" if the learner has tried nothing yet.
        message: what was seen and what was expected.
        hint: what to think about, shown at the first failure.
        more: what to do, shown from the second failure on; by default `hint`.
    """

    def __init__(self, code: str, message: str, hint: str = "", more: str = "") -> None:
        super().__init__(code, message)
        self.code, self.message, self.hint, self.more = code, message, hint, more or hint


def demand(is_right: bool, code: str, message: str, hint: str = "", more: str = "") -> None:
    """Raise `Wrong` unless `is_right`."""
    if not is_right:
        raise Wrong(code, message, hint, more)


def refuse(shown: str, *faults: tuple[bool | str, ...]) -> None:
    """Raise `Wrong` for the first fault that is present.

    Args:
        shown: what was seen, the same for every fault.
        faults: for each, whether it is present, its code, and optionally a hint and a fuller hint.
    """
    for is_there, *said in faults:
        if is_there:
            code, *hints = map(str, said)
            raise Wrong(code, shown, *hints)


def exercise(name: str, ours: Any = None) -> Callable[[Callable[[Any], str]], Callable[[Any], str]]:
    """Register a check: a function of the answer that returns a sentence, or raises `Wrong`.

    Args:
        name: the exercise's name.
        ours: the course's own answer, if later cells need one or its timeline can be compared.
    """

    def register(function: Callable[[Any], str]) -> Callable[[Any], str]:
        CHECKS[name] = function
        if ours is not None:
            OURS[name] = ours
        return function

    return register


def check(name: str, answer: Any, *, solution: bool = False) -> Verdict:
    """Check the answer to an exercise.

    Args:
        name: the exercise's name, which begins with its lesson's number or with "exam-".
        answer: what the exercise asks for, such as a function, a number or an order of lines.
        solution: whether the answer is the course's own; the verdict then says so.

    Returns:
        The verdict, also for a wrong answer: nothing that the answer does is raised.

    Raises:
        ValueError: there is no exercise with that name.
    """
    try:
        load(name)
        function = CHECKS[name]
    except (ModuleNotFoundError, KeyError):
        known = ", ".join(sorted(CHECKS)) or "none has been loaded"
        raise ValueError(f"there is no exercise {name!r}; known: {known}") from None
    try:
        with recording() as seen:
            verdict = _judge(name, function, answer, solution)
    except KeyboardInterrupt as stop:
        hide_stop(stop)
        raise
    if verdict.state == "wrong" and not solution:
        verdict = replace(verdict, **_compared(name, seen))
    note(verdict, answer)
    return verdict


def _judge(name: str, function: Callable[[Any], str], answer: Any, solution: bool) -> Verdict:
    try:
        return Verdict(name, "passed", function(plain(answer)), is_solution=solution)
    except Wrong as wrong:
        if wrong.code != "open":
            _failures[name] += 1
        hint = wrong.hint if _failures[name] < 2 else wrong.more
        hint = " ".join(filter(None, [hint, outdated(answer)]))
        message = " ".join(filter(None, [wrong.message, hint]))
        return Verdict(name, wrong.code, message, hint, is_solution=solution)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # raised by the answer's own methods, such as __eq__ or __repr__
        _failures[name] += 1
        message = f"it cannot be judged: comparing or showing it raised {said_by(error)}."
        return Verdict(name, "unusable", message, is_solution=solution)


def _compared(name: str, seen: list[Any]) -> dict[str, Any]:
    """Return timelines of an answer's last run and of ours in the same scene, if they differ."""
    if not seen or seen[-1] is None or not seen[-1].duration_s:
        return {}
    with recording() as expected, contextlib.suppress(Exception):
        CHECKS[name](OURS[name])
    ours = expected[len(seen) - 1] if len(expected) >= len(seen) else None
    if ours is not None and _shape(ours) == _shape(seen[-1]):
        return {}
    return {"yours": seen[-1], "ours": ours}


def _shape(timeline: Any) -> list[Any]:
    return [piece[1:4] for piece in timeline.slices]  # without the lanes' names


def plain(answer: Any) -> Any:
    """Return an answer with lists for arrays and Python's numbers for NumPy's."""
    try:
        if isinstance(answer, np.ndarray | np.generic):
            answer = answer.tolist()
        if type(answer) in (list, tuple):
            return type(answer)(map(plain, answer))
        if type(answer) is dict:
            return {plain(key): plain(value) for key, value in answer.items()}
    except Exception:  # too deeply nested or self-referential: never a right answer
        return answer
    return answer


def said_by(error: BaseException) -> str:
    """Return an error's type and message on one line, even if its `__str__` raises."""
    try:
        text = re.sub(r" at 0x[0-9A-Fa-f]+", "", " ".join(str(error).split()))  # varies
    except Exception as second:
        text = f"a message that raises {type(second).__name__}"
    return f"{type(error).__name__}: {text}".rstrip(".: ")


def expect(answer: Any, right: Any, wrong: dict[Any, tuple[str, str]], hint: str = "") -> None:
    """Raise `Wrong` unless a bet is right.

    Args:
        answer: the learner's number or word; `...` or None if there is none yet.
        right: the only right answer; numbers are compared with a tolerance of 1e-6.
        wrong: typical wrong answers, each with its code and its hint.
        hint: the hint for any other answer.
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
    return all(isinstance(value, Real) for value in values)  # NumPy's too


def _same(answer: Any, value: Any) -> bool:
    if _are_numbers(answer, value) and not isinstance(answer, bool):
        try:
            return bool(abs(answer - value) < 1e-6)
        except OverflowError:  # an int with hundreds of digits
            return False
    return type(answer) is type(value) and bool(answer == value)
