"""A judge that recognises mistakes by example: it runs programs that make them, and compares.

A program is reduced to its traits: what it returned, how long it took, how often it called
something. The right example defines the right traits. Each wrong example makes a mistake that
somebody has made, and has the message for the next learner who makes it.
"""

from collections.abc import Callable
from typing import Any, TypeVar

from asyncml.course.exercises import Wrong

T = TypeVar("T")


class Examples:
    """Judges answers by the traits of example programs.

    Args:
        traits: runs a program and returns its traits by name; `==` must work on them.

    Example:
        >>> mean = Examples(lambda program: {"value": program([1, 2, 6])})
        >>> @mean.is_right
        ... def right(values):
        ...     return sum(values) / len(values)
        >>> @mean.is_wrong("median", "{value} is not the mean.", "Which values count?")
        ... def median(values):
        ...     return sorted(values)[len(values) // 2]
        >>> mean.judge(lambda values: values[1], "{value} is not the mean.")
        Traceback (most recent call last):
        asyncml.course.exercises.Wrong: ('median', '2 is not the mean.')
    """

    def __init__(self, traits: Callable[[Any], dict[str, Any]]) -> None:
        self.traits = traits
        self.right: Any = None
        self.wrong: list[tuple[Any, str, tuple[str, str, str]]] = []

    def is_right(self, program: T) -> T:
        """Register the right program; a decorator."""
        self.right = program
        return program

    def is_wrong(self, code: str, seen: str, hint: str, more: str = "") -> Callable[[T], T]:
        """Return a decorator that registers a program as an example of a mistake.

        Args:
            code: a word for the mistake.
            seen: what was seen, with traits by name in braces, as in "{peak} at once".
            hint: what to think about, shown at the first failure.
            more: what to do, shown from the second failure on; by default `hint`.
        """

        def register(program: T) -> T:
            self.wrong.append((program, code, (seen, hint, more)))
            return program

        return register

    def judge(self, answer: Any, otherwise: str, hint: str = "") -> dict[str, Any]:
        """Return the traits of an answer that does what the right program does.

        Examples run only when needed. Wrong ones are tried in the order of registration; the first
        with the answer's traits counts.

        Args:
            answer: the learner's program.
            otherwise: the message for an unknown mistake, with traits in braces like `seen`.
            hint: the hint for an unknown mistake.

        Raises:
            Wrong: it does what a wrong example does, or something else ("other").
        """
        found = self.traits(answer)
        if found == self.traits(self.right):
            return found
        for program, code, (seen, *said) in self.wrong:
            if found == self.traits(program):
                raise Wrong(code, seen.format(**found), *said)
        raise Wrong("other", otherwise.format(**found), hint)
