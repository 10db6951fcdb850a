"""One iterator for one task, and plain `for`, which has a thread of its own."""

import asyncio
import contextlib
import gc
import subprocess
import sys
import threading
import time

import pytest

from asyncml.clock import simulate
from asyncml.pipeline.pipeline import Pipeline
from tests.pipeline.consuming import (
    nap,
    wait_until,
)
from tests.pipeline.failing import OPTIONS, Broken, fails_at


def test_two_tasks_cannot_share_an_iterator():
    async def main():
        items = aiter(Pipeline(range(9)).map(nap))
        first = asyncio.create_task(anext(items))
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError, match="one task iterates"):
            await anext(items)
        assert await first == 0
        await items.aclose()

    simulate(main())


def test_leaving_plain_for_leaves_no_thread():
    def threads():
        return {thread.name for thread in threading.enumerate()} - before

    before = {thread.name for thread in threading.enumerate()}
    for _ in Pipeline(range(1000)).map(abs).map(nap).prefetch(3):
        break
    assert "pipeline" not in threads()
    items = iter(Pipeline(range(1000)).map(nap))
    next(items)
    items.close()
    assert wait_until(lambda: threads() == set())
    with contextlib.suppress(Broken):
        for _ in Pipeline(range(1000)).map(nap):
            raise Broken
    gc.collect()
    assert "pipeline" not in threads()


def test_plain_for_closes_the_epoch_before_it():
    pipeline = Pipeline(range(100)).map(nap, concurrency=1)
    first = iter(pipeline)
    assert next(first) == 0
    second = iter(pipeline)
    assert next(second) == 0
    with pytest.raises(RuntimeError, match="another iteration of this pipeline"):
        next(first)
    assert list(first) == []
    assert next(second) == 1
    second.close()


def test_plain_for_raises_what_went_wrong():
    items = iter(Pipeline(range(9)).map(fails_at(4, where="thread")))
    assert [next(items) for _ in range(4)] == [0, 1, 2, 3]
    with pytest.raises(Broken) as caught:
        next(items)
    assert "item 4" in caught.value.__notes__[0]


def test_plain_for_works_inside_a_running_loop_and_runs_ahead():
    async def main():
        return list(Pipeline(range(5)).map(nap))

    assert asyncio.run(main()) == [0, 1, 2, 3, 4]
    asked = []
    items = iter(Pipeline(range(99)).map(asked.append, executor="inline"))
    next(items)
    wait_until(lambda: len(asked) == 4)
    time.sleep(0.01)
    assert len(asked) == 4  # one taken, two handed over, one in hand
    items.close()


class Halt(BaseException):
    pass


@pytest.mark.untidy
@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, Halt])
def test_plain_for_passes_on_what_is_no_exception(error):
    def source():
        yield 0
        raise error

    for where, options in OPTIONS:
        fn = fails_at(2, error=error, where=where)
        with pytest.raises(error):
            list(Pipeline(range(5)).map(fn, **options))
    with pytest.raises(error):
        list(Pipeline(range(5)).filter(fails_at(2, error=error, where="thread")))
    with pytest.raises(error):
        list(Pipeline(source))


def test_the_interpreter_does_not_wait_for_a_function_that_never_returns():
    program = """
import threading
from asyncml.pipeline.pipeline import Pipeline
def hang(value):
    if value:
        threading.Event().wait()
    return value
for item in Pipeline(range(9)).map(hang):
    print(item)
    break
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=20, check=True
    )
    assert (done.stdout, done.stderr) == ("0\n", "")


@pytest.mark.untidy
def test_a_run_that_ends_before_the_iterator_leaves_no_thread():
    async def half(pipeline):
        items = aiter(pipeline)
        await anext(items)
        return items

    before = set(threading.enumerate())
    items = asyncio.run(half(Pipeline(range(99)).map(abs)))
    assert wait_until(lambda: set(threading.enumerate()) == before)
    del items


def test_a_loop_closed_over_its_tasks_leaves_no_thread():
    program = """
import asyncio, gc, threading, time
from asyncml.pipeline.pipeline import Pipeline

async def half(pipeline):
    items = aiter(pipeline)
    await anext(items)
    return items

loop = asyncio.new_event_loop()  # one that cancels nothing as it ends
items = loop.run_until_complete(half(Pipeline(range(99)).map(str).filter(bool)))
loop.close()
del items
gc.collect()
end = time.monotonic() + 5
while threading.active_count() > 1 and time.monotonic() < end:
    time.sleep(0.01)
print([thread.name for thread in threading.enumerate()])
"""  # in a process of its own: Python warns of the tasks whenever it drops them
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "['MainThread']\n"


def test_plain_for_inside_simulate_is_an_error_at_once():
    async def main():
        with pytest.raises(RuntimeError, match="use `async for`"):
            iter(Pipeline(range(3)))

    simulate(main())
