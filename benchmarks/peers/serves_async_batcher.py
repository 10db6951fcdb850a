"""async-batcher: a subclass with a plain `process_batch`, which runs in an executor."""

import numpy as np
from async_batcher.batcher import AsyncBatcher


class Adapter:
    def __init__(self, predict) -> None:
        class Batcher(AsyncBatcher):
            def process_batch(self, batch):
                return list(predict(np.stack(batch) if isinstance(batch[0], np.ndarray) else batch))

        self._kind = Batcher

    async def __aenter__(self):
        self._batcher = self._kind(max_batch_size=64)
        self.ask = lambda x: self._batcher.process(item=x)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._batcher.stop()
