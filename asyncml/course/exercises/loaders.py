"""Judges loaders of several keys at a time: workers, and a buffer that they share; lesson 07."""

import asyncio
import inspect
from collections import Counter
from collections.abc import Callable
from numbers import Real
from typing import Any

from asyncml.course.exercises import Wrong
from asyncml.course.exercises.answers import is_mixed_up
from asyncml.course.exercises.attempts import check_kind
from asyncml.course.exercises.fetches import Shop, refuse_unfinished
from asyncml.course.exercises.scenes import Hints, demand, play
from asyncml.failures import shorten

AT_ONCE, ROOM = 4, 2
_ONE_ITERATOR = "`todo = iter(keys)` once, and `for key in todo:` in each worker."


def misused(call: str) -> Hints:
    """Return hints for mistakes in any of this lesson's functions.

    Args:
        call: how the function is called, such as "fill(fetch, keys, queue)".
    """
    why = f"It is called as `{call}`. Does it call other functions with the arguments they take?"
    signature = "signature", why
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
            "`get` is a function, but what wraps a store needs a store.",
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


def judge_items(found: list[Any], right: list[Any], mixed: tuple[str, ...], *other: str) -> None:
    """Demand all items, in order.

    Args:
        found: the items that came.
        right: the items that should have come.
        mixed: the hints if only the order is wrong.
        other: the hints if anything else is wrong.
    """
    refuse_unfinished(found)
    shown = "everything comes, but not in the order of the keys."
    demand(found == right or not is_mixed_up(found, right), "order", shown, *mixed)
    shown = f"{len(found)} items came ({shorten(found)}); {len(right)} were expected."
    differ = [pair for pair in zip(found, right, strict=False) if pair[0] != pair[1]]
    if differ and len(found) == len(right):
        shown = "{!r:.40} came, where {!r:.40} was expected.".format(*differ[0])
    demand(found == right, "results", shown, *other)


# ---- fetches in flight ----
class Watched(Shop):
    """A shop that records fetches in flight, the seconds with too few, and how far it ran ahead."""

    def __init__(self, seed: int, count: int) -> None:
        super().__init__(seed, count)
        self.now = self.peak = self.ahead = 0
        self.idle_s = self.changed_s = 0.0
        self.starts: list[int] = []  # the number in flight when each began
        self.taken: list[Any] = []  # by a consumer

    async def fetch(self, key: str) -> bytes:
        """Return the data of the key, after its delay."""
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
    """Demand a peak of exactly four in flight."""
    shown = f"{peak} were in flight at once; {AT_ONCE} are allowed."
    why = "How many may begin before one has ended? What makes the fifth wait?"
    demand(peak <= AT_ONCE, "too-many", shown, why, more)
    why = (
        "An `await` in a loop, or a lock around a fetch, lets one run at a time. What starts four?"
    )
    demand(peak > 1, "sequence", "one at a time: never more than one was in flight.", why, more)
    shown = f"never more than {peak} were in flight; {AT_ONCE} are asked for."
    demand(peak == AT_ONCE, "too-few", shown, "What else limits them?", more)


# ---- workers ----
_FILLED: Hints = {
    "An asyncio.Future, a coroutine": (
        "kind",
        "`gather` was given something that it cannot await. Is each worker called, and is there no"
        " `yield` in it?",
        "A worker is an `async def` without a `yield`: `work()`. Its data goes into the queue.",
    ),
    "QueueFull": ("nowait", "`put_nowait` raises when there is no room; `await queue.put` waits."),
    "nothing is left": (
        "deadlock",
        "A worker waits for something that never comes: room in another queue, or one more key.",
        "Put into the `queue` that is given; a worker ends when there are no more keys.",
    ),
}


class _Shared(Watched):
    """A shop whose data goes into a queue; records the number of tasks, and of those left over."""

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
            await asyncio.sleep(0.001)  # lets tasks that are being cancelled end
            self.left = len(asyncio.all_tasks()) - self.others
            await asyncio.sleep((ROOM + 1) * self.step_s)
        finally:
            consumer.cancel()


def judge_workers(answer: Any) -> tuple[float, int]:
    """Raise `Wrong` for too many, idle or unbounded workers; return seconds, and keys ahead."""
    check_kind(answer, True)
    most, hints = AT_ONCE + ROOM, _FILLED | misused("fill(fetch, keys, queue)")
    for seed in range(1, 3):
        quick, slow = _Shared(seed, 0.0), _Shared(seed, 0.5)
        play(quick.run, answer, of=answer, hints=hints)
        _judge_shared(quick)
        play(slow.run, answer, of=answer, hints=hints)
        shown = f"the consumer was slow, and {slow.ahead} keys were asked for ahead of it."
        why = f"{ROOM} in the queue and one in each worker make {most}. Where are the others kept?"
        more = (
            "Each worker puts its data into the queue, waiting for room, before it takes a new key."
        )
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
    shown = f"{shop.tasks} tasks for {keys} keys; {AT_ONCE} workers are asked for."
    why = "Workers save a task for each key. How many tasks, if each takes one key after another?"
    demand(shop.tasks <= AT_ONCE + 1, "task-each", shown, why, _ONE_ITERATOR)
    judge_flight(shop.peak, f"{AT_ONCE} workers, started with `create_task` or `gather`.")
    shown = f"it returned while {shop.left} of its tasks were still running."
    why = "What does it wait for at its end? And what ends a worker when there are no more keys?"
    more = "`await asyncio.gather(...)` the workers, or use a `TaskGroup`."
    demand(shop.left <= 0, "left", shown, why, more)
    shown = f"{len(count)} of {keys} keys were asked for."
    demand(len(count) == keys, "unasked", shown, "When may a worker stop?", _ONE_ITERATOR)
    shown = f"{len(shop.taken)} items came through the queue; {keys} were expected."
    why = "Where does a worker put its data, and does it await that?"
    more = "`await queue.put(data)`: without the `await` the `put` does not even begin."
    demand(len(shop.taken) >= keys, "unput", shown, why, more)
    shown += f" The first is {shorten(shop.taken[0])}."
    why = "`await queue.put(await fetch(key))`, and put nothing else."
    demand(is_mixed_up(shop.taken, [*shop.data.values()]), "results", shown, why)
    shown = f"for {shop.idle_s:.2f} s fewer than {AT_ONCE} were in flight, with keys still left."
    why = "Some workers were done early, or waited for others. Who takes the keys that are left?"
    demand(shop.idle_s < 1e-9, "idle", shown, why, _ONE_ITERATOR)


# ---- buffer ----
def judge_buffer(answer: Any) -> int:
    """Raise `Wrong` unless all items are saved once and four load at once; return their number."""
    check_kind(answer, True)
    for seed in range(1, 4):
        shop = Watched(seed, 48)
        hints = misused("collect_all(get, keys)")
        saved = play(answer, shop.fetch, list(shop.keys), of=answer, hints=hints).result
        count, keys = Counter(shop.asked), len(shop.keys)
        shown = f"each of the {keys} keys is to be asked for once: got {len(shop.asked)} requests."
        why = "Is each `get` awaited, and is there one iterator for all workers?"
        demand(set(count.values()) == {1} and len(count) == keys, "requests", shown, why)
        shown = f"it returned {shorten(saved)}, not how many are saved."
        demand(isinstance(saved, Real), "no-return", shown, "Keep its `return` line.")
        shown = f"{shorten(saved)} of {keys} are saved."
        why = (
            "Which list does a worker hold while it waits, and which worker replaces it meanwhile?"
        )
        if saved > keys:
            why = f"Some are saved twice: is the buffer empty once it has been saved? {why}"
        more = "First `data = await get(key)`, then `buffer.append(data)`: looked up afterwards."
        demand(saved == keys, "lost", shown, why, more)
        judge_flight(shop.peak, "Four workers, and no lock around `await get(key)`.")
    return int(saved)
