"""What may be passed to the methods of a pipeline, and what is said where something may not.

Lesson 07 uses each option once.
"""

from collections.abc import Callable
from numbers import Real
from typing import Any

from asyncml.calls import Map, OnError, Where, check_function, is_async, name_of
from asyncml.checks import check_int

# times the concurrency: one straggler in 20 at 30 times the latency is hidden
LOOKAHEAD = 16


def map_stage(
    kind: str,
    fn: Callable[[Any], Any],
    concurrency: int,
    executor: Where,
    ordered: bool,
    lookahead: int | None,
    timeout: float | None,
    retries: int,
    on_error: OnError,
) -> Map:
    """Return the stage of `Pipeline.map` or `flat_map`, or say which option is wrong."""
    check_int("concurrency", concurrency, 1)
    check_int("retries", retries, 0)
    if lookahead is None:
        lookahead = LOOKAHEAD * concurrency
    if check_int("lookahead", lookahead, 1) < concurrency:
        raise ValueError(f"`lookahead` must be >= concurrency = {concurrency}, got {lookahead}")
    if timeout is not None:
        if isinstance(timeout, bool) or not isinstance(timeout, Real):
            raise TypeError(f"`timeout` must be seconds > 0, got {timeout!r}")
        if not timeout > 0:
            raise ValueError(f"`timeout` must be seconds > 0, got {timeout}")
    if executor not in ("thread", "process", "inline") and not hasattr(executor, "submit"):
        raise ValueError(
            '`executor` must be "thread", "process", "inline", '
            f"or a concurrent.futures.Executor, got {executor!r}"
        )
    check_function(fn, kind, executor)
    if timeout is not None and executor == "inline" and not is_async(fn):
        raise ValueError(f"`timeout` cannot stop `{name_of(fn)}` on the loop: use another executor")
    if on_error not in ("raise", "skip") and (not callable(on_error) or is_async(on_error)):
        raise ValueError(
            '`on_error` must be "raise", "skip" or a plain function '
            f"(exception, item) -> replacement, got {on_error!r}"
        )
    return Map(kind, fn, concurrency, executor, ordered, lookahead, timeout, retries, on_error)


def is_state(state: Any, version: int) -> bool:
    """Whether `state` looks like what `Pipeline.state_dict` returns."""
    numbers = dict.fromkeys(("version", "epoch", "position"), int)
    kinds = {**numbers, "stages": list, "parts": dict, "finished": bool}
    return (
        isinstance(state, dict)
        and {key: type(value) for key, value in state.items()} == kinds
        and state["version"] == version
        and all(isinstance(stage, str) for stage in state["stages"])
        and min(state["epoch"], state["position"]) >= 0
        and all(isinstance(key, str) and key.isdecimal() for key in state["parts"])
    )
