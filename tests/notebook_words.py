"""The glossary's words in a lesson: each must be a link at its first use."""

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from tests.notebook_minutes import without_solutions

GLOSSARY = Path(__file__).parent.parent / "notebooks" / "glossary.md"
# also ordinary words: a program cannot tell which is meant, so they are linked by hand
EVERYDAY = {"await", "running", "ready", "waiting", "process", "switch", "step", "store"}
EVERYDAY |= {"cancel", "window", "retry", "worker", "blocking the loop"}
_HIDDEN = re.compile(
    r"^```.*?^```|^#+ [^\n]*$|^\|[^\n]*$|<details>.*?</details>|<[^>]+>|`[^`\n]*`"
    r"|\$\$.*?\$\$|\$[^$\n]+\$|!?\[[^\]]*\]\((?!glossary\.md)[^)]*\)",
    re.MULTILINE | re.DOTALL,
)
_LINK = re.compile(r"\[[^\]]*\]\(glossary\.md\)")


class Use(NamedTuple):
    """The use of a word: the cell, the position in its text, and whether it is linked there."""

    cell: dict[str, Any]
    start: int
    end: int
    linked: bool


@cache
def words() -> dict[str, re.Pattern[str]]:
    """Return the glossary's entries, each with a pattern for its uses."""
    found = {}
    for entry in re.findall(r"^- \*\*(.+?)\*\*", GLOSSARY.read_text("utf-8"), re.MULTILINE):
        names = [name for name in re.split(r", | \(|\)", entry) if name]
        forms = "|".join(_forms(name) for name in names if name.lower() not in EVERYDAY)
        if forms:
            found[entry] = re.compile(rf"(?<![\w.-])(?<!global )(?:{forms})(?![\w-])", re.I)
    return found


def first_use(cells: list[dict[str, Any]], word: re.Pattern[str]) -> Use | None:
    """Return the first use of a word after the title, outside code and headings."""
    return next(_uses(cells, word), None)


def _uses(cells: list[dict[str, Any]], word: re.Pattern[str]) -> Iterator[Use]:
    for cell in without_solutions(cells[1:]):
        if cell["cell_type"] == "markdown":
            text = _HIDDEN.sub(lambda part: "\0" * len(part[0]), "".join(cell["source"]))
            links = [link.span() for link in _LINK.finditer(text)]
            for use in word.finditer(text):
                linked = any(start < use.start() < end for start, end in links)
                yield Use(cell, *use.span(), linked)


def _forms(name: str) -> str:
    text = re.escape(name).replace(r"\ ", r"\s+")
    return rf"{text[:-1]}(?:y|ies)" if name.endswith("y") else rf"{text}(?:s|es)?"
