"""How a stage runs: order, bounds and time."""

import asyncio
import contextlib
import gc
import weakref

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncml.clock import compute, simulate
from asyncml.pipeline.pipeline import Pipeline
from tests.pipeline.consuming import (
    Spy,
    timed,
)

few = settings(deadline=None, max_examples=30)


@few
@given(
    st.lists(st.integers(0, 30), max_size=40),
    st.integers(1, 5),
    st.integers(0, 8),
    st.booleans(),
    st.sampled_from(["on_loop", "in_thread"]),
)
def test_order_and_bounds_hold_whatever_the_latencies(delays, concurrency, more, ordered, where):
    spy = Spy(lambda value: delays[value] / 1000)
    lookahead = concurrency + more
    pipeline = Pipeline(range(len(delays))).map(
        getattr(spy, where), concurrency=concurrency, lookahead=lookahead, ordered=ordered
    )

    async def main():
        items = []
        async for item in pipeline:
            items.append(item)
            assert spy.calls <= len(items) + lookahead
            await asyncio.sleep(0.004)
        return items

    items = simulate(main())
    assert (items if ordered else sorted(items)) == list(range(len(delays)))
    assert spy.most <= concurrency


@pytest.mark.parametrize("where", ["on_loop", "in_thread"])
def test_the_bound_is_used_to_the_full(where):
    spy = Spy()
    _, times = timed(Pipeline(range(40)).map(getattr(spy, where), concurrency=8))
    assert spy.most == 8
    assert times[-1] == pytest.approx(0.05)


def test_stragglers_in_order_cost_at_most_a_third():
    def seconds(value):
        return 0.06 if value * 7919 % 20 == 3 else 0.002

    ideal = sum(map(seconds, range(2000))) / 32
    items, times = timed(Pipeline(range(2000)).map(Spy(seconds).on_loop, concurrency=32))
    assert items == list(range(2000))
    assert times[-1] <= 1.3 * ideal


def test_unordered_items_leave_as_they_are_ready():
    spy = Spy(lambda value: (5 - value) / 10)
    pipeline = Pipeline(range(5)).map(spy.on_loop, concurrency=5, ordered=False)
    assert timed(pipeline) == ([4, 3, 2, 1, 0], [0.1, 0.2, 0.3, 0.4, 0.5])


def test_stages_overlap_and_prefetch_runs_ahead():
    load, decode = Spy(lambda _: 0.1), Spy(lambda _: 0.1)
    pipeline = Pipeline(range(8)).map(load.on_loop, concurrency=1, lookahead=1)
    pipeline = pipeline.map(decode.in_thread, concurrency=1, lookahead=1)
    _, times = timed(pipeline, each=0.1)
    assert times[-1] == pytest.approx(0.9)
    asked = []
    pipeline = Pipeline(range(99)).map(asked.append, executor="inline").prefetch(3)

    async def main():
        items = aiter(pipeline)
        await anext(items)
        await asyncio.sleep(1)
        assert len(asked) == 4
        await items.aclose()

    simulate(main())


def test_memory_stays_flat():
    alive = most = 0

    class Item:
        def __init__(self, _):
            nonlocal alive, most
            alive += 1
            most = max(most, alive)

        def __del__(self):
            nonlocal alive
            alive -= 1

    async def make(value):
        return Item(value)

    async def main():
        pipeline = Pipeline(range(3000)).map(make, concurrency=4).batch(5).prefetch(2)
        async for _ in pipeline:
            pass
        del _
        return most

    assert simulate(main()) <= 16 * 4 + 5 * (2 + 2)
    gc.collect()
    assert alive == 0


@pytest.mark.parametrize("n", [1, 99])  # left early, or at the end
@pytest.mark.parametrize("below", [lambda p: p, lambda p: p.batch(5), lambda p: p.shuffle(3)])
def test_a_pipeline_that_is_not_iterated_holds_no_items(n, below):
    class Item:
        pass

    async def make(value):
        item = Item()
        items.add(item)
        return item

    async def main():
        async with contextlib.aclosing(aiter(pipeline)) as steps:
            async for _ in steps:
                if len(items) >= n:
                    break

    items = weakref.WeakSet()
    pipeline = below(Pipeline(range(50)).map(make))
    simulate(main())
    gc.collect()
    assert not items


def test_the_loop_stays_alive_while_nothing_waits():
    async def main():
        beats = 0

        async def heart():
            nonlocal beats
            while True:
                await asyncio.sleep(0)
                beats += 1

        task = asyncio.create_task(heart())
        async for _ in Pipeline(range(20000)).filter(lambda value: value > 19990).batch(8):
            pass
        task.cancel()
        return beats

    assert simulate(main()) >= 15


def test_a_pause_for_the_loop_does_not_wait_for_the_stage_above():
    async def shard(number):
        await asyncio.sleep(1 + number * 100)
        return range(4)

    def decode(value):
        compute(0.006)
        return value

    pipeline = Pipeline([0, 1]).flat_map(shard, concurrency=2).map(decode, executor="inline")
    _, times = timed(pipeline)
    assert times[:4] == [1.006, 1.012, 1.018, 1.024]  # not after the second shard, at 101 s
