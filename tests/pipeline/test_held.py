"""What a saved state knows of stages that change the order, and what that costs."""

import threading
import time
import tracemalloc
from itertools import chain

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncml.clock import simulate
from asyncml.pipeline import held
from asyncml.pipeline.held import Held
from asyncml.pipeline.pipeline import Pipeline


async def first(pipeline, count):
    """As `consuming.first`, but without the memory that JSON takes, which is measured here."""
    iterator, items, states = aiter(pipeline), [], [pipeline.state_dict()]
    while len(items) < count:
        try:
            items.append(await anext(iterator))
        except StopAsyncIteration:
            break
        states.append(pipeline.state_dict())
    await iterator.aclose()
    return items, states


async def unchanged(value):
    return value


# the log of what a stage does between two deliveries


def drops(every):
    return lambda p: p.filter(lambda value: value % every == every - 1)


DROPPING = {
    "a filter": drops,
    "a filter and a batch": lambda every: lambda p: drops(every)(p).batch(4),
    "a filter behind flat_map": lambda every: (
        lambda p: drops(every)(p.flat_map(lambda value: [value, 0], executor="inline"))
    ),
    "an asynchronous filter": lambda every: (
        lambda p: p.map(unchanged, concurrency=2).filter(lambda value: value % every == every - 1)
    ),
}
ABOVE = {
    "a late shuffle": lambda p: p.map(abs, executor="inline").shuffle(20),
    "out of order": lambda p: p.map(unchanged, concurrency=2, ordered=False),
    "both": lambda p: p.map(unchanged, concurrency=2, ordered=False).shuffle(20),
}


@pytest.mark.parametrize("above", ABOVE)
@pytest.mark.parametrize("below", DROPPING)
def test_what_is_dropped_leaves_no_trace(above, below, monkeypatch):
    monkeypatch.setattr(held, "_LOG", 64)

    def peak(count):
        pipeline = DROPPING[below](count)(ABOVE[above](Pipeline(range(count))))
        tracemalloc.start()
        try:
            items, _ = simulate(first(pipeline, 10))
            assert len(items) == 1
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(100)  # what the first run imports and keeps
    short = peak(1500)
    assert peak(3000) < short + 50_000  # 1,500 entries of a log take 290 kB


@pytest.mark.parametrize("above", ABOVE)
def test_a_stage_that_replaces_what_is_then_dropped_leaves_none_either(above, monkeypatch):
    monkeypatch.setattr(held, "_LOG", 64)

    def load(value):
        if value != 2999:
            raise OSError(value)
        return value

    def refuse(error, item):
        return None

    pipeline = ABOVE[above](Pipeline(range(3000)))
    options = {"executor": "inline", "on_error": refuse}
    pipeline = pipeline.map(load, **options).filter(lambda value: value is not None)
    tracemalloc.start()
    try:
        assert simulate(first(pipeline, 10))[0] == [2999]
        assert tracemalloc.get_traced_memory()[1] < 300_000  # without what it logs, 600 kB
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("above", ABOVE)
@pytest.mark.parametrize("below", DROPPING)
@settings(max_examples=6)
@given(st.integers(1, 9), st.integers(20, 60))
def test_the_rest_is_exact_however_short_the_log_was_made(above, below, every, size):
    before = held._LOG
    held._LOG = 3

    def make():
        return DROPPING[below](every)(ABOVE[above](Pipeline(range(size))))

    def flat(items):
        return list(chain.from_iterable(i if isinstance(i, list) else [i] for i in items))

    async def main():
        whole, states = await first(make(), 1000)
        for count in range(0, len(states), 7):
            pipeline = make()
            pipeline.load_state_dict(states[count])
            rest, _ = await first(pipeline, 1000)
            assert sorted(flat(whole[:count] + rest)) == sorted(flat(whole))
            if above == "a late shuffle":
                assert whole[:count] + rest == whole

    try:
        simulate(main())
    finally:
        held._LOG = before


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 9), st.booleans()), max_size=200))
def test_a_short_log_and_a_long_one_say_the_same(steps):
    """Each step takes in some items and gives one out, which is dropped or kept for later."""
    short, long = Held([], 0), Held([], 0)
    short._longest = 2
    kept, address = [], 0
    for takes, slot, is_dropped in steps:
        for _ in range(takes + 1):
            for log in (short, long):
                log.take(address, address)
            address += 1
        size = address - short._given
        marks = [held.give("address", slot % size) for held in (short, long)]
        short._longest = 2
        if not is_dropped:
            kept.append(marks)
    for one, other in kept:
        assert one == other
        assert short.settle(one[1] + 1) == long.settle(other[1] + 1)
        assert short.last == long.last


def test_under_plain_for_the_log_is_settled_by_another_thread():
    pipeline = Pipeline(range(9000)).map(unchanged, ordered=False, concurrency=2)
    pipeline = pipeline.filter(lambda value: value % 7 == 0)
    assert sorted(pipeline) == list(range(0, 9000, 7))


def test_a_state_taken_in_another_thread_is_that_of_one_moment(monkeypatch):
    """Whoever asks is held up in the midst of it, while the consumer goes on."""

    def make():
        pipeline = Pipeline(range(1000)).map(abs, executor="inline")
        return pipeline.shuffle(50).take(900)

    settle, asked = Held.settle, []

    def slow(stage, count):
        if threading.current_thread().name == "asks":
            time.sleep(0.02)
        return settle(stage, count)

    def ask():
        asked.append((len(items), pipeline.state_dict(), len(items)))

    monkeypatch.setattr(Held, "settle", slow)
    pipeline, items, threads = make(), [], []
    for item in pipeline:
        items.append(item)
        if len(items) % 40 == 0 and len(items) <= 200:
            threads.append(threading.Thread(target=ask, name="asks"))
            threads[-1].start()
        if len(items) < 300:
            time.sleep(0.0002)
    for thread in threads:
        thread.join()
    for least, state, most in asked:
        again = make()
        again.load_state_dict(state)
        rest = list(again)
        assert rest in [items[count:] for count in range(least - 1, most + 2)]
