"""Threads of BLAS, the library behind NumPy's matrix product: one is enough for a small network.

BLAS splits each product among as many threads as there are cores, and all of them wait for the
slowest. If another program occupies one of the cores, they wait until the system preempts it: some
milliseconds, for a product that takes microseconds. Lesson 08 trains with one thread.
"""

import functools
import threading
from importlib import import_module
from typing import Any, ClassVar, Self

from asyncml.checks import check_int

# Parameters. In larger models a product takes milliseconds, and more cores may be worth the risk.
LARGE = 1_000_000


def threads_for(model: object, blas_threads: int | None) -> int | None:
    """Return how many threads BLAS may use for `model`; None for as many as it uses now.

    Args:
        model: any model; without `params` it counts as large.
        blas_threads: the number that the caller asks for, which takes precedence; or None.

    Raises:
        TypeError, ValueError: `blas_threads` is neither None nor an int of at least 1.
    """
    if blas_threads is not None:
        return check_int("blas_threads", blas_threads)
    size = getattr(getattr(model, "params", None), "size", LARGE)
    return 1 if size < LARGE else None


class BlasThreads:
    """Limit the threads of BLAS within a block; in most libraries the limit is process-wide.

    If blocks overlap, the lowest limit holds, and the last block to exit, in whatever thread,
    restores the original numbers. A limit never raises a number. Some libraries, such as OpenBLAS
    built with OpenMP, have a setting for each thread of the program: `apply` sets that too, and it
    lasts as long as the thread. Libraries without a setting, such as Apple's Accelerate, are left
    alone.

    Args:
        most: the most threads BLAS may use; None sets no limit.

    Example:
        >>> with BlasThreads(1) as blas:
        ...     blas.apply()  # in the thread that computes
    """

    _lock: ClassVar = threading.Lock()
    _active: ClassVar[dict[int, int]] = {}
    _set: ClassVar[int | None] = None  # the limit in force, or None
    _before: ClassVar[list[tuple[Any, int]]] = []  # each library, with its original threads

    def __init__(self, most: int | None) -> None:
        self._most = most

    def __enter__(self) -> Self:
        if self._most is not None:
            self._active[id(self)] = self._most
        return self

    def apply(self) -> None:
        """Set the lowest active limit, and the setting of the calling thread if it has its own."""
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
        # Trainings share the setting, so each entry and exit sets it, under a lock, to the lowest
        # limit of all active blocks. An entry waits for the lock: its holder may not know of the
        # new limit yet. An exit does not wait: garbage collection can run at any allocation, and
        # may end a block whose training was dropped, in the very thread that is changing the
        # setting for another block. That thread would wait for itself. The holder of the lock
        # checks again after releasing it, and makes any change that others have left undone.
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
    """Return the BLAS libraries with a process-wide setting, and those with one per thread.

    Importing threadpoolctl and inspecting the libraries takes some ten milliseconds, once.
    """
    controller = import_module("threadpoolctl").ThreadpoolController()
    shared: list[Any] = []
    own: list[Any] = []
    for library in controller.select(user_api="blas").lib_controllers:
        each = library.internal_api == "openblas" and library.threading_layer == "openmp"
        (own if each else shared).append(library)
    return shared, own


def _set_threads(library: Any, number: int) -> None:
    # since threadpoolctl 3.8 the first thread to set it is the only one that may, until released
    release = getattr(library, "clear_controlling_thread", lambda force: None)
    release(force=True)
    library.set_num_threads(number)
    release(force=True)
