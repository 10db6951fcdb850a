"""A learner's copy: without outputs or answers, and never overwritten."""

import json
import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from asyncml.course import lab

LINKS = "![a](pictures/a.png) [glossary](glossary.md) [next](01_second.ipynb)"
ROOT = Path(__file__).parents[2]


@pytest.fixture
def course(tmp_path, monkeypatch):
    """Replace the course by a small one of two lessons, which tests can change."""
    folder = tmp_path / "lessons"
    (folder / "pictures").mkdir(parents=True)
    (folder / "pictures" / "a.png").write_bytes(b"a picture")
    (folder / "glossary.md").write_text("# Glossary", encoding="utf-8")
    (tmp_path / "examples").mkdir()
    (tmp_path / "examples" / "a.py").write_bytes(b"a program")
    for name in ("00_first", "01_second"):
        write(folder / f"{name}.ipynb", name)
    monkeypatch.setattr(lab, "lessons", lambda: folder)
    return folder


def write(path, text):
    cells = [
        {"cell_type": "markdown", "id": "a", "metadata": {}, "source": [f"# {text}"]},
        {"cell_type": "markdown", "id": "d", "metadata": {}, "source": [LINKS]},
        cell("b", "1 + 1"),
        cell("c", "the_answer = 42", "solution", "hide-input"),
    ]
    path.write_text(json.dumps({"cells": cells, "metadata": {"kernelspec": {}}}), encoding="utf-8")


def cell(name, source, *tags):
    output = {"output_type": "execute_result", "data": {"text/plain": ["2"]}}
    return {
        "cell_type": "code",
        "id": name,
        "metadata": {"tags": [*tags], "jupyter": {"source_hidden": bool(tags)}},
        "execution_count": 3,
        "outputs": [output],
        "source": [source],
    }


def read(path):
    return json.loads(path.read_text(encoding="utf-8"))


def test_a_copy_has_no_outputs_and_solutions_stand_apart(course, tmp_path):
    mine = tmp_path / "mine"
    assert lab.make(mine) == [f"2 lessons copied to {mine}"]
    assert (mine / "pictures" / "a.png").read_bytes() == b"a picture"
    assert (mine / "glossary.md").read_text(encoding="utf-8") == "# Glossary"
    text, links, code, link = read(mine / "00_first.ipynb")["cells"]
    assert "".join(links["source"]) == LINKS
    moved = "".join(read(mine / "solutions" / "00_first.ipynb")["cells"][1]["source"])
    assert moved == LINKS.replace("(p", "(../p").replace("(g", "(../g")
    assert text["source"] == ["# 00_first"]
    assert (code["outputs"], code["execution_count"]) == ([], None)
    assert link["cell_type"] == "markdown"
    assert "solutions/00_first.ipynb" in "".join(link["source"])
    assert "42" not in (mine / "00_first.ipynb").read_text(encoding="utf-8")
    solved = read(mine / "solutions" / "00_first.ipynb")["cells"][3]
    assert solved["source"] == ["the_answer = 42"]
    assert solved["metadata"]["jupyter"]["source_hidden"]
    assert solved["outputs"] == []


def test_the_examples_stand_beside_the_copy_and_links_lead_there(course, tmp_path):
    mine, path = tmp_path / "mine", course / "00_first.ipynb"
    path.write_text(path.read_text().replace("[next]", "[copy](../examples/a.py) [next]"))
    lab.make(mine)
    assert (mine / "examples" / "a.py").read_bytes() == b"a program"
    for folder, link in (mine, "](examples/a.py)"), (mine / "solutions", "](../examples/a.py)"):
        assert link in "".join(read(folder / "00_first.ipynb")["cells"][1]["source"])


def test_solutions_may_stay_in_folded(course, tmp_path):
    lab.make(tmp_path / "mine", solutions=True)
    assert read(tmp_path / "mine" / "00_first.ipynb")["cells"][3]["source"] == ["the_answer = 42"]


def test_what_was_written_is_never_overwritten(course, tmp_path):
    mine = tmp_path / "mine"
    lab.make(mine)
    (mine / "00_first.ipynb").write_text("{my own}", encoding="utf-8")
    (mine / "notes.txt").write_text("mine", encoding="utf-8")
    assert lab.make(mine) == [f"Your lessons are in {mine}"]
    assert (mine / "00_first.ipynb").read_text(encoding="utf-8") == "{my own}"
    assert (mine / "notes.txt").read_text(encoding="utf-8") == "mine"


def test_a_newer_lesson_replaces_one_in_which_nothing_was_written_and_else_is_announced(
    course, tmp_path
):
    mine = tmp_path / "mine"
    lab.make(mine)
    (mine / "00_first.ipynb").write_text("{my own}", encoding="utf-8")
    write(course / "00_first.ipynb", "newer")
    write(course / "01_second.ipynb", "newer")
    said = lab.make(mine)
    assert said[0] == f"1 lessons copied to {mine}"
    assert said[1].startswith("00_first.ipynb: the course has a newer version. Yours is as it was")
    assert "--fresh 00" in said[1]
    assert (mine / "00_first.ipynb").read_text(encoding="utf-8") == "{my own}"
    assert read(mine / "01_second.ipynb")["cells"][0]["source"] == ["# newer"]


def test_a_fresh_one_keeps_the_old_one_beside_it(course, tmp_path):
    mine = tmp_path / "mine"
    lab.make(mine)
    for number in (1, 2):
        (mine / "01_second.ipynb").write_text(f"mine {number}", encoding="utf-8")
        said = lab.make(mine, fresh=["01"])
        kept = f"01_second_mine_{number}.ipynb"
        assert said[1] == f"01_second.ipynb is as it was; yours is {kept} now"
        assert (mine / kept).read_text(encoding="utf-8") == f"mine {number}"
        assert read(mine / "01_second.ipynb")["cells"][0]["source"] == ["# 01_second"]


@pytest.mark.parametrize("content", ["", "[]", "{not json"])
def test_without_its_record_every_copy_counts_as_written_in(course, tmp_path, content):
    mine = tmp_path / "mine"
    lab.make(mine)
    (mine / ".lessons.json").write_text(content, encoding="utf-8")
    before = (mine / "00_first.ipynb").read_bytes()
    said = lab.make(mine)
    assert len(said) == 3  # both may be newer versions
    assert (mine / "00_first.ipynb").read_bytes() == before


def test_the_command_says_how_to_begin(course, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert lab.main(["--no-browser"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("2 lessons copied to my-course\nTo begin: ")
    assert str(Path("my-course", "00_first.ipynb")) in said


def test_the_command_opens_jupyterlab(course, tmp_path, monkeypatch):
    commands, environments = [], []

    def run(command, env, check):
        commands.append(command)
        environments.append(env)
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setenv("JUPYTER_CONFIG_PATH", "elsewhere")
    monkeypatch.setattr(subprocess, "run", run)
    assert lab.main(["--folder", str(tmp_path / "mine")]) == 0
    assert commands[0][:3] == [sys.executable, "-m", "jupyterlab"]
    assert Path(commands[0][3]) == tmp_path / "mine" / "00_first.ipynb"
    ours, theirs = environments[0]["JUPYTER_CONFIG_PATH"].split(os.pathsep)
    assert theirs == "elsewhere"
    defaults = read(Path(ours) / "labconfig" / "default_setting_overrides.json")
    assert defaults["@jupyterlab/notebook-extension:tracker"]["codeCellConfig"]["lineWrap"]
    assert defaults["@jupyterlab/docmanager-extension:plugin"]["defaultViewers"]["markdown"]


def test_a_lesson_that_there_is_not(course, tmp_path, capsys):
    with pytest.raises(SystemExit):
        lab.main(["--fresh", "77", "--folder", str(tmp_path / "mine")])
    assert "there is no lesson 77; there are 00_first.ipynb" in capsys.readouterr().err


def ours(cell):
    return "solution" in cell["metadata"].get("tags", ())


def test_the_real_lessons_are_found_here_and_can_be_copied(tmp_path):
    assert lab.lessons() == ROOT / "notebooks"
    lab.make(tmp_path)
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        cells = read(tmp_path / path.name)["cells"]
        assert not any(cell.get("outputs") for cell in cells)
        assert not any("solution" in cell["metadata"].get("tags", ()) for cell in cells)
        words = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown"]
        assert not any("](../" in text for text in words), f"{path.name}: a link leads out of it"
        left, whole = {one["id"] for one in cells}, read(path)["cells"]
        for before, cell in pairwise(whole):  # one link to ours if two stand together
            assert cell["id"] in left or (ours(before) and ours(cell))


def test_an_installation_without_lessons_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(lab, "__file__", str(tmp_path / "a" / "b" / "c" / "lab.py"))
    with pytest.raises(FileNotFoundError, match="the lessons are not installed"):
        lab.lessons()


def test_from_the_command_line(tmp_path):
    command = [sys.executable, "-m", "asyncml", "lab", "--no-browser", "--folder", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "lessons copied to" in done.stdout
