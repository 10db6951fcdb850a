"""Virtual time is exact, honest about threads, and ends cleanly whatever happens."""

import asyncio
import concurrent.futures
import contextlib
import contextvars
import dataclasses
import gc
import math
import multiprocessing
import os
import signal
import socket
import sys
import threading
import time
import weakref
from pathlib import Path

import pytest

from asyncml import threads
from asyncml.clock import Deadlock, compute, simulate
from asyncml.clock import loop as clock
from asyncml.clock.loop import VirtualLoop
from asyncml.failures import ExecutorError
from asyncml.threads import ThreadPool
from asyncml.timeline.recorder import record


def now() -> float:
    return asyncio.get_running_loop().time()


def test_time_starts_at_zero_and_jumps_exactly():
    async def main():
        times = [now()]
        for seconds in (0.1, 0.2, 3600, 0):
            await asyncio.sleep(seconds)
            times.append(now())
        return times

    assert simulate(main()) == [0, 0.1, 0.1 + 0.2, 0.1 + 0.2 + 3600, 0.1 + 0.2 + 3600]


def test_a_year_is_longer_than_the_selector_may_wait():
    async def main():
        await asyncio.sleep(365 * 86400)
        return now()

    assert simulate(main()) == 365 * 86400


def test_ten_thousand_tasks_sleep_an_hour_in_under_a_second():
    async def main():
        await asyncio.gather(*(asyncio.sleep(3600) for _ in range(10_000)))
        return now()

    start = time.perf_counter()
    assert simulate(main()) == 3600
    assert time.perf_counter() - start < 5  # 0.2 s here; the margin is for a busy machine


def test_timers_fire_in_order_and_timeouts_work():
    async def main():
        seen = []

        async def note(delay):
            await asyncio.sleep(delay)
            seen.append(delay)

        async with asyncio.TaskGroup() as group:
            for delay in (3, 1, 2):
                group.create_task(note(delay))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(10):
                await asyncio.sleep(60)
        return seen, now()

    assert simulate(main()) == ([1, 2, 3], 13)


def test_equal_times_come_in_the_order_in_which_they_were_set():
    async def main():
        woken = []

        async def sleeper(i):
            await asyncio.sleep(1)
            woken.append(i)

        await asyncio.gather(*(sleeper(i) for i in range(100)))
        return woken

    assert simulate(main()) == list(range(100))


def test_compute_moves_the_clock_without_yielding():
    async def main():
        late = []

        async def heartbeat():
            for due in (1, 2, 3):
                await asyncio.sleep(due - now())
                late.append(now() - due)

        task = asyncio.create_task(heartbeat())
        await asyncio.sleep(0)
        compute(2.5)
        await task
        return late

    assert simulate(main()) == [1.5, 0.5, 0]


def test_compute_in_a_thread_waits_in_virtual_time():
    async def main():
        def work():
            compute(2)
            compute(3)
            return "done"

        heart = asyncio.create_task(asyncio.sleep(4, "beat"))
        result = await asyncio.to_thread(work)
        return result, await heart, now()

    assert simulate(main()) == ("done", "beat", 5)


def test_time_stands_still_while_a_thread_really_works():
    async def main():
        timer = asyncio.create_task(asyncio.sleep(0.001))
        await asyncio.to_thread(time.sleep, 0.05)
        assert not timer.done()
        await timer
        return now()

    assert simulate(main()) == 0.001


@pytest.mark.parametrize("make", [ThreadPool, concurrent.futures.ThreadPoolExecutor])
def test_a_pool_runs_no_more_than_its_threads_at_once(make):
    async def main(pool):
        loop = asyncio.get_running_loop()
        await asyncio.gather(*(loop.run_in_executor(pool, compute, 1) for _ in range(7)))
        return now()

    with make(3) as pool:
        assert simulate(main(pool)) == 3


def test_threads_with_equal_times_end_in_the_order_in_which_they_began():
    async def main():
        ended = []

        def work(i):
            compute(0.5)
            compute(0.5)
            ended.append(i)
            return i

        await asyncio.gather(*(asyncio.to_thread(work, i) for i in range(20)))
        return ended, now()

    for _ in range(5):
        assert simulate(main()) == (list(range(20)), 1)


def test_threads_that_wait_for_each_other_get_on(monkeypatch):
    monkeypatch.setattr(clock, "_PATIENCE_S", 0.05)

    async def main():
        barrier = threading.Barrier(2)
        await asyncio.gather(asyncio.to_thread(barrier.wait), asyncio.to_thread(barrier.wait))
        return now()

    assert simulate(main()) == 0


def test_a_cancelled_wait_for_a_queued_job_never_runs_it():
    async def main(pool):
        ran = []
        loop = asyncio.get_running_loop()
        first = loop.run_in_executor(pool, compute, 5)
        second = loop.run_in_executor(pool, ran.append, "second")
        third = loop.run_in_executor(pool, ran.append, "third")
        await asyncio.sleep(1)
        second.cancel()
        await asyncio.gather(first, third)
        return ran, now()

    with ThreadPool(1) as pool:
        assert simulate(main(pool)) == (["third"], 5)


def test_an_exception_in_a_thread_arrives():
    async def main():
        def fail():
            compute(1)
            raise ValueError("in the thread")

        with pytest.raises(ValueError, match="in the thread"):
            await asyncio.to_thread(fail)
        return now()

    assert simulate(main()) == 1


def test_a_pool_that_was_shut_down_says_so():
    async def main():
        pool = ThreadPool(1)
        pool.shutdown()
        with pytest.raises(RuntimeError, match="shut down"):
            await asyncio.get_running_loop().run_in_executor(pool, print)

    simulate(main())


POOLS = [ThreadPool, concurrent.futures.ThreadPoolExecutor]


@pytest.mark.parametrize("make", POOLS)
def test_a_job_that_its_pool_drops_is_cancelled_and_time_goes_on(make, monkeypatch):
    monkeypatch.setattr(clock, "_PATIENCE_S", 0.05)
    release, ran = threading.Event(), []

    async def main(pool):
        pool.submit(release.wait, 10)  # past the clock: so what that hands over has no thread yet
        job = asyncio.get_running_loop().run_in_executor(pool, ran.append, "dropped")
        await asyncio.to_thread(pool.shutdown, wait=False, cancel_futures=True)
        with pytest.raises(asyncio.CancelledError):
            await job
        await asyncio.sleep(5)
        return now()

    with make(1) as pool:
        assert simulate(main(pool)) == 5
        release.set()
    assert ran == []


@pytest.mark.parametrize("make", POOLS)
def test_a_job_that_its_pool_drops_after_its_task_was_cancelled_holds_no_time(make, monkeypatch):
    monkeypatch.setattr(clock, "_PATIENCE_S", 0.05)
    release = threading.Event()

    async def main(pool):
        pool.submit(release.wait, 10)
        job = asyncio.get_running_loop().run_in_executor(pool, print, "dropped")
        other = asyncio.create_task(asyncio.to_thread(compute, 3))
        await asyncio.to_thread(time.sleep, 0)
        job.cancel()
        pool.shutdown(wait=False, cancel_futures=True)
        await other
        return now()

    with make(1) as pool:
        assert simulate(main(pool)) == 3
        release.set()


@pytest.mark.parametrize("jobs", [1, 3])
def test_a_pool_whose_threads_cannot_begin_says_so_and_time_goes_on(jobs):
    def fail():
        raise ValueError("no thread of mine")

    async def main(pool):
        loop = asyncio.get_running_loop()
        some = [loop.run_in_executor(pool, print, "never") for _ in range(jobs)]
        errors = await asyncio.gather(*some, return_exceptions=True)
        await asyncio.sleep(5)
        return {type(error) for error in errors}, now()

    with concurrent.futures.ThreadPoolExecutor(2, initializer=fail) as pool:
        kinds, end = simulate(main(pool))
    broken = {concurrent.futures.thread.BrokenThreadPool}
    assert broken <= kinds <= broken | {ExecutorError}
    assert end == 5


def test_a_job_that_its_pool_has_refused_and_yet_queued_does_not_run(monkeypatch):
    release, start, ran = threading.Event(), threading.Thread.start, []

    def refuse(thread):
        if thread.name.startswith("mine"):
            raise RuntimeError("can't start new thread")
        start(thread)

    async def main(pool):
        loop = asyncio.get_running_loop()
        with pytest.raises(ExecutorError, match="can't start new thread"):
            await loop.run_in_executor(pool, ran.append, "refused")
        monkeypatch.undo()
        release.set()
        await loop.run_in_executor(pool, compute, 2)
        await asyncio.gather(asyncio.to_thread(compute, 3), asyncio.sleep(1))
        return now()

    with concurrent.futures.ThreadPoolExecutor(2, "mine") as pool:
        pool.submit(release.wait, 10)
        monkeypatch.setattr(threading.Thread, "start", refuse)
        assert simulate(main(pool)) == 5
    assert ran == []


def test_a_process_pool_works_and_takes_no_virtual_time():
    async def main(pool):
        timer = asyncio.create_task(asyncio.sleep(1))
        result = await asyncio.get_running_loop().run_in_executor(pool, pow, 2, 10)
        assert not timer.done()
        await timer
        return result, now()

    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as pool:
        assert simulate(main(pool)) == (1024, 1)


def test_what_a_thread_still_does_is_finished_as_asyncio_run_would():
    ended = []

    async def main():
        def work():
            compute(7)
            ended.append("late")

        task = asyncio.create_task(asyncio.to_thread(work))
        await asyncio.sleep(1)
        task.cancel()

    simulate(main())
    assert ended == ["late"]


def test_a_job_in_a_pool_of_ones_own_is_dropped_when_the_loop_ends():
    ended = []

    def work():
        compute(7)
        ended.append("late")

    async def main(pool):
        asyncio.get_running_loop().run_in_executor(pool, work)
        await asyncio.sleep(1)

    with ThreadPool(1) as pool:  # leaving joins the thread: a job that still waits would hang here
        simulate(main(pool))
    assert ended == []


def test_a_job_that_begins_to_wait_as_the_loop_ends_is_dropped():
    loop, works, go, ended = VirtualLoop(), asyncio.Event(), threading.Event(), []

    def work():
        loop.call_soon_threadsafe(works.set)
        go.wait(10)
        compute(7)
        ended.append("late")

    async def main(pool):
        job = loop.run_in_executor(pool, work)
        await works.wait()
        job.cancel()  # else it tells the closed loop

    with ThreadPool(1) as pool:
        loop.run_until_complete(main(pool))
        go.set()
        sleep, deadline = loop.turns._put_to_sleep, time.monotonic() + 10
        while not any(handle._callback == sleep for handle in list(loop._ready)):
            assert time.monotonic() < deadline
            time.sleep(0.001)
        loop.close()
    assert ended == []


def test_a_deadlock_names_each_task_what_it_waits_for_and_the_line():
    async def main():
        lock, queue = asyncio.Lock(), asyncio.Queue()

        async def consume():
            await queue.get()  # LINE consume

        async def twice():
            async with lock, lock:  # LINE twice
                pass

        async with asyncio.TaskGroup() as group:
            group.create_task(consume(), name="consumer")
            group.create_task(twice())

    source = Path(__file__).read_text(encoding="utf-8").splitlines()
    consume, twice = (
        next(i for i, text in enumerate(source, 1) if text.endswith(f"# LINE {name}"))
        for name in ("consume", "twice")
    )
    with pytest.raises(Deadlock) as caught:
        simulate(main())
    message = str(caught.value)
    where = "in test_simulate.py,"
    assert f"consumer waits for Queue.get {where} consume, line {consume}" in message
    assert f"twice-1 waits for Lock.acquire {where} twice, line {twice}" in message
    assert "main waits for TaskGroup in" in message
    assert [name for name, _, _ in caught.value.waits] == ["main", "twice-1", "consumer"]


def test_a_future_that_nobody_completes_is_a_deadlock_and_clean_up_still_runs():
    cleaned = []

    async def main():
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            await asyncio.sleep(1)
            cleaned.append(now())

    with pytest.raises(Deadlock, match="main waits for future"):
        simulate(main())
    assert cleaned == [1]


@pytest.mark.parametrize(("seconds", "shown"), [(0.1 + 0.2, "0.3"), (1_234_567.8, "1234568")])
def test_a_deadlock_tells_the_time_rounded_and_in_full(seconds, shown):
    async def main():
        await asyncio.sleep(seconds)
        await asyncio.Event().wait()

    with pytest.raises(Deadlock, match=rf"^at {shown} s 1 task waits"):
        simulate(main())


def test_waiting_till_the_end_of_time_is_a_deadlock():
    async def main():
        await asyncio.wait_for(asyncio.Event().wait(), math.inf)

    with pytest.raises(Deadlock, match=r"waits for"):
        simulate(main())


@pytest.mark.parametrize("start", [asyncio.create_subprocess_exec, asyncio.create_subprocess_shell])
def test_a_real_process_is_an_error_that_says_what_to_do(start):
    async def main():
        await start(sys.executable)

    with pytest.raises(RuntimeError, match="cannot wait for a real process"):
        simulate(main())


def test_exceptions_pass_through_with_the_traceback_of_the_program_alone():
    async def main():
        await asyncio.sleep(1)
        raise LookupError("mine")

    for debug, least, most in [(False, 2, 2), (True, 6, 99)]:
        with pytest.raises(LookupError, match="mine") as caught:
            simulate(main(), debug=debug)
        assert least <= len(caught.traceback) <= most
        assert [caught.traceback[0].name, caught.traceback[-1].name] == [
            "test_exceptions_pass_through_with_the_traceback_of_the_program_alone",
            "main",
        ]


def test_an_exception_that_takes_no_attributes_passes_through():
    @dataclasses.dataclass(frozen=True)
    class Frozen(Exception):
        number: int

    async def main():
        raise Frozen(3)

    with pytest.raises(Frozen):
        simulate(main())


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, asyncio.CancelledError])
def test_even_those_that_are_no_errors(error):
    async def main():
        raise error

    with pytest.raises(error):
        simulate(main())

    async def outer():
        with pytest.raises(error):
            simulate(main())

    asyncio.run(outer())


def test_inside_a_running_loop_on_a_loop_of_its_own():
    async def main():
        loop = asyncio.get_running_loop()
        before = set(threading.enumerate())

        async def inner():
            await asyncio.sleep(3600)
            return now(), asyncio.get_running_loop() is loop

        assert simulate(inner()) == (3600, False)
        assert set(threading.enumerate()) == before

    asyncio.run(main())


def test_a_simulation_inside_a_simulation_has_a_clock_of_its_own():
    async def inner():
        await asyncio.sleep(5)
        return now()

    async def outer():
        await asyncio.sleep(1)
        return simulate(inner()), now()

    assert simulate(outer()) == (5, 1)


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
@pytest.mark.parametrize("nested", [False, True])
def test_an_interrupt_cancels_the_tasks_and_passes_through(nested):
    cleaned = []

    async def main():
        threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT)).start()
        try:
            for _ in range(10**9):
                await asyncio.sleep(1)
        finally:
            cleaned.append("yes")

    async def outer():
        simulate(main())

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(outer()) if nested else simulate(main())
    assert cleaned == ["yes"]


@pytest.mark.untidy
def test_nothing_is_left_running():
    cleaned = []

    async def forever():
        try:
            await asyncio.sleep(10**9)
        finally:
            cleaned.append("task")

    async def numbers():
        try:
            yield 1
        finally:
            cleaned.append("generator")

    async def main():
        task = asyncio.create_task(forever())
        generator = numbers()
        async for _ in generator:
            break
        await asyncio.to_thread(len, "")
        return task, generator

    before = set(threading.enumerate())
    task, _ = simulate(main())
    assert task.cancelled()
    assert sorted(cleaned) == ["generator", "task"]
    assert set(threading.enumerate()) == before


def test_a_real_socket_is_an_error_that_says_what_to_do():
    async def main(port):
        await asyncio.open_connection("127.0.0.1", port)

    with socket.create_server(("127.0.0.1", 0)) as server, pytest.raises(RuntimeError) as caught:
        simulate(main(server.getsockname()[1]))
    assert "virtual time" in str(caught.value)
    assert "asyncio.run" in str(caught.value)


def _unix(name):
    return lambda loop, end: getattr(loop, name)(asyncio.Protocol, sock=end)


@pytest.mark.parametrize(
    ("what", "connect"),
    [
        ("pipe", lambda loop, end: loop.connect_read_pipe(asyncio.Protocol, end)),
        ("pipe", lambda loop, end: loop.connect_write_pipe(asyncio.BaseProtocol, end)),
        ("socket", lambda loop, end: loop.create_connection(asyncio.Protocol, sock=end)),
        ("socket", lambda loop, end: loop.create_connection(asyncio.Protocol, "localhost", 1)),
        ("socket", lambda loop, end: loop.create_server(asyncio.Protocol, "localhost", 0)),
        ("socket", lambda loop, end: loop.create_datagram_endpoint(asyncio.Protocol, sock=end)),
        ("socket", lambda loop, end: loop.connect_accepted_socket(asyncio.Protocol, end)),
        ("socket", _unix("create_unix_connection")),
        ("socket", _unix("create_unix_server")),
        ("socket", lambda loop, end: loop.sock_recv(end, 1)),
        ("socket", lambda loop, end: asyncio.to_thread(loop.add_reader, end, print)),
        ("socket", lambda loop, end: asyncio.open_connection(sock=end)),
    ],
)
def test_whatever_waits_for_the_operating_system_is_refused_at_once(what, connect, caplog):
    async def main(end):
        await connect(asyncio.get_running_loop(), end)

    ends = socket.socketpair()
    with contextlib.ExitStack() as stack:
        for end in ends:
            stack.enter_context(end).setblocking(False)
        with pytest.raises(RuntimeError, match=rf"cannot wait for a real .*{what}.*asyncio\.run"):
            simulate(main(ends[0]))
    assert not caplog.text


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
def test_a_signal_handler_works():
    async def main():
        event, loop = asyncio.Event(), asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGUSR1, event.set)
        signal.raise_signal(signal.SIGUSR1)
        async with asyncio.timeout(1):
            await event.wait()
        loop.remove_signal_handler(signal.SIGUSR1)
        return now()

    assert simulate(main()) == 0


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
def test_a_signal_reaches_a_program_that_only_yields():
    async def main():
        event, loop = asyncio.Event(), asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGUSR1, event.set)
        for turns in range(4):
            for _ in range(turns):
                await asyncio.sleep(0)
            signal.raise_signal(signal.SIGUSR1)
            for _ in range(5):
                await asyncio.sleep(0)
            assert event.is_set()
            event.clear()
        loop.remove_signal_handler(signal.SIGUSR1)
        return now()

    assert simulate(main()) == 0


async def _named():
    return asyncio.current_task().get_name()


def test_names_are_counted_per_loop_so_that_they_are_the_same_in_every_run():
    async def main():
        return [
            asyncio.current_task().get_name(),
            *await asyncio.gather(_named(), _named()),
            await asyncio.create_task(_named(), name="mine"),
        ]

    for _ in range(2):
        assert simulate(main()) == ["main", "_named-1", "_named-2", "mine"]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (_named, "needs a coroutine, got _named: call it, `simulate(_named())`"),
        (3, "needs a coroutine, got 3"),
    ],
)
def test_simulate_wants_a_coroutine(wrong, message):
    with pytest.raises(TypeError) as caught:
        simulate(wrong)
    assert message in str(caught.value)


@pytest.mark.parametrize("seconds", [-1, math.nan, math.inf])
def test_compute_wants_a_duration(seconds):
    with pytest.raises(ValueError, match="`seconds` must be >= 0 and finite, got"):
        compute(seconds)


def test_compute_spins_in_real_time():
    start = time.perf_counter()
    compute(0.02)
    assert time.perf_counter() - start >= 0.02


def test_debug_mode_sees_virtual_blocks(caplog):
    async def main():
        assert asyncio.get_running_loop().get_debug()
        compute(5)

    simulate(main(), debug=True)
    assert "took 5.000 seconds" in caplog.text


@pytest.mark.parametrize(
    "wrong",
    [
        lambda loop: loop.call_later(1, _named),
        lambda loop: loop.call_at(1, _named),
        lambda loop: loop.call_soon(_named),
        lambda loop: loop.run_in_executor(None, _named),
        lambda loop: loop.call_later(1, "text"),
    ],
)
def test_debug_mode_checks_callbacks_as_asyncio_does(wrong):
    async def main():
        wrong(asyncio.get_running_loop())

    messages = []
    for run in (simulate, asyncio.run):
        with pytest.raises(TypeError) as caught:
            run(main(), debug=True)
        messages.append(str(caught.value))
    assert messages[0] == messages[1]


@pytest.mark.parametrize("method", ["call_later", "call_at", "call_soon"])
def test_debug_mode_notices_a_call_from_another_thread(method):
    async def main():
        loop = asyncio.get_running_loop()
        args = (print,) if method == "call_soon" else (1, print)
        await asyncio.to_thread(getattr(loop, method), *args)

    with pytest.raises(RuntimeError, match="Non-thread-safe operation"):
        simulate(main(), debug=True)


@pytest.mark.parametrize(
    "wrong", [lambda loop: loop.call_at(None, print), lambda loop: loop.call_later(None, print)]
)
@pytest.mark.parametrize("debug", [False, True])
def test_a_timer_without_a_time_is_an_error_as_in_asyncio(wrong, debug):
    async def main():
        wrong(asyncio.get_running_loop())

    messages = []
    for run in (simulate, asyncio.run):
        with pytest.raises(TypeError) as caught:
            run(main(), debug=debug)
        messages.append(str(caught.value))
    assert messages[0] == messages[1]


@pytest.mark.parametrize("method", ["call_later", "call_at"])
def test_debug_mode_says_where_a_timer_was_set(method):
    async def main():
        loop = asyncio.get_running_loop()
        handle = getattr(loop, method)(0, print)
        handle.cancel()
        return handle._source_traceback[-1].name

    assert simulate(main(), debug=True) == "main"


def test_a_pool_of_ours_that_is_left_while_its_job_computes_lets_it_end(monkeypatch):
    async def main():
        with ThreadPool(1) as pool:
            job = asyncio.get_running_loop().run_in_executor(pool, compute, 5)
            await asyncio.sleep(1)
        await job
        return asyncio.get_running_loop().time()

    monkeypatch.setattr(threads, "_PATIENCE_S", 0.01)
    assert simulate(main()) == 5


def test_after_its_shutdown_the_default_executor_takes_nothing():
    async def main():
        await asyncio.get_running_loop().shutdown_default_executor()
        await asyncio.to_thread(print)

    with pytest.raises(RuntimeError, match="Executor shutdown has been called"):
        simulate(main())


def test_an_executor_that_calls_itself_empty_is_used():
    class Empty(ThreadPool):
        def __len__(self):
            return 0

    async def main(pool):
        name = await asyncio.get_running_loop().run_in_executor(pool, threading.current_thread)
        return name.name

    with Empty(1, name="mine") as pool:
        assert simulate(main(pool)) == "mine-1"


class Large:
    """Stands for the data of a function that fails."""


def _fail(seen):
    large = Large()
    seen.append(weakref.ref(large))
    raise ValueError("it failed")


async def in_a_task(seen):
    await asyncio.sleep(1)
    _fail(seen)


async def in_a_thread(seen):
    await asyncio.to_thread(_fail, seen)


async def in_a_pool_of_its_own(seen):
    with ThreadPool(1) as pool:
        await asyncio.wrap_future(pool.submit(_fail, seen))


async def in_a_nested_simulation(seen):
    simulate(in_a_task(seen))


async def in_a_nested_recording(seen):
    simulate(record(in_a_thread(seen)))


FAILING = [
    in_a_task,
    in_a_thread,
    in_a_pool_of_its_own,
    in_a_nested_simulation,
    in_a_nested_recording,
]


@pytest.mark.parametrize("fail", FAILING)
@pytest.mark.parametrize("recorded", [False, True])
@pytest.mark.parametrize("is_last", [False, True])
def test_what_a_failed_function_held_is_freed_without_a_collection(fail, recorded, is_last):
    async def main():
        if is_last:
            await fail(seen)
        for _ in range(3):
            with contextlib.suppress(ValueError):
                await asyncio.create_task(fail(seen))
        await asyncio.sleep(1)

    seen = []
    gc.disable()
    try:
        with contextlib.suppress(ValueError):
            simulate(record(main()) if recorded else main())
        assert len(seen) == (1 if is_last else 3)
        assert [large() for large in seen] == [None] * len(seen)
    finally:
        gc.enable()


@pytest.mark.parametrize("in_a_loop", [False, True])
def test_contextvars_reach_the_simulation_and_its_threads(in_a_loop):
    async def main():
        assert isinstance(asyncio.get_running_loop(), VirtualLoop)
        seen = variable.get(), await asyncio.to_thread(variable.get)
        variable.set("changed inside")
        return seen

    async def outer():
        return simulate(main()), variable.get()

    variable = contextvars.ContextVar("variable", default="unset")
    token = variable.set("set")
    result = asyncio.run(outer()) if in_a_loop else (simulate(main()), variable.get())
    variable.reset(token)
    assert result == (("set", "set"), "set")
