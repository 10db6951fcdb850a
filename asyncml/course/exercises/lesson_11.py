"""The exercises of lesson 11: a synchronous step, a policy, a lost update, old gradients."""

import asyncio
import re
from typing import Any

import numpy as np

from asyncml.course.exercises import Wrong, exercise, plain, said_by
from asyncml.course.exercises.answers import demand_class, is_number, read_list
from asyncml.course.exercises.attempts import attempt, check_kind
from asyncml.course.exercises.fleets import FIRST, Away, Worker, runs_of
from asyncml.course.exercises.scenes import NOT_AWAITABLE, Hints, check_plain, demand, play, quietly
from asyncml.distributed.policies import KSync, Policy

# ---- 11-barrier ----
_SECONDS = (0.1, 0.3, 0.2)
_STEPS, _LR = 4, 0.25
_GATHER = "`await asyncio.gather(*(worker.gradient(params) for worker in workers))`."
_BARRIER_HINTS: Hints = {
    "positional argument": ("kind", "Four arguments: `workers, params, steps, lr`."),
    **dict.fromkeys(
        (*NOT_AWAITABLE, "unsupported operand", "coroutine"),
        ("not-awaited", "`worker.gradient(params)` is a coroutine: await it.", _GATHER),
    ),
}


async def _in_step(workers: Any, params: Any, steps: int, lr: float) -> Any:
    for _ in range(steps):
        asked = (worker.gradient(params) for worker in workers)
        params = params - lr * np.mean(await asyncio.gather(*asked), axis=0)
    return params


@exercise("11-barrier", ours=_in_step)
@quietly
def train_in_step(answer: Any) -> str:
    """Check a synchronous training loop: all gradients by the same parameters, and their mean."""
    check_kind(answer, True)
    workers = [Worker(each_s, place) for place, each_s in enumerate(_SECONDS)]
    right = expected = FIRST.copy()
    for _ in range(_STEPS):
        expected = expected - _LR * np.mean([each.exact(expected) for each in workers], axis=0)
    run = play(answer, workers, right, _STEPS, _LR, of=answer, hints=_BARRIER_HINTS)
    counts = [len(each.asked) for each in workers]
    shown = f"in {_STEPS} steps the workers were asked {counts} times."
    demand(len(set(counts)) == 1, "left-out", shown, "Each step needs a gradient of every worker.")
    demand(counts[0] == _STEPS, "steps", shown, "Once in each step.")
    asked = [each.asked[1][1] for each in workers]
    shown = "the second step asked for gradients by the parameters of the first."
    more = "Change `params` before you ask again: `params = params - lr * ...`."
    is_new = not any(np.array_equal(params, FIRST) for params in asked)
    demand(is_new, "old", shown, "What do the workers have to know before they begin?", more)
    shown = f"{_STEPS} steps took {run.seconds:.1f} s, and the slowest worker takes 0.3 s for one."
    why = "An `await` within a loop over the workers lets them compute one after the other."
    demand(run.seconds < 1.25, "in-turn", shown, why, _GATHER)
    why = "Is every gradient of a step there before the parameters change?"
    demand(run.seconds > 1.15, "not-waited", shown, why, _GATHER)
    demand(run.result is not None, "no-return", "it returned None.", "Is there a `return`?")
    found = np.asarray(run.result, dtype=float)
    _demand_parameters(found, expected, workers)
    return "a step takes as long as its slowest worker, and it is a step on all the data."


def _demand_parameters(found: Any, expected: Any, workers: list[Worker]) -> None:
    if found.shape == expected.shape and np.allclose(found, expected):
        return
    summed = FIRST.copy()
    for _ in range(_STEPS):
        summed = summed - _LR * np.sum([each.exact(summed) for each in workers], axis=0)
    shown = f"the parameters came out as {found!s:.40}, and {expected!s:.40} was expected."
    is_sum = found.shape == summed.shape and np.allclose(found, summed)
    why = "That is a step by the sum. With more workers it would get longer and longer."
    demand(not is_sum, "sum", shown, why, "`np.mean(gradients, axis=0)`.")
    raise Wrong("other", shown, "params - lr * the mean of the gradients, in each step.")


# ---- 11-policy ----
_PENDING = "`may_go_on` returns `not pending`."


@exercise("11-policy", ours=KSync)
@quietly
def first_of(answer: Any) -> str:
    """Check a policy whose updates take the first k gradients."""
    demand_class(answer)
    shown = f"`{answer.__name__}` is no policy."
    demand(issubclass(answer, Policy), "kind", shown, f"`class {answer.__name__}(aml.Policy):`.")
    for k, seconds in ((2, (1.0, 1.5, 4.0)), (3, (1.0, 2.5, 9.0, 3.0)), (1, (1.0, 3.0))):
        policy = _made(answer, k)
        for name, arguments in (("needed", (len(seconds),)), ("may_go_on", (0, 0))):
            told = getattr(policy, name)(*arguments)
            demand(told is not None, "open", f"write the body of `{name}`: it returns None.")
        demand(
            policy.drops_stale,
            "stale",
            "`drops_stale` is false, so gradients by older parameters count.",
            "Whoever is late begins again, by the newest parameters.",
        )
        expected, found = runs_of(k, seconds), _run(policy, seconds, answer)
        _demand_same(k, found, expected, policy.may_go_on(1, 0))
    return "the slowest is not waited for, and every gradient is by the newest parameters."


def _made(answer: Any, k: int) -> Any:
    try:
        return answer(k)
    except Exception as error:
        shown = f"`{answer.__name__}({k})` raised {said_by(error)}."
        raise Wrong("raised", shown, "`def __init__(self, k)` keeps k.") from None


def _run(policy: Any, seconds: tuple[float, ...], answer: Any) -> list[Any]:
    try:
        return runs_of(policy, seconds, answer)
    except Wrong as wrong:
        stuck = re.search(r"lets no worker go on.*needed\((\d+)\) is (\d+)", wrong.message)
        if not stuck:
            raise
        workers, needed = map(int, stuck.groups())
        shown = f"all wait: {workers} workers have batches left, and an update needs {needed}."
        why = "At the end fewer than k of them have batches."
        demand(needed <= workers, "too-many", shown, why, "`min(self.k, workers)`.")
        shown = "the first gradients made an update, and then nobody went on."
        why = "Once its gradient is in an update, none of a worker's gradients is pending."
        raise Wrong("nobody-goes-on", shown, why, _PENDING) from None


def _demand_same(k: int, found: list[Any], expected: list[Any], all_go_on: bool) -> None:
    for place, (seen, right) in enumerate(zip(found, expected, strict=False), start=1):
        if seen == right:
            continue
        shown = f"with k = {k}, update {place} took {len(seen[1])} gradients at {seen[0]:g} s; "
        shown += f"expected: {len(right[1])} at {right[0]:g} s."
        more = f"`needed` returns how many gradients make an update: {k} here."
        is_number_right = len(seen[1]) == len(right[1]) or all_go_on
        demand(is_number_right, "how-many", shown, "How many does it take?", more)
        why = "A worker whose gradient waits for others must wait, too: is it `pending`?"
        raise Wrong("who-goes-on", shown, why, _PENDING)
    shown = f"with k = {k} there were {len(found)} updates, expected {len(expected)}."
    demand(len(found) == len(expected), "how-many", shown, f"An update takes {k} gradients.")


# ---- 11-lost ----
_LOCKED = """async with lock:
    newest = await shared.pull()
    await shared.push(newest - step)"""
_LOST_HINTS: Hints = {
    "positional argument": ("kind", "Four arguments: `shared, gradient, steps, lock`."),
    **dict.fromkeys(
        (*NOT_AWAITABLE, "context manager"),
        ("await-plain", "A lock is entered with `async with lock:`.", _LOCKED),
    ),
}


@exercise("11-lost")
@quietly
def lose_nothing(answer: Any) -> str:
    """Check a worker that changes shared parameters and loses no update, and still overlaps."""
    check_kind(answer, True)
    away = Away(workers=4, steps=5)
    run = play(away.run, answer, of=answer, hints=_LOST_HINTS)
    demand(away.computed == 20, "steps", f"{away.computed} gradients were computed, of 4 times 5.")
    lost = 20 - away.kept()
    shown = "20 gradients were computed, and no step was pushed."
    demand(lost < 20, "no-push", shown, "Each of them is a step of the parameters.")
    shown = f"20 steps were taken, and {lost} of them are lost."
    why = "Between `pull` and `push` another worker pushes. Which of your awaits lie between them?"
    more = f"Pull once more where nobody can come between:\n{_LOCKED}"
    demand(lost <= 0, "lost", shown, why, more)
    demand(lost == 0, "twice", f"20 steps were taken, and {-lost} more were pushed.", why, more)
    shown = f"nothing is lost, and it took {run.seconds:.2f} s: the gradients came in turn."
    why = "A gradient takes 100 ms. Need anybody hold the lock meanwhile?"
    demand(run.seconds < 1.2, "in-turn", shown, why, more)
    return "nothing is lost, and the gradients are computed side by side, some by old parameters."


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
    """Check gradient descent on w * w / 2 whose gradients are a number of steps old."""
    check_plain(answer)
    for rate, delay, steps in ((0.5, 0, 4), (0.25, 1, 6), (0.3, 3, 12), (1.2, 2, 9)):
        run = attempt(answer, rate, delay, steps, is_async=False, may_raise=IndexError)
        why = "Before step `delay` there is no place that old: the start has to do."
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
            demand(not newest, "newest", shown, "That gradient is by the newest place.", _OLD)
            why = "No place is older than the start."
            demand(delay == 0 or t > delay + 1, "start", shown, why, _OLD)
            why = f"Step {t - 1} uses the place from {delay} steps before."
            raise Wrong("other", shown, why, _OLD)
    return "an old gradient points to where it was downhill."


# ---- 11-which ----
_WHICH = ["stale-sync", "sync", "async"]
_WHICH_HINTS = {
    "sync": "In `sync` all of them go on at the same moment.",
    "async": "In `async` nobody waits for anybody.",
    "stale-sync": "In `stale-sync` the fast ones wait, but not in every step.",
}


@exercise("11-which")
def which(answer: Any) -> str:
    """Check which policy each of three timelines shows."""
    words = read_list(answer, "three words", "a word")
    said = [str(word).strip().lower().replace("_", "-").replace(" ", "-") for word in words]
    known = sorted(_WHICH)
    shown = f"three of {', '.join(known)} were expected, got {words!r:.60}."
    demand(len(said) == 3 and set(said) <= set(known), "kind", shown)
    for name, word, right in zip("ABC", said, _WHICH, strict=True):
        demand(word == right, "mixed-up", f"{name} is not {word}.", _WHICH_HINTS[word])
    return "the waits between the workers tell them apart."
