"""Optimisers: from a model's gradients to its next parameters, in place on the flat vectors.

What a step remembers of the steps before it (velocity, moments) is a flat vector like the
parameters, so that a checkpoint holds all of it in a few copies. Lesson 08 derives both.
"""

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from asyncml.aligned import zeros
from asyncml.checks import check_model
from asyncml.layers import Array

if TYPE_CHECKING:
    from asyncml.nn import Sequential

# parameters at a time: the five vectors of a step in Adam, 640 KB, stay in a core's cache from the
# first of its ten operations to the last
BLOCK = 32_768


class Optimizer:
    """Changes `model.params` by `model.grads`, in place; `SGD` and `Adam` are those given here.

    Attributes:
        model: whose parameters it changes.
        lr: the learning rate; may be set anew between two steps.
    """

    def __init__(self, model: "Sequential", lr: float) -> None:
        check_model(model)
        if not (math.isfinite(lr) and lr > 0):
            raise ValueError(f"`lr` must be a finite number > 0, got {lr}")
        self.model = model
        self.lr = lr
        self._room = zeros(min(len(model.params), BLOCK))

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """Return the live arrays that the next step depends on: copy them to keep, fill to restore.

        Example:
            >>> from asyncml.nn import MLP
            >>> sorted(Adam(MLP([4, 3])).state())
            ['g2_sum', 'g_sum', 't']
        """
        raise NotImplementedError

    def step(self) -> None:
        """Change the parameters by one step."""
        raise NotImplementedError

    def _blocks(self) -> Iterator[tuple[slice, Array]]:
        """Give the vectors block by block, each with room for an intermediate result.

        The first block comes last: it is still in the cache when the next forward pass begins with
        the first layer.
        """
        size = len(self.model.params)
        for start in reversed(range(0, size, BLOCK)):
            end = min(start + BLOCK, size)
            yield slice(start, end), self._room[: end - start]


class SGD(Optimizer):
    """Stochastic gradient descent: velocity = momentum velocity + g, p -= lr velocity.

    Source: Goodfellow, Bengio & Courville 2016, section 8.3.2, with lr taken out of the velocity,
    as PyTorch has it, so that a change of lr acts at once.

    Args:
        model: whose parameters it changes.
        lr: the learning rate.
        momentum: how much of the velocity is kept, from 0 to below 1.

    Raises:
        TypeError: `model` is no model.
        ValueError: an argument is out of range.
    """

    def __init__(self, model: "Sequential", lr: float, momentum: float = 0.0) -> None:
        super().__init__(model, lr)
        if not 0 <= momentum < 1:
            raise ValueError(f"`momentum` must be >= 0 and < 1, got {momentum}")
        self.momentum = float(momentum)
        self.velocity = zeros(len(model.params))

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """Return `velocity`, (P,) float32."""
        return {"velocity": self.velocity}

    def step(self) -> None:
        """Change the parameters by one step."""
        lr = float(self.lr)  # with a number of NumPy's the product would be a float64
        for block, update in self._blocks():
            params, grads = self.model.params[block], self.model.grads[block]
            velocity = self.velocity[block]
            np.multiply(velocity, self.momentum, out=velocity)
            np.add(velocity, grads, out=velocity)
            np.multiply(velocity, lr, out=update)
            np.subtract(params, update, out=params)


# float32 below 1e-38 is denormal, and arithmetic with it many times slower: what decays is cut off
# long before, every so many steps; it is far too small to change a parameter
_NEGLIGIBLE, _EVERY = 1e-30, 64


class Adam(Optimizer):
    """Steps of about lr in each parameter: its mean gradient over its root mean square gradient.

    p -= lr m / (sqrt(v) + eps), where m and v are weighted means of g and of g^2: what is i steps
    old has the weight beta1^i in m and beta2^i in v. A mean is a sum over the sum of the weights;
    kept are the sums, since g_sum = beta1 g_sum + g is one operation less than a moving average.
    Source: Kingma & Ba 2015, algorithm 1: its corrected m and v are these means.

    Args:
        model: whose parameters it changes.
        lr: the learning rate.
        betas: how much of m and of v is kept, each from 0 to below 1.
        eps: keeps a parameter without gradient from dividing by 0.

    Raises:
        TypeError: `model` is no model.
        ValueError: an argument is out of range.
    """

    def __init__(
        self,
        model: "Sequential",
        lr: float = 1e-3,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
    ) -> None:
        super().__init__(model, lr)
        if not all(0 <= beta < 1 for beta in betas):
            raise ValueError(f"`betas` must be >= 0 and < 1, got {betas}")
        if not eps > 0:
            raise ValueError(f"`eps` must be > 0, got {eps}")
        self.betas, self.eps = (float(betas[0]), float(betas[1])), float(eps)
        self.g_sum, self.g2_sum = zeros(len(model.params)), zeros(len(model.params))
        self.t = np.zeros((), np.int64)
        self._negligible = np.zeros(len(self._room), np.bool_)

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """Return the sums, (P,) float32 each, and `t`, () int64, the number of steps taken."""
        return {"g_sum": self.g_sum, "g2_sum": self.g2_sum, "t": self.t}

    def step(self) -> None:
        """Change the parameters by one step."""
        self.t += 1
        n1, n2 = (_weights(beta, int(self.t)) for beta in self.betas)
        root = math.sqrt(n2)  # taken out of sqrt(v), to divide one number and not a vector
        lr, eps = float(self.lr) * root / n1, self.eps * root
        for block, update in self._blocks():
            params, grads = self.model.params[block], self.model.grads[block]
            g_sum, g2_sum = self.g_sum[block], self.g2_sum[block]
            np.multiply(g_sum, self.betas[0], out=g_sum)
            np.add(g_sum, grads, out=g_sum)
            np.multiply(g2_sum, self.betas[1], out=g2_sum)
            np.multiply(grads, grads, out=update)
            np.add(g2_sum, update, out=g2_sum)
            np.sqrt(g2_sum, out=update)
            np.add(update, eps, out=update)
            np.divide(g_sum, update, out=update)
            np.multiply(update, lr, out=update)
            np.subtract(params, update, out=params)
        if self.t % _EVERY == 0:  # by t alone, so that a resumed run does the same
            self._cut_off()

    def _cut_off(self) -> None:
        for block, size in self._blocks():
            g_sum, negligible = self.g_sum[block], self._negligible[: len(size)]
            np.less(np.abs(g_sum, out=size), _NEGLIGIBLE, out=negligible)
            np.copyto(g_sum, 0, where=negligible)


def _weights(beta: float, t: int) -> float:
    """Return 1 + beta + beta^2 + ..., t terms."""
    return (1 - beta**t) / (1 - beta)
