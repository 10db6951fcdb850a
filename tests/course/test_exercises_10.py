"""The checks of lesson 10: right answers pass, each typical wrong one gets a hint of its own."""

# ruff: noqa: ASYNC110, ASYNC251, B905, SIM105  # answers are as learners write them

import asyncio
import time

import numpy as np
import pytest

import asyncml as aml
from asyncml.course.exercises import attempts, check
from asyncml.course.exercises.lesson_10 import two_timelines


def code(name, answer):
    verdict = check(name, answer)
    assert "\n" not in repr(verdict)
    return verdict.code


# ---- batchers ----


async def stub(queue, model, most): ...


async def take(queue, most):
    batch = [await queue.get()]
    while len(batch) < most and not queue.empty():
        batch.append(queue.get_nowait())
    return batch


async def full(queue, model, most):
    while True:
        batch = [await queue.get() for _ in range(most)]
        outputs = await asyncio.to_thread(model, [x for x, _ in batch])
        for (_, answer), output in zip(batch, outputs):
            answer.set_result(output)


async def idle(queue, model, most):
    while True:
        batch = await take(queue, most)
        outputs = await asyncio.to_thread(model, [x for x, _ in batch])
        for (_, answer), output in zip(batch, outputs):
            answer.set_result(output)


async def with_arrays(queue, model, most):
    while True:
        batch = await take(queue, most)
        outputs = await asyncio.to_thread(model, np.array([x for x, _ in batch]))
        for place, output in enumerate(np.array(outputs)):
            answer = batch[place][1]
            answer.set_result(output)


async def run(model, batch):
    batch = [(x, answer) for x, answer in batch if not answer.done()]
    if not batch:
        return
    try:
        outputs = await asyncio.to_thread(model, [x for x, _ in batch])
    except Exception as error:
        if len(batch) > 1:
            for one in batch:
                await run(model, [one])
        elif not batch[0][1].done():
            batch[0][1].set_exception(error)
    else:
        for (_, answer), output in zip(batch, outputs):
            if not answer.done():
                answer.set_result(output)


async def right(queue, model, most):
    while True:
        await run(model, await take(queue, most))


async def halve(model, batch):
    batch = [(x, answer) for x, answer in batch if not answer.done()]
    try:
        outputs = await asyncio.to_thread(model, [x for x, _ in batch]) if batch else []
        for (_, answer), output in zip(batch, outputs):
            if not answer.cancelled():
                answer.set_result(output)
    except Exception as error:
        if len(batch) == 1:
            if not batch[0][1].done():
                batch[0][1].set_exception(error)
            return
        await halve(model, batch[: len(batch) // 2])
        await halve(model, batch[len(batch) // 2 :])


async def by_halves(queue, model, most):
    while True:
        await halve(model, await take(queue, most))


async def on_the_loop(queue, model, most):
    while True:
        batch = await take(queue, most)
        for (_, answer), output in zip(batch, model([x for x, _ in batch])):
            answer.set_result(output)


async def alone(queue, model, most):
    while True:
        x, answer = await queue.get()
        answer.set_result((await asyncio.to_thread(model, [x]))[0])


async def everything(queue, model, most):
    while True:
        batch = await take(queue, 1000)
        outputs = await asyncio.to_thread(model, [x for x, _ in batch])
        for (_, answer), output in zip(batch, outputs):
            answer.set_result(output)


async def once(queue, model, most):
    batch = await take(queue, most)
    outputs = await asyncio.to_thread(model, [x for x, _ in batch])
    for (_, answer), output in zip(batch, outputs):
        answer.set_result(output)


async def silent(queue, model, most):
    while True:
        batch = await take(queue, most)
        await asyncio.to_thread(model, [x for x, _ in batch])


async def pairs(queue, model, most):
    while True:
        await asyncio.to_thread(model, await take(queue, most))


async def generator(queue, model, most):
    while True:
        batch = await take(queue, most)
        await asyncio.to_thread(model, {x for x, _ in batch})


async def whole(queue, model, most):
    while True:
        batch = await take(queue, most)
        outputs = await asyncio.to_thread(model, [x for x, _ in batch])
        for _, answer in batch:
            answer.set_result(outputs)


async def backwards(queue, model, most):
    while True:
        batch = await take(queue, most)
        outputs = await asyncio.to_thread(model, [x for x, _ in batch])
        while batch:
            batch.pop()[1].set_result(outputs.pop(0))


async def rows_back(queue, model, most):
    while True:
        batch = await take(queue, most)
        await asyncio.to_thread(model, [x for x, _ in batch])
        for x, answer in batch:
            answer.set_result(-x)


async def awaits_the_model(queue, model, most):
    while True:
        batch = await take(queue, most)
        await model([x for x, _ in batch])


async def awaits_the_model_in_a_thread(queue, model, most):
    while True:
        batch = await take(queue, most)
        await (await asyncio.to_thread(model, [x for x, _ in batch]))


async def empties(queue, model, most):
    while True:
        batch = [await queue.get()] + [queue.get_nowait() for _ in range(most)]
        await asyncio.to_thread(model, [x for x, _ in batch])


async def all_at_once(queue, model, most):
    async def answer_them(batch):
        outputs = await asyncio.to_thread(model, [x for x, _ in batch])
        for (_, answer), output in zip(batch, outputs):
            answer.set_result(output)

    async with asyncio.TaskGroup() as group:
        while True:
            group.create_task(answer_them(await take(queue, most)))


async def timer(queue, model, most):
    while True:
        batch = [await queue.get()]
        try:
            async with asyncio.timeout(0.8):
                while len(batch) < most:
                    batch.append(await queue.get())
        except TimeoutError:
            pass
        outputs = await asyncio.to_thread(model, [x for x, _ in batch])
        for (_, answer), output in zip(batch, outputs):
            answer.set_result(output)


async def early(queue, model, most):
    place = asyncio.Semaphore(1)

    async def answer_them(batch):
        outputs = await asyncio.to_thread(model, [x for x, _ in batch])
        for (_, answer), output in zip(batch, outputs):
            answer.set_result(output)
        place.release()

    async with asyncio.TaskGroup() as group:
        while True:
            batch = await take(queue, most)
            await place.acquire()
            group.create_task(answer_them(batch))


async def late(queue, model, most):
    place = asyncio.Semaphore(1)

    async def answer_them(batch):
        outputs = await asyncio.get_running_loop().run_in_executor(
            None, model, [x for x, _ in batch]
        )
        place.release()
        for (_, answer), output in zip(batch, outputs):
            answer.set_result(output)

    async with asyncio.TaskGroup() as group:
        while True:
            await place.acquire()
            group.create_task(answer_them(await take(queue, most)))


async def each_in_a_thread(queue, model, most):
    while True:
        batch = await take(queue, most)
        calls = [asyncio.to_thread(model, [x]) for x, _ in batch]
        for (_, answer), call in zip(batch, asyncio.as_completed(calls)):
            answer.set_result((await call)[0])


async def drops(queue, model, most):
    while True:
        batch = [(x, answer) for x, answer in await take(queue, most) if not answer.done()]
        try:
            outputs = await asyncio.to_thread(model, [x for x, _ in batch]) if batch else []
        except ValueError:
            continue
        for (_, answer), output in zip(batch, outputs):
            if not answer.done():
                answer.set_result(output)


async def tells_everybody(queue, model, most):
    while True:
        batch = [(x, answer) for x, answer in await take(queue, most) if not answer.done()]
        try:
            outputs = await asyncio.to_thread(model, [x for x, _ in batch]) if batch else []
        except Exception as error:
            for _, answer in batch:
                if not answer.done():
                    answer.set_exception(error)
            continue
        for (_, answer), output in zip(batch, outputs):
            if not answer.done():
                answer.set_result(output)


async def none_for_the_bad(queue, model, most):
    while True:
        for x, answer in await take(queue, most):
            if not answer.done():
                try:
                    output = (await asyncio.to_thread(model, [x]))[0]
                except ValueError:
                    output = None
                if not answer.done():
                    answer.set_result(output)


async def runs_ghosts(queue, model, most):
    while True:
        batch = await take(queue, most)
        pieces = [batch]
        while pieces:
            piece = pieces.pop()
            try:
                outputs = await asyncio.to_thread(model, [x for x, _ in piece])
            except Exception as error:
                if len(piece) == 1:
                    piece[0][1].set_exception(error)
                else:
                    pieces += [[one] for one in reversed(piece)]
                continue
            for (_, answer), output in zip(piece, outputs):
                if not answer.done():
                    answer.set_result(output)


async def empty_batches(queue, model, most):
    while True:
        batch = [(x, answer) for x, answer in await take(queue, most) if not answer.done()]
        outputs = await asyncio.to_thread(model, [x for x, _ in batch])
        for (_, answer), output in zip(batch, outputs):
            if not answer.done():
                answer.set_result(output)


async def zips_what_is_left(queue, model, most):
    while True:
        batch = [(x, answer) for x, answer in await take(queue, most) if not answer.done()]
        if batch:
            outputs = await asyncio.to_thread(model, [x for x, _ in batch])
            left = [answer for _, answer in batch if not answer.done()]
            for answer, output in zip(left, outputs):
                answer.set_result(output)


async def swallows(queue, model, most):
    while True:
        try:
            await run(model, await take(queue, most))
        except asyncio.CancelledError:
            pass


async def polls(queue, model, most):
    while True:
        while queue.empty():
            await asyncio.sleep(0.05)
        await run(model, await take(queue, most))


async def sleeps(queue, model, most):
    while True:
        batch = await take(queue, most)
        time.sleep(0.2)
        await run(model, batch)


async def endless(queue, model, most):
    while True:
        pass


async def generates(queue, model, most):
    yield await queue.get()


async def wrong_signature(queue):
    await queue.get()


async def a_typo(queue, model, most):
    batch = await queue.get()
    batch.append(1)


def plain(queue, model, most):
    return queue.get()


async def sets_exceptions(queue, model, most):
    while True:
        batch = await take(queue, most)
        outputs = await asyncio.to_thread(model, [x for x, _ in batch])
        for (_, answer), output in zip(batch, outputs):
            answer.set_exception(ValueError(output))


async def sets_twice(queue, model, most):
    while True:
        batch = await take(queue, most)
        outputs = await asyncio.to_thread(model, [x for x, _ in batch])
        for (_, answer), output in zip(batch + batch, outputs + outputs):
            answer.set_result(output)


async def loses_some(queue, model, most):
    while True:
        batch = (await take(queue, 1000))[:most]
        outputs = await asyncio.to_thread(model, [x for x, _ in batch])
        for (_, answer), output in zip(batch, outputs):
            answer.set_result(output)


COMMON = [
    (sets_exceptions, "failed"),
    (sets_twice, "twice"),
    (loses_some, "lost"),
    (stub, "open"),
    (..., "open"),
    (None, "open"),
    (3, "kind"),
    (plain, "kind"),
    (generates, "kind"),
    (on_the_loop, "on-the-loop"),
    (everything, "too-large"),
    (once, "ended"),
    (silent, "never-set"),
    (pairs, "pairs"),
    (generator, "rows"),
    (whole, "whole"),
    (backwards, "mixed"),
    (rows_back, "results"),
    (awaits_the_model, "await-plain"),
    (awaits_the_model_in_a_thread, "await-plain"),
    (empties, "queue-empty"),
    (sleeps, "blocking"),
    (alone, "one-by-one"),
    (wrong_signature, "kind"),
    (a_typo, "raised"),
]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        *COMMON,
        (full, "passed"),
        (idle, "passed"),
        (with_arrays, "passed"),
        (right, "passed"),
        (by_halves, "passed"),
        (timer, "passed"),
        (late, "passed"),
        (each_in_a_thread, "at-once"),
        (all_at_once, "at-once"),
    ],
)
def test_serve(answer, expected):
    assert code("10-serve", answer) == expected


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        *COMMON,
        (idle, "passed"),
        (with_arrays, "passed"),
        (right, "passed"),
        (by_halves, "passed"),
        (full, "full"),
        (timer, "timer"),
        (polls, "timer"),
        (late, "passed"),
        (early, "left-behind"),
        (each_in_a_thread, "at-once"),
        (all_at_once, "at-once"),
    ],
)
def test_idle(answer, expected):
    assert code("10-idle", answer) == expected


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        *COMMON,
        (right, "passed"),
        (by_halves, "passed"),
        (full, "full"),
        (idle, "cancelled"),
        (timer, "timer"),
        (drops, "dropped"),
        (tells_everybody, "whole-batch"),
        (none_for_the_bad, "one-by-one"),
        (runs_ghosts, "ghost"),
        (empty_batches, "empty"),
        (zips_what_is_left, "mixed"),
        (swallows, "swallows"),
        (polls, "timer"),
    ],
)
def test_batcher(answer, expected):
    assert code("10-batcher", answer) == expected


async def dies(queue, model, most):
    while True:
        batch = [(x, answer) for x, answer in await take(queue, most) if not answer.done()]
        outputs = await asyncio.to_thread(model, [x for x, _ in batch]) if batch else []
        for (_, answer), output in zip(batch, outputs):
            if not answer.done():
                answer.set_result(output)


async def run_or_cancel(model, batch):
    batch = [(x, answer) for x, answer in batch if not answer.done()]
    try:
        outputs = await asyncio.to_thread(model, [x for x, _ in batch]) if batch else []
    except ValueError:
        if len(batch) == 1:
            batch[0][1].cancel()
            return
        for one in batch:
            await run_or_cancel(model, [one])
        return
    for (_, answer), output in zip(batch, outputs):
        if not answer.done():
            answer.set_result(output)


async def untold(queue, model, most):
    while True:
        await run_or_cancel(model, await take(queue, most))


async def an_error_as_result(queue, model, most):
    while True:
        batch = [(x, answer) for x, answer in await take(queue, most) if not answer.done()]
        try:
            outputs = await asyncio.to_thread(model, [x for x, _ in batch]) if batch else []
        except Exception:
            outputs = []
            for x, _ in batch:
                try:
                    outputs += await asyncio.to_thread(model, [x])
                except Exception as error:
                    outputs.append(error)
        for (_, answer), output in zip(batch, outputs):
            if not answer.done():
                answer.set_result(output)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [(dies, "died"), (untold, "untold"), (an_error_as_result, "untold")],
)
def test_a_bad_row(answer, expected):
    assert code("10-batcher", answer) == expected


@pytest.mark.parametrize("name", ["10-serve", "10-idle", "10-batcher"])
def test_one_that_does_not_end(name, monkeypatch):
    monkeypatch.setattr(attempts, "_LIMIT_S", 0.1)
    assert code(name, endless) == "endless"


def test_it_says_what_was_seen_and_more_the_second_time():
    first, second = (check("10-idle", full).message for _ in range(2))
    assert first.startswith("1 of 1 requests were never answered: they wait for a batch of 4")
    assert "get_nowait" not in first
    assert "get_nowait" in second


# ---- 10-deadline ----


def no_size(seconds, most, deadline_s): ...


def fits(seconds, most, deadline_s):
    return [n for n in range(1, most + 1) if 2 * seconds(n) <= deadline_s + 1e-9]


def best(seconds, most, deadline_s):
    return max(fits(seconds, most, deadline_s), key=lambda n: n / seconds(n), default=None)


def best_in_a_loop(seconds, most, deadline_s):
    found, rate = None, 0
    for size in range(1, most + 1):
        if 2 * seconds(size) <= deadline_s and size / seconds(size) > rate:
            found, rate = size, size / seconds(size)
    return found


def largest(seconds, most, deadline_s):
    return most


def just_one(seconds, most, deadline_s):
    return 1


def by_throughput(seconds, most, deadline_s):
    return max(range(1, most + 1), key=lambda n: n / seconds(n))


def own_batch(seconds, most, deadline_s):
    own = [n for n in range(1, most + 1) if seconds(n) <= deadline_s]
    return max(own, key=lambda n: n / seconds(n), default=None)


def largest_that_fits(seconds, most, deadline_s):
    return max(fits(seconds, most, deadline_s), default=None)


def smallest_that_fits(seconds, most, deadline_s):
    return min(fits(seconds, most, deadline_s), default=None)


def only_the_fastest(seconds, most, deadline_s):
    size = by_throughput(seconds, most, deadline_s)
    return size if 2 * seconds(size) <= deadline_s else None


def one_fewer(seconds, most, deadline_s):
    return max(2, (best(seconds, most, deadline_s) or 2) - 1)


def one_if_none(seconds, most, deadline_s):
    return best(seconds, most, deadline_s) or 1


def from_nought(seconds, most, deadline_s):
    return max(range(most + 1), key=seconds)


def forgets(seconds, most, deadline_s):
    best(seconds, most, deadline_s)


def a_rate(seconds, most, deadline_s):
    size = best(seconds, most, deadline_s)
    return size / seconds(size)


def divides_by_nought(seconds, most, deadline_s):
    return most / 0


def waits(seconds, most, deadline_s):
    time.sleep(0.2)


def never_ends(seconds, most, deadline_s):
    while True:
        pass


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (no_size, "open"),
        (..., "open"),
        (20, "kind"),
        (full, "kind"),
        (best, "passed"),
        (best_in_a_loop, "passed"),
        (largest, "largest"),
        (by_throughput, "throughput"),
        (just_one, "one"),
        (smallest_that_fits, "one"),
        (own_batch, "own-batch"),
        (largest_that_fits, "largest-fitting"),
        (one_fewer, "too-small"),
        (one_if_none, "impossible"),
        (from_nought, "range"),
        (forgets, "no-return"),
        (only_the_fastest, "no-return"),
        (a_rate, "kind"),
        (divides_by_nought, "raised"),
        (waits, "blocking"),
    ],
)
def test_deadline(answer, expected):
    assert code("10-deadline", answer) == expected


def test_a_size_that_is_never_found(monkeypatch):
    monkeypatch.setattr(attempts, "_LIMIT_S", 0.1)
    assert code("10-deadline", never_ends) == "endless"


# ---- 10-shed ----


async def ask(queue, x):
    answer = asyncio.get_running_loop().create_future()
    queue.put_nowait((x, answer))
    return await answer


async def not_yet(queue, x, room, deadline_s): ...


def refuse_if_full(queue, room):
    if queue.qsize() >= room:
        raise aml.QueueFull("try again later")


async def sheds(queue, x, room, deadline_s):
    refuse_if_full(queue, room)
    async with asyncio.timeout(deadline_s):
        return await ask(queue, x)


async def waits_for_it(queue, x, room, deadline_s):
    if queue.qsize() < room:
        return await asyncio.wait_for(ask(queue, x), deadline_s)
    raise aml.QueueFull


async def refuses_nobody(queue, x, room, deadline_s):
    async with asyncio.timeout(deadline_s):
        return await ask(queue, x)


async def asyncios_own_error(queue, x, room, deadline_s):
    if queue.qsize() >= room:
        raise asyncio.QueueFull
    async with asyncio.timeout(deadline_s):
        return await ask(queue, x)


async def one_too_many(queue, x, room, deadline_s):
    if queue.qsize() > room:
        raise aml.QueueFull
    async with asyncio.timeout(deadline_s):
        return await ask(queue, x)


async def one_too_few(queue, x, room, deadline_s):
    if queue.qsize() + 1 >= room:
        raise aml.QueueFull
    async with asyncio.timeout(deadline_s):
        return await ask(queue, x)


def counting_all():
    asked = [0]

    async def counts_all(queue, x, room, deadline_s):
        if asked[0] >= room:
            raise aml.QueueFull
        asked[0] += 1
        async with asyncio.timeout(deadline_s):
            return await ask(queue, x)

    return counts_all


def counting_those_in_the_batch():
    now = [0]

    async def counts_those_in_the_batch(queue, x, room, deadline_s):
        if now[0] >= room:
            raise aml.QueueFull
        now[0] += 1
        try:
            async with asyncio.timeout(deadline_s):
                return await ask(queue, x)
        finally:
            now[0] -= 1

    return counts_those_in_the_batch


async def waits_for_room(queue, x, room, deadline_s):
    async with asyncio.timeout(deadline_s):
        while queue.qsize() >= room:
            await asyncio.sleep(0.05)
        return await ask(queue, x)


async def refuses_late(queue, x, room, deadline_s):
    if queue.qsize() >= room:
        await asyncio.sleep(0.5)
        raise aml.QueueFull
    async with asyncio.timeout(deadline_s):
        return await ask(queue, x)


async def for_ever(queue, x, room, deadline_s):
    refuse_if_full(queue, room)
    return await ask(queue, x)


async def half_of_it(queue, x, room, deadline_s):
    refuse_if_full(queue, room)
    async with asyncio.timeout(deadline_s / 2):
        return await ask(queue, x)


async def none_when_late(queue, x, room, deadline_s):
    refuse_if_full(queue, room)
    try:
        async with asyncio.timeout(deadline_s):
            return await ask(queue, x)
    except TimeoutError:
        return None


async def none_when_full(queue, x, room, deadline_s):
    if queue.qsize() >= room:
        return None
    async with asyncio.timeout(deadline_s):
        return await ask(queue, x)


async def shielded(queue, x, room, deadline_s):
    refuse_if_full(queue, room)
    return await asyncio.wait_for(asyncio.shield(ask(queue, x)), deadline_s)


async def only_looks(queue, x, room, deadline_s):
    refuse_if_full(queue, room)
    task = asyncio.ensure_future(ask(queue, x))
    done, _ = await asyncio.wait([task], timeout=deadline_s)
    if not done:
        raise TimeoutError
    return task.result()


async def no_result(queue, x, room, deadline_s):
    refuse_if_full(queue, room)
    async with asyncio.timeout(deadline_s):
        await ask(queue, x)


async def looks_at_the_end(queue, x, room, deadline_s):
    refuse_if_full(queue, room)
    task = asyncio.create_task(ask(queue, x))
    await asyncio.sleep(deadline_s)
    if task.done():
        return task.result()
    task.cancel()
    raise TimeoutError


async def a_queue_of_its_own(queue, x, room, deadline_s):
    refuse_if_full(queue, room)
    async with asyncio.timeout(deadline_s):
        return await ask(asyncio.Queue(room), x)


async def full_when_late(queue, x, room, deadline_s):
    refuse_if_full(queue, room)
    try:
        async with asyncio.timeout(deadline_s):
            return await ask(queue, x)
    except TimeoutError:
        raise aml.QueueFull from None


async def drops_the_oldest(queue, x, room, deadline_s):
    if queue.qsize() >= room:
        queue.get_nowait()[1].set_exception(aml.QueueFull())
    async with asyncio.timeout(deadline_s):
        return await ask(queue, x)


async def too_few_arguments(queue, x):
    return await ask(queue, x)


async def sleeps_first(queue, x, room, deadline_s):
    time.sleep(0.1)
    return await ask(queue, x)


async def no_end(queue, x, room, deadline_s):
    while queue.qsize() >= 0:
        pass


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (not_yet, "open"),
        (..., "open"),
        ("no", "kind"),
        (plain, "kind"),
        (sheds, "passed"),
        (waits_for_it, "passed"),
        (refuses_nobody, "unbounded"),
        (one_too_many, "unbounded"),
        (one_too_few, "idle"),
        (counting_all(), "idle"),
        (counting_those_in_the_batch(), "too-early"),
        (waits_for_room, "let-wait"),
        (none_when_full, "let-wait"),
        (refuses_late, "slow-refusal"),
        (for_ever, "no-deadline"),
        (half_of_it, "unpunctual"),
        (none_when_late, "results"),
        (no_result, "results"),
        (looks_at_the_end, "slow-answer"),
        (a_queue_of_its_own, "not-asked"),
        (full_when_late, "refused-later"),
        (drops_the_oldest, "refused-later"),
        (shielded, "in-vain"),
        (only_looks, "in-vain"),
        pytest.param(asyncios_own_error, "other-error", marks=pytest.mark.untidy),
        pytest.param(too_few_arguments, "kind", marks=pytest.mark.untidy),
        (sleeps_first, "blocking"),
    ],
)
def test_shed(answer, expected):
    assert code("10-shed", answer) == expected


@pytest.mark.untidy
def test_an_ask_that_does_not_end(monkeypatch):
    monkeypatch.setattr(attempts, "_LIMIT_S", 0.1)
    assert code("10-shed", no_end) == "endless"


# ---- 10-binding ----


def test_the_timelines_show_what_is_asked_for():
    a, b = two_timelines().split("\n\n")
    models = [plan.splitlines()[7].removeprefix("model |").split("|") for plan in (a, b)]
    assert [list(map(len, bars)) for bars in models] == [[11, 10, 10, 11, 10], [11, 11, 11, 10]]
    ends = {plan: [len(line) for line in plan.splitlines()[1:7]] for plan in (a, b)}
    assert len(set(ends[a])) == 5  # two of six end together, so five batches
    assert len(set(ends[b])) == 4
    assert ends[b][3] == ends[b][4]  # they were the third batch
    assert len(a.splitlines()[6]) > len(b.splitlines()[6])


def seen(early="A", a=5, b=4, rows=2):
    return {
        "binds early": early,
        "batches of A": a,
        "batches of B": b,
        "rows in the third batch of B": rows,
    }


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (seen(), "passed"),
        (seen(early=" a", a=5.0), "passed"),
        (seen(np.str_("A"), *np.array([5, 4, 2])), "passed"),
        (..., "open"),
        (None, "open"),
        (seen(rows=...), "open"),
        ("A", "kind"),
        ({"binds early": "A"}, "kind"),
        (seen(early=1), "kind"),
        (seen(a="five"), "kind"),
        (seen(b=True), "kind"),
        (seen(early="B"), "swapped"),
        (seen(a=4), "count"),
        (seen(b=5), "count"),
        (seen(a=6), "requests"),
        (seen(rows=1), "rows"),
        (seen(rows=4), "rows"),
    ],
)
def test_binding(answer, expected):
    assert code("10-binding", answer) == expected
