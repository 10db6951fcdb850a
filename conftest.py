"""For every test, wherever pytest is started: the notebook gate, no window, one BLAS thread."""

import os
from importlib.util import find_spec

from tests import ONE_BLAS_THREAD

os.environ["MPLBACKEND"] = "Agg"
os.environ.update(ONE_BLAS_THREAD | os.environ)

# its examples need the package, which only tests/requirements.txt installs
collect_ignore = [] if find_spec("obstore") else ["asyncml/object_store.py"]
pytest_plugins = ["tests.notebook_gate"]
