"""The exercises of lesson 06: failures, cancellations, time-outs, a diagnosis, and patients."""

import asyncio
from typing import Any

from asyncml.clock import compute, simulate
from asyncml.course.exercises import (
    exercise,
    harvests,
    patients,
    readings,
    storms,
    troubles,
)
from asyncml.course.exercises.answers import ask_number, read_list
from asyncml.course.exercises.attempts import check_kind
from asyncml.course.exercises.readings import Case
from asyncml.course.exercises.scenes import demand, quietly
from asyncml.timeline.recorder import record
from asyncml.timeline.timeline import Timeline


# ---- 06-harvest ----
@exercise("06-harvest")
@quietly
def harvest(answer: Any) -> str:
    """Check a function that fetches all keys at once and returns the data and the failures."""
    harvests.judge_harvest(answer)
    return "images kept, failures named; a bug or a cancellation counts as neither."


# ---- 06-clean-up: when a time-out comes out of a group whose tasks take time to clean up ----
_NEVER = "never", "At 1 s the time-out cancels: nobody sleeps to the end."
ask_number(
    "06-clean-up",
    1.5,
    "cancelled at 1 s, cleaned up at 1.2 and 1.5 s; the group waits for both.",
    "When are the two tasks cancelled, and when has the last one ended?",
    {
        1: ("punctual", "At 1 s the tasks are cancelled. Have they ended by then?"),
        1.7: ("in-turn", "That is one cleaning up after the other. Does one wait for the other?"),
        1.2: ("first", "That is the quicker one. Which of them does a group wait for?"),
        1500: ("unit", "That would be milliseconds."),
        **dict.fromkeys((10, 10.2, 10.5), _NEVER),
    },
)


# ---- 06-close-anyhow ----
@exercise("06-close-anyhow")
@quietly
def close_anyhow(answer: Any) -> str:
    """Check a clean-up that finishes however often it is cancelled."""
    check_kind(answer, True)
    troubles.judge_closing(answer)
    return "however often it is cancelled, it closes to the end, and stays cancelled."


# ---- 06-read-within and 06-read-in-thread ----
def _cases(long_s: float) -> list[Case]:
    """Return what may happen while a file is read; a slow read takes `long_s` seconds."""
    return [
        Case("reading went well", read_s=0.3, seconds=1.0),
        Case("reading took too long", read_s=long_s, seconds=0.5),
        Case("`read` raised an OSError", read_s=0.3, seconds=1.0, error=OSError("disk failure")),
        Case("it was cancelled from outside", read_s=long_s, seconds=2.0, stop_at_s=0.7),
        Case("`read` raised a TimeoutError of its own", 0.3, 1.0, error=TimeoutError("no answer")),
    ]


@exercise("06-read-within")
@quietly
def read_within(answer: Any) -> str:
    """Check a function that reads an async file within a time limit and always closes it."""
    check_kind(answer, True)
    usual = _cases(50.0)
    cases = [
        *usual[:-1],
        Case("reading was done just in time", read_s=0.45, seconds=0.5),
        Case("opening took long, reading did not", read_s=0.3, seconds=0.5, open_s=0.4),
        Case("opening raised an OSError", 0.3, 1.0, error=OSError("no such file"), opens=False),
        usual[-1],
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
        why = "What ends the reading when time is up? Looking at the clock ends nothing."
        demand(is_on_time, "late", shown, why, readings.LIMIT)
    return "read, too slow, broken or cancelled: the file is closed, and nothing is swallowed."


@exercise("06-read-in-thread")
@quietly
def read_in_thread(answer: Any) -> str:
    """Check a function that reads a blocking file in a thread, which a time-out cannot stop."""
    check_kind(answer, True)
    for number, case in enumerate(_cases(5.0)):
        file = readings.BlockingFile(case, number)
        seen = readings.run_case(answer, case, file, file)
        shown = f"{case.told}, and the file was closed while the thread was still reading it."
        why = "The time-out ends your waiting. Does it end the thread?"
        more = "Only the thread knows when it is done: let it open, read and close, in a plain "
        more += "`def` with a `with open_file() as file:` in it."
        demand(not file.closes_read, "under-it", shown, why, more)
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
    """Compute on the loop, one task after another."""
    async with asyncio.TaskGroup() as group:
        for number in range(1, 5):
            group.create_task(_load(0.02, decode_s=0.195), name=f"load-{number}")


async def patient_b() -> None:
    """Wait for four answers, one of which is late."""
    async with asyncio.TaskGroup() as group:
        for number, arrives_s in enumerate((0.02, 0.8, 0.03, 0.02), start=1):
            group.create_task(_load(arrives_s), name=f"load-{number}")


async def patient_c() -> None:
    """Wait for one answer after another."""
    for number in range(1, 5):
        await asyncio.create_task(_load(0.2), name=f"load-{number}")


def waiting_room() -> dict[str, Timeline[None]]:
    """Return the timelines of three programs of 0.8 s each, by the letters A to C."""
    patients = zip("ABC", (patient_a, patient_b, patient_c), strict=True)
    return {letter: simulate(record(patient())) for letter, patient in patients}


@exercise("06-triage")
def triage(answer: Any) -> str:
    """Check the diagnoses of three timelines."""
    given = read_list(answer, "three diagnoses", "a diagnosis")
    words = [word.strip().lower() if isinstance(word, str) else word for word in given]
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
    """Check a function that parses messages without delaying a heartbeat beside it."""
    check_kind(answer, True)
    patients.judge_parsing(answer)
    return "parsed in order, and no heartbeat came late."


@exercise("06-patient-5")
@quietly
def patient_5(answer: Any) -> str:
    """Check a function that retries when the connection is lost, and only then."""
    check_kind(answer, True)
    storms.judge_tries(answer)
    return "a lost connection is tried again; a bug and a cancellation come out at once."


@exercise("06-patient-7")
@quietly
def patient_7(answer: Any) -> str:
    """Check a function that takes two locks, in whichever order they are given."""
    check_kind(answer, True)
    patients.judge_locks(answer)
    return "nobody waits in a circle, and those who share nothing do not wait at all."


@exercise("06-patient-8")
@quietly
def patient_8(answer: Any) -> str:
    """Check a function that starts a watchdog and ends it, however the function itself ends."""
    check_kind(answer, True)
    troubles.judge_watchdog(answer)
    return "finished, broken or stopped: the watchdog ends before its request does."


@exercise("06-patient-10")
@quietly
def patient_10(answer: Any) -> str:
    """Check pauses that keep a hundred clients from all coming back at once."""
    storms.judge_pauses(answer)
    return "the clients no longer come back all at once, and all are served soon."
