"""BentoML: the dispatcher behind its batchable methods, around a coroutine that calls a thread."""

import asyncio

import numpy as np
from bentoml._internal.marshal.dispatcher import CorkDispatcher


class Adapter:
    def __init__(self, predict) -> None:
        async def process(rows):
            batch = np.stack(rows) if isinstance(rows[0], np.ndarray) else rows
            return list(await asyncio.to_thread(predict, batch))

        self._dispatcher = CorkDispatcher(
            max_latency_in_ms=60_000,  # it rejects requests that it expects to answer later
            max_batch_size=64,
            fallback=lambda: None,
            get_batch_size=lambda x: 1,
        )
        self._process = process

    async def __aenter__(self):
        self.ask = self._dispatcher(self._process)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._dispatcher.shutdown()
        await asyncio.sleep(0)
