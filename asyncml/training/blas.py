"""Threads of BLAS, the library behind NumPy's matrix product: one is enough for a small network.

BLAS splits each product among as many threads as there are cores, and all of them wait for the
slowest. If another program is using one of the cores, they wait until the system takes it away
again: some milliseconds, for a product of microseconds. Lesson 08 trains with one thread.
"""

import functools
import threading
from importlib import import_module
from typing import Any, ClassVar, Self

from asyncml.checks import check_int

# parameters: above it a product takes milliseconds, and several cores may gain more than is lost
LARGE = 1_000_000


def threads_for(model: object, blas_threads: int | None) -> int | None:
    """Return how many threads BLAS may take for `model`, None for as many as it takes now.

    Args:
        model: with its `params`, if it has them; else it may be large.
        blas_threads: what the caller asks for, which counts.

    Raises:
        TypeError, ValueError: that is neither None nor an int from 1 on.
    """
    if blas_threads is not None:
        return check_int("blas_threads", blas_threads)
    size = getattr(getattr(model, "params", None), "size", LARGE)
    return 1 if size < LARGE else None


class BlasThreads:
    """Bound the threads of BLAS for a while; in most libraries that is one setting for the process.

    Where several bounds overlap, the least counts, and the last to end puts back what was there
    before, from whatever thread. A bound never raises a number. Some libraries, such as OpenBLAS
    built with OpenMP, have a setting for each thread of the program: `apply` sets that too, and it
    ends with the thread. Where there is no such setting, as in Apple's Accelerate, nothing happens.

    Args:
        most: how many threads; None bounds nothing.

    Example:
        >>> with BlasThreads(1) as blas:
        ...     blas.apply()  # in the thread that computes
    """

    _lock: ClassVar = threading.Lock()
    _active: ClassVar[dict[int, int]] = {}
    _set: ClassVar[int | None] = None  # the bound that is set; None: none is
    _before: ClassVar[list[tuple[Any, int]]] = []  # each library, and its threads without a bound

    def __init__(self, most: int | None) -> None:
        self._most = most

    def __enter__(self) -> Self:
        if self._most is not None:
            self._active[id(self)] = self._most
        return self

    def apply(self) -> None:
        """Set what those that are active ask for, and what holds for the calling thread alone."""
        if self._most is None:
            return
        for library in _libraries()[1]:
            _set_threads(library, min(library.num_threads, self._most))
        self._settle(wait=True)

    def __exit__(self, *exc_info: object) -> None:
        self._active.pop(id(self), None)
        if self._set is not None:
            self._settle()

    @classmethod
    def _settle(cls, *, wait: bool = False) -> None:
        # Two trainings share the setting, so whoever begins or ends brings it to what all that are
        # active ask for, under a lock. Whoever begins waits for it: somebody who does not know of
        # the new bound yet may be changing the setting. Whoever ends does not: a garbage collection
        # can run at any allocation, and may end a bound whose training was dropped, in the very
        # thread that is changing the setting for another. There it would wait for itself. Whoever
        # holds the lock looks again once it is free, and does what others have left undone.
        while (wait or cls._set != cls._least()) and cls._lock.acquire(blocking=wait):
            wait = False
            try:
                least = cls._least()
                if cls._set is None:
                    cls._before = [(library, library.num_threads) for library in _libraries()[0]]
                for library, before in cls._before:
                    _set_threads(library, before if least is None else min(before, least))
                cls._set = least
            finally:
                cls._lock.release()

    @classmethod
    def _least(cls) -> int | None:
        return min([*cls._active.values()], default=None)


@functools.cache
def _libraries() -> tuple[list[Any], list[Any]]:
    """Return the BLAS libraries with one number for the process, and those with one a thread.

    To import threadpoolctl and to look takes some ten milliseconds, the first time.
    """
    controller = import_module("threadpoolctl").ThreadpoolController()
    shared: list[Any] = []
    own: list[Any] = []
    for library in controller.select(user_api="blas").lib_controllers:
        each = library.internal_api == "openblas" and library.threading_layer == "openmp"
        (own if each else shared).append(library)
    return shared, own


def _set_threads(library: Any, number: int) -> None:
    # from threadpoolctl 3.8 on, whoever sets it first is the only thread that may, until released
    release = getattr(library, "clear_controlling_thread", lambda force: None)
    release(force=True)
    library.set_num_threads(number)
    release(force=True)
