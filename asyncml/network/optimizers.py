"""Optimisers: they update a model's parameters from its gradients, in place on the flat vectors.

Their own state (velocity, moments) is in flat vectors like the parameters, so a checkpoint copies
all of it at once. Lesson 08 derives both optimisers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from asyncml.checks import check_model, check_number
from asyncml.network.aligned import zeros
from asyncml.network.layers import Array

if TYPE_CHECKING:
    from asyncml.network.sequential import Sequential

# Parameters per block. Adam's five vectors then take 640 KB and stay in a core's cache through all
# ten operations of a step.
BLOCK = 32_768


def _checked(name: str, value: object, rule: str, holds: Callable[[float], bool]) -> float:
    number = check_number(name, value, rule)
    if not holds(number):
        got = value if math.isfinite(number) else number  # avoids printing thousands of digits
        raise ValueError(f"`{name}` must be {rule}, got {got}")
    return number


_rate = partial(_checked, rule="a finite number >= 0", holds=lambda number: 0 <= number < math.inf)
_positive = partial(_checked, rule="> 0", holds=lambda number: 0 < number < math.inf)
_share = partial(_checked, rule=">= 0 and < 1", holds=lambda number: 0 <= number < 1)


def _shares(name: str, value: Any) -> tuple[float, float]:
    if not isinstance(value, Sequence | np.ndarray) or np.shape(value) != (2,):
        raise TypeError(f"`{name}` must be two numbers, each >= 0 and < 1, got {value!r}")
    return _share(name, value[0]), _share(name, value[1])


class Optimizer:
    """Updates `model.params` from `model.grads`, in place; `SGD` and `Adam` are built in.

    Attributes:
        model: the model whose parameters it updates.
        lr: the learning rate, a float; may be changed between two steps, even to 0, as at the end
            of a schedule.
        settings: for the name of each setting, the function that checks every new value.
    """

    settings: ClassVar[dict[str, Callable[[str, Any], Any]]] = {"lr": _rate}

    def __init__(self, model: Sequential, lr: float) -> None:
        check_model(model, "loss_and_grads")
        self.lr = _checked("lr", lr, "a finite number > 0", lambda number: 0 < number < math.inf)
        self.model = model
        self._room = zeros(min(len(model.params), BLOCK))

    def __setattr__(self, name: str, value: Any) -> None:
        check = self.settings.get(name)
        super().__setattr__(name, value if check is None else check(name, value))

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """Return the live arrays that the next step depends on: copy to save, fill to restore.

        Example:
            >>> from asyncml.network.sequential import MLP
            >>> sorted(Adam(MLP([4, 3])).state())
            ['g2_sum', 'g_sum', 't']
        """
        raise NotImplementedError

    def step(self) -> None:
        """Update the parameters by one step."""
        raise NotImplementedError

    def _blocks(self) -> Iterator[tuple[slice, Array]]:
        """Yield the blocks of the vectors, each with a buffer for an intermediate result.

        The first block comes last, so it is still in the cache when the next forward pass starts
        with the first layer.
        """
        size = len(self.model.params)
        for start in reversed(range(0, size, BLOCK)):
            end = min(start + BLOCK, size)
            yield slice(start, end), self._room[: end - start]


class SGD(Optimizer):
    """Stochastic gradient descent: `velocity = momentum * velocity + g`, `p -= lr * velocity`.

    Source: Goodfellow, Bengio & Courville 2016, section 8.3.2, but with lr outside the velocity, as
    in PyTorch, so that a change of lr takes effect at once.

    Args:
        model: the model whose parameters it updates.
        lr: the learning rate.
        momentum: the fraction of the velocity that is kept, from 0 to below 1; like lr, it may be
            changed between two steps.

    Raises:
        TypeError: `model` is not a model, or another argument is not a number.
        ValueError: an argument is out of range.
    """

    settings = Optimizer.settings | {"momentum": _share}

    def __init__(self, model: Sequential, lr: float, momentum: float = 0.0) -> None:
        super().__init__(model, lr)
        self.momentum = momentum
        self.velocity = zeros(len(model.params))

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """Return `velocity`, (P,) float32."""
        return {"velocity": self.velocity}

    def step(self) -> None:
        """Update the parameters by one step."""
        lr, momentum = self.lr, self.momentum
        for block, update in self._blocks():
            params, grads = self.model.params[block], self.model.grads[block]
            velocity = self.velocity[block]
            np.multiply(velocity, momentum, out=velocity)
            np.add(velocity, grads, out=velocity)
            np.multiply(velocity, lr, out=update)
            np.subtract(params, update, out=params)


# A float32 below 1e-38 is denormal, and arithmetic with denormals is many times slower. So every
# 64 steps values of g_sum below 1e-30, far too small to change a parameter, are set to 0.
_NEGLIGIBLE, _EVERY = 1e-30, 64


class Adam(Optimizer):
    """Steps of about lr in each parameter: its mean gradient over its root-mean-square gradient.

    p -= lr m / (sqrt(v) + eps), where m and v are weighted means of g and of g^2: a gradient from i
    steps ago has the weight beta1^i in m and beta2^i in v. A mean is a weighted sum divided by the
    sum of the weights. The state holds the weighted sums, since g_sum = beta1 g_sum + g takes one
    operation less than a moving average.
    Source: Kingma & Ba 2015, algorithm 1, whose bias-corrected m and v are these means.

    Args:
        model: the model whose parameters it updates.
        lr: the learning rate.
        betas: the fractions of the sums for m and v that are kept, each from 0 to below 1. If they
            are changed, earlier steps count as if they had been made with the new values.
        eps: avoids a division by 0 for parameters without a gradient.

    Raises:
        TypeError: `model` is not a model, or another argument is not a number.
        ValueError: an argument is out of range.
    """

    settings = Optimizer.settings | {"betas": _shares, "eps": _positive}

    def __init__(
        self,
        model: Sequential,
        lr: float = 1e-3,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
    ) -> None:
        super().__init__(model, lr)
        self.betas, self.eps = betas, eps
        self.g_sum, self.g2_sum = zeros(len(model.params)), zeros(len(model.params))
        self.t = np.zeros((), np.int64)
        self._negligible = np.zeros(len(self._room), np.bool_)

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """Return the sums, (P,) float32 each, and `t`, () int64, the number of steps taken."""
        return {"g_sum": self.g_sum, "g2_sum": self.g2_sum, "t": self.t}

    def step(self) -> None:
        """Update the parameters by one step."""
        self.t += 1
        betas = self.betas
        n1, n2 = (_weights(beta, int(self.t)) for beta in betas)
        root = math.sqrt(n2)  # factored out of sqrt(v): one number is divided, not a vector
        lr, eps = self.lr * root / n1, self.eps * root
        for block, update in self._blocks():
            params, grads = self.model.params[block], self.model.grads[block]
            g_sum, g2_sum = self.g_sum[block], self.g2_sum[block]
            np.multiply(g_sum, betas[0], out=g_sum)
            np.add(g_sum, grads, out=g_sum)
            np.multiply(g2_sum, betas[1], out=g2_sum)
            np.multiply(grads, grads, out=update)
            np.add(g2_sum, update, out=g2_sum)
            np.sqrt(g2_sum, out=update)
            np.add(update, eps, out=update)
            np.divide(g_sum, update, out=update)
            np.multiply(update, lr, out=update)
            np.subtract(params, update, out=params)
        if self.t % _EVERY == 0:  # depends on t alone, so a resumed run does the same
            self._cut_off()

    def _cut_off(self) -> None:
        for block, size in self._blocks():
            g_sum, negligible = self.g_sum[block], self._negligible[: len(size)]
            np.less(np.abs(g_sum, out=size), _NEGLIGIBLE, out=negligible)
            np.copyto(g_sum, 0, where=negligible)


def _weights(beta: float, t: int) -> float:
    """Return 1 + beta + beta^2 + ..., with t terms."""
    return (1 - beta**t) / (1 - beta)
