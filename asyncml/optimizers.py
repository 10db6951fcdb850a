"""Optimisers: from a model's gradients to its next parameters, in place on the flat vectors.

What a step remembers of the steps before it (velocity, moments) is a flat vector like the
parameters, so that a checkpoint holds all of it in a few copies. Lesson 08 derives both.
"""

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from asyncml.checks import check_model

if TYPE_CHECKING:
    from asyncml.nn import Sequential


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
        self._scratch = np.empty_like(model.params)

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
        self.momentum = momentum
        self.velocity = np.zeros_like(model.params)

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """Return `velocity`, (P,) float32."""
        return {"velocity": self.velocity}

    def step(self) -> None:
        """Change the parameters by one step."""
        velocity, update = self.velocity, self._scratch
        np.multiply(velocity, self.momentum, out=velocity)
        np.add(velocity, self.model.grads, out=velocity)
        np.multiply(velocity, self.lr, out=update)
        np.subtract(self.model.params, update, out=self.model.params)


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
        self.betas, self.eps = betas, eps
        self.g_sum, self.g2_sum = np.zeros_like(model.params), np.zeros_like(model.params)
        self.t = np.zeros((), np.int64)
        self._negligible = np.zeros(model.params.shape, np.bool_)

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """Return the sums, (P,) float32 each, and `t`, () int64, the number of steps taken."""
        return {"g_sum": self.g_sum, "g2_sum": self.g2_sum, "t": self.t}

    def step(self) -> None:
        """Change the parameters by one step."""
        params, grads, update = self.model.params, self.model.grads, self._scratch
        (beta1, beta2), g_sum, g2_sum = self.betas, self.g_sum, self.g2_sum
        self.t += 1
        weight1, weight2 = _weights(beta1, int(self.t)), _weights(beta2, int(self.t))
        np.multiply(g_sum, beta1, out=g_sum)
        np.add(g_sum, grads, out=g_sum)
        np.multiply(g2_sum, beta2, out=g2_sum)
        np.multiply(grads, grads, out=update)
        np.add(g2_sum, update, out=g2_sum)
        root = math.sqrt(weight2)  # taken out of sqrt(v), to divide one number and not a vector
        np.sqrt(g2_sum, out=update)
        np.add(update, self.eps * root, out=update)
        np.divide(g_sum, update, out=update)
        np.multiply(update, self.lr * root / weight1, out=update)
        np.subtract(params, update, out=params)
        if self.t % _EVERY == 0:  # by t alone, so that a resumed run does the same
            np.less(np.abs(g_sum, out=update), _NEGLIGIBLE, out=self._negligible)
            np.copyto(g_sum, 0, where=self._negligible)


def _weights(beta: float, t: int) -> float:
    """Return 1 + beta + beta^2 + ..., t terms."""
    return (1 - beta**t) / (1 - beta)
