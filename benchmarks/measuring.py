"""How the benchmarks measure: interleaved rounds, and their median."""

import gc
import json
import math
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

# read when OpenBLAS, OpenMP (torch), MKL and Accelerate are loaded
THREADS = (
    "OPENBLAS_NUM_THREADS",
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)


def machine() -> str:
    """Return a line that describes this machine."""
    system = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores"
    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    return f"Python {platform.python_version()}, NumPy {np.__version__}, {system}{load}"


def interleaved(
    *programs: Callable[[], object],
    rounds: int = 7,
    most_s: float = math.inf,
    rest_s: float = 0.0,
) -> list[float]:
    """Return the median seconds of each program; interleaving keeps slow drifts out of ratios.

    Each program runs at least once; one that has taken `most_s` seconds in total is not run again.
    Before each run there is a rest of `rest_s` seconds, so that idle threads of the previous
    program stop spinning.
    """
    times: list[list[float]] = [[] for _ in programs]
    for _ in range(rounds):
        for program, mine in zip(programs, times, strict=True):
            if not mine or sum(mine) < most_s:
                gc.collect()  # so that no program collects another's garbage
                time.sleep(rest_s)
                start = time.perf_counter()
                program()
                mine.append(time.perf_counter() - start)
    return [statistics.median(mine) for mine in times]


def in_child(module: str, *arguments: object, threads: int | None = None) -> Any:
    """Run a module in a process whose libraries use `threads` threads; return its JSON output.

    None leaves the number to the libraries.
    """
    command = [sys.executable, "-m", module, *map(str, arguments)]
    environment = {name: value for name, value in os.environ.items() if name not in THREADS}
    if threads is not None:
        environment |= dict.fromkeys(THREADS, str(threads))
    root = Path(__file__).parent.parent
    done = subprocess.run(
        command, check=True, stdout=subprocess.PIPE, text=True, cwd=root, env=environment
    )
    return json.loads(done.stdout)
