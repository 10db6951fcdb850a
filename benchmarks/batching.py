"""The time of a request through `MicroBatcher`: its parts, each measured alone, and the rest.

    python -m benchmarks.batching ROUNDS REQUESTS

prints as JSON the microseconds of a request, by workload and part, with BLAS in one thread.
"""

import asyncio
import gc
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import asyncml as aml
from asyncml.serving.calling import Model
from asyncml.serving.dispatch import Dispatcher
from asyncml.serving.line import Request, WaitingLine
from asyncml.serving.stacking import by_kind, stacked
from benchmarks.clients import BATCH, LARGE, SMALL, clients, floor
from benchmarks.results import digits

WAKE, QUEUE, TAKE, STACK, MODEL, HAND = ALONE = (
    "to wake a client that awaits a future",
    "to queue its request",
    "to take a batch, and to count it",
    "to stack the rows",
    "the model",
    "to hand out the rows of the output",
)
BETWEEN, THREAD, WHOLE = "the calls between", "in a thread, not on the event loop", "all of it"
PARTS = *ALONE, BETWEEN, THREAD, WHOLE
BESIDE = "to compare: the model, beside a process that is busy"
HOT, COLD, COPY, MANY_LOOP, MANY = MANY_WAYS = (
    "the model, of the same 64 rows again and again",
    "of all rows, which are in no cache",
    "of a copy of each batch, which is the model's own to change",
    "one `many`, with the model on the event loop",
    "one `many`, with the model in a thread",
)
_Predict = Callable[[Any], Any]


def microseconds(rounds: int, requests: int) -> dict[str, dict[str, float]]:
    """Return the median µs of each part of a request, by workload, and of each way of `many`."""
    small, large = aml.MLP(SMALL).forward, aml.MLP(LARGE).forward
    x = np.random.default_rng(0).random((requests, SMALL[0]), np.float32)
    workloads = {"no-op": (_same, list(range(requests))), "small": (small, x)}
    workloads["large"] = large, x[: max(BATCH, requests // 20)]
    times: dict[str, dict[str, list[float]]] = {name: {} for name in (*workloads, "many")}
    gc.collect()
    gc.freeze()
    for _ in range(rounds):
        for name, (predict, data) in workloads.items():
            parts = _parts(predict, data) | {BESIDE: _beside_another(predict, data)}
            for part, seconds in parts.items():
                times[name].setdefault(part, []).append(1e6 * seconds)
        for way, seconds in _ways_of_many(small, x).items():
            times["many"].setdefault(way, []).append(1e6 * seconds)
    return {
        name: {part: statistics.median(each) for part, each in found.items()}
        for name, found in times.items()
    }


def tables(found: dict[str, dict[str, float]]) -> tuple[list[list[str]], list[list[str]]]:
    """Return two tables: the parts, which add up, and the ways of `many`, each adding one thing."""
    names = [name for name in found if name != "many"]
    parts = [["part of a request, µs", *names]]
    parts += [[part, *(_signed(found[name][part]) for name in names)] for part in (*PARTS, BESIDE)]
    many = [["a row, µs", "all", "more"]]
    before = 0.0
    for way, figure in found["many"].items():
        many.append([way, digits(figure), _signed(figure - before)])
        before = figure
    return parts, many


def _signed(value: float) -> str:
    return f"-{digits(-value)}" if value <= -0.005 else digits(value)


def _same(rows: Any) -> Any:
    return rows


def _on_the_loop(predict: _Predict) -> Any:
    async def model(rows: Any) -> Any:
        return predict(rows)

    return model


def _parts(predict: _Predict, data: Any) -> dict[str, float]:
    found = {WAKE: asyncio.run(floor(len(data)))} | asyncio.run(_by_themselves(predict, data))
    on_loop = asyncio.run(_closed(_on_the_loop(predict), data))
    whole = asyncio.run(_closed(predict, data))
    found[BETWEEN] = on_loop - sum(found.values())
    return found | {THREAD: whole - on_loop, WHOLE: whole}


def _beside_another(predict: _Predict, data: Any) -> float:
    """Return the model's seconds per row while an unrelated process computes."""
    rows = data[:BATCH]
    other = subprocess.Popen([sys.executable, "-c", "print(flush=True)\nwhile True: pass"],
                             stdout=subprocess.PIPE)  # fmt: skip
    try:
        assert other.stdout
        other.stdout.readline()
        calls, begun = max(1, len(data) // BATCH), time.perf_counter()
        for _ in range(calls):
            predict(rows)
        return (time.perf_counter() - begun) / calls / len(rows)
    finally:
        other.kill()
        other.communicate()


async def _closed(predict: _Predict, data: Any) -> float:
    async with aml.MicroBatcher(predict, max_batch_size=BATCH) as batcher:
        return await clients(batcher, data)


async def _by_themselves(predict: _Predict, data: Any) -> dict[str, float]:
    """Return the seconds of the batcher's own parts, called one after another."""
    line, loop = WaitingLine(len(data)), asyncio.get_running_loop()
    batches = Dispatcher(Model(predict, None, 1), line, BATCH, 0.0, 1)
    batches._is_called = True  # so it launches nothing
    spent = dict.fromkeys(ALONE[1:], 0.0)
    now = time.perf_counter
    for start in range(0, len(data), BATCH):
        rows = [(loop.create_future(), x) for x in data[start : start + BATCH]]
        t = [now()]
        for answer, x in rows:
            batches.enter(Request(answer, x, loop.time(), 1))
        t.append(now())
        batch = batches._next(0)
        assert batch
        t.append(now())
        stack = stacked(by_kind(batch).pop())
        t.append(now())
        output = predict(stack)
        t.append(now())
        batches._tell([(batch, output, None)])
        t.append(now())
        batches._running.clear()
        for part, begun, ended in zip(spent, t, t[1:], strict=False):
            spent[part] += ended - begun
    await batches.end()
    return {part: seconds / len(data) for part, seconds in spent.items()}


def _ways_of_many(predict: _Predict, x: Any) -> dict[str, float]:
    async def many(model: _Predict) -> None:
        async with aml.MicroBatcher(model, max_batch_size=BATCH) as batcher:
            await batcher.many(x)

    starts = range(0, len(x), BATCH)
    ways: dict[str, Callable[[], object]] = {
        HOT: lambda: [predict(x[:BATCH]) for _ in starts],
        COLD: lambda: [predict(x[start : start + BATCH]) for start in starts],
        COPY: lambda: [predict(x[start : start + BATCH].copy()) for start in starts],
        MANY_LOOP: lambda: asyncio.run(many(_on_the_loop(predict))),
        MANY: lambda: asyncio.run(many(predict)),
    }
    found = {}
    for way, program in ways.items():
        begun = time.perf_counter()
        program()
        found[way] = (time.perf_counter() - begun) / len(x)
    return found


if __name__ == "__main__":
    rounds, requests = map(int, sys.argv[1:])
    print(json.dumps(microseconds(rounds, requests)))
