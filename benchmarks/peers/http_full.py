"""asyncml over HTTP, busy throughout the measurement, to measure the cost of refusals."""

import asyncio

import numpy as np

import asyncml as aml
from benchmarks.over_http import LAYERS


async def slow(rows):
    await asyncio.sleep(3 if rows.any() else 0)
    return rows


batcher = aml.MicroBatcher(slow, max_batch_size=1, max_pending=1)
app = aml.create_app(batcher, example=np.zeros(LAYERS[0], np.float32))
