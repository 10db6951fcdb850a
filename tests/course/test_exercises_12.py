"""The checks of lesson 12: right answers pass, each typical wrong one gets a hint of its own."""

# ruff: noqa: ASYNC251, B020  # answers are as learners write them

import asyncio
import contextlib
import json
import time
from collections import deque

import numpy as np
import pytest

import asyncml as aml
from asyncml.course.exercises import attempts, capstone, check, standing, yours_or_ours
from asyncml.course.exercises.capstone import Asked, World
from asyncml.course.exercises.lesson_12 import PAGE


def code(name, answer):
    verdict = check(name, answer)
    assert "\n" not in repr(verdict)
    return verdict.code


def asked_twice(name, answer):
    return check(name, answer), check(name, answer)


# ---- 12-load ----


async def patient(get, key):
    pause_s = 0.02
    while True:
        try:
            return await get(key)
        except ConnectionError:
            await asyncio.sleep(pause_s)
            pause_s *= 2


def load_stub(keys, get, decode): ...


def opened(decode, pair):
    key, data = pair
    return decode(data), aml.label_of(key)


def ten_in_flight(keys, get, decode):
    async def fetch(key):
        return key, await get(key)

    images = aml.Pipeline(keys).map(fetch, concurrency=10, retries=8)
    return images.map(lambda pair: opened(decode, pair), concurrency=2, on_error="skip")


async def by_hand(keys, get, decode):
    async def one(key):
        async with fetches:
            data = await patient(get, key)
        async with cores:
            try:
                return await asyncio.to_thread(decode, data), aml.label_of(key)
            except ValueError:
                return None

    fetches, cores, tasks = asyncio.Semaphore(10), asyncio.Semaphore(2), deque()
    try:
        for key in keys:
            tasks.append(asyncio.create_task(one(key)))
            if len(tasks) == 60 and (pair := await tasks.popleft()):
                yield pair
        while tasks:
            if pair := await tasks.popleft():
                yield pair
    finally:
        for task in tasks:
            task.cancel()


async def with_a_queue(keys, get, decode):
    queue, todo = asyncio.Queue(40), iter(enumerate(keys))

    async def work():
        for place, key in todo:
            await queue.put((place, key, await patient(get, key)))

    async def fill():
        await asyncio.gather(*[work() for _ in range(10)])
        await queue.put(None)

    filling, come, at = asyncio.create_task(fill()), {}, 0
    try:
        while (item := await queue.get()) is not None:
            come[item[0]] = item[1:]
            while at in come:
                key, data = come.pop(at)
                at += 1
                with contextlib.suppress(ValueError):
                    yield [await asyncio.to_thread(decode, data), aml.label_of(key)]
    finally:
        filling.cancel()
        await asyncio.wait([filling])


def label_first_and_int64(keys, get, decode):  # the label of NumPy's kind, the pair a list
    async def fetch(key):
        return np.int64(aml.label_of(key)), await get(key)

    def both(pair):
        return [decode(pair[1]), pair[0]]

    images = aml.Pipeline(keys).map(fetch, concurrency=8, retries=9)
    return images.map(both, concurrency=2, on_error="skip")


async def as_a_list(keys, get, decode):
    return []


async def list_first(keys, get, decode):
    slots = asyncio.Semaphore(10)

    async def one(key):
        async with slots:
            return key, await patient(get, key)

    for pair in await asyncio.gather(*[one(key) for key in keys]):
        with contextlib.suppress(ValueError):
            yield await asyncio.to_thread(opened, decode, pair)


async def one_by_one(keys, get, decode):
    for key in keys:
        data = await patient(get, key)
        with contextlib.suppress(ValueError):
            yield await asyncio.to_thread(decode, data), aml.label_of(key)


def plain(keys, get, decode):
    images = aml.Pipeline(keys).map(get, concurrency=10, retries=8)
    return images.map(decode, concurrency=2, on_error="skip")


async def zipped(keys, get, decode):
    labels = map(aml.label_of, keys)
    async for image in plain(keys, get, decode):
        yield image, next(labels)


async def with_the_key(keys, get, decode):
    async for image, label in ten_in_flight(keys, get, decode):
        yield image, str(label)


async def turned(keys, get, decode):
    async for image, label in ten_in_flight(keys, get, decode):
        yield label, image


async def always_nine(keys, get, decode):
    async for image, _ in ten_in_flight(keys, get, decode):
        yield image, 9


def with_nones(keys, get, decode):
    async def fetch(key):
        return key, await get(key)

    images = aml.Pipeline(keys).map(fetch, concurrency=10, retries=8)
    return images.map(
        lambda pair: opened(decode, pair), concurrency=2, on_error=lambda error, item: None
    )


def options(fetching=(), decoding=()):
    fetching = {"concurrency": 10, "retries": 8} | dict(fetching)
    decoding = {"concurrency": 2, "on_error": "skip"} | dict(decoding)

    def load_data(keys, get, decode):
        async def fetch(key):
            return key, await get(key)

        images = aml.Pipeline(keys).map(fetch, **fetching)
        return images.map(lambda pair: opened(decode, pair), **decoding)

    return load_data


def on_the_loop(keys, get, decode):
    async def both(key):
        return decode(await get(key)), aml.label_of(key)

    return aml.Pipeline(keys).map(both, concurrency=10, retries=8, retry_on=ConnectionError,
                                  on_error="skip")  # fmt: skip


def own_decoding(keys, get, decode):
    return ten_in_flight(keys, get, aml.decode_png)


async def a_task_each(keys, get, decode):
    async def one(key):
        async with slots:
            return key, await patient(get, key)

    slots = asyncio.Semaphore(10)
    tasks = [asyncio.create_task(one(key)) for key in keys]
    try:
        for task in tasks:
            with contextlib.suppress(ValueError):
                yield await asyncio.to_thread(opened, decode, await task)
    finally:
        for task in tasks:
            task.cancel()


async def left_running(keys, get, decode):
    queue = asyncio.Queue(20)

    async def fill():
        async for pair in ten_in_flight(keys, get, decode):
            await queue.put(pair)
        await queue.put(None)

    filling = asyncio.create_task(fill())
    while (pair := await queue.get()) is not None:
        yield pair
    await filling


async def no_order(keys, get, decode):
    async def fetch(key):
        return key, await get(key)

    images = aml.Pipeline(keys).map(fetch, concurrency=10, retries=8, ordered=False)
    async for pair in images.map(lambda p: opened(decode, p), concurrency=2, on_error="skip"):
        yield pair


def everything_skipped(keys, get, decode):
    return options({"retries": 0, "on_error": "skip"})(keys, get, decode)


def without_return(keys, get, decode):
    ten_in_flight(keys, get, decode)


async def blocking(keys, get, decode):
    for key in keys:
        time.sleep(0.05)
        yield await get(key), aml.label_of(key)


def two_arguments(keys, get):
    return plain(keys, get, aml.decode_png)


@pytest.mark.parametrize(
    "answer", [capstone.load_data, ten_in_flight, by_hand, with_a_queue, label_first_and_int64]
)
def test_right_loaders_pass(answer):
    assert code("12-load", answer) == "passed"


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (load_stub, "open"),
        (..., "open"),
        (None, "open"),
        (3, "kind"),
        ([1, 2], "kind"),
        (without_return, "kind"),
        (two_arguments, "signature"),
        (as_a_list, "all-at-the-end"),
        (list_first, "all-at-the-end"),
        (one_by_one, "slow"),
        (plain, "pairs"),
        (zipped, "shifted"),
        (with_the_key, "key"),
        (turned, "swapped"),
        (always_nine, "labels"),
        (with_nones, "damaged"),
        (options({"concurrency": 16}), "refused"),
        (options({"concurrency": 120}), "storm"),
        (options(decoding={"concurrency": 1}), "passed"),  # the score will show it
        (options(decoding={"concurrency": 16}), "cores"),
        (options({"retries": 0}), "lost"),
        (options(decoding={"on_error": "raise"}), "stopped"),
        (on_the_loop, "on-loop"),
        (own_decoding, "own-decode"),
        (a_task_each, "unbounded"),
        pytest.param(left_running, "left-running", marks=pytest.mark.untidy),
        (no_order, "order"),
        (everything_skipped, "missing"),
        (blocking, "blocking"),
    ],
)
def test_wrong_loaders_get_hints_of_their_own(answer, expected):
    assert code("12-load", answer) == expected


# ---- 12-train ----


async def train_stub(model, optimizer, batches, validate, epochs, patience): ...


async def in_one_fit(model, optimizer, batches, validate, epochs, patience):
    losses, scores, best, last = [], [], -1.0, None
    waited = 0
    for epoch in range(epochs):
        async for last in aml.fit(model, optimizer, batches, epochs=epoch + 1, resume_from=last):
            losses += [np.float64(last.loss)]
        scores += [await validate()]
        waited = 0 if scores[-1] > best else waited + 1
        best = max(best, scores[-1])
        if waited == patience:
            return np.array(losses), scores
    return np.array(losses), scores


async def with_a_curve(model, optimizer, batches, validate, epochs, patience):
    curve, scores = aml.LossCurve(live=False), []
    while len(scores) < epochs and (
        len(scores) <= patience or max(scores[-patience:]) > max(scores[:-patience])
    ):
        async with contextlib.aclosing(aml.fit(model, optimizer, batches)) as steps:
            async for step in steps:
                curve.add(step)
        scores.append(await validate())
    return [step.loss for step in curve.steps], scores


async def own_feeder(model, optimizer, batches, validate, epochs, patience):
    losses, scores = [], []

    def step(x, y):
        loss = model.loss_and_grads(x, y)
        optimizer.step()
        losses.append(loss)

    while len(scores) < epochs:
        async for x, y in batches.prefetch(2):
            running = asyncio.create_task(asyncio.to_thread(step, x, y))
            try:
                await asyncio.shield(running)
            except asyncio.CancelledError:
                await running
                raise
        scores.append(await validate())
        if len(scores) - 1 - scores.index(max(scores)) >= patience:
            break
    return [losses, scores]


def train(before="", after="scores.append(await validate())", inside="losses.append(step.loss)",
          stop="len(scores) - 1 - scores.index(max(scores)) >= patience",
          end="return losses, scores", head=""):  # fmt: skip
    lines = [
        "async def train_model(model, optimizer, batches, validate, epochs, patience):",
        "    losses, scores = [], []",
        f"    {head}" if head else "",
        "    for epoch in range(epochs):",
        f"        {before}" if before else "",
        "        async for step in aml.fit(model, optimizer, batches):",
        f"            {inside}",
        f"        {after}",
        f"        if {stop}:",
        "            break",
        f"    {end}",
    ]
    scope = {"aml": aml, "asyncio": asyncio}
    exec("\n".join(line for line in lines if line), scope)
    return scope["train_model"]


async def on_loop(model, optimizer, batches, validate, epochs, patience):
    losses, scores = [], []
    for _ in range(epochs):
        async for x, y in batches:
            losses.append(model.loss_and_grads(x, y))
            optimizer.step()
        scores.append(await validate())
    return losses, scores


def step_of(model, optimizer, x, y):
    loss = model.loss_and_grads(x, y)
    optimizer.step()
    return loss


async def with_to_thread(model, optimizer, batches, validate, epochs, patience):
    losses, scores = [], []
    for _ in range(epochs):
        async for x, y in batches.prefetch(2):
            losses.append(await asyncio.to_thread(step_of, model, optimizer, x, y))
        scores.append(await validate())
        if len(scores) - 1 - scores.index(max(scores)) >= patience:
            break
    return losses, scores


async def load_first(model, optimizer, batches, validate, epochs, patience):
    losses, scores = [], []
    for _ in range(epochs):
        at_hand = [batch async for batch in batches]
        async for step in aml.fit(model, optimizer, at_hand):
            losses.append(step.loss)
        scores.append(await validate())
        if len(scores) - 1 - scores.index(max(scores)) >= patience:
            break
    return losses, scores


async def by_length(model, optimizer, batches, validate, epochs, patience):
    losses, scores = [], []
    async for step in aml.fit(model, optimizer, batches, epochs=epochs):
        losses.append(step.loss)
        if step.index == len(batches) - 1:
            scores.append(await validate())
    return losses, scores


async def swallowing(model, optimizer, batches, validate, epochs, patience):
    losses, scores = [], []
    for _ in range(epochs):
        try:
            async for step in aml.fit(model, optimizer, batches):
                losses.append(step.loss)
        except asyncio.CancelledError:
            return losses, scores
        scores.append(await validate())
        if len(scores) - 1 - scores.index(max(scores)) >= patience:
            break
    return losses, scores


async def awaits_fit(model, optimizer, batches, validate, epochs, patience):
    await aml.fit(model, optimizer, batches)


async def plain_for(model, optimizer, batches, validate, epochs, patience):
    for step in aml.fit(model, optimizer, batches):
        print(step)


@pytest.mark.parametrize(
    "answer", [capstone.train_model, in_one_fit, with_a_curve, own_feeder, train()]
)
def test_right_trainings_pass(answer):
    assert code("12-train", answer) == "passed"


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (train_stub, "open"),
        (..., "open"),
        (capstone.train_model.__name__, "kind"),
        (lambda *args: 3, "kind"),
        (on_loop, "on-the-loop"),
        (with_to_thread, "left-running"),
        (load_first, "sequence"),
        pytest.param(by_length, "length", marks=pytest.mark.untidy),
        (swallowing, "swallows"),
        (awaits_fit, "for"),
        (plain_for, "for"),
        (train(after="scores.append(validate())"), "not-awaited"),
        (train(stop="False"), "end"),
        (train(stop="len(scores) > 1 and scores[-1] <= scores[-2]"), "end"),
        (train(stop="len(scores) - scores.index(max(scores)) >= patience"), "end"),
        (train(stop="len(scores) - 1 - scores.index(max(scores)) > patience"), "end"),
        (train(stop="len(scores) - 1 - scores.index(max(scores)) >= 3"), "hard-coded"),
        (train(stop="len(scores) - 1 - scores.index(min(scores)) >= patience"), "end"),
        (train(end="pass"), "no-return"),
        (train(end="return scores"), "kind"),
        (train(end="return scores, losses"), "losses"),
        (train(inside="pass", after="losses.append(step.loss); scores.append(await validate())"),
         "losses"),
        (train(inside="losses.append(step)"), "losses"),
        (train(end="return losses, scores[-1:]"), "scores"),
        (train(inside="losses.append(step.loss); await validate()"), "moments"),
        (train(after="pass", stop="False", end="scores.append(await validate()); return 0"),
         "too-late"),
        (train(after="pass", stop="False"), "moments"),
    ],
)  # fmt: skip
def test_wrong_trainings_get_hints_of_their_own(answer, expected):
    assert code("12-train", answer) == expected


# ---- 12-save ----


async def save_stub(folder, model, optimizer, batches, validate, epochs, patience): ...


SAVE = """
async def train_and_save(folder, model, optimizer, batches, validate, epochs, patience):
    book = folder / "scores.json"
    scores = json.loads(book.read_text()) if book.exists() else []
    async with aml.Checkpointer(folder) as checkpoints:
        last = await checkpoints.restore(model, optimizer)
        for epoch in range(last.epoch if last else 0, epochs):
            best = max(range(epoch), key=scores.__getitem__, default=epoch)
            if epoch - best > patience:
                break
            steps = aml.fit(model, optimizer, batches, epochs=epoch + 1, resume_from=last)
            async for last in steps:
                if last.index % 10 == 9:
                    await checkpoints.save(last, model, optimizer)
            scores[epoch:] = [await validate()]
            book.write_text(json.dumps(scores))
            await checkpoints.save(last, model, optimizer)
    return scores
"""


def save(*changes):
    """The right one with some of its text changed."""
    text = SAVE
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    scope = {"aml": aml, "json": json, "asyncio": asyncio, "kept": {}}
    exec(text, scope)
    return scope["train_and_save"]


async def one_fit(folder, model, optimizer, batches, validate, epochs, patience):
    """All epochs in one fit; the scores by their epoch, each in a file of its own."""

    def known(epoch):
        path = folder / f"score-{epoch}.txt"
        return float(path.read_text()) if path.exists() else None

    def is_over(epoch):
        scores = [known(n) for n in range(epoch + 1)]
        return len(scores) - 1 - scores.index(max(scores)) >= patience

    async with aml.Checkpointer(folder, keep_last=1) as checkpoints:
        last = await checkpoints.restore(model, optimizer)
        if last and last.index == 15 and known(last.epoch) is None:
            (folder / f"score-{last.epoch}.txt").write_text(str(await validate()))
        if not (last and last.index == 15 and is_over(last.epoch)):
            steps = aml.fit(model, optimizer, batches, epochs=epochs, resume_from=last)
            async for last in steps:
                if last.index % 8 == 7:
                    await checkpoints.save(last, model, optimizer)
                if last.index == 15:
                    (folder / f"score-{last.epoch}.txt").write_text(str(await validate()))
                    if is_over(last.epoch):
                        break
            await steps.aclose()
    return [score for n in range(epochs) if (score := known(n)) is not None]


SAVED = "                    await checkpoints.save(last, model, optimizer)"
END = "            await checkpoints.save(last, model, optimizer)\n    return"
WRITE = "            book.write_text(json.dumps(scores))\n"


STOPS = """            await checkpoints.save(last, model, optimizer)
            if epoch + 1 - max(range(epoch + 1), key=scores.__getitem__) > patience:
                break
    return"""


@pytest.mark.parametrize(
    "answer",
    [
        capstone.train_and_save,
        save(
            ("            if epoch - best > patience:\n                break\n", ""), (END, STOPS)
        ),
        save(("last.index % 10 == 9", "last.index % 3 == 2")),
        save((END, "    return"), ("last.index % 10 == 9", "last.index % 8 == 7")),
        one_fit,
    ],
)
def test_right_savers_pass(answer):
    assert check("12-save", answer).code == "passed"


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (save_stub, "open"),
        (..., "open"),
        (7, "kind"),
        (lambda *args: 3, "kind"),
        (save((SAVED, "                    pass"), (END, "    return")), "never-saves"),
        (save((SAVED, "                    pass")), "rarely"),
        (save(("last.index % 10 == 9", "last.index == 15")), "rarely"),
        (save(("await checkpoints.restore(model, optimizer)", "None")), "never-restores"),
        (save(("resume_from=last", "resume_from=None")), "scores-short"),
        (save(("await checkpoints.restore", "checkpoints.restore")), "not-awaited"),
        (save(("if book.exists() else []", "")), "first-time"),
        (save(("last.epoch if last else 0", "last.epoch")), "first-time"),
        (save(("json.loads(book.read_text()) if book.exists() else []", "[]"),
              ("max(range(epoch), key=scores.__getitem__, default=epoch)",
               "epoch - len(scores) + scores.index(max(scores)) if scores else epoch"),
              ("scores[epoch:] = [await validate()]", "scores.append(await validate())")),
         "scores-lost"),
        (save(("scores[epoch:] = [await validate()]", "scores.append(await validate())")),
         "scores-twice"),
        (save(("json.loads(book.read_text()) if book.exists() else []", "kept.setdefault(0, [])"),
              (WRITE, "")), "scores-short"),
        (save(("            if epoch - best > patience:\n                break\n", "")), "early"),
        (save(("            if epoch - best > patience:\n                break\n", ""),
              ("range(last.epoch if last else 0, epochs)", "range(len(scores), epochs)"),
              (END, STOPS)), "goes-on"),
        (save(("    return scores", "    return scores[-1]")), "scores"),
        (save(("    return scores", "")), "no-return"),
        (save(("epochs=epoch + 1", "epochs=1")), "epochs"),
        (save(("async with aml.Checkpointer(folder) as checkpoints:",
               "if checkpoints := aml.Checkpointer(folder):")), "block"),
        (save(("scores[epoch:] = [await validate()]", "scores[epoch:] = [validate()]")),
         "not-awaited"),
        (save((", validate, epochs", ", epochs")), "signature"),
        (save(("epoch - best > patience", "epoch - best > patience + 1")), "early"),
    ],
)  # fmt: skip
def test_wrong_savers_get_hints_of_their_own(answer, expected):
    verdict = check("12-save", answer)
    assert verdict.code == expected, verdict


# ---- 12-serve ----


def serve_stub(forward, example): ...


def serve(size=64, pending=64, **more):
    def serve_model(forward, example):
        batcher = aml.MicroBatcher(forward, max_batch_size=size, max_pending=pending, **more)
        return aml.create_app(batcher, "clothes", example=example)

    return serve_model


def app_of(text):
    scope = {"aml": aml, "np": np, "asyncio": asyncio}
    exec(f"def serve_model(forward, example):\n    {text}", scope)
    return scope["serve_model"]


MAKE = "return aml.create_app(aml.MicroBatcher({}, 64, max_pending=64), 'clothes', example={})"


@pytest.mark.parametrize(
    "answer",
    [
        capstone.serve_model,
        serve(128, 79),
        serve(70, 66),
        app_of(MAKE.format("forward", "list(example)")),
        app_of(MAKE.format("lambda rows: forward(np.asarray(rows))", "example.copy()")),
    ],
)
def test_right_applications_pass(answer):
    assert code("12-serve", answer) == "passed"


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (serve_stub, "open"),
        (..., "open"),
        (5, "kind"),
        (serve_model := serve(64, 1024), "late"),
        (serve(200, 90), "late"),
        (serve(1, 64), "late"),
        (serve(16, 16), "few"),
        (serve(64, 64, max_wait_s=0.1), "late"),
        (serve(32, 128, concurrency=4), "at-once"),
        (app_of("return aml.MicroBatcher(forward)"), "kind"),
        (app_of("aml.create_app(aml.MicroBatcher(forward), 'clothes', example=example)"), "kind"),
        (app_of("return aml.create_app(forward, 'clothes', example=example)"), "batcher"),
        (app_of("return aml.create_app(aml.MicroBatcher(forward), 'clothes')"), "example"),
        (app_of(MAKE.format("forward", "example").replace("'clothes'", "'model'")), "name"),
        (app_of(MAKE.format("forward", "example[None]")), "bad"),
        (app_of(MAKE.format("forward", "example[:3]")), "bad"),
        (app_of(MAKE.format("forward", "example.tolist()")), "bad"),
        (app_of("async def on_loop(x):\n        return forward(x)\n    "
                + MAKE.format("on_loop", "example")), "on-the-loop"),
        (lambda forward: 0, "signature"),
    ],
)  # fmt: skip
def test_wrong_applications_get_hints_of_their_own(answer, expected):
    verdict = check("12-serve", answer)
    assert verdict.code == expected, verdict


# ---- 12-page ----


def page(**numbers):
    right = {"load": 16.59, "decode": 12, "train": 12, "one after the other": 40.6}
    right |= {"overlapped": 16.59, "twice the rate": 12, "saved": 0}
    names = {"sum": "one after the other", "twice": "twice the rate"}
    return right | {names.get(name, name): value for name, value in numbers.items()}


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (page(), "passed"),
        (capstone.PAGE, "passed"),
        (page(load=16.6, train=11.992, sum=40.5, saved=0.0), "passed"),
        (page(load=np.float64(16.59), overlapped=17), "number"),
        (page(load=np.float64(16.59), overlapped=16.7, saved=False), "kind"),
        (page(load=np.float32(16.6), decode=np.int64(12)), "passed"),
        (..., "open"),
        (page(load=...), "open"),
        (dict.fromkeys(PAGE, ...), "open"),
        (16.6, "kind"),
        ({"load": 16.6}, "kind"),
        (page(load="16.6 s"), "kind"),
        (page(load=15), "lost"),
        (page(load=192), "one-by-one"),
        (page(load=3), "number"),
        (page(decode=24), "cores"),
        (page(train=0.12), "rows"),
        (page(sum=16.6), "hidden"),
        (page(overlapped=40.6), "sum"),
        (page(twice=8.3), "half"),
        (page(twice=16.6), "same"),
        (page(saved=24), "hidden"),
        (page(saved=float("nan")), "number"),
        (page(saved=10**400), "number"),
    ],
)
def test_the_page(answer, expected):
    assert code("12-page", answer) == expected


# ---- all of them ----


@pytest.mark.parametrize("name", ["12-load", "12-train", "12-save", "12-serve"])
def test_later_cells_run_ours_until_yours_passes(name, monkeypatch):
    monkeypatch.setattr(standing, "_passed", {})
    assert yours_or_ours(name).__module__ == capstone.__name__


@pytest.mark.parametrize(("name", "answer"), [("12-load", zipped), ("12-train", load_first),
                                              ("12-serve", serve(64, 1024))])  # fmt: skip
def test_the_second_hint_says_more(name, answer):
    first, second = asked_twice(name, answer)
    assert first.code == second.code
    assert first.message != second.message


@pytest.mark.parametrize("name", ["12-load", "12-train", "12-save"])
def test_what_does_not_end_is_ended(name, monkeypatch):
    monkeypatch.setattr(attempts, "_LIMIT_S", 0.1)

    async def endless(*args):
        while True:
            pass

    async def endless_load(*args):
        while True:
            pass
        yield

    assert code(name, endless_load if name == "12-load" else endless) == "endless"


def test_a_store_made_of_a_get_is_one():
    async def get(key):
        return key.encode()

    store = Asked(get)
    assert isinstance(store, aml.Store)
    assert asyncio.run(store.get("a")) == b"a"
    assert asyncio.run(store.list("")) == []
    assert asyncio.run(store.put("a", b"1")) is None


def test_the_bound_is_one_of_the_three_and_known_before_anything_runs():
    world = World()
    assert world.load_s == pytest.approx((world.needed - 20) / 200 + 0.03)
    assert world.decode_s == 12
    assert world.train_s == pytest.approx(2998 * 0.004)
    assert world.load_s - 0.01 < world.bound_s < world.load_s + 0.4
