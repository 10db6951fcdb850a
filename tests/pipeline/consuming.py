"""How tests take items out of a pipeline, and note where it stands after each."""

import asyncio
import json
import threading
import time

import pytest

from asyncml.clock import compute, simulate


def through_json(state):
    """A state as it comes back from a file."""
    copied = json.loads(json.dumps(state))
    assert copied == state
    return copied


async def first(pipeline, count):
    """The first `count` items, and the state before them and after each.

    A snapshot taken at the same moments tells the same when the epoch is over.
    """
    snapshots = [pipeline._snapshot()]
    iterator, items, states = aiter(pipeline), [], [pipeline.state_dict()]
    while len(items) < count:
        try:
            items.append(await anext(iterator))
        except StopAsyncIteration:
            break
        snapshots.append(pipeline._snapshot())
        states.append(through_json(pipeline.state_dict()))
    await iterator.aclose()
    assert [snapshot() for snapshot in snapshots] == states
    return items, states


async def collect(pipeline):
    return [item async for item in pipeline]


def run(pipeline):
    return simulate(collect(pipeline))


ITERATE = {
    "async for": lambda p: asyncio.run(collect(p)),
    "for": list,
    "in virtual time": run,
}
iterate = pytest.mark.parametrize("iterate", ITERATE.values(), ids=ITERATE)


def timed(pipeline, each=0.0):
    """The items, and the virtual time at which each was delivered."""

    async def main():
        loop, items, times = asyncio.get_running_loop(), [], []
        async for item in pipeline:
            items.append(item)
            times.append(round(loop.time(), 6))
            await asyncio.sleep(each)
        return items, times

    return simulate(main())


class Spy:
    """Counts the calls in progress and keeps the highest count."""

    def __init__(self, seconds=lambda value: 0.01):
        self.seconds = seconds
        self.now = self.most = self.calls = 0
        self.lock = threading.Lock()

    def __enter__(self):
        with self.lock:
            self.calls += 1
            self.now += 1
            self.most = max(self.most, self.now)

    def __exit__(self, *_):
        with self.lock:
            self.now -= 1

    async def on_loop(self, value):
        with self:
            await asyncio.sleep(self.seconds(value))
        return value

    def in_thread(self, value):
        with self:
            compute(self.seconds(value))
        return value


async def nap(value):
    await asyncio.sleep(0.01)
    return value


async def slow(value):
    await asyncio.sleep(0.1)
    return value


def left():
    return [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]


def wait_until(is_so, seconds=10.0):
    deadline = time.monotonic() + seconds
    while not is_so() and time.monotonic() < deadline:
        time.sleep(0.002)
    return is_so()
