"""Serving a model: requests wait together for a batch.

    batcher     form batches when a place is free, and hand out their rows
    line        where requests wait: first come, first served, bounded
    stacking    from rows to a batch, and back
    statistics  how large the batches were, why they left, and who waited

Lesson 10 builds a batcher.
"""

from asyncml.serving.batcher import MicroBatcher, QueueFull
from asyncml.serving.statistics import BatcherStatistics

__all__ = ["BatcherStatistics", "MicroBatcher", "QueueFull"]
