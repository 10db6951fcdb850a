"""The pages at the top level are right: commands, links, the list of lessons, requirements."""

import itertools
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from asyncml.course.ready import TESTED

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
BUILD = PYPROJECT["build-system"]["requires"]
NOTEBOOKS = sorted(path.name for path in (ROOT / "notebooks").glob("*.ipynb"))
POSIX = "python3 -m venv .venv && .venv/bin/python -m pip install -r {} && .venv/bin/python -m {}"


def test_two_commands_do_all_the_set_up_on_one_line_each():
    commands = [line for line in README.splitlines() if line.startswith("python3")]
    assert commands == [
        POSIX.format("requirements.txt", "asyncml lab"),
        POSIX.format("tests/requirements.txt", "pytest"),
    ]


def test_the_windows_commands_are_the_same_ones():
    posix = [line for line in README.splitlines() if line.startswith("python3")]
    windows = [line for line in README.splitlines() if line.startswith("py -m")]
    translated = [
        line.replace("python3", "py", 1)
        .replace(".venv/bin/", ".venv\\Scripts\\")
        .replace("notebooks/", "notebooks\\")
        .replace("tests/", "tests\\")
        for line in posix
    ]
    assert windows == translated


def rows(text):
    """Return the cells of each row of the tables in `text`."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_the_table_of_peers_is_the_one_that_was_measured():
    results = (ROOT / "benchmarks/RESULTS.md").read_text(encoding="utf-8")
    measured = rows(results[results.index("### Times ours") : results.index("### As measured")])
    shown = rows(README[README.index("| workload |") :])
    shown = shown[: 1 + max(i for i, row in enumerate(shown) if len(row) == len(shown[0]))]
    columns = [measured[0].index(name) for name in shown[0]]
    assert len(shown) > 5
    for row in shown[2:]:
        found = next(other for other in measured if other[0] == row[0])
        assert row == [found[i] for i in columns]


def test_the_program_for_work_runs(capsys):
    (program,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    names = {}
    exec(program, names)
    lines = capsys.readouterr().out.splitlines()
    assert lines[:16] == ["64 (28, 28)"] * 15 + ["40 (28, 28)"]
    assert names["state"] == names["pipeline"].state_dict()


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_links_lead_somewhere(page):
    links = re.findall(r"\]\(([^)#]+)\)", (ROOT / page).read_text(encoding="utf-8"))
    local = [link for link in links if "://" not in link]
    assert [link for link in local if not (ROOT / link).exists()] == []


def test_each_notebook_is_linked_and_the_others_are_to_come():
    lessons = re.findall(r"^\| (\[?\d\d .*?) \|", README, re.MULTILINE)
    assert [int(lesson.lstrip("[")[:2]) for lesson in lessons] == list(range(14))
    linked = [lesson for lesson in lessons if "(to come)" not in lesson]
    linked += re.findall(r"\]\((notebooks/exam_\w+\.ipynb)\)", README)
    assert [name for name in NOTEBOOKS if not any(name in link for link in linked)] == []


@pytest.mark.parametrize(
    ("file", "more", "extras"),
    [
        (
            "requirements.txt",
            "-e .",
            ["images", "plot", "checkpoints", "serving", "distributed", "course", "test"],
        ),
        ("tests/requirements.txt", "-r ../requirements.txt", ["services", "stores"]),
    ],
)
def test_requirements_are_those_of_the_package(file, more, extras):
    lines = (ROOT / file).read_text(encoding="utf-8").splitlines()
    named = {line for line in lines if line and not line.startswith("#")}
    project = PYPROJECT["project"]
    declared = [one for name in extras for one in project["optional-dependencies"][name]]
    if more == "-e .":
        declared += project["dependencies"] + BUILD
    assert named == {more} | {one for one in declared if not one.startswith("asyncml")}


def test_the_constraints_pin_all_that_is_required_within_its_bounds():
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = dict(line.split("==") for line in lines if not line.startswith("#"))
    pinned = {canonicalize_name(name): version for name, version in pins.items()}
    extras = PYPROJECT["project"]["optional-dependencies"]
    optional = itertools.chain(*(extras[name] for name in extras if name != "lint"))
    for requirement in map(Requirement, [*PYPROJECT["project"]["dependencies"], *BUILD, *optional]):
        if requirement.name != "asyncml":
            assert pinned[canonicalize_name(requirement.name)] in requirement.specifier


def test_every_page_names_the_same_pythons():
    project = PYPROJECT["project"]
    classified = [c for c in project["classifiers"] if c.startswith("Programming Language ::")]
    first, last = TESTED
    named = [f"Programming Language :: Python :: 3.{n}" for n in range(first[1], last[1] + 1)]
    assert classified == named
    assert project["requires-python"] == f">=3.{first[1]}"
    words = f"Python 3.{first[1]} to 3.{last[1]}"
    for page in ("README.md", "requirements.txt"):
        assert words in (ROOT / page).read_text(encoding="utf-8"), page


@pytest.mark.skipif(sys.platform == "win32", reason="a bash script")
def test_the_script_of_the_release_is_a_valid_one():
    subprocess.run(["bash", "-n", str(ROOT / ".ci" / "run")], check=True)
