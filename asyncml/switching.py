"""Python's switch interval: how long a thread that wants to run waits for the one that runs.

NumPy releases the interpreter's lock (GIL) during each large operation. To get it back from a
thread that runs pure Python it waits a whole interval, 5 ms by default. This is a convoy, in which
a training step takes many times as long as its arithmetic. Lesson 09 measures it.
"""

import sys
import threading
from typing import ClassVar, Self

_SHORT_S = 0.0001


class ShortSwitches:
    """Make the switch interval 0.1 ms for a while. It is one setting for the whole process.

    Where several overlap, in tasks or threads, the last to end restores the interval.

    Example:
        >>> with ShortSwitches():
        ...     round(sys.getswitchinterval(), 6)
        0.0001
    """

    # A garbage collection can run at any allocation, and may end one of these while its thread is
    # beginning another: hence a lock that a thread may take twice, and a set rather than a count.
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
