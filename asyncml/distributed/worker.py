"""The worker: one coroutine, the same in virtual time, on this machine and on a cluster.

It asks its link for batches, computes a gradient, and pushes it to its link. Two things differ from
place to place: the link to the server, and whether it computes in virtual time or in a thread.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any, Protocol

import numpy as np

from asyncml.distributed.run import Gradient, Member, set_once
from asyncml.distributed.shares import Part
from asyncml.failures import add_note
from asyncml.threads import ThreadPool
from asyncml.training.blas import BlasThreads
from asyncml.training.feeding import batches_of, pair

ComputeTime = Callable[[np.random.Generator, int], float]
Network = Callable[[np.random.Generator, int], float]
Group = list[tuple[Any, Any]]  # the batches (x, y) of one gradient: one, or those of a period


class Link(Protocol):
    """A worker's link to the server; for a worker in the same process, a `Member`."""

    async def next_part(self, params: Any) -> Part | None:
        """Return the next part, and fill in the newest parameters; None if all are done."""

    async def push(self, gradient: Gradient, params: Any) -> bool:
        """Push a gradient and fill in the newest parameters; return whether the gradient counts."""


async def work(link: Link, computer: Computer, open_part: Callable[[Part], Any], size: int) -> None:
    """Compute gradients until every batch is done.

    Args:
        link: the link to the server.
        computer: holds the parameters, and computes.
        open_part: returns the batches that a part belongs to.
        size: how many batches make a gradient.
    """
    while (part := await link.next_part(computer.params)) is not None:
        async with aclosing(groups(open_part(part), part, size)) as parts:
            async for group in parts:
                while not await link.push(await computer.compute(group), computer.params):
                    pass  # computed from older parameters: repeat it


async def groups(batches: Any, part: Part, size: int) -> AsyncGenerator[Group, None]:
    """Yield the batches of a part in groups of `size`, without those that are done."""
    group: Group = []
    index = 0
    try:
        async with aclosing(batches_of(at_epoch(batches, part.epoch))) as each:
            async for batch in each:
                if index >= part.start:
                    group.append(pair(batch))
                    if len(group) == size:
                        yield group
                        group = []
                index += 1
        if index < part.start:
            raise ValueError(f"only {index} batches, but {part.start} were done before")
        if group:
            yield group
    except Exception as error:
        add_note(error, f"at batch {index} of {part}")
        raise


def at_epoch(batches: Any, epoch: int) -> Any:
    """Set a pipeline to the start of this epoch: another worker may have left it elsewhere."""
    if hasattr(batches, "load_state_dict"):
        state = batches.state_dict()
        if {"epoch", "position", "parts"} <= {*state}:
            batches.load_state_dict(state | {"epoch": epoch, "position": 0, "parts": {}})
    return batches


class Computer:
    """Computes gradients for a worker; subclasses say how long that takes.

    Args:
        model: the worker's own.
        optimizer: the worker's own, if it takes the steps itself; else None.
    """

    def __init__(self, model: Any, optimizer: Any) -> None:
        self._model, self._optimizer = model, optimizer
        self._vector = model.grads if optimizer is None else model.params
        self.params = model.params

    async def compute(self, group: Group) -> Gradient:
        """Return the gradient of a group, computed from `params`."""
        raise NotImplementedError

    def _computed(self, group: Group, busy_s: float) -> Gradient:
        """Compute the gradient of a group at once."""
        total, examples = 0.0, 0
        for x, y in group:
            total += self._model.loss_and_grads(x, y) * len(y)
            examples += len(y)
            if self._optimizer is not None:
                self._optimizer.step()
        return Gradient(self._vector, total / examples, examples, len(group), busy_s)


class Simulated(Computer):
    """Computes in no time, and waits for as long as the caller's functions say.

    Args:
        *own: model and optimizer.
        member: the worker.
        compute_time: seconds for a batch.
        network: seconds for a message.
        rng: the worker's own generator.
    """

    def __init__(
        self,
        *own: Any,
        member: Member,
        compute_time: ComputeTime | None,
        network: Network | None,
        rng: np.random.Generator,
    ) -> None:
        super().__init__(*own)
        self._member, self._loop = member, asyncio.get_running_loop()
        self._compute_time, self._network, self._rng = compute_time, network, rng

    async def compute(self, group: Group) -> Gradient:
        """Let the time pass, then compute; if interrupted, return without having computed."""
        busy_s = messages_s = 0.0
        if self._compute_time is not None:
            for _ in group:
                seconds = self._compute_time(self._rng, self._member.number)
                busy_s += _checked("compute_time", seconds)
        if self._network is not None:
            for _ in ("parameters here", "and a gradient back"):
                messages_s += _checked("network", self._network(self._rng, self._vector.nbytes))
        begun_s = self._loop.time()
        if not self._member.drops_stale:
            await asyncio.sleep(messages_s + busy_s)
        elif await self._is_interrupted(messages_s + busy_s):
            return Gradient(self._vector, 0.0, 0, 0, min(busy_s, self._loop.time() - begun_s))
        return self._computed(group, busy_s)

    async def _is_interrupted(self, seconds: float) -> bool:
        """Wait for `seconds`; return whether an update made this gradient stale in the meantime."""
        member = self._member
        end: asyncio.Future[bool] = self._loop.create_future()
        member.interrupt = end
        timer = self._loop.call_later(seconds, set_once, end, False)
        try:
            return await end
        finally:
            member.interrupt = None
            timer.cancel()


def _checked(name: str, seconds: float) -> float:
    if not seconds >= 0:
        raise ValueError(f"`{name}` must return seconds, >= 0, got {seconds!r}")
    return seconds


class Threaded(Computer):
    """Computes in a thread, while the event loop runs other workers.

    Args:
        *own: model and optimizer.
        pool: the threads that compute.
        blas: how many threads BLAS may use in each of them.
    """

    def __init__(self, *own: Any, pool: ThreadPool, blas: BlasThreads) -> None:
        super().__init__(*own)
        self._pool, self._blas = pool, blas

    async def compute(self, group: Group) -> Gradient:
        """Compute in a thread, and measure how long it takes."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, self._timed, group)

    def _timed(self, group: Group) -> Gradient:
        self._blas.apply()
        begun_s = time.perf_counter()
        with np.errstate(over="ignore", invalid="ignore"):  # the server checks the result
            gradient = self._computed(group, 0.0)
        gradient.busy_s = time.perf_counter() - begun_s
        return gradient
