"""The exercises of lesson 08: from a gradient to the backward pass and the training loop.

The answers are plain functions of NumPy arrays. Each is tried on arrays whose sides all differ in
length, so that nothing fits by accident.
"""

import dis
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asyncml.course.exercises import Wrong, answers, backward, exercise, loops
from asyncml.course.exercises.arrays import Floats, Mistakes, call, compare, read
from asyncml.course.exercises.scenes import Hints, demand, play
from asyncml.failures import shorten

# ---- 08-shapes: with five examples; each right bet, and wrong ones with their hints ----
_ROWS = ("rows", "That is the shape of the weights. Each of the five examples has a row.")
_SIDES = "Write the shapes side by side: (5, 2) @ (2, 3). The two in the middle disappear."
_BELOW = "Write one shape below the other. Where one side is 1, it is repeated."
_SHAPES: dict[str, tuple[str, dict[str, tuple[str, str]], str]] = {
    "y_pred": ("5,3", {"2,3": _ROWS}, _SIDES),
    "y_pred - y": ("5,3", {"2,3": _ROWS, "5,1": ("broadcast", _BELOW)}, _BELOW),
    "the update runs": (
        "false",
        {"true": ("accident", "The gradient is (5, 3) now. Which shape do the weights have?")},
        "The answer is True or False.",
    ),
}


@exercise("08-shapes")
def shapes(answer: Any) -> str:
    """Check the bets on the shapes in the copied sample if it had five examples."""
    answers.demand_given(answer, "your bets")
    kind = f"a dict with the keys {', '.join(map(repr, _SHAPES))} is expected."
    answers.demand_keys(answer, _SHAPES, kind)
    answers.demand_each(answer.values(), "an answer")
    for name, (right, wrong, other) in _SHAPES.items():
        bet = str(answer[name]).lower().translate(str.maketrans("", "", "()[] '\""))
        code, why = wrong.get(bet, ("error" if bet == "error" else "other", other))
        demand(bet == right, code, f"`{name}`: not {shorten(answer[name])}.", why)
    return "three outputs for one target, and no error; with five examples the update stops."


# ---- 08-gradient ----
_LOOPING = {"map", "vectorize", "apply_along_axis", "central_differences"}
_RIGHT_SIDE = "`x.T @ (x @ weights - y)` has the shape of the weights. What is it multiplied by?"


def _gradient(x: Floats, y: Floats, weights: Floats) -> Floats:
    right: Floats = 2 * x.T @ (x @ weights - y) / y.size
    return right


@exercise("08-gradient", ours=_gradient)
def gradient(answer: Any) -> str:
    """Check the gradient of the mean squared error of a layer without a bias."""
    rng = np.random.default_rng(8)
    size = "Divide by the number of errors: `y.size`."
    rows = "That is a row for each example. Each weight needs a sum over the examples."
    one = "Each weight has a slope of its own. Divide by `y.size`, and keep the array."
    for n, n_in, n_out in (5, 2, 3), (7, 4, 3), (1, 3, 2), (6, 5, 1):
        x, y = rng.normal(size=(n, n_in)), rng.normal(size=(n, n_out))
        weights = rng.normal(size=(n_in, n_out))
        right = _gradient(x, y, weights)
        mistakes: Mistakes = {
            "no-transpose": ((n, n_out), rows, _RIGHT_SIDE),
            "transposed": ((n_out, n_in), "Swap the two sides, and transpose the other one."),
            "scalar": ((), one),
            "sign": (-right, "The error is `y_pred - y`, in this order."),
            "two": (right / 2, "What is the derivative of a square?"),
            "by-n": (n_out * right, "The mean is over n * m errors, not over n.", size),
            "sum": (y.size * right, "That is the gradient of the sum. The loss is a mean.", size),
        }
        found = read(call(answer, {}, x=x, y=y, weights=weights))
        why = "Two from the square, a sum over the examples, divided by the number of errors."
        case = f"{n} examples, weights of shape {weights.shape}"
        compare(case, found, right, mistakes, "values", why, _RIGHT_SIDE)
    names = answers.names_of(answer)
    codes = answers.codes_of(answer, *(answer.__globals__.get(name) for name in names))
    steps = " ".join(step.opname for code in codes for step in dis.get_instructions(code))
    has_loop = "FOR_ITER" in steps or "BACKWARD" in steps or bool(names & _LOOPING)
    shown = "it uses a loop, its own or one in what it calls."
    why = "The sum over the examples is what a product of matrices does. Which two?"
    demand(not has_loop, "loop", shown, why, _RIGHT_SIDE)
    return "it agrees with central differences, whatever the shapes."


# ---- 08-errors ----
_REFUSED = ("refused", "This `y` has as many values as `y_pred`: do not refuse it.")
_ERRORS_HINTS: Hints = {"be broadcast": _REFUSED, "ValueError": _REFUSED, "Assertion": _REFUSED}


@exercise("08-errors")
def errors(answer: Any) -> str:
    """Check a function that subtracts targets, (n,) or (n, 1), from predictions, (n, 1)."""
    rng = np.random.default_rng(9)
    every = "That is every prediction against every target."
    flat = "Right values, but flat: the next line would broadcast again. Reshape the other one."
    more = "Give `y` the shape of the predictions: `y.reshape(y_pred.shape)`."
    for n, is_column in (5, False), (5, True), (1, False), (8, False):
        y_pred, y = rng.normal(size=(n, 1)), rng.normal(size=(n, 1))
        given = y if is_column else y.ravel()
        mistakes: Mistakes = {
            "broadcast": ((n, n), every, more),
            "flat": ((n,), flat, more),
            "sign": (y - y_pred, "It is `y_pred - y`, in this order."),
        }
        found = read(call(answer, _ERRORS_HINTS, y_pred=y_pred, y=given))
        case = f"`y_pred` of shape {y_pred.shape}, `y` of shape {given.shape}"
        compare(case, found, y_pred - y, mistakes, "values", "It is `y_pred - y`.", more)
    for shape in (4,), (6, 1), (1,), (1, 1):
        _demand_refusal(answer, rng.normal(size=(5, 1)), rng.normal(size=shape))
    return "one error for each example, and a refusal where the sizes differ."


def _demand_refusal(answer: Any, y_pred: Floats, y: Floats) -> None:
    def scene() -> str:
        try:
            return f"it returned shape {np.shape(answer(y_pred, y))}"
        except Exception as error:
            return "" if isinstance(error, ValueError) else f"it raised {type(error).__name__}"

    seen = play(scene, of=answer).result
    shown = f"`y_pred` of shape (5, 1), `y` of shape {y.shape}: {seen}."
    why = "There are not as many targets as predictions: raise a `ValueError`, and no other."
    more = "`y.reshape(y_pred.shape)` raises one unless there are as many values."
    demand(not seen, "accepted", shown, why, more)


# ---- 08-cross-entropy ----
_SHIFT = "Subtract from each row its own largest logit: `z - z.max(axis=1, keepdims=True)`."
_LOSS_HINTS: Hints = {
    "be broadcast": ("keepdims", "A sum of shape (n,) must be (n, 1): `keepdims=True`."),
    "index": ("index", "One logit of each row: `z[np.arange(len(z)), labels]`."),
}


def _losses(z: Floats, labels: Any, axis: int = 1) -> Floats:
    z = z - z.max(axis=axis, keepdims=True)
    log_p = z - np.log(np.exp(z).sum(axis=axis, keepdims=True))
    return np.asarray(-log_p[np.arange(len(z)), labels])


@exercise("08-cross-entropy")
def cross_entropy(answer: Any) -> str:
    """Check the mean softmax cross-entropy, also of logits that overflow."""
    rng = np.random.default_rng(10)
    formula = "-log p[label] = log(sum(exp(z))) - z[label], row by row."
    for n, classes in (5, 3), (8, 4), (1, 6):
        z, labels = rng.normal(size=(n, classes)), rng.integers(0, classes, n)
        _judge_loss(answer, z, labels, f"{n} examples", "values", formula)
    tiny = "p is 0 here, so never take its logarithm: write log p without p."
    log_p = "log p = z - log(sum(exp(z))), with z after its row's largest was subtracted."
    large, few = rng.normal(size=(5, 3)) + 1000, rng.integers(0, 3, 5)
    apart, last = np.array([[900.0, 901, 902], [-900, -901, -902]]), np.array([2, 0])
    over = "exp(1000) is too large for a float, and exp(-1000) is 0. What does p not depend on?"
    each = "Does every row have a logit of 0 when it comes to `exp`?"
    _judge_loss(answer, large, few, "logits of about 1000", "overflow", over, _SHIFT)
    _judge_loss(answer, large - 2000, few, "logits of about -1000", "overflow", over, _SHIFT)
    _judge_loss(answer, apart, last, "rows near 900 and -900", "one-max", each, _SHIFT)
    case = "a logit 800 above the label's"
    _judge_loss(answer, 800 * np.eye(2, 10, 1), last, case, "log-of-zero", tiny, log_p)
    return "the mean of -log p, and nothing overflows."


def _judge_loss(answer: Any, z: Floats, labels: Any, case: str, *other: str) -> None:
    found = read(call(answer, _LOSS_HINTS, logits=z, labels=labels))
    each, rows = _losses(z, labels), range(len(z))
    right, every = each.mean(), np.mean([_losses(z, [label] * len(z)) for label in labels])
    mistakes: Mistakes = {
        "each": (each.shape, "One number is asked for: the mean over the examples."),
        "sign": (-right, "Probabilities are below 1, so their logarithms are below 0."),
        "sum": (each.sum(), "That is the sum. Twice the batch would give twice as much."),
        "per-class": (right / z.shape[1], "Divide by the number of examples only."),
        "axis": (_losses(z, labels, 0).mean(), "Each row must sum to one: along `axis=1`."),
        "no-softmax": (-z[rows, labels].mean(), "Logits are not yet log p."),
        "no-log": (np.exp(-each).mean(), "That is p, and -log p is asked for."),
        "picked": (every, "`[:, labels]` takes all labels from each row: `[rows, labels]`."),
    }
    compare(case, found.reshape(()) if found.size == 1 else found, right, mistakes, *other)


# ---- 08-leaky, 08-backward and 08-train ----
@exercise("08-leaky")
def leaky(answer: Any) -> str:
    """Check the backward pass of a leaky ReLU."""
    backward.judge_leaky(answer)
    return "it agrees with central differences; with a slope of 0 it is the ReLU."


@exercise("08-backward", ours=backward.backward)
def backward_pass(answer: Any) -> str:
    """Check the backward pass of a network with one hidden layer."""
    backward.judge_backward(answer)
    return "all four gradients agree with central differences."


@exercise("08-train", ours=loops.train_loop)
def train(answer: Any) -> str:
    """Check a training loop by the rows that its model is given."""
    loops.judge_loop(answer)
    return "every example once an epoch, in a new order, and a step for each batch."


# ---- 08-confusion ----
def _confusion(labels: Any, guesses: Any, classes: int) -> NDArray[np.int64]:
    counts = np.zeros((classes, classes), int)
    np.add.at(counts, (labels, guesses), 1)
    return counts


@exercise("08-confusion", ours=_confusion)
def confusion(answer: Any) -> str:
    """Check a confusion matrix."""
    rng = np.random.default_rng(13)
    once = "`counts[labels, guesses] += 1` adds 1 once to each place, however often it is named."
    add = "`np.add.at(counts, (labels, guesses), 1)` adds each time. A loop over both does too."
    row = "The row is what it is, the column what it was taken for."
    other = f"Each image counts once. {row} A class that never occurs has a row and a column, too."
    for n, classes, unseen in (60, 4, 0), (200, 10, 1), (9, 3, 2):
        labels = rng.integers(0, classes - unseen, n).astype(np.uint8)
        guesses = np.where(rng.random(n) < 0.5, labels, rng.integers(0, classes - unseen, n))
        right = _confusion(labels, guesses, classes).astype(float)
        mistakes: Mistakes = {
            "once": (right > 0, once, add),
            "diagonal": (np.diag(right.diagonal()), "What were the others taken for?", row),
            "shares": (right / np.maximum(right.sum(1, keepdims=True), 1), "Counts, not shares."),
            "transposed": (right.T, row, "`[labels, guesses]`."),
        }
        found = read(call(answer, {}, labels=labels, guesses=guesses, classes=classes))
        case = f"{n} images, {classes} classes"
        compare(case, found, right, mistakes, "values", other)
    return "each image counted once, in the row of its class and the column of the guess."


# ---- 08-parsons: the lines of a training loop; six are needed ----
LINES = {
    "A": "        optimizer.step()",
    "B": "        rows = order[start : start + 64]",
    "C": "for _ in range(epochs):",
    "D": "    order = rng.permutation(len(x))",
    "E": "        model.loss_and_grads(x[rows], y[rows])",
    "F": "    for start in range(0, len(x), 64):",
    "G": "        rows = order[start:64]",
    "H": "    order = np.arange(len(x))",
}


@exercise("08-parsons")
def parsons(answer: Any) -> str:
    """Check an order of lines by running the training loop that they form."""
    letters = answers.read_lines(answer, LINES, 6, "six")
    body = "\n ".join(["losses = []", *(LINES[letter] for letter in letters), "return losses"])
    kept = LINES["E"].strip()
    body = body.replace(kept, f"losses.append({kept})")
    scope: dict[str, Any] = {"np": np}
    try:
        exec(f"def it(model, optimizer, x, y, epochs, rng):\n {body}", scope)
    except SyntaxError:
        why = "The indents show what belongs to which `for`: one of 0, two of 4, three of 8 spaces."
        raise Wrong("indent", "in this order the lines are not a valid program.", why) from None
    loops.judge_loop(scope["it"])
    return "three epochs, four batches each: every example once an epoch, in another order."
