"""The checks of lesson 09: right answers pass, each typical wrong one gets a hint of its own."""

import asyncio
import contextlib
import copy
import re
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from asyncml.clock import compute, simulate
from asyncml.course.exercises import attempts, check, ours
from asyncml.course.exercises.lesson_09 import _run, _runs
from asyncml.threads import ThreadPool
from asyncml.training.fit import fit as fit_ours
from asyncml.training.step import Step


def code(name, answer):
    verdict = check(name, answer)
    assert "\n" not in repr(verdict)
    return verdict.code


# ---- 09-pace ----


def pace(now=60, trainer=60, deeper=60, loads=40, both=30):
    return {
        "as it is": now,
        "the trainer twice as fast": trainer,
        "eight ahead": deeper,
        "two loads at once": loads,
        "two loads at once, the trainer twice as fast": both,
    }


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (pace(), "passed"),
        (pace(now=60.0, both=60 / 2), "passed"),
        (..., "open"),
        (None, "open"),
        (pace(..., ..., ..., ..., ...), "open"),
        (pace(both=...), "open"),
        (60, "kind"),
        ([60, 60, 60, 40, 30], "kind"),
        ({"as it is": 60}, "kind"),
        (pace(now="60"), "kind"),
        (pace(trainer=True), "kind"),
        (pace(now=0.06), "unit"),
        (pace(now=100), "sum"),
        (pace(now=40), "sum"),
        (pace(now=400), "sum"),
        (pace(trainer=40), "trainer"),
        (pace(trainer=80), "trainer"),
        (pace(deeper=7.5), "deeper"),
        (pace(deeper=40), "deeper"),
        (pace(loads=30), "two-loads"),
        (pace(loads=60), "two-loads"),
        (pace(loads=70), "two-loads"),
        (pace(both=20), "both"),
        (pace(now=float("nan")), "sum"),
        (pace(both=float("nan")), "both"),
        (pace(now=10**400), "sum"),
        (pace(trainer=-60), "trainer"),
        (pace(both=50), "both"),
    ],
)
def test_pace(answer, expected):
    assert code("09-pace", answer) == expected


def test_pace_names_the_line_and_says_more_the_second_time():
    first, second = (check("09-pace", pace(deeper=7.5)).message for _ in range(2))
    assert first.startswith("eight ahead: not 7.5.")
    assert "max(load / k, train)" not in first
    assert "max(load / k, train)" in second


# ---- 09-ahead ----


def stub(run): ...


def right(run):
    enough = 1.02 * run(64)
    return next(ahead for ahead in range(65) if run(ahead) <= enough)


def by_a_loop(run):
    ahead = 0
    while run(ahead) > run(64) * 1.02:
        ahead += 1
    return ahead


def by_halving(run):
    low, high = 0, 64
    while low < high:
        middle = (low + high) // 2
        if run(middle) <= 1.02 * run(64):
            high = middle
        else:
            low = middle + 1
    return low


def by_a_list(run):
    times = [run(ahead) for ahead in range(65)]
    return [time <= 1.02 * times[64] for time in times].index(True)


def by_an_array(run):
    times = np.array([run(ahead) for ahead in np.arange(65)])
    return np.argmax(times <= 1.02 * times[64])


def none_ahead(run):
    return 0


def one_ahead(run):
    return 1


def biggest(run):
    return 64


def fastest(run):
    return min(range(65), key=run)


def by_doubling(run):
    ahead = 1
    while run(ahead) > 1.02 * run(64):
        ahead *= 2
    return ahead


def from_one(run):
    return next(ahead for ahead in range(1, 65) if run(ahead) <= 1.02 * run(64))


def half_the_gain(run):
    return next(ahead for ahead in range(65) if run(ahead) <= 1.2 * run(64))


def two_hard_coded(run):
    return 2


def the_seconds(run):
    return run(64)


def the_times(run):
    return [run(ahead) for ahead in range(65)]


def forgets(run):
    right(run)


def too_far(run):
    return min(range(100), key=run)


def out_of_range(run):
    return -1


async def is_async(run):
    return right(run)


def sleeps(run):
    time.sleep(0.5)
    return right(run)


def never_ends(run):
    while run(0) > 0:
        pass


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (right, "passed"),
        (by_a_loop, "passed"),
        (by_halving, "passed"),
        (by_a_list, "passed"),
        (by_an_array, "passed"),
        (lambda run: np.array(right(run)), "passed"),
        (lambda run: 10**400, "kind"),
        (lambda run: float(right(run)), "kind"),
        (stub, "open"),
        (..., "open"),
        (3, "kind"),
        (is_async, "kind"),
        (none_ahead, "too-few"),
        (biggest, "bigger"),
        (fastest, "bigger"),
        (by_doubling, "bigger"),
        (from_one, "bigger"),
        (one_ahead, "too-few"),
        (half_the_gain, "too-few"),
        (two_hard_coded, "bigger"),
        (the_seconds, "kind"),
        (the_times, "kind"),
        (forgets, "no-return"),
        (too_far, "raised"),
        (out_of_range, "kind"),
        (sleeps, "blocking"),
        (never_ends, "endless"),
    ],
)
def test_choose_ahead(answer, expected, monkeypatch):
    if expected == "endless":
        monkeypatch.setattr(attempts, "_LIMIT_S", 0.1)
    assert code("09-ahead", answer) == expected


def test_choose_ahead_says_what_was_seen_and_more_the_second_time():
    first, second = (check("09-ahead", biggest).message for _ in range(2))
    assert "with 64 ahead 2.430 s, with 1 2.430 s" in first
    assert "1 would be enough" in first
    assert "return the first that takes at most 1.02 * run(64)" in second


def test_the_runs_are_what_the_lesson_s_loop_takes():
    async def train_ahead(loads_s, train_s, ahead):
        loop, shelf, room = asyncio.get_running_loop(), asyncio.Queue(), asyncio.Semaphore(ahead)

        async def feed():
            for load_s in loads_s:
                await room.acquire()
                await asyncio.sleep(load_s)
                shelf.put_nowait(load_s)

        with ThreadPool(1) as trainer:
            async with asyncio.TaskGroup() as group:
                group.create_task(feed())
                for _ in loads_s:
                    await shelf.get()
                    room.release()
                    await loop.run_in_executor(trainer, compute, train_s)
        return loop.time()

    loads_s = [0.01] * 12 + [0.25] + [0.02, 0.06] * 4
    run = _run(loads_s)
    for ahead in 1, 3, 64:
        assert simulate(train_ahead(loads_s, 0.04, ahead)) == pytest.approx(run(ahead))


def test_no_run_is_decided_by_rounding():
    for run in _runs():
        times = [run(ahead) for ahead in range(65)]
        assert min(abs(seen - 1.02 * times[64]) for seen in times) > 1e-4


def test_choose_ahead_shows_where_two_times_differ():
    def while_it_gains(run):
        ahead = 0
        while run(ahead + 1) < 0.98 * run(ahead):
            ahead += 1
        return ahead

    told = check("09-ahead", while_it_gains).message
    shown = re.search(r"ahead ([\d.]+) s, .* more are ([\d.]+) s", told)
    assert float(shown[1]) > float(shown[2])


# ---- 09-stop ----


async def stop_stub(train_step, epochs, steps, stop): ...


async def each_in_a_thread(train_step, epochs, steps, stop):
    done = 0
    for _ in range(epochs):
        for _ in range(steps):
            if stop.is_set():
                return done
            await asyncio.to_thread(train_step)
            done += 1
    return done


async def one_loop(train_step, epochs, steps, stop):
    done = 0
    while done < epochs * steps and not stop.is_set():
        await asyncio.to_thread(train_step)
        done += 1
    return done


async def one_pool(train_step, epochs, steps, stop):
    loop, done = asyncio.get_running_loop(), 0
    with ThreadPoolExecutor(1) as pool:
        for _ in range(epochs * steps):
            if stop.is_set():
                break
            await loop.run_in_executor(pool, train_step)
            done += 1
    return done


async def a_thread_that_looks(train_step, epochs, steps, stop):
    def work():
        done = 0
        while done < epochs * steps and not stop.is_set():
            train_step()
            done += 1
        return done

    return await asyncio.to_thread(work)


async def on_the_loop(train_step, epochs, steps, stop):
    done = 0
    for _ in range(epochs * steps):
        if stop.is_set():
            break
        train_step()
        done += 1
    return done


async def turns_on_the_loop(train_step, epochs, steps, stop):
    done = 0
    for _ in range(epochs * steps):
        if stop.is_set():
            break
        train_step()
        done += 1
        await asyncio.sleep(0)
    return done


async def a_turn_an_epoch(train_step, epochs, steps, stop):
    done = 0
    for _ in range(epochs):
        if stop.is_set():
            break
        for _ in range(steps):
            train_step()
            done += 1
        await asyncio.sleep(0)
    return done


async def looks_once_an_epoch(train_step, epochs, steps, stop):
    done = 0
    for _ in range(epochs):
        if stop.is_set():
            break
        for _ in range(steps):
            await asyncio.to_thread(train_step)
            done += 1
    return done


async def an_epoch_in_the_thread(train_step, epochs, steps, stop):
    def epoch():
        for _ in range(steps):
            train_step()

    done = 0
    for _ in range(epochs):
        if stop.is_set():
            break
        await asyncio.to_thread(epoch)
        done += steps
    return done


async def never_looks(train_step, epochs, steps, stop):
    for _ in range(epochs * steps):
        await asyncio.to_thread(train_step)
    return epochs * steps


async def leaves_one_loop(train_step, epochs, steps, stop):
    done = 0
    for _ in range(epochs):
        for _ in range(steps):
            await asyncio.to_thread(train_step)
            done += 1
            if stop.is_set():
                break
    return done


async def looks_afterwards(train_step, epochs, steps, stop):
    done = 0
    for _ in range(epochs * steps):
        await asyncio.to_thread(train_step)
        done += 1
        if stop.is_set():
            break
    return done


async def all_at_once(train_step, epochs, steps, stop):
    await asyncio.gather(*[asyncio.to_thread(train_step) for _ in range(epochs * steps)])
    return epochs * steps


async def does_not_wait(train_step, epochs, steps, stop):
    task = asyncio.create_task(asyncio.to_thread(train_step))
    await asyncio.sleep(0)
    return 0 if task.done() else 1


async def drops_the_step(train_step, epochs, steps, stop):
    done = 0
    stopped = asyncio.create_task(stop.wait())
    while done < epochs * steps and not stop.is_set():
        step = asyncio.create_task(asyncio.to_thread(train_step))
        await asyncio.wait([step, stopped], return_when=asyncio.FIRST_COMPLETED)
        done += step.done()
    stopped.cancel()
    return done


async def not_counted(train_step, epochs, steps, stop):
    await each_in_a_thread(train_step, epochs, steps, stop)


async def counts_epochs(train_step, epochs, steps, stop):
    return await each_in_a_thread(train_step, epochs, steps, stop) // steps


async def one_short(train_step, epochs, steps, stop):
    return await each_in_a_thread(train_step, epochs, steps - 1, stop)


async def not_awaited(train_step, epochs, steps, stop):
    for _ in range(epochs * steps):
        asyncio.to_thread(train_step).close()
    return epochs * steps


async def asks_without_calling(train_step, epochs, steps, stop):
    return 0 if stop.is_set else await each_in_a_thread(train_step, epochs, steps, stop)


async def waits_for_the_stop(train_step, epochs, steps, stop):
    await stop.wait()
    return 0


async def called_too_early(train_step, epochs, steps, stop):
    await asyncio.to_thread(train_step())
    return 1


async def awaits_the_step(train_step, epochs, steps, stop):
    await train_step()
    return 1


async def pauses(train_step, epochs, steps, stop):
    done = 0
    for _ in range(epochs * steps):
        if stop.is_set():
            break
        await asyncio.to_thread(train_step)
        await asyncio.sleep(0.1)
        done += 1
    return done


async def blocks(train_step, epochs, steps, stop):
    time.sleep(0.1)  # noqa: ASYNC251
    return await each_in_a_thread(train_step, epochs, steps, stop)


async def never_done(train_step, epochs, steps, stop):
    while not stop.is_set():  # noqa: ASYNC110
        await asyncio.sleep(0)


async def clears_the_stop(train_step, epochs, steps, stop):
    done = await each_in_a_thread(train_step, epochs, steps, stop)
    stop.clear()
    return done


async def three_of_four(train_step, steps, stop):
    return await each_in_a_thread(train_step, 1, steps, stop)


async def hard_coded(train_step, epochs, steps, stop):
    return 3


def plain_training(train_step, epochs, steps, stop):
    return epochs * steps


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (each_in_a_thread, "passed"),
        (one_loop, "passed"),
        (one_pool, "passed"),
        (a_thread_that_looks, "passed"),
        (stop_stub, "open"),
        (..., "open"),
        (plain_training, "kind"),
        (clears_the_stop, "cleared"),
        (three_of_four, "signature"),
        (on_the_loop, "on-the-loop"),
        (turns_on_the_loop, "on-the-loop"),
        (a_turn_an_epoch, "on-the-loop"),
        (looks_once_an_epoch, "late"),
        (an_epoch_in_the_thread, "late"),
        (never_looks, "late"),
        (leaves_one_loop, "late"),
        (looks_afterwards, "late"),
        (all_at_once, "at-once"),
        (does_not_wait, "left-running"),
        (drops_the_step, "left-running"),
        (not_counted, "returned"),
        (counts_epochs, "returned"),
        (one_short, "count"),
        (not_awaited, "count"),
        (asks_without_calling, "count"),
        (waits_for_the_stop, "waits"),
        (called_too_early, "called-here"),
        (awaits_the_step, "called-here"),
        (pauses, "count"),
        (blocks, "blocking"),
        (never_done, "endless"),
        (hard_coded, "count"),
    ],
)
@pytest.mark.untidy
def test_stop_between_steps(answer, expected, monkeypatch):
    if expected == "endless":
        monkeypatch.setattr(attempts, "_LIMIT_S", 0.1)
    verdict = check("09-stop", answer)
    assert "\n" not in repr(verdict)
    assert verdict.code == expected, verdict


@pytest.mark.parametrize(
    ("answer", "asked"),
    [
        (not_awaited, "Is each step awaited"),
        (asks_without_calling, "written with its `()`"),
        (one_short, "12 of 14 steps began before anybody set `stop`"),
    ],
)
def test_stop_asks_what_fits_when_steps_are_missing(answer, asked):
    assert asked in check("09-stop", answer).message


@pytest.mark.parametrize(
    ("answer", "first", "then"),
    [
        (looks_once_an_epoch, "How often does it look at `stop`", "In the inner loop"),
        (on_the_loop, "Where should the step compute?", "asyncio.to_thread"),
    ],
)
@pytest.mark.untidy
def test_stop_says_more_the_second_time(answer, first, then):
    told = [check("09-stop", answer).message for _ in range(2)]
    assert first in told[0]
    assert then not in told[0]
    assert then in told[1]


# ---- 09-snapshot ----


def snapshot_stub(model, optimizer, pipeline): ...


def copied(optimizer):
    return {name: array.copy() for name, array in optimizer.state().items()}


def by_copies(model, optimizer, pipeline):
    return {
        "params": model.params.copy(),
        "optimizer": copied(optimizer),
        "data": pipeline.state_dict(),
    }


def by_deepcopy(model, optimizer, pipeline):
    return copy.deepcopy(
        {"params": model.params, "optimizer": optimizer.state(), "data": pipeline.state_dict()}
    )


def by_slices(model, optimizer, pipeline):
    return {
        "params": model.params + 0,
        "optimizer": {name: array * 1 for name, array in optimizer.state().items()},
        "data": dict(pipeline.state_dict()),
    }


def other_than(**parts):
    def snapshot(model, optimizer, pipeline):
        kept = by_copies(model, optimizer, pipeline)
        return kept | {key: part(model, optimizer, pipeline) for key, part in parts.items()}

    return snapshot


def without(key):
    def snapshot(model, optimizer, pipeline):
        kept = by_copies(model, optimizer, pipeline)
        del kept[key]
        return kept

    return snapshot


def nothing_back(model, optimizer, pipeline):
    by_copies(model, optimizer, pipeline)


def a_tuple(model, optimizer, pipeline):
    return tuple(by_copies(model, optimizer, pipeline).values())


def the_model(model, optimizer, pipeline):
    return copy.deepcopy(model)


def takes_a_step(model, optimizer, pipeline):
    optimizer.step()
    return by_copies(model, optimizer, pipeline)


def snapshot_blocks(model, optimizer, pipeline):
    time.sleep(1)
    return by_copies(model, optimizer, pipeline)


def snapshot_endless(model, optimizer, pipeline):
    while True:
        pass


def raises(model, optimizer, pipeline):
    return {"params": model.parameters()}


async def snapshot_async(model, optimizer, pipeline):
    return by_copies(model, optimizer, pipeline)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (by_copies, "passed"),
        (by_deepcopy, "passed"),
        (by_slices, "passed"),
        (snapshot_stub, "open"),
        (..., "open"),
        ({"params": 1}, "kind"),
        (snapshot_async, "kind"),
        (other_than(params=lambda m, o, p: m.params), "reference"),
        (other_than(params=lambda m, o, p: m.params[:]), "reference"),
        (other_than(optimizer=lambda m, o, p: o.state()), "reference-optimizer"),
        (other_than(optimizer=lambda m, o, p: dict(o.state())), "reference-optimizer"),
        (other_than(optimizer=lambda m, o, p: o.state().copy()), "reference-optimizer"),
        (other_than(optimizer=lambda m, o, p: o), "optimizer-kind"),
        (other_than(optimizer=lambda m, o, p: {"lr": o.lr}), "optimizer-kind"),
        (other_than(optimizer=lambda m, o, p: {}), "optimizer-kind"),
        (other_than(optimizer=lambda m, o, p: None), "optimizer-forgotten"),
        (without("optimizer"), "optimizer-forgotten"),
        (without("params"), "params-forgotten"),
        (without("data"), "data-forgotten"),
        (other_than(data=lambda m, o, p: p), "not-whole"),
        (other_than(data=lambda m, o, p: 5), "not-whole"),
        (other_than(data=lambda m, o, p: {"position": 5}), "not-whole"),
        (other_than(data=lambda m, o, p: p.state_dict() | {"position": 1}), "other"),
        (other_than(params=lambda m, o, p: m.grads.copy()), "other"),
        (other_than(params=lambda m, o, p: m.params.tolist()), "kind"),
        (other_than(params=lambda m, o, p: m.params[:3].copy()), "not-whole"),
        (nothing_back, "no-return"),
        (a_tuple, "kind"),
        (the_model, "kind"),
        (takes_a_step, "changed"),
        (raises, "raised"),
        (snapshot_blocks, "blocking"),
        (snapshot_endless, "endless"),
    ],
)
def test_snapshot(answer, expected, monkeypatch):
    if expected == "endless":
        monkeypatch.setattr(attempts, "_LIMIT_S", 0.1)
    verdict = check("09-snapshot", answer)
    assert "\n" not in repr(verdict)
    assert verdict.code == expected, verdict


@pytest.mark.parametrize(
    ("answer", "first", "then"),
    [
        (other_than(params=lambda m, o, p: m.params), "Another name is not a copy.", ".copy()"),
        (other_than(optimizer=lambda m, o, p: o.state()), "same arrays", "Copy each"),
    ],
)
def test_snapshot_says_more_the_second_time(answer, first, then):
    told = [check("09-snapshot", answer).message for _ in range(2)]
    assert first in told[0]
    assert then not in told[0]
    assert then in told[1]


# ---- 09-feeder ----


async def feeder_stub(load, step, count, ahead=2): ...


async def by_semaphore(load, step, count, ahead=2):
    loop, queue, room = asyncio.get_running_loop(), asyncio.Queue(), asyncio.Semaphore(ahead)

    async def feed():
        for number in range(count):
            await room.acquire()
            queue.put_nowait(await load(number))

    with ThreadPool(1, name="trainer") as trainer:
        async with asyncio.TaskGroup() as group:
            group.create_task(feed())
            for _ in range(count):
                batch = await queue.get()
                room.release()
                await loop.run_in_executor(trainer, step, batch)


async def by_finally(load, step, count, ahead=2):
    queue, room = asyncio.Queue(), asyncio.Semaphore(ahead)

    async def feed():
        try:
            for number in range(count):
                await room.acquire()
                await queue.put((await load(number), None))
        except Exception as error:
            await queue.put((None, error))

    feeder = asyncio.create_task(feed())
    try:
        for _ in range(count):
            batch, error = await queue.get()
            if error:
                raise error
            room.release()
            await asyncio.to_thread(step, batch)
    finally:
        feeder.cancel()


async def two_tasks(load, step, count, ahead=2):
    queue, room = asyncio.Queue(), asyncio.Semaphore(ahead)

    async def feed():
        for number in range(count):
            async with asyncio.timeout(None):
                await room.acquire()
            await queue.put(await load(number))
        await queue.put(None)

    async def train():
        while (batch := await queue.get()) is not None:
            room.release()
            await asyncio.to_thread(step, batch)

    async with asyncio.TaskGroup() as group:
        group.create_task(feed())
        group.create_task(train())


async def by_condition(load, step, count, ahead=2):
    ready, held, changed = [], [], asyncio.Condition()

    async def feed():
        for number in range(count):
            async with changed:
                await changed.wait_for(lambda: len(held) < ahead)
                held.append(number)
            batch = await load(number)
            async with changed:
                ready.append(batch)
                changed.notify_all()

    async with asyncio.TaskGroup() as group:
        group.create_task(feed())
        for _ in range(count):
            async with changed:
                await changed.wait_for(lambda: ready)
                batch = ready.pop(0)
                held.pop()
                changed.notify_all()
            await asyncio.to_thread(step, batch)


def grouped(before="", after="", queue="asyncio.Queue()", get="await queue.get()", step=None):
    """Return a version with parts of it written otherwise."""
    step = step or "await asyncio.to_thread(step, batch)"
    scope = {"asyncio": asyncio, "time": time}
    lines = f"""
async def other(load, step, count, ahead=2):
    queue, room = {queue}, asyncio.Semaphore(ahead)
    async def feed():
        for number in range(count):
            {before or "await room.acquire()"}
            await queue.put(await load(number))
    async with asyncio.TaskGroup() as group:
        group.create_task(feed())
        for _ in range(count):
            batch = {get}
            {after or "room.release()"}
            {step}
"""
    exec(lines, scope)
    return scope["other"]


async def fed_one_by_one(load, step, count, ahead=2):
    for number in range(count):
        await asyncio.to_thread(step, await load(number))


async def fed_in_a_list(load, step, count, ahead=2):
    for batch in [await load(number) for number in range(count)]:
        await asyncio.to_thread(step, batch)


async def gathered_loads(load, step, count, ahead=2):
    for batch in await asyncio.gather(*map(load, range(count))):
        await asyncio.to_thread(step, batch)


async def window_of_tasks(load, step, count, ahead=2):
    tasks = [asyncio.create_task(load(number)) for number in range(min(ahead, count))]
    for number in range(count):
        batch = await tasks.pop(0)
        if number + ahead < count:
            tasks.append(asyncio.create_task(load(number + ahead)))
        await asyncio.to_thread(step, batch)


async def double_buffer(load, step, count, ahead=2):
    loading = asyncio.create_task(load(0))
    for number in range(count):
        batch = await loading
        if number + 1 < count:
            loading = asyncio.create_task(load(number + 1))
        await asyncio.to_thread(step, batch)


async def double_buffer_too_far(load, step, count, ahead=2):
    loading = asyncio.create_task(load(0))
    for number in range(count):
        batch = await loading
        loading = asyncio.create_task(load(number + 1))
        await asyncio.to_thread(step, batch)


async def no_group(load, step, count, ahead=2):
    queue, room = asyncio.Queue(), asyncio.Semaphore(ahead)

    async def feed():
        for number in range(count):
            await room.acquire()
            await queue.put(await load(number))

    feeder = asyncio.create_task(feed())
    for _ in range(count):
        batch = await queue.get()
        room.release()
        await asyncio.to_thread(step, batch)
    await feeder


async def tells_and_leaves(load, step, count, ahead=2):
    queue, room = asyncio.Queue(), asyncio.Semaphore(ahead)

    async def feed():
        try:
            for number in range(count):
                await room.acquire()
                await queue.put((await load(number), None))
        except OSError as error:
            await queue.put((None, error))

    feeder = asyncio.create_task(feed())
    for _ in range(count):
        batch, error = await queue.get()
        if error:
            raise error
        room.release()
        await asyncio.to_thread(step, batch)
    await feeder


async def ends_quietly(load, step, count, ahead=2):
    with contextlib.suppress(Exception):
        try:
            await by_semaphore(load, step, count, ahead)
        except* OSError:
            pass


async def fed_backwards(load, step, count, ahead=2):
    await by_semaphore(lambda number: load(count - 1 - number), step, count, ahead)


async def steps_at_once(load, step, count, ahead=2):
    room = asyncio.Semaphore(ahead)
    async with asyncio.TaskGroup() as group:
        for number in range(count):
            await room.acquire()
            batch = await load(number)
            room.release()
            group.create_task(asyncio.to_thread(step, batch))


async def forgets_the_last(load, step, count, ahead=2):
    await by_semaphore(load, step, count - 1, ahead)


async def queue_of_the_rest(load, step, count, ahead=2):
    await grouped("pass", "pass", queue="asyncio.Queue(ahead - 1)")(load, step, count, ahead)


async def no_ahead(load, step, count):
    await by_semaphore(load, step, count)


async def feeder_blocks(load, step, count, ahead=2):
    time.sleep(0.1)  # noqa: ASYNC251
    await by_semaphore(load, step, count, ahead)


async def feeder_spins(load, step, count, ahead=2):
    while step:  # noqa: ASYNC110
        await asyncio.sleep(0)


async def naps_between(load, step, count, ahead=2):
    def slow(batch):
        step(batch)
        compute(0.03)

    await by_semaphore(load, slow, count, ahead)


async def a_generator(load, step, count, ahead=2):
    for number in range(count):
        yield await load(number)


def a_plain_feeder(load, step, count, ahead=2):
    return by_semaphore(load, step, count, ahead)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (by_semaphore, "passed"),
        (by_finally, "passed"),
        (two_tasks, "passed"),
        (by_condition, "passed"),
        (grouped(), "passed"),
        (ours.train_ahead, "passed"),
        (feeder_stub, "open"),
        (..., "open"),
        (a_generator, "kind"),
        (a_plain_feeder, "kind"),
        (42, "kind"),
        (fed_one_by_one, "one-by-one"),
        (fed_in_a_list, "unbounded"),
        (gathered_loads, "many-loads"),
        (window_of_tasks, "many-loads"),
        (double_buffer, "slow"),
        (double_buffer_too_far, "beyond"),
        (grouped("pass"), "unbounded"),
        (grouped("pass", "pass", queue="asyncio.Queue(ahead)"), "one-more"),
        (grouped("pass", "pass", queue="asyncio.Queue(1)"), "slow"),
        (
            grouped(after="pass", step="await asyncio.to_thread(step, batch); room.release()"),
            "slow",
        ),
        (grouped(after="pass"), "no-release"),
        (grouped("await room.acquire(); queue.put(await load(number)); continue"), "no-batch"),
        (grouped(step="step(batch)"), "on-the-loop"),
        (grouped(step="step(batch); await asyncio.sleep(0)"), "on-the-loop"),
        (grouped(step="await step(batch)"), "on-the-loop"),
        (grouped(step="await asyncio.to_thread(step(batch))"), "on-the-loop"),
        (grouped(step="group.create_task(asyncio.to_thread(step, batch))"), "at-once"),
        (grouped(get="queue.get()"), "not-a-batch"),
        (grouped(get="queue.get_nowait()"), "raised"),
        (no_group, "load-fails"),
        (tells_and_leaves, "left-running"),
        (ends_quietly, "error-lost"),
        (fed_backwards, "order"),
        (steps_at_once, "at-once"),
        (forgets_the_last, "count"),
        (naps_between, "slow"),
        (feeder_blocks, "blocking"),
        (queue_of_the_rest, "unbounded"),
        (no_ahead, "signature"),
        (feeder_spins, "endless"),
    ],
)
@pytest.mark.untidy
def test_feed_ahead(answer, expected, monkeypatch):
    if expected == "endless":
        monkeypatch.setattr(attempts, "_LIMIT_S", 0.1)
    verdict = check("09-feeder", answer)
    assert "\n" not in repr(verdict)
    assert verdict.code == expected, verdict


@pytest.mark.parametrize(
    ("answer", "first", "then"),
    [
        (grouped("pass", "pass", queue="asyncio.Queue(ahead)"), "holds one more", "Acquire"),
        (fed_one_by_one, "Nothing was loaded while a step ran.", "The feeder is a task"),
        (no_group, "Does the training loop hear of it?", "TaskGroup"),
    ],
)
@pytest.mark.untidy
def test_feed_ahead_says_more_the_second_time(answer, first, then):
    told = [check("09-feeder", answer).message for _ in range(2)]
    assert first in told[0]
    assert then not in told[0]
    assert then in told[1]


# ---- 09-early ----


async def early_stub(steps, per_epoch, evaluate, patience=3): ...


async def since_the_best(steps, per_epoch, evaluate, patience=3):
    scores = []
    async for step in steps:
        if step.index == per_epoch - 1:
            scores.append(await evaluate())
            if len(scores) - 1 - scores.index(max(scores)) >= patience:
                return scores
    return scores


async def by_a_counter(steps, per_epoch, evaluate, patience=3):
    scores, best, poor, done = [], float("-inf"), 0, 0
    async for _ in steps:
        done += 1
        if done % per_epoch:
            continue
        score = await evaluate()
        scores.append(score)
        best, poor = (score, 0) if score > best else (best, poor + 1)
        if poor == patience:
            break
    return tuple(scores)


async def by_slices_of_scores(steps, per_epoch, evaluate, patience=3):
    scores = []
    async for step in steps:
        if (step.index + 1) % per_epoch == 0:
            scores += [await evaluate()]
            if len(scores) > patience and max(scores[-patience:]) <= max(scores[:-patience]):
                break
    return np.array(scores)


def early(
    *,
    when="step.index == per_epoch - 1",
    better="score > best",
    enough="poor >= patience",
    otherwise="poor + 1",
    reset="0",
    end="break",
    back="scores",
    score="await evaluate()",
    keep="max(best, score)",
    loop="async for step in steps",
):
    """Return a version with parts of it written otherwise."""
    scope = {}
    lines = f"""
async def other(steps, per_epoch, evaluate, patience=3):
    scores, best, poor, epoch = [], -1, 0, 0
    {loop}:
        if {when}:
            epoch = step.epoch
            score = {score}
            scores.append(score)
            poor = {reset} if {better} else {otherwise}
            best = {keep}
            if {enough}:
                {end}
    return {back}
"""
    exec(lines, scope)
    return scope["other"]


async def evaluates_afterwards(steps, per_epoch, evaluate, patience=3):
    taken = [step async for step in steps]
    return [await evaluate() for _ in range(len(taken) // per_epoch)]


async def early_forgets(steps, per_epoch, evaluate, patience=3):
    await since_the_best(steps, per_epoch, evaluate, patience)


async def flag_only(steps, per_epoch, evaluate, patience=3):
    scores, is_over = [], False
    async for step in steps:
        if step.index == per_epoch - 1 and not is_over:
            scores.append(await evaluate())
            is_over = len(scores) - 1 - scores.index(max(scores)) >= patience
    return scores


async def early_never_evaluates(steps, per_epoch, evaluate, patience=3):
    return [0.5 async for step in steps]


async def always_three(steps, per_epoch, evaluate, patience=3):
    return await since_the_best(steps, per_epoch, evaluate)


async def three_arguments(steps, per_epoch, evaluate):
    return await since_the_best(steps, per_epoch, evaluate)


async def early_blocks(steps, per_epoch, evaluate, patience=3):
    time.sleep(0.1)  # noqa: ASYNC251
    return await since_the_best(steps, per_epoch, evaluate, patience)


async def early_spins(steps, per_epoch, evaluate, patience=3):
    while steps:  # noqa: ASYNC110
        await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (since_the_best, "passed"),
        (by_a_counter, "passed"),
        (by_slices_of_scores, "passed"),
        (early(), "passed"),
        (ours.stop_early, "passed"),
        (early_stub, "open"),
        (..., "open"),
        (0.9, "kind"),
        (early(when="True"), "moments"),
        (early(when="step.index == 0"), "moments"),
        (early(when="step.index == per_epoch"), "moments"),
        (early(when="step.epoch > epoch"), "moments"),
        (early(keep="score"), "previous"),
        (early(better="score >= best"), "ties"),
        (early(reset="poor"), "not-reset"),
        (
            early(
                better="score < best or best < 0",
                keep="score if score < best or best < 0 else best",
            ),
            "end",
        ),
        (early(enough="poor > patience"), "end"),
        (early(enough="poor >= patience - 1"), "end"),
        (early(enough="False"), "end"),
        (early(end="pass"), "end"),
        (early(back="best"), "scores"),
        (early(back="max(scores)"), "scores"),
        (early(back="len(scores)"), "scores"),
        (early(back="scores[:-3]"), "scores"),
        (early(score="evaluate()"), "not-awaited"),
        (early(loop="for step in steps"), "for"),
        (evaluates_afterwards, "too-late"),
        (early(loop="async for step in await steps"), "for"),
        (early(back="set(scores)"), "scores"),
        (early_forgets, "no-return"),
        (always_three, "hard-coded"),
        (three_arguments, "signature"),
        (flag_only, "goes-on"),
        (early_never_evaluates, "moments"),
        (early_blocks, "blocking"),
        (early_spins, "endless"),
    ],
)
@pytest.mark.untidy
def test_stop_in_time(answer, expected, monkeypatch):
    if expected == "endless":
        monkeypatch.setattr(attempts, "_LIMIT_S", 0.1)
    verdict = check("09-early", answer)
    assert "\n" not in repr(verdict)
    assert verdict.code == expected, verdict


@pytest.mark.parametrize(
    ("answer", "first", "then"),
    [
        (early(keep="score"), "or with the one before?", "makes up for a bad one"),
        (early(reset="poor"), "what happens to the count", "back to 0"),
        (evaluates_afterwards, "What decides", "inside the `async for`"),
    ],
)
def test_stop_in_time_says_more_the_second_time(answer, first, then):
    told = [check("09-early", answer).message for _ in range(2)]
    assert first in told[0]
    assert then not in told[0]
    assert then in told[1]


# ---- 09-interval ----


@contextlib.contextmanager
def interval_stub(seconds): ...


def plain_interval_stub(seconds): ...


class IntervalAsClass:
    def __init__(self, seconds):
        self.seconds = seconds

    def __enter__(self):
        self.before = sys.getswitchinterval()
        sys.setswitchinterval(self.seconds)

    def __exit__(self, *error):
        sys.setswitchinterval(self.before)


def by_a_stack(seconds):
    stack = contextlib.ExitStack()
    stack.callback(sys.setswitchinterval, sys.getswitchinterval())
    sys.setswitchinterval(seconds)
    return stack


@contextlib.contextmanager
def never_back(seconds):
    sys.setswitchinterval(seconds)
    yield


@contextlib.contextmanager
def back_without_finally(seconds):
    before = sys.getswitchinterval()
    sys.setswitchinterval(seconds)
    yield
    sys.setswitchinterval(before)


@contextlib.contextmanager
def back_to_five(seconds):
    sys.setswitchinterval(seconds)
    try:
        yield
    finally:
        sys.setswitchinterval(0.005)


@contextlib.contextmanager
def sets_nothing(seconds):
    yield


@contextlib.contextmanager
def sets_milliseconds(seconds):
    before = sys.getswitchinterval()
    sys.setswitchinterval(seconds * 1000)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


@contextlib.contextmanager
def swallows(seconds):
    before = sys.getswitchinterval()
    sys.setswitchinterval(seconds)
    try:
        yield
    except Exception:
        pass
    finally:
        sys.setswitchinterval(before)


def undecorated(seconds):
    before = sys.getswitchinterval()
    sys.setswitchinterval(seconds)
    yield
    sys.setswitchinterval(before)


@contextlib.contextmanager
def no_yield(seconds):
    sys.setswitchinterval(seconds)


@contextlib.contextmanager
def yields_twice(seconds):
    before = sys.getswitchinterval()
    sys.setswitchinterval(seconds)
    try:
        yield
        yield
    finally:
        sys.setswitchinterval(before)


@contextlib.asynccontextmanager
async def async_interval(seconds):
    yield


def returns_none(seconds):
    sys.setswitchinterval(seconds)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (ours.switch_interval, "passed"),
        (by_a_stack, "passed"),
        (IntervalAsClass, "passed"),
        (interval_stub, "open"),
        (plain_interval_stub, "open"),
        (..., "open"),
        (0.0001, "kind"),
        (never_back, "put-back"),
        (back_without_finally, "after-error"),
        (back_to_five, "put-back"),
        (sets_nothing, "not-set"),
        (sets_milliseconds, "not-set"),
        (swallows, "swallows"),
        (undecorated, "no-context"),
        (no_yield, "no-context"),
        (yields_twice, "no-context"),
        (async_interval, "no-context"),
        (returns_none, "no-context"),
    ],
)
def test_set_interval(answer, expected):
    before = sys.getswitchinterval()
    verdict = check("09-interval", answer)
    assert sys.getswitchinterval() == before
    assert "\n" not in repr(verdict)
    assert verdict.code == expected, verdict


# ---- 09-resume ----


async def resume_stub(checkpoints, model, optimizer, data, epochs): ...


def resume(
    *,
    restore="last = await checkpoints.restore(model, optimizer)",
    fit="fit(model, optimizer, data, epochs=epochs, resume_from=last)",
    loop="async for step in",
    when="step.index % 4 == 3",
    save="await checkpoints.save(step, model, optimizer)",
    after="",
):
    """Return a version with parts of it written otherwise."""
    scope = {"fit": fit_ours, "asyncio": asyncio, "time": time}
    lines = f"""
async def other(checkpoints, model, optimizer, data, epochs):
    {restore}
    {loop} {fit}:
        if {when}:
            {save}
    {after}
"""
    exec(lines, scope)
    return scope["other"]


async def by_hand(checkpoints, model, optimizer, data, epochs):
    last = await checkpoints.restore(model, optimizer, data)
    epoch, index = (last.epoch, last.index + 1) if last else (0, 0)
    while epoch < epochs:
        async for x, y in data:
            loss = await asyncio.to_thread(model.loss_and_grads, x, y)
            optimizer.step()
            step = Step(epoch, index, loss, len(y), 0, 0, data.state_dict())
            if index % 4 == 3:
                await checkpoints.save(step, model, optimizer)
            index += 1
        epoch, index = epoch + 1, 0


async def asks_first(checkpoints, model, optimizer, data, epochs):
    last = await checkpoints.restore(model, optimizer)
    if last is None:
        steps = fit_ours(model, optimizer, data, epochs=epochs)
    else:
        steps = fit_ours(model, optimizer, data, epochs=epochs, resume_from=last)
    async for step in steps:
        if step.index in (3, 7):
            await checkpoints.save(step, model, optimizer)


async def saves_beside(checkpoints, model, optimizer, data, epochs):
    last, saving = await checkpoints.restore(model, optimizer), []
    async for step in fit_ours(model, optimizer, data, epochs=epochs, resume_from=last):
        if step.index % 4 == 3:
            saving.append(asyncio.create_task(checkpoints.save(step, model, optimizer)))


async def epochs_anew(checkpoints, model, optimizer, data, epochs):
    await checkpoints.restore(model, optimizer, data)
    async for step in fit_ours(model, optimizer, data, epochs=epochs):
        if step.index % 4 == 3:
            await checkpoints.save(step, model, optimizer)


async def ends_as_if_done(checkpoints, model, optimizer, data, epochs):
    with contextlib.suppress(asyncio.CancelledError):
        await ours.train_on(checkpoints, model, optimizer, data, epochs)


async def four_arguments(checkpoints, model, optimizer, data):
    await ours.train_on(checkpoints, model, optimizer, data, 3)


async def resume_blocks(checkpoints, model, optimizer, data, epochs):
    time.sleep(0.1)  # noqa: ASYNC251
    await resume()(checkpoints, model, optimizer, data, epochs)


async def resume_spins(checkpoints, model, optimizer, data, epochs):
    while model:  # noqa: ASYNC110
        await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (resume(), "passed"),
        (resume(when="not (step.index + 1) % 4"), "passed"),
        (by_hand, "passed"),
        (ours.train_on, "passed"),
        (asks_first, "passed"),
        (resume_stub, "open"),
        (..., "open"),
        ({}, "kind"),
        (resume(restore="last = None"), "never-restores"),
        (resume(restore="last = checkpoints.restore(model, optimizer)"), "restore-not-awaited"),
        (resume(fit="fit(model, optimizer, data, epochs=epochs)"), "place"),
        (resume(fit="fit(model, optimizer, data, resume_from=last)"), "epochs"),
        (
            resume(fit="fit(model, optimizer, data, epochs=epochs - last.epoch, resume_from=last)"),
            "first-time",
        ),
        (
            resume(
                fit="fit(model, optimizer, data, resume_from=last,"
                " epochs=epochs - (last.epoch if last else 0))"
            ),
            "epochs",
        ),
        (resume(when="step.index % 4 == 0"), "which"),
        (resume(when="True"), "which"),
        (resume(when="False"), "never-saves"),
        (
            resume(when="False", after="await checkpoints.save(step, model, optimizer)"),
            "never-saves",
        ),
        (resume(when="step.index == 9"), "which"),
        (resume(when="step.index == 7"), "rarely"),
        (resume(save="checkpoints.save(step, model, optimizer)"), "save-not-awaited"),
        (resume(loop="for step in"), "for"),
        (resume(loop="async for step in await"), "for"),
        (resume(when="step.epoch == 0 and step.index % 4 == 3"), "rarely"),
        (resume(restore="last = await checkpoints.restore(model, fit)"), "raised"),
        (resume_blocks, "blocking"),
        (saves_beside, "save-left"),
        (epochs_anew, "count"),
        (ends_as_if_done, "swallowed"),
        (resume(save="return await checkpoints.save(step, model, optimizer)"), "count"),
        (resume(save="await checkpoints.save(step, model)"), "signature"),
        (four_arguments, "signature"),
        (resume_spins, "endless"),
    ],
)
@pytest.mark.untidy
def test_go_on_after_a_kill(answer, expected, monkeypatch):
    if expected == "endless":
        monkeypatch.setattr(attempts, "_LIMIT_S", 0.1)
    verdict = check("09-resume", answer)
    assert "\n" not in repr(verdict)
    assert verdict.code == expected, verdict
