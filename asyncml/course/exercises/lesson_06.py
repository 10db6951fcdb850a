"""The exercises of lesson 06: failures, stops, time-outs, a diagnosis, and patients mended."""

import asyncio
import inspect
import random
from collections.abc import Callable, Coroutine
from typing import Any

from asyncml.clock import compute, simulate
from asyncml.course.exercises import Wrong, exercise, expect, patients, readings, storms, troubles
from asyncml.course.exercises.answers import read_list
from asyncml.course.exercises.attempts import Attempt, check_kind
from asyncml.course.exercises.fetches import Shop, run_fetches
from asyncml.course.exercises.readings import Case
from asyncml.course.exercises.scenes import demand, play, quietly
from asyncml.failures import shorten
from asyncml.timeline.recorder import record
from asyncml.timeline.timeline import Timeline

_TRY_INSIDE = (
    "Put `try: ... await fetch(key) ... except ValueError` into a small `async def` of your own, "
    "and start that for each key: then no task fails, and none is cancelled."
)
_IN_ORDER = "It ends with `return images, failures`."


# ---- 06-harvest ----
@exercise("06-harvest")
@quietly
def harvest(answer: Any) -> str:
    """Check a function that fetches all keys at once, and returns the data and the failures."""
    for seed in range(1, 4):
        shop = Shop(seed)
        broken = random.Random(seed).sample(shop.keys, seed)
        shop.errors = {key: ValueError(f"{key} is broken") for key in broken}
        run = _run_harvest(answer, shop)
        if run.error is not None:
            _refuse_escaped(run.error)
        _judge_harvest(shop, *_two_dicts(run.result))
        shown = f"right, but in {run.seconds:.2f} s; the slowest takes {shop.longest_s:.2f} s."
        why = "Does the second fetch begin before the first one has ended?"
        more = "Start them all, with `asyncio.gather` or in a `TaskGroup`, and only then wait."
        demand(run.seconds < shop.longest_s + 1e-6, "sequence", shown, why, more)
    _judge_mistake(answer, shop)
    _judge_stopped_harvest(answer, Shop(seed=4))
    return "images kept, failures named; a bug or a cancellation counts as neither."


def _run_harvest(answer: Any, shop: Shop) -> Attempt:
    try:
        return run_fetches(answer, shop, may_raise=(ValueError, BaseExceptionGroup))
    except Wrong as wrong:
        if "await wasn't used" in wrong.message:
            why = (
                "`gather` returns a future, and awaiting that gives the list. Where is the `await`?"
            )
            raise Wrong("not-awaited", wrong.message, why) from None
        raise


def _refuse_escaped(error: BaseException) -> None:
    if isinstance(error, BaseExceptionGroup):
        raise Wrong(
            "group",
            f"two objects are broken, and out came an {type(error).__name__}.",
            "A plain `except ValueError` does not take a group, even if all in it are ValueErrors. "
            "And by then the group has cancelled the other fetches: where must the `try` stand?",
            "`except*` would catch it, too late for the successes. " + _TRY_INSIDE,
        )
    raise Wrong(
        "escaped",
        "one object is broken, and its ValueError ended everything.",
        "On which line is it raised: where the task is made, or where it is awaited?",
        _TRY_INSIDE,
    )


def _two_dicts(result: Any) -> tuple[dict[Any, Any], dict[Any, Any]]:
    pair = list(result) if isinstance(result, tuple | list) else []
    is_pair = len(pair) == 2 and all(isinstance(part, dict) for part in pair)
    kinds = " and ".join(type(part).__name__ for part in pair) or shorten(result)
    shown = f"it returned {kinds}, and not two dicts."
    demand(is_pair, "kind", shown, _IN_ORDER)
    return pair[0], pair[1]


def _judge_harvest(shop: Shop, images: dict[Any, Any], failures: dict[Any, Any]) -> None:
    found = [*images.items(), *failures.items()]
    awaitables = [value for _, value in found if inspect.isawaitable(value)]
    for value in filter(inspect.iscoroutine, awaitables):
        value.close()
    shown = "there are tasks or coroutines in the dicts, and not their results."
    demand(not awaitables, "not-awaited", shown, "How do you get the result of a task?")
    shown = "both dicts were empty: it came back before any of the fetches."
    demand(bool(found), "early", shown, "Who waits for the tasks, and where?")
    _judge_keys(shop, found)
    errors = [key for key, value in images.items() if isinstance(value, BaseException)]
    is_swapped = bool(errors and failures) and len(errors) == len(images)
    shown = "the first dict has the ValueErrors, and the second the images."
    demand(not is_swapped, "swapped", shown, "Which of the two comes first?", _IN_ORDER)
    shown = f"there is an exception among the images, under {errors[0]!r}." if errors else ""
    why = "`return_exceptions=True` puts them into the list of results. Who sorts them out?"
    more = "Go through `zip(keys, results)`: `isinstance(result, ValueError)` is a failure."
    demand(not errors, "among-images", shown, why, more)
    for key in shop.keys:
        _judge_key(shop, key, images, failures)


def _judge_keys(shop: Shop, found: list[tuple[Any, Any]]) -> None:
    """Refuse results that stand under another key than their own."""
    last = shop.keys[-1]
    is_late = len(shop.asked) > 1 and set(shop.asked) == {last}
    is_late |= {key for key, _ in found} == {last} and len(set(shop.asked)) > 1
    shown = f"`fetch` was called, or its result kept, for the last key, {last!r}, each time."
    why = "An inner function looks a variable up when it runs. By then, which key has your loop?"
    more = "Give the key as an argument: `async def fetch_one(key)`, and call it with the key."
    demand(not is_late, "late-key", shown, why, more)
    rights = {**shop.data, **shop.errors}
    for key, value in found:
        is_other = any(rights[other] == value for other in shop.keys if other != key)
        shown = f"what is under {key!r} belongs to another key."
        if key not in rights:
            is_other, shown = True, f"there is something under {shorten(key)}, which is no key."
        why = "Does your loop know which key a result belongs to? `as_completed` does not say."
        more = "Start a small `async def` that is given its key, with the `try` in it."
        demand(not is_other, "which-key", shown, why, more)


def _judge_key(shop: Shop, key: str, images: dict[Any, Any], failures: dict[Any, Any]) -> None:
    if key in shop.errors:
        shown = f"the object {key!r} is broken, and `failures` does not say so."
        why = "Nobody will know that it is missing. Where does your `except` note it?"
        more = "Write `except ValueError as error`, and in it `failures[key] = error`."
        demand(key in failures, "unreported", shown, why, more)
        shown = f"`failures[{key!r}]` is {shorten(failures[key])}, "
        shown += "and not the ValueError that `fetch` raised."
        why = "Its text says what was wrong: keep the exception itself."
        demand(failures[key] is shop.errors[key], "report", shown, why, more)
        demand(key not in images, "both", f"{key!r} is in both dicts.", "It belongs in one.")
        return
    if key not in images and key in shop.cancelled:
        shown = f"the object {key!r} is whole, and its fetch was cancelled."
        why = "When one task of a group fails, the group cancels the others."
        raise Wrong("cancelled", shown, why, _TRY_INSIDE)
    shown = f"the object {key!r} is whole, and it is not among the images."
    why = "One failure may cost one image, and no more. Around what does the `try` stand?"
    demand(key in images, "lost", shown, why, _TRY_INSIDE)
    shown = f"`images[{key!r}]` is {shorten(images[key])}, and not {shop.data[key]!r}."
    demand(images[key] == shop.data[key], "image", shown, "Keep what `await fetch(key)` returns.")
    demand(key not in failures, "both", f"{key!r} is in both dicts.", "It belongs in one.")


def _judge_mistake(answer: Any, shop: Shop) -> None:
    shop.errors = {shop.keys[2]: ZeroDivisionError("a mistake in the program")}
    run = run_fetches(answer, shop, may_raise=(ZeroDivisionError, BaseExceptionGroup))
    shown = "`fetch` raised a ZeroDivisionError, a mistake in the program, and nothing came out."
    why = "Only a ValueError is a failure. Where does your code lose any other exception?"
    more = "In an `except` wider than `except ValueError`, in a `return` in a `finally`, in a list "
    more += "with `return_exceptions`, or in tasks that `asyncio.wait` only waits for: `raise` it."
    demand(run.error is not None, "swallowed", shown, why, more)


def _judge_stopped_harvest(answer: Any, shop: Shop) -> None:
    async def scene(harvest: Callable[..., Coroutine[Any, Any, Any]]) -> tuple[bool, int]:
        before = asyncio.all_tasks()
        task = asyncio.create_task(harvest(shop.fetch, list(shop.keys)))
        await asyncio.sleep(0.005)  # before the first one has come
        task.cancel()
        await asyncio.wait([task])
        return task.cancelled(), len(asyncio.all_tasks() - before)

    was_stopped, left = play(scene, answer, of=answer).result
    shown = "it was cancelled from outside, and carried on regardless."
    why = "A CancelledError says nothing about an object. Which `except` catches it?"
    more = "`except ValueError` lets it pass. A bare `except`, `except BaseException`, and an "
    more += "`except asyncio.CancelledError` without `raise` do not."
    demand(was_stopped, "stop-swallowed", shown, why, more)
    shown = f"it was cancelled from outside, and {left} of its tasks went on."
    why = "Nobody is left to end them. Which ways of waiting cancel the tasks with the waiter?"
    more = "A `TaskGroup` and `gather` pass a cancel on; `asyncio.wait` and `shield` do not."
    demand(not left, "left-running", shown, why, more)


# ---- 06-clean-up ----
@exercise("06-clean-up")
def clean_up(answer: Any) -> str:
    """Check the bet on when a time-out comes out of a group whose tasks take time to clean up."""
    wrong = {
        1: ("punctual", "At 1 s the tasks are cancelled. Have they ended by then?"),
        1.7: ("in-turn", "That is one cleaning up after the other. Does one wait for the other?"),
        1.2: ("first", "That is the quicker one. Which of them does a group wait for?"),
        1500: ("unit", "That would be milliseconds."),
    }
    never = "never", "At 1 s the time-out cancels: nobody sleeps to the end."
    wrong |= dict.fromkeys((10, 10.2, 10.5), never)
    hint = "When are the two tasks cancelled, and when has the last one ended?"
    expect(answer, 1.5, wrong, hint)
    return "cancelled at 1 s, cleaned up at 1.2 and 1.5 s; the group waits for both."


# ---- 06-close-anyhow ----
@exercise("06-close-anyhow")
@quietly
def close_anyhow(answer: Any) -> str:
    """Check a clean-up that is finished, however often somebody cancels meanwhile."""
    check_kind(answer, True)
    troubles.judge_closing(answer)
    return "however often it is cancelled, it closes to the end, and stays cancelled."


# ---- 06-read-within ----
@exercise("06-read-within")
@quietly
def read_within(answer: Any) -> str:
    """Check a function that reads a file of coroutines within a time, and closes it anyhow."""
    check_kind(answer, True)
    cases = [
        Case("reading went well", read_s=0.3, seconds=1.0),
        Case("reading took too long", read_s=50.0, seconds=0.5),
        Case("`read` raised an OSError", read_s=0.3, seconds=1.0, error=OSError("disk failure")),
        Case("it was cancelled from outside", read_s=50.0, seconds=20.0, stop_at_s=0.7),
        Case("reading was done just in time", read_s=0.45, seconds=0.5),
        Case("opening took long, reading did not", read_s=0.3, seconds=0.5, open_s=0.4),
        Case("opening raised an OSError", 0.3, 1.0, error=OSError("no such file"), opens=False),
        Case("`read` raised a TimeoutError of its own", 0.3, 1.0, error=TimeoutError("no answer")),
    ]
    for number, case in enumerate(cases):
        file = readings.File(case, number)
        seen = readings.run_case(answer, case, file, file.open)
        readings.demand_outcome(case, seen)
        readings.demand_idle(case, file, seen)
        if case.opens:
            readings.demand_closed(case, file, seen)
            readings.demand_whole(case, file, seen)
        readings.demand_result(case, file, seen)
        shown = f"{case.told}, and it took {seen.took_s:g} s; the limit is {case.seconds:g} s."
        least = case.open_s + min(case.read_s, case.seconds) + case.close_s
        is_on_time = case.stop_at_s is not None or seen.took_s < least + 0.01
        why = "What ends the reading when time is up? To look at the clock ends nothing."
        demand(is_on_time, "late", shown, why, readings.LIMIT)
    return "read, too slow, broken or cancelled: the file is closed, and nothing is swallowed."


# ---- 06-read-in-thread ----
@exercise("06-read-in-thread")
@quietly
def read_in_thread(answer: Any) -> str:
    """Check a function that reads a blocking file in a thread, which no time-out stops."""
    check_kind(answer, True)
    cases = [
        Case("reading went well", read_s=0.3, seconds=1.0),
        Case("reading took too long", read_s=5.0, seconds=0.5),
        Case("`read` raised an OSError", read_s=0.3, seconds=1.0, error=OSError("disk failure")),
        Case("it was cancelled from outside", read_s=5.0, seconds=2.0, stop_at_s=0.7),
        Case("`read` raised a TimeoutError of its own", 0.3, 1.0, error=TimeoutError("no answer")),
    ]
    for number, case in enumerate(cases):
        file = readings.BlockingFile(case, number)
        seen = readings.run_case(answer, case, file, file)
        if file.closes_read:
            raise Wrong(
                "under-it",
                f"{case.told}, and the file was closed while the thread was still reading it.",
                "The time-out ends your waiting. Does it end the thread?",
                "Only the thread knows when it is done: let it open, read and close, in a plain "
                "`def` with a `with open_file() as file:` in it.",
            )
        why = "`await asyncio.to_thread(...)` has the loop start one."
        demand(not file.is_by_hand, "by-hand", readings.UNKNOWN_THREAD, why)
        readings.demand_outcome(case, seen)
        shown = f"{case.told}: with a limit of {case.seconds:g} s it came back after "
        why = "Whoever waits for the thread waits until it ends. Only the waiting can end early."
        more = "`await asyncio.to_thread(...)` in an `asyncio.timeout`, and after that nothing "
        more += "that waits for the thread: no executor to close, and no `await` of its task."
        is_late = case.stop_at_s is None and seen.took_s > case.seconds + 0.01
        demand(not is_late, "late", f"{shown}{seen.took_s:g} s.", why, more)
        readings.demand_closed(case, file, seen)
        readings.demand_result(case, file, seen)
    return "you stop waiting on time; the thread ends when it ends, and closes what it opened."


# ---- 06-triage ----
WORDS = ("blocked loop", "deadlock", "one at a time", "slow network", "swallowed stop")
_TRIAGE = {
    "A": (
        "blocked loop",
        {
            "slow network": "How long does each task wait, and how long is it only ready (`=`)? "
            "Its data came long ago: who has the loop?",
            "one at a time": "Their waits lie side by side. What comes one after the other is `#`.",
        },
        "Look for the lane that is `#` while others are `=`.",
    ),
    "B": (
        "slow network",
        {
            "blocked loop": "Is there any `#` or `=` in it? The loop is idle all the time.",
            "one at a time": "All of them begin at 0, and most end early.",
        },
        "All wait at once, and the loop is free. What is left?",
    ),
    "C": (
        "one at a time",
        {
            "slow network": "Each single wait is short. When does the next one begin?",
            "blocked loop": "There is no `#` and no `=`: the loop would have had time.",
        },
        "When does the second wait begin, and when could it have begun?",
    ),
}


async def _load(arrives_s: float, decode_s: float = 0.0) -> None:
    await asyncio.sleep(arrives_s)
    compute(decode_s)


async def patient_a() -> None:
    """Compute on the loop, one task after the other."""
    async with asyncio.TaskGroup() as group:
        for number in range(1, 5):
            group.create_task(_load(0.02, decode_s=0.195), name=f"load-{number}")


async def patient_b() -> None:
    """Wait for one answer that is late."""
    async with asyncio.TaskGroup() as group:
        for number, arrives_s in enumerate((0.02, 0.8, 0.03, 0.02), start=1):
            group.create_task(_load(arrives_s), name=f"load-{number}")


async def patient_c() -> None:
    """Wait for one answer after the other."""
    for number in range(1, 5):
        await asyncio.create_task(_load(0.2), name=f"load-{number}")


def waiting_room() -> dict[str, Timeline[None]]:
    """Return the timelines of three programs that take 0.8 s each, under the letters A to C."""
    patients = zip("ABC", (patient_a, patient_b, patient_c), strict=True)
    return {letter: simulate(record(patient())) for letter, patient in patients}


@exercise("06-triage")
def triage(answer: Any) -> str:
    """Check the diagnoses of three timelines."""
    words = read_list(answer, "three diagnoses", "a diagnosis")
    is_listed = len(words) == len(_TRIAGE) and all(word in WORDS for word in words)
    shown = f"three of {', '.join(map(repr, WORDS))} are expected, got {answer!r:.60}."
    demand(is_listed, "kind", shown)
    for (letter, (right, hints, more)), word in zip(_TRIAGE.items(), words, strict=True):
        why = hints.get(
            word, "Nothing hangs, and nobody cancels anything: it ends by itself, at 0.8 s."
        )
        code = f"{letter}-{word.replace(' ', '-')}"
        demand(word == right, code, f"{letter} is not {word!r}.", why, f"{why} {more}")
    return "three programs of 0.8 s each, and the network is to blame for one of them."


# ---- the clinic ----
@exercise("06-patient-3")
@quietly
def patient_3(answer: Any) -> str:
    """Check a function that parses messages and does not hold up a heart beside it."""
    check_kind(answer, True)
    patients.judge_parsing(answer)
    return "parsed in order, and no heartbeat came late."


@exercise("06-patient-5")
@quietly
def patient_5(answer: Any) -> str:
    """Check a function that tries again when the connection is lost, and at nothing else."""
    check_kind(answer, True)
    storms.judge_tries(answer)
    return "a lost connection is tried again; a bug and a cancellation come out at once."


@exercise("06-patient-7")
@quietly
def patient_7(answer: Any) -> str:
    """Check a function that holds two locks, whichever way round they are named."""
    check_kind(answer, True)
    patients.judge_locks(answer)
    return "nobody waits in a circle, and those who share nothing do not wait at all."


@exercise("06-patient-8")
@quietly
def patient_8(answer: Any) -> str:
    """Check a function that starts a watchdog and ends it, however it ends itself."""
    check_kind(answer, True)
    troubles.judge_watchdog(answer)
    return "well, broken or stopped: the watchdog ends before its request does."


@exercise("06-patient-10")
@quietly
def patient_10(answer: Any) -> str:
    """Check the pauses with which a hundred clients do not come back together."""
    storms.judge_pauses(answer)
    return "the clients come back one by one, and all are served soon."
