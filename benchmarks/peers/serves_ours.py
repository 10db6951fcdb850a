"""asyncml: `MicroBatcher`, as its documentation shows."""

import asyncml as aml


class Adapter:
    def __init__(self, predict) -> None:
        self._batcher = aml.MicroBatcher(predict, max_batch_size=64)

    async def __aenter__(self):
        await self._batcher.__aenter__()
        self.ask = self._batcher
        self.many = self._batcher.many
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._batcher.__aexit__(None)
