"""How a stage calls a function of the user's, and what it makes of any error and any result."""

import asyncio
import contextlib
import gc
import time
import weakref
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from asyncml.clock import compute, simulate
from asyncml.failures import PlainFunctionError
from asyncml.pipeline.pipeline import Pipeline
from tests.pipeline.consuming import collect, run

WHERE = {
    "loop": {},
    "thread": {"concurrency": 2},
    "time-out": {"concurrency": 2, "timeout": 9},
    "inline": {"executor": "inline", "concurrency": 1},
    "inline, retried": {"executor": "inline", "concurrency": 1, "retries": 1},
    "out of order": {"concurrency": 2, "ordered": False},
    "one at a time": {"concurrency": 1, "lookahead": 1},
}


def raising(make, where, at=3):
    def work(value):
        if value == at:
            raise make()
        return value

    async def on_loop(value):
        return work(value)

    return on_loop if where == "loop" else work


# errors of every class


class NoRows(Exception):
    """An error that carries an empty list, and so is false."""

    def __len__(self):
        return 0


class NoTruth(Exception):
    def __bool__(self):
        raise ValueError("ask me not")


class Halt(BaseException):
    def __len__(self):
        return 0


@dataclass(frozen=True)
class Frozen(Exception):
    path: str = "a.png"


class Slotted(Exception):
    __slots__ = ("path",)


class Stubborn(Exception):
    def add_note(self, note):
        raise TypeError("no notes, please")


ERRORS = [NoRows, NoTruth, Frozen, Slotted, Stubborn]


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("kind", ERRORS)
@pytest.mark.parametrize("below", [lambda p: p, lambda p: p.batch(2), lambda p: p.prefetch(2)])
def test_an_error_of_any_class_comes_out_as_it_is(kind, where, below):
    fn = raising(kind, where)
    items = []

    async def main():
        async for item in below(Pipeline(range(6)).map(fn, **WHERE[where])):
            items.append(item)

    with pytest.raises(kind) as caught:
        simulate(main())
    assert items in ([0, 1, 2], [[0, 1], [2]])
    assert "item 3: 3" in " ".join(caught.value.__notes__)


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("kind", ERRORS)
def test_an_error_of_any_class_is_retried_skipped_and_replaced(kind, where):
    failed = []

    def once():
        failed.append(1)
        return kind() if len(failed) < 2 else OSError("second")

    source = Pipeline(range(6))
    options = {**WHERE[where], "retries": 1, "retry_on": kind}
    with pytest.raises(OSError, match="second"):
        run(source.map(raising(once, where), **options))
    fn = raising(kind, where)
    skipping = source.map(fn, on_error="skip", **WHERE[where])
    assert sorted(run(skipping)) == [0, 1, 2, 4, 5]
    assert isinstance(skipping.statistics().failures[0].error, kind)
    replacing = source.map(fn, on_error=lambda error, item: type(error).__name__, **WHERE[where])
    assert kind.__name__ in run(replacing)


@pytest.mark.parametrize("kind", ERRORS)
@pytest.mark.parametrize(
    "pipeline",
    [
        lambda fn: Pipeline(range(6)).filter(fn),
        lambda fn: Pipeline(range(6)).batch(1, collate=lambda batch: fn(batch[0])),
        lambda fn: Pipeline(fn(value) for value in range(6)),
        lambda fn: Pipeline(range(6)).map(fn).shuffle(1),
        lambda fn: Pipeline([3]).map(abs, on_error="skip").map(fn, on_error=lambda *_: fn(3)),
    ],
    ids=["filter", "collate", "source", "shuffle", "on_error"],
)
def test_so_does_an_error_of_the_other_functions(pipeline, kind):
    with pytest.raises(kind):
        run(pipeline(raising(kind, "thread")))
    with pytest.raises(kind):
        list(pipeline(raising(kind, "thread")))


@pytest.mark.parametrize("where", ["loop", "thread", "inline", "time-out"])
def test_what_is_no_exception_ends_the_iteration_too(where):
    fn = raising(Halt, where)
    with pytest.raises(Halt):
        run(Pipeline(range(6)).map(fn, **WHERE[where]))
    with pytest.raises(Halt):
        list(Pipeline(range(6)).map(fn, **WHERE[where]))


class Wordless:
    """An item whose `repr` fails."""

    def __repr__(self):
        raise OSError("no words")

    def __abs__(self):
        raise LookupError("no absolute value")


@pytest.mark.parametrize("item", [Wordless(), "x" * 10**6, 10**5000], ids=["class", "str", "int"])
def test_an_item_without_a_short_repr_does_not_hide_the_error(item):
    for where in WHERE.values():
        with pytest.raises((LookupError, TypeError, OverflowError)) as caught:
            run(Pipeline([item]).map(lambda value: abs(value) and [][value], **where))
        assert "in stage map(<lambda>" in caught.value.__notes__[0]
        assert len(caught.value.__notes__[0]) < 400
    with pytest.raises(ZeroDivisionError):
        run(Pipeline([item]).batch(1, collate=lambda batch: 1 / 0))


# results that are coroutines


async def double(value):
    return [value, value]


@pytest.mark.parametrize(
    ("add", "words"),
    [
        (lambda p: p.map(lambda value: double(value)), "write it as an `async def`"),
        (lambda p: p.filter(lambda value: double(value)), "write it as an `async def`"),
        (lambda p: p.batch(2, collate=lambda b: double(b)), r"by .batch\(n\).map\(collate\)"),
        (
            lambda p: p.map(lambda v: 1 / 0, on_error=lambda error, item: double(item)),
            "it must return the replacement itself",
        ),
        (
            lambda p: p.map(lambda v: 1 / 0, on_error="skip").map(
                abs, on_error=lambda error, item: double(item)
            ),
            None,
        ),
    ],
    ids=["map", "filter", "collate", "on_error", "never asked"],
)
def test_a_plain_function_that_returns_a_coroutine_says_what_to_write(add, words):
    if words is None:
        assert run(add(Pipeline([1]))) == []
        return
    with pytest.raises(PlainFunctionError, match=words):
        run(add(Pipeline(range(4))))
    with pytest.raises(PlainFunctionError, match=words):
        list(add(Pipeline(range(4))))


# errors and what they hold on to


class Large:
    """Stands for what a function has in its variables when it fails."""


ENDS = {
    "skip": {"on_error": "skip"},
    "replace": {"on_error": lambda error, item: None},
    "retry and skip": {"on_error": "skip", "retries": 1},
}


def soon(is_so):
    """Whether it becomes so: a thread may be inside the function for a moment yet."""
    deadline = time.monotonic() + 5
    while not is_so() and time.monotonic() < deadline:
        time.sleep(0.001)
    return is_so()


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("where", [*WHERE, "mine"])
def test_a_failure_lets_go_of_what_the_function_held_without_the_collector(where, end):
    alive = weakref.WeakSet()
    most = 0

    def load(value):
        nonlocal most
        large = Large()
        alive.add(large)
        most = max(most, len(alive))
        if value % 2:
            raise OSError(value)
        return value

    async def on_loop(value):
        return load(value)

    gc.collect()
    gc.disable()
    try:
        with ThreadPoolExecutor(2) as pool:
            options = {"executor": pool} if where == "mine" else WHERE[where]
            fn = on_loop if where == "loop" else load
            run(Pipeline(range(300)).map(fn, **{**options, **ENDS[end]}))
        assert most < 20  # a few at once
        assert soon(lambda: not alive)
    finally:
        gc.enable()


@pytest.mark.parametrize("where", WHERE)
def test_so_does_an_error_that_ends_the_epoch(where):
    alive = weakref.WeakSet()

    def load(value):
        large = Large()
        alive.add(large)
        if value == 3:
            raise OSError(value)
        return value

    async def on_loop(value):
        return load(value)

    def make():
        return Pipeline(range(9)).map(fn, **WHERE[where]).batch(2)

    async def lose():
        try:
            await collect(make())
        except OSError:
            return
        pytest.fail("no error")

    fn = on_loop if where == "loop" else load
    gc.collect()
    gc.disable()
    try:
        asyncio.run(lose())
        assert soon(lambda: not alive)
        with contextlib.suppress(OSError):
            list(make())
        assert soon(lambda: not alive)
    finally:
        gc.enable()


def test_a_group_of_errors_lets_go_too():
    alive = weakref.WeakSet()

    async def part(value):
        large = Large()
        alive.add(large)
        raise OSError(value)

    async def load(value):
        async with asyncio.TaskGroup() as group:
            group.create_task(part(value))

    pipeline = Pipeline(range(30)).map(load, on_error=lambda error, item: item)
    assert run(pipeline) == list(range(30))
    gc.collect()
    assert not alive
    assert len(pipeline.statistics().failures) == 30


class Unsayable(RuntimeError):
    def __str__(self):
        raise ValueError("no words")


class Possessive(Exception):
    __cause__ = 3

    def with_traceback(self, trace):
        raise ValueError("mine")


@pytest.mark.parametrize("kind", [Unsayable, Possessive])
def test_an_error_with_methods_of_its_own_is_only_looked_at(kind):
    fn = raising(kind, "thread")
    with pytest.raises(kind):
        list(Pipeline(range(6)).map(fn))
    assert list(Pipeline(range(6)).map(fn, on_error="skip")) == [0, 1, 2, 4, 5]


# turns of the loop


def held(value):
    time.sleep(0.02)
    return value


@pytest.mark.parametrize(
    "add",
    [
        lambda p: p.map(held, executor="inline"),
        lambda p: p.map(held, executor="inline", retries=1),
        lambda p: p.map(held, executor="inline", ordered=False),
        lambda p: p.batch(1, collate=held),
        lambda p: p.batch(1, collate=held).prefetch(20),
        lambda p: p.flat_map(lambda value: range(1000), executor="inline").filter(
            lambda value: held(value) is None if value % 500 == 0 else False
        ),
    ],
    ids=["inline", "retries", "out of order", "collate", "prefetched collate", "flat_map, filter"],
)
def test_whatever_works_on_the_loop_gives_its_other_tasks_their_turn(add):
    turns = 0

    async def count():
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async def main():
        counting = asyncio.create_task(count())
        await collect(add(Pipeline(range(20))))
        counting.cancel()

    asyncio.run(main())
    assert turns >= 18


# busy


def test_a_stage_on_the_loop_has_one_slot_whatever_its_concurrency():
    def work(value):
        compute(0.01)
        return value

    for options in ({}, {"concurrency": 8}, {"retries": 2}):
        pipeline = Pipeline(range(50)).map(work, executor="inline", **options)
        run(pipeline)
        statistics = pipeline.statistics()
        assert statistics.stages[-1].busy == pytest.approx(1)
        assert statistics.bottleneck.startswith("map(work), busy 100%: it runs on the event loop")
        assert statistics.slowest == 1
