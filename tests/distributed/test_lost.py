"""Workers that are lost, in virtual time and in threads: the others go on, and no batch is lost."""

import asyncio
import math
import threading

import numpy as np
import pytest

import asyncml as aml
from asyncml.clock import simulate
from tests.distributed.models import EVERY, Quadratic, Times, blobs, run, server_of


class Breaks:
    """compute_time of a worker that fails at one of its batches."""

    def __init__(self, worker, at, seconds=math.nan):
        self.worker, self.left, self.seconds = worker, at, seconds

    def __call__(self, rng, worker):
        if worker == self.worker:
            self.left -= 1
            if self.left < 0:
                if math.isnan(self.seconds):
                    raise OSError("no space left")
                return self.seconds
        return 1.0 + worker / 10


class Which(Quadratic):
    """Notes which batch each gradient is of, when it is computed."""

    def loss_and_grads(self, x, y):
        loss = super().loss_and_grads(x, y)
        self.grads[:] = x[0]
        return loss


def numbered(workers, batches):
    """Shares whose batches are one-hot vectors, so that the sum of the gradients counts each."""
    size = workers * batches
    return [
        [(np.eye(size)[[worker * batches + i]], (0,)) for i in range(batches)]
        for worker in range(workers)
    ]


@pytest.mark.parametrize("policy", EVERY, ids=repr)
@pytest.mark.parametrize("breaks", [Breaks, lambda *a: Breaks(*a, seconds=math.inf)])
def test_others_do_its_batches_and_each_counts_once(policy, breaks):
    class Sums:
        """Adds the gradients up; each update is a mean of so many."""

        def __init__(self, model):
            self.model, self.sum = model, np.zeros(15)

        def step(self):
            self.sum += self.model.grads

    model = Which(15)
    server = aml.ParameterServer(model, Sums(model), policy)
    history = run(server, numbered(3, 5), compute_time=breaks(1, 2), worker_timeout=5.0, epochs=2)
    assert server.state_dict()["shares"] == [[1, 5]] * 3
    assert len(history.staleness) == 30
    statistics = history.statistics()
    assert [each.lost is not None for each in statistics.workers] == [False, True, False]
    assert "at batch 2 of epoch 0 of `worker_batches[1]`" in statistics.workers[1].lost
    assert sum(each.gradients for each in statistics.workers) == 30
    assert statistics.unseen == ""
    if isinstance(policy, aml.Async | aml.StaleSync):  # an update is one gradient
        np.testing.assert_array_equal(server.optimizer.sum, np.full(15, 2))


def test_sync_stays_in_step_when_a_worker_is_lost_that_had_given_its_part():
    async def main():
        server = server_of(aml.Sync())
        training = asyncio.create_task(
            aml.train_distributed(server, [Times(3)] * 3, compute_time=lambda rng, w: 1.0 + w)
        )
        await asyncio.sleep(1.5)
        next(task for task in asyncio.all_tasks() if task.get_name() == "worker-0").cancel()
        return await training

    history = simulate(main())
    assert history.updates[0].workers == (0, 1, 2)
    assert {0, *history.staleness} == {0}
    assert history.statistics().workers[0].lost.startswith("CancelledError")


def test_it_is_named_where_the_run_is_to_end():
    with pytest.raises(aml.WorkerLost, match="worker 1 was lost: OSError: no space left") as caught:
        run(
            server_of(aml.Sync()), [Times(5)] * 3, compute_time=Breaks(1, 2), on_lost_worker="raise"
        )
    assert caught.value.worker == 1
    assert isinstance(caught.value.__cause__, OSError)


def test_the_last_one_says_what_nobody_has_seen_and_the_server_lives_on():
    server = server_of(aml.Async())
    with pytest.raises(
        aml.WorkerLost, match=r"no worker is left.* Not seen: from batch 2 of epoch"
    ):
        run(
            server,
            [Times(3)] * 2,
            compute_time=lambda rng, w: [1.0, math.inf][server.version > 1],
            worker_timeout=9.0,
        )
    assert server.state_dict()["shares"] == [[0, 2], [0, 1]]
    assert len(server.history.updates) == 3
    server.load_state_dict(server.state_dict())
    assert len(run(server, [Times(3)] * 2).updates) == 3


def test_a_batch_that_costs_two_workers_is_given_up_and_reported():
    class Poisoned:
        def __iter__(self):
            yield from [((0.0,), (0,))] * 2
            raise ValueError("a broken file")

    history = run(server_of(aml.Sync()), [Times(4), Poisoned(), Times(4), Times(4)])
    statistics = history.statistics()
    assert [each.lost is None for each in statistics.workers].count(False) == 2
    assert statistics.unseen == "from batch 2 of epoch 0 of `worker_batches[1]` on"
    assert "not seen: from batch 2" in str(statistics)
    assert len(history.staleness) == 14


def test_nan_is_refused_with_the_name_of_its_worker():
    shards = [blobs(3, seed=i) for i in range(3)]
    shards[1] = [(x * math.nan, y) if i == 1 else (x, y) for i, (x, y) in enumerate(shards[1])]
    model = aml.MLP([4, 5, 2])
    server = aml.ParameterServer(model, aml.SGD(model, 0.1), aml.Sync())
    with pytest.raises(aml.WorkerLost, match="worker 1: the loss is nan, in batch 1 of epoch 0"):
        run(server, shards, on_lost_worker="raise")
    assert np.isfinite(model.params).all()
    assert server.version == 1


def test_a_thread_that_hangs_is_left_behind():
    release, hangs = threading.Event(), ["once"]

    class Hangs(Quadratic):
        def loss_and_grads(self, x, y):
            if x[0] == 7 and hangs:
                hangs.clear()
                release.wait(10)
            return super().loss_and_grads(x, y)

    shards = [Times(3), [((7,), (0,))]]
    try:
        history = asyncio.run(
            aml.train_distributed(server_of(aml.Sync(), Hangs()), shards, worker_timeout=0.5)
        )
    finally:
        release.set()
    statistics = history.statistics()
    assert "TimeoutError: no gradient within 0.5 s" in statistics.workers[1].lost
    assert statistics.unseen == ""
    assert len(history.staleness) == 4


def test_a_cancelled_run_leaves_nothing_and_the_server_can_go_on():
    server = server_of(aml.StaleSync(1))

    async def main():
        async with asyncio.timeout(4.5):
            await aml.train_distributed(server, [Times(9)] * 3, compute_time=lambda rng, w: 1.0 + w)

    with pytest.raises(TimeoutError):
        simulate(main())
    done = server.version
    server.load_state_dict(server.state_dict())
    run(server, [Times(9)] * 3)
    assert server.version == 27 > done > 0


def test_a_pipeline_is_put_back_for_whoever_goes_on_with_it():
    """It is shuffled anew in each epoch: the batches are those that the lost one would have had."""
    images = [(np.eye(12)[[i]], (i,)) for i in range(12)]

    def seen(compute_time):
        seen = []

        class Sees(Quadratic):
            def loss_and_grads(self, x, y):
                seen.append(y[0])
                return super().loss_and_grads(x, y)

        shares = [aml.Pipeline(images).shard(rank, 2).shuffle(6, seed=0) for rank in range(2)]
        model = Sees(12)
        run(server_of(aml.Async(), model), shares, epochs=3, compute_time=compute_time)
        odd, even = ([y for y in seen if y % 2 == rank] for rank in range(2))
        return odd, even

    assert seen(Breaks(1, 9)) == seen(lambda rng, worker: 1.0)


def test_a_run_that_is_cancelled_before_it_begins_leaves_nothing():
    async def main():
        training = asyncio.create_task(aml.train_distributed(server_of(aml.Sync()), [Times(1)]))
        await asyncio.sleep(0)
        training.cancel()
        await asyncio.wait([training])
        assert training.cancelled()

    asyncio.run(main())
