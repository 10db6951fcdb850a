"""Losses: how far outputs are from their targets, each formula beside its derivative.

Outputs have the shape (batch, n_out), one example per row, and L is a mean over the batch. Lesson
08 derives the cross-entropy and checks its gradient with central differences.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from asyncml.network.layers import Array


class Loss:
    """What training minimises, such as the built-in `CrossEntropy` and `MeanSquaredError`.

    To write your own, override `forward`, and `predict` if the outputs themselves are not the
    prediction. If it has settings, show them in `__repr__`: checkpoints compare models by it.

    Attributes:
        classifies: whether `predict` returns labels, so that `evaluate` counts the correct ones; if
            False, the default, `evaluate` returns the loss.

    Example:
        >>> class MeanAbsoluteError(Loss):
        ...     def forward(self, outputs, y, grad=None):
        ...         difference = outputs - y
        ...         if grad is not None:
        ...             np.divide(np.sign(difference), difference.size, out=grad)
        ...         return float(np.abs(difference).mean())
    """

    classifies = False

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"

    def forward(self, outputs: Array, y: npt.ArrayLike, grad: Array | None = None) -> float:
        """Return L, and fill `grad` with dL/doutputs if it is given.

        Args:
            outputs: (batch, n_out) float32.
            y: the targets; check them first, since they come straight from the data.
            grad: (batch, n_out) float32; may be `outputs` itself.
        """
        raise NotImplementedError

    def predict(self, outputs: Array) -> npt.NDArray[Any]:
        """Return the predictions for these outputs, row by row: here the outputs themselves.

        Args:
            outputs: (batch, n_out) float32.
        """
        return outputs


class CrossEntropy(Loss):
    """L = the mean of -log p[label], where p = softmax(outputs) row by row: for classifiers.

    dL/doutputs = (p - onehot(y)) / batch. The targets y are (batch,) integer labels, 0 to
    n_out - 1, and `predict` returns the label with the largest output, (batch,) int.
    """

    classifies = True

    def forward(self, outputs: Array, y: npt.ArrayLike, grad: Array | None = None) -> float:
        """Return `softmax_cross_entropy(outputs, y, grad)`.

        Args:
            outputs: (batch, classes) float32, the logits.
            y: (batch,) integer labels, 0 to classes - 1.
            grad: (batch, classes) float32, filled with dL/doutputs; may be `outputs` itself.
        """
        return softmax_cross_entropy(outputs, y, grad)

    def predict(self, outputs: Array) -> npt.NDArray[Any]:
        """Return the label with the largest output in each row, (batch,) int.

        Args:
            outputs: (batch, classes) float32.
        """
        labels: npt.NDArray[np.intp] = outputs.argmax(axis=1)
        return labels


class MeanSquaredError(Loss):
    """L = the mean of (outputs - y)^2 over the batch and all outputs: for regression.

    dL/doutputs = 2 (outputs - y) / (batch n_out). The targets y are (batch, n_out) floats, and
    `predict` returns the outputs.

    Example:
        >>> MeanSquaredError().forward(np.float32([[1, 2]]), np.float32([[0, 4]]))
        2.5
    """

    def forward(self, outputs: Array, y: npt.ArrayLike, grad: Array | None = None) -> float:
        """Return L, and fill `grad` with dL/doutputs if it is given.

        Args:
            outputs: (batch, n_out) float32.
            y: (batch, n_out) floats.
            grad: (batch, n_out) float32; may be `outputs` itself.

        Raises:
            TypeError: y does not hold floats.
            ValueError: y does not have the shape of the outputs, or the batch is empty.
        """
        y = np.asarray(y)
        if y.dtype.kind != "f":
            raise TypeError(f"`y` must hold floats, got {y.dtype}: y.astype(np.float32)")
        if y.shape != outputs.shape:
            hint = ": y.reshape(-1, 1)" if (*y.shape, 1) == outputs.shape else ""
            raise ValueError(f"`y` must have shape {outputs.shape}, got {y.shape}{hint}")
        if not y.size:
            raise ValueError(f"the batch is empty: `outputs` has shape {y.shape}")
        difference = np.subtract(outputs, y, out=grad, dtype=outputs.dtype, casting="same_kind")
        loss: float = np.einsum("ij,ij->", difference, difference, dtype=np.float64)
        np.multiply(difference, 2 / difference.size, out=grad)
        return float(loss / difference.size)


def softmax_cross_entropy(logits: Array, y: npt.ArrayLike, grad: Array | None = None) -> float:
    """Return the mean of -log p[label], where p = softmax(logits) row by row.

    -log p[k] = log(sum(exp(z))) - z[k]. The largest logit is subtracted first, which only keeps exp
    from overflowing (Goodfellow, Bengio & Courville 2016, section 6.2.2.3).
    dL/dz = (p - onehot(y)) / batch.

    Args:
        logits: (batch, classes) float32.
        y: (batch,) integers, 0 to classes - 1.
        grad: (batch, classes) float32, filled with dL/dlogits; may be `logits` itself.

    Raises:
        TypeError: `logits` does not hold floats, or y does not hold integers.
        ValueError: a shape is wrong, the batch is empty, or a label is out of range.

    Example:
        >>> round(softmax_cross_entropy(np.zeros((1, 10), np.float32), np.array([3])), 4)
        2.3026
    """
    logits = np.asarray(logits)
    if logits.dtype.kind != "f":
        raise TypeError(f"`logits` must hold floats, got {logits.dtype}")
    if logits.ndim != 2 or not logits.shape[1]:
        raise ValueError(f"`logits` must have shape (batch, classes), got {logits.shape}")
    if grad is not None and grad.shape != logits.shape:
        raise ValueError(
            f"`grad` must have the shape of `logits`, {logits.shape}, got {grad.shape}"
        )
    y, n = check_labels(y, logits.shape), len(logits)
    rows = np.arange(n)
    z = np.subtract(logits, logits.max(axis=1, keepdims=True), out=grad)
    picked = z[rows, y]
    total = np.exp(z, out=z).sum(axis=1, keepdims=True)
    loss = (np.log(total[:, 0]) - picked).sum(dtype=np.float64) / n
    np.divide(z, total, out=z)
    z[rows, y] -= 1
    np.divide(z, n, out=z)
    return float(loss)


def check_labels(y: npt.ArrayLike, shape: tuple[int, ...]) -> npt.NDArray[np.integer]:
    """Return the labels, (n,) ints, or raise unless they fit logits of `shape`, (n, classes)."""
    y, (n, classes) = np.asarray(y), shape
    if n == 0:
        raise ValueError(f"the batch is empty: `logits` has shape {shape}")
    if y.shape != (n,):
        hint = ": y.reshape(-1)" if y.shape == (n, 1) else ""
        raise ValueError(f"`y` must have shape ({n},) for logits of {shape}, got {y.shape}{hint}")
    if not np.issubdtype(y.dtype, np.integer):
        raise TypeError(f"`y` must hold integer labels, got {y.dtype}")
    if y.min() < 0 or y.max() >= classes:
        wrong = int(np.flatnonzero((y < 0) | (y >= classes))[0])
        raise ValueError(
            f"labels must be 0 to {classes - 1}, since there are {classes} outputs, "
            f"got {y[wrong]} at row {wrong}"
        )
    return y
