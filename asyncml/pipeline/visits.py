"""Hand items to threads a visit at a time, not one by one.

A call in a thread costs the loop about 0.1 ms: a tenth of the time to decode a picture, and a
hundred times what many functions take. So a worker hands over as many items as are likely to be
done within `VISIT_S`. Lesson 07 measures it.
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
_UNBEGUN: Final[Any] = object()  # instead of a result: the item comes after an error


class Visit:
    """One hand-over of items to a thread."""

    def __init__(self, left: int) -> None:
        self.left = left  # counted down by its thread
        self.overdue = False
        self.granted = 0  # room for items of streams
        self.room = 0  # what is left of that: counted down by its thread

    def claims(self) -> int:
        """Return how many of the waiting items it will take soon."""
        return 0 if self.overdue else max(0, self.left)


class Visits(Work):
    """A stage whose plain function runs in threads: its workers hand over items in chunks.

    Items that wait for a thread are in `_inbox`, from which all threads take; their results go to
    `_outbox`, which the loop empties when a visit ends. A thread stops taking items when its time
    is up, so nothing waits long behind an unusually slow item: when a visit is overdue, the loop
    collects the results so far and lets other workers have the remaining items.
    """

    def __init__(self, stage: Map, up: Flow, ready: Above, context: Context) -> None:
        super().__init__(stage, up, ready, context)
        self._visits: list[Visit] = []
        self._outbox: deque[tuple[Job, Any, Exception | None, float]] = deque()
        self._todo: deque[tuple[Job, Any]] = deque()  # results begun by a thread: see `streams`
        self._cost_s = VISIT_S  # of one item, averaged over the last ones

    async def _work(self) -> None:
        """Hand items over to a thread: one, or as many as are done quickly."""
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
        """Wake workers that wait for room: a no-op here, which `Streams` overrides."""

    def _call_for(self, visit: Visit) -> Callable[[Any], Any]:
        return self.stage.fn

    async def _stream(self, job: Job, begun: Any = None) -> None:
        """Continue a result that a thread has begun: a no-op here, see `streams`."""

    def _overdue(self, visit: Visit) -> None:
        """Free what a slow item holds back: collect the results before it, wake another worker."""
        visit.overdue = True
        self._collect()
        self._cost_s = max(self._cost_s, VISIT_S)
        self._rouse()

    def _chunk(self) -> int:
        most = self.stage.lookahead
        if self._cost_s * most <= VISIT_S:  # in virtual time it comes as close to 0 as floats can
            return most
        return max(1, int(VISIT_S / self._cost_s))

    def _in_thread(self, call: Callable[[Any], Any], visit: Visit) -> None:
        """Work on waiting items until the visit's time is up; runs in a thread."""
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
                    return  # the loop decides whether to start another item
            else:
                now = time()
                if self.closed:
                    return
                outbox.append((job, result, None, now - before))
                if visit.room < 0 or isinstance(result, Unread):
                    return
            before = now

    def _is_fatal(self, job: Job, error: Exception) -> bool:
        """Return whether `error` is certain, without asking a function, to end the epoch."""
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
                error = None  # frames hold their callers
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
        """Stop at once; a thread in the middle of an item ends its visit after that item."""
        super().close()
        self._todo.clear()
        self._outbox.clear()
