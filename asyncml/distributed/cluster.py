"""Workers on a Dask cluster: one long-lived coroutine on each, connected to the server.

Dask starts the coroutine on its workers. From then on each has its own connection to the caller's
process: through the scheduler a step would take about ten milliseconds.
"""

from __future__ import annotations

import asyncio
import hmac
import inspect
import secrets
import socket
import traceback
from contextlib import ExitStack, closing, suppress
from importlib import import_module
from typing import Any

import numpy as np

from asyncml.distributed import channel as wire
from asyncml.distributed.channel import Channel
from asyncml.distributed.run import Fatal, Gradient, Member, Run
from asyncml.distributed.shares import Part
from asyncml.distributed.worker import Threaded, work
from asyncml.failures import said as words
from asyncml.switching import ShortSwitches
from asyncml.threads import ThreadPool
from asyncml.training.blas import BlasThreads, threads_for

JOIN_S = 30.0  # seconds that a worker has to connect
HELLO_S = 10.0  # and then to identify itself
ACCEPT_S = 0.01  # how often to look for a connection
GONE_S = 3.0  # seconds that a client has to find its scheduler again
GLANCE_S = 0.25  # how often to look for the scheduler


class ClusterLost(Fatal):
    """The scheduler of the cluster can no longer be reached."""


# in the process of a Dask worker


async def run_worker(host: str, port: int, token: bytes) -> None:
    """Connect to the server and work until there are no more batches or the server is gone."""
    sock = await asyncio.to_thread(socket.create_connection, (host, port), JOIN_S)
    channel, pool = Channel(sock), ThreadPool(1, name="worker")
    try:
        await channel.send(wire.DATA, token)
        _, n_bytes, _ = await channel.receive()
        model, optimizer, size = await _loaded(channel, n_bytes)
        with BlasThreads(threads_for(model, None)) as blas, ShortSwitches():
            link, computer = _Link(channel), Threaded(model, optimizer, pool=pool, blas=blas)
            working = asyncio.create_task(work(link, computer, link.open_part, size))
            # a step may take long, or never end, and the server may be gone by then
            while not (await asyncio.wait([working], timeout=1.0))[0] and not channel.has_ended():
                pass
            working.cancel()
            await asyncio.wait([working])
            if not working.cancelled() and (error := working.exception()) is not None:
                await channel.send(wire.ERROR, _dumped_error(error))
    except ConnectionError:
        pass  # the server has closed it and no longer waits for this worker
    finally:
        pool.shutdown(wait=False)
        channel.close()


class _Link:
    """The worker's link to the server."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._batches: dict[int, Any] = {}  # by the number of the share

    def open_part(self, part: Part) -> Any:
        return self._batches[part.share]

    async def next_part(self, params: Any) -> Part | None:
        await self._channel.send(wire.NEXT)
        kind, n_bytes, numbers = await self._channel.receive()
        if kind == wire.END:
            return None
        part = Part(*map(int, numbers[: len(Part._fields)]))
        if n_bytes:
            self._batches[part.share] = await _loaded(self._channel, n_bytes)
        await self._params(params)
        return part

    async def push(self, gradient: Gradient, params: Any) -> bool:
        known = gradient.loss, gradient.examples, gradient.batches, gradient.busy_s
        await self._channel.send(wire.PUSH, gradient.vector, *known)
        return await self._params(params)

    async def _params(self, params: Any) -> bool:
        _, _, (counts, *_) = await self._channel.receive()
        await self._channel.read_into(params)
        return bool(counts)


# in the process of the caller


class Cluster:
    """The workers of a run on a Dask cluster.

    Args:
        client: a `distributed.Client`, synchronous or not.
        run: the run that the workers belong to.
        worker_batches: what each worker iterates.
    """

    def __init__(self, client: Any, run: Run, worker_batches: Any) -> None:
        if getattr(client, "status", None) != "running":
            raise TypeError(
                f"`dask_client` must be a distributed.Client that is connected, got {client!r}"
            )
        self._client, self._run, self._batches = client, run, worker_batches
        self._host = "127.0.0.1"
        scheduler = client.scheduler.address
        if not scheduler.startswith("inproc"):  # our own address on the route to it
            comm, utils = map(import_module, ("distributed.comm", "distributed.utils"))
            self._host = utils.get_ip(comm.get_address_host(scheduler))
        self._gone_since = run.now()

    async def find(self) -> None:
        """Find a worker of the cluster for each member."""
        found = self._client.ncores()
        self._addresses = sorted(await found if inspect.isawaitable(found) else found)
        needed = len(self._run.members)
        if len(self._addresses) < needed:
            raise ValueError(
                f"`worker_batches` is for {needed} workers, but the cluster has "
                f"{len(self._addresses)}: pass as many, or client.wait_for_workers({needed}) first"
            )

    async def attend(self, member: Member, size: int) -> None:
        """Start a worker on the cluster and serve it to its end.

        Args:
            member: which worker.
            size: how many batches make a gradient.
        """
        address, token = self._addresses[member.number], secrets.token_bytes(16)
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        with socket.create_server((self._host, 0), family=family) as listener:
            listener.setblocking(False)
            place = listener.getsockname()[:2]
            key = f"asyncml-worker-{member.number}-{secrets.token_hex(8)}"
            future = self._client.submit(run_worker, *place, token, key=key, workers=[address])
            try:
                with closing(await self._joined(listener, token, future)) as channel:
                    await self._serve(channel, member, size)
            except ConnectionError as error:
                await asyncio.sleep(GLANCE_S)  # has the scheduler gone, and everything with it?
                if self._client.status != "running":
                    raise self._lost() from None
                raise ConnectionError(
                    f"{address} is gone, its process or its connection ({error})"
                ) from error
            finally:
                future.release()

    async def _joined(self, listener: socket.socket, token: bytes, future: Any) -> Channel:
        """Wait until a worker that knows the token has connected; return its channel.

        A connection that stays open would keep its worker waiting, and its place on the cluster
        taken. So nothing is awaited between `accept` and the block that closes the connection:
        `sock_accept` would lose the connection if it were cancelled at that moment.
        """
        until_s = self._run.now() + JOIN_S
        while self._run.now() < until_s:
            with suppress(OSError), ExitStack() as stack:
                channel = stack.enter_context(closing(Channel(listener.accept()[0])))
                async with asyncio.timeout(HELLO_S):
                    await channel.receive()
                    if hmac.compare_digest(await channel.read(len(token)), token):
                        stack.pop_all()
                        return channel
            if future.status == "error":
                error = future.exception()
                raise await error if inspect.isawaitable(error) else error
            await asyncio.sleep(ACCEPT_S)
        raise TimeoutError(
            f"it has not connected to {self._host} within {JOIN_S:g} s: is it busy with another "
            "task, and can it reach this address?"
        )

    async def _serve(self, channel: Channel, member: Member, size: int) -> None:
        server, sent = self._run.server, set[int]()
        optimizer = server.optimizer if server.policy.local_steps else None
        await channel.send(wire.DATA, _dumps((server.model, optimizer, size)))
        params, grads = (np.empty_like(server.model.params) for _ in range(2))
        while True:
            kind, n_bytes, (loss, examples, batches, busy_s, _) = await channel.receive()
            if kind == wire.PUSH:
                await channel.read_into(grads)
                gradient = Gradient(grads, loss, int(examples), int(batches), busy_s)
                await channel.send(wire.DATA, params, await member.push(gradient, params))
            elif kind == wire.NEXT:
                part = await member.next_part(params)
                if part is None:
                    await channel.send(wire.END)
                    return
                data = b"" if part.share in sent else _dumps(self._batches[part.share])
                sent.add(part.share)
                await channel.send(wire.DATA, data, *part)
                await channel.send(wire.DATA, params)
            else:
                raise await _loaded(channel, n_bytes)

    def check(self) -> None:
        """Raise ClusterLost if the client has been without its scheduler for too long."""
        now = self._run.now()
        if self._client.status == "running":
            self._gone_since = now
        elif now > self._gone_since + GONE_S:
            raise self._lost()

    def _lost(self) -> ClusterLost:
        return ClusterLost(
            f"the scheduler of the Dask cluster is gone: the client is {self._client.status!r}. "
            f"Not seen: {self._run.shares.unseen() or 'nothing'}"
        )


def _dumps(thing: Any) -> bytes:
    pickle: Any = import_module("distributed.protocol.pickle")  # plain pickle, or cloudpickle
    return bytes(pickle.dumps(thing))


async def _loaded(channel: Channel, size: int) -> Any:
    pickle: Any = import_module("distributed.protocol.pickle")
    return pickle.loads(await channel.read(size))


def _dumped_error(error: BaseException) -> bytes:
    with suppress(Exception):
        error.add_note("".join(traceback.format_exception(error)))
        return _dumps(error)
    return _dumps(RuntimeError(f"{type(error).__name__}: {words(error)}"))
