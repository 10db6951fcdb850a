"""The thread in which a model computes, and one training step. Lesson 09: why one thread."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import Any

import numpy as np

from asyncml.clocks import is_virtual
from asyncml.failures import ENDINGS, add_note, noted
from asyncml.switching import ShortSwitches
from asyncml.threads import ThreadPool
from asyncml.training.blas import BlasThreads
from asyncml.training.feeding import NumberedBatch
from asyncml.training.protocols import ModelOptimizer, TrainableModel


class Trainer(ThreadPool):
    """A thread, with settings that apply to the whole process while it exists.

    The future of concurrent.futures that an executor returns takes locks in both threads, and
    `run_in_executor` chains an asyncio future to it, which takes the event loop two more turns to
    complete: together some 100 µs of a step's 2 ms. If `submit` returns an asyncio future, however,
    that is used directly. So this executor returns one, and its thread completes it. It does not in
    virtual time, because the clock has its own futures, which tell it when a thread is working.

    Args:
        name: the prefix of the thread's name.
        blas_threads: how many threads BLAS may use meanwhile; None for as many as it uses now.
    """

    def __init__(self, name: str, blas_threads: int | None) -> None:
        super().__init__(1, name=name)
        self._loop = asyncio.get_running_loop()
        self._in_real_time = not is_virtual(self._loop)
        self._blas, self._switches = BlasThreads(blas_threads), ShortSwitches()
        self._blas.__enter__()
        self._switches.__enter__()
        try:
            super().submit(self._blas.apply)  # runs before the first step
        except BaseException:  # no thread could be started
            self.shutdown()
            raise

    def call(self, fn: Callable[..., Any], *args: Any) -> Ended:
        """Run `fn(*args)` in the thread; return its future, which cannot be cancelled."""
        job = self._loop.run_in_executor(self, fn, *args)
        return job if isinstance(job, Ended) else ended(job)

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Queue a call and return its future, in real time an asyncio one; see the class."""
        if self._closed or not self._in_real_time:
            return super().submit(fn, *args, **kwargs)
        done = Ended(loop=self._loop)
        self._jobs.put((_Told(done), partial(fn, *args, **kwargs)))
        return done

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the thread after its current call, and restore the settings."""
        self._switches.__exit__()
        self._blas.__exit__()
        super().shutdown(wait, cancel_futures=cancel_futures)


class Ended(asyncio.Future[Any]):
    """A future that cannot be cancelled: its awaiter resumes when the work has ended.

    Cancelling a task cancels the future that it awaits, after which the task resumes at once. This
    future refuses. asyncio then remembers the cancellation, and raises CancelledError in the task
    when the work has ended. The result is still available.
    """

    def cancel(self, msg: object = None) -> bool:
        """Refuse to be cancelled."""
        return False

    def follow(self, job: asyncio.Future[Any]) -> None:
        """Copy the outcome of `job`."""
        error = asyncio.CancelledError() if job.cancelled() else job.exception()
        if error is None:
            self.set_result(job.result())
        else:
            self.set_exception(error)


class _Told(Future[Any]):
    """The future that the thread completes; it forwards the outcome to `done`, on the loop."""

    def __init__(self, done: Ended) -> None:
        self._done = done  # without super().__init__(), and so without its locks

    def set_running_or_notify_cancel(self) -> bool:
        return True

    def set_result(self, result: Any) -> None:
        self._tell(self._done.set_result, result)

    def set_exception(self, error: BaseException | None) -> None:
        assert error is not None
        self._tell(self._done.set_exception, error)

    def _tell(self, complete: Callable[[Any], None], outcome: Any) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed, so nothing waits for this
            self._done.get_loop().call_soon_threadsafe(complete, outcome)


def ended(job: asyncio.Future[Any]) -> Ended:
    """Return a future that ends as `job` does, and shields it from cancellation by an awaiter."""
    done = Ended(loop=job.get_loop())
    job.add_done_callback(done.follow)
    return done


def train_step(
    model: TrainableModel,
    optimizer: ModelOptimizer,
    batch: NumberedBatch,
    clock: Callable[[], float],
) -> tuple[float, float]:
    """Take one step on `batch`, in the thread; return its loss and its duration in seconds."""
    started_s = clock()
    try:
        with np.errstate(over="ignore", invalid="ignore"):  # checked below
            loss = model.loss_and_grads(batch.x, batch.y)
            wrong = _not_finite(loss, getattr(model, "grads", None))
            if not wrong:
                optimizer.step()
    except ENDINGS as error:
        raise noted("train_step", error, f"in {batch}") from error
    except Exception as error:
        add_note(error, f"in {batch}")
        raise
    if wrong:
        raise FloatingPointError(
            f"{wrong} in {batch}: parameters and optimizer are as the step before left them. "
            "Lower the learning rate, or look for nan and huge numbers in x"
        )
    return loss, clock() - started_s


def _not_finite(loss: float, grads: Any) -> str:
    if not math.isfinite(loss):
        return f"the loss is {loss}"
    # one pass; only if the sum of squares overflows is there a second
    if grads is None or math.isfinite(np.vdot(grads, grads)) or np.isfinite(grads).all():
        return ""
    return "a gradient is not finite"
