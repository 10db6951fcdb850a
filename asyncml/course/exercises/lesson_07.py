"""The exercises of lesson 07: a loader's parts, one by one, a bound, and the league."""

import asyncio
import random
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Any

from asyncml.clock import simulate
from asyncml.course.exercises import Wrong, exercise, expect
from asyncml.course.exercises.answers import is_mixed_up, names_of, read_list, read_results
from asyncml.course.exercises.attempts import check_kind
from asyncml.course.exercises.bucket import BURST, RATE, SEED
from asyncml.course.exercises.fetches import refuse_unfinished
from asyncml.course.exercises.league import score
from asyncml.course.exercises.loaders import (
    AT_ONCE,
    Watched,
    check_generator,
    judge_buffer,
    judge_flight,
    judge_prefetch,
    judge_stages,
    judge_workers,
    misused,
)
from asyncml.course.exercises.retries import judge_retries
from asyncml.course.exercises.scenes import Hints, demand, play, quietly

AHEAD = 12
SLOW = 2.0  # a score from which on it is the number in flight that is wrong
GOOD = 1.12  # a plain Pipeline reaches 1.15
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
        "`gather` takes coroutines one by one: is there a `*` before the list?",
    ),
}


# ---- 07-four ----
@exercise("07-four")
@quietly
def four(answer: Any) -> str:
    """Check a function that fetches all keys with four of them in flight, never more or fewer."""
    check_kind(answer, True)
    seconds, hints = [], _FETCHED | misused("four_at_once(fetch, keys)")
    for seed in range(1, 4):
        shop = Watched(seed, 16 + seed)
        run = play(answer, shop.fetch, list(shop.keys), of=answer, hints=hints)
        _judge_data(shop, run.result)
        _judge_four(shop, answer)
        seconds.append(f"{run.seconds:.2f}")
    return f"four in flight until the last has begun: {', '.join(seconds)} s for three stores."


def _judge_data(shop: Watched, result: Any) -> None:
    refuse_unfinished([result])
    got, right = read_results(result), [shop.data[key] for key in shop.keys]
    refuse_unfinished(got)
    shown = "all the data, but not in the order of the keys."
    why = "In which order were the results put together: by arrival, or part by part?"
    more = "`gather` keeps the order; or write each to its place: `data[place] = ...`."
    demand(got == right or not is_mixed_up(got, right), "order", shown, why, more)
    why = "`fetch` gives the data to your inner function. Does that `return` it?"
    demand(None not in got, "no-return", "there is a None among the results.", why)
    shown = f"{len(got)} results, and {len(right)} were expected, one for each key."
    if len(got) == len(right):
        shown = "all keys have a result, but not each its own data."
    demand(got == right, "results", shown, "The data of each key once, in order.")


def _judge_four(shop: Watched, answer: Any) -> None:
    bounded = {"Semaphore", "BoundedSemaphore"} & names_of(answer)
    shown = f"{shop.peak} were in flight at once, and {AT_ONCE} are allowed."
    why = "There is a semaphore, and it holds nobody back. What happens inside its `async with`?"
    more = _IN_TASK + " And it is one semaphore for all of them."
    demand(not bounded or shop.peak < len(shop.keys), "outside", shown, why, more)
    judge_flight(shop.peak, f"A semaphore of {AT_ONCE}: {_IN_TASK}")
    shown = f"four at once, but for {shop.idle_s:.2f} s there were fewer, with keys still to ask."
    is_chunked = shop.starts[: 2 * AT_ONCE] == [*range(1, AT_ONCE + 1)] * 2
    why = "When one fetch has ended, the next begins at once: which one do you wait for?"
    if is_chunked:
        why = "Each four wait for the slowest of them. Which key could be asked for before that?"
    demand(shop.idle_s < 1e-9, "chunks" if is_chunked else "idle", shown, why, _IN_TASK)


# ---- 07-workers ----
@exercise("07-workers")
@quietly
def workers(answer: Any) -> str:
    """Check four workers that share the keys, and that a full queue holds back."""
    seconds, ahead = judge_workers(answer)
    return (
        f"four tasks, four in flight, {seconds:.2f} s; "
        f"and with a slow consumer never more than {ahead} ahead."
    )


# ---- 07-window ----
class _Stream(Watched):
    """Many keys, all equally quick but for a few stragglers."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed, 36)
        places = [random.Random(seed).randrange(1, 8), 20]
        stragglers = [self.keys[place] for place in places]
        self.delays = {key: 150 if key in stragglers else 20 for key in self.keys}


async def _consume(answer: Callable[..., Any], stream: _Stream, step_s: float) -> None:
    async for data in answer(stream.fetch, list(stream.keys)):
        stream.taken.append(data)
        await asyncio.sleep(step_s)


@exercise("07-window")
@quietly
def window(answer: Any) -> str:
    """Check an async generator: in order, four in flight, and no more than twelve ahead."""
    check_generator(answer)
    ahead, hints = 0, _FETCHED | misused("in_order(fetch, keys)")
    for seed in range(1, 4):
        stream, slow = _Stream(seed), _Stream(seed)
        run = play(_consume, answer, stream, 0.0, of=answer, hints=hints)
        _judge_order(stream)
        play(_consume, answer, slow, 0.5, of=answer, hints=hints)
        ahead = max(ahead, _judge_ahead(slow, stream))
        _judge_pace(stream, run.seconds, _reference_s(_Stream(seed)))
    return f"in order, {AT_ONCE} in flight, {ahead} ahead: a straggler does not hold up the others."


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
    right = [stream.data[key] for key in stream.keys]
    got, keys = stream.taken, len(right)
    refuse_unfinished(got)
    shown = "everything comes, but not in the order of the keys."
    why = "`as_completed`, `asyncio.wait` and a queue of results go by who is first."
    more = "Keep the tasks in a `deque`, in the order of the keys, and await the leftmost."
    demand(got == right or not is_mixed_up(got, right), "order", shown, why, more)
    shown = f"{len(got)} items came, for {keys} keys."
    why = "`yield` the data of each key once. At the end, which tasks are still waiting?"
    more = "After the loop: `while tasks:` yield the rest."
    demand(len(got) == keys, "results", shown, why, more)
    shown = f"the first is {got[0]!r:.30}, and {right[0]!r} was expected."
    demand(got == right, "results", shown, "`yield` what `fetch` returned, and nothing besides.")


def _judge_ahead(slow: _Stream, quick: _Stream) -> int:
    more = f"A semaphore of {AT_ONCE} inside each task, and {AHEAD} tasks in the deque: "
    more += "`create_task` starts one, and only the leftmost is awaited."
    judge_flight(max(slow.peak, quick.peak), more)
    ahead = max(slow.ahead, quick.ahead)
    shown = f"{ahead} keys had been asked for that the consumer had not taken yet."
    why = f"The consumer was slow, and its data piled up: {AHEAD} may be ahead."
    more = f"Start a task only while there are fewer than {AHEAD}: await the leftmost otherwise."
    demand(ahead <= AHEAD, "unbounded", shown, why, more)
    return ahead


def _judge_pace(stream: _Stream, seconds: float, limit_s: float) -> None:
    shown = f"in order, in {seconds:.2f} s, and {limit_s:.2f} s are possible."
    is_good = seconds <= limit_s + 1e-6
    why = "While the head is a straggler, three slots are free. Which tasks could use them?"
    more = f"Let tasks be {AHEAD} ahead with {AT_ONCE} in flight, and not only {AT_ONCE} ahead."
    demand(is_good or stream.ahead > AT_ONCE + 1, "head", shown, why, more)
    why = "Are new tasks started while the first ones wait to be taken?"
    more = f"Start one task for each that you yield, so that {AHEAD} are always ahead."
    demand(is_good, "slow", shown, why, more)


# ---- 07-stages ----
@exercise("07-stages")
@quietly
def stages(answer: Any) -> str:
    """Check a pipeline that fetches on the loop, and decodes in threads."""
    seconds, on_loop = judge_stages(answer)
    return (
        "four fetched and two decoded at a time, and the loop is never blocked: "
        f"{1000 * seconds:.0f} ms, and {1000 * on_loop:.0f} with the decoding on the loop."
    )


# ---- 07-prefetch ----
@exercise("07-prefetch")
@quietly
def prefetch(answer: Any) -> str:
    """Check an async generator that loads ahead of its consumer, within bounds, and tidies up."""
    seconds, ahead = judge_prefetch(answer)
    return (
        f"eight images in {1000 * seconds:.0f} ms in place of 720, at most {ahead} made ahead, "
        "and nothing runs after the consumer has left."
    )


# ---- 07-bound ----
_SUM = "sum", "The three go on at the same time, so they do not add up."
_BOUNDS: list[tuple[float, dict[Any, tuple[str, str]], str]] = [
    (
        5.0,
        {
            12.0: _SUM,
            80.0: ("k", "Sixteen requests wait at once."),
            4.0: ("smaller", "That is the decoding. Which of the three takes longest?"),
            8.0: ("cores", "The decoding has two cores."),
        },
        "N * latency / k, N * decode / cores, N * train: the largest.",
    ),
    (
        4.0,
        {
            2.5: ("moved", "That is the store alone. Something else is slower than that now."),
            5.0: ("k", "Twice as many requests at once halve the first of the three."),
            9.5: _SUM,
        },
        "Only the first of the three terms has changed.",
    ),
    (
        20,
        {
            16: ("too-few", "With 16 the store needs 5 s, as you found."),
            32: ("more", "That is enough. Fewer are, too: when does N * latency / k equal 4 s?"),
        },
        "By Little's law: in flight = images a second * latency. How many a second are decoded?",
    ),
]


@exercise("07-bound")
def bound(answer: Any) -> str:
    """Check three bets on how fast a pipeline can be, and what it takes."""
    bets = read_list(answer, "three numbers", "a number")
    is_three = len(bets) == len(_BOUNDS)
    demand(is_three, "kind", f"the answer is a list of three numbers, got {answer!r:.40}.")
    for number, (bet, (right, wrong, hint)) in enumerate(zip(bets, _BOUNDS, strict=True), start=1):
        try:
            expect(bet, right, wrong, hint)
        except Wrong as error:
            message = f"number {number}: {error.message}"
            raise Wrong(error.code, message, error.hint, error.more) from None
    return "5 s by the store, 4 s by the decoding, and 250 a second * 80 ms = 20 in flight."


# ---- 07-retry ----
@exercise("07-retry")
@quietly
def retry(answer: Any) -> str:
    """Check a fetch that is tried again: which errors, how often, after how long, and the slot."""
    check_kind(answer, True)
    state = random.getstate()
    random.seed(7)
    try:
        judge_retries(answer)
    finally:
        random.setstate(state)
    return "four tries, growing random pauses, the slot free meanwhile, other errors at once."


# ---- 07-bucket ----
@exercise("07-bucket")
def bucket(answer: Any) -> str:
    """Check a loader on the bucket from hell; its score is its time over the lower bound."""
    done = score(answer)
    score(answer, seed=SEED + 1, images=120)  # another bucket, which nobody has seen
    shown = f"score {done.score:.2f}: {done.seconds:.2f} s, and {done.bound_s:.2f} s is the bound"
    shown += f"; refused {done.refused} times"
    why = "Every good image in order, but slowly. How many requests are in flight, on average?"
    more = f"Little's law: {RATE} a second times a mean of 64 ms are 13, all the time."
    demand(done.score <= SLOW, "slow", f"{shown}.", why, more)
    why = "It works. But each refusal costs a pause: when may a request leave, and not be refused?"
    more = f"{BURST} at once, then one every {1000 / RATE:g} ms: keep the time of the next, or let "
    more += "`aml.RateLimited` do so."
    demand(done.refused <= BURST, "refused-often", f"{shown}, and {BURST} are allowed.", why, more)
    why = "Nearly. Which slots are taken by stragglers, while the bucket could take a request?"
    more = "If only the rate holds requests back, more than 13 may be in flight. And a straggler "
    more += "need not be waited for: ask a second time."
    demand(round(done.score, 2) <= GOOD, "idle", f"{shown}. The mark is {GOOD:.2f}.", why, more)
    return f"{shown}."


# ---- 07-buffer ----
@exercise("07-buffer")
@quietly
def buffer(answer: Any) -> str:
    """Check workers that share a buffer, and lose nothing of it."""
    return f"{judge_buffer(answer)} of 48 are saved, with four workers."
