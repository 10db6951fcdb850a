"""Small models through the protocol of training, and workers' data."""

import asyncio

import numpy as np

import asyncml as aml
from asyncml.clock import simulate

EVERY = [aml.Sync(), aml.KSync(2), aml.SoftSync(2), aml.Async(), aml.StaleSync(1)]


class Quadratic:
    """loss = curvature / 2 |params - x|^2 for the first row of x; x = 0 is the bare quadratic."""

    def __init__(self, size=1, *, start=1.0, curvature=1.0, dtype=np.float64):
        self.params = np.full(size, start, dtype)
        self.grads = np.zeros(size, dtype)
        self.curvature = curvature

    def loss_and_grads(self, x, y):
        np.subtract(self.params, x[0], out=self.grads)
        loss = self.curvature / 2 * float(self.grads @ self.grads)
        self.grads *= self.curvature
        return loss


class Nothing:
    """No arithmetic at all, where only the coordination counts."""

    def __init__(self):
        self.params, self.grads = np.zeros(1), np.zeros(1)

    def loss_and_grads(self, x, y):
        return 0.0


class Descent:
    """Plain gradient descent."""

    def __init__(self, model, lr=0.1):
        self.model, self.lr = model, lr

    def step(self):
        self.model.params -= self.lr * self.model.grads


class Times:
    """The same batch so many times, each epoch."""

    def __init__(self, count, batch=((0.0,), (0,))):
        self.count, self.batch = count, batch

    def __iter__(self):
        return iter([self.batch] * self.count)


def exponential(rng, worker):
    return rng.exponential()


def blobs(batches, *, size=8, seed=0):
    """Batches of two clouds of points, (size, 4) float32 and (size,) labels."""
    rng = np.random.default_rng(seed)
    out = []
    for _ in range(batches):
        y = rng.integers(0, 2, size)
        out.append((rng.normal(y[:, None] * 2 - 1, 1, (size, 4)).astype(np.float32), y))
    return out


def server_of(policy, model=None, lr=0.1):
    model = Quadratic() if model is None else model
    return aml.ParameterServer(model, Descent(model, lr), policy)


def train(how, server, worker_batches, **options):
    """Run in virtual time or in threads."""
    if how == "virtual":
        return run(server, worker_batches, **options)
    return asyncio.run(aml.train_distributed(server, worker_batches, **options))


def run(server, worker_batches, *, compute_time=exponential, **options):
    """Run a simulation."""
    return simulate(
        aml.train_distributed(server, worker_batches, compute_time=compute_time, **options)
    )
