"""From the rows of requests to what a model takes, and from what it returns back to rows.

Rows that are arrays of one shape and dtype are stacked; anything else goes as a list.
"""

from typing import Any

import numpy as np

from asyncml.failures import shorten
from asyncml.serving.line import Part

Kind = tuple[tuple[int, ...], np.dtype[Any]] | None  # None: no array


def _kind_of_many(xs: Any) -> Kind:
    # where it is still a list, its rows are no arrays, or are not of one kind
    return (xs.shape[1:], xs.dtype) if isinstance(xs, np.ndarray) else None


def by_kind(parts: list[Part]) -> list[tuple[Kind, list[Part]]]:
    """Split the parts of a batch into those that can be stacked together: nearly always one."""
    kinds = [
        _kind_of_many(r.x) if r.is_many
        else (r.x.shape, r.x.dtype) if isinstance(r.x, np.ndarray)
        else None
        for r, _, _ in parts
    ]  # fmt: skip
    if kinds.count(kinds[0]) == len(kinds):
        return [(kinds[0], parts)]
    groups: dict[Kind, list[Part]] = {}
    for kind, part in zip(kinds, parts, strict=True):
        groups.setdefault(kind, []).append(part)
    return [*groups.items()]


def stacked(kind: Kind, parts: list[Part]) -> Any:
    """Return the rows of parts of one kind as a new array (n, ...), or as a new list."""
    if not any(request.is_many for request, _, _ in parts):
        xs = [request.x for request, _, _ in parts]
        if kind is None:
            return xs
        # np.stack makes a view of each row first, which takes longer than the copy of a small one
        return np.concatenate(xs).reshape(len(xs), *kind[0]) if kind[0] else np.array(xs, kind[1])
    if kind is None:
        return [x for part in parts for x in _xs(part)]
    return np.concatenate([_xs(part) for part in parts])


def _xs(part: Part) -> Any:
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
