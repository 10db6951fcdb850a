"""Judges two patients of lesson 06 that retry: what they catch, and how they pause."""

import asyncio
import random
import statistics
from collections import Counter
from collections.abc import Callable
from typing import Any

from asyncml.course.exercises import Wrong
from asyncml.course.exercises.answers import is_number, times
from asyncml.course.exercises.scenes import Hints, check_plain, demand, play
from asyncml.course.exercises.troubles import HINTS, End, Trouble, end_of
from asyncml.failures import shorten

# ---- patient 5: a connection that is lost ----
_TRIES = 4
_TRY_HINTS: Hints = {
    **HINTS,
    "cannot reuse": ("reused", "A coroutine runs once. Call `fetch()` anew for each try."),
    "local variable / No active exception": (
        "raise-after",
        "After its `except` block the error is gone, and so is the name that `as` gave it.",
        "`raise` within the `except`, in the last round, or keep it: `last = error`.",
    ),
}


class _Lossy:
    """Fetches of a quarter of a second each, of which the first few fail."""

    def __init__(self, losses: int, error: type[Exception] = ConnectionError) -> None:
        self.losses, self.error, self.calls = losses, error, 0

    async def fetch(self) -> str:
        """Wait, then return the data or raise the error."""
        self.calls += 1
        if self.calls > 50:
            shown = "every try failed, and after 50 it was still trying."
            more = f"`for attempt in range({_TRIES})`, and in the last round `raise`."
            raise Wrong("endless", shown, f"{_TRIES} tries, and then the caller has to know.", more)
        await asyncio.sleep(0.25)
        if self.calls <= self.losses:
            raise self.error(f"try {self.calls}")
        return "the data"

    async def run(self, answer: Callable[..., Any], trouble: Trouble) -> End:
        """Return how the answer ended."""
        end = await end_of(answer(self.fetch), trouble)
        if end.error is not None and not isinstance(end.error, ConnectionError | self.error):
            raise end.error
        return end


def judge_tries(answer: Any) -> None:
    """Raise `Wrong` for an answer that catches too much, or hides the last error."""
    lossy = _Lossy(losses=2)
    end = _play_tries(answer, lossy)
    shown = f"the third try would have brought the data, and you tried {times(lossy.calls)}."
    why = "Put the `try` around the `await`, in a loop that goes round again."
    demand(end.error is None and lossy.calls >= 3, "gave-up", shown, why)
    shown = f"the third try brought the data, and you tried {times(lossy.calls)}."
    demand(lossy.calls == 3, "goes-on", shown, "`return` the data: that ends the loop, too.")
    result = end.task.result()
    shown = f"`fetch` returned 'the data', and you returned {result!r:.40}."
    demand(result == "the data", "result", shown, "`return await fetch()`.")
    _judge_what_is_caught(answer)
    _judge_last_try(answer)


def _judge_what_is_caught(answer: Any) -> None:
    only = "`except ConnectionError:`, and nothing wider."
    lossy = _Lossy(losses=99)
    end = _play_tries(answer, lossy, 0.3)
    shown = "it was cancelled during the second try, and "
    shown += f"tried {times(lossy.calls)}." if lossy.calls > 2 else "was not cancelled in the end."
    why = "Which `except` takes a CancelledError for a lost connection?"
    demand(end.task.cancelled(), "swallowed", shown, why, only)
    for error in ZeroDivisionError, PermissionError:
        lossy = _Lossy(losses=99, error=error)
        end = _play_tries(answer, lossy)
        shown = f"`fetch` raised a {error.__name__}, and "
        why = "Which errors can another try mend?"
        said = f"{shown}you tried {times(lossy.calls)}."
        demand(lossy.calls == 1, "hopeless", said, why, only)
        is_out = isinstance(end.error, error)
        demand(is_out, "lost-error", f"{shown}the caller never saw it.", why, only)


def _judge_last_try(answer: Any) -> None:
    lossy = _Lossy(losses=99)
    end = _play_tries(answer, lossy)
    shown = f"every try failed, and you tried {times(lossy.calls)}, not {times(_TRIES)}."
    why = f"How often does your loop go round? {_TRIES} tries, the first included."
    demand(lossy.calls == _TRIES, "count", shown, why)
    shown = f"all {_TRIES} tries failed, and the ConnectionError did not come out."
    why = "The caller takes what you return for data. What happens after the last try?"
    more = f"`raise` in the `except` if `attempt == {_TRIES - 1}`."
    demand(isinstance(end.error, ConnectionError), "lost-error", shown, why, more)
    shown = f"all {_TRIES} tries failed, and {end.error!r:.60} came out, not the last error."
    is_last = str(end.error) == f"try {_TRIES}"
    demand(is_last, "other-error", shown, "Raise it, not a new one.", more)


def _play_tries(answer: Any, lossy: _Lossy, *stops_at_s: float) -> End:
    trouble = Trouble("", stops_at_s)
    end: End = play(lossy.run, answer, trouble, of=answer, hints=_TRY_HINTS).result
    return end


# ---- patient 10: a hundred clients ----
_CLIENTS, _MOST, _LONGEST_S = 100, 500, 4.0


_PAUSE_HINTS: Hints = {
    "positional argument": ("signature", "`pause` gets the number of the attempt, from 0 on.")
}


class _BusyStore:
    """A store that accepts ten requests in each tenth of a second."""

    def __init__(self) -> None:
        self.asked = Counter[int]()
        self.is_over = False

    async def get(self) -> bool:
        """Wait for the answer; return whether the request was accepted."""
        tenth = int(asyncio.get_running_loop().time() * 10 + 1e-6)
        self.asked[tenth] += 1
        is_let_through = self.asked[tenth] <= 10
        await asyncio.sleep(0.01)
        return is_let_through

    async def storm(self, pause: Callable[[int], Any]) -> tuple[int, float]:
        """Start all clients at once; return the number of requests, and when all are done.

        A client gives up after a hundred attempts.
        """

        async def client() -> None:
            for attempt in range(100):
                if await self.get() or self.is_over:
                    return
                try:
                    seconds = _seconds(pause(attempt))
                except BaseException:  # the other clients would only raise the same
                    self.is_over = True
                    raise
                await asyncio.sleep(seconds)

        await asyncio.gather(*(client() for _ in range(_CLIENTS)))
        return self.asked.total(), asyncio.get_running_loop().time()


def _seconds(pause: Any) -> float:
    shown = f"`pause` returned {shorten(pause)}, and not a number of seconds."
    is_seconds = is_number(pause) and abs(pause) < 1e9  # False for NaN
    demand(is_seconds, "kind", shown, "Return a number, such as 0.5.")
    demand(pause >= 0, "negative", f"`pause` returned {pause:.3g} s.", "A pause is 0 s or more.")
    return float(pause)


def judge_pauses(answer: Any) -> None:
    """Raise `Wrong` for pauses after which clients come back together, or too often."""
    check_plain(answer)
    state = random.getstate()
    try:
        runs = []
        for seed in range(5):
            random.seed(seed)
            runs.append(play(_BusyStore().storm, answer, of=answer, hints=_PAUSE_HINTS).result)
        is_drawn = len({answer(2) for _ in range(20)}) > 1
    finally:
        random.setstate(state)
    asked, took_s = (statistics.median(figures) for figures in zip(*runs, strict=True))
    said = f"{asked:,.0f} requests, and the last client was done after {took_s:.1f} s; "
    shown = f"{said}at most {_MOST} requests are allowed."
    why = "A refused client asks again too soon. What if it waits longer after each attempt?"
    more = "Let it double, and draw it at random: `random.uniform(0, 0.1 * 2**attempt)`."
    demand(asked <= _MOST or took_s > _LONGEST_S, "too-often", shown, why, more)
    shown = f"{said}at most {_LONGEST_S:g} s are allowed."
    why = "All who were refused together pause equally long. When do they meet again?"
    more = "`random.uniform(0, 0.1 * 2**attempt)`: a pause that doubles at most, drawn each time."
    demand(took_s <= _LONGEST_S or is_drawn, "in-step", shown, why, more)
    why = "Your pauses are random. But do they differ enough, and how long is the longest?"
    demand(took_s <= _LONGEST_S, "late", shown, why, more)
