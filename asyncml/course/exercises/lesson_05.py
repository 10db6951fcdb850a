"""The exercises of lesson 05: how many at once, nine bets, a heartbeat, and a bet on a lag."""

import asyncio
import inspect
import math
import random
from collections.abc import Callable
from fractions import Fraction
from typing import Any

from asyncml.clock import compute
from asyncml.course.exercises import Wrong, answers, exercise, expect, plain
from asyncml.course.exercises.attempts import Attempt, check_kind
from asyncml.course.exercises.scenes import (
    NOT_AWAITABLE,
    Hints,
    check_plain,
    demand,
    heart,
    play,
    quietly,
)

_K = "Loading hands out a batch every load / k seconds. How often does the trainer need one?"


# ---- 05-k ----
@exercise("05-k")
def smallest_k(answer: Any) -> str:
    """Check the bet on how many loads at once keep a trainer busy."""
    many = answer in ("all", "as many as possible") or (answers.is_number(answer) and answer > 4)
    why = "The trainer is busy with fewer. What would the others do, but wait with a full batch?"
    demand(not many, "as-many", f"{answer!r} is enough, and not the smallest number.", why)
    wrong = {
        1: ("one", "Then a batch comes every 90 ms at best, and training takes 30 of them."),
        2: ("idle", "Then a batch comes every 45 ms, and the trainer is idle for 15 of them."),
        4: (
            "gain",
            "It is how many times as fast the whole becomes: (90 + 30) / 30. And how many loads "
            "does it take? While one batch is trained on, how much of each load gets done?",
        ),
    }
    expect(answer, 3, wrong, _K)
    return "three loads of 90 ms bring a batch every 30 ms, as fast as the trainer takes them."


# ---- 05-smallest-k ----
_CASES = [
    ("0.1", "0.03"),
    ("0.09", "0.03"),
    ("0.02", "0.03"),
    ("0.28", "0.04"),
    ("0.6", "0.2"),
    ("0.302", "0.1"),  # 3.02: no rounding error
    ("0.03", "0.01"),  # exactly 3.0, but the remainder is 0.01
    ("0.05", "0.01"),  # exactly 5.0, but `//` says 4
]


@exercise("05-smallest-k")
@quietly
def smallest_k_of(answer: Any) -> str:
    """Check a function that says how many loads at once hide the loading."""
    check_plain(answer)
    chance = random.Random(5)
    drawn = [(f"0.{chance.randint(101, 199)}", f"0.0{chance.randint(11, 79)}") for _ in range(4)]
    for load, train in [*_CASES, *drawn]:
        right = -(-Fraction(load) // Fraction(train))
        found = play(answer, float(load), float(train), of=answer).result
        _judge_k(found, float(load), float(train), right)
    return "the smallest whole number that is enough, also where 0.28 / 0.04 is no exact 7."


def _judge_k(found: Any, load_s: float, train_s: float, right: int) -> None:
    shown = f"loading {load_s:g} s, training {train_s:g} s: "
    demand(found is not None, "no-return", shown + "it returned None.", "Is there a `return`?")
    demand(answers.is_number(found), "kind", f"{shown}it returned {found!r:.40}, and not a number.")
    is_whole = abs(found) > 1e9 or found == int(found)
    round_up, more = "Half a load does not exist: round up.", "`math.ceil` rounds up."
    demand(is_whole, "fraction", f"{shown}it returned {found:.4g}.", round_up, more)
    if found == right:
        return
    shown += f"{found:g} at once, and {right} is the fewest."
    if found == right + 1:
        _refuse_one_more(shown, load_s, train_s)
    if found < right:
        why = "Did you divide the training by the loading? It is the other way round."
        demand(found != math.ceil(train_s / load_s), "upside-down", shown, why)
        every = f"A batch comes every {load_s / found:.3g} s then." if found > 0 else ""
        hint = f"{every} Is that often enough?".strip()
        raise Wrong("too-few", shown, hint, "Round up: `math.ceil`, and not `round` or `//`.")
    raise Wrong("too-many", shown, "The trainer is busy with fewer.", _K)


def _refuse_one_more(shown: str, load_s: float, train_s: float) -> None:
    quotient = load_s / train_s
    nearest = round(quotient, 9)
    hint = f"{load_s:g} / {train_s:g} is {quotient!r} in Python."
    more = "Take away what rounding may have added before you round up: 1e-9 is plenty."
    is_whole = nearest % 1 == 0
    demand(not is_whole or quotient == nearest, "rounding", shown, hint, f"{hint} {more}")
    hint = f"{load_s:g} / {train_s:g} is {quotient:g}: a whole number stays as it is."
    more = f"{hint} `math.ceil` adds nothing to those."
    demand(not is_whole, "one-more", shown, hint, more)
    hint = "Did you divide load + train by train? That is how many times as fast it becomes."
    raise Wrong("gain", shown, hint, _K)


# ---- 05-half ----
@exercise("05-half")
def half(answer: Any) -> str:
    """Check the bet on the lag of a loop at 80 % load whose requests become twice as fast."""
    wrong = {
        2: ("half", "That is how much the work falls. The lag hangs on how full the loop is, too."),
        4: ("twice", "The load is halved, and the service time. What becomes of 1 - load?"),
        6: ("load-only", "That is what the load does. Then there is the service time itself."),
        3: (
            "idle-only",
            "That is what 1 - load does. The load itself and the time are halved too.",
        ),
        1: ("same", "Work out the formula for a load of 0.8 and 8 ms, and for 0.4 and 4 ms."),
        1 / 12: ("inverse", "By what factor does it fall? The lag before, divided by that after."),
    }
    hint = "0.8 / (2 * 0.2) * 8 ms before. And after?"
    off = abs(answer - 12) if answers.is_number(answer) else 12.0
    is_rounded = 0.1 < off < 0.5
    why = "After it the lag is 1.333 ms. Round at the end only."
    demand(not is_rounded, "rounded", f"nearly, but not {answer!r}.", why)
    expect(12 if off <= 0.1 else answer, 12, wrong, hint)
    return "16 ms become 1.3. The load is halved, the idle share is three times as large."


# ---- 05-grid ----
_ROWS = {"waiting": (8, 8, 8), "NumPy": (1, 4, 4), "pure Python": (1, 1, 4)}
_COLUMNS = ("coroutine", "thread", "process")
_GRID = {
    ("NumPy", "coroutine"): (
        "coroutine",
        "On which thread do eight coroutines run? NumPy is called there, and returns there.",
        "Nothing in a NumPy call awaits: each of the eight holds the loop until it is done. 1.",
    ),
    ("pure Python", "coroutine"): (
        "coroutine",
        "Eight coroutines run on one thread. While one of them computes, where are the others?",
        "A coroutine that computes holds the loop until it is done: one at a time. 1.",
    ),
    ("pure Python", "thread"): (
        "gil",
        "To run Python code a thread must hold Python's lock. How many can hold it?",
        "One thread at a time holds the lock, so they take turns. 1.",
    ),
    ("NumPy", "thread"): (
        "numpy",
        "NumPy lets go of Python's lock while it computes. How many cores are there to compute on?",
        "Each thread computes without the lock, on a core of its own while there is one. 4.",
    ),
}


@exercise("05-grid")
def grid(answer: Any) -> str:
    """Check nine bets: how many of eight jobs go on at the same time on four cores."""
    answers.demand_each([answer], "a number")
    kind = "the answer is the grid as it was, with three numbers in each row."
    answers.demand_keys(answer, _ROWS, kind)
    is_grid = all(isinstance(row, list | tuple) and len(row) == 3 for row in answer.values())
    demand(is_grid, "kind", kind)
    bets = {
        (name, how): bet for name in _ROWS for how, bet in zip(_COLUMNS, answer[name], strict=True)
    }
    answers.demand_each(bets.values(), "a number")
    for (name, how), bet in bets.items():
        demand(
            answers.is_number(bet), "kind", f"{name}, {how}: the answer is a number, got {bet!r}."
        )
    shown = "not 8 everywhere."
    why = "Waiting needs no core, and computing does. And who holds the loop, and Python's lock?"
    demand(set(bets.values()) != {8}, "all-k", shown, why)
    for (name, how), bet in bets.items():
        _judge_bet(name, how, bet)
    return "waits go on at once everywhere; computing takes a core, and leave to use it."


def _judge_bet(name: str, how: str, bet: float) -> None:
    right = dict(zip(_COLUMNS, _ROWS[name], strict=True))[how]
    if bet == right:
        return
    shown = f"{name}, {how}: not {bet:g}."
    if name == "waiting":
        why = "Who waits needs no core and holds no lock. How many of eight can wait at once?"
        raise Wrong("waiting", shown, why)
    cores = "Four cores compute for four jobs at a time. The others wait for a core."
    demand(bet != 8 or right != 4, "cores", shown, cores)
    if how == "process":
        why = "Each process has a Python and a lock of its own. What do they share?"
        raise Wrong("process", shown, why, "They share the four cores, and nothing else. 4.")
    raise Wrong(*_GRID[name, how][:1], shown, *_GRID[name, how][1:])


# ---- 05-heartbeat ----
_LAG_S, _EVERY_S = 0.050, 0.010
_HEART_HINTS: Hints = {
    "coroutine expected": ("not-called", "`asyncio.to_thread(label, image)`: without calling it."),
    "object is not callable": (
        "not-called",
        "Something was called that is no function: `to_thread(label, image)` calls `label` itself.",
    ),
    **dict.fromkeys(
        NOT_AWAITABLE,
        (
            "await-plain",
            "`label` is a plain function: there is nothing in it to await.",
            "Call `label(image)`, and then give others a turn: `await asyncio.sleep(0)`.",
        ),
    ),
    "an awaitable is required": (
        "await-plain",
        "`label(image)` has computed the label already: there is nothing in it to await.",
        "`asyncio.to_thread(label, image)` can be awaited, and gathered.",
    ),
    "label() takes": ("one-by-one", "`label` takes one image at a time."),
}


class _Room:
    """Images that take 8 to 14 ms each to label, and a heart that notes how late it beats."""

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
            await asyncio.sleep(0.025)  # a beat that is late comes now
        return result


@exercise("05-heartbeat")
@quietly
def heartbeat(answer: Any) -> str:
    """Check a coroutine that computes for long, and lets a heart beat meanwhile."""
    shown = "with its `yield` it hands out labels one by one, and a list of all was asked for."
    why = "Collect them in a list, and `return` that."
    demand(not inspect.isasyncgenfunction(answer), "generator", shown, why)
    check_kind(answer, True)
    latest = 0.0
    for seed in range(1, 3):
        room = _Room(seed)
        run = play(room.run, answer, of=answer, hints=_HEART_HINTS)
        _judge_labels(room, run.result)
        _judge_lag(room, run)
        latest = max(latest, *room.lags)
    late = f"no beat was more than {latest * 1000:.0f} ms late" if latest else "no beat was late"
    return f"the right labels, in no more time than the work takes, and {late}."


def _judge_labels(room: _Room, found: Any) -> None:
    found, right = plain(found), [room.labels[image] for image in room.images]
    if found == right:
        return
    answers.demand_returned(found)
    is_list = isinstance(found, list | tuple)
    parts = found if is_list else [found]
    if any(inspect.isawaitable(part) for part in parts):
        for part in filter(inspect.iscoroutine, parts):
            part.close()
        why = "`await` it."
        if is_list:
            why = "`await` each of them, or all of them with `asyncio.gather`."
        raise Wrong("not-awaited", "it returned something that still has to be awaited.", why)
    demand(is_list, "kind", f"it returned {found!r:.60}, and not a list.")
    kinds, every = len(set(room.asked)), len(room.images)
    count = f"`label` was called {len(room.asked)} times, for {kinds} of the {every} images."
    is_each = sorted(room.asked) == sorted(room.images)
    demand(is_each, "calls", count, "Call it once for each image of this call.")
    is_mixed = answers.is_mixed_up(list(found), right)
    why = "Who labels several at once and takes them as they come, mixes them up."
    demand(not is_mixed, "order", "the right labels, not in the order of the images.", why)
    shown = f"{len(found)} results; {len(right)} labels were expected, those of `label`."
    raise Wrong("results", shown, "One for each image, in the order of the images.")


def _judge_lag(room: _Room, run: Attempt) -> None:
    work_s, lag_s = sum(room.costs.values()), max(room.lags)
    assert run.timeline is not None
    block_s = run.timeline.statistics().longest_block_s
    shown = f"a beat was {lag_s * 1000:.0f} ms late, and less than 50 was asked for."
    if lag_s >= _LAG_S:
        _refuse_lag(shown, lag_s, block_s, work_s)
    shown = f"no beat was late, but the work takes {work_s:.2f} s, and yours took {room.took_s:.2f}"
    why = "A turn for the others is needed, and no pause."
    more = "`await asyncio.sleep(0)` waits for nothing: it only goes to the end of the line."
    demand(room.took_s <= 1.25 * work_s, "slow", f"{shown} s.", why, more)


def _refuse_lag(shown: str, lag_s: float, block_s: float, work_s: float) -> None:
    seen = f"{shown} All {work_s * 1000:.0f} ms of work were done in one piece."
    why = "What in it lets others run? Neither `async def` does, nor an `await` of something that "
    why += "never waits."
    more = "After each image `await asyncio.sleep(0)`; or let a thread do the work: "
    more += "`await asyncio.to_thread(...)`."
    demand(block_s <= work_s - 0.001, "no-turn", seen, why, more)
    seen = f"{shown} No piece of work was longer than {block_s * 1000:.0f} ms, but all were put in "
    seen += "line at once, before the beat was due."
    why = "A beat that falls due stands behind all the tasks that are ready. How many are?"
    more = "One task, and a turn after each image: `await asyncio.sleep(0)`."
    demand(lag_s <= 3 * block_s + 0.001, "in-line", seen, why, more)
    seen = f"{shown} The longest piece of work without a turn took {block_s * 1000:.0f} ms."
    why = "How many images lie between two turns? And for how many pieces may a beat have to wait?"
    more = "A beat waits for up to three pieces, so give a turn after each image, inside the loop: "
    raise Wrong("too-rarely", seen, why, more + "`await asyncio.sleep(0)`.")
