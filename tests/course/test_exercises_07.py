"""The checks of lesson 07: right answers pass, each typical wrong one gets a hint of its own."""

import asyncio
import contextlib
import functools
import gc
import random
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import asyncml as aml
from asyncml.course.exercises import Wrong, attempts, check
from asyncml.course.exercises.bucket import BURST, RATE, Bucket, TooManyRequests
from asyncml.course.exercises.league import BOARD, League, Score, as_they_come, league, score


@pytest.fixture(autouse=True, scope="module")
def _little_to_collect():
    """Each wrong answer is tidied away by a full collection: let that see only what is new."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture
def _little_time(monkeypatch):
    monkeypatch.setattr(attempts, "_LIMIT_S", 0.3)


def code(name, answer):
    """Return the code of a verdict, which is the same when the answer is given again."""
    first, second = check(name, answer), check(name, answer)
    assert first.code == second.code
    assert not {"\n", "\r"} & set(repr(first) + repr(second))
    if first.code not in ("passed", "open"):
        assert first.message
    return first.code


# ---- 07-four ----


async def four_stub(fetch, keys): ...


async def with_a_semaphore(fetch, keys):
    slots = asyncio.Semaphore(4)

    async def one(key):
        async with slots:
            return await fetch(key)

    return await asyncio.gather(*[one(key) for key in keys])


async def with_workers(fetch, keys):
    data, todo = [None] * len(keys), iter(enumerate(keys))

    async def work():
        for place, key in todo:
            data[place] = await fetch(key)

    async with asyncio.TaskGroup() as group:
        for _ in range(4):
            group.create_task(work())
    return data


async def with_a_queue(fetch, keys):
    todo, data = asyncio.Queue(), {}
    for key in keys:
        todo.put_nowait(key)

    async def work():
        while not todo.empty():
            key = todo.get_nowait()
            data[key] = await fetch(key)

    await asyncio.gather(*[work() for _ in range(4)])
    return [data[key] for key in keys]


async def with_wait(fetch, keys):
    tasks, running = [], set()
    for key in keys:
        if len(running) == 4:
            _, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
        tasks.append(asyncio.create_task(fetch(key)))
        running.add(tasks[-1])
    return [await task for task in tasks]


async def with_pipeline(fetch, keys):
    return [data async for data in aml.Pipeline(keys).map(fetch, concurrency=4)]


async def backwards(fetch, keys):
    data = await with_a_semaphore(fetch, keys[::-1])
    return data[::-1]


async def everything(fetch, keys):
    return await asyncio.gather(*[fetch(key) for key in keys])


async def around_the_gather(fetch, keys):
    async with asyncio.Semaphore(4):
        return await asyncio.gather(*[fetch(key) for key in keys])


async def around_create_task(fetch, keys):
    slots, tasks = asyncio.Semaphore(4), []
    for key in keys:
        async with slots:
            tasks.append(asyncio.create_task(fetch(key)))
    return [await task for task in tasks]


async def a_semaphore_each(fetch, keys):
    async def one(key):
        async with asyncio.Semaphore(4):
            return await fetch(key)

    return await asyncio.gather(*map(one, keys))


async def around_the_result(fetch, keys):
    slots = asyncio.Semaphore(4)

    async def one(key):
        data = await fetch(key)
        async with slots:
            return data

    return await asyncio.gather(*map(one, keys))


async def five_slots(fetch, keys):
    slots = asyncio.Semaphore(5)

    async def one(key):
        async with slots:
            return await fetch(key)

    return await asyncio.gather(*map(one, keys))


async def three_slots(fetch, keys):
    slots = asyncio.Semaphore(3)

    async def one(key):
        async with slots:
            return await fetch(key)

    return await asyncio.gather(*map(one, keys))


async def chunks(fetch, keys):
    data = []
    for start in range(0, len(keys), 4):
        data += await asyncio.gather(*[fetch(key) for key in keys[start : start + 4]])
    return data


async def head_first(fetch, keys):
    tasks, data = deque(), []
    for key in keys:
        tasks.append(asyncio.create_task(fetch(key)))
        if len(tasks) == 4:
            data.append(await tasks.popleft())
    return data + [await task for task in tasks]


async def one_at_a_time(fetch, keys):
    slots, data = asyncio.Semaphore(4), []
    for key in keys:
        async with slots:
            data.append(await fetch(key))
    return data


async def as_it_comes(fetch, keys):
    slots, data = asyncio.Semaphore(4), []

    async def one(key):
        async with slots:
            data.append(await fetch(key))

    await asyncio.gather(*map(one, keys))
    return data


async def no_return(fetch, keys):
    await with_a_semaphore(fetch, keys)


async def only_four(fetch, keys):
    return await with_a_semaphore(fetch, keys[:4])


async def one_too_few(fetch, keys):
    return (await with_a_semaphore(fetch, keys))[:-1]


async def not_awaited(fetch, keys):
    return [fetch(key) for key in keys]


async def forgets_an_inner_return(fetch, keys):
    async def quiet(key):
        await fetch(key)

    return await with_a_semaphore(quiet, keys)


async def a_class_for_a_semaphore(fetch, keys):
    async with asyncio.Semaphore:
        return await everything(fetch, keys)


async def a_list_for_gather(fetch, keys):
    return await asyncio.gather([fetch(key) for key in keys])


async def never_released(fetch, keys):
    slots = asyncio.Semaphore(4)

    async def one(key):
        await slots.acquire()
        return await fetch(key)

    return await asyncio.gather(*map(one, keys))


SLOTS = asyncio.Semaphore(4)


async def a_global_semaphore(fetch, keys):
    async def one(key):
        async with SLOTS:
            return await fetch(key)

    return await asyncio.gather(*map(one, keys))


async def global_window(fetch, keys):
    for data in await a_global_semaphore(fetch, keys[:8]):
        yield data


async def pairs(fetch, keys):
    async for data in row_of_twelve(fetch, keys):
        yield (data, 1)


async def knows_the_data(fetch, keys):
    return [b"1234" for _ in keys]


async def four_blocking(fetch, keys):
    time.sleep(1)  # noqa: ASYNC251
    return await with_a_semaphore(fetch, keys)


async def four_endless(fetch, keys):
    while True:  # noqa: ASYNC110
        await asyncio.sleep(0)


def four_plain(fetch, keys):
    return []


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (with_a_semaphore, "passed"),
        (with_workers, "passed"),
        (with_a_queue, "passed"),
        (with_wait, "passed"),
        (with_pipeline, "passed"),
        (backwards, "passed"),
        (four_stub, "open"),
        (..., "open"),
        (four_plain, "kind"),
        (3, "kind"),
        (everything, "too-many"),
        (five_slots, "too-many"),
        (around_the_gather, "outside"),
        (around_create_task, "outside"),
        (a_semaphore_each, "outside"),
        (around_the_result, "outside"),
        (three_slots, "too-few"),
        (chunks, "chunks"),
        (head_first, "idle"),
        (one_at_a_time, "sequence"),
        (as_it_comes, "order"),
        (no_return, "kind"),
        (only_four, "results"),
        (one_too_few, "results"),
        (not_awaited, "not-started"),
        (forgets_an_inner_return, "no-return"),
        (a_class_for_a_semaphore, "uncalled"),
        (a_list_for_gather, "unpack"),
        (never_released, "deadlock"),
        pytest.param(a_global_semaphore, "global", marks=pytest.mark.untidy),
        (knows_the_data, "results"),
        (four_blocking, "blocking"),
    ],
)
def test_four(answer, expected):
    assert code("07-four", answer) == expected


@pytest.mark.untidy
@pytest.mark.usefixtures("_little_time")
def test_four_without_end():
    assert check("07-four", four_endless).code == "endless"


def test_the_hint_for_a_semaphore_in_the_wrong_place_gets_fuller():
    first, second = (check("07-four", around_the_gather).message for _ in range(2))
    assert first.startswith("17 were in flight at once, and 4 are allowed.")
    assert "it holds nobody back" in first
    assert "goes around `await fetch(key)`, inside the coroutine of each task" in second


def test_the_hint_for_chunks_says_how_long_slots_were_empty():
    message = check("07-four", chunks).message
    assert "with keys still to ask" in message
    assert "wait for the slowest of them" in message


# ---- 07-window ----


async def window_stub(fetch, keys): ...


async def row_of_twelve(fetch, keys, at_once=4, ahead=12):
    slots, tasks = asyncio.Semaphore(at_once), deque()

    async def one(key):
        async with slots:
            return await fetch(key)

    try:
        for key in keys:
            tasks.append(asyncio.create_task(one(key)))
            if len(tasks) == ahead:
                yield await tasks.popleft()
        while tasks:
            yield await tasks.popleft()
    finally:
        for task in tasks:
            task.cancel()


async def workers_and_a_window(fetch, keys, at_once=4, ahead=12):
    todo, window = enumerate(keys), {}
    room, news = asyncio.Semaphore(ahead), asyncio.Event()

    async def work():
        await room.acquire()
        for place, key in todo:
            window[place] = await fetch(key)
            news.set()
            await room.acquire()

    workers = [asyncio.create_task(work()) for _ in range(at_once)]
    try:
        for place in range(len(keys)):
            while place not in window:
                news.clear()
                await news.wait()
            yield window.pop(place)
            room.release()
    finally:
        for worker in workers:
            worker.cancel()


async def by_pipeline(fetch, keys):
    async for data in aml.Pipeline(keys).map(fetch, concurrency=4, lookahead=12):
        yield data


def returns_a_pipeline(fetch, keys):
    return aml.Pipeline(keys).map(fetch, concurrency=4, lookahead=12)


async def one_less_ahead(fetch, keys):
    async for data in row_of_twelve(fetch, keys, ahead=11):
        yield data


async def one_more_ahead(fetch, keys):
    async for data in row_of_twelve(fetch, keys, ahead=13):
        yield data


async def sixteen_ahead(fetch, keys):
    async for data in row_of_twelve(fetch, keys, ahead=16):
        yield data


async def twelve_in_flight(fetch, keys):
    async for data in row_of_twelve(fetch, keys, at_once=12):
        yield data


async def row_of_four(fetch, keys):
    async for data in row_of_twelve(fetch, keys, ahead=4):
        yield data


async def row_of_eight(fetch, keys):
    async for data in row_of_twelve(fetch, keys, ahead=8):
        yield data


async def all_in_a_row(fetch, keys):
    async for data in row_of_twelve(fetch, keys, ahead=1000):
        yield data


async def all_gathered(fetch, keys):
    for data in await with_a_semaphore(fetch, keys):
        yield data


async def completed(fetch, keys):
    slots = asyncio.Semaphore(4)

    async def one(key):
        async with slots:
            return await fetch(key)

    for start in range(0, len(keys), 12):
        for done in asyncio.as_completed([one(key) for key in keys[start : start + 12]]):
            yield await done


async def chunks_of_twelve(fetch, keys):
    for start in range(0, len(keys), 12):
        for data in await with_a_semaphore(fetch, keys[start : start + 12]):
            yield data


async def one_by_one(fetch, keys):
    for key in keys:
        yield await fetch(key)


async def forgets_the_last(fetch, keys):
    slots, tasks = asyncio.Semaphore(4), deque()

    async def one(key):
        async with slots:
            return await fetch(key)

    for key in keys:
        tasks.append(asyncio.create_task(one(key)))
        if len(tasks) == 12:
            yield await tasks.popleft()


async def yields_tasks(fetch, keys):
    for key in keys:
        yield asyncio.create_task(fetch(key))


async def yields_nothing(fetch, keys):
    for key in keys[:0]:
        yield key


async def returns_a_list(fetch, keys):
    return await with_a_semaphore(fetch, keys)


async def naps(fetch, keys):
    time.sleep(0.1)  # noqa: ASYNC251
    for key in keys:
        yield await fetch(key)


async def spins(fetch, keys):
    while True:  # noqa: ASYNC110
        await asyncio.sleep(0)
    yield


async def stuck(fetch, keys):
    queue = asyncio.Queue()
    for _ in keys:
        yield await queue.get()


async def never_awaits(fetch, keys):
    for key in keys:
        yield fetch(key)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (row_of_twelve, "passed"),
        (workers_and_a_window, "passed"),
        (by_pipeline, "passed"),
        (one_less_ahead, "passed"),
        (window_stub, "open"),
        (..., "open"),
        (returns_a_list, "kind"),
        (four_plain, "kind"),
        (returns_a_pipeline, "kind"),
        (functools.partial(returns_a_pipeline), "kind"),
        (one_more_ahead, "unbounded"),
        (sixteen_ahead, "unbounded"),
        (all_in_a_row, "unbounded"),
        (all_gathered, "unbounded"),
        (twelve_in_flight, "too-many"),
        (row_of_four, "head"),
        (row_of_eight, "slow"),
        (completed, "order"),
        (chunks_of_twelve, "slow"),
        (one_by_one, "sequence"),
        pytest.param(forgets_the_last, "results", marks=pytest.mark.untidy),
        pytest.param(yields_tasks, "not-awaited", marks=pytest.mark.untidy),
        (yields_nothing, "results"),
        (never_awaits, "not-started"),
        pytest.param(global_window, "global", marks=pytest.mark.untidy),
        (pairs, "results"),
        (naps, "blocking"),
        (stuck, "deadlock"),
    ],
)
def test_window(answer, expected):
    assert code("07-window", answer) == expected


@pytest.mark.untidy
@pytest.mark.usefixtures("_little_time")
def test_a_window_without_end():
    assert check("07-window", spins).code == "endless"


def test_the_verdict_on_a_window_says_how_far_it_was_ahead():
    assert "12 ahead" in check("07-window", row_of_twelve).message
    assert "11 ahead" in check("07-window", one_less_ahead).message
    assert "13 keys" in check("07-window", one_more_ahead).message


def test_a_window_that_is_no_async_generator_hears_what_one_is():
    assert "an `async def` with a `yield`" in check("07-window", returns_a_pipeline).message


def test_the_hint_for_a_blocking_head_says_what_is_possible():
    first, second = (check("07-window", row_of_four).message for _ in range(2))
    assert "are possible" in first
    assert "three slots are free" in first
    assert "12 ahead with 4 in flight" in second


# ---- what any of them may have wrong ----


async def takes_one_and_works(keys):
    return keys


async def runs_inside(fetch, keys, *rest):
    return asyncio.run(with_a_semaphore(fetch, keys))


async def a_plain_with(fetch, keys, *rest):
    with asyncio.Semaphore(4):
        return await fetch(keys)


async def early(fetch, keys):
    return [task.result() for task in [asyncio.create_task(fetch(key)) for key in keys]]


async def renamed(fetch, key, slots):
    try:
        return await again()(fetch, key, slots)
    except aml.RequestFailed as lost:
        raise RuntimeError("gave up") from lost


def not_a_store(keys, get):
    return aml.Pipeline(keys).map(aml.RateLimited(get).get)


@pytest.mark.parametrize(
    ("name", "answer", "expected"),
    [
        ("07-four", takes_one_and_works, "signature"),
        ("07-workers", takes_one_and_works, "signature"),
        pytest.param("07-retry", takes_one_and_works, "signature", marks=pytest.mark.untidy),
        ("07-buffer", takes_one_and_works, "signature"),
        ("07-bucket", takes_one_and_works, "signature"),
        ("07-four", runs_inside, "run-inside"),
        ("07-four", a_plain_with, "with"),
        ("07-retry", a_plain_with, "with"),
        pytest.param("07-four", early, "early", marks=pytest.mark.untidy),
        ("07-retry", renamed, "renamed"),
        ("07-bucket", not_a_store, "store"),
    ],
)
def test_a_mistake_that_any_function_may_have(name, answer, expected):
    assert code(name, answer) == expected


# ---- 07-workers ----


async def workers_stub(fetch, keys, queue): ...


FILL = """
async def fill(fetch, keys, queue):
    todo = iter(keys)

    async def work():
        for key in todo:
            data = await fetch(key)
            await queue.put(data)

    await asyncio.gather(*[work() for _ in range(4)])
"""


def filled(*changes):
    """Return the right answer with some of its text replaced, as the cell of a notebook is."""
    text, names = FILL, {"asyncio": asyncio, "aml": aml, "time": time}
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    exec(compile(text, "<cell>", "exec"), names)
    return names["fill"]


async def filled_by_a_group(fetch, keys, queue):
    todo = iter(keys)

    async def work():
        for key in todo:
            await queue.put(await fetch(key))

    async with asyncio.TaskGroup() as group:
        for _ in range(4):
            group.create_task(work())


async def filled_from_a_deque(fetch, keys, queue):
    todo = deque(keys)

    async def work():
        while todo:
            await queue.put(await fetch(todo.popleft()))

    await asyncio.wait([asyncio.create_task(work()) for _ in range(4)])


async def filled_by_pipeline(fetch, keys, queue):
    images = aml.Pipeline(keys).map(fetch, concurrency=4, ordered=False, lookahead=4)
    async for data in images:
        await queue.put(data)


async def filled_far_ahead(fetch, keys, queue):
    async for data in aml.Pipeline(keys).map(fetch, concurrency=4, ordered=False):
        await queue.put(data)


async def a_task_for_each(fetch, keys, queue):
    slots = asyncio.Semaphore(4)

    async def one(key):
        async with slots:
            await queue.put(await fetch(key))

    await asyncio.gather(*map(one, keys))


async def filled_in_parts(fetch, keys, queue):
    async def work(part):
        for key in part:
            await queue.put(await fetch(key))

    await asyncio.gather(*[work(keys[n::4]) for n in range(4)])


async def filled_in_chunks(fetch, keys, queue):
    for start in range(0, len(keys), 4):
        for data in await asyncio.gather(*[fetch(key) for key in keys[start : start + 4]]):
            await queue.put(data)


async def filled_by_tasks_of_put(fetch, keys, queue):
    todo = iter(keys)

    async def work():
        for key in todo:
            asyncio.create_task(queue.put(await fetch(key)))  # noqa: RUF006

    await asyncio.gather(*[work() for _ in range(4)])


async def filled_for_ever(fetch, keys, queue):
    while True:  # noqa: ASYNC110
        await asyncio.sleep(0)


async def filled_with_an_end(fetch, keys, queue):
    await filled()(fetch, keys, queue)
    await queue.put(None)


GATHER = "await asyncio.gather(*[work() for _ in range(4)])"
FOUR_TASKS = "workers = [asyncio.create_task(work()) for _ in range(4)]"


async def filled_by_waiting_workers(fetch, keys, queue, cancel=False):
    todo = asyncio.Queue()
    for key in keys:
        todo.put_nowait(key)

    async def work():
        while True:
            await queue.put(await fetch(await todo.get()))
            todo.task_done()

    workers = [asyncio.create_task(work()) for _ in range(4)]
    await todo.join()
    for worker in workers:
        if cancel:
            worker.cancel()


async def filled_by_cancelled_workers(fetch, keys, queue):
    await filled_by_waiting_workers(fetch, keys, queue, cancel=True)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (filled(), "passed"),
        (filled_by_a_group, "passed"),
        (filled_from_a_deque, "passed"),
        (filled_by_pipeline, "passed"),
        (workers_stub, "open"),
        (..., "open"),
        (four_plain, "kind"),
        (filled(("await queue.put(data)", "yield data")), "kind"),
        pytest.param(
            filled(("await queue.put(data)", "queue.put_nowait(data)")),
            "nowait",
            marks=pytest.mark.untidy,
        ),
        (filled(("await queue.put(data)", "queue.put(data)")), "unput"),
        (filled(("await queue.put(data)", "pass")), "unput"),
        (filled(("in todo", "in keys")), "each-all"),
        (filled(("    todo = iter(keys)\n", ""), ("in todo", "in iter(keys)")), "each-all"),
        (filled(("range(4)", "range(5)")), "too-many"),
        (filled(("range(4)", "range(3)")), "too-few"),
        (filled(("range(4)", "range(1)")), "sequence"),
        (filled((GATHER, "for _ in range(4):\n        await work()")), "sequence"),
        pytest.param(
            filled((GATHER, "[asyncio.create_task(work()) for _ in range(4)]")),
            "left",
            marks=pytest.mark.untidy,
        ),
        (filled((GATHER, "[work() for _ in range(4)]")), "calls"),
        pytest.param(
            filled((GATHER, f"{FOUR_TASKS}\n    await workers[0]")),
            "left",
            marks=pytest.mark.untidy,
        ),
        (filled((GATHER, f"{GATHER}\n    await queue.join()")), "passed"),
        (filled_by_cancelled_workers, "passed"),
        pytest.param(filled_by_waiting_workers, "left", marks=pytest.mark.untidy),
        (
            filled(
                ("    todo = iter(keys)\n", "    todo = iter(keys); queue = asyncio.Queue(2)\n")
            ),
            "deadlock",
        ),
        (filled(("put(data)\n", "put(data)\n            break\n")), "unasked"),
        (filled(("work() for", "work for")), "kind"),
        (filled((GATHER, f"{GATHER}\n    await queue.get()")), "deadlock"),
        (filled(("data = await", "data =")), "not-started"),
        (filled(("put(data)", "put((key, data))")), "results"),
        (filled(("await fetch", "time.sleep(1); await fetch")), "blocking"),
        (a_task_for_each, "task-each"),
        (everything, "signature"),
        (filled_in_parts, "idle"),
        (filled_in_chunks, "idle"),
        pytest.param(filled_by_tasks_of_put, "task-each", marks=pytest.mark.untidy),
        (filled_far_ahead, "unbounded"),
        (filled_with_an_end, "results"),
    ],
)
def test_workers(answer, expected):
    assert code("07-workers", answer) == expected


@pytest.mark.untidy
@pytest.mark.usefixtures("_little_time")
def test_workers_without_end():
    assert check("07-workers", filled_for_ever).code == "endless"


# ---- 07-stages ----


def stages_stub(get, decode, keys): ...


def two_stages(get, decode, keys):
    return aml.Pipeline(keys).map(get, concurrency=4).map(decode, concurrency=2)


def stages_with_a_lambda(get, decode, keys):
    images = aml.Pipeline(keys).map(get, concurrency=4)
    return images.map(lambda data: decode(data), concurrency=2)


def stages_in_a_pool(get, decode, keys):
    async def decoded(data):
        async with slots:
            return await asyncio.to_thread(decode, data)

    slots = asyncio.Semaphore(2)
    return aml.Pipeline(keys).map(get, concurrency=4).map(decoded)


def stages_and_prefetch(get, decode, keys):
    return two_stages(get, decode, keys).prefetch(2)


def one_stage(get, decode, keys):
    async def both(key):
        return decode(await get(key))

    return aml.Pipeline(keys).map(both, concurrency=4)


def decode_is_async(get, decode, keys):
    async def decoded(data):
        return decode(data)

    return aml.Pipeline(keys).map(get, concurrency=4).map(decoded, concurrency=2)


def inline(get, decode, keys):
    return aml.Pipeline(keys).map(get, concurrency=4).map(decode, executor="inline")


def only_fetches(get, decode, keys):
    return aml.Pipeline(keys).map(get, concurrency=4)


def sixteen_of_each(get, decode, keys):
    return aml.Pipeline(keys).map(get).map(decode)


def sixteen_decoders(get, decode, keys):
    return aml.Pipeline(keys).map(get, concurrency=4).map(decode)


def one_decoder(get, decode, keys):
    return aml.Pipeline(keys).map(get, concurrency=4).map(decode, concurrency=1)


def any_order(get, decode, keys):
    images = aml.Pipeline(keys).map(get, concurrency=4, ordered=False)
    return images.map(decode, concurrency=2)


def stages_the_other_way(get, decode, keys):
    return aml.Pipeline(keys).map(decode, concurrency=2).map(get, concurrency=4)


def stages_in_a_list(get, decode, keys):
    return list(two_stages(get, decode, keys))


def stages_forgotten(get, decode, keys):
    two_stages(get, decode, keys)


def by_position(get, decode, keys):
    return aml.Pipeline(keys).map(get, 4).map(decode, 2)


def only_some(get, decode, keys):
    return two_stages(get, decode, keys[:8])


def in_batches(get, decode, keys):
    return two_stages(get, decode, keys).batch(4)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (two_stages, "passed"),
        (stages_with_a_lambda, "passed"),
        (stages_in_a_pool, "passed"),
        (stages_and_prefetch, "passed"),
        (stages_stub, "open"),
        (..., "open"),
        (with_a_semaphore, "kind"),
        (two_stages.__name__, "kind"),
        (stages_forgotten, "kind"),
        (by_position, "by-name"),
        (stages_in_a_list, "kind"),
        (one_stage, "on-loop"),
        (decode_is_async, "on-loop"),
        (inline, "on-loop"),
        (only_fetches, "raw"),
        (sixteen_of_each, "not-4"),
        (sixteen_decoders, "not-2"),
        (one_decoder, "not-2"),
        (any_order, "order"),
        (stages_the_other_way, "turned"),
        (only_some, "results"),
        (in_batches, "results"),
        (four_plain, "signature"),
    ],
)
def test_stages(answer, expected):
    assert code("07-stages", answer) == expected


# ---- 07-prefetch ----


async def prefetch_stub(images, n): ...


PREFETCHED = """
async def prefetched(images, n):
    queue = asyncio.Queue(maxsize=n)

    async def fill():
        async for image in images:
            await queue.put(image)
        await queue.put(None)

    filling = asyncio.create_task(fill())
    try:
        while (image := await queue.get()) is not None:
            yield image
    finally:
        filling.cancel()
"""


def ahead_of_it(*changes):
    text, names = PREFETCHED, {"asyncio": asyncio, "aml": aml, "time": time}
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    exec(compile(text, "<cell>", "exec"), names)
    return names["prefetched"]


async def prefetched_by_pipeline(images, n):
    async with contextlib.aclosing(aiter(aml.Pipeline(images).prefetch(n))) as stream:
        async for image in stream:
            yield image


async def prefetched_by_slots(images, n):
    slots, came, news = asyncio.Semaphore(n), deque(), asyncio.Event()

    async def fill():
        await slots.acquire()
        async for image in images:
            came.append(image)
            news.set()
            await slots.acquire()

    filling = asyncio.create_task(fill())
    filling.add_done_callback(lambda _: news.set())
    try:
        while came or not filling.done():
            while not came and not filling.done():
                news.clear()
                await news.wait()
            while came:
                yield came.popleft()
                slots.release()
    finally:
        filling.cancel()


async def one_task_ahead(images, n):
    task = asyncio.ensure_future(anext(images, None))
    try:
        while (image := await task) is not None:
            task = asyncio.ensure_future(anext(images, None))
            yield image
    finally:
        task.cancel()


async def passes_on(images, n):
    async for image in images:
        yield image


async def collects_first(images, n):
    for image in [image async for image in images]:
        yield image


async def collects_by_n(images, n):
    some = []
    async for image in images:
        some.append(image)
        if len(some) == n:
            for one in some:
                yield one
            some = []
    for one in some:
        yield one


async def waits_for_the_task(images, n):
    queue = asyncio.Queue()

    async def fill():
        async for image in images:
            await queue.put(image)

    await asyncio.create_task(fill())
    while not queue.empty():
        yield queue.get_nowait()


async def stops_with_the_task(images, n):
    queue = asyncio.Queue(n)

    async def fill():
        async for image in images:
            await queue.put(image)

    filling = asyncio.create_task(fill())
    try:
        while not filling.done():
            yield await queue.get()
    finally:
        filling.cancel()


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (ahead_of_it(), "passed"),
        (prefetched_by_pipeline, "unbounded"),  # its source is read ahead, too
        (prefetched_by_slots, "passed"),
        (prefetch_stub, "open"),
        (..., "open"),
        (returns_a_list, "kind"),
        (passes_on, "asked"),
        (collects_by_n, "first-late"),
        (collects_first, "first-late"),
        (waits_for_the_task, "first-late"),
        (ahead_of_it(("maxsize=n", "")), "unbounded"),
        (ahead_of_it(("maxsize=n", "n + 1")), "unbounded"),
        (one_task_ahead, "narrow"),
        (ahead_of_it(("await queue.put(None)", "pass")), "end"),
        (
            ahead_of_it(("(image := await queue.get()) is not None", "image := await queue.get()")),
            "passed",
        ),
        (ahead_of_it(("    try:", "    await filling\n    try:")), "waits-first"),
        (ahead_of_it(("filling.cancel()", "await filling")), "waits-first"),
        (ahead_of_it(("async for", "for")), "died"),
        (ahead_of_it(("asyncio.create_task(fill())", "asyncio.Future()")), "died"),
        (stops_with_the_task, "results"),
        (ahead_of_it(("is not None", "or True")), "sentinel"),
        pytest.param(
            ahead_of_it(("finally:", "except KeyError:")), "left", marks=pytest.mark.untidy
        ),
        (ahead_of_it(("yield image", "yield [image]")), "results"),
        (ahead_of_it(("await queue.put(image)", "queue.put_nowait(image)")), "died"),
        (ahead_of_it(("await queue.put(image)", "queue.put(image)")), "results"),
        (ahead_of_it(("yield image", "yield image; time.sleep(0.1)")), "blocking"),
    ],
)
def test_prefetch(answer, expected):
    assert code("07-prefetch", answer) == expected


@pytest.mark.untidy
@pytest.mark.usefixtures("_little_time")
def test_a_prefetch_without_end():
    assert check("07-prefetch", spins).code == "endless"


# ---- 07-buffer ----


BUFFER = """
async def collect(get, keys):
    buffer, saved, todo = [], [], iter(keys)

    async def work():
        nonlocal buffer
        for key in todo:
            buffer.append(await get(key))
            if len(buffer) >= 10:
                saved.extend(buffer)
                buffer = []

    await asyncio.gather(*[work() for _ in range(4)])
    return len(saved + buffer)
"""
APPEND = "buffer.append(await get(key))"


def collected(*changes):
    text, names = BUFFER, {"asyncio": asyncio, "lock": None}
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    exec(compile(text, "<cell>", "exec"), names)
    return names["collect"]


async def everything_counted(get, keys):
    return len(await everything(get, keys))


LOCKED = (APPEND, "async with lock:\n                buffer.append(await get(key))")


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (collected((APPEND, "data = await get(key); buffer.append(data)")), "passed"),
        (collected((APPEND, "buffer += [await get(key)]")), "lost"),
        (collected((APPEND, "buffer = buffer + [await get(key)]")), "lost"),
        (collected(("buffer = []", "buffer.clear()")), "passed"),
        (collected(("                buffer = []\n", "                del buffer[:]\n")), "passed"),
        (collected(), "lost"),
        (collected(("(buffer)\n", "(buffer.copy())\n")), "lost"),
        (collected(("return len(saved + buffer)", "return saved + buffer")), "no-return"),
        (collected((APPEND, "saved.append(await get(key))"), ("range(4)", "range(8)")), "too-many"),
        (everything_counted, "too-many"),
        (collected(LOCKED, ("nonlocal", "lock = asyncio.Lock(); nonlocal")), "lost"),
        (
            collected(LOCKED, ("    async def", "    lock = asyncio.Lock()\n    async def")),
            "sequence",
        ),
        (collected(("    return len(saved + buffer)\n", "")), "no-return"),
        (collected(("in todo", "in keys")), "requests"),
        (collected(("return len(saved + buffer)", "return 48")), "passed"),  # so be it
        (collected((APPEND, "pass")), "requests"),
        (..., "open"),
        (four_plain, "kind"),
        (7, "kind"),
    ],
)
def test_buffer(answer, expected):
    assert code("07-buffer", answer) == expected


# ---- 07-bound ----


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ([5, 4, 20], "passed"),
        ((5.0, 4.0, 20), "passed"),
        (..., "open"),
        ([..., ..., ...], "open"),
        ([5, 4, ...], "open"),
        (5, "kind"),
        ([5, 4], "kind"),
        ([12, 4, 20], "sum"),
        ([80, 4, 20], "k"),
        ([8, 4, 20], "cores"),
        ([5, 2.5, 20], "moved"),
        ([5, 5, 20], "k"),
        ([5, 4, 32], "more"),
        ([5, 4, 16], "too-few"),
        ([5, 4, 27], "other"),
        ([5, 4, 7], "other"),
        (["5 s", 4, 20], "kind"),
        ([True, 4, 20], "other"),
    ],
)
def test_bound(answer, expected):
    assert code("07-bound", answer) == expected


def test_a_wrong_bound_is_told_which_of_the_three():
    assert check("07-bound", [5, 2.5, 20]).message.startswith("number 2: ")


# ---- 07-retry ----

RETRY = """
async def get_again(fetch, key, slots):
    for attempt in range(4):
        try:
            async with slots:
                return await fetch(key)
        except aml.RequestFailed:
            if attempt == 3:
                raise
        await asyncio.sleep(0.1 * 2**attempt * random.uniform(0.5, 1.5))
"""
PAUSE = "await asyncio.sleep(0.1 * 2**attempt * random.uniform(0.5, 1.5))"
SLOT = "            async with slots:\n                return await fetch(key)\n"


def again(old="", new=""):
    """Return the right answer with some of its text replaced, as the cell of a notebook is."""
    assert old in RETRY
    names = {"asyncio": asyncio, "aml": aml, "random": random, "time": time}
    exec(compile(RETRY.replace(old, new) if old else RETRY, "<cell>", "exec"), names)
    return names["get_again"]


async def by_recursion(fetch, key, slots, attempt=1, pause=0.1):
    try:
        async with slots:
            return await fetch(key)
    except aml.RequestFailed:
        if attempt == 4:
            raise
    await asyncio.sleep(pause * (0.5 + random.random()))
    return await by_recursion(fetch, key, slots, attempt + 1, pause * 2)


async def by_recursion_in_the_except(fetch, key, slots, attempt=0):
    try:
        async with slots:
            return await fetch(key)
    except aml.RequestFailed:
        if attempt == 3:
            raise
        await asyncio.sleep(0.1 * 2**attempt * random.uniform(0.5, 1.5))
        return await by_recursion_in_the_except(fetch, key, slots, attempt + 1)


async def acquires(fetch, key, slots):
    error = None
    for attempt in range(4):
        if attempt:
            await asyncio.sleep(0.1 * 2 ** (attempt - 1) * random.uniform(0.5, 1.5))
        await slots.acquire()
        try:
            return await fetch(key)
        except aml.RequestFailed as lost:
            error = lost
        finally:
            slots.release()
    raise error


async def retry_stub(fetch, key, slots): ...


async def holds_the_slot(fetch, key, slots):
    async with slots:
        for attempt in range(4):
            try:
                return await fetch(key)
            except aml.RequestFailed:
                if attempt == 3:
                    raise
            await asyncio.sleep(0.1 * 2**attempt * random.uniform(0.5, 1.5))


async def pauses_in_the_except(fetch, key, slots):
    for attempt in range(4):
        async with slots:
            try:
                return await fetch(key)
            except aml.RequestFailed:
                if attempt == 3:
                    raise
                await asyncio.sleep(0.1 * 2**attempt * random.uniform(0.5, 1.5))


async def for_ever(fetch, key, slots):
    while True:
        try:
            async with slots:
                return await fetch(key)
        except aml.RequestFailed:
            await asyncio.sleep(0.1)


async def never_stops(fetch, key, slots):
    attempt = 0
    while True:
        try:
            async with slots:
                return await fetch(key)
        except aml.RequestFailed:
            attempt = min(attempt + 1, 9)
        await asyncio.sleep(0.05 * 2**attempt * random.uniform(0.5, 1.5))


async def pauses_once_more(fetch, key, slots):
    for attempt in range(4):
        try:
            async with slots:
                return await fetch(key)
        except aml.RequestFailed as lost:
            error = lost
            await asyncio.sleep(0.1 * 2**attempt * random.uniform(0.5, 1.5))
    raise error


async def gives_up_after_three(fetch, key, slots):
    for pause in 0.1, 0.2, None:
        try:
            async with slots:
                return await fetch(key)
        except aml.RequestFailed:
            if pause is None:
                raise
        await asyncio.sleep(pause)


async def never_releases(fetch, key, slots):
    while True:
        await slots.acquire()
        with contextlib.suppress(aml.RequestFailed):
            data = await fetch(key)
            slots.release()
            return data


async def twice_the_slot(fetch, key, slots):
    async with slots:
        return await again()(fetch, key, slots)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (again(), "passed"),
        (by_recursion, "passed"),
        (acquires, "passed"),
        (by_recursion_in_the_except, "passed"),
        (retry_stub, "open"),
        (..., "open"),
        (four_plain, "kind"),
        (again("aml.RequestFailed", "Exception"), "hopeless"),
        (again("aml.RequestFailed", "(ConnectionError, KeyError)"), "hopeless"),
        (again("aml.RequestFailed", "ConnectionError"), "hopeless"),
        (
            again("            if attempt == 3:\n                raise\n", "            pass\n"),
            "swallowed",
        ),
        (again("range(4)", "range(3)"), "gave-up"),
        (again("range(4)", "range(2)"), "gave-up"),
        (again("== 3", "== 9"), "swallowed"),
        (never_stops, "endless"),
        (again("range(4)", "range(6)"), "passed"),  # the fourth raises
        (again(PAUSE, "pass"), "no-pause"),
        (again(PAUSE, PAUSE.replace(" * random.uniform(0.5, 1.5)", "")), "no-jitter"),
        (again(PAUSE, PAUSE.replace(" * 2**attempt", "")), "pause"),
        (again(PAUSE, PAUSE.replace("0.1", "1")), "pause"),
        (again(PAUSE, "time.sleep(0.1)"), "blocking"),
        (again(SLOT, "            return await fetch(key)\n"), "no-slot"),
        (again("return await fetch(key)", "await fetch(key)"), "goes-on"),
        (again("await fetch(key)", "fetch(key)"), "not-started"),
        (again("await fetch(key)", "await fetch()"), "signature"),
        (
            again(
                "            if attempt == 3:\n                raise\n", "            return None\n"
            ),
            "gave-up",
        ),
        (again("except aml.RequestFailed:", "except KeyError:"), "gave-up"),
        (
            again("                raise\n", "                raise aml.RequestFailed(key)\n"),
            "renamed",
        ),
        (
            again("    for attempt", f"    {PAUSE.replace('**attempt', '')}\n    for attempt"),
            "pause",
        ),
        (gives_up_after_three, "gave-up"),
        (never_releases, "not-released"),
        (holds_the_slot, "holds"),
        (pauses_in_the_except, "holds"),
        (for_ever, "endless"),
        (pauses_once_more, "late"),
        (twice_the_slot, "not-released"),
    ],
)
def test_retry(answer, expected):
    assert code("07-retry", answer) == expected


@pytest.mark.usefixtures("_little_time")
def test_a_retry_that_spins():
    assert check("07-retry", again(PAUSE, "while True: pass")).code == "endless"


def test_only_a_failed_request_is_tried_again():
    message = check("07-retry", again("aml.RequestFailed", "ConnectionError")).message
    assert message.startswith("`fetch` raised ConnectionRefusedError, and it was tried 4 times.")
    assert "no `RequestFailed`" in message


def test_the_check_of_retries_leaves_the_chance_of_others_alone():
    random.seed(3)
    expected = random.random()
    random.seed(3)
    check("07-retry", again())
    assert random.random() == expected


# ---- 07-bucket ----


def ours(keys, get):
    return BOARD["aml.Pipeline"](keys, get)


async def by_hand(keys, get):
    async def one(key):
        while True:
            try:
                async with slots:
                    return await get(key)
            except (aml.RequestFailed, TooManyRequests):
                await asyncio.sleep(random.Random(key).uniform(0.02, 0.08))

    slots = asyncio.Semaphore(12)
    for data in await asyncio.gather(*map(one, keys)):
        try:
            yield aml.decode_png(data)
        except ValueError:
            continue


async def by_the_loader_of_the_lesson(keys, get):
    async def patient(key):
        while True:
            try:
                return await get(key)
            except ConnectionError:
                await asyncio.sleep(0.05)

    async for data in workers_and_a_window(patient, keys, at_once=12, ahead=200):
        try:
            yield aml.decode_png(data)
        except ValueError:
            continue


class Asked:
    """The store behind a `get`."""

    def __init__(self, get):
        self.get = get

    async def put(self, key, data): ...

    async def list(self, prefix): ...


def in_time(keys, get, concurrency=32):
    """Let requests leave in time, and nothing else."""
    store = aml.RateLimited(Asked(get), per_second=200, burst=20)
    images = aml.Pipeline(keys).map(store.get, concurrency=concurrency, retries=8)
    return images.map(aml.decode_png, on_error="skip")


def in_time_by_hand(keys, get, patience_s=9.0):
    free_at = -BURST / RATE

    async def patient(key):
        nonlocal free_at
        clock = asyncio.get_running_loop()
        while True:
            free_at = max(free_at, clock.time() - BURST / RATE) + 1 / RATE
            await asyncio.sleep(free_at - clock.time())
            try:
                async with asyncio.timeout(patience_s):
                    return await get(key)
            except (ConnectionError, TimeoutError):
                pass

    images = aml.Pipeline(keys).map(patient, concurrency=64)
    return images.map(aml.decode_png, on_error="skip")


def impatient_for_stragglers(keys, get):
    return in_time_by_hand(keys, get, patience_s=0.075)


def hedged_only(keys, get):
    images = aml.Pipeline(keys).map(aml.Hedged(Asked(get)).get, concurrency=13, retries=8)
    return images.map(aml.decode_png, on_error="skip")


def almost_in_time(keys, get):  # 1.1218: no verdict says that 1.12 is more than 1.12
    store = aml.RateLimited(Asked(get), per_second=199, burst=19)
    images = aml.Pipeline(keys).map(store.get, concurrency=64, retries=8)
    return images.map(aml.decode_png, on_error="skip")


def in_time_but_few(keys, get):
    return in_time(keys, get, concurrency=10)


async def in_a_list(keys, get):
    return [image async for image in in_time(keys, get)]


async def all_in_time(keys, get):
    """Start a task for each key, and let only the rate hold them back."""
    start = asyncio.get_running_loop().time()

    async def one(place, key):
        await asyncio.sleep(max(0.0, start + (place - 19) / 190))
        while True:
            try:
                return await get(key)
            except ConnectionError:
                await asyncio.sleep(0.02)

    for data in await asyncio.gather(*[one(*pair) for pair in enumerate(keys)]):
        with contextlib.suppress(ValueError):
            yield aml.decode_png(data)


async def bucket_stub(keys, get): ...


def fourteen(keys, get):  # quick by luck: score 1.10, and refused 129 times
    images = aml.Pipeline(keys).map(get, concurrency=14, retries=8)
    return images.map(aml.decode_png, on_error="skip")


def without_retries(keys, get):
    return aml.Pipeline(keys).map(get, concurrency=8).map(aml.decode_png, on_error="skip")


def impatient(keys, get):
    return aml.Pipeline(keys).map(get, concurrency=64).map(aml.decode_png, on_error="skip")


def gives_up_early(keys, get):
    images = aml.Pipeline(keys).map(get, concurrency=12, retries=1, on_error="skip")
    return images.map(aml.decode_png, on_error="skip")


def stops_at_damage(keys, get):
    return aml.Pipeline(keys).map(get, concurrency=12, retries=9).map(aml.decode_png)


def puts_none(keys, get):
    images = aml.Pipeline(keys).map(get, concurrency=12, retries=9)
    return images.map(aml.decode_png, on_error=lambda error, data: None)


def puts_black(keys, get):
    images = aml.Pipeline(keys).map(get, concurrency=12, retries=9)
    black = np.zeros((28, 28), np.uint8)
    return images.map(aml.decode_png, on_error=lambda error, data: black)


def raw(keys, get):
    return aml.Pipeline(keys).map(get, concurrency=12, retries=9)


def too_many_at_once(keys, get):
    images = aml.Pipeline(keys).map(get, concurrency=300, retries=20)
    return images.map(aml.decode_png, on_error="skip")


def slowly(keys, get):
    images = aml.Pipeline(keys).map(get, concurrency=4, retries=9)
    return images.map(aml.decode_png, on_error="skip")


async def twice_each(keys, get):
    async for image in ours(keys, get):
        yield image
        yield image


async def retries_the_decoding(keys, get):
    async def one(key):
        while True:
            try:
                return aml.decode_png(await get(key))
            except (ConnectionError, ValueError):
                await asyncio.sleep(0.05)

    return [image async for image in aml.Pipeline(keys).map(one, concurrency=12)]


async def only_the_first(keys, get):
    images = aml.Pipeline(keys[:100]).map(get, concurrency=12, retries=9)
    async for image in images.map(aml.decode_png, on_error="skip"):
        yield image


async def skips_two(keys, get):  # as if it knew which are damaged
    hell = Bucket()
    keys = [key for key in keys if key not in hell.damaged]
    async for image in ours(keys, get):
        yield image


async def knows_the_room(keys, get):  # the images of the bucket that everybody sees
    for key, image in Bucket().good.items():
        await asyncio.sleep(0.01)
        yield image if key else None


async def mistakes(keys, get):
    raise ValueError("my own mistake")


async def nothing(keys, get):
    await get(keys[0])


def nothing_at_all(keys, get):
    return 7


async def a_group_of_everything(keys, get):
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(get(key)) for key in keys[:30]]
    return [task.result() for task in tasks]


async def waits_for_ever(keys, get):
    await asyncio.get_running_loop().create_future()


async def naps_between(keys, get):
    time.sleep(0.1)  # noqa: ASYNC251
    return []


async def never_ends(keys, get):
    while True:  # noqa: ASYNC110
        await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (in_time, "passed"),
        (in_time_by_hand, "passed"),
        (impatient_for_stragglers, "passed"),
        (in_a_list, "passed"),
        (almost_in_time, "passed"),
        (ours, "refused-often"),
        (fourteen, "refused-often"),
        (hedged_only, "refused-often"),
        (by_hand, "idle"),
        (by_the_loader_of_the_lesson, "idle"),
        (in_time_but_few, "idle"),
        (all_in_time, "refused-often"),
        (bucket_stub, "open"),
        (..., "open"),
        (3, "kind"),
        (raw, "kind"),
        (nothing, "kind"),
        (nothing_at_all, "kind"),
        (without_retries, "lost"),
        (impatient, "refused"),
        (a_group_of_everything, "refused"),
        (gives_up_early, "missing"),
        (only_the_first, "missing"),
        (stops_at_damage, "stopped"),
        (puts_none, "damaged"),
        (puts_black, "damaged"),
        (too_many_at_once, "storm"),
        (BOARD["all at once"], "storm"),
        (as_they_come, "order"),
        (twice_each, "twice"),
        (retries_the_decoding, "hopeless"),
        (skips_two, "unasked"),
        (knows_the_room, "unasked"),
        (slowly, "slow"),
        (BOARD["one at a time"], "slow"),
        (mistakes, "raised"),
        (waits_for_ever, "deadlock"),
        (naps_between, "blocking"),
    ],
)
def test_bucket(answer, expected):
    assert check("07-bucket", answer).code == expected


@pytest.mark.untidy
@pytest.mark.usefixtures("_little_time")
def test_a_bucket_without_end():
    assert check("07-bucket", never_ends).code == "endless"


def bucket_behind(get):
    return get.__closure__[0].cell_contents


def refills(keys, get):
    async def generous(key):
        bucket_behind(get)._tokens = float(BURST)
        return await get(key)

    images = aml.Pipeline(keys).map(generous, concurrency=100, retries=8)
    return images.map(aml.decode_png, on_error="skip")


async def looks_into_it(keys, get):
    for key in keys:
        bucket_behind(get).asked[key] = 1
    return list(bucket_behind(get).good.values())


async def in_another_loop(keys, get):
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(aml.simulate, BOARD["ten by ten"](keys, get)).result()


@pytest.mark.parametrize("loader", [refills, looks_into_it, in_another_loop])
def test_no_score_is_better_than_the_bound(loader):
    with pytest.raises(Wrong) as caught:
        score(loader)
    assert caught.value.code == "unfair"
    assert "no loader can take less than 2.07 s." in caught.value.message
    assert check("07-bucket", loader).code == "unfair"


def test_the_verdict_on_a_bucket_is_one_line_with_the_score():
    first, second = check("07-bucket", in_time), check("07-bucket", slowly)
    assert first == check("07-bucket", in_time)
    assert first.message.startswith("score 1.11: 2.30 s, and 2.07 s is the bound")
    assert second.message.startswith("score 3.")
    assert "\n" not in repr(first) + repr(second)


def test_missing_images_are_counted_by_what_became_of_them():
    def skips_the_lost(keys, get):
        images = aml.Pipeline(keys).map(get, concurrency=13, on_error="skip")
        return images.map(aml.decode_png, on_error="skip")

    message = check("07-bucket", skips_the_lost).message
    assert "107 only refused or never asked for, 21 given up when it was lost" in message
    assert " 0 given up" in check("07-bucket", only_the_first).message


def test_a_plain_pipeline_is_below_the_mark_and_hears_what_is_missing():
    first, second = (check("07-bucket", ours).message for _ in range(2))
    assert "score 1.15: 2.39 s" in first
    assert "refused 39 times, and 20 are allowed" in first
    assert "20 at once, then one every 5 ms" in second


def test_hints_for_the_bucket_get_fuller():
    first, second = (check("07-bucket", as_they_come).message for _ in range(2))
    assert first.startswith("all images, but not in order")
    assert "reorder window" in second


@pytest.mark.parametrize("seed", range(3))
def test_no_loader_beats_the_bound(seed):
    """Not even one that never waits longer than it has to: here, one that knows the rate."""

    done = score(impatient_for_stragglers, seed=seed, images=200)
    assert 1 < done.score < 1.35
    assert done.refused == 0


def test_a_bucket_is_the_same_each_time():
    one, other = Bucket(), Bucket()
    assert one.keys == other.keys
    assert one.fate(one.keys[0], 1) == other.fate(one.keys[0], 1)
    assert one.bound_s() == pytest.approx((one.requests_needed() - 20) / 200 + 0.03)
    assert len(one.good) == 398
    assert Bucket(8).keys != one.keys


def test_a_bucket_takes_its_burst_and_then_its_rate():
    async def ask(number):
        bucket = Bucket()
        return await asyncio.gather(
            *[bucket.get(key) for key in bucket.keys[:number]], return_exceptions=True
        )

    answers = aml.simulate(ask(25))
    refused = [answer for answer in answers if isinstance(answer, TooManyRequests)]
    assert answers[20:] == refused
    assert refused[0].retry_after_s == pytest.approx(0.005)


def test_a_bucket_has_no_other_keys():
    with pytest.raises(KeyError):
        aml.simulate(Bucket().get("no such key"))


def test_the_league_puts_the_fastest_first_and_failures_last():
    table = league()
    assert list(table.rows) == [
        "aml.Pipeline",
        "ten by ten",
        "one at a time",
        "all at once",
        "as they come",
    ]
    assert [row.score > 1 for row in table.rows.values() if isinstance(row, Score)] == [True] * 3
    assert repr(table).splitlines()[-1] == "as they come       did not finish: order"


def test_the_league_takes_a_loader_in_and_a_stub_not(monkeypatch):
    monkeypatch.setattr("asyncml.course.exercises.league.BOARD", {})
    assert list(league(ours).rows) == ["yours"]
    assert "did not finish: lost" in repr(league(without_retries))
    monkeypatch.setattr("asyncml.course.exercises.league.BOARD", {"a": ours})
    assert list(league(bucket_stub).rows) == ["a"]


def test_a_league_of_two():
    rows = {"slow": Score(4.0, 2.0, 0), "quick": Score(2.0, 2.0, 3), "not": "  storm"}
    assert [line.split()[0] for line in repr(League(rows)).splitlines()] == [
        "loader",
        "quick",
        "slow",
        "not",
    ]


def test_a_score_is_refused_to_what_is_no_loader():
    with pytest.raises(Wrong, match="a function was expected"):
        score(7)
