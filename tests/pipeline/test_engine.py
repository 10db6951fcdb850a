"""How a pipeline runs: bounds, order and time, failures, and that nothing is left."""

import asyncio
import contextlib
import functools
import gc
import itertools
import multiprocessing
import subprocess
import sys
import threading
import time
import weakref
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor, ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncml.clock import compute, simulate
from asyncml.pipeline.pipeline import Pipeline
from tests.pipeline.consuming import Spy, collect, run, timed
from tests.pipeline.in_processes import dies, hangs_once, is_child

few = settings(deadline=None, max_examples=30)


# order, bounds, time


@few
@given(
    st.lists(st.integers(0, 30), max_size=40),
    st.integers(1, 5),
    st.integers(0, 8),
    st.booleans(),
    st.sampled_from(["on_loop", "in_thread"]),
)
def test_order_and_bounds_hold_whatever_the_latencies(delays, concurrency, more, ordered, where):
    spy = Spy(lambda value: delays[value] / 1000)
    lookahead = concurrency + more
    pipeline = Pipeline(range(len(delays))).map(
        getattr(spy, where), concurrency=concurrency, lookahead=lookahead, ordered=ordered
    )

    async def main():
        items = []
        async for item in pipeline:
            items.append(item)
            assert spy.calls <= len(items) + lookahead
            await asyncio.sleep(0.004)
        return items

    items = simulate(main())
    assert (items if ordered else sorted(items)) == list(range(len(delays)))
    assert spy.most <= concurrency


@pytest.mark.parametrize("where", ["on_loop", "in_thread"])
def test_the_bound_is_used_to_the_full(where):
    spy = Spy()
    _, times = timed(Pipeline(range(40)).map(getattr(spy, where), concurrency=8))
    assert spy.most == 8
    assert times[-1] == pytest.approx(0.05)


def test_stragglers_in_order_cost_at_most_a_third():
    def seconds(value):
        return 0.06 if value * 7919 % 20 == 3 else 0.002

    ideal = sum(map(seconds, range(2000))) / 32
    items, times = timed(Pipeline(range(2000)).map(Spy(seconds).on_loop, concurrency=32))
    assert items == list(range(2000))
    assert times[-1] <= 1.3 * ideal


def test_unordered_items_leave_as_they_are_ready():
    spy = Spy(lambda value: (5 - value) / 10)
    pipeline = Pipeline(range(5)).map(spy.on_loop, concurrency=5, ordered=False)
    assert timed(pipeline) == ([4, 3, 2, 1, 0], [0.1, 0.2, 0.3, 0.4, 0.5])


def test_stages_overlap_and_prefetch_runs_ahead():
    load, decode = Spy(lambda _: 0.1), Spy(lambda _: 0.1)
    pipeline = Pipeline(range(8)).map(load.on_loop, concurrency=1, lookahead=1)
    pipeline = pipeline.map(decode.in_thread, concurrency=1, lookahead=1)
    _, times = timed(pipeline, each=0.1)
    assert times[-1] == pytest.approx(0.9)
    asked = []
    pipeline = Pipeline(range(99)).map(asked.append, executor="inline").prefetch(3)

    async def main():
        items = aiter(pipeline)
        await anext(items)
        await asyncio.sleep(1)
        assert len(asked) == 4
        await items.aclose()

    simulate(main())


def test_memory_stays_flat():
    alive = most = 0

    class Item:
        def __init__(self, _):
            nonlocal alive, most
            alive += 1
            most = max(most, alive)

        def __del__(self):
            nonlocal alive
            alive -= 1

    async def make(value):
        return Item(value)

    async def main():
        pipeline = Pipeline(range(3000)).map(make, concurrency=4).batch(5).prefetch(2)
        async for _ in pipeline:
            pass
        del _
        return most

    assert simulate(main()) <= 16 * 4 + 5 * (2 + 2)
    gc.collect()
    assert alive == 0


@pytest.mark.parametrize("n", [1, 99])  # left early, or at the end
@pytest.mark.parametrize("below", [lambda p: p, lambda p: p.batch(5), lambda p: p.shuffle(3)])
def test_a_pipeline_that_is_not_iterated_holds_no_items(n, below):
    class Item:
        pass

    async def make(value):
        item = Item()
        items.add(item)
        return item

    async def main():
        async with contextlib.aclosing(aiter(pipeline)) as steps:
            async for _ in steps:
                if len(items) >= n:
                    break

    items = weakref.WeakSet()
    pipeline = below(Pipeline(range(50)).map(make))
    simulate(main())
    gc.collect()
    assert not items


def test_the_loop_stays_alive_while_nothing_waits():
    async def main():
        beats = 0

        async def heart():
            nonlocal beats
            while True:
                await asyncio.sleep(0)
                beats += 1

        task = asyncio.create_task(heart())
        async for _ in Pipeline(range(20000)).filter(lambda value: value > 19990).batch(8):
            pass
        task.cancel()
        return beats

    assert simulate(main()) >= 15


# where functions run


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


# failures


class Broken(Exception):
    pass


def fails_at(*places, error=Broken, where="loop", seconds=0.0):
    calls = []

    async def on_loop(value):
        calls.append(value)
        await asyncio.sleep(seconds)
        if value in places:
            raise error(value)
        return value

    def in_thread(value):
        calls.append(value)
        compute(seconds)
        if value in places:
            raise error(value)
        return value

    fn = on_loop if where == "loop" else in_thread
    fn.calls = calls
    return fn


async def until(pipeline, kind):
    items = []
    try:
        async for item in pipeline:
            items.append(item)
    except kind as error:
        return items, error
    pytest.fail(f"{kind.__name__} was not raised")


OPTIONS = [
    ("loop", {}),
    ("thread", {}),
    ("thread", {"timeout": 9}),
    ("thread", {"executor": "inline"}),
    ("loop", {"ordered": False}),
    ("thread", {"ordered": False}),
]


@pytest.mark.parametrize(("where", "options"), OPTIONS)
def test_an_error_comes_after_the_items_before_it_and_says_where(where, options):
    fn = fails_at(7, 9, where=where, seconds=0.01)
    pipeline = Pipeline(range(1000)).map(fn, concurrency=4, **options)
    items, error = simulate(until(pipeline, Broken))
    before = [item for item in items if item < 7]
    assert before == list(range(7))
    assert error.args == (7,)
    name = "on_loop" if where == "loop" else "in_thread"
    assert f"map({name}" in error.__notes__[0]
    assert "item 7: 7" in error.__notes__[0]
    assert len(fn.calls) <= 8 + 4  # intake stopped at once


def test_an_error_in_a_thread_stops_the_intake_at_once():
    fn = fails_at(3, where="thread")
    items, _ = simulate(until(Pipeline(range(100)).map(fn, concurrency=1), Broken))
    assert items == [0, 1, 2]
    assert fn.calls == [0, 1, 2, 3]


@pytest.mark.parametrize("between", [lambda p: p, lambda p: p.batch(2), lambda p: p.prefetch(3)])
@pytest.mark.parametrize("how", ["loop", "threads", "retries"])
def test_an_error_stops_the_intake_of_all_stages_above(how, between):
    """Although the consumer takes its time before it sees the error."""
    calls, asked = [], []

    async def source():
        for number in range(10_000):
            asked.append(number)
            yield number

    async def fetch(number):
        calls.append(number)
        await asyncio.sleep(0.01)
        if how == "retries" and number > 30:
            raise OSError
        return number

    def fetch_in_thread(number):
        calls.append(number)
        compute(0.01)
        return number

    async def fail(item):
        await asyncio.sleep(0.01)
        if item in (20, [20, 21]):
            raise ValueError(item)
        return item

    async def main():
        pipeline = Pipeline(source).map(
            fetch_in_thread if how == "threads" else fetch, concurrency=4, retries=9, lookahead=500
        )
        pipeline = between(pipeline).map(fail, concurrency=2)
        items = aiter(pipeline)
        await anext(items)
        await asyncio.sleep(0.15)  # it has failed by now, or does while its first item is held
        before = len(calls), len(asked)
        await asyncio.sleep(60)
        after = len(calls), len(asked)
        assert after[0] - before[0] <= 4
        assert after[1] - before[1] <= 1
        with pytest.raises(ValueError, match="20"):
            [item async for item in items]

    simulate(main())
    assert len(calls) < 150


@pytest.mark.parametrize("ordered", [True, False])
def test_after_an_error_nothing_behind_it_is_tried_again(ordered):
    calls = []

    async def load(value):
        calls.append(value)
        await asyncio.sleep({0: 9, 2: 1}.get(value, 0))  # the first one holds the error up
        if value in (1, 2):
            raise Broken(value)
        return value

    pipeline = Pipeline(range(99)).map(load, concurrency=3, retries=1, ordered=ordered)
    items, error = simulate(until(pipeline, Broken))
    assert 0 in items
    assert error.args == (1,)
    assert calls.count(1) == 2
    assert calls.count(2) == 1


def test_after_an_error_the_run_can_go_on_from_there():
    async def main():
        pipeline = Pipeline(range(6)).map(fails_at(3))
        items, _ = await until(pipeline, Broken)
        again = Pipeline(range(6)).map(fails_at())
        again.load_state_dict(pipeline.state_dict())
        return items, await collect(again)

    assert simulate(main()) == ([0, 1, 2], [3, 4, 5])


@pytest.mark.parametrize("where", ["loop", "thread"])
def test_after_an_error_what_was_not_begun_is_not_lost_either(where):
    """The last to be delivered, 0, comes when those behind the error have been passed over."""
    failed = set()

    async def on_loop(value):
        await asyncio.sleep(9 if value == 0 else value / 1000)
        if value == 12 or (value % 5 == 4 and value not in failed):  # the others fail once
            failed.add(value)
            raise Broken(value)
        return value

    def in_thread(value):
        compute(9 if value == 0 else 0)
        if value == 12:
            raise Broken(value)
        return value

    async def main():
        fn, retries = (on_loop, 1) if where == "loop" else (in_thread, 0)
        pipeline = Pipeline(range(40)).map(fn, concurrency=2, ordered=False, retries=retries)
        items, _ = await until(pipeline, Broken)
        again = Pipeline(range(40)).map(fails_at(), ordered=False)
        again.load_state_dict(pipeline.state_dict() | {"stages": again.state_dict()["stages"]})
        assert items[-1] == 0
        assert sorted(items + await collect(again)) == list(range(40))

    simulate(main())


@pytest.mark.parametrize("ordered", [True, False])
def test_an_error_behind_a_batch_that_a_slow_function_looks_at_is_raised(ordered):
    pipeline = Pipeline(range(9)).map(fails_at(3), concurrency=1, ordered=ordered).batch(2)
    pipeline = pipeline.filter(lambda batch: compute(1) or True)
    assert simulate(until(pipeline, Broken))[0] == [[0, 1], [2]]


def test_the_items_of_a_batch_before_an_error_are_delivered():
    pipeline = Pipeline(range(9)).map(fails_at(5))
    assert simulate(until(pipeline.batch(3), Broken))[0] == [[0, 1, 2], [3, 4]]
    assert simulate(until(pipeline.batch(3).prefetch(2), Broken))[0] == [[0, 1, 2], [3, 4]]


def test_errors_of_source_filter_and_collate_come_in_order():
    def source():
        yield from range(3)
        raise Broken("source")

    async def stream():
        yield 0
        raise Broken("source")

    def refuse(value):
        return 1 / (value - 2)

    assert simulate(until(Pipeline(source).map(fails_at()), Broken))[0] == [0, 1, 2]
    assert simulate(until(Pipeline(stream).map(fails_at()), Broken))[0] == [0]
    items, error = simulate(until(Pipeline(range(9)).filter(refuse), ZeroDivisionError))
    assert items == [0, 1]
    assert "filter(refuse), item 2" in error.__notes__[0]
    pipeline = Pipeline(range(9)).batch(2, collate=lambda batch: refuse(batch[0]))
    assert len(simulate(until(pipeline.prefetch(1), ZeroDivisionError))[0]) == 1


@pytest.mark.parametrize(("where", "options"), OPTIONS)
def test_skip_and_replace(where, options):
    make = Pipeline(range(10)).map
    skipping = make(fails_at(2, 5, where=where), on_error="skip", **options)
    assert sorted(run(skipping)) == [0, 1, 3, 4, 6, 7, 8, 9]
    stage = skipping.statistics().stages[-1]
    assert (stage.skipped, stage.errors, stage.items) == (2, 2, 8)
    replace = make(
        fails_at(2, where=where), on_error=lambda error, item: (type(error), item), **options
    )
    assert (Broken, 2) in run(replace)

    def give_up(error, item):
        raise LookupError(item) from error

    with pytest.raises(LookupError):
        run(make(fails_at(2, where=where), on_error=give_up, **options))


def flaky(times, where="loop"):
    left = {}

    def attempt(value):
        left[value] = left.get(value, times) - 1
        if left[value] >= 0:
            raise Broken(value)
        return value

    async def on_loop(value):
        return attempt(value)

    return on_loop if where == "loop" else attempt


@pytest.mark.parametrize(
    ("where", "options"), [*OPTIONS, ("loop", {"concurrency": 1, "lookahead": 1})]
)
def test_retries_come_before_on_error(where, options):
    pipeline = Pipeline(range(9)).map(flaky(2, where), retries=2, **options)
    assert sorted(run(pipeline)) == list(range(9))
    assert pipeline.statistics().stages[-1].retries == 18
    with pytest.raises(Broken):
        run(Pipeline(range(9)).map(flaky(3, where), retries=2, **options))
    skipping = Pipeline(range(9)).map(flaky(3, where), retries=2, on_error="skip", **options)
    with pytest.warns(RuntimeWarning, match="skipped all of its first 9 items"):
        assert run(skipping) == []


def test_delays_between_attempts_double_and_repeat_and_hold_no_slot():
    def attempts():
        times = []

        async def fail(value):
            if value == 0:
                times.append(asyncio.get_running_loop().time())
                raise Broken
            await asyncio.sleep(0.01)
            return value

        pipeline = Pipeline(range(30)).map(fail, concurrency=1, retries=3, on_error="skip")
        items, delivered = timed(pipeline)
        assert items == list(range(1, 30))
        # the others are done while the first one waits, but for the last, which is out of reach
        assert delivered[0] == delivered[14]
        return times

    times = attempts()
    pauses = [after - before for before, after in itertools.pairwise(times)]
    for number, pause in enumerate(pauses):
        assert 0.5 * 0.05 * 2**number <= pause <= 1.5 * 0.05 * 2**number + 0.01
    assert attempts() == times


@pytest.mark.parametrize("parents", [range(20), [range(20)]])
def test_items_that_fail_together_do_not_come_again_together(parents):
    times = {}

    async def fail(value):
        times.setdefault(value, []).append(asyncio.get_running_loop().time())
        if len(times[value]) < 9:
            raise Broken
        return value

    source = Pipeline(parents)
    if len(parents) == 1:
        source = source.flat_map(list)  # items of one key
    assert run(source.map(fail, retries=8, concurrency=20)) == list(range(20))
    pauses = {value: [b - a for a, b in itertools.pairwise(at)] for value, at in times.items()}
    for number in range(8):
        delays = [each[number] for each in pauses.values()]
        assert len(set(delays)) == 20  # jitter
        longest = min(0.05 * 2**number, 5)  # seconds
        assert 0.5 * longest <= min(delays) < max(delays) <= 1.5 * longest
        assert max(delays) - min(delays) > 0.6 * longest


def test_a_timeout_is_for_one_attempt_and_counts_as_an_error():
    async def stall(value):
        await asyncio.sleep(10 if value == 1 else 0.5)
        return value

    pipeline = Pipeline(range(4)).map(stall, concurrency=1, timeout=1, on_error="skip", retries=1)
    items, times = timed(pipeline)
    assert items == [0, 2, 3]
    assert times[-1] == pytest.approx(3 * 0.5 + 2 * 1, abs=0.1)
    assert pipeline.statistics().stages[-1].errors == 2
    _, error = simulate(until(Pipeline([1]).map(stall, timeout=1), TimeoutError))
    assert "item 0: 1" in error.__notes__[0]


def test_a_timeout_abandons_a_plain_function():
    release, ended = threading.Event(), []

    def hang(value):
        if value < 2:
            release.wait(30)
            ended.append(value)
        return value

    pipeline = Pipeline(range(6)).map(hang, concurrency=2, timeout=0.2, on_error="skip")
    assert list(pipeline) == [2, 3, 4, 5]
    assert ended == []
    release.set()


def test_a_function_that_cancels_itself_fails_and_does_not_hang():
    async def cancel(value):
        raise asyncio.CancelledError

    with pytest.raises(RuntimeError, match="`cancel` raised CancelledError"):
        run(Pipeline(range(3)).map(cancel))


# nothing is left


def left():
    return [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]


def make_all(fn, **options):
    async def source():
        for value in range(40):
            await asyncio.sleep(0.001)
            yield value

    pipeline = Pipeline(source).map(fn, concurrency=3, **options).map(str, concurrency=2)
    return pipeline.flat_map(list).batch(2).prefetch(2)


async def nap(value):
    await asyncio.sleep(0.01)
    return value


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
    for _ in Pipeline(range(1000)).map(where).map(nap).prefetch(3):
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


def test_a_pause_for_the_loop_does_not_wait_for_the_stage_above():
    async def shard(number):
        await asyncio.sleep(1 + number * 100)
        return range(4)

    def decode(value):
        compute(0.006)
        return value

    pipeline = Pipeline([0, 1]).flat_map(shard, concurrency=2).map(decode, executor="inline")
    _, times = timed(pipeline)
    assert times[:4] == [1.006, 1.012, 1.018, 1.024]  # not after the second shard, at 101 s


# what ends a loop in silence elsewhere


class Halt(BaseException):
    pass


ENDINGS = [StopIteration, StopAsyncIteration, asyncio.CancelledError]


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


def test_an_on_error_that_fails_says_so_behind_the_first_error():
    pipeline = Pipeline(range(3)).map(fails_at(1), on_error=lambda error: None)
    _, error = simulate(until(pipeline, TypeError))
    assert "the `on_error` of map(on_loop) failed" in error.__notes__
    assert "item 1: 1" in error.__notes__[1]
    assert isinstance(error.__context__, Broken)


def test_errors_of_source_and_collate_say_where():
    def source():
        yield from range(4)
        raise Broken

    async def stream():
        yield 0
        raise Broken

    def opened():
        raise Broken

    def collate(values):
        if 2 in values:
            raise Broken

    for pipeline, note in (
        (Pipeline(source), "in the source, after 4 items"),
        (Pipeline(stream), "in the source, after 1 items"),
        (Pipeline(opened), "in the source, as it was opened"),
        (Pipeline(range(4)).batch(2, collate=collate), "batch 1, which begins with item 2"),
    ):
        _, error = simulate(until(pipeline, Broken))
        assert note in error.__notes__[0]


# time-outs of plain functions, and executors that break


def test_functions_that_hang_have_a_bounded_number_of_threads():
    def hang(value):
        time.sleep(0.02)

    def running(error, item):
        return sum("hang" in thread.name for thread in threading.enumerate())

    pipeline = Pipeline(range(30)).map(hang, concurrency=2, timeout=0.001, on_error=running)
    counts = [count for count in pipeline if count is not None]  # one may be done before the loop
    assert 2 < max(counts) <= 2 * 2


def test_a_timeout_says_how_long_it_was():
    async def hang(value):
        await asyncio.sleep(9)

    def stall(value):
        compute(9)

    for fn in (hang, stall):
        _, error = simulate(until(Pipeline([0]).map(fn, timeout=1.5), TimeoutError))
        assert str(error) == "no result within 1.5 s"


def test_a_process_that_takes_too_long_is_ended_and_costs_no_other_item():
    pipeline = Pipeline(range(5)).map(
        hangs_once, executor="process", concurrency=1, timeout=1, on_error="skip"
    )
    assert list(pipeline) == [0, 2, 3, 4]
    assert pipeline.statistics().stages[-1].skipped == 1
    del pipeline  # which keeps the one that has nothing to do
    assert wait_until(lambda: not multiprocessing.active_children())


def test_a_dead_process_is_raised_whatever_on_error_says():
    pipeline = Pipeline(range(9)).map(dies, executor="process", concurrency=1, on_error="skip")
    with pytest.raises(BrokenExecutor) as caught:
        list(pipeline)
    assert "a worker of the executor ended" in caught.value.__notes__[0]


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


def wait_until(is_so, seconds=10.0):
    deadline = time.monotonic() + seconds
    while not is_so() and time.monotonic() < deadline:
        time.sleep(0.002)
    return is_so()


# leaving, once more


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
def test_a_run_that_ends_before_the_iterator_leaves_no_thread():
    async def half(pipeline):
        items = aiter(pipeline)
        await anext(items)
        return items

    before = set(threading.enumerate())
    items = asyncio.run(half(Pipeline(range(99)).map(where)))
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


def test_heavy_modules_are_loaded_when_they_are_needed():
    program = """
import sys
import asyncml.pipeline.pipeline
print({"multiprocessing", "concurrent.futures.process", "html"} & set(sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "set()\n"
