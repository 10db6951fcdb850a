"""How plain functions get to threads: how many items share a visit, and that none waits for it."""

import contextvars

import pytest

from asyncml.clock import compute
from asyncml.pipeline.pipeline import Pipeline
from tests.pipeline.consuming import run, timed

# a visit has a context of its own, so a function that sees what it has set there before shares one
visit = contextvars.ContextVar("visit")


class Visitor:
    """Counts the items of each visit; what it returns tells how."""

    def __init__(self, kind="map", seconds=0.0):
        self.kind, self.seconds, self.visits = kind, seconds, []

    def __call__(self, value):
        try:
            visit.get().append(value)
        except LookupError:
            self.visits.append([value])
            visit.set(self.visits[-1])
        compute(self.seconds)
        return [value] if self.kind == "flat_map" else value

    def sizes(self):
        return [len(items) for items in self.visits]


@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize("kind", ["map", "flat_map"])
def test_cheap_items_share_a_visit_as_soon_as_it_is_known_that_they_are(kind, ordered):
    visitor = Visitor(kind)
    pipeline = getattr(Pipeline(range(2000)), kind)(visitor, concurrency=2, ordered=ordered)
    assert sorted(run(pipeline)) == list(range(2000))
    sizes = visitor.sizes()
    assert sum(sizes) == 2000
    assert len(sizes) <= 2000 / 12


@pytest.mark.parametrize(
    ("seconds", "most", "visits"),
    [(0.0001, 51, 40), (0.001, 6, 100), (0.002, 3, 200), (0.006, 1, 300), (0.1, 1, 300)],
)
def test_a_visit_begins_items_for_5_ms(seconds, most, visits):
    visitor = Visitor(seconds=seconds)
    run(Pipeline(range(300)).map(visitor, concurrency=2))
    assert max(visitor.sizes()) <= most
    assert len(visitor.sizes()) <= visits


def test_with_a_time_out_each_item_has_a_visit_of_its_own():
    visitor = Visitor()
    run(Pipeline(range(50)).map(visitor, concurrency=2, timeout=1))
    assert visitor.sizes() == [1] * 50


def test_functions_that_take_no_time_can_be_many():
    assert run(Pipeline(range(6000)).map(abs, concurrency=2)) == list(range(6000))


def test_cheap_functions_share_a_visit_and_a_slow_one_delays_nobody():
    def work(value):
        if value in (5, 1000):
            compute(1.0)
        return value

    make = Pipeline(range(2000)).map
    items, times = timed(make(work, concurrency=3, lookahead=200, ordered=False))
    assert sorted(items) == list(range(2000))
    assert sorted(items[-2:]) == [5, 1000]
    assert times[-3] < 0.1
    items, times = timed(make(work, concurrency=3, lookahead=2000))
    assert items == list(range(2000))
    assert times[-1] < 1.1
