"""What `flat_map` hands on as it comes: how much of it, in which order, and after a failure."""

import asyncio
import contextvars
import itertools
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncml.clock import compute, simulate
from asyncml.pipeline.pipeline import Pipeline
from asyncml.pipeline.retrying import Backoff
from tests.pipeline.consuming import collect, first, run, timed


class Shards:
    """Parents of `size(parent)` items `(parent, ordinal)`; an item takes `seconds` to be made."""

    def __init__(self, size=lambda _: 100, seconds=0.0, fails=lambda item, attempt: False):
        self.size, self.seconds, self.fails = size, seconds, fails
        self.begun, self.made, self.closed = [], [], []

    def _item(self, parent, ordinal):
        if self.fails((parent, ordinal), self.begun.count(parent)):
            raise OSError(f"{parent}, {ordinal}")
        self.made.append((parent, ordinal))
        return parent, ordinal

    async def agenerator(self, parent):
        self.begun.append(parent)
        try:
            for ordinal in range(self.size(parent)):
                await asyncio.sleep(self.seconds)
                yield self._item(parent, ordinal)
        finally:
            await asyncio.sleep(0)
            self.closed.append(parent)

    def generator(self, parent):
        self.begun.append(parent)
        try:
            for ordinal in range(self.size(parent)):
                compute(self.seconds)
                yield self._item(parent, ordinal)
        finally:
            self.closed.append(parent)

    def returned(self, parent):
        return self.agenerator(parent)

    async def awaited(self, parent):
        return self.agenerator(parent)

    def items(self, parents):
        return [(parent, ordinal) for parent in parents for ordinal in range(self.size(parent))]


KINDS = ["agenerator", "generator", "returned", "awaited"]
every_kind = pytest.mark.parametrize("kind", KINDS)
either_order = pytest.mark.parametrize("ordered", [True, False])


# how much, when


@either_order
@every_kind
def test_for_one_item_few_shards_are_begun_and_few_items_made(kind, ordered):
    shards = Shards()

    async def main():
        pipeline = Pipeline(range(257)).flat_map(getattr(shards, kind), ordered=ordered)
        items = aiter(pipeline)
        await anext(items)
        await asyncio.sleep(60)
        await items.aclose()

    simulate(main())
    assert len(shards.begun) <= 16 + 1  # the first of them may be whole by then
    assert len(shards.made) <= 256 + 1
    assert sorted(shards.closed) == sorted(shards.begun)


@given(
    st.lists(st.integers(0, 12), max_size=12),
    st.integers(1, 4),
    st.integers(0, 9),
    st.sampled_from(KINDS),
    st.booleans(),
    st.sampled_from([0, 0.001]),
    st.sampled_from([0, 0.004]),
)
def test_all_items_come_and_so_many_ahead(sizes, concurrency, more, kind, ordered, makes, takes):
    shards, lookahead = Shards(lambda parent: sizes[parent], makes), concurrency + more

    async def main():
        options = {"concurrency": concurrency, "lookahead": lookahead, "ordered": ordered}
        pipeline = Pipeline(range(len(sizes))).flat_map(getattr(shards, kind), **options)
        items = []
        async for item in pipeline:
            items.append(item)
            assert len(shards.made) <= len(items) + lookahead
            await asyncio.sleep(takes)
        return items

    items, expected = simulate(main()), shards.items(range(len(sizes)))
    assert (items if ordered else sorted(items)) == expected
    assert len(shards.begun) == len(sizes)


@every_kind
def test_items_come_when_they_are_made(kind):
    shards = Shards(lambda _: 4, seconds=1)
    items, times = timed(Pipeline(range(2)).flat_map(getattr(shards, kind), concurrency=1))
    assert items == shards.items(range(2))
    assert times == [1, 2, 3, 4, 5, 6, 7, 8]


@either_order
def test_a_stream_may_have_no_end(ordered):
    def generator(value):
        return zip(itertools.repeat(value), itertools.count(), strict=False)

    async def agenerator(value):
        for item in generator(value):
            yield item

    for fn in (generator, agenerator):
        pipeline = Pipeline(range(3)).flat_map(fn, ordered=ordered, concurrency=2)
        items = run(pipeline.take(1000))
        assert items == list(itertools.islice(generator(items[0][0]), 1000))


def test_the_stream_whose_turn_it_is_has_room_of_its_own():
    visit, visits = contextvars.ContextVar("visit", default=False), []

    def long(parent):
        for ordinal in range(1000):
            if not visit.get():  # a visit to a thread has a context of its own
                visit.set(True)
                visits.append((parent, ordinal))
            yield parent, ordinal

    pipeline = Pipeline(range(8)).flat_map(long, concurrency=4, lookahead=64)
    assert run(pipeline) == Shards(lambda _: 1000).items(range(8))
    assert len(visits) <= 8000 / 12


def test_the_stage_below_may_run_ahead_too():
    shards = Shards(lambda parent: parent % 7, seconds=0.001)

    async def slow(item):
        await asyncio.sleep(0.01)
        return item

    pipeline = Pipeline(range(40)).flat_map(shards.agenerator, concurrency=3, lookahead=5)
    assert run(pipeline.map(slow, concurrency=4).batch(3).flat_map(list)) == shards.items(range(40))


# failures


def at(*places, attempts=99):
    return lambda item, attempt: item in places and attempt <= attempts


@either_order
@every_kind
def test_after_a_failure_what_was_handed_on_stays(kind, ordered):
    shards = Shards(lambda _: 5, fails=at((1, 3)))
    fn, options = getattr(shards, kind), {"ordered": ordered, "concurrency": 2}
    skipping = Pipeline(range(3)).flat_map(fn, on_error="skip", **options)
    rest = [item for item in shards.items(range(3)) if item not in [(1, 3), (1, 4)]]
    assert sorted(run(skipping)) == rest
    assert skipping.statistics().stages[1].skipped == 1
    replacing = Pipeline(range(3)).flat_map(fn, on_error=lambda *_: [(1, "instead")], **options)
    assert sorted(run(replacing), key=str) == sorted([*rest, (1, "instead")], key=str)


@every_kind
def test_the_error_comes_after_the_items_before_it_and_the_rest_can_be_had(kind):
    shards = Shards(lambda _: 5, fails=at((1, 3), attempts=1))
    pipeline = Pipeline(range(3)).flat_map(getattr(shards, kind), concurrency=2)
    items = []

    async def consume():
        async for item in pipeline:
            items.append(item)

    with pytest.raises(OSError, match="1, 3") as raised:
        simulate(consume())
    assert items == shards.items(range(2))[:8]
    assert "item 1: 1" in raised.value.__notes__[0]
    pipeline.load_state_dict(pipeline.state_dict())
    simulate(consume())
    assert items == shards.items(range(3))


@either_order
@every_kind
def test_another_attempt_begins_the_parent_again_and_passes_over_what_was_handed_on(kind, ordered):
    shards = Shards(lambda _: 9, 0.01, fails=lambda item, attempt: item[1] == 3 * attempt)
    pipeline = Pipeline(range(4)).flat_map(
        getattr(shards, kind), ordered=ordered, retries=3, concurrency=2, lookahead=2
    )
    items = run(pipeline)
    assert (items if ordered else sorted(items)) == shards.items(range(4))
    assert sorted(shards.begun) == sorted([*range(4)] * 3)
    assert pipeline.statistics().stages[1].retries == 8


@pytest.mark.parametrize("options", [{"executor": "inline"}, {"timeout": 9}, {"executor": "pool"}])
def test_what_is_read_as_a_whole_is_tried_again_too(options):
    shards = Shards(lambda _: 7, fails=at((1, 3), (2, 0), attempts=1))
    with ThreadPoolExecutor(2) as pool:
        options = {key: pool if value == "pool" else value for key, value in options.items()}
        pipeline = Pipeline(range(9)).flat_map(
            shards.generator, concurrency=2, lookahead=3, retries=1, **options
        )
        assert run(pipeline) == shards.items(range(9))


@pytest.mark.parametrize(
    "options", [{}, {"executor": "inline", "retries": 1}, {"timeout": 9}, {"executor": "pool"}]
)
def test_lists_are_not_piled_up_either(options):
    begun = []

    def load(parent):
        begun.append(parent)
        return [parent] * 100

    async def main():
        with ThreadPoolExecutor(2) as pool:
            some = {key: pool if value == "pool" else value for key, value in options.items()}
            items = aiter(Pipeline(range(257)).flat_map(load, concurrency=2, lookahead=256, **some))
            await anext(items)
            await asyncio.sleep(60)
            await items.aclose()

    simulate(main())
    assert len(begun) <= 3 + 2  # those whose items fill the look-ahead, and what was in work then


@every_kind
def test_what_all_others_wait_for_is_tried_again_though_no_worker_is_free(kind):
    shards = Shards(lambda _: 50, fails=at((0, 0), (0, 1), attempts=1))
    backoff = Backoff(first_s=5, jitter=0)
    pipeline = Pipeline(range(6)).flat_map(
        getattr(shards, kind), concurrency=3, lookahead=6, retries=1, backoff=backoff
    )
    assert run(pipeline) == shards.items(range(6))


def test_a_time_out_is_for_the_making_not_for_the_waiting():
    shards = Shards(lambda _: 8, seconds=0.1)
    fast = Pipeline(range(3)).flat_map(shards.agenerator, timeout=1, concurrency=2, lookahead=2)
    items, _ = timed(fast, each=5)
    assert items == shards.items(range(3))
    shards.size = lambda parent: 8 if parent == 1 else 4
    slow = Pipeline(range(3)).flat_map(shards.agenerator, timeout=0.45, on_error="skip")
    assert run(slow) == [item for item in shards.items(range(3)) if item[1] < 4]


# where it stood


@every_kind
def test_a_parent_that_was_delivered_in_part_is_made_again_and_no_other(kind):
    whole = Shards(lambda _: 6).items(range(5))

    async def main(stop):
        shards = Shards(lambda _: 6)
        make = Pipeline(range(5)).flat_map(getattr(shards, kind), concurrency=2)
        items, states = await first(make, stop)
        again = Pipeline(range(5)).flat_map(getattr(shards, kind), concurrency=2)
        again.load_state_dict(states[-1])
        shards.begun.clear()
        assert items + await collect(again) == whole
        # an asynchronous generator has not said yet that this was its last item: it cleans up
        seen = stop if kind == "generator" else stop - 1
        assert sorted(shards.begun) == list(range(seen // 6, 5))

    for stop in range(1, 30):
        simulate(main(stop))


# the end


@either_order
@every_kind
def test_leaving_closes_what_is_open(kind, ordered):
    shards = Shards(seconds=0.01)

    async def main():
        pipeline = Pipeline(range(9)).flat_map(getattr(shards, kind), ordered=ordered)
        async for item in pipeline:
            if item[1] == 3:
                break
        await asyncio.sleep(1)

    simulate(main())
    assert sorted(shards.closed) == sorted(shards.begun)


def test_under_plain_for_too():
    shards = Shards()
    assert list(Pipeline(range(30)).flat_map(shards.generator)) == shards.items(range(30))
    for item in Pipeline(range(30)).flat_map(shards.agenerator):
        if item == (1, 1):
            break


@either_order
def test_many_small_lists_come_in_real_time_to_their_end(ordered):
    pipeline = Pipeline(range(3000)).flat_map(lambda n: [n, n], concurrency=4, ordered=ordered)
    items = asyncio.run(collect(pipeline))
    assert sorted(items) == sorted([*range(3000)] * 2)
