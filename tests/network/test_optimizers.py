"""Optimisers: against a second implementation in float64, their settings and their state."""

import copy
import math
import pickle
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncml.network import optimizers
from asyncml.network.optimizers import SGD, Adam
from asyncml.network.sequential import MLP
from tests.network.reference import (
    allocated,
    momentum_sgd,
    seeds,
    shapes,
)


def test_a_copied_optimiser_changes_the_copied_model():
    model = MLP([3, 2])
    other, optimizer = copy.deepcopy((model, Adam(model)))
    assert optimizer.model is other
    other.grads = np.ones(8)
    optimizer.step()
    assert np.array_equal(model.params, MLP([3, 2]).params)
    assert np.array_equal(other.layers[0].bias, other.params[6:])
    assert not np.array_equal(model.params, other.params)


def plain_sgd(params, gradients, lr, momentum):
    velocity = 0
    for g in gradients:
        velocity = momentum * velocity + g
        params = params - lr * velocity
    return params


def plain_adam(params, gradients, lr, beta1, beta2, eps):
    m = v = 0
    for t, g in enumerate(gradients, 1):
        m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g**2
        m_hat, v_hat = m / (1 - beta1**t), v / (1 - beta2**t)
        params = params - lr * m_hat / (np.sqrt(v_hat) + eps)
    return params


def ten_steps(model, optimizer, seed=5):
    rng = np.random.default_rng(seed)
    gradients = rng.normal(0, 10.0 ** rng.integers(-4, 3, (10, 1)), (10, model.params.size))
    gradients[:, 0] = 0  # a parameter that nothing depends on
    for g in gradients:
        model.grads = g
        optimizer.step()
    return gradients


rates = st.sampled_from([1e-4, 1e-2, 0.3])


@given(sizes=shapes, seed=seeds, lr=rates, momentum=st.sampled_from([0.0, 0.5, 0.9, 0.99]))
def test_ten_steps_of_sgd(sizes, seed, lr, momentum):
    model = MLP(sizes, seed=seed)
    before = model.params.astype(np.float64)
    gradients = ten_steps(model, SGD(model, lr, momentum), seed)
    expected = plain_sgd(before, gradients, lr, momentum)
    atol = 1e-6 * max(1, np.abs(gradients).max() * lr / (1 - momentum))
    np.testing.assert_allclose(model.params, expected, rtol=1e-5, atol=atol)


@given(
    sizes=shapes,
    seed=seeds,
    lr=rates,
    betas=st.sampled_from([(0.9, 0.999), (0.5, 0.8), (0.0, 0.99), (0.99, 0.5), (0.9, 0.0)]),
    eps=st.sampled_from([1e-8, 1e-3, 1.0]),
)
def test_ten_steps_of_adam(sizes, seed, lr, betas, eps):
    model = MLP(sizes, seed=seed)
    before = model.params.astype(np.float64)
    optimizer = Adam(model, lr=lr, betas=betas, eps=eps)
    gradients = ten_steps(model, optimizer, seed)
    expected = plain_adam(before, gradients, lr, *betas, eps)
    atol = 2e-6 * max(1, np.abs(expected).max())
    np.testing.assert_allclose(model.params, expected, rtol=1e-5, atol=atol)
    assert model.params[0] == np.float32(before[0])
    assert optimizer.state()["t"] == 10


def test_adam_keeps_no_denormal_numbers_and_steps_as_if_it_did(monkeypatch):
    def run():
        rng = np.random.default_rng(0)
        model = MLP([4, 3], seed=0)
        optimizer = Adam(model)
        smallest = np.inf
        for step in range(1500):
            model.grads[:] = rng.normal(size=15) if step < 5 else 0  # like a pixel that stays dark
            optimizer.step()
            left = np.abs(optimizer.g_sum[optimizer.g_sum != 0])
            smallest = min(smallest, left.min(initial=np.inf))
        return model.params.copy(), smallest

    params, smallest = run()
    assert smallest > np.finfo(np.float32).tiny
    monkeypatch.setattr(optimizers, "_EVERY", 10**9)
    unflushed, denormal = run()
    assert 0 < denormal < np.finfo(np.float32).tiny
    assert (params == unflushed).all()


def test_an_optimiser_steps_alike_whatever_its_blocks(monkeypatch):
    """7 does not divide the number of parameters, 43."""
    after = set()
    for block in (7, optimizers.BLOCK):
        monkeypatch.setattr(optimizers, "BLOCK", block)
        for make in (momentum_sgd, Adam):
            model = MLP([4, 5, 3])
            optimizer = make(model)
            for _ in range(13):
                ten_steps(model, optimizer)
            after.add((make, model.params.tobytes()))
    assert len(after) == 2


@pytest.mark.parametrize("make", [momentum_sgd, Adam], ids=["SGD", "Adam"])
def test_filling_the_state_restores_an_optimiser(make):
    model = MLP([3, 4, 2])
    optimizer = make(model)
    ten_steps(model, optimizer)
    params, saved = model.params.copy(), {k: a.copy() for k, a in optimizer.state().items()}
    ten_steps(model, optimizer)
    again = MLP([3, 4, 2])
    restored = make(again)
    again.params = params
    for name, array in restored.state().items():
        array[...] = saved[name]
    ten_steps(again, restored)
    assert again.params.tobytes() == model.params.tobytes()


def test_the_learning_rate_may_change_between_steps():
    model = MLP([1, 1])
    optimizer = SGD(model, 1.0)
    model.params, model.grads = np.zeros(2), np.ones(2)
    optimizer.step()
    optimizer.lr = 0.5
    optimizer.step()
    assert model.params.tolist() == [-1.5, -1.5]


HUGE = pytest.param(10**5000, id="huge")


SETTINGS = {  # which optimiser has it, how it is given at first, and what it must not be
    "lr": (SGD, lambda value: {"lr": value}, [-1e-3, -0.1]),
    "momentum": (SGD, lambda value: {"lr": 1, "momentum": value}, [-0.1, 1, 1.0]),
    "eps": (Adam, lambda value: {"eps": value}, [0, -1e-8]),
}


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize(
    "value", [math.nan, math.inf, -math.inf, np.nan, np.float32("nan"), np.array(-1.0), HUGE]
)
def test_a_setting_that_cannot_be_is_refused_at_once_and_later_alike(name, value):
    kind, options, wrong = SETTINGS[name]
    for each in (value, *wrong):
        with pytest.raises(ValueError, match=f"`{name}` must be .*, got ") as first:
            kind(MLP([2, 2]), **options(each))
        optimizer = kind(MLP([2, 2]), **options(0.5))
        with pytest.raises(ValueError, match=f"`{name}` must be .*, got ") as later:
            setattr(optimizer, name, each)
        assert str(later.value).replace("number >= 0", "number > 0") == str(first.value)
        assert getattr(optimizer, name) == 0.5


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize(
    "value", ["0.1", b"0.1", None, True, np.True_, 1j, [0.1], np.array([0.1]), np.str_("1"), object]
)
def test_what_is_no_number_is_no_setting(name, value):
    kind, options, _ = SETTINGS[name]
    with pytest.raises(TypeError, match=f"`{name}` must be .*, got "):
        kind(MLP([2, 2]), **options(value))
    optimizer = kind(MLP([2, 2]), **options(0.5))
    with pytest.raises(TypeError, match=f"`{name}` must be .*, got "):
        setattr(optimizer, name, value)
    assert getattr(optimizer, name) == 0.5


@pytest.mark.parametrize("value", [0.25, np.float32(0.25), np.array(0.25), Fraction(1, 4)])
@pytest.mark.parametrize("name", SETTINGS)
def test_a_setting_of_any_real_type_is_a_float(name, value):
    kind, options, _ = SETTINGS[name]
    for optimizer in (kind(MLP([2, 2]), **options(value)), kind(MLP([2, 2]), **options(0.5))):
        setattr(optimizer, name, value)
        assert type(getattr(optimizer, name)) is float
        assert getattr(optimizer, name) == 0.25


def test_a_schedule_may_end_at_a_learning_rate_of_zero():
    model = MLP([3, 2])
    for optimizer in (SGD(model, 0.1), Adam(model)):
        model.grads = np.ones(8)
        before = model.params.copy()
        optimizer.lr = 0
        optimizer.step()
        assert np.array_equal(model.params, before)


@pytest.mark.parametrize(
    ("betas", "error"),
    [
        (0.9, TypeError),
        (None, TypeError),
        ("ab", TypeError),
        ((0.9,), TypeError),
        ((0.9, 0.99, 0.999), TypeError),
        ((0.9, "0.999"), TypeError),
        ((0.9, True), TypeError),
        ((0.9, math.nan), ValueError),
        ((-0.1, 0.9), ValueError),
        ((1, 0.9), ValueError),
    ],
)
def test_betas_that_cannot_be(betas, error):
    with pytest.raises(error, match="`betas` must be "):
        Adam(MLP([2, 2]), betas=betas)
    optimizer = Adam(MLP([2, 2]))
    with pytest.raises(error, match="`betas` must be "):
        optimizer.betas = betas
    assert optimizer.betas == (0.9, 0.999)
    optimizer.betas = np.array([0.5, 0.75])
    assert optimizer.betas == (0.5, 0.75)
    assert {type(beta) for beta in optimizer.betas} == {float}


def test_an_optimiser_is_copied_with_its_settings():
    optimizer = SGD(MLP([2, 2]), 0.5, momentum=0.25)
    for again in (copy.deepcopy(optimizer), pickle.loads(pickle.dumps(optimizer))):
        assert (again.lr, again.momentum) == (0.5, 0.25)
        again.lr = 0.1
        assert optimizer.lr == 0.5


@pytest.mark.parametrize("kind", [SGD, Adam])
def test_settings_may_be_numbers_of_numpy(kind):
    """As from `linspace`: in float64 a step would take longer and end in other last bits."""
    after = []
    for number in (float, np.float64):
        model = MLP([9, 9])
        beta = number(0.9)
        options = {"momentum": beta} if kind is SGD else {"betas": (beta, beta)}
        optimizer = kind(model, lr=number(0.3), **options)
        for seed in range(3):
            model.grads = np.random.default_rng(seed).normal(size=90)
            optimizer.step()
        after.append(model.params.tobytes())
    assert after[0] == after[1]


@pytest.mark.parametrize("make", [SGD, momentum_sgd, Adam], ids=["plain SGD", "SGD", "Adam"])
def test_a_step_of_an_optimiser_allocates_no_array(make):
    model = MLP([200, 300, 10])  # 63,310 parameters
    optimizer = make(model, 0.1) if make is SGD else make(model)
    model.grads = np.ones(model.params.size)
    for _ in range(130):  # what Adam does now and then is in it, twice
        assert allocated(optimizer.step) < 20_000  # of 250 kB, and other threads allocate as well
