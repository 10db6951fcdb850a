"""How good a model is: its predictions over a pass of data, made in a thread."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import numpy as np

from asyncml.checks import check_int, check_model
from asyncml.failures import ENDINGS, ordinary
from asyncml.network.losses import check_labels
from asyncml.training.feeding import Data, batches_of, check_data, pair
from asyncml.training.trainer import Trainer, ended

if TYPE_CHECKING:
    from asyncml.network.sequential import Sequential


async def evaluate(model: Sequential, data: Data, *, blas_threads: int | None = None) -> float:
    """Return the accuracy of `model`: the share of examples whose label it predicts.

    Cancelled, it waits for the batch that the thread computes, and leaves nothing running.

    Args:
        model: is asked with `predict`, in a thread.
        data: gives batches (x, y), as for `fit`; one pass over it.
        blas_threads: as for `fit`.

    Returns:
        A number from 0 to 1.

    Raises:
        TypeError: `model` is no model, `data` no data, or a batch holds other than numbers.
        ValueError: the data has no batch, or a batch does not fit the model.

    Example:
        >>> import numpy as np
        >>> from asyncml.network.sequential import MLP
        >>> asyncio.run(evaluate(MLP([2, 2]), [(np.zeros((3, 2)), np.zeros(3, int))]))
        1.0
    """
    check_model(model)
    check_data(data)
    if blas_threads is not None:
        blas_threads = check_int("blas_threads", blas_threads)
    loop = asyncio.get_running_loop()
    right = seen = 0
    with Trainer("evaluate", model, blas_threads) as trainer:
        async with contextlib.aclosing(batches_of(data)) as batches:
            async for batch in batches:
                x, y = pair(batch)
                job = loop.run_in_executor(trainer, count_right, model, x, y)
                await ended(job)
                right += job.result()
                seen += len(y)
    if not seen:
        raise ValueError("`data` has no batch: there is nothing to evaluate on")
    return right / seen


def count_right(model: Sequential, x: Any, y: Any) -> int:
    """Return how many labels in `y` the model predicts; runs in the thread."""
    try:
        predicted = model.predict(x)
    except ENDINGS as error:
        raise ordinary("predict", error) from error
    return int(np.count_nonzero(predicted == check_labels(y, (len(predicted), model.n_out))))
