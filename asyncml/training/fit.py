"""Training as an asynchronous iterator: your own `async for` is the training loop.

A task takes batches up to two ahead, a thread computes, and the event loop stays free. Steps never
run ahead: no step runs while the body of the loop does, so you may read and change the model and
the optimiser there. Lesson 09 builds this, and measures when it helps.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sized
from dataclasses import replace
from functools import partial
from typing import Any, NoReturn

from asyncml.checks import check_int, check_model, check_optimizer
from asyncml.failures import hide_stop
from asyncml.internals import running_loop
from asyncml.training.blas import threads_for
from asyncml.training.feeding import Data, NumberedBatch, check_data, feed, wake
from asyncml.training.protocols import ModelOptimizer, TrainableModel
from asyncml.training.step import Step, standing_at
from asyncml.training.trainer import Trainer, train_step


def fit(
    model: TrainableModel,
    optimizer: ModelOptimizer,
    data: Data,
    *,
    epochs: int = 1,
    resume_from: Step | None = None,
    blas_threads: int | None = None,
) -> Training:
    """Train `model`, one step for each iteration of your `async for`.

    However the loop ends, training stops between two steps, and the last step that you received is
    the last that changed the model: `resume_from` continues from there. After a `break`, or an
    error in the body, the task that takes batches ends at the event loop's next turn; to wait for
    it, write `async with contextlib.aclosing(fit(...)) as steps`. During training Python's switch
    interval is 0.1 ms.

    If this is cancelled while it waits for a batch, CancelledError is raised at once. If it is
    cancelled while a step runs, that step is completed and returned, and CancelledError is raised
    at the next await.

    Args:
        model: a `Sequential`, or any object with the methods of `TrainableModel`. A thread changes
            it in place while you wait for a step.
        optimizer: an optimiser made for this model.
        data: batches, tuples (x, y) that `model.loss_and_grads` takes: a `Pipeline`, or anything
            that can be iterated again for each epoch. A plain iterable is read on the event loop.
            Any other consumer of the data at the same time, such as `evaluate`, needs its own
            pipeline.
        epochs: the total of the run, including the epochs before `resume_from`.
        resume_from: the step to continue from. A pipeline is restored to its position after that
            step; other data is read from the start of the epoch, and its batches up to and
            including that step are skipped.
        blas_threads: how many threads BLAS may use for a matrix product during training, in the
            whole process. None: one for a model of fewer than a million parameters, otherwise as
            many as it uses now. The number is never raised. Measured on two cores, for 300 steps of
            a 784-128-10 network: beside two busy processes 0.35 s with one thread and 3 to 12 s
            with two; on a quiet machine about 0.25 s with either.

    Returns:
        An asynchronous iterator of `Step`, with `aclose()`. If the data has a length, so has the
        iterator, the number of steps: `tqdm.asyncio.tqdm(fit(...))` shows the progress.

    Raises:
        TypeError, ValueError: at once, if an argument is invalid.
        FloatingPointError: from the loop, if the loss or a gradient is not finite. Parameters and
            optimiser are then as the previous step left them.
        ValueError: from the loop, if an epoch has no batch or a batch does not fit the model.

    Example:
        >>> import numpy as np
        >>> from asyncml.network.sequential import MLP
        >>> from asyncml.network.optimizers import SGD
        >>> async def main(model=MLP([2, 2]), data=[(np.eye(2, dtype=np.float32), np.arange(2))]):
        ...     return [s.epoch async for s in fit(model, SGD(model, lr=0.1), data, epochs=3)]
        >>> asyncio.run(main())
        [0, 1, 2]
    """
    check_model(model, "loss_and_grads")
    check_optimizer(optimizer, model, "step")
    check_data(data)
    epochs = check_int("epochs", epochs)
    threads = threads_for(model, blas_threads)
    if resume_from is not None:
        resume_from = _checked_resume(resume_from, data, epochs)
    first = resume_from.epoch if resume_from is not None else 0
    if epochs - first > 1 and isinstance(data, Iterator | AsyncIterator):
        raise ValueError(
            f"`data` can be iterated only once, got {type(data).__name__} for {epochs - first} "
            "epochs: pass a list, a Pipeline, or an object whose __iter__ starts afresh"
        )
    return Training(model, optimizer, data, epochs, resume_from, threads)


class Training:
    """The asynchronous iterator of steps that `fit` returns.

    It is not a generator: after a `break` asyncio would clean a generator up in a separate task, at
    some later time. This class restores all settings as soon as the `async for` drops it.
    """

    def __init__(
        self,
        model: TrainableModel,
        optimizer: ModelOptimizer,
        data: Data,
        epochs: int,
        resume_from: Step | None,
        threads: int | None,
    ) -> None:
        self._model, self._optimizer = model, optimizer
        self._data, self._epochs, self._after = data, epochs, resume_from
        # one batch waits here and one in the feeder: two ahead
        self._batches: asyncio.Queue[NumberedBatch | None] = asyncio.Queue(1)
        self._feed = partial(feed, data, epochs, resume_from, self._batches)
        self._threads = threads
        self._loop: asyncio.AbstractEventLoop | None = None
        self._busy = self._ended = self._put_off = False

    def __aiter__(self) -> Training:
        return self

    def __iter__(self) -> NoReturn:
        raise TypeError("`fit` waits between steps: write `async for step in fit(...)`")

    def __len__(self) -> int:
        if not isinstance(self._data, Sized):
            raise TypeError("the number of steps is not known: the data has no length")
        steps, after = len(self._data), self._after
        done = after.epoch * steps + after.index + 1 if after is not None else 0
        return max(0, self._epochs * steps - done)  # 0: too little data; iterating raises the error

    def __bool__(self) -> bool:
        return True  # even if the length is unknown or 0

    async def __anext__(self) -> Step:
        if self._busy:
            raise RuntimeError("`fit` computes one step at a time: await this one first")
        if self._ended:
            raise StopAsyncIteration
        self._busy = True
        try:
            if self._loop is None:
                self._begin()
            if self._put_off:
                self._put_off = False
                await asyncio.sleep(0)  # raises CancelledError if the cancellation is still pending
            step = await self._step()
        except GeneratorExit:  # the loop has been closed, so nothing can be awaited
            raise
        except BaseException as error:
            self._busy = False
            await self.aclose()
            hide_stop(error)
            raise
        self._busy = False
        return step

    async def aclose(self) -> None:
        """End the training; wait until the data is closed and the thread has ended.

        Raises:
            RuntimeError: a step is being computed.
        """
        if self._busy:
            raise RuntimeError("`fit` is computing a step: cancel the task that awaits it instead")
        if self._release():
            await asyncio.wait([self._feeder])
            if not self._feeder.cancelled():
                self._feeder.result()

    def __del__(self, is_ending: Callable[[], bool] = sys.is_finalizing) -> None:
        if not is_ending():  # at exit modules are half gone, and there is nothing to restore
            self._release()

    def _begin(self) -> None:
        self._trainer = Trainer("trainer", self._threads)
        self._feeder = asyncio.create_task(self._feed(), name="fit-feeder")
        self._feeder.add_done_callback(partial(wake, self._batches))
        self._loop = asyncio.get_running_loop()

    def _release(self) -> bool:
        """Release everything, and cancel the feeder; return whether the feeder has yet to end."""
        loop, before, self._ended = self._loop, self._ended, True
        if loop is None or before:
            return False
        self._trainer.shutdown(wait=not self._busy)
        if self._feeder.done():
            if not self._feeder.cancelled():
                self._feeder.exception()  # mark as retrieved: that batch was never requested
            return False
        if loop.is_closed():
            return False
        if running_loop() is loop:
            self._feeder.cancel()
        else:  # garbage-collected in another thread
            loop.call_soon_threadsafe(self._feeder.cancel)
        return True

    async def _step(self) -> Step:
        """Take the next batch and train on it; raise StopAsyncIteration at the end of the run."""
        loop = asyncio.get_running_loop()
        asked_s = loop.time()
        fed = self._feeder.done() and self._batches.empty()
        batch = None if fed else await self._batches.get()
        wait_s = loop.time() - asked_s
        if batch is None:
            if self._feeder.cancelled():
                raise RuntimeError("the task of the data was cancelled, or its event loop ended")
            self._feeder.result()  # raises what the data raised
            raise StopAsyncIteration
        taken = self._trainer.call(train_step, self._model, self._optimizer, batch, loop.time)
        try:
            await taken
        except asyncio.CancelledError as error:
            # `taken` ends when the step does, cancelled or not (see `Ended` in `trainer`). The
            # model has changed by now, so the step must be returned: otherwise the caller would not
            # know of it and would repeat it after resuming. The cancellation is deferred until the
            # task next waits, as if it had come a moment later. It is dropped if it has been
            # withdrawn by then, as by a timeout whose block has ended. Only the error's arguments
            # are kept: its traceback holds this frame and all those above it, a cycle that would
            # keep an iterator left with `break` alive until the next garbage collection.
            self._put_off = True
            loop.call_soon(_cancel_again, asyncio.current_task(), error.args)
        loss, compute_s = taken.result()
        step = Step(batch.epoch, batch.index, loss, len(batch.y), wait_s, compute_s)
        return step if batch.snapshot is None else standing_at(batch.snapshot, step)


def _cancel_again(task: asyncio.Task[Any] | None, args: tuple[Any, ...]) -> None:
    if task is not None and not task.done() and task.cancelling():
        task.uncancel()  # keeps the number of requests unchanged
        task.cancel(*args)


def _checked_resume(step: object, data: object, epochs: int) -> Step:
    if not isinstance(step, Step):
        raise TypeError(f"`resume_from` must be a Step of `fit`, got {type(step).__name__}")
    epoch = check_int("resume_from.epoch", step.epoch, 0)  # a small NumPy int would overflow
    step = replace(step, epoch=epoch, index=check_int("resume_from.index", step.index, 0))
    if step.epoch >= epochs:
        raise ValueError(
            f"`epochs` is the total of the run: it must be > {step.epoch}, the epoch of "
            f"`resume_from`, got {epochs}"
        )
    if (step.pipeline_state is not None) != hasattr(data, "load_state_dict"):
        with_state = step.pipeline_state is not None
        raise ValueError(
            f"`resume_from` comes from data {'with' if with_state else 'without'} a state: "
            f"pass the same kind of `data`, got {type(data).__name__}"
        )
    return step
