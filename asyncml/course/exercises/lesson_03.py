"""The exercises of lesson 03: an averager, an order, naps, a loop that goes on, a Future, a Task.

Nothing in them needs asyncio, but each answer runs inside a virtual loop all the same: there a
`time.sleep` is seen, and costs no time.
"""

import contextlib
import inspect
import itertools
import random
import types
from collections.abc import Callable, Generator
from typing import Any

from asyncml.course.exercises import Wrong, exercise, expect, plain, tasks
from asyncml.course.exercises.answers import demand_class
from asyncml.course.exercises.attempts import is_stub
from asyncml.course.exercises.scenes import NOT_AWAITABLE, Hints, check_plain, demand, play, quietly
from asyncml.course.exercises.tasks import Loop

Events = list[tuple[float, str]]


def _play(scene: Callable[..., Any], *args: Any, of: Callable[..., Any], hints: Hints) -> Any:
    return play(scene, *args, of=of, hints=hints).result


# ---- 03-averager ----
_LINE = "One line hands out the mean and takes the next value: `value = yield mean`."
_AVERAGER_HINTS: Hints = {
    "StopIteration": ("return", "A `return` ends it for good. To go on, `yield` it.", _LINE),
    "ZeroDivisionError": ("too-soon", "At the first `yield` there is no mean yet: None.", _LINE),
    "just-started": ("not-primed", "Prime it: `next(...)`, once, before the first `send`."),
    "still running": ("endless", "Every round of the loop needs a `yield`.", _LINE),
    "and 'NoneType'": ("primed-again", "Prime once: each extra `next` sends None."),
}


@exercise("03-averager")
def averager(answer: Any) -> str:
    """Check a generator that averages what it is sent, and the function that drives it."""
    is_pair = isinstance(answer, tuple) and len(answer) == 2
    demand(is_pair, "kind", "the answer is the pair `(averager, means)`.")
    make, means = answer
    check_plain(make)
    shown = f"calling `{make.__name__}()` gives no generator."
    steps = _play(make, of=make, hints={})
    demand(isinstance(steps, types.GeneratorType), "no-yield", shown, "It needs a `yield`.", _LINE)
    is_fresh = inspect.getgeneratorstate(steps) == inspect.GEN_CREATED
    shown = f"`{make.__name__}` hands out a generator that has begun already."
    demand(is_fresh, "primed", shown, "Prime it in `means`, not in `averager`.")
    chance = random.Random(3)
    trials = [[10.0, 20.0, 60.0], [float(chance.randint(-9, 9)) for _ in range(7)], []]
    for values in trials:
        _judge_means(_play(_send_all, make, values, of=make, hints=_AVERAGER_HINTS), values)
    check_plain(means)
    for values in trials:
        found = plain(_play(means, list(values), of=means, hints=_AVERAGER_HINTS))
        demand(isinstance(found, list), "kind", f"`means` must return a list, got {found!r}.")
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


# ---- 03-trampoline ----
_GO_ROUND = "Which loop has no end? Each round takes one out, and one that has ended stays out."
_TRAMPOLINE_HINTS: Hints = {
    "still running": ("endless", _GO_ROUND),
    "asyncio.run()": ("asyncio", "No event loop takes part here. You are the one who resumes."),
    "is not callable": ("called", "They are coroutines already: resume them with `send(None)`."),
    "StopIteration": (
        "end",
        "`send` raises it when a coroutine ends: catch it, and do not put that one back.",
        "`try: coro.send(None)`, then `except StopIteration: continue`.",
    ),
    "already awaited": ("ended", "One that has ended was resumed: do not put it back."),
    "is not an iterator": ("next", "`next` does not work on a coroutine; `send(None)` does."),
    "index out of range": ("empty", "Stop when the queue is empty: `while ready:`."),
    "pop from an empty": ("empty", "Stop when the queue is empty: `while ready:`."),
    "non-None value": ("sent", "Nobody asks for a value here: `send(None)`."),
    "takes 1 positional": ("arguments", "Any number of coroutines: `*coros`, with the star."),
    "object is not iterable": ("arguments", "Any number of coroutines: `*coros`, with the star."),
    "missing": ("arguments", "Any number of coroutines, and nothing else: `*coros`."),
    "takes 2 positional": ("arguments", "Any number of coroutines: `*coros`, with the star."),
}


@types.coroutine
def _turn() -> Generator[str, Any, None]:
    yield "let the others run"


@exercise("03-trampoline", ours=tasks.trampoline)
@quietly
def trampoline(answer: Any) -> str:
    """Check a scheduler that resumes coroutines in turns."""
    check_plain(answer)
    why = "Calling a function with a `yield` runs nothing of it. `send` does the yielding here."
    is_generator = inspect.isgeneratorfunction(answer)
    demand(not is_generator, "kind", f"`{answer.__name__}` has a `yield` in it.", why)
    chance = random.Random(3)
    drawn = {name: chance.randint(0, 4) for name in "vwxyz"}
    for plan in ({"a": 2}, {"a": 3, "b": 1, "c": 2}, drawn, {}):
        _play(_see_turns, answer, plan, of=answer, hints=_TRAMPOLINE_HINTS)
    return "each has its turn, and one that has ended is left out."


def _see_turns(answer: Any, plan: dict[str, int]) -> None:
    seen, ended = list[str](), list[str]()

    async def speak(name: str, times: int) -> None:
        for _ in range(times):
            seen.append(name)
            await _turn()
        ended.append(name)

    coros = [speak(name, times) for name, times in plan.items()]
    try:
        answer(*coros)
    finally:
        for coro in coros:
            coro.close()  # those that never began would complain
    right = [name for turn in range(9) for name, times in plan.items() if times > turn]
    told = ", ".join(f"{name} {times}" for name, times in plan.items())
    shown = f"{told} times: expected {' '.join(right)}; seen: {' '.join(seen) or 'nothing'}."
    why = "No coroutine was resumed: `coro.send(None)` makes one step of it."
    demand(bool(seen) or not right, "nothing", shown, why)
    is_alone = len(list(itertools.groupby(seen))) == len(set(seen)) and len(seen) == len(right)
    why = "One was resumed until it ended. After each step the next in the queue has its turn."
    more = "`coro = ready.popleft()`, one step, then `ready.append(coro)`."
    demand(seen == right or not is_alone, "no-turns", shown, why, more)
    why = "Go on until the queue is empty: put back each one that has not ended."
    is_all = len(seen) == len(right) and sorted(ended) == sorted(plan)
    demand(is_all, "unfinished", shown, why, "`while ready:`, and `continue` where one ends.")
    why = "Take the one at the front, put it back at the end."
    demand(seen == right, "turns", shown, why, "`ready.popleft()`, then `ready.append(coro)`.")


# ---- 03-order ----
@exercise("03-order")
def order(answer: Any) -> str:
    """Check a bet on the order in which coroutines run if the newest in the queue comes first."""
    wrong = {
        "abcac": ("first-in", "That is `popleft`: the one that has waited longest comes first."),
        "cbaca": ("rounds", "Where does `c` stand after its first step, and what does `pop` take?"),
        "aabcc": ("from-left", "`pop` takes the last one of the queue, not the first."),
    }
    hint = "Five letters, such as 'abcac'. Write down the queue after each step."
    is_text = isinstance(answer, str | list | tuple) and all(isinstance(a, str) for a in answer)
    letters = "".join(filter(str.isalpha, "".join(answer).lower())) if is_text else answer
    expect(letters, "ccbaa", wrong, hint)
    return "the newest runs until it ends. The scheduler alone decides the order."


# ---- 03-heap ----
_HEAP_HINTS: Hints = {
    "still running": ("endless", _GO_ROUND),
    "'<' not supported": (
        "ties",
        "Two are due at the same time, so the heap compares the next items of their tuples.",
        "Put a number between: `(when, next(order), coro)`, with `order = itertools.count()`.",
    ),
    "`time.sleep`": ("time-sleep", "Use `wait_until`: on its clock nobody may have to wait."),
    "StopIteration": (
        "end",
        "`send` raises it when a coroutine ends: then there is nothing to push.",
    ),
    "is not an iterator": ("next", "`next` does not work on a coroutine; `send(None)` does."),
    "index out of range": ("empty", "Stop when the heap is empty: `while timers:`."),
    "already awaited": ("ended", "You resumed one that has ended: pop it."),
    "'now'": ("no-wait", "Call `wait_until(when)` and take `now` from it."),
}


@types.coroutine
def _nap(seconds: float) -> Generator[float, Any, None]:
    yield seconds


class _Stage:
    """Coroutines that nap as planned, a clock that jumps, once too far, and what happened when."""

    def __init__(self, plan: dict[str, list[float]], late_s: float) -> None:
        self.now, self.late_s, self.is_asked = 0.0, late_s, False
        self.events: Events = []
        self.coros = [self._sleeper(name, naps) for name, naps in plan.items()]

    async def _sleeper(self, name: str, naps: list[float]) -> None:
        self.events.append((self.now, name))
        for seconds in naps:
            await _nap(seconds)
            self.events.append((self.now, name))

    def wait_until(self, when: float) -> float:
        self.is_asked = True
        if when > self.now:
            self.now, self.late_s = when + self.late_s, 0.0
        return self.now

    def close(self) -> None:
        for coro in self.coros:
            coro.close()  # those that never began would complain


@exercise("03-heap")
def heap(answer: Any) -> str:
    """Check a scheduler of coroutines that yield how many seconds they want to sleep."""
    check_plain(answer)
    chance = random.Random(3)
    drawn = {name: [float(chance.randint(0, 3)) for _ in range(5)] for name in "vwxyz"}
    plans = [{"a": [3.0]}, {"a": [2.0, 2.0], "b": [1.0]}, {"a": [2.0, 2.0], "b": [4.0]}, drawn]
    for plan, late_s in [*((plan, 0.0) for plan in plans), (plans[1], 1.5)]:
        with contextlib.closing(_Stage(plan, late_s)) as stage:
            _play(answer, list(stage.coros), stage.wait_until, of=answer, hints=_HEAP_HINTS)
        shown, why = "`wait_until` was never called.", "Somebody has to wait for the first alarm."
        is_run = bool(stage.events)
        demand(stage.is_asked or not is_run, "no-clock", shown, why, "`now = wait_until(when)`")
        _judge_naps(stage.events, _right_events(plan, late_s), late_s)
    return "each wakes on time; at equal times, the one that went to sleep first."


def _right_events(plan: dict[str, list[float]], late_s: float) -> Events:
    """Work out the same by looking for the smallest, without a heap and without coroutines."""
    events: Events = []
    clock = _Stage({}, late_s)
    asleep = {name: (0.0, place) for place, name in enumerate(plan)}
    left = {name: iter(naps) for name, naps in plan.items()}
    places = itertools.count(len(plan))
    while asleep:
        name = min(asleep, key=lambda name: asleep[name])
        when, _ = asleep.pop(name)
        events.append((now := clock.wait_until(when), name))
        if (seconds := next(left[name], None)) is not None:
            asleep[name] = now + seconds, next(places)
    return events


def _judge_naps(found: Events, right: Events, late_s: float) -> None:
    if found == right:
        return
    shown = f"expected {_story(right)}; seen: {_story(found) or 'nothing'}."
    why = f"The clock woke you {late_s:g} s late, once: `now` is what `wait_until` returned."
    demand(not late_s, "late-clock", shown, why, "Push `now + seconds`, not `when + seconds`.")
    for name in sorted({name for _, name in right}):
        woken, dues = ([at for at, who in seen if who == name] for seen in (found, right))
        for at, due in zip(woken, dues, strict=False):
            seen = f"`{name}` woke at {at:g} s and not at {due:g} s."
            why = (
                "The heap holds when alarms ring, not how long until then. Wait first, then resume."
            )
            more = "Push `(now + seconds, next(order), coro)`; `wait_until` comes before `send`."
            demand(at >= due, "early", seen, why, more)
            why = (
                "While one sleeps the others must run: push it, then pop the one that is due first."
            )
            demand(at <= due, "late", seen, why)
    demand(len(found) >= len(right), "unfinished", shown, "Go on until nobody is left.")
    ties = "At equal times, the one that went to sleep first wakes first."
    raise Wrong("tie-order", shown, ties, "Number them in that order: `(when, next(order), coro)`.")


def _story(events: Events) -> str:
    return ", ".join(f"{name} at {at:g}" for at, name in events)


# ---- 03-error-path ----
_CALL = "Let `call_soon` queue a method of yours that calls the callback inside a `try`."
_ERROR_PATH_HINTS: Hints = {
    "still running": ("endless", "Does a callback that failed go back into the queue?"),
    "pop from an empty": ("cleared", "Leave the queue alone: `run` counts on what is in it."),
    "recursion": (
        "recursion",
        "Your `call_soon` calls itself.",
        "The one of VirtualLoop: `super().call_soon(...)`.",
    ),
    "has no attribute 'errors'": ("no-errors", "Make the list `self.errors` in `__init__`."),
    "has no attribute 'ready'": ("no-super", "Begin your `__init__` with `super().__init__()`."),
    "has no attribute 'order'": ("no-super", "Begin your `__init__` with `super().__init__()`."),
    "positional argument": ("arguments", "A callback is called with its arguments: `*args`."),
}


@exercise("03-error-path")
@quietly
def error_path(answer: Any) -> str:
    """Check a loop that goes on when a callback raises, and keeps what was raised."""
    methods = _methods_of(answer)
    is_open = any(is_stub(method) for method in methods)
    demand(not is_open, "open", f"write the methods of `{answer.__name__}` in place of each `...`")
    for scene in (_see_calls, _see_errors, _see_interrupt):
        _play(scene, answer, of=methods[0], hints=_ERROR_PATH_HINTS)
    return "if one fails, the others run; the errors are kept, and Ctrl+C still stops the loop."


def _methods_of(answer: Any) -> list[types.FunctionType]:
    demand_class(answer)
    methods = [method for method in vars(answer).values() if isinstance(method, types.FunctionType)]
    demand(bool(methods), "kind", f"`{answer.__name__}` has no methods of its own.")
    for method in methods:
        is_async = inspect.iscoroutinefunction(method) or inspect.isasyncgenfunction(method)
        demand(not is_async, "kind", f"`{method.__name__}` must be a plain `def`.")
    return methods


def _see_calls(make: Any) -> None:
    loop, seen = make(), list[Any]()
    own = "Make the list in `__init__`: one for each loop."
    demand(list(loop.errors) == [], "shared", "a new loop has the errors of another one.", own)
    loop.call_soon(lambda *args: seen.append(args), "batch", 1)
    demand(not seen, "at-once", "`call_soon` itself called the callback.", _CALL)
    loop.run()
    shown = f"`call_soon(callback, 'batch', 1)` must call it so, once; seen: {seen!r}."
    lost = "Its arguments were lost: hand them on as `*args`, in both calls."
    demand(seen != [()], "arguments", shown, lost)
    demand(seen == [("batch", 1)], "calls", shown, _CALL, "`super().call_soon(...)` queues it.")
    demand(list(loop.errors) == [], "errors", f"nobody failed, and `errors` is {loop.errors!r}.")


def _see_errors(make: Any) -> None:
    loop, other, seen = make(), make(), list[str]()
    own = "Make the list in `__init__`: one for each loop."
    failures = [KeyError("image 2"), OSError("image 5")]

    tried = list[Exception]()

    def fail(error: Exception) -> None:
        tried.append(error)
        if len(tried) > len(failures):
            raise KeyboardInterrupt  # which comes out of `run`
        raise error

    loop.call_soon(seen.append, "soon")
    loop.call_soon(fail, failures[0])
    loop.call_soon(seen.append, "after the first")
    loop.call_at(1.0, fail, failures[1])
    loop.call_at(1.0, seen.append, "at the same time")
    loop.call_at(2.0, seen.append, "later")
    try:
        loop.run()
    except (KeyError, OSError) as error:
        shown = f"a callback raised {error!r}, and it came out of `run`."
        raise Wrong(
            "escapes", shown, "A `try` belongs around each call of a callback.", _CALL
        ) from None
    except KeyboardInterrupt:
        shown = "a callback that had failed was called again."
        raise Wrong("again", shown, "Keep its error, and do not put it back.") from None
    right = ["soon", "after the first", "at the same time", "later"]
    shown = f"expected {', '.join(right)}; seen: {', '.join(seen) or 'nothing'}."
    why = "One `try` around all of `run` ends it at the first error. Each call needs its own."
    demand(seen == right, "stopped", shown, why, _CALL)
    found = list(loop.errors)
    shown = f"two callbacks failed, and `errors` is {found!r}."
    why = "An error that is not kept is lost without a word: append it to `self.errors`."
    itself = "Append the error itself, as it was caught."
    is_own = len(found) == 2 and not all(isinstance(error, Exception) for error in found)
    demand(not is_own, "errors", shown, itself)
    is_same = len(found) == 2 and all(map(_is_same, found, failures))
    demand(is_same, "errors", shown, why, "`except Exception as error: self.errors.append(error)`")
    demand(list(other.errors) == [], "shared", "a new loop has the errors of another one.", own)


def _is_same(found: Any, failure: Exception) -> bool:
    return found is failure


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
    why = "It is meant for the whole program. It is no `Exception`: catch those only."
    raise Wrong(
        "interrupt", shown, why, "`except Exception`, not a bare `except` or BaseException."
    )


# ---- 03-future ----
_AWAIT = "What can be awaited has a plain method `__await__` with a `yield` in it."
_FUTURE_HINTS: Hints = {
    "still running": ("endless", "A future does not wait in a loop: it hands out itself, once."),
    **dict.fromkeys(NOT_AWAITABLE, ("no-await", _AWAIT)),
    "__await__() returned": ("no-await", _AWAIT),
    "__await__() must return": ("no-await", _AWAIT),  # from 3.15 on
    "object is not iterable": ("yield-from", "Hand out itself: `yield self`, without `from`."),
    "'loop' is not defined": ("loop", "Keep the loop: `self.loop = loop` in `__init__`."),
    "'bool' object is not callable": ("kind", "`done` is a method, and nothing else has its name."),
}


@exercise("03-future", ours=tasks.Future)
def future(answer: Any) -> str:
    """Check a class of futures: what it says of itself, whom it calls back, how it is awaited."""
    demand_class(answer)
    methods = [method for method in vars(answer).values() if isinstance(method, types.FunctionType)]
    demand(bool(methods), "kind", f"`{answer.__name__}` has no methods of its own.")
    is_open = all(map(is_stub, methods))
    demand(not is_open, "open", f"write the methods of `{answer.__name__}` in place of each `...`")
    for method in methods:
        is_async = inspect.iscoroutinefunction(method) or inspect.isasyncgenfunction(method)
        demand(not is_async, "no-await", f"`{method.__name__}` must be a plain `def`.", _AWAIT)
    for result in (f"batch {random.Random(3).randint(10, 99)}", None):
        for scene in (_see_states, _see_callbacks, _see_await):
            _play(scene, answer, result, of=methods[0], hints=_FUTURE_HINTS)
    return "pending, then done; callbacks come soon; `await` hands it out, then gives its result."


def _see_states(make: Any, result: Any) -> None:
    new = make(Loop())
    demand(new.done() is False, "done", f"a new one's `done()` must be False, got {new.done()!r}.")
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
    demand(new.done() is True, "done", shown, why)
    demand(new.result() == result, "result", f"not {new.result()!r} was set, but {result!r}.")


def _see_callbacks(make: Any, result: Any) -> None:
    loop, called = Loop(), list[tuple[Any, ...]]()
    new, other = make(loop), make(loop)
    for name, whose in (("first", new), ("second", new), ("other", other)):
        whose.add_done_callback(lambda *args, name=name: called.append((name, *args)))
    loop.run()
    demand(not called, "too-soon", "a callback was called while it was pending.", "Keep them.")
    new.set_result(result)
    why = "Its caller would have to run everybody else's code first. Let the loop do it."
    more = "For each callback `self.loop.call_soon(callback, self)`."
    demand(not called, "at-once", "`set_result` itself called a callback.", why, more)
    loop.run()
    is_shared, own = called[-1:] == [("other", new)], "Make the list in `__init__`: one for each."
    demand(not is_shared, "shared", "the callback of another future was called.", own)
    new.add_done_callback(lambda *args: called.append(("late", *args)))
    is_direct = called[-1:] == [("late", new)]
    demand(not is_direct, "at-once", "`add_done_callback` itself called it.", why, more)
    loop.run()
    names = [name for name, *_ in called]
    shown = f"expected calls of first, second, late; seen: {', '.join(names) or 'none'}."
    why = "Callbacks go to `call_soon`: when it is set, or at once where it is done already."
    demand(names == ["first", "second", "late"], "callbacks", shown, why)
    with_itself = all(args == [new] for _, *args in called)
    demand(with_itself, "argument", "callbacks are called with the future, and no more.", more)


def _see_await(make: Any, result: Any) -> None:
    new = make(Loop())
    handed, got = _await(new, result)
    shown = f"`await` did not wait for a result, and gave {got!r}."
    why = "While it is pending, `__await__` must `yield self`; what it returns is the result."
    demand(handed != [], "no-wait", shown, why)
    why = "The driver of the coroutine must learn what it waits for: `yield self`."
    demand(handed[0] is new, "yields", f"`await` handed out {handed[0]!r}, and not itself.", why)
    handed += _await(new, result)[0]
    demand(len(handed) == 1, "again", "it was done, and `await` still waited.", "Ask `done()`.")
    shown = "`await` gave a method, and not its result."
    demand(not callable(got), "no-result", shown, "Call it: `self.result()`.")
    shown = f"`await` gave {got!r}, and not {result!r}."
    demand(got == result, "no-result", shown, "What `__await__` returns is its value.")


def _await(new: Any, result: Any) -> tuple[list[Any], Any]:
    """Return what an `await` hands out, at most twice, and gives; the result is set in between."""

    async def wait() -> Any:
        return await new

    coro, handed = wait(), list[Any]()
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


# ---- 03-task, 03-cancel ----
_TASK_HINTS: Hints = {
    "still running": (
        "endless",
        "`step` must not wait: it returns, and the future calls it again when it is done.",
    ),
    "positional arguments but 3 were given": (
        "arguments",
        "`step` needs room for the error: `def step(self, woken_by=None, error=None)`.",
    ),
    "unexpected keyword argument": (
        "arguments",
        "Our `call_soon` hands on plain arguments only, without names.",
        "`self.loop.call_soon(self.step, None, error)`",
    ),
    "'NoneType' object has no attribute 'set_exception'": (
        "first-step",
        "Before its first step it waits for nothing. Queue a step that throws.",
    ),
    "missing 1 required": (
        "arguments",
        "The first step is called without arguments: keep the `=None` of the stub.",
    ),
    "'NoneType' object has no attribute 'result'": (
        "first-step",
        "Nobody has woken the first step. `send(None)` will do for every step.",
    ),
    "has no attribute 'set_result'": (
        "future",
        "A task is a future itself: `class MyTask(Future)`.",
    ),
    "StopIteration": (
        "end",
        "The end of a coroutine comes out of `send` as a `StopIteration`.",
        "`except StopIteration as stop: self.set_result(stop.value)`",
    ),
    "already awaited": (
        "ended",
        "A coroutine that has ended was stepped: ask `self.done()` first.",
    ),
    "already executing": ("inside", "It was stepped while it runs: leave that to the loop."),
    "result is not there yet": (
        "early-step",
        "It was stepped before what it waits for was done.",
        "Let that call the next step: `awaited.add_done_callback(self.step)`, no `()` at its end.",
    ),
    "'NoneType' object is not callable": (
        "called",
        "A callback is handed over, not called.",
        "`awaited.add_done_callback(self.step)`, without `()` after `step`.",
    ),
    "step() takes": (
        "arguments",
        "A future calls its callbacks with itself: `step(self, woken_by)`.",
    ),
    "is not an iterator": ("next", "`next` does not work on a coroutine; `send(None)` does."),
    "'__next__'": ("next", "A coroutine has no `__next__`; `send(None)` does the same."),
    "throw() takes": ("throw", "Give `throw` one argument, the exception."),
    "has no attribute 'set_exception'": (
        "future",
        "A task needs the `Future` that was defined just before this exercise, as its base.",
    ),
}


def _judge_task(answer: Any, own: str, scenes: tuple[Callable[..., Any], ...]) -> None:
    methods = _methods_of(answer)
    is_open = any(is_stub(vars(answer).get(name)) for name in own.split())
    names = " and ".join(f"`{name}`" for name in own.split())
    shown = f"write {names} in place of {'each' if ' ' in own else 'the'} `...`"
    demand(not is_open, "open", shown)
    for result in (f"batch {random.Random(3).randint(10, 99)}", None):
        for scene in scenes:
            _play(scene, answer, result, of=methods[0], hints=_TASK_HINTS)


@exercise("03-task", ours=tasks.Task)
@quietly
def task(answer: Any) -> str:
    """Check a class of tasks: how it steps, and what becomes of a result and of an error."""
    _judge_task(answer, "step", (tasks.see_result, tasks.see_error))
    return "a step for each future, then the result or the error, for everybody who awaits it."


@exercise("03-cancel", ours=tasks.CancellableTask)
@quietly
def cancel(answer: Any) -> str:
    """Check a class of tasks that can be cancelled."""
    _judge_task(answer, "step cancel", (tasks.see_result, tasks.see_error))
    demand(hasattr(answer, "cancel"), "no-cancel", "there is no method `cancel`.")
    scenes = (tasks.see_cancel, tasks.see_cancel_caught, tasks.see_cancel_at_odd_times)
    _judge_task(answer, "step cancel", scenes)
    return "the error comes at its `await`, it may clean up, and no old future wakes it again."


# ---- 03-readable ----
_READABLE_HINTS: Hints = {
    "still running": ("endless", "Do not wait here: the loop calls your callback."),
    "already registered": ("twice", "Register the socket once; it may be unregistered by then."),
    "temporarily unavailable": ("too-soon", "Nothing was sent yet, so do not read now."),
    "non-blocking": ("too-soon", "Nothing was sent yet, so do not read now."),
    "positional argument": ("arguments", "The callback is called without arguments."),
    "not registered": ("unregister", "Unregister it once, in the callback."),
}


@exercise("03-readable", ours=tasks.readable)
@quietly
def readable(answer: Any) -> str:
    """Check a function that makes a future of a socket's readiness."""
    check_plain(answer)
    _play(tasks.see_socket, answer, of=answer, hints=_READABLE_HINTS)
    return "the selector watches, the callback sets the result, and the reading is left to others."
