"""What happens to an item whose function failed: another attempt after a pause, or its end.

`Pipeline.map` and `flat_map` take these as options. Lesson 07 has a bucket that needs them.
"""

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any, Literal, NamedTuple

from asyncml.failures import shorten

# errors that another attempt cannot mend: a bug in the program, or something that is missing
HOPELESS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    ImportError,
    LookupError,  # KeyError and ObjectNotFound among them
    NameError,
    NotImplementedError,
    TypeError,
    FileNotFoundError,
    IsADirectoryError,
    NotADirectoryError,
    PermissionError,
)
# if this many items come first and all are skipped, something is wrong with the program
SUSPICIOUS = 16
# while the epoch runs, a share of failures is taken of at least this many items
SHARE_OF = 100
LOGGED = 100

Errors = type[Exception] | tuple[type[Exception], ...]
RetryOn = Errors | Callable[[Exception], bool]
_log = logging.getLogger("asyncml")


@dataclass(frozen=True)
class Backoff:
    """The pauses between the attempts of one item, in seconds.

    Before attempt number n + 2 the pause is `first_s * growth**n`, at most `longest_s`, times a
    random factor from `1 - jitter` to `1 + jitter`. That factor depends only on the item and the
    attempt, so a run can be repeated, and items that fail together are not retried together (Marc
    Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015).

    Args:
        first_s: the first pause, >= 0.
        growth: how many times longer each later pause is, >= 1.
        longest_s: the longest pause before jitter is applied; >= `first_s`.
        jitter: from 0 to 1.

    Raises:
        ValueError: an argument is out of range.

    Example:
        >>> Backoff(first_s=1, jitter=0).pause_s(address=7, attempt=3)
        5.0
    """

    first_s: float = 0.05
    growth: float = 2.0
    longest_s: float = 5.0
    jitter: float = 0.5

    def __post_init__(self) -> None:
        if not 0 <= self.first_s < math.inf:
            raise ValueError(f"`first_s` must be seconds >= 0, got {self.first_s}")
        if not 1 <= self.growth < math.inf:
            raise ValueError(f"`growth` must be >= 1, got {self.growth}")
        if not self.first_s <= self.longest_s < math.inf:
            raise ValueError(
                f"`longest_s` must be >= first_s = {self.first_s}, got {self.longest_s}"
            )
        if not 0 <= self.jitter <= 1:
            raise ValueError(f"`jitter` must be from 0 to 1, got {self.jitter}")

    def pause_s(self, address: Any, attempt: int) -> float:
        """Return the pause in seconds after a failed attempt of an item.

        Args:
            address: identifies the item: an int, or anything that can be printed.
            attempt: which attempt has failed; the first is 0.
        """
        try:
            pause_s = min(self.first_s * self.growth**attempt, self.longest_s)
        except OverflowError:
            pause_s = self.longest_s
        seed = address * 64 + attempt if isinstance(address, int) else f"{address} {attempt}"
        return float(pause_s * (1 - self.jitter + 2 * self.jitter * Random(seed).random()))


@dataclass(frozen=True)
class Skip:
    """Skip an item; made by `skip`."""

    log: bool = False


def skip(*, log: bool = False) -> Skip:
    """Return an `on_error` that skips an item after its last attempt, as "skip" does.

    Args:
        log: whether to log each such item, as a warning of the logger "asyncml".

    Example:
        >>> from asyncml.pipeline.pipeline import Pipeline
        >>> list(Pipeline("1x3").map(int, on_error=skip(log=True), executor="inline"))
        [1, 3]
    """
    return Skip(log)


OnError = Literal["raise", "skip"] | Skip | Callable[[Exception, Any], Any]


class FailedItem(NamedTuple):
    """An item that was skipped or replaced after its last attempt.

    Attributes:
        stage: its stage, such as `map(decode)`.
        index: the number, from 0, of the (first) item that it was made from, among those that
            reached the first function or batch: its position in the source, if no shard or shuffle
            comes before that.
        item: the argument of the function.
        error: the error of the last attempt, without its traceback, which would keep the variables
            of the function alive.
    """

    stage: str
    index: int  # type: ignore[assignment]  # the contract's name is also a method of tuples
    item: Any
    error: Exception


def log_skipped(failed: FailedItem) -> None:
    """Log an item that is skipped."""
    stage, index, item, error = failed
    _log.warning(
        "skipped in %s: item %d, %s: %s: %s",
        *(stage, index, shorten(item), type(error).__name__, shorten(error)),
    )
