"""Checks of the arguments to a pipeline's methods, and the errors for wrong ones.

Lesson 07 uses each option once.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from asyncml.checks import check_int, check_number
from asyncml.failures import shorten
from asyncml.pipeline.functions import check_function, is_async, name_of
from asyncml.pipeline.map import Map
from asyncml.pipeline.retrying import Backoff, OnError, RetryOn, Skip, skip
from asyncml.pipeline.sources import UNKNOWN

# where a pipeline stands, and over what source
_STANDING = {"source": dict, "position": int, "parts": dict}
# times the concurrency: this hides one straggler in 20 at 30 times the latency
LOOKAHEAD = 16


def map_stage(kind: str, fn: Any, *options: Any) -> Map:
    """Return the stage of `Pipeline.map` or `flat_map`; raise an error that names a wrong option.

    Args:
        kind: the method.
        fn: the function to call.
        *options: as the caller gave them, in the order of the fields of `Map`.
    """
    stage = Map(kind, fn, *options)
    concurrency, lookahead = check_int("concurrency", stage.concurrency, 1), stage.lookahead
    retries = check_int("retries", stage.retries, 0)
    lookahead = LOOKAHEAD * concurrency if lookahead is None else check_int("lookahead", lookahead)
    if lookahead < concurrency:
        raise ValueError(f"`lookahead` must be >= concurrency = {concurrency}, got {lookahead}")
    _check_executor(stage.executor)
    check_function(stage.fn, stage.kind, stage.executor)
    timeout = _checked_timeout(stage.timeout)
    if timeout is not None and stage.on_loop:
        name = name_of(stage.fn)
        raise ValueError(f"`timeout` cannot stop `{name}` on the loop: use another executor")
    return replace(
        stage,
        concurrency=concurrency,
        ordered=bool(stage.ordered),
        lookahead=lookahead,
        timeout=timeout,
        retries=retries,
        retry_on=_checked_retry_on(stage.retry_on),
        backoff=_checked_backoff(stage.backoff),
        on_error=_checked_on_error(stage.on_error),
        max_failures=_checked_max_failures(stage.max_failures, stage.on_error),
    )


def _check_executor(executor: object) -> None:
    is_one = hasattr(executor, "submit") and not isinstance(executor, type)
    if executor not in ("thread", "process", "inline") and not is_one:
        hint = f": make one, {executor.__name__}(...)" if isinstance(executor, type) else ""
        raise ValueError(
            '`executor` must be "thread", "process", "inline", '
            f"or a concurrent.futures.Executor, got {executor!r}{hint}"
        )


def _checked_timeout(timeout: Any) -> float | None:
    if timeout is None:
        return None
    seconds = check_number("timeout", timeout, "seconds > 0")
    if not seconds > 0:
        raise ValueError(f"`timeout` must be seconds > 0, got {timeout}")
    return seconds


def _checked_retry_on(retry_on: Any) -> RetryOn | None:
    if isinstance(retry_on, list | set | frozenset):
        retry_on = tuple(retry_on)
    kinds = retry_on if isinstance(retry_on, tuple) else (retry_on,)
    is_function = callable(retry_on) and not isinstance(retry_on, type) and not is_async(retry_on)
    are_kinds = all(isinstance(kind, type) and issubclass(kind, Exception) for kind in kinds)
    if retry_on is None or is_function or are_kinds:
        return retry_on  # type: ignore[no-any-return]
    raise TypeError(
        "`retry_on` must be exception types, such as (OSError, TimeoutError), or a plain function "
        f"exception -> bool, got {shorten(retry_on)}"
    )


def _checked_backoff(backoff: Backoff | None) -> Backoff:
    if backoff is None:
        return Backoff()
    if not isinstance(backoff, Backoff):
        raise TypeError(f"`backoff` must be a Backoff(first_s=...), got {shorten(backoff)}")
    return backoff


def _checked_on_error(on_error: Any) -> OnError:
    if isinstance(on_error, Skip):
        return on_error
    if isinstance(on_error, str) and on_error in ("raise", "skip"):
        return Skip() if on_error == "skip" else "raise"
    if on_error is skip:
        raise TypeError("`on_error=skip` lacks its brackets: write skip(), or skip(log=True)")
    if not callable(on_error) or is_async(on_error):
        raise ValueError(
            '`on_error` must be "raise", "skip", skip(log=True) or a plain function '
            f"(exception, item) -> replacement, got {on_error!r}"
        )
    return on_error  # type: ignore[no-any-return]


def _checked_max_failures(most: Any, on_error: Any) -> float | None:
    if most is None:
        return None
    if isinstance(on_error, str) and on_error == "raise":
        raise ValueError('`max_failures` counts what is skipped or replaced: add on_error="skip"')
    if not isinstance(most, bool) and hasattr(most, "__index__"):
        return check_int("max_failures", most, 0)
    share = check_number("max_failures", most, rule := "a count or a share from 0 to 1")
    if not 0 <= share <= 1:
        raise ValueError(f"`max_failures` must be {rule}, got {most}")
    return share


def check_state(state: Any, version: int) -> None:
    """Raise ValueError unless `state` looks like a result of `Pipeline.state_dict`."""
    if isinstance(state, dict) and state.get("version", version) != version:
        raise ValueError(
            f"`state` has the form number {shorten(state['version'])}, this version of asyncml "
            f"reads number {version}: begin the epoch anew"
        )
    kinds = dict.fromkeys(_STANDING, object) | {"version": int, "stages": list, "epoch": int}
    if not (
        _has(kinds, state)
        and all(isinstance(stage, str) for stage in state["stages"])
        and state["epoch"] >= 0
    ):
        raise ValueError(f"`state` must be what state_dict() returned, got {shorten(state)}")
    check_standing({key: state[key] for key in _STANDING})


def check_standing(state: Any) -> None:
    """Raise ValueError unless `state` looks like the position of a pipeline over a source."""
    if not (
        _has(_STANDING, state)
        and state["source"].keys() == UNKNOWN.keys()
        and all(type(value) in (int, str, type(None)) for value in state["source"].values())
        and state["position"] >= 0
        and all(
            isinstance(key, str) and (key.isdecimal() or key == "source") for key in state["parts"]
        )
    ):
        raise ValueError(f"`state` must be what state_dict() returned, got {shorten(state)}")


def _has(kinds: Mapping[str, type], value: Any) -> bool:
    """Return whether `value` is a dict with exactly these keys and types of values."""
    return (
        isinstance(value, dict)
        and value.keys() == kinds.keys()
        and all(type(value[key]) is kind or kind is object for key, kind in kinds.items())
    )
