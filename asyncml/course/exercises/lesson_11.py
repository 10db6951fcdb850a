"""The exercises of lesson 11: synchronous steps, a policy, a lost update, old gradients, a ring."""

import asyncio
import functools
import math
import re
from typing import Any

import numpy as np

from asyncml.course.exercises import Wrong, exercise, plain, refuse
from asyncml.course.exercises.answers import demand_class, demand_returned, is_number, read_list
from asyncml.course.exercises.attempts import attempt, check_kind
from asyncml.course.exercises.fleets import FIRST, Away, Worker, runs_of
from asyncml.course.exercises.scenes import (
    NOT_AWAITABLE,
    Hints,
    check_plain,
    demand,
    hinting,
    play,
    quietly,
)
from asyncml.distributed.policies import KSync, Policy
from asyncml.failures import shorten

# ---- 11-barrier ----
_FLEET = ((0.1, 0), (0.3, 1), (0.2, 4))  # each worker's seconds for a gradient, and its place
_STEPS, _LR = 4, 0.25
_GATHER = "`await asyncio.gather(*(worker.gradient(params) for worker in workers))`."
_MEAN = "`params = params - lr * np.mean(gradients, axis=0)`."
_BARRIER_HINTS: Hints = {
    **dict.fromkeys(
        (*NOT_AWAITABLE, "unsupported operand", "coroutine"),
        ("not-awaited", "`worker.gradient(params)` is a coroutine: await it.", _GATHER),
    ),
    "AxisError": ("not-awaited", "`asyncio.gather(...)` has to be awaited.", _GATHER),
    "unhashable type": ("listed", "`gather` takes coroutines, not a list: put a `*` before it."),
    "can't multiply": ("no-mean", "`gather` returns a list: take its mean.", _MEAN),
}


async def _in_step(workers: Any, params: Any, steps: int, lr: float) -> Any:
    for _ in range(steps):
        asked = (worker.gradient(params) for worker in workers)
        params = params - lr * np.mean(await asyncio.gather(*asked), axis=0)
    return params


@exercise("11-barrier", ours=_in_step)
@quietly
def train_in_step(answer: Any) -> str:
    """Check a synchronous training loop: all gradients at the same parameters, and their mean."""
    check_kind(answer, True)
    workers = [Worker(each_s, place) for each_s, place in _FLEET]
    right = expected = FIRST.copy()
    for _ in range(_STEPS):
        expected = expected - _LR * np.mean([each.exact(expected) for each in workers], axis=0)
    run = play(answer, workers, right, _STEPS, _LR, of=answer, hints=_BARRIER_HINTS)
    counts = [len(each.asked) for each in workers]
    shown = f"in {_STEPS} steps the workers were asked {counts} times."
    demand(counts == [_STEPS] * 3, "steps", shown, "Each step needs one gradient of every worker.")
    asked = [each.asked[1][1] for each in workers]
    shown = "the second step asked for gradients at the parameters of the first."
    more = "Change `params` before you ask again: `params = params - lr * ...`."
    is_new = not any(np.array_equal(params, FIRST) for params in asked)
    demand(is_new, "old", shown, "What do the workers have to know before they begin?", more)
    shown = "in the second step the workers were given different parameters."
    is_same = all(np.array_equal(params, asked[0]) for params in asked)
    demand(is_same, "apart", shown, "Take one step for all of them, by the mean gradient.", _MEAN)
    shown = f"{_STEPS} steps took {run.seconds:.1f} s, and the slowest worker takes 0.3 s for one."
    why = "An `await` in a loop over the workers makes them compute one after the other."
    demand(run.seconds < 1.25, "in-turn", shown, why, _GATHER)
    why = "Wait for every gradient of a step before you change the parameters."
    demand(run.seconds > 1.15, "not-waited", shown, why, _GATHER)
    demand_returned(run.result)
    found = np.asarray(run.result, dtype=float)
    shown = f"it returned an array of shape {found.shape}, expected {FIRST.shape}."
    demand(found.shape == FIRST.shape, "kind", shown, "Return the parameters.")
    _demand_parameters(found, expected, workers)
    return "a step takes as long as its slowest worker, and it is a step on all the data."


def _demand_parameters(found: Any, expected: Any, workers: list[Worker]) -> None:
    if np.allclose(found, expected):
        return
    summed = FIRST.copy()
    for _ in range(_STEPS):
        summed = summed - _LR * np.sum([each.exact(summed) for each in workers], axis=0)
    shown = f"the parameters came out as {found!s:.40}, expected {expected!s:.40}."
    why = "You added the gradients up. With more workers, the step would get longer and longer."
    demand(not np.allclose(found, summed), "sum", shown, why, _MEAN)
    why = "Each step subtracts `lr` times the mean over the workers, for each parameter on its own."
    raise Wrong("other", shown, why, _MEAN)


# ---- 11-policy ----
_PENDING = "`may_go_on` returns `not pending`."


@exercise("11-policy", ours=KSync)
@quietly
def first_of(answer: Any) -> str:
    """Check a policy that makes an update from the first k gradients."""
    demand_class(answer)
    shown = f"`{answer.__name__}` is not a policy."
    demand(issubclass(answer, Policy), "kind", shown, f"`class {answer.__name__}(aml.Policy):`.")
    for k, seconds in ((2, (1.0, 1.5, 4.0)), (3, (1.0, 2.5, 9.0, 3.0)), (1, (1.0, 3.0))):
        with hinting({"": ("raised", "`def __init__(self, k)` keeps k.")}):
            policy = attempt(answer, k, is_async=False).result
        _demand_told(policy, "needed", "a whole number", len(seconds))
        _demand_told(policy, "may_go_on", "True or False", 0, 0)
        shown = "`drops_stale` is false, so gradients at older parameters count."
        demand(policy.drops_stale, "stale", shown, "A worker that is late must begin again.")
        expected, found = runs_of(k, seconds), _run(policy, seconds, answer)
        _demand_same(k, found, expected, policy.may_go_on(1, 0))
    return "nobody waits for the slowest, and every gradient is at the newest parameters."


def _demand_told(policy: Any, name: str, kind: str, *arguments: int) -> None:
    told = attempt(getattr(policy, name), *arguments, is_async=False).result
    demand(told is not None, "open", f"write the body of `{name}`: it returns None.")
    shown = f"`{name}` has to return {kind}, got {shorten(told)}."
    demand(isinstance(told, int | np.integer | np.bool_), "kind", shown)


def _run(policy: Any, seconds: tuple[float, ...], answer: Any) -> list[Any]:
    try:
        return runs_of(policy, seconds, answer)
    except Wrong as wrong:
        stuck = re.search(r"lets no worker go on.*needed\((\d+)\) is (\d+)", wrong.message)
        if not stuck:
            raise
        workers, needed = map(int, stuck.groups())
        shown = f"all wait: an update needs {needed} gradients; workers with batches: {workers}."
        why = "At the end, fewer than k workers have batches."
        demand(needed <= workers, "too-many", shown, why, "`min(self.k, workers)`.")
        shown = "the first gradients made an update, and then nobody went on."
        why = "Once its gradient is in an update, a worker has none `pending`, and may go on."
        raise Wrong("nobody-goes-on", shown, why, _PENDING) from None


def _demand_same(k: int, found: list[Any], expected: list[Any], all_go_on: bool) -> None:
    for place, (seen, right) in enumerate(zip(found, expected, strict=False), start=1):
        if seen == right:
            continue
        shown = f"with k = {k}, update {place} came at {seen[0]:g} s (gradients: {len(seen[1])}); "
        shown += f"expected: {right[0]:g} s ({len(right[1])})."
        more = f"`needed` returns how many gradients make an update: {k} here."
        is_number_right = len(seen[1]) == len(right[1]) or all_go_on
        demand(is_number_right, "how-many", shown, "How many does it take?", more)
        why = "A worker must wait as long as its gradient is `pending`."
        if seen[0] > right[0]:
            why = "A worker waits though its gradient is in an update. `ahead` is no reason."
        raise Wrong("who-goes-on", shown, why, _PENDING)
    shown = f"with k = {k} there were {len(found)} updates, expected {len(expected)}."
    demand(len(found) == len(expected), "how-many", shown, f"An update takes {k} gradients.")


# ---- 11-lost ----
_LOCKED = """async with lock:
    newest = await shared.pull()
    await shared.push(newest - step)"""
_LOST_HINTS: Hints = {
    **dict.fromkeys(
        (*NOT_AWAITABLE, "context manager"),
        ("await-plain", "A lock is entered with `async with lock:`.", _LOCKED),
    ),
    "'coroutine'": ("not-awaited", "Await `pull`, `gradient` and `push`.", _LOCKED),
    "Lock is not acquired": ("not-acquired", "`async with lock:` acquires and releases it."),
    "Lock.acquire": ("deadlock", "Who holds the lock? `async with lock:` releases it.", _LOCKED),
}


@exercise("11-lost")
@quietly
def lose_nothing(answer: Any) -> str:
    """Check a worker that changes shared parameters without losing updates or overlap."""
    check_kind(answer, True)
    away = Away(workers=4, steps=5)
    run = play(away.run, answer, of=answer, hints=_LOST_HINTS)
    demand(away.computed == 20, "steps", f"{away.computed} gradients were computed, of 4 times 5.")
    shown = f"20 gradients were computed, but only {away.pushed} pushes arrived."
    demand(away.pushed >= 20, "no-push", shown, "Push each step, and await that.")
    lost = 20 - away.kept()
    shown = f"20 steps of 1 had to be subtracted from 0; the result is {away.kept()}."
    demand(lost < 20, "sign", shown, "Push the newest parameters minus your step.")
    shown = f"20 steps were taken, and {lost} of them are lost."
    why = "Another worker pushes between your `pull` and your `push`: what do you await there?"
    more = f"Pull once more, where nobody can push in between:\n{_LOCKED}"
    demand(lost <= 0, "lost", shown, why, more)
    demand(lost == 0, "twice", f"20 steps were taken, and {-lost} more were pushed.", why, more)
    shown = f"nothing is lost, but it took {run.seconds:.2f} s: one gradient after another."
    why = "A gradient takes 100 ms. Do not hold the lock while you compute it."
    demand(run.seconds < 1.2, "in-turn", shown, why, more)
    return "nothing is lost, and the gradients are computed side by side."


# ---- 11-delay ----
_OLD = "`places[max(0, t - delay)]` is where step t takes its gradient."


def _delayed(rate: float, delay: int, steps: int) -> list[float]:
    places = [1.0]
    for t in range(steps):
        places.append(places[t] - rate * places[max(0, t - delay)])
    return places


@exercise("11-delay", ours=_delayed)
@quietly
def descend_late(answer: Any) -> str:
    """Check gradient descent on w * w / 2 with gradients that are `delay` steps old."""
    check_plain(answer)
    for rate, delay, steps in ((0.5, 0, 4), (0.25, 1, 6), (0.3, 3, 12), (1.2, 2, 9)):
        run = attempt(answer, rate, delay, steps, is_async=False, may_raise=IndexError)
        why = "In the first steps there is no place that old: take the start."
        demand(run.error is None, "start", "it raised an IndexError.", why, _OLD)
        found = plain(run.result)
        called = f"with rate {rate}, delay {delay} and {steps} steps"
        demand(found is not None, "no-return", f"{called}, it returned None.", "`return`?")
        places = read_list(found, f"{steps + 1} places", "a number")
        demand(all(map(is_number, places)), "kind", f"{called}, got {places!r:.60}.")
        shown = f"{called}, it returned {len(places)} places, expected {steps + 1}."
        demand(len(places) == steps + 1, "length", shown, "The start, w = 1, is the first.")
        right = _delayed(rate, delay, steps)
        for t, (seen, expected) in enumerate(zip(places, right, strict=True)):
            if abs(seen - expected) < 1e-9:
                continue
            shown = f"{called}, place {t} is {seen:.4g}, expected {expected:.4g}."
            newest = abs(seen - _delayed(rate, 0, steps)[t]) < 1e-9 and delay
            demand(not newest, "newest", shown, "That uses the gradient at the newest place.", _OLD)
            demand(t > 0, "start", shown, "The first place is the start, w = 1.")
            why = "No place is older than the start."
            demand(t > delay, "start", shown, why, _OLD)
            why = f"Step {t - 1} starts at place {t - 1}, with the gradient at {t - 1 - delay}."
            raise Wrong("other", shown, why, _OLD)
    return "each step uses a gradient that is `delay` steps old."


# ---- 11-which ----
_WHICH = ["stale-sync", "sync", "async"]
_WHICH_HINTS = {
    "sync": "In `sync`, all workers begin each step at the same moment.",
    "async": "In `async`, nobody waits for anybody until the batches are used up.",
    "stale-sync": "In `stale-sync`, the fast ones wait, but not after every step.",
}


@exercise("11-which")
def which(answer: Any) -> str:
    """Check which policy each of three timelines shows."""
    answer = answer.split(",") if isinstance(answer, str) else answer
    words = read_list(answer, "three words", "a word")
    said = [re.sub(r"[\W_]", "", str(word)).lower().replace("stale", "stale-") for word in words]
    known = sorted(_WHICH)
    shown = f"three of {', '.join(known)} were expected, got {words!r:.60}."
    demand(len(said) == 3 and set(said) <= set(known), "kind", shown)
    for name, word, right in zip("ABC", said, _WHICH, strict=True):
        demand(word == right, "mixed-up", f"{name} is not {word}.", _WHICH_HINTS[word])
    return "the waits between the workers tell them apart."


# ---- 11-ring ----
_LAPS = "With three workers, a piece makes two hops to be added up, and two to be handed out."
_ROUNDS = "Count the rounds. Each takes `latency + size / workers / bandwidth`."


def _ring_s(size: float, workers: int, bandwidth: float, latency: float) -> float:
    return 2 * (workers - 1) * (latency + size / workers / bandwidth)


@exercise("11-ring", ours=_ring_s)
@quietly
def time_the_ring(answer: Any) -> str:
    """Check how many seconds a ring all-reduce takes."""
    check_plain(answer)
    for size, workers, bandwidth, latency in ((4e6, 4, 1e6, 0.4), (3e6, 10, 2e6, 0.01)):
        found = plain(attempt(answer, size, workers, bandwidth, latency, is_async=False).result)
        demand_returned(found)
        demand(is_number(found), "kind", f"it returned {shorten(found)}, not a number.")
        right, bytes_s = (_ring_s(size, workers, bandwidth, each) for each in (latency, 0))
        whole = _ring_s(size * workers, workers, bandwidth, latency)
        too_far = right * workers / (workers - 1)
        is_near = functools.partial(math.isclose, found, rel_tol=1e-6)
        shown = f"with {workers} workers, it returned {found:.4g} s, expected {right:.4g} s."
        is_hops = is_near(too_far) or is_near(too_far / 2)
        refuse(
            shown,
            (is_near(right / 2), "one-lap", "After a lap each has only one finished piece.", _LAPS),
            (is_hops, "hops", "How many others must a piece reach?", _LAPS),
            (is_near(right * workers), "in-turn", "All workers send at the same time.", _ROUNDS),
            (is_near(whole), "whole-vector", "How many bytes are there in a message?", _ROUNDS),
            (is_near(latency + bytes_s), "latency-once", "Every message has its latency.", _ROUNDS),
            (not is_near(right), "other", _ROUNDS),
        )
    return "two laps of the ring, and each message is one piece."
