"""Tells which time an event loop keeps: the machine's time, virtual time or a clock of its own.

Code that needs to know asks here, so the rooms above do not have to import the virtual loop.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Protocol, runtime_checkable


@runtime_checkable
class Clock(Protocol):
    """A loop with virtual time, which stands still until something advances it.

    The loop of `simulate` is one. Pipelines and stores treat any loop with these two methods as
    virtual, and refuse to wait for anything in real time on it.
    """

    def time(self) -> float:
        """Return the time in seconds."""

    def advance(self, seconds: float) -> None:
        """Advance the time by `seconds` at once, without running anything."""


def is_virtual(loop: object) -> bool:
    """Return whether the loop runs in virtual time; False for None, when no loop is running."""
    return isinstance(loop, Clock)


def clock_of(
    loop: asyncio.AbstractEventLoop, real: Callable[[], float] = time.monotonic
) -> Callable[[], float]:
    """Return the function that reads the time of a loop, in seconds.

    Args:
        loop: the loop.
        real: the clock to read for asyncio's own loops, which all use the machine's time. A loop
            that overrides `time()`, virtual or not, is asked directly.
    """
    return real if type(loop).time is asyncio.BaseEventLoop.time else loop.time
