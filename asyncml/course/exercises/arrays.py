"""Judges plain functions of arrays: calls them, and recognises mistakes by their results."""

import copy
import inspect
from collections.abc import Callable
from types import GeneratorType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asyncml.course.exercises import Wrong, answers
from asyncml.course.exercises.scenes import Hints, check_plain, demand, play

Floats = NDArray[np.float64]
Mistakes = dict[str, tuple[Any, ...]]  # code: the mistaken array or its shape, then the hints
PLAIN: Hints = {  # for any plain function of arrays; "it raised" fits every error, so it is last
    "still running": ("endless", "Which loop in it has no end?"),
    "`time.sleep`": ("blocking", "Nothing has to wait here: leave `time.sleep` out."),
    "local variable": ("order", "Which line sets it? That line comes first."),
    "NameError": ("name", "Where does that name get its value? Is it spelt the same there?"),
    "core dimension": (
        "product",
        "Write the shapes side by side: the two in the middle must be equal.",
        "`.T` swaps the rows and columns of one side; (in, n) @ (n, out) gives (in, out).",
    ),
    "not aligned": ("product", "Write the shapes side by side: the middle ones must be equal."),
    "be broadcast": ("star", "`*` and `-` work place by place. A sum of products is `@`."),
    "truth value of an array": ("if", "`if` asks about one number; `np.where` asks about each."),
    "it raised": ("raised", "Call it yourself in a cell, and print the shapes before that line."),
}


def call(answer: Any, hints: Hints, /, **args: Any) -> Any:
    """Call an answer with copies of the arguments, in order; refuse changes to their arrays."""
    check_plain(answer)
    named = f"`{answer.__name__}({', '.join(args)})`"
    try:
        inspect.signature(answer).bind(*args)
    except TypeError:
        shown = f"its arguments do not fit: it is called as {named}."
        raise Wrong("arguments", shown, "They come in this order; the names are free.") from None
    copies = copy.deepcopy([*args.values()])

    def scene() -> Any:
        with np.errstate(all="ignore"):  # overflows are reported in the verdict
            return answer(*copies)

    result = play(scene, of=answer, hints={**hints, **PLAIN, **hints}).result
    is_same = all(map(np.array_equal, _arrays(copies), _arrays(args.values())))
    why = "Make a new one: `a = a - b` in place of `a -= b`, `x[rows]` in place of a shuffled `x`."
    demand(is_same, "changed", f"{named} changed an array that it was given.", why)
    is_generator = isinstance(result, GeneratorType)
    demand(not is_generator, "generator", "its `yield` makes it a generator.", "Use `return`.")
    answers.demand_returned(result)
    return result


def _arrays(values: Any) -> list[Any]:
    parts = [part for value in values for part in (value if isinstance(value, list) else [value])]
    return [part for part in parts if isinstance(part, np.ndarray)]


def read(result: Any, what: str = "it") -> Floats:
    """Return an answer's result as an array of floats, or raise `Wrong`."""
    shown = f"{what} is of type {type(result).__name__}, not an array of numbers."
    demand(result is not None, "missing", shown)
    try:
        return np.asarray(result, float)
    except (TypeError, ValueError, OverflowError):
        raise Wrong("kind", shown, "Return what is asked for, and nothing else.") from None


def compare(case: str, found: Floats, right: Floats, mistakes: Mistakes, *other: str) -> None:
    """Raise `Wrong` unless the array is right; name the mistake that gives such an array.

    Args:
        case: what was computed, in words.
        found: the answer's array.
        right: the right array.
        mistakes: typical mistakes, by the array or just the shape that they give.
        other: the code and the hints for any other array.
    """
    if _is_close(found, right):
        return
    shown = f"{case}: expected shape {right.shape}, got {found.shape}."
    if found.shape == right.shape:
        shown = _told(case, found, right)
    for code, (wrong, *hints) in mistakes.items():
        is_shape = isinstance(wrong, tuple) and found.shape == wrong != right.shape
        demand(not is_shape and not _is_close(found, wrong), code, shown, *hints)
    demand(found.shape == right.shape, "shape", shown, *other[1:])
    raise Wrong(other[0], shown, *other[1:])


def _is_close(found: Floats, right: Any) -> bool:
    right = np.asarray(right)
    return found.shape == right.shape and np.allclose(found, right, rtol=1e-4, atol=1e-6)


def _told(case: str, found: Floats, right: Floats) -> str:
    factor = float((found * right).sum() / ((right * right).sum() or 1.0))
    if right.size > 1 and factor and _is_close(found, factor * right):
        return f"{case}: it is {factor:.4g} times what it should be."
    place = tuple(int(i) for i in np.argwhere(~np.isclose(found, right, rtol=1e-4, atol=1e-6))[0])
    where = f" at {list(place)}" if place else ""
    return f"{case}: expected {right[place]:.4g}{where}, got {found[place] + 0.0:.4g}."


def differences(loss: Callable[[], float], array: Floats, eps: float = 1e-6) -> Floats:
    """Return the slope of a loss in each element of an array that it reads."""
    found = np.empty_like(array)
    for place in np.ndindex(array.shape):
        value = array[place]
        array[place] = value + eps
        above = loss()
        array[place] = value - eps
        found[place] = (above - loss()) / (2 * eps)
        array[place] = value
    return found
