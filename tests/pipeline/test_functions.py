"""Where functions run, what counts as one, and what they may raise and return."""

import asyncio
import functools
import threading
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import pytest

from asyncml.clock import simulate
from asyncml.pipeline.pipeline import Pipeline
from tests.pipeline.consuming import (
    collect,
    run,
)
from tests.pipeline.failing import ENDINGS, OPTIONS, fails_at, until
from tests.pipeline.in_processes import is_child


def where(value):
    return threading.current_thread().name, value


def test_plain_functions_run_in_threads_of_their_own_unless_asked():
    assert {name for name, _ in list(Pipeline(range(50)).map(where, concurrency=2))} <= {
        "where-1",
        "where-2",
    }
    names = {name for name, _ in asyncio.run(collect(Pipeline([1]).map(where, executor="inline")))}
    assert names == {threading.current_thread().name}


def test_an_executor_of_the_callers_is_used_and_stays_open():
    with ThreadPoolExecutor(2, thread_name_prefix="mine") as pool:
        names = {name for name, _ in list(Pipeline(range(9)).map(where, executor=pool))}
        assert names <= {"mine_0", "mine_1"}
        assert pool.submit(abs, -1).result() == 1


def test_functions_run_in_processes():
    assert list(Pipeline(range(3)).map(is_child, executor="process", concurrency=1)) == [True] * 3
    partial = functools.partial(lambda value: value, 1)
    with (
        ProcessPoolExecutor(1) as pool,
        pytest.raises(TypeError, match="`<lambda>` cannot be sent"),
    ):
        Pipeline([1]).map(partial, executor=pool)


def test_partials_and_objects_count_as_what_they_call():
    class Loader:
        async def __call__(self, value):
            await asyncio.sleep(0.01)
            return value + 1

        async def load(self, value):
            return value + 2

    async def add(first, second):
        return first + second

    assert run(Pipeline([1]).map(Loader())) == [2]
    assert run(Pipeline([1]).map(Loader().load)) == [3]
    assert run(Pipeline([1]).map(functools.partial(functools.partial(add), 3))) == [4]


@pytest.mark.parametrize("executor", ["thread", "inline"])
@pytest.mark.parametrize("on_error", ["raise", "skip"])
def test_a_plain_function_that_returns_a_coroutine_is_an_error(executor, on_error):
    async def load(value):
        return value

    pipeline = Pipeline(range(5)).map(
        lambda value: load(value), executor=executor, on_error=on_error, retries=1
    )
    with pytest.raises(TypeError, match=r"`<lambda>` is a plain function .*async def"):
        run(pipeline)
    with pytest.raises(TypeError, match="returned a coroutine"):
        run(Pipeline(range(5)).filter(lambda value: load(value)))


def test_a_function_that_cancels_itself_fails_and_does_not_hang():
    async def cancel(value):
        raise asyncio.CancelledError

    with pytest.raises(RuntimeError, match="`cancel` raised CancelledError"):
        run(Pipeline(range(3)).map(cancel))


@pytest.mark.parametrize("error", ENDINGS)
@pytest.mark.parametrize(("where", "options"), OPTIONS)
def test_an_error_that_means_the_end_elsewhere_is_one_here(error, where, options):
    make = Pipeline(range(5)).map
    pipeline = make(fails_at(2, error=error, where=where), **options)
    _, caught = simulate(until(pipeline, RuntimeError))
    assert f"raised {error.__name__}" in str(caught) or error is StopIteration
    assert isinstance(caught.__cause__, error)
    assert "item 2: 2" in caught.__notes__[0]
    with pytest.raises(RuntimeError):
        list(pipeline)
    skipping = make(fails_at(2, error=error, where=where), on_error="skip", **options)
    assert sorted(run(skipping)) == [0, 1, 3, 4]


@pytest.mark.parametrize("error", ENDINGS)
def test_such_an_error_of_another_function_is_one_too(error):
    def broken(*_):
        raise error

    def source():
        yield 0
        broken()

    def parts(value):
        yield value
        broken()

    class Stream:
        def __aiter__(self):
            return self

        async def __anext__(self):
            raise error

    pipelines = [
        Pipeline(range(3)).filter(broken),
        Pipeline(range(3)).batch(2, collate=broken),
        Pipeline(range(3)).flat_map(parts),
        Pipeline(range(3)).map(fails_at(1), on_error=broken),
        Pipeline(source),
        Pipeline(lambda: broken()),
    ]
    if error is asyncio.CancelledError:
        pipelines.append(Pipeline(Stream))
    for pipeline in pipelines:
        with pytest.raises(RuntimeError):
            run(pipeline)
        with pytest.raises(RuntimeError):
            list(pipeline)


def test_what_a_function_awaits_may_be_cancelled_by_others():
    async def load(value):
        task = asyncio.create_task(asyncio.sleep(0.01))
        if value == 2:
            task.cancel()
        await task
        return value

    with pytest.raises(RuntimeError, match="`load` raised CancelledError"):
        list(Pipeline(range(5)).map(load))
    assert list(Pipeline(range(5)).map(load, on_error="skip")) == [0, 1, 3, 4]
