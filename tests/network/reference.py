"""Models of these tests, and the same in float64, written out again."""

import copy
import pickle
import tracemalloc

import numpy as np
from hypothesis import strategies as st

from asyncml.network.layers import Array, Layer, Linear
from asyncml.network.optimizers import SGD


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


class Tanh(Layer):
    """A layer of a learner's own: needs its output for the derivative."""

    def forward(self, x: Array, out: Array | None = None) -> Array:
        return np.tanh(x, out=out)

    def backward(self, x: Array, y: Array, dy: Array, dx: Array | None) -> None:
        if dx is not None:
            np.multiply(dy, 1 - y * y, out=dx)


def copies(model):
    by_pickle = pickle.loads(pickle.dumps(model))
    return {"copy": copy.copy(model), "deepcopy": copy.deepcopy(model), "pickle": by_pickle}


def momentum_sgd(model):
    return SGD(model, 0.1, momentum=0.9)


def allocated(call, *args):
    """The bytes that a call had at most at once, beyond what there was before it."""
    tracemalloc.start()
    try:
        call(*args)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
