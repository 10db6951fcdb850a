"""What the papers say of distributed training, met by the simulation; seeded, and exact."""

import math

import numpy as np
import pytest

import asyncml as aml
from asyncml.clock import simulate
from tests.distributed.models import Descent, Nothing, Quadratic, Times, run, server_of


def exponential(count, seed=0):
    """Times of 8 workers with a mean of exactly 1, which takes most of the noise out of a mean."""
    times = np.random.default_rng(seed).exponential(size=(8, count))
    times /= times.mean(axis=1, keepdims=True)
    each = [iter(row) for row in times.tolist()]
    return lambda rng, worker: next(each[worker])


class TestStaleness:
    """It is P - 1 on average, whatever the speeds: between two of a worker's own gradients."""

    def test_of_asynchronous_workers_is_one_less_than_their_number(self):
        for speeds in ([1] * 8, [1, 2, 3, 4, 5, 6, 7, 8]):
            history = run(
                server_of(aml.Async(), Nothing()),
                [Times(1000 // speed) for speed in speeds],
                compute_time=lambda rng, w, speeds=speeds: speeds[w] * rng.exponential(),
            )
            first_to_end = min(np.flatnonzero(history.workers == w)[-1] for w in range(8))
            assert history.staleness[100:first_to_end].mean() == pytest.approx(7, abs=0.05)

    def test_one_of_eight_is_ten_times_slower(self):
        history = run(
            server_of(aml.Async(), Nothing()),
            [Times(3000)] * 7 + [Times(300)],
            compute_time=lambda rng, w: 10.0 if w == 7 else rng.exponential(),
        )
        while_all_run = slice(100, 19_000)
        staleness, workers = history.staleness[while_all_run], history.workers[while_all_run]
        assert staleness.mean() == pytest.approx(7, abs=0.05)
        assert staleness[workers == 7].mean() == pytest.approx(70, abs=1)
        assert staleness[workers != 7].mean() == pytest.approx(6.1, abs=0.05)

    @pytest.mark.parametrize("n", [1, 2, 8])
    def test_of_n_softsync(self, n):
        history = run(server_of(aml.SoftSync(n), Nothing()), [Times(1000)] * 8)
        assert history.staleness[100:7_000].mean() == pytest.approx(n * 7 / 8, abs=0.05)


def harmonic(n):
    return sum(1 / i for i in range(1, n + 1))


class TestTimePerUpdate:
    """Dutta et al. 2018: with exponential times the k-th of P comes after H_P - H_(P - k)."""

    @pytest.mark.parametrize(
        ("k", "expected"), [(1, 0.125), (4, 0.635), (6, 1.218), (7, 1.718), (8, 2.718)]
    )
    def test_of_k_sync(self, k, expected):
        assert harmonic(8) - harmonic(8 - k) == pytest.approx(expected, abs=5e-4)
        history = run(server_of(aml.KSync(k), Nothing()), [Times(300 * k)] * 8)
        assert history.times[1999] / 2000 == pytest.approx(expected, rel=0.03)

    def test_of_sync_and_async(self):
        history = run(server_of(aml.Sync(), Nothing()), [Times(2000)] * 8)
        assert history.times[-1] / 2000 == pytest.approx(harmonic(8), rel=0.03)
        history = run(server_of(aml.Async(), Nothing()), [Times(1500)] * 8)
        assert history.times[9_999] / 10_000 == pytest.approx(1 / 8, rel=0.03)


@pytest.mark.parametrize(
    ("bound", "expected"),
    [(0, 0.368), (1, 0.558), (2, 0.662), (3, 0.728), (5, 0.803), (10, 0.884), (20, 0.936)],
)
def test_throughput_of_stale_synchronous_workers(bound, expected):
    steps = 6_400  # each, 51,200 altogether
    history = run(
        server_of(aml.StaleSync(bound), Nothing()),
        [Times(steps)] * 8,
        compute_time=exponential(steps),
    )
    first, last = 400, 50_800
    seconds = history.times[last] - history.times[first]
    assert (last - first) / seconds / 8 == pytest.approx(expected, abs=0.005)


class Traced(Descent):
    """Gradient descent that keeps where it has been."""

    def __init__(self, model, lr):
        super().__init__(model, lr)
        self.path = [float(model.params[0])]

    def step(self):
        super().step()
        self.path.append(float(self.model.params[0]))


def traced(policy, lr):
    model = Quadratic()
    return aml.ParameterServer(model, Traced(model, lr), policy)


@pytest.mark.parametrize(
    ("workers", "alpha", "runs"), [(2, 0.5, 1000), (4, 0.2, 600), (8, 0.1, 400), (16, 0.1, 400)]
)
def test_asynchrony_begets_momentum(workers, alpha, runs):
    """Mitliagkas et al. 2016: on average it is momentum 1 - 1 / M, with a rate of alpha / M.

    mean step = momentum (mean step before) - rate (mean place), fitted over the runs' mean.
    """
    updates = 40
    servers = [traced(aml.Async(), alpha) for _ in range(runs)]

    async def main():
        for seed, server in enumerate(servers):
            left = iter(range(updates + workers))  # batches, for all workers together
            taken = Shared(left)
            await aml.train_distributed(
                server, [taken] * workers, compute_time=lambda rng, w: rng.exponential(), seed=seed
            )

    simulate(main())
    place = np.mean([server.optimizer.path[: updates + 1] for server in servers], axis=0)
    step = np.diff(place)
    terms = np.stack([step[:-1], -place[1:-1]], axis=1)
    (momentum, rate), *_ = np.linalg.lstsq(terms, step[1:], rcond=None)
    assert momentum == pytest.approx(1 - 1 / workers, abs=0.005)
    assert rate == pytest.approx(alpha / workers, rel=0.1)


class Shared:
    """Batches of one iterator, for whoever comes."""

    def __init__(self, left):
        self.left = left

    def __iter__(self):
        return (((0.0,), (0,)) for _ in self.left)


@pytest.mark.parametrize(
    ("delay", "expected"), [(0, 2), (1, 1), (2, 0.618), (4, 0.3473), (8, 0.1845), (16, 0.0952)]
)
def test_the_largest_stable_rate_of_gradient_descent_with_a_delay(delay, expected):
    """It is 2 sin(pi / (2 (2 delay + 1))): P workers in step with each other make P - 1 of delay.

    x' = x - rate x(delay) oscillates, and neither grows nor shrinks, where
    z^(delay + 1) - z^delay + rate = 0 has a root of modulus 1.
    """
    assert 2 * math.sin(math.pi / (2 * (2 * delay + 1))) == pytest.approx(expected, abs=5e-5)
    workers = delay + 1

    def grows(rate):
        server = traced(aml.Async(), rate)
        shares = [Times(1200 // workers)] * workers
        run(server, shares, compute_time=lambda rng, worker: 1.0)
        early, late = (np.square(server.optimizer.path[at : at + 400]).mean() for at in (300, 700))
        return late > early

    low, high = 0.9 * expected, 1.1 * expected
    while high - low > 2e-4:
        middle = (low + high) / 2
        low, high = (low, middle) if grows(middle) else (middle, high)
    assert (low + high) / 2 == pytest.approx(expected, abs=5e-4)


@pytest.mark.parametrize("period", [1, 2, 5, 10])
def test_local_sgd_on_a_quadratic_is_minibatch_sgd_and_sends_less(period):
    rng = np.random.default_rng(0)
    shards = [[(rng.normal(size=(1, 3)), (0,)) for _ in range(20)] for _ in range(4)]
    whole, local = (
        server_of(aml.Sync(), Quadratic(3)),
        server_of(aml.LocalSGD(period), Quadratic(3)),
    )
    every_step = run(whole, shards)
    once_a_period = run(local, shards)
    np.testing.assert_allclose(local.model.params, whole.model.params, rtol=1e-12)
    assert len(once_a_period.updates) == len(every_step.updates) / period
