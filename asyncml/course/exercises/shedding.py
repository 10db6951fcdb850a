"""Judges a call that is refused when the queue is full and gives up in time; lesson 10."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from asyncml.course.exercises.batchers import PER_ROW_S, T0_S
from asyncml.course.exercises.scenes import Hints, demand, play
from asyncml.serving.batcher import QueueFull

_PATIENCE_S, _EDGE_S = 60.0, 1e-6
_ASK = "`return await ask(queue, x)`"
_REFUSE = "First: `if queue.qsize() >= room: raise aml.QueueFull(...)`."
_HINTS: Hints = {
    "positional argument": ("kind", "Four arguments: `queue, x, room, deadline_s`."),
    "QueueFull": ("other-error", "asyncio has an exception of that name, too: `aml.QueueFull`."),
}


def judge_shedding(answer: Any) -> None:
    """Raise `Wrong` for a call that waits when it should be refused, or the reverse."""
    crowd = [0.13 * place for place in range(30)] + [20.0, 20.3, 40.0]
    for arrivals_s, room, most, deadline_s in (
        ([0.0, 5.0], 1, 4, 3.0),
        (crowd, 6, 4, 10.0),
        ([0.0] + [0.3 + 0.01 * place for place in range(20)], 12, 2, 3.0),
    ):
        rush = _Rush(arrivals_s, room, most, deadline_s)
        play(rush.run, answer, of=answer, hints=_HINTS)
        _judge_refusals(rush)
        _judge_waits(rush)


@dataclass
class _Request:
    """A request: how many were waiting when it came, whether the model was idle, its outcome."""

    row: int
    waiting: int
    was_idle: bool
    took_s: float = 0.0
    error: BaseException | None = None
    value: Any = None
    answered_s: float | None = None  # seconds from its arrival until the model had its answer


class _Rush:
    """More requests than a model can serve."""

    def __init__(self, arrivals_s: list[float], room: int, most: int, deadline_s: float) -> None:
        self.arrivals_s, self.room, self.most = arrivals_s, room, most
        self.deadline_s = deadline_s
        self.fullest = self.in_vain = 0
        self.is_busy = False
        self.requests: dict[int, _Request] = {}

    async def run(self, ask: Callable[..., Any]) -> None:
        self.queue: asyncio.Queue[Any] = asyncio.Queue()
        server = asyncio.create_task(self.serve(), name="serve")
        calls = [self.call(ask, row, at_s) for row, at_s in enumerate(self.arrivals_s)]
        try:
            await asyncio.gather(*calls)
            await asyncio.sleep(_PATIENCE_S)  # anything still served now is served in vain
        finally:
            server.cancel()
            await asyncio.wait([server])

    async def serve(self) -> None:
        now = asyncio.get_running_loop().time
        while True:
            batch = [await self.queue.get()]
            while len(batch) < self.most and not self.queue.empty():
                batch.append(self.queue.get_nowait())
            batch = [(x, answer) for x, answer in batch if not answer.done()]
            self.in_vain += sum(self.requests[x].error is not None for x, _ in batch)
            if batch:
                self.is_busy = True
                await asyncio.sleep(T0_S + PER_ROW_S * len(batch))
                self.is_busy = False
            for x, answer in batch:
                if not answer.done():
                    self.requests[x].answered_s = now() - self.arrivals_s[x]
                    answer.set_result(x * x)

    async def call(self, ask: Callable[..., Any], row: int, at_s: float) -> None:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(at_s)
        request = self.requests[row] = _Request(row, self.queue.qsize(), not self.is_busy)
        call = asyncio.ensure_future(ask(self.queue, row, self.room, self.deadline_s))
        await asyncio.sleep(0)
        self.fullest = max(self.fullest, self.queue.qsize())
        await asyncio.wait([call], timeout=_PATIENCE_S)
        request.took_s = loop.time() - at_s
        if not call.done():
            call.cancel()
            await asyncio.wait([call])
        elif (error := call.exception()) is None:
            request.value = call.result()
        elif isinstance(error, QueueFull | TimeoutError):
            request.error = error
        else:
            raise error


def _judge_refusals(rush: _Rush) -> None:
    room = rush.room
    shown = f"{rush.fullest} requests waited, but there is room for only {room}."
    why = "More come than the model can serve. Who turns them away?"
    demand(rush.fullest <= room, "unbounded", shown, why, _REFUSE)
    requests = rush.requests.values()
    refused = [request for request in requests if isinstance(request.error, QueueFull)]
    for request in refused:
        is_late, had_room = request.took_s > _EDGE_S, request.waiting < room
        shown = f"a request was refused while {request.waiting} of {room} places in the queue "
        shown += "were taken"
        why = "Nobody was there. What did you count: those who wait, or those who ever came?"
        more = "`queue.qsize()` is how many wait now."
        is_alone = had_room and not is_late and request.was_idle
        demand(not is_alone, "idle", f"{shown}, and the model was idle.", why, more)
        why = "There was room to wait. Those in the running batch do not wait in the queue."
        demand(is_late or not had_room, "too-early", f"{shown}.", why, _REFUSE)
        shown = f"a request that was queued got QueueFull, {request.took_s:.3g} s after it came."
        why = "A request in the queue has its place. What ends a wait that is too long?"
        more = "Refuse before you ask, or never."
        demand(not (had_room and is_late), "refused-later", shown, why, more)
    kept = sum(request.waiting >= room and request not in refused for request in requests)
    shown = f"{kept} came when the queue was full, and were not refused."
    why = "When the queue is full, the caller has to be told at once, by an exception."
    demand(not kept, "let-wait", shown, why, _REFUSE)
    slowest_s = max((request.took_s for request in refused), default=0.0)
    why = "Refuse at once: then the caller can ask another server."
    shown = f"a refusal took {slowest_s:.3g} s."
    demand(slowest_s < _EDGE_S, "slow-refusal", shown, why, _REFUSE)


def _judge_waits(rush: _Rush) -> None:
    limit = f"and the deadline is {rush.deadline_s:g} s."
    for request in rush.requests.values():
        if isinstance(request.error, QueueFull):
            continue
        late_s, is_gone = request.took_s - rush.deadline_s, request.error is not None
        more = "`async with asyncio.timeout(deadline_s):` around the `await`."
        shown = f"somebody waited {request.took_s:.3g} s, {limit}"
        why = "What ends the wait at the deadline?"
        demand(is_gone or late_s <= _EDGE_S, "no-deadline", shown, why, more)
        shown = f"a caller gave up after {request.took_s:.3g} s, {limit}"
        why = "The deadline counts from the call, and covers all of it."
        demand(not is_gone or abs(late_s) <= _EDGE_S, "unpunctual", shown, why, more)
        right = request.row**2
        shown = f"the caller of row {request.row} got {request.value!r:.40}, not {right}."
        why = "A request ends with its answer, with QueueFull or with TimeoutError."
        is_right = is_gone or request.value == right
        demand(is_right, "results", shown, why, f"{_ASK}, and catch nothing.")
        delay_s = request.took_s - (request.answered_s or request.took_s)
        shown = f"an answer came {delay_s:.3g} s after the model had it."
        why = "What do you await: the answer, or a time?"
        demand(is_gone or delay_s < _EDGE_S, "slow-answer", shown, why, f"{_ASK}.")
    shown = "nobody was ever answered: the model got no row from the queue."
    is_asked = any(request.answered_s is not None for request in rush.requests.values())
    demand(is_asked, "not-asked", shown, "Which queue does the batcher look at?", f"{_ASK}.")
    shown = f"the model ran {rush.in_vain} rows whose callers had gone."
    why = "How does the batcher learn that a caller has given up? It looks at the future."
    more = "`asyncio.timeout` around `await answer` cancels the future; `shield` and `wait` do not."
    demand(not rush.in_vain, "in-vain", shown, why, more)
