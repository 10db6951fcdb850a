"""The exercises of lesson 05: how many at once, nine bets, a heartbeat, and a program to mend."""

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
from asyncml.course.exercises.nightly import MOST, Job, ours
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
    why = "Fewer keep the trainer busy. The others would only wait, each with a full batch."
    demand(not many, "as-many", f"{answer!r} is enough, and not the smallest number.", why)
    wrong = {
        1: ("one", "Then a batch comes every 90 ms at best, and training takes 30 of them."),
        2: ("idle", "Then a batch comes every 45 ms, and the trainer is idle for 15 of them."),
        4: (
            "gain",
            "That is how many times as fast the whole becomes: (90 + 30) / 30. How many loads does "
            "it take? While the trainer works on one batch, how much of each load gets done?",
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
    return "the smallest whole number that is enough, even where 0.28 / 0.04 is not exactly 7."


def _judge_k(found: Any, load_s: float, train_s: float, right: int) -> None:
    shown = f"loading {load_s:g} s, training {train_s:g} s: "
    demand(found is not None, "no-return", shown + "it returned None.", "Is there a `return`?")
    demand(answers.is_number(found), "kind", f"{shown}it returned {found!r:.40}, and not a number.")
    is_whole = abs(found) > 1e9 or found == int(found)
    round_up, more = "There is no such thing as half a load: round up.", "`math.ceil` rounds up."
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
    hint = "Did you divide load + train by train? That is how many times as fast the whole becomes."
    raise Wrong("gain", shown, hint, _K)


# ---- 05-half ----
@exercise("05-half")
def half(answer: Any) -> str:
    """Check the bet on the lag of a loop at 80 % load whose requests become twice as fast."""
    wrong = {
        2: (
            "half",
            "That is how much the work falls. The lag also depends on how full the loop is.",
        ),
        4: ("twice", "You have halved the load and the service time. What becomes of 1 - load?"),
        6: ("load-only", "That is what the load does. The service time falls as well."),
        3: (
            "idle-only",
            "That is what 1 - load does. The load and the service time are halved too.",
        ),
        1: ("same", "Work out the formula for a load of 0.8 and 8 ms, and for 0.4 and 4 ms."),
        1 / 12: ("inverse", "By what factor does it fall? The lag before, divided by that after."),
    }
    hint = "0.8 / (2 * 0.2) * 8 ms before. And after?"
    off = abs(answer - 12) if answers.is_number(answer) else 12.0
    is_rounded = 0.1 < off < 0.5
    why = "Afterwards the lag is 1.333 ms. Round only at the end."
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
    return (
        "waits go on at once everywhere; computing needs a core, and Python code the lock as well."
    )


def _judge_bet(name: str, how: str, bet: float) -> None:
    right = dict(zip(_COLUMNS, _ROWS[name], strict=True))[how]
    if bet == right:
        return
    shown = f"{name}, {how}: not {bet:g}."
    if name == "waiting":
        why = "A job that waits needs no core and holds no lock. How many can wait at once?"
        raise Wrong("waiting", shown, why)
    cores = "Four cores compute for four jobs at a time. The others wait for a core."
    demand(bet != 8 or right != 4, "cores", shown, cores)
    if how == "process":
        why = "Each process has a Python and a lock of its own. What do they share?"
        raise Wrong("process", shown, why, "They share the four cores, and nothing else. 4.")
    raise Wrong(*_GRID[name, how][:1], shown, *_GRID[name, how][1:])


# ---- 05-heart ----
_HEART_SEEN = (0.0, 0.0, 0.95, 0.0, 0.0)  # a beat falls due 50 ms into a second of computing


@exercise("05-heart")
@quietly
def heart_of_ones_own(answer: Any) -> str:
    """Check a coroutine that notes how late each of its beats comes."""
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

    ended = play(scene, of=answer).result
    seen = [lag for lag in plain(lags) if answers.is_number(lag)]
    demand(len(seen) == len(lags), "kind", f"`lags` is to hold numbers, and holds {lags!r:.60}.")
    shown = f"{len(seen)} beats in 1.5 s, and then it ended."
    demand(not ended, "ends", shown, "A heart beats until it is cancelled: `while True`.")
    shown = "it noted no beat in 1.5 s."
    demand(bool(seen), "silent", shown, "Append to `lags` after each sleep.")
    told = ", ".join(f"{lag * 1000:.0f}" for lag in seen[:6])
    shown = f"beats of 100 ms, and beside them a second of computing: it noted {told} ms."
    latest_s = max(seen)
    why = "That is the time since the beat before. By how much is it later than it was due?"
    is_elapsed = abs(min(seen) - 0.1) < 0.01 and abs(latest_s - 1.05) < 0.01
    demand(not is_elapsed, "elapsed", shown, why, "Take away `every_s`.")
    why = "The latest beat came 950 ms after it was due. When is it due, and when do you look?"
    more = "Before the sleep: `due = loop.time() + every_s`. After it: `loop.time() - due`."
    demand(abs(latest_s - max(_HEART_SEEN)) < 0.001, "lag", shown, why, more)
    demand(min(seen) > -0.001, "early", shown, "No beat comes before it is due.", more)
    demand(len(seen) >= len(_HEART_SEEN), "few", shown, "Is `every_s` the time between two?", more)
    return "on time while the loop is free, and 950 ms late when a second of computing holds it."


# ---- 05-heartbeat ----
_LAG_S, _EVERY_S = 0.050, 0.010
_HEART_HINTS: Hints = {
    "coroutine expected": ("not-called", "`asyncio.to_thread(label, image)`: without calling it."),
    "object is not callable": (
        "not-called",
        "What you called is no function. `to_thread(label, image)` calls `label` for you.",
    ),
    **dict.fromkeys(
        NOT_AWAITABLE,
        (
            "await-plain",
            "`label` is a plain function: there is nothing in it to await.",
            "Call `label(image)`, then give others a turn: `await asyncio.sleep(0)`.",
        ),
    ),
    "an awaitable is required": (
        "await-plain",
        "`label(image)` has already computed the label: there is nothing to await.",
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
    shown = "with `yield` it hands out the labels one by one; a list of them all was asked for."
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
    why = "Several at once, taken as they come, arrive in another order. `gather` keeps the order."
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
    why = "The others need a turn, not a pause."
    more = "`await asyncio.sleep(0)` waits for nothing: it only goes to the end of the line."
    demand(room.took_s <= 1.25 * work_s, "slow", f"{shown} s.", why, more)


def _refuse_lag(shown: str, lag_s: float, block_s: float, work_s: float) -> None:
    seen = f"{shown} All {work_s * 1000:.0f} ms of work were done in one piece."
    why = "What in it lets others run? Neither `async def` does, nor an `await` of something that "
    why += "never waits."
    more = "After each image `await asyncio.sleep(0)`; or let a thread do the work: "
    more += "`await asyncio.to_thread(...)`."
    demand(block_s <= work_s - 0.001, "no-turn", seen, why, more)
    seen = f"{shown} No piece of work was longer than {block_s * 1000:.0f} ms, but they all stood "
    seen += "in the queue before the beat was due."
    why = "A beat that falls due queues behind all the tasks that are ready. How many are?"
    more = "One task, and a turn after each image: `await asyncio.sleep(0)`."
    demand(lag_s <= 3 * block_s + 0.001, "in-line", seen, why, more)
    seen = f"{shown} The longest piece of work without a turn took {block_s * 1000:.0f} ms."
    why = "How many images do you label between two turns? And how many pieces can delay a beat?"
    more = "Up to three pieces can delay a beat, so give others a turn after each image: "
    raise Wrong("too-rarely", seen, why, more + "`await asyncio.sleep(0)`.")


# ---- 05-paper ----
_PAPER = (4.32, 0.87)  # seconds: as it is, and the least
_AS_IT_IS = {
    2.88: "That is loading and training. What about the reports?",
    3.6: "That is loading and reporting. What about the training?",
    2.16: "That is the loading alone.",
    0.18: "That is one shard. There are 24.",
}
_AT_BEST = {
    0.72: (
        "no-ends",
        "That is the training alone. What could hide the first load, or the last report?",
        "Before the first batch there is nothing to train on, and the last report comes after the "
        "last training. Add both.",
    ),
    0.81: ("no-last", "What goes on while the last report is under way?"),
    0.78: ("no-first", "What goes on while the first shard is loaded?"),
    2.25: (
        "in-turn",
        "That is a shard every 90 ms. Must the trainer wait for each load, or for each report?",
        "Several loads can be under way at once, and a report goes on beside the next training.",
    ),
    2.16: ("in-turn", "That is one load at a time. Several can be under way at once."),
    2.88: ("in-turn", "Must each load wait until the training before it is done?"),
    0.18: ("train-all", "Only one batch is trained on at a time: 24 x 30 ms of computing remain."),
    0.09: ("train-all", "Only one batch is trained on at a time: 24 x 30 ms of computing remain."),
    0.03: ("train-all", "That is one training. There are 24, one after the other."),
}


@exercise("05-paper")
def paper(answer: Any) -> str:
    """Check two predictions: what the program takes as it is, and the least it can take."""
    bets = answers.read_list(answer, "two numbers of seconds", "a number")
    are_numbers = len(bets) == 2 and all(map(answers.is_number, bets))
    demand(are_numbers, "kind", f"two numbers of seconds were expected, got {answer!r:.60}.")
    now_s, best_s = bets
    shown = f"{now_s!r:.40} and {best_s!r:.40}: the answer is in seconds."
    demand(0 < now_s < 100, "unit", shown, "90 ms are 0.09 s.")
    now_s, best_s = float(now_s), float(min(best_s, 1e6))
    is_now = abs(now_s - _PAPER[0]) < 0.03
    hints = [why for typical, why in _AS_IT_IS.items() if abs(now_s - typical) < 0.006]
    hint = hints[0] if hints else "Nothing overlaps: add up the three times for each shard."
    more = "Each shard takes 90 + 30 + 60 ms, and there are 24."
    demand(is_now, "now", f"as it is, it does not take {now_s:g} s.", hint, more)
    if abs(best_s - _PAPER[1]) < 0.006:
        return "24 x 180 ms as it is; at best the training, the first load and the last report."
    shown = f"{best_s!r:.40} s is not the bound."
    for typical, (code, *why) in _AT_BEST.items():
        demand(abs(best_s - typical) >= 0.006, code, shown, *why)
    hint = "Which part can only be done one at a time? Which waits have nothing to hide behind?"
    demand(best_s < _PAPER[1], "too-slow", f"{shown} A program can take less.", hint)
    raise Wrong("too-fast", f"{shown} Every program takes more.", hint)


# ---- 05-recipe ----
_OVER = 0.05  # what may remain over the bound
_BEAT_S = 0.02
_JOBS = ((24, 0.09, 0.03, 0.06), (17, 0.1, 0.04, 0.07))
_RECIPE_HINTS: Hints = {
    "the store takes": (
        "too-many",
        "Start no more loads than the trainer needs: how many is that?",
        "`aml.Pipeline(job.keys).map(load, concurrency=3)` keeps three loads under way.",
    ),
    **dict.fromkeys(
        NOT_AWAITABLE,
        (
            "await-plain",
            "`job.train` is a plain function: there is nothing in it to await.",
            "`await asyncio.to_thread(job.train, batch)` runs it beside the loop.",
        ),
    ),
    "object is not callable": (
        "called",
        "`asyncio.to_thread(job.train, batch)` calls `job.train` for you: hand it over uncalled.",
    ),
    "no running event loop": (
        "wrong-thread",
        "Something that belongs to the loop was called in a thread: only `job.train` goes there.",
    ),
}


@exercise("05-recipe", ours=ours)
@quietly
def recipe(answer: Any) -> str:
    """Check a program that loads, trains and reports, and tell what remains over the bound."""
    check_kind(answer, True)
    jobs, worst, beat_s = [], 0.0, 0.0
    for numbers in _JOBS:
        job = Job(*numbers)
        play(job.run, answer, of=answer, hints=_RECIPE_HINTS)
        _judge_work(job)
        _judge_waits(job)
        _judge_beats(job)
        jobs.append(job)
        worst = max(worst, job.took_s / job.bound_s - 1)
        beat_s = max(beat_s, *job.lags)
    rest = f"at most {worst:.1%} remain" if worst > 0.0005 else "nothing remains"
    late = f"no beat was more than {beat_s * 1000:.0f} ms late" if beat_s else "no beat was late"
    gain = f"{jobs[0].took_s:.2f} s in place of {jobs[0].before_s:.2f}"
    return f"{gain}: {rest} over the bound, and {late}."


def _judge_work(job: Job) -> None:
    count, trained = len(job.keys), [key for key, _ in job.trained]
    shown = f"{len(trained)} trainings on {len(set(trained))} of {count} shards."
    demand(sorted(trained) == job.keys, "calls", shown, "Train on each shard once.")
    shown = f"{job.most_loading} loads were under way at once, and the store takes {MOST}."
    demand(job.most_loading <= MOST, "too-many", shown, *_RECIPE_HINTS["the store takes"][1:])
    shown = f"{job.most_training} trainings ran at the same time."
    why = "They share one model, and each would overwrite the others' steps: one at a time."
    more = "Await each `asyncio.to_thread(job.train, batch)` before the next one begins."
    demand(job.most_training == 1, "at-once", shown, why, more)
    first = next((pair for pair in zip(trained, job.keys, strict=True) if len(set(pair)) > 1), None)
    shown = f"`{first[0]}` was trained on where `{first[1]}` was due." if first else ""
    why = "The model depends on the order. Load ahead, but train in the order of `job.keys`."
    demand(first is None, "order", shown, why, "`Pipeline.map` and `gather` keep the order.")
    missing = count - len(set(job.reported))
    shown = f"{missing} of {count} reports had not arrived when the program ended."
    why = "Who waits for the reports that are still under way at the end?"
    more = "`async with asyncio.TaskGroup()` waits for its tasks before it goes on."
    demand(missing == 0, "left", shown, why, more)
    shown = f"{len(job.reported)} reports arrived for {count} shards."
    demand(len(job.reported) == count, "calls", shown, "Report each shard once.")


def _judge_beats(job: Job) -> None:
    late_s = max(job.lags)
    shown = f"{_score(job)}, and a beat of the heart came {late_s * 1000:.0f} ms late."
    why = "What computes on the loop? Take step 3 of the recipe."
    more = "`await asyncio.to_thread(job.train, batch)` computes beside the loop."
    demand(late_s < _BEAT_S, "lag", shown, why, more)


def _score(job: Job) -> str:
    over = job.took_s / job.bound_s - 1
    return f"{job.took_s:.2f} s; the bound is {job.bound_s:.2f} s, so {over:.0%} remain over it"


def _judge_waits(job: Job) -> None:
    if job.took_s <= (1 + _OVER) * job.bound_s:
        return
    hungry_s, held_s = job.waits()
    shown = f"{_score(job)}."
    why = "No wait is hidden: everything still happens in turn. What could go on meanwhile?"
    more = "Load ahead while the trainer works, and let each report go on beside the next training."
    demand(job.took_s < 0.98 * job.before_s, "in-turn", shown, why, more)
    if held_s > hungry_s:
        seen = f"{shown} For {held_s:.2f} s a batch lay ready and the trainer did not take it."
        why = "What does your program await between two trainings?"
        more = "Do not await a report before the next training: start it as a task in a TaskGroup."
        raise Wrong("held", seen, why, more)
    seen = f"{shown} For {hungry_s:.2f} s the trainer had no batch."
    if not job.loads_meanwhile():
        why = "No load went on while it trained. In rounds, loads hide only behind each other."
        more = "`aml.Pipeline(job.keys).map(load, concurrency=3)` loads while you train."
        raise Wrong("rounds", seen, why, more)
    every = job.load_s / job.most_loading
    why = f"With {job.most_loading} at once, a load ends every {every * 1000:.0f} ms at best."
    why += " How often does the trainer need one?"
    if every <= job.train_s + 1e-9:
        why = "Sometimes too few loads were under way. When does the next load begin?"
    raise Wrong("too-few", seen, why, f"{why} The store takes up to {MOST} at once.")
