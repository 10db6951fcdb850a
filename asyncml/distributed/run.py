"""A run, as the server sees it: it takes gradients, makes updates, and lets workers continue.

These are plain calls on one event loop, so nothing comes between a gradient and its update: the
parameters have one owner, and no lock. A worker waits in only two cases: the policy holds it back,
or there are no batches left for it.
"""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from asyncml.distributed.history import History, WorkerStatistics
from asyncml.distributed.server import ParameterServer
from asyncml.distributed.shares import Part, Share, Shares


class Fatal(RuntimeError):
    """An error that ends the run, even if the run is to continue without lost workers."""


@dataclass(slots=True, eq=False)
class Gradient:
    """What a worker sends: a vector, and what is known about it.

    Args:
        vector: (P,), the mean gradient over the examples or, if a worker takes steps by itself, its
            parameters. It must not change until the worker continues.
        loss: the mean over the examples.
        examples: how many, in its batches.
        batches: how many it was computed from.
        busy_s: seconds that it took.
        member: the worker; the server sets this and the fields below.
        version: of the parameters that it was computed from.
        share: that its batches belong to.
        upto: the batches up to here are in it, and in the gradients before it.
    """

    vector: Any
    loss: float
    examples: int
    batches: int
    busy_s: float
    member: Any = None
    version: int = 0
    share: Any = None
    upto: tuple[int, int] = (0, 0)


class Member:
    """A worker, as the server sees it; and the server, as a worker in this process sees it."""

    def __init__(self, run: Run, number: int) -> None:
        self._run, self.number = run, number
        self.drops_stale = run.server.policy.drops_stale
        self.clock = 0  # steps taken
        self.version = 0  # of the parameters that it has
        self.pending = 0  # gradients that wait for others to make up an update
        self.is_active = True  # whether it has batches
        self.share: Share | None = None  # the one it is going through
        self.since_s: float | None = None  # when it began its work on a gradient; None: it waits
        self.interrupt: asyncio.Future[bool] | None = None  # set to stop it, in virtual time
        self.gradients = self.dropped = 0
        self.busy_s = 0.0
        self.ended_s: float | None = None
        self.lost: str | None = None
        self.failure: Exception | None = None  # why the server has given it up

    def statistics(self) -> WorkerStatistics:
        """Return the statistics of this worker."""
        ended_s = self._run.now() if self.ended_s is None else self.ended_s
        waited_s = max(0.0, ended_s - self._run.history.start_s - self.busy_s)
        done = self.number, self.gradients, self.dropped, self.busy_s, waited_s
        return WorkerStatistics(*done, self.lost)

    async def next_part(self, params: Any) -> Part | None:
        """Return the batches to go through now, and fill `params` with the newest parameters.

        Waits if there are none, since another worker may still be lost. None: all are done.
        """
        part = await self._run.next_part(self)
        if part is not None:
            self._pull(params)
        return part

    async def push(self, gradient: Gradient, params: Any) -> bool:
        """Give the server a gradient; once this worker may continue, fill in the newest parameters.

        Returns:
            Whether the gradient counts; if not, its batches must be repeated.

        Raises:
            FloatingPointError: the gradient or its loss is not finite.
        """
        self.since_s = None
        taken = self._run.take(self, gradient)
        if not self._run.may_go_on(self):
            await self._run.permission(self)
        if self.pending:  # it still waits for others, and the worker reuses the vector
            gradient.vector = gradient.vector.copy()
        self._pull(params)
        return taken

    def _pull(self, params: Any) -> None:
        server = self._run.server
        np.copyto(params, server.model.params)  # the only copy of the parameters
        self.version, self.since_s = server.version, self._run.now()


class Run:
    """A run of a server.

    Args:
        server: the server whose parameters change.
        workers: how many there are; each is expected until it is known to have no batches.
        epochs: how many, in the whole run.
    """

    def __init__(self, server: ParameterServer, workers: int, epochs: int) -> None:
        if server.is_running:
            raise RuntimeError("this server is in a run already: wait for its end, or make another")
        self.server, self._policy = server, server.policy
        self._loop = asyncio.get_running_loop()
        self.now = self._loop.time
        self.shares = Shares(workers, epochs, server.resume_from)
        self.members = [Member(self, number) for number in range(workers)]
        self.history = history = History(self.now())
        history.workers_and_unseen = self._workers_and_unseen
        self.active = self.left = workers  # workers with batches; workers that are not lost
        self.is_over = False
        self._gone = 0  # workers without batches that have gradients in hand
        self._in_hand: list[Gradient] = []
        self._slowest, self._at_clock = 0, Counter({0: workers})  # of the active, by clock
        self._has_moved = False  # whether the slowest clock has
        self._waiting: dict[Member, asyncio.Future[None]] = {}  # for permission
        self._idle: dict[Member, asyncio.Future[None]] = {}  # for batches
        self._scratch = np.empty_like(server.model.grads)
        server.history, server.progress, server.go_on = history, self.shares.state, self._resume
        server.resume_from, server.is_running = None, True

    # what workers ask for

    async def next_part(self, member: Member) -> Part | None:
        """Return the next part for a worker; None if every batch is done."""
        while (share := self.shares.next_share(member.number, member.share)) is None:
            member.share = member.since_s = None
            if self.server.is_paused:
                await self.permission(member)
            if member.is_active:
                self._leave(member)
                self._settle()
            if self.shares.are_done:
                self._wake_idle()
                return None
            self._idle[member] = self._loop.create_future()
            await self._idle[member]
        member.share = share
        if not member.is_active:
            self._enter(member)
        return Part(share.number, share.epoch, share.taken)

    def take(self, member: Member, gradient: Gradient) -> bool:
        """Take a gradient and make the updates that it completes; return False if it is dropped."""
        member.busy_s += gradient.busy_s
        if self._policy.drops_stale and member.version != self.server.version:
            member.dropped += 1
            return False
        share = member.share
        assert share is not None
        _check_finite(member, gradient)
        share.taken += gradient.batches
        gradient.member, gradient.version = member, member.version
        gradient.share, gradient.upto = share, (share.epoch, share.taken)
        member.pending += 1
        self._in_hand.append(gradient)
        self._count(member.clock + 1, 1)
        self._count(member.clock, -1)
        member.clock += 1
        self._settle()
        return True

    def may_go_on(self, member: Member) -> bool:
        """Return whether a worker may begin its next step."""
        if self.server.is_paused:
            return False
        return self._policy.may_go_on(member.pending, member.clock - self._slowest)

    async def permission(self, member: Member) -> None:
        """Wait until a worker may begin its next step."""
        self._waiting[member] = future = self._loop.create_future()
        self._check_not_stuck()
        await future

    def lose(self, member: Member, why: str) -> None:
        """Continue without a worker; others take over its batches."""
        member.lost, member.since_s = why, None
        self.left -= 1
        self._waiting.pop(member, None)
        self._idle.pop(member, None)
        if member.is_active:
            self._leave(member)
        self.shares.lose(member.number, member.share)
        member.share = None
        self._wake_idle()
        self._settle()

    def late(self, timeout: float) -> list[Member]:
        """Return the workers that have taken too long over a gradient; they count as failed now."""
        since = self.now() - timeout + 1e-9  # rounding
        late = [m for m in self.members if m.since_s is not None and m.since_s <= since]
        for member in late:
            member.since_s = None
            member.failure = TimeoutError(f"no gradient within {timeout:g} s")
        return late

    def _workers_and_unseen(self) -> tuple[tuple[WorkerStatistics, ...], str]:
        return tuple(member.statistics() for member in self.members), self.shares.unseen()

    # updates

    def _settle(self) -> None:
        """Make the updates that are due, and wake the workers that may now continue."""
        in_hand = self._in_hand
        while in_hand and not self.server.is_paused:
            # a worker that has finished or is lost has still contributed to this update
            workers = self.active + self._gone
            needed = max(1, self._policy.needed(workers)) if self.active else len(in_hand)
            if len(in_hand) < needed:
                break
            taken = in_hand[:needed]
            del in_hand[:needed]
            self._update(taken)
        if self._has_moved:
            self._has_moved = False
            self._ask([*self._waiting])
        if len(self._waiting) == self.active:
            self._check_not_stuck()

    def _update(self, taken: list[Gradient]) -> None:
        server, examples = self.server, taken[0].examples
        if len(taken) > 1:  # in the order of the workers: the same sum in any order of arrival
            taken.sort(key=lambda gradient: gradient.member.number)
            examples = sum([gradient.examples for gradient in taken])
        if self._policy.local_steps:
            self._mean(taken, examples, server.model.params)
        else:
            self._mean(taken, examples, server.model.grads)
            server.optimizer.step()
        loss, version = 0.0, server.version
        for gradient in taken:
            member, gradient.share.applied = gradient.member, gradient.upto
            loss += gradient.loss * gradient.examples
            self.history.add_gradient(member.number, version - gradient.version)
            member.gradients += 1
            member.pending -= 1
            self._gone -= not (member.is_active or member.pending)
        self.history.add_update(self.now(), loss / examples)
        server.version = version + 1
        if self._waiting:
            self._ask([gradient.member for gradient in taken])
        if self._policy.drops_stale:
            for member in self.members:
                if member.interrupt is not None:
                    set_once(member.interrupt, True)

    def _mean(self, gradients: list[Gradient], examples: int, out: Any) -> None:
        first, *others = gradients
        if not others:
            np.copyto(out, first.vector)
            return
        np.multiply(first.vector, first.examples / examples, out=out)
        for each in others:
            np.multiply(each.vector, each.examples / examples, out=self._scratch)
            np.add(out, self._scratch, out=out)

    # who waits

    def _ask(self, members: Iterable[Member]) -> None:
        for member in members:
            if member in self._waiting and self.may_go_on(member):
                set_once(self._waiting.pop(member), None)

    def _wake_idle(self) -> None:
        while self._idle:
            set_once(self._idle.popitem()[1], None)

    def _resume(self) -> None:
        self._settle()
        self._ask([*self._waiting])

    def _check_not_stuck(self) -> None:
        if self.active and len(self._waiting) == self.active and not self.server.is_paused:
            raise Fatal(
                f"{self._policy!r} lets no worker go on: {self.active} have batches and wait, with "
                f"{len(self._in_hand)} gradients in hand. needed({self.active + self._gone}) is "
                f"{self._policy.needed(self.active + self._gone)}"
            )

    # clocks

    def _enter(self, member: Member) -> None:
        member.is_active = True
        self.active += 1
        self._gone -= member.pending > 0
        member.clock = max(member.clock, self._slowest)
        self._count(member.clock, 1)

    def _leave(self, member: Member) -> None:
        member.is_active = False
        self.active -= 1
        self._gone += member.pending > 0
        self._count(member.clock, -1)

    def _count(self, clock: int, more: int) -> None:
        self._at_clock[clock] += more
        if not self._at_clock[clock]:
            del self._at_clock[clock]
            if clock == self._slowest and self._at_clock:
                self._slowest, self._has_moved = min(self._at_clock), True


def set_once(future: asyncio.Future[Any], result: Any) -> None:
    """Set the result of a future, unless it is done or cancelled."""
    if not future.done():
        future.set_result(result)


def _check_finite(member: Member, gradient: Gradient) -> None:
    vector = gradient.vector
    if not math.isfinite(gradient.loss):
        wrong = f"the loss is {gradient.loss}"
    elif math.isfinite(np.vdot(vector, vector)) or np.isfinite(vector).all():
        return
    else:
        wrong = "a gradient is not finite"
    raise FloatingPointError(
        f"worker {member.number}: {wrong}, in {member.share}. It is refused. Lower the learning "
        "rate, or look for nan and huge numbers in x"
    )
