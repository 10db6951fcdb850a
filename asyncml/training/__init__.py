"""Training as an asynchronous iterator of steps.

    step              what is known of one step
    protocols         what is asked of a model and of an optimiser
    feeding           batches, handed over two ahead
    blas              how many threads the products of matrices use
    trainer           the thread in which a model computes
    fit               train a model, step by step
    evaluate          say how good it is
    checkpoint        save in the background, and restore
    checkpoint_files  how a checkpoint is written, and found whole again
    curve             the loss, drawn while it trains

Lesson 09 trains with it.
"""

from asyncml.training.checkpoint import Checkpointer, CheckpointError
from asyncml.training.curve import LossCurve
from asyncml.training.evaluate import evaluate
from asyncml.training.fit import fit
from asyncml.training.step import Step

__all__ = [
    "CheckpointError",
    "Checkpointer",
    "LossCurve",
    "Step",
    "evaluate",
    "fit",
]
