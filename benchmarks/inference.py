"""Inference: our batcher, others, one by hand and none at all, with upper bounds.

    python -m benchmarks.inference ROUNDS REQUESTS PEER ...

prints the figures as JSON. A complete run writes its section of `RESULTS.md`.
"""

import asyncio
import gc
import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import asyncml as aml
from benchmarks import batching
from benchmarks.clients import BATCH, CLIENTS, LARGE, SMALL, clients, floor
from benchmarks.measuring import in_child, machine
from benchmarks.peers import BATCHERS, US, Peer, installed
from benchmarks.results import (
    Row,
    figures_table,
    limits_table,
    markdown,
    missing_line,
    plain,
    ratios_table,
    write_section,
)
from benchmarks.workloads import Limit

REQUESTS = 40_000
CEILING, FULL = "ceiling", "full"  # keys of the bounds for every batcher
NAMES = {
    "no-op": "a no-op model",
    "small": f"a network of {'-'.join(map(str, SMALL))}",
    "large": f"a network of {'-'.join(map(str, LARGE))}",
    "many": "rows of one `many`",
    "lone": "a lone request",
}
LIMITS = {
    "no-op": (Limit(5.0),),
    "small": (Limit(1 / 0.8, CEILING), Limit(1 / 1.8, "batchlet")),
    "large": (Limit(1 / 0.91, FULL),),
    "many": (Limit(1 / 0.85, FULL),),
    "lone": (Limit(300.0),),
}

NOTES = f"""\
- Microseconds a request: {CLIENTS} clients, each of which asks again as soon as it is answered;
  batches of {BATCH} at most; medians of interleaved runs, one thread for BLAS. A lone request: one
  client, the median of its waits, with the small network.
- By hand: a deque, a thread and two callbacks; without a bound, without cancellation, and an error
  is everybody's. None: each row goes through the model by itself.
- Full batches: a row's share of the model's time for {BATCH} rows that are stacked already. The
  ceiling: that, and the time to stack them, and the time in which the clients ask and are answered
  with nothing in between.
- Parts: each by itself, {BATCH} rows after {BATCH} rows; they add up to the last line but one. The
  calls between: what they lack of the same batcher with the model on the event loop, an `async
  def`. In a thread: what that adds, or saves where the model computes while the event loop works.
  The last line tells what the machine's other core was worth meanwhile: where the model takes
  longer there, a thread saves less, or nothing. A shorter switch interval than 0.1 ms, or none,
  changes nothing here.
- `many`: each line has one thing more than the one above it. Our limit is set by the first of them;
  from rows that are in no cache, as those of a `many` are, nobody gets that.
"""


def main(
    rounds: int = 5,
    only: Sequence[str] = (),
    folder: Path = Path(__file__).parent,
    requests: int = REQUESTS,
) -> None:
    """Measure and print; write the results of a complete run.

    Args:
        rounds: the number of runs of each; the median counts.
        only: the keys of some peers; ours is always included.
        folder: where the results of a complete run are written.
        requests: the number of requests in a run.
    """
    keys = [peer.key for peer in BATCHERS if not only or peer.key in (US.key, *only)]
    on, found = machine(), in_child("benchmarks.inference", rounds, requests, *keys, threads=1)
    steps = in_child("benchmarks.batching", rounds, requests, threads=1)
    table = rows(found)
    peers = [peer for peer in BATCHERS if any(peer.key in row.figures for row in table)]
    absent = [missing_line(p) for p in BATCHERS if p.key in keys and p not in peers]
    bounds = [Peer(CEILING, "the ceiling", ""), Peer(FULL, "full batches", "")]
    tables = (
        limits_table(table),
        figures_table(table, [*peers, *bounds]),
        ratios_table(table, peers),
        *batching.tables(steps),
    )
    print(*absent, "", *(plain(each) + "\n" for each in tables), sep="\n")
    if not only:
        versions = "; ".join(filter(None, (peer.version() for peer in peers)))
        text = "\n\n".join(
            [f"`python -m benchmarks inference`: {versions}. {on}.", *map(markdown, tables), NOTES]
        )
        write_section(folder / "RESULTS.md", "Inference", text)


def rows(found: dict[str, dict[str, float]]) -> list[Row]:
    """Turn the child process's figures into rows."""
    return [Row(NAMES[name], "µs", found[name], LIMITS[name]) for name in NAMES]


def measure(rounds: int, requests: int, keys: Sequence[str]) -> dict[str, dict[str, float]]:
    """Return the microseconds of a request, by workload and by the key of a peer or a bound."""
    peers = installed(tuple(p for p in BATCHERS if p.key in keys), what="class")[0]
    small, large = aml.MLP(SMALL), aml.MLP(LARGE)
    x = np.random.default_rng(0).random((requests, SMALL[0]), np.float32)
    seconds: dict[str, dict[str, list[float]]] = {name: {} for name in NAMES}

    def note(name: str, key: str, each_s: float) -> None:
        seconds[name].setdefault(key, []).append(each_s)

    gc.collect()
    gc.freeze()  # keeps the collector from scanning the libraries' objects during runs
    for _ in range(rounds):
        for name, predict, count in (
            ("no-op", _same, requests),
            ("small", small.forward, requests),
            ("large", large.forward, requests // 20),
        ):
            data = range(count) if name == "no-op" else x[:count]
            for peer, kind in peers.items():
                note(name, peer.key, asyncio.run(_loop(kind, predict, data)))
            if name != "no-op":
                full, stacking = _full(predict, x[:BATCH])
                note(name, FULL, full)
                note(name, CEILING, full + stacking + asyncio.run(floor(count)))
        for peer, kind in peers.items():
            note("lone", peer.key, asyncio.run(_lone(kind, small.forward, x[:300])))
            if hasattr(kind, "many") or peer.key == US.key:
                note("many", peer.key, asyncio.run(_many(kind, small.forward, x)))
        note("many", FULL, _full(small.forward, x[:BATCH])[0])
    return {
        name: {key: 1e6 * statistics.median(times) for key, times in by_key.items()}
        for name, by_key in seconds.items()
    }


def _same(rows: Any) -> Any:
    return rows


async def _loop(kind: Any, predict: Callable[[Any], Any], data: Sequence[Any]) -> float:
    async with kind(predict) as batcher:
        return await clients(batcher.ask, data)


def _full(predict: Callable[[Any], Any], x: Any) -> tuple[float, float]:
    """Return the seconds per row of a full batch, and of stacking it."""
    times = []
    for call in (lambda: predict(x), lambda: np.concatenate(list(x)).reshape(x.shape)):
        begun, calls = time.perf_counter(), 0
        while time.perf_counter() - begun < 0.05:
            call()
            calls += 1
        times.append((time.perf_counter() - begun) / calls / len(x))
    return times[0], times[1]


async def _lone(kind: Any, predict: Callable[[Any], Any], x: Any) -> float:
    async with kind(predict) as batcher:
        waits = []
        for row in x:
            begun = time.perf_counter()
            await batcher.ask(row)
            waits.append(time.perf_counter() - begun)
    return statistics.median(waits)


async def _many(kind: Any, predict: Callable[[Any], Any], x: Any) -> float:
    async with kind(predict) as batcher:
        begun = time.perf_counter()
        await batcher.many(x)
        return (time.perf_counter() - begun) / len(x)


if __name__ == "__main__":
    _, rounds, requests, *keys = sys.argv
    print(json.dumps(measure(int(rounds), int(requests), keys)))
