"""Every rule about notebooks is broken once on purpose, then checked in every notebook."""

import copy
import json
import re
from pathlib import Path

import pytest

from tests.notebook_compare import NOT_COMPARED, differences, tags, with_one_number_changed
from tests.notebook_rules import EXAMS, HIDE_INPUT, LONG, RULES, SOLUTION, broken

NOTEBOOKS = sorted((Path(__file__).parent.parent / "notebooks").glob("*.ipynb"))
OPENING = """# Measure a thing

**What you'll do:** measure. **What you'll learn:** how. **What you need:** lesson 00.
**How long it takes:** 2 minutes, and 15 for the exercises.

Words stand in the [glossary](glossary.md)."""
NEXT = "Next: [05 Another thing](05_another_thing.ipynb)."
HALF_WAY = "*Half-way: about 2 minutes are left.*"
FOLDED = {
    "tags": [SOLUTION, HIDE_INPUT],
    "cellView": "form",
    "jupyter": {"source_hidden": True},
}


def markdown(text, id):
    return {"cell_type": "markdown", "id": id, "metadata": {}, "source": text}


def code(text, id, count, outputs=(), metadata=None):
    return {
        "cell_type": "code",
        "id": id,
        "metadata": metadata or {},
        "execution_count": count,
        "source": text,
        "outputs": list(outputs),
    }


def figure():
    data = {"image/png": "aGk=", "text/plain": "<Figure>"}
    return {
        "output_type": "display_data",
        "data": data,
        "metadata": {"image/png": {"alt": "A line"}},
    }


def player():
    html = '<img src="data:image/png;base64,/tmp/aGk=" alt="Timeline of main.">'
    return figure() | {"data": {"text/html": html, "text/plain": "main |##|"}}


def stream(text, name="stdout"):
    return {"output_type": "stream", "name": name, "text": text}


def error():
    return {"output_type": "error", "ename": "ValueError", "evalue": "no", "traceback": []}


def lesson():
    """Return a notebook that breaks no rule."""
    cells = [markdown(OPENING, "opening"), code("plot()", "plot", 1, [figure()])]
    cells.append(markdown("The line rises.\n\n" + HALF_WAY, "caption"))
    for n in (1, 2, 3):
        cells.append(markdown(f"## Exercise {n}", f"exercise-{n}"))
        cells.append(markdown(f"### Solution {n}", f"heading-{n}"))
        cells.append(
            code(f"# Solution {n}\nprint({n})", f"solution-{n}", n + 1, [stream(f"{n}\n")], FOLDED)
        )
    cells.append(markdown("## Key points\n\n- Measure.", "key-points"))
    cells.append(markdown("## Further reading\n\nKnuth 1974, section 1\n\n" + NEXT, "reading"))
    metadata = {"kernelspec": {"name": "python3"}, "language_info": {"name": "python"}}
    return copy.deepcopy({"nbformat": 4, "nbformat_minor": 5, "metadata": metadata, "cells": cells})


def change(cell, **values):
    """Return a breach that sets fields of one cell."""
    return lambda nb: nb["cells"][cell].update(values)


def change_metadata(cell, **values):
    return lambda nb: nb["cells"][cell]["metadata"].update(values)


BREACHES = {
    "has_the_format": [lambda nb: nb.update(nbformat_minor=4)],
    "runs_on_any_python": [
        lambda nb: nb["metadata"]["kernelspec"].update(name="venv"),
        lambda nb: nb["metadata"]["language_info"].update(name="R"),
        lambda nb: nb["metadata"]["language_info"].update(version="3.11.7"),
    ],
    "has_lean_metadata": [
        lambda nb: nb["metadata"].update(widgets={}),
        change_metadata(1, execution={"iopub.execute_input": "2024-01-01"}),
    ],
    "has_no_widgets": [
        change(1, outputs=[figure() | {"data": {"application/vnd.jupyter.widget-view+json": {}}}])
    ],
    "has_unique_cell_ids": [
        change(1, id="opening"),
        change(1, id="a b"),
        lambda nb: nb["cells"][1].pop("id"),
    ],
    "uses_known_tags": [change_metadata(1, tags=["raise-exception"])],
    "says_what_is_not_compared": [change_metadata(1, tags=[NOT_COMPARED])],
    "was_executed_in_order": [
        change(1, execution_count=None),
        change(1, execution_count=2),
        change(1, outputs=[figure() | {"execution_count": 7}]),
        change(1, source=" \n"),
    ],
    "has_short_cells": [
        change(1, source="x\n" * 11),
        change(1, source="x\n" * 26, metadata={"tags": [LONG]}),
    ],
    "has_no_stray_error": [
        change(1, outputs=[error()]),
        change_metadata(1, tags=["raises-exception"]),
        change(1, outputs=[stream("Warning", "stderr")]),
    ],
    "names_no_machine": [
        change(2, source="see /home/ada/data"),
        change(1, outputs=[stream("<Task at 0x7f00dead>")]),
        change(1, outputs=[stream(["one\n", "C:\\Users\\ada"])]),
        change(1, outputs=[figure() | {"data": {"text/html": "lib/site-packages/x.py"}}]),
        change(1, outputs=[error() | {"traceback": ["/tmp/ipykernel_12/34.py"]}]),
    ],
    "puts_words_beside_figures": [
        lambda nb: nb["cells"].pop(2),
        lambda nb: nb["cells"].append(code("plot()", "last", 5, [figure()])),
        lambda nb: nb["cells"].append(code("play()", "last", 5, [player()])),
    ],
    "describes_its_images": [
        change(2, source="![](loop.png)"),
        change(2, source='<img src="loop.png">'),
    ],
    "describes_its_figures": [change(1, outputs=[figure() | {"metadata": {}}])],
    "says_which_answers_are_ours": [
        change(1, source='check("04-bet", 2, solution=True)'),
        change(5, source='# Solution 1\ncheck("04-bet",\n    2)'),
    ],
    "says_what_is_folded": [change(5, source="print(42)")],
    "folds_only_exercises": [lambda nb: nb["cells"].insert(6, markdown("### More", "more"))],
    "leads_on": [
        change(0, source=OPENING.replace("glossary.md", "words.md")),
        change(2, source="The line rises."),
        lambda nb: nb["cells"][-1].update(source=nb["cells"][-1]["source"].replace(NEXT, "")),
    ],
    "states_its_minutes": [
        change(0, source=OPENING.replace("2 minutes", "30 minutes")),
        change(0, source=OPENING.replace("the exercises.", "them, and another 9 minutes.")),
        change(2, source=HALF_WAY.replace("2", "15")),
    ],
    "keeps_its_reader_busy": [
        change(2, source="word " * 1500 + "\n\n" + HALF_WAY),
        change(2, source="What do you expect? " * 600 + "\n\n" + HALF_WAY),
    ],
    "links_its_words": [change(2, source="A coroutine waits.\n\n" + HALF_WAY)],
    "is_small": [change(1, outputs=[figure() | {"data": {"image/png": "a" * 600_000}}])],
    "opens_as_a_lesson": [
        change(0, source=OPENING.replace("# ", "## ", 1)),
        change(0, source=OPENING.replace("What you need", "Needed")),
        change(2, source="# A second title"),
    ],
    "closes_as_a_lesson": [
        lambda nb: nb["cells"].pop(),
        lambda nb: nb["cells"].append(markdown("## Appendix", "appendix")),
    ],
    "nests_its_headings": [change(2, source="#### Deep")],
    "folds_its_solutions": [
        change_metadata(5, jupyter={}),
        change_metadata(5, cellView="code"),
        change_metadata(5, tags=[SOLUTION]),
        change_metadata(5, tags=[]),
        change(4, source="### An answer"),
    ],
    "has_exercises": [
        lambda nb: [nb["cells"].pop(3) for _ in range(3)],
        change(3, source="## A task"),
    ],
}


def test_a_good_lesson_breaks_no_rule():
    assert broken(lesson(), "04_measure") == []


def test_each_rule_has_a_notebook_that_breaks_it():
    assert {rule.__name__ for rule in RULES} == {*BREACHES, "has_a_numbered_name"}


@pytest.mark.parametrize(
    ("rule", "breach"),
    [(rule, breach) for rule, breaches in BREACHES.items() for breach in breaches],
)
def test_a_breach_is_found_by_its_rule(rule, breach):
    notebook = lesson()
    breach(notebook)
    assert rule in {complaint.split(":")[0] for complaint in broken(notebook, "04_measure")}


@pytest.mark.parametrize("name", ["Untitled", "4_measure", "04-measure", "04_Measure"])
def test_a_name_out_of_order_is_found(name):
    assert [c.split(":")[0] for c in broken(lesson(), name)] == ["has_a_numbered_name"]


def test_the_first_notebook_ends_with_the_map():
    notebook = lesson()
    del notebook["cells"][-2:]
    found = broken(notebook, "00_start_here")
    assert "closes_as_a_lesson: no section with the map of the course" in found
    notebook["cells"].append(markdown("## The map of the course\n\n" + NEXT, "map"))
    assert broken(notebook, "00_start_here") == []


def test_longer_cells_and_measured_cells_are_allowed_where_marked():
    notebook = lesson()
    text = "# measured here\n" + "x\n" * 24
    notebook["cells"][1].update(source=text, metadata={"tags": [LONG, NOT_COMPARED]})
    assert broken(notebook, "04_measure") == []


def test_every_notebook_keeps_every_rule():
    found = {path.name: broken(read(path), path.stem) for path in NOTEBOOKS}
    assert {name: complaints for name, complaints in found.items() if complaints} == {}


def test_a_word_is_a_link_where_prose_uses_it_first():
    notebook = lesson()
    text = "Up.\n\n## A coroutine\n\n`coroutine`, a [*coroutine*](glossary.md), two coroutines.\n\n"
    notebook["cells"][2].update(source=text + HALF_WAY)
    assert broken(notebook, "04_measure") == []


def test_the_optional_parts_have_minutes_of_their_own():
    notebook = lesson()
    notebook["cells"].insert(6, markdown("## More (optional)\n\n" + "word " * 900, "more"))
    assert {c.split(":")[0] for c in broken(notebook, "04_measure")} == {"states_its_minutes"}
    opening = OPENING.replace("the exercises.", "them. More takes another 5 minutes.")
    notebook["cells"][0].update(source=opening)
    assert broken(notebook, "04_measure") == []


def test_the_readme_states_the_minutes_of_the_lessons():
    readme = (NOTEBOOKS[0].parent.parent / "README.md").read_text("utf-8")
    for path in NOTEBOOKS:
        if path.stem not in EXAMS:
            (row,) = re.findall(rf"\(notebooks/{path.name}\) \| (\d+)(?: \+ (\d+))?", readme)
            title = "".join(read(path)["cells"][0]["source"])
            assert f"takes:** {row[0]} minutes" in title, path.name
            assert not row[1] or f"and {row[1]} for" in title, path.name


def test_the_lessons_are_linked_in_order():
    lessons = [path for path in NOTEBOOKS if path.stem not in EXAMS]
    names = [path.name for path in lessons]
    for name, path, following in zip(names, lessons, [*names[1:], names[0]], strict=True):
        cells = read(path)["cells"]
        assert f"]({following}" in "".join(cells[-1]["source"]), f"{name} must lead to {following}"
        if name != names[0]:
            before = names[names.index(name) - 1]
            assert f"]({before})" in "".join(cells[0]["source"]), f"{name} must lead to {before}"


def test_every_link_between_lessons_leads_somewhere():
    files = {path.name for path in NOTEBOOKS[0].parent.iterdir()}
    for path in [*NOTEBOOKS, NOTEBOOKS[0].parent / "glossary.md"]:
        found = re.findall(r"\]\(([\w.]+(?=/)|[\w.]+\.(?:ipynb|md))", path.read_text("utf-8"))
        assert {*found} - {".."} <= files, path.name


def test_any_changed_number_in_any_notebook_is_found():
    unseen = []
    for path in NOTEBOOKS:
        for cell in read(path)["cells"]:
            if cell["cell_type"] == "code" and NOT_COMPARED not in tags(cell):
                fresh = copy.deepcopy(cell["outputs"])
                for change, wrong in with_one_number_changed(cell):
                    if not differences(wrong, fresh):
                        unseen.append(f"{path.name} {cell['id']} {change}")
    assert unseen == []


def read(path):
    return json.loads(path.read_text(encoding="utf-8"))
