"""The checks of lesson 04: right answers pass, each typical wrong one gets a hint of its own."""

import asyncio
import collections
import contextlib
import json
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from asyncml.course.exercises import attempts, check, tallies

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "04_coroutines_and_threads_measured.ipynb"


def code(name, answer):
    """Return the code of a verdict, which is one line."""
    verdict = check(name, answer)
    assert not {"\n", "\r"} & set(repr(verdict))
    return verdict.code


def hints(name, answer):
    """Return what the first failure and the second are told, under one code."""
    first, second = check(name, answer), check(name, answer)
    assert first.code == second.code
    assert not {"\n", "\r"} & set(repr(second))
    return first.message, second.message


# ---- 04-powers ----


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ([-7, -6, -4, -1], "passed"),
        ((-8, -5, -5, -2), "passed"),
        ([-7, -5, -5, -2], "passed"),
        ([-7.0, -6.0, -4.0, -1.0], "passed"),
        (..., "open"),
        ([..., ..., ..., ...], "open"),
        ([-7, -6, ..., -1], "open"),
        (-7, "kind"),
        ([-7, -6, -4], "kind"),
        ([1e-7, 1e-6, 1e-4, 0.1], "kind"),
        ("-7, -6, -4, -1", "kind"),
        ([-7.5, -6, -4, -1], "kind"),
        ([True, True, True, True], "kind"),
        (np.array([-7, -6, -4, -1]), "passed"),
        (np.array([-7, -6, -4]), "kind"),
        ([7, 6, 4, 1], "sign"),
        ([-7, -6, -4, 0], "too-dear"),
        ([-1, -4, -6, -7], "order"),
        ([-6, -6, -4, -1], "too-dear"),
        ([-9, -6, -4, -1], "too-cheap"),
        ([-7, -4, -4, -1], "too-dear"),
        ([-7, -7, -4, -1], "too-cheap"),
        ([-7, -6, -3, -1], "too-dear"),
        ([-7, -6, -6, -1], "too-cheap"),
        ([-7, -6, -4, -3], "too-cheap"),
        ([-3, -3, -3, -3], "too-dear"),
    ],
)
def test_powers(answer, expected):
    assert code("04-powers", answer) == expected


def test_powers_name_what_was_meant():
    assert "write -3" in check("04-powers", [1e-7, 1e-6, 1e-4, 0.1]).message
    assert (
        "starting a process is not a matter of 10 ** -3 s"
        in check("04-powers", [-7, -6, -4, -3]).message
    )


# ---- 04-total ----


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (110, "passed"),
        (110.0, "passed"),
        (..., "open"),
        (None, "open"),
        (111, "all"),
        (101, "read-late"),
        (100, "read-early"),
        (11, "two"),
        (1, "not-last"),
        (10, "not-last"),
        (0, "other"),
        (5, "other"),
        ("110", "kind"),
    ],
)
def test_total(answer, expected):
    assert code("04-total", answer) == expected


# ---- 04-lock ----

INIT = "        self.lock = asyncio.Lock()\n"
LOAD = "        gradient = await self.server.load_gradient(number)\n"
BLOCK = """        async with self.lock:
            params = await self.server.get()
            await self.server.put(params - gradient)
"""
TRAINER = f"""
class Trainer:
    def __init__(self, server):
        self.server = server
{INIT}
    async def push(self, number):
{LOAD}{BLOCK}"""
GET = "        params = await self.server.get()\n"
PUT = "        await self.server.put(params - gradient)\n"


def indented(text):
    return "".join(f"    {line}\n" for line in text.splitlines())


def trainer(*changes):
    """Return the right class with some of its text replaced, as the cell of a notebook is."""
    source = TRAINER
    for old, new in changes:
        assert old in source
        source = source.replace(old, new)
    names = {"asyncio": asyncio, "threading": threading, "time": time, "contextlib": contextlib}
    names["common"] = threading.Lock()
    exec(compile(source, "<cell>", "exec"), names)
    return names["Trainer"]


AS_GIVEN = ((INIT, ""), (BLOCK, GET + PUT))
ACQUIRE = "        await self.lock.acquire()\n"
RELEASE = "        self.lock.release()\n"
WITH_FINALLY = (
    ACQUIRE + "        try:\n" + indented(GET) + indented(PUT) + "        finally:\n    " + RELEASE
)
WITH_FLAG = """        while getattr(self, "is_busy", False):
            await asyncio.sleep(0.001)
        self.is_busy = True
        try:
            params = await self.server.get()
            await self.server.put(params - gradient)
        finally:
            self.is_busy = False
"""
ALL_HELD = "        async with self.lock:\n" + indented(LOAD) + BLOCK.split("\n", 1)[1]
SILENT = indented("        with contextlib.suppress(OSError):\n" + indented(PUT))
OF_CLASS = "class Trainer:\n    lock = asyncio.Lock()\n\n"
OWN = "        lock = asyncio.Lock()\n" + BLOCK
LAZY = "        if not hasattr(self, 'lock'):\n            self.lock = asyncio.Lock()\n"
BY_HELPER = """        await self.update(gradient)

    async def update(self, gradient):
"""


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ((), "passed"),
        ([("asyncio.Lock()", "asyncio.Semaphore(1)")], "passed"),
        ([(BLOCK, WITH_FINALLY)], "passed"),
        ([(INIT, ""), (BLOCK, LAZY + BLOCK)], "passed"),
        ([(BLOCK, BY_HELPER + BLOCK)], "passed"),
        (AS_GIVEN, "open"),
        ([*AS_GIVEN, (PUT, "        await asyncio.sleep(0)\n" + PUT)], "no-lock"),
        ([*AS_GIVEN, (GET, "        await asyncio.sleep(0.3 * number)\n" + GET)], "no-lock"),
        ([*AS_GIVEN, (LOAD + GET, GET + LOAD)], "no-lock"),
        ([(INIT, ""), ("self.lock", "asyncio.Lock()")], "own-lock"),
        ([(BLOCK, OWN), ("with self.lock", "with lock")], "own-lock"),
        ([("asyncio.Lock()", "asyncio.Semaphore(2)")], "semaphore"),
        ([(BLOCK, GET + "        async with self.lock:\n" + indented(PUT))], "read-outside"),
        ([(BLOCK, "        async with self.lock:\n" + indented(GET) + PUT)], "write-outside"),
        ([(indented(PUT), "        async with self.lock:\n" + indented(PUT))], "two-blocks"),
        (
            [(LOAD + BLOCK, ALL_HELD)],
            "serial",
        ),
        ([(LOAD, LOAD + "        await asyncio.sleep(5)\n")], "slow"),
        ([(LOAD, LOAD + "        await asyncio.sleep(0.02)\n")], "passed"),
        ([(BLOCK, WITH_FLAG)], "passed"),
        ([("params - gradient", "params + gradient")], "value"),
        ([("await self.server.put", "self.server.put")], "no-put"),
        ([("params - gradient", "1234")], "value"),
        ([("load_gradient(number)", "load_gradient(0)")], "calls"),
        ([("async with", "with")], "async-with"),
        ([("await self.server.get()", "self.server.get()")], "await"),
        ([("async with self.lock", "async with await self.lock")], "await"),
        ([(BLOCK, ACQUIRE.replace("await ", "") + GET + PUT + RELEASE)], "raised"),
        ([(BLOCK, ACQUIRE + GET + PUT)], "not-released"),
        ([(BLOCK, ACQUIRE + GET + PUT + RELEASE)], "not-released"),
        ([("asyncio.Lock()", "threading.Lock()"), ("async with", "with")], "thread-lock"),
        ([("asyncio.Lock()", "threading.RLock()"), ("async with", "with")], "thread-lock"),
        ([("async with self.lock", "with common")], "thread-lock"),
        ([(INIT, ""), ("async with self.lock", "with threading.Lock()")], "thread-lock"),
        ([(indented(PUT), SILENT)], "swallowed"),
        ([(LOAD, "        time.sleep(1)\n" + LOAD)], "blocking"),
        ([("class Trainer:\n", OF_CLASS), (INIT, "")], "other-loop"),
        ([("    async def push", "    def push"), (LOAD + BLOCK, "        return 0\n")], "kind"),
        ([("push", "pull")], "kind"),
        ([(LOAD, LOAD.replace("gradient =", "gradiant ="))], "raised"),
    ],
)
def test_lock(changes, expected):
    assert code("04-lock", trainer(*changes)) == expected


class Stub:
    def __init__(self, server):
        self.server = server

    async def push(self, number): ...


@pytest.mark.parametrize(
    ("answer", "expected"), [(..., "open"), (Stub, "open"), (Stub(None), "kind"), (3, "kind")]
)
def test_no_lock_yet(answer, expected):
    assert code("04-lock", answer) == expected


def test_a_lock_that_spins(monkeypatch):
    monkeypatch.setattr(attempts, "_LIMIT_S", 0.1)
    spinning = trainer((BLOCK, "        while self.lock.locked():\n            pass\n" + BLOCK))
    waiting = trainer((LOAD, LOAD + "        while True:\n            pass\n"))
    assert code("04-lock", spinning) == "endless"
    assert code("04-lock", waiting) == "endless"


@pytest.mark.parametrize(
    ("changes", "first", "second"),
    [
        ([(INIT, ""), ("self.lock", "asyncio.Lock()")], "a lock of its own", "in `__init__`"),
        ([*AS_GIVEN, (PUT, "        await asyncio.sleep(0)\n" + PUT)], "lets others", "__init__"),
        ([(BLOCK, ACQUIRE + GET + PUT + RELEASE)], "if `put` raises?", "`async with self.lock:`"),
        (
            [(BLOCK, GET + "        async with self.lock:\n" + indented(PUT))],
            "not held when `get` reads",
            "one `async with self.lock:`",
        ),
        (
            [(LOAD + BLOCK, ALL_HELD)],
            "does it need the lock?",
            "call it before the lock",
        ),
    ],
)
def test_the_second_failure_says_more(changes, first, second):
    told, told_again = hints("04-lock", trainer(*changes))
    assert first in told
    assert second in told_again


# ---- 04-owner ----


async def own_stub(queue, server): ...


async def own(queue, server):
    while True:
        gradient = await queue.get()
        if gradient is None:
            return
        params = await server.get()
        await server.put(params - gradient)


async def owns_and_remembers(queue, server):
    params = await server.get()
    while (gradient := await queue.get()) is not None:
        params -= gradient
        await server.put(params)


async def owns_and_says_done(queue, server):
    async for gradient in _until_none(queue):
        await server.put(await server.get() - gradient)
        queue.task_done()


async def _until_none(queue):
    while (gradient := await queue.get()) is not None:
        yield gradient


async def takes_what_is_there(queue, server):
    last = False
    while not last:
        gradients = [await queue.get()]
        while not queue.empty():
            gradients.append(queue.get_nowait())
        last = None in gradients
        await server.put(await server.get() - sum(g for g in gradients if g is not None))


async def until_empty(queue, server):
    while not queue.empty():
        await server.put(await server.get() - await queue.get())


async def one_only(queue, server):
    await server.put(await server.get() - await queue.get())


async def does_not_wait(queue, server):
    while (gradient := queue.get_nowait()) is not None:
        await server.put(await server.get() - gradient)


async def no_await(queue, server):
    while (gradient := queue.get()) is not None:
        await server.put(await server.get() - gradient)


async def takes_none_for_a_gradient(queue, server):
    while True:
        gradient = await queue.get()
        await server.put(await server.get() - gradient)


async def never_ends(queue, server):
    while True:
        gradient = await queue.get()
        if gradient is not None:
            await server.put(await server.get() - gradient)


async def ends_on_zero(queue, server):
    while True:
        gradient = await queue.get()
        if not gradient:
            continue
        await server.put(await server.get() - gradient)


async def a_task_for_each(queue, server):
    async def apply(gradient):
        await server.put(await server.get() - gradient)

    async with asyncio.TaskGroup() as group:
        while (gradient := await queue.get()) is not None:
            group.create_task(apply(gradient))


async def a_lost_task_for_each(queue, server):
    async def apply(gradient):
        await server.put(await server.get() - gradient)

    kept = []
    while (gradient := await queue.get()) is not None:
        kept.append(asyncio.create_task(apply(gradient)))


async def in_the_end(queue, server):
    gradients = []
    while (gradient := await queue.get()) is not None:
        gradients.append(gradient)
    await server.put(await server.get() - sum(gradients))


async def skips_the_last(queue, server):
    before = await queue.get()
    while (gradient := await queue.get()) is not None:
        await server.put(await server.get() - before)
        before = gradient


async def adds(queue, server):
    while (gradient := await queue.get()) is not None:
        await server.put(await server.get() + gradient)


async def only_reads(queue, server):
    while await queue.get() is not None:
        await server.get()


async def forgets_to_await_the_put(queue, server):
    while (gradient := await queue.get()) is not None:
        server.put(await server.get() - gradient)


async def loops_over_the_queue(queue, server):
    for gradient in queue:
        await server.put(await server.get() - gradient)


async def awaits_the_queue_s_items(queue, server):
    async for gradient in queue:
        await server.put(await server.get() - gradient)


async def hard_coded(queue, server):
    while await queue.get() is not None:
        await server.put(1432)


async def blocks(queue, server):
    while (gradient := await queue.get()) is not None:
        time.sleep(0.1)  # noqa: ASYNC251
        await server.put(await server.get() - gradient)


async def polls(queue, server):
    while True:
        while queue.empty():  # noqa: ASYNC110
            await asyncio.sleep(0)
        gradient = queue.get_nowait()
        if gradient is None:
            return
        await server.put(await server.get() - gradient)


async def until_nothing(queue, server):
    while gradient := await queue.get():
        await server.put(await server.get() - gradient)


async def skips_nothing(queue, server):
    async for gradient in _until_none(queue):
        if gradient:
            await server.put(await server.get() - gradient)


async def spins(queue, server):
    while queue.empty():
        pass


def not_async(queue, server):
    return queue.get()


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (own, "passed"),
        (owns_and_remembers, "passed"),
        (owns_and_says_done, "passed"),
        (takes_what_is_there, "passed"),
        (..., "open"),
        (own_stub, "open"),
        (3, "kind"),
        (not_async, "kind"),
        (until_empty, "too-soon"),
        (one_only, "too-soon"),
        (until_nothing, "too-soon"),
        (skips_nothing, "passed"),
        (does_not_wait, "empty"),
        (no_await, "await"),
        (takes_none_for_a_gradient, "none"),
        (never_ends, "no-end"),
        (ends_on_zero, "no-end"),
        (a_task_for_each, "at-once"),
        (a_lost_task_for_each, "at-once"),
        (in_the_end, "hoards"),
        (skips_the_last, "value"),
        (adds, "value"),
        (only_reads, "no-put"),
        (forgets_to_await_the_put, "no-put"),
        (loops_over_the_queue, "queue"),
        (awaits_the_queue_s_items, "queue"),
        (hard_coded, "value"),
        (blocks, "blocking"),
        (polls, "endless"),
        (spins, "endless"),
    ],
)
@pytest.mark.untidy
def test_owner(answer, expected, monkeypatch):
    if expected == "endless":
        monkeypatch.setattr(attempts, "_LIMIT_S", 0.1)
    assert code("04-owner", answer) == expected


def test_the_owner_s_second_failure_says_more():
    told, told_again = hints("04-owner", does_not_wait)
    assert "`get_nowait` does not wait" in told
    assert "`gradient = await queue.get()` waits" in told_again


def test_a_task_for_each_gradient_is_named_as_the_cause():
    told, told_again = hints("04-owner", a_task_for_each)
    assert "expected was" in told
    assert "a task for each gradient" in told
    assert "in `own` itself" in told_again


# ---- the notebook ----


def test_the_notebook_s_stubs_are_open_and_its_solutions_pass():
    notebook = json.loads(NOTEBOOK.read_text("utf-8"))
    sources = {cell["id"]: "".join(cell["source"]) for cell in notebook["cells"]}
    names = {"asyncio": asyncio, "check": check, "threading": threading}
    for exercise in ("threads", "lock", "owner"):
        exec(sources[f"{exercise}-stub"], names)
        exec(sources[f"{exercise}-solution"], names)
    assert check("04-threads", names["Tally"]).code == "open"
    assert check("04-threads", names["SolvedTally"]).code == "passed"
    assert check("04-lock", names["Trainer"]).code == "open"
    assert check("04-owner", names["own"]).code == "open"
    assert check("04-lock", names["SolvedTrainer"]).code == "passed"
    assert check("04-owner", names["own_solved"]).code == "passed"


# ---- 04-turns ----


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ([0, 0, 1000], "passed"),
        ((0.0, 0, 999), "passed"),
        (np.array([0, 0, 1000]), "passed"),
        (..., "open"),
        ([0, 0, ...], "open"),
        ([1000, 1000, 1000], "every-await"),
        ([1000, 0, 1000], "bare-awaits"),
        ([0, 1000, 1000], "free-locks"),
        ([0, 0, 0], "naps"),
        ([0, 0, 500], "naps"),
        ([0, 0], "kind"),
        (1000, "kind"),
        ([0, 0, -1], "kind"),
        ([0, 0, 10**400], "kind"),
        ("0, 0, 1000", "kind"),
        ([True, 0, 1000], "kind"),
    ],
)
def test_turns(answer, expected):
    assert code("04-turns", answer) == expected


# ---- 04-switches ----


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (10, "passed"),
        (2 / 20 * 100, "passed"),
        (..., "open"),
        (0.1, "share"),
        (110, "whole"),
        (1.1, "whole"),
        (100 / 11, "of-all"),
        (5, "other"),
        ("10 %", "kind"),
    ],
)
def test_switches(answer, expected):
    assert code("04-switches", answer) == expected


# ---- 04-threads ----


_lock = threading.Lock()


class Base:
    def __init__(self, predict, counts):
        self.predict, self.counts, self.lock = predict, counts, threading.Lock()


class GivenTally:
    def __init__(self, predict, counts):
        self.predict, self.counts = predict, counts

    def add(self, image):
        kind = self.predict(image)
        if kind not in self.counts:
            self.counts[kind] = 0
        self.counts[kind] = self.counts[kind] + 1


class NoLock(Base):
    def __init__(self, predict, counts):
        self.predict, self.counts = predict, counts

    def add(self, image):
        k = self.predict(image)
        self.counts[k] = self.counts.get(k, 0) + 1


class PlusEq(NoLock):
    def add(self, image):
        k = self.predict(image)
        self.counts.setdefault(k, 0)
        self.counts[k] += 1


class OwnLock(Base):
    def __init__(self, predict, counts):
        self.predict, self.counts = predict, counts

    def add(self, image):
        lock = threading.Lock()
        k = self.predict(image)
        with lock:
            self.counts[k] = self.counts.get(k, 0) + 1


class WriteOnly(Base):
    def add(self, image):
        k = self.predict(image)
        n = self.counts.get(k, 0)
        with self.lock:
            self.counts[k] = n + 1


class ReadOnly(Base):
    def add(self, image):
        k = self.predict(image)
        with self.lock:
            n = self.counts.get(k, 0)
        self.counts[k] = n + 1


class TwoBlocks(Base):
    def add(self, image):
        k = self.predict(image)
        with self.lock:
            n = self.counts.get(k, 0)
        with self.lock:
            self.counts[k] = n + 1


class IfOutside(Base):
    def add(self, image):
        k = self.predict(image)
        if k not in self.counts:
            self.counts[k] = 0
        with self.lock:
            self.counts[k] += 1


class Everything(Base):
    def add(self, image):
        with self.lock:
            k = self.predict(image)
            self.counts[k] = self.counts.get(k, 0) + 1


class AsyncLock(Base):
    def __init__(self, predict, counts):
        self.predict, self.counts, self.lock = predict, counts, asyncio.Lock()

    def add(self, image):
        k = self.predict(image)
        with self.lock:
            self.counts[k] = self.counts.get(k, 0) + 1


class AsyncAdd(Base):
    async def add(self, image):
        k = self.predict(image)
        async with self.lock:
            self.counts[k] = self.counts.get(k, 0) + 1


class NotReleased(Base):
    def add(self, image):
        k = self.predict(image)
        self.lock.acquire()
        self.counts[k] = self.counts.get(k, 0) + 1
        self.lock.release()


class Never(Base):
    def add(self, image):
        k = self.predict(image)
        self.lock.acquire()
        self.counts[k] = self.counts.get(k, 0) + 1


class Sleeps(NoLock):
    def add(self, image):
        k = self.predict(image)
        time.sleep(0.001)
        self.counts[k] = self.counts.get(k, 0) + 1


class Elsewhere(Base):
    def __init__(self, predict, counts):
        self.predict, self.counts, self.lock = predict, collections.Counter(), threading.Lock()

    def add(self, image):
        k = self.predict(image)
        with self.lock:
            self.counts[k] += 1


class Twice(Base):
    def add(self, image):
        with self.lock:
            self.counts[self.predict(image)] = self.counts.get(self.predict(image), 0) + 1


class Swallows(Base):
    def add(self, image):
        k = self.predict(image)
        with contextlib.suppress(Exception), self.lock:
            self.counts[k] = self.counts.get(k, 0) + 1


class Sets(Base):
    def add(self, image):
        k = self.predict(image)
        with self.lock:
            self.counts[k] = 1


class NeverEnters(GivenTally):
    def __init__(self, predict, counts):
        super().__init__(predict, counts)
        self.lock = threading.Lock()

    def add(self, image):
        kind = self.predict(image)
        self.counts[kind] = self.counts.get(kind, 0) + 1


class LetsTwoIn(Base):
    def __init__(self, predict, counts):
        self.predict, self.counts, self.lock = predict, counts, threading.Semaphore(2)

    def add(self, image):
        k = self.predict(image)
        with self.lock:
            self.counts[k] = self.counts.get(k, 0) + 1


class OneArg:
    def __init__(self, predict):
        pass

    def add(self, image):
        self.x = 1


class NoAdd:
    pass


class Typo(Base):
    def add(self, image):
        self.predictt(image)


class RightTally(Base):
    def add(self, image):
        k = self.predict(image)
        with self.lock:
            self.counts[k] = self.counts.get(k, 0) + 1


class AsAsked(Base):
    def add(self, image):
        kind = self.predict(image)
        with self.lock:
            if kind not in self.counts:
                self.counts[kind] = 0
            self.counts[kind] = self.counts[kind] + 1


class Glob(NoLock):
    def add(self, image):
        k = self.predict(image)
        with _lock:
            self.counts[k] = self.counts.get(k, 0) + 1


class ClassLock(NoLock):
    lock = threading.Lock()

    def add(self, image):
        k = self.predict(image)
        with self.lock:
            self.counts[k] = self.counts.get(k, 0) + 1


class Re(Base):
    def __init__(self, predict, counts):
        self.predict, self.counts, self.lock = predict, counts, threading.RLock()

    def add(self, image):
        k = self.predict(image)
        with self.lock:
            self._count(k)

    def _count(self, k):
        with self.lock:
            self.counts[k] = self.counts.get(k, 0) + 1


class Sem(Base):
    def __init__(self, predict, counts):
        self.predict, self.counts, self.lock = predict, counts, threading.Semaphore(1)

    def add(self, image):
        k = self.predict(image)
        with self.lock:
            self.counts[k] = self.counts.get(k, 0) + 1


class TryFinally(Base):
    def add(self, image):
        k = self.predict(image)
        self.lock.acquire()
        try:
            self.counts[k] = self.counts.get(k, 0) + 1
        finally:
            self.lock.release()


class PerKind(Base):
    def __init__(self, predict, counts):
        self.predict, self.counts, self.lock, self.seen = predict, counts, threading.Condition(), []

    def add(self, image):
        k = self.predict(image)
        with self.lock:
            try:
                self.counts[k] += 1
            except KeyError:
                self.counts[k] = 1


class Spins(Base):
    def add(self, image):
        while True:
            pass


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (GivenTally, "open"),
        (NoLock, "no-lock"),
        (PlusEq, "no-lock"),
        (OwnLock, "own-lock"),
        (WriteOnly, "read-outside"),
        (ReadOnly, "write-outside"),
        (TwoBlocks, "two-blocks"),
        (IfOutside, "read-outside"),
        (Everything, "serial"),
        (AsyncLock, "asyncio-lock"),
        (AsyncAdd, "kind"),
        (NotReleased, "not-released"),
        (Never, "stuck"),
        (Spins, "stuck"),
        (Sleeps, "no-lock"),
        (Elsewhere, "elsewhere"),
        (Twice, "predict"),
        (Swallows, "swallowed"),
        (Sets, "value"),
        (LetsTwoIn, "wide"),
        (NeverEnters, "wide"),
        (OneArg, "raised"),
        (NoAdd, "kind"),
        (Typo, "raised"),
        (..., "open"),
        (3, "kind"),
        (RightTally, "passed"),
        (AsAsked, "passed"),
        (Glob, "passed"),
        (ClassLock, "passed"),
        (Re, "passed"),
        (Sem, "passed"),
        (TryFinally, "passed"),
        (PerKind, "passed"),
    ],
)
@pytest.mark.untidy
def test_threads(answer, expected, monkeypatch):
    if expected in ("not-released", "stuck", "serial"):
        monkeypatch.setattr(tallies, "_LIMIT_S", 0.1)
        monkeypatch.setattr(tallies, "_NEVER_S", 0.02)
    verdict = check("04-threads", answer)
    assert not {"\n", "\r"} & set(repr(verdict))
    assert verdict.code == expected, verdict


@pytest.mark.parametrize(
    ("answer", "first", "second"),
    [
        (NoLock, "Between which two lines", "Write `self.lock = threading.Lock()` in `__init__`"),
        (TwoBlocks, "Is it held between them, too?", "into one `with self.lock:`"),
        (WriteOnly, "Is what was read still true at the write?", "into one `with self.lock:`"),
    ],
)
@pytest.mark.untidy
def test_threads_says_what_was_seen_and_then_more(answer, first, second):
    told = hints("04-threads", answer)
    assert "two threads counted one shirt each, and `counts` says 1" in told[0]
    assert first in told[0]
    assert second in told[1]
