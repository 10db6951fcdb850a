"""One form for the tests of the checks: this answer gets this verdict, in these words.

A table is text. A line of it names the code of a verdict and, after bars, words of the first
verdict and of the second, which says more. Below that line, indented, stands what a learner writes
under the head of her function:

    sequence | one after the other | Start all of them
        return [await fetch(key) for key in keys]
"""

import re
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from asyncml.course.exercises import attempts, check


@dataclass(frozen=True)
class Case:
    """An answer to an exercise, the code of its verdict, and words of the first and the second."""

    exercise: str
    answer: Any
    code: str
    words: tuple[str, ...] = ()

    def judge(self, limit_s: float = 0.1) -> None:
        """Check the answer, as often as words are asked for; one without an end for `limit_s`."""
        with pytest.MonkeyPatch.context() as patch:
            if self.code == "endless":
                patch.setattr(attempts, "_LIMIT_S", limit_s)
            for words in self.words or ("",):
                verdict = check(self.exercise, self.answer)
                assert verdict.code == self.code, verdict
                assert not {"\n", "\r"} & set(repr(verdict))
                assert words in verdict.message

    def param(self) -> Any:
        """Return it as one test; an answer that is wrong may leave something lying about."""
        is_tidy = self.code in ("passed", "open")
        marks = [] if is_tidy else [pytest.mark.untidy]
        return pytest.param(self, id=f"{self.exercise}-{self.code}", marks=marks)


def every(*groups: Iterable[Case]) -> Callable[[Any], Any]:
    """Decorate a test with `case` as its argument: it runs once for each of the cases."""
    return pytest.mark.parametrize("case", [case.param() for group in groups for case in group])


def values(exercise: str, by_code: Mapping[str, Iterable[Any]]) -> Iterator[Case]:
    """Return a case for each value, listed by the codes that they get."""
    for code, answers in by_code.items():
        yield from (Case(exercise, answer, code) for answer in answers)


def rows(exercise: str, *table: tuple[Any, ...]) -> Iterator[Case]:
    """Return a case for each row: an answer, its code, and words of the verdicts."""
    for answer, code, *words in table:
        yield Case(exercise, answer, code, tuple(words))


def written(source: str, names: Mapping[str, Any]) -> Any:
    """Return what the text of a cell defines first, where these names are known."""
    scope = dict(names)
    exec(compile(source, "<cell>", "exec"), scope)
    name = re.search(r"^(?:async def|def|class) (\w+)", source, re.MULTILINE)
    assert name, source
    return scope[name[1]]


def table(exercise: str, names: Mapping[str, Any], head: str, text: str) -> Iterator[Case]:
    """Return the cases of a table whose answers have one head, such as "def add(a, b):"."""
    for part in re.split(r"^(?=\S)", textwrap.dedent(text), flags=re.MULTILINE):
        if not part.strip():
            continue
        line, _, body = part.partition("\n")
        code, *words = line.split(" | ")
        yield Case(exercise, written(f"{head}\n{body}", names), code, tuple(words))


def changed(
    exercise: str, names: Mapping[str, Any], source: str, *table: tuple[Any, ...]
) -> Iterator[Case]:
    """Return a case for each row: changes to a right answer's text, a code, and words.

    A change is what stands there, and what is put in its place; one needs no list around it.
    """
    for changes, code, *words in table:
        text = source
        for old, new in [changes] if changes and isinstance(changes[0], str) else changes:
            assert old in text, old
            text = text.replace(old, new)
        yield Case(exercise, written(text, names), code, tuple(words))
