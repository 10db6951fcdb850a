"""Judges a fetch with retries; for lesson 07."""

import asyncio
import itertools
from collections.abc import Callable
from typing import Any

from asyncml.course.exercises import Wrong, said_by
from asyncml.course.exercises.answers import times
from asyncml.course.exercises.fetches import refuse_unfinished
from asyncml.course.exercises.loaders import misused
from asyncml.course.exercises.scenes import Hints, demand, play
from asyncml.stores.memory import ObjectNotFound, RequestFailed

TRIES, FIRST_S = 4, 0.1
_RETRY_HINTS: Hints = {
    "still running": ("endless", f"After {TRIES} tries it has to give up: `raise` the error."),
    "waits for Semaphore.acquire": (
        "not-released",
        "It waits for a slot, and all are taken. Does it hold one itself, or did a failed try?",
        "`async with slots:` gives the slot back, after an error too: use it once in each try.",
    ),
    **misused("get_again(fetch, key, slots)"),
}


class _Flaky:
    """A store that loses each key's first requests, and records their times and the slots held."""

    def __init__(self, slots: int, losses: int, error: type[Exception] = RequestFailed) -> None:
        self.slots, self.losses, self.error = asyncio.Semaphore(slots), losses, error
        self.tries: dict[str, list[float]] = {}
        self.now = 0
        self.ended_s = 0.0  # when the last call of the answer ended
        self.was_outside = self.was_held = False

    async def fetch(self, key: str) -> bytes:
        tries = self.tries.setdefault(key, [])
        tries.append(asyncio.get_running_loop().time())
        if len(tries) > 50:
            raise asyncio.CancelledError  # ends an answer that would retry for ever
        self.now += 1
        self.was_outside |= not self.slots.locked()
        await asyncio.sleep(0.01)
        self.now -= 1
        if len(tries) <= self.losses:
            raise self.error(f"{key!r}: request {len(tries)}")
        return key.encode() * 2

    async def watch(self) -> None:
        for _ in range(3000):  # not for ever: that would hide a deadlock
            await asyncio.sleep(0.007)
            self.was_held |= self.now == 0 and self.slots.locked()

    async def run(self, answer: Callable[..., Any], keys: list[str]) -> list[Any]:
        watching = asyncio.create_task(self.watch(), name="watch")
        jobs = [asyncio.create_task(answer(self.fetch, key, self.slots)) for key in keys]
        await asyncio.wait(jobs)
        self.ended_s = asyncio.get_running_loop().time()
        watching.cancel()
        for job in jobs:
            error = None if job.cancelled() else job.exception()
            is_own = isinstance(error, RequestFailed) and f"request {TRIES}" not in str(error)
            is_renamed = isinstance(error, RuntimeError) or type(error) is Exception
            was_lost = error is not None and isinstance(error.__context__, RequestFailed)
            is_own = is_own and [len(tries) for tries in self.tries.values()] == [TRIES]
            if error and (is_own or (is_renamed and was_lost)):
                shown = f"after the last try it raised {said_by(error)}."
                why = "The caller is to get the error of the last try itself: a bare `raise`."
                raise Wrong("renamed", shown, why)
            if error and not isinstance(error, RequestFailed | self.error):
                raise error  # the answer's own mistake
        return [asyncio.CancelledError() if j.cancelled() else j.exception() or j for j in jobs]


def _try(answer: Any, store: _Flaky, keys: list[str]) -> list[Any]:
    found: list[Any] = play(store.run, answer, keys, of=answer, hints=_RETRY_HINTS).result
    return found


def judge_retries(answer: Any) -> None:
    """Raise `Wrong` unless a fetch is retried correctly."""
    store = _Flaky(slots=1, losses=2)
    (came,) = _try(answer, store, ["a"])
    _judge_tries(store, came)
    lost = _Flaky(slots=1, losses=99)
    (came,) = _try(answer, lost, ["b"])
    _judge_end(lost, came)
    _judge_pauses(lost.tries["b"])
    for error in (ObjectNotFound, ZeroDivisionError, ConnectionRefusedError):
        hopeless = _Flaky(1, 99, error)
        (came,) = _try(answer, hopeless, ["c"])
        tries, name = len(hopeless.tries["c"]), error.__name__
        shown = f"`fetch` raised {name}, and it was tried {times(tries)}."
        why = "Which errors can another try mend? A missing object stays missing, and a bug a bug."
        if error is ConnectionRefusedError:
            why = "That is not a `RequestFailed`, so it goes to the caller at once."
        demand(tries == 1, "hopeless", shown, why, "`except aml.RequestFailed`, and nothing wider.")
        shown = f"`fetch` raised {name}, and the caller never got it."
        demand(isinstance(came, error), "swallowed", shown, "Let it through: do not catch it.")
    herd = _Flaky(slots=10, losses=1)
    _try(answer, herd, list("defghijk"))
    seconds = {round(tries[1], 9) for tries in herd.tries.values()}
    moments = "the same moment" if len(seconds) == 1 else f"{len(seconds)} different moments"
    shown = f"eight requests failed together, and were made again at {moments}."
    why = "A busy store gets all eight at once again. What would spread them out?"
    more = "Jitter: `seconds * random.uniform(0.5, 1.5)`, drawn anew for each pause."
    demand(len(seconds) > 4, "no-jitter", shown, why, more)


def _judge_tries(store: _Flaky, came: Any) -> None:
    tries = len(store.tries.get("a", []))
    got = came.result() if isinstance(came, asyncio.Task) else came
    refuse_unfinished([got])
    shown = f"a request that fails twice and then works was tried {times(tries)}."
    why = "Catch `aml.RequestFailed` around the `await`, and go round again."
    demand(tries >= 3, "gave-up", shown, why, f"`for attempt in range({TRIES})`.")
    shown = f"the third try brought the data, and it was tried {times(tries)}."
    demand(tries == 3, "goes-on", shown, "`return` it: that ends the loop as well.")
    shown = "`fetch` was awaited without a slot."
    why = "`async with slots:`, with the semaphore that is given, goes around each try."
    demand(not store.was_outside, "no-slot", shown, why)
    shown = f"the first try came after {store.tries['a'][0]:.2f} s."
    demand(store.tries["a"][0] < 1e-9, "pause", shown, "Pause between two tries, not before them.")
    shown = "during the pause between two tries it kept its slot."
    why = "Meanwhile no other task could use it. Where does the `async with` end?"
    more = "Only `await fetch(key)` goes into the `async with slots:`; the pause comes after it."
    demand(not store.was_held, "holds", shown, why, more)
    why = "`return` what `fetch` gave, and leave the loop with it."
    demand(got == b"aa", "results", f"the data of 'a' is b'aa', got {got!r:.40}.", why)


def _judge_end(store: _Flaky, came: Any) -> None:
    tries = len(store.tries["b"])
    shown = f"a request that always fails was tried {times(tries)}."
    why = f"After {TRIES} tries the caller has to be told."
    demand(tries == TRIES, "endless" if tries > TRIES else "gave-up", shown, why)
    got = f"it returned {came.result()!r}" if isinstance(came, asyncio.Task) else f"came {came!r}"
    more = "In the last round `raise`, so that the error of the last try reaches the caller."
    shown = f"after {TRIES} lost tries {got}."
    why = "The caller takes that for data. What should it get instead?"
    demand(isinstance(came, RequestFailed), "swallowed", shown, why, more)
    late = store.ended_s - store.tries["b"][-1] - 0.01
    shown = f"after the last try it paused for another {late:.2f} s before it raised."
    why = f"No try follows that pause: {TRIES} tries have three pauses between them."
    demand(late < 1e-9, "late", shown, why, "In the last round `raise`, before the pause.")


def _judge_pauses(tries: list[float]) -> None:
    pauses = [max(0.0, after - before - 0.01) for before, after in itertools.pairwise(tries)]
    shown = "the pauses were " + ", ".join(f"{pause:.2f}" for pause in pauses) + " s"
    why = "Pause before each new try: a store in trouble needs time."
    demand(max(pauses) > 1e-9, "no-pause", f"{shown}.", why, "`await asyncio.sleep(...)`.")
    for number, pause in enumerate(pauses):
        right = FIRST_S * 2**number
        where = f"{shown}: number {number + 1} must be {right / 2:g} to {right * 1.5:g} s."
        more = f"`{FIRST_S} * 2**attempt`, times `random.uniform(0.5, 1.5)`."
        is_right = right / 2 - 1e-9 <= pause <= right * 1.5 + 1e-9
        why = "Does it double from one try to the next?" if number else f"The first is {FIRST_S} s."
        demand(is_right, "pause", where, why, more)
