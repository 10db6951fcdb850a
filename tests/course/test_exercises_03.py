"""The checks of lesson 03: right answers pass, each typical wrong one gets a hint of its own."""

import asyncio
import contextlib
import heapq
import itertools
import json
import selectors
import time
from collections import deque
from pathlib import Path

import pytest

from asyncml.course.exercises import attempts, check, tasks, yours_or_ours

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "03_build_an_event_loop.ipynb"

LOOP = ("clock-define", "loop-define", "virtual-define")


@pytest.fixture
def _little_time(monkeypatch):
    monkeypatch.setattr(attempts, "_LIMIT_S", 0.1)


def code(name, answer):
    """Return the code of a verdict, which is the same when the answer is given again."""
    first, second = check(name, answer), check(name, answer)
    assert first.code == second.code
    assert not {"\n", "\r"} & set(repr(first) + repr(second))
    return first.code


def cell(*ids):
    """Return the names that cells of the notebook define."""
    notebook = json.loads(NOTEBOOK.read_text("utf-8"))
    sources = {cell["id"]: "".join(cell["source"]) for cell in notebook["cells"]}
    names = {"check": check, "heapq": heapq, "itertools": itertools, "deque": deque}
    names |= {
        "asyncio": asyncio,
        "time": time,
        "selectors": selectors,
        "yours_or_ours": yours_or_ours,
    }
    for id in ids:
        exec(sources[id], names)
    return names


# ---- 03-averager ----


def averager():
    total, count, mean = 0, 0, None
    while True:
        total, count = total + (yield mean), count + 1
        mean = total / count


def means(values):
    steps = averager()
    steps.send(None)
    return [steps.send(value) for value in values]


def averager_stub(): ...


def means_stub(values): ...


def returns():
    total = yield
    return total


def returns_at_once():
    return 0


def divides_by_nothing():
    total, count = 0, 0
    while True:
        total += yield total / count
        count += 1


def yields_twice():
    total, count = 0, 0
    while True:
        total, count = total + (yield), count + 1
        yield total / count


def last_of_all():
    value = None
    while True:
        value = yield value


def knows_one_answer():
    yield None
    yield 10
    yield 15
    yield 30


async def waits():
    yield 1


def naps():
    value = yield
    while True:
        time.sleep(1)
        value = yield value


def spins():
    yield
    while True:
        pass


def not_primed(values):
    steps = averager()
    return [steps.send(value) for value in values]


def keeps_the_primer(values):
    steps = averager()
    return [next(steps)] + [steps.send(value) for value in values]


def primes_itself():
    steps = averager()
    next(steps)
    return steps


def made_by_another():
    return averager()


def one_behind():
    total, count, shown, mean = 0, 0, None, None
    while True:
        total, count = total + (yield shown), count + 1
        shown, mean = mean, total / count


def primes_each_time(values):
    steps = averager()
    return [(next(steps), steps.send(value))[1] for value in values]


def sends_all_at_once(values):
    steps = averager()
    next(steps)
    return steps.send(values)


def no_list(values):
    return sum(values)


def one_list(values):
    return [10, 15, 30]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ((averager, means), "passed"),
        ((averager_stub, means_stub), "open"),
        ((averager, means_stub), "open"),
        ((averager_stub, means), "open"),
        ((..., ...), "open"),
        (averager, "kind"),
        ((averager(), means), "kind"),
        ((waits, means), "kind"),
        ((returns_at_once, means), "no-yield"),
        ((returns, means), "return"),
        ((divides_by_nothing, means), "too-soon"),
        ((yields_twice, means), "two-yields"),
        ((last_of_all, means), "mean"),
        ((knows_one_answer, means), "return"),
        ((naps, means), "blocking"),
        ((averager, not_primed), "not-primed"),
        ((averager, keeps_the_primer), "primer"),
        ((averager, no_list), "kind"),
        ((made_by_another, means), "passed"),
        ((primes_itself, means), "primed-again"),
        ((one_behind, means), "behind"),
        ((averager, primes_each_time), "primed-again"),
        ((averager, one_list), "mean"),
        ((averager, sends_all_at_once), "list"),
    ],
)
def test_averager(answer, expected):
    assert code("03-averager", answer) == expected


def test_the_hint_for_a_return_names_what_was_raised():
    first, second = (check("03-averager", (returns, means)).message for _ in range(2))
    assert first.startswith("it raised StopIteration")
    assert "`yield` it" in first
    assert "`value = yield mean`" in second


@pytest.mark.usefixtures("_little_time")
def test_an_averager_without_end():
    assert check("03-averager", (spins, means)).code == "endless"


def test_an_averager_is_told_that_it_is_behind_or_primes_itself():
    for _ in range(2):
        assert "one value behind" in check("03-averager", (one_behind, means)).message
        message = check("03-averager", (primes_itself, means)).message
        assert "Prime it once, in `means`" in message


# ---- 03-order ----


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("ccbaa", "passed"),
        ("c c b a a", "passed"),
        ("C C B A A", "passed"),
        ("c, c, b, a, a", "passed"),
        (list("ccbaa"), "passed"),
        (["c", 1], "kind"),
        ("CCBAA", "passed"),
        (..., "open"),
        ("abcac", "first-in"),
        ("cbaca", "rounds"),
        ("aabcc", "from-left"),
        ("abc", "other"),
        (5, "kind"),
    ],
)
def test_order(answer, expected):
    assert code("03-order", answer) == expected


def test_the_bet_is_what_happens(capsys):
    cell("ask", "switch", "order-solution")
    assert capsys.readouterr().out.split() == list("ccbaa")


# ---- 03-heap ----


def heap_stub(coros, wait_until):
    """Run them."""
    ...


async def is_async(coros, wait_until):
    await asyncio.sleep(1)


def naps_variant(old="", new=""):
    """Return the right answer with some of its text replaced."""
    assert old in RUN_NAPS
    source = RUN_NAPS.replace(old, new) if old else RUN_NAPS
    names = {"heapq": heapq, "itertools": itertools, "time": time}
    exec(compile(source, "<cell>", "exec"), names)
    return names["run_naps"]


RUN_NAPS = """
def run_naps(coros, wait_until):
    order = itertools.count()
    timers = [(0.0, next(order), coro) for coro in coros]
    while timers:
        when, _, coro = heapq.heappop(timers)
        now = wait_until(when)
        try:
            seconds = coro.send(None)
        except StopIteration:
            continue
        heapq.heappush(timers, (now + seconds, next(order), coro))
"""


def one_after_the_other(coros, wait_until):
    now = 0
    for coro in coros:
        for seconds in iter(lambda coro=coro: next(coro.__await__(), None), None):
            now = wait_until(now + seconds)


def compares_coroutines(coros, wait_until):
    timers = [(0, coro) for coro in coros]
    while timers:
        when, coro = heapq.heappop(timers)
        with contextlib.suppress(StopIteration):
            heapq.heappush(timers, (wait_until(when) + coro.send(None), coro))


def does_nothing(coros, wait_until):
    return "done"


def knows_one_plan(coros, wait_until):
    (coro,) = coros
    wait_until(coro.send(None))
    coro.close()


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (naps_variant(), "passed"),
        (heap_stub, "open"),
        (..., "open"),
        (is_async, "kind"),
        (7, "kind"),
        (compares_coroutines, "ties"),
        (naps_variant("wait_until(when)", "when; time.sleep(1)"), "time-sleep"),
        (naps_variant("wait_until(when)", "when"), "no-clock"),
        (naps_variant("now + seconds,", "seconds,"), "early"),
        (naps_variant("(now + seconds, next(order)", "(now + seconds, -next(order)"), "tie-order"),
        (naps_variant("(0.0, next(order)", "(0.0, -next(order)"), "tie-order"),
        (naps_variant("StopIteration", "ZeroDivisionError"), "end"),
        (naps_variant("now + seconds,", "now + seconds + 1,"), "late"),
        (naps_variant("(now + seconds, next(order)", "(next(order), now + seconds"), "early"),
        (naps_variant("            continue", "            break"), "unfinished"),
        (naps_variant("now + seconds,", "when + seconds,"), "late-clock"),
        (naps_variant("now = wait_until(when)", "pass"), "no-wait"),
        (naps_variant("wait_until(when)\n", "wait_until(when) and when\n"), "late-clock"),
        (naps_variant("coro.send(None)", "next(coro)"), "next"),
        (naps_variant("coro.send(None)", "coro.send(now)"), "sent"),
        (naps_variant("wait_until(when)", "yield wait_until(when)"), "kind"),
        (naps_variant("while timers", "while True"), "empty"),
        (naps_variant("heapq.heappop(timers)", "timers[0]"), "ended"),
        (one_after_the_other, "late"),
        (does_nothing, "unfinished"),
        (knows_one_plan, "unfinished"),
    ],
)
def test_heap(answer, expected):
    assert code("03-heap", answer) == expected


def test_the_hint_for_ties_shows_the_line_and_then_the_cure():
    first, second = (check("03-heap", compares_coroutines).message for _ in range(2))
    assert "TypeError: '<' not supported" in first
    assert "on line" in first
    assert "itertools" not in first
    assert "`order = itertools.count()`" in second


@pytest.mark.parametrize(
    ("old", "new", "hint"),
    [
        ("now = wait_until(when)", "pass", "Call `wait_until(when)` and take `now` from it"),
        ("wait_until(when)", "when", "`wait_until` was never called"),
        ("now + seconds,", "seconds,", "not how long until then"),
        ("coro.send(None)", "next(coro)", "`send(None)` does"),
        ("while timers", "while True", "Stop when nobody is left"),
        ("heapq.heappop(timers)", "timers[0]", "One that has ended was resumed"),
    ],
)
def test_a_hint_for_naps(old, new, hint):
    assert hint in check("03-heap", naps_variant(old, new)).message


def test_a_clock_that_wakes_late_counts_from_then():
    first, second = (
        check("03-heap", naps_variant("now + seconds,", "when + seconds,")).message
        for _ in range(2)
    )
    assert "expected a at 0, b at 0, b at 2.5, a at 2.5, a at 4.5; seen:" in first
    assert "1.5 s late" in first
    assert "`now + seconds`" in second


@pytest.mark.usefixtures("_little_time")
def test_naps_without_end():
    spinning = naps_variant("now = wait_until(when)", "while True: pass")
    assert check("03-heap", spinning).code == "endless"


# ---- 03-future ----

FUTURE = """
class MyFuture:
    def __init__(self, loop):
        self.loop = loop
        self.callbacks, self.is_done, self.value = [], False, None

    def done(self):
        return self.is_done

    def result(self):
        if not self.is_done:
            raise RuntimeError("not yet")
        return self.value

    def set_result(self, result):
        self.is_done, self.value = True, result
        for callback in self.callbacks:
            self.loop.call_soon(callback, self)

    def add_done_callback(self, callback):
        if self.is_done:
            self.loop.call_soon(callback, self)
        else:
            self.callbacks.append(callback)

    def __await__(self):
        if not self.is_done:
            yield self
        return self.result()
"""


def future(old="", new=""):
    """Return the right class with some of its text replaced, as the cell of a notebook is."""
    assert old in FUTURE
    names = {"time": time}
    exec(compile(FUTURE.replace(old, new) if old else FUTURE, "<cell>", "exec"), names)
    return names["MyFuture"]


class FutureStub:
    """A future."""

    def __init__(self, loop): ...

    def done(self): ...

    def __await__(self): ...


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (future(), "passed"),
        (
            future(
                "if not self.is_done:\n            yield",
                "while not self.is_done:\n            yield",
            ),
            "passed",
        ),
        (FutureStub, "open"),
        (..., "open"),
        (3, "kind"),
        (FutureStub(None), "kind"),
        (asyncio.Future, "kind"),
    ],
)
def test_future(answer, expected):
    assert code("03-future", answer) == expected


SOON = "            self.loop.call_soon(callback, self)\n"
SET = "for callback in self.callbacks:\n" + SOON
IS_PENDING = "        if not self.is_done:\n            yield self\n"
RETURN = "        return self.result()\n"
AWAIT = "    def __await__(self):\n" + IS_PENDING + RETURN


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("self.is_done, self.value = True, result", "self.value = result", "done"),
        ("return self.is_done", "return self.value is not None", "done"),
        ('raise RuntimeError("not yet")', "return None", "no-result-yet"),
        ("self.value = True, result", "self.value = True, 3", "result"),
        ("self.callbacks.append(callback)", "self.loop.call_soon(callback, self)", "too-soon"),
        (SET, SET.replace("self.loop.call_soon(callback, self)", "callback(self)"), "at-once"),
        ("if self.is_done:\n" + SOON, "if self.is_done:\n            pass\n", "callbacks"),
        ("in self.callbacks:", "in self.callbacks[:1]:", "callbacks"),
        ("call_soon(callback, self)", "call_soon(callback)", "argument"),
        (IS_PENDING, "        yield\n", "yields"),
        (IS_PENDING, "        while not self.is_done:\n            yield\n", "yields"),
        (IS_PENDING, "        yield self\n", "again"),
        (IS_PENDING, "        while True:\n            yield self\n", "again"),
        (IS_PENDING, "        time.sleep(1)\n" + IS_PENDING, "blocking"),
        (IS_PENDING + RETURN, "        return iter([])\n", "no-wait"),
        (IS_PENDING + RETURN, "        return self.value\n", "no-await"),
        ("if self.is_done:\n" + SOON, "if self.is_done:\n            callback(self)\n", "at-once"),
        ("self.callbacks, self.is_done, self.value = [],", "self.is_done, self.value =", "raised"),
        ("raise RuntimeError", "raise ValueError", "no-result-yet"),
        ("    def done(self)", "    @property\n    def done(self)", "kind"),
        ("self.loop = loop", "self.loop, self.done = loop, False", "kind"),
        ("True, result\n", "True, result\n        self.result = result\n", "kind"),
        ("self.loop = loop", "pass", "loop"),
        (RETURN, "", "no-result"),
        (RETURN, "        return self.result\n", "no-result"),
        ("yield self", "yield from self", "yield-from"),
        ("            self.loop.call_soon", "            loop.call_soon", "loop"),
        (AWAIT, "", "no-await"),
        (AWAIT, "    async def __await__(self):\n        return self.value\n", "kind"),
        (AWAIT, "    async def __await__(self):\n        yield self\n", "kind"),
        (AWAIT, AWAIT.replace("yield self", "yield slef"), "raised"),
    ],
)
def test_a_wrong_future(old, new, expected):
    assert code("03-future", future(old, new)) == expected


def test_futures_that_share_their_callbacks():
    sharing = future("self.callbacks, self.is_done, self.value = [],", "self.is_done, self.value =")
    sharing.callbacks = []
    assert code("03-future", sharing) == "shared"


def test_a_future_with_another_error_or_with_a_property_is_told_so():
    other = check("03-future", future("raise RuntimeError", "raise ValueError")).message
    assert "raised ValueError('not yet')" in other
    assert "raise a RuntimeError" in other
    of_property = future("    def done(self)", "    @property\n    def done(self)")
    assert "`done` and `result` are methods" in check("03-future", of_property).message


def test_the_second_hint_for_a_direct_call_shows_the_line():
    direct = future(SET, SET.replace("self.loop.call_soon(callback, self)", "callback(self)"))
    first, second = (check("03-future", direct).message for _ in range(2))
    assert "call_soon" not in first
    assert "`self.loop.call_soon(callback, self)`" in second


@pytest.mark.usefixtures("_little_time")
def test_a_future_that_spins():
    assert check("03-future", future("yield self", "while True: pass")).code == "endless"


# ---- 03-trampoline ----

TRAMPOLINE = """
def my_trampoline(*coros):
    ready = deque(coros)
    while ready:
        coro = ready.popleft()
        try:
            coro.send(None)
        except StopIteration:
            continue
        ready.append(coro)
"""


def variant(source, *changes):
    """Return what a source defines last, with some of its text replaced, as a notebook's cell."""
    for old, new in changes:
        assert old in source
        source = source.replace(old, new)
    names = dict(vars(tasks)) | cell(*LOOP) | {"Future": tasks.Future, "Task": tasks.Task}
    exec(compile(source, "<cell>", "exec"), names)
    return list(names.values())[-1]


def in_rounds(*coros):
    coros = list(coros)
    while coros:
        for coro in list(coros):
            try:
                coro.send(None)
            except StopIteration:
                coros.remove(coro)


def to_the_end(*coros):
    for coro in coros:
        list(coro.__await__())


def a_single_round(*coros):
    for coro in coros:
        with contextlib.suppress(StopIteration):
            coro.send(None)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (variant(TRAMPOLINE), "passed"),
        (in_rounds, "passed"),
        (..., "open"),
        (5, "kind"),
        (to_the_end, "turns"),
        (a_single_round, "unfinished"),
        (variant(TRAMPOLINE, ("popleft", "pop")), "turns"),
        (variant(TRAMPOLINE, ("ready.append(coro)", "pass")), "unfinished"),
        (variant(TRAMPOLINE, ("ready.append", "ready.appendleft")), "turns"),
        (variant(TRAMPOLINE, ("ready.append(coro)", "ready.insert(1, coro)")), "turns"),
        (variant(TRAMPOLINE, ("continue", "return")), "unfinished"),
        (variant(TRAMPOLINE, ("continue", "pass")), "ended"),
        (variant(TRAMPOLINE, ("while ready", "while True")), "empty"),
        (
            variant(
                TRAMPOLINE, ("while ready:\n        coro = ready.popleft()", "for coro in ready:")
            ),
            "for",
        ),
        (variant(TRAMPOLINE, ("coro.send(None)", "coro.__next__()")), "next"),
        (variant(TRAMPOLINE, ("coro.send(None)", "coro.send(None); time.sleep(1)")), "time-sleep"),
        (variant(TRAMPOLINE, ("coro.send(None)", "next(coro)")), "next"),
        (variant(TRAMPOLINE, ("coro.send(None)", "coro.send(1)")), "sent"),
        (variant(TRAMPOLINE, ("*coros", "coros")), "arguments"),
        (variant(TRAMPOLINE, ("StopIteration", "KeyError")), "end"),
    ],
)
def test_trampoline(answer, expected):
    assert code("03-trampoline", answer) == expected


# ---- 03-error-path ----

MY_LOOP = """
class MyLoop(VirtualLoop):
    def __init__(self):
        super().__init__()
        self.errors = []

    def call_soon(self, callback, *args):
        super().call_soon(self.call, callback, *args)

    def call(self, callback, *args):
        try:
            callback(*args)
        except Exception as error:
            self.errors.append(error)
"""
RUN_ONCE = """
class MyLoop(VirtualLoop):
    def __init__(self):
        super().__init__()
        self.errors = []

    def run(self):
        try:
            super().run()
        except Exception as error:
            self.errors.append(error)
"""
RUN_AGAIN = RUN_ONCE.replace("error)\n", "error)\n            self.run()\n")
BY_CLOSURE = (
    MY_LOOP.split("        super().call_soon")[0]
    + """
        def guarded():
            try:
                callback(*args)
            except Exception as error:
                self.errors.append(error)

        super().call_soon(guarded)
"""
)


@pytest.mark.parametrize(
    ("source", "changes", "expected"),
    [
        (MY_LOOP, [], "passed"),
        (BY_CLOSURE, [], "passed"),
        (RUN_AGAIN, [], "passed"),
        (RUN_ONCE, [], "stopped"),
        (MY_LOOP, [("Exception as", "BaseException as")], "interrupt"),
        (MY_LOOP, [("self.errors.append(error)", "pass")], "errors"),
        (MY_LOOP, [("self.errors.append(error)", "self.errors = [error]")], "errors"),
        (MY_LOOP, [("append(error)", "append(str(error))")], "errors"),
        (MY_LOOP, [("Exception as", "ValueError as")], "escapes"),
        (
            MY_LOOP,
            [("append(error)", "append(error); self.call_soon(callback, *args)")],
            "again",
        ),
        (MY_LOOP, [("super().call_soon(self.call, ", "self.call(")], "at-once"),
        (MY_LOOP, [("super().call_soon(self.call, ", "self.call_soon(self.call, ")], "recursion"),
        (MY_LOOP, [("        super().__init__()\n", "")], "no-super"),
        (MY_LOOP, [("self.call, callback, *args", "self.call, callback")], "arguments"),
        (MY_LOOP, [("self.call, callback, *args", "callback, *args")], "escapes"),
        (MY_LOOP, [("    def call_soon", "    async def call_soon")], "kind"),
        (
            MY_LOOP,
            [
                ("        self.errors = []\n", ""),
                ("    def __init__", "    errors = []\n    def __init__"),
            ],
            "shared",
        ),
    ],
)
def test_error_path(source, changes, expected):
    assert code("03-error-path", variant(source, *changes)) == expected


def test_the_hint_for_an_error_that_ends_the_loop():
    first, second = (check("03-error-path", variant(RUN_ONCE)).message for _ in range(2))
    assert "Each call needs its own" in first
    assert "queue a method of yours" in second


# ---- 03-task ----

MY_TASK = """
class MyTask(Future):
    def __init__(self, loop, coro):
        super().__init__(loop)
        self.coro = coro
        loop.call_soon(self.step)

    def step(self, woken_by=None):
        try:
            awaited = self.coro.send(None)
        except StopIteration as stop:
            self.set_result(stop.value)
        except BaseException as error:
            self.set_exception(error)
        else:
            awaited.add_done_callback(self.step)
"""
BY_RESULT = """
        try:
            value = woken_by.result() if woken_by else None
            awaited = self.coro.send(value)
"""
BY_THROW = """
        try:
            try:
                value = woken_by.result() if woken_by else None
            except Exception as error:
                awaited = self.coro.throw(error)
            else:
                awaited = self.coro.send(value)
"""
SEND = "\n        try:\n            awaited = self.coro.send(None)\n"
ADD = "awaited.add_done_callback(self.step)"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ([], "passed"),
        ([(SEND, BY_THROW)], "passed"),
        ([("BaseException", "Exception")], "passed"),
        ([(SEND, BY_RESULT)], "not-raised"),
        ([("stop.value", "stop")], "result"),
        ([("self.set_result(stop.value)", "pass")], "not-done"),
        ([("self.set_result(stop.value)", "return stop.value")], "not-done"),
        ([("StopIteration as stop", "KeyError as stop"), ("BaseException", "OSError")], "end"),
        ([("self.set_exception(error)", "pass")], "error-lost"),
        ([("self.set_exception(error)", "self.set_result(error)")], "error-lost"),
        ([("self.set_exception(error)", "raise")], "escapes"),
        ([("BaseException", "ValueError")], "escapes"),
        ([(ADD, "pass")], "not-woken"),
        ([(ADD, "self.loop.call_soon(self.step)")], "early-step"),
        ([(ADD, "awaited.add_done_callback(self.step())")], "early-step"),
        ([(ADD, "self.set_result(awaited)")], "too-soon"),
        ([("        else:\n            " + ADD, "        " + ADD)], "no-else"),
        ([(ADD, "awaited.add_done_callback(lambda: self.step())")], "arguments"),
        ([("woken_by=None", "")], "arguments"),
        ([("send(None)", "__next__()")], "next"),
        ([("self.coro.send(None)", "next(self.coro)")], "next"),
        ([("loop.call_soon(self.step)", "self.step()")], "at-once"),
        ([("    def step", "    async def step")], "kind"),
    ],
)
def test_task(changes, expected):
    assert code("03-task", variant(MY_TASK, *changes)) == expected


# ---- 03-cancel ----

MY_CANCEL = """
class MyCancellable(Task):
    waits_for = None

    def step(self, woken_by=None, error=None):
        if self.done() or (error is None and woken_by is not self.waits_for):
            return
        try:
            awaited = self.coro.throw(error) if error else self.coro.send(None)
        except StopIteration as stop:
            self.set_result(stop.value)
        except BaseException as failure:
            self.set_exception(failure)
        else:
            self.waits_for = awaited
            awaited.add_done_callback(self.step)

    def cancel(self):
        if self.done():
            return False
        self.loop.call_soon(self.step, None, asyncio.CancelledError())
        return True
"""
STALE = " or (error is None and woken_by is not self.waits_for)"
CALL = "self.loop.call_soon(self.step, None, asyncio.CancelledError())"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ([], "passed"),
        ([("self.coro.throw(error) if error else", "")], "not-thrown"),
        ([(STALE, "")], "stale"),
        ([("self.done()" + STALE, "error is None and woken_by is not self.waits_for")], "ended"),
        ([(CALL, "self.step(None, asyncio.CancelledError())")], "at-once"),
        ([(CALL, "self.coro.throw(asyncio.CancelledError())")], "at-once"),
        ([(CALL, "pass")], "not-thrown"),
        ([(CALL, CALL.replace("asyncio.CancelledError", "Exception"))], "not-thrown"),
        ([(CALL, "self.waits_for.cancel()")], "cancel"),
        ([(CALL, "self.set_exception(asyncio.CancelledError())")], "not-thrown"),
        ([("BaseException", "Exception")], "escapes"),
        ([("        return True\n", "")], "return"),
        ([("return False", "return True")], "return"),
        ([("        if self.done():\n            return False\n", "")], "return"),
        ([(CALL, "self.loop.call_soon(self.step, self.waits_for)")], "not-thrown"),
        ([("            self.waits_for = awaited\n", "")], "not-woken"),
        ([("self.set_exception(failure)", "pass")], "error-lost"),
    ],
)
def test_cancel(changes, expected):
    assert code("03-cancel", variant(MY_CANCEL, *changes)) == expected


def test_a_task_without_cancel():
    assert code("03-cancel", variant(MY_TASK)) == "no-cancel"


class Unprintable:
    def __repr__(self):
        raise ValueError("no repr")


@pytest.mark.parametrize("name", ["03-error-path", "03-future", "03-task", "03-cancel"])
@pytest.mark.parametrize("answer", [Unprintable(), 10**5000], ids=["repr", "huge"])
def test_what_cannot_be_shown_is_no_class(name, answer):
    assert code(name, answer) == "kind"


# ---- 03-readable ----

READABLE = """
def my_readable(loop, sock):
    future = Future(loop)

    def is_ready():
        loop.selector.unregister(sock)
        future.set_result(None)

    loop.selector.register(sock, selectors.EVENT_READ, is_ready)
    return future
"""
REGISTER = "loop.selector.register(sock, selectors.EVENT_READ, is_ready)"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ([], "passed"),
        ([("unregister(sock)", "unregister(sock.fileno())")], "passed"),
        ([("return future", "pass")], "no-future"),
        ([("        loop.selector.unregister(sock)\n", "")], "still-watched"),
        ([("future.set_result(None)", "pass")], "not-done"),
        ([("future.set_result(None)", "future.set_result(sock.recv(9))")], "read"),
        ([(REGISTER, "pass")], "not-registered"),
        ([(REGISTER, "is_ready()")], "unregister"),
        ([(REGISTER, "future.set_result(sock.recv(9))")], "too-soon"),
        ([(", is_ready)", ", future.set_result(None))")], "too-soon"),
        ([(", is_ready)", ", future.set_result)")], "arguments"),
        ([(", is_ready)", ")")], "not-registered"),
        ([("EVENT_READ", "EVENT_WRITE")], "not-registered"),
        ([(REGISTER, REGISTER + "\n    loop.selector.select()")], "waits"),
        ([(REGISTER, REGISTER + "; " + REGISTER)], "twice"),
    ],
)
def test_readable(changes, expected):
    assert code("03-readable", variant(READABLE, *changes)) == expected


# ---- answers that do not end, and answers that are taken ----


@pytest.mark.usefixtures("_little_time")
@pytest.mark.parametrize(
    ("name", "answer", "hint"),
    [
        ("03-trampoline", variant(TRAMPOLINE, ("coro.send(None)", "pass")), "stays out"),
        ("03-task", variant(MY_TASK, (ADD, "while not awaited.done(): pass")), "must not wait"),
        ("03-cancel", variant(MY_CANCEL, (CALL, "while True: pass")), "must not wait"),
        ("03-readable", variant(READABLE, (REGISTER, "while True: pass")), "Do not wait"),
        ("03-averager", (spins, means), "needs a `yield`"),
        ("03-future", future("yield self", "while True: pass"), "hands out itself, once"),
    ],
)
def test_the_hint_for_one_that_does_not_end_fits(name, answer, hint):
    verdict = check(name, answer)
    assert verdict.code == "endless"
    assert hint in verdict.message
    assert "await" not in verdict.message.replace("awaited", "")


# ---- the notebook ----


REST = ("future-stub", "error-stub", "future-errors", "task-stub", "task-define", "cancel-stub")
SOLVED = (
    "trampoline-solution",
    "error-solution",
    "task-solution",
    "cancel-solution",
    "readable-solution",
)
STUBS = {
    "03-trampoline": "my_trampoline",
    "03-error-path": "MyLoop",
    "03-task": "MyTask",
    "03-cancel": "MyCancellable",
    "03-readable": "readable",
}


def test_the_notebook_s_stubs_are_open_and_its_solutions_pass():
    names = cell(
        "averager", "trampoline-stub", "heap-stub", "future-stub", *LOOP, *REST, "readable-stub"
    )
    assert check("03-averager", (names["averager"], names["means"])).code == "open"
    assert check("03-heap", names["run_naps"]).code == "open"
    assert check("03-future", names["MyFuture"]).code == "open"
    for name, stub in STUBS.items():
        assert check(name, names[stub]).code == "open"
    names = cell("averager-solution", "heap-solution", "future-solution", *LOOP, *REST, *SOLVED)
    for name, stub in STUBS.items():
        solved = stub.replace("My", "Solved").replace("my_", "solved_")
        solved = "solved_readable" if stub == "readable" else solved
        assert check(name, names[solved]).code == "passed"
    assert check("03-averager", (names["solved_averager"], names["solved_means"])).code == "passed"
    assert check("03-heap", names["solved_run_naps"]).code == "passed"
    assert check("03-future", names["SolvedFuture"]).code == "passed"
