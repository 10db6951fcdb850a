"""The worker: one coroutine, the same in virtual time, on this machine and on a cluster.

It asks its link for batches, computes, and gives the gradient to its link. What differs from place
to place is the link to the server, and how it computes: in virtual time or in a thread.
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
    """The way of a worker to the server; a `Member` is one, for a worker in the same process."""

    async def next_part(self, params: Any) -> Part | None:
        """Return what to go through next, and fill in the newest parameters; None: nothing."""

    async def push(self, gradient: Gradient, params: Any) -> bool:
        """Give a gradient, and fill in the newest parameters; say whether it counts."""


async def work(link: Link, computer: Computer, open_part: Callable[[Part], Any], size: int) -> None:
    """Compute gradients until every batch is done.

    Args:
        link: to the server.
        computer: has the parameters, and computes.
        open_part: returns the batches that belong to a part, as it is iterated.
        size: how many batches make a gradient.
    """
    while (part := await link.next_part(computer.params)) is not None:
        async with aclosing(groups(open_part(part), part, size)) as parts:
            async for group in parts:
                while not await link.push(await computer.compute(group), computer.params):
                    pass  # by older parameters: once more


async def groups(batches: Any, part: Part, size: int) -> AsyncGenerator[Group, None]:
    """Give the batches of a part, so many at a time, after those that are done."""
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
            raise ValueError(f"only {index} batches, where {part.start} were done before")
        if group:
            yield group
    except Exception as error:
        add_note(error, f"at batch {index} of {part}")
        raise


def at_epoch(batches: Any, epoch: int) -> Any:
    """Let a pipeline begin this epoch, whichever it has been in: another worker may have been."""
    if hasattr(batches, "load_state_dict"):
        state = batches.state_dict()
        if {"epoch", "position", "parts"} <= {*state}:
            batches.load_state_dict(state | {"epoch": epoch, "position": 0, "parts": {}})
    return batches


class Computer:
    """What computes for a worker; how long that takes is for the subclasses.

    Args:
        model: the worker's own.
        optimizer: its own, if it takes the steps itself; else None.
    """

    def __init__(self, model: Any, optimizer: Any) -> None:
        self._model, self._optimizer = model, optimizer
        self._vector = model.grads if optimizer is None else model.params
        self.params = model.params

    async def compute(self, group: Group) -> Gradient:
        """Compute the gradient of a group, by `params`."""
        raise NotImplementedError

    def _computed(self, group: Group, busy_s: float) -> Gradient:
        """Compute at once."""
        total, examples = 0.0, 0
        for x, y in group:
            total += self._model.loss_and_grads(x, y) * len(y)
            examples += len(y)
            if self._optimizer is not None:
                self._optimizer.step()
        return Gradient(self._vector, total / examples, examples, len(group), busy_s)


class Simulated(Computer):
    """Computes in no time, and says that it took as long as the caller's functions tell.

    Args:
        *own: model and optimizer.
        member: the worker.
        compute_time: seconds for a batch.
        network: seconds for a message.
        rng: the worker's own.
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
        """Let the time pass, and compute; where it is interrupted, the gradient is not computed."""
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
        """Wait, and say whether an update has made this gradient stale meanwhile."""
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
        pool: whose threads compute.
        blas: how many threads BLAS may take in each.
    """

    def __init__(self, *own: Any, pool: ThreadPool, blas: BlasThreads) -> None:
        super().__init__(*own)
        self._pool, self._blas = pool, blas

    async def compute(self, group: Group) -> Gradient:
        """Compute, and measure how long it takes."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, self._timed, group)

    def _timed(self, group: Group) -> Gradient:
        self._blas.apply()
        begun_s = time.perf_counter()
        with np.errstate(over="ignore", invalid="ignore"):  # the server looks at what comes of it
            gradient = self._computed(group, 0.0)
        gradient.busy_s = time.perf_counter() - begun_s
        return gradient
