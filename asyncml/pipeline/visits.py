"""How items get to threads: not one by one, but a visit at a time.

A call in a thread costs the loop some 0.1 ms, which would be a tenth of what it takes to decode a
picture, and a hundred times what many a function takes. So a worker hands over as many items as are
likely to be done within `VISIT_S`. Lesson 07 measures it.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from types import CoroutineType
from typing import Any, Final

from asyncml.failures import ordinary
from asyncml.pipeline.engine import Above, Job, Work
from asyncml.pipeline.functions import DROPPED, Unread, check_result, name_of
from asyncml.pipeline.map import Map
from asyncml.pipeline.stages import Context, Flow

VISIT_S = 0.005  # how long one visit may take, in seconds
_UNBEGUN: Final[Any] = object()  # instead of a result: the item stands behind an error


class Visit:
    """One hand-over to a thread."""

    def __init__(self, left: int) -> None:
        self.left = left  # counted down by its thread
        self.overdue = False
        self.granted = 0  # items of streams for which there is room
        self.room = 0  # those of them that are left: counted down by its thread

    def claims(self) -> int:
        """How many of the items that wait it will soon take."""
        return 0 if self.overdue else max(0, self.left)


class Visits(Work):
    """A stage whose plain function runs in threads: its workers hand over items in chunks.

    Items that wait for a thread are in `_inbox`, which all threads take from, and what became of
    them is in `_outbox`, which the loop empties when a visit ends. A thread stops taking items when
    its time is over, so nothing waits for long behind an item that was slower than its like: when a
    visit is overdue the loop collects what is there, and lets other workers have the rest.
    """

    def __init__(self, stage: Map, up: Flow, ready: Above, context: Context) -> None:
        super().__init__(stage, up, ready, context)
        self._visits: list[Visit] = []
        self._outbox: deque[tuple[Job, Any, Exception | None, float]] = deque()
        self._todo: deque[tuple[Job, Any]] = deque()  # what a thread has begun: see `streams`
        self._cost_s = VISIT_S  # of one item, as the last ones were

    async def _work(self) -> None:
        """Hand items over to a thread: one, or as many as are quickly done."""
        inbox = self._inbox
        assert self.place is not None
        self._roused = False
        while True:
            while self._todo:
                self._rouse()
                await self._stream(*self._todo.popleft())
            claimed, chunk = sum(visit.claims() for visit in self._visits), self._chunk()
            while len(inbox) < claimed + chunk and (job := next(self._jobs, None)) is not None:
                inbox.append(job)
            if len(inbox) <= claimed or self.is_crowded:
                self.is_full = True
                await self._rest()
                continue
            self._rouse()
            visit = Visit(min(chunk, len(inbox) - claimed))
            call = self._call_for(visit)
            timer = self.loop.call_later(2 * VISIT_S, self._overdue, visit)
            self._visits.append(visit)
            try:
                await self.place.submit(self._in_thread, call, visit)
            finally:
                self._visits.remove(visit)
                self.ahead -= visit.granted
                timer.cancel()
            self._collect()
            self.ease()

    def ease(self) -> None:
        """Wake whoever waits for room: nobody does here, and `Streams` overrides this."""

    def _call_for(self, visit: Visit) -> Callable[[Any], Any]:
        return self.stage.fn

    async def _stream(self, job: Job, begun: Any = None) -> None:
        """Go on with what a thread has begun, where that can be: see `streams`."""

    def _overdue(self, visit: Visit) -> None:
        """An item is slow: it must hold back neither the results before it nor what waits."""
        visit.overdue = True
        self._collect()
        self._cost_s = max(self._cost_s, VISIT_S)
        self._rouse()

    def _chunk(self) -> int:
        most = self.stage.lookahead
        if self._cost_s * most <= VISIT_S:  # in virtual time it comes so close to 0 as floats can
            return most
        return max(1, int(VISIT_S / self._cost_s))

    def _in_thread(self, call: Callable[[Any], Any], visit: Visit) -> None:
        """Work on what is waiting, until the visit's time is over: runs in a thread."""
        time, inbox, outbox = self.loop.time, self._inbox, self._outbox
        begun = before = time()
        while before - begun < VISIT_S and not self.closed:
            visit.left -= 1
            try:
                job = inbox.popleft()
            except IndexError:
                return
            if job[0] >= self._barrier:
                outbox.append((job, _UNBEGUN, None, 0.0))
                continue
            try:
                result = call(job[1])
                if isinstance(result, CoroutineType):
                    check_result(self.stage.fn, result)
            except (Exception, asyncio.CancelledError) as error:
                now = time()
                error = ordinary(name_of(self.stage.fn), error)
                outbox.append((job, _UNBEGUN, error, now - before))
                if self._is_fatal(job, error):
                    self._barrier = min(self._barrier, job[0])
                elif self.stage.asks_on_failure:
                    return  # the loop decides whether another item is begun
            else:
                now = time()
                if self.closed:
                    return
                outbox.append((job, result, None, now - before))
                if visit.room < 0 or isinstance(result, Unread):
                    return
            before = now

    def _is_fatal(self, job: Job, error: Exception) -> bool:
        """Whether it is certain, without asking, that the error ends the epoch."""
        stage = self.stage
        if stage.is_fatal(error):
            return True
        if stage.on_error != "raise" or stage.asks_on_failure:
            return False
        return not stage.tries_again(error, job[3])

    def _collect(self) -> None:
        outbox, meter = self._outbox, self.meter
        while outbox:
            job, result, error, seconds = outbox.popleft()
            if error is not None:
                self._failed(job, error)
                error = None  # frames hold those that called them
            elif result is _UNBEGUN:
                self._place(job[0], DROPPED)
                continue
            elif isinstance(result, Unread):
                self._todo.append((job, result))
                meter.busy_s += seconds
                continue
            else:
                self._finish(job, result)
            meter.busy_s += seconds
            meter.served_items += 1
            self._cost_s += (seconds - self._cost_s) / 4

    def close(self) -> None:
        """Stop at once; a thread that is in the midst of an item ends its visit with that."""
        super().close()
        self._todo.clear()
        self._outbox.clear()
