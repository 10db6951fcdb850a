"""Process pools: how they start, are kept from epoch to epoch, and end with the program.

Processes are expensive to start, and an interpreter that exits waits for them. So a pipeline keeps
its pools, and this file ends them: with their pipeline, with the program, or with their parent.
"""

import contextlib
import os
import threading
import time
import weakref
from concurrent.futures import Executor
from functools import cache
from itertools import chain
from typing import Any

from asyncml.internals import before_exit, manager_of, processes_of

_open_pools: "weakref.WeakSet[Executor]" = weakref.WeakSet()  # of processes
_ending: set[threading.Thread] = set()  # the manager threads of pools that were closed


class Pools:
    """Process pools that a pipeline, and those derived from it, keep from epoch to epoch.

    A process takes about 0.2 s to start. A stage takes a pool of its size at the start of an epoch
    and puts it back at the end, unless one of its functions is still running. Idle pools end when
    the last of the pipelines is garbage-collected, or with the interpreter. A copy starts with
    none, and so does a forked process: a pool serves only the process that started it.
    """

    def __init__(self) -> None:
        self._idle: dict[int, list[Executor]] = {}
        weakref.finalize(self, _end, self._idle)

    def __reduce__(self) -> tuple[type["Pools"], tuple[()]]:
        return Pools, ()

    def take(self, size: int) -> Executor | None:
        """Return an idle pool of `size` processes, all of them alive, or None if there is none."""
        while idle := self._idle.get(size):
            with contextlib.suppress(IndexError):  # another thread has taken the last one
                pool = idle.pop()
                if pool in _open_pools and _is_well(pool):
                    return pool
                _end({size: [pool]})
        return None

    def put(self, size: int, pool: Executor) -> None:
        """Keep an idle pool."""
        self._idle.setdefault(size, []).append(pool)


def _is_well(pool: Any) -> bool:
    return bool(pool._processes) and all(each.is_alive() for each in pool._processes.values())


def _end(pools: dict[int, list[Executor]]) -> None:
    for pool in chain.from_iterable(pools.values()):
        if pool in _open_pools:  # else it belongs to the process that forked this one
            close_pool(pool)


def start_processes(count: int) -> Executor:
    """Return a pool of `count` spawned processes, which end with this one."""
    import multiprocessing  # takes 20 ms, and few programs need it
    from concurrent.futures import ProcessPoolExecutor

    _close_pools_at_exit(os.getpid())
    _forget_ended()
    spawn = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(count, spawn, initializer=_end_with_parent)
    _open_pools.add(pool)
    return pool


def _end_with_parent() -> None:
    """End this worker when its parent process is gone, even if that was killed."""
    from multiprocessing import parent_process

    parent = parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, name="end-with-parent", daemon=True).start()


@cache
def _close_pools_at_exit(_pid: int) -> None:
    """End all open pools when the program exits: the interpreter would wait for them.

    A process of multiprocessing waits for its children before that, and drops its exit hooks when
    it is forked.
    """
    from multiprocessing.util import Finalize

    Finalize(None, _close_pools, exitpriority=100)
    before_exit(_close_pools)
    if at_fork := getattr(os, "register_at_fork", None):
        at_fork(after_in_child=_open_pools.clear)  # else a child would end its parent's pools


def _close_pools(patience: float = 10) -> None:
    """End all pools, and give their manager threads `patience` seconds in all to clean up.

    A manager thread closes the pipe through which the exit hook of concurrent.futures wakes it, and
    unlinks semaphores before it tells the resource tracker. If the program or a forked process ends
    in between, the hook fails, or the tracker reports a leak of what is already gone. Nothing else
    waits for the thread: it may be a daemon, like the thread that iterates, and the hook does not
    see a manager that is being freed. So managers are kept until they have ended, and removed when
    the next pool starts or here.
    """
    for pool in list(_open_pools):
        close_pool(pool)
    deadline = time.monotonic() + patience
    for thread in list(_ending):
        thread.join(max(0, deadline - time.monotonic()))
    _forget_ended()


def _forget_ended() -> None:
    # not in `close_pool`: that may run in a garbage collection, under a lock of `threading`
    _ending.difference_update([thread for thread in list(_ending) if not thread.is_alive()])


def close_pool(pool: Executor) -> None:
    """Shut an executor down at once: queued calls are dropped, running ones are not waited for."""
    processes = processes_of(pool)
    if manager := manager_of(pool):
        _ending.add(manager)
    pool.shutdown(wait=False, cancel_futures=True)
    for process in processes:  # the interpreter's exit would wait for them
        process.terminate()
