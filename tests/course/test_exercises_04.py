"""The checks of lesson 04: right answers pass, and each typical mistake gets its own hint."""

import asyncio
import collections
import contextlib
import json
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from asyncml.course.exercises import check, tallies
from tests.course.tables import changed, every, rows, table, values

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "04_coroutines_and_threads_measured.ipynb"
NAMES = {"asyncio": asyncio, "threading": threading, "time": time, "contextlib": contextlib}
NAMES |= {"collections": collections, "common": threading.Lock()}

# ---- bets ----

BETS = {
    "04-powers": {
        "passed": [
            [-7, -6, -4, -1],
            (-8, -5, -5, -2),
            [-7, -5, -5, -2],
            [-7.0, -6.0, -4.0, -1.0],
            np.array([-7, -6, -4, -1]),
        ],
        "open": [..., [..., ..., ..., ...], [-7, -6, ..., -1]],
        "kind": [
            -7,
            [-7, -6, -4],
            [1e-7, 1e-6, 1e-4, 0.1],
            "-7, -6, -4, -1",
            [-7.5, -6, -4, -1],
            [True, True, True, True],
            np.array([-7, -6, -4]),
        ],
        "sign": [[7, 6, 4, 1]],
        "too-dear": [
            [-7, -6, -4, 0],
            [-6, -6, -4, -1],
            [-7, -4, -4, -1],
            [-7, -6, -3, -1],
            [-3, -3, -3, -3],
        ],
        "order": [[-1, -4, -6, -7]],
        "too-cheap": [[-9, -6, -4, -1], [-7, -7, -4, -1], [-7, -6, -6, -1], [-7, -6, -4, -3]],
    },
    "04-total": {
        "passed": [110, 110.0],
        "open": [..., None],
        "all": [111],
        "read-late": [101],
        "read-early": [100],
        "two": [11],
        "not-last": [1, 10],
        "other": [0, 5],
        "kind": ["110"],
    },
    "04-turns": {
        "passed": [[0, 0, 1000], (0.0, 0, 999), np.array([0, 0, 1000])],
        "open": [..., [0, 0, ...]],
        "every-await": [[1000, 1000, 1000]],
        "bare-awaits": [[1000, 0, 1000]],
        "free-locks": [[0, 1000, 1000]],
        "naps": [[0, 0, 0], [0, 0, 500]],
        "kind": [[0, 0], 1000, [0, 0, -1], [0, 0, 10**400], "0, 0, 1000", [True, 0, 1000]],
    },
    "04-switches": {
        "passed": [10, 2 / 20 * 100],
        "open": [...],
        "share": [0.1],
        "whole": [110, 1.1],
        "of-all": [100 / 11, 9.09, 9.1],
        "other": [5],
        "kind": ["10 %"],
    },
}
POWERS = [
    ([1e-7, 1e-6, 1e-4, 0.1], "kind", "write -3"),
    ([-7, -6, -4, -3], "too-cheap", "starting a process takes more than 10 ** -3 s"),
]


@every(
    *(values(name, by_code) for name, by_code in BETS.items()),
    rows("04-powers", *POWERS),
)
def test_a_bet_gets_its_verdict(case):
    case.judge()


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
SPINS = "        while self.lock.locked():\n            pass\n"
LOCKS = [
    ((), "passed"),
    ([("asyncio.Lock()", "asyncio.Semaphore(1)")], "passed"),
    ([(BLOCK, WITH_FINALLY)], "passed"),
    ([(INIT, ""), (BLOCK, LAZY + BLOCK)], "passed"),
    ([(BLOCK, BY_HELPER + BLOCK)], "passed"),
    ([*AS_GIVEN], "open"),
    (
        [*AS_GIVEN, (PUT, "        await asyncio.sleep(0)\n" + PUT)],
        "no-lock",
        "lets others",
        "__init__",
    ),
    ([*AS_GIVEN, (GET, "        await asyncio.sleep(0.3 * number)\n" + GET)], "no-lock"),
    ([*AS_GIVEN, (LOAD + GET, GET + LOAD)], "no-lock"),
    (
        [(INIT, ""), ("self.lock", "asyncio.Lock()")],
        "own-lock",
        "a lock of its own",
        "in `__init__`",
    ),
    ([(BLOCK, OWN), ("with self.lock", "with lock")], "own-lock"),
    ([("asyncio.Lock()", "asyncio.Semaphore(2)")], "semaphore"),
    (
        [(BLOCK, GET + "        async with self.lock:\n" + indented(PUT))],
        "read-outside",
        "not held when `get` reads",
        "one `async with self.lock:`",
    ),
    ([(BLOCK, "        async with self.lock:\n" + indented(GET) + PUT)], "write-outside"),
    ([(indented(PUT), "        async with self.lock:\n" + indented(PUT))], "two-blocks"),
    (
        [(LOAD + BLOCK, ALL_HELD)],
        "serial",
        "does it need the lock?",
        "call it before the lock",
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
    (
        [(BLOCK, ACQUIRE + GET + PUT + RELEASE)],
        "not-released",
        "if `put` raises?",
        "`async with self.lock:`",
    ),
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
    ([(BLOCK, SPINS + BLOCK)], "endless"),
    ([(LOAD, LOAD + "        while True:\n            pass\n")], "endless"),
]


class Stub:
    def __init__(self, server):
        self.server = server

    async def push(self, number): ...


# ---- 04-owner ----


async def _until_none(queue):
    while (gradient := await queue.get()) is not None:
        yield gradient


OWNERS = """
passed
    while True:
        gradient = await queue.get()
        if gradient is None:
            return
        params = await server.get()
        await server.put(params - gradient)
passed
    params = await server.get()
    while (gradient := await queue.get()) is not None:
        params -= gradient
        await server.put(params)
passed
    async for gradient in _until_none(queue):
        await server.put(await server.get() - gradient)
        queue.task_done()
passed
    last = False
    while not last:
        gradients = [await queue.get()]
        while not queue.empty():
            gradients.append(queue.get_nowait())
        last = None in gradients
        await server.put(await server.get() - sum(g for g in gradients if g is not None))
open
    ...
too-soon
    while not queue.empty():
        await server.put(await server.get() - await queue.get())
too-soon
    await server.put(await server.get() - await queue.get())
too-soon
    while gradient := await queue.get():
        await server.put(await server.get() - gradient)
passed
    async for gradient in _until_none(queue):
        if gradient:
            await server.put(await server.get() - gradient)
empty | `get_nowait` does not wait | `gradient = await queue.get()` waits
    while (gradient := queue.get_nowait()) is not None:
        await server.put(await server.get() - gradient)
await
    while (gradient := queue.get()) is not None:
        await server.put(await server.get() - gradient)
none
    while True:
        gradient = await queue.get()
        await server.put(await server.get() - gradient)
no-end
    while True:
        gradient = await queue.get()
        if gradient is not None:
            await server.put(await server.get() - gradient)
no-end
    while True:
        gradient = await queue.get()
        if not gradient:
            continue
        await server.put(await server.get() - gradient)
at-once | a task for each gradient | in `own` itself
    async def apply(gradient):
        await server.put(await server.get() - gradient)
    async with asyncio.TaskGroup() as group:
        while (gradient := await queue.get()) is not None:
            group.create_task(apply(gradient))
at-once
    async def apply(gradient):
        await server.put(await server.get() - gradient)
    kept = []
    while (gradient := await queue.get()) is not None:
        kept.append(asyncio.create_task(apply(gradient)))
hoards
    gradients = []
    while (gradient := await queue.get()) is not None:
        gradients.append(gradient)
    await server.put(await server.get() - sum(gradients))
value
    before = await queue.get()
    while (gradient := await queue.get()) is not None:
        await server.put(await server.get() - before)
        before = gradient
value
    while (gradient := await queue.get()) is not None:
        await server.put(await server.get() + gradient)
no-put
    while await queue.get() is not None:
        await server.get()
no-put
    while (gradient := await queue.get()) is not None:
        server.put(await server.get() - gradient)
queue
    for gradient in queue:
        await server.put(await server.get() - gradient)
queue
    async for gradient in queue:
        await server.put(await server.get() - gradient)
value
    while await queue.get() is not None:
        await server.put(1432)
blocking
    while (gradient := await queue.get()) is not None:
        time.sleep(0.1)
        await server.put(await server.get() - gradient)
endless
    while True:
        while queue.empty():
            await asyncio.sleep(0)
        gradient = queue.get_nowait()
        if gradient is None:
            return
        await server.put(await server.get() - gradient)
endless
    while queue.empty():
        pass
"""


@every(
    changed("04-lock", NAMES, TRAINER, *LOCKS),
    values("04-lock", {"open": [..., Stub], "kind": [Stub(None), 3]}),
    table(
        "04-owner", NAMES | {"_until_none": _until_none}, "async def own(queue, server):", OWNERS
    ),
    table("04-owner", NAMES, "def own(queue, server):", "kind\n    return queue.get()"),
    values("04-owner", {"open": [...], "kind": [3]}),
)
def test_updates_of_tasks(case):
    case.judge()


# ---- 04-threads ----


class GivenTally:
    def __init__(self, predict, counts):
        self.predict, self.counts = predict, counts

    def add(self, image):
        kind = self.predict(image)
        if kind not in self.counts:
            self.counts[kind] = 0
        self.counts[kind] = self.counts[kind] + 1


HEAD = """class Tally:
    def __init__(self, predict, counts):
        self.predict, self.counts, self.lock = predict, counts, threading.Lock()

    def add(self, image):"""
COUNT = "self.counts[k] = self.counts.get(k, 0) + 1\n"
WITH_LOCK = f"        with self.lock:\n            {COUNT}"
TALLY = f"{HEAD}\n        k = self.predict(image)\n{WITH_LOCK}"
TWICE = f"""        with self.lock:
            self._count(k)

    def _count(self, k):
{WITH_LOCK}"""
TALLIES = [
    ([], "passed"),
    (("threading.Lock()", "threading.Semaphore(1)"), "passed"),
    ([("threading.Lock()", "threading.RLock()"), (WITH_LOCK, TWICE)], "passed"),
    (
        [
            (", self.lock = predict, counts, threading.Lock()", " = predict, counts"),
            ("class Tally:\n", "class Tally:\n    lock = threading.Lock()\n\n"),
        ],
        "passed",
    ),
    (
        [
            ("threading.Lock()", "collections.defaultdict(threading.Lock)"),
            ("self.lock:", "self.lock[k]:"),
        ],
        "passed",
    ),
    (("threading.Lock()", "threading.Semaphore(2)"), "wide", "how many threads does that let in"),
    ((WITH_LOCK, f"        {COUNT}"), "wide"),
    (("threading.Lock()", "asyncio.Lock()"), "asyncio-lock"),
    (("predict, counts, threading", "predict, collections.Counter(), threading"), "elsewhere"),
    (("self, predict, counts", "self, predict"), "raised"),
    (("def add", "def plus"), "kind"),
    ([("def add", "async def add"), ("with self", "async with self")], "kind"),
]
WITH = """
read-outside | Is what was read still true at the write? | into one `with self.lock:`
        k = self.predict(image)
        n = self.counts.get(k, 0)
        with self.lock:
            self.counts[k] = n + 1
write-outside
        k = self.predict(image)
        with self.lock:
            n = self.counts.get(k, 0)
        self.counts[k] = n + 1
two-blocks | Is it held between them, too? | into one `with self.lock:`
        k = self.predict(image)
        with self.lock:
            n = self.counts.get(k, 0)
        with self.lock:
            self.counts[k] = n + 1
read-outside
        k = self.predict(image)
        if k not in self.counts:
            self.counts[k] = 0
        with self.lock:
            self.counts[k] += 1
serial
        with self.lock:
            k = self.predict(image)
            self.counts[k] = self.counts.get(k, 0) + 1
not-released
        k = self.predict(image)
        self.lock.acquire()
        self.counts[k] = self.counts.get(k, 0) + 1
        self.lock.release()
stuck
        k = self.predict(image)
        self.lock.acquire()
        self.counts[k] = self.counts.get(k, 0) + 1
stuck
        while True:
            pass
predict
        with self.lock:
            self.counts[self.predict(image)] = self.counts.get(self.predict(image), 0) + 1
swallowed
        k = self.predict(image)
        with contextlib.suppress(Exception), self.lock:
            self.counts[k] = self.counts.get(k, 0) + 1
value
        k = self.predict(image)
        with self.lock:
            self.counts[k] = 1
raised
        self.predictt(image)
passed
        k = self.predict(image)
        with self.lock:
            self.counts[k] = self.counts.get(k, 0) + 1
passed
        kind = self.predict(image)
        with self.lock:
            if kind not in self.counts:
                self.counts[kind] = 0
            self.counts[kind] = self.counts[kind] + 1
passed
        k = self.predict(image)
        self.lock.acquire()
        try:
            self.counts[k] = self.counts.get(k, 0) + 1
        finally:
            self.lock.release()
passed
        k = self.predict(image)
        with self.lock:
            try:
                self.counts[k] += 1
            except KeyError:
                self.counts[k] = 1
"""
WITHOUT = """
no-lock | `counts` says 1. Between which two lines | Write `self.lock = threading.Lock()`
        k = self.predict(image)
        self.counts[k] = self.counts.get(k, 0) + 1
no-lock
        k = self.predict(image)
        self.counts.setdefault(k, 0)
        self.counts[k] += 1
own-lock
        lock = threading.Lock()
        k = self.predict(image)
        with lock:
            self.counts[k] = self.counts.get(k, 0) + 1
no-lock
        k = self.predict(image)
        time.sleep(0.001)
        self.counts[k] = self.counts.get(k, 0) + 1
passed
        k = self.predict(image)
        with common:
            self.counts[k] = self.counts.get(k, 0) + 1
"""


@every(
    values("04-threads", {"open": [..., GivenTally], "kind": [3]}),
    changed("04-threads", NAMES, TALLY, *TALLIES),
    table("04-threads", NAMES, HEAD, WITH),
    table("04-threads", NAMES, HEAD.replace("threading.Lock()", "None"), WITHOUT),
)
def test_updates_of_threads(case):
    with pytest.MonkeyPatch.context() as patch:
        if case.code in ("not-released", "stuck", "serial"):  # only a stuck answer never ends
            patch.setattr(tallies, "_LIMIT_S", 0.1 if case.code == "stuck" else 1.0)
            patch.setattr(tallies, "_NEVER_S", 0.02)
        case.judge()


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
