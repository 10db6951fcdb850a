"""The cost of a step of `aml.fit` beyond the bare loop, adding one thing at a time.

    python -m benchmarks.handover ROUNDS SIZE

prints as JSON the seconds of a step for each of `WAYS`. All take the same steps, with BLAS in one
thread.
"""

import asyncio
import json
import queue
import sys
import threading
from functools import partial

import asyncml as aml
from asyncml.training.trainer import Trainer
from benchmarks.measuring import interleaved
from benchmarks.network import Array, Batches, images, in_batches
from benchmarks.peers.trains_ours import Adapter

BARE, ELSEWHERE, QUEUES, LOOP, LIST, PIPELINE = WAYS = (
    "the bare loop",
    "the same in a thread",
    "each step handed to a thread, by a queue",
    "each step handed to a thread, by an event loop",
    "fit over a list",
    "fit over a pipeline",
)


def seconds(rounds: int, batches: Batches) -> dict[str, float]:
    """Return the median seconds of a step, by way."""
    ours = Adapter()
    pipeline = aml.Pipeline(batches)
    programs = (
        partial(ours.epoch, batches),
        partial(_elsewhere, ours, batches),
        partial(_by_queues, ours, batches),
        lambda: asyncio.run(_by_loop(ours, batches)),
        lambda: asyncio.run(_fit(ours, batches)),
        lambda: asyncio.run(_fit(ours, pipeline)),
    )
    interleaved(*programs, rounds=2)
    times = interleaved(*programs, rounds=rounds)
    return {way: time / len(batches) for way, time in zip(WAYS, times, strict=True)}


def _step(ours: Adapter, x: Array, y: Array) -> None:
    ours.model.loss_and_grads(x, y)
    ours.optimizer.step()


def _elsewhere(ours: Adapter, batches: Batches) -> None:
    thread = threading.Thread(target=ours.epoch, args=(batches,))
    thread.start()
    thread.join()


def _by_queues(ours: Adapter, batches: Batches) -> None:
    """Do the least possible hand-over: no checks, and the caller blocks during the step."""
    todo: queue.SimpleQueue[tuple[Array, Array] | None] = queue.SimpleQueue()
    done: queue.SimpleQueue[None] = queue.SimpleQueue()

    def work() -> None:
        while (batch := todo.get()) is not None:
            _step(ours, *batch)
            done.put(None)

    thread = threading.Thread(target=work)
    thread.start()
    for batch in batches:
        todo.put(batch)
        done.get()
    todo.put(None)
    thread.join()


async def _by_loop(ours: Adapter, batches: Batches) -> None:
    with Trainer("trainer", 1) as trainer:
        for x, y in batches:
            await trainer.call(_step, ours, x, y)


async def _fit(ours: Adapter, data: Batches | aml.Pipeline) -> None:
    async for _ in aml.fit(ours.model, ours.optimizer, data, blas_threads=1):
        pass


if __name__ == "__main__":
    rounds, size = map(int, sys.argv[1:])
    print(json.dumps(seconds(rounds, in_batches(*images(size)))))
