"""Judges a program that loads, trains and reports, by its work and its waits; for lesson 05."""

from typing import Any

from asyncml.course.exercises.attempts import check_kind
from asyncml.course.exercises.nightly import MOST, Job
from asyncml.course.exercises.scenes import UNAWAITABLE, Hints, demand, play

_OVER = 0.05  # the share over the bound that is allowed
_BEAT_S = 0.02
_JOBS = ((24, 0.09, 0.03, 0.06), (17, 0.1, 0.04, 0.07))
_RECIPE_HINTS: Hints = {
    "the store takes": (
        "too-many",
        "Start no more loads than the trainer needs: how many is that?",
        "`aml.Pipeline(job.keys).map(load, concurrency=3)` keeps three loads under way.",
    ),
    UNAWAITABLE: (
        "await-plain",
        "`job.train` is a plain function: there is nothing in it to await.",
        "`await asyncio.to_thread(job.train, batch)` runs it beside the loop.",
    ),
    "object is not callable": (
        "called",
        "`asyncio.to_thread(job.train, batch)` calls `job.train` for you: hand it over uncalled.",
    ),
}


def judge_recipe(answer: Any) -> str:
    """Raise `Wrong` unless it comes close to the bound; say how close."""
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
    rest = f"at most {worst:.1%} over the bound" if worst > 0.0005 else "that is the bound"
    gain = f"{jobs[0].took_s:.2f} s instead of {jobs[0].before_s:.2f}"
    return f"{gain}: {rest}, and {latest(beat_s)}."


def latest(late_s: float) -> str:
    """Return a sentence about the lateness of the latest heartbeat."""
    return f"no beat was more than {late_s * 1000:.0f} ms late" if late_s else "no beat was late"


def _judge_work(job: Job) -> None:
    count, trained = len(job.keys), [key for key, _ in job.trained]
    shown = f"`train` was called {len(trained)} times, for {len(set(trained))} of {count} shards."
    demand(sorted(trained) == job.keys, "calls", shown, "Train on each shard once.")
    shown = f"{job.most_training} calls of `train` ran at the same time."
    why = "They share one model, and would overwrite each other's steps: one at a time."
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
    far = f": {over:.0%} over the bound of {job.bound_s:.2f} s" if over > 0.005 else ", the bound"
    return f"{job.took_s:.2f} s{far}"


def _judge_waits(job: Job) -> None:
    if job.took_s <= (1 + _OVER) * job.bound_s:
        return
    hungry_s, held_s = job.waits()
    shown = f"{_score(job)}."
    why = "No wait is hidden: everything still happens in turn. What could go on meanwhile?"
    more = "Load ahead while the trainer works, and let each report go on beside the next training."
    demand(job.took_s < 0.98 * job.before_s, "in-turn", shown, why, more)
    held = f"{shown} For {held_s:.2f} s a batch lay ready and the trainer did not take it."
    why = "What does your program await between training on two shards?"
    more = "Do not await a report before the next training: start it as a task in a TaskGroup."
    demand(held_s <= hungry_s, "held", held, why, more)
    shown += f" For {hungry_s:.2f} s the trainer had no batch."
    why = "No load went on while it trained. In rounds, loads hide only behind each other."
    more = "`aml.Pipeline(job.keys).map(load, concurrency=3)` loads while you train."
    demand(job.loads_meanwhile(), "rounds", shown, why, more)
    every = job.load_s / job.most_loading
    why = f"With {job.most_loading} at once, a load ends every {every * 1000:.0f} ms at best."
    why += " How often does the trainer need one?"
    if every <= job.train_s + 1e-9:
        why = "Sometimes too few loads were under way. When does the next load begin?"
    demand(False, "too-few", shown, why, f"{why} The store takes up to {MOST} at once.")
