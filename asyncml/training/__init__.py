"""Training as an asynchronous iterator of steps.

    step              one step of training, as `fit` yields it
    protocols         what a model and an optimiser must provide
    feeding           batches, taken up to two ahead
    blas              how many threads a matrix product uses
    trainer           the thread in which a model computes
    fit               train a model, step by step
    evaluate          measure how good a model is
    checkpoint        save in the background, and restore
    checkpoint_files  how a checkpoint is written, and how the newest whole one is found
    curve             the loss, drawn during training

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
