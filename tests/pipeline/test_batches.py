import collections
import datetime
import re
from types import MappingProxyType

import numpy as np
import pytest

from asyncml.clock import simulate
from asyncml.pipeline.batches import collate
from asyncml.pipeline.pipeline import Pipeline

Point = collections.namedtuple("Point", ["x", "y"])


def listed(value):
    """Arrays as lists, however nested, so that all can be compared; types of tuples stay."""
    if isinstance(value, tuple):
        parts = map(listed, value)
        return type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)
    if isinstance(value, dict):
        return {key: listed(part) for key, part in value.items()}
    return value.tolist() if isinstance(value, np.ndarray) else value


class TestCollate:
    @pytest.mark.parametrize(
        ("items", "expected"),
        [
            ([{"x": 1, "y": 2.5}, {"y": 3.5, "x": 2}], {"x": [1, 2], "y": [2.5, 3.5]}),
            ([{"a": {"b": 1}}, {"a": {"b": 2}}], {"a": {"b": [1, 2]}}),
            ([(1, {"a": (2, 3)}), (4, {"a": (5, 6)})], ([1, 4], {"a": ([2, 5], [3, 6])})),
            ([((1, 2), 3), ((4, 5), 6)], (([1, 4], [2, 5]), [3, 6])),
            ([Point(1, 2), Point(3, 4)], Point([1, 3], [2, 4])),
            ([{"p": Point(1, (2,))}, {"p": Point(3, (4,))}], {"p": Point([1, 3], ([2, 4],))}),
            ([MappingProxyType({"a": 1})] * 2, {"a": [1, 1]}),
            ([{1: np.zeros(2)}, {1: np.ones(2)}], {1: [[0, 0], [1, 1]]}),
            ([[1, 2], [3, 4]], [[1, 2], [3, 4]]),
            ([True, 1.5], [1, 1.5]),
            ([1j, 1], [1j, 1]),
            ([{}, {}], {}),
            ([(), ()], ()),
            ((1, 2), [1, 2]),
            (np.arange(3), [0, 1, 2]),
            (["a", "bc"], ["a", "bc"]),
            ([b"a\0", b"bc"], [b"a\0", b"bc"]),
            ([("a\0", 1), ("b", 2)], (["a\0", "b"], [1, 2])),
            ([{"key": "a", "x": 1}] * 2, {"key": ["a", "a"], "x": [1, 1]}),
            ([np.array(["a", "bc"])] * 2, [["a", "bc"]] * 2),
            ([np.datetime64("2026")] * 2, [datetime.date(2026, 1, 1)] * 2),
        ],
    )
    def test_puts_items_together_field_by_field(self, items, expected):
        found = collate(items)
        assert listed(found) == expected
        assert type(found) in (type(expected), np.ndarray)

    def test_what_it_makes_are_arrays_with_the_batch_first(self):
        items = [{"image": np.full((4, 5), i, np.uint8), "label": i} for i in range(3)]
        batch = collate(items)
        assert (batch["image"].shape, batch["image"].dtype) == ((3, 4, 5), np.uint8)
        assert batch["label"].shape == (3,)
        batch["image"][0] = 9
        assert items[0]["image"].max() == 0

    @pytest.mark.parametrize(
        ("items", "message"),
        [
            ([None, 1], "items[0] must be numbers or arrays of one kind, or all text, got None of"),
            ([1, None], "items[1] must be numbers or arrays of one kind, or all text, got None of"),
            ([{"a": 1}, {"a": {2}}], "items[1]['a'] must be numbers or arrays of one kind"),
            ([(1, datetime.date(2026, 1, 1))] * 2, "items[0][1] must be numbers or arrays of one"),
            ([1, 10**30], "items[1] must be numbers or arrays of one kind"),
            ([1, "a"], "items[1] must be numbers or arrays of one kind, or all text, got 'a' of t"),
            ([Point(1, 1), Point(1, b"a")], "items[1].y must be numbers or arrays of one kind"),
            (["a", 1], "items[1] must be a str, as items[0] is, got int"),
            (["a", b"a"], "items[1] must be a str, as items[0] is, got bytes"),
            ([(1, 2), 3], "items[1] must be a tuple, as items[0] is, got int"),
            ([{"a": 1}, (1,)], "items[1] must be a dict, as items[0] is, got tuple"),
            ([1, {"a": 1}], "items[1] must be numbers or arrays of one kind"),
            ([{"a": (1, {})}, {"a": (1, 2)}], "items[1]['a'][1] must be a dict, as items[0]['a']["),
            ([{"t": 1}, {"t": np.datetime64("2026")}], "items[...]['t'] have no array in common"),
            ([object(), object()], "items[0] must be numbers or arrays of one kind"),
        ],
    )
    def test_makes_no_arrays_of_objects(self, items, message):
        with pytest.raises(TypeError, match=f"^{re.escape(message)}"):
            collate(items)

    @pytest.mark.parametrize(
        ("items", "message"),
        [
            ([], "`items` must hold at least one item, got none"),
            ((), "`items` must hold at least one item, got none"),
            (
                [{"image": np.zeros(n)} for n in (3, 3, 3, 2)],
                "items of a batch must have the same shape: items[3]['image'] has (2,), and "
                "items[0]['image'] has (3,)",
            ),
            (
                [{"b": 1, "a": 1}, {"a": 1}],
                "items of a batch must have the same keys: items[1] has ['a'], and "
                "items[0] has ['a', 'b']",
            ),
            (
                [(0, (1, 2)), (0, (1,))],
                "items of a batch must have the same length: items[1][1] has 1, and "
                "items[0][1] has 2",
            ),
            (
                [Point(1, [1]), Point(1, [1, 2])],
                "items of a batch must have the same shape: items[",
            ),
            ([1, [1]], "items of a batch must have the same shape: items[1] has (1,), and items["),
            ([[1, 2], [1, [2, 3]]], "items[1] is no array: "),
        ],
    )
    def test_says_where_items_differ(self, items, message):
        with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
            collate(items)

    def test_dicts_go_through_a_pipeline(self):
        loaded = Pipeline(range(5)).map(lambda n: {"n": n, "name": str(n)})
        batches = list(loaded.batch(2, collate=collate))
        assert [listed(batch) for batch in batches] == [
            {"n": [0, 1], "name": ["0", "1"]},
            {"n": [2, 3], "name": ["2", "3"]},
            {"n": [4], "name": ["4"]},
        ]


# batches straight on a source that fails


@pytest.mark.parametrize("collate", [None, list, tuple])
@pytest.mark.parametrize("shuffled", [False, True])
def test_a_batch_cut_short_by_the_source_is_delivered_and_its_rest_is_not_lost(shuffled, collate):
    broken = True

    def source():
        for value in range(10):
            if value == 6 and broken:
                raise OSError("the line is down")
            yield value

    def make():
        pipeline = Pipeline(source).shuffle(1) if shuffled else Pipeline(source)
        return pipeline.batch(4, collate=collate)

    async def consume(pipeline):
        async for batch in pipeline:
            items.append(list(batch))

    items = []
    pipeline = make()
    with pytest.raises(OSError, match="the line is down"):
        simulate(consume(pipeline))
    assert items == [[0, 1, 2, 3], [4, 5]]
    broken = False
    again = make()
    again.load_state_dict(pipeline.state_dict())
    simulate(consume(again))
    assert items == [[0, 1, 2, 3], [4, 5], [6, 7, 8, 9]]


def test_what_drop_last_drops_comes_again_after_an_error():
    async def consume(pipeline):
        async for batch in pipeline:
            items.append(batch)

    def source():
        yield from range(6)
        if len(items) < 2:
            raise OSError("the line is down")
        yield from range(6, 9)

    items = []
    pipeline = Pipeline(source).batch(4, drop_last=True)
    with pytest.raises(OSError, match="the line is down"):
        simulate(consume(pipeline))
    items.append("again")
    state = pipeline.state_dict()
    pipeline.load_state_dict(state)
    simulate(consume(pipeline))
    assert items == [[0, 1, 2, 3], "again", [4, 5, 6, 7]]


def test_collate_stacks_pairs_and_plain_items():
    x, y = collate([(np.zeros((2, 3), np.float32), 1), (np.ones((2, 3), np.float32), 0)])
    assert x.shape == (2, 2, 3)
    assert x.dtype == np.float32
    assert y.tolist() == [1, 0]
    assert collate([1, 2]).tolist() == [1, 2]
    with pytest.raises(ValueError, match="at least one item"):
        collate([])
    with pytest.raises(ValueError, match="same shape"):
        collate([np.zeros(2), np.zeros(3)])
    with pytest.raises(ValueError, match="same length"):
        collate([(1, 2), (1,)])
