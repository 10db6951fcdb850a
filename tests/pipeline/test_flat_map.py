"""What `flat_map` takes, and how it reads what a call gives: see `test_streams` for its bounds."""

import asyncio
import contextlib
import gc
import time
from fractions import Fraction

import pytest

from asyncml.clock import compute, simulate
from asyncml.pipeline.pipeline import Pipeline
from tests.pipeline.consuming import (
    collect,
    run,
)


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
