"""For every test, wherever pytest is started: the notebook gate, no window, one BLAS thread."""

import os

from tests import ONE_BLAS_THREAD

os.environ["MPLBACKEND"] = "Agg"
os.environ.update(ONE_BLAS_THREAD | os.environ)

pytest_plugins = ["tests.notebook_gate"]
