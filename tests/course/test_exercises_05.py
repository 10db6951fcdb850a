"""The checks of lesson 05: right answers pass, each typical wrong one gets a hint of its own."""

import asyncio
import math
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction

import numpy as np
import pytest

from asyncml.clock import compute, simulate
from asyncml.course.exercises import attempts, check
from asyncml.course.exercises.nightly import Job, ours
from asyncml.pipeline.pipeline import Pipeline


def code(name, answer):
    verdict = check(name, answer)
    assert "\n" not in repr(verdict)
    return verdict.code


# ---- 05-k ----


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (3, "passed"),
        (90 / 30, "passed"),
        (np.int64(3), "passed"),
        (Fraction(90, 30), "passed"),
        (np.int64(2), "idle"),
        (..., "open"),
        (None, "open"),
        (1, "one"),
        (2, "idle"),
        (4, "gain"),
        (24, "as-many"),
        (math.inf, "as-many"),
        (0, "other"),
        (2.5, "other"),
        (True, "other"),
        ("three", "kind"),
        ([3], "kind"),
    ],
)
def test_bet_on_k(answer, expected):
    assert code("05-k", answer) == expected


def test_the_bet_is_what_happens():
    async def load(shard):
        await asyncio.sleep(0.09)
        return shard

    async def program(k):
        async for _ in Pipeline(range(24)).map(load, concurrency=k):
            compute(0.03)
        return round(asyncio.get_running_loop().time(), 6)

    times = [simulate(program(k)) for k in (2, 3, 4, 24)]
    assert times == [pytest.approx(seconds) for seconds in (1.14, 0.81, 0.81, 0.81)]


# ---- 05-smallest-k ----


def stub(load_s, train_s): ...


def right(load_s, train_s):
    return math.ceil(load_s / train_s - 1e-9)


def by_rounding(load_s, train_s):
    return math.ceil(round(load_s / train_s, 6))


def in_numpy(load_s, train_s):
    return np.ceil(load_s / train_s - 1e-9).astype(int)


def by_rounding_too_much(load_s, train_s):
    return math.ceil(round(load_s / train_s, 1))


def by_fractions(load_s, train_s):
    return math.ceil(Fraction(str(load_s)) / Fraction(str(train_s)))


def by_trying(load_s, train_s):
    k = 1
    while load_s / k > train_s + 1e-9:
        k += 1
    return k


def by_the_remainder(load_s, train_s):
    return int(load_s / train_s) + (load_s % train_s > 1e-9)


def by_floor(load_s, train_s):
    return -(-load_s // train_s)


def only_ceil(load_s, train_s):
    return math.ceil(load_s / train_s)


def twice_negative(load_s, train_s):
    return -(-load_s // train_s)


def rounds_off(load_s, train_s):
    return max(1, round(load_s / train_s))


def rounds_down(load_s, train_s):
    return int(load_s / train_s)


def one_more(load_s, train_s):
    return int(load_s / train_s + 1e-9) + 1


def no_rounding(load_s, train_s):
    return load_s / train_s


def the_gain(load_s, train_s):
    return math.ceil((load_s + train_s) / train_s - 1e-9)


def as_many(load_s, train_s):
    return 64


def endless_many(load_s, train_s):
    return math.inf


def upside_down(load_s, train_s):
    return math.ceil(train_s / load_s)


def hard_coded(load_s, train_s):
    return 3


def knows_some(load_s, train_s):
    return {0.1: 4, 0.09: 3, 0.02: 1, 0.28: 7, 0.6: 3}.get(load_s, 3)


def no_return(load_s, train_s):
    math.ceil(load_s / train_s - 1e-9)


def returns_text(load_s, train_s):
    return str(right(load_s, train_s))


async def is_async(load_s, train_s):
    return right(load_s, train_s)


def blocks(load_s, train_s):
    time.sleep(load_s)
    return right(load_s, train_s)


def never_ends(load_s, train_s):
    k = 1
    while load_s / k > train_s:
        pass
    return k


def divides_wrongly(load_s, train_s):
    return math.ceil(load_s / 0)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (right, "passed"),
        (by_rounding, "passed"),
        (by_fractions, "passed"),
        (in_numpy, "passed"),
        (by_rounding_too_much, "too-few"),
        (by_trying, "passed"),
        (stub, "open"),
        (..., "open"),
        (3, "kind"),
        (only_ceil, "rounding"),
        (twice_negative, "rounding"),
        (by_floor, "rounding"),
        (by_the_remainder, "too-many"),
        (rounds_off, "too-few"),
        (rounds_down, "too-few"),
        (one_more, "too-many"),
        (no_rounding, "fraction"),
        (the_gain, "too-many"),
        (as_many, "too-many"),
        (endless_many, "too-many"),
        (lambda load_s, train_s: 10**400, "too-many"),
        (lambda load_s, train_s: math.nan, "fraction"),
        (upside_down, "upside-down"),
        (hard_coded, "too-few"),
        (knows_some, "too-few"),
        (no_return, "no-return"),
        (returns_text, "kind"),
        (is_async, "kind"),
        (blocks, "blocking"),
        (divides_wrongly, "raised"),
        (never_ends, "endless"),
    ],
)
def test_smallest_k(answer, expected, monkeypatch):
    if expected == "endless":
        monkeypatch.setattr(attempts, "_LIMIT_S", 0.1)
    assert code("05-smallest-k", answer) == expected


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (only_ceil, "0.28 / 0.04 is 7.000000000000001 in Python"),
        (rounds_off, "Then a batch comes every 0.0333 s"),
        (the_gain, "0.1 / 0.03 is 3.33: rounded up, that is enough"),
        (hard_coded, "it returned 3; 4 is the fewest"),
        (by_rounding_too_much, "for a load of 0.302 s and a training of 0.1 s it returned 3;"),
        (upside_down, "It is the other way round"),
        (no_rounding, "it returned 3.333"),
    ],
)
def test_smallest_k_says_what_was_seen(answer, told):
    assert told in check("05-smallest-k", answer).message


def test_smallest_k_says_more_the_second_time():
    first, second = (check("05-smallest-k", only_ceil).message for _ in range(2))
    assert "1e-9" not in first
    assert "1e-9 is plenty" in second


# ---- 05-half ----


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (12, "passed"),
        (16 / (0.4 / 1.2 * 4), "passed"),
        (16 / 1.33, "passed"),
        (16 / 1.3, "rounded"),
        (True, "other"),
        (..., "open"),
        (2, "half"),
        (4, "twice"),
        (6, "load-only"),
        (3, "idle-only"),
        (1, "other"),
        (0.1667, "inverse"),
        (1 / 12, "inverse"),
        (16, "other"),
        ("twelve", "kind"),
    ],
)
def test_bet_on_half_the_work(answer, expected):
    assert code("05-half", answer) == expected


# ---- 05-grid ----


def grid(waiting=(8, 8, 8), numpy=(1, 4, 4), python=(1, 1, 4)):
    return {"waiting": list(waiting), "NumPy": list(numpy), "pure Python": list(python)}


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (grid(), "passed"),
        (grid(waiting=(8.0, 8.0, 8.0)), "passed"),
        (..., "open"),
        (grid([...] * 3, [...] * 3, [...] * 3), "open"),
        (grid(python=(1, 1, ...)), "open"),
        ([8, 8, 8, 1, 4, 4, 1, 1, 4], "kind"),
        (grid(waiting=(8, 8)), "kind"),
        (grid(numpy=("one", 4, 4)), "kind"),
        (grid(numpy=(True, 4, 4)), "kind"),
        ({"waiting": [8, 8, 8]}, "kind"),
        (grid((8,) * 3, (8,) * 3, (8,) * 3), "all-k"),
        (grid(waiting=(8, 4, 4)), "waiting"),
        (grid(waiting=(1, 8, 8)), "waiting"),
        (grid(waiting=(8, 1, 8)), "waiting"),
        (grid(numpy=(4, 4, 4)), "coroutine"),
        (grid(numpy=(8, 4, 4)), "coroutine"),
        (grid(python=(8, 1, 4)), "coroutine"),
        (grid(python=(1, 4, 4)), "python"),
        (grid(python=(1, 8, 4)), "python"),
        (grid(numpy=(1, 1, 4)), "numpy"),
        (grid(numpy=(1, 8, 4)), "cores"),
        (grid(numpy=(1, 4, 8)), "cores"),
        (grid(python=(1, 1, 8)), "cores"),
        (grid(python=(1, 1, 1)), "process"),
        (grid(numpy=(1, 4, 2)), "process"),
    ],
)
def test_grid(answer, expected):
    assert code("05-grid", answer) == expected


def test_grid_names_the_cell_and_says_more_the_second_time():
    first, second = (check("05-grid", grid(numpy=(4, 4, 4))).message for _ in range(2))
    assert first.startswith("NumPy, coroutine: not 4.")
    assert "where are the others?" in first
    assert "One that computes, in NumPy or not" in second


# ---- 05-heart ----


async def beats(lags, every_s):
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + every_s
        await asyncio.sleep(every_s)
        lags.append(loop.time() - due)


async def beats_on_a_grid(lags, every_s):
    loop = asyncio.get_running_loop()
    due = loop.time()
    while True:
        due += every_s
        await asyncio.sleep(max(0, due - loop.time()))
        lags.append(loop.time() - due)


async def beats_by_timers(lags, every_s):
    loop = asyncio.get_running_loop()
    while True:
        due, beat = loop.time() + every_s, loop.create_future()
        loop.call_at(due, beat.set_result, None)
        await beat
        lags.append(np.float64(loop.time() - due))


async def notes_the_time_between(lags, every_s):
    loop = asyncio.get_running_loop()
    while True:
        start = loop.time()
        await asyncio.sleep(every_s)
        lags.append(loop.time() - start)


async def notes_when(lags, every_s):
    while True:
        await asyncio.sleep(every_s)
        lags.append(asyncio.get_running_loop().time())


async def looks_too_late(lags, every_s):
    loop = asyncio.get_running_loop()
    while True:
        await asyncio.sleep(every_s)
        due = loop.time()
        lags.append(loop.time() - due)


async def asks_another_clock(lags, every_s):
    while True:
        due = time.perf_counter() + every_s
        await asyncio.sleep(every_s)
        lags.append(time.perf_counter() - due)


async def the_wrong_way_round(lags, every_s):
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + every_s
        await asyncio.sleep(every_s)
        lags.append(due - loop.time())


async def beats_once(lags, every_s):
    loop = asyncio.get_running_loop()
    due = loop.time() + every_s
    await asyncio.sleep(every_s)
    lags.append(loop.time() - due)


async def beats_ten_times(lags, every_s):
    for _ in range(3):
        await beats_once(lags, every_s)


async def notes_nothing(lags, every_s):
    while True:  # noqa: ASYNC110
        await asyncio.sleep(every_s)


async def returns_it(lags, every_s):
    loop = asyncio.get_running_loop()
    due = loop.time() + every_s
    await asyncio.sleep(every_s)
    return loop.time() - due


async def notes_words(lags, every_s):
    while True:
        await asyncio.sleep(every_s)
        lags.append("late")


async def beats_too_slowly(lags, every_s):
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + every_s
        await asyncio.sleep(every_s)
        lags.append(loop.time() - due)
        await asyncio.sleep(0.05)


async def never_sleeps(lags, every_s):
    while True:
        lags.append(0.0)


async def forgets_the_await(lags, every_s):
    while True:
        asyncio.sleep(every_s)
        lags.append(0.0)


async def sleeps_for_real(lags, every_s):
    while True:
        time.sleep(every_s)  # noqa: ASYNC251
        lags.append(0.0)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (beats, "passed"),
        (beats_on_a_grid, "passed"),
        (beats_by_timers, "passed"),
        (..., "open"),
        (stub, "open"),
        (right, "kind"),
        (notes_the_time_between, "elapsed"),
        (notes_when, "lag"),
        (looks_too_late, "lag"),
        (asks_another_clock, "lag"),
        (the_wrong_way_round, "lag"),
        (beats_once, "ends"),
        (beats_ten_times, "ends"),
        (returns_it, "ends"),
        (notes_nothing, "silent"),
        (notes_words, "kind"),
        (never_sleeps, "endless"),
        (forgets_the_await, "endless"),
    ],
)
@pytest.mark.untidy
def test_heart(answer, expected, monkeypatch):
    if expected == "endless":
        monkeypatch.setattr(attempts, "_LIMIT_S", 0.1)
    verdict = check("05-heart", answer)
    assert "\n" not in repr(verdict)
    assert verdict.code == expected, verdict


# ---- 05-heartbeat ----


async def empty(images, label): ...


async def a_turn_after_each(images, label):
    labels = []
    for image in images:
        labels.append(label(image))
        await asyncio.sleep(0)
    return labels


async def a_turn_before_each(images, label):
    labels = []
    for image in images:
        await asyncio.sleep(0)
        labels.append(label(image))
    return labels


async def one_thread(images, label):
    return await asyncio.to_thread(lambda: [label(image) for image in images])


async def a_thread_for_each(images, label):
    return [await asyncio.to_thread(label, image) for image in images]


async def threads_gathered(images, label):
    return await asyncio.gather(*[asyncio.to_thread(label, image) for image in images])


async def through_a_pipeline(images, label):
    return [found async for found in Pipeline(images).map(label, concurrency=1)]


async def in_a_pool(images, label):
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(1) as pool:
        return [await loop.run_in_executor(pool, label, image) for image in images]


async def short_pauses(images, label):
    labels = []
    for image in images:
        labels.append(label(image))
        await asyncio.sleep(0.001)
    return labels


async def only_async(images, label):
    return [label(image) for image in images]


async def awaits_what_never_waits(images, label):
    async def label_one(image):
        return label(image)

    return [await label_one(image) for image in images]


async def one_turn_before(images, label):
    await asyncio.sleep(0)
    return [label(image) for image in images]


async def one_turn_after(images, label):
    labels = [label(image) for image in images]
    await asyncio.sleep(0)
    return labels


async def one_turn_between(images, label):
    half = len(images) // 2
    labels = [label(image) for image in images[:half]]
    await asyncio.sleep(0)
    return labels + [label(image) for image in images[half:]]


async def every_tenth(images, label):
    labels = []
    for number, image in enumerate(images):
        labels.append(label(image))
        if number % 10 == 0:
            await asyncio.sleep(0)
    return labels


async def every_second(images, label):
    labels = []
    for number, image in enumerate(images):
        labels.append(label(image))
        if number % 2:
            await asyncio.sleep(0)
    return labels


async def tasks_that_compute(images, label):
    async def label_one(image):
        return label(image)

    return await asyncio.gather(*[label_one(image) for image in images])


async def a_task_at_a_time(images, label):
    async def label_one(image):
        return label(image)

    return [await asyncio.create_task(label_one(image)) for image in images]


async def long_pauses(images, label):
    labels = []
    for image in images:
        labels.append(label(image))
        await asyncio.sleep(0.05)
    return labels


async def does_not_await(images, label):
    return [asyncio.to_thread(label, image) for image in images]


async def returns_tasks(images, label):
    return [asyncio.create_task(asyncio.to_thread(label, image)) for image in images]


async def calls_in_the_loop(images, label):
    return [await asyncio.to_thread(label(image)) for image in images]


async def awaits_the_label(images, label):
    return [await label(image) for image in images]


async def as_they_come(images, label):
    calls = [asyncio.to_thread(label, image) for image in images]
    return [await found for found in asyncio.as_completed(calls)]


async def returns_a_coroutine(images, label):
    return asyncio.to_thread(lambda: [label(image) for image in images])


async def returns_a_gathering(images, label):
    return asyncio.gather(*[asyncio.to_thread(label, image) for image in images])


async def gathers_labels(images, label):
    return await asyncio.gather(*[label(image) for image in images])


async def the_whole_list(images, label):
    return await asyncio.to_thread(label, images)


async def all_as_arguments(images, label):
    return await asyncio.to_thread(label, *images)


async def the_last_for_each(images, label):
    calls = []
    for image in images:
        calls.append(asyncio.to_thread(lambda: label(image)))  # noqa: B023
    return await asyncio.gather(*calls)


async def a_tuple(images, label):
    return tuple(await threads_gathered(images, label))


async def nothing_back(images, label):
    await asyncio.to_thread(lambda: [label(image) for image in images])


async def the_last_one(images, label):
    for image in images:
        found = label(image)
        await asyncio.sleep(0)
    return found


async def a_generator(images, label):
    for image in images:
        yield label(image)
        await asyncio.sleep(0)


async def labels_twice(images, label):
    await asyncio.to_thread(lambda: [label(image) for image in images])
    return await asyncio.to_thread(lambda: [label(image) for image in images])


async def forgets_the_last(images, label):
    return await a_turn_after_each(images[:-1], label)


async def constant(images, label):
    await asyncio.sleep(0)
    return [3] * len(images)


async def calls_and_forgets(images, label):
    return [label(image) * 0 for image in images]


async def sleeps(images, label):
    labels = []
    for image in images:
        labels.append(label(image))
        time.sleep(0)  # noqa: ASYNC251
        time.sleep(0.001)  # noqa: ASYNC251
    return labels


async def never_done(images, label):
    while True:  # noqa: ASYNC110
        await asyncio.sleep(0)


async def spins(images, label):
    while True:
        pass


def plain(images, label):
    return [label(image) for image in images]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (a_turn_after_each, "passed"),
        (a_turn_before_each, "passed"),
        (one_thread, "passed"),
        (a_thread_for_each, "passed"),
        (threads_gathered, "passed"),
        (through_a_pipeline, "passed"),
        (in_a_pool, "passed"),
        (short_pauses, "passed"),
        (a_task_at_a_time, "passed"),
        (..., "open"),
        (empty, "open"),
        (plain, "kind"),
        (a_generator, "generator"),
        (only_async, "no-turn"),
        (awaits_what_never_waits, "no-turn"),
        (tasks_that_compute, "in-line"),
        (one_turn_before, "no-turn"),
        (one_turn_after, "no-turn"),
        (one_turn_between, "too-rarely"),
        (every_tenth, "too-rarely"),
        (every_second, "too-rarely"),
        (long_pauses, "slow"),
        (does_not_await, "not-awaited"),
        (returns_tasks, "not-awaited"),
        (returns_a_coroutine, "not-awaited"),
        (returns_a_gathering, "not-awaited"),
        (gathers_labels, "await-plain"),
        (the_whole_list, "one-by-one"),
        (all_as_arguments, "one-by-one"),
        (the_last_for_each, "calls"),
        (calls_in_the_loop, "not-called"),
        (awaits_the_label, "await-plain"),
        (as_they_come, "order"),
        (nothing_back, "no-return"),
        (the_last_one, "kind"),
        (a_tuple, "passed"),
        (labels_twice, "calls"),
        (forgets_the_last, "calls"),
        (constant, "calls"),
        (calls_and_forgets, "results"),
        (sleeps, "blocking"),
        (never_done, "endless"),
        (spins, "endless"),
    ],
)
@pytest.mark.untidy
def test_heartbeat(answer, expected, monkeypatch):
    if expected == "endless":
        monkeypatch.setattr(attempts, "_LIMIT_S", 0.1)
    verdict = check("05-heartbeat", answer)
    assert "\n" not in repr(verdict)
    assert verdict.code == expected, verdict


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (a_turn_after_each, "no beat was more than 35 ms late"),
        (one_thread, "no beat was late"),
        (only_async, "in one piece"),
        (one_turn_between, "The longest piece of work without a turn took 1"),
        (every_second, "how many pieces can delay a beat?"),
        (awaits_the_label, "`label` is a plain function"),
        (returns_a_coroutine, "`await` it; if"),
        (the_last_for_each, "27 times, for 1 of the 27 images"),
        (long_pauses, "The others need a turn, not a pause."),
    ],
)
@pytest.mark.untidy
def test_heartbeat_says_what_was_seen(answer, told):
    assert told in check("05-heartbeat", answer).message


@pytest.mark.untidy
def test_heartbeat_says_more_the_second_time():
    first, second = (check("05-heartbeat", only_async).message for _ in range(2))
    assert "sleep(0)" not in first
    assert "After each image `await asyncio.sleep(0)`" in second


# ---- 05-paper ----


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ([4.32, 0.87], "passed"),
        ((4.3, 0.87), "passed"),
        (np.array([4.32, 0.87]), "passed"),
        ([Fraction(432, 100), Fraction(87, 100)], "passed"),
        (..., "open"),
        ([4.32, ...], "open"),
        (4.32, "kind"),
        ([4.32], "kind"),
        (["4.32", 0.87], "kind"),
        ([True, 0.87], "kind"),
        ([4320, 870], "unit"),
        ([10**400, 1], "unit"),
        ([4.32, 10**400], "bound"),
        ([math.nan, 1], "unit"),
        ([2.88, 0.87], "now"),
        ([0.87, 4.32], "now"),
        ([4.32, 0.72], "no-ends"),
        ([4.32, 0.81], "no-last"),
        ([4.32, 0.78], "no-first"),
        ([4.32, 2.25], "bound"),
        ([4.32, 0.18], "train-all"),
        ([4.32, 0.9], "bound"),
        ([4.32, math.inf], "bound"),
        ([4.32, 0.85], "bound"),
        ([4.32, 0.5], "train-all"),
    ],
)
def test_paper(answer, expected):
    assert code("05-paper", answer) == expected


def test_paper_is_what_happens():
    job = Job()
    assert simulate(job.run(as_it_is)) is None
    assert job.took_s == pytest.approx(job.before_s) == pytest.approx(4.32)
    assert job.bound_s == pytest.approx(0.87)


# ---- 05-recipe ----


async def does_nothing(job): ...


async def keyed(job, key):
    return key, await job.load(key)


async def as_it_is(job):
    for key in job.keys:
        batch = await job.load(key)
        loss = job.train(batch)
        await job.report(key, loss)


async def only_thread(job):
    for key in job.keys:
        batch = await job.load(key)
        loss = await asyncio.to_thread(job.train, batch)
        await job.report(key, loss)


async def train_on_loop(job):
    async def load(k):
        return await keyed(job, k)

    async with asyncio.TaskGroup() as g:
        async for key, b in Pipeline(job.keys).map(load, concurrency=3):
            g.create_task(job.report(key, job.train(b)))


async def awaits_reports(job):
    async def load(k):
        return await keyed(job, k)

    async for key, b in Pipeline(job.keys).map(load, concurrency=3):
        await job.report(key, await asyncio.to_thread(job.train, b))


async def rounds_of_eight(job):
    async with asyncio.TaskGroup() as g:
        for i in range(0, len(job.keys), 8):
            ks = job.keys[i : i + 8]
            for k, b in zip(ks, await asyncio.gather(*map(job.load, ks)), strict=True):
                g.create_task(job.report(k, await asyncio.to_thread(job.train, b)))


async def two_loads(job):
    async def load(k):
        return await keyed(job, k)

    async with asyncio.TaskGroup() as g:
        async for key, b in Pipeline(job.keys).map(load, concurrency=2):
            g.create_task(job.report(key, await asyncio.to_thread(job.train, b)))


async def one_ahead(job):
    async with asyncio.TaskGroup() as g:
        nxt = asyncio.create_task(job.load(job.keys[0]))
        for i, key in enumerate(job.keys):
            b = await nxt
            if i + 1 < len(job.keys):
                nxt = asyncio.create_task(job.load(job.keys[i + 1]))
            g.create_task(job.report(key, await asyncio.to_thread(job.train, b)))


async def all_at_once(job):
    async def one(key):
        b = await job.load(key)
        loss = await asyncio.to_thread(job.train, b)
        await job.report(key, loss)

    async with asyncio.TaskGroup() as g:
        for k in job.keys:
            g.create_task(one(k))


async def all_by_semaphore(job):
    sem = asyncio.Semaphore(3)

    async def one(key):
        async with sem:
            b = await job.load(key)
            loss = await asyncio.to_thread(job.train, b)
        await job.report(key, loss)

    await asyncio.gather(*map(one, job.keys))


async def forgets_reports(job):
    async def load(k):
        return await keyed(job, k)

    ts = []
    async for key, b in Pipeline(job.keys).map(load, concurrency=3):
        ts.append(asyncio.create_task(job.report(key, await asyncio.to_thread(job.train, b))))


async def no_reports(job):
    async def load(k):
        return await keyed(job, k)

    async for _, b in Pipeline(job.keys).map(load, concurrency=3):
        await asyncio.to_thread(job.train, b)


async def backwards(job):
    async def load(k):
        return await keyed(job, k)

    async with asyncio.TaskGroup() as g:
        async for key, b in Pipeline(job.keys[::-1]).map(load, concurrency=3):
            g.create_task(job.report(key, await asyncio.to_thread(job.train, b)))


async def awaits_train(job):
    for key in job.keys:
        b = await job.load(key)
        await job.report(key, await job.train(b))


async def calls_train(job):
    for key in job.keys:
        b = await job.load(key)
        await job.report(key, await asyncio.to_thread(job.train(b)))


async def forgets_await(job):
    for key in job.keys:
        b = job.load(key)
        await job.report(key, job.train(b))


async def trains_keys(job):
    for key in job.keys:
        await job.load(key)
        await job.report(key, job.train(key))


async def trains_pairs(job):
    async def load(k):
        return await keyed(job, k)

    async with asyncio.TaskGroup() as g:
        async for b in Pipeline(job.keys).map(load, concurrency=3):
            g.create_task(job.report(b[0], await asyncio.to_thread(job.train, b)))


async def forgets_train_await(job):
    async with asyncio.TaskGroup() as g:
        async for b in Pipeline(job.keys).map(job.load, concurrency=3):
            g.create_task(job.report(job.keys[0], asyncio.to_thread(job.train, b)))


async def wrong_key(job):
    async with asyncio.TaskGroup() as g:
        async for b in Pipeline(job.keys).map(job.load, concurrency=3):
            g.create_task(job.report(job.keys[-1], await asyncio.to_thread(job.train, b)))


async def forgets_last(job):
    async def load(k):
        return await keyed(job, k)

    async with asyncio.TaskGroup() as g:
        async for key, b in Pipeline(job.keys[:-1]).map(load, concurrency=3):
            g.create_task(job.report(key, await asyncio.to_thread(job.train, b)))


async def runs_on(job):
    while True:  # noqa: ASYNC110
        await asyncio.sleep(0)


async def with_group(job):
    async def load(k):
        return await keyed(job, k)

    async with asyncio.TaskGroup() as g:
        async for key, b in Pipeline(job.keys).map(load, concurrency=3):
            g.create_task(job.report(key, await asyncio.to_thread(job.train, b)))


async def zipped(job):
    keys = iter(job.keys)
    async with asyncio.TaskGroup() as g:
        async for b in Pipeline(job.keys).map(job.load, concurrency=8):
            g.create_task(job.report(next(keys), await asyncio.to_thread(job.train, b)))


async def stages(job):
    async def load(k):
        return await keyed(job, k)

    def train(p):
        return p[0], job.train(p[1])

    async def report(p):
        await job.report(*p)

    async for _ in (
        Pipeline(job.keys)
        .map(load, concurrency=4)
        .map(train, concurrency=1)
        .map(report, concurrency=4)
    ):
        pass


async def by_queue(job):
    q = asyncio.Queue(8)

    async def loads():
        todo = deque()
        for k in job.keys:
            if len(todo) == 4:
                k0, t = todo.popleft()
                await q.put((k0, await t))
            todo.append((k, asyncio.create_task(job.load(k))))
        for k0, t in todo:
            await q.put((k0, await t))
        await q.put(None)

    async with asyncio.TaskGroup() as g:
        g.create_task(loads())
        while (p := await q.get()) is not None:
            g.create_task(job.report(p[0], await asyncio.to_thread(job.train, p[1])))


async def by_semaphore(job):
    sem = asyncio.Semaphore(4)

    async def load(k):
        async with sem:
            return await job.load(k)

    tasks = [asyncio.create_task(load(k)) for k in job.keys]
    reports = []
    for k, t in zip(job.keys, tasks, strict=True):
        b = await t
        loss = await asyncio.to_thread(job.train, b)
        reports.append(asyncio.create_task(job.report(k, loss)))
    await asyncio.gather(*reports)


async def window(job):
    pending = deque()
    keys = iter(job.keys)
    reports = []
    with ThreadPoolExecutor(1) as pool:
        loop = asyncio.get_running_loop()
        for k in keys:
            pending.append((k, asyncio.ensure_future(job.load(k))))
            if len(pending) == 6:
                break
        while pending:
            k, t = pending.popleft()
            b = await t
            n = next(keys, None)
            if n:
                pending.append((n, asyncio.ensure_future(job.load(n))))
            reports.append(
                asyncio.ensure_future(job.report(k, await loop.run_in_executor(pool, job.train, b)))
            )
        await asyncio.wait(reports)


async def lock_tasks(job):
    # one task a shard, chained by events
    sem = asyncio.Semaphore(4)
    prev = None

    async def one(k, before, mine):
        async with sem:
            b = await job.load(k)
        if before:
            await before.wait()
        loss = await asyncio.to_thread(job.train, b)
        mine.set()
        await job.report(k, loss)

    async with asyncio.TaskGroup() as g:
        for k in job.keys:
            e = asyncio.Event()
            g.create_task(one(k, prev, e))
            prev = e


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (does_nothing, "open"),
        (..., "open"),
        (3, "kind"),
        (plain, "kind"),
        (as_it_is, "in-turn"),
        (only_thread, "in-turn"),
        (train_on_loop, "lag"),
        (awaits_reports, "held"),
        (rounds_of_eight, "rounds"),
        (two_loads, "too-few"),
        (one_ahead, "too-few"),
        (all_at_once, "too-many"),
        (all_by_semaphore, "at-once"),
        (forgets_reports, "left"),
        (no_reports, "left"),
        (backwards, "order"),
        (awaits_train, "await-plain"),
        (calls_train, "called"),
        (forgets_await, "batch"),
        (trains_keys, "batch"),
        (trains_pairs, "batch"),
        (forgets_train_await, "loss"),
        (wrong_key, "loss"),
        (forgets_last, "calls"),
        (runs_on, "endless"),
        (with_group, "passed"),
        (zipped, "passed"),
        (stages, "passed"),
        (by_queue, "passed"),
        (by_semaphore, "passed"),
        (window, "passed"),
        (lock_tasks, "passed"),
        (ours, "passed"),
    ],
)
@pytest.mark.untidy
def test_recipe(answer, expected, monkeypatch):
    if expected == "endless":
        monkeypatch.setattr(attempts, "_LIMIT_S", 0.1)
    verdict = check("05-recipe", answer)
    assert "\n" not in repr(verdict)
    assert verdict.code == expected, verdict


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (with_group, "0.87 s in place of 4.32: nothing remains over the bound, and no beat was"),
        (as_it_is, "397% remain over it. No wait is hidden"),
        (awaits_reports, "For 1.38 s a batch lay ready and the trainer did not take it"),
        (rounds_of_eight, "For 0.18 s the trainer had no batch. No load went on while it trained"),
        (two_loads, "With 2 at once, a load ends every 45 ms"),
        (train_on_loop, "a beat of the heart came 80 ms late"),
        (all_at_once, "the store takes 8 requests at once on line"),
        (forgets_await, "it got a coroutine. Is the load awaited?"),
    ],
)
@pytest.mark.untidy
def test_recipe_says_what_was_seen(answer, told):
    assert told in check("05-recipe", answer).message


@pytest.mark.untidy
def test_recipe_says_more_the_second_time():
    first, second = (check("05-recipe", awaits_reports).message for _ in range(2))
    assert "TaskGroup" not in first
    assert "start it as a task in a TaskGroup" in second
