"""When an item fails: what came before it is delivered, and nothing is begun after it."""

import asyncio

import pytest

from asyncml.clock import compute, simulate
from asyncml.pipeline.pipeline import Pipeline
from tests.pipeline.consuming import (
    collect,
    run,
)
from tests.pipeline.failing import OPTIONS, Broken, fails_at, until


@pytest.mark.parametrize(("where", "options"), OPTIONS)
def test_an_error_comes_after_the_items_before_it_and_says_where(where, options):
    fn = fails_at(7, 9, where=where, seconds=0.01)
    pipeline = Pipeline(range(1000)).map(fn, concurrency=4, **options)
    items, error = simulate(until(pipeline, Broken))
    before = [item for item in items if item < 7]
    assert before == list(range(7))
    assert error.args == (7,)
    name = "on_loop" if where == "loop" else "in_thread"
    assert f"map({name}" in error.__notes__[0]
    assert "item 7: 7" in error.__notes__[0]
    assert len(fn.calls) <= 8 + 4  # intake stopped at once


def test_an_error_in_a_thread_stops_the_intake_at_once():
    fn = fails_at(3, where="thread")
    items, _ = simulate(until(Pipeline(range(100)).map(fn, concurrency=1), Broken))
    assert items == [0, 1, 2]
    assert fn.calls == [0, 1, 2, 3]


@pytest.mark.parametrize("between", [lambda p: p, lambda p: p.batch(2), lambda p: p.prefetch(3)])
@pytest.mark.parametrize("how", ["loop", "threads", "retries"])
def test_an_error_stops_the_intake_of_all_stages_above(how, between):
    """Although the consumer takes its time before it sees the error."""
    calls, asked = [], []

    async def source():
        for number in range(10_000):
            asked.append(number)
            yield number

    async def fetch(number):
        calls.append(number)
        await asyncio.sleep(0.01)
        if how == "retries" and number > 30:
            raise OSError
        return number

    def fetch_in_thread(number):
        calls.append(number)
        compute(0.01)
        return number

    async def fail(item):
        await asyncio.sleep(0.01)
        if item in (20, [20, 21]):
            raise ValueError(item)
        return item

    async def main():
        pipeline = Pipeline(source).map(
            fetch_in_thread if how == "threads" else fetch, concurrency=4, retries=9, lookahead=500
        )
        pipeline = between(pipeline).map(fail, concurrency=2)
        items = aiter(pipeline)
        await anext(items)
        await asyncio.sleep(0.15)  # it has failed by now, or does while its first item is held
        before = len(calls), len(asked)
        await asyncio.sleep(60)
        after = len(calls), len(asked)
        assert after[0] - before[0] <= 4
        assert after[1] - before[1] <= 1
        with pytest.raises(ValueError, match="20"):
            [item async for item in items]

    simulate(main())
    assert len(calls) < 150


@pytest.mark.parametrize("ordered", [True, False])
def test_after_an_error_nothing_behind_it_is_tried_again(ordered):
    calls = []

    async def load(value):
        calls.append(value)
        await asyncio.sleep({0: 9, 2: 1}.get(value, 0))  # the first one holds the error up
        if value in (1, 2):
            raise Broken(value)
        return value

    pipeline = Pipeline(range(99)).map(load, concurrency=3, retries=1, ordered=ordered)
    items, error = simulate(until(pipeline, Broken))
    assert 0 in items
    assert error.args == (1,)
    assert calls.count(1) == 2
    assert calls.count(2) == 1


def test_after_an_error_the_run_can_go_on_from_there():
    async def main():
        pipeline = Pipeline(range(6)).map(fails_at(3))
        items, _ = await until(pipeline, Broken)
        again = Pipeline(range(6)).map(fails_at())
        again.load_state_dict(pipeline.state_dict())
        return items, await collect(again)

    assert simulate(main()) == ([0, 1, 2], [3, 4, 5])


@pytest.mark.parametrize("where", ["loop", "thread"])
def test_after_an_error_what_was_not_begun_is_not_lost_either(where):
    """The last to be delivered, 0, comes when those behind the error have been passed over."""
    failed = set()

    async def on_loop(value):
        await asyncio.sleep(9 if value == 0 else value / 1000)
        if value == 12 or (value % 5 == 4 and value not in failed):  # the others fail once
            failed.add(value)
            raise Broken(value)
        return value

    def in_thread(value):
        compute(9 if value == 0 else 0)
        if value == 12:
            raise Broken(value)
        return value

    async def main():
        fn, retries = (on_loop, 1) if where == "loop" else (in_thread, 0)
        pipeline = Pipeline(range(40)).map(fn, concurrency=2, ordered=False, retries=retries)
        items, _ = await until(pipeline, Broken)
        again = Pipeline(range(40)).map(fails_at(), ordered=False)
        again.load_state_dict(pipeline.state_dict() | {"stages": again.state_dict()["stages"]})
        assert items[-1] == 0
        assert sorted(items + await collect(again)) == list(range(40))

    simulate(main())


@pytest.mark.parametrize("ordered", [True, False])
def test_an_error_behind_a_batch_that_a_slow_function_looks_at_is_raised(ordered):
    pipeline = Pipeline(range(9)).map(fails_at(3), concurrency=1, ordered=ordered).batch(2)
    pipeline = pipeline.filter(lambda batch: compute(1) or True)
    assert simulate(until(pipeline, Broken))[0] == [[0, 1], [2]]


def test_the_items_of_a_batch_before_an_error_are_delivered():
    pipeline = Pipeline(range(9)).map(fails_at(5))
    assert simulate(until(pipeline.batch(3), Broken))[0] == [[0, 1, 2], [3, 4]]
    assert simulate(until(pipeline.batch(3).prefetch(2), Broken))[0] == [[0, 1, 2], [3, 4]]


def test_errors_of_source_filter_and_collate_come_in_order():
    def source():
        yield from range(3)
        raise Broken("source")

    async def stream():
        yield 0
        raise Broken("source")

    def refuse(value):
        return 1 / (value - 2)

    assert simulate(until(Pipeline(source).map(fails_at()), Broken))[0] == [0, 1, 2]
    assert simulate(until(Pipeline(stream).map(fails_at()), Broken))[0] == [0]
    items, error = simulate(until(Pipeline(range(9)).filter(refuse), ZeroDivisionError))
    assert items == [0, 1]
    assert "filter(refuse), item 2" in error.__notes__[0]
    pipeline = Pipeline(range(9)).batch(2, collate=lambda batch: refuse(batch[0]))
    assert len(simulate(until(pipeline.prefetch(1), ZeroDivisionError))[0]) == 1


def test_errors_of_source_and_collate_say_where():
    def source():
        yield from range(4)
        raise Broken

    async def stream():
        yield 0
        raise Broken

    def opened():
        raise Broken

    def collate(values):
        if 2 in values:
            raise Broken

    for pipeline, note in (
        (Pipeline(source), "in the source, after 4 items"),
        (Pipeline(stream), "in the source, after 1 items"),
        (Pipeline(opened), "in the source, as it was opened"),
        (Pipeline(range(4)).batch(2, collate=collate), "batch 1, which begins with item 2"),
    ):
        _, error = simulate(until(pipeline, Broken))
        assert note in error.__notes__[0]


# what stands for it


@pytest.mark.parametrize(("where", "options"), OPTIONS)
def test_skip_and_replace(where, options):
    make = Pipeline(range(10)).map
    skipping = make(fails_at(2, 5, where=where), on_error="skip", **options)
    assert sorted(run(skipping)) == [0, 1, 3, 4, 6, 7, 8, 9]
    stage = skipping.statistics().stages[-1]
    assert (stage.skipped, stage.errors, stage.items) == (2, 2, 8)
    replace = make(
        fails_at(2, where=where), on_error=lambda error, item: (type(error), item), **options
    )
    assert (Broken, 2) in run(replace)

    def give_up(error, item):
        raise LookupError(item) from error

    with pytest.raises(LookupError):
        run(make(fails_at(2, where=where), on_error=give_up, **options))


def test_an_on_error_that_fails_says_so_behind_the_first_error():
    pipeline = Pipeline(range(3)).map(fails_at(1), on_error=lambda error: None)
    _, error = simulate(until(pipeline, TypeError))
    assert "the `on_error` of map(on_loop) failed" in error.__notes__
    assert "item 1: 1" in error.__notes__[1]
    assert isinstance(error.__context__, Broken)
