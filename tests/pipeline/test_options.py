"""Wrong arguments and wrong states: what is said of each."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncml.clock import simulate
from asyncml.pipeline.pipeline import Pipeline
from tests.pipeline.building import STAGES, UNORDERED, build, few, number, triple
from tests.pipeline.consuming import first, run, slow


@pytest.mark.parametrize(
    ("add", "words"),
    [
        (lambda p: p.map(slow, concurrency=0), "`concurrency` must be >= 1, got 0"),
        (lambda p: p.map(slow, concurrency=8, lookahead=4), "`lookahead` must be >= concurrency"),
        (lambda p: p.map(slow, retries=-1), "`retries` must be >= 0, got -1"),
        (lambda p: p.map(slow, timeout=0), "`timeout` must be seconds > 0, got 0"),
        (lambda p: p.map(slow, executor="threads"), "`executor` must be .*got 'threads'"),
        (lambda p: p.map(slow, on_error="ignore"), "`on_error` must be .*got 'ignore'"),
        (lambda p: p.map(slow, on_error=slow), "`on_error` must be .*plain function"),
        (lambda p: p.map(number, executor="inline", timeout=1), "`timeout` cannot stop `number`"),
        (lambda p: p.batch(0), "`size` must be >= 1, got 0"),
        (lambda p: p.take(-1), "`n` must be >= 0, got -1"),
        (lambda p: p.prefetch(0), "`n` must be >= 1, got 0"),
        (lambda p: p.shuffle(0), "`buffer_size` must be >= 1, got 0"),
        (lambda p: p.shuffle(3, seed=-1), "`seed` must be >= 0, got -1"),
        (lambda p: p.shard(3, 3), "`rank` must be < world_size = 3, got 3"),
        (lambda p: p.shard(0, 0), "`world_size` must be >= 1, got 0"),
    ],
)
def test_a_wrong_value_says_what_is_right(add, words):
    with pytest.raises(ValueError, match=words):
        add(Pipeline(range(3)))


async def stream(value):
    yield value


@pytest.mark.parametrize(
    ("add", "words"),
    [
        (lambda p: Pipeline(3), "`source` must be an iterable, .*got int"),
        (lambda p: p.map(3), "`map` needs a function, got 3"),
        (lambda p: p.map(stream), "`stream` is an async generator: use flat_map"),
        (
            lambda p: p.map(lambda x: x, executor="process"),
            "`<lambda>` cannot be sent to a process",
        ),
        (lambda p: p.batch(2, collate=3), "`collate` needs a function"),
        (lambda p: p.batch(2, collate=slow), "must be a plain function, got slow"),
        (lambda p: p.batch(2.5), "`size` must be an int, got 2.5"),
        (lambda p: p.map(slow, concurrency=True), "`concurrency` must be an int, got True"),
        (lambda p: p.map(slow, timeout="a"), "`timeout` must be seconds > 0, got 'a'"),
        (lambda p: Pipeline(p), "add the stages to that pipeline instead"),
        (lambda p: Pipeline(lambda x: x), "`source` must take no arguments"),
        (lambda p: run(Pipeline(lambda: 3)), "`source` must return an iterable .*returned int"),
        (lambda p: run(p.flat_map(lambda x: 3)), "`<lambda>` must return an iterable, got int"),
    ],
)
def test_a_wrong_type_says_what_is_right(add, words):
    with pytest.raises(TypeError, match=words):
        add(Pipeline(range(3)))


# states


def test_a_state_of_other_stages_is_an_error():
    pipeline = Pipeline(range(9)).map(slow).batch(2)
    state = pipeline.state_dict()
    pipeline.prefetch(3).load_state_dict(state)
    source = Pipeline(range(9))
    others = (
        source,
        source.map(slow).batch(3),
        source.map(number).batch(2),
        source.map(slow, ordered=False).batch(2),
        source.take(3).map(slow).batch(2),
        source.map(slow).batch(2, drop_last=True),
    )
    for other in others:
        with pytest.raises(ValueError, match=r"other stages(.|\n)*map\(slow\) -> batch\(2"):
            other.load_state_dict(state)
    parts = [{**state, "parts": part} for part in (1, None, {"a": 1}, {1: 1})]
    counts = [{**state, key: value} for key in ("epoch", "position") for value in ("a", -1, 1.5)]
    others = [{**state, "stages": None}, {**state, "more": 3}]
    others += [{**state, "source": source} for source in (None, {}, {"length": 9}, "a")]
    for wrong in (None, {}, [1], *parts, *counts, *others):
        with pytest.raises(ValueError, match="must be what state_dict"):
            pipeline.load_state_dict(wrong)
    for version in (0, 2, 9, "a", None):
        with pytest.raises(ValueError, match=r"the form number .* reads number 3"):
            pipeline.load_state_dict({**state, "version": version})
    assert pipeline.state_dict() == state


NUMBERED = [1, 10**30, -1, 1.5, "1", None, True, [], [1], [[0, 1]], {}, {"held": [1]}, {"given": 1}]


HOLDING = [
    {"held": held, "given": given}
    for held, given in [
        ([], 0),
        ([1], 1),
        ([[0, 1]], 1),
        ([[[0]]], 1),
        ([-1], 1),
        (["a"], 1),
        ([[[0, 1]]], 1),
        ([[0, "x"]], 1),
        ([[0, -1]], 1),
        ([[0]], 1),
        ([1, 1], 1),
        ([0, 1, 2, 3, 4, 5, 6], 1),
        ([None], 1),
        ([{}], 1),
        ([[]], 1),
        ("ab", 1),
        ([1], "a"),
        ([1], -1),
        ([1], 1.5),
        ([1, 2], 1),
    ]
]


ONE = {"held": [[0]], "given": 1}  # a batch of one item


UNIQUE = [HOLDING[0], HOLDING[1], {"held": [0, 1, 2, 3, 4, 5, 6], "given": 1}]


# for each shape: the place of its stage with a part, and the parts of those above that it can have
SHAPED = {
    "take": (lambda p: p.map(slow).take(5), "1", [1]),
    "shard": (lambda p: p.map(slow).shard(0, 2), "1", [1, 10**30]),
    "shuffle": (lambda p: p.map(slow).shuffle(3), "1", [HOLDING[0], HOLDING[1], HOLDING[-1]]),
    "unordered": (lambda p: p.map(slow, ordered=False), "0", [*UNIQUE, HOLDING[-1]]),
    "flat_map": (lambda p: p.flat_map(triple), "1", [HOLDING[1]]),
    "batches": (lambda p: p.batch(2).shuffle(2), "1", [HOLDING[0], HOLDING[2], ONE]),
    "children": (lambda p: p.flat_map(triple).shuffle(2), "2", [HOLDING[0], HOLDING[2]]),
    "map": (lambda p: p.map(slow), "0", []),
    "key shuffle": (lambda p: p.shuffle(3).map(slow), "0", []),
    "nothing": (lambda p: p, "0", []),
}


@pytest.mark.parametrize("shape", SHAPED)
def test_garbage_in_the_parts_of_a_state_is_refused_at_once(shape):
    make, place, sound = SHAPED[shape]
    pipeline = make(Pipeline(range(9)))
    before = pipeline.state_dict()
    for part in [*NUMBERED, *HOLDING]:
        state = {**before, "position": 3, "parts": {place: part}}
        if part in sound and part is not True:
            pipeline.load_state_dict(state)
            pipeline.load_state_dict(before)
            continue
        if part is None:
            continue
        with pytest.raises(ValueError, match=r"`state` (has wrong `parts`|holds items)"):
            pipeline.load_state_dict(state)
    for elsewhere in ("7", "99"):
        with pytest.raises(ValueError, match=f"see {elsewhere}"):
            pipeline.load_state_dict({**before, "parts": {elsewhere: 1}})
    assert pipeline.state_dict() == before


@given(st.lists(st.sampled_from(sorted({**STAGES, **UNORDERED})), max_size=4), st.integers(0, 9))
@few
def test_no_state_of_ones_own_is_taken_for_garbage(names, count):
    async def main():
        _, states = await first(build(names), count)
        build(names).load_state_dict(states[-1])

    simulate(main())
