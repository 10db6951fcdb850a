"""What becomes of an item whose function failed: retried, left out, replaced, or the end."""

import asyncio
import itertools
import logging
import math

import pytest

from asyncml.clock import compute, simulate
from asyncml.pipeline.pipeline import Pipeline
from asyncml.pipeline.retrying import HOPELESS, LOGGED, Backoff, FailedItem, skip
from asyncml.stores.memory import ObjectNotFound
from tests.pipeline.consuming import run


class Broken(Exception):
    """An error that another attempt may mend."""


class Gone(Broken):
    """One of its kind that says it is for good."""


WHERE = {
    "loop": {},
    "thread": {"concurrency": 2},
    "time-out": {"concurrency": 2, "timeout": 9},
    "inline": {"executor": "inline", "concurrency": 1},
    "out of order": {"concurrency": 2, "ordered": False},
}


def failing(error_of, attempts, where):
    """A function that notes its attempts and raises what `error_of` returns for an item."""

    def work(value):
        attempts.append(value)
        error = error_of(value)
        if error is not None:
            raise error
        return value

    async def on_loop(value):
        return work(value)

    return on_loop if where == "loop" else work


# which errors are tried again


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize(
    ("error", "attempts"),
    [
        (Broken(), 3),
        (OSError(), 3),
        (TimeoutError(), 3),
        (ConnectionResetError(), 3),
        (ValueError(), 3),
        (RuntimeError(), 3),
        (TypeError(), 1),
        (KeyError("a"), 1),
        (IndexError(), 1),
        (ObjectNotFound("a"), 1),
        (FileNotFoundError(), 1),
        (PermissionError(), 1),
        (ZeroDivisionError(), 1),
        (AttributeError(), 1),
        (NotImplementedError(), 1),
    ],
    ids=repr,
)
def test_what_another_attempt_cannot_mend_is_tried_once(error, attempts, where):
    seen = []
    fn = failing(lambda value: error if value == 1 else None, seen, where)
    pipeline = Pipeline(range(3)).map(fn, retries=2, on_error="skip", **WHERE[where])
    assert sorted(run(pipeline)) == [0, 2]
    assert seen.count(1) == attempts


def test_the_documented_list_is_the_one_that_holds():
    text = " ".join(Pipeline.map.__doc__.split())
    for kind in HOPELESS:
        assert kind.__name__ in text


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize(
    ("retry_on", "attempts"),
    [
        (Broken, {1: 3, 2: 3, 3: 1}),
        (Gone, {1: 1, 2: 3, 3: 1}),
        ((Gone, KeyError), {1: 1, 2: 3, 3: 3}),
        ([Gone, KeyError], {1: 1, 2: 3, 3: 3}),
        ((), {1: 1, 2: 1, 3: 1}),
        (lambda error: not isinstance(error, Gone), {1: 3, 2: 1, 3: 3}),
    ],
    ids=["type", "narrow", "two types", "list", "none", "function"],
)
def test_retry_on_says_which(retry_on, attempts, where):
    errors, seen = {1: Broken(), 2: Gone(), 3: KeyError(3)}, []
    pipeline = Pipeline(range(5)).map(
        failing(errors.get, seen, where),
        **{"retries": 2, "retry_on": retry_on, "on_error": "skip"},
        **WHERE[where],
    )
    assert sorted(run(pipeline)) == [0, 4]
    assert {value: seen.count(value) for value in errors} == attempts


@pytest.mark.parametrize("where", WHERE)
def test_a_retry_on_that_fails_ends_the_epoch_and_shows_both_errors(where):
    fn = failing(lambda value: Broken() if value == 1 else None, [], where)
    pipeline = Pipeline(range(3)).map(fn, retries=2, retry_on=lambda _: 1 / 0, **WHERE[where])
    with pytest.raises(ZeroDivisionError) as caught:
        run(pipeline)
    assert isinstance(caught.value.__context__, Broken)
    assert "the `retry_on` of map" in " ".join(caught.value.__notes__)


def test_a_retry_on_that_returns_a_coroutine_is_a_mistake():
    async def ask(error):
        return True

    fn = failing(lambda _: Broken(), [], "thread")
    with pytest.raises(TypeError, match="`retry_on` is a plain function but returned a coroutine"):
        run(Pipeline([1]).map(fn, retries=1, retry_on=lambda error: ask(error)))


# pauses


@pytest.mark.parametrize(
    ("backoff", "pauses"),
    [
        (Backoff(jitter=0), [0.05, 0.1, 0.2, 0.4]),
        (Backoff(first_s=1, growth=1, jitter=0), [1, 1, 1, 1]),
        (Backoff(first_s=2, growth=3, longest_s=10, jitter=0), [2, 6, 10, 10]),
        (Backoff(first_s=0, jitter=0), [0, 0, 0, 0]),
    ],
)
def test_the_pauses_are_those_of_the_backoff(backoff, pauses):
    times = []

    async def fail(value):
        times.append(asyncio.get_running_loop().time())
        raise Broken

    run(Pipeline([0]).map(fail, retries=4, backoff=backoff, on_error=lambda error, item: item))
    waits = [after - before for before, after in itertools.pairwise(times)]
    assert waits == pytest.approx(pauses)


def test_the_jitter_is_of_the_item_and_stays_within_its_bounds():
    backoff = Backoff(first_s=1, growth=1, jitter=0.2)
    pauses = [backoff.pause_s(address, attempt) for address in range(50) for attempt in range(4)]
    assert 0.8 <= min(pauses) < 0.85
    assert 1.15 < max(pauses) <= 1.2
    assert len(set(pauses)) == len(pauses)
    assert backoff.pause_s([3, 1], 2) == backoff.pause_s([3, 1], 2)


def test_the_thousandth_attempt_has_a_pause_too():
    assert Backoff(jitter=0).pause_s(0, 5000) == 5.0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"first_s": -1}, "`first_s` must be seconds >= 0, got -1"),
        ({"first_s": math.nan}, "`first_s`"),
        ({"growth": 0.5}, "`growth` must be >= 1, got 0.5"),
        ({"longest_s": 0.01}, "`longest_s` must be >= first_s = 0.05, got 0.01"),
        ({"jitter": 2}, "`jitter` must be from 0 to 1, got 2"),
    ],
)
def test_a_backoff_says_what_is_wrong(options, words):
    with pytest.raises(ValueError, match=words):
        Backoff(**options)


# what was left out


@pytest.mark.parametrize("where", WHERE)
def test_what_was_skipped_or_replaced_can_be_asked_for(where):
    errors = {2: Broken("two"), 4: KeyError("four")}
    fn = failing(errors.get, [], where)
    for on_error in ("skip", skip(), lambda error, item: -item):
        pipeline = Pipeline(range(10, 16)).map(lambda value: value - 10, executor="inline")
        pipeline = pipeline.map(fn, on_error=on_error, **WHERE[where])
        assert pipeline.statistics().failures == ()
        run(pipeline)
        failures = pipeline.statistics().failures
        assert sorted(failures) == [
            (f"map({fn.__name__}{', ordered=False' if where == 'out of order' else ''})", *rest)
            for rest in ((2, 2, errors[2]), (4, 4, errors[4]))
        ]
        assert isinstance(failures[0], FailedItem)
        assert failures[0].error.__traceback__ is None


def test_the_last_hundred_are_kept():
    fn = failing(lambda value: Broken() if value else None, [], "thread")
    pipeline = Pipeline(range(500)).map(fn, concurrency=1, on_error="skip")
    assert run(pipeline) == [0]
    assert [failed.index for failed in pipeline.statistics().failures] == list(range(400, 500))
    assert LOGGED == 100


def test_each_stage_and_each_kind_of_stage_is_named():
    pipeline = (
        Pipeline(["1", "x", "3"])
        .map(int, executor="inline", on_error="skip")
        .flat_map(lambda n: 1 // (n - 1) or [n], executor="inline", on_error=lambda *_: [7])
    )
    assert run(pipeline) == [7, 3]
    stages = [failed.stage for failed in pipeline.statistics().failures]
    assert sorted(stages) == ["flat_map(<lambda>)", "map(int)"]


def test_skip_can_log(caplog):
    pipeline = Pipeline(["1", "x" * 200, "3"]).map(int, on_error=skip(log=True))
    with caplog.at_level(logging.WARNING, logger="asyncml"):
        assert run(pipeline) == [1, 3]
    (record,) = caplog.records
    assert record.getMessage().startswith("skipped in map(int): item 1, 'xxx")
    assert "ValueError" in record.getMessage()
    assert len(record.getMessage()) < 300
    caplog.clear()
    run(Pipeline(["1", "x", "3"]).map(int, on_error="skip"))
    assert not caplog.records


# where all are left out, the program is wrong


def test_a_wrong_signature_does_not_skip_everything_in_silence():
    def load(key, size):
        return key

    for where in ({}, {"executor": "inline"}, {"ordered": False, "concurrency": 3}):
        with pytest.warns(RuntimeWarning, match=r"all of its first 16 items.*TypeError.*size"):
            assert run(Pipeline(range(100)).map(load, on_error="skip", **where)) == []
        with pytest.warns(RuntimeWarning, match="all of its first 3 items"):
            assert run(Pipeline(range(3)).map(load, on_error="skip", **where)) == []


def test_a_few_bad_items_are_nothing_to_warn_of():
    fn = failing(lambda value: Broken() if value < 15 or value > 50 else None, [], "thread")
    assert len(run(Pipeline(range(99)).map(fn, concurrency=1, on_error="skip"))) == 36
    fn = failing(lambda value: Broken() if value else None, [], "thread")
    run(Pipeline(range(99)).map(fn, concurrency=1, on_error="skip"))
    run(Pipeline([1]).map(fn, on_error="skip"))


# a budget of failures


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("on_error", ["skip", lambda error, item: None])
@pytest.mark.parametrize("most", [0, 1, 3])
def test_one_failure_more_than_the_count_ends_the_epoch(most, on_error, where):
    fn = failing(lambda value: Broken(value) if value % 2 else None, [], where)
    options = {"on_error": on_error, "max_failures": most, **WHERE[where]}
    run(Pipeline(range(2 * most)).map(fn, **options))
    with pytest.raises(Broken) as caught:
        run(Pipeline(range(20)).map(fn, **options))
    notes = " ".join(caught.value.__notes__)
    assert f"with it {most + 1} items of map" in notes
    assert f"more than max_failures={most}" in notes
    assert "in stage map" in notes


@pytest.mark.parametrize("where", WHERE)
def test_a_share_is_of_the_items_so_far_and_of_a_hundred_at_least(where):
    def bad(*values):
        fn = failing(lambda value: Broken(value) if value in values else None, [], where)
        return Pipeline(range(300)).map(fn, on_error="skip", max_failures=0.02, **WHERE[where])

    assert len(run(bad(0, 1, 160, 220))) == 296
    with pytest.raises(Broken, match="2"):
        run(bad(0, 1, 2))


def test_the_end_of_the_epoch_looks_at_the_share_of_the_few():
    fn = failing(lambda value: Broken(value) if value % 3 == 0 else None, [], "thread")
    for executor in ("thread", "inline"):
        pipeline = Pipeline(range(9)).map(fn, executor=executor, on_error="skip", max_failures=0.3)
        with pytest.raises(Broken) as caught:
            run(pipeline)
        assert "in the end 3 items of map" in " ".join(caught.value.__notes__)
        with pytest.raises(Broken):  # an end that `take` makes is one
            run(pipeline.take(6))
    pipeline = Pipeline(range(9)).map(fn, on_error="skip", max_failures=0.4)
    assert len(run(pipeline)) == 6
    below = (
        Pipeline(range(9))
        .map(fn, on_error="skip", max_failures=0.3)
        .map(
            failing(lambda value: KeyError(value), [], "thread"), on_error=lambda error, item: None
        )
    )
    with pytest.raises(Broken):  # the error of the stage that has too many, and no other's
        run(below)
    retried = Pipeline(range(9)).map(fn, on_error="skip", retries=3, max_failures=0.4)
    assert len(run(retried)) == 6  # attempts are no items


def test_an_end_that_take_makes_is_an_end():
    fn = failing(lambda value: Broken(value) if value % 2 else None, [], "thread")
    for add in (lambda p: p.take(5), lambda p: p.batch(2).take(2)):
        for options in ({}, {"executor": "inline"}):
            pipeline = Pipeline(range(10)).map(
                fn, on_error=lambda error, item: item, max_failures=0.1, **options
            )
            with pytest.raises(Broken):
                run(add(pipeline))


def test_items_before_the_one_too_many_are_delivered():
    fn = failing(lambda value: Broken(value) if value in (2, 5) else None, [], "thread")
    items = []

    async def main():
        async for item in Pipeline(range(9)).map(fn, on_error="skip", max_failures=1):
            items.append(item)

    with pytest.raises(Broken, match="5"):
        simulate(main())
    assert items == [0, 1, 3, 4]


# an option that raises stops as soon as "raise" does


@pytest.mark.parametrize("options", [{"on_error": lambda error, item: 1 / 0}, {"max_failures": 0}])
@pytest.mark.parametrize("ordered", [True, False])
def test_nothing_is_begun_after_a_failure_that_ends_the_epoch(options, ordered):
    begun = []

    def load(value):
        begun.append(value)
        compute(0.001)
        if value == 3:
            raise Broken
        return value

    options = {"on_error": "skip", **options, "concurrency": 1, "ordered": ordered}
    with pytest.raises((Broken, ZeroDivisionError)):
        run(Pipeline(range(99)).map(load, **options))
    assert begun == [0, 1, 2, 3]


# options that cannot be right


@pytest.mark.parametrize(
    ("options", "kind", "words"),
    [
        ({"retry_on": "OSError"}, TypeError, "`retry_on` must be exception types"),
        ({"retry_on": int}, TypeError, "`retry_on` must be"),
        ({"retry_on": (OSError, "x")}, TypeError, "`retry_on` must be"),
        ({"retry_on": KeyboardInterrupt}, TypeError, "`retry_on` must be"),
        ({"retry_on": asyncio.sleep}, TypeError, "`retry_on` must be"),
        ({"backoff": 3}, TypeError, r"`backoff` must be a Backoff\(first_s=...\), got 3"),
        ({"on_error": skip}, TypeError, "lacks its brackets"),
        ({"on_error": "ignore"}, ValueError, "`on_error` must be"),
        ({"max_failures": 3}, ValueError, 'add on_error="skip"'),
        ({"max_failures": -1, "on_error": "skip"}, ValueError, "must be >= 0, got -1"),
        ({"max_failures": 1.5, "on_error": "skip"}, ValueError, "a share from 0 to 1, got 1.5"),
        ({"max_failures": math.nan, "on_error": "skip"}, ValueError, "got nan"),
        ({"max_failures": True, "on_error": "skip"}, TypeError, "got True"),
        ({"max_failures": "5 %", "on_error": "skip"}, TypeError, "got '5 %'"),
    ],
)
def test_an_option_says_what_is_wrong(options, kind, words):
    for method in ("map", "flat_map"):
        with pytest.raises(kind, match=words):
            getattr(Pipeline([]), method)(abs, **options)
