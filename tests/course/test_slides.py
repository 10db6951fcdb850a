"""Slides made from the lessons: a bet before its result, and no answer anywhere."""

import importlib.util
import json
from pathlib import Path

import nbformat
import pytest
from traitlets.config import Config

from asyncml.course.routes import part_of, routes

ROOT = Path(__file__).parents[2]
SPEC = importlib.util.spec_from_file_location("slides", ROOT / "workshop" / "slides.py")
slides = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(slides)

PARTS = {(route.name, part.lesson): part for route in routes() for part in route.parts}


def made_of(part):
    path = ROOT / "notebooks" / f"{part.lesson}.ipynb"
    return slides.slides_of(part_of(json.loads(path.read_text(encoding="utf-8")), part))


def lines_of(cell):
    return slides.lines("".join(cell["source"]))


def kind(cell):
    return cell["metadata"]["slideshow"]["slide_type"]


@pytest.mark.parametrize("name", PARTS, ids="-".join)
def test_a_result_comes_after_its_code_and_no_solution_comes_at_all(name):
    cells = made_of(PARTS[name])["cells"]
    before = None
    for cell in cells:
        if cell["cell_type"] == "code" and cell["outputs"]:
            assert "only-outputs" in cell["metadata"]["tags"]
            assert kind(cell) in ("fragment", "subslide")
            if kind(cell) == "fragment":
                assert cell["id"] == f"{before}-out"
        before = cell["id"]
    told = "".join("".join(cell["source"]) for cell in cells)
    assert "solution=True" not in told
    assert not any(
        "check(" in "".join(one["source"]) for one in cells if one["cell_type"] == "code"
    )
    assert kind(cells[0]) in ("slide", "notes")


def test_a_task_stands_on_its_slide_and_prose_in_the_notes():
    cells = {
        cell["id"]: cell
        for cell in made_of(PARTS["half-day", "01_from_await_to_callbacks"])["cells"]
    }
    task = cells["in-order-head-0"]
    assert kind(task) == "slide"
    assert "in_order(fetch, keys)" in task["source"]
    notes = next(cell for name, cell in cells.items() if name.startswith("while-waiting-read"))
    assert kind(notes) == "notes"


def test_a_slide_that_would_be_too_long_is_cut():
    def cell(name, source, output=""):
        outputs = [{"output_type": "stream", "name": "stdout", "text": output}] if output else []
        return {
            "cell_type": "code",
            "id": name,
            "metadata": {},
            "source": source,
            "outputs": outputs,
        }

    long = "x = 1\n" * 15
    made = slides.slides_of({"cells": [cell("a", long, "y\n" * 15), cell("b", "x", "y")]})["cells"]
    assert [(one["id"], kind(one)) for one in made] == [
        ("a", "subslide"),
        ("a-out", "subslide"),
        ("b", "subslide"),
        ("b-out", "fragment"),
    ]


def test_nbconvert_makes_a_page_of_them():
    config = {"TagRemovePreprocessor": {"remove_input_tags": {"only-outputs"}}}
    from nbconvert import SlidesExporter  # slow to import, and used only here

    exporter = SlidesExporter(config=Config(config))
    text = json.dumps(made_of(PARTS["half-day", "07_async_data_loading"]))
    made = nbformat.reads(text, as_version=4)
    page, _ = exporter.from_notebook_node(made)
    assert page.count("not counted: a storm of retries") == 1
    assert page.count('class="fragment"') >= 2


def test_a_figure_stands_alone_and_a_long_text_is_parted_at_a_blank_line():
    picture = {"output_type": "display_data", "metadata": {}, "data": {"image/png": "iVBORw0="}}
    long = {"output_type": "stream", "name": "stdout", "text": "y\n" * 12 + "\n" + "z\n" * 12}
    first, second, third = slides.fitting([long, picture])
    assert [slides.size(one) for one in (*first, *second)] == [14, 15]
    assert third == [picture]


def test_of_an_error_the_last_line_is_shown():
    error = {"output_type": "error", "ename": "KeyError", "evalue": "'d'", "traceback": ["x"] * 50}
    ((shown,),) = slides.fitting([error])
    assert shown["text"] == "KeyError: 'd'"


@pytest.mark.parametrize("name", PARTS, ids="-".join)
def test_no_slide_is_longer_than_the_screen(name):
    height = 0
    for cell in made_of(PARTS[name])["cells"]:
        if kind(cell) == "notes":
            continue
        tags = cell["metadata"].get("tags", ())
        taken = sum(map(slides.size, cell["outputs"])) if "only-outputs" in tags else lines_of(cell)
        taken *= 0.8 if "small" in tags else 1
        height = taken if kind(cell) in ("slide", "subslide") else height + taken
        assert height <= slides.LINES + 2, cell["id"]
