"""Checks of arguments that several rooms make: the error names what was wrong and what was got."""

import operator


def check_int(name: str, value: object, least: int = 1) -> int:
    """Return `value` as an int, or raise: no float, not even 2.0, and no bool, counts anything.

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


def check_model(model: object) -> None:
    """Raise TypeError for what does not learn: a class, None, an optimiser in a model's place."""
    if isinstance(model, type) or not hasattr(model, "loss_and_grads"):
        got = f"the class {model.__name__}" if isinstance(model, type) else type(model).__name__
        raise TypeError(f"`model` must be a Sequential, got {'None' if model is None else got}")
