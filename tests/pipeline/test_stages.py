"""What the cheap stages do: take, filter, shard, shuffle, batch."""

from itertools import chain

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from asyncml.pipeline.pipeline import Pipeline
from tests.pipeline.building import few
from tests.pipeline.consuming import run


def test_stages_do_what_their_names_say():
    source = Pipeline(range(10))
    assert run(source.take(3)) == [0, 1, 2]
    assert run(source.take(0)) == []
    assert run(source.filter(lambda value: value % 2)) == [1, 3, 5, 7, 9]
    assert run(source.flat_map(range).take(4)) == [0, 0, 1, 0]
    assert run(source.batch(4)) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert run(source.batch(4, drop_last=True)) == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert run(source.batch(5, collate=sum)) == [10, 35]
    assert run(source.map(str, executor="inline").batch(9).prefetch(2))[1] == ["9"]


@given(st.integers(0, 30), st.integers(1, 5))
@few
def test_the_shards_are_the_whole(size, world_size):
    shards = [run(Pipeline(range(size)).shard(rank, world_size)) for rank in range(world_size)]
    assert sorted(chain(*shards)) == list(range(size))
    assert max(map(len, shards)) - min(map(len, shards)) <= 1


def test_shuffle_is_another_order_each_epoch_and_the_same_in_each_run():
    def epochs(seed=0):
        pipeline = Pipeline(range(50)).shuffle(20, seed=seed)
        return [run(pipeline) for _ in range(3)]

    first = epochs()
    assert all(sorted(epoch) == list(range(50)) for epoch in first)
    assert first[0] != first[1] != first[2] != first[0]
    assert epochs() == first
    assert epochs(seed=1) != first
    assert run(Pipeline(range(9)).shuffle(1)) == list(range(9))


def test_shuffle_does_not_favour_a_place():
    places = np.zeros(4)
    pipeline = Pipeline(range(4)).shuffle(4)
    for _ in range(300):
        places += run(pipeline)
    assert abs(places / 300 - 1.5).max() < 0.25


def test_none_is_an_item():
    async def nothing(value):
        return None

    assert run(Pipeline([None, 1]).map(nothing).filter(lambda item: item is None)) == [None, None]
    assert run(Pipeline([None] * 3).map(nothing, ordered=False).batch(2)) == [[None, None], [None]]
