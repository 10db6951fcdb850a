"""Ring all-reduce: the sum of all workers' vectors, without a server.

Each worker sends only to its right neighbour, and all send at once, so no connection carries more
than two vectors, however many workers there are.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

import numpy as np

from asyncml.distributed.worker import Network


async def ring_all_reduce(
    vectors: Sequence[np.ndarray[Any, Any]], *, network: Network | None = None, seed: int = 0
) -> int:
    """Put the sum of all vectors into each of them; one coroutine per vector does its part.

    Each vector is cut into P chunks. In each of P - 1 rounds, every worker passes a chunk on and
    adds the one that it receives: then each has one chunk of the sum. In P - 1 more rounds these
    chunks go round. So each worker sends 2 (P - 1) messages of 1 / P of the vector, which takes
    2 (P - 1) (latency + bytes / P / bandwidth). Messages are views: sending copies nothing. If
    cancelled, the vectors hold partial sums.

    Source: Patarasu & Yuan 2009, who show that no all-reduce sends less.

    Args:
        vectors: one per worker, (n,) each, of one floating type; changed in place.
        network: `network(rng, bytes)` returns the seconds that a message takes; None: no time.
        seed: for the generators of `network`, one per worker.

    Returns:
        How many messages each worker sent.

    Raises:
        ValueError: there are no vectors, or they differ in shape or type.

    Example:
        >>> vectors = [np.full(3, n) for n in (1.0, 2.0, 4.0)]
        >>> asyncio.run(ring_all_reduce(vectors)), vectors[0]
        (4, array([7., 7., 7.]))
    """
    alike = {(each.shape, each.dtype) for each in vectors}
    if len(alike) != 1 or vectors[0].ndim != 1:
        raise ValueError(f"`vectors` must be flat arrays of one length and type, got {alike}")
    count = len(vectors)
    rngs = [np.random.default_rng(s) for s in np.random.SeedSequence(seed).spawn(count)]
    inboxes: list[asyncio.Queue[Any]] = [asyncio.Queue() for _ in range(count)]

    async def worker(rank: int) -> int:
        chunks = np.array_split(vectors[rank], count)  # views
        right, sent = inboxes[(rank + 1) % count], 0
        for step in range(2 * (count - 1)):
            chunk = chunks[(rank - step) % count]
            if network is not None:
                await asyncio.sleep(network(rngs[rank], chunk.nbytes))
            right.put_nowait(chunk)
            sent += 1
            passed, mine = await inboxes[rank].get(), chunks[(rank - step - 1) % count]
            if step < count - 1:
                mine += passed
            else:
                mine[:] = passed
        return sent

    async with asyncio.TaskGroup() as group:
        workers = [group.create_task(worker(rank), name=f"rank-{rank}") for rank in range(count)]
    return workers[0].result()
