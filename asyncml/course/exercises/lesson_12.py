"""The exercises of lesson 12: the copied program made real, one function at a time."""

import asyncio
import functools
import inspect
import threading
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from asyncml.clock import Deadlock
from asyncml.course.exercises import Wrong, answers, capstone, exercise, plain
from asyncml.course.exercises.attempts import check_kind
from asyncml.course.exercises.capstone import CORES, World
from asyncml.course.exercises.league import explain, judge_images, refuse_storm
from asyncml.course.exercises.loaders import misused
from asyncml.course.exercises.nights import judge_nights, judge_training
from asyncml.course.exercises.rush import judge_rush
from asyncml.course.exercises.scenes import Hints, demand, play, quietly
from asyncml.course.exercises.verdicts import recording
from asyncml.failures import shorten
from asyncml.images.datasets import label_of

T = TypeVar("T")


def without_timelines(judge: Callable[[Any], T]) -> Callable[[Any], T]:
    """Wrap a check so that its verdict shows no timelines: they would have a hundred lanes."""

    @functools.wraps(judge)
    def judged(answer: Any) -> T:
        with recording():
            return judge(answer)

    return judged


# ---- 12-load ----
_FEW, _SLOW, _AHEAD = 12, 3, 560  # most refusals, times the bound, images ahead
_PAIRS = "Keep the key with the data: `return key, await get(key)`."
_LOAD_HINTS: Hints = {
    "got coroutine": ("not-awaited", "`get` is a coroutine function: `await get(key)`."),
    "`data` must be bytes": ("data", "`decode` wants the bytes alone.", "`decode(pair[1])`."),
    **misused("load_data(keys, get, decode)"),
}


class _Loading:
    """A loader's run on a small bucket, and the pairs that it delivers."""

    def __init__(self, images: int, seed: int) -> None:
        self.world = World(images, seed)
        self.pairs: list[Any] = []
        self.thread = self.left = 0

    async def run(self, answer: Callable[..., Any], stop: int | None = None) -> None:
        """Take all pairs; or take `stop` pairs, stay busy for 20 s, and leave."""
        bucket, keys = self.world.bucket, list(self.world.bucket.keys)

        async def get(key: str) -> bytes:
            return await bucket.get(key)

        self.thread, tasks = threading.get_ident(), len(asyncio.all_tasks())
        images = answer(keys, get, self.world.decoder.decode)
        message = f"`load_data` gave {shorten(images)}, which is not a stream of pairs."
        why = "`yield` each pair, or `return` a Pipeline."
        demand(hasattr(images, "__aiter__"), "kind", message, why)
        stream = aiter(images)
        async for pair in stream:
            shown = f"{len(bucket.asked)} of {len(keys)} images were loaded before the first came."
            is_early = bool(self.pairs) or len(bucket.asked) < len(keys) / 2
            demand(is_early, "all-at-the-end", shown, f"{_EARLY} When do you `yield`?")
            self.pairs.append(pair)
            if len(self.pairs) == stop:
                await asyncio.sleep(20)  # a long step
                break
        if hasattr(stream, "aclose"):
            await stream.aclose()
        await asyncio.sleep(0)
        self.left = len(asyncio.all_tasks()) - tasks


_EARLY = "Training has to begin while the rest is loading."


@exercise("12-load", ours=capstone.load_data)
@without_timelines
@quietly
def load(answer: Any) -> str:
    """Check a loader of images and their labels from a bucket from hell."""
    _check_loader(answer)
    loading = _Loading(240, 11)
    seconds, world = _load(answer, loading), loading.world
    _judge_pairs(world, loading.pairs)
    _judge_decoding(loading)
    refused, bound_s = world.bucket.refused, max(world.load_s, world.decode_s)
    shown = f"all of it, but the bucket refused {refused} requests, and {world.needed} were needed."
    why = "It takes 200 requests a second. What holds yours back until it is their turn?"
    more = "`aml.RateLimited(Asked(get), per_second=200, burst=20)`, or at most 10 in flight."
    demand(refused <= _FEW, "refused", shown, why, more)
    shown = f"all of it, in {seconds:.1f} s, and {bound_s:.1f} s is the least."
    why = "By Little's law 200 a second, of 64 ms each, are 13 in flight. How many are yours?"
    more = f"About 13 in flight for `get`, and {CORES} at once for `decode`, as a stage of its own."
    demand(seconds <= _SLOW * bound_s, "slow", shown, why, more)
    _judge_ahead(answer)
    found = len(loading.pairs)
    return f"{found} images with their labels, in order, in {seconds:.2f} s; {refused} refusals."


def _check_loader(answer: Any) -> None:
    check_kind(answer, False)
    shown = "an `async def` without `yield` gives everything at once, when it has everything."
    more = "An async generator with `yield`, or a plain `def` that returns an `aml.Pipeline`."
    demand(not inspect.iscoroutinefunction(answer), "all-at-the-end", shown, _EARLY, more)


def _load(answer: Any, loading: _Loading) -> float:
    may_raise = (ConnectionError, ValueError, BaseExceptionGroup, Deadlock)
    told: dict[str, Any] = {"of": answer, "hints": _LOAD_HINTS}
    try:
        run = play(loading.run, answer, **told, may_raise=may_raise)
    except Wrong:
        refuse_storm(loading.world.bucket)
        raise
    if run.error is not None:
        explain(run.error, loading.world.bucket)
        play(_Loading(240, 11).run, answer, **told)  # raises: what went wrong, and where
    return run.seconds


def _judge_pairs(world: World, pairs: list[Any]) -> None:
    why = 'Was each of them skipped? `on_error="skip"` hides a mistake of your own as well.'
    more = f"{why} Leave it out once, and see what is raised."
    demand(bool(pairs), "nothing", "it delivered nothing.", why, more)
    for pair in pairs:
        parts = pair if isinstance(pair, tuple | list) else [pair]
        kinds = " and ".join(type(part).__name__ for part in parts[:3])
        shown = f"it delivered {kinds}, not a pair of image and label."
        why = "A damaged image is left out: put nothing in its place."
        demand(bool(len(parts)) and parts[0] is not None, "damaged", shown, why)
        is_pair = len(parts) == 2 and isinstance(parts[0], np.ndarray)
        demand(is_pair, "pairs", shown, "`(image, label)`, in this order, for each image.", _PAIRS)
    judge_images(world.bucket, [pair[0] for pair in pairs])
    good, labels = [label_of(key) for key in world.bucket.good], [plain(pair[1]) for pair in pairs]
    wrong = sum(pair[0] != pair[1] for pair in zip(labels, good, strict=True))
    shown = f"all images, but {wrong} of {len(good)} have another label than their key says."
    by_place = [label_of(key) for key in world.bucket.keys][: len(good)]
    why = "A damaged image is left out, but its label is not: from there on all are shifted by one."
    demand(not wrong or labels != by_place, "shifted", shown, why, f"{why} {_PAIRS}")
    why = "`aml.label_of(key)` is the label. Which key did this image come from?"
    demand(not wrong, "labels", shown, why, _PAIRS)


def _judge_decoding(loading: _Loading) -> None:
    decoder, keys = loading.world.decoder, loading.world.bucket.keys
    shown = f"`decode` was called {decoder.calls} times, for {len(keys)} images."
    why = "Decode with the function that you are given: it takes the time that decoding takes."
    demand(decoder.calls >= len(keys), "own-decode", shown, why)
    shown = "`decode` ran on the event loop, which it held for 8 ms each time."
    more = "A stage of its own: a plain function that is given to `map` runs in threads."
    is_free = loading.thread not in decoder.threads
    demand(is_free, "on-loop", shown, "Where can it run and leave the loop free?", more)
    shown = f"{decoder.at_once} images were decoded at once, but there are only {CORES} cores."
    more = f"`.map(..., concurrency={CORES})`; the default is 16."
    demand(decoder.at_once <= CORES, "cores", shown, "What limits that stage?", more)


def _judge_ahead(answer: Any) -> None:
    loading, enough = _Loading(600, 12), 20
    play(loading.run, answer, enough, of=answer, hints=_LOAD_HINTS)
    ahead = len(loading.world.bucket.asked) - enough
    shown = f"the consumer was busy, but {ahead} images were loaded ahead of it."
    why = "With a million images that is a million in memory. What makes the loader wait?"
    more = "A bounded queue, or the `lookahead` of a Pipeline, whose default is 16 times as many."
    demand(ahead <= _AHEAD, "unbounded", shown, why, more)
    shown = f"the consumer left, but {loading.left} tasks of the loader were still running."
    demand(loading.left < 1, "left-running", shown, "`finally:` cancel what you have started.")


# ---- 12-train, 12-save, 12-serve ----
@exercise("12-train", ours=capstone.train_model)
@quietly
def train(answer: Any) -> str:
    """Check training that overlaps with loading, can be cancelled, and stops early."""
    check_kind(answer, True)
    judge_training(answer)
    return "loading hidden behind steps, stopped in time by patience and by `cancel`."


@exercise("12-save", ours=capstone.train_and_save)
@without_timelines
@quietly
def save(answer: Any) -> str:
    """Check training that resumes after a kill, with the weights of an unbroken run."""
    check_kind(answer, True)
    judge_nights(answer)
    return "six power cuts in three nights, and each ended with the weights of the unbroken run."


@exercise("12-serve", ours=capstone.serve_model)
@without_timelines
@quietly
def serve(answer: Any) -> str:
    """Check an application that answers part of a burst in time and refuses the rest."""
    return judge_rush(answer)


# ---- 12-page ----
_LOAD, _ONE, _BOTH = "load", "one after the other", "overlapped"
_TYPICAL = (  # of what, the wrong seconds, the code, and the hint
    (_LOAD, 14.93, "lost", "Some requests are lost and made again: M counts those as well."),
    (_LOAD, 192.0, "one-by-one", "That is one at a time. The rate is the bound."),
    ("decode", 24.0, "cores", "There are two cores."),
    ("train", 0.12, "rows", "A row takes 4 ms, and a step a hundred times that."),
    (_ONE, 16.59, "hidden", "One after the other, nothing is hidden."),
    (_BOTH, 40.59, "sum", "They go on at the same time."),
    ("twice the rate", 8.3, "half", "Then something else is the slowest."),
    ("twice the rate", 16.59, "same", "Loading is the slowest. How long until another one is?"),
)
_HOW = {
    _LOAD: "(M - B) / R + l, where M is `world.needed`, as in lesson 07.",
    "decode": "3,000 times 8 ms, on two cores.",
    "train": "3,000 times 4 ms.",
    _ONE: "Add the three up.",
    _BOTH: "The slowest of the three sets the pace.",
    "twice the rate": "Which of the three is the slowest then?",
    "saved": "What is hidden is still computed. How many images need not be decoded at all?",
}


@exercise("12-page", ours=capstone.PAGE)
def page(answer: Any) -> str:
    """Check the pencil-and-paper times of the whole program, in seconds."""
    answers.demand_given(answer, "your numbers")
    names = ", ".join(_HOW)
    answers.demand_keys(answer, _HOW, f"a dict with the keys {names} is asked for.")
    answers.demand_each(answer.values(), "a number")
    for name, right in capstone.PAGE.items():
        found, how = answer[name], _HOW[name]
        shown = f"{name!r}: {shorten(found)} is not a number of seconds."
        demand(answers.is_number(found) and abs(found) < 1e9, "kind", shown)  # False for NaN
        if _is_near(found, right):
            continue
        shown = (
            f"{name!r}: {found:.4g} s is not it." if abs(found) < 1e9 else f"{name!r}: too much."
        )
        for of, seconds, code, why in _TYPICAL:
            is_typical = of == name and _is_near(found, seconds)
            demand(not is_typical, code, shown, why, f"{why} {how}")
        raise Wrong("number", shown, how)
    both, total = capstone.PAGE[_BOTH], capstone.PAGE[_ONE]
    return f"{both:.1f} s in place of {total:.1f}: all of the computing is hidden, none is saved."


def _is_near(found: float, right: float) -> bool:
    return abs(found - right) <= 0.02 * max(right, 1.0)
