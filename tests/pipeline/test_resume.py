"""One property over all of a pipeline: whatever it is made of, it goes on where it stood."""

import asyncio
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from asyncml.clock import compute, simulate
from asyncml.pipeline.pipeline import Pipeline
from asyncml.pipeline.retrying import Backoff
from tests.pipeline.building import number
from tests.pipeline.consuming import first

# functions: plain and asynchronous, slow and not, that fail for some values or at first


def outcome(kind, value):
    if kind == "map":
        return value
    if kind == "filter":
        return number(value) % 3 > 0
    parts = ((value, part) for part in range(number(value) % 4))
    return list(parts) if kind == "flat_map" else parts


class Work:
    """What a stage calls; `fails` of its values fail at first, or always."""

    def __init__(self, kind, is_async, mills, fails):
        self.kind, self.mills, self.fails = kind, mills, fails
        self.seen = Counter()
        on_loop = self.on_loop_in_parts if kind == "stream" else self.on_loop
        self.fn = on_loop if is_async else self.plain

    def seconds(self, value):
        return 0.001 * (self.mills * number(value) % 7)

    def result(self, value):
        key = repr(value)
        self.seen[key] += 1
        if self.fails == "at first" and number(value) % 2 and self.seen[key] == 1:
            raise OSError(value)
        if self.fails == "always" and number(value) % 5 == 0:
            raise OSError(value)
        return outcome(self.kind, value)

    async def on_loop_in_parts(self, value):
        await asyncio.sleep(self.seconds(value))
        for item in self.result(value):
            await asyncio.sleep(self.seconds(item))
            yield item

    async def on_loop(self, value):
        await asyncio.sleep(self.seconds(value))
        return self.result(value)

    def plain(self, value):
        compute(self.seconds(value))
        return self.result(value)


called = st.fixed_dictionaries(
    {
        "kind": st.sampled_from(["map", "map", "flat_map", "stream"]),
        "is_async": st.booleans(),
        "executor": st.sampled_from(["thread", "inline", "mine", "time-out"]),
        "ordered": st.sampled_from([True, True, True, False]),
        "concurrency": st.integers(1, 4),
        "more": st.integers(0, 5),
        "mills": st.integers(0, 3),
        "fails": st.sampled_from(["never", "never", "at first", "always", "replaced"]),
    }
)
filters = st.fixed_dictionaries(
    {"kind": st.just("filter"), "is_async": st.booleans(), "mills": st.integers(0, 3)}
)
sized = st.fixed_dictionaries(
    {
        "kind": st.sampled_from(["shuffle", "take", "shard", "batch", "full batch", "prefetch"]),
        "size": st.integers(1, 5),
        "collate": st.booleans(),
    }
)
stages = st.lists(called | sized | filters, max_size=5)
sources = st.sampled_from(["list", "iterator", "stream", "slow stream"])


def source(kind, count):
    async def stream():
        for value in range(count):
            await asyncio.sleep(0.002 if kind == "slow stream" else 0)
            yield value

    if kind == "list":
        return list(range(count))
    return (lambda: iter(range(count))) if kind == "iterator" else stream


def add(pipeline, stage, pool):
    kind, size = stage["kind"], stage.get("size")
    if kind == "filter":
        return pipeline.filter(Work(kind, stage["is_async"], stage["mills"], "never").fn)
    if kind == "shuffle":
        return pipeline.shuffle(size, seed=size)
    if kind == "take":
        return pipeline.take(size * 3)
    if kind == "shard":
        return pipeline.shard(size // 2, size)
    if kind in ("batch", "full batch"):
        collate = tuple if stage["collate"] else None
        return pipeline.batch(size, drop_last=kind == "full batch", collate=collate)
    if kind == "prefetch":
        return pipeline.prefetch(size)
    return add_called(pipeline, stage, pool)


def add_called(pipeline, stage, pool):
    fails, executor = stage["fails"], stage["executor"]
    replaced = lambda error, item: item if stage["kind"] == "map" else [item]  # noqa: E731
    work = Work(
        stage["kind"], stage["is_async"], stage["mills"], fails.replace("replaced", "always")
    )
    method = getattr(pipeline, stage["kind"].replace("stream", "flat_map"))
    return method(
        work.fn,
        executor={"mine": pool, "time-out": "thread"}.get(executor, executor),
        timeout=9 if executor == "time-out" else None,
        ordered=stage["ordered"],
        concurrency=stage["concurrency"],
        lookahead=stage["concurrency"] + stage["more"],
        retries=1 if fails == "at first" else 0,
        backoff=Backoff(first_s=0.003),
        on_error={"always": "skip", "replaced": replaced}.get(fails, "raise"),
    )


def sound(chosen):
    """Leave out what depends on the order, where that is not promised."""
    if all(stage.get("ordered", True) for stage in chosen):
        return chosen
    kept, batched = [], False
    for stage in chosen:
        if stage["kind"] in ("take", "shard", "full batch"):
            continue
        if batched and stage["kind"] not in ("shuffle", "prefetch"):
            continue
        batched = batched or stage["kind"] == "batch"
        kept.append(stage)
    return kept


def leaves(items):
    """Batches that hold other items are the same items."""
    for item in items:
        if isinstance(item, list) or (isinstance(item, tuple) and not is_part(item)):
            yield from leaves(item)
        else:
            yield repr(item)


def is_part(item):
    return len(item) == 2 and isinstance(item[1], int) and not isinstance(item[0], int)


@pytest.mark.filterwarnings("ignore:.*has skipped all of its first:RuntimeWarning")
@settings(max_examples=60)
@given(sources, st.integers(0, 14), stages, st.lists(st.integers(0, 20), min_size=2, max_size=2))
@example(
    "list",
    9,
    [
        {"kind": "flat_map", "is_async": True, "executor": "thread", "ordered": True}
        | {"concurrency": 2, "more": 1, "mills": 1, "fails": "never"},
        {"kind": "map", "is_async": False, "executor": "inline", "ordered": True}
        | {"concurrency": 1, "more": 0, "mills": 3, "fails": "never"},
    ],
    [2, 3],
)
def test_it_goes_on_where_it_stood(kind, count, chosen, stops):
    chosen = sound(chosen)
    is_ordered = all(stage.get("ordered", True) for stage in chosen)

    def make(pool):
        pipeline = Pipeline(source(kind, count))
        for stage in chosen:
            pipeline = add(pipeline, stage, pool)
        return pipeline

    async def main(pool):
        whole, _ = await first(make(pool), 1000)
        items, state = [], make(pool).state_dict()
        for stop in [*stops, 1000]:
            pipeline = make(pool)
            pipeline.load_state_dict(state)
            some, states = await first(pipeline, stop)
            items, state = items + some, states[-1]
        if is_ordered:
            assert items == whole
        else:
            assert sorted(leaves(items)) == sorted(leaves(whole))

    with ThreadPoolExecutor(3) as pool:
        simulate(main(pool))


PIPELINES = {
    "keys": lambda keys: keys.shuffle(4, seed=1).shard(0, 2).take(9),
    "batches": lambda keys: keys.map(abs, executor="inline").batch(3),
    "flat_map": lambda keys: keys.flat_map(range, executor="inline").batch(2),
    "shuffled values": lambda keys: keys.map(abs, executor="inline").shuffle(4, seed=1).batch(2),
    "unordered": lambda keys: keys.map(abs, executor="thread", concurrency=2, ordered=False),
}


@pytest.mark.parametrize("make", PIPELINES.values(), ids=PIPELINES)
def test_a_snapshot_tells_later_what_the_state_was(make):
    pipeline = make(Pipeline(range(40)))
    before = [(pipeline._snapshot(), pipeline.state_dict())]
    for _ in range(3):  # taken by plain `for`, at either side of an epoch's end, and of a load
        for _ in pipeline:
            before.append((pipeline._snapshot(), pipeline.state_dict()))
        before.append((pipeline._snapshot(), pipeline.state_dict()))
    pipeline.load_state_dict(before[3][1])
    before.append((pipeline._snapshot(), pipeline.state_dict()))
    list(pipeline)
    assert [snapshot() for snapshot, _ in before] == [state for _, state in before]
    assert len({str(state) for _, state in before}) > 5


def calls_of_snapshot(pipeline):
    calls = []
    for _ in pipeline:
        sys.setprofile(lambda frame, event, _: event == "call" and calls.append(frame))
        snapshot = pipeline._snapshot()
        sys.setprofile(None)
        break
    assert snapshot() == pipeline.state_dict()
    return len(calls)


def test_a_snapshot_costs_the_same_whatever_the_pipeline_is():
    one = Pipeline(range(99)).batch(2)
    many = one.flat_map(list, executor="inline").batch(9).map(len).take(7)
    assert calls_of_snapshot(many) == calls_of_snapshot(one)
