"""What the statistics of a pipeline tell, and whom they blame."""

import asyncio
import time

import pytest

from asyncml.pipeline.pipeline import Pipeline
from asyncml.pipeline.retrying import Backoff
from tests.pipeline.consuming import Spy, nap, run, timed


def test_statistics_name_the_bottleneck():
    fast, slow = Spy(lambda _: 0.01), Spy(lambda _: 0.05)
    pipeline = Pipeline(range(40)).map(fast.on_loop, concurrency=4)
    pipeline = pipeline.map(slow.in_thread, concurrency=2).batch(4)
    run(pipeline)
    statistics = pipeline.statistics()
    by_name = {stage.name: stage for stage in statistics.stages}
    assert [stage.items for stage in statistics.stages] == [40, 40, 40, 10]
    assert by_name["map(on_loop)"].service_s == pytest.approx(0.01)
    assert by_name["map(in_thread)"].service_s == pytest.approx(0.05)
    assert by_name["map(in_thread)"].busy > 0.9
    assert by_name["map(on_loop)"].busy < 0.2
    assert by_name["map(on_loop)"].queue > 1
    assert statistics.bottleneck.startswith("map(in_thread)")
    assert "`concurrency` above 2" in statistics.bottleneck
    assert "map(in_thread)" in str(statistics)
    assert "<table>" in statistics._repr_html_()


async def fails_always(value):
    if value == 2:
        raise OSError(value)
    return value


async def uneven(value):
    await asyncio.sleep(3 if value % 40 == 0 else 0.01)
    return value


async def dripping():
    for value in range(20):
        await asyncio.sleep(0.05)
        yield value


SLOW_ELSEWHERE = {
    "a straggler": lambda: Pipeline(range(160)).map(uneven, concurrency=8, lookahead=8),
    "pauses": lambda: Pipeline(range(9)).map(
        fails_always, retries=3, on_error="skip", backoff=Backoff(first_s=2)
    ),
}


@pytest.mark.parametrize("what", SLOW_ELSEWHERE)
def test_no_stage_is_blamed_that_is_hardly_busy(what):
    pipeline = SLOW_ELSEWHERE[what]()
    run(pipeline)
    statistics = pipeline.statistics()
    assert max(stage.busy for stage in statistics.stages) < 0.5
    assert statistics.bottleneck.startswith("none of the stages (")
    assert "raise `concurrency`" not in statistics.bottleneck
    assert "raise `lookahead`" in statistics.bottleneck
    assert statistics.slowest is None


def test_a_slow_source_is_the_bottleneck():
    pipeline = Pipeline(dripping).map(nap, concurrency=4)
    run(pipeline)
    assert pipeline.statistics().bottleneck.startswith("source, busy 9")
    assert pipeline.statistics().slowest == 0


def test_statistics_name_the_consumer():
    pipeline = Pipeline(range(40)).map(Spy().on_loop, concurrency=4)
    timed(pipeline, each=0.5)
    assert pipeline.statistics().bottleneck.startswith("the consumer")
    assert Pipeline([]).statistics().bottleneck.startswith("none yet")


def test_plain_for_counts_its_waiting_once():
    def work(value):
        time.sleep(0.02)
        return value

    pipeline = Pipeline(range(3)).map(work, concurrency=1, executor="inline")
    begun = time.perf_counter()
    list(pipeline)
    took_s = time.perf_counter() - begun  # what is counted twice does not fit into it
    assert 0.02 <= pipeline.statistics().wait_s <= took_s
