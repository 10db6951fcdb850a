"""Judges batchers: requests over time, a model that records its batches, and each outcome."""

import asyncio
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from asyncml.clock import compute
from asyncml.course.exercises import Wrong, plain
from asyncml.course.exercises.scenes import UNAWAITABLE, Hints, demand, play
from asyncml.failures import shorten

T0_S, PER_ROW_S = 1.0, 0.1  # a batch of b rows takes T0_S + b * PER_ROW_S
_PATIENCE_S = 60.0  # after this, a caller counts as never answered
_EDGE_S = 1e-6
IN_THREAD = "`outputs = await asyncio.to_thread(model, rows)`."
TAKE_ALL = "Take one with `await queue.get()`, then `get_nowait()` while more wait, up to `most`."
HINTS: Hints = {
    "positional argument": ("kind", "Three arguments: `queue, model, most`."),
    UNAWAITABLE: ("await-plain", "`model` is a plain function: a thread can run it.", IN_THREAD),
    "'coroutine' object is not / non-iterable coroutine": (
        "not-awaited",
        "There is a coroutine in place of its result. What gives you the result?",
        "`await` it: `await queue.get()`, `await asyncio.to_thread(model, rows)`.",
    ),
    "QueueEmpty": (
        "queue-empty",
        "`get_nowait` raises when the queue is empty. Ask `queue.empty()` first.",
        "`await queue.get()` waits for a request; `get_nowait()` never does.",
    ),
}


@dataclass
class Batch:
    """One call of the model.

    Attributes:
        rows: the rows of the batch.
        start_s: when the call began.
        left: the number of rows still in the queue at that moment.
        end_s: when the call ended.
    """

    rows: list[Any]
    start_s: float
    left: int
    end_s: float = 0.0


@dataclass
class Caller:
    """One request: when it comes, when it gives up, and its outcome.

    Attributes:
        row: the row that it sends.
        at_s: when it comes.
        gone_s: when it gives up if it has no answer by then; None: never.
        outcome: "answered", "failed", "gone" or "unanswered".
        value: its answer or its error.
    """

    row: int
    at_s: float
    gone_s: float | None = None
    outcome: str = "unanswered"
    value: Any = None


class Desk:
    """Callers, a queue and a single model.

    Args:
        arrivals_s: when the requests come.
        most: the most rows that a batch may have.
        gone_s: place of a caller -> when it gives up.
        bad: places of the callers whose row the model rejects.
    """

    def __init__(
        self,
        arrivals_s: Sequence[float],
        most: int,
        gone_s: dict[int, float] | None = None,
        bad: Sequence[int] = (),
    ) -> None:
        gone = gone_s or {}
        self.callers = [
            Caller(3 + 2 * place, at_s, gone.get(place)) for place, at_s in enumerate(arrivals_s)
        ]
        self.bad = {self.callers[place].row for place in bad}
        self.most = most
        self.batches: list[Batch] = []
        self.is_on_loop = self.has_ended = False
        self.running = self.at_once = 0
        self.error: BaseException | None = None
        self.fault: Wrong | None = None  # kept, because an answer may catch what the model raises

    async def run(self, serve: Callable[..., Any]) -> None:
        """Let the callers send their requests, and wait until all are answered or have given up."""
        self.loop = asyncio.get_running_loop()
        self.queue: asyncio.Queue[Any] = asyncio.Queue()
        self._loop_thread = threading.get_ident()
        server = asyncio.create_task(serve(self.queue, self.model, self.most), name="serve")
        await asyncio.gather(*map(self._call, self.callers))
        self.has_ended = server.done()
        await self._stop(server)
        if self.fault is not None:
            raise self.fault
        if self.has_ended and not server.cancelled():
            self.error = server.exception()
        if self.error is not None and not isinstance(
            self.error, asyncio.InvalidStateError | BadRow
        ):
            raise self.error  # reported with the answer's line

    async def _stop(self, server: "asyncio.Task[Any]") -> None:
        """Cancel the server while it runs an extra batch, which is not counted."""
        counted = len(self.batches)
        for caller in self.callers[: self.most]:
            self.queue.put_nowait((caller.row, self.loop.create_future()))
        await asyncio.sleep(T0_S / 2)
        server.cancel()
        await asyncio.wait([server], timeout=_PATIENCE_S)
        if not server.done():
            self.queue.get = _closed  # type: ignore[method-assign]  # makes it end after all
            server.cancel()
            await asyncio.wait([server], timeout=_PATIENCE_S)
            shown = "it was cancelled, as at the end of a program, and went on."
            why = "A CancelledError is how a task is told to end: let it through."
            raise Wrong("swallows", shown, why, "`except Exception` does not catch it.")
        await asyncio.sleep(_PATIENCE_S)  # until anything left running has ended
        del self.batches[counted:]

    def model(self, rows: Any) -> list[int]:
        """Return the squares of some rows; record the batch."""
        try:
            rows = self._look_at(rows)
        except Wrong as wrong:
            self.fault = self.fault or wrong
            raise
        batch = Batch(list(rows), self.loop.time(), self.queue.qsize())
        self.batches.append(batch)
        self.is_on_loop |= threading.get_ident() == self._loop_thread
        self.running += 1
        self.at_once = max(self.at_once, self.running)
        compute(T0_S + PER_ROW_S * len(rows))
        self.running -= 1
        batch.end_s = self.loop.time()
        for row in rows:
            if row in self.bad:
                raise BadRow(f"the model cannot take {row}")
        return [row * row for row in rows]

    def _look_at(self, rows: Any) -> Any:
        if not isinstance(rows, list | tuple):
            rows = plain(rows)
        is_list = isinstance(rows, list | tuple)
        message = f"the model was given {shorten(rows)}, and not a list of rows."
        demand(is_list, "rows", message, "`rows = [x for x, answer in batch]`.")
        has_pairs = any(isinstance(row, tuple) for row in rows)
        message = "the model was given pairs, and it wants the rows alone."
        demand(not has_pairs, "pairs", message, "`rows = [x for x, answer in batch]`.")
        demand(len(rows) > 0, "empty", "the model was given no rows.", "Who waits for that batch?")
        return rows

    async def _call(self, caller: Caller) -> None:
        await asyncio.sleep(caller.at_s)
        answer = self.loop.create_future()
        self.queue.put_nowait((caller.row, answer))
        until_s = _PATIENCE_S + caller.at_s if caller.gone_s is None else caller.gone_s
        try:
            async with asyncio.timeout_at(until_s):
                caller.value = await answer
            caller.outcome = "answered"
        except TimeoutError:
            caller.outcome = "unanswered" if caller.gone_s is None else "gone"
        except asyncio.CancelledError as error:  # the batcher cancelled the future
            caller.outcome, caller.value = "failed", error
        except Exception as error:
            caller.outcome, caller.value = "failed", error


async def _closed() -> None:
    raise EOFError("this desk is closed")


class BadRow(Exception):
    """The model was given a row that it cannot take."""


def serve_requests(answer: Any, desk: Desk) -> Desk:
    """Run a batcher at a desk; refuse what is wrong in every exercise; return the desk."""
    play(desk.run, answer, of=answer, hints=HINTS)
    is_idle = not desk.batches and any(caller.outcome == "answered" for caller in desk.callers)
    shown = "callers were answered, but the model was never called."
    demand(not is_idle, "no-model", shown, "Where should their answers come from?", IN_THREAD)
    shown = "the model ran on the event loop: meanwhile nobody could even ask."
    why = "Where can the model run and leave the loop free?"
    demand(not desk.is_on_loop, "on-the-loop", shown, why, IN_THREAD)
    shown = f"{desk.at_once} batches ran at once, but there is only one model."
    demand(desk.at_once < 2, "at-once", shown, "Await each batch before you take the next.")
    largest = max((len(batch.rows) for batch in desk.batches), default=0)
    shown = f"a batch had {largest} rows, but at most {desk.most} are allowed."
    demand(largest <= desk.most, "too-large", shown, "When is a batch full?", "Stop at `most`.")
    _judge_end(desk)
    for caller in desk.callers:
        if caller.outcome == "answered" and caller.row not in desk.bad:
            _judge_answer(desk, caller)
    _judge_silence(desk)
    for caller in desk.callers:
        shown = f"the caller of row {caller.row} got {caller.value!r:.60}, but the row was good."
        is_lost = caller.outcome == "failed" and not desk.bad
        why = "The model has answered this row. What should its caller's future get?"
        demand(not is_lost, "failed", shown, why, "`answer.set_result(output)`.")
    return desk


def _judge_end(desk: Desk) -> None:
    if isinstance(desk.error, asyncio.InvalidStateError):
        shown = "InvalidStateError: an answer was set that was done already, and serving ended."
        if any(caller.gone_s is not None for caller in desk.callers):
            shown = "one caller gave up, and its neighbours were never answered: InvalidStateError."
            why = "The future of a caller that has gone is cancelled. Can you still set its result?"
            raise Wrong("cancelled", shown, why, "Ask `answer.done()` before you set it.")
        why = "A future takes one result. Which requests of the last batch are still in the list?"
        raise Wrong("twice", shown, why, "Begin each batch with a new list, and set each once.")
    if isinstance(desk.error, BadRow):
        shown = f"the model raised an Exception ({desk.error}), and serving ended."
        why = "Where does the error of the model go, if nobody catches it?"
        more = "`except Exception as error:` after the call, and `answer.set_exception(error)`."
        raise Wrong("died", shown, why, more)
    if desk.has_ended:
        shown = f"it ended while callers were waiting. Batches: {len(desk.batches)}."
        why = "A server goes on for ever. What goes around its whole body?"
        raise Wrong("ended", shown, why, "`while True:` around all of it, and no `return` in it.")


def _judge_silence(desk: Desk) -> None:
    waiting = [caller.row for caller in desk.callers if caller.outcome == "unanswered"]
    if not waiting:
        return
    given = {row for batch in desk.batches for row in batch.rows}
    shown = f"{len(waiting)} of {len(desk.callers)} requests were never answered"
    if any(desk.bad & set(batch.rows) & given for batch in desk.batches):
        shown += ": the model failed for their batch, and nobody told them."
        why = "Whoever awaits a future with no result and no exception waits for ever."
        more = "`answer.set_exception(error)` for the bad row, and an answer for its neighbours."
        raise Wrong("dropped", shown, why, more)
    if set(waiting) & given:
        shown += ", though the model ran their rows."
        why = "How does a caller that awaits a future get its result?"
        raise Wrong("never-set", shown, why, "`answer.set_result(output)` for each of the batch.")
    if len(waiting) >= desk.most and desk.queue.empty():
        shown += ": they were taken from the queue, and the model never got them."
        why = "What happens to the requests that you take when the batch has no room for them?"
        raise Wrong("lost", shown, why, TAKE_ALL)
    shown += f": they wait for a batch of {desk.most}, and nobody else comes."
    why = "The model is idle. Is there any reason for it to wait?"
    raise Wrong("full", shown, why, TAKE_ALL)


def _judge_answer(desk: Desk, caller: Caller) -> None:
    right, got = caller.row**2, plain(caller.value)
    if got == right and not isinstance(got, bool):
        return
    shown = f"the caller of row {caller.row} got {got!r:.40} and should have got {right}."
    is_whole = isinstance(got, list | tuple)
    why = "That is the output of the whole batch. Which part of it belongs to this caller?"
    more = "`for (x, answer), output in zip(batch, outputs): answer.set_result(output)`."
    demand(not is_whole, "whole", shown, why, more)
    others = {other.row**2 for other in desk.callers}
    why = "That is another caller's answer. Which output belongs to which row?"
    demand(got not in others, "mixed", shown, why, more)
    raise Wrong("results", shown, "Hand out what the model returned, row by row.", more)


def judge_batches(desk: Desk) -> None:
    """Demand that the model is never idle while a request waits, and takes all waiting rows."""
    free_s = 0.0
    arrived = {caller.row: caller.at_s for caller in desk.callers}
    crowded = [batch for batch in desk.batches if batch.left]
    if crowded and all(len(batch.rows) == 1 for batch in desk.batches):
        shown = f"one row a batch, and up to {max(b.left for b in crowded)} more were waiting."
        raise Wrong("one-by-one", shown, "Which other rows could join it?", TAKE_ALL)
    for batch in desk.batches:
        first_s = min(arrived.get(row, 0.0) for row in batch.rows)
        idle_s = batch.start_s - max(free_s, first_s)
        shown = f"for {idle_s:.3g} s the model was idle while a request was waiting."
        why = "What does that wait gain? Whoever comes later can join the next batch."
        demand(idle_s < _EDGE_S, "timer", shown, why, "No timer: leave with all who are there.")
        come = sum(at_s < batch.start_s - _EDGE_S for at_s in arrived.values())
        gone = sum(len(other.rows) for other in desk.batches if other.start_s < batch.start_s)
        waiting = min(come - gone, desk.most)
        shown = f"{waiting} rows were waiting when a batch left, and it took {len(batch.rows)}."
        why = "When is it decided who is in the batch: when it leaves, or earlier?"
        demand(len(batch.rows) >= waiting, "left-behind", shown, why, TAKE_ALL)
        free_s = batch.end_s


def judge_neighbours(desk: Desk) -> None:
    """Demand that a bad row or a caller that has gone affects no other caller."""
    for caller in desk.callers:
        is_bad = caller.row in desk.bad
        shown = f"the row {caller.row} was good, but its caller got {caller.value!r:.60}."
        why = "One row of its batch was bad. Who should get the error?"
        more = "When a batch fails, run its rows one by one: only the bad one fails again."
        demand(is_bad or caller.outcome != "failed", "whole-batch", shown, why, more)
        if is_bad:
            got = f"{caller.value!r:.60}"
            shown = f"the row {caller.row} was bad, and its caller got {got}."
            is_told = caller.outcome == "failed" and isinstance(caller.value, BadRow)
            why = "Its caller has to hear what the model said."
            demand(is_told, "untold", shown, why, "`answer.set_exception(error)`.")
        if caller.outcome == "gone" and caller.gone_s is not None:
            late = [b for b in desk.batches if caller.row in b.rows and b.start_s > caller.gone_s]
            shown = f"the model ran the row {caller.row}, whose caller had gone."
            why = "A caller who has given up needs no place in a batch."
            more = "Each time before you call the model, keep those whose `answer.done()` is false."
            demand(not late, "ghost", shown, why, more)
