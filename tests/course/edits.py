"""Wrong answers as changes to another answer, so that a test shows only the mistake.

In a text of `answers`, a line has the code of a verdict and, after bars, words of the first verdict
and of the second, as in `tables`. Below the first such line is an answer, usually a right one.
Below each later line is one of these:

    last-key                                        a replacement
        in keys => in reversed(keys)
    all-of-them | Which of them is asked for?       lines to remove, and lines to add there
        - for key in keys:
        -     return await fetch(key)
        + return [await fetch(key) for key in keys]
    none                                            another body for the same head
        return await base(fetch, [])
    signature                                       a whole answer
        async def first(fetch):
            return await fetch("a")

The replaced text must occur exactly once in the first answer. Among lines with a sign, a line
without one is context, and `...` separates two places. All answers can use the first one as `base`,
and the definitions below a line `given`.
"""

import re
import textwrap
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

from tests.course.tables import Case, written


def answers(
    exercise: str, names: Mapping[str, Any], *texts: str, any_kind: bool = True
) -> Iterator[Case]:
    """Return the cases of a text, or of several in a row.

    Args:
        exercise: the exercise's name.
        names: the names in the learner's notebook.
        texts: the answers.
        any_kind: whether to add answers that are wrong in any exercise, such as a stub.
    """
    scope = dict(names)
    for part in re.findall(r"^\S.*\n(?: .*\n|\n)*", "".join(texts), flags=re.MULTILINE):
        line, _, change = part.partition("\n")
        code, *words = line.split(" | ")
        change = textwrap.dedent(change).rstrip()
        if code == "given":
            exec(change, scope)
        elif "base" not in scope:
            scope["base"] = _written(change, scope)
            yield Case(exercise, scope["base"], code, tuple(words))
            head, body = change.split(":\n", 1)
            body = textwrap.dedent(f"{body}\n")
            yield from _of_any_kind(exercise, scope, head, body) if any_kind else ()
        else:
            source = _changed(head, body, change)
            yield Case(exercise, _written(source, scope), code, tuple(words))


def _written(source: str, scope: dict[str, Any]) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SyntaxWarning)  # for a `return` in a `finally`, from 3.14
        return written(source, scope)


def _of_any_kind(exercise: str, scope: dict[str, Any], head: str, body: str) -> Iterator[Case]:
    """Yield a stub, a non-function, and functions of the wrong kind, that block, and that spin."""
    other = head.removeprefix("async ") if head.startswith("async ") else f"async {head}"
    yields = "\n    yield" if "yield" in body else ""
    yield from (Case(exercise, it, code) for it, code in ((..., "open"), (3, "kind")))
    for code, source in (
        ("open", f"{head}: ..."),
        ("kind", f"{other}:\n    return 3"),
        ("blocking", f"{head}:\n    time.sleep(1)\n{textwrap.indent(body, '    ')}"),
        ("endless", f"{head}:\n    while True:\n        pass{yields}"),
    ):
        yield Case(exercise, _written(source, scope), code)


def _changed(head: str, body: str, change: str) -> str:
    """Return the source of an answer: the first one's with a change, or a whole new one."""
    if not re.search(r"^(?!async def |def |class |@|[ )\n])", change, re.MULTILINE):
        return change  # only definitions
    if " => " in change:
        for old, new in (line.split(" => ") for line in change.splitlines()):
            body = _replaced(body, old, new)
    elif re.search(r"^[-+] ", change, re.MULTILINE):
        body = f"\n{body}"
        for place in re.split(r"^\.\.\.\n", change, flags=re.MULTILINE):
            lines = [(line[:1], line[2:]) for line in place.splitlines()]
            old, new = ("".join(f"\n{text}" for sign, text in lines if sign != s) for s in "+-")
            body = _replaced(body, f"{old}\n", f"{new}\n")
    else:
        body = change
    return f"{head}:\n{textwrap.indent(body, '    ')}"


def _replaced(body: str, old: str, new: str) -> str:
    assert body.count(old) == 1, f"{body.count(old)} times {old!r} in\n{body}"
    return body.replace(old, new)
