"""asyncml: a loop over `loss_and_grads` and `step`, and `aml.fit` over the same batches."""

import asyncio
import os

import asyncml as aml
from benchmarks.network import RATE, SIZES, Array, Batches


class Adapter:
    """Our model and Adam.

    Args:
        fit: whether `aml.fit` trains.
    """

    def __init__(self, fit: bool = False) -> None:
        self.model = aml.MLP(SIZES, seed=0)
        self.optimizer = aml.Adam(self.model, lr=RATE)
        self.fit = fit

    def epoch(self, batches: Batches) -> None:
        if self.fit:
            asyncio.run(self._fit(batches))
            return
        for x, y in batches:
            self.model.loss_and_grads(x, y)
            self.optimizer.step()

    async def _fit(self, batches: Batches) -> None:
        # by default `fit` would use one thread, while the other trainers have more
        many = os.cpu_count()
        async for _ in aml.fit(self.model, self.optimizer, batches, blas_threads=many):
            pass

    def predict(self, x: Array) -> Array:
        return self.model.predict(x)
