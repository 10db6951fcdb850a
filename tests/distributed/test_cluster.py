"""The same workers on a Dask cluster of processes; programs of their own, as Dask leaves threads.

Processes are killed in the middle: a worker's, and the scheduler's.
"""

import asyncio
import json
import os
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import pytest

import asyncml as aml
from asyncml.distributed import cluster
from asyncml.distributed.channel import Channel
from tests.distributed.models import blobs

if not find_spec("distributed"):  # which only the programs need to load
    pytest.skip("not installed: see requirements.txt", allow_module_level=True)

ROOT = Path(__file__).parents[2]
POLICIES = [aml.Sync(), aml.KSync(1), aml.SoftSync(1), aml.StaleSync(1), aml.LocalSGD(2)]


class Slow:
    """Batches that take a while, each: so that something can happen in the middle."""

    def __init__(self, batches, seconds=0.02):
        self.batches, self.seconds = batches, seconds

    def __iter__(self):
        for batch in self.batches:
            time.sleep(self.seconds)
            yield batch


class Hangs(aml.MLP):
    """A network that hangs once, in the process whose environment says so."""

    def loss_and_grads(self, x, y):
        if os.environ.pop("HANG", ""):
            time.sleep(3)
        return super().loss_and_grads(x, y)


def let_it_hang():
    os.environ["HANG"] = "yes"


class Late(Channel):
    """The connection of a worker that takes half a second to say who it is, once."""

    async def send(self, *message, **more):
        cluster.Channel = Channel
        await asyncio.sleep(0.5)
        await super().send(*message, **more)


def let_it_be_late():
    cluster.Channel = Late


class Fails(aml.MLP):
    def loss_and_grads(self, x, y):
        raise ArithmeticError("of the model")


def server(policy, kind=aml.MLP):
    model = kind([4, 5, 2], seed=0)
    return aml.ParameterServer(model, aml.SGD(model, lr=0.05, momentum=0.9), policy)


def shards(count=6, **options):
    return [blobs(count, seed=i, **options) for i in range(2)]


@pytest.fixture(scope="module")
def reports():
    names = "with_a_cluster", "with_a_scheduler_that_dies"
    programs = [
        subprocess.Popen(
            [sys.executable, "-W", "error", "-m", "tests.distributed.programs", name],
            **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "cwd": ROOT},
        )
        for name in names
    ]
    reports = {}
    try:
        for program in programs:
            out, errors = program.communicate(timeout=100)
            assert program.returncode == 0, errors
            reports |= json.loads(out.splitlines()[-1])
    finally:
        for program in programs:
            program.kill()
            program.communicate()
    return reports


@pytest.mark.parametrize("policy", [*map(repr, POLICIES)])
def test_each_batch_counts_once(reports, policy):
    assert reports[policy] == {"shares": [[1, 6], [1, 6]], "lost": [None, None], "unseen": ""}


def test_sync_gives_the_weights_of_threads_bit_for_bit(reports):
    assert reports["the same bits"]


def test_an_asynchronous_client_does_as_well(reports):
    assert reports["asynchronous client"] == [[0, 6], [0, 6]]


def test_a_vector_is_copied_once_a_step(reports):
    steps, copies = reports["copies"]
    assert copies == steps + 2  # of the parameters, for a worker; and for its first step


def test_a_worker_that_is_killed_is_lost_and_no_batch_is(reports):
    killed = reports["killed"]
    assert killed["shares"] == [[0, 40], [0, 40]]
    assert killed["unseen"] == ""
    (lost,) = [each for each in killed["lost"] if each]
    assert "is gone, its process or its connection" in lost


def test_an_error_comes_with_its_worker_and_its_place(reports):
    assert "ArithmeticError: of the model" in reports["raises"]
    assert "at batch 0 of epoch 0" in reports["raises"]


def test_one_that_hangs_is_lost(reports):
    (lost,) = [each for each in reports["hangs"]["lost"] if each]
    assert "TimeoutError: no gradient within 1 s" in lost
    assert reports["hangs"]["shares"] == [[0, 6], [0, 6]]


@pytest.mark.parametrize("afterwards", ["an error", "a hang"])
def test_nothing_runs_on_the_cluster_afterwards(reports, afterwards):
    """After the error one of them has connected, and has not said yet who it is."""
    assert reports["left after"][afterwards] == 0


def test_too_few_workers_are_an_error_at_once(reports):
    assert "for 3 workers, but the cluster has 2" in reports["too few"]


def test_a_scheduler_that_dies_is_named_within_five_seconds(reports):
    message, seconds = reports["scheduler"]
    assert "the scheduler of the Dask cluster is gone" in message
    assert "from batch" in message
    assert seconds < 5


def test_it_is_not_for_virtual_time():
    with pytest.raises(ValueError, match="`dask_client` computes for real"):
        aml.simulate(aml.train_distributed(server(aml.Sync()), shards(), dask_client=object()))


def test_anything_but_a_connected_client_is_refused():
    with pytest.raises(TypeError, match=r"`dask_client` must be a distributed\.Client that is"):
        asyncio.run(aml.train_distributed(server(aml.Sync()), shards(), dask_client="tcp://1"))
