"""asyncml over HTTP: `create_app` around a batcher, as its documentation shows."""

import numpy as np

import asyncml as aml
from benchmarks.over_http import LAYERS

# at most two full batches may be pending; further requests are refused
batcher = aml.MicroBatcher(aml.MLP(LAYERS).forward, max_batch_size=32, max_pending=64)
app = aml.create_app(batcher, example=np.zeros(LAYERS[0], np.float32))
