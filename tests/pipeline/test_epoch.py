"""The end of an epoch, whenever it comes: no task is left, and what was open is closed."""

import asyncio
import contextlib
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncml.clock import simulate
from asyncml.pipeline.pipeline import Pipeline
from tests.pipeline.consuming import (
    collect,
    left,
    nap,
    run,
)
from tests.pipeline.failing import Broken, fails_at


def make_all(fn, **options):
    async def source():
        for value in range(40):
            await asyncio.sleep(0.001)
            yield value

    pipeline = Pipeline(source).map(fn, concurrency=3, **options).map(str, concurrency=2)
    return pipeline.flat_map(list).batch(2).prefetch(2)


def test_leaving_early_leaves_nothing():
    async def main():
        async for _ in make_all(nap):
            break
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert left() == []

        items = aiter(make_all(nap))
        await anext(items)
        await items.aclose()
        assert left() == []
        assert [item async for item in items] == []

        with contextlib.suppress(Broken):
            async for _ in make_all(nap):
                raise Broken
        await asyncio.sleep(0.001)
        assert left() == []
        aiter(make_all(nap))

    simulate(main())


def test_an_error_leaves_nothing():
    async def main():
        for fn in (fails_at(5), fails_at(5, where="thread")):
            with pytest.raises(Broken):
                await collect(make_all(fn))
            assert left() == []

    simulate(main())


@pytest.mark.parametrize("step", range(40))
def test_cancelled_at_any_step_it_leaves_nothing(step):
    async def main():
        pipeline = make_all(nap, retries=1)
        task = asyncio.create_task(collect(pipeline))
        for _ in range(step):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert left() == []
        state = pipeline.state_dict()
        again = make_all(nap)
        again.load_state_dict(state)

    simulate(main())


@settings(deadline=None, max_examples=15)
@given(st.floats(0, 0.3), st.booleans())
def test_cancelled_at_any_time_the_rest_is_exact(seconds, twice):
    async def main():
        pipeline, items = make_all(nap), []

        async def consume():
            async for item in pipeline:
                items.append(item)

        task = asyncio.create_task(consume())
        await asyncio.sleep(seconds)
        task.cancel()
        if twice:
            await asyncio.sleep(0)
            task.cancel()
        await asyncio.wait([task])
        assert left() == []
        again, state = make_all(nap), pipeline.state_dict()
        again.load_state_dict(state)
        rest = await collect(again)
        assert items + (rest if state["epoch"] == 0 else []) == whole

    whole = run(make_all(nap))
    simulate(main())


def test_clean_up_that_takes_time_is_awaited():
    closed = []

    async def connect(value):
        try:
            await asyncio.sleep(1)
        finally:
            await asyncio.sleep(0.5)
            closed.append(value)

    async def main():
        task = asyncio.create_task(collect(Pipeline(range(9)).map(connect, concurrency=2)))
        await asyncio.sleep(0.1)
        task.cancel()
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert sorted(closed) == [0, 1]
        assert left() == []

    simulate(main())


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks came with Python 3.12")
def test_eager_tasks_change_nothing():
    async def main():
        asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
        assert len(await collect(make_all(nap))) == 35
        async for _ in make_all(nap):
            break
        await asyncio.sleep(0.001)
        assert left() == []

    simulate(main())


@pytest.mark.parametrize("leave", ["break", "error"])
def test_leaving_early_closes_the_source_at_once(leave):
    closed = []

    def sync():
        try:
            yield from range(99)
        finally:
            closed.append("sync")

    async def asynchronous():
        try:
            for value in range(99):
                yield value
        finally:
            await asyncio.sleep(0.01)
            closed.append("async")

    async def main():
        pipelines = [Pipeline(source).map(nap).batch(2) for source in (sync, asynchronous)]
        for pipeline in [Pipeline(sync), Pipeline(asynchronous), *pipelines]:
            with contextlib.suppress(Broken):
                async for _ in pipeline:
                    if leave == "error":
                        raise Broken
                    break
            await asyncio.sleep(0.05)
        assert closed == ["sync", "async"] * 2

    simulate(main())


@pytest.mark.untidy
def test_leaving_as_the_program_ends_says_nothing():
    program = """
import asyncio
from asyncml.pipeline.pipeline import Pipeline
async def nap(value):
    await asyncio.sleep(0.01)
    return value
async def main():
    asyncio.get_running_loop().slow_callback_duration = 60  # a busy machine is none of its words
    async for item in Pipeline(range(99)).map(nap).map(str).prefetch(2):
        print(item)
        break
asyncio.run(main())
"""
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-c", program], capture_output=True, text=True, check=True
    )
    assert (done.stdout, done.stderr) == ("0\n", "")
