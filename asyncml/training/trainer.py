"""The thread in which a model computes, and a step there. Lesson 09 shows why it is one thread."""

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
    """A thread, and the settings that hold for the whole process while it exists.

    The future of concurrent.futures that an executor returns takes locks in both threads, and
    `run_in_executor` chains one of asyncio to it, which the event loop needs two more turns to
    complete: some 100 µs together, of a step's 2 ms. But if `submit` returns a future of asyncio,
    that one is used as it is. So this executor returns one, and its thread completes it. In virtual
    time it does not, since the clock has futures of its own, from which it knows when a thread
    works.

    Args:
        name: what the thread is called, with a number.
        blas_threads: how many threads BLAS may take meanwhile; None for as many as it takes now.
    """

    def __init__(self, name: str, blas_threads: int | None) -> None:
        super().__init__(1, name=name)
        self._loop = asyncio.get_running_loop()
        self._in_real_time = not is_virtual(self._loop)
        self._blas, self._switches = BlasThreads(blas_threads), ShortSwitches()
        self._blas.__enter__()
        self._switches.__enter__()
        try:
            super().submit(self._blas.apply)  # goes before the first step
        except BaseException:  # there is no thread
            self.shutdown()
            raise

    def call(self, fn: Callable[..., Any], *args: Any) -> Ended:
        """Return the future of `fn(*args)`, which the thread computes."""
        job = self._loop.run_in_executor(self, fn, *args)
        return job if isinstance(job, Ended) else ended(job)

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Queue a call for `run_in_executor` and return its future, in real time one of asyncio."""
        if self._closed or not self._in_real_time:
            return super().submit(fn, *args, **kwargs)
        done = Ended(loop=self._loop)
        self._jobs.put((_Told(done), partial(fn, *args, **kwargs)))
        return done

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the thread after what it computes, and put back what held meanwhile."""
        self._switches.__exit__()
        self._blas.__exit__()
        super().shutdown(wait, cancel_futures=cancel_futures)


class Ended(asyncio.Future[Any]):
    """A future that cannot be cancelled: whoever awaits it goes on when the work has ended.

    To cancel a task is to cancel the future that it awaits, after which the task goes on at once.
    This future refuses. asyncio then remembers the request, and raises CancelledError in the task
    when the work has ended. The result can still be asked for.
    """

    def cancel(self, msg: object = None) -> bool:
        """Refuse."""
        return False

    def follow(self, job: asyncio.Future[Any]) -> None:
        """End as `job` has."""
        error = asyncio.CancelledError() if job.cancelled() else job.exception()
        if error is None:
            self.set_result(job.result())
        else:
            self.set_exception(error)


class _Told(Future[Any]):
    """What the thread completes: it tells the loop, whose future is `done`."""

    def __init__(self, done: Ended) -> None:
        self._done = done  # and none of the locks of its kind

    def set_running_or_notify_cancel(self) -> bool:
        return True

    def set_result(self, result: Any) -> None:
        self._tell(self._done.set_result, result)

    def set_exception(self, error: BaseException | None) -> None:
        assert error is not None
        self._tell(self._done.set_exception, error)

    def _tell(self, complete: Callable[[Any], None], outcome: Any) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._done.get_loop().call_soon_threadsafe(complete, outcome)


def ended(job: asyncio.Future[Any]) -> Ended:
    """Return a future that ends as `job` does, and shields it from whoever awaits it."""
    done = Ended(loop=job.get_loop())
    job.add_done_callback(done.follow)
    return done


def train_step(
    model: TrainableModel,
    optimizer: ModelOptimizer,
    batch: NumberedBatch,
    clock: Callable[[], float],
) -> tuple[float, float]:
    """Take one step on `batch`, in the thread; return its loss and how long it took."""
    started_s = clock()
    try:
        with np.errstate(over="ignore", invalid="ignore"):  # what comes of it is looked at below
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
    # one pass; where the sum of squares overflows it takes a second look
    if grads is None or math.isfinite(np.vdot(grads, grads)) or np.isfinite(grads).all():
        return ""
    return "a gradient is not finite"
