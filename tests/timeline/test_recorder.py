"""A recording is exact, changes nothing of what it records, and leaves the loop as it was."""

import asyncio
import concurrent.futures
import contextlib
import contextvars
import dataclasses
import gc
import inspect
import io
import operator
import sys
import threading
import time
import traceback
import warnings
import weakref
from collections import defaultdict
from collections.abc import Coroutine
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from asyncml.clock import Deadlock, compute, simulate
from asyncml.threads import ThreadPool
from asyncml.timeline.lanes import Slice
from asyncml.timeline.recorder import record
from asyncml.timeline.timeline import Timeline

needs_eager = pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks are new in 3.12")


def recorded(main):
    return simulate(record(main))


def lane(timeline, name):
    return [tuple(piece[1:5]) for piece in timeline.slices if piece.lane == name]


def waits(timeline, name):
    return [
        (s.start_s, s.end_s, s.reason) for s in timeline.slices if s.lane == name and s[1][0] == "w"
    ]


async def fetch(seconds, result=None):
    await asyncio.sleep(seconds)
    return result


# ---- what is seen ----


def test_a_task_waits_runs_and_waits():
    async def main():
        await asyncio.sleep(1)
        compute(0.5)
        await asyncio.sleep(2)
        return 42

    timeline = recorded(main())
    assert timeline.result == 42
    assert timeline.slices == [
        Slice("main", "waiting", 0, 1, "sleep", "timer"),
        Slice("main", "running", 1, 1.5, ""),
        Slice("main", "waiting", 1.5, 3.5, "sleep", "timer"),
    ]


def test_nested_awaits_are_one_lane_with_the_innermost_reason():
    async def outer():
        await middle()

    async def middle():
        await fetch(1)
        await fetch(2)

    assert waits(recorded(outer()), "outer") == [(0, 1, "sleep"), (1, 3, "sleep")]


def test_who_is_woken_while_the_loop_computes_is_ready():
    async def main():
        sleeper = asyncio.create_task(fetch(1))
        await asyncio.sleep(0)
        compute(3)
        await sleeper

    timeline = recorded(main())
    assert lane(timeline, "fetch-1") == [("waiting", 0, 1, "sleep"), ("ready", 1, 3, "")]
    assert lane(timeline, "main") == [("running", 0, 3, "")]


@pytest.mark.parametrize(
    ("wait", "reason"),
    [
        (lambda: asyncio.create_task(fetch(1)), "task fetch-1"),
        (lambda: asyncio.gather(fetch(1), fetch(1)), "gather"),
        (lambda: asyncio.shield(asyncio.create_task(fetch(1))), "task fetch-1"),
        (lambda: asyncio.wait([asyncio.create_task(fetch(1))]), "wait"),
        (lambda: asyncio.to_thread(compute, 1), "thread compute"),
        (lambda: asyncio.sleep(1), "sleep"),
    ],
)
def test_reasons(wait, reason):
    async def main():
        await wait()

    assert waits(recorded(main()), "main") == [(0, 1, reason)]


def test_reasons_of_queues_locks_and_the_like():
    async def main():
        queue, full, event = asyncio.Queue(), asyncio.Queue(1), asyncio.Event()
        lock, semaphore, condition = asyncio.Lock(), asyncio.Semaphore(0), asyncio.Condition()
        await lock.acquire()
        full.put_nowait(0)

        async def notified():
            async with condition:
                await condition.wait()

        async def locked():
            async with lock:
                pass

        async with asyncio.TaskGroup() as group:
            for coro in (queue.get(), full.put(1), event.wait(), semaphore.acquire()):
                group.create_task(coro)
            group.create_task(notified())
            group.create_task(locked())
            await asyncio.sleep(1)
            queue.put_nowait(1)
            full.get_nowait()
            event.set()
            semaphore.release()
            lock.release()
            async with condition:
                condition.notify_all()

    timeline = recorded(main())
    reasons = {name: waits(timeline, name)[0] for name in timeline.lanes}
    assert reasons == {
        "main": (0, 1, "sleep"),
        "get-1": (0, 1, "Queue.get"),
        "put-1": (0, 1, "Queue.put"),
        "wait-1": (0, 1, "Event.wait"),
        "acquire-1": (0, 1, "Semaphore.acquire"),
        "notified-1": (0, 1, "Condition.wait"),
        "locked-1": (0, 1, "Lock.acquire"),
    }


def test_task_group_timeout_and_as_completed():
    async def main():
        async with asyncio.TaskGroup() as group:
            group.create_task(fetch(2))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1):
                await fetch(10)
        for done in asyncio.as_completed([fetch(1), fetch(2)]):
            await done

    assert waits(recorded(main()), "main") == [
        (0, 2, "TaskGroup"),
        (2, 3, "sleep"),
        (3, 4, "as_completed"),
        (4, 5, "as_completed"),
    ]


def test_wait_for_in_time_and_too_late():
    async def main():
        await asyncio.wait_for(fetch(1), 5)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(fetch(9), 2)

    spans = [(start, end) for start, end, _ in waits(recorded(main()), "main")]
    assert spans == [(0, 1), (1, 3)]


def test_asynchronous_generators_and_context_managers():
    @contextlib.asynccontextmanager
    async def opened():
        await asyncio.sleep(1)
        try:
            yield
        finally:
            await asyncio.sleep(2)

    async def numbers():
        for i in range(2):
            await asyncio.sleep(3)
            yield i

    async def main():
        async with opened():
            return [i async for i in numbers()]

    timeline = recorded(main())
    assert timeline.result == [0, 1]
    assert waits(timeline, "main") == [
        (0, 1, "sleep"),
        (1, 4, "sleep"),
        (4, 7, "sleep"),
        (7, 9, "sleep"),
    ]


def test_threads_have_lanes_of_their_own():
    def decode(seconds):
        compute(seconds)
        return seconds

    async def main():
        loop = asyncio.get_running_loop()
        with ThreadPool(2) as pool:
            jobs = [loop.run_in_executor(pool, decode, seconds) for seconds in (3, 1, 1)]
            return await asyncio.gather(*jobs)

    timeline = recorded(main())
    assert timeline.result == [3, 1, 1]
    assert lane(timeline, "thread-1") == [("running", 0, 3, "decode")]
    assert lane(timeline, "thread-2") == [("running", 0, 1, "decode"), ("running", 1, 2, "decode")]


def test_a_task_or_a_thread_that_goes_on_is_drawn_to_the_end_of_the_recording():
    async def main():
        asyncio.get_running_loop().run_in_executor(None, compute, 5)
        await asyncio.sleep(1)

    assert lane(recorded(main()), "thread-1") == [("running", 0, 1, "compute")]


@pytest.mark.untidy
def test_a_task_that_is_cut_off_at_the_end_waited_until_then():
    async def tidies_up():
        try:
            await asyncio.sleep(10)
        finally:
            await asyncio.sleep(10)

    async def main():
        tasks = [asyncio.create_task(tidies_up(), name=name) for name in ("stopped", "left")]
        await asyncio.sleep(1)
        tasks[0].cancel()
        await asyncio.sleep(1)

    timeline = recorded(main())
    assert lane(timeline, "stopped") == [("waiting", 0, 1, "sleep"), ("waiting", 1, 2, "sleep")]
    assert lane(timeline, "left") == [("waiting", 0, 2, "sleep")]


def test_a_process_pool_works_and_its_jobs_are_seen():
    async def main():
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(_Elsewhere(), pow, 2, 10)

    timeline = asyncio.run(record(main()))
    assert timeline.result == 1024
    assert [(s.state, s.reason) for s in timeline.slices if s.lane == "thread-1"] == [
        ("running", "pow")
    ]


class _Elsewhere(concurrent.futures.Executor):
    """Demands, as a process pool does, that it gets the very function that was handed in."""

    def submit(self, fn, /, *args, **kwargs):
        assert fn is pow
        future = concurrent.futures.Future()
        future.set_result(fn(*args, **kwargs))
        return future


@needs_eager
def test_eager_tasks_run_within_their_parent():
    async def child(seconds):
        compute(1)
        await asyncio.sleep(seconds)
        compute(1)

    async def main():
        asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
        compute(1)
        first, second = asyncio.create_task(child(2)), asyncio.create_task(fetch(0))
        compute(1)
        await asyncio.gather(first, second)

    timeline = recorded(main())
    pause = "while a task that it started eagerly runs"
    assert lane(timeline, "main") == [
        ("running", 0, 1, ""),
        ("ready", 1, 2, pause),
        ("running", 2, 3, ""),
        ("waiting", 3, 5, "gather"),
    ]
    assert lane(timeline, "child-1") == [
        ("running", 1, 2, ""),
        ("waiting", 2, 4, "sleep"),
        ("running", 4, 5, ""),
    ]
    assert lane(timeline, "fetch-1")[-1][2] <= 3


@needs_eager
@pytest.mark.parametrize("run", [simulate, asyncio.run])
def test_eager_tasks_that_have_ended_are_asked_for(run):
    async def main():
        asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
        ended = [asyncio.create_task(fetch_nothing(i)) for i in range(3)]
        failed = asyncio.create_task(fetch_nothing(1 / 2, fails=True))
        told = []
        for task in ended:
            task.add_done_callback(told.append)
        await asyncio.wait(ended)
        async with asyncio.TaskGroup() as group:
            group.create_task(fetch_nothing(3))
        results = await asyncio.gather(*ended, failed, return_exceptions=True)
        return told == ended, [str(result) for result in results]

    assert run(record(main())).result == (True, ["0", "1", "2", "0.5"])


async def fetch_nothing(result, fails=False):
    if fails:
        raise ValueError(result)
    return result


@needs_eager
def test_ten_thousand_eager_tasks_are_quick_to_draw():
    async def nothing():
        pass

    async def main():
        asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
        for _ in range(5000):
            asyncio.create_task(nothing())  # noqa: RUF006
            await asyncio.sleep(0)

    timeline = asyncio.run(record(main()))
    start = time.thread_time()
    assert len(timeline.slices) > 5000
    assert time.thread_time() - start < 2  # 0.1 s here; it was quadratic once


# ---- names ----


def test_tasks_without_a_name_are_numbered_per_recording():
    async def main():
        await asyncio.gather(fetch(1), fetch(2))
        return asyncio.current_task().get_name()

    async def twice():
        first = await record(main())
        return first.lanes, (await record(main())).lanes

    expected = ["main", "fetch-1", "fetch-2"]
    assert simulate(twice()) == (expected, expected)
    assert asyncio.run(twice_quick()) == expected


async def twice_quick():
    async def main():
        await asyncio.gather(fetch(0), fetch(0))

    await record(main())
    return (await record(main())).lanes


def test_given_names_are_kept_even_if_they_look_like_numbers():
    async def main():
        tasks = [asyncio.create_task(fetch(1), name=f"fetch-{i}") for i in range(3)]
        tasks.append(asyncio.create_task(fetch(1)))
        tasks[2].set_name("the last")
        await asyncio.gather(*tasks)

    assert recorded(main()).lanes == ["main", "fetch-0", "fetch-1", "the last", "fetch-4"]
    assert asyncio.run(record(short())).lanes == ["short", "fetch-0", "fetch-1", "the last"]


async def short():
    async def nothing():
        pass

    fast = asyncio.create_task(nothing(), name="fetch-0")
    faster = asyncio.create_task(nothing(), name="fetch-1")
    late = asyncio.create_task(nothing())
    late.set_name("the last")
    await asyncio.gather(fast, faster, late)


def test_equal_names_and_names_like_those_of_threads_are_told_apart():
    async def thread():
        await asyncio.to_thread(compute, 1)

    async def main():
        tasks = [asyncio.create_task(fetch(1), name=name) for name in ("a", "a", "a (2)")]
        await asyncio.gather(thread(), *tasks)

    timeline = recorded(main())
    assert timeline.lanes == ["main", "a", "a (3)", "a (2)", "thread-1", "thread-1 (2)"]
    assert [name for name in timeline.lanes if timeline.is_thread(name)] == ["thread-1 (2)"]


# ---- what passes through ----


def test_an_exception_passes_through_with_its_timeline():
    async def main():
        await fetch(1)
        raise KeyError("lost")

    with pytest.raises(KeyError, match="lost") as caught:
        recorded(main())
    assert caught.value.timeline.duration_s == 1
    frames = [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)]
    assert frames[-1] == "main"
    assert frames.count("_steps") <= 1


def test_a_deadlock_has_a_timeline_of_what_came_before():
    async def waits(event):
        await asyncio.sleep(1)
        await event.wait()

    async def main():
        async with asyncio.TaskGroup() as group:
            group.create_task(waits(asyncio.Event()), name="a")

    with pytest.raises(Deadlock) as caught:
        simulate(record(main()))
    timeline = caught.value.timeline
    assert timeline.duration_s == 1
    assert [(s.lane, s.state, s.end_s, s.reason) for s in timeline.slices if s.lane == "a"] == [
        ("a", "waiting", 1, "sleep")
    ]
    assert lane(timeline, "main") == [("waiting", 0, 1, "TaskGroup")]  # not ready: nobody woke it
    assert simulate(record(asyncio.sleep(1))).duration_s == 1  # and the next one is recorded


def test_exceptions_go_through_tasks_without_a_trace_of_the_recorder_inside():
    async def bad():
        await asyncio.sleep(1)
        raise ValueError("bad")

    async def main():
        try:
            await asyncio.create_task(bad())
        except ValueError as error:
            return [frame.name for frame in traceback.extract_tb(error.__traceback__)]

    assert recorded(main()).result == ["main", "_steps", "bad"]


def test_an_exception_that_takes_no_attributes_passes_through():
    @dataclasses.dataclass(frozen=True)
    class Frozen(Exception):
        code: int = 7

    async def main():
        raise Frozen

    with pytest.raises(Frozen) as caught:
        asyncio.run(record(main()))
    assert [track.label for track in caught.value.timeline.tracks] == ["main"]


def test_an_error_that_cannot_be_printed_is_a_finding_all_the_same():
    class Unprintable(Exception):
        def __str__(self):
            raise LookupError

    async def bad():
        raise Unprintable

    async def main():
        task = asyncio.create_task(bad())
        await asyncio.wait([task])
        kept.append(task)

    kept = []
    timeline = recorded(main())
    message = str(timeline.findings()[0])
    assert message.startswith("bad-1 failed with Unprintable, whose str raises LookupError, and")
    assert isinstance(kept[0].exception(), Unprintable)


class Odd:
    """A function, or a coroutine, whose name is no text."""

    def __init__(self, name):
        self.named = name

    @property
    def __name__(self):
        if self.named is None:
            raise LookupError
        return self.named

    def __call__(self):
        return "called"


class OddCoroutine(Odd, Coroutine):
    def __init__(self, name):
        super().__init__(name)
        self.coro = fetch(1, "awaited")
        self.send, self.throw, self.close = self.coro.send, self.coro.throw, self.coro.close

    def send(self, value): ...

    def throw(self, *args): ...

    def __await__(self):
        return self.coro.__await__()


@pytest.mark.parametrize("name", [None, 7, [], object()])
@pytest.mark.parametrize("wrap", [lambda coro: coro, record])
def test_a_name_may_be_anything(name, wrap):
    async def main():
        loop = asyncio.get_running_loop()
        called = await loop.run_in_executor(None, Odd(name))
        return called, await asyncio.create_task(OddCoroutine(name))

    result = simulate(wrap(main()))
    assert getattr(result, "result", result) == ("called", "awaited")


def test_a_function_instead_of_a_coroutine_is_an_error_with_a_hint():
    async def main(): ...

    with pytest.raises(
        TypeError, match=r"`record` needs a coroutine, got main: .*record\(main\(\)"
    ):
        simulate(record(main))


def test_cancelling_the_recording_cancels_the_program():
    seen = []

    async def main():
        try:
            await asyncio.sleep(10)
        finally:
            await asyncio.sleep(1)
            seen.append("cleaned up")

    async def outer():
        task = asyncio.create_task(record(main()))
        await asyncio.sleep(1)
        task.cancel("enough")
        with pytest.raises(asyncio.CancelledError) as caught:
            await task
        assert vars(asyncio.get_running_loop()).keys().isdisjoint({"call_soon", "create_task"})
        return caught.value.timeline

    timeline = simulate(outer())
    assert seen == ["cleaned up"]
    assert waits(timeline, "main") == [(0, 1, "sleep"), (1, 2, "sleep")]


def test_cancelling_before_the_program_began_leaves_nothing_unawaited():
    async def main():
        raise AssertionError("never")

    async def outer():
        task = asyncio.create_task(record(main()))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        task = asyncio.create_task(record(main()))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        simulate(outer())
        gc.collect()
    # the second never reached `record`, so Python rightly says so
    assert {str(w.message).partition(" was")[0].rpartition(".")[2] for w in caught} <= {
        "coroutine 'record",
        "main'",
        "coroutine 'record'",
        "record'",
    }


def test_a_program_that_swallows_its_cancellation_returns():
    async def main():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(10)
        return "stubborn"

    async def outer():
        task = asyncio.create_task(record(main()))
        await asyncio.sleep(1)
        task.cancel()
        return (await task).result

    assert simulate(outer()) == "stubborn"


# ---- the loop is left as it was ----


@pytest.mark.parametrize("ending", ["success", "exception", "cancellation"])
@pytest.mark.parametrize("run", [simulate, asyncio.run])
def test_the_loop_is_restored(run, ending):
    def state():
        loop = asyncio.get_running_loop()
        return (
            {name: value for name, value in vars(loop).items() if callable(value)},
            loop.get_task_factory(),
            sys.get_coroutine_origin_tracking_depth(),
            warnings._warn_unawaited_coroutine,
            [t.name for t in threading.enumerate() if "asyncml" in t.name],
        )

    async def main():
        if ending == "exception":
            raise ValueError
        if ending == "cancellation":
            asyncio.current_task().cancel()
        await asyncio.sleep(0)

    async def outer():
        loop = asyncio.get_running_loop()
        loop.set_task_factory(lambda loop, coro, **kwargs: asyncio.Task(coro, loop=loop, **kwargs))
        loop.call_at = own = loop.call_at  # somebody else's patch
        before = state()
        try:
            await record(main())
        except (ValueError, asyncio.CancelledError):
            assert ending != "success"
        assert state() == before
        assert loop.call_at is own

    run(outer())


def test_a_program_may_set_a_task_factory_of_its_own():
    made = []

    def factory(loop, coro, **kwargs):
        made.append(coro.__qualname__)
        return asyncio.Task(coro, loop=loop, **kwargs)

    async def main():
        asyncio.get_running_loop().set_task_factory(factory)
        await asyncio.create_task(fetch(1))

    async def outer():
        timeline = await record(main())
        return timeline, asyncio.get_running_loop().get_task_factory()

    timeline, after = simulate(outer())
    assert made[0] == "fetch"
    assert timeline.lanes == ["main", "fetch-1"]
    assert after is factory


def test_a_second_recording_on_one_loop_is_an_error():
    async def main():
        with pytest.raises(RuntimeError, match=r"recorded already, .* one recording per loop"):
            await record(fetch(1))
        return await fetch(1, "still fine")

    assert recorded(main()).result == "still fine"


def test_recordings_one_after_the_other():
    async def main():
        first = await record(fetch(1))
        second = await record(fetch(2))
        return first.duration_s, second.duration_s

    assert simulate(main()) == (1, 2)


def test_a_recording_inside_a_simulated_program_inside_a_recording():
    async def inner():
        await asyncio.gather(fetch(1), fetch(2))

    async def main():
        return simulate(record(inner()))

    timeline = asyncio.run(record(main()))
    assert timeline.lanes == ["main"]
    assert timeline.result.lanes == ["inner", "fetch-1", "fetch-2"]
    assert timeline.result.duration_s == 2


def test_tasks_of_others_stay_out():
    async def heart():
        while True:  # noqa: ASYNC110
            await asyncio.sleep(0.3)

    async def main():
        await asyncio.gather(fetch(1), fetch(1))

    async def kernel():
        beat = asyncio.create_task(heart())
        other = asyncio.create_task(later())
        timeline = await record(main())
        await other
        beat.cancel()
        await asyncio.wait([beat])
        return timeline

    async def later():
        await asyncio.sleep(0.5)
        await asyncio.gather(fetch(1), asyncio.to_thread(compute, 0.1))

    assert simulate(kernel()).lanes == ["main", "fetch-1", "fetch-2"]


def test_tasks_in_an_empty_context_are_recorded_with_their_children():
    async def parent():
        await asyncio.create_task(fetch(1))

    async def main():
        await asyncio.create_task(parent(), context=contextvars.Context())

    assert recorded(main()).lanes == ["main", "parent-1", "fetch-1"]


def test_context_variables_go_where_they_would():
    variable = contextvars.ContextVar("variable", default=0)

    async def child():
        variable.set(variable.get() + 1)
        return variable.get()

    async def main():
        variable.set(10)
        inside = await asyncio.create_task(child()), await asyncio.to_thread(variable.get)
        return inside, variable.get()

    assert recorded(main()).result == ((11, 10), 10)


def test_what_goes_on_after_the_recording_is_not_recorded_and_works():
    async def background():
        await asyncio.sleep(1)
        await asyncio.to_thread(compute, 1)
        return await fetch(1, "done")

    async def main():
        return asyncio.create_task(background())

    async def outer():
        timeline = await record(main())
        return timeline, await timeline.result

    timeline, result = simulate(outer())
    assert result == "done"
    assert timeline.duration_s == 0
    assert timeline.lanes == ["main", "background-1"]


# ---- what is recorded behaves as it would without ----


def test_asyncio_sees_the_coroutine_and_not_its_wrapper():
    async def main():
        task = asyncio.create_task(fetch(1))
        await asyncio.sleep(0)
        out = io.StringIO()
        task.print_stack(file=out)
        coro, (frame,) = task.get_coro(), task.get_stack()
        await task
        return frame.f_code.co_name, out.getvalue(), repr(task), coro.__qualname__, coro.cr_code

    for debug in (False, True):
        name, printed, text, qualname, code = simulate(record(main()), debug=debug).result
        assert name == "fetch"
        assert "in fetch\n    await asyncio.sleep(seconds)" in printed
        assert "name='fetch-1' coro=<fetch() done, defined at" in text
        assert "test_recorder.py" in text
        assert (qualname, code) == ("fetch", fetch.__code__)


def test_the_state_of_a_coroutine_can_be_asked_for():
    async def main():
        task = asyncio.create_task(fetch(1))
        await asyncio.sleep(0)
        state = inspect.getcoroutinestate(task.get_coro())
        await task
        return state, inspect.getcoroutinestate(task.get_coro())

    assert recorded(main()).result == (inspect.CORO_SUSPENDED, inspect.CORO_CLOSED)


def test_what_is_no_coroutine_is_no_task():
    async def main():
        with pytest.raises(TypeError, match="a coroutine was expected"):
            asyncio.create_task(7)  # noqa: RUF006

    recorded(main())


def test_results_and_exceptions_that_are_dropped_are_freed_at_once():
    class Thing:
        pass

    class Bad(Exception):
        pass

    async def make():
        await asyncio.sleep(1)
        return Thing()

    async def fail():
        await asyncio.sleep(1)
        raise Bad

    async def main():
        freed = []
        task = asyncio.create_task(make())
        freed += [weakref.ref(await task), weakref.ref(task)]
        del task
        freed.append(weakref.ref(await asyncio.to_thread(Thing)))
        await asyncio.sleep(1)
        try:
            await asyncio.create_task(fail())
        except Bad as error:
            freed.append(weakref.ref(error))
        await asyncio.sleep(1)
        gc.collect()
        return [reference() for reference in freed]

    assert recorded(main()).result == [None] * 4


def test_an_abandoned_generator_is_closed_as_soon_as_without_recording():
    closed = []

    async def numbers():
        try:
            while True:
                await asyncio.sleep(1)
                yield 1
        finally:
            closed.append(asyncio.get_running_loop().time())

    async def main():
        async for _ in numbers():
            break
        await asyncio.sleep(1)

    simulate(main())
    recorded(main())
    assert closed == [1, 1]


def test_an_exception_nobody_asks_for_is_reported_as_ever():
    reports = []

    async def bad():
        raise ValueError("nobody asks")

    async def main():
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda loop, context: reports.append(context["message"]))
        asyncio.create_task(bad())  # noqa: RUF006
        await asyncio.sleep(1)
        gc.collect()
        return len(reports)

    timeline = recorded(main())
    assert timeline.result == 1
    assert reports == ["Task exception was never retrieved"]
    assert [finding.code for finding in timeline.findings()] == ["error-unseen"]


# random little programs: a tree of tasks, each of which sleeps, computes, waits for its children

_leaves = st.one_of(
    st.tuples(st.just("sleep"), st.integers(0, 5)),
    st.tuples(st.just("compute"), st.integers(0, 3)),
    st.tuples(st.just("thread"), st.integers(0, 3)),
    st.tuples(st.just("cancelled"), st.integers(0, 5)),
    st.tuples(st.just("lock"), st.integers(0, 3)),
    st.tuples(st.just("yield"), st.just(0)),
)
_programs = st.recursive(
    st.lists(_leaves, max_size=4),
    lambda inner: st.lists(
        st.one_of(
            _leaves,
            st.tuples(
                st.sampled_from(["gather", "group", "one by one"]), st.lists(inner, max_size=3)
            ),
        ),
        max_size=4,
    ),
    max_leaves=12,
)


async def _perform(program, log, path, lock):
    """Run a program, and log what happened when and in which order."""
    for number, (kind, what) in enumerate(program):
        here = (*path, number)
        log.append((asyncio.get_running_loop().time(), here, kind))
        children = (
            [(item, log, (*here, i), lock) for i, item in enumerate(what)]
            if isinstance(what, list)
            else []
        )
        match kind:
            case "sleep":
                await asyncio.sleep(what)
            case "compute":
                compute(what)
            case "thread":
                await asyncio.to_thread(compute, what)
            case "yield":
                await asyncio.sleep(0)
            case "cancelled":
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(what):
                        await asyncio.sleep(3)
            case "lock":
                async with lock:
                    await asyncio.sleep(what)
            case "gather":
                await asyncio.gather(*(_perform(*child) for child in children))
            case "group":
                async with asyncio.TaskGroup() as group:
                    for child in children:
                        group.create_task(_perform(*child))
            case "one by one":
                for child in children:
                    await asyncio.create_task(_perform(*child))
    log.append((asyncio.get_running_loop().time(), path, "end"))


async def _start(program):
    log = []
    await _perform(program, log, (), asyncio.Lock())
    return log, asyncio.get_running_loop().time()


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(_programs)
def test_a_recording_changes_nothing_and_adds_up(program):
    plain, duration = simulate(_start(program))
    timeline = recorded(_start(program))
    assert timeline.result == (plain, duration)
    assert timeline.duration_s == duration
    check(timeline)


@settings(deadline=None, max_examples=15, suppress_health_check=[HealthCheck.too_slow])
@given(_programs)
def test_in_real_time_a_recording_adds_up(program):
    def quick(items):
        return [
            (kind, what / 5000 if isinstance(what, int) else [quick(inner) for inner in what])
            for kind, what in items
        ]

    check(asyncio.run(record(_start(quick(program)))))


@settings(deadline=None, max_examples=30)
@given(st.lists(st.lists(st.sampled_from(["yield", "put", "task"]), max_size=5), max_size=5))
def test_in_real_time_a_recording_changes_no_order(programs):
    async def worker(number, program, log, queue):
        for step in program:
            log.append(number)
            if step == "yield":
                await asyncio.sleep(0)
            elif step == "put":
                await queue.put(number)
                log.append(await queue.get())
            else:
                await asyncio.create_task(worker(-number, ["yield"], log, queue))

    async def main():
        log, queue = [], asyncio.Queue(1)
        await asyncio.gather(*(worker(i, p, log, queue) for i, p in enumerate(programs, 1)))
        return log

    assert asyncio.run(record(main())).result == asyncio.run(main())


def check(timeline: Timeline):
    """Each lane goes from its beginning to its end without gap or overlap; tasks run in turns."""
    lanes = defaultdict(list)
    for piece in timeline.slices:
        assert 0 <= piece.start_s <= piece.end_s <= timeline.duration_s
        lanes[piece.lane].append(piece)
    assert list(lanes) == timeline.lanes
    running = []
    for name, pieces in lanes.items():
        for before, after in pairwise(pieces):
            if timeline.is_thread(name):
                assert before.end_s <= after.start_s
            else:
                assert before.end_s == after.start_s
        if not timeline.is_thread(name):
            running += [piece for piece in pieces if piece.state == "running"]
    running.sort(key=operator.attrgetter("start_s", "end_s"))
    for before, after in pairwise(running):
        assert before.end_s <= after.start_s
    statistics = timeline.statistics()
    assert 0 <= statistics.busy <= 1
    assert 0 <= statistics.overlap <= 1
    assert isinstance(timeline.findings(), list)
    assert max(map(len, timeline.text(50).splitlines())) <= 50
    assert timeline.describe()
