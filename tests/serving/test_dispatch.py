"""When a batch leaves: late binding, order, weight, and who waits for room."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncml.clock import compute, simulate
from asyncml.serving import MicroBatcher
from tests.serving.models import Model, adds_up, at


def test_what_comes_while_idle_leaves_at_once_and_what_comes_meanwhile_goes_together():
    async def main():
        model = Model()
        async with MicroBatcher(model) as batcher:
            answers = await asyncio.gather(
                *(at(seconds, batcher, row) for row, seconds in enumerate([0, 0.2, 0.9, 1.5, 5]))
            )
            assert batcher.statistics().reasons == {"idle": 2, "busy": 2}
        return answers, model.batches, model.began

    assert simulate(main()) == ([0, 2, 4, 6, 8], [[0], [1, 2], [3], [4]], [0, 1, 2, 5])


def test_what_comes_in_the_same_turn_of_the_loop_leaves_together():
    async def main():
        model = Model()
        async with MicroBatcher(model, max_batch_size=4) as batcher:
            await asyncio.gather(*map(batcher, range(10)))
            return model.batches, batcher.statistics()

    batches, statistics = simulate(main())
    assert batches == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert statistics.reasons == {"full": 2, "busy": 1}
    assert statistics.sizes == {2: 1, 4: 2}
    assert (statistics.requests, statistics.answered, statistics.batches) == (10, 10, 3)
    assert statistics.wait_s == pytest.approx((4 * 0 + 4 * 1 + 2 * 2) / 10)
    assert statistics.service_s == pytest.approx(1.0)
    assert statistics.mean_size == pytest.approx(10 / 3)


def test_a_batch_is_formed_when_a_place_is_free_and_not_before():
    """A batcher that forms the next batch while all places are taken answered 247 of these."""

    async def main():
        model = Model(0.05)
        answered = 0

        async def ask(batcher, number):
            nonlocal answered
            await at(number / 500, batcher, number)
            answered += asyncio.get_running_loop().time() <= 3.1

        async with MicroBatcher(model, max_wait_s=0.004) as batcher:
            await asyncio.gather(*(ask(batcher, number) for number in range(1500)))
            return answered, batcher.statistics().mean_size

    answered, size = simulate(main())
    assert answered == 1500
    assert 24 < size < 27


@pytest.mark.parametrize(
    ("arrivals", "began", "reasons"),
    [
        ([0], [0.5], {"waited": 1}),
        ([0, 0.3], [0.5], {"waited": 1}),
        ([0, 0.1, 0.2, 0.3], [0.3], {"full": 1}),  # four fill it
        # what came meanwhile has waited longer than that when the place is free
        ([0, 0.6], [0.5, 1.5], {"waited": 1, "busy": 1}),
        # and what came late has not
        ([0, 1.4], [0.5, 1.9], {"waited": 2}),
    ],
)
def test_a_wait_for_a_fuller_batch_is_bounded_and_only_while_nothing_runs(arrivals, began, reasons):
    async def main():
        model = Model()
        async with MicroBatcher(model, max_batch_size=4, max_wait_s=0.5) as batcher:
            await asyncio.gather(*(at(s, batcher, row) for row, s in enumerate(arrivals)))
            return model.began, batcher.statistics().reasons

    times, why = simulate(main())
    assert times == pytest.approx(began)
    assert why == reasons


def test_a_full_queue_waits_for_no_fuller_batch():
    async def main():
        async with MicroBatcher(Model(), 8, max_wait_s=5, max_pending=2) as batcher:
            await asyncio.gather(*map(batcher, range(4)))
            return asyncio.get_running_loop().time()

    assert simulate(main()) == 1


def test_a_full_batch_leaves_no_timer():
    async def main():
        async with MicroBatcher(Model(), 2, max_wait_s=100) as batcher:
            await asyncio.gather(batcher(1), at(1, batcher, 2))
            timers = asyncio.get_running_loop()._scheduled
            assert not [timer for timer in timers if not timer.cancelled()]

    simulate(main())


def test_nothing_wakes_up_while_nothing_comes():
    async def main():
        async with MicroBatcher(Model(), max_wait_s=0.1, concurrency=4) as batcher:
            await batcher(1)
            loop = asyncio.get_running_loop()
            await asyncio.sleep(1)
            assert not [handle for handle in loop._scheduled if not handle.cancelled()]

    simulate(main())


def test_so_many_batches_run_at_once():
    async def main():
        model = Model()
        async with MicroBatcher(model, max_batch_size=2, concurrency=3) as batcher:
            await asyncio.gather(*map(batcher, range(20)))
        return model.most, asyncio.get_running_loop().time(), max(map(len, model.batches))

    assert simulate(main()) == (3, 4.0, 2)


@given(
    st.lists(st.integers(1, 8), min_size=1, max_size=40),
    st.integers(8, 16),
    st.integers(1, 3),
)
def test_a_batch_never_weighs_more_than_its_limit_and_order_is_kept(weights, limit, concurrency):
    async def main():
        model = Model()
        async with MicroBatcher(
            model, limit, concurrency=concurrency, weigh=weights.__getitem__
        ) as batcher:
            await asyncio.gather(*map(batcher, range(len(weights))))
        return model.batches

    batches = simulate(main())
    assert [row for batch in batches for row in batch] == [*range(len(weights))]
    assert all(sum(weights[row] for row in batch) <= limit for batch in batches)


@pytest.mark.parametrize("concurrency", [1, 2])
def test_the_batches_of_a_many_follow_each_other_and_are_counted_when_they_begin(concurrency):
    running, most = 0, 0

    def slow(rows):
        nonlocal running, most
        running += 1
        most = max(most, running)
        compute(1.0)
        running -= 1
        return rows

    async def main():
        async with MicroBatcher(slow, 2, concurrency=concurrency) as batcher:
            many = asyncio.create_task(batcher.many(range(12)))
            late = asyncio.create_task(at(0.5, batcher, 100))
            assert await many == [*range(12)]
            assert await late == 100
        assert adds_up(batcher.statistics())
        return batcher.statistics(), asyncio.get_running_loop().time()

    statistics, end_s = simulate(main())
    assert most == concurrency
    assert statistics.service_s == pytest.approx(1.0)
    assert statistics.sizes == {1: 1, 2: 6}
    if concurrency == 1:
        assert end_s == 7.0
        assert statistics.wait_s == pytest.approx((2 * sum(range(6)) + 5.5) / 13)
    else:
        assert end_s == 4.0


def test_many_rows_enter_in_parts_and_come_back_in_order():
    async def main():
        model = Model()
        async with MicroBatcher(model, 4, max_pending=6, concurrency=2) as batcher:
            many = asyncio.create_task(batcher.many(range(25)))
            one = asyncio.create_task(batcher(100))
            await asyncio.sleep(0)
            assert batcher.statistics().queued <= 6
            assert await one == 200
            return await many

    assert simulate(main()) == [2 * row for row in range(25)]


def test_who_waits_for_room_is_not_overtaken_when_there_is_some():
    order = []

    async def main():
        async def ask(batcher, row):
            await batcher(row)

        model = Model()
        async with MicroBatcher(model, 2, max_pending=2) as batcher:
            tasks = [asyncio.create_task(ask(batcher, row)) for row in range(5)]
            asyncio.get_running_loop().call_later(
                1, lambda: tasks.append(asyncio.create_task(ask(batcher, 5)))
            )
            await asyncio.sleep(3)
            await asyncio.gather(*tasks)
        order.extend(row for batch in model.batches for row in batch)

    simulate(main())
    assert order == sorted(order)


def test_the_time_before_there_was_room_counts_as_waiting():
    async def main():
        async with MicroBatcher(Model(), 1, max_pending=1) as batcher:
            await asyncio.gather(*map(batcher, range(4)))
        return batcher.statistics().wait_s

    assert simulate(main()) == pytest.approx((0 + 1 + 2 + 3) / 4)
