"""Virtual time waits for threads that the program starts on its own, as far as it can see them."""

import asyncio
import concurrent.futures
import contextlib
import queue
import threading
import time

import pytest

from asyncml.clock import Deadlock, simulate, strangers
from asyncml.clock import loop as clock
from asyncml.threads import ThreadPool
from asyncml.timeline.recorder import record

# real time, for what a thread does: long after whatever the clock could do by mistake
WORK_S = 0.02


def now():
    return asyncio.get_running_loop().time()


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(strangers, "PATIENCE_S", 0.02)
    monkeypatch.setattr(clock, "LAST_PATIENCE_S", 0.02)


def work():
    time.sleep(WORK_S)
    return "done"


# ---- ways in which a thread that the clock did not start ends a wait ----


async def by_a_pool_made_before(pool):
    return await asyncio.wrap_future(pool.submit(work))


async def by_a_pool_of_its_own(_):
    with ThreadPool(1) as pool:
        return await asyncio.wrap_future(pool.submit(work))


async def by_one_pool_thread_in_turn(pool):
    futures = [asyncio.wrap_future(pool.submit(work)) for _ in range(3)]
    return (await asyncio.gather(*futures))[-1]


async def by_a_job_that_a_pool_reports(_):
    loop, future = asyncio.get_running_loop(), asyncio.get_running_loop().create_future()
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        pool.submit(lambda: (work(), loop.call_soon_threadsafe(future.set_result, "done")))
        return await future


async def by_a_thread(_):
    loop, future = asyncio.get_running_loop(), asyncio.get_running_loop().create_future()

    def run():
        loop.call_soon_threadsafe(future.set_result, work())

    thread = threading.Thread(target=run)
    thread.start()
    result = await future
    thread.join()
    return result


async def by_a_timer(_):
    loop, event = asyncio.get_running_loop(), asyncio.Event()
    timer = threading.Timer(WORK_S, loop.call_soon_threadsafe, [event.set])
    timer.start()
    await event.wait()
    timer.join()
    return "done"


async def by_anyio(_):
    to_thread = pytest.importorskip("anyio.to_thread")
    for _ in range(3):  # its thread is new, and then an idle one that is told to go on
        result = await to_thread.run_sync(work)
    return result


async def by_another_loop(_):
    other = asyncio.new_event_loop()
    thread = threading.Thread(target=other.run_forever)
    thread.start()
    try:
        sleep = asyncio.sleep(WORK_S, "done")
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(sleep, other))
    finally:
        other.call_soon_threadsafe(other.stop)
        thread.join()
        other.close()


async def by_an_actor(_):
    loop, inbox = asyncio.get_running_loop(), queue.Queue()

    def run():
        while (future := inbox.get()) is not None:
            loop.call_soon_threadsafe(future.set_result, work())

    actor = threading.Thread(target=run)
    actor.start()
    for _ in range(3):
        inbox.put(future := loop.create_future())
        result = await future
        await asyncio.sleep(0)
    inbox.put(None)
    actor.join()
    return result


WAYS = [
    by_a_pool_made_before,
    by_a_pool_of_its_own,
    by_one_pool_thread_in_turn,
    by_a_job_that_a_pool_reports,
    by_a_thread,
    by_a_timer,
    by_anyio,
    by_another_loop,
    by_an_actor,
]


@pytest.fixture
def pool():
    with concurrent.futures.ThreadPoolExecutor(1) as made:
        made.submit(int).result()  # its thread is there before the simulation
        yield made


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("in_a_loop", [False, True])
def test_it_is_no_deadlock(way, in_a_loop, pool):
    async def main():
        return await way(pool), now()

    async def outer():
        return simulate(main())

    assert (asyncio.run(outer()) if in_a_loop else simulate(main())) == ("done", 0)


@pytest.mark.parametrize("way", WAYS)
def test_no_timer_fires_meanwhile(way, pool):
    async def main():
        async with asyncio.timeout(1):
            result = await way(pool)
        await asyncio.sleep(3)
        return result, now()

    assert simulate(main()) == ("done", 3)
    assert simulate(record(main())).duration_s == 3


class Slow(threading.Thread):
    """A thread that is preempted as it starts, before `threading` counts it among those alive."""

    def start(self):
        tell = self._started.set
        self._started.set = lambda: (tell(), work())
        super().start()


@pytest.mark.parametrize("before_s", [0, 1])
def test_a_thread_that_has_just_been_started_is_seen(before_s):
    async def main():
        await asyncio.sleep(before_s)
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        thread = Slow(target=loop.call_soon_threadsafe, args=(future.set_result, "done"))
        try:
            async with asyncio.timeout(1):
                thread.start()
                return await future, now()
        finally:
            thread.join()

    assert simulate(main()) == ("done", before_s)


def test_a_pools_function_may_take_as_long_as_it_likes(pool, impatient):
    async def main():
        async with asyncio.timeout(1):
            return await by_a_pool_made_before(pool)

    assert simulate(main()) == "done"


def test_a_thread_that_was_there_before_is_known_once_it_has_called():
    inbox = queue.Queue()

    def run():
        while (job := inbox.get()) is not None:
            loop, future = job
            loop.call_soon_threadsafe(future.set_result, work())

    async def ask():
        loop = asyncio.get_running_loop()
        inbox.put((loop, future := loop.create_future()))
        return await future

    async def main():
        hold = asyncio.create_task(asyncio.to_thread(time.sleep, 2 * WORK_S))
        await ask()  # seen for another reason
        await hold
        async with asyncio.timeout(1):
            return await ask()

    actor = threading.Thread(target=run)
    actor.start()
    try:
        assert simulate(main()) == "done"
    finally:
        inbox.put(None)
        actor.join()


# ---- what is never waited for, or not for long ----


@contextlib.contextmanager
def threads(*targets):
    stop = threading.Event()
    started = [threading.Thread(target=target, args=(stop,), name="busy") for target in targets]
    for thread in started:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in started:
            thread.join()


def busily(stop):
    while not stop.is_set():
        time.sleep(0.001)


def test_a_thread_that_never_calls_costs_a_moment_once(impatient):
    async def main():
        with threads(busily):
            for _ in range(1000):
                await asyncio.sleep(1)
            return now()

    start = time.perf_counter()
    assert simulate(main()) == 1000
    assert time.perf_counter() - start < 10  # 0.1 s here; 20 if each jump cost the moment


@pytest.mark.parametrize(
    "waiting",
    [threading.Event.wait, lambda stop: stop.wait(3600), lambda stop: _serve(stop)],
    ids=["event", "timeout", "loop"],
)
def test_a_thread_that_waits_costs_nothing(waiting):
    async def main():
        with threads(waiting), contextlib.suppress(TimeoutError):
            work()  # it gets to where it waits
            async with asyncio.timeout(1):
                await asyncio.Event().wait()
        return now(), asyncio.get_running_loop().turns.strangers.patience_s

    assert simulate(main()) == (1, strangers.PATIENCE_S)


def _serve(stop):
    async def until_told():
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, stop.wait)

    asyncio.run(until_told())


@pytest.mark.parametrize("kind", [ThreadPool, concurrent.futures.ThreadPoolExecutor])
def test_the_idle_threads_of_pools_cost_nothing(kind):
    async def main():
        with kind(2) as own, kind(2) as lent:
            own.submit(work).result()
            await asyncio.get_running_loop().run_in_executor(lent, work)
            await asyncio.to_thread(work)
            work()
            for _ in range(100):
                await asyncio.sleep(1)
        return now(), asyncio.get_running_loop().turns.strangers.patience_s

    assert simulate(main()) == (100, strangers.PATIENCE_S)


def test_a_timer_that_is_far_away_is_a_watchdog_and_not_waited_for():
    async def main():
        watchdog = threading.Timer(3600, print)
        watchdog.start()
        work()
        await asyncio.sleep(5)
        watchdog.cancel()
        watchdog.join()
        return now(), asyncio.get_running_loop().turns.strangers.patience_s

    assert simulate(main()) == (5, strangers.PATIENCE_S)


def test_a_future_that_the_program_completes_itself_comes_in_its_time(impatient):
    async def main():
        source = concurrent.futures.Future()
        asyncio.get_running_loop().call_later(5, source.set_result, "done")
        return await asyncio.wrap_future(source), now()

    assert simulate(main()) == ("done", 5)


# ---- what is said where it cannot be seen ----


def test_a_deadlock_names_the_threads_that_might_have_ended_it(impatient):
    async def main():
        with threads(busily):
            await asyncio.Event().wait()

    with pytest.raises(Deadlock) as caught:
        simulate(main())
    message = str(caught.value)
    assert "no timer and no thread that simulate() knows could end this" in message
    assert "main waits for Event.wait in" in message
    assert "none of its own: busy." in message
    assert "`asyncio.to_thread` or `loop.run_in_executor`" in message


def test_a_deadlock_names_a_future_that_nobody_completes(impatient):
    async def main():
        await asyncio.wrap_future(concurrent.futures.Future())

    with pytest.raises(Deadlock, match=r"a future of asyncio\.wrap_future"):
        simulate(main())


def test_without_such_a_thread_a_deadlock_is_named_at_once(monkeypatch):
    async def main():
        await asyncio.to_thread(int)
        await asyncio.Event().wait()

    monkeypatch.setattr(clock, "LAST_PATIENCE_S", 3600.0)
    with pytest.raises(Deadlock, match="no timer or thread is left to end this"):
        simulate(main())
