"""Layers, loss, models and optimisers: against float64, a second implementation, bad input."""

import copy
import math
import pickle
import tracemalloc
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncml.network import aligned, optimizers
from asyncml.network.layers import Array, Layer, Linear, ReLU, softmax_cross_entropy
from asyncml.network.optimizers import SGD, Adam
from asyncml.network.sequential import MLP, Sequential


def batch(model, n, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, model.n_in)).astype(np.float32)
    return x, rng.integers(0, model.n_out, n)


def reference_logits(model, params, x):
    """The model in float64, written out again from its sizes alone."""
    y, start = x.astype(np.float64), 0
    for layer in model.layers:
        if isinstance(layer, Linear):
            n = layer.n_in * layer.n_out
            weight = params[start : start + n].reshape(layer.n_in, layer.n_out)
            y = y @ weight + params[start + n : start + n + layer.n_out]
            start += n + layer.n_out
        else:
            y = np.where(y > 0, y, 0)
    return y


def reference_loss(model, params, x, y):
    logits = reference_logits(model, params, x)
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    return -np.log([row[label] for row, label in zip(p, y, strict=True)]).mean()


def central_differences(model, x, y, h=1e-6):
    params = model.params.astype(np.float64)
    grads = np.empty_like(params)
    for i in range(len(params)):
        up, down = params.copy(), params.copy()
        up[i] += h
        down[i] -= h
        upper, lower = (reference_loss(model, at, x, y) for at in (up, down))
        grads[i] = (upper - lower) / (2 * h)
    return grads


shapes = st.lists(st.integers(1, 6), min_size=2, max_size=4)
seeds = st.integers(0, 1000)


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


class Tanh(Layer):
    """A layer of a learner's own: needs its output for the derivative."""

    def forward(self, x: Array, out: Array | None = None) -> Array:
        return np.tanh(x, out=out)

    def backward(self, x: Array, y: Array, dy: Array, dx: Array | None) -> None:
        if dx is not None:
            np.multiply(dy, 1 - y * y, out=dx)


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


# parameters and layers are one memory


def copies(model):
    by_pickle = pickle.loads(pickle.dumps(model))
    return {"copy": copy.copy(model), "deepcopy": copy.deepcopy(model), "pickle": by_pickle}


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


def test_a_layer_of_ones_own_has_the_same_name_in_every_process():
    assert repr(Sequential(Linear(2, 2), Tanh())) == "Sequential(Linear(2, 2), Tanh())"


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


def test_a_copied_optimiser_changes_the_copied_model():
    model = MLP([3, 2])
    other, optimizer = copy.deepcopy((model, Adam(model)))
    assert optimizer.model is other
    other.grads = np.ones(8)
    optimizer.step()
    assert np.array_equal(model.params, MLP([3, 2]).params)
    assert np.array_equal(other.layers[0].bias, other.params[6:])
    assert not np.array_equal(model.params, other.params)


def test_initial_weights_are_those_of_he_and_of_the_seed():
    model = MLP([400, 300, 10], seed=3)
    weight = model.layers[0].weight
    assert weight.std() == pytest.approx(np.sqrt(2 / 400), rel=0.02)
    assert abs(weight.mean()) < 0.001
    assert not model.layers[0].bias.any()
    assert np.array_equal(model.params, MLP([400, 300, 10], seed=3).params)
    assert not np.array_equal(model.params, MLP([400, 300, 10], seed=4).params)


# optimisers


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


def momentum_sgd(model):
    return SGD(model, 0.1, momentum=0.9)


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


def test_whole_vectors_begin_at_a_cache_line():
    model = MLP([5, 4, 3])
    model.loss_and_grads(np.zeros((7, 5), np.float32), np.zeros(7, int))
    for each in (model, copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        adam = Adam(each)
        for vector in (each.params, each.grads, adam.g_sum, adam.g2_sum, SGD(each, 0.1).velocity):
            assert vector.ctypes.data % aligned.LINE == 0
            assert vector.flags.c_contiguous


@pytest.mark.parametrize("shape", [0, 1, 17, np.prod([2, 3]), (3, 5), (0, 4), (2, 3, 4)])
def test_aligned_zeros(shape):
    array = aligned.zeros(shape)
    assert array.shape == np.zeros(shape).shape
    assert array.dtype == np.float32
    assert not array.any()
    assert array.flags.writeable


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


# a step, once warm


def allocated(call, *args):
    """The bytes that a call had at most at once, beyond what there was before it."""
    tracemalloc.start()
    try:
        call(*args)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("sizes", [[3, 2], [200, 300, 120, 10], [784, 1024, 10]])
def test_gradients_once_warm_allocate_nothing_the_size_of_a_layer(sizes):
    model = MLP(sizes)
    x, y = batch(model, 1024)
    model.loss_and_grads(x, y)
    for n in (1024, 100, 1, 1024):
        # a few numbers a row; a few objects; and NumPy's loops convert 8,192 values at a time
        assert allocated(model.loss_and_grads, x[:n], y[:n]) < 20 * n + 12_000 + 4 * 8_192


@pytest.mark.parametrize("make", [SGD, momentum_sgd, Adam], ids=["plain SGD", "SGD", "Adam"])
def test_a_step_of_an_optimiser_allocates_no_array(make):
    model = MLP([200, 300, 10])  # 63,310 parameters
    optimizer = make(model, 0.1) if make is SGD else make(model)
    model.grads = np.ones(model.params.size)
    for _ in range(130):  # what Adam does now and then is in it, twice
        assert allocated(optimizer.step) < 4_000


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


# bad input


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


@pytest.mark.parametrize(
    ("y", "error", "message"),
    [
        (np.zeros((3, 1), int), ValueError, r"\(3,\) for x of \(3, 4\), got \(3, 1\): y.reshape"),
        (np.zeros(2, int), ValueError, r"\(3,\) for x of \(3, 4\), got \(2,\)$"),
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
    with pytest.raises(ValueError, match=r"batch is empty.*\(0, 4\)"):
        MLP([4, 3]).loss_and_grads(np.zeros((0, 4)), np.zeros(0, int))


@pytest.mark.parametrize("dtype", [np.float16, np.float64, ">f4"])
def test_other_floats_are_converted(dtype):
    model = MLP([4, 3])
    x, y = batch(model, 5)
    x = x.astype(np.float16)
    loss = model.loss_and_grads(x.astype(np.float32), y)
    assert model.loss_and_grads(x.astype(dtype), y) == loss
    assert model.forward(x.astype(dtype)).dtype == np.float32


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint64])
def test_labels_of_any_integer_type(dtype):
    model = MLP([4, 3])
    x, y = batch(model, 5)
    assert model.loss_and_grads(x, y.astype(dtype)) == model.loss_and_grads(x, y)


def test_layers_that_do_not_fit_are_both_named():
    message = (
        r"layer 2, Linear\(128, 10\), takes .* 128 .* layer 0, Linear\(784, 256\), gives .* 256"
    )
    with pytest.raises(ValueError, match=message):
        Sequential(Linear(784, 256), ReLU(), Linear(128, 10))


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
