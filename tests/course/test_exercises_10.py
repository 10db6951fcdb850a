"""The checks of lesson 10: right answers pass, and each typical mistake gets its own hint."""

import asyncio
import time

import numpy as np

import asyncml as aml
from asyncml.course.exercises.lesson_10 import two_timelines
from tests.course.edits import answers
from tests.course.tables import every, values

NAMES = {"aml": aml, "asyncio": asyncio, "np": np, "time": time}
GIVEN = """
given
    async def take(queue, most):
        batch = [await queue.get()]
        while len(batch) < most and not queue.empty():
            batch.append(queue.get_nowait())
        return batch
    async def living(queue, most):
        return [(x, answer) for x, answer in await take(queue, most) if not answer.done()]
    def tell(batch, outputs):
        for (_, answer), output in zip(batch, outputs):
            if not answer.done():
                answer.set_result(output)
    async def run(model, batch, parts=len):
        batch = [(x, answer) for x, answer in batch if not answer.done()]
        try:
            tell(batch, await asyncio.to_thread(model, [x for x, _ in batch]) if batch else [])
        except Exception as error:
            if len(batch) > 1:
                size = -(-len(batch) // parts(batch))
                for start in range(0, len(batch), size):
                    await run(model, batch[start : start + size], parts)
            elif not batch[0][1].done():
                batch[0][1].set_exception(error)
"""
IDLE = """
    async def batcher(queue, model, most):
        while True:
            batch = await take(queue, most)
            outputs = await asyncio.to_thread(model, [x for x, _ in batch])
            for (_, answer), output in zip(batch, outputs):
                answer.set_result(output)
"""
BATCHERS = """
passed
    while True:
        await run(model, await take(queue, most))
passed
    while True:
        await run(model, await take(queue, most), lambda batch: 2)
failed
    set_result(output) => set_exception(ValueError(output))
twice
    batch, => batch + batch, outputs +
lost
    await take(queue, most) => (await take(queue, 1000))[:most]
kind
    yield await queue.get()
on-the-loop
    while True:
        batch = await take(queue, most)
        for (_, answer), output in zip(batch, model([x for x, _ in batch])):
            answer.set_result(output)
too-large
    most => 1000
ended
    batch = await take(queue, most)
    outputs = await asyncio.to_thread(model, [x for x, _ in batch])
    for (_, answer), output in zip(batch, outputs):
        answer.set_result(output)
never-set
    while True:
        batch = await take(queue, most)
        await asyncio.to_thread(model, [x for x, _ in batch])
pairs
    while True:
        await asyncio.to_thread(model, await take(queue, most))
rows
    while True:
        batch = await take(queue, most)
        await asyncio.to_thread(model, {x for x, _ in batch})
whole
    (_, answer), output in zip(batch, outputs) => _, answer in batch
    (output) => (outputs)
mixed
    for (_, answer), output in zip(batch, outputs) => while batch
    answer.set_result(output) => batch.pop()[1].set_result(outputs.pop(0))
results
    outputs = await => await
    (_, answer), output in zip(batch, outputs) => x, answer in batch
    (output) => (-x)
await-plain
    while True:
        batch = await take(queue, most)
        await model([x for x, _ in batch])
await-plain
    while True:
        batch = await take(queue, most)
        await (await asyncio.to_thread(model, [x for x, _ in batch]))
not-awaited
    while True:
        pairs = [queue.get() for _ in range(most)]
        rows = [x for x, _ in pairs]
not-awaited
    outputs = await => outputs =
queue-empty
    while True:
        batch = [await queue.get()] + [queue.get_nowait() for _ in range(most)]
        await asyncio.to_thread(model, [x for x, _ in batch])
blocking
    while True:
        batch = await take(queue, most)
        time.sleep(0.2)
        await run(model, batch)
one-by-one
    while True:
        x, answer = await queue.get()
        answer.set_result((await asyncio.to_thread(model, [x]))[0])
kind
    async def batcher(queue):
        await queue.get()
raised
    batch = await queue.get()
    batch.append(1)
no-model
    while True:
        for x, answer in await take(queue, most):
            answer.set_result(x * x)
"""
LAUNCHES = """
passed
    while True:
        batch = await take(queue, most)
        outputs = await asyncio.to_thread(model, np.array([x for x, _ in batch]))
        for place, output in enumerate(np.array(outputs)):
            answer = batch[place][1]
            answer.set_result(output)
passed
    place = asyncio.Semaphore(1)
    async def run_them(batch):
        loop = asyncio.get_running_loop()
        outputs = await loop.run_in_executor(None, model, [x for x, _ in batch])
        place.release()
        tell(batch, outputs)
    async with asyncio.TaskGroup() as group:
        while True:
            await place.acquire()
            group.create_task(run_them(await take(queue, most)))
at-once
    async with asyncio.TaskGroup() as group:
        while True:
            group.create_task(run(model, await take(queue, most)))
at-once
    while True:
        batch = await take(queue, most)
        calls = [asyncio.to_thread(model, [x]) for x, _ in batch]
        for (_, answer), call in zip(batch, asyncio.as_completed(calls)):
            answer.set_result((await call)[0])
"""
WAITS_UNTIL_FULL = """
    await take(queue, most) => [await queue.get() for _ in range(most)]
"""
WAITS_A_WHILE = """
    -     batch = await take(queue, most)
    +     batch = [await queue.get()]
    +     try:
    +         async with asyncio.timeout(0.8):
    +             while len(batch) < most:
    +                 batch.append(await queue.get())
    +     except TimeoutError:
    +         pass
"""
POLLS = """
timer
    while True:
        while queue.empty():
            await asyncio.sleep(0.05)
        await run(model, await take(queue, most))
"""
NOT_FULL = "full | 1 of 1 requests were never answered: they wait for a batch of 4 | get_nowait"
WAITS = NOT_FULL + WAITS_UNTIL_FULL + "timer" + WAITS_A_WHILE + POLLS
TEXTS = {
    "10-serve": GIVEN
    + "passed"
    + IDLE
    + BATCHERS
    + LAUNCHES
    + "passed"
    + WAITS_UNTIL_FULL
    + "passed"
    + WAITS_A_WHILE
    + """
sizes
    await take(queue, most) => [await queue.get() for _ in range(2)]
""",
    "10-idle": GIVEN
    + "passed"
    + IDLE
    + BATCHERS
    + LAUNCHES
    + WAITS
    + """
left-behind
    place = asyncio.Semaphore(1)
    async def run_them(batch):
        await run(model, batch)
        place.release()
    async with asyncio.TaskGroup() as group:
        while True:
            batch = await take(queue, most)
            await place.acquire()
            group.create_task(run_them(batch))
""",
    "10-batcher": GIVEN
    + "cancelled"
    + IDLE
    + BATCHERS
    + WAITS
    + """
dropped
    while True:
        batch = await living(queue, most)
        try:
            tell(batch, await asyncio.to_thread(model, [x for x, _ in batch]) if batch else [])
        except Exception:
            continue
whole-batch
    while True:
        batch = await living(queue, most)
        try:
            tell(batch, await asyncio.to_thread(model, [x for x, _ in batch]) if batch else [])
        except Exception as error:
            for _, answer in batch:
                if not answer.done():
                    answer.set_exception(error)
one-by-one
    while True:
        for x, answer in await living(queue, most):
            try:
                outputs = await asyncio.to_thread(model, [x])
            except Exception:
                outputs = [None]
            tell([(x, answer)], outputs)
ghost
    while True:
        pieces = [await take(queue, most)]
        while pieces:
            piece = pieces.pop()
            try:
                tell(piece, await asyncio.to_thread(model, [x for x, _ in piece]))
            except Exception as error:
                if len(piece) == 1:
                    piece[0][1].set_exception(error)
                else:
                    pieces += [[one] for one in reversed(piece)]
empty
    while True:
        batch = await living(queue, most)
        tell(batch, await asyncio.to_thread(model, [x for x, _ in batch]))
mixed
    while True:
        batch = await living(queue, most)
        if batch:
            outputs = await asyncio.to_thread(model, [x for x, _ in batch])
            tell([(x, answer) for x, answer in batch if not answer.done()], outputs)
mixed
    while True:
        batch = await take(queue, most)
        rows = [x for x, answer in batch if not answer.done()]
        tell(batch, await asyncio.to_thread(model, rows) if rows else [])
empty
    while True:
        batch = await living(queue, most)
        try:
            tell(batch, await asyncio.to_thread(model, [x for x, _ in batch]))
        except Exception:
            for one in batch:
                await run(model, [one])
swallows
    while True:
        batch = await living(queue, most)
        try:
            tell(batch, await asyncio.to_thread(model, [x for x, _ in batch]) if batch else [])
        except:
            for one in batch:
                await run(model, [one])
died
    while True:
        batch = await living(queue, most)
        try:
            tell(batch, await asyncio.to_thread(model, [x for x, _ in batch]) if batch else [])
        except ValueError:
            for one in batch:
                await run(model, [one])
swallows
    while True:
        try:
            await run(model, await take(queue, most))
        except asyncio.CancelledError:
            pass
died
    while True:
        batch = await living(queue, most)
        tell(batch, await asyncio.to_thread(model, [x for x, _ in batch]) if batch else [])
untold
    while True:
        batch = await living(queue, most)
        try:
            tell(batch, await asyncio.to_thread(model, [x for x, _ in batch]) if batch else [])
        except Exception:
            for x, answer in batch:
                try:
                    tell([(x, answer)], await asyncio.to_thread(model, [x]))
                except Exception:
                    answer.cancel()
untold
    while True:
        batch = await living(queue, most)
        try:
            outputs = await asyncio.to_thread(model, [x for x, _ in batch]) if batch else []
        except Exception:
            outputs = []
            for x, _ in batch:
                try:
                    outputs += await asyncio.to_thread(model, [x])
                except Exception as error:
                    outputs.append(error)
        tell(batch, outputs)
""",
    "10-deadline": """
given
    def fits(seconds, most, deadline_s):
        return [n for n in range(1, most + 1) if 2 * seconds(n) <= deadline_s + 1e-9]
passed
    def choose_size(seconds, most, deadline_s):
        return max(fits(seconds, most, deadline_s), key=lambda n: n / seconds(n), default=None)
passed
    found, rate = None, 0
    for size in range(1, most + 1):
        if 2 * seconds(size) <= deadline_s and size / seconds(size) > rate:
            found, rate = size, size / seconds(size)
    return found
passed
    in_time = [n for n in np.arange(1, most + 1) if 2 * seconds(n) <= deadline_s + 1e-9]
    return max(in_time, key=lambda n: n / seconds(n), default=None)
largest
    return most
range
    return most + 1
late
    return max(2, most - 1)
throughput
    return max(range(1, most + 1), key=lambda n: n / seconds(n))
one
    return 1
one
    return min(fits(seconds, most, deadline_s), default=None)
own-batch
    own = [n for n in range(1, most + 1) if seconds(n) <= deadline_s]
    return max(own, key=lambda n: n / seconds(n), default=None)
largest-fitting
    return max(fits(seconds, most, deadline_s), default=None)
too-small
    return max(2, (base(seconds, most, deadline_s) or 2) - 1)
impossible
    return base(seconds, most, deadline_s) or 1
impossible
    return max(fits(seconds, most, deadline_s), key=lambda n: n / seconds(n))
range
    return max(range(most + 1), key=seconds)
no-return
    base(seconds, most, deadline_s)
no-return
    size = max(range(1, most + 1), key=lambda n: n / seconds(n))
    return size if 2 * seconds(size) <= deadline_s else None
kind
    size = base(seconds, most, deadline_s)
    return size / seconds(size)
raised
    return most / 0
""",
    "10-shed": """
given
    asked, inside = [], []
    async def ask(queue, x):
        answer = asyncio.get_running_loop().create_future()
        queue.put_nowait((x, answer))
        return await answer
    def refuse_if_full(queue, room):
        if queue.qsize() >= room:
            raise aml.QueueFull("try again later")
passed
    async def shed(queue, x, room, deadline_s):
        refuse_if_full(queue, room)
        async with asyncio.timeout(deadline_s):
            return await ask(queue, x)
passed
    if queue.qsize() < room:
        return await asyncio.wait_for(ask(queue, x), deadline_s)
    raise aml.QueueFull
unbounded
    - refuse_if_full(queue, room)
unbounded
    - refuse_if_full(queue, room)
    + if queue.qsize() > room:
    +     raise aml.QueueFull
idle
    - refuse_if_full(queue, room)
    + if queue.qsize() + 1 >= room:
    +     raise aml.QueueFull
idle
    asked.append(x)
    if len(asked) > room:
        raise aml.QueueFull
    async with asyncio.timeout(deadline_s):
        return await ask(queue, x)
too-early
    if len(inside) >= room:
        raise aml.QueueFull
    inside.append(x)
    try:
        async with asyncio.timeout(deadline_s):
            return await ask(queue, x)
    finally:
        inside.remove(x)
let-wait
    async with asyncio.timeout(deadline_s):
        while queue.qsize() >= room:
            await asyncio.sleep(0.05)
        return await ask(queue, x)
let-wait
    - refuse_if_full(queue, room)
    + if queue.qsize() >= room:
    +     return None
slow-refusal
    - refuse_if_full(queue, room)
    + if queue.qsize() >= room:
    +     await asyncio.sleep(0.5)
    +     raise aml.QueueFull
no-deadline
    refuse_if_full(queue, room)
    return await ask(queue, x)
unpunctual
    deadline_s => deadline_s / 2
results
    refuse_if_full(queue, room)
    try:
        async with asyncio.timeout(deadline_s):
            return await ask(queue, x)
    except TimeoutError:
        return None
results
    return await => await
slow-answer
    refuse_if_full(queue, room)
    task = asyncio.create_task(ask(queue, x))
    await asyncio.sleep(deadline_s)
    if task.done():
        return task.result()
    task.cancel()
    raise TimeoutError
not-asked
    queue, x => asyncio.Queue(room), x
refused-later
    refuse_if_full(queue, room)
    try:
        async with asyncio.timeout(deadline_s):
            return await ask(queue, x)
    except TimeoutError:
        raise aml.QueueFull from None
refused-later
    if queue.qsize() >= room:
        queue.get_nowait()[1].set_exception(aml.QueueFull())
    async with asyncio.timeout(deadline_s):
        return await ask(queue, x)
in-vain
    refuse_if_full(queue, room)
    return await asyncio.wait_for(asyncio.shield(ask(queue, x)), deadline_s)
in-vain
    refuse_if_full(queue, room)
    task = asyncio.ensure_future(ask(queue, x))
    done, _ = await asyncio.wait([task], timeout=deadline_s)
    if not done:
        raise TimeoutError
    return task.result()
other-error
    - refuse_if_full(queue, room)
    + if queue.qsize() >= room:
    +     raise asyncio.QueueFull
kind
    async def shed(queue, x):
        return await ask(queue, x)
""",
}


def seen(early="A", a=5, b=4, rows=2):
    return {
        "binds early": early,
        "batches of A": a,
        "batches of B": b,
        "rows in the third batch of B": rows,
    }


BINDINGS = {
    "passed": [seen(), seen(early=" a", a=5.0), seen(np.str_("A"), *np.array([5, 4, 2]))],
    "open": [..., None, seen(rows=...)],
    "kind": ["A", {"binds early": "A"}, seen(early=1), seen(a="five"), seen(b=True)],
    "swapped": [seen(early="B")],
    "count": [seen(a=4), seen(b=5)],
    "requests": [seen(a=6)],
    "rows": [seen(rows=1), seen(rows=4)],
}


@every(
    *(answers(name, NAMES, text) for name, text in TEXTS.items()), values("10-binding", BINDINGS)
)
def test_an_answer_gets_its_verdict(case):
    case.judge()


def test_the_timelines_show_what_is_asked_for():
    a, b = two_timelines().split("\n\n")
    models = [plan.splitlines()[7].removeprefix("model |").split("|") for plan in (a, b)]
    assert [list(map(len, bars)) for bars in models] == [[11, 10, 10, 11, 10], [11, 11, 11, 10]]
    ends = {plan: [len(line) for line in plan.splitlines()[1:7]] for plan in (a, b)}
    assert len(set(ends[a])) == 5  # two of six end together, so five batches
    assert len(set(ends[b])) == 4
    assert ends[b][3] == ends[b][4]  # they were the third batch
    assert len(a.splitlines()[6]) > len(b.splitlines()[6])
