"""The league of loaders that empty the bucket from hell: their times over the lower bound.

Virtual time makes a score exact and the same on every machine, so a whole class can compare. The
last part of lesson 07.
"""

import asyncio
import inspect
import types
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from asyncml.clock import Deadlock
from asyncml.course.exercises import Wrong, said_by
from asyncml.course.exercises.attempts import is_stub
from asyncml.course.exercises.bucket import (
    HOPELESS,
    IMAGES,
    LOST,
    PATIENCE,
    RATE,
    SEED,
    Bucket,
    TooManyRequests,
)
from asyncml.course.exercises.loaders import misused
from asyncml.course.exercises.scenes import demand, play, quietly
from asyncml.failures import shorten
from asyncml.images.png import decode_png
from asyncml.pipeline.pipeline import Pipeline
from asyncml.stores.memory import RequestFailed

Get = Callable[[str], Awaitable[bytes]]
Loader = Callable[[list[str], Get], Any]


@dataclass(frozen=True)
class Score:
    """A loader's result; its repr is one line.

    Attributes:
        seconds: the time that it took, in virtual time.
        bound_s: the seconds that no loader can beat.
        refused: the number of requests that the bucket refused.
    """

    seconds: float
    bound_s: float
    refused: int

    @property
    def score(self) -> float:
        """The time as a multiple of the bound."""
        return self.seconds / self.bound_s

    def __repr__(self) -> str:
        """Return seconds, score and refusals, in columns."""
        return f"{self.seconds:6.2f} s {self.score:7.2f} {self.refused:8}"


@quietly
def _score(task: tuple[Loader, int, int]) -> Score:
    loader, seed, images = task
    bucket = Bucket(seed, images)
    may_raise = (ConnectionError, ValueError, BaseExceptionGroup, Deadlock)
    delivered: list[Any] = []
    try:
        hints = misused("my_loader(keys, get)")
        run = play(_empty, loader, bucket, delivered, of=loader, hints=hints, may_raise=may_raise)
    except Wrong:
        refuse_storm(bucket)
        raise
    if run.error is not None:
        explain(run.error, bucket)
        play(_empty, loader, Bucket(seed, images), [], of=loader)  # says what was raised, and where
    judge_images(bucket, delivered)
    bound_s = bucket.bound_s()
    shown = f"it took {run.seconds:.2f} s, and no loader can take less than {bound_s:.2f} s."
    why = "Did it use another thread, where virtual time does not pass, or the bucket's insides?"
    more = "Await the `get` that the loader is given, in the event loop that runs it."
    demand(run.seconds >= bound_s - 1e-6, "unfair", shown, why, more)
    return Score(run.seconds, bound_s, bucket.refused)


def score(loader: Any, seed: int = SEED, images: int = IMAGES) -> Score:
    """Return the score of a loader that empties a bucket.

    Args:
        loader: a function of the keys and `get`: an async generator of images, an `async def` that
            returns a list of them, or a plain function that returns a `Pipeline`.
        seed: the bucket's seed.
        images: the number of images in the bucket.

    Raises:
        Wrong: the loader did not deliver exactly the good images, each once and in order.
    """
    is_open = loader is ... or loader is None or is_stub(loader)
    demand(not is_open, "open", "write a loader in place of the `...`")
    is_function = isinstance(loader, types.FunctionType)
    demand(is_function, "kind", f"a function was expected, got {shorten(loader)}.", "Without `()`?")
    return _score((loader, seed, images))


async def _empty(loader: Loader, bucket: Bucket, delivered: list[Any]) -> None:
    async def get(key: str) -> bytes:  # hides the rest of the bucket
        return await bucket.get(key)

    made = loader(list(bucket.keys), get)
    if inspect.isawaitable(made):
        made = await made
    if isinstance(made, list | tuple):
        delivered += made
    elif hasattr(made, "__aiter__"):
        async for image in made:
            delivered.append(image)
    else:
        message = f"the loader gave {shorten(made)}, not images."
        raise Wrong("kind", message, "`yield` each image, or `return` a list or a Pipeline.")


def refuse_storm(bucket: Bucket) -> None:
    """Refuse a loader with so many requests that the bucket stopped answering."""
    shown = f"the bucket refused {PATIENCE} requests, and then stopped answering."
    why = f"It takes {RATE} a second. How many are in flight, and what do you do when it says 429?"
    more = (
        f"By Little's law, {RATE} a second at a mean of 64 ms are 13 in flight: bound them. After "
    )
    more += "a 429, pause for a random time, longer each time."
    demand(bucket.refused <= PATIENCE, "storm", shown, why, more)
    worst = max(bucket.asked.values(), default=0)
    why = "Which errors can another try mend? And does a time-out leave answers time to arrive?"
    more = "Put the `try` around `get` alone, and decode outside it."
    shown = f"one key was asked for {worst} times, without end."
    demand(worst <= HOPELESS, "hopeless", shown, why, more)


def explain(error: BaseException, bucket: Bucket) -> None:
    """Raise `Wrong` if a loader should have handled this error; otherwise do nothing."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, Deadlock):
        refuse_storm(bucket)
        name, why, where = error.waits[0]
        message = f"`{name}` waits for {why} in {where}, and nothing is left that could end that."
        raise Wrong("deadlock", message, "What was to wake it?")
    shown = f"a `TooManyRequests` ended it, after {bucket.asked.total()} requests."
    why = f"More than {RATE} a second will be refused now and then: ask again, after a pause."
    more = "Catch it where you catch `RequestFailed`: both are ConnectionErrors."
    demand(not isinstance(error, TooManyRequests), "refused", shown, why, more)
    why = f"One request in {1 / LOST:.0f} is lost. The image is still there: ask again."
    more = f"In {IMAGES} images some are lost three times in a row: allow for eight retries."
    is_lost = isinstance(error, RequestFailed)
    said = said_by(error).partition(": ")[2]
    demand(not is_lost, "lost", f"{said}, and that ended it.", why, more)
    is_damaged = isinstance(error, ValueError) and "does not decode" in str(error)
    shown = f"a damaged image ended it: {said.split(' (')[0]}."
    more = "Catch the ValueError of `decode_png`, and leave that image out: "
    more += '`on_error="skip"` in a Pipeline.'
    why = "Nothing will mend that one, but what about the others?"
    demand(not is_damaged, "stopped", shown, why, more)


def judge_images(bucket: Bucket, delivered: list[Any]) -> None:
    """Demand exactly the good images of a bucket, in order."""
    names = {image.tobytes(): key for key, image in bucket.good.items()}
    is_image = [isinstance(item, np.ndarray) and item.dtype == np.uint8 for item in delivered]
    if not all(is_image):
        item = delivered[is_image.index(False)]
        few = sum(is_image) >= len(delivered) - len(bucket.damaged)
        kind = "None" if item is None else f"something of type {type(item).__name__}"
        message = f"it delivered {kind}, which is no image."
        demand(not few, "damaged", message, "Leave out what is damaged: put nothing in its place.")
        raise Wrong("kind", message, "Images are what `aml.decode_png` returns.")
    found = [names.get(item.tobytes()) for item in delivered]
    if None in found:
        message = f"number {found.index(None) + 1} is an image that is not in the bucket."
        raise Wrong("damaged", message, "Leave out what is damaged, and change nothing.")
    _judge_keys(bucket, [str(key) for key in found])


def _judge_keys(bucket: Bucket, found: list[str]) -> None:
    right, counts = list(bucket.good), Counter(found)
    twice = [key for key, count in counts.items() if count > 1]
    shown = f"{len(twice)} images came more than once, {_some(twice)}."
    demand(not twice, "twice", shown, "Was an image delivered again that was asked for again?")
    missing = [key for key in right if key not in counts]
    tried = [key for key in missing if bucket.asked[key]]
    lost = [key for key in tried if bucket.fate(key, bucket.asked[key])[1]]
    shown = f"{len(missing)} of {len(right)} good images are missing, {_some(missing)}: "
    none = len(missing) - len(tried)
    shown += f"{none} only refused or never asked for, {len(lost)} given up after a loss."
    why = "Was it given up too early, or skipped along with the damaged ones?"
    more = "Skip only where `decode_png` raises; let `get` have eight retries."
    demand(not missing, "missing", shown, why, more)
    wrong = [pair for pair in zip(found, right, strict=True) if pair[0] != pair[1]]
    shown = "all images, but not in order: "
    shown += "{} came where {} was due.".format(*wrong[0]) if wrong else ""
    why = "Answers come in any order. What puts them in the order of the keys?"
    demand(not wrong, "order", shown, why, "A reorder window, or `aml.Pipeline` as it is.")
    unasked = [key for key in bucket.keys if key not in bucket.asked]
    shown = f"{len(unasked)} keys were never asked for, {_some(unasked)}."
    why = "Ask for every key: you do not know beforehand which are damaged."
    demand(not unasked, "unasked", shown, why)


def _some(keys: list[str]) -> str:
    return f"such as {keys[0]}" if keys else "none"


# ---- the loaders on the board ----


async def _patient(get: Get, key: str) -> bytes:
    while True:
        try:
            return await get(key)
        except ConnectionError:
            await asyncio.sleep(0.05)


def _decoded(data: list[bytes]) -> list[Any]:
    images = []
    for one in data:
        try:
            images.append(decode_png(one))
        except ValueError:
            continue
    return images


async def one_at_a_time(keys: list[str], get: Get) -> list[Any]:
    """Fetch one image after another."""
    return _decoded([await _patient(get, key) for key in keys])


async def all_at_once(keys: list[str], get: Get) -> list[Any]:
    """Request everything at once, and again whatever was refused."""
    return _decoded(await asyncio.gather(*[_patient(get, key) for key in keys]))


async def ten_by_ten(keys: list[str], get: Get) -> list[Any]:
    """Fetch ten at once, and the next ten when all of these have arrived."""
    data: list[bytes] = []
    for start in range(0, len(keys), 10):
        data += await asyncio.gather(*[_patient(get, key) for key in keys[start : start + 10]])
    return _decoded(data)


async def as_they_come(keys: list[str], get: Get) -> AsyncIterator[Any]:
    """Bound the requests in flight; deliver images as they arrive."""
    slots = asyncio.Semaphore(13)

    async def one(key: str) -> bytes:
        async with slots:
            return await _patient(get, key)

    for done in asyncio.as_completed([asyncio.ensure_future(one(key)) for key in keys]):
        for image in _decoded([await done]):
            yield image


def pipeline(keys: list[str], get: Get) -> Pipeline:
    """Bound requests by Little's law: 200 a second at a mean of 64 ms are 13 in flight."""
    images = Pipeline(keys).map(get, concurrency=13, retries=8)
    return images.map(decode_png, concurrency=2, on_error="skip")


BOARD: dict[str, Loader] = {
    "one at a time": one_at_a_time,
    "all at once": all_at_once,
    "ten by ten": ten_by_ten,
    "as they come": as_they_come,
    "aml.Pipeline": pipeline,
}


class League:
    """A table of loaders, the fastest first; its repr is the table.

    Attributes:
        rows: for each loader's name its `Score`, or a text with the code of what went wrong.
    """

    def __init__(self, rows: dict[str, Score | str]) -> None:
        ranks = {name: row.score for name, row in rows.items() if isinstance(row, Score)}
        self.rows = {name: rows[name] for name in sorted(rows, key=lambda n: ranks.get(n, 1e9))}

    def __repr__(self) -> str:
        """Return the table."""
        width = max(map(len, self.rows))
        lines = [f"{name:{width}} {row}" for name, row in self.rows.items()]
        return "\n".join([f"{'loader':{width}}     time   score  refused", *lines])


_WHY = {"storm": "a storm of retries", "order": "the wrong order", "lost": "images are missing"}


def league(yours: Any = None) -> League:
    """Return a table of the board's loaders, and of yours if there is one.

    Args:
        yours: a loader as in `score`; a stub is left out.
    """
    rows: dict[str, Score | str] = {}
    for name, loader in [*BOARD.items(), ("yours", yours)]:
        try:
            rows[name] = score(loader)
        except Wrong as wrong:
            if wrong.code != "open":
                rows[name] = f"     not counted: {_WHY.get(wrong.code, wrong.code)}"
    return League(rows)
