"""Judges a pipeline of two stages, and a generator that loads ahead of its consumer; lesson 07."""

import asyncio
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable
from typing import Any

from asyncml.clock import compute
from asyncml.course.exercises import Wrong
from asyncml.course.exercises.answers import names_of
from asyncml.course.exercises.attempts import Attempt
from asyncml.course.exercises.fetches import Shop
from asyncml.course.exercises.loaders import check_generator, judge_items, misused
from asyncml.course.exercises.scenes import Hints, check_plain, demand, play
from asyncml.failures import shorten
from asyncml.pipeline.pipeline import Pipeline


# ---- stages ----
class _Images(Shop):
    """Images that are fetched, then decoded; records how many at a time, and in which thread."""

    def __init__(self) -> None:
        super().__init__(7, 12)
        self.delays = {key: 2 + value % 6 for key, value in self.delays.items()}
        self.got: list[Any] = []
        self.now, self.most = Counter[str](), Counter[str]()
        self.thread = 0
        self.is_on_loop = False
        self._lock = threading.Lock()

    def _note(self, what: str, by: int) -> None:
        with self._lock:
            self.now[what] += by
            self.most[what] = max(self.most[what], self.now[what])

    async def get(self, key: str) -> bytes:
        self._note("fetched", 1)
        try:
            return await self.fetch(key)
        finally:
            self._note("fetched", -1)

    def decode(self, data: bytes) -> str:
        shown = f"`decode` was given {shorten(data)}, not bytes."
        demand(isinstance(data, bytes), "turned", shown, "First `get`, then `decode`, once each.")
        self.is_on_loop |= threading.get_ident() == self.thread
        self._note("decoded", 1)
        compute(0.02)
        self._note("decoded", -1)
        return data.hex()

    async def run(self, answer: Callable[..., Any]) -> None:
        self.thread = threading.get_ident()
        images = answer(self.get, self.decode, list(self.keys))
        if not isinstance(images, Pipeline):
            shown = f"an `aml.Pipeline` was expected, got {shorten(images)}."
            raise Wrong("kind", shown, "Is there a `return`? And one pipeline, with two `map`s?")
        async for image in images:
            self.got.append(image)


def judge_stages(answer: Any) -> tuple[float, float]:
    """Raise `Wrong` for a wrong pipeline; return its seconds, and those of a one-stage pipeline."""
    check_plain(answer)
    why = "Return the pipeline itself, and do not iterate over it."
    hints: Hints = {"plain `for`": ("kind", why), **misused("two_stages(get, decode, keys)")}
    shop = _Images()
    run = play(shop.run, answer, of=answer, hints=hints)
    shown = f"the items are not decoded: {shorten(shop.got)}."
    why = "`.map(decode, ...)` is a stage of its own, after that of `get`."
    demand(shop.most["decoded"] > 0, "raw", shown, why)
    right, mixed = [shop.data[key].hex() for key in shop.keys], "`map` keeps the order by itself."
    judge_items(shop.got, right, (mixed,), "Each image once, decoded, in order.")
    why = "A function that is called on the loop holds it. Which one did you give to `map`?"
    more = "Give `decode` itself to a second `map`: a plain function runs in threads."
    demand(not shop.is_on_loop, "on-loop", "`decode` ran on the event loop.", why, more)
    for what, most in ("fetched", 4), ("decoded", 2):
        shown = f"{shop.most[what]} at a time were {what}; {most} are asked for."
        more = f"`concurrency={most}` in that stage's `map`; the default is 16."
        why = "Each stage has a number of its own."
        demand(shop.most[what] == most, f"not-{most}", shown, why, more)
    return run.seconds, play(_Images().run, _one_stage, of=answer).seconds


def _one_stage(get: Any, decode: Any, keys: list[str]) -> Pipeline:
    async def both(key: str) -> Any:
        return decode(await get(key))

    return Pipeline(keys).map(both, concurrency=4)


# ---- prefetch ----
class _Source:
    """Images that take 50 ms each, for a trainer that takes 40; records how far it is ahead."""

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

    def judge_images(self) -> None:
        why = "The mark of the end is not for the consumer: stop when you get it."
        shown = "the consumer got a None, which is no image."
        demand(None not in self.got, "sentinel", shown, why)
        why = "Each image once, in order. The end is when `images` has ended *and* all are taken."
        more = "Is each `put` awaited? An empty queue is not the end, nor is a task that is done."
        judge_items(self.got, [f"image {n}" for n in range(self.count)], (why,), why, more)


_FULL = (
    "waits-first",
    "The queue is full, and nobody takes from it meanwhile. What waits for the loading to end?",
    "Do not await the loading before you `yield`; and at the end, cancel it before you await it.",
)
_PREFETCHED: Hints = {
    "waits for Queue.get": (
        "end",
        "All images have come, and the consumer waits for one more. What tells it of the end?",
        "`await queue.put(None)` after the last image, and `return` when it comes.",
    ),
    "waits for Queue.put": _FULL,
    "waits for task": _FULL,
    **misused("prefetched(images, n)"),
}


def _train(answer: Any, source: _Source, n: int, step_s: float, stop: int = 0) -> Attempt:
    try:
        run = play(source.train, answer, n, step_s, stop, of=answer, hints=_PREFETCHED)
    except Wrong as wrong:
        if wrong.code == "end" and None in source.got:
            source.judge_images()
        shown = f"the consumer waits for ever, after {len(source.got)} of {source.count} images."
        why = "Loading was never started, or it ended with an error that nobody awaits."
        more = "`create_task(fill())` starts it. In it: `async for`, and `await queue.put(...)`."
        demand(wrong.code != "end" or source.made == source.count, "died", shown, why, more)
        raise
    if not stop:
        source.judge_images()
    return run


def judge_prefetch(answer: Any) -> tuple[float, int]:
    """Raise `Wrong` for a prefetch not or too far ahead; return its seconds, and how far ahead."""
    check_generator(answer)
    count, n = 8, 2
    source, slow, early = _Source(count), _Source(12), _Source(12)
    seconds = _train(answer, source, n, 0.04).seconds - 0.001
    alone, both = count * 0.05 + 0.04, count * 0.09
    first = f"the first image was loaded after 50 ms; it came after {1000 * source.first_s:.0f} ms."
    why = "Can the first one be yielded before the others have come?"
    more = "A task that goes through `images` and puts each into a queue."
    demand(source.first_s < 0.06, "first-late", first, why, more)
    shown = f"it took {seconds:.2f} s; loading while training takes {alone:.2f} s."
    why = "It is as slow as no prefetch at all. What loads while the consumer is busy?"
    demand(seconds < both - 1e-3, "asked", shown, why, more)
    why = "Sometimes nothing is loaded while the consumer is busy. When?"
    demand(seconds < alone + 0.02, "slow", shown, why, more)
    _train(answer, slow, n, 1.0)
    shown = f"`n` was {n}, the consumer was slow, and {slow.ahead} images were made ahead of it."
    why, more = f"{n} in the queue and one in the task make {n + 1}.", "`asyncio.Queue(maxsize=n)`."
    is_pipeline = "Pipeline" in names_of(answer)
    reads = "A pipeline reads 16 items ahead in an async iterator, besides those it has ready."
    by_hand = f"Write it without a pipeline: a task, and {more}"
    demand(slow.ahead <= n + 1 or not is_pipeline, "pipeline", shown, reads, by_hand)
    demand(slow.ahead <= n + 1, "unbounded", shown, f"{why} What limits the queue?", more)
    shown = f"`n` was {n}, the consumer was slow, and only {slow.ahead} was made ahead of it."
    demand(slow.ahead >= n, "narrow", shown, f"There is room for {n}.", "`maxsize=n`.")
    _train(answer, early, n, 0.04, stop=3)
    shown = "the consumer left after three images, and a task was still loading."
    why = "A generator that is closed runs its `finally`. What has to end there?"
    more = "`try:` around the loop that yields, and `finally: filling.cancel()`."
    demand(early.is_tidy, "left", shown, why, more)
    return seconds, slow.ahead
