"""A network in NumPy, whose parameters are one flat vector.

    layers      what a layer is, and those that there are
    sequential  a model of layers
    optimizers  SGD and Adam
    aligned     arrays that begin where the processor likes it

Lesson 08 builds such a network. Nothing here knows of asyncio.
"""

from asyncml.network.layers import Layer, Linear, ReLU, softmax_cross_entropy
from asyncml.network.optimizers import SGD, Adam, Optimizer
from asyncml.network.sequential import MLP, Sequential

__all__ = [
    "MLP",
    "SGD",
    "Adam",
    "Layer",
    "Linear",
    "Optimizer",
    "ReLU",
    "Sequential",
    "softmax_cross_entropy",
]
