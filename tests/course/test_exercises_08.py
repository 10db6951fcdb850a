"""The checks of lesson 08: right answers pass, and each typical mistake gets its own hint."""

import itertools
import json
import math
import time
from pathlib import Path

import numpy as np
import pytest

from asyncml.course.exercises import attempts, check
from asyncml.course.exercises.lesson_08 import LINES
from tests.course.edits import answers
from tests.course.tables import every, values

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "08_a_network_in_numpy.ipynb"


class _Broken:
    def __repr__(self):
        raise RuntimeError("not to be shown")


NAMES = {"broken": _Broken(), "math": math, "np": np, "time": time}
TEXTS = {
    "08-gradient": """
given
    def central_differences(x, y, weights):
        return base(x, y, weights)
    def by_loops(x, y, weights):
        found = np.zeros(weights.shape)
        for i, j in np.ndindex(weights.shape):
            found[i, j] = np.mean(2 * x[:, i] * (x @ weights - y)[:, j]) / y.shape[1]
        return found
passed
    def gradient(x, y, weights):
        return 2 * x.T @ (x @ weights - y) / y.size
passed
    return np.einsum("ri,rj->ij", x, 2 * (np.dot(x, weights) - y)) / np.size(y)
passed
    return base(x, y, weights).tolist()
loop
    parts = [2 * np.outer(*pair) for pair in zip(x, x @ weights - y, strict=True)]
    return sum(parts) / y.size
loop
    found = np.zeros(weights.shape)
    for place in np.ndindex(weights.shape):
        losses, value = [], weights[place]
        for change in 1e-6, -1e-6:
            weights[place] = value + change
            losses.append(np.mean((x @ weights - y) ** 2))
        weights[place] = value
        found[place] = (losses[0] - losses[1]) / 2e-6
    return found
loop
    return central_differences(x, y, weights)
loop
    return by_loops(x, y, weights)
loop
    pairs = map(np.outer, x, x @ weights - y)
    return 2 * np.sum(list(pairs), axis=0) / y.size
no-transpose | expected shape (2, 3), got (5, 3) | `x.T @ (x @ weights - y)`
    return 2 * (x @ weights - y)
no-transpose
    return 2 * (x @ weights - y) / y.size
product
    return 2 * x @ (x @ weights - y) / y.size
product
    return 2 * np.dot(x, np.dot(x, weights) - y) / y.size
star
    return 2 * x.T * (x @ weights - y) / y.size
transposed
    return 2 * (x @ weights - y).T @ x / y.size
by-n | it is 3 times what it should be
    return 2 * x.T @ (x @ weights - y) / len(x)
sum
    return 2 * x.T @ (x @ weights - y)
values
    return 2 * x.T @ (x @ weights - y) / y.shape[1]
sign
    return 2 * x.T @ (y - x @ weights) / y.size
two
    return x.T @ (x @ weights - y) / y.size
values
    return x.T @ (x @ weights - y) / len(x)
scalar
    return np.mean(2 * x.T @ (x @ weights - y))
shape
    return np.mean((x @ weights - y) ** 2, axis=0)
values
    return 2 * x.T @ y / y.size
values
    return base(x, y, weights) * math.nan
changed
    weights -= 0.1 * base(x, y, weights)
    return weights
no-return
    base(x, y, weights)
kind
    return np.mean((x @ weights - y) ** 2), base(x, y, weights)
values
    return np.array([[-3.58, -3.13, -3.38], [-3.46, -2.62, -2.76]])
values
    return 2 * x.T @ (x @ weights - y) / 15
arguments
    def gradient(x, y):
        return x.T @ y
name
    return base(x, y, weights) / n_examples
passed
    e = x @ weights - y; return 2 / e.size * x.T @ e
passed
    return np.tensordot(x, x @ weights - y, (0, 0)) * 2 / y.size
passed
    return -2 * ((y - x @ weights).T @ x).T / y.size
star
    return (x @ weights - y) * 2 / y.size * x
shape
    return np.mean(2 * x.T @ (x @ weights - y), axis=0)
values
    return x.T @ (x @ weights - y) ** 2 / y.size
values
    return 4 * x.T @ (x @ weights - y) / y.size
product
    return 2 * weights.T @ (x @ weights - y).T / y.size
generator
    yield 2 * x.T @ (x @ weights - y) / y.size
kind
    return [x.T @ (x @ weights - y), 1]
kind
    return 10**400
kind
    return broken
changed
    np.subtract(x @ weights, y, out=y); return x.T @ y
""",
    "08-errors": """
passed
    def errors(y_pred, y):
        return y_pred - y.reshape(y_pred.shape)
passed
    if y.size != y_pred.size:
        raise ValueError("not as many targets as predictions")
    return y_pred - y.reshape(-1, 1)
passed
    if len(y_pred) != len(y):
        raise ValueError
    return (y_pred.ravel() - y.ravel())[:, None]
broadcast | expected shape (5, 1), got (5, 5) | `y.reshape(y_pred.shape)`
    return y_pred - y
shape
    return y_pred - y[:, None]
flat
    return y_pred.ravel() - y.ravel()
flat
    return np.squeeze(y_pred) - np.squeeze(y)
sign
    return y.reshape(y_pred.shape) - y_pred
values
    return (y_pred - y.reshape(y_pred.shape)) ** 2
accepted
    return y_pred - y.reshape(-1, 1)
accepted
    return y_pred[: y.size] - y.reshape(-1, 1)[: y_pred.size]
accepted
    if y_pred.size != y.size:
        raise AssertionError  # an `assert` in a test would get a message of its own
    return y_pred - y.reshape(-1, 1)
refused
    if y.ndim != 1 or len(y) != len(y_pred):
        raise ValueError("flat targets only")
    return y_pred - y[:, None]
refused
    if y.shape != y_pred.shape:
        raise ValueError("other shapes")
    return y_pred - y
refused
    return y_pred - y.reshape(5, 1)
shape
    return np.mean(y_pred - y.reshape(y_pred.shape))
shape
    return (y_pred - y.reshape(y_pred.shape)).T
changed
    y_pred -= y.reshape(y_pred.shape)
    return y_pred
kind
    return "5 errors"
arguments
    def errors(x):
        return x
passed
    return np.subtract(y_pred, y.reshape(len(y_pred), 1))
shape
    return y_pred.T - y
accepted
    return None if len(y) != len(y_pred) else y_pred - y.reshape(-1, 1)
accepted
    return y_pred - y.reshape(-1, 1) if len(y) == len(y_pred) else 1 / 0
accepted
    return y_pred - np.resize(y, y_pred.shape)
changed
    y.resize(y_pred.shape, refcheck=False); return y_pred - y
values
    return np.abs(y_pred - y.reshape(y_pred.shape))
kind
    return broken
""",
    "08-cross-entropy": """
given
    def softmax(z, axis=1):
        e = np.exp(z)
        return e / e.sum(axis=axis, keepdims=True)
    def picked(p, labels):
        return p[np.arange(len(p)), labels]
    def naive(logits, labels):
        return -np.log(picked(softmax(logits), labels)).mean()
    def each(z, labels):
        z = z - z.max(axis=1, keepdims=True)
        return np.log(np.exp(z).sum(axis=1)) - picked(z, labels)
passed
    def cross_entropy(logits, labels):
        z = logits - logits.max(axis=1, keepdims=True)
        return np.mean(np.log(np.exp(z).sum(axis=1)) - z[np.arange(len(z)), labels])
passed
    picked = np.take_along_axis(logits, labels[:, None], axis=1)[:, 0]
    return float((np.logaddexp.reduce(logits, axis=1) - picked).mean())
passed
    total = 0.0
    for row, label in zip(logits, labels, strict=True):
        top = max(row)
        total += math.log(sum(math.exp(z - top) for z in row)) + top - row[label]
    return total / len(labels)
passed
    return np.float32(base(logits.astype(np.float32), labels))
passed
    return np.array([base(logits, labels)])
overflow | logits of about 1000 | its own largest logit
    return naive(logits, labels)
overflow
    return naive(np.clip(logits, -100, 100), labels)
axis
    z = logits - logits.max(axis=0)
    return -np.log(picked(softmax(z, axis=0), labels)).mean()
sum
    return base(logits, labels) * len(logits)
per-class
    return base(logits, labels) / logits.shape[1]
sign
    return -base(logits, labels)
each
    return each(logits, labels)
each
    return each(logits, labels) if logits.max() > 500 else base(logits, labels)
one-max
    return naive(logits - logits.max(), labels)
log-of-zero
    z = logits - logits.mean(axis=1, keepdims=True)
    return np.mean(np.log(np.exp(z).sum(axis=1)) - picked(z, labels))
values
    return naive(logits - logits.max(axis=0), labels)
log-of-zero
    return naive(logits - logits.max(axis=1, keepdims=True), labels)
log-of-zero
    z = logits - logits.max(axis=1, keepdims=True)
    return -np.log(picked(softmax(z), labels) + 1e-12).mean()
log-of-zero
    z = logits - logits.max(axis=1, keepdims=True)
    return -np.log(np.clip(picked(softmax(z), labels), 1e-9, 1)).mean()
no-softmax
    return -picked(logits, labels).mean()
no-log
    return picked(softmax(logits), labels).mean()
values
    return base(logits, labels) / math.log(2)
picked
    return -np.log(softmax(logits)[:, labels]).mean()
keepdims
    e = np.exp(logits)
    return -np.log(picked(e / e.sum(axis=1), labels)).mean()
values
    return -np.log(softmax(logits).T[labels, labels]).mean()
values
    return -np.log(picked(softmax(logits), labels).mean())
changed
    logits -= logits.max(axis=1, keepdims=True)
    return base(logits, labels)
kind
    return base(logits, labels), softmax(logits)
values
    return math.log(logits.shape[1])
arguments
    def cross_entropy(x):
        return x
keepdims
    p = np.exp(logits); return -np.log(p / p.sum(1))[0, labels].mean()
values
    p = np.exp(logits); return -np.log(p / p.sum())[0, labels].mean()
shape
    return logits[labels]
index
    return logits[:, labels.max() + 9]
kind
    return 10**400
""",
    "08-leaky": """
passed
    def leaky(a, dh, slope):
        return np.where(a > 0, dh, slope * dh)
passed
    return dh * ((a > 0) + slope * (a <= 0))
passed
    da = dh.copy()
    da[a < 0] *= slope
    return da
passed
    return [
        [d if v > 0 else slope * d for v, d in zip(*rows, strict=True)]
        for rows in zip(a, dh, strict=True)
    ]
no-return
    base(a, dh, slope)
if
    return dh if a > 0 else slope * dh
changed
    dh[a < 0] *= slope
    return dh
values
    return np.where(a > 0, dh, -slope * dh)
relu | `da` for a slope of 0.1: expected | The chain rule
    return dh * (a > 0)
values
    return np.where(a > 0, dh, 0.01 * dh)
local
    return np.where(a > 0, 1, slope)
by-dh
    return np.where(dh > 0, dh, slope * dh)
forward
    return np.where(a > 0, a, slope * a)
times-h
    return dh * np.where(a > 0, a, slope * a)
swapped
    return np.where(a > 0, slope * dh, dh)
sign
    return np.where(a > 0, -dh, -slope * dh)
as-it-came
    return dh
values
    return dh + np.where(a > 0, 1, slope)
shape
    return base(a, dh, slope).sum(axis=0)
shape
    return base(a, dh, slope).T
values
    return base(a, dh, slope) * math.nan
kind
    return "da"
arguments
    def leaky(a, dh):
        return dh
passed
    return np.select([a > 0], [dh], slope * dh)
passed
    g = np.ones_like(a); g[a <= 0] = slope; return g * dh
by-dh
    return np.maximum(dh, slope * dh)
values
    return np.where(a > 0, dh, slope)
shape
    return dh @ np.where(a > 0, 1, slope).T
values
    return dh * np.where(a > 0, 1, slope) / len(a)
if
    return max(a, 0) * dh
changed
    a[a < 0] *= slope; return a * dh
kind
    return [dh, slope]
""",
    "08-backward": """
passed
    def backward(parameters, x, h, dz):
        _, _, W2, _ = parameters
        dh = dz @ W2.T
        da = dh * (h > 0)
        return [x.T @ da, da.sum(axis=0), h.T @ dz, dz.sum(axis=0)]
passed
    da = np.where(h > 0, np.einsum("rj,ij->ri", dz, parameters[2]), 0)
    ones = np.ones(len(x))
    return x.T.dot(da), ones @ da, np.einsum("ri,rj->ij", h, dz), dz.sum(0)
passed
    W1, b1, W2, _ = parameters
    da = (W2 @ dz.T).T
    da[x @ W1 + b1 <= 0] = 0
    return (da.T @ x).T, np.sum(da, 0), (dz.T @ h).T, np.sum(dz, 0)
kind
    return dict(zip("abcd", base(parameters, x, h, dz), strict=True))
count
    return base(parameters, x, h, dz)[:2]
missing
    return [None, *base(parameters, x, h, dz)[1:]]
kind
    return ["dW1", *base(parameters, x, h, dz)[1:]]
arguments
    def backward(x):
        return x
no-return
    print(end="")
order
    return [base(parameters, x, h, dz)[i] for i in (2, 3, 0, 1)]
order
    return base(parameters, x, h, dz)[::-1]
changed
    parameters[0] -= 1
    return base(parameters, x, h, dz)
changed
    h[h > 0] = 1
    return base(parameters, x, h, dz)
passed
    h > 0 => np.sign(h)
no-relu
    dh * (h > 0) => dh
no-relu | `dW1`: expected | `h >= 0` holds everywhere
    h > 0 => h >= 0
by-dh
    h > 0 => dh > 0
times-h
    (h > 0) => h
values
    h > 0 => x @ parameters[0] > 0
sign
    = dh * => = -dh *
two
    = dh * => = 2 * dh *
mean
    h.T @ dz => h.T @ dz / len(h)
mean
    dz.sum(axis=0) => dz.mean(axis=0)
shape
    dz.sum(axis=0) => dz.sum()
shape
    dz.sum(axis=0) => dz
shape
    dz.sum(axis=0) => dz.sum(axis=1)
shape
    dz.sum(axis=0) => dz.sum(axis=0, keepdims=True)
shape
    h.T @ dz => dz.T @ np.ones_like(dz)
shape
    h.T @ dz => (h.T @ dz).T
values
    h.T @ dz => h.T @ dz + 1
values
    h.T @ dz => 0 * h.T @ dz
shape
    x.T @ da => h.T @ h
product
    x.T @ da => dz @ x
star
    x.T @ da => dz * x
values
    da.sum(axis=0), => da.sum(axis=0) + 1,
values
    x.T @ da => x.T @ da + 1
values
    x.T @ da => x.T @ da * math.nan
order
    da = dh * (h > 0); dh = dz @ parameters[2].T; return da
product
    return [x.T @ (dz @ parameters[2] * (h > 0))] * 4
missing
    return [None] * 4
kind
    return np.ones(4)
values
    return parameters
""",
    "08-train": """
passed
    def train(model, optimizer, x, y, epochs, rng):
        losses = []
        for _ in range(epochs):
            order = rng.permutation(len(x))
            for start in range(0, len(x), 64):
                rows = order[start : start + 64]
                losses.append(model.loss_and_grads(x[rows], y[rows]))
                optimizer.step()
        return losses
passed
    losses = []
    for _ in range(epochs):
        order = np.arange(len(x))
        rng.shuffle(order)
        for rows in np.split(order, range(64, len(x), 64)):
            losses += [model.loss_and_grads(x[rows], y[rows])]
            optimizer.step()
    return np.array(losses)
passed
    def step(rows):
        loss = model.loss_and_grads(x[rows], y[rows])
        optimizer.step()
        return loss
    orders = [rng.choice(len(x), len(x), replace=False) for _ in range(epochs)]
    return [step(o[s : s + 64]) for o in orders for s in range(0, len(x), 64)]
passed
          order = rng.permutation(len(x))
    +     x, y = x[order], y[order]
    ...
    -         rows = order[start : start + 64]
    -         losses.append(model.loss_and_grads(x[rows], y[rows]))
    +         losses.append(model.loss_and_grads(x[start : start + 64], y[start : start + 64]))
no-return
    return losses => pass
kind
    return losses => return losses[-1]
losses
    return losses => return losses[:-1]
losses
    return losses => return losses[::-1]
last-epoch
      for _ in range(epochs):
    +     losses = []
no-step
    -         optimizer.step()
steps
    -         optimizer.step()
    +     optimizer.step()
steps
    -         optimizer.step()
    + optimizer.step()
steps
              optimizer.step()
    +         optimizer.step()
early-step
    -         losses.append(model.loss_and_grads(x[rows], y[rows]))
              optimizer.step()
    +         losses.append(model.loss_and_grads(x[rows], y[rows]))
size
    [rows], y[rows] => , y
left-out
    + 64 => + 32
empty
    start : start + 64 => start:64
dropped
    (x), => (x) - 63,
batches
    epochs => 1
batches
    , 64 => , 1
    + 64 => + 1
in-order
    rng.permutation => np.arange
own-randomness
    rng => np.random
not-shuffled
    rng => np.random.default_rng(0)
own-randomness
    rng => np.random.default_rng(_)
not-each-once
    permutation(len(x)) => integers(0, len(x), len(x))
shuffle
    permutation(len(x)) => shuffle(x)
generator
    return => yield
name
    order[ => ordre[
range
    range(epochs) => epochs
raised
    range(epochs) => 1 / 0
attribute
    [rows], y[rows] => [rows]
arguments
    def train(model, optimizer):
        return []
changed
    order = rng.permutation(len(x)) => rng.shuffle(x)
    rows = order => rows = np.arange(len(x))
pairs
    y[rows] => y[: len(rows)]
attribute
              losses.append(model.loss_and_grads(x[rows], y[rows]))
    +         optimizer.zero_grad()
attribute
    (x[rows], y[rows]) => (x[rows], y[rows]).backward()
attribute
    loss_and_grads => forward
attribute
    model.loss_and_grads => model
no-batch
    epochs => 0
no-return
    model.loss_and_grads(x, y)
attribute
    return [model.loss_and_grads(x, y), optimizer.step(1)]
attribute
    return [model.params]
no-batch
    return []
""",
    "08-confusion": """
passed
    def confusion(labels, guesses, classes):
        counts = np.zeros((classes, classes), int)
        np.add.at(counts, (labels, guesses), 1)
        return counts
passed
    counts = [[0] * classes for _ in range(classes)]
    for label, guess in zip(labels, guesses, strict=True):
        counts[label][guess] += 1
    return counts
passed
    places = labels.astype(int) * classes + guesses
    return np.bincount(places, minlength=classes**2).reshape(classes, classes)
passed
    return np.eye(classes)[labels].T @ np.eye(classes)[guesses]
once
    np.add.at(counts, (labels, guesses), 1) => counts[labels, guesses] += 1
diagonal
    return np.diag(np.bincount(labels[labels == guesses], minlength=classes))
shape
    return base(labels, guesses, classes)[: labels.max() + 1, : labels.max() + 1]
shares
    counts = base(labels, guesses, classes)
    return counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
transposed
    return base(guesses, labels, classes)
values
    return base(labels, labels, classes)
values
    return 2 * base(labels, guesses, classes)
shape
    return np.mean(labels == guesses)
raised
    return np.zeros((classes, classes))[labels, classes]
no-return
    return print(end="")
passed
    return np.histogram2d(labels, guesses, classes, [[0, classes]] * 2)[0]
shape
    return labels == guesses
raised
    return np.zeros(classes, classes)
values
    return np.outer(np.bincount(labels), np.bincount(guesses))
changed
    labels.sort(); return labels
kind
    return {}
""",
}
PARSONS = {
    "passed": [
        "CDFBEA",
        "cdfbea",
        list("CDFBEA"),
        tuple("CDFBEA"),
        "C D F B E A",
        "C, D, F, B, E, A\n",
    ],
    "open": [..., None],
    "kind": [5, "CDFBEX", ""],
    "count": ["CDFBE", "CDFBEE", "CDFBGEA"],
    "early-step": ["CDFBAE", "CDFABE"],
    "empty": ["CDFGEA"],
    "in-order": ["CHFBEA"],
    "order": ["CDFEBA", "CFBEAD"],
    "indent": ["DCFBEA", "CFDBEA", "FCDBEA", "CDBFEA"],
    "no-step": ["CDFBGE", "CDHFBE"],
    "no-batch": ["CDFBGA"],
}


def bets(y_pred=(5, 3), difference=(5, 3), runs=False):
    return {"y_pred": y_pred, "y_pred - y": difference, "the update runs": runs}


SHAPES = {
    "passed": [
        bets(),
        bets([5, 3], "(5, 3)"),
        bets("(5,3)", "(5,  3)", "False"),
        bets(runs=np.False_),
        bets("5, 3", runs="false"),
    ],
    "open": [..., None, bets(..., ..., ...), bets(runs=...)],
    "rows": [bets((2, 3)), bets(difference=(2, 3))],
    "broadcast": [bets(difference=(5, 1))],
    "accident": [bets(runs=True)],
    "error": [bets("error"), bets(difference="Error")],
    "other": [
        *map(bets, ("(3,5)", (3, 5), (5, 2), (5, 1), (5,), 5, "")),
        bets(difference=(5, 2)),
        bets(runs="perhaps"),
        bets(runs=(5, 3)),
    ],
    "kind": [(5, 3), {"y_pred": (5, 3)}],
    "unusable": [bets(10**5000)],
}


@every(
    *(answers(name, NAMES, text) for name, text in TEXTS.items()),
    values("08-shapes", SHAPES),
    values("08-parsons", PARSONS),
)
def test_an_answer_gets_its_verdict(case):
    case.judge()


def sources():
    """Return the cells of the notebook by their ids."""
    notebook = json.loads(NOTEBOOK.read_text("utf-8"))
    return {cell["id"]: "".join(cell["source"]) for cell in notebook["cells"]}


def test_the_bets_agree_with_numpy():
    x, y, weights = np.ones((5, 2)), np.ones((5, 1)), np.ones((2, 3))
    y_pred = x @ weights
    with pytest.raises(ValueError, match="broadcast"):
        weights -= 0.1 * 2 * (y_pred - y)
    assert check("08-shapes", bets(y_pred.shape, (y_pred - y).shape, False)).code == "passed"


def test_the_hints_on_the_lines_are_true_of_the_answer():
    wrong, twice = (check("08-parsons", letters).message for letters in ("CDBFEA", "CCFBEA"))
    assert "C is first" not in wrong
    assert "one of 0, two of 4, three of 8 spaces" in wrong
    assert "got C, C, F, B, E, A." in twice


def test_no_order_of_lines_ends_in_an_error():
    passed = [
        "".join(letters)
        for letters in itertools.permutations("ABDEFH", 5)
        if check("08-parsons", "C" + "".join(letters)).code == "passed"
    ]
    assert passed == ["DFBEA"]


@pytest.mark.parametrize("name", TEXTS)
def test_a_plain_function_that_is_stopped_hears_nothing_of_await(name, monkeypatch):
    def endless(*arrays):
        while True:
            pass

    monkeypatch.setattr(attempts, "_LIMIT_S", 0.05)
    assert "await" not in check(name, endless).message


def test_the_lines_in_the_notebook_are_those_of_the_check():
    shown = sources()["noise-read"]
    assert all(f"{letter}  {line}" in shown for letter, line in LINES.items())


@pytest.mark.parametrize(
    ("name", "stub", "solution"),
    [
        ("08-gradient", "gradient", "gradient_solved"),
        ("08-errors", "errors", "errors_solved"),
        ("08-cross-entropy", "cross_entropy", "cross_entropy_solved"),
    ],
)
def test_the_stubs_are_open_and_the_solutions_pass(name, stub, solution):
    cells, (_, id) = sources(), name.split("-", 1)
    scope = {"np": np}
    exec(cells[f"{id}-stub"], scope)
    exec(cells[f"{id}-solution"].split("\n\n\n")[0], scope)
    assert check(name, scope[stub]).code == "open"
    assert check(name, scope[solution]).code == "passed"
