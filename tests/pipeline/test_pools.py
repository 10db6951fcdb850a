"""Pools of processes: started when needed, kept between epochs, ended with the pipeline."""

import asyncio
import copy
import gc
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import time
from concurrent.futures import BrokenExecutor
from itertools import chain
from pathlib import Path
from textwrap import dedent, indent

import pytest

from asyncml.failures import ExecutorError
from asyncml.internals import manager_of, processes_of
from asyncml.pipeline import mix, pools
from asyncml.pipeline.executors import Processes
from asyncml.pipeline.pipeline import Pipeline
from asyncml.pipeline.pools import (
    Pools,
    _close_pools,
    _end_with_parent,
    close_pool,
    start_processes,
)
from tests.pipeline.consuming import ITERATE
from tests.pipeline.failing import ENDS, ends
from tests.pipeline.in_processes import (
    deaf,
    dies,
    in_processes,
    pid_of,
    pid_or_error,
    pid_then_hang,
)


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


@ends
def test_a_dead_process_is_one_error_that_blames_no_item(end):
    pipeline = Pipeline(range(64)).map(dies, executor="process", concurrency=2, **end)
    with pytest.raises(BrokenExecutor) as caught:
        list(pipeline)
    (note,) = caught.value.__notes__
    assert note.startswith("in stage map(dies): a worker of the executor ended")
    assert "item" not in note


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


def test_they_are_kept_where_the_last_result_came_before_its_callbacks_ran():
    async def main():
        kept = Pools()
        place = Processes(kept, 1)
        job = place.submit(abs, -1)
        job.remove_done_callback(place._ended)  # as if it had not run yet
        assert await job == 1
        place.close()
        taken = kept.take(1)
        close_pool(place.executor)
        return taken is place.executor

    assert asyncio.run(main())


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

    monkeypatch.setattr(pools, "_is_well", dies_then)
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


@pytest.mark.parametrize("let_go", [close_pool, id], ids=["a moment before", "with it"])
def test_a_program_ends_once_the_threads_that_manage_processes_have(let_go):
    pool = start_processes(1)
    assert pool.submit(abs, -1).result(30) == 1
    manager = manager_of(pool)
    let_go(pool)
    _close_pools()
    assert not manager.is_alive()
    assert not pools._ending


@pytest.mark.skipif(sys.platform == "win32", reason="it has no such signals")
def test_a_process_that_will_not_end_is_not_waited_for_long():
    pool = start_processes(1)
    assert pool.submit(deaf).result(30) is None
    hangs = pool.submit(time.sleep, 600)
    while not hangs.running():
        time.sleep(0.005)
    manager, (process,) = manager_of(pool), processes_of(pool)
    _close_pools(patience=0.05)
    assert manager.is_alive()
    assert process.is_alive()
    process.kill()
    _close_pools()
    assert not manager.is_alive()


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_a_copy_of_this_process_ends_without_the_processes_of_the_pipeline():
    def fork(value):
        if value == 2:
            child = multiprocessing.get_context("fork").Process(target=abs, args=(1,))
            child.start()
            child.join(9)
            assert child.exitcode == 0
        return value

    loading = Pipeline(range(9)).map(abs, executor="process", concurrency=1, lookahead=1)
    assert list(loading.map(fork, executor="inline")) == list(range(9))


def test_heavy_modules_are_loaded_when_they_are_needed():
    program = """
import sys
import asyncml.pipeline.pipeline
print({"multiprocessing", "concurrent.futures.process", "html"} & set(sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "set()\n"
