"""Arrays that begin at a cache line."""

import copy
import pickle

import numpy as np
import pytest

from asyncml.network import aligned
from asyncml.network.optimizers import SGD, Adam
from asyncml.network.sequential import MLP


def test_whole_vectors_begin_at_a_cache_line():
    model = MLP([5, 4, 3])
    model.loss_and_grads(np.zeros((7, 5), np.float32), np.zeros(7, int))
    for each in (model, copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        adam = Adam(each)
        for vector in (each.params, each.grads, adam.g_sum, adam.g2_sum, SGD(each, 0.1).velocity):
            assert vector.ctypes.data % aligned.LINE == 0
            assert vector.flags.c_contiguous


@pytest.mark.parametrize("shape", [0, 1, 17, np.prod([2, 3]), (3, 5), (0, 4), (2, 3, 4)])
def test_aligned_zeros(shape):
    array = aligned.zeros(shape)
    assert array.shape == np.zeros(shape).shape
    assert array.dtype == np.float32
    assert not array.any()
    assert array.flags.writeable
