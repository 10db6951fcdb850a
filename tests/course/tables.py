"""A common form for the tests of the checks: this answer gets this verdict, in these words.

A table is text. A line has the code of a verdict and, after bars, words of the first verdict and of
the second, which says more. Below that line, indented, is what a learner writes under the head of
her function:

    sequence | one after the other | Start all of them
        return [await fetch(key) for key in keys]
"""

import functools
import itertools
import re
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from asyncml.course.exercises import attempts, check
from tests.leftovers import no_failures_yet, nothing_is_left


@dataclass(frozen=True)
class Case:
    """An answer to an exercise, the code of its verdict, and words of the first and the second."""

    exercise: str
    answer: Any
    code: str
    words: tuple[str, ...] = ()

    def judge(self, limit_s: float = 0.05) -> None:
        """Check the answer once for each of `words`; an endless one runs for `limit_s`."""
        with pytest.MonkeyPatch.context() as patch:
            if self.code == "endless":
                patch.setattr(attempts, "_LIMIT_S", limit_s)
            for words in self.words or ("",):
                verdict = check(self.exercise, self.answer)
                assert verdict.code == self.code, verdict
                assert not {"\n", "\r"} & set(repr(verdict))
                assert words in verdict.message

    @property
    def is_tidy(self) -> bool:
        """Whether the answer must leave nothing behind: a wrong one may have tasks lying about."""
        return self.code in ("passed", "open")


def every(*groups: Iterable[Case]) -> Callable[[Any], Any]:
    """Decorate a test with an argument `case`: it becomes one test per exercise, of all its cases.

    One pytest test for each of some 2,500 answers would take longer than most of the answers. Each
    case is still treated like a test: it starts afresh, and must leave nothing behind. All cases
    run, and errors name theirs. The cases of an exercise share the values of fixtures.
    """
    exercises: dict[str, list[Case]] = {}
    for case in itertools.chain(*groups):
        exercises.setdefault(case.exercise, []).append(case)

    def decorate(test: Callable[..., None]) -> Any:
        excused = any(mark.name == "untidy" for mark in getattr(test, "pytestmark", ()))

        @functools.wraps(test)
        def of_each(case: list[Case], **fixtures: Any) -> None:
            tests = (_error(test, one, excused, fixtures) for one in case)
            errors = [error for error in tests if error]
            if errors:
                raise errors[0] if len(errors) == 1 else ExceptionGroup("of these answers", errors)

        params = [pytest.param(cases, id=name) for name, cases in exercises.items()]
        return pytest.mark.untidy(pytest.mark.parametrize("case", params)(of_each))

    return decorate


def _error(
    test: Callable[..., None], case: Case, excused: bool, fixtures: dict[str, Any]
) -> Exception | None:
    try:
        with no_failures_yet(), nothing_is_left(untidy=excused or not case.is_tidy):
            test(case, **fixtures)
    except Exception as error:
        error.add_note(f"This is of {case}")
        return error
    return None


def values(exercise: str, by_code: Mapping[str, Iterable[Any]]) -> Iterator[Case]:
    """Yield a case for each value, by the code of its verdict."""
    for code, answers in by_code.items():
        yield from (Case(exercise, answer, code) for answer in answers)


def rows(exercise: str, *table: tuple[Any, ...]) -> Iterator[Case]:
    """Yield a case for each row: an answer, its code, and words of the verdicts."""
    for answer, code, *words in table:
        yield Case(exercise, answer, code, tuple(words))


def written(source: str, names: Mapping[str, Any]) -> Any:
    """Return the first thing that the source of a cell defines, given these names."""
    scope = dict(names)
    exec(compile(source, "<cell>", "exec"), scope)
    name = re.search(r"^(?:async def|def|class) (\w+)", source, re.MULTILINE)
    assert name, source
    return scope[name[1]]


def table(exercise: str, names: Mapping[str, Any], head: str, text: str) -> Iterator[Case]:
    """Yield the cases of a table whose answers share a head, such as "def add(a, b):"."""
    for part in re.split(r"^(?=\S)", textwrap.dedent(text), flags=re.MULTILINE):
        if not part.strip():
            continue
        line, _, body = part.partition("\n")
        code, *words = line.split(" | ")
        yield Case(exercise, written(f"{head}\n{body}", names), code, tuple(words))


def changed(
    exercise: str, names: Mapping[str, Any], source: str, *table: tuple[Any, ...]
) -> Iterator[Case]:
    """Yield a case for each row: changes to a right answer's source, a code, and words.

    A change is a pair: the old text, and the new. A single change needs no list around it.
    """
    for changes, code, *words in table:
        text = source
        for old, new in [changes] if changes and isinstance(changes[0], str) else changes:
            assert old in text, old
            text = text.replace(old, new)
        yield Case(exercise, written(text, names), code, tuple(words))
