"""What training asks of a model and of an optimiser, so that those of another library can be used.

A `Sequential` and an `Optimizer` of asyncml have these methods. To train another library's model,
wrap it in a class with the same ones: only those that are called are asked for.
"""

from collections.abc import Mapping
from typing import Any, Protocol

import numpy.typing as npt

State = Mapping[str, npt.NDArray[Any]]


class TrainableModel(Protocol):
    """What `fit`, `evaluate` and `Checkpointer` ask of a model.

    Three attributes are looked at where it has them: `grads`, an array in which `fit` looks for nan
    and infinity after each `loss_and_grads`; `params`, whose size says how many threads BLAS may
    take; and `loss`, whose `classifies` says what `evaluate` returns. A checkpoint tells models
    apart by their `repr`, which should be the same in each process, or by the name of the class
    where that has none of its own.

    Example:
        >>> import asyncio
        >>> import numpy as np
        >>> from asyncml.training.fit import fit
        >>> class Line:
        ...     def __init__(self):
        ...         self.slope, self.grads = np.zeros(1), np.zeros(1)
        ...     def loss_and_grads(self, x, y):
        ...         error = self.slope * x - y
        ...         self.grads[:] = 2 * np.mean(error * x)
        ...         return float(np.mean(error**2))
        >>> class Descent:
        ...     def __init__(self, model):
        ...         self.model = model
        ...     def step(self):
        ...         self.model.slope -= 0.5 * self.model.grads
        >>> async def main(model, data):
        ...     return [step.loss async for step in fit(model, Descent(model), data, epochs=2)]
        >>> asyncio.run(main(Line(), [(np.array([1.0, -1.0]), np.array([3.0, -3.0]))]))
        [9.0, 0.0]
    """

    def loss_and_grads(self, x: Any, y: Any, /) -> float:
        """Return the mean loss of a batch, and note the gradients for the optimiser. For `fit`."""

    def forward(self, x: Any, /) -> Any:
        """Return the outputs for a batch, an example a row. For `evaluate` with a `metric`."""

    def predict(self, x: Any, /) -> Any:
        """Return the label of each example, (batch,) ints. For `evaluate` without a `metric`."""

    def state(self) -> State:
        """Return the live arrays that training changes: copied by `save`, filled by `restore`."""


class ModelOptimizer(Protocol):
    """What `fit` and `Checkpointer` ask of an optimiser.

    Attributes:
        model: the model that it changes.
        lr: its learning rate, a float; `Checkpointer` saves and restores it.
    """

    @property
    def model(self) -> Any: ...  # noqa: D102

    lr: float

    def step(self) -> None:
        """Change the model by one step. For `fit`."""

    def state(self) -> State:
        """Return the live arrays that the next step depends on, apart from the model's."""


class Resumable(Protocol):
    """Data that can be put back to where it stood, as a `Pipeline` can."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Let the next iteration go on from `state`."""
