"""What may be iterated, and what a function that returns it is told."""

import asyncio
import copy
from functools import partial
from itertools import chain

import pytest

from asyncml.clock import simulate
from asyncml.pipeline.pipeline import Pipeline
from tests.pipeline.consuming import collect, first, run, through_json


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


# sources of every kind


async def letters():
    for letter in "abc":
        yield letter


class Letters:
    def __aiter__(self):
        return letters()


async def of_letters():
    return list("abc")


def test_sources_of_every_kind():
    for source in ("abc", list("abc"), iter("abc"), Letters(), letters(), letters, Letters):
        assert run(Pipeline(source)) == ["a", "b", "c"]
    for source in (lambda: iter("abc"), of_letters, lambda: letters()):
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


# another source than that of the state


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
