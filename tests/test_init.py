"""The table of contents: every name in it exists, and nothing is loaded before it is used."""

import ast
import importlib
import inspect
import pydoc
import subprocess
import sys
from types import ModuleType

import pytest

import asyncml


def test_the_table_says_what_the_doors_of_the_rooms_say():
    for room, names in asyncml._ROOMS.items():
        door = importlib.import_module(f"asyncml.{room}")
        public = getattr(door, "__all__", ["ThreadPool"])
        assert sorted(names.split(), key=str.lower) == sorted(public, key=str.lower)


def test_type_checkers_see_every_room():
    tree = ast.parse(inspect.getsource(asyncml))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    assert [node.module.removeprefix("asyncml.") for node in block.body] == [*asyncml._ROOMS]


def test_every_name_is_there_and_documented():
    for name in asyncml.__all__:
        assert name in dir(asyncml)
        assert getattr(asyncml, name) is getattr(asyncml, name)
    with pytest.raises(AttributeError, match="no attribute 'pipelin'"):
        asyncml.pipelin  # noqa: B018


def test_dir_lists_what_is_public_and_the_rooms_that_are_loaded():
    names = [name for name in dir(asyncml) if not name.startswith("__")]
    rooms = {name for name in names if isinstance(getattr(asyncml, name), ModuleType)}
    assert {*names} - rooms == {*asyncml.__all__}
    assert "checks" in rooms
    assert {"__version__", "__doc__", "__path__", "__all__"} <= {*dir(asyncml)}


DOCUMENTED = (
    "Layer Linear ReLU Sequential MLP Optimizer SGD Adam softmax_cross_entropy fit evaluate Step "
    "LossCurve Checkpointer"
)


@pytest.mark.parametrize("name", DOCUMENTED.split())
def test_signatures_in_the_help_are_short(name):
    text = pydoc.render_doc(getattr(asyncml, name), renderer=pydoc.plaintext)
    assert "numpy.dtype" not in text
    assert "_SupportsArray" not in text
    assert "collections.abc" not in text


def test_the_help_of_a_layer_explains_what_a_layer_of_ones_own_may_say():
    text = pydoc.render_doc(asyncml.Layer, renderer=pydoc.plaintext)
    for attribute in ("n_in", "n_out", "n_params", "in_place", "reads_output", "bound"):
        assert f"     {attribute}: " in text


def loaded(program):
    source = f"import sys; before = set(sys.modules); {program}; print(*set(sys.modules) - before)"
    done = subprocess.run(
        [sys.executable, "-c", source], capture_output=True, text=True, check=True
    )
    return {name.partition(".")[0] for name in done.stdout.split()}


def test_the_import_loads_nothing_and_all_names_load_numpy_and_the_standard_library():
    assert loaded("import asyncml") - sys.stdlib_module_names == {"asyncml"}
    everything = loaded("from asyncml import *")
    # an editable installation has its own finder
    assert {n for n in everything - sys.stdlib_module_names if not n.startswith("_")} <= {
        "asyncml",
        "numpy",
        "cython_runtime",
    }
