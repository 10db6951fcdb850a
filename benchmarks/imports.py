"""The cost of imports beyond NumPy and asyncio, measured as whole processes."""

import subprocess
import sys
from collections.abc import Callable, Iterable
from functools import partial

from benchmarks.measuring import interleaved

BASE = "numpy, asyncio"
MOST_S = 4.0  # a module that has taken this long in total is not run again


def seconds_to_import(modules: Iterable[str], rounds: int) -> list[float]:
    """Return the seconds that a new process needs for each module, beyond `BASE`."""
    programs: list[Callable[[], None]] = [partial(_run, f"import {BASE}")]
    programs += [partial(_run, f"import {BASE}, {module}") for module in modules]
    base, *others = interleaved(*programs, rounds=rounds, most_s=MOST_S)
    return [seconds - base for seconds in others]


def _run(source: str) -> None:
    subprocess.run([sys.executable, "-c", source], check=True)
