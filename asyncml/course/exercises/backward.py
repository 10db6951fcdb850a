"""Judges backward passes by central differences: a leaky ReLU, and a network with a hidden layer.

The loss is the sum of the outputs, each weighted by the gradient that the answer is given for it.
So that gradient is right, whatever might follow the layer.
"""

from typing import Any

import numpy as np

from asyncml.course.exercises.arrays import Floats, Mistakes, call, compare, differences, read
from asyncml.course.exercises.scenes import demand

_CHAIN = "The chain rule: `dh`, times the slope of the layer, which is 1 or `slope`."


def judge_leaky(answer: Any) -> None:
    """Compare the backward pass of a leaky ReLU with central differences."""
    rng = np.random.default_rng(11)
    for shape, slope in ((5, 3), 0.1), ((1, 4), 0.3), ((6, 2), 0.0):
        a = rng.choice([-1.0, 1.0], shape) * rng.uniform(0.2, 2, shape)  # away from the kink
        dh = rng.normal(size=shape)
        _judge_leaky(read(call(answer, {}, a=a, dh=dh, slope=slope)), a, dh, slope)


def _judge_leaky(found: Floats, a: Floats, dh: Floats, slope: float) -> None:
    right = differences(lambda: float((dh * np.where(a > 0, a, slope * a)).sum()), a)
    h, local = np.where(a > 0, a, slope * a), np.where(a > 0, 1, slope)
    mistakes: Mistakes = {
        "relu": (dh * (a > 0), "Where `a` < 0, a leaky ReLU passes on a part.", _CHAIN),
        "local": (local, "That is the slope of the layer alone. `dh` is missing.", _CHAIN),
        "by-dh": (np.where(dh > 0, dh, slope * dh), "The sign of `a` decides, not that of `dh`."),
        "forward": (h, "That is the forward pass, and `dh` is not in it.", _CHAIN),
        "times-h": (dh * h, "You multiplied by the output, not by its slope.", _CHAIN),
        "swapped": (np.where(a > 0, slope * dh, dh), "The two cases are swapped."),
        "sign": (-right, "All signs are reversed. No minus is needed.", _CHAIN),
        "as-it-came": (dh, "`dh` came back as it was. What if `a` < 0?", _CHAIN),
    }
    why = "If `a` grows a little, how much does `h` grow? And the loss?"
    compare(f"`da` for a slope of {slope:g}", found, right, mistakes, "values", why, _CHAIN)


def backward(parameters: list[Floats], x: Floats, h: Floats, dz: Floats) -> list[Floats]:
    """Return dL/dW1, dL/db1, dL/dW2 and dL/db2 of z = max(x W1 + b1, 0) W2 + b2."""
    da = dz @ parameters[2].T * (h > 0)
    return [x.T @ da, da.sum(axis=0), h.T @ dz, dz.sum(axis=0)]


def judge_backward(answer: Any) -> None:
    """Compare four gradients with central differences, for arrays of several shapes."""
    rng = np.random.default_rng(12)
    for n, n_in, hidden, n_out in (4, 3, 5, 2), (7, 2, 6, 3), (1, 4, 3, 2):
        shapes = (n_in, hidden), (hidden,), (hidden, n_out), (n_out,)
        parameters = [rng.normal(size=shape) for shape in shapes]
        x, dz = rng.normal(size=(n, n_in)), rng.normal(size=(n, n_out))
        h = np.maximum(x @ parameters[0] + parameters[1], 0)
        found = _read_four(call(answer, {}, parameters=parameters, x=x, h=h, dz=dz))
        _judge_four(found, parameters, x, h, dz)


def _read_four(result: Any) -> list[Floats]:
    why = "Return a list of four arrays: `[dW1, db1, dW2, db2]`."
    is_list = isinstance(result, list | tuple)
    demand(is_list, "kind", f"it returned {type(result).__name__}, not a list.", why)
    demand(len(result) == 4, "count", f"it returned {len(result)} gradients, not four.", why)
    return [read(each, f"`d{name}`") for each, name in zip(result, _NAMES, strict=True)]


_NAMES = ("W1", "b1", "W2", "b2")
_LAYER = "The input of the layer, transposed, times the gradient of its output."
_HINTS = {
    "W1": ("First `dh = dz @ W2.T`, then `da`.", "Then as for W2, with `x` and `da`."),
    "b1": ("As for b2, with `da` in place of `dz`.", "`da.sum(axis=0)`."),
    "W2": (_LAYER, "`h.T @ dz`."),
    "b2": (
        "The bias is added to every row, so its gradient is a sum over the rows.",
        "`dz.sum(axis=0)`.",
    ),
}


def _judge_four(
    found: list[Floats], parameters: list[Floats], x: Floats, h: Floats, dz: Floats
) -> None:
    """Judge from the last layer to the first, in the order of the backward pass."""

    def loss() -> float:
        W1, b1, W2, b2 = parameters
        return float((dz * (np.maximum(x @ W1 + b1, 0) @ W2 + b2)).sum())

    shapes, wanted = [each.shape for each in found], [each.shape for each in parameters]
    is_mixed = shapes != wanted and sorted(shapes) == sorted(wanted)
    shown = "the gradients are in another order."
    demand(not is_mixed, "order", shown, "Return `[dW1, db1, dW2, db2]`.")
    dh, mask = dz @ parameters[2].T, "`da = dh * (h > 0)`. (`h >= 0` holds everywhere.)"
    relu: Mistakes = {
        "no-relu": (x.T @ dh, "Where `a` was negative, the ReLU lets nothing pass back.", mask),
        "by-dh": (x.T @ (dh * (dh > 0)), "It is `a` that decides what passes, not `dh`.", mask),
        "times-h": (x.T @ (dh * h), "The slope of a ReLU is 1 or 0, not `h`.", mask),
    }
    for i in 2, 3, 0, 1:
        name, right = _NAMES[i], differences(loss, parameters[i])
        mistakes: Mistakes = {
            "sign": (-right, "A gradient points uphill: no minus is needed."),
            "mean": (right / len(x), "The mean over the batch is in `dz` already."),
            "two": (2 * right, "A 2 comes from a square, and there is no square here."),
            **(relu if i == 0 else {}),
        }
        compare(f"`d{name}`", found[i], right, mistakes, "values", *_HINTS[name])
