"""A recording as lanes: what each did when, and what that adds up to."""

import asyncio
import time

from asyncml.clock import compute, simulate
from asyncml.timeline.lanes import Slice
from asyncml.timeline.recorder import record


def recorded(main):
    return simulate(record(main))


async def fetch(seconds):
    await asyncio.sleep(seconds)


async def mixed():
    async with asyncio.TaskGroup() as group:
        group.create_task(fetch(1))
        group.create_task(fetch(3))
        group.create_task(asyncio.to_thread(compute, 2))
    compute(1)


def test_slices_are_tuples_of_the_contract():
    piece = recorded(fetch(1)).slices[0]
    assert piece == Slice("fetch", "waiting", 0, 1, "sleep", "timer")
    assert piece._fields == ("lane", "state", "start_s", "end_s", "reason", "kind")


def test_statistics_add_up():
    statistics = recorded(mixed()).statistics()
    assert statistics.duration_s == 4
    assert statistics.busy == 0.25
    assert statistics.longest_block_s == 1
    assert statistics.peak_concurrency == 3  # two sleeps and a thread
    assert statistics.lag_s == 0
    assert statistics.overlap == 0.75  # of 4 s, the third second of the long sleep was alone
    assert str(statistics).splitlines()[:2] == [
        "duration               4 s",
        "loop busy              25%",
    ]


def test_lag_is_the_longest_that_a_ready_task_waited():
    async def main():
        sleeper = asyncio.create_task(fetch(1))
        await asyncio.sleep(0)
        compute(4)
        await sleeper

    assert recorded(main()).statistics().lag_s == 3


def test_statistics_of_a_program_that_takes_no_time():
    async def main(): ...

    timeline = recorded(main())
    statistics = timeline.statistics()
    assert (statistics.duration_s, statistics.busy, statistics.overlap) == (0, 0, 0)
    assert timeline.slices == [Slice("main", "running", 0, 0, "")]
    assert timeline.findings() == []
    assert timeline.text()
    assert timeline.describe() == "1 lane, 0 ms.\nmain runs 0-0 ms"


def test_waiting_for_tasks_is_not_waiting_for_the_world():
    async def main():
        await asyncio.create_task(fetch(1))

    statistics = recorded(main()).statistics()
    assert (statistics.peak_concurrency, statistics.overlap) == (1, 0)


def test_many_steps_are_summed_up_quickly():
    async def main():
        await asyncio.gather(*(steps(i) for i in range(20)))

    async def steps(i):
        for _ in range(500):
            await fetch(0.001 * (i + 1))

    timeline = recorded(main())
    start = time.thread_time()
    repr(timeline)
    assert time.thread_time() - start < 0.01
    timeline.statistics()
    timeline.findings()
    assert time.thread_time() - start < 3  # 0.2 s here; the margin is for a busy machine
