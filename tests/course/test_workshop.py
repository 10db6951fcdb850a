"""The workshop kit: its plans follow the tested routes, and name things that exist."""

import html
import importlib.util
import json
import re
from itertools import groupby
from pathlib import Path

import pytest

from asyncml.course import ready
from asyncml.course.exercises import standing
from asyncml.course.ready import CHECKS, TESTED, Check
from asyncml.course.routes import routes

HERE = Path(__file__).parents[2]
WORKSHOP, NOTEBOOKS = HERE / "workshop", HERE / "notebooks"
PLANS = {route.name: route for route in routes()}
NAME = re.compile(r"`([a-z0-9]+(?:-[a-z0-9]+)*)`")


def text(name):
    return (WORKSHOP / name).read_text(encoding="utf-8")


def ids_of(number):
    (path,) = NOTEBOOKS.glob(f"{number}_*.ipynb")
    return [one["id"] for one in json.loads(path.read_text(encoding="utf-8"))["cells"]]


def exercises_of(number):
    standing.load(number)
    return {name for name in standing.CHECKS if name[:2] == number}


def rows(name):
    """Yield (start in minutes, duration, lesson, cells, activity) for each row of a plan."""
    for line in text(f"{name.replace('-', '_')}.md").splitlines():
        if found := re.match(r"\| (\d+):(\d\d) \| (\d+) \| (\S+) \| (.+?) \| (.+) \|$", line):
            hours, minutes, took, lesson, cells, what = found.groups()
            yield 60 * int(hours) + int(minutes), int(took), lesson, cells, what


@pytest.mark.parametrize("name", PLANS)
def test_a_plan_has_the_lessons_and_the_minutes_of_its_route(name):
    taught = [row for row in rows(name) if row[2].isdigit()]
    planned = [
        (lesson, sum(row[1] for row in group))
        for lesson, group in groupby(taught, key=lambda row: row[2])
    ]
    assert planned == [(part.lesson[:2], part.minutes) for part in PLANS[name].parts]


@pytest.mark.parametrize("name", PLANS)
def test_the_times_of_a_plan_add_up(name):
    now = 0
    for when, took, *_ in rows(name):
        assert when == now
        now += took
    breaks = sum(row[1] for row in rows(name) if row[2] == "break")
    fits = {"ninety-minutes": 90, "half-day": 210, "one-day": 420}
    assert now - breaks == fits[name]


@pytest.mark.parametrize("name", PLANS)
def test_a_plan_goes_through_the_cells_of_its_route_in_order(name):
    places = {part.lesson[:2]: (-1, part.cells) for part in PLANS[name].parts}
    for _, _, lesson, cells, what in rows(name):
        if not lesson.isdigit():
            continue
        ids, (last, ranges) = ids_of(lesson), places[lesson]
        first, end = map(ids.index, NAME.findall(cells))
        assert last < first <= end, (lesson, cells)
        assert any(ids.index(a) <= first and end <= ids.index(b) for a, b in ranges), cells
        places[lesson] = end, ranges
        named = {name for name in NAME.findall(what) if name[:2].isdigit()}
        assert named <= exercises_of(lesson)


def test_links_lead_somewhere():
    for path in WORKSHOP.glob("*.md"):
        for target in re.findall(r"\]\(([^)#]+)", path.read_text(encoding="utf-8")):
            assert "://" in target or (WORKSHOP / target).exists(), (path.name, target)


def test_the_guide_names_exercises_and_cells_of_its_lesson():
    for part in text("lessons.md").split("\n## ")[1:]:
        here = {*ids_of(part[:2]), *exercises_of(part[:2])}
        named = {name for name in NAME.findall(part) if "-" in name}
        elsewhere = {name for name in named if name[:2].isdigit() and name[:2] != part[:2]}
        assert named - elsewhere <= here, part[:30]
        assert all(name in exercises_of(name[:2]) for name in elsewhere)


@pytest.mark.parametrize("system", ["windows", "macos", "linux"])
def test_the_page_of_a_system_shows_the_last_lines_as_they_are(system, capsys):
    checks = [(name, lambda name=name: Check(name, True, "")) for name in CHECKS]
    assert ready.main(checks) == 0
    lines = capsys.readouterr().out.splitlines()[-2:]
    page = text(f"machines_{system}.md")
    assert "\n".join(f"       {line}" for line in lines) in page
    (first, last), minors = TESTED, re.search(r"need 3\.(11.+?14)|say 3\.(11.+?14)", page).group()
    assert all(f"3.{minor}" in minors for minor in range(first[1], last[1] + 1))


@pytest.mark.parametrize("path", sorted(WORKSHOP.glob("*.md")), ids=lambda path: path.stem)
def test_a_page_to_mail_needs_nothing_beside_it(path):
    spec = importlib.util.spec_from_file_location("pages", WORKSHOP / "pages.py")
    pages = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(pages)
    made = pages.page(path)
    there = {f"{one.stem}.html" for one in WORKSHOP.glob("*.md")}
    links = [html.unescape(link) for link in re.findall(r'(?:href|src)="([^"#]+)', made)]
    assert all(link in there or link.startswith("https://") for link in links)
    assert made.count("<table>") == len(re.findall(r"^\|[-|]+\|$", path.read_text("utf-8"), re.M))


def test_the_two_questions_of_the_plan_are_those_of_the_exams():
    plan = text("half_day.md")
    for form in ("before", "after"):
        path = NOTEBOOKS / f"exam_{form}.ipynb"
        cells = {one["id"]: one for one in json.loads(path.read_text(encoding="utf-8"))["cells"]}
        five = "".join(cells["question-5"]["source"]).split("\n\n")[1]
        assert five in plan
