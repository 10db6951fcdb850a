"""Pipelines combined: which gives the next item, and that the whole goes on where it stood."""

import asyncio
import contextlib
import copy
import itertools
import pickle
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncml.clock import compute, simulate
from asyncml.pipeline import Pipeline, chain, mix
from tests.pipeline.consuming import collect, first, run
from tests.pipeline.test_resume import add, called, filters, leaves, sized, sources

# which pipeline gives the next item


def test_a_chain_is_one_after_the_other():
    pipelines = [Pipeline("ab").map(str.upper), Pipeline([]), Pipeline(range(5)).batch(2)]
    whole = chain(pipelines)
    assert run(whole) == list(whole) == ["A", "B", [0, 1], [2, 3], [4]]
    assert run(chain(pipelines[:1])) == ["A", "B"]


def test_without_weights_they_take_turns_and_the_others_go_on():
    whole = mix([Pipeline("a"), Pipeline("bcd"), Pipeline(""), Pipeline("ef")])
    assert "".join(run(whole)) == "".join(whole) == "abecfd"


@pytest.mark.parametrize("weights", [[1, 1], [3, 1], [1, 9], [0.5, 0.25]])
def test_weights_are_how_many_come_of_each(weights):
    async def main():
        counts = Counter()
        for seed in range(20):
            whole = mix([Pipeline("a" * 400), Pipeline("b" * 400)], weights=weights, seed=seed)
            counts.update(await collect(whole.take(200)))
        return counts

    counts = simulate(main())
    share = weights[0] / sum(weights)
    deviation = (share * (1 - share) / 4000) ** 0.5
    assert abs(counts["a"] / 4000 - share) < 4 * deviation


def test_when_one_has_ended_the_others_keep_their_proportions():
    async def main():
        counts = Counter()
        for seed in range(40):
            whole = mix(
                [Pipeline("a" * 400), Pipeline("b" * 400), Pipeline("c")], weights=[3, 1, 6]
            )
            whole = mix(whole._source.items.pipelines, weights=[3, 1, 60], seed=seed)
            counts.update((await collect(whole.take(101)))[1:])
        return counts

    counts = simulate(main())
    assert abs(counts["a"] / (counts["a"] + counts["b"]) - 0.75) < 0.03
    assert counts["c"] < 9  # most often it came first


def test_the_order_depends_on_seed_and_epoch_alone():
    def make(seed, slow=0.0):
        async def get(value):
            await asyncio.sleep(slow)
            return value

        pipelines = [Pipeline("a" * 20).map(get), Pipeline("b" * 20).map(get, concurrency=1)]
        return mix(pipelines, weights=[1, 1], seed=seed)

    async def epochs(pipeline):
        return ["".join(await collect(pipeline)) for _ in range(3)]

    async def main():
        some = await epochs(make(0))
        assert some == await epochs(make(0, slow=0.01))
        assert len({*some, *await epochs(make(1))}) == 6

    simulate(main())


def test_each_epoch_is_one_of_each_pipeline():
    pipelines = [Pipeline(lambda epoch: [epoch]), Pipeline(range(9)).shuffle(9)]
    for whole in (chain(pipelines), mix(pipelines), mix(pipelines, weights=[1, 1])):
        epochs = [run(whole) for _ in range(3)]
        alone = [run(pipelines[1].prefetch(1)) for _ in range(1)]
        assert [sorted(epoch) for epoch in epochs] == [sorted([n, *range(9)]) for n in range(3)]
    assert run(chain(pipelines))[1:] == alone[0]


def test_they_run_ahead_together():
    async def get(value):
        await asyncio.sleep(1)
        return value

    async def main():
        loop = asyncio.get_running_loop()
        pipelines = [Pipeline([n]).map(get) for n in range(5)]
        await collect(mix(pipelines, weights=[1] * 5))
        mixed = loop.time()
        await collect(chain(pipelines))
        return mixed, loop.time() - mixed

    assert simulate(main()) == (1, 5)


def test_a_chain_opens_its_pipelines_one_by_one():
    opened = []

    def source(number):
        async def keys():
            await asyncio.sleep(1)
            opened.append(number)
            return [number]

        return keys

    async def main():
        pipelines = [Pipeline(source(n)) for n in range(4)]
        assert await collect(chain(pipelines).take(2)) == [0, 1]
        assert opened == [0, 1]
        assert await collect(chain(pipelines)) == [0, 1, 2, 3]

    simulate(main())


def test_what_is_not_wanted_is_not_asked_for():
    asked = []

    def keys(name):
        for number in itertools.count():
            asked.append(name)
            yield number

    whole = mix([Pipeline(lambda: keys("a")), Pipeline(lambda: keys("b"))])
    assert run(whole.take(5)) == [0, 0, 1, 1, 2]
    assert "".join(asked) == "ababa"


# where it stands

combined = st.deferred(lambda: st.tuples(st.sampled_from(["chain", "turns", "weights"]), members))
made_of = st.one_of(st.tuples(sources, st.integers(0, 7)), combined)
node = st.tuples(made_of, st.lists(called | sized | filters, max_size=2))
members = st.lists(node, min_size=1, max_size=3)


def sound(shape):
    """Leave out what depends on the order, where that is not promised; say whether it is, too."""
    (kind, what), chosen = shape
    is_ordered = all(stage.get("ordered", True) for stage in chosen)
    batched = False
    if isinstance(what, list):
        inner = [sound(one) for one in what]
        what = [one for one, _, _ in inner]
        is_ordered = is_ordered and all(ordered for _, ordered, _ in inner)
        batched = any(batch for _, _, batch in inner)
    kept = []
    for stage in chosen:
        if not is_ordered and stage["kind"] in ("take", "shard", "full batch"):
            continue
        if not is_ordered and batched and stage["kind"] not in ("shuffle", "prefetch"):
            continue
        batched = batched or "batch" in stage["kind"]
        kept.append(stage)
    return ((kind, what), kept), is_ordered, batched


def keys(kind, values):
    async def stream():
        for value in values:
            await asyncio.sleep(0.002 if kind == "slow stream" else 0)
            yield value

    if kind == "list":
        return list(values)
    return (lambda: iter(values)) if kind == "iterator" else stream


def build(shape, pool, numbers):
    (kind, what), chosen = shape
    if isinstance(what, list):
        pipelines = [build(one, pool, numbers) for one in what]
        weights = [1 + place for place in range(len(what))] if kind == "weights" else None
        seed = next(numbers)
        pipeline = (
            chain(pipelines) if kind == "chain" else mix(pipelines, weights=weights, seed=seed)
        )
    else:
        number = 100 * next(numbers)
        pipeline = Pipeline(keys(kind, range(number, number + what)))
    for stage in chosen:
        pipeline = add(pipeline, stage, pool)
    return pipeline


@pytest.mark.filterwarnings("ignore:.*has skipped all of its first:RuntimeWarning")
@settings(max_examples=60)
@given(
    st.tuples(combined, st.lists(called | sized | filters, max_size=3)),
    st.integers(0, 2),
    st.lists(st.integers(0, 12), min_size=2, max_size=2),
)
def test_it_goes_on_where_it_stood(shape, epoch, stops):
    shape, is_ordered, _ = sound(shape)

    async def main(pool):
        make = lambda: build(shape, pool, itertools.count())  # noqa: E731
        whole = make()
        state = {**whole.state_dict(), "epoch": epoch}
        whole.load_state_dict(state)
        planned, items = await collect(whole), []
        for stop in [*stops, 1000]:
            pipeline = make()
            pipeline.load_state_dict(state)
            some, states = await first(pipeline, stop)
            items, state = items + some, states[-1]
        if is_ordered:
            assert items == planned
        else:
            assert sorted(leaves(items)) == sorted(leaves(planned))

    with ThreadPoolExecutor(3) as pool:
        simulate(main(pool))


COMBINE = {
    "chain": chain,
    "turns": mix,
    "weights": lambda pipelines: mix(pipelines, weights=[1 + n for n in range(len(pipelines))]),
}
combine = pytest.mark.parametrize("combine", COMBINE.values(), ids=COMBINE)


@combine
@pytest.mark.parametrize("stop", range(0, 37, 3))
def test_consumed_items_are_not_loaded_again(combine, stop):
    called = []

    async def load(value):
        called.append(value)
        return value

    def make():
        some = [Pipeline(range(0, 9)).map(load), Pipeline(range(100, 109)).shuffle(4).map(load)]
        more = [combine(some[:1]), Pipeline(range(200, 209)).map(load), Pipeline(range(4)).batch(2)]
        return combine([combine(some), combine(more).map(str)]).prefetch(3)

    async def main():
        items, states = await first(make(), stop)
        called.clear()
        pipeline = make()
        pipeline.load_state_dict(states[-1])
        rest, _ = await first(pipeline, 1000)
        loaded = sorted(map(str, called))
        assert items + rest == await collect(make())
        assert loaded == sorted(item for item in map(str, rest) if item.isdecimal())

    simulate(main())


@combine
def test_a_late_shuffle_makes_again_only_what_it_held(combine):
    called = []

    async def load(value):
        called.append(value)
        return value

    def make():
        parts = [range(n, n + 10) for n in (0, 10, 20)]
        return combine([Pipeline(part).map(load) for part in parts]).shuffle(4).batch(3)

    async def main():
        whole = await collect(make())
        for stop in range(len(whole) + 1):
            items, states = await first(make(), stop)
            pipeline = make()
            pipeline.load_state_dict(states[-1])
            called.clear()
            rest, _ = await first(pipeline, 1000)
            assert items + rest == whole
            assert sorted(called) == sorted(itertools.chain(*rest))

    simulate(main())


def test_resumed_it_opens_no_pipeline_of_a_chain_that_is_over():
    opened = []

    def make():
        def keys(number):
            opened.append(number)
            return range(10 * number, 10 * number + 3)

        return chain([Pipeline(lambda number=number: keys(number)) for number in range(4)])

    async def main():
        whole = await collect(make())
        for stop in range(1, 13):
            items, states = await first(make(), stop)
            assert len(states[-1]["parts"]["source"]["pipelines"]) == 1
            opened.clear()
            pipeline = make()
            pipeline.load_state_dict(states[-1])
            assert items + await collect(pipeline) == whole
            assert opened == [*range((stop - 1) // 3, 4)]

    simulate(main())


@combine
def test_a_run_in_many_pieces_is_one_run(combine):
    def make():
        inner = [Pipeline("abc").shuffle(2), Pipeline(range(4)).map(str), Pipeline("xy").take(1)]
        return combine([combine(inner), Pipeline([1.5]), combine(inner[::-1]).shuffle(2)])

    async def main():
        planned, items, state = await collect(make()), [], make().state_dict()
        for _ in planned:
            pipeline = make()
            pipeline.load_state_dict(state)
            some, states = await first(pipeline, 1)
            items, state = items + some, states[-1]
        assert items == planned

    simulate(main())


@combine
def test_the_pipelines_that_are_combined_are_not_moved(combine):
    one, other = Pipeline(range(4)), Pipeline(range(4))
    iterator = iter(one)
    assert next(iterator) == 0
    other.load_state_dict(one.state_dict())
    whole = combine([one, other, one])
    assert sorted(whole) == sorted([*range(4)] * 3)
    assert list(iterator) == list(other) == [1, 2, 3]


@combine
def test_a_copy_stands_where_it_does(combine):
    pipeline = combine([Pipeline(range(4)), Pipeline("ab")]).map(str)
    planned = list(pipeline)
    for stop in range(7):
        pipeline = combine([Pipeline(range(4)), Pipeline("ab")]).map(str)
        iterator = iter(pipeline)
        seen = [next(iterator) for _ in range(stop)]
        for other in (copy.copy(pipeline), pickle.loads(pickle.dumps(pipeline))):
            assert seen + list(other) == planned
        iterator.close()


def test_states_of_other_combinations_are_refused():
    one, other = Pipeline(range(4)).map(str), Pipeline("abc")
    shapes = [
        *(chain([one, other]), mix([one, other]), mix([other, one]), mix([one])),
        *(mix([one, other], weights=[1, 2]), mix([one, other], weights=[1, 2], seed=1)),
        *(mix([one.batch(2), other]), mix([chain([one]), other]), Pipeline(range(7))),
    ]
    states = []
    for shape in shapes:
        iterator = iter(shape)
        next(iterator)
        states.append(shape.state_dict())
        iterator.close()
    for at, shape in enumerate(shapes):
        for number, state in enumerate(states):
            if at == number:
                shape.load_state_dict(state)
                continue
            with pytest.raises(ValueError, match="`state` comes from a pipeline of other stages"):
                shape.load_state_dict(state)


def test_a_source_of_another_length_is_refused_wherever_it_stands():
    state = mix([Pipeline(range(4)).filter(bool), Pipeline("abc")]).state_dict()
    pipeline = mix([Pipeline(range(4)).filter(bool), Pipeline("abc")])
    iterator = iter(pipeline)
    assert [next(iterator) for _ in range(2)] == [1, "a"]
    state = pipeline.state_dict()
    iterator.close()
    with pytest.raises(ValueError, match="another length, 4, and this one has 5"):
        mix([Pipeline(range(5)).filter(bool), Pipeline("abc")]).load_state_dict(state)


def changed(value):
    """The value with one thing in it replaced, in many ways."""
    for wrong in (None, -1, "x", [], {}, 1.5, [0, 9, 0]):
        if type(wrong) is not type(value):
            yield wrong
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from ({**value, key: one} for one in changed(inner))
            yield {other: inner for other, inner in value.items() if other != key}
        yield {**value, "7": 1}
    if isinstance(value, list):
        for place, inner in enumerate(value):
            for one in changed(inner):
                yield [*value[:place], one, *value[place + 1 :]]


def test_garbage_in_its_part_of_a_state_is_refused_at_once():
    def make():
        slow = Pipeline(range(20)).map(str, ordered=False, executor="inline")
        return mix([chain([slow]), Pipeline("abcdefgh")]).shuffle(3).batch(2)

    pipeline = make()
    iterator = iter(pipeline)
    assert len([next(iterator) for _ in range(3)]) == 3
    state = pipeline.state_dict()
    iterator.close()
    make().load_state_dict(state)
    refused = accepted = 0
    for parts in changed(state["parts"]):
        pipeline = make()
        try:
            pipeline.load_state_dict({**state, "parts": parts})
        except ValueError:
            refused += 1
            continue
        accepted += 1  # it could be: then what is wrong shows as the keys come, or not at all
        with contextlib.suppress(ValueError):
            run(pipeline)
    assert refused > 250
    assert accepted < 30


# when it goes wrong, or is left


@combine
def test_an_error_says_in_which_pipeline_it_was(combine):
    async def load(value):
        if value == 3:
            raise OSError("gone")
        return value

    def make():
        return combine([Pipeline("ab"), combine([Pipeline(range(9)).map(load)])])

    async def main():
        items = []
        with pytest.raises(OSError, match="gone") as caught:
            await collect_into(items, make())
        assert [item for item in items if item in (0, 1, 2)] == [0, 1, 2]
        return caught.value.__notes__

    notes = simulate(main())
    assert notes[0] == "in stage map(load), item 3: 3"
    kinds = {"chain": "chain"}.get(next(k for k, v in COMBINE.items() if v is combine), "mix")
    assert notes[1:] == [f"in pipeline 0 of a {kinds}", f"in pipeline 1 of a {kinds}"]


async def collect_into(items, pipeline):
    async for item in pipeline:
        items.append(item)


def opens_badly():
    raise OSError("no such file")


@combine
def test_so_does_an_error_of_a_source_as_it_is_opened(combine):
    whole = combine([Pipeline("ab"), Pipeline(opens_badly)])
    with pytest.raises(OSError, match="no such file") as caught:
        list(whole)
    assert caught.value.__notes__[-1].startswith("in pipeline 1 of a ")


@combine
def test_what_was_skipped_is_listed_and_counted(combine):
    def make(most):
        lenient = Pipeline("1x3y").map(int, on_error="skip", max_failures=most)
        return combine([combine([lenient]), Pipeline([7])]).batch(2)

    whole = make(2)
    assert sorted(itertools.chain(*run(whole))) == [1, 3, 7]
    statistics = whole.statistics()
    assert [failed.item for failed in statistics.failures] == ["x", "y"]
    counts = {stage.name: (stage.items, stage.skipped) for stage in statistics.stages}
    assert counts["0/0/map(int)"] == (2, 2)
    assert counts["source"] == (3, 0)
    with pytest.raises(ValueError, match="invalid literal"):
        run(make(0))
    with pytest.raises(ValueError, match="invalid literal"):
        run(make(0.3))  # known when it has ended


@combine
@pytest.mark.parametrize("stop", range(9))
def test_wherever_it_is_left_everything_ends(combine, stop):
    opened, closed = [], []

    async def stream():
        opened.append(1)
        try:
            for value in range(5):
                await asyncio.sleep(0.01)
                yield value
        finally:
            closed.append(1)
            await asyncio.sleep(0.01)

    def plain():
        opened.append(1)
        try:
            yield from range(5)
        finally:
            closed.append(1)

    async def slow(value):
        await asyncio.sleep(0.01)
        return value

    async def main():
        inner = combine([Pipeline(stream).map(slow), Pipeline(plain).map(compute_a_bit)])
        whole = combine([inner, Pipeline(stream)]).map(slow)
        iterator = aiter(whole)
        for _ in range(stop):
            await anext(iterator)
        await iterator.aclose()
        assert len(asyncio.all_tasks()) == 1
        assert opened == closed

    simulate(main())


def compute_a_bit(value):
    compute(0.005)
    return value


@combine
def test_cancelled_at_any_moment_everything_ends(combine):
    closed = []

    async def stream():
        try:
            for value in range(3):
                await asyncio.sleep(1)
                yield value
        finally:
            closed.append(1)

    async def slow(value):
        await asyncio.sleep(1)
        return value

    async def source():
        await asyncio.sleep(1)
        return range(2)

    async def main(moment):
        whole = combine([Pipeline(source).map(slow), Pipeline(stream), Pipeline(source)])
        task = asyncio.create_task(collect(whole))
        await asyncio.sleep(moment)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        assert len(asyncio.all_tasks()) == 1

    for half_seconds in range(18):
        simulate(main(half_seconds / 2))


@combine
def test_ended_by_somebody_else_as_it_is_opened(combine):
    opened = []

    def source(number):
        async def keys():
            opened.append(number)
            await asyncio.sleep(1)
            return range(2)

        return keys

    async def main(moment):
        opened.clear()
        whole = combine([Pipeline(source(number)).map(str) for number in range(4)])
        task = asyncio.create_task(collect(whole))
        await asyncio.sleep(moment)
        whole.load_state_dict(whole.state_dict())
        with pytest.raises(RuntimeError, match="which ended this iteration"):
            await task
        assert opened == [*range(int(moment) + 1)]
        assert len(asyncio.all_tasks()) == 1

    for moment in (0.5, 1.5, 2.5, 3.5):
        simulate(main(moment))


@combine
def test_one_whose_clean_up_fails_does_not_keep_the_others_open(combine):
    closed = []

    async def stream(fails):
        try:
            for value in range(50):
                yield value
        finally:
            closed.append(fails)
            if fails:
                raise OSError("not closed")

    async def main(flags):
        pipelines = [Pipeline(lambda fails=fails: stream(fails)) for fails in flags]
        iterator = aiter(mix(pipelines))
        for _ in flags:
            await anext(iterator)
        with pytest.raises(OSError, match="not closed"):
            await iterator.aclose()

    for flags in ([True, False], [False, True], [False, True, True]):
        closed.clear()
        simulate(main(flags))
        assert sorted(closed) == sorted(flags)


@combine
def test_left_in_plain_for(combine):
    whole = combine([Pipeline(range(50)).map(str, concurrency=2), Pipeline(range(50))])
    for _ in range(2):
        for item in whole:
            if str(item) == "7":
                break
    assert len(list(whole)) == 100


@combine
def test_one_that_can_be_iterated_once_serves_one_epoch(combine):
    whole = combine([Pipeline("ab"), Pipeline(iter("cd"))])
    assert sorted(whole) == ["a", "b", "c", "d"]
    with pytest.raises(RuntimeError, match="only once"):
        list(whole)
    once = Pipeline(iter("ab"))
    with pytest.raises(RuntimeError, match="only once"):
        list(combine([once, once]))


# what it looks like, and bad input


@combine
def test_it_is_a_pipeline_like_any_other(combine):
    whole = combine([Pipeline(range(3)), Pipeline(range(4)).batch(2)])
    assert len(whole) == len(Pipeline(whole)) == 5
    assert list(Pipeline(whole)) == list(Pipeline(whole).take(9)) == list(whole.prefetch(1))
    planned = list(map(str, run(whole.prefetch(1))))
    assert run(Pipeline(whole).map(str).shard(0, 2)) == planned[::2]
    unknown = combine([whole, Pipeline(lambda: "ab")])
    with pytest.raises(TypeError, match="not known before it has run"):
        len(unknown)
    assert len(run(unknown)) == 7
    with pytest.raises(TypeError, match="`source` must not be a pipeline"):
        Pipeline(whole.take(3))


def test_repr_shows_how_they_are_combined():
    pipelines = [Pipeline("ab"), Pipeline([1]).take(3)]
    assert repr(chain(pipelines).take(1)).startswith("Pipeline(chain([Pipeli")
    plan = mix(pipelines, weights=[1, 2], seed=3)._source.items
    assert repr(plan) == "mix([Pipeline('ab'), Pipeline([1]).take(3)], weights=[1.0, 2.0], seed=3)"


@pytest.mark.parametrize("function", [chain, mix])
def test_what_cannot_be_combined(function):
    for wrong in (Pipeline("ab"), 3, None):
        with pytest.raises(TypeError, match=f"`{function.__name__}` needs a list of pipelines"):
            function(wrong)
    with pytest.raises(TypeError, match=r"write Pipeline\('a'\)"):
        function("ab")
    with pytest.raises(ValueError, match="at least one pipeline, got none"):
        function([])


@pytest.mark.parametrize(
    ("weights", "error", "words"),
    [
        ([1], ValueError, "one number for each of 2, got 1"),
        ([1, 2, 3], ValueError, "one number for each of 2, got 3"),
        ([1, 0], ValueError, r"`weights` must be > 0, got \[1, 0\]"),
        ([1, -2], ValueError, "`weights` must be > 0"),
        ([1, float("inf")], ValueError, "`weights` must be > 0"),
        ([1, float("nan")], ValueError, "`weights` must be > 0"),
        ([1, "x"], TypeError, "`weights` must be a list of numbers"),
        (3, TypeError, "`weights` must be a list of numbers, got 3"),
    ],
)
def test_weights_that_are_none(weights, error, words):
    with pytest.raises(error, match=words):
        mix([Pipeline("ab"), Pipeline("cd")], weights=weights)


def test_a_wrong_seed():
    with pytest.raises(ValueError, match="`seed` must be >= 0, got -1"):
        mix([Pipeline("ab")], seed=-1)
