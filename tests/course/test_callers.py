"""Six callers at a batcher: how long each waits, and the message about a batcher that ends."""

import asyncio

import pytest

import asyncml as aml
from asyncml.course.exercises.callers import visit


async def ask(queue, row):
    answer = asyncio.get_running_loop().create_future()
    queue.put_nowait((row, answer))
    return await answer


async def one_by_one(queue, model, most):
    while True:
        row, answer = await queue.get()
        answer.set_result((await asyncio.to_thread(model, [row]))[0])


def model(rows):
    aml.compute(1 + 0.1 * len(rows))
    return rows


def test_each_caller_waits_longer_than_the_one_before():
    waited = aml.simulate(visit(one_by_one, ask, model, gone={}))
    assert waited == pytest.approx([1.1, 1.7, 2.3, 2.9, 3.5, 4.1])


def test_a_batcher_that_fails_is_told_and_leaves_the_others_waiting(capsys):
    waited = aml.simulate(visit(one_by_one, ask, model, gone={1: 1.0}))
    assert waited[0] == pytest.approx(1.1)
    assert waited[1:] == [None] * 5
    assert capsys.readouterr().out.startswith("serve ended with InvalidStateError")


def test_a_batcher_that_is_cancelled_is_no_error(capsys):
    async def cancelled(queue, model, most):
        raise asyncio.CancelledError

    assert aml.simulate(visit(cancelled, ask, model, gone={})) == [None] * 6
    assert capsys.readouterr().out == ""
