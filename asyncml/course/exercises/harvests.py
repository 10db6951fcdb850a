"""Judges a function that fetches all keys at once and returns the data and the failures."""

import asyncio
import inspect
import random
from collections.abc import Callable, Coroutine
from typing import Any

from asyncml.course.exercises import Wrong
from asyncml.course.exercises.fetches import Shop, run_fetches
from asyncml.course.exercises.scenes import demand, play
from asyncml.failures import shorten

_IN_EACH = "Put `try: ... await fetch(key) ... except ValueError` into a small `async def` of your "
_IN_EACH += "own, and start that for each key: then no task fails, and none is cancelled."
_IN_ORDER = "It ends with `return images, failures`."
Found = dict[Any, Any]


def judge_harvest(answer: Any) -> None:
    """Raise `Wrong` for an answer that loses an image or a failure, or adds anything else."""
    for seed in range(1, 4):
        shop = Shop(seed)
        broken = random.Random(seed).sample(shop.keys, seed)
        shop.errors = {key: ValueError(f"{key} is broken") for key in broken}
        images, failures, seconds = _run(answer, shop)
        _judge_kinds(images, failures)
        _judge_keys(shop, [*images.items(), *failures.items()])
        _judge_places(images, failures)
        for key in shop.keys:
            _judge_key(shop, key, images, failures)
        shown = f"right, but in {seconds:.2f} s; the slowest takes {shop.longest_s:.2f} s."
        why = "Does the second fetch begin before the first one has ended?"
        more = "Start them all, with `asyncio.gather` or in a `TaskGroup`, and only then wait."
        demand(seconds < shop.longest_s + 1e-6, "sequence", shown, why, more)
    _judge_mistake(answer, shop)
    _judge_stop(answer, Shop(seed=4))


def _run(answer: Any, shop: Shop) -> tuple[Found, Found, float]:
    """Return both dicts, and the seconds that it took."""
    try:
        run = run_fetches(answer, shop, may_raise=(ValueError, BaseExceptionGroup))
    except Wrong as wrong:
        why = "`gather` returns a future, and awaiting that gives the list. Where is the `await`?"
        demand("await wasn't used" not in wrong.message, "not-awaited", wrong.message, why)
        why = "When one task of a group fails, the group cancels the others. Asking these for "
        why += "its result, or for its exception, raises a CancelledError."
        is_asked = "raised CancelledError" in wrong.message
        demand(not is_asked, "cancelled", wrong.message, why, _IN_EACH)
        raise
    shown = f"two objects are broken, and an {type(run.error).__name__} came out."
    why = "A plain `except ValueError` does not take a group, even if all in it are ValueErrors. "
    why += "And by then the group has cancelled the other fetches: where must the `try` stand?"
    more = f"`except*` would catch it, too late for the successes. {_IN_EACH}"
    demand(not isinstance(run.error, BaseExceptionGroup), "group", shown, why, more)
    shown = "one object is broken, and its ValueError ended everything."
    why = "On which line is it raised: where the task is made, or where it is awaited?"
    demand(run.error is None, "escaped", shown, why, _IN_EACH)
    pair = list(run.result) if isinstance(run.result, tuple | list) else []
    kinds = " and ".join(type(part).__name__ for part in pair) or shorten(run.result)
    is_pair = len(pair) == 2 and all(isinstance(part, dict) for part in pair)
    demand(is_pair, "kind", f"it returned {kinds}, and not two dicts.", _IN_ORDER)
    return pair[0], pair[1], run.seconds


def _judge_kinds(images: Found, failures: Found) -> None:
    values = [*images.values(), *failures.values()]
    for value in filter(inspect.iscoroutine, values):
        value.close()
    shown = "there are tasks or coroutines in the dicts, and not their results."
    is_done = not any(map(inspect.isawaitable, values))
    demand(is_done, "not-awaited", shown, "How do you get the result of a task?")
    shown = "both dicts were empty: it came back before any of the fetches."
    demand(bool(values), "early", shown, "Who waits for the tasks, and where?")


def _judge_keys(shop: Shop, found: list[tuple[Any, Any]]) -> None:
    """Refuse results under a wrong key."""
    last, asked = shop.keys[-1], set(shop.asked)
    is_late = len(shop.asked) > 1 and asked == {last}
    is_late |= {key for key, _ in found} == {last} and len(asked) > 1
    shown = f"`fetch` was called, or its result kept, for the last key, {last!r}, each time."
    why = "An inner function looks a variable up when it runs. By then, which key has your loop?"
    more = "Give the key as an argument: `async def fetch_one(key)`, and call it with the key."
    demand(not is_late, "late-key", shown, why, more)
    rights = {**shop.data, **shop.errors}
    why = "Does your loop know which key a result belongs to? `as_completed` does not say."
    more = "Start a small `async def` that is given its key, with the `try` in it."
    for key, value in found:
        shown = f"there is something under {shorten(key)}, which is not a key."
        demand(key in rights, "which-key", shown, why, more)
        is_other = any(rights[other] == value for other in shop.keys if other != key)
        shown = f"what is under {key!r} belongs to another key."
        demand(not is_other, "which-key", shown, why, more)


def _judge_places(images: Found, failures: Found) -> None:
    errors = [key for key, value in images.items() if isinstance(value, BaseException)]
    is_swapped = bool(errors and failures) and len(errors) == len(images)
    shown = "the first dict has the ValueErrors, and the second the images."
    demand(not is_swapped, "swapped", shown, "Which of the two comes first?", _IN_ORDER)
    shown = f"there is an exception among the images, under {errors[0]!r}." if errors else ""
    why = "`return_exceptions=True` puts them into the list of results. Who sorts them out?"
    more = "Go through `zip(keys, results)`: `isinstance(result, ValueError)` is a failure."
    demand(not errors, "among-images", shown, why, more)


def _judge_key(shop: Shop, key: str, images: Found, failures: Found) -> None:
    is_broken = key in shop.errors
    shown = f"the object {key!r} is broken, and `failures` does not say so."
    why = "Nobody will know that it is missing. Where does your `except` note it?"
    more = "Write `except ValueError as error`, and in it `failures[key] = error`."
    demand(not is_broken or key in failures, "unreported", shown, why, more)
    shown = f"`failures[{key!r}]` is {shorten(failures.get(key))}, "
    shown += "and not the ValueError that `fetch` raised."
    why = "Its text says what was wrong: keep the exception itself."
    is_kept = not is_broken or failures[key] is shop.errors[key]
    demand(is_kept, "report", shown, why, more)
    is_there = is_broken or key in images
    shown = f"the object {key!r} is whole, and its fetch was cancelled."
    why = "When one task of a group fails, the group cancels the others."
    demand(is_there or key not in shop.cancelled, "cancelled", shown, why, _IN_EACH)
    shown = f"the object {key!r} is whole, and it is not among the images."
    why = "One failure may cost one image, and no more. Around what does the `try` stand?"
    demand(is_there, "lost", shown, why, _IN_EACH)
    shown = f"{key!r} is in both dicts."
    demand((key in images) != (key in failures), "both", shown, "It belongs in one.")
    shown = f"`images[{key!r}]` is {shorten(images.get(key))}, and not what was fetched."
    is_same = is_broken or images[key] == shop.data[key]
    demand(is_same, "image", shown, "Keep what `await fetch(key)` returns.")


def _judge_mistake(answer: Any, shop: Shop) -> None:
    shop.errors = {shop.keys[2]: ZeroDivisionError("a mistake in the program")}
    run = run_fetches(answer, shop, may_raise=(ZeroDivisionError, BaseExceptionGroup))
    shown = "`fetch` raised a ZeroDivisionError, a mistake in the program, and nothing came out."
    why = "Only a ValueError is a failure. Where does your code lose any other exception?"
    more = "In an `except` wider than `except ValueError`, in a `return` in a `finally`, in a list "
    more += "with `return_exceptions`, or in tasks that `asyncio.wait` only waits for: `raise` it."
    demand(run.error is not None, "swallowed", shown, why, more)


def _judge_stop(answer: Any, shop: Shop) -> None:
    async def scene(harvest: Callable[..., Coroutine[Any, Any, Any]]) -> tuple[bool, int]:
        before = asyncio.all_tasks()
        task = asyncio.create_task(harvest(shop.fetch, list(shop.keys)))
        await asyncio.sleep(0.005)  # before the first result
        task.cancel()
        await asyncio.wait([task])
        return task.cancelled(), len(asyncio.all_tasks() - before)

    was_stopped, left = play(scene, answer, of=answer).result
    shown = "it was cancelled from outside, and carried on regardless."
    why = "A CancelledError says nothing about an object. Which `except` catches it?"
    more = "`except ValueError` lets it pass. A bare `except`, `except BaseException`, and an "
    more += "`except asyncio.CancelledError` without `raise` do not."
    demand(was_stopped, "stop-swallowed", shown, why, more)
    shown = f"it was cancelled from outside, and {left} of its tasks went on."
    why = "Nobody is left to end them. Which ways of waiting cancel the tasks with the waiter?"
    more = "A `TaskGroup` and `gather` pass a cancel on; `asyncio.wait` and `shield` do not."
    demand(not left, "left-running", shown, why, more)
