"""What callers see of a micro-batcher: what it takes, what it refuses, and who may give up."""

import asyncio
import contextlib
import re

import numpy as np
import pytest

from asyncml.clock import compute, simulate
from asyncml.serving import MicroBatcher, QueueFull
from tests.serving.models import Model, adds_up


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"predict_fn": 3}, TypeError, "`predict_fn` must be a function, got 3"),
        ({"max_batch_size": 0}, ValueError, "`max_batch_size` must be >= 1, got 0"),
        ({"max_batch_size": 2.0}, TypeError, "`max_batch_size` must be an int"),
        ({"max_wait_s": -1}, ValueError, "`max_wait_s` must be >= 0 and finite, got -1"),
        ({"max_wait_s": float("inf")}, ValueError, "`max_wait_s` must be >= 0 and finite"),
        ({"max_wait_s": "1"}, TypeError, "`max_wait_s` must be a number"),
        ({"max_pending": 0}, ValueError, "`max_pending` must be >= 1"),
        ({"concurrency": 0}, ValueError, "`concurrency` must be >= 1"),
        ({"weigh": 3}, TypeError, "`weigh` must be a function or None, got 3"),
        ({"executor": "thread"}, TypeError, "`executor` must be an Executor or None"),
    ],
)
def test_bad_arguments_are_refused(arguments, error, message):
    with pytest.raises(error, match=re.escape(message)):
        MicroBatcher(**{"predict_fn": len, **arguments})


@pytest.mark.parametrize(
    ("xs", "error", "message"),
    [
        ([], ValueError, "`xs` has no rows"),
        (np.zeros((0, 3)), ValueError, "`xs` has no rows"),
        (np.array(3), ValueError, "no dimension"),
        (3, TypeError, "must be an array"),
        ("abc", TypeError, "must be an array"),
    ],
)
def test_what_is_not_many_is_refused(xs, error, message):
    async def main():
        async with MicroBatcher(Model()) as batcher:
            with pytest.raises(error, match=message):
                await batcher.many(xs)
            with pytest.raises(error, match=message):
                batcher.try_submit_many(xs)

    simulate(main())


def fails(error):
    def weigh(row):
        raise error

    return weigh


TOO_HEAVY = "a row must weigh more than 0 and at most max_batch_size=4, got "


@pytest.mark.parametrize(
    ("weigh", "error", "message"),
    [
        *((lambda x, w=w: w, ValueError, TOO_HEAVY) for w in (0, -1, 4.5, float("nan"))),
        (lambda x: "1", TypeError, "`weigh` must be a number > 0, got '1'"),
        (fails(KeyError), KeyError, "`weigh` was given 7"),
        (fails(StopIteration), RuntimeError, "`weigh` raised StopIteration\n`weigh` was given 7"),
    ],
)
def test_a_row_that_cannot_be_weighed_is_refused_at_the_call(weigh, error, message):
    async def main():
        async with MicroBatcher(Model(), 4, weigh=weigh) as batcher:
            for ask in (batcher, lambda x: batcher.many([x])):
                with pytest.raises(error) as caught:
                    await ask(7)
                notes = getattr(caught.value, "__notes__", [])
                assert message in "\n".join([str(caught.value), *notes])
            for refused in (batcher.try_submit, lambda x: batcher.try_submit_many([x])):
                with pytest.raises(error):
                    refused(7)
            assert batcher.statistics().requests == 0

    simulate(main())


def test_outside_the_block_nothing_is_taken():
    batcher = MicroBatcher(Model())

    async def main():
        for call in (batcher(1), batcher.many([1])):
            with pytest.raises(RuntimeError, match="inside its block"):
                await call
        with pytest.raises(RuntimeError, match="inside its block"):
            batcher.try_submit(1)
        async with batcher:
            with pytest.raises(RuntimeError, match="in use"):
                await batcher.__aenter__()
            assert await batcher(2) == 4
        with pytest.raises(RuntimeError, match="inside its block"):
            await batcher(1)

    simulate(main())
    simulate(main())  # another loop


def test_a_request_from_another_loop_is_refused():
    async def main():
        async def elsewhere():
            with pytest.raises(RuntimeError, match="in use on another event loop"):
                await batcher.many([1])
            with pytest.raises(RuntimeError, match="in use on another event loop"):
                batcher.try_submit(1)
            with pytest.raises(RuntimeError, match="different loop"):
                await batcher(1)

        async with MicroBatcher(Model(0)) as batcher:
            await asyncio.to_thread(asyncio.run, elsewhere())
            assert await batcher(2) == 4
            assert adds_up(batcher.statistics())

    asyncio.run(main())


def test_who_finds_no_room_waits_in_turn_or_is_refused_at_once():
    async def main():
        async with MicroBatcher(Model(), 1, max_pending=2) as batcher:
            tasks = [asyncio.create_task(batcher(row)) for row in range(6)]
            await asyncio.sleep(0.5)
            assert batcher.statistics().queued == 2
            with pytest.raises(QueueFull, match=r"^2 rows wait .* 1 more .* max_pending=2"):
                batcher.try_submit(7)
            await asyncio.sleep(2)  # room for one, for which somebody waits
            with pytest.raises(QueueFull):
                batcher.try_submit(7)
            answers = await asyncio.gather(*tasks)
            future = batcher.try_submit(8)
            with pytest.raises(QueueFull, match="3 more would be over"):
                batcher.try_submit_many([1, 2, 3])
            more = batcher.try_submit_many([9])
            return answers, await future, await more, batcher.statistics().rejected

    assert simulate(main()) == ([0, 2, 4, 6, 8, 10], 16, [18], 5)


@pytest.mark.parametrize(("concurrency", "taken"), [(1, 8), (3, 16)])
def test_who_comes_in_one_turn_is_refused_only_where_nothing_more_can_leave(concurrency, taken):
    """One batch for each place, and a queue; not a queue alone, while nothing runs."""

    async def main():
        async with MicroBatcher(Model(), 4, max_pending=4, concurrency=concurrency) as batcher:
            answers = [batcher.try_submit(row) for row in range(taken)]
            with pytest.raises(QueueFull):
                batcher.try_submit(taken)
            assert batcher.statistics().reasons == {"full": concurrency}
            return await asyncio.gather(*answers)

    assert simulate(main()) == [2 * row for row in range(taken)]


def test_a_deadline_is_a_timeout_at_the_call():
    async def main():
        async with MicroBatcher(Model(), 1) as batcher:

            async def ask(row):
                try:
                    async with asyncio.timeout(2.5):
                        return await batcher(row)
                except TimeoutError:
                    return "late"

            return await asyncio.gather(*map(ask, range(4)))

    assert simulate(main()) == [0, 2, "late", "late"]


@pytest.mark.parametrize("when", [0.5, 1.5])
def test_a_cancelled_request_frees_its_place_and_harms_nobody(when):
    async def main():
        model = Model()
        async with MicroBatcher(model, 2, max_pending=4) as batcher:
            tasks = [asyncio.create_task(batcher(row)) for row in range(6)]
            await asyncio.sleep(when)
            tasks[0].cancel()  # runs, or has ended
            tasks[2].cancel()  # waits in the queue, or runs
            tasks[5].cancel()
            answers = await asyncio.gather(*tasks, return_exceptions=True)
            statistics = batcher.statistics()
            assert statistics.queued == 0
            return answers, model.batches, statistics.cancelled

    answers, batches, cancelled = simulate(main())
    assert [answers[row] for row in (1, 3, 4)] == [2, 6, 8]
    assert [type(answers[row]) for row in (2, 5)] == [asyncio.CancelledError] * 2
    if when == 0.5:
        assert batches == [[0, 1], [3, 4]]
        assert cancelled == 3
    else:
        assert answers[0] == 0


def test_a_future_that_is_cancelled_gives_its_place_back():
    async def main():
        model = Model()
        async with MicroBatcher(model, 1, max_pending=2) as batcher:
            first = batcher.try_submit(0)
            await asyncio.sleep(0.5)
            second = batcher.try_submit(1)
            third = batcher.try_submit_many([2])
            second.cancel()
            await asyncio.sleep(0)
            fourth = batcher.try_submit(3)
            return [await first, await third, await fourth], model.batches

    assert simulate(main()) == ([0, [4], 6], [[0], [2], [3]])


@pytest.mark.parametrize("max_pending", [1, 2])
def test_those_who_gave_up_do_not_pile_up_in_the_queue_nor_before_it(max_pending):
    async def main():
        async with MicroBatcher(Model(1e6), 1, max_pending=max_pending) as batcher:
            staying = [asyncio.create_task(batcher(row)) for row in range(2)]
            await asyncio.sleep(1)  # one runs, and one is queued
            for row in range(1000):
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(1):
                        await batcher(row)
            assert len(batcher._line._waiting) == 1
            assert batcher.statistics().queued == 1
            for task in staying:
                task.cancel()

    simulate(main())


@pytest.mark.parametrize("turns", range(4))
def test_rows_submitted_together_are_one_future_whatever_becomes_of_it(turns):
    async def main():
        model = Model()
        async with MicroBatcher(model, 2, max_pending=12) as batcher:
            good = batcher.try_submit_many(range(5))
            bad = batcher.try_submit_many([5, 6, -7])
            gone = batcher.try_submit_many([8, 9, 10])
            for _ in range(turns):
                await asyncio.sleep(0)
            gone.cancel()
            with pytest.raises(ValueError, match="negative"):
                await bad
            assert await good == [0, 2, 4, 6, 8]
            with pytest.raises(asyncio.CancelledError):
                await gone
            assert await batcher(11) == 22
        assert adds_up(batcher.statistics())
        assert [row for batch in model.batches for row in batch if row > 7] == [11]

    simulate(main())


def test_a_place_that_is_given_to_somebody_who_is_just_cancelled_goes_to_the_next():
    async def main():
        async with MicroBatcher(Model(), 1, max_pending=1) as batcher:
            tasks = [asyncio.create_task(batcher(row)) for row in range(4)]
            await asyncio.sleep(1)  # 0 is answered, 1 leaves the queue, 2 is let in
            tasks[2].cancel()
            answers = await asyncio.gather(*tasks, return_exceptions=True)
            assert batcher.statistics().queued == 0
            return [answers[row] for row in (0, 1, 3)]

    assert simulate(main()) == [0, 2, 6]


def test_what_is_ahead_is_dropped_with_its_many_and_at_the_end():
    calls = []

    def slow(rows):
        calls.append(rows)
        compute(1.0)
        return rows

    async def main():
        async with MicroBatcher(slow, 2) as batcher:
            many = asyncio.create_task(batcher.many(range(12)))
            await asyncio.sleep(0.5)
            many.cancel()
            assert await batcher(100) == 100
            assert adds_up(batcher.statistics())
            assert len(calls) <= 3
            again = asyncio.create_task(batcher.many(range(12)))
            await asyncio.sleep(0.5)
        assert await again == [*range(12)]

    simulate(main())


@pytest.mark.parametrize("turns", range(12))
@pytest.mark.parametrize("whom", range(4))
@pytest.mark.parametrize("is_many", [True, False])
def test_cancelled_at_any_turn_a_request_harms_nobody_and_gives_back_its_room(turns, whom, is_many):
    async def main():
        async with MicroBatcher(Model(), 2, max_pending=2) as batcher:
            asks = [batcher.many([n, n, n]) if is_many else batcher(n) for n in range(4)]
            tasks = [asyncio.create_task(ask) for ask in asks]
            await asyncio.sleep(turns // 4)
            for _ in range(turns % 4):
                await asyncio.sleep(0)
            tasks[whom].cancel()
            answers = await asyncio.gather(*tasks, return_exceptions=True)
            for number, answer in enumerate(answers):
                if number != whom or not isinstance(answer, asyncio.CancelledError):
                    assert answer == ([2 * number] * 3 if is_many else 2 * number)
            assert adds_up(batcher.statistics())
            assert batcher.statistics().queued == 0

    simulate(main())
