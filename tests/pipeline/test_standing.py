"""Where a pipeline stands, and that a resumed one goes on exactly there."""

import asyncio
import json
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import chain

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from asyncml.clock import compute, simulate
from asyncml.pipeline.pipeline import Pipeline
from tests.pipeline.building import STAGES, UNORDERED, build, few, number
from tests.pipeline.consuming import (
    collect,
    first,
    run,
    slow,
    through_json,
)


@few
@given(st.lists(st.sampled_from(sorted(STAGES)), max_size=5))
@example(["flat_map", "prefetch"])
@example(["collate", "shuffle", "prefetch"])
@example(["long inline", "async filter", "shuffle"])
@example(["flat_map", "long inline"])
@example(["map", "shuffle", "long inline", "batch"])
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


async def come_once(names, *stops):
    """Stop after so many items, and resume: each item comes once, in whatever order."""
    whole, _ = await first(build(names), 1000)
    items, pipeline = [], build(names)
    for stop in (*stops, 1000):
        some, states = await first(pipeline, stop)
        items += some
        pipeline = build(names)
        pipeline.load_state_dict(states[-1])
    assert sorted(map(repr, items)) == sorted(map(repr, whole))


@few
@given(
    st.lists(st.sampled_from(sorted(STAGES)), max_size=2),
    st.lists(st.sampled_from(sorted({**STAGES, **UNORDERED})), max_size=2),
    st.integers(0, 20),
    st.integers(0, 20),
)
@example(above=[], below=["flat_map"], stop=2, stop_again=1)
@example(above=[], below=["long inline", "shuffle"], stop=2, stop_again=1)
@example(above=["long inline"], below=["long inline"], stop=5, stop_again=2)
def test_unordered_items_come_exactly_once(above, below, stop, stop_again):
    names = [*above, "unordered", *below]
    if {"take", "shard", "batch", "full batch", "collate", "unbatch"} & set(names):
        names = ["map", "unordered"]  # what these keep depends on the order
    simulate(come_once(names, stop, stop_again))


@few
@given(
    st.sampled_from(["batch", "collate"]),
    st.sampled_from([[], ["map"], ["flat_map"], ["shuffle"], ["batch", "unbatch"], ["unordered"]]),
    st.integers(0, 20),
    st.integers(0, 20),
)
@example(batch="batch", below=[], stop=1, stop_again=1)
@example(batch="batch", below=["batch", "unbatch"], stop=4, stop_again=3)
def test_unordered_items_come_exactly_once_out_of_the_middle_of_a_batch(
    batch, below, stop, stop_again
):
    names = ["unordered", batch, "unbatch", *below]
    simulate(come_once(names, stop, stop_again))


# what a state does not depend on: how many calls at once, where, how far ahead, and how fast
EXECUTORS = ["thread", "inline", "mine"]


ways = st.tuples(st.sampled_from(EXECUTORS), st.integers(1, 4), st.integers(0, 5), st.booleans())


@given(
    st.lists(st.sampled_from(sorted({*STAGES} - {"map", "inline"})), max_size=2),
    st.lists(st.sampled_from(sorted({*STAGES} - {"map", "inline"})), max_size=3),
    st.tuples(ways, ways, ways),
    st.tuples(st.integers(0, 9), st.integers(0, 9)),
)
@few
def test_resumed_twice_in_other_ways_it_is_one_run_and_loads_nothing_consumed(
    above, below, three, stops
):
    calls = []

    def load(value):
        calls.append(repr(value))
        compute(0.001 * (len(calls) * 7 % 5))
        return value

    def make(way):
        executor, concurrency, more, prefetches = way
        pipeline = build(above).map(
            load,
            executor=pool if executor == "mine" else executor,
            concurrency=concurrency,
            lookahead=concurrency + more,
        )
        pipeline = pipeline.prefetch(2) if prefetches else pipeline
        pipeline = build(below, source=pipeline)
        return pipeline.prefetch(1 + more) if prefetches else pipeline

    async def main():
        whole = await collect(make(("inline", 1, 0, False)))
        items, state = [], make(three[0]).state_dict()
        for way, stop in zip(three, (*stops, 1000), strict=True):
            pipeline = make(way)
            pipeline.load_state_dict(through_json(state))
            delivered = set(map(repr, items))
            calls.clear()
            some, states = await first(pipeline, stop)
            if not {"flat_map", "unbatch", "batch", "full batch", "collate"} & {*above, *below}:
                assert not delivered & set(calls)
                assert len(set(calls)) == len(calls)
            items, state = items + some, states[-1]
        assert items == whole

    with ThreadPoolExecutor(3) as pool:
        simulate(main())


@pytest.mark.parametrize("stop", range(13))
def test_consumed_items_are_not_loaded_again(stop):
    calls = []

    async def load(value):
        calls.append(value)
        await asyncio.sleep(0.01)
        return value

    def make():
        keys = Pipeline(range(12)).shuffle(5, seed=1)
        return keys.map(load, concurrency=2).filter(lambda value: value % 3).batch(2).prefetch(1)

    async def main():
        before, states = await first(make(), stop)
        consumed = list(chain(*before))
        calls.clear()
        pipeline = make()
        pipeline.load_state_dict(states[-1])
        rest, _ = await first(pipeline, 1000)
        assert sorted(chain(consumed, *rest)) == [1, 2, 4, 5, 7, 8, 10, 11]
        assert not set(calls) & set(consumed)
        assert len(calls) == len(set(calls))

    simulate(main())


def test_a_late_shuffle_loads_again_only_what_it_held():
    calls = []

    async def load(value):
        calls.append(value)
        return value

    def make():
        return Pipeline(range(100)).map(load, concurrency=2).shuffle(8)

    async def main():
        whole, states = await first(make(), 1000)
        for stop in (1, 50, 95, 100):
            calls.clear()
            pipeline = make()
            pipeline.load_state_dict(states[stop])
            assert (await first(pipeline, 1000))[0] == whole[stop:]
            assert sorted(calls) == sorted(whole[stop:])

    simulate(main())


def test_the_state_is_that_of_what_was_delivered_whatever_is_in_flight():
    async def main():
        pipeline = Pipeline(range(100)).map(slow).batch(4).prefetch(3)
        batches = aiter(pipeline)
        for count in range(1, 4):
            await anext(batches)
            await asyncio.sleep(5)
            assert pipeline.state_dict()["position"] == 4 * count
        await batches.aclose()
        assert pipeline.state_dict()["position"] == 12

    simulate(main())


def test_other_bounds_may_be_used_after_a_resume_and_plain_for_too():
    make = Pipeline(range(30)).shuffle(7).map
    whole = list(make(number, concurrency=1).batch(4))
    one = make(number, concurrency=4, lookahead=9).batch(4).prefetch(2)
    assert [item for _, item in zip(range(3), one, strict=False)] == whole[:3]
    other = make(number, executor="inline").batch(4)
    other.load_state_dict(through_json(one.state_dict()))
    assert run(other) == whole[3:]


def test_resume_in_a_new_process():
    program = """
import json, sys
from asyncml.pipeline.pipeline import Pipeline
pipeline = Pipeline(range(40)).shuffle(9, seed=2).map(str, concurrency=3).shuffle(4).batch(3)
if len(sys.argv) > 1:
    pipeline.load_state_dict(json.loads(sys.argv[1]))
items = [item for _, item in zip(range(5), pipeline)]
print(json.dumps([items, pipeline.state_dict()]))
"""
    items, state = [], []
    for _ in range(3):
        command = [sys.executable, "-c", program, *state]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        some, position = json.loads(done.stdout)
        items += some
        state = [json.dumps(position)]
    assert items == list(Pipeline(range(40)).shuffle(9, seed=2).map(str).shuffle(4).batch(3))


def test_the_state_is_cheap():
    async def main():
        pipeline = Pipeline(range(100)).shuffle(50).map(slow).batch(4).prefetch(2)
        batches = aiter(pipeline)
        await anext(batches)
        took_s = []
        for _ in range(200):
            begun = time.perf_counter()
            pipeline.state_dict()
            took_s.append(time.perf_counter() - begun)
        assert min(took_s) < 200e-6  # ten times what it is; the least, whatever else runs
        await batches.aclose()

    simulate(main())
