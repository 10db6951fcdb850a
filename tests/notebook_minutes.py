"""How long a lesson takes, by a rule that the tests compare with the time in its title.

Three words a second, five seconds a line of code, eight a cell, and 25 for a question that asks for
a prediction. Neither solutions nor the work on exercises count: only a trial could tell the latter.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any

from tests.notebook_compare import tags

WORDS_A_SECOND, LINE_S, CELL_S, PREDICTION_S = 3, 5, 8, 25
SET_UP = "setup"  # the same in every lesson, so it is run but not read again

Cell = dict[str, Any]
_QUESTION = re.compile(r"do you expect|your (?:bet|diagnosis)|\*\*with a pencil", re.IGNORECASE)
_BET = re.compile(r"^\w*bet\w*(?:, \w+)* = .*\.\.\.", re.MULTILINE)
_NOT_PROSE = re.compile(r"^```.*?^```|<[^>]+>|\]\([^)]*\)", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^(#{1,6}) (.+)$", re.MULTILINE)
_OPTIONAL = re.compile(r"\boptional\b|\(More\)", re.IGNORECASE)


def parts(cells: list[Cell]) -> list[list[Cell]]:
    """Divide a lesson into the part for everybody and its optional parts, by their headings."""
    main: list[Cell] = []
    optional: list[list[Cell]] = []
    inside = 0  # the level of the heading of an optional part
    for cell in cells:
        for level, title in headings(cell):
            if inside and level <= inside and not re.match("Exercise|Solution", title):
                inside = 0
            if not inside and _OPTIONAL.search(title):
                inside = level
                optional.append([])
        (optional[-1] if inside else main).append(cell)
    return [main, *optional]


def minutes(cells: list[Cell]) -> float:
    """Return the minutes to read the cells, run them, and make the predictions they ask for."""
    return sum(map(_seconds, without_solutions(cells))) / 60


def half_way(cells: list[Cell]) -> tuple[int, float] | None:
    """Return the minutes left at the half-way line: as it says, and by the rule."""
    for place, cell in enumerate(cells):
        if found := re.search(r"\*Half-way: about (\d+) minutes are left", _text(cell)):
            return int(found[1]), minutes(cells[place:])
    return None


def stated(text: str) -> tuple[int, int | None]:
    """Return the minutes in a title: of the lesson, and of its optional parts."""
    found = re.search(r"\*\*How long it takes:\*\*(?:[^.]*?)(\d+)(.*?)(?:\n\n|\Z)", text, re.DOTALL)
    assert found, "'How long it takes' must give a number of minutes"
    more = re.search(r"another (\d+) minutes", " ".join(found[2].split()))
    return int(found[1]), int(more[1]) if more else None


def longest(cells: list[Cell], ends: Callable[[Cell], bool]) -> tuple[float, str]:
    """Return the minutes of the longest stretch before a cell `ends` it, and its last cell."""
    found, since = (0.0, ""), 0.0
    for cell in without_solutions(cells):
        if any(title == "Key points" for _, title in headings(cell)):
            break  # the rest is for looking up
        since += _seconds(cell)
        found = max(found, (since, cell.get("id", "")))
        since = 0.0 if ends(cell) else since
    return found[0] / 60, found[1]


def asks(cell: Cell) -> bool:
    """Return whether a cell gives the learner something to do: a prediction, a bet, an exercise."""
    if cell["cell_type"] == "markdown":
        return bool(_QUESTION.search(_text(cell)))
    return bool(_BET.search(_text(cell))) or asks_to_write(cell)


def asks_to_write(cell: Cell) -> bool:
    """Return whether a cell checks an exercise."""
    return cell["cell_type"] == "code" and re.search(r"\bcheck\(\s*\"", _text(cell)) is not None


def headings(cell: Cell) -> list[tuple[int, str]]:
    """Return the level and the text of each heading of a cell."""
    if cell["cell_type"] != "markdown":
        return []
    text = re.sub(r"^```.*?^```", "", _text(cell), flags=re.MULTILINE | re.DOTALL)
    return [(len(m[1]), m[2].strip()) for m in _HEADING.finditer(text)]


def without_solutions(cells: list[Cell]) -> Iterator[Cell]:
    """Return the cells without those below a heading 'Solution ...'."""
    title = ""
    for cell in cells:
        title = next((title for _, title in reversed(headings(cell))), title)
        if not title.startswith("Solution") and "solution" not in tags(cell):
            yield cell


def _seconds(cell: Cell) -> float:
    text = _text(cell)
    if cell["cell_type"] == "code":
        lines = (
            0 if cell.get("id") == SET_UP else sum(bool(line.strip()) for line in text.splitlines())
        )
        return CELL_S + LINE_S * lines
    words = len(re.findall(r"[\w'’-]+", _NOT_PROSE.sub(" ", text)))
    return words / WORDS_A_SECOND + PREDICTION_S * bool(_QUESTION.search(text))


def _text(cell: Cell) -> str:
    return "".join(cell["source"])
