"""The exercises by the name that notebooks use: it is only an alias."""

import importlib
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import asyncml

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"


def imported_by_notebooks():
    """Return the modules in `asyncml.exercises`, itself included, that code cells import."""
    found = set()
    for path in NOTEBOOKS.glob("*.ipynb"):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        code = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
        found |= {*re.findall(r"(?:from|import) (asyncml\.exercises[.\w]*)", code)}
    return sorted(found)


def test_the_notebooks_import_what_is_listed_and_no_more():
    from asyncml import exercises  # noqa: F401

    listed = {name for name in sys.modules if name.startswith("asyncml.exercises.")}
    assert {"asyncml.exercises", *listed} == {*imported_by_notebooks()}


@pytest.mark.parametrize("name", imported_by_notebooks())
@pytest.mark.parametrize("first", ["asyncml.exercises", "asyncml.course.exercises"])
def test_both_names_give_the_very_same_module(name, first):
    # in a new process where nothing has been imported, with either name first
    home = name.replace("asyncml.exercises", "asyncml.course.exercises")
    program = f"""
import importlib, sys
before, after = ({name!r}, {home!r}) if {first!r} == "asyncml.exercises" else ({home!r}, {name!r})
one, other = importlib.import_module(before), importlib.import_module(after)
assert one is other, (one, other)
assert one.__name__ == {home!r}
import asyncml
assert asyncml.exercises is asyncml.course.exercises is sys.modules["asyncml.exercises"]
modules = {{id(one): one.__file__ for name, one in sys.modules.items() if "exercises" in name}}
assert len(modules) == len(set(modules.values())), modules
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stderr == ""


def test_a_check_by_either_name_knows_the_same_exercises():
    by_one = importlib.import_module("asyncml.exercises")
    by_other = importlib.import_module("asyncml.course.exercises")
    assert by_one.check is by_other.check
    assert by_one.check("07-bound", [5, 4, 20]).code == "passed"
    with pytest.raises(ValueError, match="there is no exercise '07-none'"):
        by_other.check("07-none", 1)


def test_importing_the_package_does_not_load_them():
    program = "import asyncml, sys; print(*[name for name in sys.modules if 'exercises' in name])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.stdout.strip(), done.stderr) == ("", "")
    assert "exercises" not in asyncml.__all__
