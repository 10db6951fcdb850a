"""Losses: against float64, central differences, and what they refuse."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncml.network.layers import Linear, ReLU
from asyncml.network.losses import CrossEntropy, Loss, MeanSquaredError, softmax_cross_entropy
from asyncml.network.optimizers import Adam
from asyncml.network.sequential import MLP, Sequential
from tests.network.reference import allocated, batch, copies, reference_logits, seeds, shapes


@given(n=st.integers(1, 9), classes=st.integers(1, 7), scale=st.sampled_from([1e-3, 1, 50, 1e4]))
@settings(deadline=None, max_examples=30)
def test_cross_entropy_is_stable_for_logits_of_any_size(n, classes, scale):
    rng = np.random.default_rng(n * classes)
    logits = (scale * rng.standard_normal((n, classes))).astype(np.float32)
    y = rng.integers(0, classes, n)
    given_logits, grad = logits.copy(), np.empty_like(logits)
    loss = softmax_cross_entropy(logits, y, grad)
    z = logits.astype(np.float64)
    log_p = z - z.max(axis=1, keepdims=True)
    log_p -= np.log(np.exp(log_p).sum(axis=1, keepdims=True))
    assert loss == pytest.approx(-log_p[np.arange(n), y].mean(), rel=1e-5, abs=1e-6)
    expected = (np.exp(log_p) - np.eye(classes)[y]) / n
    np.testing.assert_allclose(grad, expected, rtol=1e-4, atol=1e-6)
    assert softmax_cross_entropy(logits, y) == loss
    assert np.array_equal(logits, given_logits)
    assert softmax_cross_entropy(logits, y, logits) == loss
    assert np.array_equal(logits, grad)


@pytest.mark.parametrize(
    ("y", "error", "message"),
    [
        (
            np.zeros((3, 1), int),
            ValueError,
            r"\(3,\) for logits of \(3, 3\), got \(3, 1\): y.reshape",
        ),
        (np.zeros(2, int), ValueError, r"\(3,\) for logits of \(3, 3\), got \(2,\)$"),
        (np.zeros(1, int), ValueError, r"got \(1,\)"),
        (0, ValueError, r"got \(\)"),
        (np.zeros((3, 3), int), ValueError, r"got \(3, 3\)"),
        (np.zeros(3), TypeError, "integer labels, got float64"),
        (np.zeros(3, bool), TypeError, "integer labels, got bool"),
        ([0, 1, 3], ValueError, r"0 to 2, .* 3 outputs, got 3 at row 2"),
        ([0, -1, 1], ValueError, "got -1 at row 1"),
    ],
)
def test_wrong_labels_are_named_and_change_nothing(y, error, message):
    model = MLP([4, 3])
    model.grads = np.ones(15)
    with pytest.raises(error, match=message):
        model.loss_and_grads(np.zeros((3, 4), np.float32), y)
    assert np.array_equal(model.grads, np.ones(15))


@pytest.mark.parametrize(
    ("y", "error", "message"),
    [
        ([0, -1], ValueError, "labels must be 0 to 2, since there are 3 outputs, got -1 at row 1"),
        ([3, 0], ValueError, "got 3 at row 0"),
        ([1], ValueError, r"`y` must have shape \(2,\) for logits of \(2, 3\), got \(1,\)"),
        (1, ValueError, r"got \(\)"),
        ([[0], [1]], ValueError, r"got \(2, 1\): y.reshape"),
        ([0, 1, 2], ValueError, r"got \(3,\)"),
        ([0.0, 1.0], TypeError, "integer labels, got float64"),
        ([True, False], TypeError, "integer labels, got bool"),
    ],
)
def test_the_loss_alone_refuses_wrong_labels_too(y, error, message):
    logits, grad = np.ones((2, 3), np.float32), np.full((2, 3), 7, np.float32)
    with pytest.raises(error, match=message):
        softmax_cross_entropy(logits, y, grad)
    assert (grad == 7).all()


@pytest.mark.parametrize(
    ("logits", "grad", "error", "message"),
    [
        (np.ones(3), None, ValueError, r"`logits` must have shape \(batch, classes\), got \(3,\)"),
        (np.ones((2, 3, 1)), None, ValueError, r"got \(2, 3, 1\)"),
        (np.ones((2, 0)), None, ValueError, r"got \(2, 0\)"),
        (np.ones((0, 3)), None, ValueError, r"batch is empty: `logits` has shape \(0, 3\)"),
        (np.ones((2, 3), int), None, TypeError, "`logits` must hold floats, got int"),
        (np.ones((2, 3)), np.ones((1, 3)), ValueError, r"`grad` must .* \(2, 3\), got \(1, 3\)"),
        (np.ones((2, 3)), np.ones((4, 2, 3)), ValueError, r"`grad` must .*, got \(4, 2, 3\)"),
    ],
)
def test_the_loss_alone_refuses_what_are_no_logits(logits, grad, error, message):
    with pytest.raises(error, match=message):
        softmax_cross_entropy(logits, np.zeros(len(logits), int), grad)


def test_the_loss_alone_takes_lists():
    assert softmax_cross_entropy([[0.0, 0.0]], [1]) == pytest.approx(math.log(2))


def test_an_empty_batch_has_no_loss():
    with pytest.raises(ValueError, match=r"batch is empty: `logits` has shape \(0, 3\)"):
        MLP([4, 3]).loss_and_grads(np.zeros((0, 4)), np.zeros(0, int))


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint64])
def test_labels_of_any_integer_type(dtype):
    model = MLP([4, 3])
    x, y = batch(model, 5)
    assert model.loss_and_grads(x, y.astype(dtype)) == model.loss_and_grads(x, y)


# any loss, in a model


def mean_squared(outputs, y):
    return ((outputs - y) ** 2).mean()


def cross_entropy(outputs, y):
    p = np.exp(outputs - outputs.max(axis=1, keepdims=True))
    return -np.log((p / p.sum(axis=1, keepdims=True))[np.arange(len(y)), y]).mean()


class Huber(Loss):
    """One of a learner's own: quadratic up to `delta`, then straight."""

    def __init__(self, delta=0.5):
        self.delta = delta

    def __repr__(self):
        return f"Huber({self.delta})"

    def forward(self, outputs, y, grad=None):
        error = outputs - y
        near = np.clip(error, -self.delta, self.delta)
        if grad is not None:
            np.divide(near, error.size, out=grad)
        return float((near * (error - near / 2)).mean())


def huber(outputs, y):
    error = outputs - y
    near = np.clip(error, -0.5, 0.5)
    return (near * (error - near / 2)).mean()


LOSSES = {
    "CrossEntropy": (CrossEntropy, cross_entropy),
    "MeanSquaredError": (MeanSquaredError, mean_squared),
    "one of one's own": (Huber, huber),
}


def targets(loss, n, n_out, seed):
    rng = np.random.default_rng(seed)
    if loss.classifies:
        return rng.integers(0, n_out, n)
    return rng.normal(size=(n, n_out)).astype(np.float32)


@pytest.mark.parametrize(("kind", "reference"), LOSSES.values(), ids=LOSSES)
@given(sizes=shapes, n=st.integers(1, 5), seed=seeds)
@settings(deadline=None, max_examples=25)
def test_loss_and_gradients_of_a_model_agree_with_float64_central_differences(
    kind, reference, sizes, n, seed
):
    model = MLP(sizes, seed=seed, loss=kind())
    model.params += np.random.default_rng(seed).normal(0, 0.1, model.params.shape)
    x, _ = batch(model, n, seed)
    y = targets(model.loss, n, model.n_out, seed)
    params, h = model.params.astype(np.float64), 1e-6

    def loss_at(params):
        return reference(reference_logits(model, params, x), y)

    expected = [
        (loss_at(params + h * row) - loss_at(params - h * row)) / (2 * h)
        for row in np.eye(len(params))
    ]
    loss = model.loss_and_grads(x, y)
    assert type(loss) is float
    assert loss == pytest.approx(loss_at(params), rel=1e-4, abs=1e-5)
    np.testing.assert_allclose(model.grads, expected, rtol=2e-3, atol=2e-4)


@pytest.mark.parametrize("kind", [CrossEntropy, MeanSquaredError])
@given(n=st.integers(1, 9), n_out=st.integers(1, 7), scale=st.sampled_from([1e-3, 1, 50, 1e4]))
@settings(deadline=None, max_examples=20)
def test_the_gradient_may_take_the_place_of_the_outputs(kind, n, n_out, scale):
    loss, rng = kind(), np.random.default_rng(n * n_out)
    outputs = (scale * rng.standard_normal((n, n_out))).astype(np.float32)
    y, kept, grad = targets(loss, n, n_out, n), outputs.copy(), np.empty_like(outputs)
    value = loss.forward(outputs, y, grad)
    assert np.array_equal(outputs, kept)
    assert loss.forward(outputs, y) == value
    assert loss.forward(outputs, y, outputs) == value
    assert np.array_equal(outputs, grad)


@given(n=st.integers(1, 9), n_out=st.integers(1, 7), dtype=st.sampled_from(["f2", "f4", "f8"]))
@settings(deadline=None, max_examples=20)
def test_the_squared_error_for_targets_of_any_float(n, n_out, dtype):
    rng = np.random.default_rng(n * n_out)
    outputs = rng.standard_normal((n, n_out)).astype(np.float32)
    y, grad = rng.standard_normal((n, n_out)).astype(dtype), np.empty_like(outputs)
    loss = MeanSquaredError().forward(outputs, y, grad)
    error = outputs.astype(np.float64) - y
    assert loss == pytest.approx((error**2).mean(), rel=1e-5)
    np.testing.assert_allclose(grad, 2 * error / error.size, rtol=1e-4, atol=1e-6)
    assert grad.dtype == np.float32


@pytest.mark.parametrize(
    ("y", "error", "message"),
    [
        (np.zeros(3), ValueError, r"`y` must have shape \(3, 1\), got \(3,\): y.reshape\(-1, 1\)"),
        (np.zeros((3, 2)), ValueError, r"must have shape \(3, 1\), got \(3, 2\)$"),
        (np.zeros((1, 1)), ValueError, r"got \(1, 1\)$"),
        (0.5, ValueError, r"got \(\)$"),
        (np.zeros((3, 1), int), TypeError, r"must hold floats, got int\d+: y.astype\(np.float32\)"),
        ([[1], [2], [3]], TypeError, "must hold floats, got int"),
        (np.zeros((3, 1), bool), TypeError, "must hold floats, got bool"),
        (np.zeros((3, 1), object), TypeError, "must hold floats, got object"),
    ],
)
def test_targets_that_cannot_be_are_named_and_change_nothing(y, error, message):
    model = MLP([4, 1], loss=MeanSquaredError())
    model.grads = np.ones(5)
    with pytest.raises(error, match=message):
        model.loss_and_grads(np.zeros((3, 4), np.float32), y)
    assert np.array_equal(model.grads, np.ones(5))


def test_no_example_has_no_squared_error():
    with pytest.raises(ValueError, match=r"batch is empty: `outputs` has shape \(0, 1\)"):
        MLP([4, 1], loss=MeanSquaredError()).loss_and_grads(np.zeros((0, 4)), np.zeros((0, 1)))


def test_what_is_predicted_is_up_to_the_loss():
    x = np.random.default_rng(0).random((5, 3), np.float32)
    classifier, regression = MLP([3, 4, 2]), MLP([3, 4, 2], loss=MeanSquaredError())
    assert np.array_equal(classifier.predict(x), classifier.forward(x).argmax(axis=1))
    assert np.array_equal(regression.predict(x), regression.forward(x))
    assert np.array_equal(MLP([3, 4, 2], loss=Huber()).predict(x), regression.forward(x))


def test_a_regression_is_learnt():
    x = np.linspace(-1, 1, 64, dtype=np.float32)[:, None]
    model = MLP([1, 32, 1], loss=MeanSquaredError())
    optimizer = Adam(model, lr=0.02)
    losses = []
    for _ in range(300):
        losses.append(model.loss_and_grads(x, np.sin(3 * x)))
        optimizer.step()
    assert losses[-1] < 0.01 * losses[0]


@pytest.mark.parametrize("how", ["copy", "deepcopy", "pickle"])
@pytest.mark.parametrize("loss", [CrossEntropy(), MeanSquaredError(), Huber(0.25)], ids=repr)
def test_a_copy_has_the_loss_too(how, loss):
    model = Sequential(Linear(3, 4), ReLU(), Linear(4, 2), loss=loss)
    again = copies(model)[how]
    assert repr(again) == repr(model)
    x, _ = batch(model, 4)
    y = targets(loss, 4, 2, seed=1)
    assert again.loss_and_grads(x, y) == model.loss_and_grads(x, y)
    assert again.grads.tobytes() == model.grads.tobytes()


def test_a_model_shows_a_loss_that_is_not_the_usual_one():
    assert repr(MLP([3, 2])) == "MLP(Linear(3, 2))"
    assert repr(MLP([3, 2], loss=CrossEntropy())) == "MLP(Linear(3, 2))"
    assert repr(MLP([3, 2], loss=Huber(2))) == "MLP(Linear(3, 2), loss=Huber(2))"


@pytest.mark.parametrize("loss", [MeanSquaredError, softmax_cross_entropy, "mse", 0, False])
def test_what_is_no_loss(loss):
    layer = Linear(3, 2)
    with pytest.raises(TypeError, match=r"`loss` must be a Loss such as CrossEntropy\(\), got"):
        Sequential(layer, loss=loss)
    assert Sequential(layer).layers == (layer,)


def test_a_loss_of_ones_own_without_a_formula():
    with pytest.raises(NotImplementedError):
        MLP([3, 2], loss=Loss()).loss_and_grads(np.zeros((1, 3), np.float32), [0])


def test_the_squared_error_once_warm_allocates_nothing_the_size_of_the_outputs():
    model = MLP([3, 2000], loss=MeanSquaredError())
    x, y = np.ones((512, 3), np.float32), np.ones((512, 2000), np.float32)
    model.loss_and_grads(x, y)
    assert allocated(model.loss_and_grads, x, y) < 200_000  # of 4 MB; einsum's buffers
