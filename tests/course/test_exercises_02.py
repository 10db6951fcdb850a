"""The checks of lesson 02: what each answer is told, right or wrong."""

import ast
import asyncio
import concurrent.futures
import contextlib
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from asyncml.clock import compute, simulate
from asyncml.course.exercises import attempts, check, lesson_02


def code(name, answer):
    verdict = check(name, answer)
    assert "\n" not in repr(verdict)
    return verdict.code


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (6, "passed"),
        (6.0, "passed"),
        (..., "open"),
        (10, "through"),
        (11, "through"),
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
        (loses_errors_in_a_thread, "out came IndexError. No error comes out of a `threading.Thr"),
        (takes_any_error_for_a_loop, "out came `cannot reuse already awaited coroutine`"),
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
        (lets_it_out, "which function waits without raising?"),
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
