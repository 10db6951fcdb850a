"""Lesson 13 answers every claim, and each of its links leads to a cell with output."""

import json
import re
from pathlib import Path

import pytest

NOTEBOOKS = Path(__file__).parent.parent / "notebooks"
ANSWERS = "13_questions_and_answers.ipynb"
VERDICTS = {"true", "half true", "false", "meaningless"}
CLAIMS = range(1, 30)


def cells_of(name):
    cells = json.loads((NOTEBOOKS / name).read_text(encoding="utf-8"))["cells"]
    return {cell["id"]: cell for cell in cells}


CELLS = cells_of(ANSWERS)
TEXTS = {name: "".join(cell["source"]) for name, cell in CELLS.items()}
LINKS = sorted(
    (name, link)
    for name, text in TEXTS.items()
    for link in re.findall(r"\]\(([^)\s]+)\)", text)
    if "://" not in link
)


def has_output(cell):
    return cell["cell_type"] == "code" and bool(cell["outputs"])


@pytest.mark.parametrize("number", CLAIMS)
def test_each_claim_has_its_heading_its_verdict_and_what_shows_it(number):
    text = TEXTS[f"claim-{number:02}"]
    assert re.match(rf"### {number}\. \"[^\"\n]+\" \([AB][^)\n]*\)\n", text)
    (verdict,) = re.findall(r"\*\*Verdict: (.+)\.\*\*", text)
    assert verdict in VERDICTS
    assert has_output(CELLS[f"claim-{number:02}-seen"])


def test_every_claim_and_no_other_has_a_place():
    numbers = [int(n) for text in TEXTS.values() for n in re.findall(r"^### (\d+)\. ", text, re.M)]
    assert numbers == [*CLAIMS]
    headings = [re.findall(r"claims? (\d+)(?: to (\d+))?\)", text) for text in TEXTS.values()]
    spans = [(int(a), int(b or a)) for found in headings for a, b in found if found]
    covered = [n for a, b in spans for n in range(a, b + 1)]
    assert [*dict.fromkeys(covered)] == [*CLAIMS]


@pytest.mark.parametrize("number", [1, 2, 3])
def test_each_myth_has_a_verdict_and_what_shows_it(number):
    (verdict,) = re.findall(r"\*\*Verdict: (.+)\.\*\*", TEXTS[f"myth-{number}"])
    assert verdict in VERDICTS
    shown = [cell for name, cell in CELLS.items() if name.startswith(f"myth-{number}-")]
    assert any(map(has_output, shown))


@pytest.mark.parametrize("question", ["a-61", "b-61", "b-62", "b-63", "b-64"])
def test_each_question_of_the_articles_has_an_answer_that_shows_something(question):
    assert has_output(CELLS[f"question-{question}"])


@pytest.mark.parametrize(("name", "link"), LINKS)
def test_each_link_leads_to_a_file_and_to_a_cell_that_shows_something(name, link):
    path, _, fragment = link.partition("#")
    assert (NOTEBOOKS / path).exists()
    kind, _, cell = fragment.partition("=")
    if kind == "cell-id":  # JupyterLab and nbconvert find cells by this
        assert has_output(cells_of(path)[cell])
    elif fragment:
        text = (NOTEBOOKS / path).read_text(encoding="utf-8")
        assert f"# {fragment.replace('-', ' ')}" in text


def test_what_is_quoted_is_linked_in_the_text_above_it():
    above, missing = "", []
    for name, text in TEXTS.items():
        if CELLS[name]["cell_type"] == "markdown":
            above = text
        for address in re.findall(r"quote\(\"([^\"]+)\"", text):
            lesson = address.partition("#")[0]
            if f"({lesson}.ipynb#cell-id=" not in above and not name.startswith("scale"):
                missing.append(f"{name}: {address}")
    assert missing == []
