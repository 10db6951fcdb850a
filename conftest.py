"""For every test, wherever pytest is started: the gate for notebooks, and no window for figures."""

import os

os.environ["MPLBACKEND"] = "Agg"

pytest_plugins = ["tests.notebook_gate"]
