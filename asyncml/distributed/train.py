"""Train with many workers: in virtual time, in threads, or on a Dask cluster."""

from __future__ import annotations

import asyncio
import copy
import math
from collections.abc import (
    AsyncIterable,
    AsyncIterator,
    Callable,
    Coroutine,
    Iterable,
    Iterator,
    Sequence,
)
from contextlib import AsyncExitStack
from functools import partial
from typing import Any

import numpy as np

from asyncml.checks import check_int, check_number
from asyncml.clocks import is_virtual
from asyncml.distributed.cluster import GLANCE_S, Cluster
from asyncml.distributed.history import History
from asyncml.distributed.run import Fatal, Member, Run
from asyncml.distributed.server import ParameterServer
from asyncml.distributed.worker import Computer, ComputeTime, Network, Simulated, Threaded, work
from asyncml.failures import said, shorten
from asyncml.switching import ShortSwitches
from asyncml.threads import ThreadPool
from asyncml.training.blas import BlasThreads, threads_for

ON_LOST = "go on", "raise"


class WorkerLost(RuntimeError):
    """A worker was lost, and the run was to end in that case or had no other worker.

    The worker's error is the `__cause__`.

    Attributes:
        worker: its number.
    """

    def __init__(self, worker: int, message: str) -> None:
        super().__init__(message)
        self.worker = worker


async def train_distributed(
    server: ParameterServer,
    worker_batches: Sequence[Any],
    *,
    compute_time: ComputeTime | None = None,
    network: Network | None = None,
    dask_client: Any = None,
    epochs: int = 1,
    seed: int = 0,
    on_lost_worker: str = "go on",
    worker_timeout: float | None = None,
) -> History:
    """Train the server's model with one worker for each of `worker_batches`.

    All workers are coroutines that run the same function. With `compute_time` or `network` they
    wait for as long as these say, which takes no real time under `simulate`; without, each computes
    in a thread; with `dask_client` each runs on a worker of that cluster and sends its gradients
    over its own connection.

    The run ends when each batch is in the parameters, once. No policy waits for a worker that has
    no batches left. If cancelled, the model stays as the last update left it, and no task is left
    behind; `server.state_dict()` gives the position. While threads compute, Python's switch
    interval is 0.1 ms, as in `fit`.

    A worker is lost if it raises an error, if its gradient is not finite, if its process or its
    connection ends, or if it takes longer than `worker_timeout`. Others continue its batches where
    it stopped. If a second worker is lost at the same batch, that batch and those after it are
    given up: `history.statistics().unseen` names them. A function that never returns keeps its
    thread.

    Args:
        server: the server whose model is trained.
        worker_batches: for each worker what it iterates, afresh each epoch: batches (x, y), as the
            model's `loss_and_grads` takes them. They must be the same when another worker begins an
            epoch again; a `Pipeline` is set back for it. A plain iterable runs on the event loop.
        compute_time: `compute_time(rng, worker)` returns the seconds that a batch takes.
        network: `network(rng, bytes)` returns the seconds that a message takes: each gradient, and
            the parameters that come back.
        dask_client: a `distributed.Client` with at least one worker for each of `worker_batches`.
        epochs: how many the whole run has.
        seed: for the generators of `compute_time` and `network`, one per worker.
        on_lost_worker: "go on" without it, or "raise".
        worker_timeout: seconds of work on one gradient, loading included, after which a worker
            counts as lost; None: never.

    Returns:
        The record of the run, a `History`. Times are on the clock of the running loop.

    Raises:
        WorkerLost: `on_lost_worker` is "raise", or no worker is left for the remaining batches,
            which the message names.
        ClusterLost: the cluster's scheduler can no longer be reached.
        RuntimeError: the server is in a run already, or its policy lets no worker continue.
        TypeError, ValueError: an argument is wrong.

    Example:
        >>> from asyncml.clock import simulate
        >>> from asyncml.distributed.policies import Sync
        >>> from asyncml.network import MLP, SGD
        >>> model = MLP([2, 2])
        >>> server = ParameterServer(model, SGD(model, lr=0.1), Sync())
        >>> batch = np.eye(2, dtype=np.float32), np.arange(2)
        >>> history = simulate(train_distributed(server, [[batch] * 3] * 8,
        ...                    compute_time=lambda rng, worker: 1 + worker))
        >>> [update.time for update in history.updates]
        [8.0, 16.0, 24.0]
    """
    _check_arguments(server, worker_batches, epochs, on_lost_worker, worker_timeout)
    simulated = compute_time is not None or network is not None
    if dask_client is not None and (simulated or is_virtual(asyncio.get_running_loop())):
        raise ValueError("`dask_client` computes for real: not in virtual or simulated time")
    run = Run(server, len(worker_batches), epochs)
    size = max(1, server.policy.local_steps)
    check = None
    try:
        async with AsyncExitStack() as stack:
            # the server checks the results
            stack.enter_context(np.errstate(over="ignore", invalid="ignore"))
            if dask_client is not None:
                cluster = Cluster(dask_client, run, worker_batches)
                await cluster.find()
                jobs = [partial(cluster.attend, member, size) for member in run.members]
                check = cluster.check
            else:
                computers = _computers(run, stack, compute_time, network, seed)
                jobs = [
                    partial(work, member, computer, lambda part: worker_batches[part.share], size)
                    for member, computer in zip(run.members, computers, strict=True)
                ]
            timeout = math.inf if worker_timeout is None else worker_timeout
            await supervise(run, jobs, on_lost_worker == "raise", timeout, check)
    finally:
        server.is_running = False
    return run.history


def _computers(
    run: Run,
    stack: AsyncExitStack,
    compute_time: ComputeTime | None,
    network: Network | None,
    seed: int,
) -> list[Computer]:
    copies = [own_copy(run.server) for _ in run.members]
    if compute_time is not None or network is not None:
        rngs = map(np.random.default_rng, np.random.SeedSequence(seed).spawn(len(copies)))
        times: Any = {"compute_time": compute_time, "network": network}
        each = zip(copies, run.members, rngs, strict=True)
        return [Simulated(*own, member=member, rng=rng, **times) for own, member, rng in each]
    stack.enter_context(ShortSwitches())
    blas = stack.enter_context(BlasThreads(threads_for(run.server.model, None)))
    pool = ThreadPool(len(copies), name="worker")
    stack.callback(pool.shutdown, wait=False)
    return [Threaded(*own, pool=pool, blas=blas) for own in copies]


def own_copy(server: ParameterServer) -> tuple[Any, Any]:
    """Return a copy of the model for a worker, and of the optimiser if the worker takes steps."""
    if server.policy.local_steps:
        optimizer: Any = copy.deepcopy(server.optimizer)
        return optimizer.model, optimizer
    return copy.deepcopy(server.model), None


async def supervise(
    run: Run,
    jobs: Sequence[Callable[[], Coroutine[Any, Any, None]]],
    raises: bool,
    timeout: float,
    check: Callable[[], None] | None,
) -> None:
    """Run the workers' coroutines to their end; none of them is left, however this ends.

    Args:
        run: the run that they belong to.
        jobs: for each worker, a function that starts its coroutine.
        raises: whether the run ends when a worker is lost.
        timeout: seconds of work on one gradient after which a worker is lost; inf: never.
        check: called now and then; raises an error that ends the run.
    """
    tasks = [
        asyncio.create_task(_attend(run, member, job, raises), name=f"worker-{member.number}")
        for member, job in zip(run.members, jobs, strict=True)
    ]
    pending = {*tasks}
    try:
        while pending:
            wait_s = min(_until_late(run, timeout), math.inf if check is None else GLANCE_S)
            done, pending = await asyncio.wait(
                pending,
                timeout=None if wait_s == math.inf else wait_s,
                return_when=asyncio.FIRST_EXCEPTION,
            )
            if check is not None:
                check()
            for task in done:
                task.result()  # re-raise an error that ends the run
            for member in run.late(timeout):
                tasks[member.number].cancel()
    finally:
        run.is_over = True
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


def _until_late(run: Run, timeout: float) -> float:
    """Return in how many seconds the next worker may be late."""
    now = run.now()
    begun = min((m.since_s for m in run.members if m.since_s is not None), default=now)
    return max(0.0, begun + timeout - now)


async def _attend(
    run: Run, member: Member, job: Callable[[], Coroutine[Any, Any, None]], raises: bool
) -> None:
    """See one worker through; if it is lost, let the others continue, or end the run."""
    try:
        await job()
    except (Exception, asyncio.CancelledError) as error:
        if run.is_over or isinstance(error, Fatal):
            raise
        cause = member.failure or error
        why = f"{type(cause).__name__}: {said(cause)}"
        if member.share is not None:
            why += f", at {member.share}"
        run.lose(member, why)
        if raises:
            raise WorkerLost(member.number, f"worker {member.number} was lost: {why}") from cause
        if not run.left and run.shares.unseen():
            raise WorkerLost(
                member.number,
                f"no worker is left: the last one, worker {member.number}, was lost by {why}. "
                f"Not seen: {run.shares.unseen()}",
            ) from cause
    finally:
        member.ended_s = run.now()


def _check_arguments(
    server: object, worker_batches: Any, epochs: int, on_lost: str, timeout: float | None
) -> None:
    if not isinstance(server, ParameterServer):
        raise TypeError(f"`server` must be a ParameterServer, got {type(server).__name__}")
    if not isinstance(worker_batches, Sequence) or not worker_batches:
        raise TypeError(
            "`worker_batches` must be a list with what each worker iterates, "
            f"got {shorten(worker_batches)}"
        )
    for i, batches in enumerate(worker_batches):
        if isinstance(batches, Iterator | AsyncIterator):
            raise ValueError(
                f"`worker_batches[{i}]` can be iterated only once, got {type(batches).__name__}: "
                "pass a list, a Pipeline, or an object whose __iter__ starts afresh"
            )
        if not isinstance(batches, Iterable | AsyncIterable):
            raise TypeError(f"`worker_batches[{i}]` must give batches (x, y), got {batches!r}")
    check_int("epochs", epochs)
    if on_lost not in ON_LOST:
        raise ValueError(f'`on_lost_worker` must be "go on" or "raise", got {on_lost!r}')
    if timeout is not None and not check_number("worker_timeout", timeout, "seconds > 0") > 0:
        raise ValueError(f"`worker_timeout` must be > 0, got {timeout}")
