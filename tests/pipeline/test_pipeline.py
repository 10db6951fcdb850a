"""What a pipeline promises: stages, epochs, exact resume, and errors that say what to do."""

import asyncio
import contextlib
import copy
import gc
import json
import pickle
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from itertools import chain
from zlib import crc32

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from asyncml.clock import compute, simulate
from asyncml.pipeline.pipeline import Pipeline, collate
from tests.pipeline.consuming import first, through_json

few = settings(deadline=None, max_examples=40)


async def collect(pipeline):
    return [item async for item in pipeline]


def run(pipeline):
    return simulate(collect(pipeline))


def number(value):
    """A number that depends on the value and nothing else, in every process."""
    return crc32(repr(value).encode())


# stages


def test_stages_do_what_their_names_say():
    source = Pipeline(range(10))
    assert run(source.take(3)) == [0, 1, 2]
    assert run(source.take(0)) == []
    assert run(source.filter(lambda value: value % 2)) == [1, 3, 5, 7, 9]
    assert run(source.flat_map(range).take(4)) == [0, 0, 1, 0]
    assert run(source.batch(4)) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert run(source.batch(4, drop_last=True)) == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert run(source.batch(5, collate=sum)) == [10, 35]
    assert run(source.map(str, executor="inline").batch(9).prefetch(2))[1] == ["9"]


@given(st.integers(0, 30), st.integers(1, 5))
@few
def test_the_shards_are_the_whole(size, world_size):
    shards = [run(Pipeline(range(size)).shard(rank, world_size)) for rank in range(world_size)]
    assert sorted(chain(*shards)) == list(range(size))
    assert max(map(len, shards)) - min(map(len, shards)) <= 1


def test_shuffle_is_another_order_each_epoch_and_the_same_in_each_run():
    def epochs(seed=0):
        pipeline = Pipeline(range(50)).shuffle(20, seed=seed)
        return [run(pipeline) for _ in range(3)]

    first = epochs()
    assert all(sorted(epoch) == list(range(50)) for epoch in first)
    assert first[0] != first[1] != first[2] != first[0]
    assert epochs() == first
    assert epochs(seed=1) != first
    assert run(Pipeline(range(9)).shuffle(1)) == list(range(9))


def test_shuffle_does_not_favour_a_place():
    places = np.zeros(4)
    pipeline = Pipeline(range(4)).shuffle(4)
    for _ in range(300):
        places += run(pipeline)
    assert abs(places / 300 - 1.5).max() < 0.25


def test_flat_map_takes_every_kind_of_function():
    async def agen(value):
        for part in range(value):
            yield part

    def gen(value):
        yield from range(value)

    async def coroutine(value):
        return range(value)

    for fn in (agen, gen, coroutine, range):
        assert run(Pipeline(range(4)).flat_map(fn)) == [0, 0, 1, 0, 1, 2]


def awaited(items):
    async def load():
        await asyncio.sleep(0.01)
        return items

    return load()


def streamed(items):
    async def stream():
        for item in items:
            await asyncio.sleep(0.01)
            yield item

    return stream()


@pytest.mark.parametrize("made", [awaited, streamed])
@pytest.mark.parametrize(
    "options", [{}, {"concurrency": 1}, {"timeout": 9}, {"ordered": False}, {"retries": 1}]
)
def test_flat_map_reads_on_the_loop_what_a_thread_cannot(made, options):
    pipeline = Pipeline(range(9)).flat_map(lambda n: made([n] * (n % 4)), **options)
    assert sorted(run(pipeline)) == [1, 2, 2, 3, 3, 3, 5, 6, 6, 7, 7, 7]
    assert pipeline.statistics().stages[1].busy > 0
    assert sorted(pipeline) == sorted(run(pipeline))


def test_what_it_reads_there_is_bounded_ordered_retried_and_timed_out():
    now = most = 0
    failed = []

    async def read(number):
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(1 + number % 3)
        now -= 1
        if number == 4 and not failed:
            failed.append(number)
            raise OSError(number)
        return [number]

    pipeline = Pipeline(range(12)).flat_map(lambda n: read(n), concurrency=3, retries=1)
    assert run(pipeline) == list(range(12))
    assert most == 3
    assert failed == [4]
    limited = Pipeline(range(3)).flat_map(lambda n: read(n), timeout=2.5, on_error="skip")
    now = 0
    assert run(limited) == [0, 1]
    assert isinstance(limited.statistics().failures[0].error, TimeoutError)


def test_leaving_it_early_leaves_no_coroutine_behind():
    async def main():
        async for item in Pipeline(range(99)).flat_map(lambda n: awaited([n]), concurrency=2):
            if item == 3:
                break

    simulate(main())


@pytest.mark.parametrize("ordered", [True, False])
def test_nothing_is_read_any_more_after_an_error(ordered):
    begun = []

    def load(value):
        async def read():
            if value == 20:
                raise OSError(value)
            begun.append(value)
            await asyncio.sleep(1)
            return [value]

        return [value] if value < 20 else read()

    async def main():
        pipeline = Pipeline(range(99)).flat_map(load, concurrency=2, lookahead=90, ordered=ordered)
        with contextlib.suppress(OSError):
            await collect(pipeline)
        return asyncio.get_running_loop().time()

    assert simulate(main()) <= 1
    assert len(begun) <= 1


@pytest.mark.parametrize("options", [{}, {"timeout": 5}])
def test_a_coroutine_that_comes_too_late_is_dropped_in_silence(options):
    def load(value):
        time.sleep(0.01)
        return awaited([value])

    for _ in Pipeline(range(50)).flat_map(load, concurrency=4, **options):
        break
    time.sleep(0.05)
    gc.collect()  # a coroutine that nobody awaited would be complained of


def test_the_time_out_is_one_for_the_call_and_what_it_returns():
    def load(value):
        compute(0.6)
        return awaited_for(value)

    async def awaited_for(value):
        await asyncio.sleep(value)
        return [value]

    pipeline = Pipeline([0.3, 0.5]).flat_map(load, timeout=Fraction(1), on_error="skip")
    assert run(pipeline) == [0.3]
    assert str(pipeline.statistics().failures[0].error) == "no result within 1 s"


@pytest.mark.parametrize("made", [awaited, streamed])
def test_inline_it_says_where_that_can_be_read(made):
    pipeline = Pipeline([[1]]).flat_map(lambda n: made(n), executor="inline", on_error="skip")
    with pytest.raises(TypeError, match="only the event loop can read: write it as an"):
        run(pipeline)


def test_flat_map_has_the_options_of_map():
    def half(value):
        return range(6 // value)

    source = Pipeline([6, 0, 3])
    skipping = source.flat_map(half, concurrency=1, executor="inline", on_error="skip")
    assert run(skipping) == [0, 0, 1]
    replaced = source.flat_map(half, on_error=lambda error, item: iter("?!"), retries=1)
    assert run(replaced) == [0, "?", "!", 0, 1]


def test_none_is_an_item():
    async def nothing(value):
        return None

    assert run(Pipeline([None, 1]).map(nothing).filter(lambda item: item is None)) == [None, None]
    assert run(Pipeline([None] * 3).map(nothing, ordered=False).batch(2)) == [[None, None], [None]]


def test_collate_stacks_pairs_and_plain_items():
    x, y = collate([(np.zeros((2, 3), np.float32), 1), (np.ones((2, 3), np.float32), 0)])
    assert x.shape == (2, 2, 3)
    assert x.dtype == np.float32
    assert y.tolist() == [1, 0]
    assert collate([1, 2]).tolist() == [1, 2]
    with pytest.raises(ValueError, match="at least one item"):
        collate([])
    with pytest.raises(ValueError, match="same shape"):
        collate([np.zeros(2), np.zeros(3)])
    with pytest.raises(ValueError, match="same length"):
        collate([(1, 2), (1,)])


# sources


async def letters():
    for letter in "abc":
        yield letter


class Letters:
    def __aiter__(self):
        return letters()


async def listed():
    return list("abc")


def test_sources_of_every_kind():
    for source in ("abc", list("abc"), iter("abc"), Letters(), letters(), letters, Letters):
        assert run(Pipeline(source)) == ["a", "b", "c"]
    for source in (lambda: iter("abc"), listed, lambda: letters()):
        pipeline = Pipeline(source)
        assert run(pipeline) == run(pipeline) == ["a", "b", "c"]


def test_an_empty_source_is_an_empty_epoch():
    pipeline = Pipeline([]).map(str).flat_map(list).shuffle(3).batch(2).prefetch(1)
    assert run(pipeline) == list(pipeline) == []


def test_a_source_that_can_be_iterated_once_serves_one_epoch():
    for source in (iter("abc"), letters(), (letter for letter in "abc")):
        pipeline = Pipeline(source).map(str, executor="inline")
        assert run(pipeline) == ["a", "b", "c"]
        once = iter("abc")
        shared = Pipeline(lambda once=once: once)
        assert run(shared) == ["a", "b", "c"]
        for again in (pipeline, pipeline.take(1), shared):
            with pytest.raises(RuntimeError, match=r"only once.*pass a function"):
                run(again)


def test_the_end_closes_what_the_source_has_opened():
    closed = []

    def sync():
        try:
            yield from range(9)
        finally:
            closed.append("sync")

    async def asynchronous():
        try:
            for value in range(9):
                yield value
        finally:
            closed.append("async")

    for source in (sync, asynchronous):
        assert run(Pipeline(source).take(2)) == [0, 1]
    assert closed == ["sync", "async"]
    mine = sync()
    assert run(Pipeline(mine).take(2)) == [0, 1]
    assert next(mine) == 2


# one cursor


def test_each_iteration_is_the_next_epoch_and_closes_the_one_before():
    async def main():
        pipeline = Pipeline(range(5)).map(slow)
        first = aiter(pipeline)
        assert await anext(first) == 0
        assert pipeline.state_dict()["epoch"] == 0
        second = aiter(pipeline)
        assert await anext(second) == 0
        assert pipeline.state_dict()["epoch"] == 1
        with pytest.raises(RuntimeError, match="another iteration of this pipeline"):
            await anext(first)
        assert [item async for item in second] == [1, 2, 3, 4]
        assert await collect(pipeline) == [0, 1, 2, 3, 4]
        assert pipeline.state_dict()["epoch"] == 3

    simulate(main())


def test_an_epoch_is_closed_while_somebody_waits_for_it():
    async def main():
        pipeline = Pipeline(range(5)).map(slow)
        waiting = asyncio.create_task(collect(pipeline))
        await asyncio.sleep(0.25)
        assert await collect(pipeline) == [0, 1, 2, 3, 4]
        with pytest.raises(RuntimeError, match="another iteration of this pipeline"):
            await waiting

    async def slow(value):
        await asyncio.sleep(0.2 + value)
        return value

    simulate(main())


async def slow(value):
    await asyncio.sleep(0.1)
    return value


def test_derived_pipelines_start_fresh():
    async def main():
        pipeline = Pipeline(range(5))
        items = aiter(pipeline)
        await anext(items)
        derived = pipeline.map(slow)
        assert derived.state_dict()["position"] == 0
        assert await collect(derived) == [0, 1, 2, 3, 4]
        assert pipeline.state_dict()["position"] == 1

    simulate(main())


def test_length_is_known_or_a_type_error():
    source = Pipeline(range(10))
    assert len(source) == 10
    assert len(source.map(str).shuffle(3).prefetch(2)) == 10
    assert len(source.batch(3)) == 4
    assert len(source.batch(3, drop_last=True)) == 3
    assert len(source.take(4)) == 4
    assert [len(source.shard(rank, 3)) for rank in range(3)] == [4, 3, 3]
    for unknown in (source.filter(bool), source.flat_map(range), Pipeline(lambda: range(3))):
        with pytest.raises(TypeError, match="not known"):
            len(unknown)
        assert unknown
    with pytest.raises(TypeError, match="not known"):
        len(source.map(str, on_error="skip"))
    for pipeline in (source.batch(3), source.shard(2, 3), source.take(99)):
        assert len(pipeline) == len(list(pipeline))


def test_repr_shows_the_stages():
    text = repr(Pipeline(range(9)).shuffle(4, seed=1).map(slow).batch(2))
    assert text == "Pipeline(range(0, 9)).shuffle(4, seed=1).map(slow).batch(2, drop_last=False)"


# resume


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


async def is_third(value):
    await asyncio.sleep(0.001)
    return number(value) % 3 != 1


def build(names, size=14, source=None):
    pipeline = source or Pipeline(range(size))
    for name in names:
        pipeline = {**STAGES, **UNORDERED}[name](pipeline)
    return pipeline


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

    async def main():
        whole, _ = await first(build(names), 1000)
        before, states = await first(build(names), stop)
        pipeline = build(names)
        pipeline.load_state_dict(states[-1])
        between, states = await first(pipeline, stop_again)
        pipeline = build(names)
        pipeline.load_state_dict(states[-1])
        rest, _ = await first(pipeline, 1000)
        assert sorted(map(repr, before + between + rest)) == sorted(map(repr, whole))

    simulate(main())


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

    async def main():
        whole, _ = await first(build(names), 1000)
        before, states = await first(build(names), stop)
        pipeline = build(names)
        pipeline.load_state_dict(states[-1])
        between, states = await first(pipeline, stop_again)
        pipeline = build(names)
        pipeline.load_state_dict(states[-1])
        rest, _ = await first(pipeline, 1000)
        assert sorted(map(repr, before + between + rest)) == sorted(map(repr, whole))

    simulate(main())


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


def test_the_state_of_an_epoch_that_is_over_is_the_beginning_of_the_next():
    async def main():
        make = lambda: Pipeline(range(8)).shuffle(8).map(slow)  # noqa: E731
        pipeline = make()
        epochs = [await collect(pipeline), await collect(pipeline)]
        end = through_json(pipeline.state_dict())
        assert (end["epoch"], end["position"], end["parts"]) == (2, 0, {})
        again = make()
        again.load_state_dict(end)
        assert again.state_dict() == end
        third = await collect(again)
        assert third == await collect(pipeline)
        assert third not in epochs

    simulate(main())


def test_right_after_the_last_item_the_rest_is_nothing():
    async def main():
        pipeline = Pipeline(range(3)).map(slow)
        items = aiter(pipeline)
        for _ in range(3):
            await anext(items)
        state = pipeline.state_dict()
        await items.aclose()
        pipeline.load_state_dict(state)
        assert await collect(pipeline) == []
        assert await collect(pipeline) == [0, 1, 2]

    simulate(main())


def test_epochs_counted_by_the_state_are_as_many_as_planned():
    seen = []
    for stop in range(11):
        pipeline, items = Pipeline(range(3)), []
        for _ in range(stop // 3):
            items += list(pipeline)
        part = iter(pipeline)
        items += [next(part) for _ in range(stop % 3)]
        part.close()
        again = Pipeline(range(3))
        again.load_state_dict(pipeline.state_dict())
        for _ in range(again.state_dict()["epoch"], 4):
            items += list(again)
        seen.append(items)
    assert seen == [[0, 1, 2] * 4] * 11


def test_resume_in_the_middle_of_the_second_epoch():
    async def main():
        make = lambda: Pipeline(range(8)).shuffle(4).map(slow).batch(3)  # noqa: E731
        pipeline = make()
        await collect(pipeline)
        whole, states = await first(pipeline, 1000)
        again = make()
        again.load_state_dict(states[1])
        assert await collect(again) == whole[1:]
        assert again.state_dict()["epoch"] == 2

    simulate(main())


def test_loading_a_state_ends_the_iteration_that_runs():
    async def main():
        pipeline = Pipeline(range(8)).map(slow)
        running = aiter(pipeline)
        await anext(running)
        state = pipeline.state_dict()
        assert [await anext(running), await anext(running)] == [1, 2]
        pipeline.load_state_dict(state)
        assert pipeline.state_dict() == state
        with pytest.raises(RuntimeError, match=r"load_state_dict\(\) was called"):
            await anext(running)
        await running.aclose()
        assert [item async for item in running] == []
        assert await collect(pipeline) == list(range(1, 8))

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


def test_a_state_of_other_stages_is_an_error():
    pipeline = Pipeline(range(9)).map(slow).batch(2)
    state = pipeline.state_dict()
    pipeline.prefetch(3).load_state_dict(state)
    source = Pipeline(range(9))
    others = (
        source,
        source.map(slow).batch(3),
        source.map(number).batch(2),
        source.map(slow, ordered=False).batch(2),
        source.take(3).map(slow).batch(2),
        source.map(slow).batch(2, drop_last=True),
    )
    for other in others:
        with pytest.raises(ValueError, match=r"other stages(.|\n)*map\(slow\) -> batch\(2"):
            other.load_state_dict(state)
    parts = [{**state, "parts": part} for part in (1, None, {"a": 1}, {1: 1})]
    counts = [{**state, key: value} for key in ("epoch", "position") for value in ("a", -1, 1.5)]
    others = [{**state, "stages": None}, {**state, "more": 3}]
    others += [{**state, "source": source} for source in (None, {}, {"length": 9}, "a")]
    for wrong in (None, {}, [1], *parts, *counts, *others):
        with pytest.raises(ValueError, match="must be what state_dict"):
            pipeline.load_state_dict(wrong)
    for version in (0, 2, 9, "a", None):
        with pytest.raises(ValueError, match=r"the form number .* reads number 3"):
            pipeline.load_state_dict({**state, "version": version})
    assert pipeline.state_dict() == state


NUMBERED = [1, 10**30, -1, 1.5, "1", None, True, [], [1], [[0, 1]], {}, {"held": [1]}, {"given": 1}]
HOLDING = [
    {"held": held, "given": given}
    for held, given in [
        ([], 0),
        ([1], 1),
        ([[0, 1]], 1),
        ([[[0]]], 1),
        ([-1], 1),
        (["a"], 1),
        ([[[0, 1]]], 1),
        ([[0, "x"]], 1),
        ([[0, -1]], 1),
        ([[0]], 1),
        ([1, 1], 1),
        ([0, 1, 2, 3, 4, 5, 6], 1),
        ([None], 1),
        ([{}], 1),
        ([[]], 1),
        ("ab", 1),
        ([1], "a"),
        ([1], -1),
        ([1], 1.5),
        ([1, 2], 1),
    ]
]
ONE = {"held": [[0]], "given": 1}  # a batch of one item
UNIQUE = [HOLDING[0], HOLDING[1], {"held": [0, 1, 2, 3, 4, 5, 6], "given": 1}]
# for each shape: the place of its stage with a part, and the parts of those above that it can have
SHAPED = {
    "take": (lambda p: p.map(slow).take(5), "1", [1]),
    "shard": (lambda p: p.map(slow).shard(0, 2), "1", [1, 10**30]),
    "shuffle": (lambda p: p.map(slow).shuffle(3), "1", [HOLDING[0], HOLDING[1], HOLDING[-1]]),
    "unordered": (lambda p: p.map(slow, ordered=False), "0", [*UNIQUE, HOLDING[-1]]),
    "flat_map": (lambda p: p.flat_map(triple), "1", [HOLDING[1]]),
    "batches": (lambda p: p.batch(2).shuffle(2), "1", [HOLDING[0], HOLDING[2], ONE]),
    "children": (lambda p: p.flat_map(triple).shuffle(2), "2", [HOLDING[0], HOLDING[2]]),
    "map": (lambda p: p.map(slow), "0", []),
    "key shuffle": (lambda p: p.shuffle(3).map(slow), "0", []),
    "nothing": (lambda p: p, "0", []),
}


@pytest.mark.parametrize("shape", SHAPED)
def test_garbage_in_the_parts_of_a_state_is_refused_at_once(shape):
    make, place, sound = SHAPED[shape]
    pipeline = make(Pipeline(range(9)))
    before = pipeline.state_dict()
    for part in [*NUMBERED, *HOLDING]:
        state = {**before, "position": 3, "parts": {place: part}}
        if part in sound and part is not True:
            pipeline.load_state_dict(state)
            pipeline.load_state_dict(before)
            continue
        if part is None:
            continue
        with pytest.raises(ValueError, match=r"`state` (has wrong `parts`|holds items)"):
            pipeline.load_state_dict(state)
    for elsewhere in ("7", "99"):
        with pytest.raises(ValueError, match=f"see {elsewhere}"):
            pipeline.load_state_dict({**before, "parts": {elsewhere: 1}})
    assert pipeline.state_dict() == before


@given(st.lists(st.sampled_from(sorted({**STAGES, **UNORDERED})), max_size=4), st.integers(0, 9))
@few
def test_no_state_of_ones_own_is_taken_for_garbage(names, count):
    async def main():
        _, states = await first(build(names), count)
        build(names).load_state_dict(states[-1])

    simulate(main())


def test_a_source_that_is_too_short_for_the_state_is_an_error():
    state = simulate(first(Pipeline(iter(range(9))), 5))[1][-1]
    pipeline = Pipeline(iter(range(3)))
    pipeline.load_state_dict(state)
    with pytest.raises(ValueError, match=r"ended after 3 items.* 5"):
        run(pipeline)


class Folder:
    """A source that can tell when it has changed."""

    def __init__(self, names, fingerprint):
        self.names, self.fingerprint = names, fingerprint

    def __iter__(self):
        return iter(self.names)


class Listed(Folder):
    def __init__(self, names, fingerprint):
        super().__init__(names, lambda: fingerprint)


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        (range(9), range(10), "another length, 9, and this one has 10"),
        (list("abcdefghi"), list("abc"), "another length, 9, and this one has 3"),
        (Folder("abcdefghi", "x1"), Folder("abcdefghi", "x2"), "another fingerprint, 'x1'"),
        (Listed("abcdefghi", 1), Listed("abcdefghi", 2), "another fingerprint, 1"),
    ],
    ids=["longer", "shorter", "fingerprint", "method"],
)
@pytest.mark.parametrize("consumed", [0, 2, 1000])
def test_a_state_over_a_source_that_has_changed_is_an_error(before, after, words, consumed):
    async def main():
        for wrap in (lambda items: items, lambda items: lambda: items):
            pipeline = Pipeline(wrap(before)).batch(2)
            _, states = await first(pipeline, consumed)
            state = through_json(states[-1])
            same = Pipeline(wrap(before)).batch(2)
            same.load_state_dict(state)
            await collect(same)
            if consumed:  # what a function returns is not known before it is called
                with pytest.raises(ValueError, match=words):
                    await resumed(Pipeline(wrap(after)).batch(2), state)

    async def resumed(pipeline, state):
        pipeline.load_state_dict(state)
        await collect(pipeline)

    simulate(main())


def test_what_a_source_does_not_tell_is_not_compared():
    async def main():
        for some, others in (
            (lambda: iter(range(9)), lambda: iter(range(12))),
            (range(9), lambda: iter(range(9))),
            (Folder("abc", None), Folder("abcd", "x")),
        ):
            _, states = await first(Pipeline(some), 2)
            pipeline = Pipeline(others)
            pipeline.load_state_dict(states[-1])
            await collect(pipeline)

    simulate(main())


@pytest.mark.parametrize("fingerprint", [1.5, b"x", ["a"], object()])
def test_a_fingerprint_that_json_cannot_hold_is_an_error(fingerprint):
    pipeline = Pipeline(Folder("abc", fingerprint))
    with pytest.raises(TypeError, match="`fingerprint` of a source must be a str or an int"):
        pipeline.state_dict()
    assert run(pipeline) == ["a", "b", "c"]  # who wants no state is not asked


class Unsized:
    def __len__(self):
        raise TypeError("a stream has no length")

    def __iter__(self):
        return iter("ab")


class Lost(Unsized):
    def __len__(self):
        raise AttributeError("no connection yet")


@pytest.mark.parametrize("source", [Unsized(), Lost(), lambda: Lost()])
def test_a_length_that_is_none_is_no_error(source):
    pipeline = Pipeline(source)
    assert run(pipeline) == ["a", "b"]
    assert pipeline.state_dict()["source"] == {"length": None, "fingerprint": None}


def test_a_range_that_is_too_long_to_count_can_be_iterated():
    pipeline = Pipeline(range(10**20)).take(2)
    assert run(pipeline) == [0, 1]
    assert pipeline.state_dict()["source"]["length"] is None


def test_a_source_that_differs_from_epoch_to_epoch_goes_on_after_the_end_of_one():
    days = iter([3, 4, 5])
    pipeline = Pipeline(lambda: range(next(days)))
    assert run(pipeline) == [0, 1, 2]
    again = copy.copy(pipeline)
    assert run(pipeline) == [0, 1, 2, 3]
    assert run(again) == [0, 1, 2, 3, 4]


# copies


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda p: pickle.loads(pickle.dumps(p))])
@pytest.mark.parametrize("consumed", [0, 3, 1000])
@pytest.mark.parametrize("shape", [[], ["shuffle"], ["batch", "shuffle 2"], ["shuffle", "map"]])
def test_a_copy_stands_where_the_pipeline_does(shape, consumed, copied):
    async def main():
        pipeline = build(shape, source=Pipeline(list(range(14))))
        before, _ = await first(pipeline, consumed)
        other = copied(pipeline)
        assert other.state_dict() == pipeline.state_dict()
        whole = await collect(build(shape, source=Pipeline(list(range(14)))))
        rest = await collect(other)
        assert before + rest == whole if consumed < 1000 else len(rest) == len(whole)
        assert await collect(pipeline.prefetch(1)) == whole  # it is not disturbed

    simulate(main())


def test_a_copy_of_a_running_pipeline_does_not_end_it():
    async def main():
        pipeline = Pipeline([1, 2, 3]).map(slow)
        items = aiter(pipeline)
        assert await anext(items) == 1
        other = copy.copy(pipeline)
        assert await collect(other) == [2, 3]
        assert await anext(items) == 2
        await items.aclose()

    simulate(main())


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


# bad input


@pytest.mark.parametrize(
    ("add", "words"),
    [
        (lambda p: p.map(slow, concurrency=0), "`concurrency` must be >= 1, got 0"),
        (lambda p: p.map(slow, concurrency=8, lookahead=4), "`lookahead` must be >= concurrency"),
        (lambda p: p.map(slow, retries=-1), "`retries` must be >= 0, got -1"),
        (lambda p: p.map(slow, timeout=0), "`timeout` must be seconds > 0, got 0"),
        (lambda p: p.map(slow, executor="threads"), "`executor` must be .*got 'threads'"),
        (lambda p: p.map(slow, on_error="ignore"), "`on_error` must be .*got 'ignore'"),
        (lambda p: p.map(slow, on_error=slow), "`on_error` must be .*plain function"),
        (lambda p: p.map(number, executor="inline", timeout=1), "`timeout` cannot stop `number`"),
        (lambda p: p.batch(0), "`size` must be >= 1, got 0"),
        (lambda p: p.take(-1), "`n` must be >= 0, got -1"),
        (lambda p: p.prefetch(0), "`n` must be >= 1, got 0"),
        (lambda p: p.shuffle(0), "`buffer_size` must be >= 1, got 0"),
        (lambda p: p.shuffle(3, seed=-1), "`seed` must be >= 0, got -1"),
        (lambda p: p.shard(3, 3), "`rank` must be < world_size = 3, got 3"),
        (lambda p: p.shard(0, 0), "`world_size` must be >= 1, got 0"),
    ],
)
def test_a_wrong_value_says_what_is_right(add, words):
    with pytest.raises(ValueError, match=words):
        add(Pipeline(range(3)))


async def stream(value):
    yield value


@pytest.mark.parametrize(
    ("add", "words"),
    [
        (lambda p: Pipeline(3), "`source` must be an iterable, .*got int"),
        (lambda p: p.map(3), "`map` needs a function, got 3"),
        (lambda p: p.map(stream), "`stream` is an async generator: use flat_map"),
        (
            lambda p: p.map(lambda x: x, executor="process"),
            "`<lambda>` cannot be sent to a process",
        ),
        (lambda p: p.batch(2, collate=3), "`collate` needs a function"),
        (lambda p: p.batch(2, collate=slow), "must be a plain function, got slow"),
        (lambda p: p.batch(2.5), "`size` must be an int, got 2.5"),
        (lambda p: p.map(slow, concurrency=True), "`concurrency` must be an int, got True"),
        (lambda p: p.map(slow, timeout="a"), "`timeout` must be seconds > 0, got 'a'"),
        (lambda p: Pipeline(p), "add the stages to that pipeline instead"),
        (lambda p: Pipeline(lambda x: x), "`source` must take no arguments"),
        (lambda p: run(Pipeline(lambda: 3)), "`source` must return an iterable .*returned int"),
        (lambda p: run(p.flat_map(lambda x: 3)), "`<lambda>` must return an iterable, got int"),
    ],
)
def test_a_wrong_type_says_what_is_right(add, words):
    with pytest.raises(TypeError, match=words):
        add(Pipeline(range(3)))


def test_plain_for_inside_simulate_is_an_error_at_once():
    async def main():
        with pytest.raises(RuntimeError, match="use `async for`"):
            iter(Pipeline(range(3)))

    simulate(main())
