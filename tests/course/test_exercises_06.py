"""The checks of lesson 06: what each answer is told, right or wrong."""

import ast
import asyncio
import builtins
import contextlib
import json
import random
import re
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from asyncml.clock import simulate
from asyncml.course.exercises import attempts, check, lesson_06


@pytest.fixture
def _little_time(monkeypatch):
    monkeypatch.setattr(attempts, "_LIMIT_S", 0.1)


def code(name, answer):
    verdict = check(name, answer)
    assert not {"\n", "\r"} & set(repr(verdict))
    return verdict.code


# ---- 06-harvest ----


async def in_small_coroutines(fetch, keys):
    images, failures = {}, {}

    async def one(key):
        try:
            images[key] = await fetch(key)
        except ValueError as error:
            failures[key] = error

    async with asyncio.TaskGroup() as group:
        for key in keys:
            group.create_task(one(key))
    return images, failures


async def sorted_out(fetch, keys):
    results = await asyncio.gather(*map(fetch, keys), return_exceptions=True)
    images, failures = {}, {}
    for key, result in zip(keys, results, strict=True):
        if isinstance(result, ValueError):
            failures[key] = result
        elif isinstance(result, BaseException):
            raise result
        else:
            images[key] = result
    return images, failures


async def one_by_one_from_tasks(fetch, keys):
    tasks = {key: asyncio.create_task(fetch(key)) for key in keys}
    images, failures = {}, {}
    try:
        for key, task in tasks.items():
            try:
                images[key] = await task
            except ValueError as error:
                failures[key] = error
    finally:
        for task in tasks.values():
            task.cancel()
        await asyncio.gather(*tasks.values(), return_exceptions=True)
    return images, failures


async def stub(fetch, keys): ...


def plain(fetch, keys):
    return {}, {}


async def plain_except(fetch, keys):
    failures = {}
    try:
        async with asyncio.TaskGroup() as group:
            tasks = {key: group.create_task(fetch(key)) for key in keys}
    except ValueError as error:
        failures["?"] = error
    return {key: task.result() for key, task in tasks.items()}, failures


async def except_star(fetch, keys):
    tasks, failures = {}, {}
    try:
        async with asyncio.TaskGroup() as group:
            tasks = {key: group.create_task(fetch(key)) for key in keys}
    except* ValueError:
        for key, task in tasks.items():
            if not task.cancelled() and task.exception():
                failures[key] = task.exception()
    good = {k: t.result() for k, t in tasks.items() if not t.cancelled() and not t.exception()}
    return good, failures


async def try_around_all(fetch, keys):
    images, failures = {}, {}
    try:
        results = await asyncio.gather(*map(fetch, keys))
        images = dict(zip(keys, results, strict=True))
    except ValueError as error:
        failures[str(error)[:2]] = error
    return images, failures


async def lets_it_out(fetch, keys):
    return dict(zip(keys, await asyncio.gather(*map(fetch, keys)), strict=True)), {}


async def ignores_exceptions(fetch, keys):
    results = await asyncio.gather(*map(fetch, keys), return_exceptions=True)
    return dict(zip(keys, results, strict=True)), {}


async def drops_exceptions(fetch, keys):
    results = await asyncio.gather(*map(fetch, keys), return_exceptions=True)
    pairs = zip(keys, results, strict=True)
    return {key: result for key, result in pairs if isinstance(result, bytes)}, {}


async def keeps_texts(fetch, keys):
    images, failures = await in_small_coroutines(fetch, keys)
    return images, {key: str(error) for key, error in failures.items()}


async def takes_any_error(fetch, keys):
    images, failures = {}, {}

    async def one(key):
        try:
            images[key] = await fetch(key)
        except Exception as error:
            failures[key] = error

    await asyncio.gather(*map(one, keys))
    return images, failures


async def keeps_every_exception(fetch, keys):
    results = await asyncio.gather(*map(fetch, keys), return_exceptions=True)
    pairs = list(zip(keys, results, strict=True))
    failures = {key: result for key, result in pairs if isinstance(result, Exception)}
    return {key: result for key, result in pairs if key not in failures}, failures


async def swallows_the_stop(fetch, keys):
    images, failures = {}, {}

    async def one(key):
        try:
            images[key] = await fetch(key)
        except ValueError as error:
            failures[key] = error

    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.gather(*map(one, keys))
    return images, failures


async def in_sequence(fetch, keys):
    images, failures = {}, {}
    for key in keys:
        try:
            images[key] = await fetch(key)
        except ValueError as error:
            failures[key] = error
    return images, failures


async def returns_tasks(fetch, keys):
    return {key: asyncio.create_task(fetch(key)) for key in keys}, {}


async def returns_coroutines(fetch, keys):
    return {key: fetch(key) for key in keys}, {}


async def returns_a_list(fetch, keys):
    images, _ = await in_small_coroutines(fetch, keys)
    return list(images.values())


async def no_return(fetch, keys):
    await in_small_coroutines(fetch, keys)


async def in_order_of_arrival(fetch, keys):
    images, failures = await in_small_coroutines(fetch, keys)
    names = [key for key in keys if key in images]
    return dict(zip(names, reversed(images.values()), strict=True)), failures


async def asks_twice(fetch, keys):
    await in_small_coroutines(fetch, keys)
    return await in_small_coroutines(fetch, keys)


async def hard_coded(fetch, keys):
    return {"17": b"\x00\x01\x02\x03"}, {"18": ValueError("18 is broken")}


async def in_both(fetch, keys):
    images, failures = await in_small_coroutines(fetch, keys)
    return {**images, **dict.fromkeys(failures)}, failures


async def forgets_to_await_gather(fetch, keys):
    results = asyncio.gather(*map(fetch, keys), return_exceptions=True)
    return dict(zip(keys, results, strict=True)), {}


async def does_not_wait(fetch, keys):
    images = {}

    async def one(key):
        images[key] = await fetch(key)

    background.extend(asyncio.create_task(one(key)) for key in keys)
    return images, {}


async def waits_and_leaves(fetch, keys):
    tasks = {key: asyncio.create_task(fetch(key)) for key in keys}
    await asyncio.wait(tasks.values())
    return sorted_by_outcome(tasks)


async def waits_and_cancels(fetch, keys):
    tasks = {key: asyncio.create_task(fetch(key)) for key in keys}
    try:
        await asyncio.wait(tasks.values())
    except asyncio.CancelledError:
        for task in tasks.values():
            task.cancel()
        await asyncio.wait(tasks.values())
        raise
    return sorted_by_outcome(tasks)


def sorted_by_outcome(tasks):
    errors = {key: task.exception() for key, task in tasks.items()}
    images = {key: task.result() for key, task in tasks.items() if errors[key] is None}
    failures = {key: error for key, error in errors.items() if isinstance(error, ValueError)}
    for error in errors.values():
        if error is not None and not isinstance(error, ValueError):
            raise error
    return images, failures


background = []


async def loses_the_keys(fetch, keys):
    images, failures = {}, {}
    for coroutine in asyncio.as_completed(map(fetch, keys)):
        try:
            images[len(images)] = await coroutine
        except ValueError as error:
            failures[str(error)] = error
    return images, failures


async def notes_the_key_before(fetch, keys):
    async def one(key):
        return key, await fetch(key)

    images, failures, key = {}, {}, keys[0]
    for coroutine in asyncio.as_completed(map(one, keys)):
        try:
            key, images[key] = await coroutine
        except ValueError as error:
            failures[key] = error
    return images, failures


async def asks_too_early(fetch, keys):
    async with asyncio.TaskGroup() as group:
        tasks = {key: group.create_task(fetch(key)) for key in keys}
        return {key: task.result() for key, task in tasks.items()}, {}


async def failures_as_a_list(fetch, keys):
    images, failures = await in_small_coroutines(fetch, keys)
    return images, list(failures)


async def blocks(fetch, keys):
    time.sleep(1)  # noqa: ASYNC251
    return await in_small_coroutines(fetch, keys)


async def spins(fetch, keys):
    while True:
        pass


async def asks_for_the_last_key(fetch, keys):
    images, failures = {}, {}

    async def one():
        try:
            images[key] = await fetch(key)
        except ValueError as error:
            failures[key] = error

    async with asyncio.TaskGroup() as group:
        for key in keys:  # noqa: B007
            group.create_task(one())
    return images, failures


async def files_under_the_last_key(fetch, keys):
    images, failures = {}, {}

    async def one(fetching):
        try:
            images[key] = await fetching
        except ValueError as error:
            failures[key] = error

    async with asyncio.TaskGroup() as group:
        for key in keys:
            group.create_task(one(fetch(key)))
    return images, failures


async def swaps_the_dicts(fetch, keys):
    return (await in_small_coroutines(fetch, keys))[::-1]


async def passes_over_the_stop(fetch, keys):
    try:
        return await in_small_coroutines(fetch, keys)
    except asyncio.CancelledError:
        pass


async def only_waits(fetch, keys):
    images, failures = {}, {}

    async def one(key):
        try:
            images[key] = await fetch(key)
        except ValueError as error:
            failures[key] = error

    await asyncio.wait([asyncio.create_task(one(key)) for key in keys])
    return images, failures


async def makes_another_error(fetch, keys):
    images, failures = await in_small_coroutines(fetch, keys)
    return images, {key: ValueError(key) for key in failures}


async def shields_each(fetch, keys):
    return await in_small_coroutines(lambda key: asyncio.shield(fetch(key)), keys)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (only_waits, "swallowed"),
        (makes_another_error, "report"),
        (shields_each, "left-running"),
        (asks_for_the_last_key, "late-key"),
        (files_under_the_last_key, "late-key"),
        (swaps_the_dicts, "swapped"),
        (passes_over_the_stop, "stop-swallowed"),
        (in_small_coroutines, "passed"),
        (sorted_out, "passed"),
        (one_by_one_from_tasks, "passed"),
        (..., "open"),
        (stub, "open"),
        (plain, "kind"),
        (plain_except, "group"),
        (except_star, "cancelled"),
        (try_around_all, "lost"),
        (lets_it_out, "escaped"),
        (waits_and_cancels, "passed"),
        (waits_and_leaves, "left-running"),
        (ignores_exceptions, "among-images"),
        (drops_exceptions, "unreported"),
        (keeps_texts, "report"),
        (takes_any_error, "swallowed"),
        (keeps_every_exception, "swallowed"),
        (swallows_the_stop, "stop-swallowed"),
        (in_sequence, "sequence"),
        (returns_tasks, "not-awaited"),
        (returns_coroutines, "not-awaited"),
        (returns_a_list, "kind"),
        (no_return, "kind"),
        (failures_as_a_list, "kind"),
        (forgets_to_await_gather, "not-awaited"),
        (does_not_wait, "early"),
        (loses_the_keys, "which-key"),
        (notes_the_key_before, "which-key"),
        (asks_too_early, "early"),
        (in_order_of_arrival, "which-key"),
        (asks_twice, "sequence"),
        (in_both, "both"),
        (hard_coded, "which-key"),
        (blocks, "blocking"),
    ],
)
@pytest.mark.untidy
def test_harvest(answer, expected):
    assert code("06-harvest", answer) == expected


@pytest.mark.usefixtures("_little_time")
@pytest.mark.untidy
def test_a_harvest_without_end():
    assert check("06-harvest", spins).code == "endless"


@pytest.mark.parametrize(
    ("answer", "first", "second"),
    [
        (plain_except, "does not take a group", "into a small `async def` of your own"),
        (ignores_exceptions, "Who sorts them out?", "`isinstance(result, ValueError)`"),
        (lets_it_out, "On which line is it raised", "into a small `async def` of your own"),
        (takes_any_error, "Only a ValueError is a failure", "`except ValueError`"),
    ],
)
@pytest.mark.untidy
def test_the_second_failure_of_a_harvest_says_what_to_write(answer, first, second):
    told = [check("06-harvest", answer).message for _ in range(2)]
    assert first in told[0]
    assert second not in told[0]
    assert second in told[1]


# ---- 06-clean-up ----


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (1.5, "passed"),
        (..., "open"),
        (1, "punctual"),
        (1.7, "in-turn"),
        (1.2, "first"),
        (10, "never"),
        (10.2, "never"),
        (10.5, "never"),
        (1500, "unit"),
        (3, "other"),
        ("1.5", "kind"),
    ],
)
def test_bet_on_the_clean_up(answer, expected):
    assert code("06-clean-up", answer) == expected


def test_the_bet_is_what_happens():
    async def tidies_up(seconds):
        try:
            await asyncio.sleep(10)
        finally:
            await asyncio.sleep(seconds)

    async def main():
        try:
            async with asyncio.timeout(1), asyncio.TaskGroup() as group:
                group.create_task(tidies_up(0.2))
                group.create_task(tidies_up(0.5))
        except TimeoutError:
            return asyncio.get_running_loop().time()

    assert simulate(main()) == pytest.approx(1.5)


# ---- 06-read-within ----


async def right(open_file, seconds):
    file = await open_file()
    try:
        async with asyncio.timeout(seconds) as limit:
            return await file.read()
    except TimeoutError:
        if not limit.expired():
            raise
        return None
    finally:
        await file.close()


async def takes_any_time_out(open_file, seconds):
    file = await open_file()
    try:
        async with asyncio.timeout(seconds):
            return await file.read()
    except TimeoutError:
        return None
    finally:
        await file.close()


async def waits_with_a_limit(open_file, seconds):
    async with contextlib.aclosing(await open_file()) as file:
        reading = asyncio.create_task(file.read())
        try:
            done, _ = await asyncio.wait([reading], timeout=seconds)
        finally:
            reading.cancel()
            await asyncio.wait([reading])
        return reading.result() if done else None


async def waits_for(open_file, seconds):
    async with contextlib.aclosing(await open_file()) as file:
        try:
            return await asyncio.wait_for(file.read(), seconds)
        except TimeoutError:
            return None


async def suppresses_the_time_out(open_file, seconds):
    file = await open_file()
    data = None
    try:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                data = await file.read()
    finally:
        await file.close()
    return data


async def opens_inside_the_try(open_file, seconds):
    try:
        file = await open_file()
        async with asyncio.timeout(seconds):
            return await file.read()
    except TimeoutError:
        return None
    finally:
        await file.close()


async def asks_whether_there_is_a_file(open_file, seconds):
    file = None
    try:
        file = await open_file()
        async with asyncio.timeout(seconds) as limit:
            return await file.read()
    except TimeoutError:
        if limit.expired():
            return None
        raise
    finally:
        if file is not None:
            await file.close()


async def takes_other_arguments(it):
    return it


async def read_stub(open_file, seconds): ...


def read_plain(open_file, seconds):
    return open_file().read()


async def closes_after_success(open_file, seconds):
    file = await open_file()
    try:
        async with asyncio.timeout(seconds):
            data = await file.read()
            await file.close()
            return data
    except TimeoutError:
        return None


async def closes_except_when_it_fails(open_file, seconds):
    file = await open_file()
    data = None
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            data = await file.read()
    await file.close()
    return data


async def takes_the_cancellation(open_file, seconds):
    file = await open_file()
    try:
        async with asyncio.timeout(seconds):
            return await file.read()
    except (TimeoutError, asyncio.CancelledError):
        return None
    finally:
        await file.close()


async def takes_it_inside(open_file, seconds):
    file = await open_file()
    try:
        async with asyncio.timeout(seconds):
            try:
                return await file.read()
            except asyncio.CancelledError:
                return None
    finally:
        await file.close()


async def catches_inside(open_file, seconds):
    file = await open_file()
    try:
        async with asyncio.timeout(seconds):
            try:
                return await file.read()
            except TimeoutError:
                return None
    finally:
        await file.close()


async def lets_the_time_out_out(open_file, seconds):
    file = await open_file()
    try:
        async with asyncio.timeout(seconds):
            return await file.read()
    finally:
        await file.close()


def without_syntax_warnings(source):
    """The function in `source`: a `return` in `finally` warns from Python 3.14 on (PEP 765)."""
    names = {"asyncio": asyncio}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SyntaxWarning)
        exec(source, names)
    return names.popitem()[1]


returns_in_finally = without_syntax_warnings("""
async def returns_in_finally(open_file, seconds):
    file = await open_file()
    data = None
    try:
        async with asyncio.timeout(seconds):
            data = await file.read()
    finally:
        await file.close()
        return data
""")


async def takes_every_error(open_file, seconds):
    file = await open_file()
    try:
        return await asyncio.wait_for(file.read(), seconds)
    except Exception:
        return None
    finally:
        await file.close()


async def does_not_await_close(open_file, seconds):
    file = await open_file()
    try:
        async with asyncio.timeout(seconds):
            return await file.read()
    except TimeoutError:
        return None
    finally:
        file.close()


async def closes_in_a_task(open_file, seconds):
    file = await open_file()
    try:
        async with asyncio.timeout(seconds):
            return await file.read()
    except TimeoutError:
        return None
    finally:
        closing = asyncio.create_task(file.close())
        assert closing


async def closes_within_the_time(open_file, seconds):
    file = await open_file()
    try:
        async with asyncio.timeout(seconds):
            try:
                return await file.read()
            finally:
                await file.close()
    except TimeoutError:
        return None


async def limits_the_opening(open_file, seconds):
    file = None
    try:
        async with asyncio.timeout(seconds):
            file = await open_file()
            return await file.read()
    except TimeoutError:
        return None
    finally:
        if file is not None:
            await file.close()


async def no_limit(open_file, seconds):
    file = await open_file()
    try:
        return await file.read()
    finally:
        await file.close()


async def leaves_it_reading(open_file, seconds):
    file = await open_file()
    reading = asyncio.create_task(file.read())
    try:
        done, _ = await asyncio.wait([reading], timeout=seconds)
        return reading.result() if done else None
    finally:
        await file.close()


async def in_a_thread(open_file, seconds):
    file = await open_file()
    try:
        async with asyncio.timeout(seconds):
            return await asyncio.to_thread(file.read)
    except TimeoutError:
        return None
    finally:
        await file.close()


async def without_the_call(open_file, seconds):
    file = await open_file()
    try:
        return await asyncio.wait_for(file.read, seconds)
    finally:
        await file.close()


async def cancels_by_hand(open_file, seconds):
    file = await open_file()
    reading = asyncio.create_task(file.read())
    asyncio.get_running_loop().call_later(seconds, reading.cancel)
    try:
        return await reading
    except asyncio.CancelledError:
        return None
    finally:
        await file.close()


async def waits_in_any_case(open_file, seconds):
    file = await open_file()
    reading = asyncio.create_task(file.read())
    await asyncio.sleep(seconds)
    await file.close()
    return reading.result() if reading.done() else reading.cancel() and None


async def closes_twice(open_file, seconds):
    file = await open_file()
    try:
        async with asyncio.timeout(seconds):
            return await file.read()
    except TimeoutError:
        await file.close()
        return None
    finally:
        await file.close()


async def forgets_to_await_open(open_file, seconds):
    return await open_file().read()


async def plain_with(open_file, seconds):
    file = await open_file()
    try:
        with asyncio.timeout(seconds):
            return await file.read()
    finally:
        await file.close()


async def in_a_group(open_file, seconds):
    file = await open_file()
    try:
        async with asyncio.timeout(seconds), asyncio.TaskGroup() as group:
            task = group.create_task(file.read())
        return task.result()
    except TimeoutError:
        return None
    finally:
        await file.close()


async def returns_nothing(open_file, seconds):
    await right(open_file, seconds)


async def read_hard_coded(open_file, seconds):
    file = await open_file()
    await file.close()
    return b"\xcd\x07,\xd8"


async def read_blocks(open_file, seconds):
    file = await open_file()
    time.sleep(seconds)  # noqa: ASYNC251
    await file.close()


async def polls_without_end(open_file, seconds):
    file = await open_file()
    reading = asyncio.create_task(file.read())
    while not reading.done():  # noqa: ASYNC110
        await asyncio.sleep(0)


async def returns_empty_bytes(open_file, seconds):
    data = await right(open_file, seconds)
    return b"" if data is None else data


async def looks_at_the_clock(open_file, seconds):
    file, loop = await open_file(), asyncio.get_running_loop()
    start = loop.time()
    try:
        data = await file.read()
    finally:
        await file.close()
    return data if loop.time() - start <= seconds else None


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (returns_empty_bytes, "not-none"),
        (looks_at_the_clock, "late"),
        (right, "passed"),
        (takes_other_arguments, "signature"),
        (waits_with_a_limit, "passed"),
        (asks_whether_there_is_a_file, "passed"),
        (waits_for, "not-yours"),
        (suppresses_the_time_out, "not-yours"),
        (takes_any_time_out, "not-yours"),
        (opens_inside_the_try, "unopened"),
        (..., "open"),
        (read_stub, "open"),
        (read_plain, "kind"),
        (closes_after_success, "not-closed"),
        (closes_except_when_it_fails, "not-closed"),
        (takes_the_cancellation, "swallowed"),
        (takes_it_inside, "swallowed"),
        (catches_inside, "escaped"),
        (lets_the_time_out_out, "escaped"),
        (returns_in_finally, "lost-error"),
        (takes_every_error, "lost-error"),
        (does_not_await_close, "not-awaited"),
        (closes_in_a_task, "not-awaited"),
        (closes_within_the_time, "cut-off"),
        (limits_the_opening, "opening"),
        (no_limit, "no-time-out"),
        (leaves_it_reading, "runs-on"),
        (in_a_thread, "coroutine"),
        (without_the_call, "no-call"),
        (cancels_by_hand, "swallowed"),
        (waits_in_any_case, "late"),
        (closes_twice, "twice"),
        (forgets_to_await_open, "no-await"),
        (plain_with, "no-with"),
        (in_a_group, "group"),
        (returns_nothing, "result"),
        (read_hard_coded, "not-none"),
        (read_blocks, "blocking"),
    ],
)
@pytest.mark.untidy
def test_read_within(answer, expected):
    assert code("06-read-within", answer) == expected


@pytest.mark.usefixtures("_little_time")
@pytest.mark.untidy
def test_reading_without_end():
    assert check("06-read-within", polls_without_end).code == "endless"


@pytest.mark.parametrize(
    ("answer", "first", "second"),
    [
        (takes_it_inside, "Whose was this one?", "Catch `TimeoutError`"),
        (catches_inside, "Where does it change?", "`try:` around the whole"),
        (closes_within_the_time, "What does the time-out limit", "stands around that block"),
        (does_not_await_close, "Who waits for it?", "`await file.close()`"),
    ],
)
@pytest.mark.untidy
def test_the_second_failure_of_reading_says_what_to_write(answer, first, second):
    told = [check("06-read-within", answer).message for _ in range(2)]
    assert first in told[0]
    assert second not in told[0]
    assert second in told[1]


# ---- 06-read-in-thread ----


async def thread_closes(open_file, seconds):
    def read():
        with open_file() as file:
            return file.read()

    try:
        async with asyncio.timeout(seconds) as limit:
            return await asyncio.to_thread(read)
    except TimeoutError:
        if not limit.expired():
            raise
        return None


async def thread_closes_and_any_time_out_is_none(open_file, seconds):
    with contextlib.suppress(TimeoutError):
        return await thread_closes(open_file, seconds)


async def callback_closes(open_file, seconds):
    file = open_file()
    reading = asyncio.ensure_future(asyncio.to_thread(file.read))
    reading.add_done_callback(lambda done: (done.exception(), file.close()))
    done, _ = await asyncio.wait([reading], timeout=seconds)
    return reading.result() if done else None


async def closes_under_it(open_file, seconds):
    with open_file() as file:
        try:
            async with asyncio.timeout(seconds):
                return await asyncio.to_thread(file.read)
        except TimeoutError:
            return None


async def never_closes(open_file, seconds):
    try:
        return await asyncio.wait_for(asyncio.to_thread(open_file().read), seconds)
    except TimeoutError:
        return None


async def closes_on_success(open_file, seconds):
    file = open_file()
    try:
        data = await asyncio.wait_for(asyncio.to_thread(file.read), seconds)
    except TimeoutError:
        return None
    file.close()
    return data


async def waits_for_the_thread(open_file, seconds):
    def read():
        with open_file() as file:
            return file.read()

    reading = asyncio.create_task(asyncio.to_thread(read))
    done, _ = await asyncio.wait([reading], timeout=seconds)
    data = await reading
    return data if done else None


async def reads_on_the_loop(open_file, seconds):
    with open_file() as file:
        async with asyncio.timeout(seconds):  # noqa: ASYNC100
            return file.read()


async def awaits_plain(open_file, seconds):
    file = await open_file()
    return await file.read()


async def thread_lets_it_out(open_file, seconds):
    def read():
        with open_file() as file:
            return file.read()

    async with asyncio.timeout(seconds):
        return await asyncio.to_thread(read)


async def thread_swallows_errors(open_file, seconds):
    def read():
        with contextlib.suppress(OSError), open_file() as file:
            return file.read()

    try:
        async with asyncio.timeout(seconds):
            return await asyncio.to_thread(read)
    except TimeoutError:
        return None


async def thread_swallows_the_stop(open_file, seconds):
    try:
        return await thread_closes(open_file, seconds)
    except asyncio.CancelledError:
        return None


async def awaits_in_the_thread(open_file, seconds):
    async def read():
        with open_file() as file:
            return await asyncio.to_thread(file.read)

    return await asyncio.to_thread(read)


async def thread_has_no_limit(open_file, seconds):
    def read():
        with open_file() as file:
            return file.read()

    return await asyncio.to_thread(read)


async def calls_it_at_once(open_file, seconds):
    with open_file() as file:
        return await asyncio.to_thread(file.read())


async def by_hand(open_file, seconds):
    data = []

    def read():
        with open_file() as file:
            data.append(file.read())

    thread = threading.Thread(target=read)
    thread.start()
    thread.join(seconds)
    return data[0] if data else None


async def closes_an_executor(open_file, seconds):
    def read():
        with open_file() as file:
            return file.read()

    loop = asyncio.get_running_loop()
    try:
        with ThreadPoolExecutor(1) as pool:
            async with asyncio.timeout(seconds):
                return await loop.run_in_executor(pool, read)
    except TimeoutError:
        return None


async def thread_hard_coded(open_file, seconds):
    open_file().close()
    return b"\xcd\x07,\xd8"


async def thread_blocks(open_file, seconds):
    time.sleep(1)  # noqa: ASYNC251


async def thread_spins(open_file, seconds):
    while True:
        pass


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (thread_closes, "passed"),
        (callback_closes, "passed"),
        (thread_closes_and_any_time_out_is_none, "not-yours"),
        (..., "open"),
        (read_stub, "open"),
        (closes_under_it, "under-it"),
        (never_closes, "not-closed"),
        (closes_on_success, "not-closed"),
        (waits_for_the_thread, "late"),
        (reads_on_the_loop, "blocking"),
        (awaits_plain, "plain-file"),
        (thread_lets_it_out, "escaped"),
        (thread_swallows_errors, "lost-error"),
        (thread_swallows_the_stop, "swallowed"),
        (awaits_in_the_thread, "coroutine"),
        (thread_has_no_limit, "late"),
        (calls_it_at_once, "blocking"),
        (closes_an_executor, "holds"),
        (by_hand, "by-hand"),
        (thread_hard_coded, "not-none"),
        (thread_blocks, "blocking"),
    ],
)
@pytest.mark.untidy
def test_read_in_thread(answer, expected):
    assert code("06-read-in-thread", answer) == expected


@pytest.mark.usefixtures("_little_time")
@pytest.mark.untidy
def test_reading_in_a_thread_without_end():
    assert check("06-read-in-thread", thread_spins).code == "endless"


def test_the_second_failure_in_a_thread_says_what_to_write():
    first, second = (check("06-read-in-thread", closes_under_it).message for _ in range(2))
    assert "Does it end the thread?" in first
    assert "with open_file() as file:" not in first
    assert "with open_file() as file:" in second


def test_a_file_that_is_read_before_the_thread_has_it_is_told_of_the_brackets():
    message = check("06-read-in-thread", calls_it_at_once).message
    assert "with `to_thread(function())` you call it yourself, first." in message


def test_waiting_for_the_thread_after_the_time_out_is_told_what_to_leave_out():
    first, second = (check("06-read-in-thread", waits_for_the_thread).message for _ in range(2))
    assert "no `await` of its task" not in first
    assert "no `await` of its task" in second


# ---- 06-triage ----


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (["blocked loop", "slow network", "one at a time"], "passed"),
        (("blocked loop", "slow network", "one at a time"), "passed"),
        (..., "open"),
        ([..., ..., ...], "open"),
        (["blocked loop", ..., "one at a time"], "open"),
        (["slow network", "slow network", "one at a time"], "A-slow-network"),
        (["one at a time", "slow network", "one at a time"], "A-one-at-a-time"),
        (["deadlock", "slow network", "one at a time"], "A-deadlock"),
        (["blocked loop", "blocked loop", "one at a time"], "B-blocked-loop"),
        (["blocked loop", "one at a time", "one at a time"], "B-one-at-a-time"),
        (["blocked loop", "slow network", "slow network"], "C-slow-network"),
        (["blocked loop", "slow network", "blocked loop"], "C-blocked-loop"),
        (["blocked loop", "slow network", "swallowed stop"], "C-swallowed-stop"),
        (["blocked loop", "slow network"], "kind"),
        ("blocked loop", "kind"),
        (["Blocked loop", "slow network", "one at a time"], "kind"),
        ([["blocked loop"], "slow network", "one at a time"], "kind"),
        (7, "kind"),
    ],
)
def test_triage(answer, expected):
    assert code("06-triage", answer) == expected


def test_a_wrong_diagnosis_is_named():
    message = check("06-triage", ["slow network"] * 3).message
    assert message.startswith("A is not 'slow network'. How long does each task wait")


def test_each_wrong_diagnosis_gets_a_hint_of_its_own():
    right = [right for right, _, _ in lesson_06._TRIAGE.values()]
    wrong = [[*right[:n], word, *right[n + 1 :]] for n in range(3) for word in lesson_06.WORDS]
    told = [check("06-triage", answer).message for answer in wrong if answer != right]
    assert len(set(told)) == len(told) == 12


def test_the_three_patients_take_as_long_and_have_what_the_check_says():
    room = lesson_06.waiting_room()
    assert {letter: timeline.duration_s for letter, timeline in room.items()} == {
        "A": 0.8,
        "B": 0.8,
        "C": 0.8,
    }
    statistics = {letter: timeline.statistics() for letter, timeline in room.items()}
    assert statistics["A"].longest_block_s == pytest.approx(0.195)
    assert statistics["A"].lag_s > 0.5
    assert statistics["B"].busy == statistics["C"].busy == 0
    assert statistics["B"].peak_concurrency == 4
    assert statistics["C"].peak_concurrency == 1


# ---- 06-close-anyhow ----


async def closes_in_a_loop(work, close):
    try:
        return await work()
    finally:
        closing, stop = asyncio.create_task(close()), None
        while not closing.done():
            try:
                await asyncio.shield(closing)
            except asyncio.CancelledError as again:
                stop = again
        if stop is not None:
            raise stop


async def closes_with_wait(work, close):
    stops = 0
    try:
        return await work()
    finally:
        closing = asyncio.ensure_future(close())
        while not closing.done():
            try:
                await asyncio.wait([closing])
            except asyncio.CancelledError:
                stops += 1
        if stops:
            raise asyncio.CancelledError


async def closes_after_an_event(work, close):
    closed = asyncio.Event()

    async def close_it():
        try:
            await close()
        finally:
            closed.set()

    try:
        return await work()
    finally:
        closing = asyncio.create_task(close_it())
        was_stopped = False
        while not closed.is_set():
            try:
                await closed.wait()
            except asyncio.CancelledError:
                was_stopped = True
        if was_stopped:
            raise asyncio.CancelledError
        await closing


async def close_stub(work, close): ...


async def plain_finally(work, close):
    try:
        return await work()
    finally:
        await close()


async def closes_without_finally(work, close):
    result = await work()
    await close()
    return result


async def closes_after_an_error_only(work, close):
    try:
        return await work()
    except BaseException:
        await close()
        raise


async def awaits_the_task(work, close):
    try:
        return await work()
    finally:
        closing = asyncio.create_task(close())
        await closing


async def shields_once(work, close):
    try:
        return await work()
    finally:
        await asyncio.shield(close())


async def shields_twice(work, close):
    try:
        return await work()
    finally:
        closing = asyncio.create_task(close())
        try:
            await asyncio.shield(closing)
        except asyncio.CancelledError:
            await closing
            raise


async def shields_twice_and_leaves(work, close):
    try:
        return await work()
    finally:
        closing = asyncio.create_task(close())
        try:
            await asyncio.shield(closing)
        except asyncio.CancelledError:
            await asyncio.shield(closing)
            raise


async def closes_and_forgets_the_stop(work, close):
    try:
        return await work()
    finally:
        closing = asyncio.create_task(close())
        while not closing.done():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.shield(closing)


async def closes_and_takes_every_stop(work, close):
    try:
        return await work()
    except asyncio.CancelledError:
        return None
    finally:
        await close()


async def closes_again_and_again(work, close):
    try:
        return await work()
    finally:
        while True:
            try:
                await close()
                break
            except asyncio.CancelledError:
                pass


async def shields_the_work(work, close):
    working = asyncio.create_task(work())
    stop = None
    while not working.done():
        try:
            await asyncio.shield(working)
        except asyncio.CancelledError as error:
            stop = error
        except OSError:
            pass
    await close()
    if stop:
        raise stop
    return working.result()


async def does_not_await_closing(work, close):
    try:
        return await work()
    finally:
        closing = asyncio.create_task(close())
        assert closing


async def shields_the_function(work, close):
    try:
        return await work()
    finally:
        await asyncio.shield(close)


async def closes_and_loses_the_error(work, close):
    try:
        return await work()
    except OSError:
        return None
    finally:
        await closes_in_a_loop(close_nothing, close)


async def close_nothing():
    pass


async def closes_and_returns_nothing(work, close):
    await closes_in_a_loop(work, close)


async def close_blocks(work, close):
    time.sleep(1)  # noqa: ASYNC251
    return await closes_in_a_loop(work, close)


async def spins_until_closed(work, close):
    closing = asyncio.create_task(close())
    while not closing.done():
        pass


async def closes_meanwhile(work, close):
    return (await asyncio.gather(work(), close()))[0]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (closes_meanwhile, "early"),
        (closes_in_a_loop, "passed"),
        (closes_with_wait, "passed"),
        (closes_after_an_event, "passed"),
        (..., "open"),
        (close_stub, "open"),
        (plain, "kind"),
        (plain_finally, "cut-off"),
        (closes_without_finally, "not-closed"),
        (closes_after_an_error_only, "not-closed"),
        (awaits_the_task, "cut-off"),
        (shields_once, "left"),
        (shields_twice, "third"),
        (shields_twice_and_leaves, "third"),
        (closes_and_forgets_the_stop, "swallowed"),
        (closes_and_takes_every_stop, "swallowed"),
        (closes_again_and_again, "twice"),
        (shields_the_work, "not-stopped"),
        (does_not_await_closing, "not-awaited"),
        (shields_the_function, "no-call"),
        (closes_and_loses_the_error, "lost-error"),
        (closes_and_returns_nothing, "result"),
        (close_blocks, "blocking"),
    ],
)
@pytest.mark.untidy
def test_close_anyhow(answer, expected):
    assert code("06-close-anyhow", answer) == expected


@pytest.mark.usefixtures("_little_time")
@pytest.mark.untidy
def test_closing_without_end():
    assert check("06-close-anyhow", spins_until_closed).code == "endless"


# ---- 06-patient-3 ----


async def parses_in_threads(parse, messages):
    return [await asyncio.to_thread(parse, message) for message in messages]


async def parses_all_at_once(parse, messages):
    return await asyncio.gather(*(asyncio.to_thread(parse, message) for message in messages))


async def parses_in_an_executor(parse, messages):
    loop = asyncio.get_running_loop()
    return tuple([await loop.run_in_executor(None, parse, message) for message in messages])


async def parses_them_in_one_thread(parse, messages):
    return await asyncio.to_thread(lambda: [parse(message) for message in messages])


async def parse_stub(parse, messages): ...


async def parses_on_the_loop(parse, messages):
    return [parse(message) for message in messages]


async def sleeps_between(parse, messages):
    results = []
    for message in messages:
        await asyncio.sleep(0)
        results.append(parse(message))
    return results


async def parses_in_a_coroutine(parse, messages):
    async def one(message):
        return parse(message)

    return await asyncio.gather(*map(one, messages))


async def calls_parse_at_once(parse, messages):
    return [await asyncio.to_thread(parse(message)) for message in messages]


async def forgets_to_await_threads(parse, messages):
    return [asyncio.to_thread(parse, message) for message in messages]


async def leaves_tasks(parse, messages):
    return [asyncio.ensure_future(asyncio.to_thread(parse, message)) for message in messages]


async def parses_a_coroutine_in_a_thread(parse, messages):
    async def one(message):
        return parse(message)

    return [await asyncio.to_thread(one, message) for message in messages]


async def joins_threads(parse, messages):
    results = []
    for message in messages:
        thread = threading.Thread(target=lambda message=message: results.append(parse(message)))
        thread.start()
        thread.join()
    return results


async def closes_the_pool(parse, messages):
    with ThreadPoolExecutor(1) as pool:
        return list(pool.map(parse, messages))


async def parses_backwards(parse, messages):
    return (await parses_in_threads(parse, messages))[::-1]


async def parses_the_first(parse, messages):
    return [await asyncio.to_thread(parse, messages[0])]


async def parses_and_forgets(parse, messages):
    await parses_in_threads(parse, messages)


async def returns_the_messages(parse, messages):
    await parses_in_threads(parse, messages)
    return messages


async def skips_what_is_broken(parse, messages):
    results = []
    for message in messages:
        with contextlib.suppress(ValueError):
            results.append(await asyncio.to_thread(parse, message))
    return results


async def parses_in_a_group(parse, messages):
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(asyncio.to_thread(parse, message)) for message in messages]
    return [task.result() for task in tasks]


async def parses_into_a_dict(parse, messages):
    return {message: await asyncio.to_thread(parse, message) for message in messages}


async def parses_the_list(parse, messages):
    return await asyncio.to_thread(parse, messages)


async def asks_for_results_at_once(parse, messages):
    coroutines = [asyncio.to_thread(parse, message) for message in messages]
    return [asyncio.ensure_future(coroutine).result() for coroutine in coroutines]


async def awaits_parse(parse, messages):
    return [await parse(message) for message in messages]


async def parses_slowly(parse, messages):
    time.sleep(0.5)  # noqa: ASYNC251
    return await parses_in_threads(parse, messages)


async def never_parses(parse, messages):
    while True:
        pass


async def parses_later(parse, messages):
    return await asyncio.to_thread(map, parse, messages)


async def parses_the_last(parse, messages):
    return await asyncio.gather(*[asyncio.to_thread(lambda: parse(m)) for m in messages])  # noqa: B023


async def parses_in_a_loop_of_its_own(parse, messages):
    async def parse_one(message):
        return parse(message)

    return [await asyncio.to_thread(asyncio.run, parse_one(message)) for message in messages]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (parses_later, "kind"),
        (parses_the_last, "late-message"),
        (parses_in_a_loop_of_its_own, "passed"),
        (parses_in_threads, "passed"),
        (parses_all_at_once, "passed"),
        (parses_in_an_executor, "passed"),
        (parses_them_in_one_thread, "passed"),
        (..., "open"),
        (parse_stub, "open"),
        (plain, "kind"),
        (parses_on_the_loop, "blocked"),
        (sleeps_between, "blocked"),
        (parses_in_a_coroutine, "blocked"),
        (calls_parse_at_once, "called"),
        (forgets_to_await_threads, "not-awaited"),
        (leaves_tasks, "not-awaited"),
        (parses_a_coroutine_in_a_thread, "not-awaited"),
        (joins_threads, "by-hand"),
        (closes_the_pool, "by-hand"),
        (parses_backwards, "order"),
        (parses_the_first, "calls"),
        (parses_and_forgets, "kind"),
        (returns_the_messages, "result"),
        (skips_what_is_broken, "swallowed"),
        (parses_slowly, "blocking"),
        (parses_in_a_group, "passed"),
        (parses_into_a_dict, "kind"),
        (parses_the_list, "argument"),
        (asks_for_results_at_once, "not-awaited"),
        (awaits_parse, "called"),
        (takes_other_arguments, "signature"),
    ],
)
@pytest.mark.untidy
def test_patient_3(answer, expected):
    assert code("06-patient-3", answer) == expected


@pytest.mark.usefixtures("_little_time")
@pytest.mark.untidy
def test_patient_3_without_end():
    assert check("06-patient-3", never_parses).code == "endless"


# ---- 06-patient-7 ----


async def holds_them_by_name(locks, first, second, work):
    first, second = sorted((first, second))
    async with locks[first], locks[second]:
        return await work()


async def holds_them_by_id(locks, first, second, work):
    one, other = sorted((locks[first], locks[second]), key=id)
    async with one, other:
        return await work()


async def holds_them_with_a_stack(locks, first, second, work):
    async with contextlib.AsyncExitStack() as stack:
        for name in locks:
            if name in (first, second):
                await stack.enter_async_context(locks[name])
        return await work()


async def waits_until_both_are_free(locks, first, second, work):
    while True:
        async with locks[first]:
            if not locks[second].locked():
                async with locks[second]:
                    return await work()
        await asyncio.sleep(0.013 if first < second else 0.017)


async def locks_stub(locks, first, second, work): ...


async def holds_them_as_named(locks, first, second, work):
    async with locks[first], locks[second]:
        return await work()


async def holds_them_the_other_way_round(locks, first, second, work):
    async with locks[second], locks[first]:
        return await work()


async def holds_nothing(locks, first, second, work):
    return await work()


async def holds_only_one(locks, first, second, work):
    async with locks[min(first, second)]:
        return await work()


async def holds_one_after_the_other(locks, first, second, work):
    first, second = sorted((first, second))
    async with locks[first]:
        pass
    async with locks[second]:
        return await work()


async def holds_all(locks, first, second, work):
    async with contextlib.AsyncExitStack() as stack:
        for lock in locks.values():
            await stack.enter_async_context(lock)
        return await work()


async def acquires_both_at_once(locks, first, second, work):
    await asyncio.gather(locks[first].acquire(), locks[second].acquire())
    try:
        return await work()
    finally:
        locks[first].release()
        locks[second].release()


async def has_a_lock_of_its_own(locks, first, second, work):
    lock = asyncio.Lock()
    async with lock, locks[first], locks[second]:
        return await work()


async def sorts_the_locks(locks, first, second, work):
    one, other = sorted((locks[first], locks[second]))
    async with one, other:
        return await work()


async def releases_after_success(locks, first, second, work):
    for name in sorted((first, second)):
        await locks[name].acquire()
    result = await work()
    for name in (first, second):
        locks[name].release()
    return result


async def releases_what_it_may_not_have(locks, first, second, work):
    first, second = sorted((first, second))
    await locks[first].acquire()
    await locks[second].acquire()
    try:
        return await work()
    finally:
        locks[first].release()
        locks[second].release()


async def with_and_no_async(locks, first, second, work):
    with locks[first], locks[second]:
        return await work()


async def holds_and_swallows(locks, first, second, work):
    with contextlib.suppress(OSError):
        return await holds_them_by_name(locks, first, second, work)


async def holds_and_takes_the_stop(locks, first, second, work):
    with contextlib.suppress(asyncio.CancelledError):
        return await holds_them_by_name(locks, first, second, work)


async def holds_and_returns_nothing(locks, first, second, work):
    await holds_them_by_name(locks, first, second, work)


async def awaits_work_itself(locks, first, second, work):
    first, second = sorted((first, second))
    async with locks[first], locks[second]:
        return await work


async def returns_the_work(locks, first, second, work):
    first, second = sorted((first, second))
    async with locks[first], locks[second]:
        return work()


async def holds_the_names(locks, first, second, work):
    async with first, second:
        return await work()


async def holds_and_blocks(locks, first, second, work):
    time.sleep(1)  # noqa: ASYNC251


async def polls_for_ever(locks, first, second, work):
    while True:
        pass


async def holds_them_by_length(locks, first, second, work):
    one, other = sorted((first, second), key=len)
    async with locks[one], locks[other]:
        return await work()


async def forgets_to_await_acquire(locks, first, second, work):
    locks[first].acquire()
    try:
        return await work()
    finally:
        locks[first].release()


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (holds_them_by_length, "deadlock"),
        (forgets_to_await_acquire, "no-with"),
        (holds_them_by_name, "passed"),
        (holds_them_by_id, "passed"),
        (holds_them_with_a_stack, "passed"),
        (waits_until_both_are_free, "passed"),
        (..., "open"),
        (locks_stub, "open"),
        (plain, "kind"),
        (holds_them_as_named, "deadlock"),
        (holds_them_the_other_way_round, "deadlock"),
        (holds_nothing, "unlocked"),
        (holds_only_one, "unlocked"),
        (holds_one_after_the_other, "unlocked"),
        (holds_all, "one-at-a-time"),
        (acquires_both_at_once, "left-locked"),
        (has_a_lock_of_its_own, "deadlock"),
        (sorts_the_locks, "no-order"),
        (releases_after_success, "left-locked"),
        (releases_what_it_may_not_have, "left-locked"),
        (with_and_no_async, "no-with"),
        (holds_and_swallows, "swallowed"),
        (holds_and_takes_the_stop, "stop-swallowed"),
        (holds_and_returns_nothing, "result"),
        (awaits_work_itself, "no-call"),
        (returns_the_work, "not-awaited"),
        (holds_the_names, "names"),
        (holds_and_blocks, "blocking"),
    ],
)
@pytest.mark.untidy
def test_patient_7(answer, expected):
    assert code("06-patient-7", answer) == expected


@pytest.mark.usefixtures("_little_time")
@pytest.mark.untidy
def test_patient_7_without_end():
    assert check("06-patient-7", polls_for_ever).code == "endless"


# ---- 06-patient-8 ----


async def ends_and_waits(watchdog, work):
    dog = asyncio.create_task(watchdog())
    try:
        return await work()
    finally:
        dog.cancel()
        await asyncio.wait([dog])


async def ends_and_gathers(watchdog, work):
    dog = asyncio.create_task(watchdog())
    try:
        return await work()
    finally:
        dog.cancel()
        await asyncio.gather(dog, return_exceptions=True)


async def ends_and_suppresses(watchdog, work):
    dog = asyncio.create_task(watchdog())
    try:
        return await work()
    finally:
        dog.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await dog


async def dog_stub(watchdog, work): ...


async def starts_and_forgets(watchdog, work):
    background.append(asyncio.create_task(watchdog()))
    return await work()


async def ends_after_success(watchdog, work):
    dog = asyncio.create_task(watchdog())
    result = await work()
    dog.cancel()
    await asyncio.wait([dog])
    return result


async def ends_after_an_error(watchdog, work):
    dog = asyncio.create_task(watchdog())
    try:
        result = await work()
    except Exception:
        dog.cancel()
        await asyncio.wait([dog])
        raise
    dog.cancel()
    await asyncio.wait([dog])
    return result


async def only_asks(watchdog, work):
    dog = asyncio.create_task(watchdog())
    try:
        return await work()
    finally:
        dog.cancel()


async def awaits_what_it_cancelled(watchdog, work):
    dog = asyncio.create_task(watchdog())
    try:
        return await work()
    finally:
        dog.cancel()
        await dog


async def group_without_an_end(watchdog, work):
    async with asyncio.TaskGroup() as group:
        group.create_task(watchdog())
        return await work()


async def group_with_an_end(watchdog, work):
    async with asyncio.TaskGroup() as group:
        dog = group.create_task(watchdog())
        result = await work()
        dog.cancel()
    return result


async def awaits_the_dog_first(watchdog, work):
    await watchdog()
    return await work()


async def gathers_both(watchdog, work):
    return (await asyncio.gather(watchdog(), work()))[1]


async def has_no_dog(watchdog, work):
    return await work()


async def dog_swallows_errors(watchdog, work):
    try:
        return await ends_and_waits(watchdog, work)
    except OSError:
        return None


async def dog_swallows_the_stop(watchdog, work):
    try:
        return await ends_and_waits(watchdog, work)
    except asyncio.CancelledError:
        return None


async def dog_without_the_call(watchdog, work):
    dog = asyncio.create_task(watchdog)
    return await work(), dog


async def dog_returns_nothing(watchdog, work):
    await ends_and_waits(watchdog, work)


async def awaits_the_cancel(watchdog, work):
    dog = asyncio.create_task(watchdog())
    try:
        return await work()
    finally:
        await dog.cancel()


async def dog_blocks(watchdog, work):
    time.sleep(1)  # noqa: ASYNC251


async def dog_spins(watchdog, work):
    while True:
        pass


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (ends_and_waits, "passed"),
        (ends_and_gathers, "passed"),
        (ends_and_suppresses, "passed"),
        (..., "open"),
        (dog_stub, "open"),
        (plain, "kind"),
        (starts_and_forgets, "leak"),
        (ends_after_success, "leak"),
        (ends_after_an_error, "leak"),
        (only_asks, "still-ending"),
        (awaits_what_it_cancelled, "cancelled"),
        (group_without_an_end, "waits-for-dog"),
        (group_with_an_end, "group"),
        (awaits_the_dog_first, "waits-for-dog"),
        (gathers_both, "waits-for-dog"),
        (has_no_dog, "calls"),
        (dog_swallows_errors, "lost-error"),
        (dog_swallows_the_stop, "swallowed"),
        (dog_without_the_call, "no-call"),
        (takes_other_arguments, "signature"),
        (dog_returns_nothing, "result"),
        (dog_blocks, "blocking"),
        (awaits_the_cancel, "await-cancel"),
    ],
)
@pytest.mark.untidy
def test_patient_8(answer, expected):
    assert code("06-patient-8", answer) == expected


@pytest.mark.usefixtures("_little_time")
@pytest.mark.untidy
def test_patient_8_without_end():
    assert check("06-patient-8", dog_spins).code == "endless"


@pytest.mark.parametrize(
    ("name", "answer", "first", "second"),
    [
        ("06-close-anyhow", plain_finally, "What can stand between", "`await asyncio.shield("),
        ("06-close-anyhow", shields_once, "not your wait", "`while not closing.done():`"),
        ("06-patient-3", parses_on_the_loop, "Where else", "the function and its argument"),
        ("06-patient-7", holds_them_as_named, "asked for the same", "`sorted((first, second))`"),
        ("06-patient-8", only_asks, "only asks", "`await asyncio.wait([dog])`"),
        ("06-patient-8", starts_and_forgets, "on which ways out", "in a `finally`"),
    ],
)
@pytest.mark.untidy
def test_the_second_failure_of_a_mend_says_what_to_write(name, answer, first, second):
    told = [check(name, answer).message for _ in range(2)]
    assert first in told[0]
    assert second not in told[0]
    assert second in told[1]


# ---- 06-patient-5 ----


async def tries_four_times(fetch):
    for attempt in range(4):
        try:
            return await fetch()
        except ConnectionError:
            if attempt == 3:
                raise


async def tries_three_times_and_once(fetch):
    for _ in range(3):
        with contextlib.suppress(ConnectionError):
            return await fetch()
    return await fetch()


async def tries_and_keeps_the_error(fetch):
    lost = None
    for pause_s in (0, 0.1, 0.2, 0.4):
        await asyncio.sleep(pause_s)
        try:
            return await fetch()
        except ConnectionError as error:
            lost = error
    raise lost


async def fetch_stub(fetch): ...


async def catches_all(fetch):
    for attempt in range(4):
        try:
            return await fetch()
        except BaseException:
            if attempt == 3:
                raise


async def catches_exceptions(fetch):
    for attempt in range(4):
        try:
            return await fetch()
        except Exception:
            if attempt == 3:
                raise


async def returns_none_in_the_end(fetch):
    for _ in range(4):
        try:
            return await fetch()
        except ConnectionError:
            continue


async def tries_for_ever(fetch):
    while True:
        try:
            return await fetch()
        except ConnectionError:
            pass


async def tries_once(fetch):
    return await fetch()


async def tries_five_times(fetch):
    for _ in range(4):
        with contextlib.suppress(ConnectionError):
            return await fetch()
    return await fetch()


async def tries_around_the_loop(fetch):
    try:
        for _ in range(4):
            return await fetch()
    except ConnectionError:
        return None


async def fetches_on(fetch):
    data = None
    for _ in range(4):
        with contextlib.suppress(ConnectionError):
            data = await fetch()
    return data


async def forgets_the_data(fetch):
    await tries_four_times(fetch)


async def stop_becomes_none(fetch):
    try:
        return await tries_four_times(fetch)
    except asyncio.CancelledError:
        return None


async def bug_becomes_none(fetch):
    try:
        return await tries_four_times(fetch)
    except ZeroDivisionError:
        return None


async def awaits_fetch(fetch):
    return await fetch


async def fetch_blocks(fetch):
    time.sleep(1)  # noqa: ASYNC251
    return await tries_four_times(fetch)


async def catches_what_is_wider(fetch):
    for attempt in range(4):
        try:
            return await fetch()
        except OSError:
            if attempt == 3:
                raise


async def makes_an_error_of_its_own(fetch):
    with contextlib.suppress(ConnectionError):
        return await tries_four_times(fetch)
    raise ConnectionError("gave up")


async def raises_what_is_gone(fetch):
    for _ in range(4):
        try:
            return await fetch()
        except ConnectionError as error:
            print(error)
    raise error  # noqa: F821


async def raises_after_the_loop(fetch):
    for _ in range(4):
        with contextlib.suppress(ConnectionError):
            return await fetch()
    raise


async def awaits_one_call_again(fetch):
    once = fetch()
    return await tries_four_times(lambda: once)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (catches_what_is_wider, "hopeless"),
        (makes_an_error_of_its_own, "other-error"),
        (raises_what_is_gone, "raise-after"),
        (raises_after_the_loop, "raise-after"),
        (awaits_one_call_again, "reused"),
        (tries_four_times, "passed"),
        (tries_three_times_and_once, "passed"),
        (tries_and_keeps_the_error, "passed"),
        (..., "open"),
        (fetch_stub, "open"),
        (plain, "kind"),
        (catches_all, "swallowed"),
        (catches_exceptions, "hopeless"),
        (returns_none_in_the_end, "lost-error"),
        (tries_for_ever, "endless"),
        (tries_once, "gave-up"),
        (tries_five_times, "count"),
        (tries_around_the_loop, "gave-up"),
        (fetches_on, "goes-on"),
        (forgets_the_data, "result"),
        (stop_becomes_none, "swallowed"),
        (bug_becomes_none, "lost-error"),
        (awaits_fetch, "no-call"),
        (fetch_blocks, "blocking"),
    ],
)
@pytest.mark.untidy
def test_patient_5(answer, expected):
    assert code("06-patient-5", answer) == expected


# ---- 06-patient-10 ----


async def async_pause(attempt):
    return 1


def pause_stub(attempt): ...


def forgets_to_return_the_pause(attempt):
    assert random.uniform(0, 0.1 * 2**attempt) >= 0


def spins_in_its_pause(attempt):
    while True:
        pass


def sleeps_itself(attempt):
    time.sleep(0.1)
    return 0


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (lambda attempt: random.uniform(0, 0.1 * 2**attempt), "passed"),
        (lambda attempt: 0.1 * 2**attempt * random.uniform(0.5, 1.5), "passed"),
        (lambda attempt: random.uniform(0, min(1, 0.1 * 2**attempt)), "passed"),
        (lambda attempt: random.choice([0.1, 0.2, 0.4, 0.8]), "passed"),
        (..., "open"),
        (pause_stub, "open"),
        (async_pause, "kind"),
        (forgets_to_return_the_pause, "kind"),
        (lambda attempt: "1", "kind"),
        (lambda attempt: float("inf"), "kind"),
        (lambda attempt: 10**400, "kind"),
        (lambda attempt: -1, "negative"),
        (lambda attempt: 0, "too-often"),
        (lambda attempt: 0.01, "too-often"),
        (lambda attempt: random.uniform(0, 0.1), "too-often"),
        (lambda attempt: 1, "in-step"),
        (lambda attempt: 0.1 * 2**attempt, "in-step"),
        (lambda attempt: 0.1 * 2**attempt + random.uniform(0, 0.01), "late"),
        (lambda attempt: random.uniform(0, 20), "late"),
        (lambda: 1, "signature"),
        (sleeps_itself, "blocking"),
    ],
)
@pytest.mark.untidy
def test_patient_10(answer, expected):
    assert code("06-patient-10", answer) == expected


def test_the_pauses_leave_the_learners_randomness_alone():
    random.seed(1)
    first = random.random()
    random.seed(1)
    check("06-patient-10", lambda attempt: random.uniform(0, 0.1 * 2**attempt))
    assert random.random() == first


@pytest.mark.usefixtures("_little_time")
@pytest.mark.untidy
def test_a_pause_without_end():
    assert check("06-patient-10", spins_in_its_pause).code == "endless"


# ---- the lesson itself ----
NOTEBOOK = Path(__file__).parents[2] / "notebooks/06_when_things_go_wrong.ipynb"


def parts():
    """The code cells of each section and of each patient, without those of folded solutions."""
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    found, part = {"opening": []}, "opening"
    for cell in cells:
        text = "".join(cell["source"])
        for heading in re.findall(r"^(?:## \d|### Patient \d+)", text, re.MULTILINE):
            part = heading.strip("# ")
            found[part] = []
        if cell["cell_type"] == "code" and "solution" not in cell["metadata"].get("tags", []):
            found[part].append(re.sub(r"%pip.*", "pass", text))
    return found


def names_in(sources):
    """The names that code cells use, and those that they define anywhere."""
    used, defined = set(), set(dir(builtins))
    for source in sources:
        for node in ast.walk(ast.parse(source)):
            match node:
                case ast.Name(id=name, ctx=ast.Load()):
                    used.add(name)
                case ast.Name(id=name) | ast.arg(arg=name):
                    defined.add(name)
                case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                    defined.add(name)
                case ast.ClassDef(name=name) | ast.ExceptHandler(name=str(name)):
                    defined.add(name)
                case ast.alias(name=name, asname=other):
                    defined.add(other or name.split(".")[0])
    return used, defined


@pytest.mark.parametrize("part", [p for p in parts() if p != "opening"])
def test_each_section_and_each_patient_needs_only_what_it_says(part):
    """The first two code cells, and for a patient the one that examines."""
    found = parts()
    needed = found["opening"] + (found["4"] if part.startswith("Patient") else [])
    used, defined = names_in([*needed, *found[part]])
    assert used <= defined
    assert len(found["opening"]) == 2
    assert len(found["4"]) == 1
