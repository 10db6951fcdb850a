"""Where requests wait for a batch: first come, first served, and bounded.

The bound counts rows. Whoever finds no room waits in a line of their own and is let in as rows
leave, so nobody overtakes. A request that is cancelled while it waits gives its room back at once.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

# entries of cancelled requests that may lie in the queue before it is swept
_SWEEP = 64


class Request:
    """Rows that wait for an answer: one, or those of a `many`, which may leave in several batches.

    Args:
        answer: the future that gets one output, or a list of pieces, one for each batch.
        rows: `[x]` for one request; an array (n, ...) or a list for `many`.
        arrived_s: when it came, by the loop's clock.
        weights: of each row; None where each weighs 1.
    """

    __slots__ = ("answer", "arrived_s", "is_many", "left", "pieces", "rows", "taken", "weights")

    def __init__(
        self,
        answer: "asyncio.Future[Any]",
        rows: Any,
        arrived_s: float,
        weights: Sequence[float] | None,
        is_many: bool,
    ) -> None:
        self.answer = answer
        self.rows = rows
        self.arrived_s = arrived_s
        self.weights = weights
        self.is_many = is_many
        self.taken = 0  # rows that have left the queue
        self.left = len(rows)  # rows without an answer
        self.pieces: list[tuple[int, Any]] = []  # which row comes first, and the output


# some rows of a request that run in one batch: the request, and its rows from ... to ...
Part = tuple[Request, int, int]


class WaitingLine:
    """A bounded queue of requests.

    Args:
        most: rows that may wait.
        come: called when a request has entered.
    """

    def __init__(self, most: int, come: Callable[[], None]) -> None:
        self.rows = 0  # that wait, or for which room is kept
        self._most = most
        self._come = come
        self._queue: deque[Request] = deque()
        self._outside: deque[tuple[asyncio.Future[int], int]] = deque()
        self._cancelled = 0

    def has_room(self, rows: int = 1) -> bool:
        """Whether so many rows may enter at once, overtaking nobody."""
        return self.rows + rows <= self._most and not self._outside

    async def room(self, rows: int) -> int:
        """Wait for room, and keep it; return for how many of `rows`, at least 1."""
        free = self._most - self.rows
        if free > 0 and not self._outside:
            self.rows += min(free, rows)
            return min(free, rows)
        turn: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._outside.append((turn, rows))
        try:
            return await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # let in at the very moment
                self.release(turn.result())
            raise

    def enter(self, request: Request) -> None:
        """Queue a request for whose rows there is room, kept or not: the caller has counted it."""
        self._queue.append(request)
        self._come()

    def leave(self, request: Request) -> None:
        """Give back the room of a request that nobody waits for any more."""
        count = len(request.rows)
        waiting = count - request.taken
        if waiting:
            request.taken = count
            self._cancelled += 1
            if self._cancelled > max(_SWEEP, len(self._queue) // 2):
                self._queue = deque(r for r in self._queue if not r.answer.done())
                self._cancelled = 0
            self.release(waiting)

    def release(self, rows: int) -> None:
        """Give back room, and let in who waits for it."""
        self.rows -= rows
        while self._outside and self.rows < self._most:
            turn, wanted = self._outside.popleft()
            if not turn.done():
                granted = min(wanted, self._most - self.rows)
                self.rows += granted
                turn.set_result(granted)
        if not self.rows:
            self._come()  # whoever waits for the end is told

    def take(self, most: float) -> tuple[list[Part], bool]:
        """Take out the rows of the next batch, of weight `most` at most.

        Returns:
            The parts, and whether the batch is full: the next row would not go in.
        """
        queue, parts, weight, rows = self._queue, list[Part](), 0.0, 0
        full = False
        while queue and not full:
            request = queue[0]
            if request.answer.done():
                queue.popleft()
                self._cancelled -= 1
                continue
            start = stop = request.taken
            count = len(request.rows)
            if request.weights is None:
                stop = min(count, start + int(most - weight))
                weight += stop - start
            else:
                while stop < count and weight + request.weights[stop] <= most:
                    weight += request.weights[stop]
                    stop += 1
            full = stop < count or weight >= most
            if stop > start:
                parts.append((request, start, stop))
                request.taken = stop
                rows += stop - start
            if stop == count:
                queue.popleft()
        self.release(rows)
        return parts, full

    def fills(self, most: float) -> bool:
        """Whether what waits fills a batch of weight `most`."""
        weight = 0.0
        for request in self._queue:
            if not request.answer.done():
                weights = request.weights
                rest = len(request.rows) - request.taken
                weight += rest if weights is None else sum(weights[request.taken :])
                if weight >= most:
                    return True
        return False

    @property
    def oldest_s(self) -> float | None:
        """When the first of the requests came; None if there is none."""
        while self._queue and self._queue[0].answer.done():
            self._queue.popleft()
            self._cancelled -= 1
        return self._queue[0].arrived_s if self._queue else None

    def clear(self, error: BaseException) -> None:
        """Give everybody that error."""
        for request in self._queue:
            if not request.answer.done():
                request.answer.set_exception(error)
        for turn, _ in self._outside:
            if not turn.done():
                turn.set_exception(error)
        self._queue.clear()
        self._outside.clear()
        self.rows = self._cancelled = 0
