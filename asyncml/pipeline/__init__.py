"""Data loading: bounded, in order, with retries, and resumable after any item.

    pipeline    the stages, and the position of a run
    mixing      pipelines as the source of another
    joined      how combined pipelines run, and whose turn it is
    options     checks of the options of a stage
    sources     iterables, async iterables, and functions that return them
    stages      the cheap stages: generators over entries
    batches     items joined into lists or arrays
    held        the items that a reordering stage holds
    order       shuffle, and the base of all reordering stages
    map         a stage that calls a function, and how it treats failures
    functions   the caller's functions, and what their results mean
    retrying    the pauses between attempts, and the record of a failed item
    engine      workers over one iterator, their look-ahead, and the window of their results
    visits      handing items to threads in chunks
    streams     passing on the items of a parent as they come
    executors   threads, processes, and the caller's executors
    pools       process pools, from their start to the end of the program
    standing    the position of an epoch, now and when it was resumed
    epoch       one pass through all stages
    iteration   `async for` and `for`
    meters      the counts of each stage while it runs
    statistics  the statistics made from these counts
    drawing     the stages as a picture

The path of an item: a source numbers it; a worker of the first `map` takes it, calls the function
and places the result in the window of its stage (`engine`), or hands many items at once to a thread
(`visits`). The cheap stages (`stages`, `order`, `batches`) take what is ready from the window above
them when they are asked. `iteration` asks the last stage, and records in `standing` what it has
handed out.

Lesson 07 builds a loader.
"""

from asyncml.pipeline.batches import collate
from asyncml.pipeline.mixing import chain, mix
from asyncml.pipeline.pipeline import Pipeline
from asyncml.pipeline.retrying import Backoff, FailedItem, skip
from asyncml.pipeline.statistics import PipelineStatistics

__all__ = [
    "Backoff",
    "FailedItem",
    "Pipeline",
    "PipelineStatistics",
    "chain",
    "collate",
    "mix",
    "skip",
]
