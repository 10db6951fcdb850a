"""A check's verdict: one line of text and, in a notebook, a block with a coloured edge.

The block has its styles in each element, because JupyterLab removes style sheets from notebooks
that it does not trust. Text takes the colour of the page, light or dark. The tests of the course
compare the line.
"""

import contextlib
import copy
import html
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from asyncml.look import BLUE, GREEN, GREY, VERMILION, printable

_WIDTH, _MOST_LINES = 64, 12  # the size of a timeline in a block
_MARKS = {"passed": "✔", "open": "○", "wrong": "✘", "solution": "◆"}
_COLOURS = {"passed": GREEN, "open": GREY, "wrong": VERMILION, "solution": BLUE}
_WORDS = {
    "passed": "<b>Passed:</b> ",
    "open": "<b>Open:</b> ",
    "wrong": "",  # the message says what is wrong
    "solution": "<b>The solution passes:</b> ",
}
_BLOCK = (
    "border-left: 5px solid {colour}; padding: 2px 0 2px 12px; margin: 4px 0; max-width: 56em; "
    "line-height: 1.5"
)
_PICTURE = "margin: 4px 0 0 0; padding: 0; font-size: 85%; line-height: 1.3; white-space: pre"


@dataclass(frozen=True)
class Verdict:
    """A check's verdict on an answer; its repr is one line, in a notebook a block.

    Attributes:
        exercise: the exercise's name, such as "01-keep-going".
        code: "passed", "open" for a stub, or a word for what was wrong, the same in any language.
        message: what was seen, what was expected, and the hint.
        hint: the end of the message, if it is a hint.
        is_solution: whether the answer was the course's own.
        yours: the timeline of a wrong answer, if it was recorded.
        ours: the timeline of the course's own answer in the same scene, if there is one.
    """

    exercise: str
    code: str
    message: str
    hint: str = ""
    is_solution: bool = False
    yours: Any = field(default=None, compare=False)
    ours: Any = field(default=None, compare=False)

    @property
    def state(self) -> str:
        """The verdict in a word: "passed", "open", "wrong" or "solution"."""
        if self.code not in ("passed", "open"):
            return "wrong"
        return "solution" if self.is_solution and self.code == "passed" else self.code

    def __repr__(self) -> str:
        """Return the verdict as one line."""
        code = "the solution passes" if self.state == "solution" else self.code
        return printable(f"{_MARKS[self.state]} {self.exercise} {code}: {self.message}")

    def _repr_html_(self) -> str:
        colour = _COLOURS[self.state]
        seen = self.message.removesuffix(self.hint).rstrip()
        mark = f'<span style="color: {colour}; font-weight: bold">{_MARKS[self.state]}</span>'
        words = _WORDS[self.state] or "Our own solution: " * self.is_solution
        lines = [f"{mark} {words}{_marked(seen if words else seen[:1].upper() + seen[1:])}"]
        if self.hint:
            lines.append(_marked(self.hint))
        lines = [f'<div style="margin: 0 0 2px 0">{line}</div>' for line in lines]
        pictures = [
            _picture(title, timeline)
            for title, timeline in (("What yours did", self.yours), ("What ours does", self.ours))
            if timeline is not None
        ]
        names = f'data-exercise="{html.escape(self.exercise)}" data-code="{html.escape(self.code)}"'
        style = _BLOCK.format(colour=colour)
        return f'<div {names} style="{style}">{"".join(lines + pictures)}</div>'


_seen: list[list[Any]] = []


@contextlib.contextmanager
def recording() -> Iterator[list[Any]]:
    """Collect the timelines of an answer's runs in the `with` block; a plain function's is None."""
    _seen.append([])
    try:
        yield _seen[-1]
    finally:
        _seen.pop()


def keep(timeline: Any) -> None:
    """Add a run's timeline without its result, which could keep the answer's leftovers alive."""
    if timeline is not None:
        timeline = copy.copy(timeline)
        timeline.result = None
    if _seen:
        _seen[-1].append(timeline)


def _marked(text: str) -> str:
    """Return a text as HTML, with backticked parts as code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(text))


def _picture(title: str, timeline: Any) -> str:
    *lanes, axis, legend = timeline.text(_WIDTH).splitlines()
    if len(lanes) > _MOST_LINES:
        lanes = [*lanes[:_MOST_LINES], f"... and {len(lanes) - _MOST_LINES} more lanes"]
    text = html.escape("\n".join([*lanes, axis, legend]))
    return f'<div style="margin: 6px 0 0 0">{title}:<pre style="{_PICTURE}">{text}</pre></div>'
