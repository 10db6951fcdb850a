"""An event loop whose clock jumps to the next timer instead of waiting for it.

Time stands still while anything runs, worker threads included. Lesson 03 builds a small one.
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

# asyncio's default pool grows with the machine's cores; the same picture everywhere needs one size
_DEFAULT_THREADS = 32
# a job that has run for so many real seconds may be waiting for the next one: let that start too
_PATIENCE_S = 1.0
# how often to look, in seconds, whether threads that the clock did not start are still at work
_GLANCE_S = 0.001
# short ways to what is needed at every wait
_Future = asyncio.Future
_WRAP_FUTURE = asyncio.wrap_future.__code__


def _not_virtual(what: str) -> RuntimeError:
    return RuntimeError(
        f"simulate() runs in virtual time and cannot wait for a real {what}: "
        "use MemoryStore or SlowStore there, or asyncio.run for the real thing"
    )


class _Selector(selectors.DefaultSelector):
    """Asks the loop what to do, where asyncio would wait for the operating system."""

    loop: "VirtualLoop | None" = None
    yields = 0  # how many turns of the loop in a row had callbacks ready and nothing from outside

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
            # asking the system takes a microsecond, and every other turn is enough: callbacks from
            # other threads are in the loop already, only a signal is noticed a turn later
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
        # a thread may have called before we looked at it, or a job was cancelled before its turn
        if not loop._ready:  # type: ignore[attr-defined]
            loop.jump()
        return []

    def _wait_for_strangers(self, loop: "VirtualLoop") -> list[tuple[selectors.SelectorKey, int]]:
        """Wait in real time, but not for long, while threads that we did not start are at work."""
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
    """A timer that comes after those set earlier for the same time; asyncio's are in no order."""

    def __init__(self, when: float, order: int, *args: Any) -> None:
        super().__init__(when, *args)
        self.key = when, order

    def __lt__(self, other: Any) -> bool:
        return bool(self.key < other.key)


def _refused(what: str) -> Callable[..., Coroutine[Any, Any, Any]]:
    async def refuse(self: Any, *args: Any, **kwargs: Any) -> Any:
        """Refuse: it takes real time."""
        raise _not_virtual(what)

    return refuse


class VirtualLoop(asyncio.SelectorEventLoop):
    """The event loop behind `simulate`; `time()` starts at 0 s and jumps from timer to timer.

    Tasks without a name are numbered per loop, after their coroutine: asyncio counts them per
    process, so its names differ from run to run. Worker threads take turns (`turns.py`).
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
        """Call back at the virtual time `when`; of equal times, the one set first comes first."""
        if when is None:
            raise TypeError("when cannot be None")
        self._check_closed()  # type: ignore[attr-defined]
        if self._debug:  # type: ignore[attr-defined]
            self._check_thread()  # type: ignore[attr-defined]
            self._check_callback(callback, "call_at")  # type: ignore[attr-defined]
        timer = _Timer(when, next(self._order), callback, args, self, context)
        if self._debug:  # type: ignore[attr-defined]  # it was set where this was called
            del timer._source_traceback[-2:]  # type: ignore[attr-defined]
        heapq.heappush(self._scheduled, timer)  # type: ignore[attr-defined]
        timer._scheduled = True  # type: ignore[attr-defined]
        return timer

    def advance(self, seconds: float) -> None:
        """Let `seconds` pass at once, without running anything; `compute` calls this."""
        self._now += seconds

    def create_task(  # type: ignore[override]
        self, coro: Coroutine[Any, Any, T], *, name: str | None = None, **kwargs: Any
    ) -> asyncio.Task[T]:
        """Start a task; without a name it is `fetch-1`, `fetch-2`, and the first of all `main`."""
        if name is None:
            kind = own_name(coro) or type(coro).__name__
            first = not self._names
            self._names[kind] += 1
            name = kind if first else f"{kind}-{self._names[kind]}"
        return super().create_task(coro, name=name, **kwargs)

    def create_future(self) -> asyncio.Future[Any]:
        """Make a future, and take note if it is to follow a future of another thread."""
        future: asyncio.Future[Any] = _Future(loop=self)
        caller = frame_at(1)
        if caller.f_code is _WRAP_FUTURE:
            self.turns.strangers.note_future(future, variables(caller)["future"])
        return future

    def call_soon_threadsafe(self, *args: Any, **kwargs: Any) -> asyncio.Handle:  # type: ignore[override]
        """Call back on the loop from any thread, and take note of threads that we did not start."""
        if threading.get_ident() != self._thread_id and not is_job():  # type: ignore[attr-defined]
            self.turns.strangers.note_caller()
        return super().call_soon_threadsafe(*args, **kwargs)

    # at once, and not by the selector: they reach that in a callback, whose error is only logged
    subprocess_exec = subprocess_shell = _refused("process")
    connect_read_pipe = connect_write_pipe = _refused("pipe")
    create_connection = create_unix_connection = connect_accepted_socket = _refused("socket")
    create_server = create_unix_server = create_datagram_endpoint = _refused("socket")

    def close(self) -> None:
        """Close the loop and end the jobs that still wait in virtual time."""
        super().close()
        self.turns.close()

    def jump(self) -> None:
        """Move the clock to the next timer; without one, end the loop with a Deadlock."""
        timers = self._scheduled  # type: ignore[attr-defined]
        when = timers[0].when() if timers else math.inf
        if when == math.inf:
            names = self.turns.strangers.names()
            self.give_up(Deadlock(self._now, asyncio.all_tasks(self), strangers=names))
        # not by adding the time-out that asyncio passes: it is rounded, and at most a day
        if when > self._now:
            self._now = when
        # asyncio fires what is due before now + resolution, and after 97 days 1 ns is rounded away
        self._clock_resolution = max(1e-9, math.ulp(self._now))

    def look_at_polling(self, yields: int) -> None:
        """Give jobs their turn while tasks only yield; end with a Deadlock if nothing changes."""
        callbacks = [handle._callback for handle in self._ready]  # type: ignore[attr-defined]
        are_tasks = all(isinstance(getattr(c, "__self__", c), asyncio.Task) for c in callbacks)
        # what they poll for may yet be changed by a thread, or by a callback that is no task's
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
        """Run `func(*args)` in a thread or process; virtual time stands still meanwhile."""
        self._check_closed()  # type: ignore[attr-defined]
        if self.get_debug():
            self._check_callback(func, "run_in_executor")  # type: ignore[attr-defined]
        if executor is None:
            self._check_default_executor()  # type: ignore[attr-defined]
            executor = self._default_executor  # type: ignore[attr-defined]
        return self.turns.submit(executor, func, args)

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:
        """Wait until its jobs have ended, in virtual time, and then its threads."""
        await self.turns.drain(self._default_executor)  # type: ignore[attr-defined]
        with self.turns.stopped():
            await super().shutdown_default_executor()
