"""A learner's progress: what has passed, and whose answers later cells use."""

from collections.abc import Callable
from importlib import import_module
from typing import Any

from asyncml.course.exercises.verdicts import Verdict
from asyncml.look import printable

CHECKS: dict[str, Callable[[Any], str]] = {}  # in each lesson's order
OURS: dict[str, Any] = {}  # the course's own answers, for cells that use an answer

_states: dict[str, tuple[str, str]] = {}  # state and code of the last verdict
_passed: dict[str, Any] = {}  # the answer that passed last
_MARKS = {"passed": "✔", "wrong": "✘", "open": "○"}


def load(name: str) -> None:
    """Import the lesson that an exercise belongs to; raise ModuleNotFoundError if there is none."""
    home = "exam" if name.startswith("exam-") else f"lesson_{name[:2]}"
    import_module(f"{__package__}.{home}")


def note(verdict: Verdict, answer: Any) -> None:
    """Remember the verdict on a learner's answer; an exercise that has passed stays passed."""
    if verdict.is_solution:
        return
    if verdict.state == "passed":
        _passed[verdict.exercise] = answer
    if verdict.state == "passed" or verdict.exercise not in _passed:
        _states[verdict.exercise] = verdict.state, verdict.code


def yours_or_ours(name: str) -> Any:
    """Return your answer to an exercise if it has passed its check, and ours otherwise.

    So the rest of a lesson runs with what you wrote, and also without it. If several of your
    answers have passed, the last one counts. Prints whose answer it returns.

    Args:
        name: the exercise's name, such as "09-feeder".

    Raises:
        ValueError: no later cell needs the answer to that exercise.

    Example:
        >>> yours_or_ours("02-report").__name__
        with our answer to 02-report, since yours has not passed its check yet
        'report'
    """
    load(name)
    if name not in OURS:
        raise ValueError(f"we have no answer to {name!r}; we have: {', '.join(OURS)}")
    if name in _passed:
        print(f"with your answer to {name}")
        return _passed[name]
    print(f"with our answer to {name}, since yours has not passed its check yet")
    return OURS[name]


class Progress:
    """The state of each exercise of a lesson, shown in two lines."""

    def __init__(self, lesson: str) -> None:
        self.lesson = lesson

    def __repr__(self) -> str:
        """Return how many exercises have passed, and a mark and the name of each."""
        names = [name for name in CHECKS if name[:2] == self.lesson]
        found = {name: _states.get(name, ("open", "open")) for name in names}
        parts = [
            f"{_MARKS[state]} {name[3:]}" + (f" ({code})" if state == "wrong" else "")
            for name, (state, code) in found.items()
        ]
        count = sum(state == "passed" for state, _ in found.values())
        lines = [f"lesson {self.lesson}: {count} of {len(names)} passed", "  ".join(parts)]
        return printable("\n".join(lines))


def progress(lesson: str | int | None = None) -> Progress:
    """Return the state of a lesson's exercises: passed, wrong (and why), or open.

    Args:
        lesson: the lesson's number, such as 3 or "03"; by default that of the last check.

    Raises:
        ValueError: there is no such lesson, or none was named and nothing has been checked yet.

    Example:
        >>> progress(8)
        lesson 08: 0 of 9 passed
        ○ shapes  ○ gradient  ○ errors  ...
    """
    last = next((name for name in reversed(_states) if name[:2].isdigit()), "")
    number = last[:2] if lesson is None else str(lesson).zfill(2)
    if not number:
        raise ValueError("nothing has been checked yet: name a lesson, `aml.progress(3)`")
    try:
        load(number)
    except ModuleNotFoundError:
        raise ValueError(f"there is no lesson {lesson!r} with exercises") from None
    return Progress(number)
