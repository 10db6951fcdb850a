"""Training with many workers, in virtual time and in threads: the weights, and who waits."""

import asyncio
from dataclasses import replace

import numpy as np
import pytest

import asyncml as aml
from asyncml.clock import simulate
from tests.distributed.models import EVERY, Quadratic, Times, blobs, run, server_of, train

POLICIES = [*EVERY, aml.LocalSGD(2)]


def network(policy, optimizer=aml.SGD):
    model = aml.MLP([4, 5, 2], seed=0)
    return aml.ParameterServer(model, optimizer(model, lr=0.05), policy)


class TestSync:
    @pytest.mark.parametrize("workers", [1, 2, 3, 7])
    @pytest.mark.parametrize("how", ["virtual", "threads"])
    def test_the_weights_are_those_of_one_process_on_the_concatenated_batch(self, workers, how):
        shards = [blobs(6, size=4 + i, seed=i) for i in range(workers)]
        server = network(aml.Sync(), aml.Adam)
        train(how, server, shards, epochs=2)
        alone = network(aml.Sync(), aml.Adam)
        for _ in range(2):
            for parts in zip(*shards, strict=True):
                alone.model.loss_and_grads(*map(np.concatenate, zip(*parts, strict=True)))
                alone.optimizer.step()
        assert np.abs(server.model.params - alone.model.params).max() < 2e-6

    def test_who_is_first_makes_no_difference_to_a_bit(self):
        shards = [blobs(5, seed=i) for i in range(4)]
        results = []
        for seed in range(3):
            server = network(aml.Sync())
            run(server, shards, seed=seed)
            results.append(server.model.params.tobytes())
        assert len({*results}) == 1

    def test_the_slowest_worker_sets_the_time(self):
        history = run(server_of(aml.Sync()), [Times(3)] * 4, compute_time=lambda rng, w: 1 + w)
        assert [update.time for update in history.updates] == [4.0, 8.0, 12.0]
        assert {update.workers for update in history.updates} == {(0, 1, 2, 3)}
        workers = history.statistics().workers
        assert [(w.busy_s, w.waited_s) for w in workers] == [(3, 9), (6, 6), (9, 3), (12, 0)]

    def test_it_waits_for_nobody_who_has_no_batches_left(self):
        shards = [Times(1), Times(3), Times(0)]
        history = run(server_of(aml.Sync()), shards, compute_time=lambda rng, w: 5 - w)
        assert [update.workers for update in history.updates] == [(0, 1), (1,), (1,)]
        assert [update.time for update in history.updates] == [5, 9, 13]


class TestEveryPolicy:
    @pytest.mark.parametrize("policy", POLICIES, ids=repr)
    @pytest.mark.parametrize("how", ["virtual", "threads"])
    def test_each_batch_counts_once(self, policy, how):
        class Counts(Quadratic):
            def loss_and_grads(self, x, y):
                self.params[:] = 0  # so that the gradient tells which batch it is of
                return super().loss_and_grads(x, y)

        model = Counts(12)
        shards = [
            [(-np.eye(12)[[4 * worker + i]], (0,)) for i in range(4 - worker)]
            for worker in range(3)
        ]
        server = server_of(policy, model, lr=1.0)
        history = train(how, server, shards, epochs=2)
        if not policy.local_steps:
            assert len(history.staleness) == 2 * (4 + 3 + 2)
        assert server.state_dict()["shares"] == [[1, 4], [1, 3], [1, 2]]
        assert history.statistics().unseen == ""

    @pytest.mark.parametrize("policy", POLICIES, ids=repr)
    def test_it_learns(self, policy):
        server = network(policy)
        history = run(server, [blobs(20, seed=i) for i in range(4)], epochs=5)
        assert history.losses[-5:].mean() < history.losses[:5].mean() / 2

    @pytest.mark.parametrize("policy", POLICIES, ids=repr)
    def test_the_same_seed_gives_the_same_run(self, policy):
        runs = [run(server_of(policy), [Times(9)] * 3, seed=s) for s in (1, 1, 2)]
        first, again, other = ([*history.updates] for history in runs)
        assert first == again != other

    @pytest.mark.parametrize("policy", POLICIES, ids=repr)
    def test_a_run_with_one_worker_is_ordinary_training(self, policy):
        server, alone = network(policy), network(policy)
        data = blobs(6)
        run(server, [data])
        for batch in data:
            alone.model.loss_and_grads(*batch)
            alone.optimizer.step()
        np.testing.assert_array_equal(server.model.params, alone.model.params)


class BackupWorkers(aml.Policy):
    drops_stale = True

    def __init__(self, backups):
        self.backups = backups

    def needed(self, workers):
        return max(1, workers - self.backups)

    def may_go_on(self, pending, ahead):
        return not pending


class TestOfOnesOwn:
    def test_backup_workers_are_not_waited_for(self):
        server = server_of(BackupWorkers(1))
        history = run(server, [Times(4)] * 3, compute_time=lambda rng, w: [1, 2, 9][w])
        assert [update.time for update in history.updates[:4]] == [2, 4, 6, 8]
        assert {update.workers for update in history.updates[:4]} == {(0, 1)}
        assert len(history.staleness) == 12
        assert history.statistics().workers[2].dropped == 4

    def test_one_that_lets_nobody_go_on_is_named(self):
        class Never(aml.Policy):
            def needed(self, workers):
                return workers + 1

            def may_go_on(self, pending, ahead):
                return not pending

        with pytest.raises(RuntimeError, match=r"Never\(\) lets no worker go on: 3 have batches"):
            run(server_of(Never()), [Times(4)] * 3)


class TestPausing:
    def test_nothing_changes_in_the_block_and_a_saved_run_goes_on_bit_for_bit(self, tmp_path):
        shards = [blobs(5, seed=i) for i in range(3)]
        whole = network(aml.Sync(), aml.Adam)
        run(whole, shards, epochs=3)
        first = network(aml.Sync(), aml.Adam)

        async def save_and_stop():
            async with aml.Checkpointer(tmp_path) as checkpoints, asyncio.TaskGroup() as group:
                training = group.create_task(
                    aml.train_distributed(
                        first, shards, epochs=3, compute_time=lambda rng, w: 1 + w
                    )
                )
                await asyncio.sleep(20.5)
                with first.paused():
                    before = first.model.params.copy()
                    await asyncio.sleep(100)
                    np.testing.assert_array_equal(first.model.params, before)
                    step = aml.Step(1, 1, 0.5, 24, 0.0, 0.0)
                    step = replace(step, pipeline_state=first.state_dict())
                    await checkpoints.save(step, first.model, first.optimizer)
                await asyncio.sleep(5)
                training.cancel()
            return first.version

        assert simulate(save_and_stop()) > 6
        again = network(aml.Sync(), aml.Adam)

        async def go_on():
            async with aml.Checkpointer(tmp_path) as checkpoints:
                await checkpoints.restore(again.model, again.optimizer, pipeline=again)
            assert again.version == 6
            return await aml.train_distributed(
                again, shards, epochs=3, compute_time=lambda rng, w: 1.0
            )

        assert len(simulate(go_on()).updates) == 9
        assert again.model.params.tobytes() == whole.model.params.tobytes()
        assert again.version == whole.version == 15
