"""A program that only polls, for ever, is told so; one that works and yields is left alone."""

# ruff: noqa: ASYNC110  # what this file is about

import asyncio
import threading
from collections import deque

import pytest

from asyncml.clock import Deadlock, compute, polling, simulate
from asyncml.timeline.recorder import record

# instead of a million turns and ten seconds; it is looked at after each thousand
TURNS = 5_000
LONG = 3 * TURNS


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    monkeypatch.setattr(polling, "TURNS", TURNS)
    monkeypatch.setattr(polling, "SECONDS", 0.0)


# ---- what never ends ----


async def for_a_flag():
    done = False
    while not done:
        await asyncio.sleep(0)


async def for_a_time():
    loop = asyncio.get_running_loop()
    while loop.time() < 3:
        await asyncio.sleep(0)


async def for_what_time_left():
    loop = asyncio.get_running_loop()
    left = 3 - loop.time()
    while left > 0:
        await asyncio.sleep(0)
        left = 3 - loop.time()


async def for_a_task_that_sleeps():
    task = asyncio.create_task(asyncio.sleep(1))
    while not task.done():
        await asyncio.sleep(0)


async def for_results():
    results = []

    async def add():
        await asyncio.sleep(1)
        results.append(1)

    async with asyncio.TaskGroup() as group:
        group.create_task(add())
        while len(results) < 1:
            await asyncio.sleep(0)


async def for_a_thread_in_virtual_time():
    task = asyncio.create_task(asyncio.to_thread(compute, 1))
    while not task.done():
        await asyncio.sleep(0)


async def two_for_each_other():
    await asyncio.gather(for_a_flag(), for_a_flag())


async def behind_a_generator():
    async def ticks():
        while True:
            await asyncio.sleep(0)
            yield "tick"

    async for _ in ticks():
        pass


async def under_a_timeout():
    async with asyncio.timeout(5):
        await for_a_flag()


ENDLESS = [
    for_a_flag,
    for_a_time,
    for_what_time_left,
    for_a_task_that_sleeps,
    for_results,
    for_a_thread_in_virtual_time,
    two_for_each_other,
    behind_a_generator,
    under_a_timeout,
]


@pytest.mark.parametrize("main", ENDLESS)
def test_it_ends_with_an_error_that_says_what_to_do(main):
    with pytest.raises(Deadlock) as caught:
        simulate(main())
    message = str(caught.value)
    assert message.startswith("at 0 s nothing happens but `await asyncio.sleep(0)`")
    assert "waits for sleep in test_polling.py, " in message
    assert "Event" in message
    assert "sleep for more than 0 s" in message


def test_a_recording_has_what_came_before():
    async def main():
        await asyncio.sleep(2)
        await for_a_flag()

    with pytest.raises(Deadlock, match="at 2 s nothing happens but") as caught:
        simulate(record(main()))
    assert caught.value.timeline.duration_s == 2


def test_the_tasks_are_cancelled_and_clean_up():
    cleaned = []

    async def main():
        try:
            await for_a_flag()
        finally:
            await asyncio.sleep(1)
            cleaned.append("yes")

    with pytest.raises(Deadlock):
        simulate(main())
    assert cleaned == ["yes"]


# ---- what does end, however often it yields ----


async def counts():
    for _ in range(LONG):
        await asyncio.sleep(0)


async def adds_up():
    total = 0
    while total < LONG:
        total += 1
        await asyncio.sleep(0)


async def empties_a_queue():
    rows = deque(range(LONG))
    while rows:
        rows.pop()
        await asyncio.sleep(0)


async def fills_a_list():
    rows = []
    while len(rows) < LONG:
        rows.append(None)
        await asyncio.sleep(0)


class Machine:
    def __init__(self):
        self.steps, self.rows = 0, list(range(LONG))

    async def count(self):
        while self.steps < LONG:
            self.steps += 1
            await asyncio.sleep(0)

    async def empty(self):
        while self.rows:
            self.rows.pop()
            await asyncio.sleep(0)


async def counts_in_an_attribute():
    await Machine().count()


async def empties_an_attribute():
    await Machine().empty()


async def counts_in_a_closure():
    steps = 0

    def step():
        nonlocal steps
        steps += 1

    while steps < LONG:
        step()
        await asyncio.sleep(0)


async def counts_in_a_generator():
    async def numbers():
        for number in range(LONG):
            await asyncio.sleep(0)
            yield number

    async for _ in numbers():
        pass


async def works_with_tasks():
    async def work(): ...

    for _ in range(LONG // 10):
        await asyncio.create_task(work())


async def passes_through_a_queue():
    queue = asyncio.Queue(1)

    async def produce():
        for _ in range(LONG):
            await queue.put("row")

    task = asyncio.create_task(produce())
    for _ in range(LONG):
        await queue.get()
    await task


async def polls_what_a_thread_does():
    gate, done = threading.Event(), []
    work = asyncio.create_task(asyncio.to_thread(lambda: (gate.wait(), done.append(1))))
    for _ in range(2):
        for _ in range(2 * TURNS):
            await asyncio.sleep(0)
        gate.set()
    while not done:
        await asyncio.sleep(0)
    await work


async def polls_what_a_thread_of_its_own_does():
    gate, done = threading.Event(), threading.Event()
    thread = threading.Thread(target=lambda: (gate.wait(), done.set()))
    thread.start()
    asyncio.get_running_loop().call_soon(threading.Timer(0.02, gate.set).start)
    while not done.is_set():
        await asyncio.sleep(0)
    thread.join()


async def calls_itself_back():
    loop, left, over = asyncio.get_running_loop(), LONG, asyncio.Event()

    def step():
        nonlocal left
        left -= 1
        if left:
            loop.call_soon(step)
        else:
            over.set()

    step()
    await over.wait()


SOUND = [
    counts,
    adds_up,
    empties_a_queue,
    fills_a_list,
    counts_in_an_attribute,
    empties_an_attribute,
    counts_in_a_closure,
    counts_in_a_generator,
    works_with_tasks,
    passes_through_a_queue,
    polls_what_a_thread_does,
    polls_what_a_thread_of_its_own_does,
    calls_itself_back,
]


@pytest.mark.parametrize("main", SOUND)
def test_a_program_that_gets_on_is_left_alone(main):
    simulate(main())


@pytest.mark.parametrize("main", [counts, empties_an_attribute])
def test_also_beside_others_that_wait(main):
    async def both():
        async with asyncio.timeout(3600):
            sleeper = asyncio.create_task(asyncio.sleep(60))
            await main()
            await sleeper

    simulate(both())


class Hidden:
    """A state that cannot be seen from outside."""

    __slots__ = ("left",)

    def __init__(self):
        self.left = LONG

    async def count(self):
        while self.left:
            self.left -= 1
            await asyncio.sleep(0)


@pytest.mark.parametrize(("name", "value"), [("TURNS", 1_000_000), ("SECONDS", 10.0)])
def test_it_takes_a_million_turns_and_ten_seconds(monkeypatch, name, value):
    with pytest.raises(Deadlock):  # for a program of this kind no other bound is left
        simulate(Hidden().count())
    monkeypatch.undo()
    assert getattr(polling, name) == value
    monkeypatch.setattr(polling, "TURNS" if name == "SECONDS" else "SECONDS", 0)
    simulate(Hidden().count())


def test_values_that_cannot_be_looked_at_are_left_alone():
    class Shy:
        @property
        def __dict__(self):
            raise LookupError

        def __eq__(self, other):
            raise LookupError

        __hash__ = None

        def __len__(self):
            raise LookupError

    async def main():
        shy = Shy()
        while shy is not None:
            await asyncio.sleep(0)

    with pytest.raises(Deadlock, match="nothing happens but"):
        simulate(main())
