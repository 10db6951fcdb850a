"""Argument checks that several rooms share; each error says what was wrong and what was given."""

import math
import operator
from numbers import Real

import numpy as np


def check_int(name: str, value: object, least: int = 1) -> int:
    """Return `value` as an int of at least `least`; refuse floats, even 2.0, and bools.

    Example:
        >>> check_int("epochs", 2.5)
        Traceback (most recent call last):
        TypeError: `epochs` must be an int, got 2.5
    """
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"`{name}` must be an int, got {value!r}")
    number = operator.index(value)
    if number < least:
        raise ValueError(f"`{name}` must be >= {least}, got {number}")
    return number


def check_number(name: str, value: object, rule: str) -> float:
    """Return `value` as a float; raise TypeError for a string, a bool or an array with axes.

    Example:
        >>> check_number("lr", "0.1", "a finite number > 0")
        Traceback (most recent call last):
        TypeError: `lr` must be a finite number > 0, got '0.1'
    """
    given = value[()] if isinstance(value, np.ndarray) and value.ndim == 0 else value
    if isinstance(given, bool) or not isinstance(given, Real):
        raise TypeError(f"`{name}` must be {rule}, got {value!r}")
    try:
        return float(given)
    except OverflowError:  # an int with hundreds of digits
        return math.inf


def check_model(model: object, *methods: str) -> None:
    """Raise TypeError unless `model` is an instance that has all of these methods."""
    lacks = [name for name in methods if not callable(getattr(model, name, None))]
    if isinstance(model, type):
        raise TypeError(f"`model` must be a Sequential, got the class {model.__name__}")
    if lacks:
        got = "None" if model is None else f"{type(model).__name__}, which has no {lacks[0]}()"
        raise TypeError(f"`model` must be a Sequential, got {got}")


def check_optimizer(optimizer: object, model: object, *names: str) -> None:
    """Raise TypeError if the optimiser lacks one of `names`, ValueError if its model is another."""
    lacks = [name for name in names if not hasattr(optimizer, name)]
    if isinstance(optimizer, type) or lacks:
        why = "" if isinstance(optimizer, type) else f", which has no `{lacks[0]}`"
        raise TypeError(
            f"`optimizer` must be an optimiser such as Adam(model), got {optimizer!r}{why}"
        )
    if getattr(optimizer, "model", None) is not model:
        raise ValueError("`optimizer` must be made for `model`, got one that changes another model")
