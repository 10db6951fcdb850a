"""Where requests wait for a batch: first come, first served, and bounded.

The bound counts rows. Requests for which there is no room wait in the same queue, behind all
others, so none overtakes. A request that is given up releases its room at once.
"""

import asyncio
from collections import OrderedDict
from itertools import accumulate
from typing import Any


class Request:
    """A row that waits for an answer.

    Args:
        answer: the future of the output.
        x: the row.
        came_s: when it came, on the loop's clock.
        weight: how much of a batch it takes.
    """

    __slots__ = ("answer", "came_s", "weight", "x")
    is_many, count = False, 1

    def __init__(self, answer: "asyncio.Future[Any]", x: Any, came_s: float, weight: float) -> None:
        self.answer, self.x, self.came_s, self.weight = answer, x, came_s, weight


class Rows(Request):
    """Rows that run in one batch and are answered together; `x` is an array (n, ...) or a list."""

    __slots__ = ("count",)
    is_many = True

    def __init__(self, answer: "asyncio.Future[Any]", x: Any, came_s: float, weight: float) -> None:
        super().__init__(answer, x, came_s, weight)
        self.count = len(x)


class WaitingLine:
    """A bounded queue of requests.

    Args:
        most: how many rows may be queued; further ones wait for room.
    """

    def __init__(self, most: int) -> None:
        self._most, self._rows = most, 0
        # in the order in which they came; those that are given up are removed from the middle
        self._waiting: OrderedDict[Request, None] = OrderedDict()

    def __bool__(self) -> bool:
        return bool(self._waiting)

    @property
    def rows(self) -> int:
        """How many rows are queued."""
        return min(self._rows, self._most)

    def has_room(self, rows: int) -> bool:
        """Return whether `rows` more rows may enter at once."""
        return self._rows + rows <= self._most

    def enter(self, request: Request) -> None:
        """Put a request at the end of the queue."""
        self._rows += request.count
        self._waiting[request] = None

    def leave(self, request: Request) -> None:
        """Remove a request whose caller has gone, if it is still queued, and release its room."""
        if request in self._waiting:
            del self._waiting[request]
            self._rows -= request.count

    def take(self, most: float) -> tuple[list[Request], bool]:
        """Take out the next batch, of weight `most` at most.

        Returns:
            Its requests, and whether it is full: the next request would not fit.
        """
        batch, weight, waiting = list[Request](), 0.0, self._waiting
        while waiting and weight < most:
            request, _ = waiting.popitem(last=False)
            weight += request.weight
            if weight > most:
                waiting[request] = None
                waiting.move_to_end(request, last=False)
                break
            self._rows -= request.count
            batch.append(request)
        return batch, weight >= most

    def fills(self, most: float) -> bool:
        """Return whether waiting cannot make a batch of weight `most` any fuller."""
        weights = accumulate(request.weight for request in self._waiting)
        return self._rows >= self._most or any(weight >= most for weight in weights)

    @property
    def oldest_s(self) -> float:
        """When the first request came, on the loop's clock; there must be one."""
        return next(iter(self._waiting)).came_s

    def clear(self) -> list[Request]:
        """Remove and return all requests."""
        requests = [*self._waiting]
        self._waiting.clear()
        self._rows = 0
        return requests
