"""The micro-batcher: late binding, order, bounds, and that nobody's failure is another's."""

import asyncio
import contextlib
import gc
import os
import re
import traceback
import weakref
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor, ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncml.clock import compute, simulate
from asyncml.network import MLP
from asyncml.serving import MicroBatcher, QueueFull


class Model:
    """Doubles numbers; takes so long; notes its batches; fails where a row is negative."""

    def __init__(self, seconds=1.0, per_row=0.0):
        self.seconds, self.per_row = seconds, per_row
        self.batches = []
        self.began = []
        self.running = self.most = 0

    async def __call__(self, rows):
        self.batches.append([int(row) for row in rows])
        self.began.append(asyncio.get_running_loop().time())
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await asyncio.sleep(self.seconds + self.per_row * len(rows))
        finally:
            self.running -= 1
        if any(row < 0 for row in rows):
            raise ValueError("negative")
        return [2 * row for row in rows]


async def at(seconds, call, *args):
    await asyncio.sleep(seconds - asyncio.get_running_loop().time())
    return await call(*args)


# when a batch leaves


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


@pytest.mark.parametrize("weight", [0, -1, 4.5, float("nan")])
def test_a_row_of_an_impossible_weight_is_refused_at_the_call(weight):
    async def main():
        async with MicroBatcher(Model(), 4, weigh=lambda x: weight) as batcher:
            with pytest.raises(ValueError, match="a row must weigh more than 0 and at most"):
                await batcher(1)
            with pytest.raises(ValueError, match="max_batch_size=4, got"):
                await batcher.many([1, 2])
            assert batcher.statistics().requests == 0

    simulate(main())


@pytest.mark.parametrize(("error", "raised"), [(KeyError, KeyError), (StopIteration, RuntimeError)])
def test_an_error_of_weigh_says_whose_it_is(error, raised):
    def weigh(row):
        raise error

    async def main():
        async with MicroBatcher(Model(), weigh=weigh) as batcher:
            for ask in (batcher(7), batcher.many([7])):
                with pytest.raises(raised) as caught:
                    await ask
                assert caught.value.__notes__ == ["`weigh` was given 7"]
            assert batcher.statistics().requests == 0

    simulate(main())


# many


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


def test_arrays_are_stacked_and_rows_are_views():
    seen = []

    def double(batch):
        seen.append((batch.shape, batch.dtype))
        return batch * 2

    async def main():
        async with MicroBatcher(double, 8) as batcher:
            rows = [np.full((2, 3), number, np.float32) for number in range(3)]
            answers = await asyncio.gather(*map(batcher, rows))
            many = await batcher.many(np.ones((20, 2, 3), np.float32))
            scalars = await asyncio.gather(*(batcher(np.array(number)) for number in (1, 2)))
        assert [int(answer[0, 0]) for answer in answers] == [0, 2, 4]
        assert answers[0].base is answers[1].base
        assert many.shape == (20, 2, 3)
        assert scalars == [2, 4]

    simulate(main())
    assert seen[0] == ((3, 2, 3), np.float32)


def test_rows_of_another_shape_or_dtype_do_not_change_their_neighbours():
    seen = []

    def model(batch):
        seen.append(batch)
        return [len(batch)] * len(batch)

    async def main():
        rows = [np.zeros(2, np.float32), np.zeros(3, np.float32), np.zeros(2), 7, np.zeros(2, "f4")]
        async with MicroBatcher(model) as batcher:
            return await asyncio.gather(*map(batcher, rows))

    assert simulate(main()) == [2, 1, 1, 1, 2]
    assert [getattr(batch, "dtype", list) for batch in seen] == ["f4", "f4", "f8", list]


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


def test_the_network_of_the_course_answers_as_it_would_alone():
    model = MLP([5, 7, 3])
    x = np.random.default_rng(0).normal(size=(100, 5)).astype(np.float32)

    async def main():
        async with MicroBatcher(model.forward) as batcher:
            return await asyncio.gather(*map(batcher, x)), await batcher.many(x)

    one_by_one, many = asyncio.run(main())
    np.testing.assert_allclose(one_by_one, model.forward(x), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(many, model.forward(x), rtol=1e-5, atol=1e-6)


# whose failure it is


@pytest.mark.parametrize("bad", [[3], [0], [15], [2, 9], [*range(16)]])
def test_a_bad_row_costs_its_own_request_alone(bad):
    async def main():
        model = Model(0.0)
        async with MicroBatcher(model, 16) as batcher:
            rows = [-row - 1 if row in bad else row for row in range(16)]
            answers = await asyncio.gather(*map(batcher, rows), return_exceptions=True)
            assert batcher.statistics().failed == len(bad)
            return answers, len(model.batches)

    answers, calls = simulate(main())
    for row, answer in enumerate(answers):
        assert isinstance(answer, ValueError) if row in bad else answer == 2 * row
    assert calls <= 1 + (8 if len(bad) == 1 else 30)


def test_an_output_of_another_length_is_an_error_that_says_both():
    async def main(output, message, error=ValueError):
        async with MicroBatcher(lambda rows: output) as batcher:
            answers = await asyncio.gather(*map(batcher, range(3)), return_exceptions=True)
        for answer in answers:
            assert isinstance(answer, error)
            assert re.search(message, str(answer))

    simulate(main([1, 2], "`<lambda>` must return a row for each .*: 3 came, 2 went"))
    simulate(main(np.float32(3.0), r"each of the 3 it was given, got shape \(\)", TypeError))
    simulate(main(None, "got None", TypeError))
    simulate(main({1: 2, 3: 4, 5: 6}, "got dict", TypeError))


@pytest.mark.parametrize("ending", [StopIteration, StopAsyncIteration, asyncio.CancelledError])
@pytest.mark.parametrize("is_async", [True, False])
def test_an_error_that_would_end_a_task_in_silence_is_another(ending, is_async):
    def raises(rows):
        raise ending

    async def raises_later(rows):
        raise ending

    async def main():
        async with MicroBatcher(raises_later if is_async else raises) as batcher:
            with pytest.raises(RuntimeError):
                await batcher(1)
            with pytest.raises(RuntimeError):
                await batcher(1)

    simulate(main())


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


# bounds


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


def test_cancelled_requests_do_not_pile_up_behind_a_model_that_hangs():
    async def main():
        async with MicroBatcher(Model(1e6), 1, max_pending=2) as batcher:
            running = asyncio.create_task(batcher(0))
            await asyncio.sleep(1)
            for row in range(1000):
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(1):
                        await batcher(row)
            assert len(batcher._line._inside) < 200
            assert batcher.statistics().queued == 0
            running.cancel()

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


# the block


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


@pytest.mark.parametrize("concurrency", [1, 3])
def test_the_end_of_the_block_answers_all_that_came_before(concurrency):
    async def main():
        async with MicroBatcher(
            Model(), 2, max_pending=3, concurrency=concurrency, max_wait_s=5
        ) as batcher:
            tasks = [asyncio.create_task(batcher(row)) for row in range(11)]
            tasks.append(asyncio.create_task(batcher.many(range(7))))
            await asyncio.sleep(0.1)
        assert all(task.done() for task in tasks)
        return [task.result() for task in tasks]

    assert simulate(main()) == [*range(0, 22, 2), [*range(0, 14, 2)]]


def test_a_block_left_by_an_error_answers_nobody_and_leaves_nothing():
    async def main():
        tasks = []

        async def serve():
            async with MicroBatcher(Model(100), 1, max_pending=2) as batcher:
                tasks.extend(asyncio.create_task(batcher(row)) for row in range(5))
                tasks.append(asyncio.create_task(batcher.many([1, 2, 3])))
                await asyncio.sleep(1)
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await serve()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(answer, RuntimeError) for answer in answers)
        assert asyncio.get_running_loop().time() == 1
        assert asyncio.all_tasks() == {asyncio.current_task()}

    simulate(main())


def test_a_cancelled_end_leaves_nothing_either():
    async def main():
        async def serve():
            async with MicroBatcher(Model(100)) as batcher:
                asks.append(asyncio.create_task(batcher(1)))
                await asyncio.sleep(1)

        asks = []
        serving = asyncio.create_task(serve())
        await asyncio.sleep(5)
        serving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await serving
        with pytest.raises(RuntimeError):
            await asks[0]

    simulate(main())


def test_nothing_wakes_up_while_nothing_comes():
    async def main():
        async with MicroBatcher(Model(), max_wait_s=0.1, concurrency=4) as batcher:
            await batcher(1)
            loop = asyncio.get_running_loop()
            await asyncio.sleep(1)
            assert not [handle for handle in loop._scheduled if not handle.cancelled()]

    simulate(main())


def test_a_plain_model_runs_in_threads_of_its_own_or_in_an_executor():
    def slow(rows):
        compute(1.0)
        return rows

    async def main(executor):
        async with MicroBatcher(slow, 1, concurrency=2, executor=executor) as batcher:
            await asyncio.gather(*map(batcher, range(4)))
        return asyncio.get_running_loop().time()

    assert simulate(main(None)) == 2.0
    with ThreadPoolExecutor(2) as pool:
        assert simulate(main(pool)) == 2.0
    with ThreadPoolExecutor(1) as pool:
        assert simulate(main(pool)) == 4.0


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


# whatever the model does


class Odd(BaseException):
    """An error that is no Exception."""


@pytest.mark.parametrize(
    ("output", "error", "message"),
    [
        (lambda rows: frozenset(rows), TypeError, "got frozenset"),
        (lambda rows: dict.fromkeys(rows).values(), TypeError, "got dict_values"),
        (lambda rows: iter(rows), TypeError, "got <"),
        (lambda rows: Odd, TypeError, "got <class"),
        (lambda rows: rows[0] / 0, ZeroDivisionError, "division"),
        (lambda rows: exec("raise Odd", globals()), RuntimeError, "raised Odd"),
    ],
)
@pytest.mark.parametrize("is_async", [True, False])
def test_whatever_the_model_does_the_next_request_is_answered(output, error, message, is_async):
    def plain(rows):
        return output(rows) if rows[0] == 1 else rows

    async def later(rows):
        return plain(rows)

    async def main():
        async with MicroBatcher(later if is_async else plain) as batcher:
            with pytest.raises(error, match=message):
                await batcher(1)
            assert await batcher(2) == 2

    simulate(main())


def test_outputs_that_do_not_join_are_an_error_to_their_own_many():
    async def main():
        async with MicroBatcher(lambda x: np.zeros((len(x), 1 + int(x[0]))), 2) as batcher:
            with pytest.raises(ValueError, match="dimension"):
                await batcher.many([1.0, 2.0, 3.0, 4.0])
            return (await batcher(2.0)).tolist()

    assert simulate(main()) == [0, 0, 0]


def test_a_plain_model_that_returns_a_coroutine_is_told_what_to_do():
    async def model(rows):
        return rows

    async def main():
        async with MicroBatcher(lambda rows: model(rows)) as batcher:
            answers = await asyncio.gather(*map(batcher, range(3)), return_exceptions=True)
        assert {str(answer) for answer in answers} == {
            "`<lambda>` is a plain function but returned a coroutine: make it `async def`"
        }

    simulate(main())


def test_an_executor_that_takes_no_work_says_so_to_everybody_without_looking_for_a_bad_row():
    calls = 0

    class Counting(ThreadPoolExecutor):
        def submit(self, *args, **kwargs):
            nonlocal calls
            calls += 1
            return super().submit(*args, **kwargs)

    async def main():
        with Counting(1) as pool:
            pool.shutdown()
            async with MicroBatcher(len, executor=pool) as batcher:
                answers = await asyncio.gather(*map(batcher, range(8)), return_exceptions=True)
        assert all("the Counting took no work" in str(answer) for answer in answers)
        assert len({id(answer) for answer in answers}) == 8

    simulate(main())
    assert calls == 1


def _die(rows):
    os._exit(1)


def test_a_process_that_dies_is_an_error_to_its_batch_and_to_those_after_it():
    async def main():
        with ProcessPoolExecutor(1) as pool:
            async with MicroBatcher(_die, executor=pool) as batcher:
                answers = await asyncio.gather(*map(batcher, range(3)), return_exceptions=True)
                assert all(isinstance(answer, BrokenExecutor) for answer in answers)
                with pytest.raises(RuntimeError, match="took no work: BrokenProcessPool"):
                    await batcher(1)

    asyncio.run(main())


def test_a_batch_is_the_models_own_to_change():
    def change(batch):
        if isinstance(batch, list):
            return [batch.pop() for _ in range(len(batch))][::-1]
        batch += 1
        return batch

    async def main():
        xs = np.zeros((3, 2))
        async with MicroBatcher(change) as batcher:
            assert (await batcher.many(xs) == 1).all()
            assert (await batcher(xs[0]) == 1).all()
            assert not xs.any()
            given = [1, 2, 3]
            assert await batcher.many(given) == given == [1, 2, 3]

    simulate(main())


def test_a_many_of_rows_of_several_shapes_is_a_list():
    seen = []

    def lengths(batch):
        seen.append(type(batch))
        return [x.size for x in batch]

    async def main():
        rows = [np.zeros(size) for size in (2, 1, 3)]
        async with MicroBatcher(lengths) as batcher:
            mixed = batcher.many([np.zeros(2, "f4"), np.zeros(2, "f8")])
            return await asyncio.gather(batcher.many(rows), mixed, batcher(np.zeros(2)))

    assert simulate(main()) == [[2, 1, 3], [2, 2], 2]
    assert seen == [list, np.ndarray]


# what is kept alive


@pytest.mark.parametrize("is_async", [True, False])
def test_nothing_is_kept_alive_when_the_answers_have_gone(is_async):
    class Rows(np.ndarray):
        """Arrays that can be watched."""

    def plain(x):
        return (x * 2).view(Rows)

    async def later(x):
        return plain(x)

    async def main():
        async with MicroBatcher(later if is_async else plain) as batcher:
            x = np.ones(3).view(Rows)
            answer = await batcher(x)
            seen = [weakref.ref(x), weakref.ref(answer), weakref.ref(answer.base)]
            del x, answer
            await asyncio.sleep(1)
            return [ref() is None for ref in seen]

    gc.collect()
    gc.disable()
    try:
        assert simulate(main()) == [True, True, True]
    finally:
        gc.enable()


def test_an_error_that_is_kept_keeps_no_neighbour_and_no_batch():
    class Row:
        """Something that can be watched."""

    def model(rows):
        if any(row is bad for row in rows):
            del rows
            raise ValueError("bad")
        return rows

    async def main():
        async with MicroBatcher(model) as batcher:
            rows = [Row(), bad, Row()]
            asks = [asyncio.create_task(batcher(row)) for row in rows]
            answers = await asyncio.gather(*asks, return_exceptions=True)
            error, seen = answers[1], weakref.ref(rows[0])
            del rows, answers, asks
            await asyncio.sleep(1)
            frames = [frame.name for frame in traceback.extract_tb(error.__traceback__)]
            assert frames[-2:] == ["__call__", "model"]
            return seen() is None

    bad = Row()
    gc.collect()
    gc.disable()
    try:
        assert simulate(main())
    finally:
        gc.enable()


def test_an_error_of_several_requests_is_each_ones_own():
    async def main():
        async with MicroBatcher(lambda rows: [1]) as batcher:
            answers = await asyncio.gather(*map(batcher, range(4)), return_exceptions=True)
        assert len({id(answer) for answer in answers}) == 4
        assert len({str(answer) for answer in answers}) == 1

    simulate(main())


# room, order and the end


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


def test_those_who_gave_up_waiting_for_room_do_not_pile_up():
    async def main():
        async with MicroBatcher(Model(1e6), 1, max_pending=1) as batcher:
            running = [asyncio.create_task(batcher(row)) for row in range(2)]
            await asyncio.sleep(1)
            for row in range(1000):
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(1):
                        await batcher(row)
            assert len(batcher._line._outside) < 200
            for task in running:
                task.cancel()

    simulate(main())


def adds_up(statistics):
    done = statistics.answered + statistics.cancelled + statistics.failed
    return statistics.requests == done + statistics.queued


@pytest.mark.parametrize("turns", range(8))
@pytest.mark.parametrize("what", [[0, 1, 2], [0, [1, 2, 3], 4], [[0, 1, 2, 3, 4, 5]]])
def test_a_block_left_at_any_turn_of_the_loop_leaves_nobody_waiting(turns, what):
    """With all that can happen in the same turn: rooms given, batches ended, callers cancelled."""

    async def main():
        async def serve():
            async with MicroBatcher(Model(), 1, max_pending=1) as batcher:
                kept.append(batcher)
                for x in what:
                    ask = batcher.many(x) if isinstance(x, list) else batcher(x)
                    tasks.append(asyncio.create_task(ask))
                await asyncio.sleep(turns // 4)
                for _ in range(turns % 4):
                    await asyncio.sleep(0)
                tasks[-1].cancel()
                await asyncio.sleep(0)
                raise ZeroDivisionError

        kept, tasks = [], []
        with pytest.raises(ZeroDivisionError):
            await serve()
        async with asyncio.timeout(10):
            await asyncio.gather(*tasks, return_exceptions=True)
        statistics = kept[0].statistics()
        assert statistics.queued == 0
        assert adds_up(statistics)
        async with kept[0] as again:
            assert await again(3) == 6
            assert again.statistics().queued == 0

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


@pytest.mark.parametrize("turns", range(6))
def test_a_block_whose_own_task_is_cancelled_at_any_turn_leaves_nothing(turns):
    async def main():
        async def serve():
            async with MicroBatcher(Model(), 1, max_pending=1, concurrency=2) as batcher:
                tasks.extend(asyncio.create_task(batcher(row)) for row in range(6))
                await asyncio.sleep(0)

        tasks = []
        serving = asyncio.create_task(serve())
        for _ in range(turns):
            await asyncio.sleep(0)
        serving.cancel()
        await asyncio.sleep(0)
        serving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await serving
        async with asyncio.timeout(10):
            await asyncio.gather(*tasks, return_exceptions=True)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    simulate(main())


def test_a_full_queue_waits_for_no_fuller_batch():
    async def main():
        async with MicroBatcher(Model(), 8, max_wait_s=5, max_pending=2) as batcher:
            await asyncio.gather(*map(batcher, range(4)))
            return asyncio.get_running_loop().time()

    assert simulate(main()) == 2


def test_a_full_batch_leaves_no_timer():
    async def main():
        async with MicroBatcher(Model(), 2, max_wait_s=100) as batcher:
            await asyncio.gather(batcher(1), at(1, batcher, 2))
            timers = asyncio.get_running_loop()._scheduled
            assert not [timer for timer in timers if not timer.cancelled()]

    simulate(main())


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


# everything at once


class Chaos:
    """Callers who come, give up, send bad rows, set deadlines and are cancelled, at random.

    Args:
        seed: of all that is random.
        callers: how many of them.
        pace_s: seconds between two of them, on average.
    """

    def __init__(self, seed, callers, pace_s=0.002):
        self.random = np.random.default_rng(seed)
        self.callers, self.pace_s = callers, pace_s
        self.right = self.gone = self.bad = 0

    async def ask(self, batcher, number):
        kind, patience = self.random.random(), self.random.exponential(10)
        await asyncio.sleep(self.random.random() * self.callers * self.pace_s)
        try:
            async with asyncio.timeout(patience * self.pace_s if kind < 0.3 else None):
                if kind < 0.1:
                    asyncio.current_task().cancel()
                if kind > 0.9:
                    answers = await batcher.many([number, number + 1, number + 2])
                    assert answers == [2 * number, 2 * number + 2, 2 * number + 4]
                else:
                    assert await batcher(-number - 1 if kind > 0.8 else number) == 2 * number
            self.right += 1
        except (TimeoutError, asyncio.CancelledError):
            assert kind < 0.3
            self.gone += 1
        except ValueError:
            assert kind > 0.8
            self.bad += 1

    async def run(self, model, **options):
        async with MicroBatcher(model, **options) as batcher:
            await asyncio.gather(*(self.ask(batcher, n) for n in range(self.callers)))
        statistics = batcher.statistics()
        assert statistics.queued == 0
        assert adds_up(statistics)
        assert self.right + self.gone + self.bad == self.callers
        return statistics


@settings(max_examples=20)
@given(st.integers(0, 2**32), st.integers(1, 64), st.integers(1, 3), st.integers(1, 64))
def test_whatever_the_others_do_each_caller_gets_its_own_answer(seed, size, concurrency, pending):
    options = {"max_batch_size": size, "concurrency": concurrency, "max_pending": pending}
    statistics = simulate(Chaos(seed, 100).run(Model(0.01, 0.001), **options))
    assert max(statistics.sizes) <= size


def double(rows):
    if any(row < 0 for row in rows):
        raise ValueError("negative")
    return [2 * row for row in rows]


@pytest.mark.parametrize("is_real", [False, True])
def test_ten_thousand_requests(is_real):
    if is_real:
        chaos = Chaos(0, 10_000, pace_s=1e-5)
        asyncio.run(chaos.run(double, max_pending=100))
    else:
        chaos = Chaos(1, 10_000)
        simulate(chaos.run(Model(0.02), max_pending=100, concurrency=2))
    assert chaos.right > 5000
    assert min(chaos.gone, chaos.bad) > 500
