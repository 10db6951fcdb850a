"""The checks of lesson 02: the verdict on each answer, right or wrong."""

import ast
import asyncio
import concurrent.futures
import contextlib
import inspect
import textwrap
import threading
import time
import types
from concurrent.futures import ThreadPoolExecutor

import pytest

from asyncml.clock import compute, simulate
from asyncml.course.exercises import anywhere, check
from tests.course.tables import changed, every, rows, table, values, written

MODULES = {"ast": ast, "asyncio": asyncio, "contextlib": contextlib, "inspect": inspect}
MODULES |= {"time": time, "types": types, "threading": threading, "concurrent": concurrent}
TICKS = {
    "passed": [6, 6.0],
    "open": [...],
    "through": [10, 11],
    "last": [7],
    "between": [0],
    "for-ever": [3],
    "skipped": [5],
    "other": [100],
    "kind": ["six"],
}
NO_COROUTINE_FUNCTION = {"open": [..., None], "kind": [7, [], "kernel", lambda *args: 1]}


@every(
    values("02-ticks", TICKS),
    *(values(f"02-{name}", NO_COROUTINE_FUNCTION) for name in ("kernel", "report", "stoppable")),
)
def test_what_is_no_function_gets_its_verdict(case):
    case.judge()


def test_the_bet_is_what_happens():
    async def kernel(cells):
        for source in cells:
            coroutine = eval(
                compile(source, "<cell>", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT), names
            )
            if coroutine is not None:
                await coroutine
            await asyncio.sleep(1)

    async def tick(every_s):
        while True:
            ticks.append(asyncio.get_running_loop().time())
            await asyncio.sleep(every_s)

    ticks: list[float] = []
    names = {"asyncio": asyncio, "compute": compute, "tick": tick}
    simulate(kernel(["task = asyncio.create_task(tick(0.4))", "compute(2)", "task.cancel()"]))
    assert len(ticks) == 6
    assert ticks == pytest.approx([0, 0.4, 0.8, 3, 3.4, 3.8])


# ---- kernel, report, stoppable: bodies of functions ----


def answers(exercise, head, table):
    """Return cases from rows: a body, a code, and words of the verdicts."""
    for body, code, *words in table:
        lines = textwrap.indent(textwrap.dedent(body), "    ")
        yield from rows(exercise, (written(f"async def {head}:\n{lines}", MODULES), code, *words))


LOOP = """for number, source in enumerate(cells, start=1):
    code = compile(source, f"cell {number}", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
"""


def kernel_of(lines, last="await asyncio.sleep(1)"):
    return LOOP + textwrap.indent(f"{lines}\n{last}\n", "    ")


RUN = "made = eval(code, names)\n"
KERNELS = [
    (RUN + "if made is not None: await made", "passed"),
    (RUN + "if asyncio.iscoroutine(made): await made", "passed"),
    (RUN + "if made: await asyncio.create_task(made)", "passed"),
    ("made = types.FunctionType(code, names)()\nif made: await made", "passed"),
    (
        "if code.co_flags & inspect.CO_COROUTINE: await eval(code, names)\nelse: exec(code, names)",
        "passed",
    ),
    ("pass", "not-run"),
    ("exec(code, names)", "dropped"),
    ("eval(code, names)", "dropped"),
    ("made = exec(code, names)\nif made: await made", "dropped"),
    ("await eval(code, names)", "nothing-to-await"),
    ("await asyncio.ensure_future(eval(code, names))", "nothing-to-await"),
    ("await code", "code"),
    (RUN + "if made: asyncio.create_task(made)", "too-early"),
    (RUN + "if made: asyncio.run(made)", "run"),
    (RUN + "if made: asyncio.get_running_loop().run_until_complete(made)", "run"),
    ("made = eval(code)\nif made: await made", "names"),
    ("made = eval(code, {'asyncio': asyncio})\nif made: await made", "names"),
    ("made = eval(code, dict(names))\nif made: await made", "names"),
    ("made = eval(code, names, {})\nif made: await made", "names"),
    ("made = eval(source, names)\nif made: await made", "source"),
    (RUN + "if made: return await made", "missing"),
    ("exec(code, names)\n" + RUN + "if made: await made", "twice"),
    (RUN + "if made:\n    await made\n    continue", "pause"),
    ("await asyncio.sleep(0.5)", "not-run"),
    ("time.sleep(1)\n" + RUN + "if made: await made", "blocking"),
    ("while True: pass", "endless"),
]
COMPILED = [
    ("compile(source, 'a', 'exec')", "no-flag"),
    ("compile(source, 'a', 'eval', ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)", "source"),
    ("compile(source, 'a', 'exec', ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)", "passed"),
]
AWAIT = "if made is not None: await made"


REPORT = """
async def report(progress, every_s, reports):
    try:
        while True:
            reports.append(progress())
            await asyncio.sleep(every_s)
    except asyncio.CancelledError:
        reports.append(progress())
        raise
"""
CAUGHT = "except asyncio.CancelledError:\n        reports.append(progress())\n        raise\n"
FINALLY = "finally:\n        reports.append(progress())\n"
SLEEP = "await asyncio.sleep(every_s)"
REPORTS = [
    ([], "passed"),
    ((CAUGHT, FINALLY), "passed"),
    ((CAUGHT, "except BaseException:\n        reports += [progress()]\n        raise"), "passed"),
    ((CAUGHT, "finally:\n        pass"), "no-last"),
    ((CAUGHT, "except asyncio.CancelledError:\n        raise"), "no-last"),
    (("asyncio.CancelledError", "Exception"), "no-last", "CancelledError is not an `Exception`"),
    (("        raise\n", ""), "swallowed"),
    ((CAUGHT, "finally:\n        reports += [progress(), progress()]"), "twice"),
    ((CAUGHT, f"{FINALLY}        await asyncio.sleep(2)"), "late"),
    ((CAUGHT, "finally:\n        progress()"), "values"),
    (("True", "len(reports) < 9"), "ended"),
    ((SLEEP, "await asyncio.sleep(1)"), "pause"),
    ((SLEEP, "await asyncio.sleep(0)"), "no-pause"),
    ((SLEEP, "asyncio.sleep(every_s)"), "no-pause", "is the sleep awaited?"),
    ((SLEEP, "time.sleep(every_s)"), "blocking"),
]
OTHER_REPORTS = """
passed
    while True:
        reports.append(progress())
        try:
            await asyncio.sleep(every_s)
        except asyncio.CancelledError:
            reports.append(progress())
            raise
passed
    async def go_on():
        while True:
            reports.append(progress())
            await asyncio.sleep(every_s)
    going = asyncio.create_task(go_on())
    try:
        await going
    finally:
        reports.append(progress())
open
    ...
goes-on
    while True:
        try:
            reports.append(progress())
            await asyncio.sleep(every_s)
        except asyncio.CancelledError:
            reports.append(progress())
twice
    while True:
        try:
            reports.append(progress())
            await asyncio.sleep(every_s)
        finally:
            reports.append(progress())
nothing
    while True:
        await asyncio.sleep(every_s)
lost
    while True:
        progress()
        await asyncio.sleep(every_s)
lost
    while True:
        reports = reports + [progress()]
        await asyncio.sleep(every_s)
lost | does not print
    while True:
        print(progress())
        await asyncio.sleep(every_s)
not-called
    while True:
        reports.append(progress)
        await asyncio.sleep(every_s)
stale
    now = progress()
    while True:
        reports.append(now)
        await asyncio.sleep(every_s)
ended
    reports.append(progress())
    await asyncio.sleep(every_s)
ended
    asyncio.get_running_loop().call_later(every_s, progress)
    reports.append(progress())
first
    while True:
        await asyncio.sleep(every_s)
        reports.append(progress())
plain-progress
    while True:
        reports.append(await progress())
        await asyncio.sleep(every_s)
signature
    while True:
        reports.append(progress(1))
        await asyncio.sleep(every_s)
values
    while True:
        reports.append((1, progress()))
        await asyncio.sleep(every_s)
catches-up
    due = asyncio.get_running_loop().time()
    try:
        while True:
            reports.append(progress())
            due += every_s
            await asyncio.sleep(due - asyncio.get_running_loop().time())
    finally:
        reports.append(progress())
kind
    yield progress()
endless
    while True:
        pass
"""
IN_STEPS = """
passed | ends it after 4 steps: `sleep(0)`
        step(number)
        await asyncio.sleep(0)
passed
        await asyncio.sleep(0)
        step(number)
passed
        step(number)
        await asyncio.sleep(0.001)
passed | ends it after 3 steps.
        await asyncio.to_thread(step, number)
late
        step(number)
late
        step(number)
        asyncio.sleep(0)
late
        step(number)
        time.sleep(0)
late
        step(number)
    await asyncio.sleep(0)
late
        step(number)
        if number % 5 == 0:
            await asyncio.sleep(0)
late
        step(number)
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            pass
slow
        step(number)
        await asyncio.sleep(0.1)
numbers
        step(number + 1)
        await asyncio.sleep(0)
numbers
        step(count - 1 - number)
        await asyncio.sleep(0)
not-run
        asyncio.to_thread(step, number)
plain-step
        await step(number)
signature
        step()
        await asyncio.sleep(0)
called
        await asyncio.to_thread(step(number))
run
        asyncio.run(step(number))
"""
OTHER_STOPPABLE = """
open
    ...
late
    async def one(number):
        step(number)
    for number in range(count):
        await one(number)
swallowed
    try:
        for number in range(count):
            step(number)
            await asyncio.sleep(0)
    except asyncio.CancelledError:
        pass
in-thread
    def all_of_them():
        for number in range(count):
            step(number)
    await asyncio.to_thread(all_of_them)
at-once
    await asyncio.gather(*(asyncio.to_thread(step, n) for n in range(count)))
not-awaited
    async def one(n):
        await asyncio.sleep(1)
        step(n)
    for number in range(count):
        asyncio.create_task(one(number))
endless
    while True:
        pass
"""
STEPS = "async def stoppable(step, count):"


@every(
    answers("02-kernel", "kernel(cells, names)", [(kernel_of(b), *said) for b, *said in KERNELS]),
    answers(
        "02-kernel",
        "kernel(cells, names)",
        [
            *(
                (kernel_of(f"made = eval({compiled}, names)\n{AWAIT}"), code)
                for compiled, code in COMPILED
            ),
            (kernel_of(RUN + AWAIT, last="pass"), "pause"),
            (f"names = dict(names)\n{kernel_of(RUN + AWAIT)}", "names", "missing in the next cell"),
            ("...", "open"),
        ],
    ),
    answers("02-kernel", "kernel(cells)", [("await asyncio.sleep(1)", "signature")]),
    changed("02-report", MODULES, REPORT, *REPORTS),
    table("02-report", MODULES, REPORT.split("\n")[1], OTHER_REPORTS),
    table("02-stoppable", MODULES, f"{STEPS}\n    for number in range(count):", IN_STEPS),
    table("02-stoppable", MODULES, STEPS, OTHER_STOPPABLE),
)
def test_a_coroutine_gets_its_verdict(case, capsys):
    case.judge()


# ---- run anywhere ----


def as_given(coroutine):
    return asyncio.run(coroutine)


def right(coroutine):
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(coroutine)
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, coroutine).result()


def always_in_a_thread(coroutine):
    outcome = concurrent.futures.Future()

    def run():
        try:
            outcome.set_result(asyncio.run(coroutine))
        except Exception as error:
            outcome.set_exception(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return outcome.result()


def attempts_run(coroutine):
    with contextlib.suppress(Exception):
        return asyncio.run(coroutine)


loops: list[asyncio.AbstractEventLoop] = []
NAMES = MODULES | {"ThreadPoolExecutor": ThreadPoolExecutor, "loops": loops, "right": right}
NAMES |= {"always_in_a_thread": always_in_a_thread, "attempts_run": attempts_run}
NAMES |= {"simulate": simulate}
ANYWHERE = """
open
    ...
open
    return asyncio.run(coroutine)
notebook
    return asyncio.get_running_loop().run_until_complete(coroutine)
script
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(loop and asyncio.run, coroutine).result()
notebook
    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(coroutine)
    finally:
        loop.close()
notebook
    loops.append(asyncio.new_event_loop())
    return loops[-1].run_until_complete(coroutine)
unfinished
    return asyncio.get_running_loop().create_task(coroutine)
unfinished
    try:
        return asyncio.get_running_loop().create_task(coroutine)
    except RuntimeError:
        return asyncio.run(coroutine)
unfinished
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, coroutine)
own-loop
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(coroutine)
    return asyncio.run_coroutine_threadsafe(coroutine, loop).result()
lost-error
    outcome = []
    thread = threading.Thread(target=lambda: outcome.append(attempts_run(coroutine)))
    thread.start()
    thread.join()
    return outcome[0]
lost-error | raised IndexError. An error does not leave a `threading.Thr
    result = []
    thread = threading.Thread(target=lambda: result.append(asyncio.run(coroutine)))
    thread.start()
    thread.join()
    return result[0]
mistaken | raised `cannot reuse already awaited coroutine`
    try:
        return asyncio.run(coroutine)
    except RuntimeError:
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(asyncio.run, coroutine).result()
mistaken
    try:
        asyncio.get_running_loop()
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(asyncio.run, coroutine).result()
    except RuntimeError:
        return asyncio.run(coroutine)
result | it returned None, but the coroutine returns
    always_in_a_thread(coroutine)
result
    coroutine.close()
    return 925850  # what the first variant returns
called
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(coroutine).result()
called
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run).result()
notebook | Hand it to the pool, without `()`
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run(coroutine)).result()
result | a `return` in both branches
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        asyncio.run(coroutine)
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, coroutine).result()
unfinished
    return (yield from coroutine)
virtual
    return simulate(coroutine)
left
    loop = asyncio.new_event_loop()
    loops.append(loop)
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(loop.run_until_complete, coroutine).result()
left
    loop = asyncio.new_event_loop()
    loops.append(loop)
    threading.Thread(target=loop.run_forever, daemon=True).start()
    return asyncio.run_coroutine_threadsafe(coroutine, loop).result()
nested
    import nest_asyncio
    nest_asyncio.apply()
    return asyncio.run(coroutine)
nested
    import nest_asyncio2
    nest_asyncio2.apply()
    return asyncio.run(coroutine)
blocking
    time.sleep(0.001)
    return right(coroutine)
endless
    while True:
        pass
"""


def close_loops():
    while loops:
        loop = loops.pop()
        if loop.is_running():
            loop.call_soon_threadsafe(loop.stop)
            while loop.is_running():
                time.sleep(0.001)
        loop.close()


@every(
    rows("02-run-anywhere", (right, "passed"), (always_in_a_thread, "passed"), (as_given, "open")),
    values("02-run-anywhere", {"open": [...], "kind": [7]}),
    table("02-run-anywhere", NAMES, "def run_anywhere(coroutine):", ANYWHERE),
    table("02-run-anywhere", NAMES, "def run_anywhere():", "signature\n    return 1"),
    table(
        "02-run-anywhere",
        NAMES,
        "async def run_anywhere(coroutine):",
        "unfinished\n    return await coroutine",
    ),
)
def test_what_runs_anywhere(case, capsys):
    hook = threading.excepthook
    with pytest.MonkeyPatch.context() as patch:
        if case.code == "left":
            patch.setattr(anywhere, "_GRACE_S", 0.02)
        try:
            case.judge()
        finally:
            close_loops()
    assert threading.excepthook is hook
    assert capsys.readouterr() == ("", "")  # an error in a thread prints no traceback


def test_a_process_with_nest_asyncio_is_told(monkeypatch):
    monkeypatch.setattr(asyncio, "_nest_patched", True, raising=False)
    assert check("02-run-anywhere", right).code == "nested"


# ---- stop task ----

STOP = """
passed
    task.cancel()
    await asyncio.wait([task])
    if not task.cancelled():
        task.result()
open
    ...
running
    return task
not-awaited | Where do you wait | `await asyncio.wait([task])`
    task.cancel()
not-awaited
    task.cancel()
    await asyncio.sleep(0.1)
waited
    await task
escaped | Which function waits without raising?
    task.cancel()
    await task
escaped | ask `task.cancelled()` first
    task.cancel()
    await asyncio.wait([task])
    task.result()
escaped | ask `task.cancelled()` first
    task.cancel()
    await asyncio.wait([task])
    if task.exception():
        raise task.exception()
not-awaited | The task has not ended yet
    task.cancel()
    await asyncio.sleep(0)
    if not task.cancelled():
        task.result()
no-list | `asyncio.wait([task])`
    task.cancel()
    await asyncio.wait(task)
raised
    raise LookupError("a mistake")
swallowed | `stop_task` was itself cancelled
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
lost-error
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
lost-error
    task.cancel()
    await asyncio.wait([task])
disturbed
    while not task.done():
        task.cancel()
        await asyncio.sleep(0)
    if not task.cancelled():
        task.result()
late
    task.cancel()
    await asyncio.sleep(10)
    if not task.cancelled():
        task.result()
swallowed
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.wait([task])
    if task.done() and not task.cancelled():
        task.result()
disturbed
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        if asyncio.current_task().cancelling():
            raise
await-cancel
    await task.cancel()
called
    task.cancel()
    await task()
run
    task.cancel()
    asyncio.run(task)
blocking
    task.cancel()
    while not task.done():
        time.sleep(0.1)
        await asyncio.sleep(0)
endless | Virtual time stands still
    task.cancel()
    while not task.done():
        pass
"""


@every(
    rows("02-stop-task", (..., "open"), (lambda task: task.cancel(), "kind")),
    table("02-stop-task", NAMES, "async def stop_task(task):", STOP),
    table("02-stop-task", NAMES, "async def stop_task():", "signature\n    await asyncio.sleep(1)"),
)
def test_a_task_is_stopped_or_a_hint_says_why_not(case):
    case.judge()
