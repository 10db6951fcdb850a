"""`evaluate`: over all examples, in a thread, and what it refuses."""

import asyncio

import pytest

from asyncml.clock import compute, simulate
from asyncml.network.sequential import MLP
from asyncml.training.evaluate import evaluate
from tests.training.test_fit import Loader, make, steps_of


def test_evaluate_counts_over_all_batches():
    model, _, data = make()
    right = sum((model.predict(x) == y).sum() for x, y in data)
    examples = sum(len(y) for _, y in data)
    for source in (data, Loader(data), iter(data)):
        assert simulate(evaluate(model, source)) == right / examples


def test_evaluate_of_nothing_is_an_error():
    with pytest.raises(ValueError, match="nothing to evaluate on"):
        simulate(evaluate(make()[0], []))
    with pytest.raises(TypeError, match="`data` must give batches"):
        simulate(evaluate(make()[0], 3))


def test_evaluate_does_not_broadcast():
    model, _, data = make()
    with pytest.raises(ValueError, match=r"must have shape \(6,\).*got \(6, 1\)"):
        simulate(evaluate(model, [(data[0][0], data[0][1][:, None])]))


def test_evaluate_refuses_the_labels_that_fit_refuses():
    model, optimizer, data = make()
    x, y = data[0]
    for wrong in (y + 3, y - 9, y.astype(float), y > 0, y[:, None], y[:1]):
        with pytest.raises((TypeError, ValueError)) as of_fit:
            simulate(steps_of(model, optimizer, [(x, wrong)]))
        with pytest.raises(type(of_fit.value)) as of_evaluate:
            simulate(evaluate(model, [(x, wrong)]))
        assert str(of_evaluate.value) == str(of_fit.value)


def test_evaluate_refuses_what_is_no_model():
    with pytest.raises(TypeError, match="`model` must be a Sequential, got None"):
        simulate(evaluate(None, make()[2]))


def test_evaluate_cancelled_leaves_nothing():
    class Slow(MLP):
        def predict(self, x):
            compute(1.0)
            return super().predict(x)

    async def main(delay_s):
        loader = Loader(make()[2], load_s=1.0)
        task = asyncio.create_task(evaluate(Slow([4, 8, 3]), loader))
        await asyncio.sleep(delay_s)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert loader.closed == 1
        assert asyncio.all_tasks() == {asyncio.current_task()}
        return asyncio.get_running_loop().time()

    assert simulate(main(0.5)) == 0.5
    assert simulate(main(1.5)) == 2.0
