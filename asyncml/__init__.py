"""Asynchronous machine learning that can be seen, predicted and measured.

A virtual clock and a timeline to see what an event loop does, a data pipeline, a network in NumPy
and its asynchronous training. The notebooks of the course teach each of these, and import them.

This is the table of contents: a room is entered when the first of its names is used (PEP 562), so
that `import asyncml` costs next to nothing.
"""

from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from asyncml.checkpoint import CheckpointError as CheckpointError, Checkpointer as Checkpointer
    from asyncml.clock import Deadlock as Deadlock, compute as compute, simulate as simulate
    from asyncml.datasets import (
        CLASS_NAMES as CLASS_NAMES,
        Dataset as Dataset,
        DatasetError as DatasetError,
        decode_png as decode_png,
        encode_png as encode_png,
        fashion_mnist as fashion_mnist,
        label_of as label_of,
        write_objects as write_objects,
    )
    from asyncml.findings import Finding as Finding
    from asyncml.layers import (
        Layer as Layer,
        Linear as Linear,
        ReLU as ReLU,
        softmax_cross_entropy as softmax_cross_entropy,
    )
    from asyncml.loss_curve import LossCurve as LossCurve
    from asyncml.measuring import (
        Measurement as Measurement,
        measured as measured,
        plot_measured as plot_measured,
    )
    from asyncml.meters import PipelineStatistics as PipelineStatistics
    from asyncml.nn import MLP as MLP, Sequential as Sequential
    from asyncml.object_store import ObjectStore as ObjectStore
    from asyncml.optimizers import SGD as SGD, Adam as Adam, Optimizer as Optimizer
    from asyncml.pipeline import Pipeline as Pipeline, collate as collate
    from asyncml.recorder import record as record
    from asyncml.retrying import Backoff as Backoff, FailedItem as FailedItem, skip as skip
    from asyncml.stores import (
        MemoryStore as MemoryStore,
        ObjectNotFound as ObjectNotFound,
        RequestFailed as RequestFailed,
        SlowStore as SlowStore,
        Store as Store,
    )
    from asyncml.threads import ThreadPool as ThreadPool
    from asyncml.timeline import (
        Slice as Slice,
        Timeline as Timeline,
        TimelineStatistics as TimelineStatistics,
    )
    from asyncml.training import Step as Step, evaluate as evaluate, fit as fit

__version__ = "0.1.0"

# room -> what is public of it; the imports above say the same to type checkers and editors
_ROOMS = {
    "checkpoint": "CheckpointError Checkpointer",
    "clock": "Deadlock compute simulate",
    "datasets": "CLASS_NAMES Dataset DatasetError decode_png encode_png fashion_mnist label_of "
    "write_objects",
    "findings": "Finding",
    "layers": "Layer Linear ReLU softmax_cross_entropy",
    "loss_curve": "LossCurve",
    "measuring": "Measurement measured plot_measured",
    "meters": "PipelineStatistics",
    "nn": "MLP Sequential",
    "object_store": "ObjectStore",
    "optimizers": "SGD Adam Optimizer",
    "pipeline": "Pipeline collate",
    "recorder": "record",
    "retrying": "Backoff FailedItem skip",
    "stores": "MemoryStore ObjectNotFound RequestFailed SlowStore Store",
    "threads": "ThreadPool",
    "timeline": "Slice Timeline TimelineStatistics",
    "training": "Step evaluate fit",
}
_ROOM_OF = {name: room for room, names in _ROOMS.items() for name in names.split()}

__all__ = sorted(_ROOM_OF)


def __getattr__(name: str) -> Any:
    try:
        room = _ROOM_OF[name]
    except KeyError:
        raise AttributeError(f"module 'asyncml' has no attribute {name!r}") from None
    value = getattr(import_module(f"asyncml.{room}"), name)
    globals()[name] = value  # next time it is found without asking here
    return value


def __dir__() -> list[str]:
    own = {name for name, value in globals().items() if isinstance(value, ModuleType)}
    return sorted({*__all__, *own, *(name for name in globals() if name.startswith("__"))})
