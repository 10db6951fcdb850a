"""Findings name what is wrong, with line and cost, and say nothing of a sound program."""

import asyncio
import contextlib
import functools
import gc
import inspect
import time

import pytest

from asyncml.clock import compute, simulate
from asyncml.network.optimizers import Adam
from asyncml.network.sequential import MLP
from asyncml.pipeline.pipeline import Pipeline, collate
from asyncml.stores.memory import MemoryStore
from asyncml.stores.slow import SlowStore
from asyncml.timeline.recorder import record
from asyncml.training.fit import fit


def findings(main, run=simulate):
    return run(record(main)).findings()


def line_of(function, text):
    """Return the number of the only line of a function with this text in it."""
    lines, first = inspect.getsourcelines(function)
    (number,) = [first + i for i, line in enumerate(lines) if text in line]
    return number


async def fetch(seconds):
    await asyncio.sleep(seconds)


# ---- waits in sequence ----


def load_data():
    return [1, 2, 3]


async def train_model(data):
    await asyncio.sleep(1)


async def save_model(model):
    await asyncio.sleep(1)


async def classic():
    data = load_data()
    model = await train_model(data)
    await save_model(model)


def test_the_classic_sample():
    (finding,) = findings(classic())
    first = line_of(classic, "train_model")
    assert finding.code == "in-sequence"
    assert finding.message.startswith(
        "nothing overlapped: 2.0 s in sequence, 1.0 s possible, "
        f"in test_findings.py, classic, lines {first} and {first + 1}, unless one needs"
    )
    assert (finding.line, finding.seconds) == (first, 1)
    assert str(finding) == finding.message


def store(latency_s=0.1, count=20):
    inner = MemoryStore({f"{i}": b"data" for i in range(count)})
    return SlowStore(inner, latency_s=latency_s, jitter=0)


async def one_at_a_time():
    bucket = store()
    for key in await bucket.list(""):
        await bucket.get(key)


def test_a_loop_over_a_store():
    (finding,) = findings(one_at_a_time())
    assert finding.code == "in-sequence"
    assert finding.line == line_of(one_at_a_time, "get(key)") or "lines" in finding.message
    assert finding.message.startswith(
        "nothing overlapped: 2.1 s in sequence, 131 ms possible with 16"
    )


async def tasks_one_by_one():
    for _ in range(5):
        await asyncio.create_task(fetch(1))


@pytest.mark.parametrize("in_real_time", [False, True])
def test_tasks_awaited_one_by_one(in_real_time):
    if in_real_time:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(asyncio, "sleep", functools.partial(_quick, asyncio.sleep))
            (finding,) = findings(tasks_one_by_one(), asyncio.run)
    else:
        (finding,) = findings(tasks_one_by_one())
        assert finding.seconds == 4
        assert "5.0 s in sequence, 1.0 s possible" in finding.message
    assert finding.code == "in-sequence"
    assert finding.line == line_of(tasks_one_by_one, "create_task")


def _quick(sleep, seconds):
    return sleep(seconds / 40)


def test_a_loop_deep_in_the_calls():
    async def load(keys):
        for _ in keys:
            await fetch(1)

    async def main():
        async with asyncio.TaskGroup() as group:
            group.create_task(load(range(4)))

    (finding,) = findings(main())
    assert "load, line" in finding.message
    assert finding.seconds == 3


def test_what_is_in_a_notebook_has_no_file():
    scope = {"asyncio": asyncio}
    source = "async def main():\n await one()\n await one()\n"
    source += "async def one():\n await asyncio.sleep(1)"
    exec(compile(source, "ipykernel_123/456.py", "exec"), scope)
    (finding,) = findings(scope["main"]())
    assert ", in main, lines 2 and 3, unless" in finding.message


# ---- a blocked loop ----


async def blocking():
    others = [asyncio.create_task(fetch(0.01)) for _ in range(3)]
    await asyncio.sleep(0)
    compute(0.2)
    await asyncio.gather(*others)


def test_work_that_blocks_the_loop():
    (finding,) = findings(blocking())
    line = line_of(blocking, "compute")
    assert (finding.code, finding.line, finding.seconds) == ("blocked", line, 0.2)
    assert finding.message == (
        f"the loop was blocked for 200 ms in test_findings.py, blocking, line {line}, "
        "while 3 tasks could have run: wait with `await`, or compute in a thread with "
        "`asyncio.to_thread`"
    )


async def sleeping_for_real():
    time.sleep(0.12)  # noqa: ASYNC251


async def counting():
    end = time.perf_counter() + 0.12
    while time.perf_counter() < end:
        pass


@pytest.mark.parametrize(
    ("main", "lines"), [(sleeping_for_real, ["time.sleep"]), (counting, ["while", "pass"])]
)
def test_in_real_time_the_line_is_found(main, lines):
    (finding,) = findings(main(), asyncio.run)
    assert finding.code == "blocked"
    assert finding.line in [line_of(main, text) for text in lines]
    assert finding.seconds >= 0.12


def test_blocking_again_and_again_is_one_finding():
    async def main():
        for _ in range(3):
            compute(0.1)
            await asyncio.sleep(0.1)

    (finding,) = findings(main())
    assert finding.message.startswith("the loop was blocked 3 times, in all for 300 ms in")


def test_the_costliest_comes_first():
    async def main():
        compute(0.3)
        await fetch(1)
        await fetch(1)

    assert [finding.code for finding in findings(main())] == ["in-sequence", "blocked"]


# ---- tasks without a bound ----


async def a_flood():
    await asyncio.gather(*(fetch(1) for _ in range(300)))


async def a_flood_in_a_group():
    async with asyncio.TaskGroup() as group:
        for _ in range(300):
            group.create_task(fetch(1))


@pytest.mark.parametrize(
    ("main", "line"), [(a_flood, "gather"), (a_flood_in_a_group, "create_task")]
)
def test_hundreds_at_once(main, line):
    (finding,) = findings(main())
    assert (finding.code, finding.line) == ("unbounded", line_of(main, line))
    assert finding.message.startswith("300 waits at once, started without a bound in test_findings")


# ---- what nobody awaited ----


async def forgetful():
    fetch(1)
    await asyncio.sleep(1)


def test_a_coroutine_that_is_only_called():
    with pytest.warns(RuntimeWarning, match="never awaited"):
        (finding,) = findings(forgetful())
    line = line_of(forgetful, "fetch")
    assert (finding.code, finding.line) == ("never-awaited", line)
    assert finding.message == (
        f"`fetch()` was called but never awaited, test_findings.py, line {line}: "
        "it did nothing; write `await fetch(...)` or start a task"
    )


@pytest.mark.untidy
def test_a_task_that_still_runs():
    async def main():
        main.task = asyncio.create_task(fetch(10))
        await asyncio.sleep(1)

    (finding,) = findings(main())
    assert (finding.code, finding.line) == ("still-running", line_of(main, "create_task"))
    assert finding.message.startswith("fetch-1, started in test_findings.py, main, line")


@pytest.mark.untidy
def test_a_task_that_is_dropped_while_it_waits():
    async def stuck():
        await asyncio.get_running_loop().create_future()

    async def main():
        asyncio.create_task(stuck())  # noqa: RUF006
        await asyncio.sleep(1)
        gc.collect()
        await asyncio.sleep(1)

    timeline = simulate(record(main()))
    finding = timeline.findings()[-1]
    assert (finding.code, finding.line) == ("dropped", line_of(main, "create_task"))
    assert timeline.slices[-1].end_s == 1  # as soon as it was dropped


@pytest.mark.untidy
@pytest.mark.parametrize("is_kept", [False, True])
def test_an_exception_that_nobody_sees(is_kept):
    async def bad():
        raise ValueError("a bad row")

    async def main():
        task = asyncio.create_task(bad())
        if not is_kept:
            del task
        await asyncio.sleep(1)

    (finding,) = findings(main())
    assert (finding.code, finding.line) == ("error-unseen", line_of(main, "create_task"))
    assert finding.message.startswith("bad-1 failed with ValueError: a bad row, and nobody asked")


# ---- what is sound ----


async def empty(): ...


async def one_wait():
    await fetch(1)


async def gathered():
    await asyncio.gather(*(fetch(1) for _ in range(16)))


async def grouped():
    async with asyncio.TaskGroup() as group:
        for i in range(10):
            group.create_task(fetch(1 + i / 100))


async def bounded_by_a_semaphore(limit=100):
    semaphore = asyncio.Semaphore(limit)

    async def one():
        async with semaphore:
            await fetch(1)

    await asyncio.gather(*(one() for _ in range(150)))


async def pool_of_workers(count=100):
    keys = iter(range(500))

    async def worker():
        for _ in keys:
            await fetch(0.1)

    async with asyncio.TaskGroup() as group:
        for _ in range(count):
            group.create_task(worker())


async def producer_and_consumers():
    queue = asyncio.Queue(4)

    async def produce():
        for i in range(20):
            await fetch(0.1)
            await queue.put(i)
        for _ in range(3):
            await queue.put(None)

    async def consume():
        while await queue.get() is not None:
            await fetch(0.25)

    async with asyncio.TaskGroup() as group:
        group.create_task(produce())
        for _ in range(3):
            group.create_task(consume())


async def loaded_by_a_pipeline():
    bucket = store(0.02, 128)
    keys = [f"{i}" for i in range(128)]
    async for _ in Pipeline(keys).map(bucket.get, concurrency=16).batch(8).prefetch(2):
        pass


async def left_early():
    bucket = store(0.02, 128)
    async with contextlib.aclosing(aiter(Pipeline(map(str, range(128))).map(bucket.get))) as items:
        async for _ in items:
            break


async def trained():
    model = MLP([4, 8, 2], seed=0)
    bucket = store(0.02, 128)

    async def load(key):
        await bucket.get(key)
        return [float(key)] * 4, int(key) % 2

    data = (
        Pipeline([str(i) for i in range(128)]).map(load, concurrency=16).batch(16, collate=collate)
    )
    async for _ in fit(model, Adam(model, lr=1e-3), data, epochs=2):
        pass


async def heartbeat_beside_work():
    async def beat():
        while True:  # noqa: ASYNC110
            await asyncio.sleep(0.1)

    beats = asyncio.create_task(beat())
    await asyncio.gather(fetch(1), asyncio.to_thread(compute, 1))
    beats.cancel()


async def only_a_heartbeat():
    for _ in range(10):
        await asyncio.sleep(0.1)


async def poll():
    ready = asyncio.get_running_loop().time() + 1
    while asyncio.get_running_loop().time() < ready:
        await fetch(0.02)
        await asyncio.sleep(0.1)


async def retry_with_back_off():
    bucket = SlowStore(MemoryStore({"a": b""}), latency_s=0.05, failure_rate=0.8, seed=1)
    for attempt in range(20):
        try:
            return await bucket.get("a")
        except OSError:
            await asyncio.sleep(0.05 * 2**attempt)


async def timeout_and_plan_b():
    try:
        async with asyncio.timeout(0.5):
            await fetch(10)
    except TimeoutError:
        await fetch(0.5)


async def queue_with_a_timeout():
    queue = asyncio.Queue()

    async def consume():
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.1):
                    return await queue.get()

    consumer = asyncio.create_task(consume())
    await fetch(1)
    queue.put_nowait(1)
    await consumer


async def lock():
    mutex = asyncio.Lock()

    async def writer():
        for _ in range(5):
            async with mutex:
                await fetch(0.1)

    await asyncio.gather(writer(), writer())


async def asynchronous_generator():
    async def ticks():
        for i in range(10):
            await asyncio.sleep(0.1)
            yield i

    async for _ in ticks():
        pass


async def threads_beside_loading():
    await asyncio.gather(asyncio.to_thread(compute, 1), *(fetch(0.5) for _ in range(4)))


async def wait_for_and_shield():
    await asyncio.wait_for(asyncio.gather(fetch(1), asyncio.shield(fetch(1))), 5)


async def first_of_several():
    tasks = [asyncio.create_task(fetch(seconds)) for seconds in (1, 2, 3)]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def as_they_come():
    for done in asyncio.as_completed([fetch(i / 10) for i in range(10)]):
        await done


async def events_and_conditions():
    event, condition = asyncio.Event(), asyncio.Condition()

    async def waiter():
        await event.wait()
        async with condition:
            await condition.wait()

    waiters = [asyncio.create_task(waiter()) for _ in range(5)]
    await fetch(1)
    event.set()
    await asyncio.sleep(0)
    async with condition:
        condition.notify_all()
    await asyncio.gather(*waiters)


async def error_that_is_handled():
    async def bad():
        await fetch(1)
        raise ValueError

    with contextlib.suppress(ExceptionGroup):
        async with asyncio.TaskGroup() as group:
            group.create_task(bad())
            group.create_task(fetch(2))


async def many_small_steps():
    for _ in range(100):
        compute(0.001)
        await asyncio.sleep(0)


SOUND = [
    empty,
    one_wait,
    gathered,
    grouped,
    bounded_by_a_semaphore,
    pool_of_workers,
    producer_and_consumers,
    loaded_by_a_pipeline,
    left_early,
    trained,
    only_a_heartbeat,
    poll,
    retry_with_back_off,
    timeout_and_plan_b,
    queue_with_a_timeout,
    lock,
    asynchronous_generator,
    threads_beside_loading,
    wait_for_and_shield,
    first_of_several,
    as_they_come,
    events_and_conditions,
    error_that_is_handled,
    many_small_steps,
]


@pytest.mark.parametrize("main", SOUND)
def test_nothing_is_said_of_a_sound_program(main):
    assert findings(main()) == []


@pytest.mark.untidy
def test_nothing_is_said_of_a_heartbeat_that_is_told_to_stop():
    assert findings(heartbeat_beside_work()) == []


def test_nothing_is_said_of_a_sound_program_in_real_time():
    async def main():
        async with asyncio.TaskGroup() as group:
            for _ in range(8):
                group.create_task(fetch(0.05))
            group.create_task(asyncio.to_thread(time.sleep, 0.05))

    assert findings(main(), asyncio.run) == []
