"""The drawing of a pipeline's stages."""

import asyncio

import matplotlib.pyplot as plt
import pytest

from asyncml.clock import compute, simulate
from asyncml.pipeline.pipeline import Pipeline


def drawn(load_s, body_s, ax=None):
    async def load(key):
        await asyncio.sleep(load_s)
        return key

    async def main():
        pipeline = Pipeline(range(64)).map(load, concurrency=4).batch(8).prefetch(2)
        async for _ in pipeline:
            compute(body_s)
        return pipeline.statistics()

    return simulate(main()).plot(ax)


def texts(ax):
    return [text.get_text() for text in ax.texts]


@pytest.mark.parametrize(
    ("load_s", "body_s", "row"), [(0.1, 0.001, "map(load)"), (0.001, 1, "the consumer")]
)
def test_the_bottleneck_is_marked_and_hatched(load_s, body_s, row):
    ax = drawn(load_s, body_s)
    names = [label.get_text() for label in ax.get_yticklabels()]
    assert names == [
        "source",
        "map(load)",
        "batch(8, drop_last=False)",
        "prefetch(2)",
        "the consumer",
    ]
    hatched = [name for name, bar in zip(names, ax.patches, strict=True) if bar.get_hatch()]
    assert hatched == [row]
    assert sum("the bottleneck" in text for text in texts(ax)) == 1
    plt.close(ax.figure)


def test_what_stands_ready_is_told_where_something_does():
    slow_body = drawn(0.001, 1)
    assert [text for text in texts(slow_body) if "ready" in text]
    plt.close(slow_body.figure)


def test_nothing_has_run():
    figure, ax = plt.subplots()
    assert Pipeline([]).statistics().plot(ax) is ax
    assert texts(ax) == ["0%", "0%"]
    plt.close(figure)
