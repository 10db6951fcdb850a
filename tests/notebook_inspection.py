"""Code that runs in a kernel, hidden from the notebook, before its first cell and after its last.

The gate sends this file's source to the kernel, in its own namespace. It finds futures through the
garbage collector, because `all_tasks` sees only one loop, and an unretrieved exception is logged
only when its future is destroyed, which never happens to one held by a variable.
"""

import asyncio
import gc
import json
import os
import sys
import weakref

KERNEL = tuple(os.sep + name + os.sep for name in ("ipykernel", "IPython", "tornado", "zmq"))


def remember() -> str:
    """Remember the kernel's own futures."""
    sys._futures_before_the_first_cell = weakref.WeakSet(_futures())
    return "[]"


def report() -> str:
    """Return, as JSON, the cells' tasks that still run and their unretrieved exceptions."""
    own = sys._futures_before_the_first_cell
    complaints = [_complaint(future) for future in _futures() if future not in own]
    return json.dumps(sorted(filter(None, complaints)))


def _futures() -> list:
    gc.collect()
    return [thing for thing in gc.get_objects() if issubclass(type(thing), asyncio.Future)]


def _complaint(future: asyncio.Future) -> str | None:
    name = "a future"
    if isinstance(future, asyncio.Task):
        code = getattr(future.get_coro(), "cr_code", None)
        name = f"task {future.get_name()!r}" + (f" ({code.co_qualname})" if code else "")
        if not future.done() and not _of_the_kernel(future, code):
            return f"{name} is still running: await it or cancel it"
    if future.done() and getattr(future, "_log_traceback", False):
        return f"the exception of {name} was never retrieved: {future.exception()!r}"
    return None


def _of_the_kernel(task: asyncio.Task, code: object) -> bool:
    file = getattr(code, "co_filename", "")
    return task is asyncio.current_task(task.get_loop()) or any(part in file for part in KERNEL)
