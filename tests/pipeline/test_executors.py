"""Where plain functions run: what they see there, and what happens when nothing runs them."""

import asyncio
import concurrent.futures
import contextvars
import copy
import gc
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor, ThreadPoolExecutor
from itertools import chain
from pathlib import Path
from textwrap import dedent, indent

import pytest

from asyncml.clock import compute, simulate
from asyncml.failures import ExecutorError
from asyncml.pipeline import executors, mix
from asyncml.pipeline.executors import _end_with_parent
from asyncml.pipeline.pipeline import Pipeline
from asyncml.threads import ThreadPool
from tests.pipeline.in_processes import (
    dies,
    in_processes,
    later,
    pid_of,
    pid_or_error,
    pid_then_hang,
)


async def collect(pipeline):
    return [item async for item in pipeline]


ITERATE = {
    "async for": lambda p: asyncio.run(collect(p)),
    "for": list,
    "in virtual time": lambda p: simulate(collect(p)),
}
iterate = pytest.mark.parametrize("iterate", ITERATE.values(), ids=ITERATE)
ENDS = {
    "raise": {},
    "skip": {"on_error": "skip"},
    "replace": {"on_error": lambda error, item: -1},
    "retry": {"retries": 3, "on_error": "skip", "retry_on": Exception},
}
ends = pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)


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


def daemonic(queue):
    for end in (ENDS["raise"], ENDS["skip"]):
        try:
            queue.put(list(Pipeline(range(9)).map(abs, executor="process", **end)))
        except ExecutorError as error:
            queue.put(str(error))


def test_a_daemonic_process_can_start_none_and_says_so():
    spawn = multiprocessing.get_context("spawn")
    queue = spawn.Queue()
    process = spawn.Process(target=daemonic, args=(queue,), daemon=True)
    process.start()
    for _ in range(2):
        assert "daemonic processes are not allowed to have children" in queue.get(timeout=30)
    process.join(9)
    queue.close()
    queue.join_thread()


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


# a process that dies


@ends
def test_a_dead_process_is_one_error_that_blames_no_item(end):
    pipeline = Pipeline(range(64)).map(dies, executor="process", concurrency=2, **end)
    with pytest.raises(BrokenExecutor) as caught:
        list(pipeline)
    (note,) = caught.value.__notes__
    assert note.startswith("in stage map(dies): a worker of the executor ended")
    assert "item" not in note


# a program that is killed


PROGRAM = """
import os, sys, time
from asyncml.pipeline.pipeline import Pipeline
from tests.pipeline.in_processes import tell
if __name__ == "__main__":
    for pid in Pipeline(range(99)).map(tell, executor="process", concurrency=2, **{options}):
        print(pid, flush=True)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="it has no such signals")
@pytest.mark.parametrize(
    ("end", "options"),
    [("SIGTERM", {}), ("SIGKILL", {}), ("SIGKILL", {"timeout": 30}), ("SIGINT", {})],
)
def test_the_workers_of_a_program_that_is_killed_end_with_it(end, options, tmp_path):
    script = tmp_path / "program.py"
    script.write_text(PROGRAM.replace("{options}", repr(options)))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    program = subprocess.Popen(
        [sys.executable, str(script)], stdout=subprocess.PIPE, env=environment, text=True
    )
    with program:
        workers = {int(program.stdout.readline()) for _ in range(6)}
        program.send_signal(getattr(signal, end))
        program.communicate(timeout=30)
    deadline = time.monotonic() + 30
    while any(map(runs, workers)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not [pid for pid in workers if runs(pid)]


def runs(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # one that has ended and that nobody has asked about yet still has its number
    stat = Path(f"/proc/{pid}/stat")
    try:
        return not stat.exists() or ") Z " not in stat.read_text()
    except OSError:  # it has gone in between
        return False


def test_only_a_worker_can_end_with_its_parent():
    with pytest.raises(AssertionError):
        _end_with_parent()


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


# processes that are kept


def waits_to_end(pids):
    deadline = time.monotonic() + 30
    while any(map(runs, pids)) and time.monotonic() < deadline:
        time.sleep(0.005)
    return not [pid for pid in pids if runs(pid)]


KEPT = {"plain": {}, "timed": {"timeout": 30}}
kept = pytest.mark.parametrize("options", KEPT.values(), ids=KEPT)


@kept
def test_processes_are_kept_from_epoch_to_epoch_and_shared_by_derived_pipelines(options):
    pipeline = in_processes(pid_of, options)
    pids = {*pipeline}
    for again in ITERATE.values():
        assert {*again(pipeline)} == {*again(pipeline.take(1))} == pids
    assert len(pids) == 1
    assert all(map(runs, pids))


def kept_by(pipeline):
    pools = chain.from_iterable(pipeline._pools._idle.values())
    return {pid for pool in pools for pid in pool._processes}


def test_two_that_run_at_once_have_processes_of_their_own():
    pipeline = in_processes(pid_of, {}).map(pid_of, executor="process", concurrency=1)
    one, other = iter(pipeline.prefetch(1)), iter(pipeline.prefetch(2))
    seen = {next(one)}, {next(other)}
    pids = seen[0] | {*one}, seen[1] | {*other}
    assert len(pids[0]) == len(pids[1]) == 1
    assert not pids[0] & pids[1]
    four = kept_by(pipeline)
    assert len(four) == 4
    assert {*pipeline} <= four == kept_by(pipeline)


@kept
def test_they_end_with_the_last_pipeline(options):
    gc.disable()
    try:
        pipeline = in_processes(pid_of, options)
        derived = pipeline.batch(2)
        pids = {*pipeline}
        del pipeline
        assert all(map(runs, pids))
        assert {*chain.from_iterable(derived)} == pids
        del derived
        assert waits_to_end(pids)
        assert waits_to_end({*in_processes(pid_of, options)})  # nobody has kept that one
    finally:
        gc.enable()


@kept
def test_leaving_early_ends_what_they_do_and_the_next_epoch_starts_afresh(options):
    pipeline = in_processes(pid_then_hang, options)
    iterator = iter(pipeline)
    pid = next(iterator)
    iterator.close()
    assert not kept_by(pipeline)
    assert waits_to_end({pid})
    assert {*pipeline.take(1)} == kept_by(pipeline) != {pid}


@kept
@pytest.mark.skipif(sys.platform == "win32", reason="it has no such signals")
def test_where_one_has_died_meanwhile_others_are_started(options):
    pipeline = in_processes(pid_of, options)
    (pid,) = {*pipeline}
    os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + 30  # its first thread may be gone before the others are
    while pid in {each.pid for each in multiprocessing.active_children()}:
        assert time.monotonic() < deadline
        time.sleep(0.005)
    (other,) = {*pipeline}
    assert other != pid
    assert {*pipeline} == {other}


@kept
@pytest.mark.skipif(sys.platform == "win32", reason="it has no such signals")
def test_where_one_dies_just_as_it_is_taken_others_are_started(options, monkeypatch):
    def dies_then(pool):
        for pid in pool._processes:
            os.kill(pid, signal.SIGKILL)
        return True

    monkeypatch.setattr(executors, "_is_well", dies_then)
    pipeline = in_processes(pid_of, options)
    (pid,) = {*pipeline}
    (other,) = {*pipeline}
    assert other != pid


@kept
def test_where_one_dies_the_next_epoch_starts_afresh(options):
    pipeline = Pipeline(lambda epoch: range(7 - 3 * epoch)).map(
        dies, executor="process", concurrency=2, **options
    )
    with pytest.raises(BrokenExecutor):
        list(pipeline)
    assert list(pipeline) == [0, 1, 2, 3]


def test_an_error_of_the_function_leaves_them_as_they_are():
    pipeline = in_processes(pid_or_error, {}, on_error="skip", count=6)
    pids = {*pipeline}
    assert pids == {*pipeline}
    assert [str(failed.error) for failed in pipeline.statistics().failures] == [str(*pids)]
    strict = in_processes(pid_or_error, {})
    for _ in range(2):
        with pytest.raises(OSError, match=r"^\d+"):
            list(strict)


def test_a_copy_has_processes_of_its_own():
    pipeline = in_processes(pid_of, {})
    pids = {*pipeline}
    for make in (copy.copy, copy.deepcopy, lambda it: pickle.loads(pickle.dumps(it))):
        other = make(pipeline)
        assert not {*other} & pids
        assert {*other.take(1)} == {*other.take(2)}
    assert {*pipeline} == pids


def test_pipelines_that_are_mixed_keep_theirs():
    whole = mix([in_processes(pid_of, {}), in_processes(pid_of, {})])
    pids = {*whole}
    assert {*whole} == {*whole.take(3)} == pids
    assert len(pids) == 2
    del whole
    gc.collect()
    assert waits_to_end(pids)


def test_a_resumed_run_makes_again_in_the_same_processes():
    def make():
        return in_processes(pid_of, {}).shuffle(3)

    pipeline = make()
    iterator = iter(pipeline)
    next(iterator)
    state = pipeline.state_dict()
    iterator.close()
    other = make()
    other.load_state_dict(state)
    pids = {*other}
    assert len(pids) == 2  # those that are made again, and the others
    assert {*other} <= pids == kept_by(other)


PROGRAMS = {
    "ends": """
        started = time.monotonic()
        import atexit
        atexit.register(lambda: print(time.monotonic() - started < 30, flush=True))
    """,
    "forks": """
        def inside():
            others = {*pipeline}
            print(others.isdisjoint(pids), len(others), flush=True)
        child = multiprocessing.get_context("fork").Process(target=inside)
        child.start()
        child.join()
        print({*pipeline} == pids, flush=True)
    """,
}


@pytest.mark.skipif(sys.platform == "win32", reason="it cannot fork")
@pytest.mark.parametrize(
    ("name", "said", "options"),
    [("ends", "True", {}), ("ends", "True", {"timeout": 30}), ("forks", "True 1 True", {})],
)
def test_a_program_that_keeps_processes(name, said, options, tmp_path):
    script = tmp_path / "program.py"
    script.write_text(
        "import multiprocessing, time\n"
        "from tests.pipeline.in_processes import in_processes, pid_of\n"
        "if __name__ == '__main__':\n"
        f"    pipeline = in_processes(pid_of, {options})\n"
        "    pids = {*pipeline}\n"
        "    print(*pids, flush=True)\n" + indent(dedent(PROGRAMS[name]), "    ")
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-W", "ignore::DeprecationWarning", str(script)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    pid, *words = done.stdout.split()
    assert (done.stderr, " ".join(words)) == ("", said)
    assert waits_to_end({int(pid)})
