"""What the pipeline costs for each item, when the work itself costs nothing."""

import asyncio
from collections.abc import Iterator

import asyncml as aml
from benchmarks.measuring import interleaved

ITEMS = 20_000
CONCURRENCY = 16
BATCH = 32


async def nothing(item: int) -> int:
    return item


async def next_to_nothing(item: int) -> int:
    await asyncio.sleep(0)
    return item


def identity(item: int) -> int:
    return item


async def by_hand() -> None:
    """The workers over one iterator that one would write oneself, in batches, without order."""
    results: asyncio.Queue[list[int] | None] = asyncio.Queue(4)
    source = iter(range(ITEMS))
    batch: list[int] = []

    async def work() -> None:
        nonlocal batch
        for item in source:
            batch.append(await nothing(item))
            if len(batch) == BATCH:
                full, batch = batch, []
                await results.put(full)

    async def produce() -> None:
        await asyncio.gather(*(work() for _ in range(CONCURRENCY)))
        await results.put(batch)
        await results.put(None)

    async with asyncio.TaskGroup() as group:
        group.create_task(produce())
        while await results.get() is not None:
            pass


def main() -> Iterator[tuple[str, str, str]]:
    source = aml.Pipeline(range(ITEMS))
    pipelines = {
        "async function, in order": source.map(nothing, concurrency=CONCURRENCY),
        "async function that yields once": source.map(next_to_nothing, concurrency=CONCURRENCY),
        "plain function, 2 threads": source.map(identity, concurrency=2),
    }
    limits = ["at most 3 us", "no limit", "at most 4 us"]
    programs = [
        lambda pipeline=pipeline: asyncio.run(_drain(pipeline.batch(BATCH)))
        for pipeline in pipelines.values()
    ]
    hand, *ours = interleaved(lambda: asyncio.run(by_hand()), *programs)
    yield "workers and a queue by hand, without order", _per_item(hand), ""
    for what, seconds, limit in zip(pipelines, ours, limits, strict=True):
        yield what, _per_item(seconds), limit


async def _drain(pipeline: aml.Pipeline) -> None:
    async for _ in pipeline:
        pass


def _per_item(seconds: float) -> str:
    return f"{seconds / ITEMS * 1e6:.2f} us"
