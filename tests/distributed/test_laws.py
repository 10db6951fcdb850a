"""What the papers say of distributed training, met by the simulation; seeded, and exact."""

import math

import numpy as np
import pytest

import asyncml as aml
from tests.distributed.models import Descent, Nothing, Quadratic, Times, run, server_of


def exponential(count, workers=8):
    """Times with a mean of exactly 1 each, which takes most of the noise out of a mean."""
    times = np.random.default_rng(0).exponential(size=(workers, count))
    times /= times.mean(axis=1, keepdims=True)
    each = [iter(row) for row in times.tolist()]
    return lambda rng, worker: next(each[worker])


def history_of(policy, steps, compute_time):
    """Run workers that take so many steps each."""
    shares = [Times(count) for count in steps]
    return run(server_of(policy, Nothing()), shares, compute_time=compute_time)


class TestStaleness:
    """It is P - 1 on average, whatever the speeds: between two of a worker's own gradients."""

    @pytest.mark.parametrize("slower", [0, 1])
    def test_of_asynchronous_workers_is_one_less_than_their_number(self, slower):
        times = exponential(500)
        seconds = [1 + slower * worker for worker in range(8)]
        steps = [500 // each for each in seconds]
        history = history_of(aml.Async(), steps, lambda rng, w: seconds[w] * times(rng, w))
        first_to_end = min(np.flatnonzero(history.workers == w)[-1] for w in range(8))
        assert history.staleness[100:first_to_end].mean() == pytest.approx(7, abs=0.05)

    def test_one_of_eight_is_ten_times_slower(self):
        times = exponential(1000)
        history = history_of(
            aml.Async(),
            [1000] * 7 + [100],
            lambda rng, worker: 10.0 if worker == 7 else times(rng, worker),
        )
        while_all_run = slice(100, 6_800)
        staleness, workers = history.staleness[while_all_run], history.workers[while_all_run]
        assert staleness.mean() == pytest.approx(7, abs=0.05)
        assert staleness[workers == 7].mean() == pytest.approx(70, abs=1)
        assert staleness[workers != 7].mean() == pytest.approx(6.1, abs=0.05)

    @pytest.mark.parametrize("n", [1, 2, 8])
    def test_of_n_softsync(self, n):
        history = history_of(aml.SoftSync(n), [400] * 8, exponential(400))
        assert history.staleness[100:2_800].mean() == pytest.approx(n * 7 / 8, abs=0.05)


def harmonic(n):
    return sum(1 / i for i in range(1, n + 1))


@pytest.mark.parametrize(
    ("policy", "k", "expected"),
    [(aml.KSync(k), k, s) for k, s in [(1, 0.125), (4, 0.635), (7, 1.718), (8, 2.718)]]
    + [(aml.Sync(), 8, 2.718), (aml.Async(), 1, 0.125)],
    ids=repr,
)
def test_time_per_update(policy, k, expected):
    """Dutta et al. 2018: with exponential times the k-th of P comes after H_P - H_(P - k)."""
    assert harmonic(8) - harmonic(8 - k) == pytest.approx(expected, abs=5e-4)
    updates = 1_500
    history = history_of(policy, [updates * k // 8 + 50] * 8, lambda rng, w: rng.exponential())
    assert history.times[updates - 1] / updates == pytest.approx(expected, rel=0.03)


@pytest.mark.parametrize(
    ("bound", "expected"),
    [(0, 0.368), (1, 0.558), (5, 0.803), (20, 0.936)],
)
def test_throughput_of_stale_synchronous_workers(bound, expected):
    steps = 6_400  # each, 51,200 altogether
    times = history_of(aml.StaleSync(bound), [steps] * 8, exponential(steps)).times
    first, last = 400, 50_800
    per_second = (last - first) / (times[last] - times[first])
    assert per_second / 8 == pytest.approx(expected, abs=0.005)


class Begun(Descent):
    """Gradient descent in which each update lets another coordinate begin, from 1.

    So one run of the workers has the paths of as many descents as it has updates. Each lasts for
    `LENGTH` of them. Its coordinate is 1 again long before it begins anew: whoever computes by
    parameters from before the beginning computes by 1.
    """

    LENGTH, PLACES = 40, 1024

    def __init__(self, alpha):
        super().__init__(Quadratic(self.PLACES), alpha)
        self.path, self.updates = np.zeros(self.LENGTH), 0

    def step(self):
        params = self.model.params
        at = (self.updates - np.arange(self.LENGTH)) % self.PLACES  # by age
        if self.updates >= self.LENGTH:
            self.path += params[at]
        params[at] -= self.lr * self.model.grads[at]
        params[at[-1]] = 1.0
        self.updates += 1


@pytest.mark.parametrize(("workers", "alpha"), [(2, 0.5), (4, 0.2), (8, 0.1), (16, 0.1)])
def test_asynchrony_begets_momentum(workers, alpha):
    """Mitliagkas et al. 2016: on average it is momentum 1 - 1 / M, with a rate of alpha / M.

    mean step = momentum (mean step before) - rate (mean place), fitted over the mean path.
    """
    begun = Begun(alpha)
    server = aml.ParameterServer(begun.model, begun, aml.Async())
    run(server, [Times(8_000 // workers)] * workers)
    place = begun.path / (begun.updates - begun.LENGTH)
    step = np.diff(place)
    terms = np.stack([step[:-1], -place[1:-1]], axis=1)
    (momentum, rate), *_ = np.linalg.lstsq(terms, step[1:], rcond=None)
    assert momentum == pytest.approx(1 - 1 / workers, abs=0.005)
    assert rate == pytest.approx(alpha / workers, rel=0.05)


class Rates(Descent):
    """A rate for each coordinate; sums up how far from 0 each is, early and late."""

    def __init__(self, rates):
        super().__init__(Quadratic(len(rates)), rates)
        self.updates, self.early, self.late = 0, np.zeros(len(rates)), np.zeros(len(rates))

    def step(self):
        super().step()
        self.updates += 1
        if self.updates > 300:
            sums = self.early if self.updates <= 700 else self.late
            sums += np.square(self.model.params)


@pytest.mark.parametrize(
    ("delay", "expected"), [(0, 2), (1, 1), (2, 0.618), (4, 0.3473), (8, 0.1845), (16, 0.0952)]
)
def test_the_largest_stable_rate_of_gradient_descent_with_a_delay(delay, expected):
    """It is 2 sin(pi / (2 (2 delay + 1))): P workers in step with each other make P - 1 of delay.

    x' = x - rate x(delay) oscillates, and neither grows nor shrinks, where
    z^(delay + 1) - z^delay + rate = 0 has a root of modulus 1.
    """
    assert 2 * math.sin(math.pi / (2 * (2 * delay + 1))) == pytest.approx(expected, abs=5e-5)
    rates = np.linspace(0.9, 1.1, 2001) * expected
    descent = Rates(rates)
    server, workers = aml.ParameterServer(descent.model, descent, aml.Async()), delay + 1
    run(server, [Times(1_100 // workers)] * workers, compute_time=lambda rng, worker: 1.0)
    grows = descent.late > descent.early
    assert rates[grows].min() == pytest.approx(expected, abs=5e-4)
    assert rates[~grows].max() == pytest.approx(expected, abs=5e-4)


@pytest.mark.parametrize("period", [1, 2, 5, 10])
def test_local_sgd_on_a_quadratic_is_minibatch_sgd_and_sends_less(period):
    rng = np.random.default_rng(0)
    shards = [[(rng.normal(size=(1, 3)), (0,)) for _ in range(20)] for _ in range(4)]
    whole, local = (
        server_of(policy, Quadratic(3)) for policy in (aml.Sync(), aml.LocalSGD(period))
    )
    every_step, once_a_period = run(whole, shards), run(local, shards)
    np.testing.assert_allclose(local.model.params, whole.model.params, rtol=1e-12)
    assert len(once_a_period.updates) == len(every_step.updates) / period
