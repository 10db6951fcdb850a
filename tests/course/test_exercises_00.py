"""The checks of lesson 00: right answers pass, each typical wrong one gets a hint of its own."""

import asyncio
import gc
import time

import numpy as np
import pytest

import asyncml as aml
from asyncml.course import exercises
from asyncml.course.exercises import attempts, check
from asyncml.course.exercises.lesson_00 import several_at_once


@pytest.fixture(autouse=True)
def _afresh(monkeypatch):
    monkeypatch.setattr(exercises, "_failures", exercises.Counter())


def hints(name, answer):
    """Return the code, and what the first and what the second failure say."""
    first, second = check(name, answer), check(name, answer)
    assert first.code == second.code
    return first.code, first.message, second.message


# ---- numbers ----


@pytest.mark.parametrize(
    ("name", "answer", "code"),
    [
        ("00-paper", 4.8, "passed"),
        ("00-paper", 600 * 0.008, "passed"),
        ("00-paper", np.float64(4.8), "passed"),
        ("00-paper", ..., "open"),
        ("00-paper", 4800, "unit"),
        ("00-paper", 0.0048, "unit"),
        ("00-paper", 0.008, "one-image"),
        ("00-paper", 75, "division"),
        ("00-paper", 0.3, "at-once"),
        ("00-paper", 48, "other"),
        ("00-paper", "4.8 s", "kind"),
        ("00-each", 3, "passed"),
        ("00-each", ..., "open"),
        ("00-each", 48, "all"),
        ("00-each", 16, "workers"),
        ("00-each", 1, "one"),
        ("00-each", 768, "product"),
        ("00-each", 4, "other"),
        ("00-tenth", 50, "passed"),
        ("00-tenth", 50.0, "passed"),
        ("00-tenth", ..., "open"),
        ("00-tenth", 51, "more"),
        ("00-tenth", 1000, "more"),
        ("00-tenth", 10**400, "more"),
        ("00-tenth", float("inf"), "more"),
        ("00-tenth", float("nan"), "other"),
        ("00-tenth", 49, "paper"),
        ("00-tenth", 48, "equal"),
        ("00-tenth", 16, "start"),
        ("00-tenth", 47, "other"),
        ("00-tenth", True, "other"),
        ("00-tenth", "fifty", "kind"),
        ("00-steps", 240, "passed"),
        ("00-steps", 4 * 3000 / 50, "passed"),
        ("00-steps", ..., "open"),
        ("00-steps", 60, "one-epoch"),
        ("00-steps", 3000, "images"),
        ("00-steps", 12000, "images"),
        ("00-steps", 50, "batch"),
        ("00-steps", 200, "product"),
        ("00-steps", 188, "at-once"),
        ("00-steps", 15, "other"),
    ],
)
def test_a_number(name, answer, code):
    assert check(name, answer).code == code


# ---- several at once ----


async def in_a_loop(load, keys, concurrency=16):
    images = []
    async for image in aml.Pipeline(keys).map(load, concurrency=concurrency):
        images.append(image)
    return images


async def by_hand(load, keys, concurrency=16):
    places = asyncio.Semaphore(concurrency)

    async def in_turn(key):
        async with places:
            return await load(key)

    return await asyncio.gather(*map(in_turn, keys))


async def workers(load, keys, concurrency=16):
    results, waiting = {}, iter(keys)

    async def work():
        for key in waiting:
            results[key] = await load(key)

    async with asyncio.TaskGroup() as group:
        for _ in range(concurrency):
            group.create_task(work())
    return tuple(results[key] for key in keys)


async def stub(load, keys, concurrency=16): ...


async def forgets_to_pass_it_on(load, keys, concurrency=16):
    return [image async for image in aml.Pipeline(keys).map(load)]


async def always_sixteen(load, keys, concurrency=16):
    return [image async for image in aml.Pipeline(keys).map(load, concurrency=16)]


async def one_at_a_time(load, keys, concurrency=16):
    return [await load(key) for key in keys]


async def all_at_once(load, keys, concurrency=16):
    return await asyncio.gather(*map(load, keys))


async def in_any_order(load, keys, concurrency=16):
    loader = aml.Pipeline(keys).map(load, concurrency=concurrency, ordered=False)
    return [image async for image in loader]


async def returns_the_pipeline(load, keys, concurrency=16):
    return aml.Pipeline(keys).map(load, concurrency=concurrency)


async def returns_a_generator(load, keys, concurrency=16):
    return (image async for image in aml.Pipeline(keys).map(load, concurrency=concurrency))


async def awaits_the_pipeline(load, keys, concurrency=16):
    return await aml.Pipeline(keys).map(load, concurrency=concurrency)


async def loops_over_the_keys(load, keys, concurrency=16):
    return [await load(key) async for key in keys]


async def starts_nothing(load, keys, concurrency=16):
    return [load(key) for key in keys]


async def returns_nothing(load, keys, concurrency=16):
    [image async for image in aml.Pipeline(keys).map(load, concurrency=concurrency)]


async def returns_in_the_loop(load, keys, concurrency=16):
    async for image in aml.Pipeline(keys).map(load, concurrency=concurrency):
        return image


async def returns_a_list_in_the_loop(load, keys, concurrency=16):
    async for image in aml.Pipeline(keys).map(load, concurrency=concurrency):
        return [image]


async def keeps_the_last(load, keys, concurrency=16):
    async for image in aml.Pipeline(keys).map(load, concurrency=concurrency):
        images = [image]
    return images


async def returns_the_keys(load, keys, concurrency=16):
    await in_a_loop(load, keys, concurrency)
    return keys


async def returns_a_dict(load, keys, concurrency=16):
    return dict(zip(keys, await in_a_loop(load, keys, concurrency), strict=True))


async def loads_twice(load, keys, concurrency=16):
    await in_a_loop(load, keys, concurrency)
    return await in_a_loop(load, keys, concurrency)


async def takes_no_number(load, keys):
    return await in_a_loop(load, keys)


async def uses_a_wrong_name(load, keys, concurrency=16):
    return [image async for image in loader]  # noqa: F821


async def in_rounds(load, keys, concurrency=16):
    results = []
    for start in range(0, len(keys), concurrency):
        results += await asyncio.gather(*map(load, keys[start : start + concurrency]))
    return results


async def plain_for(load, keys, concurrency=16):
    return list(aml.Pipeline(keys).map(load, concurrency=concurrency))


async def calls_load(load, keys, concurrency=16):
    loader = aml.Pipeline(keys).map(load(keys[0]), concurrency=concurrency)
    return [image async for image in loader]


async def gives_the_number_alone(load, keys, concurrency=16):
    return [image async for image in aml.Pipeline(keys).map(load, concurrency)]


async def gives_the_pipeline_the_number(load, keys, concurrency=16):
    return [image async for image in aml.Pipeline(keys, concurrency=concurrency).map(load)]


async def awaits_each(load, keys, concurrency=16):
    loader = aml.Pipeline(keys).map(load, concurrency=concurrency)
    return [await image async for image in loader]


async def calls_nothing(load, keys, concurrency=16):
    return [image async for image in aml.Pipeline(keys)]


async def yields(load, keys, concurrency=16):
    async for image in aml.Pipeline(keys).map(load, concurrency=concurrency):
        yield image


def not_async(load, keys, concurrency=16):
    return [load(key) for key in keys]


async def blocks(load, keys, concurrency=16):
    time.sleep(1)  # noqa: ASYNC251
    return await in_a_loop(load, keys, concurrency)


async def spins(load, keys, concurrency=16):
    while True:
        pass


@pytest.mark.parametrize("answer", [several_at_once, in_a_loop, by_hand, workers])
def test_several_at_once(answer):
    assert repr(check("00-several", answer)).startswith("✔")


@pytest.mark.parametrize(
    ("answer", "code", "words", "fuller"),
    [
        (..., "open", "put your answer", "put your answer"),
        (stub, "open", "`stub`", "`stub`"),
        (not_async, "kind", "`async def`", "`async def`"),
        (yields, "kind", "`yield`", "`return`"),
        (forgets_to_pass_it_on, "concurrency", "16 were loaded at once", ".map(load, concurrency"),
        (always_sixteen, "concurrency", "16 were loaded at once", ".map(load, concurrency"),
        (all_at_once, "concurrency", "40 were loaded at once", ".map(load, concurrency"),
        (one_at_a_time, "sequence", "calls `load` for you?", "`aml.Pipeline(keys)"),
        (in_any_order, "order", "not in the order", "keeps the order"),
        (returns_the_pipeline, "not-taken", "Which kind of loop", "async for"),
        (returns_a_generator, "not-taken", "Which kind of loop", "async for"),
        (awaits_the_pipeline, "await", "not awaited as a whole", "async for"),
        (loops_over_the_keys, "not-a-pipeline", "What did you give it?", "aml.Pipeline(keys)"),
        (starts_nothing, "not-started", "have not begun", "has to be awaited"),
        (returns_nothing, "no-return", "returned None", "`return`"),
        (returns_in_the_loop, "one", "end the loop early", "below the loop"),
        (returns_a_list_in_the_loop, "one", "end the loop early", "below the loop"),
        (keeps_the_last, "one", "replace the one before", "`append` each image"),
        (returns_the_keys, "results", "40 results", "belongs in the list"),
        (returns_a_dict, "kind", "a dict, and not a list", "`one_at_a_time`"),
        (loads_twice, "calls", "80 times for 40 keys", "loaded once"),
        (takes_no_number, "arguments", "Which arguments", "concurrency=16"),
        (uses_a_wrong_name, "name", "Which names", "are its arguments"),
        (in_rounds, "rounds", "wait for a slow one", "Not in rounds"),
        (plain_for, "plain-for", "Which kind of loop can?", "async for"),
        (calls_load, "call", "you, or `map`?", "without `()`"),
        (gives_the_number_alone, "keyword", "what the number means", "by name"),
        (gives_the_pipeline_the_number, "keyword", "Which of the two", ".map(load, concurrency"),
        (awaits_each, "await-twice", "one too many", "without another `await`"),
        (calls_nothing, "calls", "0 times for 40 keys", "calls it for you"),
        (blocks, "blocking", "`time.sleep`", "`time.sleep`"),
    ],
)
@pytest.mark.untidy
def test_not_several_at_once(answer, code, words, fuller, recwarn):
    got, first, second = hints("00-several", answer)
    gc.collect()
    assert not recwarn.list  # nothing is left that would warn below a later cell
    assert got == code
    assert words in first
    assert fuller in second


@pytest.mark.untidy
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_what_does_not_end(monkeypatch):
    monkeypatch.setattr(attempts, "_LIMIT_S", 0.1)
    assert check("00-several", spins).code == "endless"
