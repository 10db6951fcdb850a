"""Functions that fail in tests, and where and how a stage may call them."""

import asyncio

import pytest

from asyncml.clock import compute


class Broken(Exception):
    pass


ENDINGS = [StopIteration, StopAsyncIteration, asyncio.CancelledError]


OPTIONS = [
    ("loop", {}),
    ("thread", {}),
    ("thread", {"timeout": 9}),
    ("thread", {"executor": "inline"}),
    ("loop", {"ordered": False}),
    ("thread", {"ordered": False}),
]


def fails_at(*places, error=Broken, where="loop", seconds=0.0):
    calls = []

    async def on_loop(value):
        calls.append(value)
        await asyncio.sleep(seconds)
        if value in places:
            raise error(value)
        return value

    def in_thread(value):
        calls.append(value)
        compute(seconds)
        if value in places:
            raise error(value)
        return value

    fn = on_loop if where == "loop" else in_thread
    fn.calls = calls
    return fn


def flaky(times, where="loop"):
    left = {}

    def attempt(value):
        left[value] = left.get(value, times) - 1
        if left[value] >= 0:
            raise Broken(value)
        return value

    async def on_loop(value):
        return attempt(value)

    return on_loop if where == "loop" else attempt


async def until(pipeline, kind):
    items = []
    try:
        async for item in pipeline:
            items.append(item)
    except kind as error:
        return items, error
    pytest.fail(f"{kind.__name__} was not raised")


ENDS = {
    "raise": {},
    "skip": {"on_error": "skip"},
    "replace": {"on_error": lambda error, item: -1},
    "retry": {"retries": 3, "on_error": "skip", "retry_on": Exception},
}
ends = pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
