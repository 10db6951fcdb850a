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
from asyncml.failures import shorten

_K = "Loading hands out a batch every load / k seconds. How often does the trainer need one?"


# ---- 05-k ----
@exercise("05-k")
def smallest_k(answer: Any) -> str:
    """Check the bet on how many loads at once keep a trainer busy."""
    is_many = answers.is_number(answer) and answer > 4
    why = "Fewer keep the trainer busy. The others would only wait, each with a full batch."
    shown = f"{shorten(answer)} is enough, but not the smallest number."
    demand(not is_many, "as-many", shown, why)
    why = "That is how many times as fast the whole becomes. How many loads does it take?"
    wrong = {
        1: ("one", "Then a batch comes every 90 ms at best, and training takes 30 of them."),
        2: ("idle", "Then a batch comes every 45 ms, and the trainer is idle for 15 of them."),
        4: ("gain", f"{why} While the trainer works on one batch, how much of each load is done?"),
    }
    expect(answer, 3, wrong, _K)
    return "three loads of 90 ms bring a batch every 30 ms, as fast as the trainer takes them."


# ---- 05-smallest-k ----
# 3.02 is no rounding error; 0.03 / 0.01 is 3.0, and its remainder 0.01; 0.05 // 0.01 is 4
_CASES = "0.1/0.03, 0.09/0.03, 0.02/0.03, 0.28/0.04, 0.6/0.2, 0.302/0.1, 0.03/0.01, 0.05/0.01"


@exercise("05-smallest-k")
@quietly
def smallest_k_of(answer: Any) -> str:
    """Check a function that says how many loads at once hide the loading."""
    check_plain(answer)
    chance = random.Random(5)
    drawn = [f"0.{chance.randint(101, 199)}/0.0{chance.randint(11, 79)}" for _ in range(4)]
    for load, train in (case.split("/") for case in [*_CASES.split(", "), *drawn]):
        found = play(answer, float(load), float(train), of=answer).result
        _judge_k(found, float(load), float(train), -(-Fraction(load) // Fraction(train)))
    return "the smallest whole number that is enough, even where 0.28 / 0.04 is not exactly 7."


def _judge_k(found: Any, load_s: float, train_s: float, right: int) -> None:
    shown = f"for a load of {load_s:g} s and a training of {train_s:g} s "
    demand(found is not None, "no-return", shown + "it returned None.", "Is there a `return`?")
    got = f"{shown}it returned {shorten(found)}"
    demand(answers.is_number(found), "kind", f"{got}, which is not a number.")
    is_whole = abs(found) > 1e9 or found == found // 1
    why = "There is no such thing as half a load: round up."
    demand(is_whole, "fraction", f"{got}.", why, "`math.ceil` rounds up.")
    got, quotient = f"{got}; {right} is the fewest.", load_s / train_s
    is_inverse = found < right and found == math.ceil(train_s / load_s)
    why = "Did you divide the training by the loading? It is the other way round."
    demand(not is_inverse, "upside-down", got, why)
    every_s = load_s / min(max(found, 1), right)
    why = f"Then a batch comes every {every_s:.3g} s. Is that often enough?"
    demand(found >= right, "too-few", got, why, "Round up: `math.ceil`, and not `round` or `//`.")
    why = f"{load_s:g} / {train_s:g} is {quotient!r} in Python."
    more = f"{why} Take away what rounding may have added before you round up: 1e-9 is plenty."
    is_rounding = found == right + 1 and right < quotient < right + 1e-9
    demand(not is_rounding, "rounding", got, why, more)
    why = f"{load_s:g} / {train_s:g} is {quotient:.3g}: rounded up, that is enough."
    demand(found == right, "too-many", got, why)


# ---- 05-half ----
@exercise("05-half")
def half(answer: Any) -> str:
    """Check the bet on the lag of a loop at 80 % load whose requests become twice as fast."""
    wrong = {
        2: ("half", "The work falls by that. The lag also depends on how full the loop is."),
        3: ("idle-only", "1 - load grows by that. The load and the service time are halved too."),
        4: ("twice", "You have halved the load and the service time. What becomes of 1 - load?"),
        6: ("load-only", "The load alone does that. The service time falls as well."),
    }
    is_number = answers.is_number(answer)
    off = abs(answer - 12) if is_number else 12.0
    why = "By what factor does it fall? Divide the lag before by the lag after."
    demand(not (is_number and 0 < answer < 1), "inverse", f"not {shorten(answer)}.", why)
    why = "Afterwards the lag is 1.333 ms. Round only at the end."
    demand(not 0.1 < off < 0.5, "rounded", f"nearly, but not {shorten(answer)}.", why)
    why = "Before, it is 0.8 / (2 * 0.2) * 8 ms. And after?"
    expect(12 if off <= 0.1 else answer, 12, wrong, why)
    return "16 ms become 1.3. The load is halved, the idle share is three times as large."


# ---- 05-grid ----
_ROWS = {"waiting": (8, 8, 8), "NumPy": (1, 4, 4), "pure Python": (1, 1, 4)}
_COLUMNS = ("coroutine", "thread", "process")
_GRID = {
    "coroutine": (
        "Eight coroutines run on one thread. While one of them computes, where are the others?",
        "One that computes, in NumPy or not, holds the loop until it is done: 1 at a time.",
    ),
    "process": (
        "Each process has a Python and a lock of its own. What do they share?",
        "They share only the four cores: 4.",
    ),
    "NumPy": (
        "NumPy lets go of Python's lock while it computes. How many cores are there?",
        "Each thread computes without the lock, on a core of its own while there is one: 4.",
    ),
    "pure Python": (
        "To run Python code a thread must hold Python's lock. How many can hold it?",
        "One thread at a time holds the lock, so they take turns: 1.",
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
    bets = [bet for name in _ROWS for bet in answer[name]]
    answers.demand_each(bets, "a number")
    why = "Waiting needs no core, and computing does. And who holds the loop, and Python's lock?"
    demand(bets != [8] * 9, "all-k", "not 8 everywhere.", why)
    for name, row in _ROWS.items():
        for how, bet, right in zip(_COLUMNS, answer[name], row, strict=True):
            _judge_bet(name, how, bet, right)
    return (
        "waits go on at once everywhere; computing needs a core, and Python code the lock as well."
    )


def _judge_bet(name: str, how: str, bet: Any, right: int) -> None:
    shown = f"{name}, {how}: not {shorten(bet)}."
    demand(answers.is_number(bet), "kind", f"{shown} A number is asked for.")
    why = "A job that waits needs no core and holds no lock. How many can wait at once?"
    demand(name != "waiting" or bet == right, "waiting", shown, why)
    why = "Four cores compute for four jobs at a time. The others wait for a core."
    demand(bet != 8 or right != 4, "cores", shown, why)
    reason = name if how == "thread" else how
    demand(bet == right, reason.split()[-1].lower(), shown, *_GRID.get(reason, ()))


# ---- 05-heart ----
_BEAT_HINTS: Hints = {
    "still running": (
        "endless",
        "What in the loop lets others run? Only an `await` that waits does.",
        "`await asyncio.sleep(every_s)`, with the `await`; and a cancellation must end it.",
    ),
}


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

    ended = play(scene, of=answer, hints=_BEAT_HINTS).result
    seen = [lag for lag in plain(lags) if answers.is_number(lag)]
    shown = f"`lags` is to hold numbers, and holds {shorten(lags)}."
    demand(len(seen) == len(lags), "kind", shown)
    shown = f"it ended by itself, after {len(seen)} of its beats."
    demand(not ended, "ends", shown, "A heart beats until it is cancelled: `while True`.")
    demand(bool(seen), "silent", "it noted no beat in 1.5 s.", "Append to `lags` after each sleep.")
    told = ", ".join(f"{lag * 1000:.0f}" for lag in seen[:6])
    shown = f"beats of 100 ms, and beside them a second of computing: it noted {told} ms; "
    shown += "0, 0, 950, 0, 0 were expected."
    is_elapsed = abs(min(seen) - 0.1) < 0.01 and abs(max(seen) - 1.05) < 0.01
    why = "That is the time since the beat before. By how much is it later than it was due?"
    demand(not is_elapsed, "elapsed", shown, why, "Take away `every_s`.")
    is_right = min(seen) > -0.001 and abs(max(seen) - 0.95) < 0.001 and len(seen) >= 5
    why = "When is a beat due, when do you look, and on which clock?"
    more = "In the loop, before the sleep: `due = loop.time() + every_s`. After it: "
    demand(is_right, "lag", shown, why, f"{more}`loop.time() - due`.")
    return "on time while the loop is free, and 950 ms late when a second of computing holds it."


# ---- 05-heartbeat ----
_LAG_S, _EVERY_S = 0.050, 0.010
_HEART_HINTS: Hints = {
    **dict.fromkeys(
        ("coroutine expected", "object is not callable"),
        ("not-called", "Hand it over uncalled: `asyncio.to_thread(label, image)` calls it."),
    ),
    **dict.fromkeys(
        (*NOT_AWAITABLE, "an awaitable is required"),
        (
            "await-plain",
            "`label` is a plain function: it returns the label, and there is nothing to await.",
            "Call `label(image)`, then give others a turn: `await asyncio.sleep(0)`.",
        ),
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
    is_late = lag_s >= _LAG_S
    shown = f"a beat was {lag_s * 1000:.0f} ms late, and less than 50 was asked for."
    seen = f"{shown} All {work_s * 1000:.0f} ms of work were done in one piece."
    why = "What in it lets others run? Neither `async def` does, nor an `await` that never waits."
    more = "After each image `await asyncio.sleep(0)`; or let a thread do the work: "
    more += "`await asyncio.to_thread(...)`."
    demand(not is_late or block_s <= work_s - 0.001, "no-turn", seen, why, more)
    seen = f"{shown} No piece of work was longer than {block_s * 1000:.0f} ms, but all of them "
    seen += "were in the queue before the beat was due."
    why = "A beat that falls due queues behind all the tasks that are ready. How many are?"
    more = "One task, and a turn after each image: `await asyncio.sleep(0)`."
    demand(not is_late or lag_s <= 3 * block_s + 0.001, "in-line", seen, why, more)
    seen = f"{shown} The longest piece of work without a turn took {block_s * 1000:.0f} ms."
    why = "How many images do you label between two turns? And how many pieces can delay a beat?"
    more = "Up to three pieces can delay a beat: `await asyncio.sleep(0)` after each image."
    demand(not is_late, "too-rarely", seen, why, more)
    shown = f"no beat was late, but the work takes {work_s:.2f} s, and yours took {room.took_s:.2f}"
    why = "The others need a turn, not a pause."
    more = "`await asyncio.sleep(0)` waits for nothing: it only goes to the end of the line."
    demand(room.took_s <= 1.25 * work_s, "slow", f"{shown} s.", why, more)


# ---- 05-paper ----
_PAPER = (4.32, 0.87)  # seconds: as it is, and the least
_AT_BEST = {
    0.72: (
        "no-ends",
        "That is the training alone. What could hide the first load, or the last report?",
        "Before the first batch there is nothing to train on, and the last report comes after the "
        "last training. Add both.",
    ),
    0.81: ("no-last", "What goes on while the last report is under way?"),
    0.78: ("no-first", "What goes on while the first shard is loaded?"),
}


@exercise("05-paper")
def paper(answer: Any) -> str:
    """Check two predictions: what the program takes as it is, and the least it can take."""
    bets = answers.read_list(answer, "two numbers of seconds", "a number")
    are_numbers = len(bets) == 2 and all(map(answers.is_number, bets))
    demand(are_numbers, "kind", f"two numbers of seconds were expected, got {shorten(answer)}.")
    now_s, best_s = bets
    why = "The answer is in seconds: 90 ms are 0.09 s."
    demand(0 < now_s < 100, "unit", f"not {shorten(now_s)} and {shorten(best_s)}.", why)
    now_s, best_s = float(now_s), float(min(best_s, 1e6))
    shown = f"as it is, it does not take {now_s:g} s."
    why = "Nothing overlaps: add up the three times of a shard. How many shards are there?"
    more = "Each shard takes 90 + 30 + 60 ms, and there are 24."
    demand(abs(now_s - _PAPER[0]) < 0.03, "now", shown, why, more)
    shown = f"{shorten(best_s)} s is not the bound."
    for typical, (code, *said) in _AT_BEST.items():
        demand(abs(best_s - typical) >= 0.006, code, shown, *said)
    why = "Only one batch is trained on at a time: 24 x 30 ms of computing remain."
    demand(best_s > min(_AT_BEST), "train-all", shown, why)
    is_right = abs(best_s - _PAPER[1]) < 0.006
    slow = "A program can take less." if best_s > _PAPER[1] else "Every program takes more."
    why = "Which part can only be done one at a time? Which waits have nothing to hide behind?"
    more = "Several loads overlap, and a report goes on beside the next training: only the first "
    more += "load and the last report are exposed."
    demand(is_right, "bound", f"{shown} {slow}", why, more)
    return "24 x 180 ms as it is; at best the training, the first load and the last report."


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
    shown = "the shards were not trained on in the order of `job.keys`."
    why = "The model depends on the order. Load ahead, but train in order."
    demand(trained == job.keys, "order", shown, why, "`Pipeline.map` and `gather` keep the order.")
    missing = count - len(set(job.reported))
    shown = f"{missing} of {count} reports had not arrived when the program ended."
    why = "What waits for the reports that are still under way at the end?"
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
