"""The ring gives the sum, with as many messages and in as much time as its formula says."""

import asyncio

import numpy as np
import pytest

import asyncml as aml
from asyncml.clock import simulate


@pytest.mark.parametrize("workers", [1, 2, 3, 8])
@pytest.mark.parametrize("size", [0, 3, 1000])
def test_it_is_the_sum(workers, size):
    vectors = [np.random.default_rng(i).normal(size=size) for i in range(workers)]
    expected = np.sum(vectors, axis=0)
    assert asyncio.run(aml.ring_all_reduce(vectors)) == 2 * (workers - 1)
    for vector in vectors:
        np.testing.assert_allclose(vector, expected, rtol=1e-12)


@pytest.mark.parametrize("workers", [2, 4, 10])
def test_its_time_is_that_of_the_formula(workers):
    latency, bandwidth, sent = 0.001, 1e6, []

    def network(rng, n_bytes):
        sent.append(n_bytes)
        return latency + n_bytes / bandwidth

    async def main():
        vectors = [np.ones(1000, np.float32) for _ in range(workers)]
        await aml.ring_all_reduce(vectors, network=network)
        return asyncio.get_running_loop().time()

    messages = 2 * (workers - 1)
    seconds = messages * (latency + 4000 / workers / bandwidth)
    assert simulate(main()) == pytest.approx(seconds)
    assert (len(sent), sum(sent)) == (messages * workers, messages * 4000)


def test_one_that_is_late_keeps_nothing_from_being_right():
    vectors = [np.full(7, 2.0**i) for i in range(5)]
    simulate(aml.ring_all_reduce(vectors, network=lambda rng, n_bytes: rng.exponential()))
    assert {float(value) for vector in vectors for value in vector} == {31.0}


def test_vectors_that_are_not_alike_are_refused():
    with pytest.raises(ValueError, match="of one length and type"):
        asyncio.run(aml.ring_all_reduce([np.ones(2), np.ones(3)]))
    with pytest.raises(ValueError, match="of one length and type"):
        asyncio.run(aml.ring_all_reduce([]))
