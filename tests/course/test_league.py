"""The league of lesson 07: the score of a pipeline built from our parts."""

import pytest

import asyncml as aml
from asyncml.course.exercises.league import Score, score


class Asked:
    """The store behind `get`: the league hands out no more of its bucket."""

    def __init__(self, get):
        self.get = get

    async def put(self, key, data): ...

    async def list(self, prefix): ...


def ready_made(keys, get, after_s=0.075, **options):
    store = aml.Hedged(aml.RateLimited(Asked(get), per_second=200, burst=20), after_s=after_s)
    images = aml.Pipeline(keys).map(store.get, concurrency=16, retries=8, **options)
    return images.map(aml.decode_png, concurrency=2, on_error="skip")


def test_a_pipeline_of_ready_made_parts_comes_near_the_bound():
    found = score(ready_made)
    assert found.score <= 1.10
    assert found.refused == 0


def test_each_part_does_its_share():
    def only_limited(keys, get):
        return ready_made(keys, get, after_s=9)

    def only_hedged(keys, get):
        images = aml.Pipeline(keys).map(aml.Hedged(Asked(get)).get, concurrency=13, retries=8)
        return images.map(aml.decode_png, concurrency=2, on_error="skip")

    best = score(ready_made).score
    assert best < score(only_limited).score - 0.02
    assert best < score(only_hedged).score - 0.2
    assert score(only_hedged).refused > 100


@pytest.mark.parametrize("seed", range(8, 14))
def test_in_other_buckets_too_where_what_was_lost_is_asked_for_soon(seed):
    # the default's longer pauses come at the end, when nothing else is left to do
    def quick_again(keys, get):
        return ready_made(keys, get, backoff=aml.Backoff(first_s=0.001), after_s=0.1)

    found = score(quick_again, seed=seed)
    assert isinstance(found, Score)
    assert found.score <= 1.10
    assert found.refused == 0
