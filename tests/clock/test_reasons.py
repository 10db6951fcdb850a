"""What a task waits for: in a word, and as one of a few kinds."""

import asyncio

import pytest

from asyncml.clock import compute, simulate
from asyncml.clock.reasons import KINDS
from asyncml.pipeline import Pipeline
from asyncml.stores import MemoryStore, SlowStore
from asyncml.timeline.recorder import record

STORE = SlowStore(MemoryStore({"a": b"x"}))


async def from_a_store():
    await STORE.get("a")


async def at_a_lock():
    lock = asyncio.Lock()
    async with lock:
        other = asyncio.create_task(lock.acquire(), name="other")
        await asyncio.sleep(1)
    await other


async def at_a_semaphore():
    room = asyncio.Semaphore(1)
    async with room:
        other = asyncio.create_task(room.acquire(), name="other")
        await asyncio.sleep(1)
    await other


async def at_an_event():
    event = asyncio.Event()
    other = asyncio.create_task(event.wait(), name="other")
    await asyncio.sleep(1)
    event.set()
    await other


async def at_a_queue():
    queue = asyncio.Queue()
    other = asyncio.create_task(queue.get(), name="other")
    await asyncio.sleep(1)
    queue.put_nowait(1)
    await other


async def at_a_future():
    future = asyncio.get_running_loop().create_future()

    async def wait():
        await future

    other = asyncio.create_task(wait(), name="other")
    await asyncio.sleep(1)
    future.set_result(1)
    await other


async def in_a_window():
    async for _ in Pipeline([1, 1]).map(asyncio.sleep, concurrency=2):
        pass


async def in_a_group():
    async with asyncio.TaskGroup() as group:
        group.create_task(asyncio.sleep(1))


@pytest.mark.parametrize(
    ("main", "lane", "kind"),
    [
        (lambda: asyncio.sleep(1), "sleep", "timer"),
        (from_a_store, "from_a_store", "outside"),
        (lambda: asyncio.to_thread(compute, 1), "to_thread", "thread"),
        (at_a_lock, "other", "lock"),
        (at_a_semaphore, "other", "lock"),
        (at_an_event, "other", "lock"),
        (at_a_queue, "other", "room"),
        (at_a_future, "other", "task"),
        (in_a_window, "in_a_window", "room"),
        (in_a_group, "in_a_group", "task"),
    ],
)
def test_waits_are_told_apart(main, lane, kind):
    pieces = simulate(record(main())).slices
    found = {piece.kind for piece in pieces if piece.lane == lane and piece.state == "waiting"}
    assert found == {kind}
    assert kind in KINDS
    assert {piece.kind for piece in pieces if piece.state != "waiting"} <= {""}
