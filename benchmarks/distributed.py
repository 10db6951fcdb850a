"""Distributed training: the cost of coordination, and two processes on a cluster.

    python -m benchmarks.distributed scale WORKERS STEPS
    python -m benchmarks.distributed real

print their figures as JSON. A complete run writes its section of `RESULTS.md`.
"""

import asyncio
import json
import logging
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

import asyncml as aml
from benchmarks.measuring import in_child, machine
from benchmarks.network import RATE, SIZES, images
from benchmarks.results import digits, markdown, plain, write_section

WORKERS = (10, 100, 1_000, 10_000)
STEPS = 100_000  # in total, but at least thirty for each worker
HOUR = 3_600  # steps of one second each, for a thousand workers
BATCH, UPDATES, P = 128, 150, 2

NOTES = f"""\
- Scale: `Async()`, workers that compute a second for each step, a quadratic of 4 parameters as the
  model and plain descent as the optimiser, so that next to nothing is computed. Seconds are those
  of the processor, of which a simulation uses one core.
- A bare sleep: as many tasks that only sleep a second, under `simulate`. Of the rest of a step some
  4 µs are the model and its optimiser in NumPy; the others are Python: the batch, the gradient, the
  check that it is finite, the ledger, the policy, the history.
- Memory: by how much the process has grown after the first tenth of the run, without the history.
- Two processes: an MLP of {"-".join(map(str, SIZES))}, Adam, `Sync()`, batches of {BATCH}, of which
  each of {P} Dask worker processes has its part. Medians of {UPDATES} updates, one thread for BLAS.
  The messages' time is that of a model of as many parameters that computes nothing, with one
  worker; the latency that of one with 10 parameters.
- The formula: compute / P + 2 bytes / bandwidth + latency. It has a connection for each worker, as
  a ring has; a server is one process, which talks with P workers and makes the update: that is the
  second prediction. Both take their parts as they are in a loop of nothing else, where the vectors
  stay in the cache of one core. Here they go from core to core, and three processes share two.
"""


class Quadratic:
    """A model of four parameters."""

    def __init__(self) -> None:
        self.params, self.grads = np.ones(4), np.zeros(4)

    def loss_and_grads(self, x: Any, y: Any) -> float:
        np.copyto(self.grads, self.params)
        return 0.5 * float(self.params @ self.params)


class Descent:
    def __init__(self, model: Any) -> None:
        self.model = model

    def step(self) -> None:
        self.model.params -= 1e-6 * self.model.grads


class Free:
    """A model with nothing to compute, to measure the cost of messages."""

    def __init__(self, size: int) -> None:
        self.params, self.grads = np.zeros(size, np.float32), np.zeros(size, np.float32)

    def loss_and_grads(self, x: Any, y: Any) -> float:
        return 0.0


class Nothing(Descent):
    def step(self) -> None:
        pass


class Times:
    """The same batch, `count` times."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __iter__(self) -> Iterator[Any]:
        return iter([((0.0,), (0,))] * self.count)


# scale


def scale(workers: int, steps: int) -> dict[str, float]:
    """Simulate `workers` workers that take `steps` steps each; return time and memory."""
    import resource

    model, grown = Quadratic(), []
    server = aml.ParameterServer(model, Descent(model), aml.Async())

    def compute_time(rng: np.random.Generator, worker: int) -> float:
        if worker == 0 and server.version >= workers * steps / 10 and not grown:
            grown.append(_used(resource))
        return 1.0

    begun = time.process_time()
    history = aml.simulate(
        aml.train_distributed(server, [Times(steps)] * workers, compute_time=compute_time)
    )
    seconds, updates = time.process_time() - begun, len(history.updates)
    assert updates == workers * steps
    assert history.updates[-1].time == steps
    more = _used(resource) - grown[0] - 0.9 * history.nbytes
    begun = time.process_time()
    aml.simulate(_sleeps(workers, max(1, min(steps, STEPS // workers))))
    bare = (time.process_time() - begun) / workers / max(1, min(steps, STEPS // workers))
    return {
        "seconds": seconds,
        "us": 1e6 * seconds / updates,
        "bare_us": 1e6 * bare,
        "bytes": history.nbytes / updates,
        "more_mb": max(0.0, more / 1e6),
    }


def _used(resource: Any) -> float:
    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)


async def _sleeps(workers: int, steps: int) -> None:
    async def sleeps() -> None:
        for _ in range(steps):
            await asyncio.sleep(1)

    await asyncio.gather(*(sleeps() for _ in range(workers)))


# two processes on the real task


def real() -> dict[str, float]:
    """Return milliseconds: for a step in one process, its parts, and two processes."""
    x, y = images(BATCH)
    model = aml.MLP(SIZES, seed=0)
    adam, half = aml.Adam(model, lr=RATE), BATCH // P

    def update() -> None:
        np.multiply(model.grads, 0.5, out=model.grads)
        np.add(model.grads, model.grads, out=model.grads)
        adam.step()

    def step() -> None:
        model.loss_and_grads(x, y)
        adam.step()

    parts = {
        "alone": _median_ms(step),
        "compute": _median_ms(lambda: model.loss_and_grads(x[:half], y[:half])),
        "update": _median_ms(update),
    }
    shares = [[(x[i * half : (i + 1) * half], y[i * half : (i + 1) * half])] * UPDATES
              for i in range(P)]  # fmt: skip
    from distributed import Client, LocalCluster

    options = {"n_workers": P, "threads_per_worker": 1, "dashboard_address": "127.0.0.1:0"}
    with (
        LocalCluster(processes=True, silence_logs=logging.CRITICAL, **options) as cluster,
        Client(cluster) as client,
    ):
        for name, size in (("latency", 10), ("messages", model.params.size)):
            free = Free(size)
            server = aml.ParameterServer(free, Nothing(free), aml.Sync())
            parts[name], _ = _update_ms(server, [Times(UPDATES)], client)
        parts["messages"] -= parts["latency"]
        free = Free(model.params.size)
        server = aml.ParameterServer(free, Nothing(free), aml.Sync())
        parts["all"], _ = _update_ms(server, [Times(UPDATES)] * P, client)
        server = aml.ParameterServer(model, adam, aml.Sync())
        parts["two"], parts["there"] = _update_ms(server, shares, client)
    parts["size"] = model.params.size
    return parts


def _median_ms(program: Callable[[], object]) -> float:
    times = []
    for _ in range(UPDATES):
        begun = time.perf_counter()
        program()
        times.append(time.perf_counter() - begun)
    return 1e3 * float(np.median(times))


def _update_ms(server: aml.ParameterServer, shares: list[Any], client: Any) -> tuple[float, float]:
    """Return the milliseconds of an update, and of a worker's computing for it."""
    history = asyncio.run(aml.train_distributed(server, shares, dask_client=client))
    workers = history.statistics().workers
    computing = np.mean([each.busy_s / each.gradients for each in workers])
    return 1e3 * float(np.median(np.diff(history.times))), 1e3 * float(computing)


# the page


def main(folder: Path = Path(__file__).parent, *, hour: bool = True) -> None:
    """Measure, print, and write the results."""
    on = machine()
    runs = [(workers, max(30, STEPS // workers)) for workers in WORKERS]
    runs += [(1_000, HOUR)] * hour
    table = scale_table(
        [(*run, in_child("benchmarks.distributed", "scale", *run, threads=1)) for run in runs]
    )
    print(plain(table))
    figures = in_child("benchmarks.distributed", "real", threads=1)
    rows = real_table(figures)
    print(plain(rows))
    page = [
        f"`python -m benchmarks distributed`: asyncml {aml.__version__}. {on}.",
        markdown(table),
        markdown(rows),
        where_it_pays(figures),
        NOTES,
    ]
    write_section(folder / "RESULTS.md", "Distributed", "\n\n".join(page))


def scale_table(runs: list[tuple[int, int, dict[str, float]]]) -> list[list[str]]:
    """Return a row for each number of workers."""
    head = "workers", "steps each", "updates", "time, s", "µs a step", "a bare sleep, µs"
    table = [[*head, "history, bytes an update", "memory beyond it, MB"]]
    for workers, steps, got in runs:
        cells = [f"{workers:,}", f"{steps:,}", f"{workers * steps:,}"]
        names = "seconds", "us", "bare_us", "bytes", "more_mb"
        table.append([*cells, *(digits(got[name]) for name in names)])
    return table


def predictions(parts: dict[str, float]) -> tuple[float, float]:
    """Return the predicted milliseconds of an update: by the formula, and with a single server."""
    formula = parts["compute"] + parts["messages"] + parts["latency"]
    return formula, parts["compute"] + parts["all"] + parts["update"]


def real_table(parts: dict[str, float]) -> list[list[str]]:
    """Return a table of the parts, the predictions and the measurements."""
    formula, one_server = predictions(parts)
    rows = {
        f"one process, a batch of {BATCH}": parts["alone"],
        f"part: computing a gradient of {BATCH // P}": parts["compute"],
        "part: the parameters there and a gradient back": parts["messages"],
        "part: latency": parts["latency"],
        f"part: these of {P} workers at once": parts["all"],
        "part: mean of the gradients, and Adam": parts["update"],
        "two processes, by the formula": formula,
        "two processes, with one server and its update": one_server,
        "two processes, measured": parts["two"],
        "of it computing, as the workers measure it": parts["there"],
    }
    return [["an update", "ms"], *([name, digits(ms)] for name, ms in rows.items())]


def where_it_pays(parts: dict[str, float]) -> str:
    """Return a text: whether two processes are faster, and from what batch size they would be."""
    extra = parts["two"] - parts["compute"] - parts["update"]  # ms
    batch = extra / (parts["compute"] / (BATCH // P) * (1 - 1 / P))
    verdict = "slower" if parts["two"] > parts["alone"] else "faster"
    text = f"""\
Two processes are {verdict} here: {digits(parts["two"])} ms against {digits(parts["alone"])} ms. To
compute and to send both grow with the number of parameters, here {parts["size"]:,.0f}, so that no
larger network of this kind would change that: what counts is how much is computed for each
parameter that is sent. With what two processes take here on top of computing, they would pay from
batches of some {batch:,.0f} on, or for a network that uses each parameter {batch / BATCH:.1f} times
as often, as convolutions do."""
    return textwrap.fill(text, 100)


if __name__ == "__main__":
    kind, *numbers = sys.argv[1:]
    print(json.dumps(scale(*map(int, numbers)) if kind == "scale" else real()))
