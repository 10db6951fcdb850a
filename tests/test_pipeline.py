"""What a pipeline promises: order, epochs, exact resume, and errors that say what to do."""

import asyncio
import json
from zlib import crc32

from hypothesis import given, settings
from hypothesis import strategies as st

from asyncml.clock import simulate
from asyncml.pipeline import Pipeline

few = settings(deadline=None, max_examples=40)


async def double(value):
    await asyncio.sleep(0.001 * (value * 7 % 5))
    return 2 * value


async def collect(pipeline):
    return [item async for item in pipeline]


def run(pipeline):
    return simulate(collect(pipeline))


def through_json(state):
    copied = json.loads(json.dumps(state))
    assert copied == state
    return copied


# resume


async def uneven(value):
    await asyncio.sleep(0.001 * (crc32(repr(value).encode()) % 5))
    return value


async def triple(value):
    await asyncio.sleep(0.001)
    return [(value, number) for number in range(crc32(repr(value).encode()) % 4)]


async def pairs(batch):
    return list(batch) if isinstance(batch, list) else [batch]


STAGES = {
    "map": lambda p: p.map(uneven, concurrency=3, lookahead=5),
    "inline": lambda p: p.map(lambda value: value, executor="inline"),
    "filter": lambda p: p.filter(lambda value: crc32(repr(value).encode()) % 3),
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
UNORDERED = {"unordered": lambda p: p.map(uneven, concurrency=3, ordered=False)}


async def is_third(value):
    await asyncio.sleep(0.001)
    return crc32(repr(value).encode()) % 3 != 1


def build(names, size=14, source=None):
    pipeline = Pipeline(range(size) if source is None else source)
    for name in names:
        pipeline = {**STAGES, **UNORDERED}[name](pipeline)
    return pipeline


async def first(pipeline, count):
    """The first `count` items, and the state after each."""
    iterator, items, states = aiter(pipeline), [], [pipeline.state_dict()]
    while len(items) < count:
        try:
            items.append(await anext(iterator))
        except StopAsyncIteration:
            break
        states.append(through_json(pipeline.state_dict()))
    await iterator.aclose()
    return items, states


@few
@given(st.lists(st.sampled_from(sorted(STAGES)), max_size=5))
def test_resume_is_exact_at_every_place(names):
    async def main():
        whole, states = await first(build(names), 1000)
        for count, state in enumerate(states):
            pipeline = build(names)
            pipeline.load_state_dict(state)
            assert pipeline.state_dict() == state
            rest, again = await first(pipeline, 1000)
            assert whole[:count] + rest == whole
            assert again[1:] == states[count + 1 :]  # so a second resume is exact as well

    simulate(main())
