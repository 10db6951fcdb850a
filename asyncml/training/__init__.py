"""Training as an asynchronous iterator of steps.

    step              what is known of one step
    fit               train a model, step by step, and evaluate it
    feeding           batches, handed over two ahead
    trainer           the thread in which the steps run
    switching         how long other threads may keep the trainer waiting
    blas              how many threads the products of matrices use
    checkpoint        save in the background, and restore
    checkpoint_files  how a checkpoint is written, and found whole again
    curve             the loss, drawn while it trains

Lesson 09 trains with it.
"""

from asyncml.training.checkpoint import Checkpointer, CheckpointError
from asyncml.training.curve import LossCurve
from asyncml.training.fit import evaluate, fit
from asyncml.training.step import Step

__all__ = [
    "CheckpointError",
    "Checkpointer",
    "LossCurve",
    "Step",
    "evaluate",
    "fit",
]
