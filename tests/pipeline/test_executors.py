"""Where plain functions run: what they see there, and what happens when nothing runs them."""

import asyncio
import concurrent.futures
import contextvars
import threading
import time
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor, ThreadPoolExecutor

import pytest

from asyncml.clock import compute, simulate
from asyncml.failures import ExecutorError
from asyncml.pipeline.pipeline import Pipeline
from asyncml.threads import ThreadPool
from tests.pipeline.consuming import collect, iterate
from tests.pipeline.failing import ends
from tests.pipeline.in_processes import (
    later,
)

# an executor that takes no work


class Refuses(concurrent.futures.Executor):
    """An executor that takes some calls and then no more."""

    def __init__(self, calls):
        self.calls = calls

    def submit(self, fn, /, *args, **kwargs):
        if not self.calls:
            raise OSError("no route to the cluster")
        self.calls -= 1
        future = concurrent.futures.Future()
        future.set_result(fn(*args, **kwargs))
        return future


class GivesNoFuture:
    """It looks like an executor, as a Dask client does, and returns something else."""

    def submit(self, fn, /, *args):
        return fn(*args)


@iterate
@ends
@pytest.mark.parametrize("calls", [0, 4])
def test_an_error_of_the_executor_is_not_an_items(calls, end, iterate):
    pipeline = Pipeline(range(9)).map(abs, executor=Refuses(calls), concurrency=1, **end)
    with pytest.raises(ExecutorError, match="the Refuses took no work: OSError: no route") as found:
        iterate(pipeline)
    assert isinstance(found.value.__cause__, OSError)
    assert f"in stage map(abs), item {calls}: {calls}" in found.value.__notes__
    assert not pipeline.statistics().failures


@iterate
@ends
@pytest.mark.parametrize("timeout", [None, 9])
def test_a_pool_that_was_shut_down_is_an_error(timeout, end, iterate):
    for kind in (ThreadPoolExecutor, ProcessPoolExecutor, ThreadPool):
        pool = kind(1)
        pool.shutdown()
        with pytest.raises(ExecutorError, match=f"the {kind.__name__} took no work"):
            iterate(Pipeline(range(9)).map(abs, executor=pool, timeout=timeout, **end))


@ends
def test_what_is_no_executor_is_an_error_whatever_on_error_says(end):
    with pytest.raises(ExecutorError, match="the GivesNoFuture took no work"):
        list(Pipeline(range(9)).map(abs, executor=GivesNoFuture(), **end))


@pytest.mark.parametrize("kind", [ThreadPoolExecutor, ProcessPoolExecutor, Refuses])
def test_a_class_is_no_executor(kind):
    with pytest.raises(ValueError, match=rf"make one, {kind.__name__}\(...\)"):
        Pipeline([]).map(abs, executor=kind)


@iterate
@ends
def test_a_machine_that_gives_no_thread_is_an_error(end, iterate, monkeypatch):
    start = threading.Thread.start

    def refuse(thread):
        if thread.name.startswith("abs"):
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse)
    for timeout in (None, 9):
        with pytest.raises(ExecutorError, match="the ThreadPool took no work: RuntimeError"):
            iterate(Pipeline(range(9)).map(abs, timeout=timeout, **end))


@iterate
def test_a_machine_that_gives_some_threads_works_with_those(iterate, monkeypatch):
    start, given, two = threading.Thread.start, [], threading.Event()

    def refuse(thread):
        if thread.name.startswith("nap"):
            if len(given) == 2:
                two.set()
                raise RuntimeError("can't start new thread")
            given.append(thread)
        start(thread)

    def nap(value):
        two.wait(10)  # so that none is idle before a third is asked for
        return value

    monkeypatch.setattr(threading.Thread, "start", refuse)
    assert iterate(Pipeline(range(99)).map(nap, concurrency=8)) == list(range(99))
    assert 1 <= len(given) <= 2  # in virtual time they take turns


@pytest.mark.parametrize("timeout", [None, 99])
@pytest.mark.parametrize(("count", "seconds"), [(1, 6), (2, 3), (3, 2), (4, 2)])
def test_where_a_machine_gives_some_threads_virtual_time_goes_on(
    timeout, count, seconds, monkeypatch
):
    start, given, begun = threading.Thread.start, [], []

    def refuse(thread):
        if thread.name.startswith("nap"):
            if len(given) == count:
                raise RuntimeError("can't start new thread")
            given.append(thread)
        start(thread)

    def nap(value):
        begun.append(value)
        compute(1)
        return value

    async def main():
        items = [item async for item in Pipeline(range(6)).map(nap, concurrency=4, timeout=timeout)]
        return items, asyncio.get_running_loop().time()

    monkeypatch.setattr(threading.Thread, "start", refuse)
    assert simulate(main()) == (list(range(6)), seconds)
    assert begun == list(range(6))


@iterate
def test_work_that_the_executor_drops_is_not_an_items_error(iterate):
    begun, dropped = threading.Event(), threading.Event()

    def hold(value):
        begun.set()
        dropped.wait(20)
        return value

    def drop():
        begun.wait(20)
        deadline = time.monotonic() + 0.5  # in virtual time they are handed over one by one
        while pool._jobs.qsize() < 5 and time.monotonic() < deadline:
            time.sleep(0.001)
        pool.shutdown(wait=False, cancel_futures=True)
        dropped.set()

    pool = ThreadPool(1)
    thread = threading.Thread(target=drop)
    thread.start()
    with pytest.raises(ExecutorError, match="the ThreadPool took no work"):
        iterate(Pipeline(range(6)).map(hold, executor=pool, concurrency=6, on_error="skip"))
    thread.join()


@iterate
def test_a_broken_pool_of_the_functions_own_is_its_error(iterate):
    def load(value):
        if value == 2:
            raise BrokenExecutor("an inner pool")
        return value

    pipeline = Pipeline(range(5)).map(load, on_error="skip")
    assert iterate(pipeline) == [0, 1, 3, 4]
    assert isinstance(pipeline.statistics().failures[0].error, BrokenExecutor)


def test_what_only_the_loop_can_read_does_not_come_out_of_a_process():
    pipeline = Pipeline([1, 2]).flat_map(later, executor="process", on_error="skip")
    with pytest.raises(TypeError, match="only the event loop can read"):
        list(pipeline)


# context variables


user = contextvars.ContextVar("user", default="nobody")


def who(value):
    return user.get()


async def who_async(value):
    await asyncio.sleep(0)
    return user.get()


STAGES = {
    "threads": lambda p: p.map(who),
    "threads with a time-out": lambda p: p.map(who, timeout=9),
    "inline": lambda p: p.map(who, executor="inline"),
    "on the loop": lambda p: p.map(who_async),
    "flat_map": lambda p: p.flat_map(lambda value: [who(value)]),
    "filter": lambda p: p.filter(lambda value: user.get() == "ada").map(lambda value: "ada"),
    "collate": lambda p: p.batch(1, collate=who),
    "retried": lambda p: p.map(who, retries=1),
}


@iterate
@pytest.mark.parametrize("stage", STAGES.values(), ids=STAGES)
def test_functions_see_the_context_variables_of_the_caller(stage, iterate):
    token = user.set("ada")
    try:
        assert set(iterate(stage(Pipeline(range(40))))) == {"ada"}
        assert simulate(collect(stage(Pipeline(range(3))))) == ["ada"] * 3
    finally:
        user.reset(token)


@iterate
def test_so_do_those_in_an_executor_of_the_callers(iterate):
    user.set("ada")
    with ThreadPoolExecutor(2) as pool:
        assert set(iterate(Pipeline(range(9)).map(who, executor=pool))) == {"ada"}
    user.set("nobody")


class Client:
    """What belongs to the loop on which it was first used, as the clients of web servers do."""

    def __init__(self):
        self.turn = asyncio.Semaphore(1)

    async def get(self, value):
        async with self.turn:
            await asyncio.sleep(0.001)
        return value


@pytest.mark.parametrize("shared", [Client, lambda: Client])
def test_what_belongs_to_a_loop_is_not_shared_by_epochs_of_plain_for(shared):
    client = shared()
    get = client.get if isinstance(client, Client) else lambda value: Client().get(value)
    pipeline = Pipeline(range(4)).flat_map(listed(get), concurrency=2)
    assert list(pipeline) == [0, 1, 2, 3]
    if not isinstance(client, Client):  # made within the function
        assert list(pipeline) == [0, 1, 2, 3]
        return
    with pytest.raises(RuntimeError, match="different event loop") as caught:
        list(pipeline)
    assert "has an event loop of its own" in caught.value.__notes__[-1]


def listed(get):
    async def load(value):
        return [await get(value)]

    return load


@iterate
def test_the_source_sees_them_too(iterate):
    user.set("ada")

    def source():
        yield user.get()

    async def stream():
        yield user.get()

    assert iterate(Pipeline(source)) == iterate(Pipeline(stream)) == ["ada"]
    user.set("nobody")
