"""The checks of lesson 01: right answers pass, and each typical mistake gets its own hint."""

import asyncio
import gc
import json
import time
from pathlib import Path

import numpy as np
import pytest

import asyncml as aml
from asyncml.course.exercises.fetches import Shop
from asyncml.course.exercises.lesson_01 import LINES, settle
from tests.course.tables import every, rows, table, values

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "01_from_await_to_callbacks.ipynb"

# ---- bets, and lines in order ----

STATES = ["pending", "exception", "cancelled"]
BETS = {
    "01-bet": {
        "passed": [2, 2.0],
        "open": [...],
        "overlap": [1],
        "free": [0],
        "unit": [2000],
        "other": [3],
        "kind": ["2 s"],
    },
    "01-states": {
        "passed": [
            STATES,
            tuple(STATES),
            np.array(STATES),
            ["Pending", "EXCEPTION", " cancelled"],
            ["pending", "exception", "canceled"],
        ],
        "open": [..., [...] * 3, ["pending", ..., "cancelled"]],
        "settled": [["exception", "exception", "cancelled"]],
        "error": [["pending", "pending", "cancelled"], ["pending", "result", "cancelled"]],
        "cancellation": [["pending", "exception", word] for word in ("exception", "pending")],
        "kind": [
            ["pending", "exception"],
            ["waiting", "exception", "cancelled"],
            [["pending"], "exception", "cancelled"],
            "pending",
            np.array([1, 2, 3]),
            np.array("pending"),
        ],
    },
    "01-parsons": {
        "passed": [
            *("DBEA", "dbea", "D, B, E, A", "D B\nE;A", [*"DBEA"], (*"dbea",), ["DB", "EA"]),
            np.array([*"DBEA"]),
        ],
        "open": [...],
        "lost-error": ["DBCA"],
        "early": ["DBEF", "DBFE"],
        "order": ["DBAE", "DEBA", "BDEA"],
        "results": ["DBCE"],
        "count": ["DBE", "DBEAF", "DDBE"],
        "kind": ["", "DBEX", 4],
    },
}
FIRST_WRONG = [
    ("BDEA", "order", "is not the head of the function"),
    ("DEBA", "order", "line E uses `future`"),
    ("DAEB", "order", "line A uses `future`"),
    ("DBAE", "order", "nothing was told to settle it"),
    ("DBEE", "count", "four different lines are needed, got D, B, E, E."),
]


@every(
    *(values(name, by_code) for name, by_code in BETS.items()),
    rows("01-parsons", *FIRST_WRONG),
)
def test_a_bet_gets_its_verdict(case):
    case.judge()


def test_the_lesson_shows_the_lines_that_are_checked():
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    text = "\n".join("".join(cell["source"]) for cell in cells)
    for letter, line in LINES.items():
        assert f"\n{letter}  {line}\n" in text


# ---- fetches ----


async def gathers(fetch, keys):
    return await asyncio.gather(*[fetch(key) for key in keys])


async def groups(fetch, keys):
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(fetch(key)) for key in keys]
    return [task.result() for task in tasks]


async def catches_in_each(fetch, keys):
    async def fetch_or_none(key):
        try:
            return await fetch(key)
        except KeyError:
            return None

    return await asyncio.gather(*map(fetch_or_none, keys))


async def lets_three_in(fetch, keys):
    places = asyncio.Semaphore(3)

    async def in_turn(key):
        async with places:
            return await fetch(key)

    return await groups(in_turn, keys)


NAMES = {"Shop": Shop, "aml": aml, "asyncio": asyncio, "time": time}
NAMES |= {"gathers": gathers, "groups": groups, "lets_three_in": lets_three_in}
NAMES |= {"catches_in_each": catches_in_each}
BOTH = ("01-in-order", "01-keep-going")
EITHER = """
open
    ...
blocking
    time.sleep(1)
    return await asyncio.gather(*map(fetch, keys))
deadlock
    await asyncio.Event().wait()
calls
    return [b"\\x01\\x02\\x03\\x04"] * 8
not-started
    return [fetch(key) for key in keys]
not-awaited
    return [asyncio.create_task(fetch(key)) for key in keys]
not-awaited
    return asyncio.gather(*map(fetch, keys))
kind
    await asyncio.gather(*map(fetch, keys), return_exceptions=True)
unpack | a `*` before the list | gather(*[fetch(key)
    return await asyncio.gather([fetch(key) for key in keys])
early | ask after the block | below the block
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(fetch(key)) for key in keys]
        return [task.result() for task in tasks]
early
    return [asyncio.create_task(fetch(key)).result() for key in keys]
raised
    [fetch(key) for key in keys]
    return 1 + "1"
kind
    return {key: fetch(key) for key in keys}
endless
    while True:
        pass
endless
    for _ in iter(int, 1):
        await asyncio.sleep(1)
"""
IN_ORDER = """
passed
    tasks = [asyncio.create_task(fetch(key)) for key in keys]
    return [await task for task in tasks]
sequence | one after the other | one `gather`
    return [await fetch(key) for key in keys]
sequence | one after the other | `create_task`
    return [await coroutine for coroutine in [fetch(key) for key in keys]]
sequence | not all at once | Start all of them before
    return [*await gathers(fetch, keys[:4]), *await gathers(fetch, keys[4:])]
order | order of arrival | keeps the order
    return [await one for one in asyncio.as_completed([fetch(key) for key in keys])]
order | appending to a list | keeps the order
    results = []
    async def keep(key):
        results.append(await fetch(key))
    async with asyncio.TaskGroup() as group:
        for key in keys:
            group.create_task(keep(key))
    return results
not-started | What starts a coroutine | has to be awaited
    return [fetch(key) for key in keys]
results | result 1 of 8 | One result for each key
    await asyncio.gather(*map(fetch, keys), return_exceptions=True)
    return list(Shop(1).data.values())
raised | ZeroDivisionError | ZeroDivisionError
    return len(keys) / 0
unpack | Is there a `*` before the | the `*` passes the coroutines
    return await asyncio.gather(fetch(key) for key in keys)
awaited | fetches had already run | `await` before `fetch(key)`
    return await asyncio.gather(*[await fetch(key) for key in keys])
kind | , and not a list | a list of all
    return dict(zip(keys, await gathers(fetch, keys), strict=True))
run | How many are running already? | A loop is running your function
    async def inner():
        return await gathers(fetch, keys)
    coroutine = inner()
    try:
        return asyncio.run(coroutine)
    finally:
        coroutine.close()
not-awaitable | What did you await? | `await task`
    return await [asyncio.create_task(fetch(key)) for key in keys]
awaited | Which `await` ran | Leave out the `await`
    return [await asyncio.create_task(await fetch(key)) for key in keys]
one-key | How many keys | for each key
    return await fetch(keys)
unpack | a `(key)` after | fetch(key) for key in keys
    return await asyncio.gather(*[fetch for _ in keys])
kind | a list of all | a list of all
    for task in [asyncio.create_task(fetch(key)) for key in keys]:
        return await task
not-called | takes one coroutine | create_task(fetch(key))
    return [await asyncio.create_task(fetch) for key in keys]
arguments | Which arguments | `fetch` takes one key
    return [await fetch(key, 1) for key in keys]
"""
KEEP_GOING = """
passed
    tasks = [asyncio.create_task(fetch(key)) for key in keys]
    results = []
    for task in tasks:
        try:
            results.append(await task)
        except KeyError:
            results.append(None)
    return results
passed
    results = await asyncio.gather(*map(fetch, keys), return_exceptions=True)
    for result in results:
        if isinstance(result, Exception) and not isinstance(result, KeyError):
            raise result
    return [None if isinstance(result, KeyError) else result for result in results]
passed
    async def fetch_or_none(key):
        try:
            return await fetch(key)
        except KeyError:
            return None
    return await groups(fetch_or_none, keys)
escaped | around `create_task` | where the fetch is awaited
    tasks = []
    for key in keys:
        try:
            tasks.append(asyncio.create_task(fetch(key)))
        except KeyError:
            tasks.append(None)
    return [task and await task for task in tasks]
swallowed | Which exceptions | a bare `except`
    async def fetch_or_none(key):
        try:
            return await fetch(key)
        except:
            return None
    return await asyncio.gather(*map(fetch_or_none, keys))
swallowed | a plain mistake | return_exceptions
    results = await asyncio.gather(*map(fetch, keys), return_exceptions=True)
    return [None if isinstance(result, Exception) else result for result in results]
exception | among the results | None in those places
    return await asyncio.gather(*map(fetch, keys), return_exceptions=True)
all-lost | What does the `try` enclose | start that for each key
    try:
        return await asyncio.gather(*map(fetch, keys))
    except KeyError:
        return None
all-lost | What does the `try` enclose | start that for each key
    try:
        return await asyncio.gather(*map(fetch, keys))
    except KeyError:
        return [None] * len(keys)
results | result 1 of 8 | `return` what it fetched
    async def fetch_or_none(key):
        try:
            await fetch(key)
        except KeyError:
            return None
    return await asyncio.gather(*map(fetch_or_none, keys))
cancelled | cancels the others | inside the task
    tasks = []
    try:
        async with asyncio.TaskGroup() as group:
            tasks += [group.create_task(fetch(key)) for key in keys]
    except* KeyError:
        pass
    return [None if task.cancelled() or task.exception() else task.result() for task in tasks]
swallowed | left in the list | `raise` the others
    results = await asyncio.gather(*map(fetch, keys), return_exceptions=True)
    return [None if isinstance(result, KeyError) else result for result in results]
results | got 7 | None only where
    return [result for result in await catches_in_each(fetch, keys) if result is not None]
sequence | one after the other | before the first `await`
    results = []
    for key in keys:
        try:
            results.append(await fetch(key))
        except KeyError:
            results.append(None)
    return results
results | expected None | One result for each key
    await asyncio.gather(*map(fetch, keys), return_exceptions=True)
    return list(Shop(1).data.values())
"""
THREE_AT_ONCE = """
passed
    results, waiting = [None] * len(keys), iter(enumerate(keys))
    async def work():
        for number, key in waiting:
            results[number] = await fetch(key)
    async with asyncio.TaskGroup() as group:
        for _ in range(3):
            group.create_task(work())
    return results
passed
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
passed
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
too-many | 8 fetches | One `asyncio.Semaphore(3)` for all
    async def in_turn(key):
        async with asyncio.Semaphore(3):
            return await fetch(key)
    return await groups(in_turn, keys)
too-many | 8 fetches | inside its `async with`
    places, tasks = asyncio.Semaphore(3), []
    async with asyncio.TaskGroup() as group:
        for key in keys:
            async with places:
                tasks.append(group.create_task(fetch(key)))
    return [task.result() for task in tasks]
too-many | 4 fetches ran at once | `asyncio.Semaphore(3)`
    places = asyncio.Semaphore(4)
    async def in_turn(key):
        async with places:
            return await fetch(key)
    return await groups(in_turn, keys)
too-few | more than 2 fetches ran | then lets three
    places = asyncio.Semaphore(2)
    async def in_turn(key):
        async with places:
            return await fetch(key)
    return await groups(in_turn, keys)
too-few | more than one fetch ran | Start a task for each key first
    return [await fetch(key) for key in keys]
free-place | a place was free | Do not divide the keys
    results = []
    for start in range(0, len(keys), 3):
        results += await groups(fetch, keys[start : start + 3])
    return results
left-running | ran on, and | after its block
    places = asyncio.Semaphore(3)
    async def in_turn(key):
        async with places:
            return await fetch(key)
    return await gathers(in_turn, keys)
not-awaited | `cancel` only asks | waits for them
    places = asyncio.Semaphore(3)
    async def in_turn(key):
        async with places:
            return await fetch(key)
    tasks = [asyncio.create_task(in_turn(key)) for key in keys]
    try:
        return await asyncio.gather(*tasks)
    except ConnectionError:
        for task in tasks:
            task.cancel()
        raise
late | after 8 fetches had begun | `TaskGroup` cancels them
    places = asyncio.Semaphore(3)
    async def in_turn(key):
        async with places:
            return await fetch(key)
    results = await asyncio.gather(*map(in_turn, keys), return_exceptions=True)
    for result in results:
        if isinstance(result, Exception):
            raise result
    return results
swallowed | the caller never saw | reach the caller
    async def fetch_or_none(key):
        try:
            return await fetch(key)
        except Exception:
            return None
    return await lets_three_in(fetch_or_none, keys)
order | not in the order | asked one by one
    results = []
    async def keep(key):
        results.append(await fetch(key))
    await lets_three_in(keep, keys)
    return results
kind | returned None | `return`
    await lets_three_in(fetch, keys)
deadlock | Semaphore.acquire | Who was to wake it?
    places = asyncio.Semaphore(3)
    async def in_turn(key):
        await places.acquire()
        return await fetch(key)
    return await gathers(in_turn, keys)
by-hand | by hand | by hand
    return [data async for data in aml.Pipeline(keys).map(fetch, concurrency=3)]
too-many | 8 fetches | `asyncio.Semaphore(3)`
    await asyncio.gather(*map(fetch, keys), return_exceptions=True)
not-started | have not begun | has to be awaited
    return [fetch(key) for key in keys]
not-awaited | tasks or futures | Await each task
    return [asyncio.create_task(fetch(key)) for key in keys]
open | `three_at_once`
    ...
blocking | `time.sleep` | `time.sleep`
    time.sleep(1)
    return await asyncio.gather(*map(fetch, keys))
deadlock | nothing is left | nothing is left
    await asyncio.Event().wait()
"""
OTHER_HEAD = "arguments | Which arguments | `(fetch, keys)`\n    return keys"
PLAIN = "kind | `async def`\n    return [fetch(key) for key in keys]"


def fetches(name, *texts, head="async def {}(fetch, keys):"):
    for text in texts:
        yield from table(name, NAMES, head.format(name[3:].replace("-", "_")), text)


@every(
    *(fetches(name, EITHER) for name in BOTH),
    *(rows(name, (..., "open"), ([], "kind")) for name in BOTH),
    *(fetches(name, PLAIN, head="def {}(fetch, keys):") for name in (*BOTH, "01-three-at-once")),
    fetches("01-in-order", IN_ORDER),
    fetches("01-in-order", OTHER_HEAD, head="async def {}(keys):"),
    rows("01-in-order", (gathers, "passed"), (groups, "passed")),
    fetches("01-keep-going", KEEP_GOING),
    rows(
        "01-keep-going",
        (catches_in_each, "passed"),
        (gathers, "escaped", "ended everything", "start that for each key"),
        (groups, "group", "cancel all the others", "inside the task"),
    ),
    fetches("01-three-at-once", THREE_AT_ONCE),
    rows(
        "01-three-at-once",
        (lets_three_in, "passed"),
        (groups, "too-many", "8 fetches ran at once", "`asyncio.Semaphore(3)`"),
        (gathers, "too-many", "8 fetches ran at once", "`asyncio.Semaphore(3)`"),
    ),
)
@pytest.mark.untidy
def test_fetches_get_their_verdict(case, caplog, recwarn):
    case.judge()
    gc.collect()
    assert not caplog.records  # a verdict, and no traceback before it
    assert not recwarn.list  # nor a warning of what it left behind


# ---- a future is settled ----

SETTLE = """
passed
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
open | `settle`
    ...
error | raised KeyError | after.set_exception(error)
    after.set_result(function(done.result()))
result | given a future | `function(done.result())`
    after.set_result(function(done))
result | Where is the result? | `function(done.result())`
    after.set_result(function(done.result))
no-exception | takes an exception | set_exception(error)
    try:
        after.set_result(function(done.result()))
    except Exception as error:
        after.set_exception(str(error))
error | there is no result | raises before
    after.set_result(function(done.exception() or done.result()))
twice | called 2 times | in a variable
    if not after.cancelled():
        try:
            function(done.result())
            after.set_result(function(done.result()))
        except asyncio.CancelledError:
            after.cancel()
        except Exception as error:
            after.set_exception(error)
error | another exception | set_exception(error)
    if not after.cancelled():
        try:
            after.set_result(function(done.result()))
        except asyncio.CancelledError:
            after.cancel()
        except Exception as error:
            after.set_exception(type(error))
result | finished with the result 21 | function(done.result())
    after.set_result(done.result())
result | `after` is still pending | `after.set_result(
    return function(done.result())
error | finished with the result KeyError | set_exception
    try:
        after.set_result(function(done.result()))
    except Exception as error:
        after.set_result(error)
function | raised ValueError | inside the `try`
    if done.cancelled():
        after.cancel()
    elif done.exception():
        after.set_exception(done.exception())
    else:
        after.set_result(function(done.result()))
cancelled | raised CancelledError | `except asyncio.Canc
    try:
        after.set_result(function(done.result()))
    except Exception as error:
        after.set_exception(error)
cancelled | finished with a CancelledError | after.cancel()
    try:
        after.set_result(function(done.result()))
    except BaseException as error:
        after.set_exception(error)
unwanted | raised InvalidStateError | if after.cancelled()
    try:
        after.set_result(function(done.result()))
    except asyncio.CancelledError:
        after.cancel()
    except Exception as error:
        after.set_exception(error)
error | still pending | set_exception
    try:
        after.set_result(function(done.result()))
    except Exception as error:
        print(error)
result | raised InvalidStateError | `after.set_result(function
    done.set_result(function(done.result()))
"""
HEAD = "settle(done, after, function):"


@every(
    rows("01-settle", (settle, "passed"), (..., "open")),
    table("01-settle", NAMES, f"def {HEAD}", SETTLE),
    table("01-settle", NAMES, f"async def {HEAD}", "kind | a plain `def`\n    await done"),
    table("01-settle", NAMES, "def settle(done):", "arguments | three\n    done.result()"),
)
def test_a_future_is_settled_or_a_hint_says_why_not(case):
    case.judge()
