"""Another attempt, its pauses, and the time that one may take."""

import asyncio
import itertools
import multiprocessing
import threading
import time

import pytest

from asyncml.clock import compute, simulate
from asyncml.pipeline.pipeline import Pipeline
from tests.pipeline.consuming import (
    run,
    timed,
    wait_until,
)
from tests.pipeline.failing import OPTIONS, Broken, flaky, until
from tests.pipeline.in_processes import hangs_once


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


# time-outs


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


def test_a_timeout_says_how_long_it_was():
    async def hang(value):
        await asyncio.sleep(9)

    def stall(value):
        compute(9)

    for fn in (hang, stall):
        _, error = simulate(until(Pipeline([0]).map(fn, timeout=1.5), TimeoutError))
        assert str(error) == "no result within 1.5 s"


def test_functions_that_hang_have_a_bounded_number_of_threads():
    def hang(value):
        time.sleep(0.02)

    def running(error, item):
        return sum("hang" in thread.name for thread in threading.enumerate())

    pipeline = Pipeline(range(30)).map(hang, concurrency=2, timeout=0.001, on_error=running)
    counts = [count for count in pipeline if count is not None]  # one may be done before the loop
    assert 2 < max(counts) <= 2 * 2


def test_a_process_that_takes_too_long_is_ended_and_costs_no_other_item():
    pipeline = Pipeline(range(5)).map(
        hangs_once, executor="process", concurrency=1, timeout=1, on_error="skip"
    )
    assert list(pipeline) == [0, 2, 3, 4]
    assert pipeline.statistics().stages[-1].skipped == 1
    del pipeline  # which keeps the one that has nothing to do
    assert wait_until(lambda: not multiprocessing.active_children())
