"""Distributed training: workers, and the coroutines that coordinate them.

    policies   when a gradient counts, and when its worker may go on
    shares     which batches are whose, and which are done
    server     the parameters and their optimiser, from run to run
    run        one run of a server: takes gradients, makes updates, says who may go on
    worker     the worker: one coroutine, wherever it runs
    train      workers in virtual time, in threads, or on a Dask cluster
    history    what was done

Lesson 11 trains with it.
"""

from asyncml.distributed.history import History, Update
from asyncml.distributed.policies import Async, KSync, LocalSGD, Policy, SoftSync, StaleSync, Sync
from asyncml.distributed.server import ParameterServer
from asyncml.distributed.train import WorkerLost, train_distributed

__all__ = [
    "Async",
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
    "train_distributed",
]
