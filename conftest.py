"""For every test, wherever pytest is started: the notebook gate, no window, one BLAS thread."""

import os

os.environ["MPLBACKEND"] = "Agg"
# read when NumPy is imported: two threads on two busy cores make a small product ten times slower
for name in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS"):
    os.environ.setdefault(name, "1")

pytest_plugins = ["tests.notebook_gate"]
