"""BLAS threads: steps of `aml.fit` with one thread and with all, on a quiet and a busy machine.

    python -m benchmarks.threads ROUNDS

prints as JSON the milliseconds of a step of each network, with one thread and with all: first on
the machine as it is, then beside two processes that compute. A complete run writes its section of
`RESULTS.md`.
"""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np

import asyncml as aml
from asyncml.training.blas import LARGE
from benchmarks.measuring import in_child, interleaved, machine
from benchmarks.network import Batches
from benchmarks.results import digits, markdown, plain, write_section

SIZES = ([64, 32, 10], [784, 128, 10], [784, 256, 128, 10], [784, 1024, 1024, 10], [784, 4096, 10])
BATCH, STEPS = 64, 20
COMPANY = 2  # processes
MOST_S = 20.0  # for one network and one number of threads, alone or in company

NOTES = f"""\
- Milliseconds of a step of `aml.fit`, batches of {BATCH}: the median of interleaved runs of {STEPS}
  steps, in a process in which no variable says how many threads BLAS may take.
- One: as `aml.fit` has it below {LARGE:,} parameters. All: `blas_threads` as high as there are
  cores, which is what NumPy does by itself, and `aml.fit` from there on.
- In company: {COMPANY} other processes compute all the time.
"""


def main(rounds: int = 5, folder: Path = Path(__file__).parent) -> None:
    """Measure, print, and write the results."""
    on = machine()
    table = threads_table(in_child("benchmarks.threads", rounds))
    print(plain(table))
    text = f"`python -m benchmarks threads`. {on}.\n\n{markdown(table)}\n\n{NOTES}"
    write_section(folder / "RESULTS.md", "BLAS threads", text)


def measure(rounds: int) -> list[list[float]]:
    """Return, per network, milliseconds of a step: one thread and all, alone, then in company."""
    quiet = [_step_ms(sizes, rounds) for sizes in SIZES]
    with company():
        beside = [_step_ms(sizes, rounds) for sizes in SIZES]
    return [[*first, *second] for first, second in zip(quiet, beside, strict=True)]


def _step_ms(sizes: list[int], rounds: int) -> list[float]:
    model, rng = aml.MLP(sizes), np.random.default_rng(0)
    x, y = rng.random((BATCH, sizes[0]), np.float32), rng.integers(0, sizes[-1], BATCH)
    programs = [partial(_train, model, [(x, y)] * STEPS, n) for n in (1, os.cpu_count())]
    seconds = interleaved(*programs, rounds=rounds, most_s=MOST_S)
    return [1e3 * each / STEPS for each in seconds]


def _train(model: aml.MLP, batches: Batches, threads: int) -> None:
    async def train() -> None:
        async for _ in aml.fit(model, aml.SGD(model, 1e-4), batches, blas_threads=threads):
            pass

    asyncio.run(train())


@contextmanager
def company() -> Iterator[None]:
    """Keep other processes computing during the `with` block."""
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(COMPANY)]
    try:
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()


def threads_table(rows: list[list[float]]) -> list[list[str]]:
    """Return a table with a row per network, and the ratio of all threads to one."""
    both = "all", "all / one"
    table = [["network", "parameters", "alone: one", *both, "in company: one", *both]]
    for sizes, (one, all_of, one_beside, all_beside) in zip(SIZES, rows, strict=True):
        size = sum((n_in + 1) * n_out for n_in, n_out in pairwise(sizes))
        cells = ["-".join(map(str, sizes)), f"{size:,}"]
        for first, second in ((one, all_of), (one_beside, all_beside)):
            cells += [digits(first), digits(second), f"{digits(second / first)}x"]
        table.append(cells)
    return table


if __name__ == "__main__":
    print(json.dumps(measure(int(sys.argv[1]))))
