"""Layers: of ones own, in a model and outside of one."""

import copy
import pickle

import numpy as np
import pytest

from asyncml.network.layers import Linear, ReLU
from asyncml.network.losses import softmax_cross_entropy
from asyncml.network.optimizers import SGD
from asyncml.network.sequential import MLP, Sequential
from tests.network.reference import (
    Tanh,
    batch,
    copies,
)


def test_a_layer_of_ones_own_keeps_its_output_also_below_a_layer_that_works_in_place():
    rng = np.random.default_rng(0)
    model = Sequential(Linear(3, 4), Tanh(), ReLU(), Linear(4, 2))
    x, y = batch(model, 6)
    model.loss_and_grads(x, y)
    for i in rng.integers(0, model.params.size, 8):
        losses = []
        for h in (1e-2, -1e-2):
            moved = copy.deepcopy(model)
            moved.params[i] += h
            losses.append(softmax_cross_entropy(moved.forward(x), y))
        assert model.grads[i] == pytest.approx((losses[0] - losses[1]) / 2e-2, abs=2e-3)


def test_a_layer_of_ones_own_has_the_same_name_in_every_process():
    assert repr(Sequential(Linear(2, 2), Tanh())) == "Sequential(Linear(2, 2), Tanh())"


@pytest.mark.parametrize("how", ["itself", "copy", "deepcopy", "pickle"])
def test_assigning_to_a_layers_array_copies_in_place(how):
    original = MLP([6, 4], seed=1)
    model = {"itself": original, **copies(original)}[how]
    layer = model.layers[0]
    for name in ("weight", "bias", "weight_grad", "bias_grad"):
        view = getattr(layer, name)
        given_array = np.arange(view.size, dtype=np.float64).reshape(view.shape)
        setattr(layer, name, given_array)
        assert getattr(layer, name) is view
        assert np.array_equal(view, given_array)
        assert np.shares_memory(view, model.grads if "grad" in name else model.params)
        with pytest.raises(ValueError, match=rf"`{name}` must have shape .*, got \(3, 3\)"):
            setattr(layer, name, np.ones((3, 3)))
    layer.weight += 1
    assert np.array_equal(model.params[:24], np.arange(1, 25))
    assert np.array_equal(original.params, model.params) == (how == "itself")
    x, y = batch(model, 5)
    SGD(model, 0.1).step()
    assert np.array_equal(layer.bias, np.float32([0, 0.9, 1.8, 2.7]))
    assert np.isfinite(model.loss_and_grads(x, y))


def test_initial_weights_are_those_of_he_and_of_the_seed():
    model = MLP([400, 300, 10], seed=3)
    weight = model.layers[0].weight
    assert weight.std() == pytest.approx(np.sqrt(2 / 400), rel=0.02)
    assert abs(weight.mean()) < 0.001
    assert not model.layers[0].bias.any()
    assert np.array_equal(model.params, MLP([400, 300, 10], seed=3).params)
    assert not np.array_equal(model.params, MLP([400, 300, 10], seed=4).params)


def test_a_layer_belongs_to_one_model():
    layer = Linear(2, 2)
    Sequential(layer)
    with pytest.raises(ValueError, match=r"Linear\(2, 2\) is in a model already"):
        Sequential(layer, ReLU())


@pytest.mark.parametrize(
    "fails",
    [
        lambda layer: Sequential(layer, layer),
        lambda layer: Sequential(layer, ReLU(), layer),
        lambda layer: Sequential(layer, MLP([2, 2]).layers[0]),
        lambda layer: Sequential(layer, Linear(3, 2)),
        lambda layer: Sequential(layer, seed="three"),
    ],
)
def test_a_layer_is_free_after_a_model_that_was_refused(fails):
    layer = Linear(2, 2)
    with pytest.raises((TypeError, ValueError)):
        fails(layer)
    assert Sequential(layer).layers == (layer,)


def test_a_layer_outside_a_model_says_where_it_belongs():
    bound = MLP([2, 2]).layers[0]
    x = np.ones((2, 2), np.float32)
    for layer in (Linear(2, 2), copy.copy(bound), pickle.loads(pickle.dumps(bound))):
        with pytest.raises(RuntimeError, match="put the layer into a Sequential first"):
            layer.forward(x)
        with pytest.raises(RuntimeError, match="put the layer into a Sequential first"):
            layer.weight = x
