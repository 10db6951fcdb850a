"""Parts of lessons that run alone, and the advertised routes."""

import json
from pathlib import Path

import nbformat
import pytest

from asyncml.course import lab
from asyncml.course.routes import SETUP, Part, needed, part_of, routes
from tests.notebook_compare import NOT_COMPARED, faults, tags
from tests.notebook_kernel import Kernel

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"


def lesson(name):
    return json.loads((NOTEBOOKS / f"{name}.ipynb").read_text(encoding="utf-8"))


def cell(name, source, *tags, kind="code"):
    return {
        "cell_type": kind,
        "id": name,
        "metadata": {"tags": [*tags]},
        "source": source.splitlines(keepends=True),
    }


CELLS = [
    cell(SETUP, "import sys"),
    cell("text", "some words", kind="markdown"),
    cell("data", "import math\nxs = [math.pi]\n%time\nif xs:\n    !ls"),
    cell("stub", "async def f(x): ..."),
    cell("solution", "async def f_solved(x):\n    return x", "solution"),
    cell("solution-2", "f_again = f_solved", "solution"),
    cell("use", "def g():\n    return f(xs[0])"),
    cell("again", "xs = [print(x) for x in xs]"),
    cell("last", "await g(); ys = [later for later in xs]"),
    cell("spoiled", "await f_solved(1)"),
]


def ids(*chosen):
    places = {one["id"]: place for place, one in enumerate(CELLS)}
    return [CELLS[place]["id"] for place in needed(CELLS, [places[name] for name in chosen])]


@pytest.mark.parametrize(
    ("chosen", "found"),
    [
        (["last"], ["data", "stub", "use", "again"]),
        (["use"], ["data", "stub"]),
        (["use", "data", "stub"], []),
        (["again", "last"], ["data", "stub", "use"]),
        (["text"], []),
        (["solution-2"], ["solution"]),
        (["solution"], []),
    ],
)
def test_what_a_part_uses_comes_along_and_nothing_else(chosen, found):
    assert ids(*chosen) == found


def test_a_name_that_only_a_solution_defines_is_refused():
    message = "cell 'spoiled' uses 'f_solved', which only the solution 'solution' defines"
    with pytest.raises(LookupError, match=message):
        ids("spoiled")


def test_a_part_begins_with_the_set_up_and_with_what_it_uses_in_one_folded_cell():
    part = Part("00_it", (("text", "text"), ("last", "last")), 5)
    made = part_of({"cells": CELLS, "metadata": {}}, part)
    names = [one["id"] for one in made["cells"]]
    assert names == [SETUP, "part-before", "part-needs", "text", "last"]
    needs = made["cells"][2]
    assert needs["metadata"]["jupyter"] == {"source_hidden": True}
    assert "some words" not in "".join(needs["source"])
    assert "%time" in "".join(needs["source"])


def test_a_cell_that_is_not_there_is_named():
    with pytest.raises(LookupError, match="00_it has no cell nowhere"):
        part_of({"cells": CELLS}, Part("00_it", (("text", "nowhere"),), 5))


@pytest.mark.parametrize("path", sorted(NOTEBOOKS.glob("*.ipynb")), ids=lambda path: path.stem)
def test_each_section_finds_all_that_it_uses(path):
    cells = lesson(path.stem)["cells"]
    heads = [
        place
        for place, one in enumerate(cells)
        if one["cell_type"] == "markdown" and "\n##" in "\n" + "".join(one["source"])
    ]
    for first, after in zip(heads, [*heads[1:], len(cells)], strict=True):
        needed(cells, range(first, after))


def only_shows(cells, place):
    """Return whether a cell is a figure or a measurement, and no later cell uses its names."""
    slow = NOT_COMPARED in tags(cells[place]) or "image/png" in json.dumps(cells[place]["outputs"])
    return slow and place not in needed(cells, range(place + 1, len(cells)))


@pytest.fixture(scope="module")
def kernel():
    made = Kernel(NOTEBOOKS)
    yield made
    made.stop()


PARTS = [(route, part) for route in routes() for part in route.parts]


def begins_the_lesson(part):
    """Return whether a part starts its lesson; the notebook gate runs such a part anyway."""
    return len(part.cells) == 1 and part.cells[0][0] == "title"


@pytest.mark.parametrize(
    ("route", "part"), PARTS, ids=[f"{route.name}-{part.lesson}" for route, part in PARTS]
)
def test_each_part_of_a_route_runs_alone(route, part, kernel):
    made = part_of(lesson(part.lesson), part)
    if begins_the_lesson(part):
        assert "part-needs" not in [one["id"] for one in made["cells"]]
        return
    assert kernel.run("%reset -f").status == "ok"
    for place, one in enumerate(nbformat.from_dict(made["cells"])):
        if one.cell_type == "code" and not only_shows(made["cells"], place):
            assert faults(one, kernel.run("".join(one.source))) == [], one.id


def test_each_route_is_a_folder_of_its_parts(tmp_path, capsys):
    for route in routes():
        command = ["--folder", str(tmp_path), "--route", route.name, "--no-browser"]
        assert lab.main(command) == 0
        assert route.title in capsys.readouterr().out
        made = sorted(path.name for path in (tmp_path / route.name).iterdir())
        assert made == [f"{part.lesson}.ipynb" for part in route.parts]
        texts = "".join(path.read_text("utf-8") for path in (tmp_path / route.name).iterdir())
        assert "](solutions/" not in texts
        assert "](../solutions/" in texts


def test_what_is_written_in_a_part_stays(tmp_path):
    route = routes()[0]
    first, *_ = lab.make_route(tmp_path, route)
    first.write_text("mine", encoding="utf-8")
    assert lab.make_route(tmp_path, route)[0] == first
    assert first.read_text(encoding="utf-8") == "mine"


def test_a_route_that_does_not_exist_is_refused(tmp_path, capsys):
    with pytest.raises(SystemExit):
        lab.main(["--folder", str(tmp_path), "--route", "a-week", "--no-browser"])
    assert "half-day" in capsys.readouterr().err


def test_the_minutes_of_a_route_fit_its_name():
    fits = {"ninety-minutes": 90, "half-day": 210, "one-day": 420}
    taken = {route.name: sum(part.minutes for part in route.parts) for route in routes()}
    assert taken.keys() == fits.keys()
    assert all(0.8 * fits[name] <= minutes <= fits[name] for name, minutes in taken.items())


def test_a_part_says_its_own_minutes():
    (half_day,) = (route for route in routes() if route.name == "half-day")
    part = half_day.parts[-1]
    path = Path(__file__).parents[2] / "notebooks" / f"{part.lesson}.ipynb"
    cells = {one["id"]: one for one in part_of(json.loads(path.read_text("utf-8")), part)["cells"]}
    title = "".join(cells["title"]["source"])
    assert "**How long it takes:** 10 minutes in a room, for this part" in title
    assert "80 minutes" not in title
