"""Asynchronous machine learning that can be seen, predicted and measured.

A virtual clock and a timeline to see what an event loop does, a data pipeline, a network in NumPy
and its asynchronous training. The notebooks of the course teach each of these, and import them.
"""

import sys

try:
    from asyncml.clock import Deadlock, compute, simulate
    from asyncml.datasets import (
        CLASS_NAMES,
        Dataset,
        DatasetError,
        decode_png,
        encode_png,
        fashion_mnist,
        label_of,
        write_objects,
    )
    from asyncml.findings import Finding
    from asyncml.layers import Layer, Linear, ReLU, softmax_cross_entropy
    from asyncml.measuring import Measurement, measured, plot_measured
    from asyncml.meters import PipelineStatistics
    from asyncml.nn import MLP, Sequential
    from asyncml.object_store import ObjectStore
    from asyncml.optimizers import SGD, Adam, Optimizer
    from asyncml.pipeline import Pipeline, collate
    from asyncml.recorder import record
    from asyncml.stores import MemoryStore, ObjectNotFound, RequestFailed, SlowStore, Store
    from asyncml.threads import ThreadPool
    from asyncml.timeline import Slice, Timeline, TimelineStatistics
    from asyncml.training import Step, evaluate, fit
except ModuleNotFoundError:
    if sys.argv[:1] != ["-m"]:  # `python -m asyncml` says itself what is missing
        raise

__version__ = "0.1.0"

__all__ = [
    "CLASS_NAMES",
    "MLP",
    "SGD",
    "Adam",
    "Dataset",
    "DatasetError",
    "Deadlock",
    "Finding",
    "Layer",
    "Linear",
    "Measurement",
    "MemoryStore",
    "ObjectNotFound",
    "ObjectStore",
    "Optimizer",
    "Pipeline",
    "PipelineStatistics",
    "ReLU",
    "RequestFailed",
    "Sequential",
    "Slice",
    "SlowStore",
    "Step",
    "Store",
    "ThreadPool",
    "Timeline",
    "TimelineStatistics",
    "collate",
    "compute",
    "decode_png",
    "encode_png",
    "evaluate",
    "fashion_mnist",
    "fit",
    "label_of",
    "measured",
    "plot_measured",
    "record",
    "simulate",
    "softmax_cross_entropy",
    "write_objects",
]
