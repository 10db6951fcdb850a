"""The trainer's thread: its futures, and that nothing is lost when a task is cancelled."""

import asyncio
import contextlib
import gc
import sys
import threading

import pytest

from asyncml.clock import compute, simulate
from asyncml.network.sequential import MLP
from asyncml.timeline import record
from asyncml.training.blas import BlasThreads
from asyncml.training.evaluate import evaluate
from asyncml.training.fit import fit
from asyncml.training.trainer import Ended, Trainer, ended
from tests.training.test_fit import SGD, Loader, bits, by_hand, make, steps_of

RUNS = [asyncio.run, simulate]


def trainer():
    return Trainer("trainer", 1)


@pytest.mark.parametrize("run", RUNS)
def test_a_call_gives_its_result_or_raises_its_error(run):
    async def main():
        with trainer() as pool:
            for number in range(5):
                job = pool.call(divmod, number, 2)
                assert await job == job.result() == divmod(number, 2)
            with pytest.raises(ZeroDivisionError):
                await pool.call(divmod, 1, 0)
            assert await pool.call(lambda: threading.current_thread().name) == "trainer-1"

    run(main())


def test_on_a_real_loop_its_future_is_the_one_that_is_awaited():
    async def main():
        with trainer() as pool:
            job = asyncio.get_running_loop().run_in_executor(pool, divmod, 7, 2)
            assert isinstance(job, Ended)
            assert await job == (3, 1)

    asyncio.run(main())


class Gate:
    """A function that runs in a thread until it is let go."""

    def __init__(self, error=None):
        self.begun, self.go, self.error = threading.Event(), threading.Event(), error

    def __call__(self, value=None):
        self.begun.set()
        assert self.go.wait(10)
        if self.error:
            raise self.error
        return value

    async def has_begun(self):
        while not self.begun.is_set():  # noqa: ASYNC110 (it is set in a thread)
            await asyncio.sleep(0.001)


@pytest.mark.parametrize("error", [None, KeyError(3)])
@pytest.mark.parametrize("requests", [1, 3])
def test_a_cancellation_comes_when_the_call_has_ended(requests, error):
    async def main(gate, told):
        with trainer() as pool:

            async def wait():
                job = pool.call(gate, 5)
                try:
                    await job
                except asyncio.CancelledError as cancelled:
                    told.append(cancelled.args)
                return job.result()

            task = asyncio.create_task(wait())
            await gate.has_begun()
            for number in range(requests):
                task.cancel(f"request {number}")
                await asyncio.sleep(0)
                assert not task.done()
            gate.go.set()
            with pytest.raises(KeyError) if error else contextlib.nullcontext():
                assert await task == 5

    asyncio.run(main(Gate(error), told := []))
    assert told == [(f"request {requests - 1}",)]


def test_an_error_that_nobody_asks_for_after_a_cancellation_is_not_logged():
    """The loop would report it when the future is collected; conftest fails on that."""

    async def main(gate):
        class Broken(MLP):
            def predict(self, x):
                gate()

        task = asyncio.create_task(evaluate(Broken([4, 8, 3]), make()[2]))
        await gate.has_begun()
        task.cancel()
        gate.go.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        said = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: said.append(context))
        gc.collect()
        assert said == []

    asyncio.run(main(Gate(KeyError(3))))


def test_a_step_cancelled_in_real_time_is_handed_out():
    class Gated(MLP):
        def loss_and_grads(self, x, y):
            gates[-1]()
            return super().loss_and_grads(x, y)

    async def main():
        model = Gated([4, 8, 3])
        _, _, data = make()
        optimizer, seen = SGD(model, 0.1), []

        async def run():
            async for step in fit(model, optimizer, Loader(data)):
                seen.append(step.index)

        task = asyncio.create_task(run())
        await gates[-1].has_begun()
        task.cancel("enough")
        await asyncio.sleep(0.01)
        assert (task.done(), seen) == (False, [])
        gates[-1].go.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (seen, task.cancelling()) == ([0], 1)
        assert not [t.name for t in threading.enumerate() if t.name.startswith("trainer")]

    gates = [Gate()]
    asyncio.run(main())


def test_a_timeout_in_real_time_that_is_over_when_the_step_ends_cancels_nothing_later():
    gate = Gate()

    class Gated(MLP):
        def loss_and_grads(self, x, y):
            gate()
            return super().loss_and_grads(x, y)

    async def main():
        model = Gated([4, 8, 3])
        steps, seen = fit(model, SGD(model, 0.1), make()[2]), []
        loop, limit = asyncio.get_running_loop(), asyncio.timeout(None)

        async def in_the_midst_of_the_step():
            await gate.has_begun()
            limit.reschedule(loop.time())
            loop.call_later(0.001, gate.go.set)  # after that, however busy the machine is

        late = asyncio.create_task(in_the_midst_of_the_step())
        async with limit:  # raises nothing, since the step was handed out
            seen.append((await anext(steps)).index)
        assert limit.expired()
        await late
        async for step in steps:  # each of which awaits
            seen.append(step.index)
        return seen

    assert asyncio.run(main()) == list(range(7))


def test_where_the_loop_is_closed_while_it_computes_nobody_is_told():
    gate = Gate()
    loop = asyncio.new_event_loop()
    pool = trainer_of(loop)
    job = loop.run_until_complete(submitted(pool, gate))
    loop.run_until_complete(gate.has_begun())
    loop.close()
    gate.go.set()
    pool.shutdown()
    assert not job.done()


def trainer_of(loop):
    async def make():
        return trainer()

    return loop.run_until_complete(make())


async def submitted(pool, fn):
    return pool.call(fn)


def test_a_recording_shows_the_lane_of_the_thread_and_what_the_task_waits_for():
    class Slow(MLP):
        def loss_and_grads(self, x, y):
            compute(0.01)
            return super().loss_and_grads(x, y)

    async def main():
        model = Slow([4, 8, 3])
        return await record(steps_of(model, SGD(model, 0.1), make(3)[2]))

    for timeline, reason in ((asyncio.run(main()), "thread train_step"), (simulate(main()), None)):
        slices = [s for s in timeline.slices if s.lane == "thread-1"]
        assert [s.reason for s in slices if s.end_s - s.start_s > 0.009] == ["train_step"] * 3
        waits = {s.reason for s in timeline.slices if s.lane == "steps_of"}
        assert reason is None or reason in waits


def test_what_holds_meanwhile_is_put_back():
    before_s = sys.getswitchinterval()

    async def main():
        pool = trainer()
        assert sys.getswitchinterval() < before_s
        assert len(BlasThreads._active) == 1
        pool.shutdown()
        pool.shutdown()
        assert (sys.getswitchinterval(), BlasThreads._active) == (before_s, {})

    asyncio.run(main())


def test_steps_in_real_time_are_those_of_the_plain_loop():
    model, optimizer, data = make()
    asyncio.run(steps_of(model, optimizer, data, epochs=3))
    assert bits(model, optimizer) == by_hand(3)


@pytest.mark.parametrize("run", RUNS)
def test_a_future_that_ends_as_another_does(run):
    async def main():
        loop = asyncio.get_running_loop()
        for end in ("set_result", "set_exception", "cancel"):
            job = loop.create_future()
            done = ended(job)
            assert not done.cancel()
            await asyncio.sleep(0)
            assert (done.done(), job.done()) == (False, False)
            getattr(job, end)(*{"set_result": [7], "set_exception": [KeyError(3)]}.get(end, []))
            if end == "set_result":
                assert await done == 7
            else:
                with pytest.raises(KeyError if end == "set_exception" else asyncio.CancelledError):
                    await done

    run(main())
