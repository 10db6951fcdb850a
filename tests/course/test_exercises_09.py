"""The checks of lesson 09: right answers pass, and each typical mistake gets its own hint."""

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
from asyncml.course.exercises import check, ours
from asyncml.course.exercises.lesson_09 import _run, _runs
from asyncml.threads import ThreadPool
from asyncml.training.fit import fit
from asyncml.training.step import Step
from tests.course.edits import answers
from tests.course.tables import every, rows, values

NAMES = {
    "asyncio": asyncio,
    "compute": compute,
    "contextlib": contextlib,
    "copy": copy,
    "fit": fit,
    "np": np,
    "sys": sys,
    "time": time,
    "Step": Step,
    "ThreadPool": ThreadPool,
    "ThreadPoolExecutor": ThreadPoolExecutor,
}
OURS = {
    "09-feeder": ours.train_ahead,
    "09-early": ours.stop_early,
    "09-interval": ours.switch_interval,
    "09-resume": ours.train_on,
}
TEXTS = {
    "09-ahead": """
passed
    def choose_ahead(run):
        ahead = 0
        while run(ahead) > run(64) * 1.02:
            ahead += 1
        return ahead
passed
    enough = 1.02 * run(64)
    return next(ahead for ahead in range(65) if run(ahead) <= enough)
passed
    low, high = 0, 64
    while low < high:
        middle = (low + high) // 2
        if run(middle) <= 1.02 * run(64):
            high = middle
        else:
            low = middle + 1
    return low
passed
    times = [run(ahead) for ahead in range(65)]
    return [time <= 1.02 * times[64] for time in times].index(True)
passed
    times = np.array([run(ahead) for ahead in np.arange(65)])
    return np.argmax(times <= 1.02 * times[64])
passed
    return np.array(base(run))
kind
    return 10**400
kind
    return float(base(run))
too-few
    return 0
bigger | with 64 ahead 2.430 s, with 1 2.430 s | return the first that takes at most 1.02 * run(64)
    return 64
bigger
    return min(range(65), key=run)
bigger
    ahead = 0 => ahead = 1
    += 1 => *= 2
bigger
    return next(ahead for ahead in range(1, 65) if run(ahead) <= 1.02 * run(64))
too-few
    return 1
too-few
    return next(ahead for ahead in range(65) if run(ahead) <= 1.2 * run(64))
bigger
    return 2
kind
    return run(64)
kind
    return [run(ahead) for ahead in range(65)]
no-return
    base(run)
raised
    return min(range(100), key=run)
kind
    return -1
endless
    while run(0) > 0:
        pass
""",
    "09-stop": """
passed
    async def train(train_step, epochs, steps, stop):
        done = 0
        for _ in range(epochs):
            for _ in range(steps):
                if stop.is_set():
                    return done
                await asyncio.to_thread(train_step)
                done += 1
        return done
passed
    done = 0
    while done < epochs * steps and not stop.is_set():
        await asyncio.to_thread(train_step)
        done += 1
    return done
passed
    loop, done = asyncio.get_running_loop(), 0
    with ThreadPoolExecutor(1) as pool:
        for _ in range(epochs * steps):
            if stop.is_set():
                break
            await loop.run_in_executor(pool, train_step)
            done += 1
    return done
passed
    def work():
        done = 0
        while done < epochs * steps and not stop.is_set():
            train_step()
            done += 1
        return done
    return await asyncio.to_thread(work)
cleared
    done = await base(train_step, epochs, steps, stop)
    stop.clear()
    return done
signature
    async def three_of_four(train_step, steps, stop):
        return await base(train_step, 1, steps, stop)
on-the-loop | Where should the step compute? | asyncio.to_thread
    done = 0
    for _ in range(epochs * steps):
        if stop.is_set():
            break
        train_step()
        done += 1
    return done
on-the-loop
    done = 0
    for _ in range(epochs * steps):
        if stop.is_set():
            break
        train_step()
        done += 1
        await asyncio.sleep(0)
    return done
on-the-loop
    done = 0
    for _ in range(epochs):
        if stop.is_set():
            break
        for _ in range(steps):
            train_step()
            done += 1
        await asyncio.sleep(0)
    return done
late | How often does it look at `stop` | In the inner loop
      for _ in range(epochs):
    +     if stop.is_set():
    +         break
    ...
    -         if stop.is_set():
    -             return done
late
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
late
    for _ in range(epochs * steps):
        await asyncio.to_thread(train_step)
    return epochs * steps
late
    -         if stop.is_set():
    -             return done
    ...
              done += 1
    +         if stop.is_set():
    +             break
late
    done = 0
    for _ in range(epochs * steps):
        await asyncio.to_thread(train_step)
        done += 1
        if stop.is_set():
            break
    return done
at-once
    await asyncio.gather(*[asyncio.to_thread(train_step) for _ in range(epochs * steps)])
    return epochs * steps
left-running
    task = asyncio.create_task(asyncio.to_thread(train_step))
    await asyncio.sleep(0)
    return 0 if task.done() else 1
left-running
    done = 0
    stopped = asyncio.create_task(stop.wait())
    while done < epochs * steps and not stop.is_set():
        step = asyncio.create_task(asyncio.to_thread(train_step))
        await asyncio.wait([step, stopped], return_when=asyncio.FIRST_COMPLETED)
        done += step.done()
    stopped.cancel()
    return done
returned
    await base(train_step, epochs, steps, stop)
returned
    return await base(train_step, epochs, steps, stop) // steps
count | 12 of 14 steps began before anybody set `stop`
    return await base(train_step, epochs, steps - 1, stop)
count | Is each step awaited
    for _ in range(epochs * steps):
        asyncio.to_thread(train_step).close()
    return epochs * steps
count | written with its `()`
    return 0 if stop.is_set else await base(train_step, epochs, steps, stop)
waits
    await stop.wait()
    return 0
called-here
    await asyncio.to_thread(train_step())
    return 1
called-here
    await train_step()
    return 1
count
    done = 0
    for _ in range(epochs * steps):
        if stop.is_set():
            break
        await asyncio.to_thread(train_step)
        await asyncio.sleep(0.1)
        done += 1
    return done
endless
    while not stop.is_set():
        await asyncio.sleep(0)
count
    return 3
""",
    "09-snapshot": """
passed
    def snapshot(model, optimizer, pipeline):
        return {
            "params": model.params.copy(),
            "optimizer": {name: array.copy() for name, array in optimizer.state().items()},
            "data": pipeline.state_dict(),
        }
passed
    return copy.deepcopy(
        {"params": model.params, "optimizer": optimizer.state(), "data": pipeline.state_dict()}
    )
passed
    params.copy() => params + 0
    array.copy() => array * 1
    pipeline.state_dict() => dict(pipeline.state_dict())
reference | Another name is not a copy. | .copy()
    params.copy() => params
reference
    params.copy() => params[:]
reference-optimizer | same arrays | Copy each
    {name: array.copy() for name, array in optimizer.state().items()} => optimizer.state()
reference-optimizer
    {name: array.copy() for name, array in optimizer.state().items()} => dict(optimizer.state())
reference-optimizer
    {name: array.copy() for name, array in optimizer.state().items()} => optimizer.state().copy()
optimizer-kind
    {name: array.copy() for name, array in optimizer.state().items()} => optimizer
optimizer-kind
    {name: array.copy() for name, array in optimizer.state().items()} => {"lr": optimizer.lr}
optimizer-kind
    {name: array.copy() for name, array in optimizer.state().items()} => {}
optimizer-forgotten
    {name: array.copy() for name, array in optimizer.state().items()} => None
optimizer-forgotten
    -     "optimizer": {name: array.copy() for name, array in optimizer.state().items()},
params-forgotten
    -     "params": model.params.copy(),
data-forgotten
    -     "data": pipeline.state_dict(),
not-whole
    pipeline.state_dict() => pipeline
not-whole
    pipeline.state_dict() => 5
not-whole
    pipeline.state_dict() => {"position": 5}
other
    pipeline.state_dict() => pipeline.state_dict() | {"position": 1}
other
    params.copy() => grads.copy()
kind
    params.copy() => params.tolist()
not-whole
    params.copy() => params[:3].copy()
no-return
    base(model, optimizer, pipeline)
kind
    return tuple(base(model, optimizer, pipeline).values())
kind
    return copy.deepcopy(model)
changed
    optimizer.step()
    return base(model, optimizer, pipeline)
raised
    return {"params": model.parameters()}
""",
    "09-feeder": """
passed
    async def train_ahead(load, step, count, ahead=2):
        queue, room = asyncio.Queue(), asyncio.Semaphore(ahead)
        async def feed():
            for number in range(count):
                await room.acquire()
                await queue.put(await load(number))
        async with asyncio.TaskGroup() as group:
            group.create_task(feed())
            for _ in range(count):
                batch = await queue.get()
                room.release()
                await asyncio.to_thread(step, batch)
passed
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
passed
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
passed
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
passed
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
kind
    for number in range(count):
        yield await load(number)
one-by-one | Nothing was loaded while a step ran. | The feeder is a task
    for number in range(count):
        await asyncio.to_thread(step, await load(number))
unbounded
    for batch in [await load(number) for number in range(count)]:
        await asyncio.to_thread(step, batch)
many-loads
    for batch in await asyncio.gather(*map(load, range(count))):
        await asyncio.to_thread(step, batch)
many-loads
    tasks = [asyncio.create_task(load(number)) for number in range(min(ahead, count))]
    for number in range(count):
        batch = await tasks.pop(0)
        if number + ahead < count:
            tasks.append(asyncio.create_task(load(number + ahead)))
        await asyncio.to_thread(step, batch)
slow
    loading = asyncio.create_task(load(0))
    for number in range(count):
        batch = await loading
        if number + 1 < count:
            loading = asyncio.create_task(load(number + 1))
        await asyncio.to_thread(step, batch)
beyond
    loading = asyncio.create_task(load(0))
    for number in range(count):
        batch = await loading
        loading = asyncio.create_task(load(number + 1))
        await asyncio.to_thread(step, batch)
unbounded
    await room.acquire() => pass
one-more | holds one more | Acquire
    (), => (ahead),
    await room.acquire() => pass
    room.release() => pass
slow
    (), => (1),
    await room.acquire() => pass
    room.release() => pass
slow
    room.release() => pass
    (step, batch) => (step, batch); room.release()
no-release
    room.release() => pass
no-batch
    acquire() => acquire(); queue.put(await load(number)); continue
on-the-loop
    await asyncio.to_thread(step, batch) => step(batch)
on-the-loop
    await asyncio.to_thread(step, batch) => step(batch); await asyncio.sleep(0)
on-the-loop
    asyncio.to_thread(step, batch) => step(batch)
on-the-loop
    , batch => (batch)
at-once
    -         await asyncio.to_thread(step, batch)
    +         group.create_task(asyncio.to_thread(step, batch))
not-a-batch
    = await queue => = queue
raised
    await queue.get => queue.get_nowait
load-fails | How does the training loop find out? | TaskGroup
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
left-running
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
error-lost
    with contextlib.suppress(Exception):
        try:
            await base(load, step, count, ahead)
        except* OSError:
            pass
order
    await base(lambda number: load(count - 1 - number), step, count, ahead)
at-once
    room = asyncio.Semaphore(ahead)
    async with asyncio.TaskGroup() as group:
        for number in range(count):
            await room.acquire()
            batch = await load(number)
            room.release()
            group.create_task(asyncio.to_thread(step, batch))
count
    await base(load, step, count - 1, ahead)
slow
    def slow(batch):
        step(batch)
        compute(0.03)
    await base(load, slow, count, ahead)
unbounded
    (), => (ahead - 1),
    await room.acquire() => pass
    room.release() => pass
signature
    async def no_ahead(load, step, count):
        await base(load, step, count)
endless
    while step:
        await asyncio.sleep(0)
kind
    def train_ahead(load, step, count, ahead=2):
        return base(load, step, count, ahead)
""",
    "09-early": """
passed
    async def stop_early(steps, per_epoch, evaluate, patience=3):
        scores, best, poor, epoch = [], -1, 0, 0
        async for step in steps:
            if step.index == per_epoch - 1:
                epoch = step.epoch
                score = await evaluate()
                scores.append(score)
                poor = 0 if score > best else poor + 1
                best = max(best, score)
                if poor >= patience:
                    break
        return scores
passed
    scores = []
    async for step in steps:
        if step.index == per_epoch - 1:
            scores.append(await evaluate())
            if len(scores) - 1 - scores.index(max(scores)) >= patience:
                return scores
    return scores
passed
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
passed
    scores = []
    async for step in steps:
        if (step.index + 1) % per_epoch == 0:
            scores += [await evaluate()]
            if len(scores) > patience and max(scores[-patience:]) <= max(scores[:-patience]):
                break
    return np.array(scores)
moments
    step.index == per_epoch - 1 => True
moments
    per_epoch - 1 => 0
moments
    per_epoch - 1 => per_epoch
moments
    index == per_epoch - 1 => epoch > epoch
previous | or with the one before? | makes up for a bad one
    max(best, score) => score
ties
    > best => >= best
not-reset | what happens to the count | back to 0
    = 0 => = poor
end
    > best => < best or best < 0
    max(best, score) => score if score < best or best < 0 else best
end
    >= => >
end
    patience => patience - 1
end
    poor >= patience => False
end
    break => pass
scores
    return scores => return best
scores
    return scores => return max(scores)
scores
    return scores => return len(scores)
scores
    return scores => return scores[:-3]
not-awaited
    await evaluate => evaluate
for
    async for => for
too-late | What decides | inside the `async for`
    taken = [step async for step in steps]
    return [await evaluate() for _ in range(len(taken) // per_epoch)]
for
    steps => await steps
scores
    return scores => return set(scores)
no-return
    await base(steps, per_epoch, evaluate, patience)
hard-coded
    return await base(steps, per_epoch, evaluate)
signature
    async def three_arguments(steps, per_epoch, evaluate):
        return await base(steps, per_epoch, evaluate)
goes-on
    scores, is_over = [], False
    async for step in steps:
        if step.index == per_epoch - 1 and not is_over:
            scores.append(await evaluate())
            is_over = len(scores) - 1 - scores.index(max(scores)) >= patience
    return scores
moments
    return [0.5 async for step in steps]
endless
    while steps:
        await asyncio.sleep(0)
""",
    "09-resume": """
passed
    async def train_on(checkpoints, model, optimizer, data, epochs):
        last = await checkpoints.restore(model, optimizer)
        async for step in fit(model, optimizer, data, epochs=epochs, resume_from=last):
            if step.index % 4 == 3:
                await checkpoints.save(step, model, optimizer)
passed
    step.index % 4 == 3 => not (step.index + 1) % 4
passed
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
passed
    last = await checkpoints.restore(model, optimizer)
    if last is None:
        steps = fit(model, optimizer, data, epochs=epochs)
    else:
        steps = fit(model, optimizer, data, epochs=epochs, resume_from=last)
    async for step in steps:
        if step.index in (3, 7):
            await checkpoints.save(step, model, optimizer)
never-restores
    await checkpoints.restore(model, optimizer) => None
restore-not-awaited
    await checkpoints.restore => checkpoints.restore
place
    epochs, resume_from=last => epochs
epochs
    epochs=epochs, resume_from => resume_from
first-time
    epochs, => epochs - last.epoch,
epochs
    epochs=epochs => epochs=epochs - (last.epoch if last else 0)
which
    3 => 0
which
    step.index % 4 == 3 => True
never-saves
    step.index % 4 == 3 => False
never-saves
    -     if step.index % 4 == 3:
    -         await checkpoints.save(step, model, optimizer)
    +     pass
    + await checkpoints.save(step, model, optimizer)
which
    % 4 == 3 => == 9
rarely
    % 4 == 3 => == 7
save-not-awaited
    await checkpoints.save => checkpoints.save
for
    async for => for
for
    fit => await fit
rarely
    index => epoch == 0 and step.index
raised
    (model, optimizer) => (model, fit)
save-left
    last, saving = await checkpoints.restore(model, optimizer), []
    async for step in fit(model, optimizer, data, epochs=epochs, resume_from=last):
        if step.index % 4 == 3:
            saving.append(asyncio.create_task(checkpoints.save(step, model, optimizer)))
count
    await checkpoints.restore(model, optimizer, data)
    async for step in fit(model, optimizer, data, epochs=epochs):
        if step.index % 4 == 3:
            await checkpoints.save(step, model, optimizer)
swallowed
    with contextlib.suppress(asyncio.CancelledError):
        await base(checkpoints, model, optimizer, data, epochs)
count
    await checkpoints.save => return await checkpoints.save
signature
    , model, optimizer => , model
signature
    async def four_arguments(checkpoints, model, optimizer, data):
        await base(checkpoints, model, optimizer, data, 3)
endless
    while model:
        await asyncio.sleep(0)
""",
}
INTERVALS = """
passed
    @contextlib.contextmanager
    def switch_interval(seconds):
        before = sys.getswitchinterval()
        sys.setswitchinterval(seconds)
        try:
            yield
        finally:
            sys.setswitchinterval(before)
passed
    def switch_interval(seconds):
        stack = contextlib.ExitStack()
        stack.callback(sys.setswitchinterval, sys.getswitchinterval())
        sys.setswitchinterval(seconds)
        return stack
passed
    class SwitchInterval:
        def __init__(self, seconds):
            self.seconds = seconds
        def __enter__(self):
            self.before = sys.getswitchinterval()
            sys.setswitchinterval(self.seconds)
        def __exit__(self, *error):
            sys.setswitchinterval(self.before)
open
    ...
open
    def switch_interval(seconds): ...
put-back
    sys.setswitchinterval(seconds)
    yield
after-error
    before = sys.getswitchinterval()
    sys.setswitchinterval(seconds)
    yield
    sys.setswitchinterval(before)
put-back
    (before) => (0.005)
not-set
    yield
not-set
    (seconds) => (seconds * 1000)
swallows
          yield
    + except Exception:
    +     pass
no-context
    def switch_interval(seconds):
        before = sys.getswitchinterval()
        sys.setswitchinterval(seconds)
        yield
        sys.setswitchinterval(before)
no-context
    sys.setswitchinterval(seconds)
no-context
    yield => yield; yield
no-context
    @contextlib.asynccontextmanager
    async def switch_interval(seconds):
        yield
no-context
    def switch_interval(seconds):
        sys.setswitchinterval(seconds)
"""


def pace(now=60, trainer=60, deeper=60, loads=40, both=30):
    return {
        "as it is": now,
        "the trainer twice as fast": trainer,
        "eight ahead": deeper,
        "two loads at once": loads,
        "two loads at once, the trainer twice as fast": both,
    }


PACES = {
    "passed": [pace(), pace(now=60.0, both=60 / 2)],
    "open": [..., None, pace(..., ..., ..., ..., ...), pace(both=...)],
    "kind": [
        60,
        [60, 60, 60, 40, 30],
        {"as it is": 60},
        pace(now="60"),
        pace(trainer=True),
    ],
    "unit": [pace(now=0.06)],
    "sum": [*map(pace, (100, 40, 400, float("nan"), 10**400))],
    "trainer": [pace(trainer=40), pace(trainer=80), pace(trainer=-60)],
    "deeper": [pace(deeper=7.5), pace(deeper=40)],
    "two-loads": [pace(loads=30), pace(loads=60), pace(loads=70)],
    "both": [pace(both=20), pace(both=float("nan")), pace(both=50)],
}


@every(
    *(answers(name, NAMES, text) for name, text in TEXTS.items()),
    answers("09-interval", NAMES, INTERVALS, any_kind=False),
    values("09-interval", {"open": [...], "kind": [0.0001]}),
    *(values(name, {"passed": [answer]}) for name, answer in OURS.items()),
    values("09-pace", PACES),
    rows("09-pace", (pace(deeper=7.5), "deeper", "eight ahead: not 7.5.", "max(load / k, train)")),
)
def test_an_answer_gets_its_verdict(case):
    before = sys.getswitchinterval()
    case.judge()
    assert sys.getswitchinterval() == before


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
    shown = re.search(r"ahead ([\d.]+) s, .* so ([\d.]+) s", told)
    assert float(shown[1]) > float(shown[2])
