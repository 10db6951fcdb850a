"""The network that everyone trains, and the images that it is trained on."""

from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

import asyncml as aml

SIZES = (784, 256, 128, 10)
RATE = 1e-3
BATCH = 128
EARLY = 4  # epochs from the third on that are timed: later, numbers have become tiny
LATE = 12  # epochs after which they have

Array = npt.NDArray[Any]
Batches = list[tuple[Array, Array]]


def images(size: int) -> tuple[Array, Array]:
    """Return `size` images, (size, 784) float32, and their labels: 12,000 are shipped with us."""
    both = aml.fashion_mnist()
    x = np.concatenate([each.images for each in both])[:size].reshape(-1, SIZES[0])
    y = np.concatenate([each.labels for each in both])[:size]
    return x.astype(np.float32) / 255, y.astype(np.int64)  # torch takes labels of no other type


def in_batches(x: Array, y: Array) -> Batches:
    return [(x[i : i + BATCH], y[i : i + BATCH]) for i in range(0, len(x), BATCH)]


def layer_sizes() -> list[tuple[int, int]]:
    return [*pairwise(SIZES)]
