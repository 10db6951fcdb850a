"""From the rows of requests to what a model takes, and from what it returns back to rows.

Rows that are arrays of one shape and dtype are stacked; anything else goes as a list.
"""

from typing import Any

import numpy as np

from asyncml.failures import shorten
from asyncml.serving.line import Part


def kind_of(rows: Any) -> Any:
    """Return what rows must have in common to be stacked; None for those that are no arrays."""
    if isinstance(rows, np.ndarray):
        return rows.shape[1:], rows.dtype
    first = rows[0]
    return (first.shape, first.dtype) if isinstance(first, np.ndarray) else None


def by_kind(parts: list[Part]) -> list[list[Part]]:
    """Split the parts of a batch into those that can be stacked together: nearly always one."""
    first = parts[0][0].rows[0]
    if not isinstance(first, np.ndarray):
        if not any(isinstance(request.rows[0], np.ndarray) for request, _, _ in parts):
            return [parts]
    else:
        kind = kind_of(parts[0][0].rows)
        if all(kind_of(request.rows) == kind for request, _, _ in parts):
            return [parts]
    kinds: list[tuple[Any, list[Part]]] = []
    for part in parts:
        kind = kind_of(part[0].rows)
        same = next((group for other, group in kinds if other == kind), None)
        if same is None:
            kinds.append((kind, [part]))
        else:
            same.append(part)
    return [group for _, group in kinds]


def stacked(parts: list[Part]) -> Any:
    """Return the rows of parts of one kind as one array (n, ...), or as a list.

    Rows of a single `many` are a view of what it was given; all others are copied.
    """
    rows: list[Any] = []
    for request, start, stop in parts:
        if isinstance(request.rows, np.ndarray):
            if len(parts) == 1:
                return request.rows[start:stop]
            rows.extend(request.rows[start:stop])
        else:
            rows.extend(request.rows[start:stop])
    first = rows[0]
    if not isinstance(first, np.ndarray):
        return rows
    if not first.ndim:
        return np.array(rows)
    # np.stack makes a view of each row first, which takes longer than the copy of a small one
    return np.concatenate(rows).reshape(len(rows), *first.shape)


def count_of(output: Any, rows: int, name: str) -> int:
    """Return the length of what the model made of so many rows, or say what is wrong with it."""
    try:
        count = len(output)
    except TypeError:
        got = f"shape {output.shape}" if hasattr(output, "shape") else shorten(output)
        raise TypeError(
            f"`{name}` must return a row for each of the {rows} it was given, got {got}"
        ) from None
    if isinstance(output, (dict, set, str, bytes)):
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
