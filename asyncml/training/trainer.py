"""What the thread beside the event loop computes: one step of a training, or of an evaluation.

`training` hands batches over to it, one at a time. Lesson 09 shows why it is one thread.
"""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from asyncml.checks import check_labels
from asyncml.failures import ENDINGS, add_note, noted, ordinary
from asyncml.training.feeding import NumberedBatch

if TYPE_CHECKING:
    from asyncml.network.optimizers import Optimizer
    from asyncml.network.sequential import Sequential


def train_step(
    model: "Sequential", optimizer: "Optimizer", batch: NumberedBatch, clock: Callable[[], float]
) -> tuple[float, float]:
    """Take one step on `batch` and return its loss and how long it took; the trainer's thread."""
    started_s = clock()
    try:
        with np.errstate(over="ignore", invalid="ignore"):  # what comes of it is looked at below
            loss = model.loss_and_grads(batch.x, batch.y)
            wrong = _not_finite(loss, model.grads)
            if not wrong:
                optimizer.step()
    except ENDINGS as error:
        raise noted("train_step", error, f"in {batch}") from error
    except Exception as error:
        add_note(error, f"in {batch}")
        raise
    if wrong:
        raise FloatingPointError(
            f"{wrong} in {batch}: parameters and optimizer are as the step before left them. "
            "Lower the learning rate, or look for nan and huge numbers in x"
        )
    return loss, clock() - started_s


def count_right(model: "Sequential", x: Any, y: Any) -> int:
    """Return how many labels in `y` the model predicts; runs in the thread of `evaluate`."""
    try:
        predicted = model.predict(x)
    except ENDINGS as error:
        raise ordinary("predict", error) from error
    return int(np.count_nonzero(predicted == check_labels(y, np.shape(x), model.n_out)))


def _not_finite(loss: float, grads: Any) -> str:
    if not math.isfinite(loss):
        return f"the loss is {loss}"
    # one pass; where the sum of squares overflows it takes a second look
    if not math.isfinite(grads @ grads) and not np.isfinite(grads).all():
        return "a gradient is not finite"
    return ""
