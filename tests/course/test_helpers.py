"""The sheet for helpers has every code that a check can give, under its lesson or for all.

As the sheet says, it leaves out codes for one number or one error, whose verdicts end with their
own question. Each section is in alphabetical order, because it is used on paper.
"""

import ast
import re
from collections import defaultdict
from itertools import chain
from pathlib import Path

from asyncml.course import exercises

HOME = Path(exercises.__file__).parent
SHEET = (Path(__file__).parents[2] / "workshop" / "helpers.md").read_text(encoding="utf-8")
ANY = "Any lesson"
TREES = {path.stem: ast.parse(path.read_text(encoding="utf-8")) for path in HOME.glob("*.py")}
PLACE = {"Wrong": 0, "demand": 1, "is_wrong": 0}  # the position of the code among the arguments


def uses(name):
    """Return the exercises' modules that a module imports, directly or indirectly."""
    found, todo = {name}, [name]
    while todo:
        for node in ast.walk(TREES[todo.pop()]):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(
                exercises.__name__
            ):
                own = node.module.removeprefix(exercises.__name__).strip(".")
                new = {own} if own else {one.name for one in node.names} & TREES.keys()
                todo += new - found
                found |= new
    return found


def constants(node):
    if isinstance(node, ast.IfExp):
        return constants(node.body) + constants(node.orelse)
    return [node.value] if isinstance(node, ast.Constant) else []


def codes():
    """Return, for each code in a check, the lessons in which it may be shown."""
    lessons = [name for name in TREES if name.startswith("lesson_")]
    shown_in = defaultdict(set, {"board": {"lesson_12"}, "exam": set(lessons)})  # of notebooks
    for lesson in lessons:
        for name in uses(lesson):
            shown_in[name].add(lesson)
    found = defaultdict(set)
    for name, tree in TREES.items():
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call):
                continue
            called = getattr(node.func, "id", getattr(node.func, "attr", ""))
            places = [node.args[PLACE[called]]] if called in PLACE else []
            if called == "refuse":  # each of its faults has a code
                places = [one.elts[1] for one in node.args if isinstance(one, ast.Tuple)]
            for code in chain.from_iterable(map(constants, places)):
                found[code] |= shown_in[name]
    return found


def sections(sheet):
    return {
        part.partition("\n")[0]: re.findall(r"^- `([^`]+)`: \S.*\"$", part, re.MULTILINE)
        for part in sheet.split("\n## ")[1:]
    }


def missing(sheet):
    """Return the codes that are missing from the sheet, each with its lessons."""
    there, lacks = sections(sheet), {}
    for code, lessons in codes().items():
        own = sorted(lessons - {"lesson_12"} or lessons)  # the sheet says that 12 shares codes
        if code not in there[ANY] + (there[f"Lesson {own[0][-2:]}"] if len(own) == 1 else []):
            lacks[code] = own
    return lacks


def test_each_code_of_a_check_is_on_the_sheet():
    assert missing(SHEET) == {}


def test_a_code_that_is_taken_off_the_sheet_is_missed():
    without = "\n".join(
        line for line in SHEET.splitlines() if not line.startswith("- `free-place`")
    )
    assert missing(without) == {"free-place": ["lesson_01"]}


def test_each_line_of_the_sheet_is_a_code_of_a_check_and_stands_once_in_order():
    for title, there in sections(SHEET).items():
        assert there == sorted(set(there)), title
        lines = [
            line
            for line in SHEET.split(f"## {title}\n")[1].split("\n## ")[0].splitlines()
            if line[:2] == "- "
        ]
        assert len(lines) == len(there), 'each line is: - `code`: what happened. "what to say"'
    known = {
        node.value
        for tree in TREES.values()
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant)
    }
    assert {code for there in sections(SHEET).values() for code in there} <= known
