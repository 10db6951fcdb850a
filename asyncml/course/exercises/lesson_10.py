"""The exercises of lesson 10: a batcher in three steps, a batch size, load shedding, binding."""

import asyncio
import math
from collections.abc import Callable
from typing import Any

from asyncml.clock import compute, simulate
from asyncml.course.exercises import Wrong, exercise, ours, plain
from asyncml.course.exercises.attempts import attempt, check_kind
from asyncml.course.exercises.batchers import (
    PER_ROW_S,
    T0_S,
    Desk,
    judge_batches,
    judge_neighbours,
    serve_requests,
)
from asyncml.course.exercises.scenes import Hints, check_plain, demand, hinting, quietly, refuse
from asyncml.course.exercises.shedding import judge_shedding
from asyncml.timeline import record

_PER_S = 10  # columns per second
_STAGGERED = [0.0, 0.5, 1.0, 1.5, 2.0, 2.5]


# ---- 10-serve ----
@exercise("10-serve", ours=ours.serve_full)
@quietly
def serve_full(answer: Any) -> str:
    """Check a batcher that serves full batches; one that does more also passes."""
    check_kind(answer, True)
    for count, most in ((8, 4), (9, 3)):
        desk = serve_requests(answer, Desk([0.0] * count, most))
        sizes = [len(batch.rows) for batch in desk.batches]
        shown = f"{count} requests waited, and the batches had {sizes} rows."
        more = f"Take {most} pairs from the queue before you call the model."
        demand(max(sizes) > 1, "one-by-one", shown, "Which other rows could join it?", more)
        demand(sizes == [most] * (count // most), "sizes", shown, f"Put {most} in each.", more)
    return "full batches, and each caller got the answer to its own row."


# ---- 10-idle ----
@exercise("10-idle", ours=ours.serve_idle)
@quietly
def launch_when_idle(answer: Any) -> str:
    """Check a batcher whose batches start when the model is free, with all waiting rows."""
    check_kind(answer, True)
    _launch(answer)
    return "the model never waits while somebody else does, and takes all who are there."


def _launch(answer: Any) -> None:
    for arrivals_s, most in (
        ([0.0], 4),
        (_STAGGERED, 4),
        ([0.0] + [0.2] * 9, 4),
        ([0.0, 0.3, 5.0, 5.1, 5.2, 12.0], 3),
    ):
        judge_batches(serve_requests(answer, Desk(arrivals_s, most)))


# ---- 10-batcher ----
@exercise("10-batcher", ours=ours.serve_safely)
@quietly
def batcher(answer: Any) -> str:
    """Check a batcher in which neither a bad row nor a caller that gives up harms other callers."""
    check_kind(answer, True)
    _launch(answer)
    arrivals_s = [0.0, 0.2, 0.4, 0.6, 0.8, 3.5]
    for gone_s, bad in (
        ({2: 1.8}, ()),  # while its batch runs
        ({2: 0.7}, ()),  # while it waits
        ({1: 0.5, 2: 0.6, 3: 0.7, 4: 0.9}, ()),  # everybody who is waiting
        (None, (3,)),
        (None, (0,)),
        (None, (1, 4)),
        ({2: 1.9}, (1,)),
    ):
        judge_neighbours(serve_requests(answer, Desk(arrivals_s, 4, gone_s, bad)))
    return "only the bad row's caller hears of it, and a caller that goes harms nobody."


# ---- 10-deadline ----
def _costs() -> list[tuple[Callable[[int], float], int, float]]:
    """Return cases: a batch's seconds by its rows, the most rows, and a deadline."""

    def line(t0: float, a: float) -> Callable[[int], float]:
        return lambda rows: t0 + a * rows

    def stepped(rows: int, more_s: float = 1.5) -> float:  # slow if too large for a cache
        return 1.0 + 0.1 * rows + (more_s if rows > 16 else 0.0)

    return [
        (lambda rows: stepped(rows, 3.0), 40, 2.5),  # here the fastest is not the largest
        (line(1.0, 0.1), 64, 6.1),
        (line(1.0, 0.1), 8, 60.0),
        (line(0.2, 0.05), 64, 1.02),
        (stepped, 24, 12.0),
        (stepped, 64, 8.0),
        (line(1.0, 0.1), 64, 2.25),
        (line(1.0, 0.1), 64, 2.1),
    ]


_SIZE_HINTS: Hints = {
    "arg is an empty sequence / argument is empty": (  # to 3.11; from 3.12
        "impossible",
        "With one of the deadlines no size is in time. What do you return then?",
        "`max(..., default=None)`.",
    )
}


def _best(seconds: Callable[[int], float], most: int, deadline_s: float) -> int | None:
    fitting = [n for n in range(1, most + 1) if 2 * seconds(n) <= deadline_s + 1e-9]
    return max(fitting, key=lambda n: n / seconds(n), default=None)


@exercise("10-deadline")
@quietly
def choose_size(answer: Any) -> str:
    """Check a function that chooses the batch size for a deadline."""
    check_plain(answer)
    for seconds, most, deadline_s in _costs():

        def asked(rows: Any, seconds: Any = seconds, most: int = most) -> float:
            rows = plain(rows)
            is_size = isinstance(rows, int) and 1 <= rows <= most
            message = f"you called `seconds({rows!r:.20})`, but a batch has 1 to {most} rows."
            demand(is_size, "range", message, "`range(1, most + 1)`.")
            return float(seconds(rows))

        with hinting(_SIZE_HINTS):
            run = attempt(answer, asked, most, deadline_s, is_async=False, may_raise=Wrong)
        if isinstance(run.error, Wrong):
            raise run.error
        _judge_size(run.result, seconds, most, deadline_s)
    return "the most answers a second that the deadline allows, and None where it allows none."


def _judge_size(found: Any, seconds: Callable[[int], float], most: int, deadline_s: float) -> None:
    best = _best(seconds, most, deadline_s)
    if found == best and not isinstance(found, bool | float):
        return
    where = f"with a deadline of {deadline_s:g} s and at most {most} rows"
    if best is None:
        shown = f"{where}, got {found!r:.40}, and not even one row alone is in time."
        why = f"A batch of one takes {seconds(1):g} s, and it may have to wait for another one."
        raise Wrong("impossible", shown, why, "Return None where no size keeps the deadline.")
    shown = f"{where}, it returned None, but a size of {best} is in time."
    why = "None means that no size keeps the deadline. Do you look at all of them, and return one?"
    more = "Keep those with `2 * seconds(n) <= deadline_s`; None if there are none."
    demand(found is not None, "no-return", shown, why, more)
    is_whole = isinstance(found, int) and not isinstance(found, bool)
    shown = f"it returned {found!r:.40}, not an `int`."
    demand(is_whole, "kind", shown, "How many rows?")
    demand(1 <= found <= most, "range", f"{found!r:.40} is not between 1 and {most}.")
    if 2 * seconds(found) > deadline_s + 1e-9:
        _refuse_late(found, seconds, most, deadline_s, where)
    rate, best_rate = found / seconds(found), best / seconds(best)
    shown = f"{where}, a size of {found} is in time and gives {rate:.2f} answers a second, and one "
    more = "Of all sizes with `2 * seconds(n) <= deadline_s`, the largest `n / seconds(n)`."
    why = "Is the largest batch that fits the one with the most answers a second?"
    refuse(
        f"{shown}of {best} gives {best_rate:.2f}.",
        (found == 1, "one", "A batch of one keeps every deadline, and serves few.", more),
        (found > best, "largest-fitting", why, more),
        (True, "too-small", "There is still room before the deadline.", more),
    )


def _refuse_late(
    found: int, seconds: Callable[[int], float], most: int, deadline_s: float, where: str
) -> None:
    fastest = max(range(1, most + 1), key=lambda n: n / seconds(n))
    is_own = seconds(found) <= deadline_s and found not in (most, fastest)
    own = "Their own batch is in time. What did they wait for before that?"
    why = "That is the most answers a second, but they come too late."
    more = "Keep the sizes with `2 * seconds(n) <= deadline_s`; choose among them."
    refuse(
        f"{where}, got {found}: the unluckiest caller waits {2 * seconds(found):g} s.",
        (is_own, "own-batch", own, more),
        (found == most, "largest", "The largest batch takes longest, too.", more),
        (found == fastest, "throughput", why, more),
        (True, "late", "Two batches: the one that has just left, and their own.", more),
    )


# ---- 10-shed ----
@exercise("10-shed")
@quietly
def shed(answer: Any) -> str:
    """Check a call that is refused when the queue is full and gives up at its deadline."""
    check_kind(answer, True)
    judge_shedding(answer)
    return "refused at once where it is full, in time or not at all, and nobody served in vain."


# ---- 10-binding ----
async def _visits(is_early: bool) -> None:
    """Send six requests; form each batch as early as possible, or when the model is free."""
    queue: asyncio.Queue[asyncio.Future[None]] = asyncio.Queue()
    place = asyncio.Semaphore(1)

    async def ask(answer: "asyncio.Future[None]") -> None:
        queue.put_nowait(answer)
        await answer

    async def run(batch: "list[asyncio.Future[None]]") -> None:
        await asyncio.to_thread(compute, T0_S + PER_ROW_S * len(batch))
        place.release()
        for answer in batch:
            answer.set_result(None)

    async def serve() -> None:
        async with asyncio.TaskGroup() as runs:
            while True:
                if not is_early:
                    await place.acquire()
                batch = [await queue.get()]
                while len(batch) < 4 and not queue.empty():
                    batch.append(queue.get_nowait())
                if is_early:
                    await place.acquire()
                runs.create_task(run(batch), name="batch")

    server = asyncio.create_task(serve(), name="serve")
    loop, asked = asyncio.get_running_loop(), []
    for number, at_s in enumerate(_STAGGERED):
        await asyncio.sleep(at_s - loop.time())
        asked.append(asyncio.create_task(ask(loop.create_future()), name=f"ask-{number}"))
    await asyncio.wait(asked)
    server.cancel()
    await asyncio.wait([server])


def two_timelines() -> str:
    """Return the timelines of A and B, with only the requests and the model, over one axis."""
    runs = {"A": simulate(record(_visits(True))), "B": simulate(record(_visits(False)))}
    longest_s = max(run.duration_s for run in runs.values())
    lines = []
    for name, run in runs.items():
        lines.append(name)
        for lane in run.lanes:
            if lane.startswith(("ask", "thread")):
                columns = [" "] * (_PER_S * math.ceil(longest_s) + 1)
                for piece in run.slices:
                    if piece.lane == lane:
                        start, end = (round(at * _PER_S) for at in (piece.start_s, piece.end_s))
                        mark = "#" if piece.state == "running" else "."
                        columns[start:end] = mark * (end - start)
                        if start and columns[start - 1] == "#":
                            columns[start] = "|"
                label = "model" if lane.startswith("thread") else lane
                lines.append(f"{label:6}|{''.join(columns).rstrip()}")
        axis = "".join(f"{second:<{_PER_S}}" for second in range(math.ceil(longest_s)))
        lines += [f"{'':6} {axis}s", ""]
    return "\n".join(lines[:-1])


_BINDING: dict[str, tuple[Any, str, str]] = {
    "binds early": ("A", "swapped", "In which of them does a request miss the next batch?"),
    "batches of A": (5, "count", "Count the bars of the model's lane in A."),
    "batches of B": (4, "count", "Count the bars of the model's lane in B."),
    "rows in the third batch of B": (
        2,
        "rows",
        "Which requests had come, and were not answered, when that bar began?",
    ),
}


@exercise("10-binding")
def binding(answer: Any) -> str:
    """Check the answers read from two timelines."""
    demand(answer not in (..., None), "open", "put an answer in place of each `...`")
    is_whole = isinstance(answer, dict) and set(answer) == set(_BINDING)
    demand(is_whole, "kind", "the answer is the dictionary as it was, with answers in it.")
    demand(... not in answer.values(), "open", "put an answer in place of each `...`")
    for name, (right, code, why) in _BINDING.items():
        given = found = answer[name]
        if isinstance(right, str):
            found = found.strip().upper() if isinstance(found, str) else found
            is_letter = found in ("A", "B")
            demand(is_letter, "kind", f'{name}: the answer is "A" or "B", got {given!r:.40}.')
        else:
            is_count = isinstance(found, int | float) and not isinstance(found, bool)
            demand(is_count, "kind", f"{name}: the answer is a number, got {found!r:.40}.")
            demand(found != 6, "requests", f"{name}: not 6.", "That is how many requests came.")
        demand(found == right, code, f"{name}: not {found!r:.40}.", why)
    return "late binding: one batch fewer, and the last answer a second earlier."
