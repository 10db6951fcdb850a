"""The exercises of lesson 05: how many at once, bets, a heartbeat, and a program to speed up.

`hearts` and `recipes` judge three of them.
"""

import math
import random
from fractions import Fraction
from typing import Any

from asyncml.course.exercises import answers, exercise, expect
from asyncml.course.exercises.hearts import judge_heart, judge_heartbeat
from asyncml.course.exercises.nightly import ours
from asyncml.course.exercises.recipes import judge_recipe, latest
from asyncml.course.exercises.scenes import check_plain, demand, play, quietly, refuse
from asyncml.failures import shorten

_K = "Loading hands out a batch every load / k seconds. How often does the trainer need one?"


# ---- 05-k ----
@exercise("05-k")
def smallest_k(answer: Any) -> str:
    """Check the bet on the number of concurrent loads that keeps a trainer busy."""
    is_many = answers.is_number(answer) and answer > 4
    why = "Fewer keep the trainer busy. The others would only wait, each with a full batch."
    shown = f"{shorten(answer)} is enough, but not the smallest number."
    demand(not is_many, "as-many", shown, why)
    is_inverse = answers.is_number(answer) and 0.3 <= answer < 0.4
    shown, why = (
        f"{shorten(answer)} is 30 / 90.",
        "How many shards could you train on during one load?",
    )
    demand(not is_inverse, "upside-down", shown, why)
    why = "That is how many times as fast the whole becomes. How many loads does it take?"
    wrong = {
        1: ("one", "Then a batch comes every 90 ms at best, and training takes 30 of them."),
        2: ("idle", "Then a batch comes every 45 ms, and the trainer is idle for 15 of them."),
        4: ("gain", f"{why} While the trainer works on one batch, how much of each load is done?"),
    }
    expect(answer, 3, wrong, _K)
    return "three loads of 90 ms bring a batch every 30 ms, as fast as the trainer takes them."


# ---- 05-smallest-k ----
# 3.02 is not a rounding error; 0.03 / 0.01 is 3.0, but its remainder is 0.01; 0.05 // 0.01 is 4
_CASES = "0.1/0.03, 0.09/0.03, 0.02/0.03, 0.28/0.04, 0.6/0.2, 0.302/0.1, 0.03/0.01, 0.05/0.01"


@exercise("05-smallest-k")
@quietly
def smallest_k_of(answer: Any) -> str:
    """Check a function that returns the fewest concurrent loads that hide the loading."""
    check_plain(answer)
    chance = random.Random(5)
    drawn = [f"0.{chance.randint(101, 199)}/0.0{chance.randint(11, 79)}" for _ in range(4)]
    for load, train in (case.split("/") for case in [*_CASES.split(", "), *drawn]):
        found = play(answer, float(load), float(train), of=answer).result
        _judge_k(found, float(load), float(train), -(-Fraction(load) // Fraction(train)))
    return "the smallest whole number that is enough, even where 0.28 / 0.04 is not exactly 7."


def _judge_k(found: Any, load_s: float, train_s: float, right: int) -> None:
    shown = f"for {load_s:g} s of loading and {train_s:g} s of training it returned "
    demand(found is not None, "no-return", f"{shown}None.", "Is there a `return`?")
    shown, quotient = f"{shown}{shorten(found)}", load_s / train_s
    demand(answers.is_number(found), "kind", f"{shown}, which is not a number.")
    is_whole = abs(found) > 1e9 or found == found // 1
    why = "There is no such thing as half a load: round up."
    demand(is_whole, "fraction", f"{shown}.", why, "`math.ceil` rounds up.")
    is_inverse = found < right and found == math.ceil(train_s / load_s)
    inverse = "Did you divide the training by the loading? It is the other way round."
    few = f"Then a batch comes every {load_s / min(max(found, 1), right):.3g} s. Is that often "
    few += "enough?"
    is_rounding = found == right + 1 and right < quotient < right + 1e-9
    rounding = f"{load_s:g} / {train_s:g} is {quotient!r} in Python."
    less = "Take away what rounding may have added before you round up: 1e-9 is plenty."
    many = f"{load_s:g} / {train_s:g} is {quotient:.3g}: rounded up, that is enough."
    refuse(
        f"{shown}; {right} is the fewest.",
        (is_inverse, "upside-down", inverse),
        (found < right, "too-few", few, "Round up: `math.ceil`, and not `round` or `//`."),
        (is_rounding, "rounding", rounding, f"{rounding} {less}"),
        (found != right, "too-many", many),
    )


# ---- 05-half ----
@exercise("05-half")
def half(answer: Any) -> str:
    """Check the bet on how the lag of a loop at 80 % load falls if requests take half the time."""
    wrong = {
        2: ("half", "The work falls by that factor. The lag also depends on how full the loop is."),
        3: (
            "idle-only",
            "1 - load grows by that. The load and the service time are halved as well.",
        ),
        4: ("twice", "You have halved the load and the service time. What becomes of 1 - load?"),
        6: ("load-only", "That is what the load alone does. The service time falls as well."),
    }
    is_number = answers.is_number(answer)
    off = abs(answer - 12) if is_number else 12.0
    why = "By what factor does it fall? Divide the lag before by the lag after."
    demand(not (is_number and 0 < answer < 1), "inverse", f"not {shorten(answer)}.", why)
    why = "Afterwards the lag is 1.333 ms. Round only at the end."
    demand(not 0.1 < off < 0.5, "rounded", f"nearly, but not {shorten(answer)}.", why)
    why = "Before, it is 0.8 / (2 * 0.2) * 8 ms. And after?"
    expect(12 if off <= 0.1 else answer, 12, wrong, why)
    return "a twelfth: load and service time are halved, the idle share is three times as large."


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
    """Check nine bets on how many of eight jobs make progress at once on four cores."""
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
    waits = "A job that waits needs no core and holds no lock. How many can wait at once?"
    cores = "Four cores compute for four jobs at a time. The others wait for a core."
    reason = name if how == "thread" else how
    refuse(
        shown,
        (name == "waiting" and bet != right, "waiting", waits),
        (bet == 8 and right == 4, "cores", cores),
        (bet != right, reason.split()[-1].lower(), *_GRID.get(reason, ())),
    )


@exercise("05-heart")
@quietly
def heart(answer: Any) -> str:
    """Check a coroutine that records how late each of its beats comes."""
    judge_heart(answer)
    return "on time while the loop is free, and 950 ms late when a second of computing holds it."


@exercise("05-heartbeat")
@quietly
def heartbeat(answer: Any) -> str:
    """Check a coroutine that computes for a long time without delaying a heartbeat."""
    late_s = judge_heartbeat(answer)
    return f"the right labels, in no more time than the work takes, and {latest(late_s)}."


@exercise("05-recipe", ours=ours)
@quietly
def recipe(answer: Any) -> str:
    """Check a program that loads, trains and reports; say how far it is above the bound."""
    return judge_recipe(answer)


# ---- 05-paper ----
_PAPER = (4.32, 0.87)  # seconds: as given, and at best
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
    """Check two predictions: the seconds that the program takes as given, and at best."""
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
    return "4.32 s as it is, and at best 0.87 s: the training, the first load and the last report."
