"""How `flat_map` passes on the items of a parent as they come, and never too many at once.

The result of a call is a stream: a buffer that a worker fills and the stage below empties. All
streams together never have more items ready or in the making than the look-ahead, so a worker asks
for room before it asks for an item. Lesson 07 reads shards in this way.

A list is complete when it is returned, and counts as a whole. So does a result from a process, from
an executor of the caller's, or from a plain function with a time-out.
"""

import asyncio
import inspect
import math
from collections import deque
from collections.abc import AsyncIterable, Awaitable, Callable, Sequence
from functools import partial
from typing import Any, NoReturn

from asyncml.failures import is_end
from asyncml.pipeline.engine import Above, Job, Work
from asyncml.pipeline.executors import within
from asyncml.pipeline.functions import DROPPED, Part, Unread, as_list, begin
from asyncml.pipeline.map import Map
from asyncml.pipeline.meters import Meter
from asyncml.pipeline.stages import PAUSED, PENDING, TURN, Context, Flow, Mark
from asyncml.pipeline.visits import VISIT_S, Visit, Visits


class Stream:
    """The items of one parent: those that are ready, and what is known about the rest."""

    def __init__(self, work: "Streams", rank: float) -> None:
        self._work = work
        self.rank = rank  # streams are consumed in this order; infinite while undecided
        self.ready: deque[Any] = deque()
        self.made = 0  # items passed on
        self.skip = 0  # items that this attempt must still skip, since an earlier one made them
        self.spent_s = 0.0  # by this attempt
        self.ended = self.is_placed = False
        self.error: BaseException | None = None

    def entries(self, mark: Mark, meter: Meter) -> Flow:
        """Yield the items, marked as `Flatten` marks them."""
        work, ready, ordinal = self._work, self.ready, 0
        low = work.stage.lookahead // 4
        work.current = self
        if work.is_full or work.waiting:
            work.ease()
        while True:
            while ready:
                item = ready.popleft()
                work.ahead -= 1
                meter.items += 1
                if len(ready) == low and (work.waiting or work.is_full):
                    work.ease()
                is_last = self.ended and self.error is None and not ready
                yield item, [mark, ordinal, is_last, False]
                ordinal += 1
                if not ordinal % TURN:
                    yield PAUSED
            if self.ended:
                break
            yield PENDING
        work.current = None
        if self.error is not None:
            _raise_error_of(self)


class Streams(Work):
    """Workers that fill streams, on the event loop.

    Half of the look-ahead is reserved for the stream that is being consumed, or is next: otherwise
    the streams behind it could take all the room, and it would crawl on item by item. If none of
    its items is ready it may make one in any case, so the consumer never waits forever.

    A worker stays with its stream to the end, since an asynchronous generator must be continued in
    the task that began it. So all workers may be waiting for room while an earlier stream has
    failed and is due for another attempt: one of them runs that attempt meanwhile.
    """

    def __init__(self, stage: Map, up: Flow, ready: Above, context: Context) -> None:
        super().__init__(stage, up, ready, context)
        self.current: Stream | None = None  # the one that the stage below is emptying
        self.waiting: list[tuple[int, Stream, asyncio.Future[None]]] = []  # for room
        self._streams: dict[int, Stream] = {}  # those that have not ended, by ticket
        self._mean: float = stage.lookahead  # items per parent, averaged over the last ones
        self._todo: deque[tuple[Job, Any]] = deque()  # calls that have begun or are to be retried

    # room

    def ease(self) -> None:
        """Wake the workers for which there is room, once there is plenty."""
        lookahead, current = self.stage.lookahead, self.current
        if 2 * self._others() <= self._share() and self.ahead < lookahead:
            self.is_crowded = False
            if self.is_full:
                self.room()
        if self.waiting and (not current or 4 * len(current.ready) <= lookahead):
            self._ask_again()

    def _share(self) -> int:
        """Return how many items all streams except the one being consumed may have."""
        lookahead = self.stage.lookahead
        return max(1, lookahead // 2) if self._streams else lookahead

    def _others(self) -> int:
        """Return how many items all streams except the one being consumed have."""
        return self.ahead - (len(self.current.ready) if self.current else 0)

    def _ask_again(self) -> None:
        for waiting in list(self.waiting):
            ticket, stream, worker = waiting
            if self._urgent(stream) or self._room_for(ticket, stream) > 0:
                self.waiting.remove(waiting)
                if not worker.done():
                    worker.set_result(None)

    def _room_for(self, ticket: int, stream: Stream | None) -> int:
        lookahead = self.stage.lookahead
        is_next = ticket == self.head if self.stage.ordered else not self.ahead
        if stream and (stream is self.current or (is_next and not self.current)):
            return max(lookahead - self.ahead, 0 if stream.ready else 1)
        return min(self._share() - self._others(), lookahead - self.ahead)

    async def _granted(self, ticket: int, stream: Stream, most: int) -> int:
        """Wait for room; return how many items were granted, which count as ahead from now on."""
        while (room := self._room_for(ticket, stream)) <= 0:
            if urgent := self._urgent(stream):
                self._todo.remove(urgent)
                await self._stream(*urgent)
                continue
            worker = self.loop.create_future()
            self.waiting.append((ticket, stream, worker))
            await worker
        room = min(room, most)
        self._grant(room)
        return room

    def _grant(self, room: int) -> None:
        self.ahead += room
        lookahead = self.stage.lookahead
        self.is_crowded = self._others() >= self._share() or self.ahead >= lookahead

    def _urgent(self, stream: Stream) -> tuple[Job, Any] | None:
        """Return a waiting call whose stream is consumed before this one, or None."""
        return next((each for each in self._todo if self._of(each[0]).rank < stream.rank), None)

    def _of(self, job: Job) -> Stream:
        ticket = job[0]
        rank = ticket if self.stage.ordered else math.inf
        return self._streams.get(ticket) or Stream(self, rank)

    def notify(self, callback: Callable[[], None]) -> None:
        """Call `callback` once, when the next item is ready or no more will come."""
        current = self.current
        if current is None:
            super().notify(callback)
        elif current.ready or current.ended or self.closed:
            self.loop.call_soon(callback)
        else:
            self._callback = callback
        self.ease()

    # workers

    async def _work(self) -> None:
        self._roused = False
        while True:
            if self._todo:
                await self._stream(*self._todo.popleft())
            elif job := next(self._jobs, None):
                self._rouse()
                await self._stream(job)
            else:
                await self._rest()

    async def _stream(self, job: Job, begun: Any = None) -> None:
        """Call the function unless it has been called, and pass on its result to the end."""
        stream = self._of(job)
        if job[0] >= self._barrier and not stream.is_placed:
            self._place(job[0], DROPPED)
            return
        self._streams[job[0]] = stream
        stream.skip, stream.spent_s = stream.made, 0.0
        try:
            if begun is None:
                begun = await self._begin(job, stream)
            await self._fill(job, stream, begun.result if type(begun) is Unread else begun)
        except (Exception, asyncio.CancelledError) as error:
            if is_end(error):
                raise
            self._failed(job, error)
        self.meter.served_items += 1
        self.ease()  # unused room has been given back

    async def _begin(self, job: Job, stream: Stream) -> Any:
        if self.is_async:
            return self.stage.fn(job[1])
        return await self._timed(stream, self._call()(job[1]), None)  # it has its own time-out

    async def _fill(self, job: Job, stream: Stream, result: Any) -> None:
        if inspect.isawaitable(result):
            result = await self._timed(stream, result, self.stage.timeout)
        if not isinstance(result, AsyncIterable):
            self._end(job, stream, as_list(self.stage.fn, result))
            return
        items, room = aiter(result), 0
        most = max(1, self.stage.lookahead // (2 * self.stage.concurrency))
        try:
            while True:
                room = room or await self._granted(job[0], stream, most)
                try:
                    item = await self._timed(stream, items.__anext__(), self.stage.timeout)
                except StopAsyncIteration:
                    break
                room -= 1
                self.ahead -= 1
                self._hand_on(job, stream, [item])
        finally:
            self.ahead -= room
            if hasattr(items, "aclose"):
                await items.aclose()
        self._end(job, stream, [])

    async def _timed(self, stream: Stream, result: Awaitable[Any], timeout: float | None) -> Any:
        begun = self.time()
        try:
            if timeout is None:
                return await result
            return await within(timeout, result, left=timeout - stream.spent_s)
        finally:
            stream.spent_s += self.time() - begun
            self.meter.busy_s += self.time() - begun
            del result  # an error's traceback holds this frame, which must not hold the error

    # results

    def _hand_on(self, job: Job, stream: Stream, items: Sequence[Any]) -> None:
        if stream.skip:
            skip = min(stream.skip, len(items))
            stream.skip -= skip
            items = items[skip:]
        stream.made += len(items)
        stream.ready.extend(items)
        self._grant(len(items))
        if stream.is_placed:
            if stream is self.current:
                self.tell()
        elif items or stream.ended:
            stream.is_placed = True
            if not self.stage.ordered:
                stream.rank = self._finished
            super()._finish(job, stream)

    def _end(self, job: Job, stream: Stream, items: Sequence[Any]) -> None:
        self._streams.pop(job[0], None)
        stream.ended = True
        self._hand_on(job, stream, items)
        self._mean += (stream.made - self._mean) / 4
        self.ease()

    def _finish(self, job: Job, result: Any) -> None:
        """Take a complete result, or the replacement for the rest of one."""
        stream = self._of(job)
        stream.skip = 0
        if result is not DROPPED:
            self._end(job, stream, result)
        elif stream.is_placed:
            self._end(job, stream, [])
        else:
            self._streams.pop(job[0], None)
            super()._finish(job, DROPPED)

    def _retry(self, job: Job) -> None:
        if not self.closed:
            self._todo.append((job, None))
            self._rouse()
            self._ask_again()

    def _fail(self, ticket: int, error: BaseException) -> None:
        stream = self._streams.pop(ticket, None)
        if stream is None or not stream.is_placed:
            super()._fail(ticket, error)
            return
        self.halt(ticket)
        stream.error, stream.ended = error, True
        if stream is self.current:
            self.tell()

    def close(self) -> None:
        """Stop at once."""
        super().close()
        for stream in self._streams.values():
            stream.ended, stream.error = True, self._broken
        self._streams.clear()
        self._todo.clear()
        self.waiting.clear()
        if self._broken is None:
            self.current = None


class StreamVisits(Streams, Visits):
    """Streams of plain functions, which threads read a part at a time.

    A result that is read to its end in the first visit, such as a list or a small file, is
    complete, and a visit has room for many of them. The worker continues with the others.
    """

    def _call_for(self, visit: Visit) -> Callable[[Any], Any]:
        room = max(0, self._room_for(-1, None))
        visit.room = visit.granted = min(room, math.ceil(visit.left * self._mean))
        self._grant(visit.granted)
        return partial(self._in_visit, visit)

    def _in_visit(self, visit: Visit, value: Any) -> Any:
        result = begin(self.stage.fn, value)
        if isinstance(result, Part):
            result.go_on(visit.room, partial(self._is_over, self.time()))
            if result.ended:
                result = result.items
            elif result.error and not result.items:
                _raise_error_of(result)
        if isinstance(result, list):
            visit.room -= len(result)
        return result

    def _is_over(self, begun: float) -> bool:
        return self.closed or self.time() - begun >= VISIT_S

    async def _work(self) -> None:
        await Visits._work(self)

    async def _begin(self, job: Job, stream: Stream) -> Any:
        assert self.place is not None
        return await self._timed(stream, self.place.submit(self._in_visit, Visit(1), job[1]), None)

    async def _fill(self, job: Job, stream: Stream, result: Any) -> None:
        if not isinstance(result, Part):
            await super()._fill(job, stream, result)
            return
        try:
            await self._read(job, stream, result)
        finally:
            result.close()
        self._end(job, stream, [])

    async def _read(self, job: Job, stream: Stream, part: Part) -> None:
        assert self.place is not None
        most = max(1, self.stage.lookahead // 2)
        while True:
            self._hand_on(job, stream, part.items)
            if part.error is not None:
                _raise_error_of(part)
            if part.ended:
                return
            room = await self._granted(job[0], stream, most)
            is_over = partial(self._is_over, self.time())
            try:
                await self._timed(stream, self.place.submit(part.go_on, room, is_over), None)
            finally:
                self.ahead -= room


def _raise_error_of(one: Stream | Part) -> NoReturn:
    error, one.error = one.error, None
    assert error is not None
    try:
        raise error
    finally:
        del error  # its traceback holds this frame
