"""A neural network in NumPy: a sequence of layers over one flat vector of parameters.

All parameters of a model are in one vector and all gradients in another, and each layer has views
of both. An optimiser is then a few operations on whole vectors, a checkpoint is one copy, and an
all-reduce is one message. Each step reuses the buffers of the step before. There is no asyncio
here; lesson 08 builds this class piece by piece.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from asyncml.checks import check_int
from asyncml.network.aligned import zeros
from asyncml.network.layers import Array, HoldsViews, Layer, Linear, ReLU
from asyncml.network.losses import CrossEntropy, Loss


class Sequential(HoldsViews):
    """A sequence of layers, and the loss of the last one's outputs.

    A copy (`copy.copy`, `copy.deepcopy`, pickle) is an independent model, whose layers have views
    of its own vectors. `forward` and `predict` may run in several threads at once; `loss_and_grads`
    may not, because it writes to `grads` and to buffers that it keeps.

    Args:
        layers: the layers, in the order in which they are applied.
        seed: the seed of the generator that draws the initial parameters.
        loss: what training minimises. None: `CrossEntropy()`, for a classifier whose outputs are
            logits.

    Attributes:
        layers: the layers, a tuple.
        loss: the loss.
        n_in: the number of values in a row of x.
        n_out: the number of values in a row of the output; for a classifier, of classes.
        params: all parameters, (P,) float32; assigning copies into it.
        grads: the gradient of the loss by each parameter, (P,) float32; assigning copies into it.

    Raises:
        TypeError: `loss` is not a `Loss`, or a layer is not a `Layer`.
        ValueError: a layer's output does not fit the next one, or a layer is in a model already.

    Example:
        >>> model = Sequential(Linear(2, 3), ReLU(), Linear(3, 2), seed=0)
        >>> model
        Sequential(Linear(2, 3), ReLU(), Linear(3, 2))
        >>> model.params.shape
        (17,)
        >>> from asyncml.network.losses import MeanSquaredError
        >>> Sequential(Linear(2, 1), loss=MeanSquaredError())
        Sequential(Linear(2, 1), loss=MeanSquaredError())
    """

    views = ("params", "grads")
    params: Array
    grads: Array

    def __init__(self, *layers: Layer, seed: int = 0, loss: Loss | None = None) -> None:
        self.loss = CrossEntropy() if loss is None else loss
        if not isinstance(self.loss, Loss):
            raise TypeError(f"`loss` must be a Loss such as CrossEntropy(), got {loss!r}")
        rng = np.random.default_rng(seed)  # before the layers are bound, in case it raises
        self._adopt(layers)
        for layer in self.layers:
            layer.initialise(rng)

    def _adopt(self, layers: Sequence[Layer]) -> None:
        self._widths = _chain(layers)
        self.layers = tuple(layers)
        self.n_in, self.n_out = self._widths[0], self._widths[-1]
        size = sum(layer.n_params for layer in layers)
        vars(self).update(params=zeros(size), grads=zeros(size))
        start = 0
        for layer in layers:
            end = start + layer.n_params
            layer.bind(self.params[start:end], self.grads[start:end])
            start = end
        self._outputs: list[Array] = []  # of each layer, for the largest batch so far
        self._deltas: list[Array] = []  # dL/d(output) of each layer

    def __repr__(self) -> str:
        parts = [*map(repr, self.layers)]
        if type(self.loss) is not CrossEntropy:
            parts.append(f"loss={self.loss!r}")
        return f"{type(self).__name__}({', '.join(parts)})"

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"_outputs": [], "_deltas": []}

    def __setstate__(self, state: dict[str, Any]) -> None:
        layers = [copy.copy(layer) for layer in state["layers"]]
        own = {id(old): new for old, new in zip(state["layers"], layers, strict=True)}
        # including attributes of a subclass, such as a second name for a layer
        vars(self).update({name: own.get(id(value), value) for name, value in state.items()})
        self._adopt(layers)
        self.params, self.grads = state["params"], state["grads"]

    def state(self) -> dict[str, Array]:
        """Return the live arrays that training changes: copy to save, fill to restore."""
        return {"params": self.params}

    def forward(self, x: npt.ArrayLike) -> Array:
        """Return the outputs for `x`, (batch, n_out) float32, in a new array.

        Args:
            x: (batch, n_in) float32; other floats are converted, which costs a copy.

        Raises:
            TypeError: x does not hold floats, as with unscaled pixels.
            ValueError: x has the wrong shape.
        """
        given = y = self._checked_input(x)
        for layer in self.layers:
            y = layer.forward(y, out=y if layer.in_place and y is not given else None)
        return y

    def predict(self, x: npt.ArrayLike) -> npt.NDArray[Any]:
        """Return the prediction for each row of x, as the loss defines it.

        With `CrossEntropy` it is the label with the largest output, (batch,) int; with
        `MeanSquaredError` it is the outputs themselves, (batch, n_out) float32.

        Args:
            x: (batch, n_in) float32; other floats are converted, which costs a copy.
        """
        return self.loss.predict(self.forward(x))

    def loss_and_grads(self, x: npt.ArrayLike, y: npt.ArrayLike) -> float:
        """Return the loss of a batch, and fill `grads` with its gradient.

        After the largest batch it allocates only a few numbers per row, and nothing of the size of
        a layer's output.

        Args:
            x: (batch, n_in) float32; other floats are converted, which costs a copy.
            y: the targets that the loss takes. `CrossEntropy`: (batch,) integer labels, 0 to
                n_out - 1; `MeanSquaredError`: (batch, n_out) floats.

        Raises:
            TypeError: x does not hold floats, or y does not hold what the loss takes.
            ValueError: a shape is wrong, the batch is empty, or a label is out of range.

        Example:
            >>> model = MLP([4, 8, 3])
            >>> round(model.loss_and_grads(np.zeros((2, 4), np.float32), [0, 2]), 4)
            1.0986
        """
        x = self._checked_input(x)
        outputs, deltas = self._buffers(len(x))
        inputs = [x, *outputs[:-1]]
        for layer, given, out in zip(self.layers, inputs, outputs, strict=True):
            layer.forward(given, out)
        loss = self.loss.forward(outputs[-1], y, deltas[-1])
        for i in reversed(range(len(self.layers))):
            dx = deltas[i - 1] if i else None  # the gradient of the data is not needed
            self.layers[i].backward(inputs[i], outputs[i], deltas[i], dx)
        return loss

    def _buffers(self, n: int) -> tuple[list[Array], list[Array]]:
        """Return buffers for each layer's output and its gradient, for a batch of n."""
        if not self._outputs or len(self._outputs[0]) < n:
            self._outputs, self._deltas = [], []
            for i, layer in enumerate(self.layers):
                reuse = i > 0 and layer.in_place and not self.layers[i - 1].reads_output
                for arrays in (self._outputs, self._deltas):
                    shape = (n, self._widths[i + 1])
                    arrays.append(arrays[-1] if reuse else zeros(shape))
        return [a[:n] for a in self._outputs], [a[:n] for a in self._deltas]

    def _checked_input(self, x: npt.ArrayLike) -> Array:
        x = np.asarray(x)
        if not np.issubdtype(x.dtype, np.floating):
            hint = ": scale pixels first, x.astype(np.float32) / 255" if x.dtype == np.uint8 else ""
            raise TypeError(f"`x` must hold floats, got {x.dtype}{hint}")
        if x.ndim != 2 or x.shape[1] != self.n_in:
            flat = x.ndim > 2 and math.prod(x.shape[1:]) == self.n_in
            hint = ": flatten it first, x.reshape(len(x), -1)" if flat else ""
            raise ValueError(f"`x` must have shape (batch, {self.n_in}), got {x.shape}{hint}")
        return x.astype(np.float32, copy=False)


class MLP(Sequential):
    """A multi-layer perceptron: Linear layers with a ReLU between each pair.

    Args:
        sizes: the number of values in a row of x, of each hidden layer and of the output; the last
            is the number of classes for a classifier.
        seed: the seed of the generator that draws the initial parameters.
        loss: as for `Sequential`.

    Raises:
        TypeError: `sizes` is not a list of ints.
        ValueError: there are fewer than two sizes, or one is below 1.

    Example:
        >>> MLP([784, 256, 10])
        MLP(Linear(784, 256), ReLU(), Linear(256, 10))
    """

    def __init__(self, sizes: Sequence[int], *, seed: int = 0, loss: Loss | None = None) -> None:
        if not isinstance(sizes, Iterable):
            raise TypeError(f"`sizes` must be a list such as [784, 256, 10], got {sizes!r}")
        sizes = [check_int("sizes", size) for size in sizes]
        if len(sizes) < 2:
            raise ValueError(f"`sizes` must name the input and the output at least, got {sizes}")
        layers: list[Layer] = []
        for n_in, n_out in pairwise(sizes):
            layers += [Linear(n_in, n_out), ReLU()]
        super().__init__(*layers[:-1], seed=seed, loss=loss)


def _chain(layers: Sequence[Layer]) -> list[int]:
    """Return the row widths of the input and of each layer's output; raise if they do not fit."""
    for i, layer in enumerate(layers):
        if not isinstance(layer, Layer):
            raise TypeError(f"a model is made of Layer objects, got {layer!r}: Sequential(*layers)")
        if layer.bound or (layer.n_params and any(layer is other for other in layers[:i])):
            raise ValueError(f"{layer} is in a model already: make a new layer for each place")
    if not layers or layers[0].n_in is None:
        got = layers[0] if layers else "no layers"
        raise ValueError(
            f"the first layer must say how wide its input is, as Linear does, got {got}"
        )
    widths, source = [layers[0].n_in], ""
    for i, layer in enumerate(layers):
        if layer.n_in not in (None, widths[-1]):
            raise ValueError(
                f"layer {i}, {layer}, takes rows of {layer.n_in} values, "
                f"but {source} gives rows of {widths[-1]}"
            )
        if layer.n_out is not None:
            source = f"layer {i}, {layer},"
        widths.append(widths[-1] if layer.n_out is None else layer.n_out)
    return widths
