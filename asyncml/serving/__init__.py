"""Serving a model: requests wait together for a batch.

    batcher     what callers see: one request, many, or a refusal
    dispatch    form batches when a place is free, and hand out their rows
    line        where requests wait: first come, first served, bounded
    calling     run the model, and say whose failure it was
    stacking    from rows to a batch, and back
    statistics  how large the batches were, why they left, and who waited
    app         the door of the server
    service     what its routes do, and whom it refuses
    protocol    the Open Inference Protocol: from bytes to an array, and back
    openapi     the routes, for programs
    metrics     the statistics, for Prometheus

Lesson 10 builds a batcher.
"""

from asyncml.serving.app import create_app
from asyncml.serving.batcher import MicroBatcher, QueueFull
from asyncml.serving.statistics import BatcherStatistics

__all__ = ["BatcherStatistics", "MicroBatcher", "QueueFull", "create_app"]
