"""Data loading: bounded, in order, retried, and resumed where it stood.

    pipeline    the stages, and where a run of them stands
    mixing      pipelines as the source of another
    joined      how they run, and whose turn it is
    options     what may be asked of a stage
    sources     what is iterated
    stages      the cheap stages: generators over entries
    batches     items, joined
    held        what a stage that changes the order has in its hands
    order       shuffle, and what else changes the order
    map         a stage that calls a function, and whether it tries again
    functions   the functions of the user's, and what their results mean
    retrying    the pauses between attempts, and what is kept of an item that failed
    engine      workers over one iterator, how far they run ahead, and the window of their results
    visits      handing items to threads in chunks
    streams     handing on the items of a parent as they come
    executors   threads, processes, and executors of the user's
    standing    where an epoch stands, and stood when it was resumed
    epoch       one pass through all stages
    iteration   `async for` and `for`
    meters      what each stage has done, as it is counted
    statistics  what each stage has done, as it is read
    drawing     the stages as a picture

The way of an item: a source numbers it; a worker of the first `map` takes it, calls the function,
and places the result in the window of its stage (`engine`), or has threads do that for many at once
(`visits`). The cheap stages (`stages`, `order`, `batches`) take what is ready out of the window
above them, when they are asked. `iteration` asks the last stage of all, and notes in `standing`
what it has handed out.

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
