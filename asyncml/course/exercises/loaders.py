"""Judges parts of a loader: workers, stages, a prefetch, a buffer; for lesson 07."""

import asyncio
import inspect
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable
from typing import Any

from asyncml.clock import compute
from asyncml.course.exercises import Wrong
from asyncml.course.exercises.answers import is_mixed_up
from asyncml.course.exercises.attempts import Attempt, check_kind
from asyncml.course.exercises.fetches import Shop, refuse_unfinished
from asyncml.course.exercises.scenes import Hints, check_plain, demand, play
from asyncml.failures import shorten
from asyncml.pipeline.pipeline import Pipeline

WORKERS, ROOM = 4, 2
_ONE_ITERATOR = "`todo = iter(keys)` once, and `for key in todo:` in each worker."
_FILLED: Hints = {
    "An asyncio.Future, a coroutine": (
        "kind",
        "`gather` was given something that it cannot await. Is there a `yield` in the worker?",
        "A worker is an `async def` without a `yield`; its data goes into the queue.",
    ),
    "QueueFull": (
        "nowait",
        "`put_nowait` does not wait for room: it raises. Which method of a queue waits?",
        "`await queue.put(...)`.",
    ),
}


def misused(call: str) -> Hints:
    """Return hints for what any of this lesson's functions may be written wrong.

    Args:
        call: how it is called, such as "fill(fetch, keys, queue)".
    """
    return {
        "positional argument": (
            "signature",
            f"It is called as `{call}`. Does it call others with what they take?",
        ),
        "not iterable": (
            "signature",
            f"It is called as `{call}`: are its arguments in that order?",
        ),
        "asyncio.run() cannot be called": (
            "run-inside",
            "It runs in an event loop already.",
            "`await` what you would give to `asyncio.run`.",
        ),
        "context manager protocol": (
            "with",
            "A semaphore may have to wait for a slot, and what waits is awaited.",
            "`async with` in place of `with`.",
        ),
        "must have the coroutine methods": (
            "store",
            "`get` is a function, and what wraps a store wants a store.",
            "`Asked(get)` makes a store of it.",
        ),
    }


def check_generator(answer: Any) -> None:
    """Demand an async generator that is not a stub."""
    if not inspect.isasyncgenfunction(answer):
        check_kind(answer, False)
        name = getattr(answer, "__name__", "it")
        message = f"`{name}` must be an async generator: an `async def` with a `yield`."
        hint = "`yield` each result as soon as it is its turn, and `return` nothing."
        raise Wrong("kind", message, hint)


# ---- workers ----
class _Shared(Shop):
    """A shop whose data goes into a queue; notes what was in flight, and how many tasks there are.

    Args:
        seed: which one.
        step_s: how long its consumer needs for an item.
    """

    def __init__(self, seed: int, step_s: float) -> None:
        super().__init__(seed, 20 + seed)
        self.delays = {key: 40 if place % 4 == 1 else 5 for place, key in enumerate(self.keys)}
        self.step_s = step_s
        self.taken: list[Any] = []
        self.now = self.peak = self.ahead = self.tasks = self.others = self.left = 0
        self.idle_s = self.changed_s = 0.0

    async def fetch(self, key: str) -> bytes:
        self._change(+1)
        self.ahead = max(self.ahead, len(self.asked) + 1 - len(self.taken))
        self.tasks = max(self.tasks, len(asyncio.all_tasks()) - self.others)
        try:
            return await super().fetch(key)
        finally:
            self._change(-1)

    def _change(self, by: int) -> None:
        at = asyncio.get_running_loop().time()
        if self.now < WORKERS and len(self.asked) < len(self.keys):
            self.idle_s += at - self.changed_s
        self.now, self.changed_s = self.now + by, at
        self.peak = max(self.peak, self.now)

    async def run(self, answer: Callable[..., Any]) -> None:
        queue: asyncio.Queue[Any] = asyncio.Queue(maxsize=ROOM)

        async def consume() -> None:
            while True:
                self.taken.append(await queue.get())
                queue.task_done()
                await asyncio.sleep(self.step_s)

        consumer = asyncio.create_task(consume(), name="consumer")
        self.others = len(asyncio.all_tasks())
        try:
            await answer(self.fetch, list(self.keys), queue)
            self.left = len(asyncio.all_tasks()) - self.others
            await queue.join()
        finally:
            consumer.cancel()


def judge_workers(answer: Any) -> tuple[float, int]:
    """Refuse workers that are too many, idle, or not held back; return seconds, and how far."""
    check_kind(answer, True)
    seconds, hints = 0.0, _FILLED | misused("fill(fetch, keys, queue)")
    for seed in range(1, 3):
        quick, slow = _Shared(seed, 0.0), _Shared(seed, 0.5)
        run = play(quick.run, answer, of=answer, hints=hints)
        _judge_shared(quick)
        seconds = run.seconds
        play(slow.run, answer, of=answer, hints=hints)
        shown = f"the consumer was slow, and {slow.ahead} keys had been asked for ahead of it."
        most = WORKERS + ROOM
        why = f"{ROOM} in the queue and one with each worker are {most}. Where are the others kept?"
        more = "Each worker puts what it has got, and waits for room, before it takes another key."
        demand(slow.ahead <= most + 1, "unbounded", shown, why, more)
    return seconds, slow.ahead


def _judge_shared(shop: _Shared) -> None:
    refuse_unfinished(shop.taken)
    counts = Counter(shop.asked)
    key, most = counts.most_common(1)[0] if counts else ("", 0)
    demand(most > 0, "calls", "`fetch` was not called.", "`await fetch(key)` gets the data.")
    shown = f"the key {key!r} was fetched {most} times."
    why = "Each worker goes through all the keys. What could they share?"
    demand(most == 1, "each-all", shown, why, _ONE_ITERATOR)
    shown = f"{shop.tasks} tasks for {len(shop.keys)} keys, and {WORKERS} workers are asked for."
    why = "A task for each key is what workers save. How many tasks, if each takes key after key?"
    demand(shop.tasks <= WORKERS + 1, "task-each", shown, why, _ONE_ITERATOR)
    shown = f"{shop.peak} were in flight at once, and {WORKERS} are allowed."
    demand(shop.peak <= WORKERS, "too-many", shown, f"{WORKERS} workers, with one fetch each.")
    right = sorted(shop.data.values())
    if sorted(map(repr, shop.taken)) != sorted(map(repr, right)):
        shown = f"{len(shop.taken)} items came through the queue, and {len(right)} were expected."
        unput = "Where does a worker put its data, and does it await that?"
        more = "`await queue.put(data)`: without the `await` it does not even begin."
        is_left = shop.left > 0 or len(shop.taken) >= len(right)
        demand(is_left, "unput", shown, unput, more)
        why = "It has ended, and its workers have not: what does it wait for at its end?"
        more = "`await asyncio.gather(...)` the workers, or use a `TaskGroup`."
        demand(len(shop.taken) >= len(right), "left", shown, why, more)
        shown += f" The first is {shorten(shop.taken[0])}."
        raise Wrong("results", shown, "`await queue.put(await fetch(key))`, and nothing besides.")
    shown = "one at a time: never more than one was in flight."
    why = "`await work()` runs a worker to its end. What lets four of them run side by side?"
    demand(shop.peak > 1, "sequence", shown, why, "`create_task` each worker, or `gather` them.")
    shown = f"never more than {shop.peak} were in flight."
    demand(shop.peak == WORKERS, "too-few", shown, f"{WORKERS} workers are asked for.")
    shown = f"for {shop.idle_s:.2f} s fewer than {WORKERS} were in flight, with keys still to ask."
    why = "Some workers were done early, or waited for others. Who takes the keys that are left?"
    demand(shop.idle_s < 1e-9, "idle", shown, why, _ONE_ITERATOR)


# ---- stages ----
class _Images(Shop):
    """Images that are fetched and then decoded; notes how many at a time, and in which thread."""

    def __init__(self) -> None:
        super().__init__(7, 12)
        self.delays = {key: 2 + value % 6 for key, value in self.delays.items()}
        self.got: list[Any] = []
        self.fetching = self.fetched = self.decoding = self.decoded = 0  # now, and at most
        self.thread = 0
        self.is_on_loop = False
        self._lock = threading.Lock()

    async def get(self, key: str) -> bytes:
        self.fetching += 1
        self.fetched = max(self.fetched, self.fetching)
        try:
            return await self.fetch(key)
        finally:
            self.fetching -= 1

    def decode(self, data: bytes) -> str:
        shown = f"`decode` was given {shorten(data)}, and no bytes."
        demand(isinstance(data, bytes), "turned", shown, "First `get`, then `decode`.")
        self.is_on_loop |= threading.get_ident() == self.thread
        with self._lock:
            self.decoding += 1
            self.decoded = max(self.decoded, self.decoding)
        compute(0.02)
        with self._lock:
            self.decoding -= 1
        return data.hex()

    async def run(self, answer: Callable[..., Any]) -> None:
        self.thread = threading.get_ident()
        images = answer(self.get, self.decode, list(self.keys))
        if not isinstance(images, Pipeline):
            shown = f"an `aml.Pipeline` was expected, got {shorten(images)}."
            raise Wrong("kind", shown, "Is there a `return`? And a plain `def`, without `async`?")
        async for image in images:
            self.got.append(image)


def judge_stages(answer: Any) -> tuple[float, float]:
    """Refuse a pipeline that decodes on the loop, or too many; return its seconds, and theirs."""
    check_plain(answer)
    why = "Return the pipeline itself, and do not go through it."
    hints: Hints = {"plain `for`": ("kind", why), **misused("two_stages(get, decode, keys)")}
    shop = _Images()
    run = play(shop.run, answer, of=answer, hints=hints)
    right = [shop.data[key].hex() for key in shop.keys]
    refuse_unfinished(shop.got)
    shown = f"the items are {shorten(shop.got)}, and not decoded."
    is_raw = shop.decoded == 0
    demand(not is_raw, "raw", shown, "`.map(decode, ...)` is a stage, behind that of `get`.")
    shown = "all images, but not in the order of the keys."
    demand(not _is_only_mixed(shop.got, right), "order", shown, "`map` keeps the order by itself.")
    shown = f"{len(shop.got)} items came ({shorten(shop.got)}), for {len(right)} keys."
    demand(shop.got == right, "results", shown, "Each image once, decoded, in order.")
    why = "A function that is called on the loop holds it. Which one did you give to `map`?"
    more = "Give `decode` itself to a second `map`: a plain function runs in threads."
    demand(not shop.is_on_loop, "on-loop", "`decode` ran on the event loop.", why, more)
    for what, most, seen in ("fetched", 4, shop.fetched), ("decoded", 2, shop.decoded):
        shown = f"{seen} at a time were {what}, and {most} are asked for."
        more = f"`concurrency={most}` in that stage's `map`; the default is 16."
        demand(seen == most, f"not-{most}", shown, "Each stage has a number of its own.", more)
    other = _Images()
    on_loop = play(other.run, _one_stage, of=answer)
    return run.seconds, on_loop.seconds


def _is_only_mixed(found: list[Any], right: list[Any]) -> bool:
    return found != right and is_mixed_up(found, right)


def _one_stage(get: Any, decode: Any, keys: list[str]) -> Pipeline:
    async def both(key: str) -> Any:
        return decode(await get(key))

    return Pipeline(keys).map(both, concurrency=4)


# ---- prefetch ----
class _Source:
    """Images that take 50 ms each, for a trainer that takes 40; notes how far it is ahead."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.got: list[Any] = []
        self.made = self.ahead = 0
        self.first_s = 0.0
        self.is_tidy = True

    async def images(self) -> AsyncIterator[str]:
        for place in range(self.count):
            self.made += 1
            self.ahead = max(self.ahead, self.made - len(self.got))
            await asyncio.sleep(0.05)
            yield f"image {place}"

    async def train(self, answer: Callable[..., Any], n: int, step_s: float, stop: int) -> None:
        others, stream = asyncio.all_tasks(), answer(self.images(), n)
        async for image in stream:
            self.first_s = self.first_s or asyncio.get_running_loop().time()
            self.got.append(image)
            if len(self.got) == stop:
                break
            await asyncio.sleep(step_s)
        await stream.aclose()
        await asyncio.sleep(0.001)
        self.is_tidy = not {task for task in asyncio.all_tasks() - others if not task.done()}


_ENDLESS: Hints = {
    "waits for Queue.get": (
        "end",
        "All images have come, and the consumer waits for one more. What tells it of the end?",
        "Put something that is no image, such as `None`, after the last; `return` when it comes.",
    ),
}


_SENTINEL = (
    "the consumer got a None, which is no image.",
    "What marks the end is not for the consumer: stop there.",
)


def _train(answer: Any, source: _Source, n: int, step_s: float, stop: int = 0) -> Attempt:
    try:
        hints = _ENDLESS | misused("prefetched(images, n)")
        return play(source.train, answer, n, step_s, stop, of=answer, hints=hints)
    except Wrong as wrong:
        demand(wrong.code != "end" or None not in source.got, "sentinel", *_SENTINEL)
        shown = f"the consumer waits for ever, after {len(source.got)} of {source.count} images."
        why = "The task that loads has ended with an error, and nothing awaits it. Which error?"
        more = "`put_nowait` raises when the queue is full; `await queue.put(...)` waits for room."
        demand(wrong.code != "end" or source.made == source.count, "died", shown, why, more)
        raise


def judge_prefetch(answer: Any) -> tuple[float, int]:
    """Refuse a prefetch that does not run ahead, or too far; return its seconds, and how far."""
    check_generator(answer)
    count, n = 8, 2
    source = _Source(count)
    run = _train(answer, source, n, 0.04)
    right = [f"image {place}" for place in range(count)]
    refuse_unfinished(source.got)
    shown = f"{len(source.got)} items came ({shorten(source.got)}), for {count} images."
    demand(None not in source.got, "sentinel", *_SENTINEL)
    is_right = source.got == right
    demand(is_right, "results", shown, "Each image once, in order. Is each `put` awaited?")
    seconds = run.seconds - 0.001
    alone, both = count * 0.05 + 0.04, count * 0.09
    shown = f"{seconds:.2f} s; loading beside training takes {alone:.2f} s"
    why = "It is as slow as no prefetch at all. What loads while the consumer is busy?"
    more = "A task that goes through `images` and puts each into a queue."
    first = f"the first image was there after 50 ms, and came after {1000 * source.first_s:.0f}."
    first_why = "May the first one leave before others have come?"
    demand(source.first_s < 0.06, "first-late", first, first_why, more)
    demand(seconds < both - 1e-3, "asked", f"{shown}.", why, more)
    why = "Now and then both wait. Is there always a task that loads?"
    demand(seconds <= alone + 1e-3, "idle", f"{shown}.", why, more)
    slow = _Source(12)
    _train(answer, slow, n, 1.0)
    shown = f"`n` was {n}, the consumer was slow, and {slow.ahead} images were made ahead of it."
    why = f"{n} in the queue and one in the task's hand are {n + 1}. What bounds the queue?"
    demand(slow.ahead <= n + 1, "unbounded", shown, why, "`asyncio.Queue(maxsize=n)`.")
    shown = f"`n` was {n}, the consumer was slow, and only {slow.ahead} was made ahead of it."
    demand(slow.ahead >= n, "narrow", shown, f"There is room for {n}.", "`maxsize=n`.")
    early = _Source(12)
    _train(answer, early, n, 0.04, stop=3)
    shown = "the consumer left after three images, and a task was still loading."
    why = "A generator that is closed runs its `finally`. What has to end there?"
    more = "`try:` around the loop that yields, and `finally: filling.cancel()`."
    demand(early.is_tidy, "left", shown, why, more)
    return seconds, slow.ahead


# ---- buffer ----
def judge_buffer(answer: Any) -> int:
    """Refuse a buffer that loses or doubles items, or that no longer loads four at once."""
    check_kind(answer, True)
    saved = 0
    for seed in range(1, 4):
        shop = Shop(seed, 48)
        hints = misused("collect_all(get, keys)")
        run = play(answer, shop.fetch, list(shop.keys), of=answer, hints=hints)
        count, keys = Counter(shop.asked), len(shop.keys)
        shown = f"each of the {keys} keys is to be asked for once: {sum(count.values())} requests."
        demand(max(count.values(), default=0) == 1 and len(count) == keys, "requests", shown)
        demand(run.result is not None, "no-return", "it returned None.", "Keep its `return` line.")
        saved = run.result
        shown = f"{shorten(saved)} of {keys} are saved."
        why = "Which list does a worker hold while it waits, and who has replaced it meanwhile?"
        more = "First `data = await get(key)`, then `buffer.append(data)`: looked up afterwards."
        demand(saved == keys, "lost", shown, why, more)
        one_s = sum(shop.delays.values()) / 100
        shown = f"nothing is lost, in {run.seconds:.1f} s, and one at a time it takes {one_s:.1f}."
        why = "Now the others wait while one loads: a lock around the `await` is held too long."
        demand(run.seconds < one_s / 2, "sequence", shown, why, more)
    return int(saved)
