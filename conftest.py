"""For every test, wherever pytest is started: the notebook gate, no window, one BLAS thread."""

import gc
import os
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tests import ONE_BLAS_THREAD

os.environ["MPLBACKEND"] = "Agg"
# keep compiled files, whatever the environment says: the tests start some 300 processes, and each
# would compile the package again
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
os.environ.update(ONE_BLAS_THREAD | os.environ)

collect_ignore = ["asyncml/exercises.py"]  # an alias of a package that is collected itself
collect_ignore += ["notebooks/other_languages"]  # programs without tests, one of which needs torch
if not find_spec("obstore"):  # only tests/requirements.txt installs it
    collect_ignore.append("asyncml/stores/objects.py")
pytest_plugins = ["tests.notebook_gate", "nbval.plugin"]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Return two workers more than cores, because many tests wait for kernels or a cluster."""
    return (os.cpu_count() or 1) + 2


# Files that take more than about five seconds. They run first, then the notebooks: if one of them
# came last, the other workers would be idle until it ended. Files that mostly wait are mixed with
# files that compute.
LONG = [
    *("test_notebook_gate", "distributed/test_laws", "timeline/test_player_in_browser"),
    *("course/test_exercises_12", "test_benchmarks", "pipeline/test_pools"),
    *("timeline/test_player_in_jupyterlab", "course/test_routes", "stores/test_objects"),
    *("course/test_exercises_07", "distributed/test_cluster", "training/test_checkpoint"),
    *("course/test_exercises", "training/test_curve", "test_examples", "course/test_exercises_06"),
    *("pipeline/test_leaving", "course/test_capstone", "course/test_stop", "serving/test_clients"),
    *("course/test_exercises_09", "pipeline/test_mixing", "test_notebooks", "test_site"),
]


def _turn(item: pytest.Item) -> int:
    file = item.nodeid.partition("::")[0]
    if file.endswith(".ipynb"):
        return len(LONG)
    name = file.removeprefix("tests/").removesuffix(".py")
    return LONG.index(name) if name in LONG else len(LONG) + 1


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[Any]:
    """Disable garbage collection while tests are collected: many objects, little garbage."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put long files first; pytest-xdist hands files out in this order."""
    items.sort(key=_turn)


@pytest.hookimpl(wrapper=True)
def pytest_collect_file(file_path: Path) -> Iterator[Any]:
    """Collect doctests only in the package: the tests' docstrings have none."""
    collectors = yield
    if Path(__file__).parent / "tests" in file_path.parents:
        return [each for each in collectors if type(each).__name__ != "DoctestModule"]
    return collectors
