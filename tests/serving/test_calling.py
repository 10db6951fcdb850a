"""Whose failure it is: nobody pays for another's row, and whatever the model does has an end."""

import asyncio
import gc
import re
import traceback
import weakref
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor, ThreadPoolExecutor

import numpy as np
import pytest

from asyncml.clock import compute, simulate
from asyncml.serving import MicroBatcher
from tests.serving.models import Model, die


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


class Odd(BaseException):
    """An error that is no Exception."""


def raising(error):
    def model(rows):
        raise error

    return model


async def coroutine():
    """What a plain function may return by mistake."""


NO_ROWS = "`model` must return an array or a list with a row for each of the 3 it was given, got "
WRONG = [
    (lambda rows: [1, 2], ValueError, "`model` must return a row for each .*: 3 came, 2 went"),
    (lambda rows: np.zeros(4), ValueError, "3 came, 4 went"),
    (lambda rows: np.float32(3.0), TypeError, NO_ROWS + r"shape \(\)"),
    (lambda rows: None, TypeError, NO_ROWS + "None"),
    (lambda rows: dict.fromkeys(rows, 7), TypeError, NO_ROWS + "{1: 7"),
    (lambda rows: frozenset(rows), TypeError, NO_ROWS + "frozenset"),
    (lambda rows: dict.fromkeys(rows).values(), TypeError, NO_ROWS + "dict_values"),
    (lambda rows: iter(rows), TypeError, NO_ROWS + "<"),
    (lambda rows: Odd, TypeError, NO_ROWS + "<class"),
    (lambda rows: rows[0] / 0, ZeroDivisionError, "division"),
    (raising(Odd), RuntimeError, "`model` raised Odd"),
    # they would end a task in silence
    (raising(StopIteration), RuntimeError, "raised StopIteration"),
    (raising(StopAsyncIteration), RuntimeError, "`model` raised StopAsyncIteration"),
    (raising(asyncio.CancelledError), RuntimeError, "`model` raised CancelledError"),
    (lambda rows: coroutine(), TypeError, "a plain function but returned a coroutine: make it `a"),
]


@pytest.mark.parametrize(("output", "error", "message"), WRONG, ids=range(len(WRONG)))
@pytest.mark.parametrize("is_async", [False, True])
def test_whatever_the_model_does_has_an_end_and_the_next_request_is_answered(
    output, error, message, is_async
):
    if is_async and "coroutine" in message:
        return  # which is what an `async def` is for

    def model(rows):
        return output(rows) if rows[0] == 1 else rows

    def plain(rows):
        return model(rows)

    async def later(rows):
        return model(rows)

    plain.__name__ = later.__name__ = "model"

    async def main():
        async with MicroBatcher(later if is_async else plain) as batcher:
            asks = [asyncio.create_task(batcher(row)) for row in (1, 2, 3)]
            answers = await asyncio.gather(*asks, return_exceptions=True)
            assert await batcher(2) == 2
            return answers

    answers = simulate(main())
    alone = error in (ZeroDivisionError, RuntimeError)  # of the row 1; the others have none
    for answer in answers[: 1 if alone else 3]:
        assert type(answer) is error or isinstance(answer, error)
        assert re.search(message, str(answer))
    assert answers[1:] == [2, 3] if alone else len({id(answer) for answer in answers}) == 3


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


def test_a_process_thatdies_is_an_error_to_its_batch_and_to_those_after_it():
    async def main():
        with ProcessPoolExecutor(1) as pool:
            async with MicroBatcher(die, executor=pool) as batcher:
                answers = await asyncio.gather(*map(batcher, range(3)), return_exceptions=True)
                assert all(isinstance(answer, BrokenExecutor) for answer in answers)
                with pytest.raises(RuntimeError, match="took no work: BrokenProcessPool"):
                    await batcher(1)

    asyncio.run(main())


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

    async def ask(batcher):
        rows = [Row(), bad, Row()]
        asks = [asyncio.create_task(batcher(row)) for row in rows]
        answers = await asyncio.gather(*asks, return_exceptions=True)
        return answers[1], weakref.ref(rows[0])

    async def main():
        async with MicroBatcher(model) as batcher:
            error, seen = await ask(batcher)
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
