"""Checkpoints: the state of a run, copied in a moment and written in the background.

A thread writes the files (`checkpoint_files.py`), one at a time, while training goes on. Lesson 09
stops a run and resumes it from a checkpoint.
"""

from __future__ import annotations

import asyncio
import json
import os
import warnings
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from asyncml.checks import check_int, check_model, check_optimizer
from asyncml.failures import add_note
from asyncml.threads import ThreadPool
from asyncml.training import checkpoint_files as files
from asyncml.training.checkpoint_files import Arrays
from asyncml.training.protocols import ModelOptimizer, Resumable, TrainableModel
from asyncml.training.step import Step
from asyncml.training.trainer import ended


class CheckpointError(Exception):
    """A checkpoint could not be written, or does not belong to this model."""


class Checkpointer:
    """Saves and restores the state of a run in a folder, within an `async with` block.

    Only one process at a time may save to a folder. The exit of the block waits for the last write.
    Files that are damaged, or belong to another model, are neither restored nor deleted.

    Args:
        folder: where the files are; it is created if it is missing.
        keep_last: how many checkpoints to keep; older ones of this model are deleted.

    Raises:
        TypeError, ValueError: `keep_last` is not an int, or is below 1.
        ModuleNotFoundError: safetensors is not installed.
        CheckpointError: on entry, if the folder cannot be created or listed.

    Example:
        >>> import tempfile
        >>> from asyncml.network.sequential import MLP
        >>> from asyncml.network.optimizers import Adam
        >>> async def main(model=MLP([2, 2]), step=Step(0, 7, loss=0.5, examples=1, wait_s=0,
        ...                compute_s=0)):
        ...     with tempfile.TemporaryDirectory() as folder:
        ...         async with Checkpointer(folder) as checkpoints:
        ...             await checkpoints.save(step, model, Adam(model))
        ...             return await checkpoints.restore(model, Adam(model))
        >>> asyncio.run(main()).index
        7
    """

    def __init__(self, folder: str | os.PathLike[str], *, keep_last: int = 3) -> None:
        self.folder = Path(folder)
        self.keep_last = check_int("keep_last", keep_last, 1)
        files.safetensors()
        self._pool: ThreadPool | None = None
        self._write: asyncio.Future[None] | None = None

    async def __aenter__(self) -> Checkpointer:
        if self._pool is not None:
            raise RuntimeError("this Checkpointer is in use already: make another one")
        self._turn = asyncio.Lock()
        self._pool = ThreadPool(1, name="checkpoints")
        try:
            await self._look(files.prepare)
        except BaseException:  # even after a cancellation no thread is left
            self._close()
            raise
        return self

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if kind is GeneratorExit:  # the loop has been closed, so nothing can be awaited
            self._close()
            return
        last = asyncio.create_task(self._last_written(), name="checkpoints-last")
        try:
            await ended(last)
        except CheckpointError as failure:
            if error is None:
                raise
            add_note(error, str(failure))  # the earlier error propagates
        finally:
            self._close()

    async def save(self, step: Step, model: TrainableModel, optimizer: ModelOptimizer) -> None:
        """Wait for the previous write, take a snapshot, and write it in the background.

        Once this returns, the model and the optimiser may be changed. If this is cancelled while it
        waits, no snapshot is taken, and the earlier write goes on.

        Args:
            step: the last step that changed the model.
            model: its parameters are copied.
            optimizer: its state and learning rate are copied.

        Raises:
            CheckpointError: the previous write failed, and this snapshot was not taken. Earlier
                checkpoints are untouched, and `save` may be called again.
            RuntimeError: this was called outside the `async with` block.
            TypeError: an argument has the wrong type, or `step.pipeline_state` holds something that
                JSON would not restore unchanged, such as a tuple or a key that is not a str.
            ValueError: `optimizer` belongs to another model, or the model has an array whose name
                starts with "optimizer.".
        """
        _check(model, optimizer)
        if not isinstance(step, Step):
            raise TypeError(f"`step` must be a Step of `fit`, got {type(step).__name__}")
        text = _text(step)
        self._check_open()
        async with self._turn:
            self._check_open()  # it may have been closed during the wait
            await self._written()
            live, words = _snapshot(text, model, optimizer)
            copies = files.Snapshot({name: array.copy() for name, array in live.items()}, words)
            self._write = self._run(files.save, self.folder, copies, self.keep_last)

    async def restore(
        self, model: TrainableModel, optimizer: ModelOptimizer, pipeline: Resumable | None = None
    ) -> Step | None:
        """Restore the model and the optimiser from the newest checkpoint that is whole.

        A damaged file is skipped, with a warning that names it. Either everything is restored or
        nothing is, even if this is cancelled.

        Args:
            model: a model with the same layers; its parameters are overwritten.
            optimizer: one of the same type; its state and learning rate are overwritten.
            pipeline: data to restore as well; `fit(..., resume_from=step)` does so itself.

        Returns:
            The step that was saved, for `resume_from`; None if there is no checkpoint.

        Raises:
            CheckpointError: the newest whole checkpoint belongs to another model or optimiser.
            RuntimeError: this was called outside the `async with` block.
            ValueError: the saved state does not belong to `pipeline`.
        """
        _check(model, optimizer)
        self._check_open()
        async with self._turn:
            self._check_open()  # it may have been closed during the wait
            await self._written()
            found, damaged = await self._look(files.newest)
        for name in damaged:
            warnings.warn(
                f"{name} is damaged, or not a checkpoint of this version: skipped", stacklevel=2
            )
        if found is None:
            return None
        path, (arrays, words) = found
        live = _matching(path, found[1], model, optimizer)
        step, lr = Step(**json.loads(words["step"])), float.fromhex(words["lr"])
        if pipeline is not None and step.pipeline_state is not None:
            pipeline.load_state_dict(step.pipeline_state)
        for name, array in live.items():
            np.copyto(array, arrays[name])
        optimizer.lr = lr
        return step

    def _run(self, function: Any, *args: Any) -> asyncio.Future[Any]:
        return asyncio.get_running_loop().run_in_executor(self._pool, function, *args)

    async def _look(self, function: Any) -> Any:
        try:
            return await self._run(function, self.folder)
        except OSError as error:
            raise CheckpointError(f"cannot use the folder {self.folder}: {error}") from error

    async def _last_written(self) -> None:
        """Wait for the last write, after any pending calls of `save` in other tasks."""
        async with self._turn:
            await self._written()

    async def _written(self) -> None:
        """Wait for the write in flight; a cancellation does not stop it."""
        if self._write is None:
            return
        await asyncio.wait([self._write])
        write, self._write = self._write, None
        try:
            write.result()
        except OSError as error:
            raise CheckpointError(
                f"a checkpoint could not be written to {self.folder}: {error}. Earlier "
                "checkpoints are untouched; free some space or repair the folder, then save again"
            ) from error

    def _check_open(self) -> None:
        if self._pool is None:
            raise RuntimeError("use a Checkpointer within its `async with` block")

    def _close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None


# the contents of a checkpoint


def _check(model: object, optimizer: object) -> None:
    check_model(model, "state")
    check_optimizer(optimizer, model, "state", "lr")


def _kind(model: object) -> str:
    """Return a description that identifies the model and is the same in every process."""
    named = type(model).__repr__ is object.__repr__  # the default, which shows a memory address
    return type(model).__qualname__ if named else repr(model)


def _text(step: Step) -> str:
    names = [each.name for each in fields(Step)]
    return json.dumps({name: files.plain(getattr(step, name), f"step.{name}") for name in names})


def _snapshot(step: str, model: TrainableModel, optimizer: ModelOptimizer) -> files.Snapshot:
    """Return what is saved, with the live arrays themselves instead of copies."""
    arrays, own = dict(model.state()), optimizer.state()
    if wrong := [name for name in arrays if name.startswith("optimizer.")]:
        raise ValueError(f"no array of a model may be called {wrong[0]!r}: that is an optimiser's")
    arrays |= {f"optimizer.{name}": array for name, array in own.items()}
    words = {
        "asyncml": files.VERSION,
        "step": step,
        "model": _kind(model),
        "optimizer": type(optimizer).__name__,
        "lr": float(optimizer.lr).hex(),
    }
    return files.Snapshot(arrays, words)


def _matching(
    path: Path, found: files.Snapshot, model: TrainableModel, optimizer: ModelOptimizer
) -> Arrays:
    """Return the live arrays under the names in the file; raise if the file does not fit them."""
    mine = _snapshot("", model, optimizer)
    for what in ("model", "optimizer"):
        if found.words[what] != mine.words[what]:
            raise CheckpointError(
                f"the checkpoint {path.name} holds another {what}: {found.words[what]}, "
                f"not {mine.words[what]}. Restore it into one of that kind, or use another folder"
            )
    held, wanted = (
        {name: f"{a.dtype} {a.shape}" for name, a in each.arrays.items()} for each in (found, mine)
    )
    if held != wanted:
        raise CheckpointError(f"the checkpoint {path.name} holds {held}, not {wanted}")
    return mine.arrays
