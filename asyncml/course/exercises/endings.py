"""Judges training loops that stop early, and loops that resume after a kill.

For lessons 09 and 12.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np

from asyncml.clock import compute
from asyncml.course.exercises import answers, plain
from asyncml.course.exercises.feeders import called
from asyncml.course.exercises.scenes import UNAWAITABLE, Hints, demand, play, refuse
from asyncml.network.optimizers import Adam
from asyncml.network.sequential import MLP
from asyncml.pipeline.pipeline import Pipeline
from asyncml.training.step import Step

_FOR = (
    "for",
    "Steps come one by one, over time: `async for step in ...`, with no `await` after `in`.",
)
_LOOPS: Hints = {
    f"object is not iterable / 'async for' requires / write `async for / {UNAWAITABLE}": _FOR
}
_NOT_AWAITED = "A coroutine function gives you its result when you await the call."

# ---- early stopping ----
_EARLY_HINTS: Hints = {
    "instances of 'coroutine'": ("not-awaited", _NOT_AWAITED, "`await evaluate()`."),
    **_LOOPS,
    **called("stop_early(steps, per_epoch, evaluate, patience)"),
}


class Epochs:
    """The steps that `fit` would yield, with scores known in advance."""

    def __init__(self, scores: list[float], per_epoch: int, patience: int) -> None:
        self.scores, self.per_epoch, self.patience = scores, per_epoch, patience
        self.steps = 0
        self.evaluated: list[int] = []  # the number of steps before each

    async def run(self, stop_early: Callable[..., Any]) -> Any:
        """Let the answer take the steps."""
        return await stop_early(self, self.per_epoch, self.evaluate, self.patience)

    def __aiter__(self) -> "Epochs":
        return self

    async def __anext__(self) -> Step:
        if self.steps == len(self.scores) * self.per_epoch:
            raise StopAsyncIteration
        await asyncio.sleep(0.01)
        epoch, index = divmod(self.steps, self.per_epoch)
        self.steps += 1
        return Step(epoch, index, 1.0, 100, 0.0, 0.01)

    async def evaluate(self) -> float:
        """Return the score of the epoch that has just ended."""
        self.evaluated.append(self.steps)
        await asyncio.sleep(0.01)
        return self.scores[max(self.steps - 1, 0) // self.per_epoch]


_RULES = {
    "previous": (
        "Is a score compared with the best so far, or with the one before?",
        "An epoch that only makes up for a bad one before it is no better than the best.",
    ),
    "not-reset": (
        "In a row: what happens to the count when a new best comes?",
        "A new best sets the count of poor epochs back to 0.",
    ),
    "ties": ("Is a score that only equals the best any better?", "Compare with `>`."),
}


def ends_after(scores: list[float], patience: int, rule: str = "") -> int:
    """Return the number of epochs after which a rule stops; all of them if it never does."""
    best, poor = -np.inf, 0
    for done, score in enumerate(scores, 1):
        is_better = score > best or (rule == "ties" and score == best)
        poor = (poor if rule == "not-reset" else 0) if is_better else poor + 1
        best = score if rule == "previous" else max(best, score)
        if poor >= patience:
            return done
    return len(scores)


def judge_early(answer: Callable[..., Any]) -> None:
    """Raise `Wrong` unless the answer stops when it should and returns the scores."""
    for scores, per_epoch, patience in (
        # here each wrong rule stops after a different number of epochs
        ([0.75, 0.7, 0.5, 0.8, 0.6, 0.8, 0.8, 0.65, 0.5, 0.6, 0.55], 4, 3),
        ([0.5, 0.4, 0.6, 0.5, 0.7, 0.65, 0.66, 0.67, 0.9, 0.95], 3, 3),
        ([0.5, 0.6, 0.6, 0.6, 0.6, 0.6, 0.9, 0.95], 2, 4),
        ([0.1, 0.2, 0.3, 0.4, 0.5], 3, 2),
        ([0.5, 0.6, 0.4, 0.8], 1, 1),
    ):
        epochs = Epochs(scores, per_epoch, patience)
        found = plain(play(epochs.run, answer, of=answer, hints=_EARLY_HINTS).result)
        judge_moments(epochs)
        judge_end(epochs)
        answers.demand_returned(found)
        right = scores[: len(epochs.evaluated)]
        is_right = isinstance(found, list | tuple) and list(found) == right
        why = "Return all scores, one for each epoch, in order."
        demand(is_right, "scores", f"it returned {found!r:.60}, not {right}.", why)


def judge_moments(
    epochs: Epochs,
    why: str = "The first step of an epoch has index 0. Which index does the last one have?",
    more: str = "Once an epoch, when `step.index == per_epoch - 1`.",
) -> None:
    """Demand an evaluation at the end of each epoch, and at no other time."""
    found, each = epochs.evaluated, epochs.per_epoch
    is_right = found != [] and found == [each * number for number in range(1, len(found) + 1)]
    is_late = not is_right and found != [] and found[0] >= each * len(epochs.scores)
    late = "By then training was over. What decides while it is still going on?"
    refuse(
        f"epochs of {each} steps, and it evaluated after these steps: "
        f"{', '.join(map(str, found[:4])) or 'none'}.",
        (is_late, "too-late", late, "Evaluate inside the `async for`."),
        (not is_right, "moments", why, more),
    )


def judge_end(epochs: Epochs) -> None:
    """Demand that it ended when patience was used up, and took no step after that."""
    scores, patience, done = epochs.scores, epochs.patience, len(epochs.evaluated)
    right = ends_after(scores, patience)
    beyond = epochs.steps - epochs.evaluated[-1]
    shown = f"after the last score {beyond} more steps were taken."
    is_over = done != right or not beyond
    demand(is_over, "goes-on", shown, "What ends a loop at once?", "`break`, or `return`.")
    if done == right:
        return
    row = ", ".join(f"{score:g}" for score in scores[: max(done, right)])
    is_fixed = patience != 3 and done == ends_after(scores, 3)
    why = "How many poor epochs in a row are enough? `patience` says so. Count from the best score."
    ends = {rule: ends_after(scores, patience, rule) for rule in _RULES}
    refuse(
        f"scores {row}; patience {patience}: it ended after {done} epochs, not {right}.",
        (is_fixed, "hard-coded", "`patience` is an argument: is it used?"),
        *((done == ends[rule], rule, *said) for rule, said in _RULES.items()),
        (True, "end", why),
    )


# ---- resuming after a kill ----
_EPOCHS, _SHARDS, _EVERY = 3, 10, 4
_TOTAL = _EPOCHS * _SHARDS
_RESTORE = ("restore-not-awaited", _NOT_AWAITED, "`await checkpoints.restore(model, optimizer)`.")
_WHOLE_RUN = (
    "epochs",
    "`epochs` is the number for the whole run.",
    "Hand on `epochs=epochs` as it is.",
)
_RESUME_HINTS: Hints = {
    "'NoneType' object has no attribute": (
        "first-time",
        "The first time there is no checkpoint, and `restore` returns None.",
        "`fit` takes `resume_from=None` as well: from the beginning.",
    ),
    "got coroutine": _RESTORE,
    "'coroutine' object has no attribute": _RESTORE,
    "is the total of the run": _WHOLE_RUN,
    **_LOOPS,
    **called("train_on(checkpoints, model, optimizer, data, epochs)"),
}


class _Disk:
    """An in-memory `Checkpointer` that outlives a kill and records how it was used."""

    def __init__(self) -> None:
        self.kept: tuple[Step, Any, dict[str, Any]] | None = None
        self.saved: list[int] = []  # the number of steps of the run before each
        self.asked: list[int] = []
        self.restored = 0

    def save(self, step: Step, model: Any, optimizer: Any) -> Awaitable[None]:
        """Return an awaitable that keeps a snapshot."""
        done = step.epoch * _SHARDS + step.index + 1
        self.asked.append(done)

        async def save() -> None:
            await asyncio.sleep(0.015)  # a kill can come before it is on the disk
            state = {name: array.copy() for name, array in optimizer.state().items()}
            self.kept = step, model.params.copy(), state
            self.saved.append(done)

        return save()

    async def restore(self, model: Any, optimizer: Any, pipeline: Any = None) -> Step | None:
        """Restore the last snapshot; return its step, or None if there is none."""
        self.restored += 1
        if self.kept is None:
            return None
        step, model.params, state = self.kept
        for name, array in optimizer.state().items():
            array[...] = state[name]
        if pipeline is not None and step.pipeline_state is not None:
            pipeline.load_state_dict(step.pipeline_state)
        return step


class Counting(MLP):
    """A network whose steps take 10 ms and are counted."""

    steps = 0

    def loss_and_grads(self, x: Any, y: Any) -> float:
        """Count the step, and take its time."""
        self.steps += 1
        compute(0.01)
        return super().loss_and_grads(x, y)


class _Night:
    """A run that is killed and restarted until it finishes."""

    def __init__(self, seed: int, kills_s: list[float]) -> None:
        chance = np.random.default_rng(seed)
        x = chance.standard_normal((_SHARDS, 6, 3)).astype(np.float32)
        self.batches = [(part, chance.integers(0, 3, 6)) for part in x]
        self.seed, self.kills_s, self.disk = seed, kills_s, _Disk()
        self.params: Any = None

    def fresh(self) -> tuple[Counting, Adam, Any]:
        async def load(number: int) -> Any:
            await asyncio.sleep(0.02)
            return self.batches[number]

        model = Counting([3, 4, 3], seed=self.seed)
        data = Pipeline(range(_SHARDS)).shuffle(_SHARDS, seed=self.seed).map(load, concurrency=4)
        return model, Adam(model, lr=0.05), data

    async def unbroken(self) -> Any:
        model, optimizer, data = self.fresh()
        for _ in range(_EPOCHS):
            async for x, y in data:
                model.loss_and_grads(x, y)
                optimizer.step()
        return model.params

    async def run(self, train_on: Callable[..., Any]) -> None:
        since = 0  # steps that were safe when this life began
        for kill_s in [*self.kills_s, None]:
            model, optimizer, data = self.fresh()
            given = train_on(self.disk, model, optimizer, data, _EPOCHS)
            work = asyncio.create_task(given, name="train_on")
            await asyncio.wait([work], timeout=kill_s)
            is_ended = work.done()
            work.cancel()
            await asyncio.wait([work])
            self.params = model.params
            if is_ended:
                work.result()
            shown = "it was cancelled, and it returned as if all were well."
            demand(is_ended or work.cancelled(), "swallowed", shown, "Let the CancelledError out.")
            self.judge_kept(model.steps)
            shown = f"{since} steps of {_TOTAL} had been saved when it was started again."
            more = "`await checkpoints.restore(model, optimizer)`, first of all."
            is_known = not since or self.disk.restored > 1
            demand(is_known, "never-restores", shown, "Which line looks for a checkpoint?", more)
            if is_ended and model.steps != _TOTAL - since:
                told = f"{shown if since else ''} It did {model.steps} steps, not {_TOTAL - since}."
                _refuse_count(told.strip(), model.steps, since)
            self.judge_saves(since, model.steps)
            since = max(self.disk.saved)

    def judge_kept(self, steps: int) -> None:
        disk = self.disk
        shown = "`save` was called, and never awaited: nothing was saved."
        is_awaited = bool(disk.saved) or not disk.asked
        demand(is_awaited, "save-not-awaited", shown, "`await checkpoints.save(...)`.")
        shown = f"it was killed after {steps} steps, and nothing had been saved."
        more = "`await checkpoints.save(step, model, optimizer)`, inside the loop."
        demand(bool(disk.saved), "never-saves", shown, "What can it go on from?", more)

    def judge_saves(self, since: int, steps: int) -> None:
        disk, why, more = self.disk, "Steps are numbered from 0.", "`if step.index % 4 == 3:`"
        for done in disk.saved:
            shown = f"it saved after {_place(done)}, which is not asked for."
            demand(_is_due(done), "which", shown, why, more)
        for done in range(since + 1, since + steps):  # it may be killed in the last step
            shown = f"the run went on before {_place(done)} was saved."
            is_left = done in disk.asked and done not in disk.saved
            told = "Await `save` in the loop."
            demand(not is_left, "save-left", shown, "What waits for `save`?", told)
            is_right = done in disk.saved or not _is_due(done)
            demand(is_right, "rarely", f"nothing was saved after {_place(done)}.", why, more)


def _place(done: int) -> str:
    return f"step {(done - 1) % _SHARDS} of epoch {(done - 1) // _SHARDS}"


def _is_due(done: int) -> bool:
    return (done - 1) % _SHARDS % _EVERY == _EVERY - 1


def _refuse_count(shown: str, steps: int, since: int) -> None:
    is_lost = since > 0 and steps == _TOTAL
    place = "The weights were put back. Does `fit` know where to go on?"
    is_rest = since + steps <= _TOTAL and (since + steps) % _SHARDS == 0
    why = "Each step of the run is to be done once. What ends the loop, and where does it begin?"
    refuse(
        shown,
        (is_lost, "place", place, "`fit(..., resume_from=step)`."),
        (is_rest, *_WHOLE_RUN),
        (True, "count", why),
    )


def judge_resume(answer: Callable[..., Any]) -> None:
    """Raise `Wrong` unless the answer resumes after each kill, exact to the bit."""
    for seed, kills_s in (1, [0.21]), (2, [0.3, 0.12, 0.09]):
        night = _Night(seed, kills_s)
        play(night.run, answer, of=answer, hints=_RESUME_HINTS)
        is_same = np.array_equal(play(night.unbroken, of=answer).result, night.params)
        shown = "it ended with other weights than the run that was never stopped."
        why = "Are weights, optimiser and place those of one and the same step?"
        demand(is_same, "other", shown, why)
