"""Where requests wait for a batch: first come, first served, and bounded.

The bound counts the rows inside the queue. What finds no room waits outside, and moves in by itself
as rows leave, so nobody overtakes. A request that is given up gives its room back at once.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any


class Request:
    """A row that waits for an answer.

    Args:
        answer: the future of the output.
        x: the row.
        came_s: when it came, by the loop's clock.
        weights: of each row; None where each weighs 1.
    """

    __slots__ = ("answer", "came_s", "weights", "x")
    is_many, count, first = False, 1, 0

    def __init__(
        self,
        answer: "asyncio.Future[Any]",
        x: Any,
        came_s: float,
        weights: Sequence[float] | None,
    ) -> None:
        self.answer, self.x, self.came_s, self.weights = answer, x, came_s, weights


class Rows(Request):
    """Rows that enter together, and are answered together though they may leave in several batches.

    Args:
        answer: the future of their output.
        x: an array (n, ...), or a list.
        came_s, weights: as for a request.
    """

    __slots__ = ("count", "first", "pieces")
    is_many = True

    def __init__(
        self,
        answer: "asyncio.Future[Any]",
        x: Any,
        came_s: float,
        weights: Sequence[float] | None,
    ) -> None:
        super().__init__(answer, x, came_s, weights)
        self.count = len(x)
        self.first = 0  # the first row that has not left yet
        self.pieces: list[tuple[int, int, Any]] = []  # rows from ... to ..., and their outputs


# some rows of a request that run together: the request, and its rows from ... to ...
Part = tuple[Request, int, int]


class WaitingLine:
    """A bounded queue of requests.

    Args:
        most: rows that may be inside.
    """

    def __init__(self, most: int) -> None:
        self.rows = 0  # inside
        self._most = most
        # in the order in which they came, and out of their middle when they are given up
        self._inside: OrderedDict[Request, None] = OrderedDict()
        self._outside: OrderedDict[Request, None] = OrderedDict()

    def __bool__(self) -> bool:
        return bool(self._inside)

    def has_room(self, rows: int) -> bool:
        """Whether so many rows may enter at once, overtaking nobody."""
        return self.rows + rows <= self._most and not self._outside

    def enter(self, request: Request) -> None:
        """Queue a request of at most as many rows as fit; without room it waits outside."""
        if self.rows + request.count <= self._most and not self._outside:
            self.rows += request.count
            self._inside[request] = None
        else:
            self._outside[request] = None

    def leave(self, request: Request) -> None:
        """Give back the room of a request that nobody waits for any more."""
        if request in self._inside:
            del self._inside[request]
            self.rows -= request.count - request.first
        else:
            self._outside.pop(request, None)
        self._let_in()

    def _let_in(self) -> None:
        while self._outside:
            request = next(iter(self._outside))
            if self.rows + request.count > self._most:
                return
            del self._outside[request]
            self.rows += request.count
            self._inside[request] = None

    def take(self, most: float) -> tuple[list[Part], bool]:
        """Take out the rows of the next batch, of weight `most` at most.

        Returns:
            The parts, and whether the batch is full: the next row would not go in.
        """
        parts, weight, rows = list[Part](), 0.0, 0
        pop = self._inside.popitem
        while weight < most and self._inside:
            request, _ = pop(last=False)
            if not request.is_many and request.weights is None:  # nearly always
                weight += 1
                rows += 1
                parts.append((request, 0, 1))
                continue
            start = request.first
            weight, stop = _fit(request, weight, most)
            if stop > start:
                rows += stop - start
                if isinstance(request, Rows):
                    request.first = stop
                parts.append((request, start, stop))
            if stop < request.count:
                self._inside[request] = None
                self._inside.move_to_end(request, last=False)
                most = weight  # full
        self.rows -= rows
        if self._outside:
            self._let_in()
        return parts, weight >= most

    def fills(self, most: float) -> bool:
        """Whether a batch of weight `most` can get no fuller by waiting."""
        if self._outside:
            return True
        weight = 0.0
        for request in self._inside:
            rows = request.count - request.first
            weight += rows if request.weights is None else sum(request.weights[request.first :])
            if weight >= most:
                return True
        return self.rows >= self._most

    @property
    def oldest_s(self) -> float:
        """When the first of the requests inside came; there must be one."""
        return next(iter(self._inside)).came_s

    def clear(self) -> list[Request]:
        """Take out all there is."""
        requests = [*self._inside, *self._outside]
        self._inside.clear()
        self._outside.clear()
        self.rows = 0
        return requests


def _fit(request: Request, weight: float, most: float) -> tuple[float, int]:
    """Return what a batch weighs that takes of a request what fits, and where that ends."""
    place, weights = request.first, request.weights
    if weights is None:
        stop = min(request.count, place + int(most - weight))
        return weight + stop - place, stop
    while place < request.count and weight + weights[place] <= most:
        weight += weights[place]
        place += 1
    return weight, place
