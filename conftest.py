"""For every test, wherever pytest is started: the notebook gate, no window, one BLAS thread."""

import os
import sys
from importlib.util import find_spec

import pytest

from tests import ONE_BLAS_THREAD

os.environ["MPLBACKEND"] = "Agg"
# compiled files are kept, whatever the environment says: the tests start some 300 processes, and
# each of them would compile the package anew
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
os.environ.update(ONE_BLAS_THREAD | os.environ)

collect_ignore = ["asyncml/exercises.py"]  # another name of a package, which is collected as it is
collect_ignore += ["notebooks/other_languages"]  # programs without tests, one of which needs torch
if not find_spec("obstore"):  # which only tests/requirements.txt installs
    collect_ignore.append("asyncml/stores/objects.py")
pytest_plugins = ["tests.notebook_gate", "nbval.plugin"]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Start one worker more than there are cores: many tests wait, for kernels or a cluster."""
    return (os.cpu_count() or 1) + 1
