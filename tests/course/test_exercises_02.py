"""The checks of lesson 02: what each answer is told, right or wrong."""

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
from asyncml.course.exercises import attempts, check, lesson_02


def code(name, answer):
    verdict = check(name, answer)
    assert "\n" not in repr(verdict)
    return verdict.code


def written(head, body):
    """Return what a learner has written: a function of its own, as a cell makes it."""
    scope = {"ast": ast, "asyncio": asyncio, "contextlib": contextlib, "inspect": inspect}
    scope |= {"time": time, "types": types}
    exec(f"async def {head}:\n{textwrap.indent(textwrap.dedent(body), '    ')}", scope)
    return scope[head.partition("(")[0]]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (6, "passed"),
        (6.0, "passed"),
        (..., "open"),
        (10, "through"),
        (11, "through"),
        (7, "last"),
        (0, "between"),
        (3, "for-ever"),
        (5, "skipped"),
        (100, "other"),
        ("six", "kind"),
    ],
)
def test_bet_on_ticks(answer, expected):
    assert code("02-ticks", answer) == expected


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


# 02-kernel

LOOP = """for number, source in enumerate(cells, start=1):
    code = compile(source, f"cell {number}", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
"""


def kernel_of(lines, last="await asyncio.sleep(1)"):
    body = LOOP + textwrap.indent(f"{lines}\n{last}\n", "    ")
    return written("kernel(cells, names)", body)


RUN = "made = eval(code, names)\n"


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (RUN + "if made is not None: await made", "passed"),
        (RUN + "if asyncio.iscoroutine(made): await made", "passed"),
        (RUN + "if made: await asyncio.create_task(made)", "passed"),
        ("made = types.FunctionType(code, names)()\nif made: await made", "passed"),
        (
            "if code.co_flags & inspect.CO_COROUTINE: await eval(code, names)\n"
            "else: exec(code, names)",
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
    ],
)
@pytest.mark.untidy
def test_kernel(lines, expected, monkeypatch):
    if expected == "endless":
        monkeypatch.setattr(attempts, "_LIMIT_S", 0.1)
    assert code("02-kernel", kernel_of(lines)) == expected


def test_a_kernel_without_the_pause_of_its_reader():
    answer = kernel_of(RUN + "if made: await made", last="pass")
    assert code("02-kernel", answer) == "pause"


@pytest.mark.parametrize(
    ("compiled", "expected"),
    [
        ("compile(source, 'a', 'exec')", "no-flag"),
        ("compile(source, 'a', 'eval', ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)", "source"),
        ("compile(source, 'a', 'exec', ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)", "passed"),
    ],
)
@pytest.mark.untidy
def test_a_kernel_that_compiles_by_itself(compiled, expected):
    answer = kernel_of(f"made = eval({compiled}, names)\nif made: await made")
    assert code("02-kernel", answer) == expected


@pytest.mark.parametrize("head", ["kernel(cells, names)", "report(a, b, c)", "stoppable(a, b)"])
def test_a_stub_is_open(head):
    assert code(f"02-{head.partition('(')[0]}", written(head, "...")) == "open"


def test_a_kernel_of_one_parameter():
    assert code("02-kernel", written("kernel(cells)", "await asyncio.sleep(1)")) == "signature"


@pytest.mark.parametrize("answer", [..., None])
@pytest.mark.parametrize("name", ["02-kernel", "02-report", "02-stoppable"])
def test_nothing_written_yet(name, answer):
    assert code(name, answer) == "open"


@pytest.mark.parametrize("answer", [7, [], "kernel", lambda *args: 1])
@pytest.mark.parametrize("name", ["02-kernel", "02-report", "02-stoppable"])
def test_no_coroutine_function(name, answer):
    assert code(name, answer) == "kind"


# 02-report


def report_of(body):
    return written("report(progress, every_s, reports)", body)


def loop_with(end, pause="await asyncio.sleep(every_s)"):
    return f"""try:
    while True:
        reports.append(progress())
        {pause}
{end}"""


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (loop_with("except asyncio.CancelledError:\n    reports.append(progress())\n    raise"), 0),
        (loop_with("finally:\n    reports.append(progress())"), 0),
        (loop_with("except BaseException:\n    reports += [progress()]\n    raise"), 0),
        (
            """
            while True:
                reports.append(progress())
                try:
                    await asyncio.sleep(every_s)
                except asyncio.CancelledError:
                    reports.append(progress())
                    raise
            """,
            0,
        ),
        (
            """
            async def go_on():
                while True:
                    reports.append(progress())
                    await asyncio.sleep(every_s)
            going = asyncio.create_task(go_on())
            try:
                await going
            finally:
                reports.append(progress())
            """,
            0,
        ),
        ("...", "open"),
        (loop_with("finally:\n    pass"), "no-last"),
        (loop_with("except asyncio.CancelledError:\n    raise"), "no-last"),
        (loop_with("except Exception:\n    reports.append(progress())\n    raise"), "no-last"),
        (loop_with("except asyncio.CancelledError:\n    reports.append(progress())"), "swallowed"),
        (loop_with("finally:\n    reports += [progress(), progress()]"), "twice"),
        (
            loop_with("finally:\n    await asyncio.sleep(2)\n    reports.append(progress())"),
            "late",
        ),
        (loop_with("finally:\n    progress()"), "values"),
        (
            """
            while True:
                try:
                    reports.append(progress())
                    await asyncio.sleep(every_s)
                except asyncio.CancelledError:
                    reports.append(progress())
            """,
            "goes-on",
        ),
        (
            """
            while True:
                try:
                    reports.append(progress())
                    await asyncio.sleep(every_s)
                finally:
                    reports.append(progress())
            """,
            "twice",
        ),
        ("while True:\n    await asyncio.sleep(every_s)", "nothing"),
        ("while True:\n    progress()\n    await asyncio.sleep(every_s)", "lost"),
        (
            "while True:\n    reports = reports + [progress()]\n    await asyncio.sleep(every_s)",
            "lost",
        ),
        (
            "while True:\n    reports.append(progress)\n    await asyncio.sleep(every_s)",
            "not-called",
        ),
        (
            "now = progress()\nwhile True:\n    reports.append(now)\n"
            "    await asyncio.sleep(every_s)",
            "stale",
        ),
        ("reports.append(progress())\nawait asyncio.sleep(every_s)", "ended"),
        (
            loop_with("finally:\n    reports.append(progress())").replace(
                "True", "len(reports) < 9"
            ),
            "ended",
        ),
        (
            "while True:\n    await asyncio.sleep(every_s)\n    reports.append(progress())",
            "first",
        ),
        (loop_with("finally:\n    reports.append(progress())", "await asyncio.sleep(1)"), "pause"),
        (loop_with("finally:\n    pass", "await asyncio.sleep(0)"), "no-pause"),
        (loop_with("finally:\n    pass", "asyncio.sleep(every_s)"), "no-pause"),
        (loop_with("finally:\n    pass", "time.sleep(every_s)"), "blocking"),
        (
            "while True:\n    reports.append(await progress())\n    await asyncio.sleep(every_s)",
            "plain-progress",
        ),
        (
            "while True:\n    reports.append(progress(1))\n    await asyncio.sleep(every_s)",
            "signature",
        ),
        (
            "while True:\n    reports.append((1, progress()))\n    await asyncio.sleep(every_s)",
            "values",
        ),
        (
            "asyncio.get_running_loop().call_later(every_s, progress)\nreports.append(progress())",
            "starts",
        ),
        (
            """
            due = asyncio.get_running_loop().time()
            try:
                while True:
                    reports.append(progress())
                    due += every_s
                    await asyncio.sleep(due - asyncio.get_running_loop().time())
            finally:
                reports.append(progress())
            """,
            "catches-up",
        ),
        ("yield progress()", "kind"),
        ("while True: pass", "endless"),
    ],
)
@pytest.mark.untidy
def test_report(body, expected, monkeypatch):
    if expected == "endless":
        monkeypatch.setattr(attempts, "_LIMIT_S", 0.1)
    assert code("02-report", report_of(body)) == (expected or "passed")


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("while True:\n    print(progress())\n    await asyncio.sleep(every_s)", "does not print"),
        (loop_with("except Exception:\n    raise"), "CancelledError is not an `Exception`"),
        (loop_with("finally:\n    pass", "asyncio.sleep(every_s)"), "is the sleep awaited?"),
    ],
)
@pytest.mark.untidy
def test_report_names_the_trap(body, told, capsys):
    assert told in check("02-report", report_of(body)).message


# 02-stoppable


def stoppable_of(body):
    return written("stoppable(step, count)", body)


def steps_with(line):
    return f"for number in range(count):\n    {line}"


CATCHES = "except asyncio.CancelledError: pass"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (steps_with("step(number); await asyncio.sleep(0)"), "passed"),
        (steps_with("await asyncio.sleep(0); step(number)"), "passed"),
        (steps_with("step(number); await asyncio.sleep(0.001)"), "passed"),
        (steps_with("await asyncio.to_thread(step, number)"), "passed"),
        ("...", "open"),
        (steps_with("step(number)"), "late"),
        (steps_with("step(number); asyncio.sleep(0)"), "late"),
        (steps_with("step(number); time.sleep(0)"), "late"),
        (steps_with("step(number)") + "\nawait asyncio.sleep(0)", "late"),
        (steps_with("step(number)\n    if number % 5 == 0: await asyncio.sleep(0)"), "late"),
        (steps_with(f"step(number)\n    try: await asyncio.sleep(0)\n    {CATCHES}"), "late"),
        (
            "async def one(number): step(number)\n" + steps_with("await one(number)"),
            "late",
        ),
        (
            "try:\n    for number in range(count):\n        step(number)\n"
            f"        await asyncio.sleep(0)\n{CATCHES}",
            "swallowed",
        ),
        (
            "def all_of_them():\n    for number in range(count): step(number)\n"
            "await asyncio.to_thread(all_of_them)",
            "in-thread",
        ),
        (
            "await asyncio.gather(*(asyncio.to_thread(step, n) for n in range(count)))",
            "at-once",
        ),
        (
            "async def one(n): await asyncio.sleep(1); step(n)\n"
            + steps_with("asyncio.create_task(one(number))"),
            "not-awaited",
        ),
        (steps_with("step(number); await asyncio.sleep(0.1)"), "slow"),
        (steps_with("step(number + 1); await asyncio.sleep(0)"), "numbers"),
        (steps_with("step(count - 1 - number); await asyncio.sleep(0)"), "numbers"),
        (steps_with("asyncio.to_thread(step, number)"), "not-run"),
        (steps_with("await step(number)"), "plain-step"),
        (steps_with("step(); await asyncio.sleep(0)"), "signature"),
        (steps_with("await asyncio.to_thread(step(number))"), "called"),
        (steps_with("asyncio.run(step(number))"), "run"),
        ("while True: pass", "endless"),
    ],
)
@pytest.mark.untidy
def test_stoppable(body, expected, monkeypatch):
    if expected == "endless":
        monkeypatch.setattr(attempts, "_LIMIT_S", 0.1)
    assert code("02-stoppable", stoppable_of(body)) == expected


def test_stoppable_says_after_how_many_steps_a_stop_ended_it():
    turns = stoppable_of(steps_with("step(number); await asyncio.sleep(0)"))
    thread = stoppable_of(steps_with("await asyncio.to_thread(step, number)"))
    assert "ends it after 4 steps: `sleep(0)`" in check("02-stoppable", turns).message
    assert check("02-stoppable", thread).message.endswith("ends it after 3 steps.")


# 02-run-anywhere


def stub(coroutine): ...


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


def calls_it_for_the_pool(coroutine):
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run(coroutine)).result()


def submits_without_the_coroutine(coroutine):
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run).result()


def forgets_a_return(coroutine):
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        asyncio.run(coroutine)
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, coroutine).result()


def until_complete(coroutine):
    return asyncio.get_running_loop().run_until_complete(coroutine)


def asks_for_a_loop(coroutine):
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(loop and asyncio.run, coroutine).result()


def runs_in_a_new_loop(coroutine):
    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(coroutine)
    finally:
        loop.close()


def only_in_a_notebook(coroutine):
    return asyncio.get_running_loop().create_task(coroutine)


def starts_a_task(coroutine):
    try:
        return asyncio.get_running_loop().create_task(coroutine)
    except RuntimeError:
        return asyncio.run(coroutine)


def returns_the_future(coroutine):
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, coroutine)


async def is_async(coroutine):
    return await coroutine


def asks_its_own_loop(coroutine):
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(coroutine)
    return asyncio.run_coroutine_threadsafe(coroutine, loop).result()


def swallows(coroutine):
    outcome = []
    thread = threading.Thread(target=lambda: outcome.append(attempts_run(coroutine)))
    thread.start()
    thread.join()
    return outcome[0]


def attempts_run(coroutine):
    with contextlib.suppress(Exception):
        return asyncio.run(coroutine)


def takes_any_error_for_a_loop(coroutine):
    try:
        return asyncio.run(coroutine)
    except RuntimeError:
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(asyncio.run, coroutine).result()


def runs_inside_the_try(coroutine):
    try:
        asyncio.get_running_loop()
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(asyncio.run, coroutine).result()
    except RuntimeError:
        return asyncio.run(coroutine)


def loses_errors_in_a_thread(coroutine):
    result = []
    thread = threading.Thread(target=lambda: result.append(asyncio.run(coroutine)))
    thread.start()
    thread.join()
    return result[0]


def leaves_a_new_loop(coroutine):
    loops.append(asyncio.new_event_loop())
    return loops[-1].run_until_complete(coroutine)


def no_return(coroutine):
    always_in_a_thread(coroutine)


def hard_coded(coroutine):
    coroutine.close()
    return 925850  # what the first variant returns


def takes_nothing():
    return 1


def submits_the_coroutine(coroutine):
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(coroutine).result()


def yields_from(coroutine):
    return (yield from coroutine)


def in_virtual_time(coroutine):
    return simulate(coroutine)


def leaves_its_loop(coroutine):
    loop = asyncio.new_event_loop()
    loops.append(loop)
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(loop.run_until_complete, coroutine).result()


def leaves_its_thread(coroutine):
    loop = asyncio.new_event_loop()
    loops.append(loop)
    threading.Thread(target=loop.run_forever, daemon=True).start()
    return asyncio.run_coroutine_threadsafe(coroutine, loop).result()


def nests(coroutine):
    import nest_asyncio

    nest_asyncio.apply()
    return asyncio.run(coroutine)


def nests_by_the_fork(coroutine):
    import nest_asyncio2

    nest_asyncio2.apply()
    return asyncio.run(coroutine)


def blocks(coroutine):
    time.sleep(0.001)
    return right(coroutine)


def spins(coroutine):
    while True:
        pass


loops: list[asyncio.AbstractEventLoop] = []


@pytest.fixture
def _close_loops():
    yield
    while loops:
        loop = loops.pop()
        if loop.is_running():
            loop.call_soon_threadsafe(loop.stop)
            while loop.is_running():
                time.sleep(0.001)
        loop.close()


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (right, "passed"),
        (always_in_a_thread, "passed"),
        (..., "open"),
        (stub, "open"),
        (as_given, "open"),
        (7, "kind"),
        (until_complete, "notebook"),
        (asks_for_a_loop, "script"),
        (runs_in_a_new_loop, "notebook"),
        (leaves_a_new_loop, "notebook"),
        (only_in_a_notebook, "unfinished"),
        (starts_a_task, "unfinished"),
        (returns_the_future, "unfinished"),
        (is_async, "unfinished"),
        (asks_its_own_loop, "own-loop"),
        (swallows, "lost-error"),
        (loses_errors_in_a_thread, "lost-error"),
        (takes_any_error_for_a_loop, "mistaken"),
        (runs_inside_the_try, "mistaken"),
        (no_return, "result"),
        (hard_coded, "result"),
        (takes_nothing, "signature"),
        (submits_the_coroutine, "called"),
        (submits_without_the_coroutine, "called"),
        (calls_it_for_the_pool, "notebook"),
        (forgets_a_return, "result"),
        (yields_from, "unfinished"),
        (in_virtual_time, "virtual"),
        (leaves_its_loop, "left"),
        (leaves_its_thread, "left"),
        (nests, "nested"),
        (nests_by_the_fork, "nested"),
        (blocks, "blocking"),
        (spins, "endless"),
    ],
)
@pytest.mark.untidy
@pytest.mark.usefixtures("_close_loops")
def test_run_anywhere(answer, expected, monkeypatch):
    if expected == "left":
        monkeypatch.setattr(lesson_02, "_GRACE_S", 0.02)
    if expected == "endless":
        monkeypatch.setattr(attempts, "_LIMIT_S", 0.1)
    assert code("02-run-anywhere", answer) == expected


def test_a_process_with_nest_asyncio_is_told(monkeypatch):
    monkeypatch.setattr(asyncio, "_nest_patched", True, raising=False)
    assert code("02-run-anywhere", right) == "nested"


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (no_return, "it returned None, but the coroutine returns "),
        (loses_errors_in_a_thread, "raised IndexError. An error does not leave a `threading.Thr"),
        (takes_any_error_for_a_loop, "raised `cannot reuse already awaited coroutine`"),
        (calls_it_for_the_pool, "Hand it to the pool, without `()`"),
        (forgets_a_return, "a `return` in both branches"),
    ],
)
@pytest.mark.untidy
def test_run_anywhere_says_what_was_seen(answer, told):
    assert told in check("02-run-anywhere", answer).message


def test_an_error_in_a_thread_prints_no_traceback(capsys):
    hook = threading.excepthook
    check("02-run-anywhere", loses_errors_in_a_thread)
    assert capsys.readouterr() == ("", "")
    assert threading.excepthook is hook


# 02-stop-task


async def empty(task): ...


async def stop(task):
    task.cancel()
    await asyncio.wait([task])
    if not task.cancelled():
        task.result()


def plain(task):
    task.cancel()


async def only_asks(task):
    task.cancel()


async def only_waits(task):
    await task


async def does_nothing(task):
    return task


async def lets_it_out(task):
    task.cancel()
    await task


async def suppresses(task):
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def gathers(task):
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def only_cancels_and_waits(task):
    task.cancel()
    await asyncio.wait([task])


async def asks_for_the_result(task):
    task.cancel()
    await asyncio.wait([task])
    task.result()


async def asks_for_the_error(task):
    task.cancel()
    await asyncio.wait([task])
    if task.exception():
        raise task.exception()


async def asks_too_early(task):
    task.cancel()
    await asyncio.sleep(0)
    if not task.cancelled():
        task.result()


async def waits_without_a_list(task):
    task.cancel()
    await asyncio.wait(task)


async def raises(task):
    raise LookupError("a mistake")


async def insists(task):
    while not task.done():
        task.cancel()
        await asyncio.sleep(0)
    if not task.cancelled():
        task.result()


async def sleeps_long_enough(task):
    task.cancel()
    await asyncio.sleep(10)
    if not task.cancelled():
        task.result()


async def sleeps_too_short(task):
    task.cancel()
    await asyncio.sleep(0.1)


async def catches_its_own(task):
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.wait([task])
    if task.done() and not task.cancelled():
        task.result()


async def hands_its_own_on(task):
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        if asyncio.current_task().cancelling():
            raise


async def stops_nothing():
    await asyncio.sleep(1)


async def awaits_the_cancel(task):
    await task.cancel()


async def calls_the_task(task):
    task.cancel()
    await task()


async def runs_the_task(task):
    task.cancel()
    asyncio.run(task)


async def stop_blocks(task):
    task.cancel()
    while not task.done():
        time.sleep(0.1)  # noqa: ASYNC251
        await asyncio.sleep(0)


async def stop_spins(task):
    task.cancel()
    while not task.done():
        pass


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (stop, "passed"),
        (..., "open"),
        (empty, "open"),
        (plain, "kind"),
        (does_nothing, "running"),
        (only_asks, "not-awaited"),
        (sleeps_too_short, "not-awaited"),
        (only_waits, "waited"),
        (lets_it_out, "escaped"),
        (asks_for_the_result, "escaped"),
        (asks_for_the_error, "escaped"),
        (asks_too_early, "not-awaited"),
        (waits_without_a_list, "no-list"),
        (raises, "raised"),
        (suppresses, "swallowed"),
        (gathers, "lost-error"),
        (only_cancels_and_waits, "lost-error"),
        (insists, "disturbed"),
        (sleeps_long_enough, "late"),
        (catches_its_own, "swallowed"),
        (hands_its_own_on, "disturbed"),
        (stops_nothing, "signature"),
        (awaits_the_cancel, "await-cancel"),
        (calls_the_task, "called"),
        (runs_the_task, "run"),
        (stop_blocks, "blocking"),
        (stop_spins, "endless"),
    ],
)
@pytest.mark.untidy
def test_stop_task(answer, expected, monkeypatch):
    if expected == "endless":
        monkeypatch.setattr(attempts, "_LIMIT_S", 0.1)
    assert code("02-stop-task", answer) == expected


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (lets_it_out, "Which function waits without raising?"),
        (asks_for_the_result, "ask `task.cancelled()` first"),
        (asks_for_the_error, "ask `task.cancelled()` first"),
        (asks_too_early, "The task has not ended yet"),
        (waits_without_a_list, "`asyncio.wait([task])`"),
        (stop_spins, "Virtual time stands still"),
        (suppresses, "`stop_task` was itself cancelled"),
    ],
)
@pytest.mark.untidy
def test_stop_task_names_the_trap(answer, told, monkeypatch):
    if answer is stop_spins:
        monkeypatch.setattr(attempts, "_LIMIT_S", 0.1)
    assert told in check("02-stop-task", answer).message


def test_the_second_failure_says_what_to_write():
    first, second = check("02-stop-task", only_asks), check("02-stop-task", only_asks)
    assert "asyncio.wait" not in first.message
    assert "`await asyncio.wait([task])`" in second.message
