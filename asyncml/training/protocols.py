"""What training needs of a model and an optimiser, so that those of other libraries can be used.

A `Sequential` and an `Optimizer` of asyncml have these methods. To train another library's model,
wrap it in a class that has them, too; you need only those that will be called.
"""

from collections.abc import Mapping
from typing import Any, Protocol

import numpy.typing as npt

State = Mapping[str, npt.NDArray[Any]]


class TrainableModel(Protocol):
    """The methods of a model that `fit`, `evaluate` and `Checkpointer` call.

    Three attributes are used if they exist: `grads`, an array that `fit` checks for nan and
    infinity after each `loss_and_grads`; `params`, whose size decides how many threads BLAS may
    use; and `loss`, whose `classifies` decides what `evaluate` returns. A checkpoint identifies
    models by their `repr`, which should be the same in each process, or by the name of the class if
    it has no `repr` of its own.

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
        """Return the mean loss of a batch, and keep its gradients for the optimiser. For `fit`."""

    def forward(self, x: Any, /) -> Any:
        """Return the outputs for a batch, one row per example. For `evaluate` with a `metric`."""

    def predict(self, x: Any, /) -> Any:
        """Return the label of each example, (batch,) ints. For `evaluate` without a `metric`."""

    def state(self) -> State:
        """Return the live arrays that training changes: `save` copies, `restore` fills them."""


class ModelOptimizer(Protocol):
    """The attributes and methods of an optimiser that `fit` and `Checkpointer` use.

    Attributes:
        model: the model that it updates.
        lr: its learning rate, a float; `Checkpointer` saves and restores it.
    """

    @property
    def model(self) -> Any: ...  # noqa: D102

    lr: float

    def step(self) -> None:
        """Update the model by one step. For `fit`."""

    def state(self) -> State:
        """Return the live arrays that the next step depends on, other than the model's."""


class Resumable(Protocol):
    """Data that can be restored to an earlier position, as a `Pipeline` can."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Make the next iteration continue from `state`."""
