"""Jobs that record when they computed, to count how many did so at the same time.

A job returns time stamps, one after each of its rounds. Between two stamps it was computing, unless
the round took so much longer than usual that it must have waited for a core or for Python's lock.
So the count is right even on a busy machine, where a stopwatch misleads. A process pool runs only
what it can import, nothing from a notebook: lesson 05 runs these jobs in coroutines, threads and
processes.
"""

import contextlib
import multiprocessing
import os
import statistics
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from asyncml.look import BLUE, VERMILION, rows
from asyncml.threads import cores as cores

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_STRETCHED = 5  # a round of this many times the usual length waited for something
_PATIENCE_S = 60.0


def wait_work(seconds: float) -> list[float]:
    """Wait, as for a disk or a network, and return the stamps of the start and the end."""
    start = time.perf_counter()
    time.sleep(seconds)
    return [start, time.perf_counter()]


def numpy_work(rounds: int) -> list[float]:
    """Compute in NumPy on one core, and return the stamps of the rounds.

    NumPy releases Python's lock while it works through a large array.
    """
    x = np.linspace(-1.0, 1.0, 60_000)
    out = np.empty_like(x)
    stamps = [time.perf_counter()]
    for _ in range(rounds):
        np.exp(x, out=out)
        stamps.append(time.perf_counter())
    return stamps


def python_work(rounds: int) -> list[float]:
    """Compute in pure Python, which holds Python's lock, and return the stamps of the rounds."""
    stamps = [time.perf_counter()]
    for _ in range(rounds):
        total = 0
        for number in range(2000):
            total += number & 3
        stamps.append(time.perf_counter())
    return stamps


def stretches(stamps: Sequence[float]) -> list[tuple[float, float]]:
    """Return the spans (start, end) in which a job was at work, without rounds of waiting.

    Example:
        >>> stretches([0, 1, 2, 9, 10])
        [(0, 2), (9, 10)]
    """
    usual = statistics.median(end - start for start, end in pairwise(stamps))
    found: list[tuple[float, float]] = []
    for start, end in pairwise(stamps):
        if end - start > _STRETCHED * usual:
            continue
        if found and found[-1][1] == start:
            start = found.pop()[0]
        found.append((start, end))
    return found


def at_once(jobs: Sequence[Sequence[float]]) -> float:
    """Return how many jobs were at work, averaged over the time in which any was.

    1.0 means one after the other, or taking turns; 2.0 means that two were always at work.

    Args:
        jobs: the stamps of each job, in seconds of one clock.

    Example:
        >>> at_once([[0, 1, 2], [2, 3, 4]]), at_once([[0, 1, 2], [0, 1, 2]])
        (1.0, 2.0)
    """
    spans = sorted(span for stamps in jobs for span in stretches(stamps))
    total = sum(end - start for start, end in spans)
    covered, until = 0.0, spans[0][0]
    for start, end in spans:
        covered += max(0.0, end - max(start, until))
        until = max(until, end)
    return total / covered


@contextlib.contextmanager
def thread_pool(workers: int) -> Iterator[ThreadPoolExecutor]:
    """Provide a pool whose threads have all started, each on its own core if possible."""
    everyone = threading.Barrier(workers)
    with ThreadPoolExecutor(workers, "worker", _take_core, (everyone,)) as pool:
        list(pool.map(abs, range(workers)))
        yield pool


@contextlib.contextmanager
def process_pool(workers: int) -> Iterator[ProcessPoolExecutor]:
    """Provide a pool whose processes have all started, each on its own core if possible.

    They are spawned on every system, since a fork copies the locks that other threads hold.
    """
    context = multiprocessing.get_context("spawn")
    everyone = context.Barrier(workers)
    with ProcessPoolExecutor(workers, context, _take_core, (everyone,)) as pool:
        list(pool.map(abs, range(workers)))
        yield pool


def _take_core(everyone: Any) -> None:
    """Wait until all workers have started, so that none does two jobs; then take a core."""
    number = everyone.wait(_PATIENCE_S)
    if hasattr(os, "sched_setaffinity"):  # on a busy machine they might share a core for a while
        allowed = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {allowed[number % len(allowed)]})


def plot_at_work(runs: dict[str, Sequence[Sequence[float]]], axes: Sequence["Axes"]) -> None:
    """Draw when each job was at work: axes for each run, a row for each of its jobs."""
    last = max(stamps[-1] - _start(jobs) for jobs in runs.values() for stamps in jobs)
    for ax, (name, jobs) in zip(axes, runs.items(), strict=True):
        for row, stamps in enumerate(jobs):
            spans = [
                ((start - _start(jobs)) * 1e3, (end - start) * 1e3)
                for start, end in stretches(stamps)
            ]
            ax.broken_barh(spans, (row - 0.4, 0.8), facecolor=(BLUE, VERMILION)[row % 2])
        rows(ax, [f"job {n}" for n, _ in enumerate(jobs, 1)])
        ax.set(xlim=(0, last * 1e3), title=name)
    axes[-1].set_xlabel("time (ms)")


def _start(jobs: Sequence[Sequence[float]]) -> float:
    return min(stamps[0] for stamps in jobs)
