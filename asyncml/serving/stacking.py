"""From the rows of requests to what a model takes, and from what it returns back to rows.

Rows that are arrays of one shape and dtype are stacked; anything else goes as a list.
"""

from typing import Any

import numpy as np

from asyncml.failures import shorten
from asyncml.serving.line import Part, Request


def by_kind(parts: list[Part]) -> list[list[Part]]:
    """Split the parts of a batch into those that can be stacked together: nearly always one.

    Those of the first are the last in the list, to be popped from it.
    """
    if not any(issubclass(kind, np.ndarray) for kind in {type(r.x) for r, _, _ in parts}):
        return [parts]
    kinds = [_kind(request) for request, _, _ in parts]
    if kinds.count(kinds[0]) == len(kinds):
        return [parts]
    groups: dict[Any, list[Part]] = {}
    for kind, part in zip(kinds, parts, strict=True):
        groups.setdefault(kind, []).append(part)
    return [*groups.values()][::-1]


def _kind(request: Request) -> tuple[tuple[int, ...], np.dtype[Any]] | None:
    """Return the shape and dtype of its rows; None where they are no arrays."""
    x = request.x
    if not isinstance(x, np.ndarray):
        return None  # a list of a `many`: its rows are no arrays, or not of one kind
    return (x.shape[1:] if request.is_many else x.shape), x.dtype


def stacked(parts: list[Part]) -> Any:
    """Return the rows of parts of one kind as a new array (n, ...), or as a new list."""
    first, xs = parts[0][0], [request.x for request, _, _ in parts]
    is_list = not isinstance(first.x, np.ndarray)
    if True in [request.is_many for request, _, _ in parts]:
        pieces = [_rows(part) for part in parts]
        return [x for piece in pieces for x in piece] if is_list else np.concatenate(pieces)
    if is_list or not first.x.ndim:
        return xs if is_list else np.array(xs, first.x.dtype)
    # np.stack makes a view of each row first, which takes longer than the copy of a small one
    return np.concatenate(xs).reshape(len(xs), *first.x.shape)


def _rows(part: Part) -> Any:
    request, start, stop = part
    if request.is_many:
        return request.x[start:stop]
    return request.x[None] if isinstance(request.x, np.ndarray) else [request.x]


def count_of(output: Any, rows: int, name: str) -> int:
    """Return the length of what the model made of so many rows, or say what is wrong with it."""
    try:
        count = len(output)
    except TypeError:
        got = f"shape {output.shape}" if hasattr(output, "shape") else shorten(output)
        raise TypeError(
            f"`{name}` must return a row for each of the {rows} it was given, got {got}"
        ) from None
    if isinstance(output, dict | str | bytes) or not hasattr(output, "__getitem__"):
        raise TypeError(
            f"`{name}` must return an array or a list with a row for each of the {rows} it was "
            f"given, got {type(output).__name__}"
        )
    if count != rows:
        raise ValueError(
            f"`{name}` must return a row for each that it was given: {rows} came, {count} went"
        )
    return count


def joined(pieces: list[Any]) -> Any:
    """Join the outputs of several batches: arrays along their first axis, or lists."""
    if len(pieces) == 1:
        return pieces[0]
    if all(isinstance(piece, np.ndarray) for piece in pieces):
        return np.concatenate(pieces)
    return [row for piece in pieces for row in piece]
