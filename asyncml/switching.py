"""Python's switch interval: how long a thread that wants to run waits for the running one.

NumPy releases the global interpreter lock (GIL) during each large operation. To get it back from a
thread that runs pure Python it waits for a whole interval, 5 ms by default. The result is a convoy:
a training step takes many times as long as its arithmetic. Lesson 09 measures this.
"""

import sys
import threading
from typing import ClassVar, Self

_SHORT_S = 0.0001


class ShortSwitches:
    """Set the switch interval of the whole process to 0.1 ms within the block.

    If blocks overlap, in tasks or in threads, the last to exit restores the interval.

    Example:
        >>> with ShortSwitches():
        ...     round(sys.getswitchinterval(), 6)
        0.0001
    """

    # Garbage collection can run at any allocation, and may exit one of these blocks while the same
    # thread is entering another: hence a reentrant lock, and a set of ids instead of a count.
    _lock: ClassVar = threading.RLock()
    _active: ClassVar[set[int]] = set()
    _before_s: ClassVar[float | None] = None

    def __enter__(self) -> Self:
        with self._lock:
            self._active.add(id(self))
            if ShortSwitches._before_s is None:
                ShortSwitches._before_s = sys.getswitchinterval()
                sys.setswitchinterval(min(ShortSwitches._before_s, _SHORT_S))
        return self

    def __exit__(self, *exc_info: object) -> None:
        with self._lock:
            self._active.discard(id(self))
            if not self._active and ShortSwitches._before_s is not None:
                sys.setswitchinterval(ShortSwitches._before_s)
                ShortSwitches._before_s = None
