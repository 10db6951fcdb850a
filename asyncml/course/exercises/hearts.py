"""Judges code that keeps a loop free, by a heartbeat beside it: the learner's, and ours.

For lesson 05.
"""

import asyncio
import inspect
import random
from collections.abc import Callable
from typing import Any

from asyncml.clock import compute
from asyncml.course.exercises import answers, plain
from asyncml.course.exercises.attempts import Attempt, check_kind
from asyncml.course.exercises.scenes import UNAWAITABLE, Hints, demand, heart, play, refuse
from asyncml.failures import shorten

_BEAT_HINTS: Hints = {
    "still running": (
        "endless",
        "What in the loop lets others run? Only an `await` that waits does.",
        "`await asyncio.sleep(every_s)`, with the `await`; and a cancellation must end it.",
    ),
}


def judge_heart(answer: Any) -> None:
    """Raise `Wrong` unless it records how late each of its beats is."""
    check_kind(answer, True)
    lags: list[Any] = []

    async def scene() -> bool:
        beating = asyncio.create_task(answer(lags, 0.1), name="heart")
        await asyncio.sleep(0.25)
        compute(1)
        await asyncio.sleep(0.25)
        ended = beating.done()
        beating.cancel()
        await asyncio.gather(beating, return_exceptions=not ended)
        return ended

    ended = play(scene, of=answer, hints=_BEAT_HINTS).result
    seen = [lag for lag in plain(lags) if answers.is_number(lag)]
    shown = f"`lags` must hold numbers, and it holds {shorten(lags)}."
    demand(len(seen) == len(lags), "kind", shown)
    shown = f"it ended by itself, after {len(seen)} of its beats."
    demand(not ended, "ends", shown, "A heart beats until it is cancelled: `while True`.")
    demand(bool(seen), "silent", "it noted no beat in 1.5 s.", "Append to `lags` after each sleep.")
    is_elapsed = abs(min(seen) - 0.1) < 0.01 and abs(max(seen) - 1.05) < 0.01
    elapsed = "That is the time since the last beat. By how much is a beat later than it was due?"
    is_right = min(seen) > -0.001 and abs(max(seen) - 0.95) < 0.001 and len(seen) >= 5
    why = "When is a beat due, when do you look, and on which clock?"
    more = "In the loop, before the sleep: `due = loop.time() + every_s`. After it: "
    told = ", ".join(f"{lag * 1000:.0f}" for lag in seen[:6])
    refuse(
        f"a beat every 100 ms, and a second of computing beside them: it noted {told} ms; "
        "0, 0, 950, 0, 0 were expected.",
        (is_elapsed, "elapsed", elapsed, "Take away `every_s`."),
        (not is_right, "lag", why, f"{more}`loop.time() - due`."),
    )


# ---- long work beside a heartbeat ----
_LAG_S, _EVERY_S = 0.050, 0.010
_TURN = "After each image `await asyncio.sleep(0)`; or let a thread do the work: "
_TURN += "`await asyncio.to_thread(...)`."
_HINTS: Hints = {
    "coroutine expected / object is not callable": (
        "not-called",
        "Hand it over uncalled: `asyncio.to_thread(label, image)` calls it.",
    ),
    f"{UNAWAITABLE} / an awaitable is required": (
        "await-plain",
        "`label` is a plain function: it returns the label, and there is nothing to await.",
        "Call `label(image)`, then give others a turn: `await asyncio.sleep(0)`.",
    ),
    "label() takes": ("one-by-one", "`label` takes one image at a time."),
}


class _Room:
    """Images that take 8 to 14 ms each to label, with a heartbeat that records its lateness."""

    def __init__(self, seed: int) -> None:
        chance = random.Random(seed)
        self.images = chance.sample(range(1000, 10_000), chance.randint(25, 35))
        self.costs = {image: chance.randint(8, 14) / 1000 for image in self.images}
        self.labels = {image: chance.randint(0, 9) for image in self.images}
        self.asked: list[int] = []
        self.lags: list[float] = []
        self.took_s = 0.0

    def label(self, image: int) -> int:
        is_one = isinstance(image, int)
        got = f"`label` takes one image at a time, and got a {type(image).__name__}."
        demand(is_one, "one-by-one", got)
        self.asked.append(image)
        compute(self.costs[image])
        return self.labels[image]

    async def run(self, label_all: Callable[..., Any]) -> Any:
        loop = asyncio.get_running_loop()
        async with heart(self.lags, _EVERY_S):
            await asyncio.sleep(0.025)
            start = loop.time()
            result = await label_all(list(self.images), self.label)
            self.took_s = loop.time() - start
            await asyncio.sleep(0.025)  # time for a late beat
        return result


def judge_heartbeat(answer: Any) -> float:
    """Raise `Wrong` unless it labels all images beside a heartbeat; return the greatest lag."""
    shown = "with `yield` it hands out the labels one by one; a list of them all was asked for."
    why = "Collect them in a list, and `return` that."
    demand(not inspect.isasyncgenfunction(answer), "generator", shown, why)
    check_kind(answer, True)
    latest = 0.0
    for seed in range(1, 3):
        room = _Room(seed)
        run = play(room.run, answer, of=answer, hints=_HINTS)
        _judge_labels(room, run.result)
        _judge_lag(room, run)
        latest = max(latest, *room.lags)
    return latest


def _judge_labels(room: _Room, found: Any) -> None:
    right = [room.labels[image] for image in room.images]
    answers.demand_returned(found)
    parts = [found, *found] if isinstance(found, list | tuple) else [found]
    shown = "it returned something that still has to be awaited."
    why = "`await` it; if there are many, `await asyncio.gather(...)`."
    demand(not any(map(inspect.isawaitable, parts)), "not-awaited", shown, why)
    found = answers.read_results(found)
    kinds, every = len(set(room.asked)), len(room.images)
    shown = f"`label` was called {len(room.asked)} times, for {kinds} of the {every} images."
    is_each = sorted(room.asked) == sorted(room.images)
    demand(is_each, "calls", shown, "Call it once for each image of this call.")
    is_mixed = found != right and answers.is_mixed_up(found, right)
    why = "Several at once, taken as they come, arrive in another order. `gather` keeps the order."
    demand(not is_mixed, "order", "the right labels, not in the order of the images.", why)
    shown = f"{len(found)} results; {len(right)} labels were expected, those of `label`."
    demand(found == right, "results", shown, "One for each image, in the order of the images.")


def _judge_lag(room: _Room, run: Attempt) -> None:
    work_s, lag_s = sum(room.costs.values()), max(room.lags)
    assert run.timeline is not None
    block_s = run.timeline.statistics().longest_block_s
    longest, is_late = f"{block_s * 1000:.0f} ms", lag_s >= _LAG_S
    late = f"a beat was {lag_s * 1000:.0f} ms late, and less than 50 was asked for."
    shown = f"{late} All {work_s * 1000:.0f} ms of work were done in one piece."
    why = "What in it lets others run? Neither `async def` does, nor an `await` that never waits."
    demand(not is_late or block_s <= work_s - 0.001, "no-turn", shown, why, _TURN)
    shown = f"{late} No piece of work was longer than {longest}, but all of them were in the queue "
    shown += "before the beat was due."
    why = "A beat that falls due queues behind all the tasks that are ready. How many are?"
    more = "One task, and a turn after each image: `await asyncio.sleep(0)`."
    demand(not is_late or lag_s <= 3 * block_s + 0.001, "in-line", shown, why, more)
    shown = f"{late} The longest piece of work without a turn took {longest}."
    why = "How many images do you label between two turns? And how many pieces can delay a beat?"
    more = "Up to three pieces can delay a beat: `await asyncio.sleep(0)` after each image."
    demand(not is_late, "too-rarely", shown, why, more)
    shown = f"no beat was late, but the work takes {work_s:.2f} s, and yours took {room.took_s:.2f}"
    why = "The others need a turn, not a pause."
    more = "`await asyncio.sleep(0)` waits for nothing: it only goes to the end of the line."
    demand(room.took_s <= 1.25 * work_s, "slow", f"{shown} s.", why, more)
