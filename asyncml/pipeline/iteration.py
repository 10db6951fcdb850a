"""Two ways to iterate over an epoch: `async for` on the caller's loop, and plain `for`.

Plain `for` runs the epoch on an event loop in another thread, with a bounded hand-over: loading
continues while the body computes, and it works where a loop is already running, as in a notebook.
Lesson 09 trains both ways.
"""

import asyncio
import contextlib
import contextvars
import queue
import re
import sys
import threading
import time
import warnings
from collections.abc import Callable, Generator
from functools import partial
from typing import Any

from asyncml.failures import add_note, hide_stop, said, shorten
from asyncml.pipeline.engine import Failure
from asyncml.pipeline.epoch import Epoch
from asyncml.pipeline.stages import END, Entry

# how many items may be handed over and not yet taken by the loop's body
AHEAD = 2
# how long to wait for the thread to end, in seconds: the caller's functions may be slow
PATIENCE_S = 1.0
_OF_LOOPS = re.compile(r"different event loop|different loop|Event loop is closed")


class Items:
    """The asynchronous iterator over an epoch.

    Not a generator: a `break` drops this object, which stops the epoch at once; a generator would
    be closed later, in a task.
    """

    def __init__(self, epoch: Epoch) -> None:
        self._epoch = epoch
        self._busy = self._started = False

    def __aiter__(self) -> "Items":
        return self

    async def __anext__(self) -> Any:
        if self._busy:
            raise RuntimeError("an item is awaited already: one task iterates, others get a queue")
        self._busy = True
        epoch = self._epoch
        try:
            if not self._started:
                self._started = True
                await epoch.start()
                epoch.waited_s += epoch.time() - epoch.began_s
            entry = next(epoch.flow, END)
            if entry[1] is None:
                begun = epoch.time()
                entry = await epoch.arrived(entry)
                epoch.waited_s += epoch.time() - begun
            if entry is not END:
                standing = epoch.standing
                standing.mark = entry[1]
                if standing.reorders:
                    standing.settle()
                return entry[0]
            if not epoch.end:
                epoch.look_back()
                epoch.finish()
        except BaseException as error:
            try:
                await self.aclose()
            except Exception as failure:
                add_note(error, f"and the clean-up raised {shorten(failure)}")
            hide_stop(error)
            raise
        finally:
            self._busy = False
        await epoch.aclose()
        epoch.check()
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """End the epoch; when this returns, none of its tasks is left."""
        self._epoch.leave()
        await self._epoch.aclose()

    def __del__(self) -> None:
        self._epoch.leave()
        self._epoch.stop()


class Handover:
    """A bounded queue from an event loop to an ordinary thread."""

    def __init__(self) -> None:
        self._items: queue.SimpleQueue[Entry | Failure] = queue.SimpleQueue()
        self._put = self._got = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._callback: Callable[[], None] | None = None

    def is_full(self) -> bool:
        """Return whether the consumer has enough for now."""
        return self._put - self._got >= AHEAD

    def notify(self, callback: Callable[[], None]) -> None:
        """Call `callback` once, on the loop, as soon as there is room."""
        self._loop = asyncio.get_running_loop()
        self._callback = callback
        if not self.is_full():  # an item was taken just now, before there was a callback
            self._loop.call_soon(callback)

    def put(self, entry: Entry | Failure) -> None:
        """Hand over an item."""
        self._put += 1
        self._items.put(entry)

    def get(self) -> Entry | Failure:
        """Return the next item; block until there is one."""
        entry = self._items.get()
        self._got += 1
        callback, self._callback = self._callback, None
        if callback and self._loop:
            with contextlib.suppress(RuntimeError):  # the loop may have ended in the meantime
                self._loop.call_soon_threadsafe(callback)
        return entry


def iterate(epoch: Epoch) -> Generator[Any, None, None]:
    """Yield the items of an epoch that runs in its own thread; closing this ends the thread."""
    handover = Handover()
    run = partial(contextvars.copy_context().run, _run, epoch, handover)
    thread = threading.Thread(target=run, name="pipeline", daemon=True)
    thread.start()
    try:
        while True:
            begun = time.perf_counter()
            entry = handover.get()
            epoch.waited_s += time.perf_counter() - begun
            if isinstance(entry, Failure):
                _explain_loops(entry.error)
                try:
                    raise entry.error
                finally:
                    del entry  # the error's traceback holds this frame
            epoch.check()
            if entry is END:
                epoch.finish()
                return
            epoch.standing.mark = entry[1]
            if epoch.standing.reorders:
                epoch.standing.settle()
            yield entry[0]
    except KeyboardInterrupt as stop:
        hide_stop(stop)
        raise
    finally:
        epoch.leave()
        epoch.stop()
        _part_with(thread)


def _explain_loops(error: BaseException) -> None:
    """Add a note to asyncio's errors about event loops that the caller never created."""
    if isinstance(error, RuntimeError) and _OF_LOOPS.search(said(error)):
        add_note(
            error,
            "each epoch of plain `for` has an event loop of its own, which ends with the epoch: "
            "what belongs to a loop, such as a semaphore or the client of a web server, cannot be "
            "shared by epochs. Make it within the source or the function, or use `async for`",
        )


def _part_with(thread: threading.Thread) -> None:
    """Wait for an epoch's thread to end; warn if it runs on."""
    if thread is threading.current_thread() or sys.is_finalizing():
        return  # at exit daemon threads no longer run, and joining them is an error
    thread.join(PATIENCE_S)
    if thread.is_alive():
        warnings.warn(
            f"the loop over a pipeline has ended, but after {PATIENCE_S:g} s one of its functions "
            "still holds the pipeline's event loop, runs in asyncio.to_thread, or cleans up: its "
            "thread runs on until that has ended",
            RuntimeWarning,
            stacklevel=3,
        )


def _run(epoch: Epoch, handover: Handover) -> None:
    with asyncio.Runner() as runner:
        try:
            runner.run(_fill(epoch, handover))
        except BaseException as error:  # such as SystemExit, which ends the loop under the tasks
            handover.put(Failure(error))


async def _fill(epoch: Epoch, handover: Handover) -> None:
    last: Entry | Failure = END
    try:
        await epoch.start()
        while (entry := await epoch.arrived(next(epoch.flow, END))) is not END:
            while handover.is_full() and not epoch.closed:
                await epoch.wait(handover)
            handover.put(entry)
        if not epoch.end:
            epoch.look_back()
    except BaseException as error:
        last = Failure(error)
    try:
        await epoch.aclose()
    except Exception as error:
        if isinstance(last, Failure):
            add_note(last.error, f"and the clean-up raised {shorten(error)}")
        else:
            last = Failure(error)
    handover.put(last)
    del last  # the traceback of an error holds this frame
