"""Layers: each formula beside its derivative.

Data has the shape (batch, in), one example per row. Gradients are those of the loss L, and `dy`
stands for dL/dy. Lesson 08 derives all of them and checks them with central differences.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from asyncml.checks import check_int

Array = npt.NDArray[np.float32]  # `help` shows this name, since annotations are not evaluated


class HoldsViews:
    """Has arrays that share memory with others, so assigning to one copies into it."""

    views: ClassVar[tuple[str, ...]]  # the names of these attributes

    def __setattr__(self, name: str, value: Any) -> None:
        if name in self.views:
            copy_into(vars(self)[name], value, name)
        else:
            super().__setattr__(name, value)


def copy_into(target: Array, value: npt.ArrayLike, name: str) -> None:
    """Copy `value` into `target`, whose memory is shared; the shapes must be equal."""
    given = np.asarray(value)
    if not np.can_cast(given.dtype, target.dtype, "same_kind"):
        got = type(value).__name__ if given.ndim == 0 else given.dtype
        raise TypeError(f"`{name}` must hold real numbers, got {got}")
    if given.shape != target.shape:
        raise ValueError(f"`{name}` must have shape {target.shape}, got {given.shape}")
    np.copyto(target, given, casting="same_kind")


class Layer:
    """One function of a network and its derivative, such as the built-in `Linear` and `ReLU`.

    To write your own, override `forward` and `backward`, and set the attributes that describe it to
    `Sequential`; if it has parameters, override `bind` and `initialise` too. A layer keeps no data:
    `forward` and `backward` are given every array that they read or write. An `Array` is a NumPy
    array of float32.

    Attributes:
        n_in: the number of values in a row of x, an int; None, the default, accepts any number.
        n_out: the number of values in a row of y, an int; None, the default, means as many as in x.
        n_params: the number of parameters, 0 by default; `bind` is given that many of the model's.
        in_place: whether `forward` may be given x itself as `out`, and `backward` dy itself as dx;
            False by default. True saves memory. It suits an element-wise layer whose `backward`
            does not need x, which y has overwritten by then.
        reads_output: whether `backward` reads y; True by default. If False, the next layer may
            overwrite y if it works in place.
        bound: whether it is in a model already, and so cannot be put into another; a `bind` of your
            own must set it to True.
    """

    n_in: int | None = None
    n_out: int | None = None
    n_params = 0
    in_place = False
    reads_output = True
    bound = False

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"  # checkpoints compare models by it

    def bind(self, params: Array, grads: Array) -> None:
        """Use `params` and `grads`, (n_params,) float32 each, as the memory of this layer.

        Args:
            params: a view of the model's parameters; `initialise` sets the values.
            grads: a view of the model's gradients, to be filled by `backward`.
        """

    def initialise(self, rng: np.random.Generator) -> None:
        """Draw the initial parameters.

        Args:
            rng: the model's random generator, shared by all its layers.
        """

    def forward(self, x: Array, out: Array | None = None) -> Array:
        """Return y for x, (batch, n_out), in `out` if that is given.

        Args:
            x: (batch, n_in) float32.
            out: (batch, n_out) float32, filled with y and returned; None: a new array.
        """
        raise NotImplementedError

    def backward(self, x: Array, y: Array, dy: Array, dx: Array | None) -> None:
        """Fill the gradients of this layer, and `dx` unless it is None; may overwrite y.

        Args:
            x: the input of `forward`, (batch, n_in) float32.
            y: the output of `forward`, (batch, n_out); possibly overwritten if not `reads_output`.
            dy: dL/dy, (batch, n_out).
            dx: filled with dL/dx, (batch, n_in); None if dL/dx is not needed.
        """
        raise NotImplementedError


class Linear(HoldsViews, Layer):
    """y = x W + b: each output is a weighted sum of the inputs.

    dL/dW = x^T dL/dy, dL/db = the sum of dL/dy over the batch, dL/dx = dL/dy W^T.
    `Sequential` gives the layer its arrays `weight` (n_in, n_out) and `bias` (n_out,), and their
    gradients `weight_grad` and `bias_grad`, as views of the model's vectors; assigning to one of
    them copies into it.

    Args:
        n_in: the number of values in a row of x.
        n_out: the number of values in a row of y.

    Raises:
        TypeError: a size is not an int.
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
        """Make `weight` and `bias` views of `params`, and their gradients views of `grads`.

        Args:
            params: (n_params,) float32, a view of the model's parameters.
            grads: (n_params,) float32, a view of the model's gradients.
        """
        own = vars(self)  # `self.weight = ...` would copy
        for suffix, flat in (("", params), ("_grad", grads)):
            own["weight" + suffix] = flat[: -self.n_out].reshape(self.n_in, self.n_out)
            own["bias" + suffix] = flat[-self.n_out :]
        self.bound = True

    def initialise(self, rng: np.random.Generator) -> None:
        """Draw weights with standard deviation sqrt(2 / n_in), and set biases to 0.

        If a ReLU follows, this preserves the magnitude of the signal through any number of layers
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
            out: (batch, n_out) float32, filled and returned; None: a new array.

        Raises:
            RuntimeError: the layer is not in a model yet.
        """
        self._check_bound()
        y = np.matmul(x, self.weight, out=out)
        return np.add(y, self.bias, out=y)

    def backward(self, x: Array, y: Array, dy: Array, dx: Array | None) -> None:
        """Fill dL/dW, dL/db and dL/dx.

        Args:
            x: (batch, n_in) float32, the input of `forward`.
            y: not read.
            dy: (batch, n_out) float32.
            dx: (batch, n_in) float32, filled with dL/dx; None if dL/dx is not needed.
        """
        np.matmul(x.T, dy, out=self.weight_grad)
        np.add.reduce(dy, axis=0, out=self.bias_grad)
        if dx is not None:
            np.matmul(dy, self.weight.T, out=dx)


class ReLU(Layer):
    """y = max(x, 0): passes positive values on.

    dL/dx = dL/dy where x > 0, else 0; x > 0 exactly where y > 0.
    """

    in_place = True

    def forward(self, x: Array, out: Array | None = None) -> Array:
        """Return max(x, 0).

        Args:
            x: (batch, n) float32.
            out: an array like x, filled and returned, or x itself; None: a new array.
        """
        return np.maximum(x, 0, out=out)

    def backward(self, x: Array, y: Array, dy: Array, dx: Array | None) -> None:
        """Fill dL/dx; y is overwritten with the derivative, 0 or 1, unless `dx` is None.

        Args:
            x: not read.
            y: (batch, n) float32, the output of `forward`.
            dy: (batch, n) float32.
            dx: (batch, n) float32, filled with dL/dx, or dy itself; None if dL/dx is not needed.
        """
        if dx is not None:
            np.greater(y, 0, out=y)
            np.multiply(dy, y, out=dx)
