"""batchlet: `AsyncBatcher` over a processor in a thread."""

import numpy as np
from batchlet import AsyncBatcher, BatchPolicy, threaded


class Adapter:
    def __init__(self, predict) -> None:
        def process(rows):
            return list(predict(np.stack(rows) if isinstance(rows[0], np.ndarray) else rows))

        self._batcher = AsyncBatcher(threaded(process), policy=BatchPolicy(max_items=64))

    async def __aenter__(self):
        await self._batcher.__aenter__()
        self.ask = self._batcher.submit
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._batcher.__aexit__(None, None, None)
