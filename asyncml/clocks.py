"""What time it is on an event loop: the machine's time, virtual time, or a time of the loop's own.

Code that must know asks here, so that no room above needs the virtual loop itself.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Protocol, runtime_checkable


@runtime_checkable
class Clock(Protocol):
    """A loop whose time is virtual: it stands still until it is moved.

    The loop of `simulate` is one. Pipelines and stores take any loop with these two methods for
    one, and refuse there what would wait in real time.
    """

    def time(self) -> float:
        """Return the time in seconds."""

    def advance(self, seconds: float) -> None:
        """Let `seconds` pass at once, without running anything."""


def is_virtual(loop: object) -> bool:
    """Tell whether time on the loop is virtual; False for None, where no loop runs."""
    return isinstance(loop, Clock)


def clock_of(
    loop: asyncio.AbstractEventLoop, real: Callable[[], float] = time.monotonic
) -> Callable[[], float]:
    """Return the function that tells the time on a loop, in seconds.

    Args:
        loop: the loop.
        real: the clock of the machine to read where the loop has no time of its own. asyncio's
            loops have none. A loop that has one, virtual or not, is asked itself.
    """
    return real if type(loop).time is asyncio.BaseEventLoop.time else loop.time
