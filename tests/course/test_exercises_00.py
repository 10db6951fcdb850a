"""The checks of lesson 00: right answers pass, and each typical mistake gets its own hint."""

import asyncio
import gc
import time

import numpy as np

import asyncml as aml
from asyncml.course.exercises.lesson_00 import several_at_once
from tests.course.tables import every, rows, table, values

BETS = {
    "00-paper": {
        "passed": [4.8, 600 * 0.008, np.float64(4.8)],
        "open": [...],
        "unit": [4800, 0.0048],
        "one-image": [0.008],
        "division": [75],
        "at-once": [0.3],
        "other": [48],
        "kind": ["4.8 s"],
    },
    "00-each": {
        "passed": [3],
        "open": [...],
        "all": [48],
        "workers": [16],
        "one": [1],
        "product": [768],
        "other": [4],
    },
    "00-tenth": {
        "passed": [50, 50.0],
        "open": [...],
        "more": [51, 1000, 10**400, float("inf")],
        "paper": [49],
        "equal": [48],
        "start": [16],
        "other": [47, True, float("nan")],
        "kind": ["fifty"],
    },
    "00-steps": {
        "passed": [240, 4 * 3000 / 50],
        "open": [...],
        "one-epoch": [60],
        "images": [3000, 12000],
        "batch": [50],
        "product": [200],
        "at-once": [188],
        "other": [15],
    },
}


async def in_a_loop(load, keys, concurrency=16):
    images = []
    async for image in aml.Pipeline(keys).map(load, concurrency=concurrency):
        images.append(image)
    return images


NAMES = {"aml": aml, "asyncio": asyncio, "in_a_loop": in_a_loop, "time": time}
SEVERAL = """
passed
    places = asyncio.Semaphore(concurrency)
    async def in_turn(key):
        async with places:
            return await load(key)
    return await asyncio.gather(*map(in_turn, keys))
passed
    results, waiting = {}, iter(keys)
    async def work():
        for key in waiting:
            results[key] = await load(key)
    async with asyncio.TaskGroup() as group:
        for _ in range(concurrency):
            group.create_task(work())
    return tuple(results[key] for key in keys)
open | `several_at_once`
    ...
kind | `yield` | `return`
    async for image in aml.Pipeline(keys).map(load, concurrency=concurrency):
        yield image
concurrency | 16 were loaded at once | .map(load, concurrency
    return [image async for image in aml.Pipeline(keys).map(load)]
concurrency | 16 were loaded at once | .map(load, concurrency
    return [image async for image in aml.Pipeline(keys).map(load, concurrency=16)]
concurrency | 40 were loaded at once | .map(load, concurrency
    return await asyncio.gather(*map(load, keys))
sequence | calls `load` for you? | `aml.Pipeline(keys)
    return [await load(key) for key in keys]
order | not in the order | keeps the order
    loader = aml.Pipeline(keys).map(load, concurrency=concurrency, ordered=False)
    return [image async for image in loader]
not-taken | Which kind of loop | async for
    return aml.Pipeline(keys).map(load, concurrency=concurrency)
not-taken | Which kind of loop | async for
    return (image async for image in aml.Pipeline(keys).map(load, concurrency=concurrency))
await | not awaited as a whole | async for
    return await aml.Pipeline(keys).map(load, concurrency=concurrency)
not-a-pipeline | What did you give it? | aml.Pipeline(keys)
    return [await load(key) async for key in keys]
not-started | have not begun | has to be awaited
    return [load(key) for key in keys]
no-return | returned None | `return`
    [image async for image in aml.Pipeline(keys).map(load, concurrency=concurrency)]
one | end the loop early | below the loop
    async for image in aml.Pipeline(keys).map(load, concurrency=concurrency):
        return image
one | end the loop early | below the loop
    async for image in aml.Pipeline(keys).map(load, concurrency=concurrency):
        return [image]
one | replace the one before | `append` each image
    async for image in aml.Pipeline(keys).map(load, concurrency=concurrency):
        images = [image]
    return images
results | 40 results | belongs in the list
    await in_a_loop(load, keys, concurrency)
    return keys
kind | and not a list | a list of all
    return dict(zip(keys, await in_a_loop(load, keys, concurrency), strict=True))
calls | 80 times for 40 keys | loaded once
    await in_a_loop(load, keys, concurrency)
    return await in_a_loop(load, keys, concurrency)
raised | NameError: name 'loader' is not defined on line 2
    return [image async for image in loader]
rounds | wait for slower ones | does not work in rounds
    results = []
    for start in range(0, len(keys), concurrency):
        results += await asyncio.gather(*map(load, keys[start : start + concurrency]))
    return results
plain-for | Which kind of loop can? | async for
    return list(aml.Pipeline(keys).map(load, concurrency=concurrency))
raised | `map` needs a function
    loader = aml.Pipeline(keys).map(load(keys[0]), concurrency=concurrency)
    return [image async for image in loader]
keyword | under which name? | by name
    return [image async for image in aml.Pipeline(keys).map(load, concurrency)]
keyword | Which of the two | .map(load, concurrency
    return [image async for image in aml.Pipeline(keys, concurrency=concurrency).map(load)]
await-twice | one too many | without another `await`
    loader = aml.Pipeline(keys).map(load, concurrency=concurrency)
    return [await image async for image in loader]
calls | 0 times for 40 keys | calls `load` for you
    return [image async for image in aml.Pipeline(keys)]
blocking | `time.sleep`
    time.sleep(1)
    return await in_a_loop(load, keys, concurrency)
endless
    while True:
        pass
"""
HEAD = "several_at_once(load, keys, concurrency=16):"
OTHER_HEAD = """
arguments | Which arguments | concurrency=16
    return await in_a_loop(load, keys)
"""


@every(
    *(values(name, by_code) for name, by_code in BETS.items()),
    rows("00-several", (several_at_once, "passed"), (in_a_loop, "passed"), (..., "open")),
    table("00-several", NAMES, f"async def {HEAD}", SEVERAL),
    table("00-several", NAMES, "async def several_at_once(load, keys):", OTHER_HEAD),
    table("00-several", NAMES, f"def {HEAD}", "kind | `async def`\n    return list(keys)"),
)
def test_an_answer_gets_its_verdict(case, recwarn):
    case.judge()
    gc.collect()
    assert not recwarn.list  # nothing is left that would warn below a later cell
