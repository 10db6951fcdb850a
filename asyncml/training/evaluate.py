"""How good a model is: one pass over data, computed in a thread."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import numpy as np

from asyncml.checks import check_model
from asyncml.failures import ENDINGS, check_plain, ordinary
from asyncml.network.losses import check_labels
from asyncml.training.blas import threads_for
from asyncml.training.feeding import Data, batches_of, check_data, pair
from asyncml.training.protocols import TrainableModel
from asyncml.training.trainer import Trainer

Metric = Callable[[Any, Any], Any]


async def evaluate(
    model: TrainableModel,
    data: Data,
    *,
    metric: Metric | None = None,
    blas_threads: int | None = None,
) -> float:
    """Return how good `model` is, averaged over the examples of one pass over the data.

    If this is cancelled, it waits for the batch in the thread and leaves nothing running.

    Args:
        model: a `Sequential`, or any object with the methods of `TrainableModel`.
        data: an iterable of batches (x, y), as for `fit`; it is read once.
        metric: what to measure: a plain function, called in the thread for each batch as
            metric(model.forward(x), y). It returns either one number, the mean over the batch, or
            a number for each example, (batch,). `metric=aml.softmax_cross_entropy`, for example,
            measures the loss of a classifier. None: the accuracy of a classifier, the proportion of
            examples whose label `model.predict` returns; or the loss of any other model.
        blas_threads: as for `fit`.

    Returns:
        The mean; an accuracy is from 0 to 1.

    Raises:
        TypeError: `model`, `data` or `metric` has the wrong type, or a batch does not hold numbers.
        ValueError: the data has no batch, a batch does not fit the model, or the metric returns
            neither one number nor one for each example.

    Example:
        >>> import asyncio
        >>> from asyncml.network.sequential import MLP
        >>> data = [(np.zeros((3, 2)), np.array([0, 0, 1]))]
        >>> asyncio.run(evaluate(MLP([2, 2]), data))
        0.6666666666666666
        >>> asyncio.run(evaluate(MLP([2, 2]), data, metric=lambda outputs, y: outputs[:, 0]))
        0.0
    """
    check_model(model, "predict" if metric is None else "forward")
    check_data(data)
    if not (metric is None or callable(metric)):
        raise TypeError(f"`metric` must be a function of outputs and y, got {metric!r}")
    if metric is None and not getattr(getattr(model, "loss", None), "classifies", True):
        metric = model.loss.forward  # type: ignore[attr-defined]
    total, seen = 0.0, 0
    with Trainer("evaluate", threads_for(model, blas_threads)) as trainer:
        async with contextlib.aclosing(batches_of(data)) as batches:
            async for batch in batches:
                x, y = pair(batch)
                total += await trainer.call(_total, model, metric, x, y)
                seen += len(y)
    if not seen:
        raise ValueError("`data` has no batch: there is nothing to evaluate on")
    return total / seen


def _total(model: TrainableModel, metric: Metric | None, x: Any, y: Any) -> float:
    """Return the metric, summed over the examples of a batch; runs in the thread."""
    try:
        if metric is None:
            return _count_right(model, model.predict(x), y)
        values = metric(model.forward(x), y)
        check_plain("metric", values, "write `def`, not `async def`")
    except ENDINGS as error:
        raise ordinary("predict" if metric is None else "metric", error) from error
    values = np.asarray(values)
    if values.shape not in ((), (len(y),)):
        raise ValueError(
            f"`metric` must return a number, or one for each of {len(y)} examples, "
            f"got an array of shape {values.shape}"
        )
    return float(np.mean(values, dtype=np.float64) * len(y))


def _count_right(model: TrainableModel, predicted: Any, y: Any) -> int:
    predicted = np.asarray(predicted)
    if predicted.dtype.kind not in "iu":
        raise TypeError(
            f"`predict` must return labels, got {predicted.dtype}: pass `metric` for anything else"
        )
    if hasattr(model, "n_out"):
        y = check_labels(y, (len(predicted), model.n_out))
    elif np.shape(y) != predicted.shape:
        raise ValueError(
            f"`y` must have shape {predicted.shape}, as the labels have, got {np.shape(y)}"
        )
    return int(np.count_nonzero(predicted == y))
