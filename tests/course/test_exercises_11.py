"""The checks of lesson 11: right answers pass, and each typical mistake gets its own hint."""

import asyncio

import numpy as np
import pytest

import asyncml as aml
from asyncml.course.exercises import attempts
from asyncml.exercises import check


# ---- 11-barrier ----
async def gathered(workers, params, steps, lr):
    for _ in range(steps):
        gradients = await asyncio.gather(*(worker.gradient(params) for worker in workers))
        params = params - lr * np.mean(gradients, axis=0)
    return params


async def grouped(workers, params, steps, lr):
    for _ in range(steps):
        async with asyncio.TaskGroup() as group:
            asked = [group.create_task(worker.gradient(params)) for worker in workers]
        params -= lr * sum(task.result() for task in asked) / len(workers)
    return params


async def as_lists(workers, params, steps, lr):
    return list(await gathered(workers, params, steps, lr))


async def in_turn(workers, params, steps, lr):
    for _ in range(steps):
        gradients = [await worker.gradient(params) for worker in workers]
        params = params - lr * np.mean(gradients, axis=0)
    return params


async def all_but_one(workers, params, steps, lr):
    return await gathered(workers[1:], params, steps, lr)


async def by_the_sum(workers, params, steps, lr):
    return await gathered(workers, params, steps, lr * len(workers))


async def by_old_ones(workers, params, steps, lr):
    for _ in range(steps):
        gradients = await asyncio.gather(*(worker.gradient(params) for worker in workers))
        new = params - lr * np.mean(gradients, axis=0)
    return new


async def never_awaited(workers, params, steps, lr):
    return params - lr * sum(worker.gradient(params) for worker in workers)


async def one_step_only(workers, params, steps, lr):
    return await gathered(workers, params, 1, lr)


async def returns_nothing(workers, params, steps, lr):
    await gathered(workers, params, steps, lr)


async def uphill(workers, params, steps, lr):
    return await gathered(workers, params, steps, -lr)


async def apart(workers, params, steps, lr):
    alone = (gathered([worker], params, steps, lr) for worker in workers)
    return np.mean(await asyncio.gather(*alone), axis=0)


async def by_the_median(workers, params, steps, lr):
    for _ in range(steps):
        gradients = await asyncio.gather(*(worker.gradient(params) for worker in workers))
        params = params - lr * np.median(gradients, axis=0)
    return params


async def one_mean_for_all(workers, params, steps, lr):
    for _ in range(steps):
        gradients = await asyncio.gather(*(worker.gradient(params) for worker in workers))
        params = params - lr * np.mean(gradients)
    return params


async def gathered_a_list(workers, params, steps, lr):
    return await asyncio.gather([worker.gradient(params) for worker in workers])


async def gather_not_awaited(workers, params, steps, lr):
    return np.mean(asyncio.gather(*(worker.gradient(params) for worker in workers)), axis=0)


async def without_a_mean(workers, params, steps, lr):
    return lr * await asyncio.gather(*(worker.gradient(params) for worker in workers))


async def returns_gradients(workers, params, steps, lr):
    await gathered(workers, params, steps, lr)
    return [params, params]


async def first_to_come(workers, params, steps, lr):
    for _ in range(steps):
        tasks = [asyncio.create_task(worker.gradient(params)) for worker in workers]
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        params = params - lr * np.mean([task.result() for task in done], axis=0)
    return params


async def of_three(workers, params, steps):
    return params


async def barrier_stub(workers, params, steps, lr): ...


# ---- 11-policy ----
class Right(aml.Policy):
    drops_stale = True

    def __init__(self, k):
        self.k = k

    def needed(self, workers):
        return min(self.k, workers)

    def may_go_on(self, pending, ahead):
        return pending == 0


class TooMany(Right):
    def needed(self, workers):
        return self.k


class All(Right):
    def needed(self, workers):
        return workers


class Fewer(Right):
    def needed(self, workers):
        return max(1, min(self.k, workers) - 1)


class Everybody(Right):
    def may_go_on(self, pending, ahead):
        return True


class Nobody(Right):
    def may_go_on(self, pending, ahead):
        return pending > 0


class Stale(Right):
    drops_stale = False


class Stub(Right):
    def needed(self, workers): ...


class Half(Right):
    def may_go_on(self, pending, ahead): ...


class WithoutK(Right):
    def __init__(self):
        pass


class Text(Right):
    def needed(self, workers):
        return str(self.k)


class WithoutSelf(Right):
    def needed(self, workers):
        return min(k, workers)  # noqa: F821


class Endless(Right):
    def needed(self, workers):
        while True:
            pass


class AsyncMethod(Right):
    async def may_go_on(self, pending, ahead):
        return not pending


class HeldBack(Right):
    def may_go_on(self, pending, ahead):
        return pending == 0 and ahead == 0


class NoPolicy:
    def __init__(self, k):
        pass


# ---- 11-lost ----
async def locked(shared, gradient, steps, lock):
    for _ in range(steps):
        step = await gradient(await shared.pull())
        async with lock:
            await shared.push(await shared.pull() - step)


async def acquired(shared, gradient, steps, lock):
    for _ in range(steps):
        step = await gradient(await shared.pull())
        await lock.acquire()
        try:
            await shared.push(await shared.pull() - step)
        finally:
            lock.release()


async def careless(shared, gradient, steps, lock):
    for _ in range(steps):
        params = await shared.pull()
        await shared.push(params - await gradient(params))


async def locked_all(shared, gradient, steps, lock):
    for _ in range(steps):
        async with lock:
            params = await shared.pull()
            await shared.push(params - await gradient(params))


async def locked_pull(shared, gradient, steps, lock):
    for _ in range(steps):
        async with lock:
            params = await shared.pull()
        await shared.push(params - await gradient(params))


async def locked_push(shared, gradient, steps, lock):
    for _ in range(steps):
        params = await shared.pull()
        step = await gradient(params)
        async with lock:
            await shared.push(params - step)


async def locked_second_pull(shared, gradient, steps, lock):
    for _ in range(steps):
        step = await gradient(await shared.pull())
        async with lock:
            newest = await shared.pull()
        await shared.push(newest - step)


async def all_at_the_end(shared, gradient, steps, lock):
    total = sum([await gradient(await shared.pull()) for _ in range(steps)])
    async with lock:
        await shared.push(await shared.pull() - total)


async def added(shared, gradient, steps, lock):
    for _ in range(steps):
        step = await gradient(await shared.pull())
        async with lock:
            await shared.push(await shared.pull() + step)


async def pull_not_awaited(shared, gradient, steps, lock):
    await shared.push(shared.pull() - await gradient(await shared.pull()))


async def not_acquired(shared, gradient, steps, lock):
    await careless(shared, gradient, steps, lock)
    lock.release()


async def pushed_nan(shared, gradient, steps, lock):
    await shared.push(await shared.pull() * np.nan)


async def slept(shared, gradient, steps, lock):
    for _ in range(steps):
        params = await shared.pull()
        step = await gradient(params)
        await asyncio.sleep(0)
        await shared.push(params - step)


async def own_lock(shared, gradient, steps, lock):
    await locked(shared, gradient, steps, asyncio.Lock())


async def plain_with(shared, gradient, steps, lock):
    with lock:
        await careless(shared, gradient, steps, lock)


async def never_pushed(shared, gradient, steps, lock):
    for _ in range(steps):
        await gradient(await shared.pull())


async def pushed_twice(shared, gradient, steps, lock):
    for _ in range(steps):
        step = await gradient(await shared.pull())
        async with lock:
            await shared.push(await shared.pull() - 2 * step)


async def never_released(shared, gradient, steps, lock):
    for _ in range(steps):
        await lock.acquire()
        await shared.push(await shared.pull() - await gradient(await shared.pull()))


async def fewer_steps(shared, gradient, steps, lock):
    await locked(shared, gradient, steps - 1, lock)


# ---- 11-delay ----
def late(rate, delay, steps):
    places = [1.0]
    for t in range(steps):
        places.append(places[-1] - rate * places[max(0, t - delay)])
    return places


def as_array(rate, delay, steps):
    return np.array(late(rate, delay, steps))


def by_the_newest(rate, delay, steps):
    return late(rate, 0, steps)


def one_older(rate, delay, steps):
    return late(rate, delay + 1, steps)


def from_the_end(rate, delay, steps):
    places = [1.0]
    for t in range(steps):
        places.append(places[-1] - rate * places[t - delay])
    return places


def from_nothing(rate, delay, steps):
    places = [1.0]
    for t in range(steps):
        places.append(places[-1] - rate * (places[t - delay] if t >= delay else 0.0))
    return places


def from_zero(rate, delay, steps):
    return [0.0] * (steps + 1)


def old_in_both(rate, delay, steps):
    places = [1.0]
    for t in range(steps):
        places.append((1 - rate) * places[max(0, t - delay)])
    return places


def without_the_start(rate, delay, steps):
    return late(rate, delay, steps)[1:]


def the_last(rate, delay, steps):
    return late(rate, delay, steps)[-1]


def texts(rate, delay, steps):
    return [str(place) for place in late(rate, delay, steps)]


def nothing(rate, delay, steps):
    late(rate, delay, steps)


# ---- 11-ring ----
def ring(size, workers, bandwidth, latency):
    return 2 * (workers - 1) * (latency + size / workers / bandwidth)


def ring_by_bytes(size, workers, bandwidth, latency):
    sent = np.float32(2) * (workers - 1) / workers * size
    return sent / bandwidth + (2 * workers - 2) * latency


def ring_in_a_loop(size, workers, bandwidth, latency):
    seconds = np.zeros(())
    for _lap in range(2):
        for _hop in range(1, workers):
            seconds = seconds + latency + size / (workers * bandwidth)
    return seconds


def one_lap(size, workers, bandwidth, latency):
    return ring(size, workers, bandwidth, latency) / 2


def without_latency(size, workers, bandwidth, latency):
    return ring(size, workers, bandwidth, 0)


def back_to_the_start(size, workers, bandwidth, latency):
    return 2 * workers * (latency + size / workers / bandwidth)


def one_lap_to_the_start(size, workers, bandwidth, latency):
    return workers * (latency + size / workers / bandwidth)


def one_worker_at_a_time(size, workers, bandwidth, latency):
    return workers * ring(size, workers, bandwidth, latency)


def whole_vectors(size, workers, bandwidth, latency):
    return ring(size * workers, workers, bandwidth, latency)


def latency_once(size, workers, bandwidth, latency):
    return latency + ring(size, workers, bandwidth, 0)


def times_the_bandwidth(size, workers, bandwidth, latency):
    return ring(size, workers, 1 / bandwidth, latency)


def of_four_workers(size, workers, bandwidth, latency):
    return ring(size, 4, bandwidth, latency)


def without_a_number(size, workers, bandwidth, latency):
    return float("nan")


def a_pair(size, workers, bandwidth, latency):
    return 2 * (workers - 1), latency + size / workers / bandwidth


def of_three_arguments(size, workers, bandwidth):
    return ring(size, workers, bandwidth, 0)


def no_seconds(size, workers, bandwidth, latency):
    ring(size, workers, bandwidth, latency)


def ring_stub(size, workers, bandwidth, latency): ...


RIGHT = [
    *(("11-barrier", answer) for answer in (gathered, grouped, as_lists)),
    *(("11-policy", answer) for answer in (Right, aml.KSync)),
    *(("11-lost", answer) for answer in (locked, acquired)),
    *(("11-delay", answer) for answer in (late, as_array)),
    *(
        ("11-which", answer)
        for answer in (
            ("stale-sync", "sync", "async"),
            ["Stale sync", "SYNC", "async"],
            ("StaleSync", "Sync", "Async"),
            "stale_sync, sync, async",
        )
    ),
    *(("11-ring", answer) for answer in (ring, ring_by_bytes, ring_in_a_loop)),
]
WRONG = [
    ("11-barrier", in_turn, "in-turn"),
    ("11-barrier", all_but_one, "steps"),
    ("11-barrier", by_the_sum, "sum"),
    ("11-barrier", by_old_ones, "old"),
    ("11-barrier", never_awaited, "not-awaited"),
    ("11-barrier", one_step_only, "steps"),
    ("11-barrier", returns_nothing, "no-return"),
    ("11-barrier", uphill, "other"),
    pytest.param("11-barrier", first_to_come, "not-waited", marks=pytest.mark.untidy),
    ("11-barrier", of_three, "raised"),
    ("11-barrier", barrier_stub, "open"),
    ("11-barrier", apart, "apart"),
    ("11-barrier", by_the_median, "other"),
    ("11-barrier", one_mean_for_all, "other"),
    ("11-barrier", gathered_a_list, "listed"),
    pytest.param("11-barrier", gather_not_awaited, "not-awaited", marks=pytest.mark.untidy),
    ("11-barrier", without_a_mean, "no-mean"),
    ("11-barrier", returns_gradients, "kind"),
    ("11-barrier", ..., "open"),
    ("11-barrier", np.mean, "kind"),
    ("11-policy", TooMany, "too-many"),
    ("11-policy", All, "how-many"),
    ("11-policy", Fewer, "how-many"),
    ("11-policy", Everybody, "who-goes-on"),
    ("11-policy", Nobody, "nobody-goes-on"),
    ("11-policy", Stale, "stale"),
    ("11-policy", Stub, "open"),
    ("11-policy", Half, "open"),
    ("11-policy", WithoutK, "raised"),
    ("11-policy", Text, "kind"),
    ("11-policy", WithoutSelf, "raised"),
    ("11-policy", AsyncMethod, "kind"),
    ("11-policy", HeldBack, "who-goes-on"),
    ("11-policy", NoPolicy, "kind"),
    ("11-policy", Right(2), "kind"),
    ("11-policy", ..., "open"),
    ("11-lost", careless, "lost"),
    ("11-lost", locked_all, "in-turn"),
    ("11-lost", locked_pull, "lost"),
    ("11-lost", locked_push, "lost"),
    ("11-lost", slept, "lost"),
    ("11-lost", locked_second_pull, "lost"),
    ("11-lost", all_at_the_end, "no-push"),
    ("11-lost", added, "sign"),
    ("11-lost", pull_not_awaited, "not-awaited"),
    ("11-lost", not_acquired, "not-acquired"),
    ("11-lost", pushed_nan, "raised"),
    ("11-lost", own_lock, "lost"),
    ("11-lost", plain_with, "await-plain"),
    ("11-lost", never_pushed, "no-push"),
    ("11-lost", pushed_twice, "twice"),
    ("11-lost", never_released, "deadlock"),
    ("11-lost", fewer_steps, "steps"),
    ("11-lost", ..., "open"),
    ("11-delay", by_the_newest, "newest"),
    ("11-delay", one_older, "other"),
    ("11-delay", from_the_end, "start"),
    ("11-delay", from_nothing, "start"),
    ("11-delay", from_zero, "start"),
    ("11-delay", old_in_both, "other"),
    ("11-delay", without_the_start, "length"),
    ("11-delay", the_last, "length"),
    ("11-delay", texts, "kind"),
    ("11-delay", nothing, "no-return"),
    ("11-delay", gathered, "kind"),
    ("11-delay", ..., "open"),
    ("11-which", ("sync", "stale-sync", "async"), "mixed-up"),
    ("11-which", ("async",), "kind"),
    ("11-which", ("a", "b", "c"), "kind"),
    ("11-which", (..., ..., ...), "open"),
    ("11-ring", without_latency, "other"),
    ("11-ring", one_lap, "one-lap"),
    ("11-ring", back_to_the_start, "hops"),
    ("11-ring", one_lap_to_the_start, "hops"),
    ("11-ring", one_worker_at_a_time, "in-turn"),
    ("11-ring", whole_vectors, "whole-vector"),
    ("11-ring", latency_once, "latency-once"),
    ("11-ring", times_the_bandwidth, "other"),
    ("11-ring", of_four_workers, "other"),
    ("11-ring", without_a_number, "other"),
    ("11-ring", a_pair, "kind"),
    ("11-ring", of_three_arguments, "raised"),
    ("11-ring", no_seconds, "no-return"),
    ("11-ring", gathered, "kind"),
    ("11-ring", ring_stub, "open"),
    ("11-ring", ..., "open"),
]


def name_of(value):
    return getattr(value, "__name__", str(value)) if not isinstance(value, str) else value


@pytest.mark.parametrize(("exercise", "answer"), RIGHT, ids=name_of)
def test_right_answers_pass(exercise, answer):
    assert check(exercise, answer).state == "passed"


@pytest.mark.parametrize(("exercise", "answer", "code"), WRONG, ids=name_of)
def test_wrong_answers_are_told_what_is_wrong(exercise, answer, code):
    verdict = check(exercise, answer)
    assert verdict.code == code, verdict


def test_a_policy_that_does_not_end_is_stopped(monkeypatch):
    monkeypatch.setattr(attempts, "_LIMIT_S", 0.1)
    assert check("11-policy", Endless).code == "endless"
