"""Judges a call that is refused where the queue is full, and gives up in time; lesson 10."""

import asyncio
import math
from collections.abc import Callable
from typing import Any

from asyncml.course.exercises import Wrong
from asyncml.course.exercises.batchers import PER_ROW_S, T0_S
from asyncml.course.exercises.scenes import Hints, demand, play
from asyncml.serving.batcher import QueueFull

_ASK = "`return await ask(queue, x)`"
_HINTS: Hints = {
    "positional argument": ("kind", "Four arguments: `queue, x, room, deadline_s`."),
    "QueueFull": ("other-error", "asyncio has an exception of that name, too: `aml.QueueFull`."),
}


def judge_shedding(answer: Any) -> None:
    """Refuse a call that waits where it should not, or is refused where it need not be."""
    crowd = [0.13 * place for place in range(30)] + [20.0, 20.3, 40.0]
    for arrivals_s, room, most, deadline_s in (
        ([0.0, 5.0], 1, 4, 3.0),
        (crowd, 6, 4, 10.0),
        ([0.0] + [0.3 + 0.01 * place for place in range(20)], 12, 2, 3.0),
    ):
        counter = _Counter(arrivals_s, room, most, deadline_s)
        play(counter.run, answer, of=answer, hints=_HINTS)
        _judge_refusals(counter)
        _judge_waits(counter)


class _Counter:
    """An overloaded desk: who is refused, who gives up, and what the model runs in vain."""

    def __init__(self, arrivals_s: list[float], room: int, most: int, deadline_s: float) -> None:
        self.arrivals_s, self.room, self.most = arrivals_s, room, most
        self.deadline_s = deadline_s
        self.fullest = self.in_vain = self.busy = 0
        self.early: list[tuple[int, bool]] = []  # refused: how many waited, and was it idle
        self.waited_s: list[float] = []  # of those who gave up
        self.let_wait = 0  # came when it was full, and were not refused
        self.late_s = self.refused_s = self.kept_s = self.delay_s = 0.0
        self.answered_s: dict[int, float] = {}  # when the model had the answer for a row
        self.wrong: list[tuple[int, Any]] = []

    async def run(self, ask: Callable[..., Any]) -> None:
        self.queue: asyncio.Queue[Any] = asyncio.Queue()
        self.gone: set[int] = set()
        server = asyncio.create_task(self.serve(), name="serve")
        calls = [self.call(ask, row, at_s) for row, at_s in enumerate(self.arrivals_s)]
        try:
            await asyncio.gather(*calls)
            await asyncio.sleep(60)  # what is still served now is served in vain
        finally:
            server.cancel()
            await asyncio.wait([server])

    async def serve(self) -> None:
        while True:
            batch = [await self.queue.get()]
            while len(batch) < self.most and not self.queue.empty():
                batch.append(self.queue.get_nowait())
            batch = [(x, answer) for x, answer in batch if not answer.done()]
            if batch:
                self.in_vain += sum(x in self.gone for x, _ in batch)
                self.busy = True
                await asyncio.sleep(T0_S + PER_ROW_S * len(batch))
                self.busy = False
            for x, answer in batch:
                if not answer.done():
                    self.answered_s[x] = asyncio.get_running_loop().time()
                    answer.set_result(x * x)

    async def call(self, ask: Callable[..., Any], row: int, at_s: float) -> None:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(at_s)
        before, idle = self.queue.qsize(), not self.busy
        call = asyncio.ensure_future(ask(self.queue, row, self.room, self.deadline_s))
        await asyncio.sleep(0)
        self.fullest = max(self.fullest, self.queue.qsize())
        await asyncio.wait([call], timeout=60)
        took_s = loop.time() - at_s
        is_refused = call.done() and isinstance(call.exception(), QueueFull)
        self.let_wait += before >= self.room and not is_refused
        if not call.done():
            call.cancel()
            self.late_s = max(self.late_s, took_s)
            await asyncio.wait([call])
            return
        if is_refused:
            self.refused_s = max(self.refused_s, took_s)
            if before < self.room and took_s > 1e-6:
                self.kept_s = took_s
            elif before < self.room:
                self.early.append((before, idle))
        elif isinstance(call.exception(), TimeoutError):
            self.waited_s.append(took_s)
            self.gone.add(row)
        elif call.result() != row * row:
            self.wrong.append((row, call.result()))
        else:
            self.late_s = max(self.late_s, took_s)
            self.delay_s = max(self.delay_s, loop.time() - self.answered_s.get(row, at_s))


def _judge_refusals(counter: _Counter) -> None:
    room = counter.room
    shown = f"{counter.fullest} requests waited, and there is room for {room}."
    more = "First: `if queue.qsize() >= room: raise aml.QueueFull(...)`."
    why = "More come than the model can serve. Who says no?"
    demand(counter.fullest <= room, "unbounded", shown, why, more)
    for before, is_idle in counter.early:
        shown = f"a request was refused while {before} of {room} places in the queue were taken"
        why = "Nobody was there. What did you count: those who wait, or those who ever came?"
        now = "`queue.qsize()` is how many wait now."
        demand(not is_idle, "idle", f"{shown}, and the model was idle.", why, now)
        why = "There was room to wait. Those in the running batch do not wait in the queue."
        raise Wrong("too-early", f"{shown}.", why, more)
    shown = f"a request that was queued got QueueFull, {counter.kept_s:.3g} s after it had come."
    why = "Who waits already has a place. What ends the wait of those who wait too long?"
    demand(not counter.kept_s, "refused-later", shown, why, "Refuse before you ask, or never.")
    shown = f"{counter.let_wait} came when the queue was full, and were not refused."
    why = "Where it is full, the caller has to hear of it: an exception, at once."
    demand(not counter.let_wait, "let-wait", shown, why, more)
    shown = f"a refusal took {counter.refused_s:.3g} s."
    why = "Refuse at once: then the caller can ask another server."
    demand(counter.refused_s < 1e-6, "slow-refusal", shown, why, more)


def _judge_waits(counter: _Counter) -> None:
    deadline_s = counter.deadline_s
    shown = f"somebody waited {counter.late_s:.3g} s, and the deadline is {deadline_s:g} s."
    why = "What ends the wait at the deadline?"
    more = "`async with asyncio.timeout(deadline_s):` around the `await`."
    demand(counter.late_s <= deadline_s + 1e-6, "no-deadline", shown, why, more)
    shown = f"a caller gave up after {max(counter.waited_s, default=0.0):.3g} s, and the deadline "
    shown += f"is {deadline_s:g} s."
    is_punctual = all(math.isclose(took, deadline_s, abs_tol=1e-6) for took in counter.waited_s)
    demand(is_punctual, "unpunctual", shown, "From the call on, for the whole of it.", more)
    for row, got in counter.wrong:
        shown = f"who asked about {row} got {got!r:.40}, and {row * row} was expected."
        why = "A request ends with its answer, with QueueFull or with TimeoutError."
        raise Wrong("results", shown, why, f"{_ASK}, and catch nothing.")
    shown = f"an answer came {counter.delay_s:.3g} s after the model had it."
    why = "What do you await: the answer, or a time?"
    demand(counter.delay_s < 1e-6, "slow-answer", shown, why, f"{_ASK}.")
    shown = "nobody was ever answered: the model got no row from the queue."
    why = "Which queue does the batcher look at?"
    demand(bool(counter.answered_s), "not-asked", shown, why, f"{_ASK}.")
    shown = f"the model ran {counter.in_vain} rows whose callers had gone."
    why = "How does the batcher learn that a caller has given up? It looks at the future."
    more = "`asyncio.timeout` around `await answer` cancels the future; `shield` and `wait` do not."
    demand(not counter.in_vain, "in-vain", shown, why, more)
