"""batched: `dynamically`, whose function runs in its own thread."""

import batched
import numpy as np


class Adapter:
    def __init__(self, predict) -> None:
        def process(rows):
            return list(predict(np.stack(rows) if isinstance(rows[0], np.ndarray) else rows))

        self._batcher = batched.dynamically(process, batch_size=64)

    async def __aenter__(self):
        self.ask = self._batcher.acall
        return self

    async def __aexit__(self, *_: object) -> None:
        pass  # its thread cannot be ended
