"""An event loop whose clock jumps to the next timer instead of waiting for it.

Time stands still while anything runs, worker threads included. Lesson 03 builds a small version.
"""

import asyncio
import contextvars
import heapq
import itertools
import math
import selectors
import threading
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Any, NoReturn, TypeVar

from asyncml.clock.deadlock import Deadlock as Deadlock
from asyncml.clock.strangers import LAST_PATIENCE_S
from asyncml.clock.turns import Turns, is_job
from asyncml.clock.waiting import own_name
from asyncml.internals import frame_at, variables

T = TypeVar("T")

# asyncio's default pool grows with the machine's cores; identical timelines need a fixed size.
_DEFAULT_THREADS = 32
# A job that has run for this many real seconds may be waiting for the next one: start that too.
_PATIENCE_S = 1.0
# How often to check whether threads that the clock did not start are still working, in seconds.
_GLANCE_S = 0.001
# Local names for what is looked up at every wait.
_Future = asyncio.Future
_WRAP_FUTURE = asyncio.wrap_future.__code__


def _not_virtual(what: str) -> RuntimeError:
    return RuntimeError(
        f"simulate() runs in virtual time and cannot wait for a real {what}: "
        "use MemoryStore or SlowStore there, or asyncio.run for the real thing"
    )


class _Selector(selectors.DefaultSelector):
    """Asks the loop what to do whenever asyncio would wait for the operating system."""

    loop: "VirtualLoop | None" = None
    yields = 0  # consecutive turns of the loop with callbacks ready and no event from outside

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        if self.loop is not None:
            raise _not_virtual("socket or pipe")
        return super().register(fileobj, events, data)

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        loop = self.loop
        if loop is None:
            return super().select(timeout)
        if timeout is not None and timeout <= 0:
            self.yields = yields = self.yields + 1
            # A system call takes a microsecond, and every other turn is enough: callbacks from
            # other threads are in the loop already, so only a signal is seen one turn late.
            if yields % 2:
                return []
            events = super().select(0)
            if events:
                self.yields = 0
            elif not yields % 1000:
                loop.look_at_polling(yields)
            return events
        self.yields, turns = 0, loop.turns
        events = super().select(0)
        if events:
            return events
        if turns.hold_time():
            events = super().select(_PATIENCE_S if turns.due else None)
            if turns.due and not events:
                turns.give()
            return events
        if turns.strangers.exist():
            events = self._wait_for_strangers(loop)
            if events or turns.hold_time():
                return events
        # A thread may have called back before this check, or a job was cancelled before its turn.
        if not loop._ready:  # type: ignore[attr-defined]
            loop.jump()
        return []

    def _wait_for_strangers(self, loop: "VirtualLoop") -> list[tuple[selectors.SelectorKey, int]]:
        """Wait in real time, but not long, while threads that the clock did not start are busy."""
        strangers, timers = loop.turns.strangers, loop._scheduled  # type: ignore[attr-defined]
        is_last = not timers or timers[0].when() == math.inf
        end_s = time.monotonic() + (LAST_PATIENCE_S if is_last else strangers.patience_s)
        while strangers.are_at_work() and not loop.turns.hold_time():
            if time.monotonic() > end_s:
                strangers.patience_s /= 2
                break
            events = super().select(_GLANCE_S)
            if events:
                return events
        return []


class _Timer(asyncio.TimerHandle):
    """A timer that fires after earlier ones for the same time; asyncio does not order these."""

    def __init__(self, when: float, order: int, *args: Any) -> None:
        super().__init__(when, *args)
        self.key = when, order

    def __lt__(self, other: Any) -> bool:
        return bool(self.key < other.key)


def _refused(what: str) -> Callable[..., Coroutine[Any, Any, Any]]:
    async def refuse(self: Any, *args: Any, **kwargs: Any) -> Any:
        """Refuse, because this operation takes real time."""
        raise _not_virtual(what)

    return refuse


class VirtualLoop(asyncio.SelectorEventLoop):
    """The event loop behind `simulate`; `time()` starts at 0 s and jumps from timer to timer.

    Unnamed tasks are named after their coroutine and numbered per loop: asyncio numbers them per
    process, so its names differ between runs. Worker threads take turns (`turns.py`).
    """

    def __init__(self) -> None:
        self._now = 0.0
        self._order = itertools.count()
        self._names: Counter[str] = Counter()
        self.turns = Turns(self)
        selector = _Selector()
        super().__init__(selector)
        selector.loop = self
        self.set_default_executor(ThreadPoolExecutor(_DEFAULT_THREADS))

    def time(self) -> float:
        """Return the virtual time in seconds."""
        return self._now

    def call_at(  # type: ignore[override]
        self,
        when: float,
        callback: Callable[..., Any],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        """Call back at virtual time `when`; equal times keep the order of the calls."""
        if when is None:
            raise TypeError("when cannot be None")
        self._check_closed()  # type: ignore[attr-defined]
        if self._debug:  # type: ignore[attr-defined]
            self._check_thread()  # type: ignore[attr-defined]
            self._check_callback(callback, "call_at")  # type: ignore[attr-defined]
        timer = _Timer(when, next(self._order), callback, args, self, context)
        if self._debug:  # type: ignore[attr-defined]  # ends with the caller of this method
            del timer._source_traceback[-2:]  # type: ignore[attr-defined]
        heapq.heappush(self._scheduled, timer)  # type: ignore[attr-defined]
        timer._scheduled = True  # type: ignore[attr-defined]
        return timer

    def advance(self, seconds: float) -> None:
        """Advance the time by `seconds` at once, without running anything; called by `compute`."""
        self._now += seconds

    def create_task(  # type: ignore[override]
        self, coro: Coroutine[Any, Any, T], *, name: str | None = None, **kwargs: Any
    ) -> asyncio.Task[T]:
        """Start a task; unnamed ones become `main` (the first of all), `fetch-1`, `fetch-2`, ..."""
        if name is None:
            kind = own_name(coro) or type(coro).__name__
            first = not self._names
            self._names[kind] += 1
            name = kind if first else f"{kind}-{self._names[kind]}"
        return super().create_task(coro, name=name, **kwargs)

    def create_future(self) -> asyncio.Future[Any]:
        """Create a future; record it if it will follow another thread's (`wrap_future`)."""
        future: asyncio.Future[Any] = _Future(loop=self)
        caller = frame_at(1)
        if caller.f_code is _WRAP_FUTURE:
            self.turns.strangers.note_future(future, variables(caller)["future"])
        return future

    def call_soon_threadsafe(self, *args: Any, **kwargs: Any) -> asyncio.Handle:  # type: ignore[override]
        """Schedule a callback from any thread; record threads that the clock did not start."""
        if threading.get_ident() != self._thread_id and not is_job():  # type: ignore[attr-defined]
            self.turns.strangers.note_caller()
        return super().call_soon_threadsafe(*args, **kwargs)

    # Refused here, not in the selector: asyncio registers there in a callback, where an error is
    # only logged.
    subprocess_exec = subprocess_shell = _refused("process")
    connect_read_pipe = connect_write_pipe = _refused("pipe")
    create_connection = create_unix_connection = connect_accepted_socket = _refused("socket")
    create_server = create_unix_server = create_datagram_endpoint = _refused("socket")

    def close(self) -> None:
        """Close the loop and end the jobs that are still waiting in virtual time."""
        super().close()
        self.turns.close()

    def jump(self) -> None:
        """Move the clock to the next timer; if there is none, end the loop with a Deadlock."""
        timers = self._scheduled  # type: ignore[attr-defined]
        when = timers[0].when() if timers else math.inf
        if when == math.inf:
            names = self.turns.strangers.names()
            self.give_up(Deadlock(self._now, asyncio.all_tasks(self), strangers=names))
        # Not by adding the timeout that asyncio passes, which is rounded and at most one day.
        if when > self._now:
            self._now = when
        # asyncio fires timers due before now + resolution, but after 97 days 1 ns is rounded away.
        self._clock_resolution = max(1e-9, math.ulp(self._now))

    def look_at_polling(self, yields: int) -> None:
        """Give jobs their turn while tasks only yield; raise Deadlock if nothing ever changes."""
        callbacks = [handle._callback for handle in self._ready]  # type: ignore[attr-defined]
        are_tasks = all(isinstance(getattr(c, "__self__", c), asyncio.Task) for c in callbacks)
        # A thread, or a callback that is not a task's, may still change what the tasks poll.
        if not are_tasks or self.turns.hold_time() or self.turns.strangers.exist():
            self.turns.polling.reset()
        elif self.turns.polling.is_certain(yields, lambda: asyncio.all_tasks(self)):
            self.give_up(Deadlock(self._now, asyncio.all_tasks(self), is_polling=True))

    def give_up(self, error: Deadlock) -> NoReturn:
        """End the loop with an error."""
        raise error

    def run_in_executor(  # type: ignore[override]
        self, executor: Executor | None, func: Callable[..., T], *args: Any
    ) -> asyncio.Future[T]:
        """Run `func(*args)` in a thread or process; virtual time stands still until it ends."""
        self._check_closed()  # type: ignore[attr-defined]
        if self.get_debug():
            self._check_callback(func, "run_in_executor")  # type: ignore[attr-defined]
        if executor is None:
            self._check_default_executor()  # type: ignore[attr-defined]
            executor = self._default_executor  # type: ignore[attr-defined]
        return self.turns.submit(executor, func, args)

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:
        """Wait in virtual time for the default executor's jobs, then join its threads.

        `timeout` is ignored.
        """
        await self.turns.drain(self._default_executor)  # type: ignore[attr-defined]
        with self.turns.stopped():
            await super().shutdown_default_executor()
