"""The checks of lesson 01: right answers pass, each typical wrong one gets a hint of its own."""

import asyncio
import gc
import json
import time
from pathlib import Path

import numpy as np
import pytest

import asyncml as aml
from asyncml.course import exercises
from asyncml.course.exercises import attempts, check
from asyncml.course.exercises.fetches import Shop
from asyncml.course.exercises.lesson_01 import LINES, settle

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "01_from_await_to_callbacks.ipynb"


@pytest.fixture(autouse=True)
def _afresh(request, monkeypatch):
    monkeypatch.setattr(exercises, "_failures", exercises.Counter())
    yield
    if request.node.get_closest_marker("untidy"):  # what it left complains now, not in a later test
        gc.collect()


def hints(name, answer):
    """Return what the first and what the second failure say, and the code."""
    first, second = check(name, answer), check(name, answer)
    assert first.code == second.code
    return first.code, first.message, second.message


# ---- bets ----


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (2, "passed"),
        (2.0, "passed"),
        (..., "open"),
        (1, "overlap"),
        (0, "free"),
        (2000, "unit"),
        (3, "other"),
        ("2 s", "kind"),
    ],
)
def test_the_bet_on_the_sample(answer, code):
    assert check("01-bet", answer).code == code


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (["pending", "exception", "cancelled"], "passed"),
        (("pending", "exception", "cancelled"), "passed"),
        (..., "open"),
        ([..., ..., ...], "open"),
        (["pending", ..., "cancelled"], "open"),
        (["exception", "exception", "cancelled"], "settled"),
        (["pending", "pending", "cancelled"], "error"),
        (["pending", "result", "cancelled"], "error"),
        (["pending", "exception", "exception"], "cancellation"),
        (["pending", "exception", "pending"], "cancellation"),
        (["pending", "exception"], "kind"),
        (["waiting", "exception", "cancelled"], "kind"),
        ([["pending"], "exception", "cancelled"], "kind"),
        ("pending", "kind"),
        (["Pending", "EXCEPTION", " cancelled"], "passed"),
        (np.array(["pending", "exception", "cancelled"]), "passed"),
        (["pending", "exception", "canceled"], "passed"),
        (np.array([1, 2, 3]), "kind"),
        (np.array("pending"), "kind"),
    ],
)
def test_the_bets_on_the_states(answer, code):
    assert check("01-states", answer).code == code


# ---- both functions ----


async def stub(fetch, keys): ...


def not_async(fetch, keys):
    return [fetch(key) for key in keys]


async def blocks(fetch, keys):
    time.sleep(1)  # noqa: ASYNC251
    return await asyncio.gather(*map(fetch, keys))


async def spins(fetch, keys):
    while True:
        pass


async def waits_without_end(fetch, keys):
    for _ in iter(int, 1):
        await asyncio.sleep(1)


async def waits_for_nobody(fetch, keys):
    await asyncio.Event().wait()


async def remembers(fetch, keys):
    return [b"\x01\x02\x03\x04"] * 8


async def remembers_the_first_store(fetch, keys):
    await asyncio.gather(*map(fetch, keys), return_exceptions=True)
    return list(Shop(1).data.values())


async def one_by_one(fetch, keys):
    return [await fetch(key) for key in keys]


async def starts_nothing(fetch, keys):
    return [fetch(key) for key in keys]


async def awaits_no_task(fetch, keys):
    return [asyncio.create_task(fetch(key)) for key in keys]


async def awaits_no_gather(fetch, keys):
    return asyncio.gather(*map(fetch, keys))


async def forgets_the_star(fetch, keys):
    return await asyncio.gather([fetch(key) for key in keys])


async def asks_inside_the_block(fetch, keys):
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(fetch(key)) for key in keys]
        return [task.result() for task in tasks]


async def asks_at_once(fetch, keys):
    return [asyncio.create_task(fetch(key)).result() for key in keys]


async def awaits_the_list(fetch, keys):
    return await [asyncio.create_task(fetch(key)) for key in keys]


async def awaits_before_it_creates(fetch, keys):
    return [await asyncio.create_task(await fetch(key)) for key in keys]


async def gives_all_keys(fetch, keys):
    return await fetch(keys)


async def gathers_functions(fetch, keys):
    return await asyncio.gather(*[fetch for _ in keys])


async def returns_the_first(fetch, keys):
    for task in [asyncio.create_task(fetch(key)) for key in keys]:
        return await task


async def creates_without_a_call(fetch, keys):
    return [await asyncio.create_task(fetch) for key in keys]


async def adds_numbers_and_text(fetch, keys):
    [fetch(key) for key in keys]
    return 1 + "1"


async def hides_coroutines(fetch, keys):
    return {key: fetch(key) for key in keys}


async def returns_nothing(fetch, keys):
    await asyncio.gather(*map(fetch, keys), return_exceptions=True)


@pytest.mark.parametrize("name", ["01-in-order", "01-keep-going"])
@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (..., "open"),
        (stub, "open"),
        (not_async, "kind"),
        ([], "kind"),
        (blocks, "blocking"),
        (waits_for_nobody, "deadlock"),
        (remembers, "calls"),
        (starts_nothing, "not-started"),
        (awaits_no_task, "not-awaited"),
        (awaits_no_gather, "not-awaited"),
        (returns_nothing, "kind"),
        (forgets_the_star, "unpack"),
        (asks_inside_the_block, "early"),
        (asks_at_once, "early"),
        (adds_numbers_and_text, "raised"),
        (hides_coroutines, "kind"),
    ],
)
@pytest.mark.untidy
def test_what_goes_wrong_in_both(name, answer, code, caplog, recwarn):
    assert check(name, answer).code == code
    assert not caplog.records  # a verdict, and no traceback before it
    assert not recwarn.list  # nor a warning of what it left behind


@pytest.mark.parametrize(
    ("answer", "words", "fuller"),
    [
        (forgets_the_star, "a `*` before the list", "gather(*[fetch(key)"),
        (asks_inside_the_block, "ask after the block", "out of the `async with`"),
    ],
)
def test_misused_in_both(answer, words, fuller):
    _, first, second = hints("01-in-order", answer)
    assert words in first
    assert fuller in second


@pytest.mark.parametrize("name", ["01-in-order", "01-keep-going"])
@pytest.mark.parametrize("answer", [spins, waits_without_end])
@pytest.mark.untidy
# what ends an answer may reach it within a callback of a weak reference, where Python drops it
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_what_does_not_end_in_both(name, answer, monkeypatch):
    monkeypatch.setattr(attempts, "_LIMIT_S", 0.1)
    assert check(name, answer).code == "endless"


# ---- in order ----


async def gathers(fetch, keys):
    return await asyncio.gather(*[fetch(key) for key in keys])


async def groups(fetch, keys):
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(fetch(key)) for key in keys]
    return [task.result() for task in tasks]


async def starts_then_awaits(fetch, keys):
    tasks = [asyncio.create_task(fetch(key)) for key in keys]
    return [await task for task in tasks]


async def by_arrival(fetch, keys):
    return [await one for one in asyncio.as_completed([fetch(key) for key in keys])]


async def appends(fetch, keys):
    results = []

    async def keep(key):
        results.append(await fetch(key))

    async with asyncio.TaskGroup() as group:
        for key in keys:
            group.create_task(keep(key))
    return results


async def four_at_once(fetch, keys):
    return [*await gathers(fetch, keys[:4]), *await gathers(fetch, keys[4:])]


async def coroutines_then_awaits(fetch, keys):
    return [await coroutine for coroutine in [fetch(key) for key in keys]]


async def divides(fetch, keys):
    return len(keys) / 0


@pytest.mark.parametrize("answer", [gathers, groups, starts_then_awaits])
def test_all_at_once_and_in_order(answer):
    assert check("01-in-order", answer).code == "passed"


@pytest.mark.parametrize(
    ("answer", "code", "words", "fuller"),
    [
        (one_by_one, "sequence", "one after the other", "one `gather`"),
        (coroutines_then_awaits, "sequence", "one after the other", "`create_task`"),
        (four_at_once, "sequence", "not all at once", "Start all of them before"),
        (by_arrival, "order", "order of arrival", "keeps the order"),
        (appends, "order", "appending to a list", "keeps the order"),
        (starts_nothing, "not-started", "What starts a coroutine", "has to be awaited"),
        (remembers_the_first_store, "results", "result 1 of 8", "One result for each key"),
        (divides, "raised", "ZeroDivisionError", "ZeroDivisionError"),
    ],
)
def test_not_in_order(answer, code, words, fuller):
    got, first, second = hints("01-in-order", answer)
    assert got == code
    assert words in first
    assert fuller in second


# ---- keep going ----


async def catches_in_each(fetch, keys):
    async def fetch_or_none(key):
        try:
            return await fetch(key)
        except KeyError:
            return None

    return await asyncio.gather(*map(fetch_or_none, keys))


async def catches_at_each_await(fetch, keys):
    tasks = [asyncio.create_task(fetch(key)) for key in keys]
    results = []
    for task in tasks:
        try:
            results.append(await task)
        except KeyError:
            results.append(None)
    return results


async def sorts_exceptions(fetch, keys):
    results = await asyncio.gather(*map(fetch, keys), return_exceptions=True)
    for result in results:
        if isinstance(result, Exception) and not isinstance(result, KeyError):
            raise result
    return [None if isinstance(result, KeyError) else result for result in results]


async def catches_in_a_group(fetch, keys):
    async def fetch_or_none(key):
        try:
            return await fetch(key)
        except KeyError:
            return None

    return await groups(fetch_or_none, keys)


async def tries_around_create_task(fetch, keys):
    tasks = []
    for key in keys:
        try:
            tasks.append(asyncio.create_task(fetch(key)))
        except KeyError:
            tasks.append(None)
    return [task and await task for task in tasks]


async def catches_everything(fetch, keys):
    async def fetch_or_none(key):
        try:
            return await fetch(key)
        except:  # noqa: E722
            return None

    return await asyncio.gather(*map(fetch_or_none, keys))


async def takes_all_exceptions_for_missing(fetch, keys):
    results = await asyncio.gather(*map(fetch, keys), return_exceptions=True)
    return [None if isinstance(result, Exception) else result for result in results]


async def returns_exceptions(fetch, keys):
    return await asyncio.gather(*map(fetch, keys), return_exceptions=True)


async def gives_up(fetch, keys):
    try:
        return await asyncio.gather(*map(fetch, keys))
    except KeyError:
        return None


async def returns_nothing_inside(fetch, keys):
    async def fetch_or_none(key):
        try:
            await fetch(key)
        except KeyError:
            return None

    return await asyncio.gather(*map(fetch_or_none, keys))


async def takes_cancelled_for_missing(fetch, keys):
    tasks = []
    try:
        async with asyncio.TaskGroup() as group:
            tasks += [group.create_task(fetch(key)) for key in keys]
    except* KeyError:
        pass
    return [None if task.cancelled() or task.exception() else task.result() for task in tasks]


async def leaves_other_exceptions(fetch, keys):
    results = await asyncio.gather(*map(fetch, keys), return_exceptions=True)
    return [None if isinstance(result, KeyError) else result for result in results]


async def gives_all_up(fetch, keys):
    try:
        return await asyncio.gather(*map(fetch, keys))
    except KeyError:
        return [None] * len(keys)


async def leaves_them_out(fetch, keys):
    return [result for result in await catches_in_each(fetch, keys) if result is not None]


async def keeps_going_one_by_one(fetch, keys):
    results = []
    for key in keys:
        try:
            results.append(await fetch(key))
        except KeyError:
            results.append(None)
    return results


@pytest.mark.parametrize(
    "answer", [catches_in_each, catches_at_each_await, sorts_exceptions, catches_in_a_group]
)
@pytest.mark.untidy
def test_a_missing_object_costs_its_own_result(answer):
    assert check("01-keep-going", answer).code == "passed"


@pytest.mark.parametrize(
    ("answer", "code", "words", "fuller"),
    [
        (tries_around_create_task, "escaped", "around `create_task`", "where the fetch is awaited"),
        (gathers, "escaped", "ended everything", "start that for each key"),
        (groups, "group", "cancel all the others", "inside the task"),
        (catches_everything, "swallowed", "Which exceptions", "a bare `except`"),
        (takes_all_exceptions_for_missing, "swallowed", "a plain mistake", "return_exceptions"),
        (returns_exceptions, "exception", "among the results", "None in those places"),
        (gives_up, "all-lost", "Where does the `try` stand", "start that for each key"),
        (gives_all_up, "all-lost", "Where does the `try` stand", "start that for each key"),
        (returns_nothing_inside, "results", "result 1 of 8", "`return` what it fetched"),
        (takes_cancelled_for_missing, "cancelled", "cancels the others", "inside the task"),
        (leaves_other_exceptions, "swallowed", "left in the list", "`raise` the others"),
        (leaves_them_out, "results", "got 7", "None only where"),
        (keeps_going_one_by_one, "sequence", "one after the other", "before the first `await`"),
        (remembers_the_first_store, "results", "expected was None", "One result for each key"),
    ],
)
@pytest.mark.untidy
def test_not_kept_going(answer, code, words, fuller):
    got, first, second = hints("01-keep-going", answer)
    assert got == code
    assert words in first
    assert fuller in second


# ---- three at once ----


async def lets_three_in(fetch, keys):
    places = asyncio.Semaphore(3)

    async def in_turn(key):
        async with places:
            return await fetch(key)

    return await groups(in_turn, keys)


async def three_workers(fetch, keys):
    results, waiting = [None] * len(keys), iter(enumerate(keys))

    async def work():
        for number, key in waiting:
            results[number] = await fetch(key)

    async with asyncio.TaskGroup() as group:
        for _ in range(3):
            group.create_task(work())
    return results


async def three_workers_with_a_queue(fetch, keys):
    queue, results = asyncio.Queue(), {}
    for key in keys:
        queue.put_nowait(key)

    async def work():
        while not queue.empty():
            key = queue.get_nowait()
            results[key] = await fetch(key)

    async with asyncio.TaskGroup() as group:
        for _ in "abc":
            group.create_task(work())
    return tuple(results[key] for key in keys)


async def cancels_by_hand(fetch, keys):
    tasks, running = [], set()
    try:
        for key in keys:
            tasks.append(asyncio.create_task(fetch(key)))
            running.add(tasks[-1])
            if len(running) == 3:
                done, running = await asyncio.wait(running, return_when="FIRST_COMPLETED")
                for task in done:
                    task.result()
        return [await task for task in tasks]
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def in_rounds(fetch, keys):
    results = []
    for start in range(0, len(keys), 3):
        results += await groups(fetch, keys[start : start + 3])
    return results


async def a_semaphore_for_each(fetch, keys):
    async def in_turn(key):
        async with asyncio.Semaphore(3):
            return await fetch(key)

    return await groups(in_turn, keys)


async def a_place_for_the_start(fetch, keys):
    places, tasks = asyncio.Semaphore(3), []
    async with asyncio.TaskGroup() as group:
        for key in keys:
            async with places:
                tasks.append(group.create_task(fetch(key)))
    return [task.result() for task in tasks]


async def four_places(fetch, keys):
    places = asyncio.Semaphore(4)

    async def in_turn(key):
        async with places:
            return await fetch(key)

    return await groups(in_turn, keys)


async def two_places(fetch, keys):
    places = asyncio.Semaphore(2)

    async def in_turn(key):
        async with places:
            return await fetch(key)

    return await groups(in_turn, keys)


async def gathers_three(fetch, keys):
    places = asyncio.Semaphore(3)

    async def in_turn(key):
        async with places:
            return await fetch(key)

    return await gathers(in_turn, keys)


async def works_to_the_end(fetch, keys):
    places = asyncio.Semaphore(3)

    async def in_turn(key):
        async with places:
            return await fetch(key)

    results = await asyncio.gather(*map(in_turn, keys), return_exceptions=True)
    for result in results:
        if isinstance(result, Exception):
            raise result
    return results


async def three_with_holes(fetch, keys):
    async def fetch_or_none(key):
        try:
            return await fetch(key)
        except Exception:
            return None

    return await lets_three_in(fetch_or_none, keys)


async def three_by_arrival(fetch, keys):
    results = []

    async def keep(key):
        results.append(await fetch(key))

    await lets_three_in(keep, keys)
    return results


async def three_and_no_return(fetch, keys):
    await lets_three_in(fetch, keys)


async def gives_nothing_back(fetch, keys):
    places = asyncio.Semaphore(3)

    async def in_turn(key):
        await places.acquire()
        return await fetch(key)

    return await gathers(in_turn, keys)


async def calls_pipeline(fetch, keys):
    return [data async for data in aml.Pipeline(keys).map(fetch, concurrency=3)]


@pytest.mark.parametrize(
    "answer", [lets_three_in, three_workers, three_workers_with_a_queue, cancels_by_hand]
)
def test_three_at_once(answer):
    assert repr(check("01-three-at-once", answer)).startswith("✔")


@pytest.mark.parametrize(
    ("answer", "code", "words", "fuller"),
    [
        (groups, "too-many", "8 fetches ran at once", "`asyncio.Semaphore(3)`"),
        (gathers, "too-many", "8 fetches ran at once", "`asyncio.Semaphore(3)`"),
        (a_semaphore_for_each, "too-many", "8 fetches", "One `asyncio.Semaphore(3)` for all"),
        (a_place_for_the_start, "too-many", "8 fetches", "inside its `async with`"),
        (four_places, "too-many", "4 fetches ran at once", "`asyncio.Semaphore(3)`"),
        (two_places, "too-few", "more than 2 fetches ran", "then lets three"),
        (one_by_one, "too-few", "more than one fetch ran", "Start a task for each key first"),
        (in_rounds, "free-place", "there was a free place", "Do not divide the keys"),
        (gathers_three, "left-running", "ran on, and", "after its block"),
        (works_to_the_end, "late", "when 8 fetches had begun", "`TaskGroup` cancels them"),
        (three_with_holes, "swallowed", "the caller never saw", "let it come out"),
        (three_by_arrival, "order", "not in the order", "asked one by one"),
        (three_and_no_return, "kind", "returned None", "`return`"),
        (gives_nothing_back, "deadlock", "Semaphore.acquire", "Who was to wake it?"),
        (calls_pipeline, "by-hand", "by hand", "by hand"),
        (returns_nothing, "too-many", "8 fetches", "`asyncio.Semaphore(3)`"),
        (starts_nothing, "not-started", "have not begun", "has to be awaited"),
        (awaits_no_task, "not-awaited", "tasks or futures", "Await each task"),
        (stub, "open", "`stub`", "`stub`"),
        (not_async, "kind", "`async def`", "`async def`"),
        (blocks, "blocking", "`time.sleep`", "`time.sleep`"),
        (waits_for_nobody, "deadlock", "nothing is left", "nothing is left"),
    ],
)
@pytest.mark.untidy
def test_not_three_at_once(answer, code, words, fuller, recwarn):
    got, first, second = hints("01-three-at-once", answer)
    assert got == code
    assert words in first
    assert fuller in second
    assert not recwarn.list


@pytest.mark.untidy
def test_a_semaphore_wants_an_async_with():
    async def in_turn_gathered(fetch, keys):
        places = asyncio.Semaphore(3)

        async def in_turn(key):
            with places:
                return await fetch(key)

        return await gathers(in_turn, keys)

    code, first, second = hints("01-three-at-once", in_turn_gathered)
    assert code == "async-with"
    assert "What kind of `with`" in first
    assert "`async with places:`" in second


# ---- hints that fit ----


async def awaits_inside_gather(fetch, keys):
    return await asyncio.gather(*[await fetch(key) for key in keys])


async def returns_a_dict(fetch, keys):
    return dict(zip(keys, await gathers(fetch, keys), strict=True))


async def runs_a_loop(fetch, keys):
    async def inner():
        return await gathers(fetch, keys)

    coroutine = inner()
    try:
        return asyncio.run(coroutine)
    finally:
        coroutine.close()


async def takes_one_argument(keys):
    return keys


async def gives_two(fetch, keys):
    return [await fetch(key, 1) for key in keys]


@pytest.mark.parametrize(
    ("answer", "code", "words", "fuller"),
    [
        (awaits_inside_gather, "awaited", "fetches had run before", "`await` before `fetch(key)`"),
        (returns_a_dict, "kind", ", and not a list", "a list of all"),
        (runs_a_loop, "run", "How many are running already?", "A loop is running your function"),
        (takes_one_argument, "arguments", "Which arguments", "`(fetch, keys)`"),
        (awaits_the_list, "not-awaitable", "What did you await?", "`await task`"),
        (awaits_before_it_creates, "awaited", "Which `await` ran", "Leave out the `await`"),
        (gives_all_keys, "one-key", "How many keys", "for each key"),
        (gathers_functions, "unpack", "a `(key)` behind", "fetch(key) for key in keys"),
        (returns_the_first, "kind", "a list of all", "a list of all"),
        (creates_without_a_call, "not-called", "takes one coroutine", "create_task(fetch(key))"),
        (gives_two, "arguments", "Which arguments", "`fetch` takes one key"),
        (four_at_once, "sequence", "Which fetches wait for which?", "before the first `await`"),
    ],
)
@pytest.mark.untidy
def test_a_hint_speaks_of_what_was_done(answer, code, words, fuller):
    got, first, second = hints("01-in-order", answer)
    assert got == code
    assert words in first
    assert fuller in second


# ---- settling a future ----


def asks_done(done, after, function):
    if after.done():
        return
    if done.cancelled():
        after.cancel()
    elif error := done.exception():
        after.set_exception(error)
    else:
        try:
            value = function(done.result())
        except Exception as mishap:
            after.set_exception(mishap)
        else:
            after.set_result(value)


def matches_nothing(done, after, function): ...


def only_the_result(done, after, function):
    after.set_result(function(done.result()))


def gives_the_future(done, after, function):
    after.set_result(function(done))


def forgets_the_function(done, after, function):
    after.set_result(done.result())


def returns_it(done, after, function):
    return function(done.result())


def passes_the_exception_as_result(done, after, function):
    try:
        after.set_result(function(done.result()))
    except Exception as error:
        after.set_result(error)


def leaves_the_function_out(done, after, function):
    if done.cancelled():
        after.cancel()
    elif done.exception():
        after.set_exception(done.exception())
    else:
        after.set_result(function(done.result()))


def only_exceptions(done, after, function):
    try:
        after.set_result(function(done.result()))
    except Exception as error:
        after.set_exception(error)


def takes_cancelled_for_an_error(done, after, function):
    try:
        after.set_result(function(done.result()))
    except BaseException as error:
        after.set_exception(error)


def settles_what_is_settled(done, after, function):
    try:
        after.set_result(function(done.result()))
    except asyncio.CancelledError:
        after.cancel()
    except Exception as error:
        after.set_exception(error)


def prints_the_error(done, after, function):
    try:
        after.set_result(function(done.result()))
    except Exception as error:
        print(error)


async def settles_as_a_coroutine(done, after, function):
    after.set_result(function(await done))


def settles_the_wrong_one(done, after, function):
    done.set_result(function(done.result()))


def gives_text(done, after, function):
    try:
        after.set_result(function(done.result()))
    except Exception as error:
        after.set_exception(str(error))


def gives_the_method(done, after, function):
    after.set_result(function(done.result))


def gives_the_exception_to_the_function(done, after, function):
    after.set_result(function(done.exception() or done.result()))


def calls_twice(done, after, function):
    if not after.cancelled():
        try:
            function(done.result())
            after.set_result(function(done.result()))
        except asyncio.CancelledError:
            after.cancel()
        except Exception as error:
            after.set_exception(error)


def makes_another_exception(done, after, function):
    if not after.cancelled():
        try:
            after.set_result(function(done.result()))
        except asyncio.CancelledError:
            after.cancel()
        except Exception as error:
            after.set_exception(type(error))


def takes_done_alone(done):
    return done.result()


@pytest.mark.parametrize("answer", [settle, asks_done])
def test_a_future_is_settled(answer):
    assert check("01-settle", answer).code == "passed"


@pytest.mark.parametrize(
    ("answer", "code", "words", "fuller"),
    [
        (..., "open", "put your answer", "put your answer"),
        (matches_nothing, "open", "`matches_nothing`", "`matches_nothing`"),
        (only_the_result, "error", "raised KeyError", "after.set_exception(error)"),
        (gives_the_future, "result", "given a future", "`function(done.result())`"),
        (gives_the_method, "result", "Where is the result?", "`function(done.result())`"),
        (gives_text, "no-exception", "takes an exception", "set_exception(error)"),
        (gives_the_exception_to_the_function, "error", "there is no result", "raises before"),
        (calls_twice, "twice", "called 2 times", "in a variable"),
        (makes_another_exception, "error", "another exception", "set_exception(error)"),
        (forgets_the_function, "result", "finished with the result 21", "function(done.result())"),
        (returns_it, "result", "`after` is still pending", "`after.set_result("),
        (
            passes_the_exception_as_result,
            "error",
            "finished with the result KeyError",
            "set_exception",
        ),
        (leaves_the_function_out, "function", "raised ValueError", "inside the `try`"),
        (only_exceptions, "cancelled", "raised CancelledError", "`except asyncio.Canc"),
        (
            takes_cancelled_for_an_error,
            "cancelled",
            "finished with a CancelledError",
            "after.cancel()",
        ),
        (settles_what_is_settled, "unwanted", "raised InvalidStateError", "if after.cancelled()"),
        (prints_the_error, "error", "still pending", "set_exception"),
        (settles_as_a_coroutine, "kind", "a plain `def`", "a plain `def`"),
        (settles_the_wrong_one, "result", "raised InvalidStateError", "`after.set_result(function"),
        (takes_done_alone, "arguments", "three arguments", "`(done, after, function)`"),
    ],
)
def test_a_future_is_not_settled(answer, code, words, fuller):
    got, first, second = hints("01-settle", answer)
    assert got == code
    assert words in first
    assert fuller in second


# ---- lines in order ----


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ("DBEA", "passed"),
        ("dbea", "passed"),
        (["D", "B", "E", "A"], "passed"),
        (..., "open"),
        ("DBCA", "lost-error"),
        ("DBEF", "early"),
        ("DBFE", "early"),
        ("DBAE", "order"),
        ("DBCE", "results"),
        ("DEBA", "order"),
        ("BDEA", "order"),
        ("DBE", "count"),
        ("DBEAF", "count"),
        ("DDBE", "count"),
        ("", "kind"),
        ("DBEX", "kind"),
        (4, "kind"),
    ],
)
def test_the_lines_in_order(answer, code):
    assert check("01-parsons", answer).code == code


@pytest.mark.parametrize(
    "answer", ["D, B, E, A", "dbea", "D B\nE;A", [*"DBEA"], (*"dbea",), ["DB", "EA"]]
)
def test_an_order_may_be_written_in_many_ways(answer):
    assert check("01-parsons", answer).code == "passed"
    assert check("01-parsons", np.array([*"DBEA"])).code == "passed"


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ("BDEA", "does not begin with its head"),
        ("DEBA", "line E uses `future`"),
        ("DAEB", "line A uses `future`"),
        ("DBAE", "nobody was told to settle it"),
    ],
)
def test_the_first_line_that_is_wrong_is_named(answer, words):
    assert words in check("01-parsons", answer).message


def test_a_line_taken_twice_is_seen():
    said = check("01-parsons", "DBEE").message
    assert said.startswith("four different lines are needed, got D, B, E, E.")


def test_the_lesson_shows_the_lines_that_are_checked():
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    text = "\n".join("".join(cell["source"]) for cell in cells)
    for letter, line in LINES.items():
        assert f"\n{letter}  {line}\n" in text
