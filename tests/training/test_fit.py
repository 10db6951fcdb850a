"""`fit` and `evaluate`: each promise kept, each failure that it should survive caused."""

import asyncio
import contextlib
import copy
import dataclasses
import gc
import io
import itertools
import json
import pickle
import signal
import sys
import threading

import numpy as np
import pytest

from asyncml import switching
from asyncml.clock import compute, simulate
from asyncml.images.datasets import fashion_mnist
from asyncml.network.optimizers import SGD, Adam
from asyncml.network.sequential import MLP
from asyncml.pipeline.pipeline import Pipeline
from asyncml.training.blas import BlasThreads
from asyncml.training.evaluate import evaluate
from asyncml.training.fit import Training, fit
from asyncml.training.step import Step

BATCHES = 7


def make(batches=BATCHES, seed=0):
    """A model, its optimiser, and data of `batches` batches, the last one smaller."""
    rng = np.random.default_rng(seed)
    model = MLP([4, 8, 3], seed=seed)
    sizes = [6] * (batches - 1) + [3]
    data = [(rng.random((n, 4), np.float32), rng.integers(0, 3, n)) for n in sizes]
    return model, Adam(model, lr=0.01), data


def bits(model, optimizer):
    return [model.params.tobytes(), *(a.tobytes() for a in optimizer.state().values())]


def by_hand(epochs, stop=None):
    """What `epochs` epochs over the data of `make` come to, or the first `stop` steps of them."""
    model, optimizer, data = make()
    for x, y in (data * epochs)[:stop]:
        model.loss_and_grads(x, y)
        optimizer.step()
    return bits(model, optimizer)


async def collect(steps, seen):
    async for step in steps:
        seen.append(step)


async def steps_of(*args, **kwargs):
    return [step async for step in fit(*args, **kwargs)]


class Loader:
    """An asynchronous source with a state: what `fit` asks of a pipeline, and no more."""

    def __init__(self, data, load_s=0.0, fail_at=None):
        self.data, self.load_s, self.fail_at = data, load_s, fail_at
        self.epoch = self.position = self.taken = self.closed = 0
        self.resume = False

    def state_dict(self):
        return {"epoch": self.epoch, "position": self.position}

    def load_state_dict(self, state):
        self.epoch, self.position = state["epoch"], state["position"]
        self.resume = True

    async def __aiter__(self):
        if not self.resume:
            self.position = 0
        self.resume = False
        try:
            while self.position < len(self.data):
                await asyncio.sleep(self.load_s)
                if self.taken == self.fail_at:
                    raise OSError("the bucket is gone")
                self.taken += 1
                self.position += 1
                yield self.data[self.position - 1]
            self.epoch += 1
        finally:
            await asyncio.sleep(0)  # closing may take a turn of the loop
            self.closed += 1


class SlowModel(MLP):
    """A step of one virtual second."""

    def loss_and_grads(self, x, y):
        compute(1.0)
        return super().loss_and_grads(x, y)


def make_slow(batches=BATCHES):
    model = SlowModel([4, 8, 3])
    return model, Adam(model, lr=0.01), make(batches)[2]


# a run


def test_a_run_is_the_plain_loop_bit_for_bit():
    model, optimizer, data = make()
    steps = simulate(steps_of(model, optimizer, data, epochs=3))
    assert bits(model, optimizer) == by_hand(3)
    assert [(s.epoch, s.index) for s in steps] == [(e, i) for e in range(3) for i in range(BATCHES)]
    assert [s.examples for s in steps[:BATCHES]] == [6] * (BATCHES - 1) + [3]
    assert all(type(s.loss) is float for s in steps)
    assert steps[0].loss == make()[0].loss_and_grads(*data[0])


@pytest.mark.parametrize("load_s", [0.0, 0.3, 5.0])
def test_the_same_weights_whatever_the_timing_of_the_data(load_s):
    model, optimizer, data = make_slow()
    simulate(steps_of(model, optimizer, Loader(data, load_s), epochs=2))
    assert bits(model, optimizer) == by_hand(2)


def test_arithmetic_runs_on_one_thread_and_the_loop_stays_free():
    threads = set()

    class Watched(SlowModel):
        def loss_and_grads(self, x, y):
            threads.add(threading.current_thread().name)
            return super().loss_and_grads(x, y)

    async def main():
        model = Watched([4, 8, 3])
        beats = []

        async def heart():
            while True:
                await asyncio.sleep(0.25)
                beats.append(asyncio.get_running_loop().time())

        beating = asyncio.create_task(heart())
        await steps_of(model, SGD(model, 0.1), make()[2])
        beating.cancel()
        return beats

    assert len(simulate(main())) >= 4 * (BATCHES - 1)
    assert threads == {"trainer-1"}


def test_loading_hides_behind_computing_and_steps_say_what_took_how_long():
    async def main(load_s):
        model, optimizer, data = make_slow(10)
        steps = await steps_of(model, optimizer, Loader(data, load_s))
        waits = [round(s.wait_s, 9) for s in steps]
        assert [s.compute_s for s in steps] == [1.0] * 10
        return waits, round(asyncio.get_running_loop().time(), 9)

    assert simulate(main(0.75)) == ([0.75] + [0.0] * 9, 10.75)
    waits, took_s = simulate(main(1.5))
    assert waits == [1.5] + [0.5] * 9
    assert took_s == 16.0


def test_batches_are_taken_two_ahead_and_no_more():
    async def main():
        model, optimizer, data = make_slow()
        loader = Loader(data)
        ahead = []
        async for step in fit(model, optimizer, loader):
            await asyncio.sleep(10)
            ahead.append(loader.taken - step.index - 1)
        return ahead

    assert simulate(main()) == [2] * (BATCHES - 2) + [1, 0]


def test_while_the_body_runs_no_step_runs():
    async def main():
        model, optimizer, data = make()
        async for _ in fit(model, optimizer, data, epochs=2):
            before = bits(model, optimizer)
            await asyncio.sleep(10)
            assert bits(model, optimizer) == before

    simulate(main())


def test_data_may_be_a_generator_for_one_epoch():
    model, optimizer, data = make()
    steps = simulate(steps_of(model, optimizer, (b for b in data)))
    assert len(steps) == BATCHES


def test_in_real_time_too():
    model, optimizer, data = make()
    steps = asyncio.run(steps_of(model, optimizer, Loader(data), epochs=2))
    assert bits(model, optimizer) == by_hand(2)
    assert all(s.compute_s > 0 and s.wait_s >= 0 for s in steps)


@pytest.mark.parametrize("stop", [BATCHES - 1, 3])
def test_a_progress_bar_over_the_steps(stop):
    tqdm = pytest.importorskip("tqdm.asyncio", reason="not installed: see tests/requirements.txt")
    shown = io.StringIO()

    class Bar(tqdm.tqdm):
        monitor_interval = 0  # no thread that looks after all bars

    async def main():
        model, optimizer, data = make()
        async for step in Bar(fit(model, optimizer, data), file=shown):
            if step.index == stop:
                break
        assert not [t.name for t in threading.enumerate() if t.name.startswith("trainer")]
        await asyncio.sleep(0.001)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        assert bits(model, optimizer) == by_hand(1, stop=stop + 1)

    asyncio.run(main())
    assert f"{stop + 1}/{BATCHES} [" in shown.getvalue().splitlines()[-1]


def test_how_many_steps_are_left():
    model, optimizer, data = make()
    steps = fit(model, optimizer, data, epochs=3)
    assert len(steps) == 3 * BATCHES
    done = Step(1, 2, 0.5, 4, 0.0, 0.0)
    left = fit(model, optimizer, data, epochs=3, resume_from=done)
    assert len(left) == 2 * BATCHES - 3
    for last in (BATCHES - 1, BATCHES + 5):  # the end of this data, of longer data
        over = fit(model, optimizer, data, resume_from=Step(0, last, 0.5, 4, 0.0, 0.0))
        assert (len(over), bool(over)) == (0, True)
    with pytest.raises(TypeError, match="the data has no length"):
        len(fit(model, optimizer, iter(data)))
    with pytest.raises(TypeError, match="length of this pipeline is not known"):
        len(fit(model, optimizer, Pipeline(data).filter(bool)))


# leaving


def test_break_ends_between_two_steps_and_puts_everything_back():
    interval_s = sys.getswitchinterval()

    async def main():
        model, optimizer, data = make()
        loader = Loader(data)
        gc.disable()  # nothing waits for a collector
        try:
            async for step in fit(model, optimizer, loader, epochs=9):
                if step.index == 3:
                    break
        finally:
            gc.enable()
        names = [t.name for t in threading.enumerate()]
        assert not [name for name in names if name.startswith("trainer")]
        assert sys.getswitchinterval() == interval_s
        await asyncio.sleep(0.001)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        assert loader.closed == 1
        assert bits(model, optimizer) == by_hand(1, stop=4)

    simulate(main())
    asyncio.run(main())


def test_an_error_in_the_body_comes_out_and_ends_the_training():
    async def main():
        model, optimizer, data = make()

        async def run():
            async for _ in fit(model, optimizer, Loader(data), epochs=9):
                raise KeyError("mine")

        with pytest.raises(KeyError, match="mine"):
            await run()
        await asyncio.sleep(1)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        assert bits(model, optimizer) == by_hand(1, stop=1)

    simulate(main())


def test_aclose_waits_until_all_is_closed():
    async def main():
        model, optimizer, data = make()
        loader = Loader(data)
        async with contextlib.aclosing(fit(model, optimizer, loader, epochs=9)) as steps:
            async for _ in steps:
                break
        assert (loader.closed, asyncio.all_tasks()) == (1, {asyncio.current_task()})
        await steps.aclose()
        with pytest.raises(StopAsyncIteration):
            await anext(steps)
        await fit(model, optimizer, loader).aclose()  # not begun

    simulate(main())


def test_an_error_while_the_data_is_closed_comes_out_of_aclose():
    class Bad(Loader):
        async def __aiter__(self):
            try:
                yield self.data[0]
                await asyncio.sleep(9)
            finally:
                raise OSError("cannot close")

    async def main():
        model, optimizer, data = make()
        steps = fit(model, optimizer, Bad(data))
        await anext(steps)
        with pytest.raises(OSError, match="cannot close"):
            await steps.aclose()

    simulate(main())


def test_an_iterator_kept_past_its_loop_is_let_go_without_a_word():
    interval_s = sys.getswitchinterval()

    async def main(kept):
        model, optimizer, data = make()
        kept.append(fit(model, optimizer, data, epochs=9))
        await anext(kept[0])
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        await asyncio.sleep(0)

    kept: list[Training] = []
    simulate(main(kept))
    assert sys.getswitchinterval() < interval_s
    kept.clear()
    assert sys.getswitchinterval() == interval_s


def test_one_step_at_a_time():
    async def main():
        model, optimizer, data = make_slow()
        steps = fit(model, optimizer, data)
        first = asyncio.create_task(anext(steps))
        await asyncio.sleep(0.5)
        with pytest.raises(RuntimeError, match="one step at a time"):
            await anext(steps)
        with pytest.raises(RuntimeError, match="is computing a step"):
            await steps.aclose()
        assert (await first).index == 0
        await steps.aclose()

    simulate(main())


# cancellation


async def cancelled_after(delay_s, load_s, body_s):
    """Cancel a run at a moment; return what it handed out and what state it left."""
    model, optimizer, data = make_slow()
    loader, steps = Loader(data, load_s), []

    async def run():
        async for step in fit(model, optimizer, loader, epochs=2):
            steps.append(step)
            await asyncio.sleep(body_s)

    task = asyncio.create_task(run())
    await asyncio.sleep(delay_s)
    task.cancel("enough")
    with pytest.raises(asyncio.CancelledError):
        await task
    assert task.cancelling() == 1
    took_s = asyncio.get_running_loop().time() - delay_s
    await asyncio.sleep(0.01)
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert loader.closed >= 1
    return model, optimizer, steps, took_s


@pytest.mark.parametrize("body_s", [0.0, 0.25])
@pytest.mark.parametrize("load_s", [0.0, 0.4, 2.0])
@pytest.mark.parametrize("delay_s", [0.0, 0.1, 0.5, 1.0, 1.1, 2.45, 3.0, 3.3, 6.9])
def test_cancelled_anywhere_the_last_step_handed_out_is_the_last_one_taken(delay_s, load_s, body_s):
    async def main():
        model, optimizer, steps, took_s = await cancelled_after(delay_s, load_s, body_s)
        assert took_s <= 1.0  # what remained of a step
        assert bits(model, optimizer) == by_hand(2, stop=len(steps))
        last = steps[-1] if steps else None
        await steps_of(model, optimizer, Loader(make()[2]), epochs=2, resume_from=last)
        assert bits(model, optimizer) == by_hand(2)

    simulate(main())


def test_a_timeout_around_the_loop():
    async def main():
        model, optimizer, data = make_slow()
        seen = []

        async def run():
            async with asyncio.timeout(2.5):
                await collect(fit(model, optimizer, data), seen)

        with pytest.raises(TimeoutError):
            await run()
        assert [s.index for s in seen] == [0, 1, 2]
        await asyncio.sleep(1)

    simulate(main())


def test_a_timeout_that_is_over_when_the_step_ends_cancels_nothing_later():
    async def main():
        model, optimizer, data = make_slow()
        seen = []
        steps = fit(model, optimizer, data)
        for _ in range(BATCHES):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.5):
                    seen.append((await anext(steps)).index)
            await asyncio.sleep(0)
        await steps.aclose()
        assert seen == list(range(BATCHES))
        assert bits(model, optimizer) == by_hand(1)

    simulate(main())


def test_a_body_that_waits_for_ever_can_be_cancelled_by_its_group():
    async def main():
        model, optimizer, data = make_slow()

        async def train():
            async for _ in fit(model, optimizer, data):
                await asyncio.Event().wait()

        async def fail():
            await asyncio.sleep(0.5)  # in the midst of the first step
            raise OSError("a sibling failed")

        async with asyncio.TaskGroup() as group:
            group.create_task(train())
            group.create_task(fail())

    with pytest.raises(ExceptionGroup):
        simulate(main())


def test_an_interrupt_ends_it_between_two_steps():
    model, optimizer, data = make()
    seen = []

    async def main():
        loop = asyncio.get_running_loop()

        def press():
            if len(seen) < 3:
                loop.call_soon(press)
            else:
                signal.raise_signal(signal.SIGINT)

        press()
        await collect(fit(model, optimizer, data, epochs=10**6), seen)

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(main())
    assert len(seen) >= 3
    assert bits(model, optimizer) == by_hand(seen[-1].epoch + 1, stop=len(seen))


# going on


@pytest.mark.parametrize("stop", [1, 3, BATCHES - 1, BATCHES, BATCHES + 1, 2 * BATCHES])
@pytest.mark.parametrize("kind", [list, Loader])
def test_resumed_anywhere_it_is_the_run_that_never_stopped(kind, stop):
    async def main():
        model, optimizer, data = make()
        source = kind(data)
        steps = fit(model, optimizer, source, epochs=2)
        step = [await anext(steps) for _ in range(stop)][-1]
        await steps.aclose()
        step = pickle.loads(pickle.dumps(step))
        if step.pipeline_state is not None:
            json.dumps(step.pipeline_state)
        model, optimizer = copy.deepcopy((model, optimizer))
        rest = await steps_of(model, optimizer, kind(data), epochs=2, resume_from=step)
        assert bits(model, optimizer) == by_hand(2)
        numbers = [(e, i) for e in range(2) for i in range(BATCHES)]
        assert [(s.epoch, s.index) for s in rest] == numbers[stop:]

    simulate(main())


def test_resuming_goes_on_in_the_same_pipeline_too():
    async def main():
        model, optimizer, data = make()
        loader = Loader(data)
        async for step in fit(model, optimizer, loader, epochs=2):
            if step.index == 2:
                break
        await steps_of(model, optimizer, loader, epochs=2, resume_from=step)
        assert bits(model, optimizer) == by_hand(2)

    simulate(main())


@pytest.mark.parametrize("after", [0, 3, BATCHES - 1])
def test_a_step_that_is_false_is_resumed_from_too(after):
    class Empty(Step):
        def __len__(self):
            return 0

    model, optimizer, data = make()
    first = simulate(steps_of(model, optimizer, data[: after + 1]))[-1]
    last = Empty(first.epoch, first.index, first.loss, first.examples, 0.0, 0.0)
    steps = fit(model, optimizer, data, epochs=2, resume_from=last)
    assert len(steps) == 2 * BATCHES - after - 1
    simulate(collect(steps, seen := []))
    assert len(seen) == 2 * BATCHES - after - 1
    assert bits(model, optimizer) == by_hand(2)


def test_a_step_counted_in_small_ints_of_numpy_does_not_overflow():
    model, optimizer, _ = make()
    data = make()[2][:1] * 300
    last = Step(np.uint8(0), np.uint8(255), 0.5, 6, 0.0, 0.0)
    steps = fit(model, optimizer, data, epochs=np.uint8(200), resume_from=last)
    assert len(steps) == 200 * 300 - 256
    simulate(collect(fit(model, optimizer, data, resume_from=last), seen := []))
    assert [s.index for s in seen] == list(range(256, 300))


def test_the_loop_turns_while_old_batches_are_passed_over():
    class Plain:
        def __init__(self, data):
            self.data = data

        def __iter__(self):
            for batch in self.data:
                compute(1.0)  # holds the loop, as a plain iterable does that loads
                yield batch

    async def main():
        beats = []

        async def heart():
            while True:
                beats.append(asyncio.get_running_loop().time())
                await asyncio.sleep(0.5)

        beating = asyncio.create_task(heart())
        model, optimizer, data = make(30)
        last = Step(0, 28, 0.5, 6, 0.0, 0.0)
        await steps_of(model, optimizer, Plain(data), resume_from=last)
        beating.cancel()
        # asyncio takes three turns: the timer rings, the future is done, the task goes on
        assert max(b - a for a, b in itertools.pairwise(beats)) <= 3.0
        return len(beats)

    assert simulate(main()) >= 9


def test_a_step_holds_the_state_after_exactly_its_batch():
    model, optimizer, data = make()
    steps = simulate(steps_of(model, optimizer, Loader(data)))
    assert [s.pipeline_state["position"] for s in steps] == list(range(1, BATCHES + 1))
    model, optimizer, data = make()
    assert {s.pipeline_state for s in simulate(steps_of(model, optimizer, data))} == {None}


# what goes wrong


def poisoned(data, at):
    data = list(data)
    data[at] = (data[at][0] * np.float32(np.nan), data[at][1])
    return data


def test_a_loss_that_is_nan_stops_before_the_parameters_are_touched():
    async def main():
        model, optimizer, data = make()
        seen = []
        with pytest.raises(FloatingPointError, match="loss is nan in step 4 of epoch 0"):
            await collect(fit(model, optimizer, poisoned(data, 4), epochs=2), seen)
        assert len(seen) == 4
        assert bits(model, optimizer) == by_hand(1, stop=4)

    simulate(main())


def test_gradients_that_overflow_stop_it_too():
    class Steep(MLP):
        def loss_and_grads(self, x, y):
            loss = super().loss_and_grads(x, y)
            self.grads = np.full(self.grads.shape, self.slope)
            return loss

    def train(slope):
        model = Steep([4, 8, 3])
        model.slope = slope
        simulate(steps_of(model, SGD(model, 1e-25), make(1)[2]))
        return model.params - MLP([4, 8, 3]).params

    np.testing.assert_allclose(train(1e25), -1, rtol=1e-6)  # finite; its square is not
    with pytest.raises(FloatingPointError, match="a gradient is not finite in step 0 of epoch 0"):
        train(np.inf)


def test_a_learning_rate_that_blows_up_is_a_clear_error_without_warnings():
    model, _, data = make()
    with pytest.raises(FloatingPointError, match="Lower the learning rate"):
        simulate(steps_of(model, SGD(model, 1e30), data, epochs=9))


def test_an_error_in_the_step_says_where():
    model, optimizer, data = make()
    data[2] = (data[2][0], data[2][1] + 7)
    with pytest.raises(ValueError, match="labels must be 0 to 2") as caught:
        simulate(steps_of(model, optimizer, data))
    assert caught.value.__notes__ == ["in step 2 of epoch 0"]
    assert bits(model, optimizer) == by_hand(1, stop=2)


@dataclasses.dataclass(frozen=True)
class Frozen(Exception):
    path: str


class Slotted(Exception):
    __slots__ = ("path",)

    def __setattr__(self, name, value):
        raise AttributeError(name)


class Refusing(Exception):
    def add_note(self, note):
        raise RuntimeError("no notes")


class Nothing(Exception):
    def __len__(self):
        return 0


@pytest.mark.parametrize("error", [Frozen("a"), Slotted(), Refusing(), Nothing()])
def test_an_error_that_takes_no_note_comes_out_as_it_is(error):
    class Broken(MLP):
        def loss_and_grads(self, x, y):
            raise error

        def predict(self, x):
            raise error

    model, (_, _, data) = Broken([4, 8, 3]), make()
    for run in (steps_of(model, SGD(model, 0.1), data), evaluate(model, data)):
        with pytest.raises(type(error)) as caught:
            simulate(run)
        assert caught.value is error


@pytest.mark.parametrize("error", [Nothing(), Frozen("a")])
def test_such_an_error_of_the_data_comes_out_too(error):
    class Broken(Loader):
        async def __aiter__(self):
            yield self.data[0]
            raise error

    model, optimizer, data = make()
    for run in (steps_of(model, optimizer, Broken(data)), evaluate(model, Broken(data))):
        with pytest.raises(type(error)) as caught:
            simulate(run)
        assert caught.value is error


def test_an_error_of_the_data_comes_out_unchanged_after_what_came_before_it():
    async def main():
        model, optimizer, data = make()
        loader, seen = Loader(data, fail_at=BATCHES + 3), []
        with pytest.raises(OSError, match="the bucket is gone") as caught:
            await collect(fit(model, optimizer, loader, epochs=2), seen)
        assert not hasattr(caught.value, "__notes__")
        assert len(seen) == BATCHES + 3
        assert asyncio.all_tasks() == {asyncio.current_task()}
        assert bits(model, optimizer) == by_hand(2, stop=BATCHES + 3)

    simulate(main())


def test_an_error_in_a_batch_that_nobody_asked_for_is_nobodys():
    async def main():
        model, optimizer, data = make()
        async for _ in fit(model, optimizer, Loader(data, fail_at=1)):
            await asyncio.sleep(1)
            break

    simulate(main())


async def cancelled_inside(batch):
    """Data that waits for a task of its own, which somebody cancels."""
    yield batch
    task = asyncio.create_task(asyncio.sleep(9))
    asyncio.get_running_loop().call_later(2, task.cancel)
    await task


@pytest.mark.parametrize("pause_s", [0, 3])  # while `fit` waits for the data, and while it does not
def test_a_cancellation_inside_of_the_data_is_an_error(pause_s):
    async def main():
        model, optimizer, data = make()
        steps = fit(model, optimizer, cancelled_inside(data[0]))
        await anext(steps)
        await asyncio.sleep(pause_s)
        with pytest.raises(RuntimeError, match="`data` raised CancelledError"):
            await anext(steps)

    simulate(main())


def test_where_somebody_cancels_its_tasks_nobody_waits_for_a_batch_that_never_comes():
    async def main():
        model, optimizer, data = make()
        steps = fit(model, optimizer, Loader(data, load_s=1))
        await anext(steps)
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        with pytest.raises(RuntimeError, match="the task of the data was cancelled"):
            await collect(steps, [])

    simulate(main())


@pytest.mark.parametrize("error", [StopIteration, StopAsyncIteration, asyncio.CancelledError])
def test_an_error_that_means_the_end_elsewhere_is_one_here(error):
    class Broken(MLP):
        def forward(self, x):
            raise error

        loss_and_grads = predict = lambda self, x, y=None: self.forward(x)

    model, (_, _, data) = Broken([4, 8, 3]), make()
    with pytest.raises(RuntimeError, match=f"`train_step` raised {error.__name__}") as caught:
        simulate(steps_of(model, SGD(model, 0.1), data))
    assert caught.value.__notes__ == ["in step 0 of epoch 0"]
    with pytest.raises(RuntimeError, match=f"`predict` raised {error.__name__}"):
        simulate(evaluate(model, data))


class Shrinking:
    """Has one epoch, and then nothing."""

    def __init__(self, data):
        self.epochs = [data, []]

    def __iter__(self):
        return iter(self.epochs.pop(0))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([], "no batch in epoch 0"),
        (Loader([]), "no batch in epoch 0"),
        (Shrinking(make()[2]), "no batch in epoch 1"),
    ],
)
def test_an_epoch_without_batches_is_an_error(data, message):
    model, optimizer, _ = make()
    with pytest.raises(ValueError, match=message):
        simulate(steps_of(model, optimizer, data, epochs=2))


def one_shot_async():
    async def generate():
        yield 1

    return generate()


@pytest.mark.parametrize("data", [iter([]), (b for b in []), one_shot_async()])
def test_what_can_be_iterated_once_is_no_data_for_two_epochs(data):
    model, optimizer, _ = make()
    with pytest.raises(ValueError, match=r"only once, got \w+ for 2 epochs: pass a list"):
        fit(model, optimizer, data, epochs=2)


x, y = make()[2][0]


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        (x, "got ndarray"),
        ((x,), "got tuple of 1"),
        ((x, y, y), "got tuple of 3"),
        ([(x, y), (x, y)], "got list of 2: .*collate=aml.collate"),
        (None, "got NoneType"),
    ],
)
def test_what_is_no_batch(batch, message):
    model, optimizer, _ = make()
    with pytest.raises(TypeError, match=r"a batch must be a tuple \(x, y\), " + message):
        simulate(steps_of(model, optimizer, [batch]))
    with pytest.raises(TypeError, match=message):
        simulate(evaluate(model, [batch]))


@pytest.mark.parametrize("label", [3, 3.0, True, None, np.int64(3), np.array(3), np.float32(3)])
def test_single_examples_say_that_a_batch_was_forgotten(label):
    model, optimizer, _ = make()
    pipeline = Pipeline(range(4)).map(lambda i: (np.zeros(4, np.float32), label))
    message = r"got one example, whose y is .*: add \.batch\(n, collate=aml\.collate\)"
    for data in (pipeline, [(np.zeros(4, np.float32), label)]):
        with pytest.raises(TypeError, match=message):
            simulate(steps_of(model, optimizer, data))
        with pytest.raises(TypeError, match=message):
            simulate(evaluate(model, data))


@pytest.mark.parametrize("kind", [list, tuple, np.array])
def test_labels_may_be_a_list(kind):
    model, optimizer, _ = make()
    data = [(np.zeros((2, 4), np.float32), kind([0, 2]))]
    assert len(simulate(steps_of(model, optimizer, data))) == 1
    assert 0 <= simulate(evaluate(model, data)) <= 1


def step(epoch=0, index=1, state=None):
    return Step(epoch, index, 0.5, 6, 0.0, 0.0, state)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"data": 7}, TypeError, "`data` must give batches.*, got int"),
        ({"epochs": 0}, ValueError, "`epochs` must be >= 1, got 0"),
        ({"epochs": 1.5}, TypeError, "`epochs` must be an int, got 1.5"),
        ({"model": None}, TypeError, "`model` must be a Sequential, got None"),
        ({"model": MLP}, TypeError, "`model` must be a Sequential, got the class MLP"),
        ({"optimizer": None}, TypeError, "`optimizer` must be .*Adam.model., got None"),
        ({"optimizer": Adam}, TypeError, "`optimizer` must be .*Adam.model., got .*Adam"),
        ({"optimizer": Adam(MLP([4, 8, 3]))}, ValueError, "changes another model"),
        ({"blas_threads": 0}, ValueError, "`blas_threads` must be >= 1, got 0"),
        ({"blas_threads": True}, TypeError, "`blas_threads` must be an int, got True"),
        ({"resume_from": step(index=2.5)}, TypeError, "`resume_from.index` must be an int"),
        ({"resume_from": (0, 1)}, TypeError, "must be a Step of `fit`, got tuple"),
        ({"resume_from": step(epoch=1)}, ValueError, "total of the run: it must be > 1.*got 1"),
        ({"resume_from": step(state={})}, ValueError, "data with a state.*got list"),
        (
            {"resume_from": step(), "data": Loader([])},
            ValueError,
            "data without a state.*got Loader",
        ),
    ],
)
def test_arguments_that_cannot_be_right_are_refused_at_once(change, error, message):
    model, optimizer, data = make()
    args = {"model": model, "optimizer": optimizer, "data": data, "epochs": 1, **change}
    with pytest.raises(error, match=message):
        fit(**args)


def test_resuming_behind_the_end_of_the_data_is_an_error():
    model, optimizer, data = make()
    with pytest.raises(ValueError, match="step 9 of epoch 0, but `data` has only 7 batches"):
        simulate(steps_of(model, optimizer, data, resume_from=step(index=9)))


def test_where_the_machine_gives_no_thread_everything_is_put_back(monkeypatch):
    def refuse(self):
        raise RuntimeError("can't start new thread")

    async def main():
        interval_s = sys.getswitchinterval()
        model, optimizer, data = make()
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", refuse)
            for run in (steps_of(model, optimizer, data), evaluate(model, data)):
                with pytest.raises(RuntimeError, match="start new thread"):
                    await run
        assert asyncio.all_tasks() == {asyncio.current_task()}
        assert (sys.getswitchinterval(), BlasThreads._active) == (interval_s, {})

    asyncio.run(main())


# the switch interval


def test_the_switch_interval_is_short_while_any_training_runs():
    before_s = sys.getswitchinterval()

    async def train(delay_s, epochs):
        await asyncio.sleep(delay_s)
        model, optimizer, data = make_slow()
        async for _ in fit(model, optimizer, data, epochs=epochs):
            assert sys.getswitchinterval() == pytest.approx(switching._SHORT_S)

    async def main():
        await asyncio.gather(train(0, 2), train(0.5, 1), train(0.6, 3), return_exceptions=False)
        assert sys.getswitchinterval() == before_s
        model, optimizer, data = make()
        with pytest.raises(FloatingPointError):
            await steps_of(model, optimizer, poisoned(data, 0))

    simulate(main())
    assert sys.getswitchinterval() == before_s


def test_an_interval_that_is_shorter_already_is_kept():
    before_s = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        with switching.ShortSwitches():
            assert sys.getswitchinterval() == pytest.approx(1e-5)
    finally:
        sys.setswitchinterval(before_s)


# real images


def test_fashion_mnist_is_learnt():
    train, test = fashion_mnist()

    def batches(dataset, order, size):
        images = dataset.images.reshape(len(dataset.images), -1)
        for i in range(0, len(order), size):
            rows = order[i : i + size]
            yield images[rows].astype(np.float32) / 255, dataset.labels[rows]

    class Shuffled:
        def __init__(self):
            self.rng = np.random.default_rng(0)

        def __iter__(self):
            return batches(train, self.rng.permutation(len(train.labels)), 200)

    async def main():
        model = MLP([784, 256, 128, 10], seed=0)
        optimizer = Adam(model, lr=1e-3)
        async for step in fit(model, optimizer, Shuffled(), epochs=10):
            # to zero: at a constant rate the last steps decide, and those of another BLAS differ
            optimizer.lr = 1e-3 * (1 - (step.epoch * 50 + step.index) / 500)
        return await evaluate(model, batches(test, np.arange(len(test.labels)), 500))

    assert 0.845 <= asyncio.run(main()) <= 0.87


def test_plain_for_is_an_error_that_says_what_to_write():
    model, optimizer, data = make()
    with pytest.raises(TypeError, match="write `async for step in fit"):
        for _ in fit(model, optimizer, data):
            pass
