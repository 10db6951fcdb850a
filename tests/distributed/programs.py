"""Programs that the tests of the cluster run, each in a process of its own."""

import asyncio
import contextlib
import gc
import json
import logging
import os
import signal
import subprocess
import sys
import time

from distributed import Client, LocalCluster

import asyncml as aml
from asyncml.distributed import run
from tests.distributed import test_cluster as parts

QUIET = {"dashboard_address": "127.0.0.1:0", "silence_logs": logging.CRITICAL}


def facts(server):
    statistics = server.history.statistics()
    return {
        "shares": server.state_dict()["shares"],
        "lost": [each.lost for each in statistics.workers],
        "unseen": statistics.unseen,
    }


async def trained(server, batches, client, **options):
    with contextlib.suppress(aml.WorkerLost):
        await aml.train_distributed(server, batches, dask_client=client, **options)
    return facts(server)


async def everything(client):
    report = {}
    for policy in parts.POLICIES:
        server = parts.server(policy)
        report[repr(policy)] = await trained(server, parts.shards(), client, epochs=2)
        if policy is parts.POLICIES[0]:
            here = parts.server(policy)
            await aml.train_distributed(here, parts.shards(), epochs=2)
            same = here.model.params.tobytes() == server.model.params.tobytes()
            report["the same bits"] = same
    report["copies"] = await copies(client)
    report["too few"] = await message(client, [*parts.shards(), []])
    other = [max(client.ncores())]
    client.run(parts.let_it_be_late, workers=other)
    failing = parts.server(aml.Sync(), parts.Fails)
    report["raises"] = await message(client, parts.shards(), failing, on_lost_worker="raise")
    report["left after"] = {"an error": await left(client)}
    client.run(parts.let_it_hang, workers=other)
    hangs = parts.server(aml.Async(), parts.Hangs)
    report["hangs"] = await trained(hangs, parts.shards(), client, worker_timeout=1.0)
    report["left after"]["a hang"] = await left(client)
    report["killed"] = await killed(client)
    return report


async def left(client):
    """Return how many tasks the workers have, once they have none or after a while."""
    for _ in range(200):
        if not (count := sum(client.run(tasks_of).values())):
            break
        await asyncio.sleep(0.05)
    return count


def tasks_of(dask_worker):
    return len(dask_worker.state.tasks)


async def message(client, batches, server=None, **options):
    try:
        server = server or parts.server(aml.Sync())
        await aml.train_distributed(server, batches, dask_client=client, **options)
    except Exception as error:
        return str(error)


async def copies(client):
    """Return the steps, and how often a vector was copied in this process."""
    counted, copyto = [], run.np.copyto

    class Counting:
        def __getattr__(self, name):
            return getattr(aml_numpy, name)

        def copyto(self, *args):
            counted.append(args)
            return copyto(*args)

    aml_numpy, run.np = run.np, Counting()
    try:
        await trained(parts.server(aml.Sync()), parts.shards(), client)
    finally:
        run.np = aml_numpy
    return 12, len(counted)


async def fifth_update(server):
    while server.version < 5:  # noqa: ASYNC110
        await asyncio.sleep(0.01)


async def killed(client):
    server = parts.server(aml.Sync())
    batches = [parts.Slow(each) for each in parts.shards(40)]
    training = asyncio.create_task(trained(server, batches, client))
    await fifth_update(server)
    os.kill(client.run(os.getpid)[min(client.ncores())], signal.SIGKILL)
    return await training


def with_a_cluster():
    async def asynchronous():
        async with (
            LocalCluster(n_workers=2, processes=False, asynchronous=True, **QUIET) as cluster,
            Client(cluster, asynchronous=True) as client,
        ):
            return (await trained(parts.server(aml.Async()), parts.shards(), client))["shares"]

    gc.disable()  # it would close, some time, what nobody has closed
    options = {"n_workers": 2, "processes": True, "threads_per_worker": 1}
    with LocalCluster(**options, **QUIET) as cluster, Client(cluster) as client:
        report = asyncio.run(everything(client))
    report["asynchronous client"] = asyncio.run(asynchronous())
    print(json.dumps(report))


SCHEDULER = """
import asyncio
from distributed import Scheduler, Worker
async def main():
    async with Scheduler(host="127.0.0.1", port=0, dashboard_address="127.0.0.1:0") as scheduler:
        print(scheduler.address, flush=True)
        await scheduler.finished()
asyncio.run(main())
"""
WORKERS = """
import asyncio, sys
from distributed import Worker
async def main():
    async with Worker(sys.argv[1], nthreads=1, dashboard=False) as one, Worker(
        sys.argv[1], nthreads=1, dashboard=False
    ) as other:
        await asyncio.gather(one.finished(), other.finished())
asyncio.run(main())
"""


def with_a_scheduler_that_dies():
    async def main(client, scheduler):
        server = parts.server(aml.Sync())
        batches = [parts.Slow(each) for each in parts.shards(1000)]
        training = asyncio.create_task(message(client, batches, server))
        await fifth_update(server)
        scheduler.kill()
        begun = time.monotonic()
        return await training, time.monotonic() - begun

    logging.disable(logging.CRITICAL)
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
    scheduler = subprocess.Popen([sys.executable, "-c", SCHEDULER], **pipes)
    address = scheduler.stdout.readline().strip()
    workers = subprocess.Popen([sys.executable, "-c", WORKERS, address], **pipes)
    try:
        client = Client(address)
        client.wait_for_workers(2)
        print(json.dumps({"scheduler": asyncio.run(main(client, scheduler))}), flush=True)
    finally:
        for process in (scheduler, workers):
            process.kill()
            process.wait()
    os._exit(0)  # the client would look for its scheduler for half a minute


if __name__ == "__main__":
    globals()[sys.argv[1]]()
