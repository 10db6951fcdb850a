"""The checks of lesson 12: right answers pass, and each typical mistake gets its own hint.

Answers are texts, as learners write them; most are a right answer with a change.
"""

import asyncio
import contextlib
import functools
import json
import re
import time
from collections import deque

import numpy as np
import pytest

import asyncml as aml
from asyncml.course.exercises import attempts, capstone, check, standing, yours_or_ours
from asyncml.course.exercises.capstone import Asked, World

NAMES = {
    "aml": aml,
    "asyncio": asyncio,
    "contextlib": contextlib,
    "deque": deque,
    "json": json,
    "np": np,
    "time": time,
}


def made(text, *changes):
    """Return the function that a text defines, after changes to the text."""
    for old, new in zip(changes[::2], changes[1::2], strict=True):
        assert old in text
        text = text.replace(old, new)
    scope = NAMES | {"kept": []}
    exec(text, scope)
    return scope[re.findall(r"^(?:async )?def (\w+)", text, re.MULTILINE)[-1]]


PATIENT = """
    async def patient(key):
        pause_s = 0.02
        while True:
            try:
                return await get(key)
            except ConnectionError:
                await asyncio.sleep(pause_s)
                pause_s *= 2
"""
LOAD = """
def load_data(keys, get, decode):
    async def fetch(key):
        return key, await get(key)

    def labelled(pair):
        key, data = pair
        return decode(data), aml.label_of(key)

    images = aml.Pipeline(keys).map(fetch, concurrency=10, retries=8)
    return images.map(labelled, concurrency=2, on_error="skip")
"""
BY_HAND = f"""
async def load_data(keys, get, decode):
    {PATIENT}
    async def one(key):
        async with slots:
            data = await patient(key)
        async with cores:
            try:
                return await asyncio.to_thread(decode, data), aml.label_of(key)
            except ValueError:
                return None

    slots, cores, tasks = asyncio.Semaphore(10), asyncio.Semaphore(2), deque()
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
"""
QUEUE = f"""
async def load_data(keys, get, decode):
    {PATIENT}
    queue, todo = asyncio.Queue(40), iter(enumerate(keys))

    async def work():
        for place, key in todo:
            await queue.put((place, key, await patient(key)))

    async def fill():
        await asyncio.gather(*[work() for _ in range(10)])
        await queue.put(None)

    filling, come, at = asyncio.create_task(fill()), {{}}, 0
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
"""
ONE_BY_ONE = f"""
async def load_data(keys, get, decode):
    {PATIENT}
    for key in keys:
        data = await patient(key)
        with contextlib.suppress(ValueError):
            yield await asyncio.to_thread(decode, data), aml.label_of(key)
"""
GATHERED = f"""
async def load_data(keys, get, decode):
    {PATIENT}
    async def one(key):
        async with slots:
            return key, await patient(key)

    slots = asyncio.Semaphore(10)
    for key, data in await asyncio.gather(*[one(key) for key in keys]):
        with contextlib.suppress(ValueError):
            yield await asyncio.to_thread(decode, data), aml.label_of(key)
"""
FILLED = """
async def load_data(keys, get, decode):
    queue = asyncio.Queue(20)

    async def fill():
        async for pair in load(keys, get, decode):
            await queue.put(pair)
        await queue.put(None)

    filling = asyncio.create_task(fill())
    while (pair := await queue.get()) is not None:
        yield pair
    await filling
"""
NAMES["load"] = made(LOAD)
EACH = """
async def load_data(keys, get, decode):
    async for image, label in load(keys, get, decode):
        yield image, label
"""
ZIPPED = """
async def load_data(keys, get, decode):
    labels = map(aml.label_of, keys)
    async for image, _ in load(keys, get, decode):
        yield image, next(labels)
"""
LIMITED = (
    "concurrency=10",
    "concurrency=30",  # the rate is the limit
    "await get(key)",
    "await aml.Hedged(store, after_s=0.075).get(key)",
    "    async def fetch",
    "    store = aml.RateLimited(Asked(get), per_second=200, burst=20)\n\n    async def fetch",
)
NAMES["Asked"] = Asked

LOADS = [
    ("passed", capstone.load_data),
    ("passed", made(LOAD)),
    ("passed", made(LOAD, *LIMITED)),
    ("passed", made(BY_HAND)),
    ("passed", made(BY_HAND, "Semaphore(10)", "Semaphore(8)")),  # a little slow
    ("passed", made(QUEUE)),
    ("passed", made(LOAD, "decode(data), aml.label_of(key)", "[decode(data), np.int64(key[-5])]")),
    ("passed", made(LOAD, "concurrency=2", "concurrency=1")),  # the score will show it
    ("open", made("def load_data(keys, get, decode): ...")),
    ("open", ...),
    ("open", None),
    ("kind", 3),
    ("kind", np.arange(3)),
    ("kind", made(LOAD, "return images.map", "images.map")),
    ("kind", made("def load_data(keys, get, decode):\n    return [1, 2]")),
    ("signature", made("def load_data(keys, get):\n    return aml.Pipeline(keys).map(get)")),
    ("all-at-the-end", made("async def load_data(keys, get, decode):\n    return []")),
    ("all-at-the-end", made(GATHERED)),
    ("slow", made(ONE_BY_ONE)),
    ("pairs", made(LOAD, "decode(data), aml.label_of(key)", "decode(data)")),
    ("pairs", made(LOAD, '"skip")', '"skip").batch(10)')),
    ("pairs", made(EACH, "yield image, label", "yield label, image")),
    ("pairs", made(LOAD, "decode(data), aml", "data, aml")),
    ("nothing", made("async def load_data(keys, get, decode):\n    return\n    yield")),
    ("shifted", made(ZIPPED)),
    ("labels", made(EACH, "yield image, label", "yield image, str(label)")),
    ("labels", made(EACH, "yield image, label", "yield image, 9")),
    ("damaged", made(LOAD, '"skip"', "lambda error, item: None")),
    ("damaged", made(LOAD, '"skip"', "lambda error, item: (None, None)")),
    ("refused", made(LOAD, "concurrency=10", "concurrency=16")),
    ("storm", made(LOAD, "concurrency=10", "concurrency=120")),
    ("cores", made(LOAD, "concurrency=2, ", "")),
    ("lost", made(LOAD, ", retries=8", "")),
    ("stopped", made(LOAD, ', on_error="skip"', "")),
    ("not-awaited", made(ONE_BY_ONE, "await asyncio.to_thread(decode, data)", "decode(get(key))")),
    ("data", made(LOAD, "decode(data)", "decode(pair)", ', on_error="skip"', "")),
    ("on-loop", made(ONE_BY_ONE, "await asyncio.to_thread(decode, data)", "decode(data)")),
    ("own-decode", made(LOAD, "decode(data)", "aml.decode_png(data)")),
    ("unbounded", made(BY_HAND, "len(tasks) == 60", "len(tasks) == 1000")),
    pytest.param("left-running", made(FILLED), marks=pytest.mark.untidy),
    ("order", made(LOAD, "retries=8", "retries=8, ordered=False")),
    ("missing", made(LOAD, "retries=8", 'retries=0, on_error="skip"')),
    ("blocking", made(ONE_BY_ONE, "        data =", "        time.sleep(0.05)\n        data =")),
]  # fmt: skip

TRAIN = """
async def train_model(model, optimizer, batches, validate, epochs, patience):
    losses, scores = [], []
    for epoch in range(epochs):
        async for step in aml.fit(model, optimizer, batches):
            losses.append(step.loss)
        scores.append(await validate())
        if len(scores) - 1 - scores.index(max(scores)) >= patience:
            break
    return losses, scores
"""
OWN_FEEDER = """
async def train_model(model, optimizer, batches, validate, epochs, patience):
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
"""
ONE_FIT = """
async def train_model(model, optimizer, batches, validate, epochs, patience):
    losses, scores, best, last, poor = [], [], -1.0, None, 0
    for epoch in range(epochs):
        async for last in aml.fit(model, optimizer, batches, epochs=epoch + 1, resume_from=last):
            losses += [np.float64(last.loss)]
        scores += [await validate()]
        poor = 0 if scores[-1] > best else poor + 1
        best = max(best, scores[-1])
        if poor == patience:
            break
    return np.array(losses), scores
"""
BY_LENGTH = """
async def train_model(model, optimizer, batches, validate, epochs, patience):
    losses, scores = [], []
    async for step in aml.fit(model, optimizer, batches, epochs=epochs):
        losses.append(step.loss)
        if step.index == len(batches) - 1:
            scores.append(await validate())
    return losses, scores
"""
SWALLOWS = """
        try:
            async for step in aml.fit(model, optimizer, batches):
                losses.append(step.loss)
        except asyncio.CancelledError:
            return losses, scores
"""
FIT = "        async for step in aml.fit(model, optimizer, batches):"
STEPS = FIT + "\n            losses.append(step.loss)"
SCORED, PATIENCE = "scores.append(await validate())", "len(scores) - 1 - scores.index(max(scores))"
IN_A_TASK = TRAIN.replace("train_model", "trained") + TRAIN.splitlines()[1].join("\n\n") + (
    "    args = model, optimizer, batches, validate, epochs, patience\n"
    "    return await asyncio.shield(asyncio.create_task(trained(*args)))"
)  # fmt: skip
TRAININGS = [
    ("passed", capstone.train_model),
    ("passed", made(TRAIN)),
    ("passed", made(TRAIN, "return losses, scores", "return np.array(losses), tuple(scores)")),
    ("passed", made(OWN_FEEDER)),
    ("passed", made(ONE_FIT)),
    ("open", made(TRAIN.splitlines()[1] + " ...")),
    ("open", ...),
    ("kind", "train_model"),
    ("kind", print),
    ("kind", lambda *args: 3),
    ("on-the-loop", made(OWN_FEEDER, "await asyncio.shield(running)", "step(x, y)", "running = "
                         "asyncio.create_task(asyncio.to_thread(step, x, y))", "pass")),
    ("left-running", made(OWN_FEEDER, "                await running\n", "")),
    ("sequence", made(TRAIN, FIT, "        at_hand = [batch async for batch in batches]\n"
                      + FIT.replace("batches", "at_hand"))),
    pytest.param("length", made(BY_LENGTH), marks=pytest.mark.untidy),
    ("swallows", made(TRAIN, STEPS, SWALLOWS)),
    ("for", made(TRAIN, STEPS, "        await aml.fit(model, optimizer, batches)")),
    ("for", made(TRAIN, "async for", "for")),
    ("not-awaited", made(TRAIN, "await validate()", "validate()")),
    ("end", made(TRAIN, PATIENCE + " >= patience", "False")),
    ("end", made(TRAIN, PATIENCE, "len(scores) > 1 and scores[-1] <= scores[-2]")),
    ("end", made(TRAIN, PATIENCE, "1 + " + PATIENCE)),
    ("end", made(TRAIN, PATIENCE + " >=", PATIENCE + " >")),
    ("end", made(TRAIN, "index(max", "index(min")),
    ("ties", made(TRAIN, PATIENCE, "scores[::-1].index(max(scores))")),
    ("hard-coded", made(TRAIN, ">= patience", ">= 3")),
    ("no-return", made(TRAIN, "return losses, scores", "pass")),
    ("kind", made(TRAIN, "return losses, scores", "return scores")),
    ("kind", made(TRAIN, "return losses, scores", "return float(np.mean(losses)), scores")),
    ("losses", made(TRAIN, "return losses, scores", "return scores, losses")),
    ("losses", made(TRAIN, "losses.append(step.loss)", "losses = [step.loss]")),
    ("losses", made(TRAIN, "losses.append(step.loss)", "losses.append(step)")),
    ("losses", made(TRAIN, "step.loss", "float('nan')")),
    ("scores", made(TRAIN, "return losses, scores", "return losses, scores[-1:]")),
    ("moments", made(TRAIN, "losses.append(step.loss)", "losses.append(step.loss)\n            "
                     "await validate()")),
    ("too-late", made(TRAIN, "batches):", "batches, epochs=epochs):")),
    ("moments", made(TRAIN, SCORED, "pass", PATIENCE + " >= patience", "False")),
    ("too-late", made(TRAIN, SCORED, "pass", PATIENCE + " >= patience", "False",
                      "return losses", SCORED + "\n    return losses")),
    ("left-running", made(IN_A_TASK)),
    ("deadlock", made(TRAIN, SCORED, "await asyncio.Event().wait()")),
]  # fmt: skip

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
FILES = """
async def train_and_save(folder, model, optimizer, batches, validate, epochs, patience):
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
"""
SAVED = "                    await checkpoints.save(last, model, optimizer)"
END = "            await checkpoints.save(last, model, optimizer)\n    return"
WRITE = "            book.write_text(json.dumps(scores))\n"
READ = "json.loads(book.read_text()) if book.exists() else []"
ASK = "            if epoch - best > patience:\n                break\n"
SCORE = "scores[epoch:] = [await validate()]"
RESTORED = "await checkpoints.restore(model, optimizer)"
BEST = "max(range(epoch), key=scores.__getitem__, default=epoch)"
OWN_BEST = "epoch - len(scores) + scores.index(max(scores)) if scores else epoch"
STOPS = """            await checkpoints.save(last, model, optimizer)
            if epoch + 1 - max(range(epoch + 1), key=scores.__getitem__) > patience:
                break
    return"""
GUARDED = f"if len(scores) <= epoch:\n                scores.append(await validate())\n    {WRITE}"
SAVERS = [
    ("passed", capstone.train_and_save),
    ("passed", made(SAVE, "return scores", "return np.array(scores)")),
    ("passed", made(SAVE, ASK, "", END, STOPS)),
    ("passed", made(SAVE, "last.index % 10 == 9", "last.index % 3 == 2")),
    ("passed", made(SAVE, END, "    return", "last.index % 10 == 9", "last.index % 8 == 7")),
    ("passed", made(SAVE, SCORE + "\n" + WRITE, END.removesuffix("    return").strip() + "\n"
                    "            " + GUARDED, ASK, "", END, STOPS)),  # saved before its score
    ("passed", made(FILES)),
    ("open", made(SAVE.splitlines()[1] + " ...")),
    ("open", ...),
    ("kind", 7),
    ("kind", lambda *args: 3),
    ("never-saves", made(SAVE, SAVED, "                    pass", END, "    return")),
    ("never-saves", made(SAVE, "Checkpointer(folder)", "Checkpointer(folder / 'x')")),
    ("rarely", made(SAVE, SAVED, "                    pass")),
    ("rarely", made(SAVE, "last.index % 10 == 9", "last.index == 15")),
    ("never-restores", made(SAVE, RESTORED, "None")),
    ("optimizer", made(SAVE, RESTORED, RESTORED.replace("optimizer", "aml.Adam(model)"))),
    ("repeats", made(SAVE, "resume_from=last", "resume_from=None")),
    ("not-awaited", made(SAVE, "await checkpoints.restore", "checkpoints.restore")),
    ("not-awaited", made(SAVE, "[await validate()]", "[validate()]")),
    ("raised", made(SAVE, READ, "json.loads(book.read_text())")),
    ("first-time", made(SAVE, "last.epoch if last else 0", "last.epoch")),
    ("scores-lost", made(SAVE, READ, "[]", BEST, OWN_BEST, SCORE, SCORED)),
    ("scores-twice", made(SAVE, SCORE, SCORED)),
    ("scores-short", made(SAVE, READ, "[]")),
    ("scores", made(SAVE, READ, "kept", WRITE, "", ASK, "", END, STOPS, SCORE,
                    "scores += [await validate()] * (len(scores) <= epoch)")),
    ("skipped", made(SAVE, "last.epoch if last", "last.epoch + 1 if last", SCORE, SCORED, ASK, "",
                     "            best = " + BEST + "\n", "", END, STOPS.replace(
                         "epoch + 1 - max(range(epoch + 1), key=scores.__getitem__)",
                         "len(scores) - scores.index(max(scores))"))),
    ("early", made(SAVE, ASK, "")),
    ("early", made(SAVE, "epoch - best > patience", "epoch - best > patience + 1")),
    ("scores-short", made(SAVE, "epochs=epoch + 1", "epochs=epochs")),
    ("goes-on", made(SAVE, ASK, "", "range(last.epoch if last else 0, epochs)",
                     "range(len(scores), epochs)", END, STOPS)),
    ("scores", made(SAVE, "    return scores", "    return scores[-1]")),
    ("no-return", made(SAVE, "    return scores", "")),
    ("early", made(SAVE, "epochs=epoch + 1", "epochs=1")),
    ("raised", made(SAVE, "async with aml.Checkpointer(folder) as checkpoints:",
                   "if checkpoints := aml.Checkpointer(folder):")),
    ("signature", made(SAVE, ", validate, epochs", ", epochs")),
    ("blocking", made(SAVE, WRITE, WRITE + "            time.sleep(0.2)\n")),
]  # fmt: skip

SERVE = """
def serve_model(forward, example):
    batcher = aml.MicroBatcher(forward, max_batch_size=64, max_pending=64)
    return aml.create_app(batcher, "clothes", example=example)
"""
SIZE, PENDING = "max_batch_size=64", "max_pending=64"
ON_LOOP = "async def on_loop(x):\n        return forward(x)\n\n    batcher ="
APPLICATIONS = [
    ("passed", capstone.serve_model),
    ("passed", made(SERVE, SIZE, "max_batch_size=128", PENDING, "max_pending=79")),
    ("passed", made(SERVE, SIZE, "max_batch_size=70", PENDING, "max_pending=66")),
    ("passed", made(SERVE, "example=example", "example=list(example)")),
    ("passed", made(SERVE, "er(forward,", "er(lambda rows: forward(np.asarray(rows)),")),
    ("open", made("def serve_model(forward, example): ...")),
    ("open", ...),
    ("kind", 5),
    ("kind", made(SERVE, "def serve_model", "async def serve_model")),
    ("late", made(SERVE, PENDING, "max_pending=1024")),
    ("late", made(SERVE, SIZE, "max_batch_size=200", PENDING, "max_pending=90")),
    ("late", made(SERVE, PENDING, PENDING + ", max_wait_s=0.1")),
    ("waits", made(SERVE, SIZE, "64", PENDING, "64")),
    ("split", made(SERVE, SIZE, "max_batch_size=1")),
    ("split", made(SERVE, SIZE, "max_batch_size=32", PENDING, "max_pending=79")),
    ("few", made(SERVE, SIZE, "max_batch_size=16", PENDING, "max_pending=16")),
    ("at-once", made(SERVE, PENDING, "max_pending=128, concurrency=4")),
    ("mixed", made(SERVE, "er(forward,", "er(lambda rows: forward(rows)[::-1],")),
    ("kind", made(SERVE, "return aml", "aml")),
    ("kind", made(SERVE, 'aml.create_app(batcher, "clothes", example=example)', "batcher")),
    ("raised", made(SERVE, "(batcher,", "(forward,")),
    ("raised", made(SERVE, ", example=example", "")),
    ("name", made(SERVE, '"clothes", ', "")),
    ("bad", made(SERVE, "example=example", "example=example[None]")),
    ("bad", made(SERVE, "example=example", "example=example.tolist()")),
    ("on-the-loop", made(SERVE, "er(forward,", "er(on_loop,", "batcher =", ON_LOOP)),
    ("signature", lambda forward: 0),
    ("raised", made(SERVE, PENDING, "max_pending=0")),
    ("blocking", made(SERVE, "    batcher =", "    time.sleep(1)\n    batcher =")),
]


class Unseen:
    """An object whose repr raises."""

    def __repr__(self):
        raise ValueError


page = functools.partial(dict, capstone.PAGE)
PAGES = [
    ("passed", page()),
    ("passed", page(load=16.6, train=11.992, saved=0.0) | {"one after the other": 40.5}),
    ("passed", page(load=np.float32(16.6), decode=np.int64(12), train=np.array(12))),
    ("open", ...),
    ("open", None),
    ("open", page(load=...)),
    ("kind", 16.6),
    ("kind", {"load": 16.6}),
    ("kind", page(load="16.6 s")),
    ("kind", page(load=Unseen())),
    ("kind", page(saved=False)),
    ("kind", page(saved=float("nan"))),
    ("kind", page(load=float("inf"))),
    ("kind", page(load=10**400)),
    ("number", page(load=3)),
    ("number", page(overlapped=17)),
    ("number", page(saved=24)),
    ("lost", page(load=14.93)),
    ("lost", page(load=15)),
    ("one-by-one", page(load=192)),
    ("cores", page(decode=24)),
    ("rows", page(train=0.12)),
    ("hidden", page() | {"one after the other": 16.6}),
    ("sum", page(overlapped=40.6)),
    ("half", page() | {"twice the rate": 8.31}),
    ("same", page() | {"twice the rate": 16.6}),
]
CASES = {
    "12-load": LOADS,
    "12-train": TRAININGS,
    "12-save": SAVERS,
    "12-serve": APPLICATIONS,
    "12-page": PAGES,
}


def rows():
    """Return all cases as (name, code, answer), with their marks."""
    for name, cases in CASES.items():
        for place, case in enumerate(cases):
            marks = getattr(case, "marks", ())
            code, answer = case.values if marks else case
            yield pytest.param(name, code, answer, marks=marks, id=f"{name[3:]}-{place}-{code}")


@pytest.mark.parametrize(("name", "code", "answer"), list(rows()))
def test_each_answer_gets_its_verdict(name, code, answer):
    verdict = check(name, answer)
    assert "\n" not in repr(verdict)
    assert verdict.code == code, verdict


@pytest.mark.parametrize("name", ["12-load", "12-train", "12-save", "12-serve"])
def test_later_cells_run_ours_until_yours_passes(name, monkeypatch):
    monkeypatch.setattr(standing, "_passed", {})
    assert yours_or_ours(name).__module__ == capstone.__name__


@pytest.mark.parametrize(("name", "answer"), [
    ("12-load", made(ZIPPED)), ("12-serve", made(SERVE, PENDING, "max_pending=99")),
])  # fmt: skip
def test_the_second_hint_says_more(name, answer):
    first, second = check(name, answer), check(name, answer)
    assert first.code == second.code
    assert first.message != second.message


@pytest.mark.parametrize("name", ["12-load", "12-train", "12-save"])
def test_what_does_not_end_is_ended(name, monkeypatch):
    monkeypatch.setattr(attempts, "_LIMIT_S", 0.1)
    end = "yield" if name == "12-load" else "pass"
    endless = made(f"async def endless(*args):\n    while True:\n        pass\n    {end}")
    assert check(name, endless).code == "endless"


@pytest.mark.parametrize(("answer", "said"), [
    (made(SERVE, SIZE, "max_batch_size=32", PENDING, "max_pending=79"), "How many batches"),
    (made(SERVE, PENDING, "max_pending=99"), "how many rows are before it"),
])  # fmt: skip
def test_late_answers_are_told_why(answer, said, monkeypatch):
    monkeypatch.setattr("asyncml.course.exercises._failures", {"12-serve": 0})
    assert said in check("12-serve", answer).message


def test_a_store_made_of_a_get_is_one():
    async def get(key):
        return key.encode()

    store = Asked(get)
    assert isinstance(store, aml.Store)
    assert asyncio.run(store.get("a")) == b"a"
    assert asyncio.run(store.list("")) == []
    assert asyncio.run(store.put("a", b"1")) is None


def test_the_page_and_the_bound_are_those_of_the_world():
    world = World()
    assert world.load_s == pytest.approx((world.needed - 20) / 200 + 0.03)
    assert world.train_s == pytest.approx(2998 * 0.004)
    found = [capstone.PAGE[name] for name in ("load", "decode", "train")]
    assert found == pytest.approx([world.load_s, world.decode_s, world.train_s], abs=0.01)
    assert world.load_s - 0.01 < world.bound_s < world.load_s + 0.4
