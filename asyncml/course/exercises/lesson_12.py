"""The exercises of lesson 12: the copied program made real, one function after the other."""

import asyncio
import contextlib
import functools
import inspect
import threading
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from asyncml.clock import Deadlock, compute
from asyncml.course.exercises import Wrong, answers, capstone, exercise, plain
from asyncml.course.exercises.attempts import check_kind, is_stub
from asyncml.course.exercises.capstone import CORES, World
from asyncml.course.exercises.endings import Epochs, judge_end, judge_moments
from asyncml.course.exercises.league import explain, judge_images, refuse_storm
from asyncml.course.exercises.loaders import misused
from asyncml.course.exercises.nights import judge_nights
from asyncml.course.exercises.rush import judge_rush
from asyncml.course.exercises.scenes import NOT_AWAITABLE, Hints, demand, play, quietly
from asyncml.course.exercises.verdicts import recording
from asyncml.failures import shorten
from asyncml.images.datasets import label_of
from asyncml.network.optimizers import Adam
from asyncml.network.sequential import MLP
from asyncml.pipeline.pipeline import Pipeline

T = TypeVar("T")


def without_timelines(judge: Callable[[Any], T]) -> Callable[[Any], T]:
    """Show no timelines beside a verdict: they would have a hundred lanes."""

    @functools.wraps(judge)
    def judged(answer: Any) -> T:
        with recording():
            return judge(answer)

    return judged


# ---- 12-load ----
_FEW, _SLOW, _AHEAD = 12, 2.2, 300  # refusals; times the bound; images ahead of the consumer
_PAIRS = "Let the key go along with the data: `return key, await get(key)`."
_LOAD_HINTS: Hints = {
    "`key` must": ("key", "`aml.label_of` reads the label from a key.", _PAIRS),
    "`data` must be bytes": ("data", "`decode` wants the bytes alone.", "`decode(pair[1])`."),
    **misused("load_data(keys, get, decode)"),
}


class _Loading:
    """A loader at work, and what it delivers.

    Args:
        images: how many are in the bucket.
        seed: of the bucket.
    """

    def __init__(self, images: int, seed: int) -> None:
        self.world = World(images, seed)
        self.pairs: list[Any] = []
        self.thread = self.left = 0

    async def run(self, answer: Callable[..., Any], stop: int | None = None) -> None:
        """Take all that comes; or so many, be busy for a while, and leave."""
        bucket, keys = self.world.bucket, list(self.world.bucket.keys)

        async def get(key: str) -> bytes:
            return await bucket.get(key)

        self.thread, tasks = threading.get_ident(), len(asyncio.all_tasks())
        images = answer(keys, get, self.world.decoder.decode)
        message = f"`load_data` gave {shorten(images)}, and no stream of images."
        why = "`yield` each pair, or `return` a Pipeline."
        demand(hasattr(images, "__aiter__"), "kind", message, why)
        stream = aiter(images)
        async for pair in stream:
            shown = f"{len(bucket.asked)} of {len(keys)} images were loaded before the first came."
            why = "Training has to begin while the rest is loading. When do you `yield`?"
            is_early = bool(self.pairs) or len(bucket.asked) < len(keys) / 2
            demand(is_early, "all-at-the-end", shown, why)
            self.pairs.append(pair)
            if len(self.pairs) == stop:
                await asyncio.sleep(20)  # a step that takes long
                break
        if hasattr(stream, "aclose"):
            await stream.aclose()
        await asyncio.sleep(0)
        self.left = len(asyncio.all_tasks()) - tasks


@exercise("12-load", ours=capstone.load_data)
@without_timelines
@quietly
def load(answer: Any) -> str:
    """Check a loader of images with their labels, out of a bucket from hell."""
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
    is_open = answer is ... or answer is None or is_stub(answer)
    demand(not is_open, "open", "write the body of `load_data` in place of the `...`")
    shown = f"a function was expected, got {shorten(answer)}."
    demand(inspect.isfunction(answer), "kind", shown, "Without the `()`?")
    shown = "an `async def` with `return` gives everything at once, when it has everything."
    why = "Training has to begin while the rest is loading. What hands over one image at a time?"
    more = "An async generator with `yield`, or a plain `def` that returns an `aml.Pipeline`."
    demand(not inspect.iscoroutinefunction(answer), "all-at-the-end", shown, why, more)


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
        play(_Loading(240, 11).run, answer, **told)  # says what was raised, and where
    return run.seconds


def _judge_pairs(world: World, pairs: list[Any]) -> None:
    is_pair = [isinstance(pair, tuple | list) and len(pair) == 2 for pair in pairs]
    if not all(is_pair):
        item = pairs[is_pair.index(False)]
        shown = f"it delivered a {type(item).__name__}, and not a pair (image, label)."
        is_none, why = item is None, "Each image goes along with its label, in a tuple."
        demand(not is_none, "damaged", shown, "Leave out what is damaged: put nothing there.")
        raise Wrong("pairs", shown, why, _PAIRS)
    images, labels = [pair[0] for pair in pairs], [plain(pair[1]) for pair in pairs]
    shown = "its pairs are (label, image)."
    is_turned = bool(labels) and isinstance(pairs[0][1], np.ndarray)
    demand(not is_turned, "swapped", shown, "The image first, then the label.")
    judge_images(world.bucket, images)
    good = [label_of(key) for key in world.bucket.good]
    if labels == good:
        return
    wrong = sum(pair[0] != pair[1] for pair in zip(labels, good, strict=True))
    shown = f"all images, but {wrong} of {len(good)} have another label than their key says."
    are_keys = all(isinstance(label, str) for label in labels)
    demand(not are_keys, "key", shown, "A label is a number: `aml.label_of(key)`.", _PAIRS)
    by_place = [label_of(key) for key in world.bucket.keys][: len(good)]
    why = "A damaged image is left out, and its label is not: from there on all are shifted by one."
    demand(labels != by_place, "shifted", shown, why, _PAIRS)
    raise Wrong("labels", shown, "Which key did this image come from?", _PAIRS)


def _judge_decoding(loading: _Loading) -> None:
    decoder, keys = loading.world.decoder, loading.world.bucket.keys
    shown = f"`decode` was called {decoder.calls} times, for {len(keys)} images."
    why = "Decode with the function that you are given: it takes the time that decoding takes."
    demand(decoder.calls >= len(keys), "own-decode", shown, why)
    shown = "`decode` ran on the event loop, which it held for 8 ms each time."
    more = "A stage of its own: a plain function that is given to `map` runs in threads."
    is_free = loading.thread not in decoder.threads
    demand(is_free, "on-loop", shown, "Who should compute, so that the loop is free?", more)
    shown = f"{decoder.at_once} images were decoded at once, and there are {CORES} cores."
    more = f"`.map(..., concurrency={CORES})`; the default is 16."
    demand(decoder.at_once <= CORES, "cores", shown, "What is the bound of that stage?", more)


def _judge_ahead(answer: Any) -> None:
    loading, enough = _Loading(330, 12), 20
    play(loading.run, answer, enough, of=answer, hints=_LOAD_HINTS)
    ahead = len(loading.world.bucket.asked) - enough
    shown = f"the consumer was busy, and {ahead} images were loaded ahead of it."
    why = "With a million images that is a million in memory. What makes the loader wait?"
    more = "A bounded queue, or the `lookahead` of a Pipeline, whose default is 16 times as many."
    demand(ahead <= _AHEAD, "unbounded", shown, why, more)
    shown = f"the consumer left, and {loading.left} tasks of the loader were still running."
    demand(loading.left < 1, "left-running", shown, "`finally:` cancel what you have started.")


# ---- 12-train ----
_LOAD_S, _STEP_S, _SCORE_S = 0.02, 0.02, 0.01
_TRAIN_HINTS: Hints = {
    "positional argument": (
        "signature",
        "Called as `train_model(model, optimizer, batches, validate, epochs, patience)`.",
    ),
    "length of this pipeline is not known": (
        "length",
        "Some images are damaged, so nobody knows before how many batches there will be.",
        "A `fit` for each epoch: its loop ends when the epoch does.",
    ),
    "instances of 'coroutine'": ("not-awaited", "`validate` has to wait: `await validate()`."),
    **dict.fromkeys(NOT_AWAITABLE, ("for", "`async for step in aml.fit(...)`, without `await`.")),
    "'async for' requires": ("for", "`async for` goes over `aml.fit(...)`, or over a Pipeline."),
    "write `async for": ("for", "Steps have to be waited for: `async for`."),
}


class _Model(MLP):
    """A network whose steps take 20 ms, and are counted."""

    def __init__(self, term: "_Term") -> None:
        super().__init__([3, 4, 3], seed=1)
        self.term = term

    def loss_and_grads(self, x: Any, y: Any) -> float:
        """Count the step, and take the time."""
        self.term.steps += 1
        self.term.on_loop |= threading.get_ident() == self.term.thread
        compute(_STEP_S)
        self.term.done += 1
        return super().loss_and_grads(x, y)


class _Term(Epochs):
    """Epochs of real training, with scores that are known beforehand."""

    def __init__(self, scores: list[float], per_epoch: int, patience: int) -> None:
        super().__init__(scores, per_epoch, patience)
        chance = np.random.default_rng(per_epoch)
        x = chance.standard_normal((per_epoch, 6, 3)).astype(np.float32)
        self.data = [(part, chance.integers(0, 3, 6)) for part in x]
        self.thread, self.on_loop = 0, False
        self.done = self.later = 0

    async def load(self, number: int) -> Any:
        await asyncio.sleep(_LOAD_S)
        if number == 1:
            raise ValueError("a damaged shard")
        return self.data[number - (number > 1)]

    async def run(self, train_model: Callable[..., Any]) -> Any:
        """Let an answer train to its end."""
        self.thread, model = threading.get_ident(), _Model(self)
        batches = Pipeline(range(self.per_epoch + 1)).map(self.load, concurrency=1, on_error="skip")
        found = await train_model(
            model, Adam(model, lr=0.05), batches, self.evaluate, len(self.scores), self.patience
        )
        return found

    async def stopped(self, train_model: Callable[..., Any]) -> bool:
        """Cancel an answer in the middle of a step; tell whether it ended as cancelled."""
        work = asyncio.create_task(self.run(train_model), name="train_model")
        await asyncio.sleep(0.15)
        work.cancel()
        await asyncio.wait([work], timeout=5)
        done = self.done
        await asyncio.sleep(1)
        self.later = self.done - done
        return work.cancelled()

    def losses(self) -> list[float]:
        """Return the losses of all steps, taken one after the other."""
        model, found = MLP([3, 4, 3], seed=1), []
        optimizer = Adam(model, lr=0.05)
        for _ in self.scores:
            for x, y in self.data:
                found.append(model.loss_and_grads(x, y))
                optimizer.step()
        return found


@exercise("12-train", ours=capstone.train_model)
@quietly
def train(answer: Any) -> str:
    """Check a training that overlaps, can be stopped, and stops early."""
    check_kind(answer, True)
    for scores, per_epoch, patience in (
        ([0.75, 0.7, 0.5, 0.8, 0.6, 0.8, 0.8, 0.65, 0.5, 0.6, 0.55], 4, 3),
        ([0.5, 0.6, 0.6, 0.55, 0.9], 3, 2),
        ([0.1, 0.2, 0.3], 5, 2),
    ):
        term = _Term(scores, per_epoch, patience)
        run = play(term.run, answer, of=answer, hints=_TRAIN_HINTS)
        shown = "it computed on the event loop: meanwhile nothing loads, and nobody can stop it."
        more = "`async for step in aml.fit(...)`, whose steps run in a thread."
        demand(not term.on_loop, "on-the-loop", shown, "Who should compute?", more)
        judge_moments(term)
        _judge_overlap(term, run.seconds)
        judge_end(term)
        _judge_returned(term, run.result)
    term = _Term([0.1] * 4, 6, 9)
    is_cancelled = play(term.stopped, answer, of=answer, hints=_TRAIN_HINTS).result
    shown = f"cancelled at 0.15 s, and {term.later} steps changed the model after that."
    why = "Cancelling an `await` does not stop a thread. Who lets the step finish?"
    demand(not term.later, "left-running", shown, why, "`aml.fit` ends between two steps.")
    shown = "cancelled at 0.15 s, and it went on as if nothing had happened."
    why = "A CancelledError is how a task is told to end: let it through."
    demand(is_cancelled, "swallows", shown, why)
    return "loading hidden behind steps, stopped in time by patience and by `cancel`."


def _judge_overlap(term: _Term, seconds: float) -> None:
    epochs, n = max(1, len(term.evaluated)), term.per_epoch
    most = epochs * ((n + 2) * max(_LOAD_S, _STEP_S) + _STEP_S + _SCORE_S) + 1e-6
    shown = f"{epochs} epochs of {n} batches took {seconds:.2f} s, and {most:.2f} s is enough."
    why = "Loading and training took turns. What loads the next batch during a step?"
    demand(seconds <= most, "sequence", shown, why, "`aml.fit` loads two batches ahead.")


def _judge_returned(term: _Term, found: Any) -> None:
    answers.demand_returned(found)
    found = plain(found)
    shown = f"it returned {shorten(found)}, and not two lists, the losses and the scores."
    is_pair = isinstance(found, tuple | list) and len(found) == 2
    is_pair = is_pair and all(isinstance(part, tuple | list) for part in found)
    demand(is_pair, "kind", shown, "`return losses, scores`.")
    losses, scores = found
    right = term.losses()[: term.steps]
    shown = f"{len(losses)} losses for {len(right)} steps."
    why = "A loss curve has a point for each step: `step.loss`."
    demand(len(losses) == len(right), "losses", shown, why)
    are_numbers = all(map(answers.is_number, losses))
    is_same = are_numbers and np.allclose(losses, right, rtol=1e-5)
    shown = f"the losses begin {shorten(losses[:2])}, and not {shorten(right[:2])}."
    demand(is_same, "losses", shown, "`losses.append(step.loss)`, after each step.")
    expected = term.scores[: len(term.evaluated)]
    shown = f"the scores are {shorten(scores)}, and not {shorten(expected)}."
    demand(list(scores) == expected, "scores", shown, "What `validate` returns, after each epoch.")


# ---- 12-save, 12-serve ----
@exercise("12-save", ours=capstone.train_and_save)
@without_timelines
@quietly
def save(answer: Any) -> str:
    """Check a training that goes on after a kill as if nothing had been."""
    check_kind(answer, True)
    return judge_nights(answer)


@exercise("12-serve", ours=capstone.serve_model)
@without_timelines
@quietly
def serve(answer: Any) -> str:
    """Check an application that answers a burst in time, and refuses the rest."""
    return judge_rush(answer)


# ---- 12-page ----
PAGE = tuple(capstone.PAGE)


@exercise("12-page", ours=capstone.PAGE)
def page(answer: Any) -> str:
    """Check the times of the whole program that were found with a pencil, in seconds."""
    answers.demand_given(answer, "your numbers")
    names = ", ".join(PAGE)
    answers.demand_keys(answer, PAGE, f"a dict with the keys {names} is asked for.")
    answers.demand_each(answer.values(), "a number")
    world = World()
    load_s, decode_s, train_s = world.load_s, world.decode_s, world.train_s
    both, total = max(load_s, decode_s, train_s), load_s + decode_s + train_s
    twice = max((world.needed - 20) / 400 + 0.03, decode_s, train_s)
    rows: list[tuple[float, dict[float, tuple[str, str]], str]] = [
        (
            load_s,
            {
                3000 / 200: ("lost", "Some requests are lost, and have to be made again."),
                3000 * 0.064: ("one-by-one", "That is one at a time. The rate is the bound."),
            },
            "(M - B) / R + l, as in lesson 07.",
        ),
        (decode_s, {2 * decode_s: ("cores", "There are two cores.")}, "3,000 times 8 ms, on two."),
        (train_s, {train_s / 100: ("rows", "A row takes 4 ms, a step a hundred times that.")}, ""),
        (total, {both: ("hidden", "One after the other, nothing is hidden.")}, "Add them up."),
        (
            both,
            {total: ("sum", "They go on at the same time.")},
            "The slowest of the three sets the pace.",
        ),
        (
            twice,
            {
                both / 2: ("half", "Then something else is the slowest."),
                both: ("same", "Load is the slowest, so this helps, until another one is."),
            },
            "Which one is the slowest then?",
        ),
        (
            0.0,
            {
                decode_s + train_s: ("hidden", "That is hidden. How much less is computed?"),
                total - both: ("hidden", "That is hidden. How much less is computed?"),
            },
            "How many of the images need not be decoded, how many steps not be made?",
        ),
    ]
    for name, (right, typical, hint) in zip(PAGE, rows, strict=True):
        _judge_number(name, answer[name], right, typical, hint)
    return f"{both:.1f} s in place of {total:.1f}: all of the computing is hidden, none is saved."


def _judge_number(
    name: str, found: Any, right: float, typical: dict[float, tuple[str, str]], hint: str
) -> None:
    shown = f"{name!r}: {shorten(found)}"
    demand(answers.is_number(found), "kind", f"{shown} is no number of seconds.")
    for seconds, (code, why) in typical.items():
        if _is_near(found, seconds) and not _is_near(found, right):
            raise Wrong(code, f"{shown} s is not it.", why, hint)
    demand(_is_near(found, right), "number", f"{shown} s is not it.", hint)


def _is_near(found: Any, right: float) -> bool:
    with contextlib.suppress(OverflowError):  # an int with hundreds of digits
        return bool(abs(found - right) <= 0.02 * max(right, 1.0))
    return False
