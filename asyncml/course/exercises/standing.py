"""Where a learner stands: what has passed, which later cells run, and what is still to be done."""

from collections.abc import Callable
from importlib import import_module
from typing import Any

from asyncml.course.exercises.verdicts import Verdict
from asyncml.look import printable

CHECKS: dict[str, Callable[[Any], str]] = {}  # in the order of each lesson
OURS: dict[str, Any] = {}  # the course's own answers, for cells that go on with an answer

_states: dict[str, tuple[str, str]] = {}  # the state and the code of the last verdict
_passed: dict[str, Any] = {}  # what passed last
_MARKS = {"passed": "✔", "wrong": "✘", "open": "○"}


def load(name: str) -> None:
    """Load the lesson that an exercise belongs to, or raise ModuleNotFoundError."""
    home = "exam" if name.startswith("exam-") else f"lesson_{name[:2]}"
    import_module(f"{__package__}.{home}")


def note(verdict: Verdict, answer: Any) -> None:
    """Remember how an answer of the learner's was judged; what has passed stays passed."""
    if verdict.is_solution:
        return
    if verdict.state == "passed":
        _passed[verdict.exercise] = answer
    if verdict.state == "passed" or verdict.exercise not in _passed:
        _states[verdict.exercise] = verdict.state, verdict.code


def yours_or_ours(name: str) -> Any:
    """Return your answer to an exercise if it has passed its check, and ours otherwise.

    So a lesson goes on with what you wrote, and goes on without it too. What passed last counts. It
    prints which of the two it is.

    Args:
        name: of the exercise, such as "09-feeder".

    Raises:
        ValueError: no later cell needs the answer to that exercise.

    Example:
        >>> yours_or_ours("02-report").__name__
        with our answer to 02-report: yours has not passed its check yet
        'report'
    """
    load(name)
    if name not in OURS:
        raise ValueError(f"we have no answer to {name!r}; we have: {', '.join(OURS)}")
    if name in _passed:
        print(f"with your answer to {name}")
        return _passed[name]
    print(f"with our answer to {name}: yours has not passed its check yet")
    return OURS[name]


class Progress:
    """The exercises of a lesson and how each stands, in a line or two."""

    def __init__(self, lesson: str) -> None:
        self.lesson = lesson

    def __repr__(self) -> str:
        """Return a mark and the name of each exercise, and how many have passed."""
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
    """Tell how the exercises of a lesson stand: passed, tried (and what was wrong), or open.

    Args:
        lesson: its number, such as 3 or "03"; by default that of the last check.

    Raises:
        ValueError: there is no such lesson, or none was named and nothing was checked yet.

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
