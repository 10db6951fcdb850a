"""A network in NumPy, with its parameters in one flat vector.

    layers      what a layer is, and the two built-in ones
    losses      what training minimises
    sequential  a model made of layers
    optimizers  SGD and Adam
    aligned     arrays that start at a cache line, which is faster

Lesson 08 builds such a network. Nothing here uses asyncio.
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
