"""What may be iterated, and what a function that returns it is told."""

import asyncio
from functools import partial
from itertools import chain

import pytest

from asyncml.clock import simulate
from asyncml.pipeline.pipeline import Pipeline
from tests.pipeline.consuming import first


async def collect(pipeline):
    return [item async for item in pipeline]


def listed(epoch):
    return [10 * epoch, 10 * epoch + 1]


def with_default(epoch=99):
    return listed(epoch)


def by_keyword(*, epoch, more=0):
    return listed(epoch + more)


async def awaited(epoch):
    await asyncio.sleep(0)
    return listed(epoch)


async def stream(epoch):
    for value in listed(epoch):
        await asyncio.sleep(0)
        yield value


class Keys:
    def __init__(self, epoch):
        self.epoch = epoch

    def __iter__(self):
        return iter(listed(self.epoch))

    @staticmethod
    def method(epoch):
        return listed(epoch)


TOLD = [
    *(listed, with_default, by_keyword, awaited, stream, Keys, Keys.method),
    partial(by_keyword, more=0),
    lambda epoch: listed(epoch),
]


@pytest.mark.parametrize("source", TOLD)
def test_a_function_with_a_parameter_named_epoch_is_given_its_number(source):
    pipeline = Pipeline(source).map(str, executor="inline")
    assert [simulate(collect(pipeline)), list(pipeline)] == [["0", "1"], ["10", "11"]]
    assert list(pipeline.take(1)) == ["0"]  # a derived pipeline starts fresh
    state = pipeline.state_dict()
    again = Pipeline(source).map(str, executor="inline")
    again.load_state_dict(state)
    assert list(again) == list(pipeline) == ["20", "21"]


@pytest.mark.parametrize("source", TOLD)
@pytest.mark.parametrize("stop", range(5))
def test_a_resumed_run_asks_for_the_keys_of_its_epoch(source, stop):
    async def main():
        whole = Pipeline(source).shuffle(2).map(str, executor="inline")
        planned = [await collect(whole) for _ in range(3)]
        pipeline = Pipeline(source).shuffle(2).map(str, executor="inline")
        seen = []
        while len(seen) < stop:
            items, states = await first(pipeline, stop - len(seen))
            seen += items
        state = pipeline.state_dict() if not stop else states[-1]
        again = Pipeline(source).shuffle(2).map(str, executor="inline")
        again.load_state_dict(state)
        while len(seen) < 6:
            seen += await collect(again)
        assert seen == [*chain.from_iterable(planned)]

    simulate(main())


def test_what_a_partial_has_bound_stays():
    pipeline = Pipeline(partial(listed, epoch=7))
    assert [list(pipeline), list(pipeline)] == [[70, 71], [70, 71]]
    assert list(Pipeline(partial(listed, 7))) == [70, 71]


def test_one_that_takes_anything_is_given_nothing():
    seen = []

    def source(*args, **kwargs):
        seen.append((args, kwargs))
        return "ab"

    assert list(Pipeline(source)) == ["a", "b"]
    assert seen == [((), {})]


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (lambda epoch, path: [], "missing a required argument: 'path'"),
        (lambda epoch, /: [], "epoch"),
        (lambda number: [], "missing a required argument: 'number'"),
        (partial(lambda epoch, path: [], epoch=3), "missing a required argument: 'path'"),
    ],
)
def test_anything_else_that_it_needs_is_an_error(source, words):
    with pytest.raises(TypeError, match=f"`source` must take no arguments but `epoch`: .*{words}"):
        Pipeline(source)
