"""Ray Serve: `@serve.batch`, with its queue on the loop, around a coroutine that calls a thread."""

import asyncio

import numpy as np
from ray import serve
from ray.serve.batching import _BatchQueue

# it asks its deployment whether to warn about a setting, which fails outside a deployment
_BatchQueue._warn_if_max_batch_size_exceeds_max_ongoing_requests = lambda self: None


class Adapter:
    def __init__(self, predict) -> None:
        @serve.batch(max_batch_size=64, batch_wait_timeout_s=0)
        async def process(rows):
            batch = np.stack(rows) if isinstance(rows[0], np.ndarray) else rows
            return list(await asyncio.to_thread(predict, batch))

        self._process = process

    async def __aenter__(self):
        self.ask = self._process
        return self

    async def __aexit__(self, *_: object) -> None:
        pass  # its task ends with the loop
