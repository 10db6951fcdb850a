"""Judges backward passes by central differences: of a leaky ReLU, and of a hidden layer's network.

The loss is the sum of what comes out, each output times the gradient that the answer is given for
it, so that gradient is the right one, whatever follows the layer.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asyncml.course.exercises.scenes import Hints, demand

Floats = NDArray[np.float64]
NAMES = ("W1", "b1", "W2", "b2")
_CHAIN = "The chain rule: `dh`, times the slope of the layer, which is 1 or `slope`."
PLAIN: Hints = {  # for any plain function of arrays; "it raised" fits every error, and comes last
    "still running": ("endless", "Which loop in it has no end?"),
    "`time.sleep`": ("blocking", "Nothing has to wait here: leave `time.sleep` out."),
    "NameError": ("name", "Where does that name get its value? Is it spelt the same there?"),
    "it raised": ("raised", "Call it yourself in a cell, and print the shapes before that line."),
}
LEAKY_HINTS: Hints = {
    "truth value of an array": (
        "if",
        "`if`, `max` and `min` ask about one number, and `a` holds many.",
        "`np.where(a > 0, ..., ...)` asks about each of them.",
    ),
    **PLAIN,
}
BACKWARD_HINTS: Hints = {
    "mismatch in its core dimension": (
        "product",
        "Write the shapes side by side: the two in the middle must be equal.",
        "Transpose one side: `.T` swaps its rows and columns.",
    ),
    "not aligned": ("product", "Write the shapes side by side: the middle ones must be equal."),
    "could not be broadcast": (
        "star",
        "`*` works place by place: both sides need the same shape. A sum of products is `@`.",
    ),
    **PLAIN,
}


def differences(loss: Callable[[], float], array: Floats, eps: float = 1e-6) -> Floats:
    """Return the slope of a loss by each number of an array that it uses."""
    found = np.empty_like(array)
    for place in np.ndindex(array.shape):
        value = array[place]
        array[place] = value + eps
        above = loss()
        array[place] = value - eps
        found[place] = (above - loss()) / (2 * eps)
        array[place] = value
    return found


# ---- a leaky ReLU ----
def leaky_relu_backward(a: Floats, dh: Floats, slope: float) -> Floats:
    """Return dL/da of h = a where a > 0, else slope * a."""
    return np.where(a > 0, dh, slope * dh)


def leaky_cases() -> Iterator[tuple[Floats, Floats, float]]:
    """Yield inputs that keep away from the kink, gradients of the outputs, and slopes."""
    rng = np.random.default_rng(11)
    for shape, slope in ((5, 3), 0.1), ((1, 4), 0.3), ((6, 2), 0.0), ((2, 7), 0.25):
        signs = rng.choice([-1.0, 1.0], shape)
        yield signs * rng.uniform(0.2, 2, shape), rng.normal(size=shape), slope


def judge_leaky(found: Floats, a: Floats, dh: Floats, slope: float) -> None:
    """Compare what came back with central differences."""
    right = differences(lambda: float((dh * _leaky_relu(a, slope)).sum()), a)
    shown = f"`a` and `dh` of shape {a.shape}: it returned shape {found.shape}."
    why = "A gradient has the shape of what it belongs to, here of `a`. Nothing is summed."
    demand(found.shape == a.shape, "shape", shown, why)
    is_close = np.isclose(found, right, rtol=1e-4, atol=1e-7)
    if is_close.all():
        return
    row, column = np.argwhere(~is_close)[0]
    place = row, column
    shown = (
        f"a = {a[place]:.2f}, dh = {dh[place]:.2f}, slope = {slope:g}: "
        f"central differences say {right[place]:.3f}, got {found[place] + 0.0:.3f}."
    )
    for code, (wrong, why, more) in _typical_leaky(a, dh, slope).items():
        demand(not np.allclose(found, wrong, rtol=1e-4, atol=1e-7), code, shown, why, more)
    why = "If `a` grows a little, how much does `h` grow? And the loss?"
    demand(False, "values", shown, why, _CHAIN)


def _leaky_relu(a: Floats, slope: float) -> Floats:
    return np.where(a > 0, a, slope * a)


def _typical_leaky(a: Floats, dh: Floats, slope: float) -> dict[str, tuple[Floats, str, str]]:
    """Return what typical mistakes make of it, each with its hints."""
    h, right = _leaky_relu(a, slope), leaky_relu_backward(a, dh, slope)
    local = "That is the slope of the layer alone. How much does the loss change?"
    by_dh = "You asked for the sign of `dh`. Which number decides which way is taken forward?"
    times_h = "You multiplied `dh` by the output. What is wanted is the slope of the output."
    leaky = "Where `a` < 0, a leaky ReLU passes on a part of a change."
    where = "`np.where(a > 0, ..., ...)`."
    return {
        "relu": (dh * (a > 0), leaky, _CHAIN),
        "fixed": (np.where(a > 0, dh, 0.01 * dh), "Use the `slope` that it is given.", _CHAIN),
        "local": (np.where(a > 0, 1, slope), local, _CHAIN),
        "by-dh": (np.where(dh > 0, dh, slope * dh), by_dh, where),
        "forward": (h, "That is the forward pass, and `dh` is not in it.", _CHAIN),
        "values-not-slopes": (dh * h, times_h, _CHAIN),
        "swapped": (np.where(a > 0, slope * dh, dh), "The two cases are swapped.", where),
        "sign": (-right, "All signs are reversed. No minus is needed.", _CHAIN),
        "as-it-came": (dh, "`dh` came back as it was given. What if `a` < 0?", _CHAIN),
    }


# ---- the network with one hidden layer ----
def backward(parameters: list[Floats], x: Floats, h: Floats, dz: Floats) -> list[Floats]:
    """Return dL/dW1, dL/db1, dL/dW2 and dL/db2 of z = max(x W1 + b1, 0) W2 + b2."""
    da = dz @ parameters[2].T * (h > 0)
    return [x.T @ da, da.sum(axis=0), h.T @ dz, dz.sum(axis=0)]


def network_cases() -> Iterator[tuple[list[Floats], Floats, Floats, Floats]]:
    """Yield parameters, x, h and dz, with sides of different lengths and `a` off the kink."""
    rng = np.random.default_rng(12)
    for n, n_in, hidden, n_out in (4, 3, 5, 2), (7, 2, 6, 3), (1, 4, 3, 2):
        while True:
            shapes = (n_in, hidden), (hidden,), (hidden, n_out), (n_out,)
            parameters = [rng.normal(size=shape) for shape in shapes]
            x = rng.normal(size=(n, n_in))
            a = x @ parameters[0] + parameters[1]
            is_mixed = 0 < (a > 0).mean() < 1
            if np.abs(a).min() > 1e-3 and is_mixed:
                break
        yield parameters, x, np.maximum(a, 0), rng.normal(size=(n, n_out))


def read_gradients(result: Any) -> list[Floats]:
    """Return four arrays, or say what was returned instead."""
    shown = f"its result is of type {type(result).__name__}, not a list of four arrays."
    why = "In this order: `[dW1, db1, dW2, db2]`."
    demand(isinstance(result, list | tuple), "kind", shown, why)
    shown = f"it returned a list of {len(result)}, not of four arrays."
    demand(len(result) == 4, "count", shown, why)
    found = []
    for name, each in zip(NAMES, result, strict=True):
        demand(each is not None, "missing", f"d{name} is None.", why)
        try:
            found.append(np.asarray(each, float))
        except (TypeError, ValueError):
            shown = f"d{name} is a {type(each).__name__}, not an array of numbers."
            demand(False, "kind", shown, why)
    return found


def judge_backward(
    found: list[Floats], parameters: list[Floats], x: Floats, h: Floats, dz: Floats
) -> None:
    """Compare four gradients with central differences, from the last layer to the first."""

    def loss() -> float:
        W1, b1, W2, b2 = parameters
        return float((dz * (np.maximum(x @ W1 + b1, 0) @ W2 + b2)).sum())

    right = [differences(loss, array) for array in parameters]
    shapes, wanted = [each.shape for each in found], [each.shape for each in right]
    is_swapped = shapes != wanted and shapes in (wanted[2:] + wanted[:2], wanted[::-1])
    shown = "the shapes are right, but in another order."
    demand(not is_swapped, "order", shown, "Return `[dW1, db1, dW2, db2]`.")
    wrong = _typical(parameters, x, h, dz)
    for place in 2, 3, 0, 1:
        name = NAMES[place]
        _judge_shape(name, found[place], right[place], len(x))
        _judge_values(name, found[place], right[place], len(x), wrong.get(name, {}))


def _judge_shape(name: str, found: Floats, right: Floats, n: int) -> None:
    if found.shape == right.shape:
        return
    shown = f"{name} has shape {right.shape}, d{name} came in shape {found.shape}."
    if right.ndim == 1:
        why = "Each bias has a gradient of its own: sum over the batch, and over nothing else."
        more = f"`d{'z' if name == 'b2' else 'a'}.sum(axis=0)`."
        demand(found.shape != (), "axis", shown, why, more)
        why = "A bias is in every row, so what it does to the rows is added up."
        demand(found.shape != (n, *right.shape), "no-sum", shown, why, more)
        demand(
            found.shape != (n,),
            "axis",
            shown,
            "Sum over the rows, not over the columns.",
            more,
        )
        why = "A flat array is wanted: `keepdims` is not needed."
        demand(found.shape != (1, *right.shape), "keepdims", shown, why, more)
    else:
        why = "Swap the two sides of the product, and transpose the other one."
        demand(found.shape != right.shape[::-1], "transposed", shown, why)
    why = "Each gradient has the shape of what it belongs to. Which sum is over the examples?"
    more = "What came in, transposed, times the gradient of what went out."
    demand(False, "shape", shown, why, more)


def _typical(
    parameters: list[Floats], x: Floats, h: Floats, dz: Floats
) -> dict[str, dict[str, tuple[Floats, str, str]]]:
    """Return what typical mistakes make of dW1 and db1, each with its hints."""
    dh = dz @ parameters[2].T
    mask = "`da = dh * (h > 0)`."
    why = "Every part of `dh` came through. Where `a` was negative the ReLU lets nothing pass."
    wrong: dict[str, tuple[Floats, str, str]] = {
        "no-relu": (
            dh,
            why,
            f"{mask} (`h >= 0` would hold everywhere: h is never negative.)",
        ),
        "by-dh": (dh * (dh > 0), "It is `a` that decides what passes, not the sign of `dh`.", mask),
        "times-h": (dh * h, "You multiplied by `h`. The slope of a ReLU is 1 or 0.", mask),
        "no-bias": (
            dh * (x @ parameters[0] > 0),
            "You left the bias out when you asked which `a` are positive.",
            mask,
        ),
    }
    return {
        "W1": {code: (x.T @ da, why, more) for code, (da, why, more) in wrong.items()},
        "b1": {code: (da.sum(axis=0), why, more) for code, (da, why, more) in wrong.items()},
    }


def _judge_values(
    name: str,
    found: Floats,
    right: Floats,
    n: int,
    typical: dict[str, tuple[Floats, str, str]],
) -> None:
    if np.allclose(found, right, rtol=1e-4, atol=1e-7):
        return
    shown = f"d{name} has the right shape, but other values than central differences."
    for code, (wrong, why, more) in typical.items():
        demand(not np.allclose(found, wrong, rtol=1e-4, atol=1e-7), code, shown, why, more)
    factor = float((found * right).sum() / (right * right).sum()) if right.any() else 0.0
    if factor and np.allclose(found, factor * right, rtol=1e-4, atol=1e-7):
        shown = f"d{name} is {factor:.4g} times what central differences say."
        demand(factor > 0, "sign", shown, "A gradient points uphill: no minus is needed.")
        why = "The mean over the batch is in `dz` already."
        demand(abs(factor * n - 1) > 1e-3, "mean", shown, why, "Sum: divide by nothing.")
        demand(False, "factor", shown, "There is nothing to multiply or divide by here.")
    why = "What came in, transposed, times the gradient of what went out."
    if name in ("b1", "b2"):
        why = "Sum the gradient of what went out over the batch."
    more = {
        "W2": "`h.T @ dz`.",
        "b2": "`dz.sum(axis=0)`.",
        "W1": "First `dh = dz @ W2.T`, then `da`, then as for W2, with `x` and `da`.",
        "b1": "As for b2, with `da`.",
    }[name]
    demand(False, "values", shown, why, more)
