"""Where requests wait for a batch: first come, first served, and bounded.

The bound counts the rows inside the queue. What finds no room waits outside, and moves in by itself
as rows leave, so nobody overtakes. A request that is given up gives its room back at once.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Any

# requests that may be given up before what is left of them is swept out
_SWEEP = 64


class Request:
    """Rows that wait for an answer: one, or those of a `many`, which may leave in several batches.

    Args:
        answer: the future of the output.
        x: the row; or the rows, an array (n, ...) or a list.
        count: how many rows these are; None: `x` is a row.
        arrived_s: when it came, by the loop's clock.
        weights: of each row; None where each weighs 1.
    """

    __slots__ = (
        "answer", "arrived_s", "count", "inside", "is_light", "is_many", "left", "pieces",
        "weights", "x",
    )  # fmt: skip

    def __init__(
        self,
        answer: "asyncio.Future[Any]",
        x: Any,
        count: int | None,
        arrived_s: float,
        weights: Sequence[float] | None,
    ) -> None:
        self.answer, self.x, self.arrived_s, self.weights = answer, x, arrived_s, weights
        self.inside = 0  # rows in the queue
        if count is None:
            self.count, self.is_many = 1, False
            self.is_light = weights is None  # one row that weighs 1: nearly always
        else:
            self.count = self.left = count  # rows without an answer
            self.is_many, self.is_light = True, False
            self.pieces: list[tuple[int, Any]] = []  # which row comes first, and the output


# some rows of a request that wait or run together: the request, and its rows from ... to ...
Part = tuple[Request, int, int]


class WaitingLine:
    """A bounded queue of requests.

    Args:
        most: rows that may be inside.
    """

    def __init__(self, most: int) -> None:
        self.rows = 0  # inside
        self._most = most
        self._inside: deque[Part] = deque()
        self._outside: deque[Part] = deque()
        self._given_up = 0  # since the last sweep

    def has_room(self, rows: int) -> bool:
        """Whether so many rows may enter at once, overtaking nobody."""
        return self.rows + rows <= self._most and not self._outside

    def enter(self, request: Request) -> None:
        """Queue a request; what there is no room for waits outside."""
        if self.rows < self._most and not request.is_many and not self._outside:
            self.rows += 1
            request.inside = 1
            self._inside.append((request, 0, 1))
        else:
            self._outside.append((request, 0, request.count))
            self._let_in()

    def leave(self, request: Request) -> None:
        """Give back the room of a request that nobody waits for any more."""
        self._drop(request)
        self._given_up += 1
        if self._given_up > max(_SWEEP, (len(self._inside) + len(self._outside)) // 2):
            self._given_up = 0
            for queue in (self._inside, self._outside):
                live = [part for part in queue if not part[0].answer.done()]
                queue.clear()
                queue.extend(live)
        self._let_in()

    def _drop(self, request: Request) -> None:
        self.rows -= request.inside
        request.inside = 0

    def _let_in(self) -> None:
        while self._outside and self.rows < self._most:
            request, start, stop = self._outside.popleft()
            if not request.answer.done():
                count = min(stop - start, self._most - self.rows)
                self.rows += count
                request.inside += count
                self._inside.append((request, start, start + count))
                if start + count < stop:  # the rest goes behind those who came meanwhile
                    self._outside.append((request, start + count, stop))

    def take(self, most: float) -> tuple[list[Part], bool]:
        """Take out the rows of the next batch, of weight `most` at most.

        Returns:
            The parts, and whether the batch is full: the next row would not go in.
        """
        queue, parts, weight, rows = self._inside, list[Part](), 0.0, 0
        while queue and weight < most:
            part = queue.popleft()
            request, start, stop = part
            if request.answer.done():
                self._drop(request)
                continue
            if request.is_light:
                weight += 1
                rows += 1
                request.inside = 0
                parts.append(part)
                continue
            weight, middle = _fit(part, weight, most)
            if middle > start:
                rows += middle - start
                request.inside -= middle - start
                parts.append((request, start, middle))
            if middle < stop:
                queue.appendleft((request, middle, stop))
                most = weight  # full
        self.rows -= rows
        if self._outside:
            self._let_in()
        return parts, weight >= most

    def fills(self, most: float) -> bool:
        """Whether a batch of weight `most` can get no fuller by waiting."""
        if self.rows >= self._most:
            return True
        weight = 0.0
        for request, start, stop in self._inside:
            if request.weights is None:  # then none has any
                return self.rows >= most
            if not request.answer.done():
                weight += sum(request.weights[start:stop])
                if weight >= most:
                    return True
        return False

    def is_rest_of_many(self, most: float) -> bool:
        """Whether the next batch of `most` rows holds nothing but the rest of one `many`."""
        request, start, stop = self._inside[0]
        return start > 0 and stop - start >= most and request.weights is None

    @property
    def oldest_s(self) -> float | None:
        """When the first of the requests inside came; None if there is none."""
        queue = self._inside
        while queue and queue[0][0].answer.done():
            self._drop(queue.popleft()[0])
            self._let_in()
        return queue[0][0].arrived_s if queue else None

    def clear(self) -> list[Part]:
        """Take out all there is."""
        parts = [*self._inside, *self._outside]
        self._inside.clear()
        self._outside.clear()
        for request, _, _ in parts:
            request.inside = 0
        self.rows = 0
        return parts


def _fit(part: Part, weight: float, most: float) -> tuple[float, int]:
    """Return what a batch weighs that takes of a part what fits, and where that ends."""
    request, start, stop = part
    weights = request.weights
    if weights is None:
        middle = min(stop, start + int(most - weight))
        return weight + middle - start, middle
    while start < stop and weight + weights[start] <= most:
        weight += weights[start]
        start += 1
    return weight, start
