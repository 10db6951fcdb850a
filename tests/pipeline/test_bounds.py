"""What a pipeline never exceeds: calls at once, items ahead of the consumer, items alive."""

import asyncio
import itertools
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncml.clock import compute, simulate
from asyncml.pipeline.pipeline import Pipeline
from asyncml.pipeline.retrying import LOGGED
from tests.pipeline.consuming import collect

# items ahead of the consumer


async def unchanged(value):
    await asyncio.sleep(0.001)
    return value


async def always(value):
    return True


# how to add a stage, and how many items above it are ahead when `n` of those below it are
STAGES = {
    "map": (lambda p: p.map(unchanged, concurrency=2), lambda n: n + 2 * 16),
    "threads": (lambda p: p.map(abs, concurrency=2, lookahead=5), lambda n: n + 5),
    "unordered": (
        lambda p: p.map(unchanged, concurrency=2, lookahead=4, ordered=False),
        lambda n: n + 4,
    ),
    "inline": (lambda p: p.map(abs, executor="inline"), lambda n: n),
    "filter": (lambda p: p.filter(lambda _: True), lambda n: n),
    "async filter": (lambda p: p.filter(always), lambda n: n + 256),
    "prefetch": (lambda p: p.prefetch(3), lambda n: n + 3),
    "flat_map": (
        lambda p: p.flat_map(lambda value: [value] * 2, concurrency=1, lookahead=3),
        lambda n: -(-n // 2) + 3,
    ),
    "batch": (lambda p: p.batch(4).map(min, executor="inline"), lambda n: 4 * n + 3),
    "shuffle": (lambda p: p.shuffle(6), lambda n: n + 6),
    "shard": (lambda p: p.shard(0, 3), lambda n: 3 * n + 2),
    "take": (lambda p: p.take(9**9), lambda n: n),
}


@given(st.lists(st.sampled_from(sorted(STAGES)), max_size=4), st.booleans())
def test_items_run_ahead_by_what_is_written_and_no_more(names, is_async):
    asked = itertools.count()
    last = -1

    def source():
        nonlocal last
        while True:
            last = next(asked)
            yield last

    async def asource():
        for value in source():  # no `yield from` in an asynchronous generator
            yield value

    async def main():
        pipeline = Pipeline(asource if is_async else source)
        for name in names:
            pipeline = STAGES[name][0](pipeline)
        items = aiter(pipeline)
        for consumed in range(1, 4):
            await anext(items)
            await asyncio.sleep(9)
            ahead = consumed
            for name in reversed(names):
                ahead = STAGES[name][1](ahead)
            assert last + 1 <= ahead + (16 if is_async else 0)
        await items.aclose()

    simulate(main())


# calls at once


class Spy:
    """A function that counts its calls in progress, in each of the ways it may run."""

    def __init__(self, seconds, bad):
        self.seconds, self.bad = seconds, bad
        self.now = self.most = 0
        self.attempts = {}

    def begin(self, value):
        self.now += 1
        self.most = max(self.most, self.now)
        self.attempts[value] = self.attempts.get(value, 0) + 1

    def end(self, value):
        self.now -= 1
        if self.attempts[value] <= self.bad.get(value, 0):
            raise OSError(value)
        return value

    async def on_loop(self, value):
        self.begin(value)
        try:
            await asyncio.sleep(self.seconds[value] / 1000)
        finally:
            result = self.end(value)
        return result

    def in_thread(self, value):
        self.begin(value)
        compute(self.seconds[value] / 1000)
        return self.end(value)


@pytest.mark.filterwarnings("ignore:.*has skipped all of its first:RuntimeWarning")
@given(
    st.lists(st.integers(0, 20), min_size=1, max_size=16),
    st.dictionaries(st.integers(0, 15), st.integers(1, 4)),
    st.integers(0, 2),
    st.integers(1, 4),
    st.sampled_from(["on_loop", "in_thread"]),
    st.sampled_from(["skip", "replace"]),
    st.booleans(),
)
def test_nothing_is_lost_and_nothing_called_too_often(
    seconds, bad, retries, concurrency, where, on_error, ordered
):
    spies = [Spy(seconds, bad), Spy(seconds, {})]
    pipeline = Pipeline(range(len(seconds)))
    for spy in spies:
        pipeline = pipeline.map(
            getattr(spy, where),
            concurrency=concurrency,
            retries=retries,
            ordered=ordered,
            on_error="skip" if on_error == "skip" else lambda error, item: item,
        )
    items = simulate(collect(pipeline))
    lost = [value for value in range(len(seconds)) if bad.get(value, 0) > retries]
    if on_error == "skip":
        assert sorted(items + lost) == list(range(len(seconds)))
        assert pipeline.statistics().stages[1].skipped == len(lost)
    else:
        assert sorted(items) == list(range(len(seconds)))
    assert items == sorted(items) or not ordered
    assert all(spy.most <= concurrency for spy in spies)
    for value in range(len(seconds)):
        assert spies[0].attempts[value] == 1 + min(retries, bad.get(value, 0))


@pytest.mark.parametrize(
    "add",
    [
        lambda p: p.map(lambda _: None, concurrency=2),
        lambda p: p.map(lambda _: None, ordered=False, timeout=1),
        lambda p: p.map(unchanged, retries=1).prefetch(2),
        lambda p: p.shuffle(2),
        lambda p: p.flat_map(lambda value: [value, None]).shard(1, 2),
        lambda p: p.map(unchanged).shuffle(2).filter(lambda value: value is None),
        lambda p: p.batch(2).flat_map(iter),
        lambda p: p.map(abs, on_error=lambda error, item: None),
    ],
)
def test_none_is_an_item_everywhere(add):
    async def source():
        for _ in range(5):
            yield None

    for nothing in ([None] * 5, source):
        assert list(add(Pipeline(nothing))) == [None] * 5


# memory


class Item:
    """Counts how many of its kind are alive."""

    alive = most = 0

    def __init__(self, value):
        self.value = value
        Item.alive += 1
        Item.most = max(Item.most, Item.alive)

    def __del__(self):
        Item.alive -= 1


async def straggle(item):
    await asyncio.sleep(0.5 if item.value % 97 == 5 else 0.001)
    return item


def fresh(item):
    return Item(item.value)


async def halves(item):
    return [Item(item.value), Item(item.value)]


def refuse(item):
    if item.value % 3:
        raise OSError
    return item


KINDS = {
    "stragglers in order": lambda p: p.map(straggle, concurrency=4),
    "stragglers out of order": lambda p: p.map(straggle, concurrency=4, ordered=False),
    "threads": lambda p: p.map(fresh, concurrency=2),
    "a time-out in threads": lambda p: p.map(fresh, concurrency=2, timeout=5),
    "inline": lambda p: p.map(fresh, executor="inline"),
    "flat_map": lambda p: p.flat_map(halves, concurrency=2),
    "filter": lambda p: p.filter(lambda item: item.value % 2),
    "an asynchronous filter": lambda p: p.filter(always),
    "shuffle": lambda p: p.map(fresh, concurrency=2).shuffle(20),
    "batch": lambda p: p.batch(8).prefetch(2).flat_map(iter, concurrency=1),
    "shard": lambda p: p.shard(1, 3),
    "skipped errors": lambda p: p.map(refuse, concurrency=2, on_error="skip"),
    "retried errors": lambda p: p.map(refuse, concurrency=2, on_error="skip", retries=1),
}


@pytest.mark.parametrize("kind", KINDS)
def test_as_many_items_are_alive_in_a_long_run_as_in_a_short_one(kind):
    def most(count):
        Item.alive = Item.most = 0

        async def main():
            async for _ in KINDS[kind](Pipeline(map(Item, range(count)))):
                await asyncio.sleep(0.001)

        simulate(main())
        return Item.most

    short = most(700)
    more = 50 + LOGGED * ("errors" in kind)  # which delays meet, and which threads, is chance
    assert most(1400) <= short + more
    assert short < 350


def test_items_go_when_their_batch_is_made():
    async def main():
        items = Pipeline(range(30)).map(Item, executor="inline")
        async for values in items.batch(10, collate=lambda batch: [item.value for item in batch]):
            assert len(values) == 10
            assert Item.alive <= 1  # the last one, where it was made

    Item.alive = 0
    simulate(main())


def test_what_is_noted_of_an_order_stays_flat_in_large_batches():
    """For a resume: which items a stage that changes the order still holds."""

    async def main(batches):
        pipeline = Pipeline(range(500 * batches)).map(always, ordered=False).batch(500)
        tracemalloc.start()
        try:
            async for _ in pipeline:
                pass
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    assert simulate(main(30)) < 3 * simulate(main(6))  # all of it would be 4 times as much
