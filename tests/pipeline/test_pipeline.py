"""One cursor: epochs, copies, and what the state says between them."""

import asyncio
import copy
import pickle

import pytest

from asyncml.clock import simulate
from asyncml.pipeline.pipeline import Pipeline
from tests.pipeline.building import build
from tests.pipeline.consuming import (
    collect,
    first,
    slow,
    through_json,
)


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
