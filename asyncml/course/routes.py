"""Routes through the course for a workshop, and parts of lessons that stand alone.

A route has parts, each some ranges of a lesson's cells, and each part becomes a notebook. The other
cells of the lesson that a part needs are found by the names in their code, and come in one folded
cell at its beginning. So `python -m asyncml lab --route half-day` opens just what is taught, made
from the lessons.
"""

import copy
import dis
import re
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import CodeType
from typing import Any

Cell = dict[str, Any]
Notebook = dict[str, Any]

SETUP = "setup"  # the cell that every lesson begins with
_AWAIT = 0x2000  # ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
_MINUTES = re.compile(r"(\*\*How long it takes:\*\* ).*?(?=\n\n|\Z)", re.DOTALL)
_SAYS = """\
**This is a part of lesson [{name}]({name}.ipynb).** The folded cell below holds what it uses of
what is left out: run it, and go on.
"""


@dataclass(frozen=True)
class Part:
    """Some cells of one lesson.

    Args:
        lesson: its name without suffix.
        cells: ranges of cells, each given by the ids of its first and last cell.
        minutes: how long it takes in a workshop.
        skip: what to omit if you are late.
    """

    lesson: str
    cells: tuple[tuple[str, str], ...]
    minutes: int
    skip: str = ""


@dataclass(frozen=True)
class Route:
    """A way through the course, part by part."""

    name: str
    title: str
    parts: tuple[Part, ...]


def routes() -> list[Route]:
    """Return the advertised routes, from `workshop/routes.toml`.

    Raises:
        FileNotFoundError: neither a checkout nor an installed course has the file.
    """
    here = Path(__file__)
    for path in (here.parent / "routes.toml", here.parents[2] / "workshop" / "routes.toml"):
        if path.exists():
            return list(_read(tomllib.loads(path.read_text(encoding="utf-8"))))
    raise FileNotFoundError("the routes are not installed: use a copy of the course's repository")


def _read(table: dict[str, Any]) -> Iterator[Route]:
    for route in table["route"]:
        parts = (
            Part(
                part["lesson"],
                tuple((first, last) for first, last in part["cells"]),
                part["minutes"],
                part.get("skip", ""),
            )
            for part in route["part"]
        )
        yield Route(route["name"], route["title"], tuple(parts))


def part_of(notebook: Notebook, part: Part) -> Notebook:
    """Return the part as a notebook that runs alone.

    Raises:
        LookupError: a range names a missing cell, or the part uses a name that only a solution
            defines.
    """
    cells = notebook["cells"]
    places = {cell["id"]: place for place, cell in enumerate(cells)}
    if missing := [name for ends in part.cells for name in ends if name not in places]:
        raise LookupError(f"{part.lesson} has no cell {', '.join(missing)}")
    ranges = [range(places[first], places[last] + 1) for first, last in part.cells]
    chosen = [place for one in ranges for place in one]
    before = [cells[place] for place in needed(cells, chosen) if cells[place]["id"] != SETUP]
    made = [cells[place] for place in chosen if cells[place]["id"] != SETUP]
    start = [cells[places[SETUP]]] if SETUP in places else []
    if before:
        start += [_text("part-before", _SAYS.format(name=part.lesson)), _joined(before)]
    whole = copy.deepcopy({**notebook, "cells": [*start, *made]})
    for cell in whole["cells"]:
        if cell["cell_type"] == "markdown":  # the title gives the minutes of the whole lesson
            says = rf"\g<1>{part.minutes} minutes in a room, for this part of the lesson."
            text = _MINUTES.sub(says, "".join(cell["source"]))
            cell["source"] = text.splitlines(keepends=True)
    return whole


def needed(cells: Sequence[Cell], chosen: Iterable[int]) -> list[int]:
    """Return the indices of the omitted cells that the chosen ones use, directly or indirectly.

    Args:
        cells: all cells of the lesson.
        chosen: the indices of some of them.

    Raises:
        LookupError: only a solution defines a name before its use.
    """
    names = [_names(cell) for cell in cells]
    kept = set(chosen)
    found, to_see = set[int](), sorted(kept)
    while to_see:
        place = to_see.pop()
        solution = _is_solution(cells[place])  # a solution may use another one: both are removed
        for name in sorted(names[place][1]):
            before = [at for at in range(place) if name in names[at][0]]
            ours = [at for at in before if solution or not _is_solution(cells[at])]
            if before and not ours:
                raise LookupError(
                    f"cell {cells[place]['id']!r} uses {name!r}, which only the solution "
                    f"{cells[before[-1]]['id']!r} defines"
                )
            if ours and ours[-1] not in kept | found:
                found.add(ours[-1])
                to_see.append(ours[-1])
    return sorted(found)


def _is_solution(cell: Cell) -> bool:
    return "solution" in cell["metadata"].get("tags", ())


def _names(cell: Cell) -> tuple[set[str], set[str]]:
    """Return the global names that a cell stores, and those it uses before it stores them."""
    return _names_in("".join(cell["source"])) if cell["cell_type"] == "code" else (set(), set())


@cache
def _names_in(source: str) -> tuple[set[str], set[str]]:
    source = re.sub(r"^(\s*)[%!].*", r"\1pass", source, flags=re.MULTILINE)
    code = compile(source, "a cell", "exec", flags=_AWAIT, dont_inherit=True)
    stored, used = set[str](), set[str]()
    _visit(code, stored, used, at_top=True)
    return stored, used


def _visit(code: CodeType, stored: set[str], used: set[str], *, at_top: bool) -> None:
    for step in dis.get_instructions(code):
        name = step.argval
        if step.opname in ("STORE_GLOBAL", "STORE_NAME") and (at_top or "GLOBAL" in step.opname):
            stored.add(name)
        elif (
            step.opname in ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS")
            and name not in stored
        ):
            used.add(name)
        elif isinstance(name, CodeType):
            _visit(name, stored, used, at_top=False)


def _text(name: str, text: str) -> Cell:
    lines = text.splitlines(keepends=True)
    return {"cell_type": "markdown", "id": name, "metadata": {}, "source": lines}


def _joined(cells: Sequence[Cell]) -> Cell:
    """Return one folded code cell with the code of all these cells."""
    source = "# what this part uses of the cells before it\n"
    source += "\n\n".join("".join(cell["source"]) for cell in cells)
    return {
        "cell_type": "code",
        "id": "part-needs",
        "metadata": {"cellView": "form", "jupyter": {"source_hidden": True}},
        "execution_count": None,
        "outputs": [],
        "source": source.splitlines(keepends=True),
    }
