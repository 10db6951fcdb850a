"""The exercises of lesson 08: from a gradient to the backward pass, and to the training loop.

The answers are plain functions of NumPy arrays. Each is tried on arrays in which no two sides are
of the same length, so that nothing fits by accident.
"""

import copy
import dis
import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asyncml.course.exercises import Wrong, answers, backward, exercise, loops
from asyncml.course.exercises.scenes import Hints, check_plain, demand, play

Floats = NDArray[np.float64]


def _check_called_with(answer: Any, names: str) -> None:
    """Demand a plain function that can be called with arguments of these names."""
    check_plain(answer)
    try:
        inspect.signature(answer).bind(*names.split())
    except TypeError:
        called = f"`{answer.__name__}({', '.join(names.split())})`"
        shown = f"its arguments do not fit: it is called as {called}."
        raise Wrong("arguments", shown, "They come in this order; the names are free.") from None


def _call(answer: Callable[..., Any], *args: Any, hints: Hints) -> Any:
    """Call an answer with copies of arrays, which it must leave as they are."""

    def scene() -> Any:
        with np.errstate(all="ignore"):  # what overflows is told in the verdict
            return answer(*copies)

    copies = copy.deepcopy(args)
    result = play(scene, of=answer, hints=hints).result
    shown = f"`{answer.__name__}` changed an array that it was given."
    is_same = all(map(np.array_equal, _flat(copies), _flat(args)))
    demand(is_same, "changed", shown, "Make a new one: `a = a - b`, not `a -= b`; or `a.copy()`.")
    answers.demand_returned(result)
    return result


def _flat(args: Any) -> list[Any]:
    """Return arguments with what is in lists beside the others."""
    return [one for arg in args for one in (arg if isinstance(arg, list) else [arg])]


def _array(result: Any) -> Floats:
    """Take what an answer returned for an array, or say what is wrong."""
    try:
        return np.asarray(result, float)
    except (TypeError, ValueError):
        shown = f"it returned {type(result).__name__}, and not an array of numbers."
        raise Wrong("kind", shown, "Return one array and nothing else.") from None


# ---- 08-shapes: with five examples; each right bet, and wrong ones with their hints ----
_ROWS = "That is the shape of the weights. Each of the five examples has a row."
_INNER = "(5, 2) @ (2, 3): the two sizes in the middle are summed over and disappear."
_SHAPES = {
    "y_pred": (
        "(5, 3)",
        {
            "(2, 3)": ("rows", _ROWS),
            "(3, 5)": ("transposed", "The first number counts the rows: one for each example."),
            "(5, 2)": ("inner", _INNER),
            "(5, 1)": ("columns", "There are three columns of weights: each gives an output."),
            "error": ("no-error", _INNER),
        },
    ),
    "y_pred - y": (
        "(5, 3)",
        {
            "(5, 1)": ("broadcast", "A side of length 1 is repeated until it fits the other."),
            "(2, 3)": ("rows", _ROWS),
            "error": ("no-error", "NumPy raises nothing here: a side of length 1 fits any."),
        },
    ),
    "the update runs": (
        "False",
        {"True": ("accident", "The gradient is (5, 3) now. Which shape do the weights have?")},
    ),
}


@exercise("08-shapes")
def shapes(answer: Any) -> str:
    """Check the bets on the shapes in the copied sample, if it had five examples."""
    demand(answer is not ... and answer is not None, "open", "put your bets into the dict")
    kind = f"a dict with the keys {', '.join(map(repr, _SHAPES))} is expected."
    answers.demand_keys(answer, _SHAPES, kind)
    answers.demand_each(answer.values(), "a bet")
    for name, (right, wrong) in _SHAPES.items():
        bet = tuple(answer[name]) if isinstance(answer[name], list) else answer[name]
        said = bet.replace(" ", "").replace(",", ", ") if isinstance(bet, str) else str(bet)
        if said != right:
            kind = "True or False" if right == "False" else 'a shape such as (4, 7), or "error"'
            shown = f"`{name}`: {kind} is expected, got {bet!r:.40}."
            demand(said in wrong or (said[:1] == "(" and right != "False"), "kind", shown)
            code, why = wrong.get(said, ("other", "Write each shape below its array."))
            raise Wrong(code, f"`{name}`: not {said}.", why)
    return "three outputs for one target, and no error; with five examples the update stops."


# ---- 08-gradient ----
_LOOPS = ("FOR_ITER", "JUMP_BACKWARD", "POP_JUMP_BACKWARD")
_LOOPING = {"map", "reduce", "vectorize", "apply_along_axis", "fromfunction", "fromiter"}
_RIGHT_SIDE = "`x.T @ (x @ weights - y)` has the shape of the weights. What is it multiplied with?"
_GRADIENT_HINTS: Hints = {
    "mismatch in its core dimension": (
        "product",
        "Write the shapes side by side: the two in the middle must be equal.",
        "It is (in, n) @ (n, out) that gives (in, out): `x.T` comes first.",
    ),
    "not aligned": ("product", "Write the shapes side by side: the middle ones must be equal."),
    "could not be broadcast": ("star", "`*` multiplies place by place. You want `@`."),
    **backward.PLAIN,
}


def _gradient(x: Floats, y: Floats, weights: Floats) -> Floats:
    right: Floats = 2 * x.T @ (x @ weights - y) / y.size
    return right


@exercise("08-gradient", ours=_gradient)
def gradient(answer: Any) -> str:
    """Check the gradient of the mean squared error of a layer without a bias."""
    _check_called_with(answer, "x y weights")
    rng = np.random.default_rng(8)
    for n, n_in, n_out in (5, 2, 3), (7, 4, 3), (1, 3, 2), (6, 5, 1):
        x, y = rng.normal(size=(n, n_in)), rng.normal(size=(n, n_out))
        weights = rng.normal(size=(n_in, n_out))
        right = _gradient(x, y, weights)
        found = _array(_call(answer, x, y, weights, hints=_GRADIENT_HINTS))
        _judge_gradient_shape(found, (n, n_in, n_out))
        _judge_factor(found, right, n, n_out)
    _judge_loops(answer)
    return "it agrees with central differences, whatever the shapes."


def _judge_loops(answer: Any) -> None:
    names = answers.names_of(answer)
    helpers = [answer.__globals__.get(name) for name in names - {"central_differences"}]
    steps = [s for code in answers.codes_of(answer, *helpers) for s in dis.get_instructions(code)]
    has_loop = any(step.opname.startswith(_LOOPS) for step in steps) or bool(names & _LOOPING)
    shown = "it calls `central_differences`, which works out the loss twice for every weight."
    why = "Use that to compare. What does the formula say for all weights at once?"
    demand(
        "central_differences" not in names,
        "differences",
        shown,
        why,
        _RIGHT_SIDE,
    )
    why = "The sum over the examples is what a product of matrices does. Which two?"
    demand(not has_loop, "loop", "it works in a loop.", why, _RIGHT_SIDE)


def _judge_gradient_shape(found: Floats, sizes: tuple[int, int, int]) -> None:
    n, n_in, n_out = sizes
    shown = f"weights of shape ({n_in}, {n_out}), {n} examples: it returned shape {found.shape}."
    why = "That is a row for each example. Each weight needs a number, summed over the examples."
    demand(found.shape != (n, n_out), "no-transpose", shown, why, _RIGHT_SIDE)
    why = "Swap the two sides of the product, and transpose the other one."
    demand(found.shape != (n_out, n_in), "transposed", shown, why, _RIGHT_SIDE)
    why = "Each weight has a slope of its own. The `mean` is in the loss; what is left of it here?"
    demand(found.shape != (), "scalar", shown, why, "Divide by `y.size`, and keep the array.")
    demand(found.shape == (n_in, n_out), "shape", shown, "It must be that of the weights.")


def _judge_factor(found: Floats, right: Floats, n: int, n_out: int) -> None:
    if np.allclose(found, right, rtol=1e-4, atol=1e-6):
        return
    factor = float((found * right).sum() / (right * right).sum())
    if np.allclose(found, factor * right, rtol=1e-4, atol=1e-6) and factor:
        shown = f"it is {factor:.4g} times what it should be."
        why = "Downhill is where you step: `weights -= ...`. The gradient itself points uphill."
        demand(factor > 0, "sign", shown, why, "The error is `y_pred - y`, in this order.")
        times = {
            "by-n": (n_out, "The mean is over *all* errors, and each example has several."),
            "sum": (n * n_out, "That is the gradient of the sum. The loss is a mean."),
            "by-columns": (n, "You divided by the number of outputs. How many errors are there?"),
            "two": (0.5, "What is the derivative of a square?"),
        }
        for code, (typical, why) in times.items():
            demand(abs(factor / typical - 1) > 1e-3, code, shown, why, "`2 * ... / y.size`.")
        raise Wrong("factor", shown, "Two from the square, divided by the number of errors.")
    shown = "it has the right shape, but other values than central differences."
    raise Wrong("values", shown, "Which example, which weight, which error?", _RIGHT_SIDE)


# ---- 08-errors ----
_ERRORS_HINTS: Hints = {
    "AssertionError": ("assert", "`python -O` leaves asserts out: `raise ValueError(...)`."),
    "could not be broadcast": ("refused", "This `y` has as many values as `y_pred`."),
    "ValueError": ("refused", "This `y` has as many values as `y_pred`: do not refuse it."),
    **backward.PLAIN,
}


@exercise("08-errors")
def errors(answer: Any) -> str:
    """Check a function that subtracts targets, (n,) or (n, 1), from predictions, (n, 1)."""
    _check_called_with(answer, "y_pred y")
    rng = np.random.default_rng(9)
    for n, is_column in (5, False), (5, True), (1, False), (8, False):
        y_pred, y = rng.normal(size=(n, 1)), rng.normal(size=(n, 1))
        given = y if is_column else y.ravel()
        found = _array(_call(answer, y_pred, given, hints=_ERRORS_HINTS))
        _judge_errors(found, y_pred - y, given.shape)
    for shape in (4,), (6, 1), (1,), (1, 1):
        _demand_refusal(answer, rng.normal(size=(5, 1)), rng.normal(size=shape))
    return "one error for each example, and a refusal where the sizes differ."


def _judge_errors(found: Floats, right: Floats, shape: tuple[int, ...]) -> None:
    n = len(right)
    shown = f"`y_pred` of shape ({n}, 1), `y` of shape {shape}: it returned shape {found.shape}."
    why = "That is every prediction against every target. Which shape must `y` have before the `-`?"
    more = "Give it that of the predictions: `y.reshape(y_pred.shape)`."
    demand(found.size <= n, "broadcast", shown, why, more)
    why = "Right values, but flat: the next line would broadcast again. Reshape the other one."
    demand(found.shape != (n,), "flat", shown, why, more)
    demand(found.shape == (n, 1), "shape", shown, f"It must be ({n}, 1), as the predictions are.")
    demand(not np.allclose(found, -right), "sign", "all signs are reversed.", "`y_pred - y`.")
    demand(np.allclose(found, right), "values", f"{n} errors, and not those of `y_pred - y`.")


def _demand_refusal(answer: Callable[..., Any], y_pred: Floats, y: Floats) -> None:
    def scene() -> str:
        try:
            return f"returned shape {np.shape(answer(y_pred.copy(), y.copy()))}"
        except ValueError:
            return ""

    seen = play(scene, of=answer, hints=_ERRORS_HINTS).result
    shown = f"`y_pred` of shape (5, 1), `y` of shape {y.shape}: it {seen}."
    why = "There are not as many targets as predictions. NumPy may repeat one, so compare sizes."
    more = "`y.reshape(y_pred.shape)` raises a ValueError unless there are as many values."
    demand(not seen, "one-for-all" if y.size == 1 else "accepted", shown, why, more)


# ---- 08-cross-entropy ----
_CLOSE = 1e-5
_SHIFT = "Subtract from each row its own largest logit: `z - z.max(axis=1, keepdims=True)`."
_LOSS_HINTS: Hints = {
    "could not be broadcast": ("keepdims", "A sum of shape (n,) must be (n, 1): `keepdims=True`."),
    "index": ("index", "One logit of each row: `z[np.arange(len(z)), labels]`."),
    **backward.PLAIN,
}


@exercise("08-cross-entropy")
def cross_entropy(answer: Any) -> str:
    """Check the mean softmax cross-entropy, also of logits that overflow."""
    _check_called_with(answer, "logits labels")
    rng = np.random.default_rng(10)
    for n, classes in (5, 3), (8, 4), (1, 6):
        z, labels = rng.normal(size=(n, classes)), rng.integers(0, classes, n)
        _judge_loss(_number(_call(answer, z, labels, hints=_LOSS_HINTS), z), z, labels)
    large, few = rng.normal(size=(5, 3)) + 1000, rng.integers(0, 3, 5)
    apart = np.array([[900.0, 901, 902], [-900, -901, -902]])
    for told, z, labels in (
        ("logits of about 1000", large, few),
        ("logits of about -1000", large - 2000, few),
        ("a row near 900 and one near -900", apart, np.array([2, 0])),
        ("a logit of 900 before nine zeros", 900 * np.eye(1, 10), np.array([0])),
        ("a logit of 800 beside the label's 0", 800 * np.eye(2, 3, 1), np.array([0, 2])),
    ):
        value = _number(_call(answer, z, labels, hints=_LOSS_HINTS), z)
        _judge_stable(value, float(_loss(z, labels).mean()), told)
    return "the mean of -log p, and nothing overflows."


def _loss(z: Floats, labels: NDArray[np.int64], axis: int = 1) -> Floats:
    z = z - z.max(axis=axis, keepdims=True)
    log_p = z - np.log(np.exp(z).sum(axis=axis, keepdims=True))
    return np.asarray(-log_p[np.arange(len(z)), labels])


def _number(result: Any, z: Floats) -> float:
    found = _array(result)
    shown = f"for {len(z)} examples of {z.shape[1]} classes it returned shape {found.shape}."
    demand(found.size == 1, "each", shown, "One number is asked for: the mean over the examples.")
    return float(found.reshape(()))


def _judge_loss(value: float, z: Floats, labels: NDArray[np.int64]) -> None:
    each, rows = _loss(z, labels), np.arange(len(z))
    right = float(each.mean())
    if np.isclose(value, right, rtol=_CLOSE):
        return
    by_column = float(_loss(z, labels, axis=0).mean())
    every_label = float(np.mean([_loss(z, np.full(len(z), label)) for label in labels]))
    typical = {
        "sign": (-right, "Probabilities are below 1, so their logarithms are below 0."),
        "sum": (each.sum(), "That is the sum. Twice the batch would give twice as much."),
        "per-class": (right / z.shape[1], "Divide by the number of examples, not by all logits."),
        "axis": (by_column, "Each row is an example, and must sum to one: along `axis=1`."),
        "columns": (_loss(z - z.max(axis=0), labels).mean(), f"Not of each column. {_SHIFT}"),
        "base": (right / np.log(2), "The logarithm is the natural one, `np.log`."),
        "no-softmax": (
            -z[rows, labels].mean(),
            "Logits are not yet log p.",
        ),
        "no-log": (np.exp(-each).mean(), "That is p, and -log p is asked for."),
        "picked": (every_label, "`[:, labels]` takes all labels from each row: `[rows, labels]`."),
    }
    shown = f"expected {right:.4f}, got {value:.4f}."
    for code, (wrong, why) in typical.items():
        demand(not np.isclose(value, wrong, rtol=_CLOSE), code, shown, why)
    raise Wrong("values", shown, "-log p[label] = log(sum(exp(z))) - z[label], row by row.")


def _judge_stable(value: float, right: float, told: str) -> None:
    if np.isclose(value, right, rtol=_CLOSE):
        return
    shown = f"{told}: expected {right:.4g}, got {value:.4g}."
    if "beside" in told:
        why = "exp(-800) is 0, so p is 0. Never take the logarithm of it: write log p without p."
        more = "log p = z - log(sum(exp(z))), with z after its row's largest was subtracted."
        raise Wrong("epsilon" if np.isfinite(value) else "log-of-zero", shown, why, more)
    why = "Does every row have a logit of 0 when it comes to `exp`?"
    demand("one near" not in told, "one-max", shown, why, _SHIFT)
    why = "exp(1000) is too large for a float, and exp(-1000) is 0. What does p not depend on?"
    raise Wrong("overflow", shown, why, _SHIFT)


# ---- 08-leaky and 08-backward ----
@exercise("08-leaky")
def leaky(answer: Any) -> str:
    """Check the backward pass of a leaky ReLU."""
    _check_called_with(answer, "a dh slope")
    for a, dh, slope in backward.leaky_cases():
        found = _array(_call(answer, a, dh, slope, hints=backward.LEAKY_HINTS))
        backward.judge_leaky(found, a, dh, slope)
    return "it agrees with central differences; with a slope of 0 it is the ReLU."


@exercise("08-backward", ours=backward.backward)
def backward_pass(answer: Any) -> str:
    """Check the backward pass of a network with one hidden layer."""
    _check_called_with(answer, "parameters x h dz")
    for parameters, x, h, dz in backward.network_cases():
        result = _call(answer, parameters, x, h, dz, hints=backward.BACKWARD_HINTS)
        backward.judge_backward(backward.read_gradients(result), parameters, x, h, dz)
    return "all four gradients agree with central differences."


# ---- 08-train ----
@exercise("08-train", ours=loops.train_loop)
def train(answer: Any) -> str:
    """Check a training loop by the rows that its model is given."""
    _check_called_with(answer, "model optimizer x y epochs rng")
    shown = "there is a `yield` in it, so a call runs nothing of it."
    is_generator = inspect.isgeneratorfunction(answer)
    demand(not is_generator, "generator", shown, "Collect the losses in a list, and return it.")
    loops.judge_loop(answer)
    return "every example once an epoch, in a new order, and a step for each batch."


# ---- 08-confusion ----
def _confusion(labels: Any, guesses: Any, classes: int) -> NDArray[np.int64]:
    counts = np.zeros((classes, classes), int)
    np.add.at(counts, (labels, guesses), 1)
    return counts


_CONFUSION_HINTS: Hints = {
    "out of bounds": ("index", "Rows and columns are numbered from 0 to `classes - 1`."),
    "only integer": ("index", "A label is the number of a row, and a guess that of a column."),
    **backward.PLAIN,
}


@exercise("08-confusion", ours=_confusion)
def confusion(answer: Any) -> str:
    """Check a count of what each class was taken for."""
    _check_called_with(answer, "labels guesses classes")
    rng = np.random.default_rng(13)
    for n, classes, unseen in (60, 4, 0), (200, 10, 1), (9, 3, 2):
        labels = rng.integers(0, classes - unseen, n).astype(np.uint8)
        guesses = np.where(rng.random(n) < 0.5, labels, rng.integers(0, classes - unseen, n))
        found = _array(_call(answer, labels, guesses, classes, hints=_CONFUSION_HINTS))
        _judge_confusion(found, _confusion(labels, guesses, classes), n)
    return "each image counted once, in the row of its class and the column of the guess."


def _judge_confusion(found: Floats, right: NDArray[np.int64], n: int) -> None:
    classes = len(right)
    shown = f"{classes} classes, {n} images: it returned shape {found.shape}."
    why = "A row and a column for each class, also for one that never occurs."
    demand(found.shape == right.shape, "shape", shown, why, "`np.zeros((classes, classes), int)`.")
    if np.array_equal(found, right):
        return
    shown = f"{n} images, and the counts add up to {found.sum():g}."
    why = "`counts[labels, guesses] += 1` adds 1 once to each place, however often it is named."
    more = "`np.add.at(counts, (labels, guesses), 1)` adds each time. A loop over both does too."
    demand(not np.array_equal(found, right > 0), "once", shown, why, more)
    why = "Only images that are right are counted. What were the others taken for?"
    demand(not np.array_equal(found, np.diag(right.diagonal())), "diagonal", shown, why)
    why = "Counts are asked for, not shares."
    demand(not 0 < found.sum() <= classes + 1e-6, "shares", shown, why)
    demand(found.sum() == n, "total", shown, "Each image counts once, in one place.")
    shown = "the counts add up, but some are in the wrong place."
    why = "The row is what it *is*, the column what it was taken for."
    demand(not np.array_equal(found, right.T), "transposed", shown, why, "`[labels, guesses]`.")
    raise Wrong("values", shown, why)


# ---- 08-parsons: lines of a training loop, of which six are needed ----
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


class _Trainee:
    """Stands for a model and its optimiser: notes the rows of each step."""

    def __init__(self) -> None:
        self.seen: list[list[int]] = []
        self.events = ""

    def loss_and_grads(self, x: Floats, y: Floats) -> float:
        self.seen.append([int(row) for row in x])
        self.events += "g"
        return 0.0

    def step(self) -> None:
        self.events += "s"


@exercise("08-parsons")
def parsons(answer: Any) -> str:
    """Check an order of lines by running the training loop that they make."""
    letters = answers.read_lines(answer, LINES, 6, "six")
    trainee = _Trainee()
    scope = {"np": np, "rng": np.random.default_rng(0), "epochs": 3, "x": np.arange(200)}
    scope |= {"y": np.arange(200), "model": trainee, "optimizer": trainee}
    try:
        exec("\n".join(LINES[letter] for letter in letters), scope)
    except SyntaxError:
        why = "The indents tell what belongs to which `for`: none, four, four, then three of eight."
        raise Wrong("indent", "in this order the lines are not a valid program.", why) from None
    except NameError as error:
        raise Wrong("order", f"{error}.", "Which line sets it? It comes first.") from None
    _judge_steps(trainee)
    return "three epochs, four batches each: every example once an epoch, in another order."


def _judge_steps(trainee: _Trainee) -> None:
    is_whole = set(trainee.events) == {"g", "s"}
    demand(is_whole, "no-step", "each batch needs gradients, and a step.", "Which lines are those?")
    why = "A step goes along the gradients of this batch, so they come first."
    demand(trainee.events == "gs" * 12, "early-step", "it steps before it has gradients.", why)
    first = [row for rows in trainee.seen[:4] for row in rows]
    shown = f"of 200 examples {len(set(first))} were seen in the first epoch."
    demand(len(set(first)) == 200, "empty", shown, "`order[64:64]` is empty. Where does it end?")
    second = [row for rows in trainee.seen[4:8] for row in rows]
    shown = "every epoch has the same batches, in the same order."
    demand(first != second, "not-shuffled", shown, "Which line shuffles?")
