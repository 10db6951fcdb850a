"""The exercises of lesson 00: times on paper, a concurrent loader, and counts."""

import inspect
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from asyncml.course.exercises import Wrong, exercise, expect
from asyncml.course.exercises.answers import (
    ask_number,
    demand_returned,
    is_mixed_up,
    is_number,
    read_results,
)
from asyncml.course.exercises.attempts import Attempt, attempt, check_kind
from asyncml.course.exercises.fetches import Watched, refuse_unfinished
from asyncml.course.exercises.scenes import UNAWAITABLE, Hints, demand, hinting, quietly
from asyncml.course.exercises.verdicts import recording
from asyncml.failures import shorten
from asyncml.pipeline import Pipeline

K = TypeVar("K")
T = TypeVar("T")
_COUNT = 40  # 00-several: keys in a shop
_SMALLEST, _PAPER = 50, 48  # 00-tenth: on the lesson's clock; and where paper gives exactly 0.1 s

ask_number(
    "00-paper",
    4.8,
    "600 times 8 ms is 4.8 s. Next, see how long your machine takes.",
    "Multiply the number of images by the time of one, in seconds.",
    {
        4800: ("unit", "That would be milliseconds. How many of them make a second?"),
        4.8e-3: ("unit", "How many milliseconds are 600 times 8, and how many make a second?"),
        0.008: ("one-image", "That is one image. All 600 are loaded one after the other."),
        75: ("division", "You divided 600 by 8. Each of the 600 images takes 8 ms."),
        0.3: ("at-once", "Here nothing happens at the same time: one image after the other."),
    },
)
ask_number(
    "00-each",
    3,
    "48 / 16 = 3 images for each worker, if all are about equally fast.",
    "The workers share the images, and all are about equally fast.",
    {
        48: ("all", "That is all of them. Sixteen workers share them."),
        16: ("workers", "That is the number of workers. They share 48 images."),
        1: ("one", "That would be 16 images in all."),
        768: ("product", "No image is loaded twice."),
    },
)
ask_number(
    "00-steps",
    240,
    "3,000 / 50 = 60 steps in an epoch, and four epochs.",
    "One step for each batch. How many batches are 3,000 images?",
    {
        60: ("one-epoch", "That is one epoch. The training goes through the images four times."),
        3000: ("images", "That is the number of images. A step takes a whole batch of 50."),
        12000: ("images", "That is how many images four epochs have. A batch has 50."),
        50: ("batch", "That is the size of a batch. How many batches are 3,000 images?"),
        200: ("product", "How many batches of 50 are 3,000 images?"),
        188: ("at-once", "64 is how many images load at once. A batch has 50."),
    },
)


@exercise("00-tenth")
def tenth(answer: Any) -> str:
    """Check the smallest concurrency with which 600 images take less than 0.1 s."""
    is_more = is_number(answer) and answer > _SMALLEST
    shown = f"{shorten(answer)} at once are enough, but so are fewer."
    demand(not is_more, "more", shown, "Try one less.")
    wrong = {
        _PAPER: ("equal", "On paper that takes exactly 0.1 s, and it has to be less."),
        49: ("paper", "On paper that is enough. What does the virtual clock say?"),
        16: ("start", "That is where you start. Change `concurrency` in the cell above."),
    }
    expect(answer, _SMALLEST, wrong, "Set `concurrency` to your answer: is it below 100 ms?")
    return "50 at once take 99.97 ms. Paper says 49, since it ignores the workers idle at the end."


# ---- 00-several ----
_TAKE = "`[image async for image in loader]`."
_PASS_ON = "Pass it to `map`, by name: `.map(load, concurrency=concurrency)`."
_HINTS: Hints = {
    "bytes": (
        "await-twice",
        "What `async for` gives you has arrived already. Which `await` is one too many?",
        "`[image async for image in loader]`, without another `await`.",
    ),
    "plain `for`": (
        "plain-for",
        "A plain `for` cannot let others run while it waits. Which kind of loop can?",
        _TAKE,
    ),
    "map() takes / keyword argument 'concurrency'": (
        "keyword",
        "Which of the two takes the number, `Pipeline` or `map`, and under which name?",
        _PASS_ON,
    ),
    UNAWAITABLE: (
        "await",
        "A pipeline is not awaited as a whole. Which kind of loop takes its results?",
        _TAKE,
    ),
    "requires an object with __aiter__": (
        "not-a-pipeline",
        "`async for` takes what arrives bit by bit, as from a pipeline. What did you give it?",
        "`loader = aml.Pipeline(keys).map(load, concurrency=concurrency)`.",
    ),
    "positional argument": (
        "arguments",
        "Which arguments does each function get in that call?",
        "Your function gets `(load, keys, concurrency=16)`, and `load` gets one key.",
    ),
}


async def several_at_once(
    load: Callable[[K], Awaitable[T]], keys: Sequence[K], concurrency: int = 16
) -> list[T]:
    """Load several keys at once; return the data in the order of the keys (00-several)."""
    loader = Pipeline(keys).map(load, concurrency=concurrency)
    return [item async for item in loader]


@exercise("00-several", ours=several_at_once)
@quietly
def several(answer: Any) -> str:
    """Check a function that loads all keys, some at once, and returns the data in order."""
    check_kind(answer, is_async=True)
    for given in ([4], [], [3]):
        concurrency = (given or [16])[0]
        shop, again = Watched(concurrency, _COUNT), Watched(concurrency, _COUNT)
        with hinting(_HINTS):
            run = attempt(answer, shop.fetch, list(shop.keys), *given)
        _judge_images(shop, run)
        _judge_places(shop, concurrency)
        with recording():  # keeps our timeline out of the verdict
            ours = attempt(several_at_once, again.fetch, again.keys, concurrency)
        shown = f"it took {run.seconds:.2f} s, where {ours.seconds:.2f} s is enough."
        why = "When one key has arrived, does the next begin at once, or wait for slower ones?"
        more = "`map` does not work in rounds: it begins the next as soon as one has ended."
        demand(run.seconds < ours.seconds + 1e-6, "rounds", shown, why, more)
    return "as many at once as was asked for, never more, and in the order of the keys."


def _judge_images(shop: Watched, run: Attempt) -> None:
    got, right = run.result, [shop.data[key] for key in shop.keys]
    is_pipeline = isinstance(got, Pipeline) or inspect.isasyncgen(got)
    shown = "it returned the pipeline itself, before anything was taken from it."
    why = "Which kind of loop takes the results of a pipeline?"
    demand(not is_pipeline, "not-taken", shown, why, f"`return` {_TAKE}")
    demand_returned(got)
    is_one = got in right or (isinstance(got, list) and len(got) == 1 and got[0] in right)
    why = "Does a `return` end the loop early, or does each image replace the one before?"
    more = "`append` each image to a list, and `return` the list below the loop."
    demand(not is_one, "one", "it returned one image instead of all of them.", why, more)
    got = read_results(got)
    refuse_unfinished(got)
    shown = f"`load` was called {len(shop.asked)} times for {len(shop.keys)} keys."
    why = "Each key is loaded once: `.map(load, ...)` calls `load` for you."
    demand(sorted(shop.asked) == sorted(shop.keys), "calls", shown, why)
    why = "`map` keeps the order of the keys, unless it is told otherwise."
    is_right = got == right or not is_mixed_up(got, right)
    demand(is_right, "order", "all the data, but not in the order of the keys.", why)
    shown = f"{len(got)} results, and not the data of the {len(right)} keys."
    demand(got == right, "results", shown, "What `load` returns belongs in the list.")


def _judge_places(shop: Watched, concurrency: int) -> None:
    if shop.most == 1:
        why = "An `await` in a loop ends before the next one begins. What calls `load` for you?"
        more = "`aml.Pipeline(keys).map(load, concurrency=concurrency)` calls it, many at once."
        raise Wrong("sequence", "one key was loaded after the other.", why, more)
    shown = f"with `concurrency={concurrency}`, {shop.most} were loaded at once."
    is_right = shop.most == concurrency
    demand(is_right, "concurrency", shown, "Which argument tells `map` how many?", _PASS_ON)
