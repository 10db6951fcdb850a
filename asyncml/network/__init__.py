"""A network in NumPy, whose parameters are one flat vector.

    layers      what a layer is, and those that there are
    losses      what a model is trained to make small
    sequential  a model of layers
    optimizers  SGD and Adam
    aligned     arrays that begin where the processor likes it

Lesson 08 builds such a network. Nothing here knows of asyncio.
"""

from asyncml.network.layers import Layer, Linear, ReLU
from asyncml.network.losses import CrossEntropy, Loss, MeanSquaredError, softmax_cross_entropy
from asyncml.network.optimizers import SGD, Adam, Optimizer
from asyncml.network.sequential import MLP, Sequential

__all__ = [
    "MLP",
    "SGD",
    "Adam",
    "CrossEntropy",
    "Layer",
    "Linear",
    "Loss",
    "MeanSquaredError",
    "Optimizer",
    "ReLU",
    "Sequential",
    "softmax_cross_entropy",
]
