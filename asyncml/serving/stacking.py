"""From the rows of requests to the input of a model, and from its output back to rows.

Rows that are arrays of one shape and dtype are stacked; anything else becomes a list.
"""

from contextlib import suppress
from typing import Any

import numpy as np

from asyncml.failures import shorten
from asyncml.serving.line import Request


def by_kind(batch: list[Request]) -> list[list[Request]]:
    """Split a batch into groups that can be stacked, in reverse order: nearly always one group.

    The group of the first request is the last in the list, to be popped first.
    """
    if not any(issubclass(kind, np.ndarray) for kind in {type(request.x) for request in batch}):
        return [batch]
    kinds = [_kind(request) for request in batch]
    if kinds.count(kinds[0]) == len(kinds):
        return [batch]
    groups: dict[Any, list[Request]] = {}
    for kind, request in zip(kinds, batch, strict=True):
        groups.setdefault(kind, []).append(request)
    return [*groups.values()][::-1]


def _kind(request: Request) -> tuple[tuple[int, ...], np.dtype[Any]] | None:
    """Return the shape and dtype of its rows, or None if they are not arrays."""
    x = request.x
    if not isinstance(x, np.ndarray):
        return None  # a list from `many`: its rows are not arrays, or not all of one kind
    return (x.shape[1:] if request.is_many else x.shape), x.dtype


def stacked(batch: list[Request]) -> Any:
    """Return the rows of requests of one kind as a new array (n, ...), or as a new list."""
    first, xs = batch[0].x, [request.x for request in batch]
    is_list = not isinstance(first, np.ndarray)
    if True in [request.is_many for request in batch]:
        pieces = [x if request.is_many else _alone(x) for request, x in zip(batch, xs, strict=True)]
        return [x for piece in pieces for x in piece] if is_list else np.concatenate(pieces)
    if is_list or not first.ndim:
        return xs if is_list else np.array(xs, first.dtype)
    # np.stack first makes a view of each row, which takes longer than copying a small one
    return np.concatenate(xs).reshape(len(xs), *first.shape)


def _alone(x: Any) -> Any:
    return x[None] if isinstance(x, np.ndarray) else [x]


def check_rows(output: Any, rows: int, name: str) -> None:
    """Raise unless the model's output has exactly `rows` rows."""
    count = None
    if hasattr(output, "__getitem__") and not isinstance(output, dict | str | bytes):
        with suppress(TypeError):  # a zero-dimensional array
            count = len(output)
    if count is None:
        got = f"shape {output.shape}" if hasattr(output, "shape") else shorten(output)
        raise TypeError(
            f"`{name}` must return an array or a list with a row for each of the {rows} it was "
            f"given, got {got}"
        )
    if count != rows:
        raise ValueError(
            f"`{name}` must return a row for each that it was given: {rows} came, {count} went"
        )


def joined(pieces: list[Any]) -> Any:
    """Join the outputs of several batches: arrays along the first axis, or lists."""
    if len(pieces) == 1:
        return pieces[0]
    if all(isinstance(piece, np.ndarray) for piece in pieces):
        return np.concatenate(pieces)
    return [row for piece in pieces for row in piece]
