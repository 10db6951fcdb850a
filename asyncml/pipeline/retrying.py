"""What becomes of an item whose function failed: another try after a pause, or its end.

`Pipeline.map` and `flat_map` take these as options. Lesson 07 meets a bucket that needs them.
"""

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any, Literal, NamedTuple

from asyncml.failures import shorten

# what another try cannot mend: a mistake in the program, or something that is not there
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
# where this many items come first and are all left out, something is wrong with the program
SUSPICIOUS = 16
# a share of failures is taken of so many items at least, as long as the epoch runs
SHARE_OF = 100
LOGGED = 100

Errors = type[Exception] | tuple[type[Exception], ...]
RetryOn = Errors | Callable[[Exception], bool]
_log = logging.getLogger("asyncml")


@dataclass(frozen=True)
class Backoff:
    """The pauses between the attempts of one item, in seconds.

    Before attempt number n + 2 the pause is `first_s * growth**n`, at most `longest_s`, times a
    random factor from `1 - jitter` to `1 + jitter`. That factor follows from the item and the
    attempt alone, so a run can be repeated, and items that fail together do not come again
    together (Marc Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015).

    Args:
        first_s: the first pause, >= 0.
        growth: how many times longer each next one is, >= 1.
        longest_s: no pause is longer, but for the jitter; >= `first_s`.
        jitter: from 0 to 1.

    Raises:
        ValueError: an argument is out of its range.

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
        """Return the pause after attempt number `attempt`, the first being 0, of an item.

        Args:
            address: which item it is, an int or anything that can be printed.
            attempt: which attempt has failed, the first being 0.
        """
        try:
            pause_s = min(self.first_s * self.growth**attempt, self.longest_s)
        except OverflowError:
            pause_s = self.longest_s
        seed = address * 64 + attempt if isinstance(address, int) else f"{address} {attempt}"
        return float(pause_s * (1 - self.jitter + 2 * self.jitter * Random(seed).random()))


@dataclass(frozen=True)
class Skip:
    """Leave an item out; made by `skip`."""

    log: bool = False


def skip(*, log: bool = False) -> Skip:
    """Return an `on_error` that leaves an item out after its last attempt, as "skip" does.

    Args:
        log: whether each such item is logged, as a warning of the logger "asyncml".

    Example:
        >>> from asyncml.pipeline.pipeline import Pipeline
        >>> list(Pipeline("1x3").map(int, on_error=skip(log=True), executor="inline"))
        [1, 3]
    """
    return Skip(log)


OnError = Literal["raise", "skip"] | Skip | Callable[[Exception, Any], Any]


class FailedItem(NamedTuple):
    """An item that was left out or replaced after its last attempt.

    Attributes:
        stage: its stage, such as `map(decode)`.
        index: the number, from 0, of the (first) item that it was made of, among those that came
            to the first function or batch: its position in the source, if no shard or shuffle
            stands before that.
        item: what the function was called with.
        error: what the last attempt raised, without its traceback, which would keep alive what
            the function had in its variables.
    """

    stage: str
    index: int  # type: ignore[assignment]  # the contract's name is also a method of tuples
    item: Any
    error: Exception


def log_skipped(failed: FailedItem) -> None:
    """Write a line for an item that is left out."""
    stage, index, item, error = failed
    _log.warning(
        "skipped in %s: item %d, %s: %s: %s",
        *(stage, index, shorten(item), type(error).__name__, shorten(error)),
    )
