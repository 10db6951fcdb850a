"""Everything needed to publish the course is consistent: its address, version and workflows."""

import json
import re
import runpy
import shutil
import tomllib
from pathlib import Path

import pytest
import yaml

import asyncml
from asyncml.course import address
from asyncml.course.ready import TESTED

ROOT = Path(__file__).parent.parent
NAMED = ("asyncml/course/address.py", "pyproject.toml", "CITATION.cff", "README.md")
HOME = "https://github.com/owner/a-name"

pytestmark = pytest.mark.skipif(
    not (ROOT / ".ci").exists(), reason="a source distribution has none of these files"
)


def read(name):
    return yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))


@pytest.fixture
def publish_at():
    return runpy.run_path(str(ROOT / ".ci/publish_at.py"))["publish_at"]


@pytest.fixture
def copy(tmp_path):
    for name in NAMED:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def texts(root):
    return {name: (root / name).read_text(encoding="utf-8") for name in NAMED}


def test_one_command_writes_the_address_everywhere(publish_at, copy):
    publish_at(copy, "https://github.com/one-before/it")
    publish_at(copy, HOME)
    written = texts(copy)
    assert "one-before" not in "".join(written.values())
    assert runpy.run_path(str(copy / NAMED[0]))["REPOSITORY"] == HOME
    project = tomllib.loads(written["pyproject.toml"])["project"]
    assert project["urls"] == {"Repository": HOME, "Issues": f"{HOME}/issues"}
    assert project["optional-dependencies"]
    assert yaml.safe_load(written["CITATION.cff"])["repository-code"] == HOME
    assert address.badges(HOME) in written["README.md"]
    publish_at(copy, HOME)
    assert texts(copy) == written


@pytest.mark.parametrize(
    "wrong", ["", "owner/name", "https://example.org/a/b", f"{HOME}/tree/main"]
)
def test_another_kind_of_address_is_refused_and_nothing_written(publish_at, copy, wrong):
    before = texts(copy)
    with pytest.raises(ValueError, match=r"must be like .*, got"):
        publish_at(copy, wrong)
    assert texts(copy) == before


def test_a_file_without_a_place_for_it_is_named_and_nothing_written(publish_at, copy):
    (copy / "README.md").write_text("# asyncml\n", encoding="utf-8")
    before = texts(copy)
    with pytest.raises(ValueError, match=r"README\.md has no place for the address"):
        publish_at(copy, HOME)
    assert texts(copy) == before


def test_the_address_is_the_same_everywhere_or_nowhere():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project.get("urls", {}).get("Repository", "") == address.REPOSITORY
    assert read("CITATION.cff").get("repository-code", "") == address.REPOSITORY


def test_the_citation_is_of_this_version():
    assert read("CITATION.cff")["version"] == asyncml.__version__


def test_the_workflow_tries_each_python_that_is_promised_on_each_system():
    jobs = read(".github/workflows/tests.yml")["jobs"]
    matrix = jobs["suite"]["strategy"]["matrix"]
    (_, first), (_, last) = TESTED
    assert matrix["python"] == [f"3.{minor}" for minor in range(first, last + 1)]
    assert {name.split("-")[0] for name in matrix["os"]} == {"ubuntu", "macos", "windows"}
    assert {"lint", "oldest", "distributions", "prereleases"} <= jobs.keys()


def test_containers_are_made_as_the_readme_says():
    made = json.loads((ROOT / ".devcontainer/devcontainer.json").read_text(encoding="utf-8"))
    assert "pip install -r requirements.txt" in made["postCreateCommand"]
    assert (ROOT / "binder/requirements.txt").read_text(
        encoding="utf-8"
    ) == "-r ../requirements.txt\n"
    pythons = re.findall(r"3\.(\d+)", made["image"] + (ROOT / "binder/runtime.txt").read_text())
    assert all(TESTED[0][1] <= int(minor) <= TESTED[1][1] for minor in pythons)
    assert len(pythons) == 2


@pytest.mark.parametrize(
    "form", [p for p in (ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml") if p.stem != "config"]
)
def test_forms_ask_for_something(form):
    made = yaml.safe_load(form.read_text(encoding="utf-8"))
    assert made["name"]
    assert any(field.get("validations", {}).get("required") for field in made["body"])
    assert len({field["id"] for field in made["body"]}) == len(made["body"])
