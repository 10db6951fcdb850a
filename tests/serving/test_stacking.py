"""From rows to a batch and back: arrays are stacked, and rows are views of the output."""

import asyncio

import numpy as np
import pytest

from asyncml.clock import simulate
from asyncml.network import MLP
from asyncml.serving import MicroBatcher


def test_arrays_are_stacked_and_rows_are_views():
    seen = []

    def double(batch):
        seen.append((batch.shape, batch.dtype))
        return batch * 2

    async def main():
        async with MicroBatcher(double, 8) as batcher:
            rows = [np.full((2, 3), number, np.float32) for number in range(3)]
            answers = await asyncio.gather(*map(batcher, rows))
            many = await batcher.many(np.ones((20, 2, 3), np.float32))
            scalars = await asyncio.gather(*(batcher(np.array(number)) for number in (1, 2)))
        assert [int(answer[0, 0]) for answer in answers] == [0, 2, 4]
        assert answers[0].base is answers[1].base
        assert many.shape == (20, 2, 3)
        assert scalars == [2, 4]

    simulate(main())
    assert seen[0] == ((3, 2, 3), np.float32)


def test_rows_of_another_shape_or_dtype_do_not_change_their_neighbours():
    seen = []

    def model(batch):
        seen.append(batch)
        return [len(batch)] * len(batch)

    async def main():
        rows = [np.zeros(2, np.float32), np.zeros(3, np.float32), np.zeros(2), 7, np.zeros(2, "f4")]
        async with MicroBatcher(model) as batcher:
            return await asyncio.gather(*map(batcher, rows))

    assert simulate(main()) == [2, 1, 1, 1, 2]
    assert [getattr(batch, "dtype", list) for batch in seen] == ["f4", "f4", "f8", list]


def test_a_many_of_rows_of_several_shapes_is_a_list():
    seen = []

    def lengths(batch):
        seen.append(type(batch))
        return [x.size for x in batch]

    async def main():
        rows = [np.zeros(size) for size in (2, 1, 3)]
        async with MicroBatcher(lengths) as batcher:
            mixed = batcher.many([np.zeros(2, "f4"), np.zeros(2, "f8")])
            return await asyncio.gather(batcher.many(rows), mixed, batcher(np.zeros(2)))

    assert simulate(main()) == [[2, 1, 3], [2, 2], 2]
    assert seen == [list, np.ndarray]


def test_a_batch_is_the_models_own_to_change():
    def change(batch):
        if isinstance(batch, list):
            return [batch.pop() for _ in range(len(batch))][::-1]
        batch += 1
        return batch

    async def main():
        xs = np.zeros((3, 2))
        async with MicroBatcher(change) as batcher:
            assert (await batcher.many(xs) == 1).all()
            assert (await batcher(xs[0]) == 1).all()
            assert not xs.any()
            given = [1, 2, 3]
            assert await batcher.many(given) == given == [1, 2, 3]

    simulate(main())


def test_outputs_that_do_not_join_are_an_error_to_their_own_many():
    async def main():
        async with MicroBatcher(lambda x: np.zeros((len(x), 1 + int(x[0]))), 2) as batcher:
            with pytest.raises(ValueError, match="dimension"):
                await batcher.many([1.0, 2.0, 3.0, 4.0])
            return (await batcher(2.0)).tolist()

    assert simulate(main()) == [0, 0, 0]


def test_the_network_of_the_course_answers_as_it_would_alone():
    model = MLP([5, 7, 3])
    x = np.random.default_rng(0).normal(size=(100, 5)).astype(np.float32)

    async def main():
        async with MicroBatcher(model.forward) as batcher:
            return await asyncio.gather(*map(batcher, x)), await batcher.many(x)

    one_by_one, many = asyncio.run(main())
    np.testing.assert_allclose(one_by_one, model.forward(x), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(many, model.forward(x), rtol=1e-5, atol=1e-6)
