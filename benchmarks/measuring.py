"""How things are measured here: interleaved rounds, and the median of them."""

import gc
import math
import os
import platform
import statistics
import time
from collections.abc import Callable

import numpy as np


def machine() -> str:
    """Say in a line what was measured on."""
    system = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores"
    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    return f"Python {platform.python_version()}, NumPy {np.__version__}, {system}{load}"


def interleaved(
    *programs: Callable[[], object], rounds: int = 7, most_s: float = math.inf
) -> list[float]:
    """Return the median time of each program in seconds; rounds keep slow drifts out of ratios.

    A program that has taken `most_s` seconds altogether is not run again; each runs once.
    """
    times: list[list[float]] = [[] for _ in programs]
    for _ in range(rounds):
        for program, mine in zip(programs, times, strict=True):
            if not mine or sum(mine) < most_s:
                gc.collect()  # what the one before has left is not this one's work
                start = time.perf_counter()
                program()
                mine.append(time.perf_counter() - start)
    return [statistics.median(mine) for mine in times]
