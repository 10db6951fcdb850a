"""The exercises of lesson 03: an averager, schedulers, a loop that survives errors, Future, Task.

None of them needs asyncio, but each answer still runs inside a virtual loop, where a `time.sleep`
is noticed and costs no time. `drivers`, `futures`, `steppers` and `sockets` judge most of them.
"""

import functools
import random
import types
from collections.abc import Callable, Iterator
from typing import Any

from asyncml.course.exercises import (
    Wrong,
    drivers,
    exercise,
    expect,
    futures,
    plain,
    sockets,
    steppers,
    tasks,
)
from asyncml.course.exercises.answers import read_class
from asyncml.course.exercises.scenes import Hints, check_plain, demand, play, quietly
from asyncml.failures import shorten

_LINE = "One line hands out the mean and takes the next value: `value = yield mean`."
_AVERAGER_HINTS: Hints = {
    "StopIteration": ("return", "A `return` ends it for good. To go on, `yield` it.", _LINE),
    "ZeroDivisionError": ("too-soon", "At the first `yield` there is no mean yet: None.", _LINE),
    "just-started": ("not-primed", "Prime it: `next(...)`, once, before the first `send`."),
    "still running": ("endless", "Every round of the loop needs a `yield`.", _LINE),
    "and 'NoneType'": ("primed-again", "Prime it once, in `means`: each extra `next` sends None."),
    "and 'list'": ("list", "Send the values one by one: a `send` for each."),
}


@exercise("03-averager")
def averager(answer: Any) -> str:
    """Check a generator that averages what it is sent, and the function that drives it."""
    is_pair = isinstance(answer, tuple | list) and len(answer) == 2
    demand(is_pair, "kind", "the answer is the pair `(averager, means)`.")
    make, means = answer
    check_plain(make)
    check_plain(means)
    shown = f"calling `{make.__name__}()` does not make a generator."
    steps = play(make, of=make).result
    demand(isinstance(steps, types.GeneratorType), "no-yield", shown, "It needs a `yield`.", _LINE)
    chance = random.Random(3)
    trials = [[10.0, 20.0, 60.0], [float(chance.randint(-9, 9)) for _ in range(7)], []]
    for function, of in ((functools.partial(_send_all, make), make), (means, means)):
        for values in trials:
            found = plain(play(function, list(values), of=of, hints=_AVERAGER_HINTS).result)
            shown = f"`means` must return a list, got {shorten(found)}."
            demand(isinstance(found, list), "kind", shown)
            _judge_means(found, values)
    return "sent 10, 20 and 60, it hands out 10, 15 and 30."


def _send_all(make: Callable[[], Any], values: list[float]) -> list[Any]:
    steps = make()
    next(steps)
    return [steps.send(value) for value in values]


def _judge_means(found: list[Any], values: list[float]) -> None:
    right = _rounded([sum(values[:n]) / n for n in range(1, len(values) + 1)])
    found = _rounded(found)
    if found == right:
        return
    shown = f"the means of {values} are {right}, got {found}."
    primer = "What `next` hands out while it primes the generator is no mean: leave it out."
    demand(found[1:] != right or found[0] is not None, "primer", shown, primer)
    is_behind = len(right) > 1 and found[1:] == right[:-1]
    demand(not is_behind, "behind", f"{shown} Yours is one value behind.", "", _LINE)
    twice = "Each `yield` stops for one `send`. Is there more than one of them in a round?"
    demand(None not in found, "two-yields", shown, twice, _LINE)
    raise Wrong("mean", shown, "A mean is the sum of all values so far, divided by their number.")


def _rounded(values: list[Any]) -> list[Any]:
    return [round(value, 4) if isinstance(value, int | float) else value for value in values]


@exercise("03-trampoline", ours=tasks.trampoline)
@quietly
def trampoline(answer: Any) -> str:
    """Check a scheduler that resumes coroutines in turn."""
    drivers.judge_trampoline(answer)
    return "each has its turn, and one that has ended is left out."


@exercise("03-order")
def order(answer: Any) -> str:
    """Check a bet on the order of steps if the scheduler takes the newest in the queue first."""
    rounds = ("rounds", "Where in the queue is `c` after its first step, and what does `pop` take?")
    wrong = {
        "abcac": ("first-in", "That is `popleft`: the one that has waited longest comes first."),
        "cbaca": rounds,
        "cabca": rounds,
        "aabcc": ("from-left", "`pop` takes the last one of the queue, not the first."),
    }
    hint = "Five letters, such as 'abcac'. Write down the queue after each step."
    is_text = isinstance(answer, str | list | tuple) and all(isinstance(a, str) for a in answer)
    letters = "".join(filter(str.isalpha, "".join(answer).lower())) if is_text else answer
    expect(letters, "ccbaa", wrong, hint)
    return "the newest runs until it ends. The scheduler alone decides the order."


@exercise("03-heap")
@quietly
def heap(answer: Any) -> str:
    """Check a scheduler of coroutines that yield the seconds that they want to sleep."""
    drivers.judge_naps(answer)
    return "each wakes on time; at equal times, the one that went to sleep first."


_CALL = "Let `call_soon` queue a method of yours that calls the callback inside a `try`."
_OWN_LIST = "Make the list in `__init__`: one for each loop."
_ERROR_PATH_HINTS: Hints = {
    "still running": ("endless", "Does a callback that failed go back into the queue?"),
    "recursion": (
        "recursion",
        "Your `call_soon` calls itself.",
        "The one of VirtualLoop: `super().call_soon(...)`.",
    ),
    "has no attribute 'ready' / has no attribute 'order'": (
        "no-super",
        "Begin your `__init__` with `super().__init__()`.",
    ),
    "positional argument": ("arguments", "A callback is called with its arguments: `*args`."),
}


@exercise("03-error-path")
@quietly
def error_path(answer: Any) -> str:
    """Check a loop that continues when a callback raises, and keeps the errors."""
    method = read_class(answer)
    for scene in (_see_errors, _see_interrupt):
        play(scene, answer, of=method, hints=_ERROR_PATH_HINTS)
    return "if one fails, the others run; the errors are kept, and Ctrl+C still stops the loop."


def _see_errors(make: Any) -> None:
    loop, other, seen = make(), make(), list[Any]()
    failures = [KeyError("image 2"), OSError("image 5")]
    errors: Iterator[BaseException] = iter(failures)

    def note(*args: Any) -> None:
        seen.append(args)

    def fail() -> None:
        raise next(errors, KeyboardInterrupt())  # comes out of `run`

    right = [("batch", 1), ("after the first",), ("at the same time",), ("later",)]
    loop.call_soon(note, *right[0])
    demand(not seen, "at-once", "`call_soon` itself called the callback.", _CALL)
    loop.call_soon(fail)
    loop.call_soon(note, *right[1])
    for when, callback, args in ((1, fail, ()), (1, note, right[2]), (2, note, right[3])):
        loop.call_at(when, callback, *args)
    _run(loop)
    shown = "`call_soon(callback, 'batch', 1)` must call `callback('batch', 1)` once; "
    shown += f"seen: {seen!r:.60}."
    lost = "Its arguments were lost: pass them on as `*args`, in both calls."
    demand(seen[:1] != [()], "arguments", shown, lost)
    is_once = seen[:1] == right[:1] and seen.count(right[0]) == 1
    demand(is_once, "calls", shown, _CALL, "`super().call_soon(...)` queues it.")
    shown = f"expected calls with {_told(right)}; seen: {_told(seen) or 'nothing'}."
    why = "One `try` around all of `run` ends it at the first error. Each call needs its own."
    demand(seen == right, "stopped", shown, why, _CALL)
    demand(not other.errors, "shared", "a new loop has the errors of another one.", _OWN_LIST)
    found = list(loop.errors)
    shown = f"two callbacks failed, and `errors` is {found!r:.60}."
    more = "`except Exception as error: self.errors.append(error)`"
    is_same = len(found) == 2 and all(map(lambda one, two: one is two, found, failures))
    demand(is_same, "errors", shown, "Append each error, as it was caught.", more)


def _run(loop: Any) -> None:
    try:
        loop.run()
    except (KeyError, OSError) as error:
        shown = f"a callback raised {error!r}, and so did `run`."
        why = "A `try` belongs around each call of a callback."
        raise Wrong("escapes", shown, why, _CALL) from None
    except KeyboardInterrupt:
        shown = "a callback that had failed was called again."
        raise Wrong("again", shown, "Keep its error, and do not put it back.") from None


def _told(calls: list[Any]) -> str:
    return ", ".join(" ".join(map(str, args)) for args in calls)


def _see_interrupt(make: Any) -> None:
    loop = make()

    def interrupt() -> None:
        raise KeyboardInterrupt

    loop.call_soon(interrupt)
    try:
        loop.run()
    except KeyboardInterrupt:
        return
    shown = "Ctrl+C was pressed in a callback (a KeyboardInterrupt), and the loop went on."
    why = "It is meant for the whole program. It is not an `Exception`: catch only those."
    raise Wrong("interrupt", shown, why)


@exercise("03-future", ours=tasks.Future)
@quietly
def future(answer: Any) -> str:
    """Check a Future class: its state, its callbacks, and awaiting it."""
    futures.judge_future(answer)
    return "pending, then done; callbacks come soon; `await` hands it out, then gives its result."


@exercise("03-task", ours=tasks.Task)
@quietly
def task(answer: Any) -> str:
    """Check a Task class: its steps, and what it does with a result and an error."""
    steppers.judge_task(answer)
    return "a step for each future, then the result or the error, for everybody who awaits it."


@exercise("03-cancel", ours=tasks.CancellableTask)
@quietly
def cancel(answer: Any) -> str:
    """Check a Task class that can be cancelled."""
    steppers.judge_cancellable(answer)
    return "the error comes at its `await`, it may clean up, and no old future wakes it again."


@exercise("03-readable", ours=tasks.readable)
@quietly
def readable(answer: Any) -> str:
    """Check a function that returns a future for a socket's readiness."""
    sockets.judge_readable(answer)
    return "the selector watches, the callback sets the result, and the reading is left to others."
