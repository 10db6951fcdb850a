"""Asynchronous machine learning that you can see, predict and measure.

A virtual clock and a timeline that show what an event loop does, a data pipeline, a network in
NumPy and its asynchronous training. The notebooks of the course teach them all, then import them.

This module is the table of contents: a room is imported when one of its names is first used
(PEP 562), so `import asyncml` costs next to nothing.
"""

from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from asyncml.clock import *
    from asyncml.course import *
    from asyncml.distributed import *
    from asyncml.images import *
    from asyncml.network import *
    from asyncml.pipeline import *
    from asyncml.serving import *
    from asyncml.stores import *
    from asyncml.threads import ThreadPool as ThreadPool
    from asyncml.timeline import *
    from asyncml.training import *

__version__ = "0.1.0"

# room -> its public names
_ROOMS = {
    "clock": "Deadlock compute simulate",
    "course": "Measurement bets measured plot_measured progress projector",
    "distributed": "Async ClusterLost History KSync LocalSGD ParameterServer Policy SoftSync "
    "StaleSync Sync Update WorkerLost ring_all_reduce train_distributed",
    "images": "CLASS_NAMES Dataset DatasetError decode_png encode_png fashion_mnist label_of "
    "write_objects",
    "network": "Adam CrossEntropy Layer Linear Loss MLP MeanSquaredError Optimizer ReLU SGD "
    "Sequential softmax_cross_entropy",
    "pipeline": "Backoff FailedItem Pipeline PipelineStatistics chain collate mix skip",
    "serving": "BatcherStatistics MicroBatcher QueueFull create_app",
    "stores": "Hedged MemoryStore ObjectNotFound ObjectStore RateLimited RequestFailed SlowStore "
    "Store",
    "threads": "ThreadPool",
    "timeline": "Finding Slice Timeline TimelineStatistics record",
    "training": "Checkpointer CheckpointError LossCurve Step evaluate fit",
}
_ROOM_OF = {name: room for room, names in _ROOMS.items() for name in names.split()}

__all__ = sorted(_ROOM_OF)


def __getattr__(name: str) -> Any:
    try:
        room = _ROOM_OF[name]
    except KeyError:
        raise AttributeError(f"module 'asyncml' has no attribute {name!r}") from None
    value = getattr(import_module(f"asyncml.{room}"), name)
    globals()[name] = value  # later lookups do not come through here
    return value


def __dir__() -> list[str]:
    own = {name for name, value in globals().items() if isinstance(value, ModuleType)}
    return sorted({*__all__, *own, *(name for name in globals() if name.startswith("__"))})
