"""Judges the Future class that learners write in lesson 03, on a loop that is only a queue."""

import random
from collections.abc import Callable
from typing import Any

from asyncml.course.exercises.answers import read_class
from asyncml.course.exercises.scenes import UNAWAITABLE, Hints, demand, play
from asyncml.course.exercises.tasks import Loop

_LINE = "`self.loop.call_soon(callback, self)`"
_AWAIT = "What can be awaited has a plain method `__await__` with a `yield` in it."
_HINTS: Hints = {
    "still running": ("endless", "A future does not wait in a loop: it hands out itself, once."),
    f"{UNAWAITABLE} / __await__() returned / __await__() must return": ("no-await", _AWAIT),
    "object is not iterable": ("yield-from", "Hand out itself: `yield self`, without `from`."),
    "'loop'": ("loop", "Keep the loop: `self.loop = loop` in `__init__`."),
    "object is not callable": (
        "kind",
        "`done` and `result` are methods: nothing else may have their names.",
    ),
}


def judge_future(answer: Any) -> None:
    """Raise `Wrong` unless it keeps a result, schedules its callbacks, and can be awaited."""
    see_all(answer, "", _HINTS, _see_states, _see_callbacks, _see_await)


def see_all(answer: Any, names: str, hints: Hints, *scenes: Callable[..., Any]) -> None:
    """Play each scene with a class twice: with a result, and with None as the result.

    Args:
        answer: the learner's class.
        names: the methods that must be written, as for `read_class`.
        hints: typical errors.
        scenes: functions of the class and the result.
    """
    method = read_class(answer, names, _AWAIT)
    for result in (f"batch {random.Random(3).randint(10, 99)}", None):
        for scene in scenes:
            play(scene, answer, result, of=method, hints=hints)


def _see_states(make: Any, result: Any) -> None:
    new = make(Loop())
    demand(not new.done(), "done", f"a new one's `done()` must be False, got {new.done()!r}.")
    try:
        early = f"returned {new.result()!r}"
    except RuntimeError:
        early = ""
    except Exception as error:
        early = f"raised {error!r}"
    why = "There is none yet: raise a RuntimeError, so that nobody takes None for a result."
    demand(not early, "no-result-yet", f"while it is pending, `result()` {early}.", why)
    new.set_result(result)
    shown = f"after `set_result({result!r})` its `done()` is {new.done()!r}."
    why = "None is a result like any other: keep in an attribute of its own whether it is done."
    demand(bool(new.done()), "done", shown, why)
    shown = f"after `set_result({result!r})` its `result()` is another one: {new.result()!r:.30}."
    demand(new.result() == result, "result", shown)


def _see_callbacks(make: Any, result: Any) -> None:
    loop, called = Loop(), list[tuple[Any, ...]]()
    new, other = make(loop), make(loop)
    for name, whose in (("first", new), ("second", new), ("other", other)):
        whose.add_done_callback(lambda *args, name=name: called.append((name, *args)))
    loop.run()
    demand(not called, "too-soon", "a callback was called while it was pending.", "Keep them.")
    new.set_result(result)
    why = "Its caller would have to run everybody else's code first. Let the loop do it."
    demand(not called, "at-once", "`set_result` itself called a callback.", why, _LINE)
    loop.run()
    is_shared, own = called[-1:] == [("other", new)], "Make the list in `__init__`: one for each."
    demand(not is_shared, "shared", "the callback of another future was called.", own)
    new.add_done_callback(lambda *args: called.append(("late", *args)))
    is_direct = called[-1:] == [("late", new)]
    demand(not is_direct, "at-once", "`add_done_callback` itself called it.", why, _LINE)
    loop.run()
    names = [name for name, *_ in called]
    shown = f"expected calls of first, second, late; seen: {', '.join(names) or 'none'}."
    why = "Callbacks go to `call_soon`: when it is set, or at once where it is done already."
    demand(names == ["first", "second", "late"], "callbacks", shown, why)
    with_itself = all(args == [new] for _, *args in called)
    demand(with_itself, "argument", "callbacks get the future, and nothing else.", _LINE)


def _see_await(make: Any, result: Any) -> None:
    new = make(Loop())
    handed, got = _await(new, result)
    shown = f"`await` did not wait for a result, and gave {got!r:.40}."
    why = "While it is pending, `__await__` must `yield self`; what it returns is the result."
    demand(handed != [], "no-wait", shown, why)
    shown = f"`await` handed out {handed[0]!r:.40}, and not itself."
    why = "The driver of the coroutine must learn what it waits for: `yield self`."
    demand(handed[0] is new, "yields", shown, why)
    handed += _await(new, result)[0]
    demand(len(handed) == 1, "again", "it was done, and `await` still waited.", "Ask `done()`.")
    shown = f"`await` gave {got!r:.40}, and not {result!r}."
    why = "What `__await__` returns is its value: `return self.result()`."
    demand(got == result, "no-result", shown, why)


def _await(new: Any, result: Any) -> tuple[list[Any], Any]:
    """Return what an `await` yields, at most twice, and its value; set the result in between."""
    coro, handed = wait_for(new), list[Any]()
    try:
        while len(handed) < 2:
            handed.append(coro.send(None))
            if not new.done():
                new.set_result(result)
    except StopIteration as stop:
        return handed, stop.value
    finally:
        coro.close()
    return handed, None


async def wait_for(*awaited: Any) -> Any:
    """Await one after another; return the last result."""
    return [await one for one in awaited][-1]
