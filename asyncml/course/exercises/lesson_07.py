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
from asyncml.course.exercises.fetches import Shop, refuse_unfinished, run_fetches
from asyncml.course.exercises.league import score
from asyncml.course.exercises.loaders import (
    check_generator,
    judge_buffer,
    judge_prefetch,
    judge_stages,
    judge_workers,
    misused,
)
from asyncml.course.exercises.retries import judge_retries
from asyncml.course.exercises.scenes import Hints, demand, play, quietly

AT_ONCE, AHEAD = 4, 12
_OTHER_LOOP = "is bound to a different event loop"
_GLOBAL = (
    "Each call may run on a loop of its own. Where is the semaphore made?",
    "Make it inside the function: `slots = asyncio.Semaphore(4)` in its first line.",
)
_EARLY = (
    "Making a task does not wait for it. Which `await` waits for all of them?",
    "`return await asyncio.gather(...)`, or await each task in turn.",
)
SLOW = 2.0  # a score from which on it is the number in flight that is wrong
GOOD = 1.12  # a plain Pipeline reaches 1.15
_IN_TASK = "`async with slots:` goes around `await fetch(key)`, inside the coroutine of each task."


class _Watched(Shop):
    """A shop that notes how many fetches are in flight, and when it was not as many as could be."""

    def __init__(self, seed: int, count: int) -> None:
        super().__init__(seed, count)
        self.now = self.peak = 0
        self.idle_s = self.changed_s = 0.0
        self.starts: list[int] = []  # how many were in flight when each one began

    async def fetch(self, key: str) -> bytes:
        self._change(+1)
        self.starts.append(self.now)
        try:
            return await super().fetch(key)
        finally:
            self._change(-1)

    def _change(self, by: int) -> None:
        at = asyncio.get_running_loop().time()
        if self.now < AT_ONCE and len(self.asked) < len(self.keys):
            self.idle_s += at - self.changed_s
        self.now, self.changed_s = self.now + by, at
        self.peak = max(self.peak, self.now)


# ---- 07-four ----
@exercise("07-four")
@quietly
def four(answer: Any) -> str:
    """Check a function that fetches all keys with four of them in flight, never more or fewer."""
    seconds = []
    for seed in range(1, 4):
        shop = _Watched(seed, 16 + seed)
        try:
            run = run_fetches(answer, shop)
        except Wrong as wrong:
            if _OTHER_LOOP in wrong.message:
                raise Wrong("global", "a semaphore of an earlier run.", *_GLOBAL) from None
            for words, (code, *said) in misused("four_at_once(fetch, keys)").items():
                demand(words not in wrong.message, code, wrong.message, *said)
            if wrong.code == "early":
                raise Wrong("early", wrong.message, *_EARLY) from None
            raise
        _judge_data(shop, run.result)
        _judge_flight(shop, answer)
        seconds.append(f"{run.seconds:.2f}")
    return f"four in flight until the last has begun: {', '.join(seconds)} s for three stores."


def _judge_data(shop: Shop, got: Any) -> None:
    got, right = read_results(got), [shop.data[key] for key in shop.keys]
    if got == right:
        return
    shown = "all the data, but not in the order of the keys."
    why = "Did each task append its data when it had come? Then the order is that of arrival."
    more = "`gather` keeps the order; or write each to its place: `data[place] = ...`."
    demand(not is_mixed_up(got, right), "order", shown, why, more)
    message = f"{len(got)} results, and {len(right)} were expected, one for each key."
    if len(got) == len(right):
        place = next(n for n, pair in enumerate(zip(got, right, strict=True)) if pair[0] != pair[1])
        message = f"number {place + 1} is {got[place]!r:.30}, and {right[place]!r} was expected."
    raise Wrong("results", message, "The data of each key once, in order.")


def _judge_flight(shop: _Watched, answer: Any) -> None:
    peak, keys = shop.peak, len(shop.keys)
    bounded = {"Semaphore", "BoundedSemaphore"} & names_of(answer)
    shown = f"{peak} were in flight at once, and {AT_ONCE} are allowed."
    if bounded and peak == keys:
        why = (
            "There is a semaphore, and it holds nobody back. What happens inside its `async with`?"
        )
        raise Wrong("outside", shown, why, _IN_TASK + " And it is one semaphore for all of them.")
    why = "How many may begin before one has ended? What makes the fifth wait?"
    demand(peak <= AT_ONCE, "too-many", shown, why, f"A semaphore of {AT_ONCE}: {_IN_TASK}")
    shown = f"one at a time: there was never more than one of the {keys} in flight."
    why = "An `await` in a loop ends before the next begins. Start them, and let a semaphore bound."
    demand(peak > 1, "sequence", shown, why, "`gather` of small coroutines. " + _IN_TASK)
    shown = f"never more than {peak} were in flight."
    demand(
        peak == AT_ONCE, "too-few", shown, f"{AT_ONCE} are allowed, and there are keys to ask for."
    )
    shown = f"four at once, but for {shop.idle_s:.2f} s there were fewer, with keys still to ask."
    is_chunked = shop.starts[: 2 * AT_ONCE] == [*range(1, AT_ONCE + 1)] * 2
    why = (
        "Each four wait for the slowest of them. Which key could be asked for when the first ends?"
    )
    demand(not (shop.idle_s > 1e-9 and is_chunked), "chunks", shown, why, _IN_TASK)
    demand(shop.idle_s < 1e-9, "idle", shown, "When one fetch has ended, the next begins at once.")


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
class _Stream(_Watched):
    """Many keys, all equally quick but for a few stragglers; notes how far it was run ahead."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed, 36)
        places = [random.Random(seed).randrange(1, 8), 20]
        stragglers = [self.keys[place] for place in places]
        self.delays = {key: 150 if key in stragglers else 20 for key in self.keys}
        self.got: list[Any] = []
        self.ahead = 0
        self.first_s = 0.0

    async def fetch(self, key: str) -> bytes:
        self.ahead = max(self.ahead, len(self.asked) + 1 - len(self.got))
        return await super().fetch(key)


async def _consume(answer: Callable[..., Any], stream: _Stream, step_s: float) -> None:
    async for data in answer(stream.fetch, list(stream.keys)):
        if not stream.got:
            stream.first_s = asyncio.get_running_loop().time()
        stream.got.append(data)
        await asyncio.sleep(step_s)


@exercise("07-window")
@quietly
def window(answer: Any) -> str:
    """Check an async generator: in order, four in flight, and no more than twelve ahead."""
    check_generator(answer)
    ahead = 0
    for seed in range(1, 4):
        stream, slow, limit = _Stream(seed), _Stream(seed), _Stream(seed)
        hints: Hints = {_OTHER_LOOP: ("global", *_GLOBAL), **misused("in_order(fetch, keys)")}
        run = play(_consume, answer, stream, 0.0, of=answer, hints=hints)
        _judge_order(stream)
        play(_consume, answer, slow, 0.5, of=answer)
        ahead = max(ahead, _judge_ahead(slow, stream))
        limit_s, head_s = (_reference_s(limit, ahead) for ahead in (AHEAD - 1, AT_ONCE))
        _judge_pace(stream, run.seconds, limit_s, head_s)
    return f"in order, {AT_ONCE} in flight, {ahead} ahead: a straggler does not hold up the others."


def _reference_s(stream: _Stream, ahead: int) -> float:
    async def main() -> float:
        await _consume(lambda fetch, keys: _reference(fetch, keys, ahead), stream, 0.0)
        return asyncio.get_running_loop().time()

    return simulate(main())


async def _reference(fetch: Any, keys: list[str], ahead: int) -> AsyncIterator[Any]:
    slots, tasks = asyncio.Semaphore(AT_ONCE), deque[asyncio.Task[Any]]()

    async def one(key: str) -> Any:
        async with slots:
            return await fetch(key)

    for key in keys:
        tasks.append(asyncio.create_task(one(key)))
        if len(tasks) == ahead:
            yield await tasks.popleft()
    while tasks:
        yield await tasks.popleft()


def _judge_order(stream: _Stream) -> None:
    right = [stream.data[key] for key in stream.keys]
    if stream.got == right:
        return
    refuse_unfinished(stream.got)
    is_mixed = is_mixed_up(stream.got, right)
    shown = "everything comes, but not in the order of the keys."
    why = "`as_completed`, `asyncio.wait` and a queue of results go by who is first."
    more = "Keep the tasks in a `deque`, in the order of the keys, and await the leftmost."
    demand(not is_mixed, "order", shown, why, more)
    some = f"{stream.got[0]!r:.30}, ..." if stream.got else "nothing"
    message = f"{len(stream.got)} results came ({some}), and {len(right)} keys were given."
    if len(stream.got) == len(right):
        message = f"the first is {stream.got[0]!r:.30}, and {right[0]!r} was expected."
    why = "`yield` the data of each key once. At the end, which tasks are still waiting?"
    raise Wrong("results", message, why, "After the loop: `while tasks:` yield the rest.")


def _judge_ahead(slow: _Stream, quick: _Stream) -> int:
    peak = max(slow.peak, quick.peak)
    shown = f"{peak} were in flight at once, and {AT_ONCE} are allowed."
    why = "How far ahead and how many in flight are two bounds."
    more = f"A semaphore of {AT_ONCE} inside each task, and {AHEAD} tasks in the deque."
    demand(peak <= AT_ONCE, "too-many", shown, why, more)
    ahead = max(slow.ahead, quick.ahead)
    shown = f"{ahead} keys had been asked for that the consumer had not taken yet."
    why = f"The consumer was slow, and its data piled up: {AHEAD} may be ahead."
    more = f"Start a task only while there are fewer than {AHEAD}: await the leftmost otherwise."
    demand(ahead <= AHEAD, "unbounded", shown, why, more)
    shown = "one at a time: the next key is asked for when the one before has been taken."
    why = "Start tasks ahead of the one that you await."
    demand(peak > 1, "sequence", shown, why, more)
    return ahead


def _judge_pace(stream: _Stream, seconds: float, limit_s: float, head_s: float) -> None:
    if seconds <= limit_s + 1e-6:
        return
    shown = f"in order, in {seconds:.2f} s, and {limit_s:.2f} s are possible."
    why = "While the head is a straggler, three slots are free. Which tasks could use them?"
    more = f"Let tasks be {AHEAD} ahead with {AT_ONCE} in flight, and not only {AT_ONCE} ahead."
    demand(stream.ahead > AT_ONCE + 1, "head", shown, why, more)
    raise Wrong("slow", shown, f"{AT_ONCE} in flight, whatever the head does.", more)


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
_BOUNDS: list[tuple[float, dict[Any, tuple[str, str]], str]] = [
    (
        5.0,
        {
            12.0: ("sum", "The three go on at the same time: what does the slowest leave over?"),
            80.0: ("k", "Sixteen requests wait at once."),
            9.0: ("sum", "The three go on at the same time, so they do not add up."),
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
            9.5: ("sum", "The three go on at the same time, so they do not add up."),
        },
        "Only the first of the three terms has changed.",
    ),
    (
        20,
        {
            16: ("too-few", "With 16 the store needs 5 s, as you found."),
            32: ("more", "That is enough. Fewer are, too: when does N * latency / k equal 4 s?"),
            25: ("train", "Is it the training that the store has to keep up with?"),
            27: ("train", "Is it the training that the store has to keep up with?"),
            21: ("more", "Try one fewer: N * latency / k against the 4 s of the decoding."),
            40: ("cores", "Both cores decode: 250 images a second leave the pipeline."),
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
    demand(done.score <= GOOD, "idle", f"{shown}. The mark is {GOOD:.2f}.", why, more)
    return f"{shown}."


# ---- 07-buffer ----
@exercise("07-buffer")
@quietly
def buffer(answer: Any) -> str:
    """Check workers that share a buffer, and lose nothing of it."""
    return f"{judge_buffer(answer)} of 48 are saved, with four workers."
