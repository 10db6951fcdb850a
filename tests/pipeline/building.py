"""Pipelines of all kinds of stages, for what must hold whatever they are made of."""

import asyncio
from zlib import crc32

from hypothesis import settings

from asyncml.clock import compute
from asyncml.pipeline.pipeline import Pipeline

few = settings(deadline=None, max_examples=40)


def number(value):
    """A number that depends on the value and nothing else, in every process."""
    return crc32(repr(value).encode())


async def uneven(value):
    await asyncio.sleep(0.001 * (number(value) % 5))
    return value


def long(value):
    """Hold the loop so long that the stage pauses after every second item."""
    compute(0.004)
    return value


async def triple(value):
    await asyncio.sleep(0.001)
    return [(value, part) for part in range(number(value) % 4)]


async def pairs(batch):
    return list(batch) if isinstance(batch, list) else [batch]


async def is_third(value):
    await asyncio.sleep(0.001)
    return number(value) % 3 != 1


STAGES = {
    "map": lambda p: p.map(uneven, concurrency=3, lookahead=5),
    "inline": lambda p: p.map(lambda value: value, executor="inline"),
    "long inline": lambda p: p.map(long, executor="inline"),
    "filter": lambda p: p.filter(lambda value: number(value) % 3),
    "async filter": lambda p: p.filter(is_third),
    "flat_map": lambda p: p.flat_map(triple, concurrency=2),
    "unbatch": lambda p: p.flat_map(pairs, concurrency=2),
    "shuffle": lambda p: p.shuffle(4, seed=3),
    "shuffle 2": lambda p: p.shuffle(3, seed=5),
    "take": lambda p: p.take(9),
    "shard": lambda p: p.shard(1, 2),
    "batch": lambda p: p.batch(3),
    "full batch": lambda p: p.batch(2, drop_last=True),
    "collate": lambda p: p.batch(2, collate=list),
    "prefetch": lambda p: p.prefetch(2),
}


UNORDERED = {
    "unordered": lambda p: p.map(uneven, concurrency=3, ordered=False),
    "unordered inline": lambda p: p.map(long, executor="inline", ordered=False),
}


def build(names, size=14, source=None):
    pipeline = source or Pipeline(range(size))
    for name in names:
        pipeline = {**STAGES, **UNORDERED}[name](pipeline)
    return pipeline
