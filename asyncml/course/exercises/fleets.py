"""Workers for lesson 11: gradients that take a while, and parameters behind a slow connection."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from asyncml.course.exercises.scenes import play
from asyncml.distributed.policies import Async, KSync, Policy, StaleSync, Sync
from asyncml.distributed.server import ParameterServer
from asyncml.distributed.train import train_distributed
from asyncml.failures import shorten

FIRST = np.array([4.0, -2.0])  # the parameters at the start
TRIP_S, GRADIENT_S = 0.01, 0.1
# predictions for cells that ask for a bet: eight workers with exponential times
BY_LAW = {
    "steps that count": 5,
    "staleness": 7,
    "at work": {0: 0.368, 1: 0.558, 2: 0.662, 3: 0.728, 5: 0.803, 10: 0.884},
}


@dataclass
class Worker:
    """A worker that computes gradients of its own part of a quadratic.

    Attributes:
        seconds: the time that a gradient takes.
        place: the minimum of its part.
        asked: for each request, its time and its parameters.
    """

    seconds: float
    place: int
    asked: list[tuple[float, Any]] = field(default_factory=list)

    async def gradient(self, params: Any) -> Any:
        """Return the gradient at these parameters as they are at the time of the call."""
        params = np.array(params, dtype=float)
        self.asked.append((asyncio.get_running_loop().time(), params))
        await asyncio.sleep(self.seconds)
        return self.exact(params)

    def exact(self, params: Any) -> Any:
        """Return the gradient without waiting."""
        return params - self.place


class Away:
    """Parameters behind a slow connection, and workers that change them.

    Args:
        workers: the number of workers.
        steps: the number of steps that each takes.
    """

    def __init__(self, workers: int, steps: int) -> None:
        self._workers, self._steps = workers, steps
        self._params = np.zeros(1)
        self.computed = self.pushed = 0

    async def pull(self) -> Any:
        """Return a copy, taken half-way through the round trip."""
        await asyncio.sleep(TRIP_S / 2)
        params = self._params.copy()
        await asyncio.sleep(TRIP_S / 2)
        return params

    async def push(self, params: Any) -> None:
        """Replace the parameters, after a trip."""
        new = np.array(params, dtype=float)
        if new.shape != (1,) or not np.isfinite(new).all():
            raise ValueError(f"`push` takes an array of one number, got {shorten(params)}")
        await asyncio.sleep(TRIP_S)
        self._params = new
        self.pushed += 1

    async def gradient(self, params: Any) -> Any:
        """Return a gradient of one, so that the steps can be counted."""
        await asyncio.sleep(GRADIENT_S)
        self.computed += 1
        return np.ones(1)

    def kept(self) -> int:
        """Return the number of steps that the parameters have kept."""
        return round(-float(self._params[0]))

    async def run(self, worker: Callable[..., Any]) -> None:
        """Run all workers, with one lock."""
        lock = asyncio.Lock()
        work = (worker(self, self.gradient, self._steps, lock) for _ in range(self._workers))
        await asyncio.gather(*work)


class _Flat:
    """A model with nothing to compute, and its own optimiser."""

    def __init__(self) -> None:
        self.params, self.grads = np.zeros(1), np.zeros(1)
        self.model, self.lr = self, 0.0
        self.state: tuple[Any, ...] = ()

    def loss_and_grads(self, x: Any, y: Any) -> float:
        return 0.0

    def step(self) -> None:
        pass


def runs_of(policy: Policy | int, seconds: tuple[float, ...], of: Any = None) -> list[Any]:
    """Return the updates of a run: for each, its time, its workers and their gradients' staleness.

    Args:
        policy: a policy, or k for `KSync(k)`.
        seconds: for each worker, the time that a gradient takes.
        of: the answer that the policy came from.
    """
    model: Any = _Flat()
    server = ParameterServer(model, model, policy if isinstance(policy, Policy) else KSync(policy))
    batches = [[(np.zeros((1, 1)), np.zeros(1))] * 6] * len(seconds)

    async def scene() -> list[Any]:
        history = await train_distributed(
            server, batches, compute_time=lambda rng, worker: seconds[worker]
        )
        return [(update.time, update.workers, update.stalenesses) for update in history.updates]

    result: list[Any] = play(scene, of=of or scene).result
    return result


def three_policies() -> list[Policy]:
    """Return the policies of exercise 11-which, in an order that its cell does not give away."""
    return [StaleSync(1), Sync(), Async()]
