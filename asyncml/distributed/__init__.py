"""Distributed training: workers, and the coroutines that coordinate them.

    policies   when a gradient counts, and when its worker may continue
    shares     which worker has which batches, and which are done
    server     the parameters and their optimiser, from run to run
    run        one run of a server: take gradients, make updates, let workers continue
    worker     the worker: one coroutine, wherever it runs
    channel    messages over a connection, straight from memory
    cluster    workers on a Dask cluster
    train      workers in virtual time, in threads, or on a Dask cluster
    allreduce  the sum of all workers' vectors in a ring, without a server
    history    the record of a run

Lesson 11 trains with it.
"""

from asyncml.distributed.allreduce import ring_all_reduce
from asyncml.distributed.cluster import ClusterLost
from asyncml.distributed.history import History, Update
from asyncml.distributed.policies import Async, KSync, LocalSGD, Policy, SoftSync, StaleSync, Sync
from asyncml.distributed.server import ParameterServer
from asyncml.distributed.train import WorkerLost, train_distributed

__all__ = [
    "Async",
    "ClusterLost",
    "History",
    "KSync",
    "LocalSGD",
    "ParameterServer",
    "Policy",
    "SoftSync",
    "StaleSync",
    "Sync",
    "Update",
    "WorkerLost",
    "ring_all_reduce",
    "train_distributed",
]
