"""The network that every trainer trains, and its images."""

from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

import asyncml as aml

SIZES = (784, 256, 128, 10)
RATE = 1e-3
BATCH = 128
EARLY = 4  # timed epochs from the third on; in later ones numbers become tiny
LATE = 12  # epochs after which they are tiny

Array = npt.NDArray[Any]
Batches = list[tuple[Array, Array]]


def images(size: int) -> tuple[Array, Array]:
    """Return `size` images, (size, 784) float32, and labels; 12,000 come with asyncml."""
    both = aml.fashion_mnist()
    x = np.concatenate([each.images for each in both])[:size].reshape(-1, SIZES[0])
    y = np.concatenate([each.labels for each in both])[:size]
    return x.astype(np.float32) / 255, y.astype(np.int64)  # the only type of label that torch takes


def in_batches(x: Array, y: Array) -> Batches:
    return [(x[i : i + BATCH], y[i : i + BATCH]) for i in range(0, len(x), BATCH)]


def layer_sizes() -> list[tuple[int, int]]:
    return [*pairwise(SIZES)]
