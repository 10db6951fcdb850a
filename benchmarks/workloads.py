"""The workloads of `python -m benchmarks loading`, their sizes and our limits.

Every peer gets the same `Job` and does it as its documentation shows. Items are numbers, so that
handing them to another thread or process costs the same everywhere.
"""

import asyncio
import io
import random
import time
from collections.abc import Awaitable, Callable, Iterable, Sized
from dataclasses import dataclass
from functools import cache
from typing import Any


@dataclass(frozen=True)
class Job:
    """One run: call a function on each item, put the results in batches, hand each to `step`.

    Args:
        items: the numbers to work on.
        call: the async function, for peers with an event loop.
        plain: the same as a plain function, for threads and processes.
        concurrency: the number of concurrent calls.
        batch: the number of results in a batch.
        step: called with each batch; it may block.
        chunk: the number of items that a thread gets at once, for peers that choose it.
    """

    items: Iterable[int]
    call: Callable[[int], Awaitable[Any]]
    plain: Callable[[int], Any]
    concurrency: int
    batch: int
    step: Callable[[Sized], None]
    chunk: int = 1


@dataclass(frozen=True)
class Limit:
    """The most that a figure of ours may be: a number in its unit, or a multiple of a peer's."""

    most: float
    of: str = ""  # the key of a peer


class Step:
    """Count the items that arrive; block for a while per batch if it stands for training."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds
        self.items = 0

    def __call__(self, batch: Sized) -> None:
        self.items += len(batch)
        if self.seconds:
            time.sleep(self.seconds)  # lets other threads run, like a step in NumPy


@dataclass(frozen=True)
class Workload:
    """A job to be timed.

    Args:
        name: its name in the table.
        how: the adapter's method that does it; a peer without the method is left out.
        call: see Job.
        plain: see Job.
        size: the number of items.
        concurrency: see Job.
        batch: see Job.
        chunk: see Job.
        unit: the unit of the figure.
        scale: units in a second.
        step_s: seconds for which each batch blocks.
        repeat: the number of runs in a row that are timed together.
        limits: the limits of our own figure.
    """

    name: str
    how: str
    call: Callable[[int], Awaitable[Any]]
    plain: Callable[[int], Any]
    size: int
    concurrency: int
    unit: str
    scale: float
    batch: int = 32
    chunk: int = 1
    step_s: float = 0.0
    repeat: int = 1
    limits: tuple[Limit, ...] = ()

    def run(self, adapter: Any, size: int | None = None) -> None:
        """Do the job once, with `size` items if given; raise RuntimeError unless all arrive."""
        size, step = size or self.size, Step(self.step_s)
        job = Job(
            range(size), self.call, self.plain, self.concurrency, self.batch, step, self.chunk
        )
        getattr(adapter, self.how)(job)
        if step.items != size:
            raise RuntimeError(f"{step.items} of {size} items arrived")


# functions that are called on each item


async def nothing(item: int) -> int:
    return item


async def next_to_nothing(item: int) -> int:
    await asyncio.sleep(0)
    return item


def same(item: int) -> int:
    return item


def same_after_yield(item: int) -> int:
    time.sleep(0)
    return item


async def fetch(item: int) -> int:
    await asyncio.sleep(0.005)
    return item


def fetch_blocking(item: int) -> int:
    time.sleep(0.005)
    return item


async def straggle(item: int) -> int:
    await asyncio.sleep(latencies()[item])
    return item


def straggle_blocking(item: int) -> int:
    time.sleep(latencies()[item])
    return item


async def fetch_slowly(item: int) -> int:
    await asyncio.sleep(0.02)
    return item


def fetch_slowly_blocking(item: int) -> int:
    time.sleep(0.02)
    return item


async def decode_async(item: int) -> Any:
    return await asyncio.to_thread(decode, item)


def decode(item: int) -> Any:
    import numpy as np
    from PIL import Image

    files = pictures()
    return np.array(Image.open(io.BytesIO(files[item % len(files)])))


@cache
def latencies() -> list[float]:
    """Return seconds for 2,000 items: 5 % of them, at random, take 60 ms, the others 2 ms."""
    rng = random.Random(0)
    return [0.06 if rng.random() < 0.05 else 0.002 for _ in range(2_000)]


@cache
def pictures() -> list[bytes]:
    """Return eight PNG pictures of 256 x 256 in colour: gradients with noise like a photo's."""
    import numpy as np
    from PIL import Image

    rng = np.random.default_rng(0)
    ramp = np.linspace(0, 200, 256)
    files = []
    for _ in range(8):
        picture = ramp[:, None, None] + rng.normal(20, 8, (256, 256, 3))
        out = io.BytesIO()
        Image.fromarray(picture.clip(0, 255).astype(np.uint8)).save(out, "PNG")
        files.append(out.getvalue())
    return files


MICROSECONDS, MILLISECONDS = 1e6, 1e3
EMPTY = (Limit(3.0), Limit(2.0, "hand"), Limit(1 / 20, "aiostream"), Limit(1 / 60, "spdl-ordered"))

WORKLOADS = (
    Workload(
        "async function that does nothing",
        "on_loop",
        nothing,
        same,
        size=20_000,
        concurrency=16,
        unit="µs an item",
        scale=MICROSECONDS / 20_000,
        limits=EMPTY,
    ),
    Workload(
        "async function that yields once",
        "on_loop",
        next_to_nothing,
        same_after_yield,
        size=20_000,
        concurrency=16,
        unit="µs an item",
        scale=MICROSECONDS / 20_000,
    ),
    Workload(
        "2,000 waits of 5 ms, 32 at once",
        "on_loop",
        fetch,
        fetch_blocking,
        size=2_000,
        concurrency=32,
        unit="x ideal",
        scale=32 / (2_000 * 0.005),
        limits=(Limit(1.1, "hand"),),
    ),
    Workload(
        "5 % wait 60 ms, the rest 2 ms, in order",
        "in_order",
        straggle,
        straggle_blocking,
        size=2_000,
        concurrency=32,
        unit="x ideal",
        scale=32 / sum(latencies()),
        limits=(Limit(1.3),),
    ),
    Workload(
        "1 s of loading, 1 s of blocking steps in `for`",
        "beside_steps",
        fetch_slowly,
        fetch_slowly_blocking,
        size=800,
        concurrency=16,
        batch=16,
        step_s=0.02,
        unit="s",
        scale=1.0,
        limits=(Limit(1.10),),
    ),
    Workload(
        "1 s of loading, 1 s of steps in a thread, `async for`",
        "beside_thread",
        fetch_slowly,
        fetch_slowly_blocking,
        size=800,
        concurrency=16,
        batch=16,
        step_s=0.02,
        unit="s",
        scale=1.0,
        limits=(Limit(1.15),),
    ),
    Workload(
        "plain function that does nothing, 2 threads",
        "in_threads",
        nothing,
        same,
        size=20_000,
        concurrency=2,
        chunk=32,
        unit="µs an item",
        scale=MICROSECONDS / 20_000,
        limits=(Limit(4.0),),
    ),
    Workload(
        "the same, as far ahead as by hand",
        "far_ahead",
        nothing,
        same,
        size=20_000,
        concurrency=2,
        chunk=32,
        unit="µs an item",
        scale=MICROSECONDS / 20_000,
        limits=(Limit(4.0),),
    ),
    Workload(
        "the same, one by one, there and back",
        "one_by_one",
        nothing,
        same,
        size=2_000,
        concurrency=2,
        unit="µs an item",
        scale=MICROSECONDS / 2_000,
    ),
    Workload(
        "decoding 256 PNG of 256 x 256, 2 threads",
        "in_threads",
        decode_async,
        decode,
        size=256,
        concurrency=2,
        unit="ms an item",
        scale=MILLISECONDS / 256,
        limits=(Limit(1.05, "pool"),),
    ),
    Workload(
        "an epoch of 64 items",
        "on_loop",
        nothing,
        same,
        size=64,
        concurrency=16,
        unit="ms",
        scale=MILLISECONDS / 5,
        repeat=5,
        limits=(Limit(5.0),),
    ),
)
