"""Layers: each formula beside its derivative.

Data is laid out as (batch, in), one example a row. Gradients are those of the loss L, and `dy`
stands for dL/dy. Lesson 08 derives all of them and checks them by central differences.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from asyncml.checks import check_int

Array = npt.NDArray[np.float32]  # by this name in `help`, since annotations are not evaluated


class HoldsViews:
    """Has arrays that share their memory with others, so that assigning to one copies into it."""

    views: ClassVar[tuple[str, ...]]  # their names

    def __setattr__(self, name: str, value: Any) -> None:
        if name in self.views:
            copy_into(vars(self)[name], value, name)
        else:
            super().__setattr__(name, value)


def copy_into(target: Array, value: npt.ArrayLike, name: str) -> None:
    """Copy `value` into `target`, whose memory is shared; its shape must be the same."""
    given = np.asarray(value)
    if not np.can_cast(given.dtype, target.dtype, "same_kind"):
        got = type(value).__name__ if given.ndim == 0 else given.dtype
        raise TypeError(f"`{name}` must hold real numbers, got {got}")
    if given.shape != target.shape:
        raise ValueError(f"`{name}` must have shape {target.shape}, got {given.shape}")
    np.copyto(target, given, casting="same_kind")


class Layer:
    """One function of a network and its derivative; `Linear` and `ReLU` are the ones given here.

    To write your own, override `forward` and `backward`, and set the attributes that tell a
    `Sequential` about it; if it has parameters, override `bind` and `initialise` too. A layer keeps
    no data: `forward` and `backward` are given every array that they read or write. An `Array` is a
    NumPy array of float32.

    Attributes:
        n_in: values in a row of x, an int; None, as here, for any number.
        n_out: values in a row of y, an int; None, as here, for as many as in x.
        n_params: how many parameters it has, 0 here; `bind` is given that many of the model's.
        in_place: whether `forward` may be given x itself as `out`, and `backward` dy itself as dx;
            False here. True saves memory, and suits a layer that works element by element and whose
            `backward` does not need x, which y has overwritten by then.
        reads_output: whether `backward` reads y; True here. If False, a layer behind it that works
            in place may overwrite y.
        bound: whether it is in a model already, and so cannot be put into another; a `bind` of your
            own sets it to True.
    """

    n_in: int | None = None
    n_out: int | None = None
    n_params = 0
    in_place = False
    reads_output = True
    bound = False

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"  # a checkpoint tells models apart by it

    def bind(self, params: Array, grads: Array) -> None:
        """Take `params` and `grads`, (n_params,) each, as the memory of this layer.

        Args:
            params: a view of the model's parameters; its values come with `initialise`.
            grads: a view of the model's gradients, to be filled by `backward`.
        """

    def initialise(self, rng: np.random.Generator) -> None:
        """Draw the parameters.

        Args:
            rng: the generator to draw from; it is that of the whole model.
        """

    def forward(self, x: Array, out: Array | None = None) -> Array:
        """Return y for x: (batch, n_in), written into `out`, (batch, n_out), where it is given.

        Args:
            x: (batch, n_in) float32.
            out: (batch, n_out) float32, to be filled with y and returned; None: a new array.
        """
        raise NotImplementedError

    def backward(self, x: Array, y: Array, dy: Array, dx: Array | None) -> None:
        """Fill the gradients of this layer and, unless it is None, `dx`; may overwrite y.

        Args:
            x: what `forward` was given, (batch, n_in).
            y: what it returned, (batch, n_out); no longer that, if `reads_output` is False.
            dy: dL/dy, (batch, n_out).
            dx: to be filled with dL/dx, (batch, n_in); None where nobody asks for it.
        """
        raise NotImplementedError


class Linear(HoldsViews, Layer):
    """y = x W + b: each output is a weighted sum of the inputs.

    dL/dW = x^T dL/dy, dL/db = the sum of dL/dy over the batch, dL/dx = dL/dy W^T.
    The arrays `weight` (n_in, n_out) and `bias` (n_out,), and their gradients `weight_grad` and
    `bias_grad`, come with the `Sequential` that the layer is put into, as views of its vectors;
    assigning to one copies into it.

    Args:
        n_in: values in a row of x.
        n_out: values in a row of y.

    Raises:
        TypeError: a size is no int.
        ValueError: a size is below 1.
    """

    views = ("weight", "bias", "weight_grad", "bias_grad")
    reads_output = False
    n_in: int
    n_out: int
    weight: Array
    bias: Array
    weight_grad: Array
    bias_grad: Array

    def __init__(self, n_in: int, n_out: int) -> None:
        self.n_in, self.n_out = check_int("n_in", n_in), check_int("n_out", n_out)
        self.n_params = (self.n_in + 1) * self.n_out

    def __repr__(self) -> str:
        return f"Linear({self.n_in}, {self.n_out})"

    def __getstate__(self) -> dict[str, Any]:
        return {"n_in": self.n_in, "n_out": self.n_out, "n_params": self.n_params}

    def __setattr__(self, name: str, value: Any) -> None:
        if name in self.views:
            self._check_bound()
        super().__setattr__(name, value)

    def _check_bound(self) -> None:
        if not self.bound:
            raise RuntimeError(f"{self} has no arrays yet: put the layer into a Sequential first")

    def bind(self, params: Array, grads: Array) -> None:
        """Lay `weight` and `bias` over `params`, and their gradients over `grads`.

        Args:
            params: (n_params,) float32, a view of the model's.
            grads: (n_params,) float32, a view of the model's.
        """
        own = vars(self)  # `self.weight = ...` would copy
        for suffix, flat in (("", params), ("_grad", grads)):
            own["weight" + suffix] = flat[: -self.n_out].reshape(self.n_in, self.n_out)
            own["bias" + suffix] = flat[-self.n_out :]
        self.bound = True

    def initialise(self, rng: np.random.Generator) -> None:
        """Draw weights with standard deviation sqrt(2 / n_in), set biases to 0.

        With a ReLU behind it this keeps the size of the signal through any number of layers
        (He et al. 2015, section 2.2).

        Args:
            rng: the generator to draw from.
        """
        self.weight[...] = rng.normal(0.0, math.sqrt(2 / self.n_in), self.weight.shape)
        self.bias[...] = 0

    def forward(self, x: Array, out: Array | None = None) -> Array:
        """Return x W + b: (batch, n_in) -> (batch, n_out).

        Args:
            x: (batch, n_in) float32.
            out: (batch, n_out) float32, to be filled; None: a new array.

        Raises:
            RuntimeError: the layer is not in a model yet.
        """
        self._check_bound()
        y = np.matmul(x, self.weight, out=out)
        return np.add(y, self.bias, out=y)

    def backward(self, x: Array, y: Array, dy: Array, dx: Array | None) -> None:
        """Fill dL/dW, dL/db and dL/dx.

        Args:
            x: (batch, n_in) float32, what `forward` was given.
            y: not read.
            dy: (batch, n_out) float32.
            dx: (batch, n_in) float32, to be filled; None where nobody asks for it.
        """
        np.matmul(x.T, dy, out=self.weight_grad)
        np.add.reduce(dy, axis=0, out=self.bias_grad)
        if dx is not None:
            np.matmul(dy, self.weight.T, out=dx)


class ReLU(Layer):
    """y = max(x, 0): lets what is positive pass.

    dL/dx = dL/dy where x > 0, else 0; and x > 0 exactly where y > 0.
    """

    in_place = True

    def forward(self, x: Array, out: Array | None = None) -> Array:
        """Return max(x, 0).

        Args:
            x: (batch, n) float32.
            out: an array like x, to be filled, or x itself; None: a new array.
        """
        return np.maximum(x, 0, out=out)

    def backward(self, x: Array, y: Array, dy: Array, dx: Array | None) -> None:
        """Fill dL/dx; y becomes the derivative, 0 or 1.

        Args:
            x: not read.
            y: (batch, n) float32, what `forward` returned.
            dy: (batch, n) float32.
            dx: (batch, n) float32, to be filled, or dy itself; None where nobody asks for it.
        """
        if dx is not None:
            np.greater(y, 0, out=y)
            np.multiply(dy, y, out=dx)
