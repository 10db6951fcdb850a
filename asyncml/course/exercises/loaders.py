"""Judges parts of a loader: workers, stages, a prefetch, a buffer; for lesson 07."""

import asyncio
import inspect
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable
from numbers import Real
from typing import Any

from asyncml.clock import compute
from asyncml.course.exercises import Wrong
from asyncml.course.exercises.answers import is_mixed_up
from asyncml.course.exercises.attempts import Attempt, check_kind
from asyncml.course.exercises.fetches import Shop, refuse_unfinished
from asyncml.course.exercises.scenes import Hints, check_plain, demand, play
from asyncml.failures import shorten
from asyncml.pipeline.pipeline import Pipeline

AT_ONCE, ROOM = 4, 2
_ONE_ITERATOR = "`todo = iter(keys)` once, and `for key in todo:` in each worker."


def misused(call: str) -> Hints:
    """Return hints for what any of this lesson's functions may be written wrong.

    Args:
        call: how it is called, such as "fill(fetch, keys, queue)".
    """
    signature = "signature", f"It is called as `{call}`. Does it call others with what they take?"
    uncalled = "uncalled", "Are the parentheses missing? A class or a function has to be called."
    return {
        "map() takes": ("by-name", "`map` takes its options by name: `concurrency=4`."),
        "positional argument": signature,
        "not iterable": signature,
        "asyncio.run() cannot be called": (
            "run-inside",
            "It runs in an event loop already.",
            "`await` what you would give to `asyncio.run`.",
        ),
        "'type' object does not support": uncalled,
        "context manager protocol": (
            "with",
            "A task may have to wait for a slot, and what waits is awaited.",
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


# ---- what is in flight ----
class Watched(Shop):
    """A shop that notes what is in flight, when that was too little, and how far it ran ahead."""

    def __init__(self, seed: int, count: int) -> None:
        super().__init__(seed, count)
        self.now = self.peak = self.ahead = 0
        self.idle_s = self.changed_s = 0.0
        self.starts: list[int] = []  # how many were in flight when each one began
        self.taken: list[Any] = []  # by a consumer

    async def fetch(self, key: str) -> bytes:
        """Wait, and return the data of the key."""
        self._change(+1)
        self.starts.append(self.now)
        self.ahead = max(self.ahead, len(self.asked) + 1 - len(self.taken))
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


def judge_flight(peak: int, more: str) -> None:
    """Demand four in flight at once, never more, and at some time no fewer."""
    shown = f"{peak} were in flight at once, and {AT_ONCE} are allowed."
    why = "How many may begin before one has ended? What makes the fifth wait?"
    demand(peak <= AT_ONCE, "too-many", shown, why, more)
    why = "An `await` in a loop, or a lock around a fetch, lets only one go on. What starts four?"
    demand(peak > 1, "sequence", "one at a time: never more than one was in flight.", why, more)
    shown = f"never more than {peak} were in flight, and {AT_ONCE} are asked for."
    demand(peak == AT_ONCE, "too-few", shown, "What else bounds them?", more)


# ---- workers ----
_FILLED: Hints = {
    "An asyncio.Future, a coroutine": (
        "kind",
        "`gather` was given something that it cannot await. Is the worker called, without a `yield`"
        " in it?",
        "A worker is an `async def` without a `yield`: `work()`. Its data goes into the queue.",
    ),
    "QueueFull": ("nowait", "`put_nowait` raises when there is no room; `await queue.put` waits."),
    "nothing is left": (
        "deadlock",
        "A worker waits for what never comes: room in another queue, or a key after the last.",
        "Put into the `queue` that is given; a worker ends when there are no more keys.",
    ),
}


class _Shared(Watched):
    """A shop whose data goes into a queue; notes how many tasks there are, and which are left."""

    def __init__(self, seed: int, step_s: float) -> None:
        super().__init__(seed, 20 + seed)
        self.delays = {key: 40 if place % 4 == 1 else 5 for place, key in enumerate(self.keys)}
        self.step_s, self.seconds = step_s, 0.0
        self.tasks = self.others = self.left = 0

    async def fetch(self, key: str) -> bytes:
        self.tasks = max(self.tasks, len(asyncio.all_tasks()) - self.others)
        return await super().fetch(key)

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
            self.seconds = asyncio.get_running_loop().time()
            await asyncio.sleep(0.001)  # those that are being cancelled end meanwhile
            self.left = len(asyncio.all_tasks()) - self.others
            await asyncio.sleep((ROOM + 1) * self.step_s)
        finally:
            consumer.cancel()


def judge_workers(answer: Any) -> tuple[float, int]:
    """Refuse workers that are too many, idle, or not held back; return seconds, and how far."""
    check_kind(answer, True)
    most, hints = AT_ONCE + ROOM, _FILLED | misused("fill(fetch, keys, queue)")
    for seed in range(1, 3):
        quick, slow = _Shared(seed, 0.0), _Shared(seed, 0.5)
        play(quick.run, answer, of=answer, hints=hints)
        _judge_shared(quick)
        play(slow.run, answer, of=answer, hints=hints)
        shown = f"the consumer was slow, and {slow.ahead} keys had been asked for ahead of it."
        why = f"{ROOM} in the queue and one with each worker are {most}. Where are the others kept?"
        more = "Each worker puts what it has got, and waits for room, before it takes another key."
        demand(slow.ahead <= most + 1, "unbounded", shown, why, more)
    return quick.seconds, slow.ahead


def _judge_shared(shop: _Shared) -> None:
    refuse_unfinished(shop.taken)
    count, keys = Counter(shop.asked), len(shop.keys)
    key, most = count.most_common(1)[0] if count else ("", 0)
    demand(most > 0, "calls", "`fetch` was not called.", "`await fetch(key)` gets the data.")
    shown = f"the key {key!r} was fetched {most} times."
    why = "Each worker goes through all the keys. What could they share?"
    demand(most == 1, "each-all", shown, why, _ONE_ITERATOR)
    shown = f"{shop.tasks} tasks for {keys} keys, and {AT_ONCE} workers are asked for."
    why = "A task for each key is what workers save. How many tasks, if each takes key after key?"
    demand(shop.tasks <= AT_ONCE + 1, "task-each", shown, why, _ONE_ITERATOR)
    judge_flight(shop.peak, f"{AT_ONCE} workers, started with `create_task` or `gather`.")
    shown = f"it returned while {shop.left} of its tasks were still running."
    why = "What does it wait for at its end? And what ends a worker when there are no more keys?"
    more = "`await asyncio.gather(...)` the workers, or use a `TaskGroup`."
    demand(shop.left <= 0, "left", shown, why, more)
    shown = f"{len(count)} of {keys} keys were asked for."
    demand(len(count) == keys, "unasked", shown, "When may a worker stop?", _ONE_ITERATOR)
    shown = f"{len(shop.taken)} items came through the queue, and {keys} were expected."
    why = "Where does a worker put its data, and does it await that?"
    more = "`await queue.put(data)`: without the `await` it does not even begin."
    demand(len(shop.taken) >= keys, "unput", shown, why, more)
    shown += f" The first is {shorten(shop.taken[0])}."
    why = "`await queue.put(await fetch(key))`, and nothing besides."
    demand(is_mixed_up(shop.taken, [*shop.data.values()]), "results", shown, why)
    shown = f"for {shop.idle_s:.2f} s fewer than {AT_ONCE} were in flight, with keys still to ask."
    why = "Some workers were done early, or waited for others. Who takes the keys that are left?"
    demand(shop.idle_s < 1e-9, "idle", shown, why, _ONE_ITERATOR)


# ---- stages ----
class _Images(Shop):
    """Images that are fetched and then decoded; notes how many at a time, and in which thread."""

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
        shown = f"`decode` was given {shorten(data)}, and no bytes."
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
    """Refuse a pipeline that decodes on the loop, or too many; return its seconds, and theirs."""
    check_plain(answer)
    why = "Return the pipeline itself, and do not go through it."
    hints: Hints = {"plain `for`": ("kind", why), **misused("two_stages(get, decode, keys)")}
    shop = _Images()
    run = play(shop.run, answer, of=answer, hints=hints)
    right = [shop.data[key].hex() for key in shop.keys]
    refuse_unfinished(shop.got)
    shown = f"the items are {shorten(shop.got)}, and not decoded."
    is_raw = not shop.most["decoded"]
    demand(not is_raw, "raw", shown, "`.map(decode, ...)` is a stage, behind that of `get`.")
    shown = "all images, but not in the order of the keys."
    is_mixed = shop.got != right and is_mixed_up(shop.got, right)
    demand(not is_mixed, "order", shown, "`map` keeps the order by itself.")
    shown = f"{len(shop.got)} items came ({shorten(shop.got)}), for {len(right)} keys."
    demand(shop.got == right, "results", shown, "Each image once, decoded, in order.")
    why = "A function that is called on the loop holds it. Which one did you give to `map`?"
    more = "Give `decode` itself to a second `map`: a plain function runs in threads."
    demand(not shop.is_on_loop, "on-loop", "`decode` ran on the event loop.", why, more)
    for what, most in ("fetched", 4), ("decoded", 2):
        shown = f"{shop.most[what]} at a time were {what}, and {most} are asked for."
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

    def judge_images(self) -> None:
        refuse_unfinished(self.got)
        why = "What marks the end is not for the consumer: stop there."
        shown = "the consumer got a None, which is no image."
        demand(None not in self.got, "sentinel", shown, why)
        shown = f"{len(self.got)} items came ({shorten(self.got)}), for {self.count} images."
        why = "Each image once, in order. The end is when `images` has ended *and* all are taken."
        more = "Is each `put` awaited? An empty queue is not the end, nor is a task that is done."
        is_right = self.got == [f"image {place}" for place in range(self.count)]
        demand(is_right, "results", shown, why, more)


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
        why = "The loading has not been started, or it ended with an error that nobody awaits."
        more = "`create_task(fill())` starts it. In it: `async for`, and `await queue.put(...)`."
        demand(wrong.code != "end" or source.made == source.count, "died", shown, why, more)
        raise
    if not stop:
        source.judge_images()
    return run


def judge_prefetch(answer: Any) -> tuple[float, int]:
    """Refuse a prefetch that does not run ahead, or too far; return its seconds, and how far."""
    check_generator(answer)
    count, n = 8, 2
    source, slow, early = _Source(count), _Source(12), _Source(12)
    seconds = _train(answer, source, n, 0.04).seconds - 0.001
    alone, both = count * 0.05 + 0.04, count * 0.09
    first = f"the first image was there after 50 ms, and came after {1000 * source.first_s:.0f}."
    why = "May the first one leave before others have come?"
    more = "A task that goes through `images` and puts each into a queue."
    demand(source.first_s < 0.06, "first-late", first, why, more)
    shown = f"{seconds:.2f} s; loading beside training takes {alone:.2f} s."
    why = "It is as slow as no prefetch at all. What loads while the consumer is busy?"
    demand(seconds < both - 1e-3, "asked", shown, why, more)
    why = "Now and then both wait. Is there always a task that loads?"
    demand(seconds <= alone + 1e-3, "idle", shown, why, more)
    _train(answer, slow, n, 1.0)
    shown = f"`n` was {n}, the consumer was slow, and {slow.ahead} images were made ahead of it."
    why = f"{n} in the queue and one in the task's hand are {n + 1}. What bounds the queue?"
    demand(slow.ahead <= n + 1, "unbounded", shown, why, "`asyncio.Queue(maxsize=n)`.")
    shown = f"`n` was {n}, the consumer was slow, and only {slow.ahead} was made ahead of it."
    demand(slow.ahead >= n, "narrow", shown, f"There is room for {n}.", "`maxsize=n`.")
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
    for seed in range(1, 4):
        shop = Watched(seed, 48)
        hints = misused("collect_all(get, keys)")
        saved = play(answer, shop.fetch, list(shop.keys), of=answer, hints=hints).result
        count, keys = Counter(shop.asked), len(shop.keys)
        shown = f"each of the {keys} keys is to be asked for once: {len(shop.asked)} requests."
        why = "Is each `get` awaited, and is there one iterator for all workers?"
        demand(set(count.values()) == {1} and len(count) == keys, "requests", shown, why)
        shown = f"it returned {shorten(saved)}, and not how many are saved."
        demand(isinstance(saved, Real), "no-return", shown, "Keep its `return` line.")
        shown = f"{shorten(saved)} of {keys} are saved."
        why = "Which list does a worker hold while it waits, and who has replaced it meanwhile?"
        if saved > keys:
            why = f"Some are saved twice: is the buffer empty once it has been saved? {why}"
        more = "First `data = await get(key)`, then `buffer.append(data)`: looked up afterwards."
        demand(saved == keys, "lost", shown, why, more)
        judge_flight(shop.peak, "Four workers, and no lock around `await get(key)`.")
    return int(saved)
