"""Serving a model: requests wait together for a batch.

    batcher     the public interface: one row, many rows, or a refusal
    dispatch    form batches when a place is free, and hand out their rows
    line        where requests wait: first come, first served, bounded
    calling     call the model, and say whose failure it was
    stacking    from rows to a batch, and back
    statistics  how large the batches were, why they left, how long rows waited
    app         the ASGI application
    service     what its routes do, and which requests they refuse
    protocol    the Open Inference Protocol: from bytes to an array, and back
    openapi     the routes as an OpenAPI document
    metrics     the statistics, for Prometheus

Lesson 10 builds a batcher.
"""

from asyncml.serving.app import create_app
from asyncml.serving.batcher import MicroBatcher, QueueFull
from asyncml.serving.statistics import BatcherStatistics

__all__ = ["BatcherStatistics", "MicroBatcher", "QueueFull", "create_app"]
