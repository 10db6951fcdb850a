"""The checks of lesson 08: right answers pass, each typical wrong one gets a hint of its own."""

import itertools
import json
import math
import time
from pathlib import Path

import numpy as np
import pytest

from asyncml.course.exercises import attempts, check
from asyncml.course.exercises.lesson_08 import LINES

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "08_a_network_in_numpy.ipynb"


@pytest.fixture
def _little_time(monkeypatch):
    monkeypatch.setattr(attempts, "_LIMIT_S", 0.1)


def code(name, answer):
    """Return the code of a verdict, which is the same when the answer is given again."""
    first, second = check(name, answer), check(name, answer)
    assert first.code == second.code
    assert not {"\n", "\r"} & set(repr(first) + repr(second))
    return first.code


def sources():
    """Return the cells of the notebook by their ids."""
    notebook = json.loads(NOTEBOOK.read_text("utf-8"))
    return {cell["id"]: "".join(cell["source"]) for cell in notebook["cells"]}


def hints(name, answer):
    """Return what is said at the first failure, and at the second."""
    return tuple(check(name, answer).message for _ in range(2))


# ---- 08-shapes ----


def bets(y_pred=(5, 3), difference=(5, 3), runs=False):
    return {"y_pred": y_pred, "y_pred - y": difference, "the update runs": runs}


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (bets(), "passed"),
        (bets([5, 3], "(5, 3)"), "passed"),
        (bets("(5,3)", "(5,  3)", "False"), "passed"),
        (bets("(3,5)"), "other"),
        (bets(runs=np.False_), "passed"),
        (..., "open"),
        (None, "open"),
        (bets(..., ..., ...), "open"),
        (bets(runs=...), "open"),
        (bets((2, 3)), "rows"),
        (bets((3, 5)), "other"),
        (bets((5, 2)), "other"),
        (bets((5, 1)), "other"),
        (bets("error"), "error"),
        (bets((5,)), "other"),
        (bets(5), "other"),
        (bets(""), "other"),
        (bets("5, 3", runs="false"), "passed"),
        (bets(difference=(5, 1)), "broadcast"),
        (bets(difference=(2, 3)), "rows"),
        (bets(difference="Error"), "error"),
        (bets(difference=(5, 2)), "other"),
        (bets(runs=True), "accident"),
        (bets(runs="perhaps"), "other"),
        (bets(runs=(5, 3)), "other"),
        ((5, 3), "kind"),
        ({"y_pred": (5, 3)}, "kind"),
    ],
)
def test_shapes(answer, expected):
    assert code("08-shapes", answer) == expected


def test_the_bets_agree_with_numpy():
    x, y, weights = np.ones((5, 2)), np.ones((5, 1)), np.ones((2, 3))
    y_pred = x @ weights
    with pytest.raises(ValueError, match="broadcast"):
        weights -= 0.1 * 2 * (y_pred - y)
    assert code("08-shapes", bets(y_pred.shape, (y_pred - y).shape, False)) == "passed"


# ---- 08-gradient ----


def gradient(x, y, weights):
    return 2 * x.T @ (x @ weights - y) / y.size


def by_einsum(x, y, weights):
    return np.einsum("ri,rj->ij", x, 2 * (np.dot(x, weights) - y)) / np.size(y)


def by_loops(x, y, weights):
    found = np.zeros(weights.shape)
    for i, j in np.ndindex(weights.shape):
        found[i, j] = np.mean(2 * x[:, i] * (x @ weights - y)[:, j]) / y.shape[1]
    return found


def by_differences(x, y, weights):
    found = np.zeros(weights.shape)
    for place in np.ndindex(weights.shape):
        losses, value = [], weights[place]
        for change in 1e-6, -1e-6:
            weights[place] = value + change
            losses.append(np.mean((x @ weights - y) ** 2))
        weights[place] = value
        found[place] = (losses[0] - losses[1]) / 2e-6
    return found


def as_lists(x, y, weights):
    return gradient(x, y, weights).tolist()


def gradient_stub(x, y, weights): ...


def as_copied(x, y, weights):
    return 2 * (x @ weights - y)


def copied_and_divided(x, y, weights):
    return 2 * (x @ weights - y) / y.size


def divided_by_n(x, y, weights):
    return 2 * x.T @ (x @ weights - y) / len(x)


def not_divided(x, y, weights):
    return 2 * x.T @ (x @ weights - y)


def divided_by_columns(x, y, weights):
    return 2 * x.T @ (x @ weights - y) / y.shape[1]


def other_sign(x, y, weights):
    return 2 * x.T @ (y - x @ weights) / y.size


def without_two(x, y, weights):
    return x.T @ (x @ weights - y) / y.size


def without_two_by_n(x, y, weights):
    return x.T @ (x @ weights - y) / len(x)


def lying_on_its_side(x, y, weights):
    return 2 * (x @ weights - y).T @ x / y.size


def without_a_transpose(x, y, weights):
    return 2 * x @ (x @ weights - y) / y.size


def with_dot(x, y, weights):
    return 2 * np.dot(x, np.dot(x, weights) - y) / y.size


def place_by_place(x, y, weights):
    return 2 * x.T * (x @ weights - y) / y.size


def mean_of_all(x, y, weights):
    return np.mean(2 * x.T @ (x @ weights - y))


def of_the_loss(x, y, weights):
    return np.mean((x @ weights - y) ** 2, axis=0)


def without_the_weights(x, y, weights):
    return 2 * x.T @ y / y.size


def steps_at_once(x, y, weights):
    weights -= 0.1 * gradient(x, y, weights)
    return weights


def forgets_return(x, y, weights):
    gradient(x, y, weights)


def with_the_loss(x, y, weights):
    return np.mean((x @ weights - y) ** 2), gradient(x, y, weights)


def hard_coded_gradient(x, y, weights):
    return np.array([[-3.58, -3.13, -3.38], [-3.46, -2.62, -2.76]])


def for_five_rows(x, y, weights):
    return 2 * x.T @ (x @ weights - y) / 15


def not_a_number(x, y, weights):
    return gradient(x, y, weights) * math.nan


def sleeps_first(x, y, weights):
    time.sleep(1)
    return gradient(x, y, weights)


async def asynchronous(x, y, weights):
    return gradient(x, y, weights)


def by_a_comprehension(x, y, weights):
    parts = [2 * np.outer(*pair) for pair in zip(x, x @ weights - y, strict=True)]
    return sum(parts) / y.size


def by_the_notebooks_differences(x, y, weights):
    return central_differences(x, y, weights)


def central_differences(x, y, weights):
    return gradient(x, y, weights)


def by_a_helper(x, y, weights):
    return by_loops(x, y, weights)


def by_map(x, y, weights):
    pairs = map(np.outer, x, x @ weights - y)
    return 2 * np.sum(list(pairs), axis=0) / y.size


def divides_by_a_name(x, y, weights):
    return gradient(x, y, weights) / n_examples  # noqa: F821


def two_arguments(x, y):
    return x.T @ y


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (gradient, "passed"),
        (by_einsum, "passed"),
        (by_loops, "loop"),
        (by_a_comprehension, "loop"),
        (by_differences, "loop"),
        (by_the_notebooks_differences, "loop"),
        (by_a_helper, "loop"),
        (by_map, "loop"),
        (as_lists, "passed"),
        (gradient_stub, "open"),
        (..., "open"),
        (None, "open"),
        (3, "kind"),
        (asynchronous, "kind"),
        (as_copied, "no-transpose"),
        (copied_and_divided, "no-transpose"),
        (without_a_transpose, "product"),
        (with_dot, "product"),
        (place_by_place, "star"),
        (lying_on_its_side, "transposed"),
        (divided_by_n, "by-n"),
        (not_divided, "sum"),
        (divided_by_columns, "values"),
        (other_sign, "sign"),
        (without_two, "two"),
        (without_two_by_n, "values"),
        (mean_of_all, "scalar"),
        (of_the_loss, "shape"),
        (without_the_weights, "values"),
        (not_a_number, "values"),
        (steps_at_once, "changed"),
        (forgets_return, "no-return"),
        (with_the_loss, "kind"),
        (hard_coded_gradient, "values"),
        (for_five_rows, "values"),
        (sleeps_first, "blocking"),
        (two_arguments, "arguments"),
        (divides_by_a_name, "name"),
    ],
)
def test_gradient(answer, expected):
    assert code("08-gradient", answer) == expected


ENDLESS = "gradient", "errors", "cross-entropy", "leaky", "backward", "train", "confusion"


def endless(*arrays):
    while True:
        pass


@pytest.mark.usefixtures("_little_time")
@pytest.mark.parametrize("name", [f"08-{name}" for name in ENDLESS])
def test_an_endless_answer_is_stopped(name):
    verdict = check(name, endless)
    assert verdict.code == "endless"
    assert "await" not in verdict.message


def test_the_second_failure_gets_the_fuller_hint():
    first, second = hints("08-gradient", as_copied)
    assert "expected shape (2, 3), got (5, 3)" in first
    assert "a sum over the examples" in first
    assert "`x.T @ (x @ weights - y)`" in second


def test_a_factor_is_named():
    first, second = hints("08-gradient", divided_by_n)
    assert "it is 3 times what it should be" in first
    assert "over n * m errors" in first
    assert "3 times what it should be" in second


# ---- 08-errors ----


def errors(y_pred, y):
    return y_pred - y.reshape(y_pred.shape)


def with_a_comparison(y_pred, y):
    if y.size != y_pred.size:
        raise ValueError("not as many targets as predictions")
    return y_pred - y.reshape(-1, 1)


def flat_and_back(y_pred, y):
    if len(y_pred) != len(y):
        raise ValueError
    return (y_pred.ravel() - y.ravel())[:, None]


def errors_stub(y_pred, y): ...


def just_minus(y_pred, y):
    return y_pred - y


def flat(y_pred, y):
    return y_pred.ravel() - y.ravel()


def squeezed(y_pred, y):
    return np.squeeze(y_pred) - np.squeeze(y)


def always_a_column(y_pred, y):
    return y_pred - y[:, None]


def reversed_signs(y_pred, y):
    return y.reshape(y_pred.shape) - y_pred


def squares(y_pred, y):
    return (y_pred - y.reshape(y_pred.shape)) ** 2


def one_for_all(y_pred, y):
    return y_pred - y.reshape(-1, 1)


def cuts(y_pred, y):
    return y_pred[: y.size] - y.reshape(-1, 1)[: y_pred.size]


def asserts(y_pred, y):
    if y_pred.size != y.size:
        raise AssertionError  # an `assert` in a test would get a message of its own
    return y_pred - y.reshape(-1, 1)


def refuses_columns(y_pred, y):
    if y.ndim != 1 or len(y) != len(y_pred):
        raise ValueError("flat targets only")
    return y_pred - y[:, None]


def refuses_flat_ones(y_pred, y):
    if y.shape != y_pred.shape:
        raise ValueError("other shapes")
    return y_pred - y


def for_five(y_pred, y):
    return y_pred - y.reshape(5, 1)


def mean_error(y_pred, y):
    return np.mean(y_pred - y.reshape(y_pred.shape))


def a_row(y_pred, y):
    return (y_pred - y.reshape(y_pred.shape)).T


def in_place(y_pred, y):
    y_pred -= y.reshape(y_pred.shape)
    return y_pred


def sleeps(y_pred, y):
    time.sleep(1)
    return y_pred - y.reshape(y_pred.shape)


def returns_a_word(y_pred, y):
    return "5 errors"


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (errors, "passed"),
        (with_a_comparison, "passed"),
        (flat_and_back, "passed"),
        (errors_stub, "open"),
        (..., "open"),
        (just_minus, "broadcast"),
        (always_a_column, "shape"),
        (flat, "flat"),
        (squeezed, "flat"),
        (reversed_signs, "sign"),
        (squares, "values"),
        (one_for_all, "accepted"),
        (cuts, "accepted"),
        (asserts, "accepted"),
        (refuses_columns, "refused"),
        (refuses_flat_ones, "refused"),
        (for_five, "refused"),
        (mean_error, "shape"),
        (a_row, "shape"),
        (in_place, "changed"),
        (sleeps, "blocking"),
        (returns_a_word, "kind"),
        (forgets_return, "arguments"),
        (asynchronous, "kind"),
    ],
)
def test_errors(answer, expected):
    assert code("08-errors", answer) == expected


def test_the_broadcast_is_told_with_its_shapes():
    first, second = hints("08-errors", just_minus)
    assert "`y` of shape (5,): expected shape (5, 1), got (5, 5)" in first
    assert "every prediction against every target" in first
    assert "`y.reshape(y_pred.shape)`" in second


# ---- 08-cross-entropy ----


def cross_entropy(logits, labels):
    z = logits - logits.max(axis=1, keepdims=True)
    return np.mean(np.log(np.exp(z).sum(axis=1)) - z[np.arange(len(z)), labels])


def row_by_row(logits, labels):
    total = 0.0
    for row, label in zip(logits, labels, strict=True):
        top = max(row)
        total += math.log(sum(math.exp(z - top) for z in row)) + top - row[label]
    return total / len(labels)


def by_logaddexp(logits, labels):
    picked = np.take_along_axis(logits, labels[:, None], axis=1)[:, 0]
    return float((np.logaddexp.reduce(logits, axis=1) - picked).mean())


def in_float32(logits, labels):
    return np.float32(cross_entropy(logits.astype(np.float32), labels))


def shaped(logits, labels):
    return np.array([cross_entropy(logits, labels)])


def cross_entropy_stub(logits, labels): ...


def softmax(z, axis=1):
    e = np.exp(z)
    return e / e.sum(axis=axis, keepdims=True)


def picked(p, labels):
    return p[np.arange(len(p)), labels]


def naive(logits, labels):
    return -np.log(picked(softmax(logits), labels)).mean()


def wrong_axis(logits, labels):
    z = logits - logits.max(axis=0)
    return -np.log(picked(softmax(z, axis=0), labels)).mean()


def summed(logits, labels):
    return cross_entropy(logits, labels) * len(logits)


def over_all_logits(logits, labels):
    return cross_entropy(logits, labels) / logits.shape[1]


def minus_forgotten(logits, labels):
    return -cross_entropy(logits, labels)


def one_each(logits, labels):
    z = logits - logits.max(axis=1, keepdims=True)
    return np.log(np.exp(z).sum(axis=1)) - picked(z, labels)


def one_largest(logits, labels):
    return naive(logits - logits.max(), labels)


def less_their_mean(logits, labels):
    return cross_entropy_shifted(logits - logits.mean(axis=1, keepdims=True), labels)


def cross_entropy_shifted(z, labels):
    return np.mean(np.log(np.exp(z).sum(axis=1)) - picked(z, labels))


def largest_of_each_column(logits, labels):
    return naive(logits - logits.max(axis=0), labels)


def log_of_p(logits, labels):
    return naive(logits - logits.max(axis=1, keepdims=True), labels)


def with_an_epsilon(logits, labels):
    z = logits - logits.max(axis=1, keepdims=True)
    return -np.log(picked(softmax(z), labels) + 1e-12).mean()


def clipped(logits, labels):
    z = logits - logits.max(axis=1, keepdims=True)
    return -np.log(np.clip(picked(softmax(z), labels), 1e-9, 1)).mean()


def clipped_logits(logits, labels):
    return naive(np.clip(logits, -100, 100), labels)


def logits_as_they_are(logits, labels):
    return -picked(logits, labels).mean()


def p_itself(logits, labels):
    return picked(softmax(logits), labels).mean()


def base_two(logits, labels):
    return cross_entropy(logits, labels) / math.log(2)


def all_labels_of_each(logits, labels):
    return -np.log(softmax(logits)[:, labels]).mean()


def without_keepdims(logits, labels):
    e = np.exp(logits)
    return -np.log(picked(e / e.sum(axis=1), labels)).mean()


def only_labels(logits, labels):
    return -np.log(softmax(logits).T[labels, labels]).mean()


def without_a_mean_of_logs(logits, labels):
    return -np.log(picked(softmax(logits), labels).mean())


def shifts_in_place(logits, labels):
    logits -= logits.max(axis=1, keepdims=True)
    return cross_entropy(logits, labels)


def loss_and_p(logits, labels):
    return cross_entropy(logits, labels), softmax(logits)


def a_guess(logits, labels):
    return math.log(logits.shape[1])


def sleepy(logits, labels):
    time.sleep(0.5)
    return cross_entropy(logits, labels)


def each_of_few(logits, labels):
    return one_each(logits, labels) if logits.max() > 500 else cross_entropy(logits, labels)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (cross_entropy, "passed"),
        (row_by_row, "passed"),
        (by_logaddexp, "passed"),
        (in_float32, "passed"),
        (shaped, "passed"),
        (cross_entropy_stub, "open"),
        (..., "open"),
        (naive, "overflow"),
        (clipped_logits, "overflow"),
        (wrong_axis, "axis"),
        (summed, "sum"),
        (over_all_logits, "per-class"),
        (minus_forgotten, "sign"),
        (one_each, "each"),
        (each_of_few, "each"),
        (one_largest, "one-max"),
        (less_their_mean, "log-of-zero"),
        (largest_of_each_column, "values"),
        (log_of_p, "log-of-zero"),
        (with_an_epsilon, "log-of-zero"),
        (clipped, "log-of-zero"),
        (logits_as_they_are, "no-softmax"),
        (p_itself, "no-log"),
        (base_two, "values"),
        (all_labels_of_each, "picked"),
        (without_keepdims, "keepdims"),
        (only_labels, "values"),
        (without_a_mean_of_logs, "values"),
        (shifts_in_place, "changed"),
        (loss_and_p, "kind"),
        (a_guess, "values"),
        (sleepy, "blocking"),
        (forgets_return, "arguments"),
        (asynchronous, "kind"),
    ],
)
def test_cross_entropy(answer, expected):
    assert code("08-cross-entropy", answer) == expected


def test_an_overflow_is_told_with_the_shift_at_the_second_failure():
    first, second = hints("08-cross-entropy", naive)
    assert "logits of about 1000" in first
    assert "got nan" in first
    assert "its own largest logit" in second


# ---- 08-parsons ----


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("CDFBEA", "passed"),
        ("cdfbea", "passed"),
        (list("CDFBEA"), "passed"),
        (tuple("CDFBEA"), "passed"),
        ("C D F B E A", "passed"),
        ("C, D, F, B, E, A\n", "passed"),
        (..., "open"),
        (None, "open"),
        (5, "kind"),
        ("CDFBEX", "kind"),
        ("", "kind"),
        ("CDFBE", "count"),
        ("CDFBEE", "count"),
        ("CDFBGEA", "count"),
        ("CDFBAE", "early-step"),
        ("CDFABE", "early-step"),
        ("CDFGEA", "empty"),
        ("CHFBEA", "in-order"),
        ("CDFEBA", "order"),
        ("CFBEAD", "order"),
        ("DCFBEA", "indent"),
        ("CFDBEA", "indent"),
        ("FCDBEA", "indent"),
        ("CDBFEA", "indent"),
        ("CDFBGE", "no-step"),
        ("CDFBGA", "no-batch"),
        ("CDHFBE", "no-step"),
    ],
)
def test_parsons(answer, expected):
    assert code("08-parsons", answer) == expected


def test_the_hints_on_the_lines_are_true_of_the_answer():
    assert "C is first" not in "".join(hints("08-parsons", "CDBFEA"))
    assert "four, four, then three of eight" in hints("08-parsons", "CDBFEA")[0]
    assert "got C, C, F, B, E, A." in hints("08-parsons", "CCFBEA")[0]


def test_no_order_of_lines_ends_in_an_error():
    passed = [
        "".join(letters)
        for letters in itertools.permutations("ABDEFH", 5)
        if check("08-parsons", "C" + "".join(letters)).code == "passed"
    ]
    assert passed == ["DFBEA"]


# ---- 08-leaky ----


def leaky(a, dh, slope):
    return np.where(a > 0, dh, slope * dh)


def leaky_by_factor(a, dh, slope):
    return dh * ((a > 0) + slope * (a <= 0))


def leaky_in_place_of_a_copy(a, dh, slope):
    da = dh.copy()
    da[a < 0] *= slope
    return da


def leaky_by_loops(a, dh, slope):
    return [
        [d if v > 0 else slope * d for v, d in zip(*rows, strict=True)]
        for rows in zip(a, dh, strict=True)
    ]


def leaky_stub(a, dh, slope): ...


def leaky_if(a, dh, slope):
    return dh if a > 0 else slope * dh


def leaky_changes_dh(a, dh, slope):
    dh[a < 0] *= slope
    return dh


def leaky_forgets(a, dh, slope):
    leaky(a, dh, slope)


def leaky_minus_slope(a, dh, slope):
    return np.where(a > 0, dh, -slope * dh)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (leaky, "passed"),
        (leaky_by_factor, "passed"),
        (leaky_in_place_of_a_copy, "passed"),
        (leaky_by_loops, "passed"),
        (leaky_stub, "open"),
        (..., "open"),
        (5, "kind"),
        (asynchronous, "kind"),
        (leaky_forgets, "no-return"),
        (leaky_if, "if"),
        (leaky_changes_dh, "changed"),
        (leaky_minus_slope, "values"),
        (lambda a, dh, slope: dh * (a > 0), "relu"),
        (lambda a, dh, slope: np.where(a > 0, dh, 0.01 * dh), "values"),
        (lambda a, dh, slope: np.where(a > 0, 1, slope), "local"),
        (lambda a, dh, slope: np.where(dh > 0, dh, slope * dh), "by-dh"),
        (lambda a, dh, slope: np.where(a > 0, a, slope * a), "forward"),
        (lambda a, dh, slope: dh * np.where(a > 0, a, slope * a), "times-h"),
        (lambda a, dh, slope: np.where(a > 0, slope * dh, dh), "swapped"),
        (lambda a, dh, slope: np.where(a > 0, -dh, -slope * dh), "sign"),
        (lambda a, dh, slope: dh, "as-it-came"),
        (lambda a, dh, slope: dh + np.where(a > 0, 1, slope), "values"),
        (lambda a, dh, slope: leaky(a, dh, slope).sum(axis=0), "shape"),
        (lambda a, dh, slope: leaky(a, dh, slope).T, "shape"),
        (lambda a, dh, slope: leaky(a, dh, slope) * math.nan, "values"),
        (lambda a, dh, slope: "da", "kind"),
        (lambda a, dh: dh, "arguments"),
    ],
)
def test_leaky(answer, expected):
    assert code("08-leaky", answer) == expected


def test_a_wrong_slope_is_told_with_its_numbers():
    first, second = hints("08-leaky", lambda a, dh, slope: dh * (a > 0))
    assert "`da` for a slope of 0.1: expected" in first
    assert "got 0." in first
    assert "The chain rule" in second


# ---- 08-backward ----


def backward(parameters, x, h, dz):
    _, _, W2, _ = parameters
    dh = dz @ W2.T
    da = dh * (h > 0)
    return [x.T @ da, da.sum(axis=0), h.T @ dz, dz.sum(axis=0)]


def backward_by_einsum(parameters, x, h, dz):
    da = np.where(h > 0, np.einsum("rj,ij->ri", dz, parameters[2]), 0)
    ones = np.ones(len(x))
    return x.T.dot(da), ones @ da, np.einsum("ri,rj->ij", h, dz), dz.sum(0)


def backward_by_a(parameters, x, h, dz):
    W1, b1, W2, _ = parameters
    da = (W2 @ dz.T).T
    da[x @ W1 + b1 <= 0] = 0
    return (da.T @ x).T, np.sum(da, 0), (dz.T @ h).T, np.sum(dz, 0)


def backward_stub(parameters, x, h, dz): ...


def backward_in_place(parameters, x, h, dz):
    parameters[0] -= 1
    return backward(parameters, x, h, dz)


def backward_ends_in_h(parameters, x, h, dz):
    h[h > 0] = 1
    return backward(parameters, x, h, dz)


def variant(place, change):
    def answer(parameters, x, h, dz):
        found = backward(parameters, x, h, dz)
        found[place] = change(found[place], x=x, h=h, dz=dz, dh=dz @ parameters[2].T)
        return found

    return answer


def with_da(make):
    def answer(parameters, x, h, dz):
        da = make(dz @ parameters[2].T, x=x, h=h, W1=parameters[0])
        return [x.T @ da, da.sum(axis=0), h.T @ dz, dz.sum(axis=0)]

    return answer


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (backward, "passed"),
        (backward_by_einsum, "passed"),
        (backward_by_a, "passed"),
        (with_da(lambda dh, h, **_: dh * np.sign(h)), "passed"),
        (backward_stub, "open"),
        (..., "open"),
        (7, "kind"),
        (lambda *a: dict(zip("abcd", backward(*a), strict=True)), "kind"),
        (lambda *a: backward(*a)[:2], "count"),
        (lambda *a: [None, *backward(*a)[1:]], "missing"),
        (lambda *a: ["dW1", *backward(*a)[1:]], "kind"),
        (forgets_return, "arguments"),
        (lambda *a: print(end=""), "no-return"),
        (lambda *a: [backward(*a)[i] for i in (2, 3, 0, 1)], "order"),
        (lambda *a: backward(*a)[::-1], "order"),
        (backward_in_place, "changed"),
        (backward_ends_in_h, "changed"),
        (with_da(lambda dh, h, **_: dh), "no-relu"),
        (with_da(lambda dh, h, **_: dh * (h >= 0)), "no-relu"),
        (with_da(lambda dh, h, **_: dh * (dh > 0)), "by-dh"),
        (with_da(lambda dh, h, **_: dh * h), "times-h"),
        (with_da(lambda dh, x, W1, **_: dh * (x @ W1 > 0)), "values"),
        (with_da(lambda dh, h, **_: -dh * (h > 0)), "sign"),
        (with_da(lambda dh, h, **_: 2 * dh * (h > 0)), "two"),
        (variant(2, lambda dW2, h, **_: dW2 / len(h)), "mean"),
        (variant(3, lambda db2, dz, **_: dz.mean(axis=0)), "mean"),
        (variant(3, lambda db2, dz, **_: dz.sum()), "shape"),
        (variant(3, lambda db2, dz, **_: dz), "shape"),
        (variant(3, lambda db2, dz, **_: dz.sum(axis=1)), "shape"),
        (variant(3, lambda db2, dz, **_: dz.sum(axis=0, keepdims=True)), "shape"),
        (variant(2, lambda dW2, dz, **_: dz.T @ np.ones_like(dz)), "shape"),
        (variant(2, lambda dW2, **_: dW2.T), "shape"),
        (variant(2, lambda dW2, **_: dW2 + 1), "values"),
        (variant(2, lambda dW2, **_: 0 * dW2), "values"),
        (variant(0, lambda dW1, x, h, **_: h.T @ h), "shape"),
        (variant(0, lambda dW1, x, dz, **_: dz @ x), "product"),
        (variant(0, lambda dW1, x, dz, **_: dz * x), "star"),
        (variant(1, lambda db1, **_: db1 + 1), "values"),
        (variant(0, lambda dW1, **_: dW1 + 1), "values"),
        (variant(0, lambda dW1, **_: dW1 * math.nan), "values"),
    ],
)
def test_backward(answer, expected):
    assert code("08-backward", answer) == expected


def test_the_gradient_that_is_wrong_is_named():
    first, second = hints("08-backward", with_da(lambda dh, h, **_: dh * (h >= 0)))
    assert "`dW1`: expected" in first
    assert "`h >= 0` holds everywhere" in second


# ---- 08-train ----


def train_loop(model, optimizer, x, y, epochs, rng):
    losses = []
    for _ in range(epochs):
        order = rng.permutation(len(x))
        for start in range(0, len(x), 64):
            rows = order[start : start + 64]
            losses.append(model.loss_and_grads(x[rows], y[rows]))
            optimizer.step()
    return losses


def train_by_split(model, optimizer, x, y, epochs, rng):
    losses = []
    for _ in range(epochs):
        order = np.arange(len(x))
        rng.shuffle(order)
        for rows in np.split(order, range(64, len(x), 64)):
            losses += [model.loss_and_grads(x[rows], y[rows])]
            optimizer.step()
    return np.array(losses)


def train_in_batches(model, optimizer, x, y, epochs, rng):
    def step(rows):
        loss = model.loss_and_grads(x[rows], y[rows])
        optimizer.step()
        return loss

    orders = [rng.choice(len(x), len(x), replace=False) for _ in range(epochs)]
    return [step(o[s : s + 64]) for o in orders for s in range(0, len(x), 64)]


def train_shuffled_copies(model, optimizer, x, y, epochs, rng):
    losses = []
    for _ in range(epochs):
        order = rng.permutation(len(x))
        x, y = x[order], y[order]
        for start in range(0, len(x), 64):
            losses.append(model.loss_and_grads(x[start : start + 64], y[start : start + 64]))
            optimizer.step()
    return losses


def train_stub(model, optimizer, x, y, epochs, rng): ...


def loop(edit):
    """Return the right loop with one of its lines, or more, written otherwise."""
    source = """
def answer(model, optimizer, x, y, epochs, rng):
    losses = []
    for _ in range(epochs):
        order = rng.permutation(len(x))
        for start in range(0, len(x), 64):
            rows = order[start : start + 64]
            losses.append(model.loss_and_grads(x[rows], y[rows]))
            optimizer.step()
    return losses
"""
    for old, new in edit.items():
        assert old in source
        source = source.replace(old, new)
    scope = {"np": np}
    exec(source, scope)
    return scope["answer"]


STEP = "            optimizer.step()\n"
ORDER = "rng.permutation(len(x))"
PASS = "            losses.append(model.loss_and_grads(x[rows], y[rows]))\n"


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (train_loop, "passed"),
        (train_by_split, "passed"),
        (train_in_batches, "passed"),
        (train_shuffled_copies, "passed"),
        (train_stub, "open"),
        (..., "open"),
        ("CDFBEA", "kind"),
        (asynchronous, "kind"),
        (loop({"return losses": "pass"}), "no-return"),
        (loop({"return losses": "return losses[-1]"}), "kind"),
        (loop({"return losses": "return losses[:-1]"}), "losses"),
        (loop({"return losses": "return losses[::-1]"}), "losses"),
        (loop({"        order =": "        losses = []\n        order ="}), "last-epoch"),
        (loop({STEP: ""}), "no-step"),
        (loop({STEP: "        optimizer.step()\n"}), "steps"),
        (loop({STEP: "    optimizer.step()\n"}), "steps"),
        (loop({STEP + "    return": STEP + STEP + "    return"}), "steps"),
        (loop({PASS: "", STEP: STEP + PASS}), "early-step"),
        (loop({"x[rows], y[rows]": "x, y"}), "size"),
        (loop({"start + 64": "start + 32"}), "left-out"),
        (loop({"order[start : start + 64]": "order[start:64]"}), "empty"),
        (loop({"range(0, len(x), 64)": "range(0, len(x) - 63, 64)"}), "dropped"),
        (loop({"range(epochs)": "range(1)"}), "batches"),
        (loop({"start + 64": "start + 1", "len(x), 64": "len(x), 1"}), "batches"),
        (loop({ORDER: "np.arange(len(x))"}), "in-order"),
        (loop({ORDER: "np.random.permutation(len(x))"}), "own-randomness"),
        (loop({ORDER: "np.random.default_rng(0).permutation(len(x))"}), "not-shuffled"),
        (loop({ORDER: "np.random.default_rng(_).permutation(len(x))"}), "own-randomness"),
        (loop({ORDER: "rng.integers(0, len(x), len(x))"}), "not-each-once"),
        (loop({ORDER: "rng.shuffle(x)"}), "shuffle"),
        (loop({"return losses": "yield losses"}), "generator"),
        (loop({"order[": "ordre["}), "name"),
        (loop({"range(epochs)": "epochs"}), "range"),
        (loop({"range(epochs)": "1 / 0"}), "raised"),
        (loop({", y[rows]": ""}), "attribute"),
        (lambda model, optimizer: [], "arguments"),
        (loop({"order = " + ORDER: "rng.shuffle(x)", "order[": "np.arange(len(x))["}), "changed"),
        (loop({"y[rows]": "y[: len(rows)]"}), "pairs"),
        (loop({STEP: "            optimizer.zero_grad()\n" + STEP}), "attribute"),
        (loop({"y[rows]))": "y[rows]).backward())"}), "attribute"),
        (loop({"model.loss_and_grads(": "model.forward("}), "attribute"),
        (loop({"model.loss_and_grads(": "model("}), "attribute"),
        (loop({"range(epochs)": "range(0)"}), "no-batch"),
    ],
)
def test_train(answer, expected):
    assert code("08-train", answer) == expected


# ---- 08-confusion ----


def confusion(labels, guesses, classes):
    counts = np.zeros((classes, classes), int)
    np.add.at(counts, (labels, guesses), 1)
    return counts


def confusion_by_loop(labels, guesses, classes):
    counts = [[0] * classes for _ in range(classes)]
    for label, guess in zip(labels, guesses, strict=True):
        counts[label][guess] += 1
    return counts


def confusion_by_bincount(labels, guesses, classes):
    places = labels.astype(int) * classes + guesses
    return np.bincount(places, minlength=classes**2).reshape(classes, classes)


def confusion_by_products(labels, guesses, classes):
    return np.eye(classes)[labels].T @ np.eye(classes)[guesses]


def confusion_stub(labels, guesses, classes): ...


def counts_once(labels, guesses, classes):
    counts = np.zeros((classes, classes), int)
    counts[labels, guesses] += 1
    return counts


def only_right_ones(labels, guesses, classes):
    return np.diag(np.bincount(labels[labels == guesses], minlength=classes))


def confusion_of_those_seen(labels, guesses, classes):
    return confusion(labels, guesses, classes)[: labels.max() + 1, : labels.max() + 1]


def confusion_of_shares(labels, guesses, classes):
    counts = confusion(labels, guesses, classes)
    return counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (confusion, "passed"),
        (confusion_by_loop, "passed"),
        (confusion_by_bincount, "passed"),
        (confusion_by_products, "passed"),
        (confusion_stub, "open"),
        (..., "open"),
        ([[1]], "kind"),
        (asynchronous, "kind"),
        (counts_once, "once"),
        (only_right_ones, "diagonal"),
        (confusion_of_those_seen, "shape"),
        (confusion_of_shares, "shares"),
        (lambda labels, guesses, classes: confusion(guesses, labels, classes), "transposed"),
        (lambda labels, guesses, classes: confusion(labels, labels, classes), "values"),
        (lambda labels, guesses, classes: 2 * confusion(labels, guesses, classes), "values"),
        (lambda labels, guesses, classes: np.mean(labels == guesses), "shape"),
        (lambda labels, guesses, classes: np.zeros((classes, classes))[labels, classes], "raised"),
        (lambda labels, guesses, classes: print(end=""), "no-return"),
    ],
)
def test_confusion(answer, expected):
    assert code("08-confusion", answer) == expected


# ---- answers that take all sorts of ways, and go wrong in all sorts ----
_BODIES = {
    "gradient": (
        "x, y, weights",
        {
            "e = x @ weights - y; return 2 / e.size * x.T @ e": "passed",
            "return np.tensordot(x, x @ weights - y, (0, 0)) * 2 / y.size": "passed",
            "return -2 * ((y - x @ weights).T @ x).T / y.size": "passed",
            "return (x @ weights - y) * 2 / y.size * x": "star",
            "return np.mean(2 * x.T @ (x @ weights - y), axis=0)": "shape",
            "return x.T @ (x @ weights - y) ** 2 / y.size": "values",
            "return 4 * x.T @ (x @ weights - y) / y.size": "values",
            "return 2 * weights.T @ (x @ weights - y).T / y.size": "product",
            "yield 2 * x.T @ (x @ weights - y) / y.size": "generator",
            "return [x.T @ (x @ weights - y), 1]": "kind",
            "return 10**400": "kind",
            "return broken": "kind",
            "np.subtract(x @ weights, y, out=y); return x.T @ y": "changed",
        },
    ),
    "errors": (
        "y_pred, y",
        {
            "return np.subtract(y_pred, y.reshape(len(y_pred), 1))": "passed",
            "return y_pred.T - y": "shape",
            "return None if len(y) != len(y_pred) else y_pred - y.reshape(-1, 1)": "accepted",
            "return y_pred - y.reshape(-1, 1) if len(y) == len(y_pred) else 1 / 0": "accepted",
            "return y_pred - np.resize(y, y_pred.shape)": "accepted",
            "y.shape = y_pred.shape; return y_pred - y": "changed",
            "return np.abs(y_pred - y.reshape(y_pred.shape))": "values",
            "return broken": "kind",
        },
    ),
    "cross-entropy": (
        "logits, labels",
        {
            "p = np.exp(logits); return -np.log(p / p.sum(1))[0, labels].mean()": "keepdims",
            "p = np.exp(logits); return -np.log(p / p.sum())[0, labels].mean()": "values",
            "return logits[labels]": "shape",
            "return logits[:, labels.max() + 9]": "index",
            "return 10**400": "kind",
        },
    ),
    "leaky": (
        "a, dh, slope",
        {
            "return np.select([a > 0], [dh], slope * dh)": "passed",
            "g = np.ones_like(a); g[a <= 0] = slope; return g * dh": "passed",
            "return np.maximum(dh, slope * dh)": "by-dh",
            "return np.where(a > 0, dh, slope)": "values",
            "return dh @ np.where(a > 0, 1, slope).T": "shape",
            "return dh * np.where(a > 0, 1, slope) / len(a)": "values",
            "return max(a, 0) * dh": "if",
            "a[a < 0] *= slope; return a * dh": "changed",
            "return [dh, slope]": "kind",
        },
    ),
    "backward": (
        "parameters, x, h, dz",
        {
            "da = dh * (h > 0); dh = dz @ parameters[2].T; return da": "order",
            "return [x.T @ (dz @ parameters[2] * (h > 0))] * 4": "product",
            "return [None] * 4": "missing",
            "return np.ones(4)": "kind",
            "return parameters": "values",
        },
    ),
    "train": (
        "model, optimizer, x, y, epochs, rng",
        {
            "model.loss_and_grads(x, y)": "no-return",
            "return [model.loss_and_grads(x, y), optimizer.step(1)]": "attribute",
            "return [model.params]": "attribute",
            "return []": "no-batch",
        },
    ),
    "confusion": (
        "labels, guesses, classes",
        {
            "return np.histogram2d(labels, guesses, classes, [[0, classes]] * 2)[0]": "passed",
            "return labels == guesses": "shape",
            "return np.zeros(classes, classes)": "raised",
            "return np.outer(np.bincount(labels), np.bincount(guesses))": "values",
            "labels.sort(); return labels": "changed",
            "return {}": "kind",
        },
    ),
}


class _Broken:
    def __repr__(self):
        raise RuntimeError("not to be shown")


@pytest.mark.parametrize(
    ("name", "body", "expected"),
    [
        (name, f"def answer({names}): {body}", expected)
        for name, (names, bodies) in _BODIES.items()
        for body, expected in bodies.items()
    ],
)
def test_all_sorts_of_answers(name, body, expected):
    scope = {"np": np, "broken": _Broken()}
    exec(body, scope)
    assert code(f"08-{name}", scope["answer"]) == expected


def test_a_huge_number_is_no_shape():
    assert code("08-shapes", bets(10**5000)) == "unusable"


# ---- the notebook ----


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
