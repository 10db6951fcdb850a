"""The files of checkpoints, which stay whole no matter when the process is killed.

A file is written under a temporary name, flushed to disk and then renamed; it contains a checksum.
The format is safetensors, which other libraries can read and which executes no code. All of this
runs in the thread of a `Checkpointer`.
"""

import contextlib
import json
import os
import re
import zlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Arrays = dict[str, npt.NDArray[Any]]
VERSION = "1"
NAME, _PARTIAL = "checkpoint-{:08}.safetensors", ".partial"
_WORDS = {"asyncml", "step", "model", "optimizer", "lr", "checksum"}
_NUMBERED = re.compile(r"checkpoint-([0-9]{1,18})\.safetensors")


class Snapshot(NamedTuple):
    """The contents of a file: arrays, and the metadata beside them."""

    arrays: Arrays
    words: dict[str, str]


def safetensors() -> Any:
    """Return safetensors' module for NumPy; say how to install it if it is missing."""
    try:
        import safetensors.numpy
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "checkpoints need safetensors: python -m pip install 'asyncml[checkpoints]'"
        ) from error
    return safetensors.numpy


def prepare(folder: Path) -> None:
    """Create the folder; raise OSError if that fails, or if the folder cannot be listed."""
    folder.mkdir(parents=True, exist_ok=True)
    _files(folder)


def _files(folder: Path) -> list[Path]:
    """Return the files that are named like checkpoints, newest first."""
    # not with glob, which silently finds nothing in a folder that it may not read
    return sorted((p for p in folder.iterdir() if _number(p) >= 0), key=_number, reverse=True)


def _number(path: Path) -> int:
    found = _NUMBERED.fullmatch(path.name)
    return int(found[1]) if found else -1


def save(folder: Path, snapshot: Snapshot, keep_last: int) -> None:
    """Write a file and delete old ones; raise OSError, leaving no partial file, if that fails."""
    words = snapshot.words | {"checksum": _checksum(snapshot)}
    data = safetensors().save(snapshot.arrays, metadata=words)
    path = folder / NAME.format(max(map(_number, _files(folder)), default=-1) + 1)
    partial = path.with_name(path.name + _PARTIAL)
    try:
        with partial.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        partial.rename(path)  # always a new name, so no file that may be open is replaced
    except OSError:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        raise
    with contextlib.suppress(OSError):  # on Windows a folder cannot be opened
        _sync_folder(folder)
    with contextlib.suppress(OSError):  # nor can a file be deleted while it is being read
        _prune(folder, words, keep_last)


def _sync_folder(folder: Path) -> None:
    """Flush the new name to disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _prune(folder: Path, words: dict[str, str], keep_last: int) -> None:
    """Delete this model's whole checkpoints except the last `keep_last`, and partial files.

    Partial files were left by a process that was killed. They are not deleted on entry: they might
    belong to a process that is still writing, while this one only reads.
    """
    for path in folder.glob(f"checkpoint-*{_PARTIAL}"):
        path.unlink(missing_ok=True)
    kept = 0
    for path in _files(folder):
        found = read(path)
        if found is None or any(found.words[key] != words[key] for key in ("model", "optimizer")):
            continue
        kept += 1
        if kept > keep_last:
            path.unlink(missing_ok=True)


def newest(folder: Path) -> tuple[tuple[Path, Snapshot] | None, list[str]]:
    """Return the newest whole file with its contents, and the names of newer, damaged files."""
    damaged: list[str] = []
    for path in _files(folder):
        found = read(path)
        if found is not None:
            return (path, found), damaged
        damaged.append(path.name)
    return None, damaged


def read(path: Path) -> Snapshot | None:
    """Return the contents of a file; None if it is damaged or not a checkpoint of this version."""
    try:
        data = path.read_bytes()
        arrays = safetensors().load(data)
        end = 8 + int.from_bytes(data[:8], "little")  # the JSON header follows its length
        words = json.loads(data[8:end])["__metadata__"]
    except (OSError, ValueError, KeyError):
        return None
    except Exception as error:  # safetensors' own error type has no documented base class
        if type(error).__name__ != "SafetensorError":
            raise
        return None
    if not isinstance(words, dict) or not words.keys() >= _WORDS or words["asyncml"] != VERSION:
        return None
    found = Snapshot(arrays, words)
    return found if words["checksum"] == _checksum(found) else None


def plain(value: Any, name: str) -> Any:
    """Return an equal value made of plain types, which JSON restores unchanged.

    Raises:
        TypeError: JSON cannot represent the value, or would restore a different one.
    """
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool):
        return value
    for kind in (str, int, float):
        if isinstance(value, kind):
            return value if type(value) is kind else kind(value)
    if isinstance(value, list):
        return [  # often thousands of ints, the order of a shuffle
            each if type(each) in (int, float, str) else plain(each, f"{name}[{i}]")
            for i, each in enumerate(value)
        ]
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, str):
                raise TypeError(f"the keys of `{name}` must be str for a checkpoint, got {key!r}")
        return {str(key): plain(each, f"{name}[{key!r}]") for key, each in value.items()}
    hints = {tuple: ": make it a list", np.ndarray: ": take its .tolist()", bytes: ": its .hex()"}
    hint = next((hint for kind, hint in hints.items() if isinstance(value, kind)), "")
    raise TypeError(
        f"`{name}` must be an int, float, str, bool, None, list or dict for a checkpoint, since "
        f"JSON restores nothing else unchanged, got {type(value).__name__}{hint}"
    )


def _checksum(snapshot: Snapshot) -> str:
    """Return a CRC-32 of everything that is restored: metadata, and arrays with dtype and shape."""
    words = {key: word for key, word in snapshot.words.items() if key != "checksum"}
    total = zlib.crc32(json.dumps(words, sort_keys=True).encode())
    for name, array in sorted(snapshot.arrays.items()):
        head = f"{name} {array.dtype} {array.shape}".encode()
        total = zlib.crc32(array.tobytes(), zlib.crc32(head, total))
    return f"{total:08x}"
