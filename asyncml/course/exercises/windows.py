"""Judges loaders with four fetches in flight: all data at the end, or each in key order."""

import asyncio
import random
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Any

from asyncml.clock import simulate
from asyncml.course.exercises.answers import names_of, read_results
from asyncml.course.exercises.attempts import check_kind
from asyncml.course.exercises.fetches import refuse_unfinished
from asyncml.course.exercises.loaders import (
    AT_ONCE,
    Watched,
    check_generator,
    judge_flight,
    judge_items,
    misused,
)
from asyncml.course.exercises.scenes import Hints, demand, play

AHEAD = 12
_IN_TASK = "`async with slots:` goes around `await fetch(key)`, inside the coroutine of each task."
_FETCHED: Hints = {
    "is bound to a different event loop": (
        "global",
        "Each call may run on a loop of its own. Where is the semaphore made?",
        "Make it inside the function: `slots = asyncio.Semaphore(4)` in its first line.",
    ),
    "Result is not set": (
        "early",
        "Making a task does not wait for it. Which `await` waits for all of them?",
        "`return await asyncio.gather(...)`, or await each task in turn.",
    ),
    "unhashable type: 'list'": (
        "unpack",
        "`gather` takes each coroutine as an argument: is there a `*` before the list?",
    ),
}


# ---- all data at the end ----
def judge_four(answer: Any) -> list[str]:
    """Raise `Wrong` unless four fetches are in flight; return the seconds for each store."""
    check_kind(answer, True)
    seconds, hints = [], _FETCHED | misused("four_at_once(fetch, keys)")
    for seed in range(1, 4):
        shop = Watched(seed, 16 + seed)
        run = play(answer, shop.fetch, list(shop.keys), of=answer, hints=hints)
        _judge_data(shop, run.result)
        _judge_four(shop, answer)
        seconds.append(f"{run.seconds:.2f}")
    return seconds


def _judge_data(shop: Watched, result: Any) -> None:
    refuse_unfinished([result])
    got = read_results(result)
    why = "`fetch` gives the data to your inner function. Does that `return` it?"
    demand(None not in got, "no-return", "there is a None among the results.", why)
    why = "In which order were the results put together: by arrival, or part by part?"
    more = "`gather` keeps the order; or write each to its place: `data[place] = ...`."
    other = "The data of each key once, in order."
    judge_items(got, [shop.data[key] for key in shop.keys], (why, more), other)


def _judge_four(shop: Watched, answer: Any) -> None:
    bounded = {"Semaphore", "BoundedSemaphore"} & names_of(answer)
    shown = f"{shop.peak} were in flight at once; {AT_ONCE} are allowed."
    why = "There is a semaphore, but it holds nothing back. What happens inside its `async with`?"
    more = _IN_TASK + " All tasks share one semaphore."
    demand(not bounded or shop.peak < len(shop.keys), "outside", shown, why, more)
    judge_flight(shop.peak, f"A semaphore of {AT_ONCE}: {_IN_TASK}")
    shown = f"four at once, but for {shop.idle_s:.2f} s there were fewer, with keys still left."
    is_chunked = shop.starts[: 2 * AT_ONCE] == [*range(1, AT_ONCE + 1)] * 2
    why = "The next fetch has to begin as soon as any one ends. Which one do you wait for?"
    if is_chunked:
        why = "Each group of four waits for its slowest. Which key could be asked for before that?"
    demand(shop.idle_s < 1e-9, "chunks" if is_chunked else "idle", shown, why, _IN_TASK)


# ---- each in key order ----
class _Stream(Watched):
    """A shop of many keys, all equally quick except for two stragglers."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed, 36)
        places = [random.Random(seed).randrange(1, 8), 20]
        stragglers = [self.keys[place] for place in places]
        self.delays = {key: 150 if key in stragglers else 20 for key in self.keys}


async def _consume(answer: Callable[..., Any], stream: _Stream, step_s: float) -> None:
    async for data in answer(stream.fetch, list(stream.keys)):
        stream.taken.append(data)
        await asyncio.sleep(step_s)


def judge_window(answer: Any) -> int:
    """Raise `Wrong` for wrong order or look-ahead; return how many keys ahead it was."""
    check_generator(answer)
    ahead, hints = 0, _FETCHED | misused("in_order(fetch, keys)")
    for seed in range(1, 4):
        stream, slow = _Stream(seed), _Stream(seed)
        run = play(_consume, answer, stream, 0.0, of=answer, hints=hints)
        _judge_order(stream)
        play(_consume, answer, slow, 0.5, of=answer, hints=hints)
        ahead = max(ahead, _judge_ahead(slow, stream))
        _judge_pace(stream, run.seconds, _reference_s(_Stream(seed)))
    return ahead


def _reference_s(stream: _Stream) -> float:
    async def main() -> float:
        await _consume(_one_less, stream, 0.0)
        return asyncio.get_running_loop().time()

    return simulate(main())


async def _one_less(fetch: Any, keys: list[str]) -> AsyncIterator[Any]:
    slots, tasks = asyncio.Semaphore(AT_ONCE), deque[asyncio.Task[Any]]()

    async def one(key: str) -> Any:
        async with slots:
            return await fetch(key)

    for key in keys:
        tasks.append(asyncio.create_task(one(key)))
        if len(tasks) == AHEAD - 1:
            yield await tasks.popleft()
    while tasks:
        yield await tasks.popleft()


def _judge_order(stream: _Stream) -> None:
    why = "`as_completed`, `asyncio.wait` and a queue of results give you what is done first."
    more = "Keep the tasks in a `deque`, in the order of the keys, and await the leftmost."
    other = "`yield` the data of each key once. At the end, which tasks are still waiting?"
    right = [stream.data[key] for key in stream.keys]
    judge_items(stream.taken, right, (why, more), other, "After the loop: `while tasks:`.")


def _judge_ahead(slow: _Stream, quick: _Stream) -> int:
    more = f"A semaphore of {AT_ONCE} inside each task, and {AHEAD} tasks in the deque: "
    more += "`create_task` starts one, and only the leftmost is awaited."
    judge_flight(max(slow.peak, quick.peak), more)
    ahead = max(slow.ahead, quick.ahead)
    shown = f"{ahead} keys had been asked for and not yet taken by the consumer."
    why = f"The consumer was slow, and its data piled up: {AHEAD} may be ahead."
    more = f"Start a task only while there are fewer than {AHEAD}: await the leftmost otherwise."
    demand(ahead <= AHEAD, "unbounded", shown, why, more)
    return ahead


def _judge_pace(stream: _Stream, seconds: float, limit_s: float) -> None:
    shown = f"in order, in {seconds:.2f} s; {limit_s:.2f} s is possible."
    is_good = seconds <= limit_s + 1e-6
    why = "While the head is a straggler, three slots are free. Which tasks could use them?"
    more = f"Let {AHEAD} tasks be ahead, {AT_ONCE} of them in flight, and not only {AT_ONCE} ahead."
    demand(is_good or stream.ahead > AT_ONCE + 1, "head", shown, why, more)
    why = "Are new tasks started while the first ones wait to be taken?"
    more = f"Start one task for each that you yield, so that {AHEAD} are always ahead."
    demand(is_good, "slow", shown, why, more)
