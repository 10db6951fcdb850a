"""Only the matrix products of a step, into preallocated arrays.

Three layers need eight: three forward, three for the gradients of the weights, and two for those of
the inputs of layers two and three. No trainer computes the gradient of the images.
"""

import numpy as np

from benchmarks.network import BATCH, SIZES, Array, Batches, layer_sizes


class Adapter:
    def __init__(self) -> None:
        rng = np.random.default_rng(0)

        def some(*shape: int) -> Array:
            return rng.normal(0, 0.05, shape).astype(np.float32)

        self.weights = [some(*sizes) for sizes in layer_sizes()]
        self.weight_grads = [np.empty_like(weight) for weight in self.weights]
        self.outputs = [some(BATCH, size) for size in SIZES[1:]]
        self.deltas = [some(BATCH, size) for size in SIZES[1:]]

    def epoch(self, batches: Batches) -> None:
        for x, _ in batches:
            outputs = [output[: len(x)] for output in self.outputs]
            deltas = [delta[: len(x)] for delta in self.deltas]
            inputs = [x, *outputs[:-1]]
            for given, weight, output in zip(inputs, self.weights, outputs, strict=True):
                np.matmul(given, weight, out=output)
            for i in reversed(range(len(self.weights))):
                np.matmul(inputs[i].T, deltas[i], out=self.weight_grads[i])
                if i:
                    np.matmul(deltas[i], self.weights[i].T, out=deltas[i - 1])
