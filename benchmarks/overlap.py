"""Training while loading: its time beside the longer of the two, and the loop's lag.

    python -m benchmarks.overlap ROUNDS SIZE

prints as JSON the fields of `Overlap`, for a fixed number of concurrent loads, and for the number
at which loading takes as long as computing, which leaves no slack.
"""

import asyncio
import contextlib
import json
import statistics
import sys
from collections.abc import AsyncIterable, Awaitable, Callable
from dataclasses import asdict, dataclass

import numpy as np

import asyncml as aml
from benchmarks.measuring import interleaved
from benchmarks.network import BATCH, Array, images, in_batches
from benchmarks.peers.trains_ours import Adapter

WAIT_S = 0.02  # for each batch
AT_ONCE = 8
BEAT_S = 0.001


@dataclass(frozen=True)
class Overlap:
    """The measurements of an epoch: medians over the rounds, in seconds.

    Args:
        at_once: the number of concurrent loads.
        load_s: loading alone.
        compute_s: computing alone.
        both_s: `aml.fit` over the pipeline.
        lag_s: the longest delay of a timer on the loop during `aml.fit`.
    """

    at_once: int
    load_s: float
    compute_s: float
    both_s: float
    lag_s: float

    @property
    def ratio(self) -> float:
        return self.both_s / max(self.load_s, self.compute_s)


def measure(rounds: int, size: int) -> list[Overlap]:
    """Measure with both numbers of concurrent loads."""
    x, y = images(size)
    pixels = np.round(x * 255).astype(np.uint8)
    first = _measure(rounds, pixels, y, AT_ONCE)
    even = max(1, round(len(in_batches(x, y)) * WAIT_S / first.compute_s))
    return [first, _measure(rounds, pixels, y, even)]


def _measure(rounds: int, pixels: Array, y: Array, at_once: int) -> Overlap:
    alone, beside, lags = Adapter(), Adapter(), list[float]()
    batches = in_batches(pixels.astype(np.float32) / 255, y)
    starts = range(0, len(y), BATCH)
    pipeline = aml.Pipeline(starts).map(_loader(pixels, y), concurrency=at_once).prefetch(2)
    load_s, compute_s, both_s = interleaved(
        lambda: asyncio.run(_drain(pipeline)),
        lambda: alone.epoch(batches),
        lambda: lags.append(asyncio.run(_train(beside, pipeline))),
        rounds=rounds,
    )
    return Overlap(at_once, load_s, compute_s, both_s, statistics.median(lags))


def _loader(pixels: Array, y: Array) -> Callable[[int], Awaitable[tuple[Array, Array]]]:
    async def load(start: int) -> tuple[Array, Array]:
        await asyncio.sleep(WAIT_S)
        rows = slice(start, start + BATCH)
        return pixels[rows].astype(np.float32) / 255, y[rows]

    return load


async def _drain(batches: AsyncIterable[object]) -> None:
    async for _ in batches:
        pass


async def _train(ours: Adapter, pipeline: aml.Pipeline) -> float:
    """Train for an epoch; return the longest lag."""
    lags: list[float] = []
    heart = asyncio.create_task(_beat(lags))
    await _drain(aml.fit(ours.model, ours.optimizer, pipeline))
    heart.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await heart
    return max(lags)


async def _beat(lags: list[float]) -> None:
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + BEAT_S
        await asyncio.sleep(BEAT_S)
        lags.append(loop.time() - due)


if __name__ == "__main__":
    rounds, size = map(int, sys.argv[1:])
    print(json.dumps([asdict(each) for each in measure(rounds, size)]))
