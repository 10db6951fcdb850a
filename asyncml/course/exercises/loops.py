"""Judges training loops: which rows a model saw, in which order, and when a step was taken."""

from collections.abc import Callable
from itertools import chain
from typing import Any

import numpy as np

from asyncml.course.exercises import Wrong, plain
from asyncml.course.exercises.backward import PLAIN
from asyncml.course.exercises.scenes import Hints, demand, play

BATCH = 64
_CALLS = "Two calls do it all: `model.loss_and_grads(x[rows], y[rows])`, then `optimizer.step()`."
LOOP_HINTS: Hints = {
    "required positional argument": ("attribute", _CALLS),
    "'NoneType' object": (
        "shuffle",
        "Did you keep what `rng.shuffle` returns? It changes its argument and returns None.",
        "`order = rng.permutation(len(x))`.",
    ),
    "object has no attribute 'zero_grad'": (
        "zero-grad",
        "Nothing has to be cleared: `loss_and_grads` writes over the old gradients.",
        _CALLS,
    ),
    "object has no attribute 'backward'": (
        "torch",
        "`loss_and_grads` has gone back through the layers already, and returns a float.",
        _CALLS,
    ),
    "object has no attribute": ("attribute", _CALLS),
    "is not callable": ("attribute", _CALLS),
    "'int' object is not iterable": (
        "range",
        "`epochs` is a number, and `for` wants as many turns: `range(epochs)`.",
    ),
    **PLAIN,
}


class Model:
    """Stands for a model: notes the rows that it is given; its losses are 1, 2, 3, ..."""

    def __init__(self) -> None:
        self.seen: list[list[int]] = []
        self.targets: list[list[int]] = []
        self.events = ""

    def loss_and_grads(self, x: Any, y: Any) -> float:
        """Note the rows of a batch."""
        self.seen.append([int(row) for row in np.ravel(x)])
        self.targets.append([int(row) for row in np.ravel(y)])
        self.events += "g"
        return float(len(self.seen))


class Optimizer:
    """Stands for an optimiser: notes its steps among the events of the model."""

    def __init__(self, model: Model) -> None:
        self._model = model

    def step(self) -> None:
        """Note a step."""
        self._model.events += "s"


def train_loop(
    model: Any, optimizer: Any, x: Any, y: Any, epochs: int, rng: np.random.Generator
) -> list[float]:
    """Train on batches of 64, in a new order each epoch, and return the loss of each batch."""
    losses = []
    for _ in range(epochs):
        order = rng.permutation(len(x))
        for start in range(0, len(x), BATCH):
            rows = order[start : start + BATCH]
            losses.append(model.loss_and_grads(x[rows], y[rows]))
            optimizer.step()
    return losses


def judge_loop(answer: Callable[..., Any]) -> None:
    """Run a training loop on numbered examples, and look at what its model was given."""
    for n, epochs in (200, 3), (128, 2), (10, 1):
        model, losses = _run(answer, n, epochs, seed=0)
        _judge_events(model, n, epochs)
        _judge_rows(model, n, epochs)
        _judge_losses(losses, len(model.seen), epochs)
    first, _ = _run(answer, 200, 2, seed=0)
    again, _ = _run(answer, 200, 2, seed=0)
    shown = "with the same `rng` it took another order."
    why = "Draw the order from the `rng` that it is given, so that a run can be repeated."
    demand(first.seen == again.seen, "own-randomness", shown, why, "`rng.permutation(len(x))`.")
    other, _ = _run(answer, 200, 2, seed=1)
    shown = "with another `rng` it took the same order."
    demand(first.seen != other.seen, "own-rng", shown, why, "`rng.permutation(len(x))`.")


def _run(answer: Callable[..., Any], n: int, epochs: int, seed: int) -> tuple[Model, Any]:
    model = Model()
    x, y = np.arange(float(n)).reshape(n, 1), np.arange(n)
    rng = np.random.default_rng(seed)

    def scene() -> Any:
        return answer(model, Optimizer(model), x, y, epochs, rng)

    losses = play(scene, of=answer, hints=LOOP_HINTS).result
    is_same = np.array_equal(x.ravel(), np.arange(n)) and np.array_equal(y, np.arange(n))
    why = "Shuffle the numbers of the rows instead, and take those rows: `x[rows]`."
    demand(is_same, "changed", "it put `x` or `y` itself into another order.", why)
    return model, losses


def _judge_events(model: Model, n: int, epochs: int) -> None:
    events, shown = model.events, f"{n} examples, {epochs} epochs:"
    count = events.count("g")
    demand(count > 0, "no-batch", f"{shown} the model was given nothing.", _CALLS)
    demand("s" in events, "no-step", f"{shown} no step was taken.", _CALLS)
    why = "A step goes along the gradients of this batch, so they come first."
    demand(events[0] == "g", "early-step", f"{shown} a step came before any gradients.", why)
    steps = events.count("s")
    why = "One step after each batch. On which level of the loop does `step` stand?"
    told = f"{shown} batches: {count}, steps: {steps}."
    demand(events == "gs" * count, "steps", told, why, "In the inner loop, below the gradients.")


def _judge_rows(model: Model, n: int, epochs: int) -> None:
    per_epoch, sizes = -(-n // BATCH), [len(rows) for rows in model.seen]
    shown = f"{n} examples, {epochs} epochs: {len(sizes)} batches of up to {max(sizes)}."
    why = "Take both with the same rows: `x[rows]` and `y[rows]`."
    demand(model.seen == model.targets, "pairs", "examples came with the targets of others.", why)
    demand(max(sizes) <= BATCH, "size", shown, "64 at a time: `order[start : start + 64]`.")
    why = "Where does a slice end that begins at `start`?"
    demand(min(sizes) > 0, "empty", "there are empty batches.", why, "At `start + 64`.")
    whole = n // BATCH * epochs
    why = "The last batch of an epoch may be smaller; its examples count too."
    demand(per_epoch * epochs == whole or len(sizes) != whole, "dropped", shown, why)
    why = f"It takes {per_epoch} batches an epoch, for {epochs} epochs: {per_epoch * epochs}."
    demand(len(sizes) == per_epoch * epochs, "batches", shown, why)
    ends = range(0, len(sizes), per_epoch)
    orders = [[*chain(*model.seen[first : first + per_epoch])] for first in ends]
    for order in orders:
        shown = f"of {n} examples {len(set(order))} were seen in an epoch of {len(order)}."
        why = "Some were left out: does each slice end where the next one begins?"
        is_cut = len(set(order)) == len(order) < n
        demand(not is_cut, "left-out", shown, why)
        why = "Each is used once. `rng.permutation` has each number once, `rng.integers` has not."
        demand(sorted(order) == list(range(n)), "not-each-once", shown, why)
    if n > BATCH:
        shown = "the first epoch took the rows in their own order, without shuffling."
        why = "`rng.permutation(len(x))` is a random order."
        demand(orders[0] != sorted(orders[0]), "in-order", shown, why)
        shown = "every epoch has the same order."
        why = "Draw a new one in each epoch: on which level of the loop is it drawn?"
        demand(len(orders) < 2 or orders[0] != orders[1], "not-shuffled", shown, why)


def _judge_losses(losses: Any, count: int, epochs: int) -> None:
    demand(losses is not None, "no-return", "it returned None.", "`return losses`, at the end.")
    losses = plain(losses)
    shown = f"it returned {losses!r:.40}, and not a list of losses."
    demand(isinstance(losses, list | tuple), "kind", shown, "One loss for each batch.")
    if list(losses) == [float(number) for number in range(1, count + 1)]:
        return
    shown = f"{count} batches, and {len(losses)} losses came back."
    why = "Where does the list begin: outside the loops, or anew in each epoch?"
    few = -(-count // epochs)
    demand(len(losses) != few or few == count, "last-epoch", shown, why)
    why = "One for each batch, in their order: `losses.append(...)` in the inner loop."
    demand(len(losses) == count, "losses", shown, why)
    raise Wrong("losses", "these are not the losses of the batches.", why)
