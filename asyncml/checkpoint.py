"""Checkpoints: where a run stands, copied in a moment and written in the background.

A file is written under a temporary name, flushed to the disk and renamed, so that under its own
name it is whole, whenever the process was killed. It is in the safetensors format, which any
library reads and which executes nothing. Lesson 09 stops a run, and goes on from one.
"""

import asyncio
import contextlib
import json
import os
import warnings
import zlib
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from asyncml.checks import check_int, check_model
from asyncml.threads import ThreadPool
from asyncml.training import Step, ended

if TYPE_CHECKING:
    from asyncml.nn import Sequential
    from asyncml.optimizers import Optimizer

Arrays = dict[str, npt.NDArray[Any]]
_VERSION = "1"
_NAME, _PARTIAL = "checkpoint-{:08}.safetensors", ".partial"


class CheckpointError(Exception):
    """A checkpoint could not be written, or does not belong to this model."""


class Resumable(Protocol):
    """Data that can be put back to where it stood, as a `Pipeline` can."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Let the next iteration go on from `state`."""


class _Snapshot(NamedTuple):
    """What goes into a file: copies of the arrays, and the words beside them."""

    arrays: Arrays
    words: dict[str, str]


class Checkpointer:
    """Saves and restores the state of a run in a folder, in an `async with` block.

    One process at a time may save to a folder. The end of the block waits for the last write. Files
    that are damaged, or of another model, are neither restored nor deleted.

    Args:
        folder: where the files lie; made if it is missing.
        keep_last: how many checkpoints to keep; older ones of this model are deleted.

    Raises:
        ValueError: `keep_last` is below 1.
        ModuleNotFoundError: safetensors is not installed.
        CheckpointError: on entering, if the folder cannot be made.

    Example:
        >>> import tempfile
        >>> from asyncml.nn import MLP
        >>> from asyncml.optimizers import Adam
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
        _safetensors()
        self._pool: ThreadPool | None = None
        self._write: asyncio.Future[None] | None = None

    async def __aenter__(self) -> "Checkpointer":
        if self._pool is not None:
            raise RuntimeError("this Checkpointer is in use already: make another one")
        self._turn = asyncio.Lock()
        self._pool = ThreadPool(1, name="checkpoints")
        try:
            self._next = await self._run(_prepare, self.folder)
        except OSError as error:
            self._close()
            raise CheckpointError(f"cannot use the folder {self.folder}: {error}") from error
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        cancelled = await ended(self._write) if self._write else None
        self._close()
        try:
            if cancelled is not None:
                raise asyncio.CancelledError(*cancelled)
            await self._written()
        except CheckpointError as failure:
            if error is None:
                raise
            error.add_note(str(failure))  # what went wrong first is what is raised

    async def save(self, step: Step, model: "Sequential", optimizer: "Optimizer") -> None:
        """Take a snapshot, and write it in the background; wait first while one is being written.

        When this returns, model and optimiser may be changed. If it is cancelled while it waits,
        no snapshot is taken, and the earlier write goes on.

        Args:
            step: the last step that changed the model.
            model: its parameters are copied.
            optimizer: its state and learning rate are copied.

        Raises:
            CheckpointError: the write before this one failed; this snapshot was not taken. The
                checkpoints before are untouched, and `save` may be called again.
            RuntimeError: called outside the `async with` block.
            TypeError, ValueError: an argument is of the wrong kind, or `optimizer` of another
                model.
        """
        _check(model, optimizer)
        if not isinstance(step, Step):
            raise TypeError(f"`step` must be a Step of `fit`, got {type(step).__name__}")
        self._check_open()
        async with self._turn:
            await self._written()
            snapshot = _snapshot(step, model, optimizer)
            path = self.folder / _NAME.format(self._next)
            self._next += 1
            self._write = self._run(_save, path, snapshot, self.keep_last)

    async def restore(
        self, model: "Sequential", optimizer: "Optimizer", pipeline: Resumable | None = None
    ) -> Step | None:
        """Put model and optimiser back to the newest checkpoint that is whole.

        A damaged file is passed over with a warning that names it. What is restored is restored as
        a whole or not at all, also if this is cancelled.

        Args:
            model: of the same layers; its parameters are filled.
            optimizer: of the same kind; its state and learning rate are filled.
            pipeline: data to put back as well; `fit(..., resume_from=step)` does that itself.

        Returns:
            The step that was saved, for `resume_from`; None if there is no checkpoint.

        Raises:
            CheckpointError: the newest whole checkpoint is of another model or optimiser.
            RuntimeError: called outside the `async with` block.
            ValueError: the state does not belong to `pipeline`.
        """
        _check(model, optimizer)
        self._check_open()
        async with self._turn:
            await self._written()
            found, damaged = await self._run(_newest, self.folder)
        for name in damaged:
            warnings.warn(
                f"{name} is damaged, or no checkpoint of this version: passed over", stacklevel=2
            )
        if found is None:
            return None
        path, (arrays, words) = found
        _check_kind(path, words, arrays, model, optimizer)
        step = Step(**json.loads(words["step"]))
        if pipeline is not None and step.pipeline_state is not None:
            pipeline.load_state_dict(step.pipeline_state)
        for name, live in _live(model, optimizer).items():
            np.copyto(live, arrays[name])
        optimizer.lr = float.fromhex(words["lr"])
        return step

    def _run(self, function: Any, *args: Any) -> "asyncio.Future[Any]":
        return asyncio.get_running_loop().run_in_executor(self._pool, function, *args)

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
                f"a checkpoint could not be written to {self.folder}: {error}. The ones before "
                "are untouched; make room or mend the folder, and save again"
            ) from error

    def _check_open(self) -> None:
        if self._pool is None:
            raise RuntimeError("use a Checkpointer within its `async with` block")

    def _close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None


def _safetensors() -> Any:
    try:
        import safetensors.numpy
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "checkpoints need safetensors: python -m pip install 'asyncml[checkpoints]'"
        ) from error
    return safetensors.numpy


# what is in a checkpoint


def _check(model: "Sequential", optimizer: "Optimizer") -> None:
    check_model(model)
    if not hasattr(optimizer, "state"):
        raise TypeError(f"`optimizer` must be an optimiser such as Adam(model), got {optimizer!r}")
    if optimizer.model is not model:
        raise ValueError("`optimizer` must be made for `model`, got one that changes another model")


def _live(model: "Sequential", optimizer: "Optimizer") -> Arrays:
    return {"params": model.params} | {
        f"optimizer.{name}": array for name, array in optimizer.state().items()
    }


def _snapshot(step: Step, model: "Sequential", optimizer: "Optimizer") -> _Snapshot:
    arrays = {name: array.copy() for name, array in _live(model, optimizer).items()}
    words = {
        "asyncml": _VERSION,
        "step": json.dumps(asdict(step)),
        "model": repr(model),
        "optimizer": type(optimizer).__name__,
        "lr": float(optimizer.lr).hex(),
    }
    return _Snapshot(arrays, words)


def _check_kind(
    path: Path, words: dict[str, str], arrays: Arrays, model: "Sequential", optimizer: "Optimizer"
) -> None:
    expected = {"model": repr(model), "optimizer": type(optimizer).__name__}
    for what, mine in expected.items():
        if words[what] != mine:
            raise CheckpointError(
                f"the checkpoint {path.name} holds another {what}: {words[what]}, not {mine}. "
                "Restore it into one of that kind, or use another folder"
            )
    live = _live(model, optimizer)
    shapes = [{n: a.shape for n, a in each.items()} for each in (arrays, live)]
    if shapes[0] != shapes[1]:
        raise CheckpointError(f"the checkpoint {path.name} holds {shapes[0]}, not {shapes[1]}")


# the files: what runs in the thread


def _prepare(folder: Path) -> int:
    """Make the folder, clear what a killed process left half written; return the next number."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.glob(f"*{_PARTIAL}"):
        path.unlink(missing_ok=True)
    return max((_number(path) for path in _files(folder)), default=-1) + 1


def _files(folder: Path) -> list[Path]:
    """Return the files that have the name of a checkpoint, the newest first."""
    found = [path for path in folder.glob("checkpoint-*.safetensors") if _number(path) >= 0]
    return sorted(found, key=_number, reverse=True)


def _number(path: Path) -> int:
    digits = path.stem.partition("-")[2]
    return int(digits) if digits.isdecimal() else -1


def _save(path: Path, snapshot: _Snapshot, keep_last: int) -> None:
    words = snapshot.words | {"checksum": _checksum(snapshot.arrays)}
    data = _safetensors().save(snapshot.arrays, metadata=words)
    partial = path.with_name(path.name + _PARTIAL)
    try:
        with partial.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        partial.rename(path)  # a new name each time: nowhere is a file replaced that may be open
    except OSError:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        raise
    with contextlib.suppress(OSError):  # on Windows a folder cannot be opened
        _sync_folder(path.parent)
    with contextlib.suppress(OSError):  # nor a file deleted that somebody reads
        _prune(path.parent, words, keep_last)


def _sync_folder(folder: Path) -> None:
    """Flush the new name to the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _prune(folder: Path, words: dict[str, str], keep_last: int) -> None:
    """Delete the oldest whole checkpoints of this model beyond `keep_last`, and no other file."""
    kept = 0
    for path in _files(folder):
        found = _read(path)
        if found is None or any(found.words[key] != words[key] for key in ("model", "optimizer")):
            continue
        kept += 1
        if kept > keep_last:
            path.unlink(missing_ok=True)


def _newest(folder: Path) -> tuple[tuple[Path, _Snapshot] | None, list[str]]:
    damaged: list[str] = []
    for path in _files(folder):
        found = _read(path)
        if found is not None:
            return (path, found), damaged
        damaged.append(path.name)
    return None, damaged


def _read(path: Path) -> _Snapshot | None:
    """Return what is in a file; None if it is damaged, or no checkpoint of ours."""
    try:
        data = path.read_bytes()
        arrays = _safetensors().load(data)
        end = 8 + int.from_bytes(data[:8], "little")  # a header in JSON, after its length
        words = json.loads(data[8:end])["__metadata__"]
    except (OSError, ValueError, KeyError):
        return None
    except Exception as error:  # the library's own, which has no base class to name
        if type(error).__name__ != "SafetensorError":
            raise
        return None
    if words.get("asyncml") != _VERSION or words.get("checksum") != _checksum(arrays):
        return None
    return _Snapshot(arrays, words)


def _checksum(arrays: Arrays) -> str:
    total = 0
    for name in sorted(arrays):
        total = zlib.crc32(arrays[name].tobytes(), zlib.crc32(name.encode(), total))
    return f"{total:08x}"
