"""The checks of lesson 03: right answers pass, and each typical mistake gets its own hint."""

import asyncio
import contextlib
import heapq
import itertools
import json
import selectors
import time
from collections import deque
from dataclasses import replace
from pathlib import Path

from asyncml.course.exercises import check, tasks, yours_or_ours
from tests.course.tables import changed, every, table, values

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "03_build_an_event_loop.ipynb"
LOOP = ("clock-define", "loop-define", "virtual-define")


def cell(*ids):
    """Return the names that cells of the notebook define."""
    notebook = json.loads(NOTEBOOK.read_text("utf-8"))
    sources = {cell["id"]: "".join(cell["source"]) for cell in notebook["cells"]}
    names = {"check": check, "yours_or_ours": yours_or_ours, **MODULES}
    for id in ids:
        exec(sources[id], names)
    return names


MODULES = {"asyncio": asyncio, "contextlib": contextlib, "deque": deque, "heapq": heapq}
MODULES |= {"itertools": itertools, "selectors": selectors, "time": time}
NAMES = dict(vars(tasks)) | cell(*LOOP) | {"Future": tasks.Future, "Task": tasks.Task}


class Unprintable:
    def __repr__(self):
        raise ValueError("no repr")


NO_CLASS = {"open": [...], "kind": [3, Unprintable(), 10**5000, asyncio.Future]}
CLASSES = ("03-error-path", "03-future", "03-task", "03-cancel")


@every(
    *(values(name, NO_CLASS) for name in CLASSES),
    *(values(name, {"open": [...], "kind": [7]}) for name in ("03-trampoline", "03-heap")),
)
def test_what_is_no_class_and_no_function_is_refused(case):
    case.judge()


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


AVERAGERS = """
passed
    total, count, mean = 0, 0, None
    while True:
        total, count = total + (yield mean), count + 1
        mean = total / count
passed
    return right()
open
    ...
no-yield
    return 0
return | it raised StopIteration | `value = yield mean`
    total = yield
    return total
too-soon
    total, count = 0, 0
    while True:
        total += yield total / count
        count += 1
two-yields
    total, count = 0, 0
    while True:
        total, count = total + (yield), count + 1
        yield total / count
mean
    value = None
    while True:
        value = yield value
return | `yield` it
    yield None
    yield 10
    yield 15
    yield 30
blocking
    value = yield
    while True:
        time.sleep(1)
        value = yield value
primed-again | Prime it once, in `means` | Prime it once, in `means`
    steps = right()
    next(steps)
    return steps
behind | one value behind | one value behind
    total, count, shown, mean = 0, 0, None, None
    while True:
        total, count = total + (yield shown), count + 1
        shown, mean = mean, total / count
endless | needs a `yield`
    yield
    while True:
        pass
"""
MEANS = """
passed
    steps = averager()
    steps.send(None)
    return [steps.send(value) for value in values]
open
    ...
not-primed
    steps = averager()
    return [steps.send(value) for value in values]
primer
    steps = averager()
    return [next(steps)] + [steps.send(value) for value in values]
kind
    return sum(values)
primed-again
    steps = averager()
    return [(next(steps), steps.send(value))[1] for value in values]
mean
    return [10, 15, 30]
list
    steps = averager()
    next(steps)
    return steps.send(values)
"""


def pairs():
    names = {"averager": averager, "right": averager, "time": time}
    for case in table("03-averager", names, "def averager():", AVERAGERS):
        yield replace(case, answer=(case.answer, means))
    for case in table("03-averager", names, "def means(values):", MEANS):
        yield replace(case, answer=(averager, case.answer))
    for case in table("03-averager", names, "async def averager():", "kind\n    yield 1"):
        yield replace(case, answer=(case.answer, means))
    yield from values(
        "03-averager",
        {
            "passed": [[averager, means]],
            "open": [(..., ...)],
            "kind": [averager, (averager(), means)],
        },
    )


# ---- 03-order ----

ORDER = {
    "passed": ["ccbaa", "c c b a a", "C C B A A", "c, c, b, a, a", list("ccbaa"), "CCBAA"],
    "open": [...],
    "first-in": ["abcac"],
    "rounds": ["cbaca"],
    "from-left": ["aabcc"],
    "other": ["abc"],
    "kind": [["c", 1], 5],
}


@every(pairs(), values("03-order", ORDER))
def test_averagers_and_orders(case):
    case.judge()


def test_the_bet_is_what_happens(capsys):
    cell("ask", "switch", "order-solution")
    assert capsys.readouterr().out.split() == list("ccbaa")


# ---- 03-trampoline, 03-heap ----

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
TRAMPOLINES = [
    ([], "passed"),
    ([("popleft", "pop")], "turns"),
    ([("ready.append(coro)", "pass")], "unfinished"),
    ([("ready.append", "ready.appendleft")], "turns"),
    ([("ready.append(coro)", "ready.insert(1, coro)")], "turns"),
    ([("continue", "return")], "unfinished"),
    ([("continue", "pass")], "ended"),
    ([("while ready", "while True")], "empty"),
    ([("while ready:\n        coro = ready.popleft()", "for coro in ready:")], "for"),
    ([("coro.send(None)", "coro.__next__()")], "next"),
    ([("coro.send(None)", "coro.send(None); time.sleep(1)")], "time-sleep"),
    ([("coro.send(None)", "next(coro)")], "next"),
    ([("coro.send(None)", "coro.send(1)")], "sent"),
    ([("*coros", "coros")], "arguments"),
    ([("StopIteration", "KeyError")], "end"),
    (("coro.send(None)", "pass"), "endless", "stays out"),
]
OTHER_TRAMPOLINES = """
passed
    coros = list(coros)
    while coros:
        for coro in list(coros):
            try:
                coro.send(None)
            except StopIteration:
                coros.remove(coro)
turns
    for coro in coros:
        list(coro.__await__())
unfinished
    for coro in coros:
        with contextlib.suppress(StopIteration):
            coro.send(None)
"""
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
NAPS = [
    ([], "passed"),
    (("wait_until(when)", "when; time.sleep(1)"), "time-sleep"),
    (("wait_until(when)", "when"), "no-clock", "`wait_until` was never called"),
    (("now + seconds,", "seconds,"), "early", "not how long until then"),
    (("(now + seconds, next(order)", "(now + seconds, -next(order)"), "tie-order"),
    (("(0.0, next(order)", "(0.0, -next(order)"), "tie-order"),
    (("StopIteration", "ZeroDivisionError"), "end"),
    (("now + seconds,", "now + seconds + 1,"), "late"),
    (("(now + seconds, next(order)", "(next(order), now + seconds"), "early"),
    (("            continue", "            break"), "unfinished"),
    (("now + seconds,", "when + seconds,"), "late-clock", "1.5 s late", "`now + seconds`"),
    (
        ("now = wait_until(when)", "pass"),
        "no-wait",
        "Call `wait_until(when)` and take `now` from it",
    ),
    (("wait_until(when)\n", "wait_until(when) and when\n"), "late-clock"),
    (("coro.send(None)", "next(coro)"), "next", "`send(None)` does"),
    (("coro.send(None)", "coro.send(now)"), "sent"),
    (("wait_until(when)", "yield wait_until(when)"), "kind"),
    (("while timers", "while True"), "empty", "Stop when nobody is left"),
    (("heapq.heappop(timers)", "timers[0]"), "ended", "One that has ended was resumed"),
    (("now = wait_until(when)", "while True: pass"), "endless"),
]
OTHER_NAPS = """
open
    'Run them.'
    ...
ties | TypeError: '<' not supported | `order = itertools.count()`
    timers = [(0, coro) for coro in coros]
    while timers:
        when, coro = heapq.heappop(timers)
        with contextlib.suppress(StopIteration):
            heapq.heappush(timers, (wait_until(when) + coro.send(None), coro))
late
    now = 0
    for coro in coros:
        for seconds in iter(lambda coro=coro: next(coro.__await__(), None), None):
            now = wait_until(now + seconds)
unfinished
    return "done"
unfinished
    (coro,) = coros
    wait_until(coro.send(None))
    coro.close()
"""
NAPS_HEAD = "def run_naps(coros, wait_until):"


@every(
    changed("03-trampoline", NAMES, TRAMPOLINE, *TRAMPOLINES),
    table("03-trampoline", NAMES, "def my_trampoline(*coros):", OTHER_TRAMPOLINES),
    changed("03-heap", NAMES, RUN_NAPS, *NAPS),
    table("03-heap", NAMES, NAPS_HEAD, OTHER_NAPS),
    table("03-heap", NAMES, f"async {NAPS_HEAD}", "kind\n    await asyncio.sleep(1)"),
)
def test_what_resumes_coroutines(case):
    case.judge()


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
LOOPS = [
    ([], "passed"),
    (("            callback(*args)", "            callback(args)"), "calls"),
    ([("Exception as", "BaseException as")], "interrupt"),
    ([("self.errors.append(error)", "pass")], "errors"),
    ([("self.errors.append(error)", "self.errors = [error]")], "errors"),
    ([("append(error)", "append(str(error))")], "errors"),
    ([("Exception as", "ValueError as")], "escapes"),
    ([("append(error)", "append(error); self.call_soon(callback, *args)")], "again"),
    ([("super().call_soon(self.call, ", "self.call(")], "at-once"),
    ([("super().call_soon(self.call, ", "self.call_soon(self.call, ")], "recursion"),
    ([("        super().__init__()\n", "")], "no-super"),
    ([("self.call, callback, *args", "self.call, callback")], "arguments"),
    ([("self.call, callback, *args", "callback, *args")], "escapes"),
    ([("    def call_soon", "    async def call_soon")], "kind"),
    (
        [
            ("        self.errors = []\n", ""),
            ("    def __init__", "    errors = []\n    def __init__"),
        ],
        "shared",
    ),
]

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
SOON = "            self.loop.call_soon(callback, self)\n"
SET = "for callback in self.callbacks:\n" + SOON
IS_PENDING = "        if not self.is_done:\n            yield self\n"
RETURN = "        return self.result()\n"
AWAIT = "    def __await__(self):\n" + IS_PENDING + RETURN
FUTURES = [
    ([], "passed"),
    (
        ("if not self.is_done:\n            yield", "while not self.is_done:\n            yield"),
        "passed",
    ),
    (("self.is_done, self.value = True, result", "self.value = result"), "done"),
    (("return self.is_done", "return self.value is not None"), "done"),
    (('raise RuntimeError("not yet")', "return None"), "no-result-yet"),
    (("self.value = True, result", "self.value = True, 3"), "result"),
    (("self.callbacks.append(callback)", "self.loop.call_soon(callback, self)"), "too-soon"),
    (
        (SET, SET.replace("self.loop.call_soon(callback, self)", "callback(self)")),
        "at-once",
        "Its caller",
        "`self.loop.call_soon(callback, self)`",
    ),
    (("if self.is_done:\n" + SOON, "if self.is_done:\n            pass\n"), "callbacks"),
    (("in self.callbacks:", "in self.callbacks[:1]:"), "callbacks"),
    (("call_soon(callback, self)", "call_soon(callback)"), "argument"),
    ((IS_PENDING, "        yield\n"), "yields"),
    ((IS_PENDING, "        while not self.is_done:\n            yield\n"), "yields"),
    ((IS_PENDING, "        yield self\n"), "again"),
    ((IS_PENDING, "        while True:\n            yield self\n"), "again"),
    ((IS_PENDING, "        time.sleep(1)\n" + IS_PENDING), "blocking"),
    ((IS_PENDING + RETURN, "        return iter([])\n"), "no-wait"),
    ((IS_PENDING + RETURN, "        return self.value\n"), "no-await"),
    (("if self.is_done:\n" + SOON, "if self.is_done:\n            callback(self)\n"), "at-once"),
    (("self.callbacks, self.is_done, self.value = [],", "self.is_done, self.value ="), "raised"),
    (("raise RuntimeError", "raise ValueError"), "no-result-yet", "raised ValueError('not yet')"),
    (
        ("    def done(self)", "    @property\n    def done(self)"),
        "kind",
        "`done` and `result` are methods",
    ),
    (("self.loop = loop", "self.loop, self.done = loop, False"), "kind"),
    (("True, result\n", "True, result\n        self.result = result\n"), "kind"),
    (("self.loop = loop", "pass"), "loop"),
    ((RETURN, ""), "no-result"),
    ((RETURN, "        return self.result\n"), "no-result"),
    (("yield self", "yield from self"), "yield-from"),
    (("            self.loop.call_soon", "            loop.call_soon"), "loop"),
    ((AWAIT, ""), "no-await"),
    ((AWAIT, "    async def __await__(self):\n        return self.value\n"), "kind"),
    ((AWAIT, "    async def __await__(self):\n        yield self\n"), "kind"),
    ((AWAIT, AWAIT.replace("yield self", "yield slef")), "raised"),
    (
        [
            ("self.callbacks, self.is_done, self.value = [],", "self.is_done, self.value ="),
            ("class MyFuture:\n", "class MyFuture:\n    callbacks = []\n"),
        ],
        "shared",
    ),
    (("yield self", "while True: pass"), "endless", "hands out itself, once"),
]


class FutureStub:
    """A future."""

    def __init__(self, loop): ...

    def done(self): ...

    def __await__(self): ...


# ---- 03-task, 03-cancel ----

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
TASKS = [
    ([], "passed"),
    ([(SEND, BY_THROW)], "passed"),
    ([("BaseException", "Exception")], "escapes"),
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
    ((ADD, "while not awaited.done(): pass"), "endless", "must not wait"),
]
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
CANCELS = [
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
    ((CALL, "while True: pass"), "endless", "must not wait"),
    ((CALL, f"if self.waits_for: {CALL}"), "lost", "before its first step"),
]

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
LATER = "loop.call_soon(loop.selector.unregister, sock)"
READABLES = [
    ([], "passed"),
    ([("unregister(sock)", "unregister(sock.fileno())")], "passed"),
    ([("return future", "pass")], "no-future"),
    ([("        loop.selector.unregister(sock)\n", "")], "still-watched"),
    ([("loop.selector.unregister(sock)", LATER)], "still-watched"),
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
    ((REGISTER, "while True: pass"), "endless", "Do not wait"),
]


@every(
    changed("03-error-path", NAMES, MY_LOOP, *LOOPS),
    changed(
        "03-error-path",
        NAMES,
        RUN_ONCE,
        ([], "stopped", "Each call needs its own", "queue a method of yours"),
    ),
    changed("03-error-path", NAMES, RUN_AGAIN, ([], "passed")),
    changed("03-error-path", NAMES, BY_CLOSURE, ([], "passed")),
    changed("03-future", NAMES, FUTURE, *FUTURES),
    values("03-future", {"open": [FutureStub], "kind": [FutureStub(None)]}),
    changed("03-task", NAMES, MY_TASK, *TASKS),
    changed("03-cancel", NAMES, MY_CANCEL, *CANCELS),
    changed("03-cancel", NAMES, MY_TASK, ([], "no-cancel")),
    changed("03-readable", NAMES, READABLE, *READABLES),
)
def test_parts_of_a_loop(case):
    case.judge()


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
