"""`evaluate`: over all examples, in a thread, and what it refuses."""

import asyncio
import threading

import numpy as np
import pytest

from asyncml.clock import compute, simulate
from asyncml.network.losses import MeanSquaredError, softmax_cross_entropy
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


# another metric than the accuracy


def test_the_loss_of_a_classifier_is_the_mean_over_examples_and_not_over_batches():
    model, _, data = make()  # six batches of 6, and one of 3
    x, y = (np.concatenate(part) for part in zip(*data, strict=True))
    found = simulate(evaluate(model, data, metric=softmax_cross_entropy))
    assert found == pytest.approx(softmax_cross_entropy(model.forward(x), y), rel=1e-6)


METRICS = {
    "one for each example": lambda outputs, y: outputs.argmax(axis=1) == y,
    "a list of them": lambda outputs, y: (outputs.argmax(axis=1) == y).tolist(),
    "the mean": lambda outputs, y: (outputs.argmax(axis=1) == y).mean(),
    "an array without axes": lambda outputs, y: np.array((outputs.argmax(axis=1) == y).mean()),
}


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
def test_a_metric_returns_a_number_or_one_for_each_example(metric):
    model, _, data = make()
    found = simulate(evaluate(model, data, metric=metric))
    assert type(found) is float
    assert found == pytest.approx(simulate(evaluate(model, data)))


def test_without_one_a_regression_is_measured_by_its_loss():
    rng = np.random.default_rng(0)
    model = MLP([4, 2], loss=MeanSquaredError())
    data = [(rng.random((n, 4), np.float32), rng.random((n, 2)).astype(np.float32)) for n in (5, 2)]
    expected = np.concatenate([(model.predict(x) - y) ** 2 for x, y in data]).mean()
    assert simulate(evaluate(model, data)) == pytest.approx(expected, rel=1e-6)
    x, y = data[0]
    with pytest.raises(ValueError, match=r"`y` must have shape \(5, 2\), got \(5,\)"):
        simulate(evaluate(model, [(x, y[:, 0])]))


def test_it_is_called_in_the_thread():
    threads = set()

    def metric(outputs, y):
        threads.add(threading.current_thread().name)
        return 0

    model, _, data = make()
    assert asyncio.run(evaluate(model, data, metric=metric)) == 0
    assert threads == {"evaluate-1"}


async def asynchronous(outputs, y):
    return 0.0


def ending(outputs, y):
    raise StopIteration


@pytest.mark.parametrize(
    ("metric", "error", "message"),
    [
        ("accuracy", TypeError, "`metric` must be a function of outputs and y, got 'accuracy'"),
        (0, TypeError, "got 0"),
        (lambda outputs, y: outputs, ValueError, r"each of 6 examples, got .* shape \(6, 3\)"),
        (lambda outputs, y: outputs[0], ValueError, r"got an array of shape \(3,\)"),
        (asynchronous, TypeError, "`metric` is a plain function but returned a coroutine: write"),
        (ending, RuntimeError, "`metric` raised StopIteration"),
    ],
)
def test_what_is_no_metric(metric, error, message):
    model, _, data = make()
    with pytest.raises(error, match=message):
        simulate(evaluate(model, data, metric=metric))


def test_what_gives_no_labels_needs_a_metric():
    class Numbers(MLP):
        def predict(self, x):
            return self.forward(x)

    with pytest.raises(TypeError, match="must return labels, got float32: pass `metric`"):
        simulate(evaluate(Numbers([4, 8, 3]), make()[2]))
