"""Programs to be recorded and played."""

import asyncio

from asyncml.clock import compute

HOSTILE = "</script><img src=x onerror='window.hacked=1'><!-- <script> ${1} `"


async def boil(minutes):
    await asyncio.sleep(minutes)
    compute(0.02)
    return minutes


async def eat(queue):
    while await queue.get() is not None:
        await asyncio.to_thread(compute, 0.04)


async def kitchen():
    queue = asyncio.Queue(1)
    async with asyncio.TaskGroup() as group:
        group.create_task(eat(queue), name="eater")
        pots = [group.create_task(boil(0.05 * (k + 1))) for k in range(3)]
        compute(0.06)
        async with asyncio.timeout(1):
            for pot in pots:
                await queue.put(await pot)
        await queue.put(None)


async def one_after_the_other():
    for k in range(3):
        await boil(0.05 * (k + 1))


async def hostile():
    async def fail():
        await asyncio.sleep(1)
        raise ValueError(HOSTILE)

    async with asyncio.TaskGroup() as group:
        group.create_task(asyncio.sleep(2), name=HOSTILE)
        task = asyncio.create_task(fail(), name="failing")
        await asyncio.wait([task])
    task.exception()


async def queue_of(items):
    """Three slices for each item and task, of three tasks."""
    queue = asyncio.Queue(2)

    async def produce():
        for k in range(items):
            await asyncio.sleep(0.01 + k % 7 / 1000)
            await queue.put(k)

    async def consume():
        for _ in range(items):
            await queue.get()
            compute(0.001)
            await asyncio.sleep(0.008)

    async with asyncio.TaskGroup() as group:
        group.create_task(produce(), name="producer")
        group.create_task(consume(), name="consumer")


async def crowd(size):
    async with asyncio.TaskGroup() as group:
        for k in range(size):
            group.create_task(queue_like(k), name=f"guest-{k}")


async def queue_like(k):
    for step in range(8):
        await asyncio.sleep(0.1 + (k * 7 + step * 3) % 11 / 100)
        compute(0.0001)
