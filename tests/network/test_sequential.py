"""Models of layers: against float64, one memory, copies, bad input."""

import copy

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncml.network.layers import Linear, ReLU
from asyncml.network.optimizers import SGD, Adam
from asyncml.network.sequential import MLP, Sequential
from tests.network.reference import (
    allocated,
    batch,
    central_differences,
    copies,
    reference_logits,
    reference_loss,
    seeds,
    shapes,
)


@given(sizes=shapes, n=st.integers(1, 5), seed=seeds)
@settings(deadline=None, max_examples=40)
def test_loss_and_gradients_agree_with_float64_central_differences(sizes, n, seed):
    model = MLP(sizes, seed=seed)
    model.params += np.random.default_rng(seed).normal(0, 0.1, model.params.shape)  # no zero biases
    x, y = batch(model, n, seed)
    loss = model.loss_and_grads(x, y)
    assert type(loss) is float
    assert loss == pytest.approx(reference_loss(model, model.params, x, y), rel=1e-4, abs=1e-5)
    np.testing.assert_allclose(model.grads, central_differences(model, x, y), rtol=2e-3, atol=2e-4)


def test_forward_gives_logits_and_predict_their_largest():
    model = MLP([5, 7, 3])
    x, _ = batch(model, 11)
    expected = reference_logits(model, model.params.astype(np.float64), x)
    np.testing.assert_allclose(model.forward(x), expected, rtol=1e-4, atol=1e-5)
    assert model.forward(x).dtype == np.float32
    assert np.array_equal(model.predict(x), expected.argmax(axis=1))
    assert model.predict(x[:0]).shape == (0,)


def test_what_forward_returned_is_the_callers_to_keep():
    model = MLP([4, 6, 3])
    x, y = batch(model, 8)
    x_before = x.copy()
    first = model.forward(x)
    kept = first.copy()
    model.forward(x * 2)
    model.loss_and_grads(x * 3, y)
    assert np.array_equal(first, kept)
    first[...] = 0
    assert np.array_equal(model.forward(x), kept)
    assert np.array_equal(x, x_before)


def test_batches_of_any_size_follow_one_another():
    model = MLP([4, 6, 3])
    for n in (8, 3, 1, 16, 5):
        x, y = batch(model, n, seed=n)
        loss = model.loss_and_grads(x, y)
        grads = model.grads.copy()
        fresh = copy.deepcopy(model)
        assert (fresh.loss_and_grads(x, y), fresh.grads.tobytes()) == (loss, grads.tobytes())


class Named(MLP):
    def __init__(self, name):
        super().__init__([3, 4, 2])
        self.name, self.last = name, self.layers[-1]


@pytest.mark.parametrize("how", ["copy", "deepcopy", "pickle"])
def test_a_copy_of_a_subclass_keeps_what_it_added(how):
    model = Named("first")
    again = copies(model)[how]
    assert (type(again), again.name) == (Named, "first")
    assert again.last is again.layers[-1]
    again.params = 1 + model.params
    assert (again.layers[0].weight == 1 + model.layers[0].weight).all()


@pytest.mark.parametrize("how", ["itself", "copy", "deepcopy", "pickle"])
def test_layers_are_views_of_the_flat_vectors(how):
    original = Sequential(Linear(2, 3), ReLU(), Linear(3, 2), seed=1)
    x, y = batch(original, 4)
    original.loss_and_grads(x, y)
    model = {"itself": original, **copies(original)}[how]
    assert type(model) is Sequential
    assert (model.params.dtype, model.params.shape) == (np.float32, (2 * 3 + 3 + 3 * 2 + 2,))
    assert np.array_equal(model.params, original.params)
    assert np.array_equal(model.grads, original.grads)
    first, _, last = model.layers
    model.params[...] = np.arange(17)
    assert np.array_equal(first.weight, [[0, 1, 2], [3, 4, 5]])
    assert np.array_equal(last.bias, [15, 16])
    last.weight_grad[...] = 5
    assert np.array_equal(model.grads[9:15], np.full(6, 5))
    if how != "itself":
        assert not np.shares_memory(model.params, original.params)
        assert not np.array_equal(model.params, original.params)


def test_assigning_parameters_copies_in_place():
    model = MLP([3, 2])
    params, vector = model.params, np.arange(8.0)
    model.params = vector
    assert model.params is params
    assert np.array_equal(params, vector)
    vector[...] = 0
    assert params[7] == 7
    model.params -= 1
    model.grads = params
    assert model.params is params
    assert np.array_equal(model.layers[0].bias_grad, [5, 6])
    with pytest.raises(ValueError, match=r"`params` must have shape \(8,\), got \(7,\)"):
        model.params = np.zeros(7)
    with pytest.raises(ValueError, match=r"`grads` must have shape \(8,\), got \(\)"):
        model.grads = 0


@pytest.mark.parametrize(
    ("value", "got"), [(None, "NoneType"), ("8", "str"), (np.zeros(8, complex), "complex128")]
)
def test_what_holds_no_numbers_is_not_assigned(value, got):
    model = MLP([3, 2])
    before = model.params.copy()
    with pytest.raises(TypeError, match=f"`params` must hold real numbers, got {got}"):
        model.params = value
    with pytest.raises(TypeError, match=f"`bias` must hold real numbers, got {got}"):
        model.layers[0].bias = value
    assert np.array_equal(model.params, before)


@pytest.mark.parametrize("sizes", [[3, 2], [200, 300, 120, 10], [784, 1024, 10]])
def test_gradients_once_warm_allocate_nothing_the_size_of_a_layer(sizes):
    model = MLP(sizes)
    x, y = batch(model, 1024)
    model.loss_and_grads(x, y)
    for n in (1024, 100, 1, 1024):
        # a few numbers a row; a few objects; and NumPy's loops convert 8,192 values at a time
        assert allocated(model.loss_and_grads, x[:n], y[:n]) < 20 * n + 12_000 + 4 * 8_192


def test_the_same_seed_gives_the_same_weights_bit_for_bit():
    def trained():
        model = MLP([20, 30, 5], seed=7)
        optimizer = Adam(model)
        for i in range(20):
            model.loss_and_grads(*batch(model, 16, seed=i))
            optimizer.step()
        return model.params.tobytes()

    assert trained() == trained()


def test_it_learns_what_no_straight_line_can():
    x = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32)
    y = np.array([0, 1, 1, 0])
    model = MLP([2, 16, 2], seed=1)
    optimizer = Adam(model, lr=0.05)
    for _ in range(200):
        model.loss_and_grads(x, y)
        optimizer.step()
    assert np.array_equal(model.predict(x), y)


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (np.zeros((3, 5)), ValueError, r"\(batch, 4\), got \(3, 5\)$"),
        (np.zeros(4), ValueError, r"\(batch, 4\), got \(4,\)$"),
        (np.zeros((3, 2, 2)), ValueError, r"got \(3, 2, 2\): flatten it first, x.reshape"),
        (np.zeros((3, 4), np.uint8), TypeError, r"got uint8: scale pixels.*astype.* / 255"),
        (np.zeros((3, 4), int), TypeError, "must hold floats, got int"),
        (np.zeros((3, 4), object), TypeError, "must hold floats, got object"),
        (np.zeros((3, 4), complex), TypeError, "must hold floats, got complex"),
    ],
)
def test_wrong_input_is_named(x, error, message):
    model = MLP([4, 3])
    for call in (model.forward, model.predict, lambda x: model.loss_and_grads(x, np.zeros(3, int))):
        with pytest.raises(error, match=message):
            call(x)


@pytest.mark.parametrize("dtype", [np.float16, np.float64, ">f4"])
def test_other_floats_are_converted(dtype):
    model = MLP([4, 3])
    x, y = batch(model, 5)
    x = x.astype(np.float16)
    loss = model.loss_and_grads(x.astype(np.float32), y)
    assert model.loss_and_grads(x.astype(dtype), y) == loss
    assert model.forward(x.astype(dtype)).dtype == np.float32


def test_layers_that_do_not_fit_are_both_named():
    message = (
        r"layer 2, Linear\(128, 10\), takes .* 128 .* layer 0, Linear\(784, 256\), gives .* 256"
    )
    with pytest.raises(ValueError, match=message):
        Sequential(Linear(784, 256), ReLU(), Linear(128, 10))


def test_sizes_of_any_integer_type():
    model = MLP(np.array([3, 2]))
    assert repr(model) == "MLP(Linear(3, 2))"
    assert {type(n) for n in (model.n_in, model.n_out, model.layers[0].n_params)} == {int}


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Sequential(), ValueError, "first layer.*got no layers"),
        (lambda: Sequential(ReLU()), ValueError, r"first layer.*got ReLU\(\)"),
        (lambda: Sequential([Linear(2, 2)]), TypeError, r"got \[Linear.*Sequential\(\*layers\)"),
        (lambda: Linear(0, 2), ValueError, "`n_in` must be >= 1, got 0"),
        (lambda: Linear(2, 1.5), TypeError, "`n_out` must be an int, got 1.5"),
        (lambda: Linear(True, 2), TypeError, "`n_in` must be an int, got True"),
        (lambda: MLP(3), TypeError, r"`sizes` must be a list such as .*, got 3"),
        (lambda: MLP([3, 2.5]), TypeError, "`sizes` must be an int, got 2.5"),
        (lambda: MLP([3]), ValueError, r"input and the output at least, got \[3\]"),
        (lambda: Adam(None), TypeError, "`model` must be a Sequential, got None"),
        (lambda: SGD([1], 0.1), TypeError, "`model` must be a Sequential, got list"),
        (lambda: SGD(MLP([2, 2]), 0), ValueError, "`lr` must be a finite number > 0, got 0"),
        (lambda: SGD(MLP([2, 2]), 0.1, 1.0), ValueError, "`momentum` must .* got 1.0"),
        (lambda: Adam(MLP([2, 2]), np.nan), ValueError, "`lr` must .* got nan"),
        (lambda: Adam(MLP([2, 2]), betas=(0.9, 1)), ValueError, "`betas` must .* got"),
        (lambda: Adam(MLP([2, 2]), eps=0), ValueError, "`eps` must be > 0, got 0"),
    ],
)
def test_models_and_optimisers_that_cannot_be(make, error, message):
    with pytest.raises(error, match=message):
        make()
