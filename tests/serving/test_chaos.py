"""Everything at once: whatever the others do, each caller gets its own right answer, once."""

import asyncio

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncml.clock import simulate
from asyncml.serving import MicroBatcher
from tests.serving.models import Model, adds_up, double


class Chaos:
    """Callers who come, give up, send bad rows, set deadlines and are cancelled, at random.

    Args:
        seed: of all that is random.
        callers: how many of them.
        pace_s: seconds between two of them, on average.
    """

    def __init__(self, seed, callers, pace_s=0.002):
        self.random = np.random.default_rng(seed)
        self.callers, self.pace_s = callers, pace_s
        self.right = self.gone = self.bad = 0

    async def ask(self, batcher, number):
        kind, patience = self.random.random(), self.random.exponential(10)
        await asyncio.sleep(self.random.random() * self.callers * self.pace_s)
        try:
            async with asyncio.timeout(patience * self.pace_s if kind < 0.3 else None):
                if kind < 0.1:
                    asyncio.current_task().cancel()
                if kind > 0.9:
                    answers = await batcher.many([number, number + 1, number + 2])
                    assert answers == [2 * number, 2 * number + 2, 2 * number + 4]
                else:
                    assert await batcher(-number - 1 if kind > 0.8 else number) == 2 * number
            self.right += 1
        except (TimeoutError, asyncio.CancelledError):
            assert kind < 0.3
            self.gone += 1
        except ValueError:
            assert kind > 0.8
            self.bad += 1

    async def run(self, model, **options):
        async with MicroBatcher(model, **options) as batcher:
            await asyncio.gather(*(self.ask(batcher, n) for n in range(self.callers)))
        statistics = batcher.statistics()
        assert statistics.queued == 0
        assert adds_up(statistics)
        assert self.right + self.gone + self.bad == self.callers
        return statistics


@settings(max_examples=20)
@given(st.integers(0, 2**32), st.integers(1, 64), st.integers(1, 3), st.integers(1, 64))
def test_whatever_the_others_do_each_caller_gets_its_own_answer(seed, size, concurrency, pending):
    options = {"max_batch_size": size, "concurrency": concurrency, "max_pending": pending}
    statistics = simulate(Chaos(seed, 100).run(Model(0.01, 0.001), **options))
    assert max(statistics.sizes) <= size


@pytest.mark.parametrize("is_real", [False, True])
def test_ten_thousand_requests(is_real):
    if is_real:
        chaos = Chaos(0, 10_000, pace_s=1e-5)
        asyncio.run(chaos.run(double, max_pending=100))
    else:
        chaos = Chaos(1, 10_000)
        simulate(chaos.run(Model(0.02), max_pending=100, concurrency=2))
    assert chaos.right > 5000
    assert min(chaos.gone, chaos.bad) > 500
