"""Judges training loops by the rows that the model saw, their order, and the steps taken."""

from collections.abc import Callable
from itertools import chain
from types import SimpleNamespace
from typing import Any

import numpy as np

from asyncml.course.exercises import plain
from asyncml.course.exercises.arrays import call
from asyncml.course.exercises.scenes import Hints, demand

BATCH = 64
_CALLS = "Two calls do it all: `model.loss_and_grads(x[rows], y[rows])`, then `optimizer.step()`."
_OWN = "Draw the order from the `rng` that it is given: `rng.permutation(len(x))`."
_ONCE = f"An epoch uses each row once. {_OWN}"
_HINTS: Hints = {
    "'NoneType' object": (
        "shuffle",
        f"`rng.shuffle` changes its argument and returns None. {_OWN}",
    ),
    "positional argument": ("attribute", _CALLS),
    "object has no attribute": ("attribute", _CALLS),
    "is not callable": ("attribute", _CALLS),
    "'int' object is not iterable": (
        "range",
        "`for` needs something to go through: `range(epochs)`.",
    ),
}


def train_loop(
    model: Any, optimizer: Any, x: Any, y: Any, epochs: int, rng: np.random.Generator
) -> list[float]:
    """Train on batches of 64, in a new order each epoch; return the loss of each batch."""
    losses = []
    for _ in range(epochs):
        order = rng.permutation(len(x))
        for start in range(0, len(x), BATCH):
            rows = order[start : start + BATCH]
            losses.append(model.loss_and_grads(x[rows], y[rows]))
            optimizer.step()
    return losses


def judge_loop(answer: Callable[..., Any]) -> None:
    """Raise `Wrong` unless a training loop gives its model the right rows."""
    for n, epochs in (200, 3), (128, 2), (10, 1):
        _judge(answer, n, epochs)
    first, again, other = (_run(answer, 200, 2, seed)[0] for seed in (0, 0, 1))
    demand(first == again, "own-randomness", "the same `rng` gave another order.", _OWN)
    demand(first != other, "own-randomness", "another `rng` gave the same order.", _OWN)


def _run(
    answer: Callable[..., Any], n: int, epochs: int, seed: int
) -> tuple[list[list[int]], list[list[int]], str, Any]:
    """Return the rows and targets of each batch, the order of calls, and the returned value."""
    seen: list[list[int]] = []
    targets: list[list[int]] = []
    events: list[str] = []

    def loss_and_grads(x: Any, y: Any) -> float:
        seen.append([int(row) for row in np.ravel(x)])
        targets.append([int(row) for row in np.ravel(y)])
        events.append("g")
        return float(len(seen))  # 1, 2, 3, ...

    optimizer = SimpleNamespace(step=lambda: events.append("s"))
    x, y, rng = np.arange(float(n)).reshape(n, 1), np.arange(n), np.random.default_rng(seed)
    parts = {"model": SimpleNamespace(loss_and_grads=loss_and_grads), "optimizer": optimizer}
    losses = call(answer, _HINTS, **parts, x=x, y=y, epochs=epochs, rng=rng)
    return seen, targets, "".join(events), losses


def _judge(answer: Callable[..., Any], n: int, epochs: int) -> None:
    seen, targets, events, losses = _run(answer, n, epochs, seed=0)
    sizes, count, whole = [len(rows) for rows in seen] or [0], len(seen), -(-n // BATCH)
    orders = [[*chain(*seen[i : i + whole])] for i in range(0, count, whole)] or [[]]
    ordered, losses = [*range(n)], plain(losses)
    told = f"it returned {type(losses).__name__}, not a list."
    demand(isinstance(losses, list | tuple), "kind", told, "Return a loss for each batch.")
    is_last = len(losses) == whole < count
    numbers = [float(number) for number in range(1, count + 1)]
    is_cut = count == n // BATCH * epochs < whole * epochs
    shown = f"{n} examples, {epochs} epochs: {count} batches of {min(sizes)} to {max(sizes)}, "
    shown += f"{events.count('s')} steps."
    for is_wrong, code, why in (
        (not count, "no-batch", _CALLS),
        ("s" not in events, "no-step", "Change the parameters, too: `optimizer.step()`."),
        (events[:1] == "s", "early-step", "A step needs the gradients of its batch first."),
        (events != "gs" * count, "steps", "One step after each batch, in the inner loop."),
        (seen != targets, "pairs", "Take both with the same rows: `x[rows]` and `y[rows]`."),
        (max(sizes) > BATCH, "size", "64 at a time: `order[start : start + 64]`."),
        (min(sizes) == 0, "empty", "A slice that begins at `start` ends at `start + 64`."),
        (is_cut, "dropped", "The last, smaller batch of an epoch counts too."),
        (count != whole * epochs, "batches", f"It takes {whole} batches in each epoch."),
        (len(orders[0]) < n, "left-out", "Each slice must end where the next one begins."),
        (any(sorted(o) != ordered for o in orders), "not-each-once", _ONCE),
        (n > BATCH and ordered in orders, "in-order", f"An epoch was not shuffled. {_OWN}"),
        (orders[1:2] == orders[:1], "not-shuffled", "Draw a new order in each epoch."),
        (is_last, "last-epoch", "`losses = []` stands before both loops."),
        ([*losses] != numbers, "losses", "Append each loss as it comes, in the inner loop."),
    ):
        demand(not is_wrong, code, shown, why)
