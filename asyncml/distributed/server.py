"""The parameter server: the parameters, their optimiser, and the policy for changing them.

It outlives a run, and holds everything that is saved of one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from asyncml.checks import check_int, check_model, check_optimizer
from asyncml.distributed.history import History
from asyncml.distributed.policies import Policy
from asyncml.training.protocols import ModelOptimizer, TrainableModel

Progress = list[list[int]]  # of each share: the epoch, and how many of its batches are done


class ParameterServer:
    """Owns the parameters: takes gradients from workers and changes them as the policy says.

    It outlives a run of `train_distributed`: the next run continues with its model and optimiser
    and with new batches, unless `load_state_dict` has set it to continue an earlier run.

    Args:
        model: a `Sequential`, or anything with `loss_and_grads`, and with `params` and `grads`,
            flat arrays of one shape, (P,).
        optimizer: made for this model.
        policy: `Sync()`, `KSync(k)`, `SoftSync(n)`, `Async()`, `StaleSync(bound)`,
            `LocalSGD(period)`, or your own: see `Policy`.

    Attributes:
        version: how many updates have been made.
        history: of the current run, or of the last one, however it ended.

    Raises:
        TypeError: an argument is of the wrong kind.
        ValueError: the optimiser is for another model, or the arrays differ in shape.

    Example:
        >>> from asyncml.network import MLP, SGD
        >>> from asyncml.distributed.policies import StaleSync
        >>> model = MLP([4, 3])
        >>> ParameterServer(model, SGD(model, lr=0.1), StaleSync(2))
        ParameterServer(StaleSync(2), 15 parameters, version 0)
    """

    def __init__(self, model: TrainableModel, optimizer: ModelOptimizer, policy: Policy) -> None:
        check_model(model, "loss_and_grads")
        check_optimizer(optimizer, model, "step")
        _check_vectors(model)
        if not isinstance(policy, Policy):
            raise TypeError(f"`policy` must be a Policy such as Sync(), got {policy!r}")
        self.model: Any = model
        self.optimizer, self.policy = optimizer, policy
        self.version = 0
        self.history = History()
        self.is_paused = self.is_running = False
        self.resume_from: Progress | None = None  # where the next run begins
        # of the current run, or of the last one
        self.progress: Callable[[], Progress | None] = lambda: self.resume_from
        self.go_on: Callable[[], None] = lambda: None

    def __repr__(self) -> str:
        size = f"{self.model.params.size} parameters"
        return f"ParameterServer({self.policy!r}, {size}, version {self.version})"

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Make no update in this block: model and optimiser are yours, to save or evaluate.

        Workers that are computing continue, and the server keeps their gradients.

        Raises:
            RuntimeError: it is paused already.

        Example:
            >>> async def save(server, checkpoints, step):
            ...     with server.paused():
            ...         step = replace(step, pipeline_state=server.state_dict())
            ...         await checkpoints.save(step, server.model, server.optimizer)
        """
        if self.is_paused:
            raise RuntimeError("this server is paused already, by another task: wait for its end")
        self.is_paused = True
        try:
            yield
        finally:
            self.is_paused = False
            self.go_on()

    def state_dict(self) -> dict[str, Any]:
        """Return the position of the run, as JSON: the updates, and which batches are in them.

        It belongs to the parameters and the optimiser as of now. Save it with them, within
        `paused()` or after the run: as the `pipeline_state` of a `Step` it is part of a checkpoint,
        and `Checkpointer.restore(model, optimizer, pipeline=server)` restores all three.

        Returns:
            a dict of ints and lists, for `load_state_dict`.
        """
        return {"version": self.version, "shares": self.progress()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Make the next run continue from `state`; its `epochs` are those of the whole run.

        The batches that are already in the parameters are skipped, so each epoch must give the same
        ones again. Gradients that were waiting for others are computed again. With `Sync()` the
        weights equal those of the unbroken run, bit for bit.

        Args:
            state: a result of `state_dict`, from this process or another.

        Raises:
            ValueError: it is not such a state.
        """
        try:
            version = check_int("version", state["version"], 0)
            shares = state["shares"]
            if shares is not None:
                shares = [[check_int("share", n, 0) for n in share] for share in shares]
                if any(len(share) != 2 for share in shares):
                    raise ValueError("a share has two numbers")
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"`state` must be one of state_dict(), got {state!r}") from error
        self.version, self.resume_from = version, shares
        self.progress = lambda: self.resume_from


def _check_vectors(model: Any) -> None:
    shapes = []
    for name in ("params", "grads"):
        vector = getattr(model, name, None)
        if not isinstance(vector, np.ndarray) or vector.ndim != 1:
            got = type(vector).__name__ if vector is None else f"{vector!r:.60}"
            raise TypeError(f"`model.{name}` must be a flat array, (P,), got {got}")
        shapes.append((vector.shape, vector.dtype))
    if shapes[0] != shapes[1]:
        raise ValueError(f"`params` and `grads` must be of one shape and type, got {shapes}")
