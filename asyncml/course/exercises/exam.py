"""The exam: twelve questions before the course, and twelve of the same kinds after it.

`check("exam-before", [...])` takes twelve letters. Each wrong option is a common mistake. The
verdict counts the right answers; for each of the others it names the lesson to look at, and why.
"""

from dataclasses import dataclass
from typing import Any

from asyncml.course.exercises import Wrong, exercise
from asyncml.course.exercises.answers import demand_given
from asyncml.failures import shorten

_LETTERS = "ABCD"
_UNKNOWN = "?"


@dataclass(frozen=True)
class Topic:
    """What a pair of questions is about.

    Attributes:
        lesson: the number of the lesson that teaches it.
        why: what each of the three wrong options overlooks, without giving away the right one.
    """

    lesson: str
    why: tuple[str, str, str]


TOPICS = (
    Topic(
        "01",
        (
            "when is the second coroutine called?",
            "the waits do not replace each other",
            "calling an `async def` is not running it, and `await` is more than calling",
        ),
    ),
    Topic(
        "01",
        (
            "a task runs before anybody awaits it",
            "when does each task begin?",
            "awaiting a task does not start it",
        ),
    ),
    Topic(
        "01",
        (
            "making a task does not run it at once",
            "the word `await` alone lets nobody else run",
            "awaiting a coroutine runs it here and now",
        ),
    ),
    Topic(
        "02",
        (
            "who holds the event loop meanwhile?",
            "a turn needs an `await` that waits",
            "what was missed is not made up for",
        ),
    ),
    Topic(
        "05",
        (
            "nothing here waits, so what could overlap?",
            "coroutines share one core",
            "`async` starts nothing in the background",
        ),
    ),
    Topic(
        "05",
        (
            "the word `async` alone overlaps nothing",
            "a thread that you wait for keeps the loop free, and saves no time",
            "how much of the whole is that part?",
        ),
    ),
    Topic(
        "04",
        (
            "another task runs between reading and writing",
            "who writes last?",
            "asyncio does not watch your variables",
        ),
    ),
    Topic(
        "06",
        (
            "what can stop a thread?",
            "the waiting does end in time",
            "the exception comes out where somebody awaits",
        ),
    ),
    Topic(
        "07",
        (
            "rate times latency, not rate over latency",
            "in flight is what is on its way at any one moment",
            "more than that would only wait",
        ),
    ),
    Topic(
        "01",
        (
            "the semaphore has two places",
            "a place is free again as soon as one has ended",
            "two places, so two at once",
        ),
    ),
    Topic(
        "09",
        (
            "a longer queue is not a faster one",
            "which side sets the pace?",
            "the steps are not what is waited for",
        ),
    ),
    Topic(
        "10",
        (
            "every batch pays the fixed part",
            "a batch is more than one row",
            "and each row has a price as well",
        ),
    ),
)

# For each question, what A to D stand for: 0 is right; 1 to 3 are the wrong options of `why`.
_OPTIONS = {
    "exam-before": "1203 0132 2013 1302 3102 2031 1230 0213 3021 1320 2103 1032",
    "exam-after": "2013 1320 0231 3012 1203 0132 3210 2103 1302 2031 0312 3120",
}


def meaning(form: str, number: int, letter: str) -> int:
    """Return what an option of question `number` (from 1) stands for: 0 if right, else 1 to 3."""
    return int(_OPTIONS[form].split()[number - 1][_LETTERS.index(letter)])


@exercise("exam-before")
def before(answers: Any) -> str:
    """Grade twelve letters of the exam before the course."""
    return _grade("exam-before", answers)


@exercise("exam-after")
def after(answers: Any) -> str:
    """Grade twelve letters of the exam after the course."""
    return _grade("exam-after", answers)


def _grade(form: str, answers: Any) -> str:
    letters = read(answers)
    wrong: list[str] = []
    for number, (letter, topic) in enumerate(zip(letters, TOPICS, strict=True), start=1):
        found = None if letter == _UNKNOWN else meaning(form, number, letter)
        if found is None:
            wrong.append(f"{number} (lesson {topic.lesson})")
        elif found:
            wrong.append(f"{number} (lesson {topic.lesson}: {topic.why[found - 1]})")
    right = len(TOPICS) - len(wrong)
    if wrong:
        shown = f"{right} of {len(TOPICS)} are right. To look at: {'; '.join(wrong)}."
        raise Wrong(f"{right}-of-{len(TOPICS)}", shown)
    return "12 of 12 are right."


def read(answers: Any) -> list[str]:
    """Return twelve letters; raise `Wrong` if any is missing or invalid."""
    demand_given(answers, "your twelve answers")
    given = list(answers) if isinstance(answers, list | tuple | str) else [answers]
    if len(given) != len(TOPICS):
        raise Wrong("count", f"twelve answers are needed, got {len(given)}.")
    letters = [one.strip().upper() if isinstance(one, str) else one for one in given]
    for number, one in enumerate(letters, start=1):
        if one is ... or one is None:
            shown = f'question {number} has no answer yet: "A" to "D", or "?" if you do not know'
            raise Wrong("open", shown)
        if one not in (*_LETTERS, _UNKNOWN):
            shown = f'an answer is "A", "B", "C", "D" or "?", got {shorten(one)} for {number}.'
            raise Wrong("kind", shown)
    return letters
