"""Judges training runs that stop early, and runs that resume after a power cut; for lesson 12.

A power cut is simulated: the folder is copied at that moment, the run is cancelled, and the next
life begins with the copy, a new model and new data.
"""

import asyncio
import contextlib
import shutil
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from asyncml.clock import compute
from asyncml.course.exercises import answers, plain
from asyncml.course.exercises.endings import Epochs, judge_end, judge_moments
from asyncml.course.exercises.feeders import called
from asyncml.course.exercises.scenes import UNAWAITABLE, Hints, demand, play
from asyncml.failures import shorten
from asyncml.network.optimizers import Adam
from asyncml.network.sequential import MLP
from asyncml.pipeline.pipeline import Pipeline

_LOAD_S, _STEP_S, _SCORE_S = 0.02, 0.02, 0.01
_FOR = ("for", "`async for step in aml.fit(...)`: steps have to be waited for, one after another.")
_NOT_AWAITED = "A coroutine function gives its result when the call is awaited. Is each of yours?"
_HINTS: Hints = {
    f"{UNAWAITABLE} / 'async for' requires / write `async for": _FOR,
    "length of this pipeline is not known": (
        "length",
        "Some images are damaged, so nobody knows in advance how many batches there will be.",
        "A `fit` for each epoch: its loop ends when the epoch does.",
    ),
    "oroutine": ("not-awaited", _NOT_AWAITED),
    "'NoneType' object has no attribute": (
        "first-time",
        "The first time there is no checkpoint, so `restore` returns None.",
        "`last.epoch if last else 0`; `fit` takes `resume_from=None` as well.",
    ),
    "list index out of range": (
        "scores-short",
        "There are fewer scores than epochs. Those of the epochs before a cut count as well.",
        "Keep them in a file in `folder`, and end `fit` with its epoch: `epochs=epoch + 1`.",
    ),
}
_PARTS = "model, optimizer, batches, validate, epochs, patience"
_TRAIN_HINTS = {**_HINTS, **called(f"train_model({_PARTS})")}
_SAVE_HINTS = {**_HINTS, **called(f"train_and_save(folder, {_PARTS})")}


class _Model(MLP):
    """A network whose steps take a while and are counted."""

    def __init__(self, term: "_Term") -> None:
        super().__init__([3, 4, 3], seed=1)
        self.term = term

    def loss_and_grads(self, x: Any, y: Any) -> float:
        """Count the step, and take its time."""
        self.term.steps += 1
        self.term.on_loop |= threading.get_ident() == self.term.thread
        compute(_STEP_S)
        return super().loss_and_grads(x, y)


class _Term(Epochs):
    """Epochs of real training with scores known in advance; one shard is damaged."""

    def __init__(self, scores: list[float], per_epoch: int, patience: int) -> None:
        super().__init__(scores, per_epoch, patience)
        chance = np.random.default_rng(per_epoch)
        x = chance.standard_normal((per_epoch, 6, 3)).astype(np.float32)
        self.data = [(part, chance.integers(0, 3, 6)) for part in x]
        self.thread, self.on_loop = threading.get_ident(), False
        self.result: Any = None
        self.is_saved = False
        self.model = _Model(self)
        self.optimizer = Adam(self.model, lr=0.05)
        self.validating: dict[int, asyncio.Event] = {}

    async def load(self, number: int) -> Any:
        await asyncio.sleep(_LOAD_S)
        if number == 1:
            raise ValueError("a damaged shard")
        return self.data[number - (number > 1)]

    async def evaluate(self) -> float:
        """Return the score of the epoch that has just ended, counted across lives."""
        self.evaluated.append(self.steps)
        epoch = self.epochs() - 1
        if epoch in self.validating:
            self.validating[epoch].set()
        await asyncio.sleep(_SCORE_S)
        return self.scores[min(max(0, epoch), len(self.scores) - 1)]

    def epochs(self) -> int:
        """Return the number of epochs that are over, including those of earlier lives."""
        return int(self.optimizer.t) // self.per_epoch

    async def run(self, answer: Callable[..., Any], *folder: Path) -> Any:
        """Let the answer train to the end."""
        self.thread = threading.get_ident()
        batches = Pipeline(range(self.per_epoch + 1)).map(self.load, concurrency=1, on_error="skip")
        parts = self.model, self.optimizer, batches, self.evaluate, len(self.scores), self.patience
        return await answer(*folder, *parts)

    async def stopped(self, answer: Callable[..., Any]) -> tuple[bool, int]:
        """Cancel the answer in a step; return whether it ended cancelled, and the later steps."""
        work = asyncio.create_task(self.run(answer), name="train_model")
        await asyncio.sleep(0.15)
        work.cancel()
        await asyncio.wait([work], timeout=5)
        done = int(self.optimizer.t)
        await asyncio.sleep(1)
        return work.cancelled(), int(self.optimizer.t) - done

    def losses(self) -> list[float]:
        """Return the losses of the steps taken, in order."""
        model, found = MLP([3, 4, 3], seed=1), []
        optimizer = Adam(model, lr=0.05)
        for number in range(self.steps):
            found.append(model.loss_and_grads(*self.data[number % self.per_epoch]))
            optimizer.step()
        return found


# ---- stopping early ----
def judge_training(answer: Callable[..., Any]) -> None:
    """Raise `Wrong` unless the answer overlaps, and stops by patience and when cancelled."""
    for scores, per_epoch, patience in (
        ([0.75, 0.7, 0.5, 0.8, 0.6, 0.8, 0.8, 0.65, 0.5, 0.6, 0.55], 4, 3),
        ([0.5, 0.6, 0.6, 0.55, 0.9], 3, 2),
        ([0.1, 0.2, 0.3], 5, 2),
    ):
        term = _Term(scores, per_epoch, patience)
        run = play(term.run, answer, of=answer, hints=_TRAIN_HINTS)
        shown = "it computed on the event loop: meanwhile nothing loads, and nobody can stop it."
        more = "`async for step in aml.fit(...)`, whose steps run in a thread."
        demand(not term.on_loop, "on-the-loop", shown, "Where should the steps run?", more)
        why = "Nobody tells you how many steps an epoch has. What ends when the epoch does?"
        judge_moments(term, why, "`async for step in aml.fit(...)` in each epoch, then `validate`.")
        epochs, n = len(term.evaluated), per_epoch
        most = epochs * ((n + 2) * max(_LOAD_S, _STEP_S) + _STEP_S + _SCORE_S) + 1e-6
        shown = f"{epochs} epochs of {n} steps took {run.seconds:.2f} s; {most:.2f} s is enough."
        why = "Loading and training took turns. What loads the next batch during a step?"
        more = "`aml.fit` loads two batches ahead."
        demand(run.seconds <= most, "sequence", shown, why, more)
        judge_end(term)
        _judge_returned(term, run.result)
    stopped = play(_Term([0.1] * 4, 6, 9).stopped, answer, of=answer, hints=_TRAIN_HINTS)
    is_cancelled, later = stopped.result
    shown = f"cancelled at 0.15 s, and {later} steps changed the model after that."
    why = "Cancelling an `await` does not stop a thread. Who lets the step finish?"
    demand(not later, "left-running", shown, why, "`aml.fit` ends between two steps.")
    shown = "cancelled at 0.15 s, and it ended as if nothing had happened."
    why = "A CancelledError is how a task is told to end: let it through."
    demand(is_cancelled, "swallows", shown, why)


def _judge_returned(term: _Term, found: Any) -> None:
    answers.demand_returned(found)
    found = plain(found)
    is_pair = isinstance(found, tuple | list) and len(found) == 2
    is_pair = is_pair and all(isinstance(part, tuple | list) for part in found)
    shown = f"it returned {shorten(found)}, not two lists, the losses and the scores."
    demand(is_pair, "kind", shown, "`return losses, scores`.")
    losses, scores = found
    right, expected = term.losses(), term.scores[: len(term.evaluated)]
    is_same = len(losses) == len(right) and all(map(answers.is_number, losses))
    shown = f"{len(losses)} losses, {shorten(losses[:2])} the first; "
    shown += f"there were {len(right)} steps, {shorten(right[:2])} the first."
    why = "`losses.append(step.loss)`, after each step."
    demand(is_same and np.allclose(losses, right, rtol=1e-5), "losses", shown, why)
    shown = f"the scores are {shorten(scores)}, not {shorten(expected)}."
    demand(list(scores) == expected, "scores", shown, "What `validate` returns, after each epoch.")


# ---- resuming after a power cut ----
_SCORES, _PATIENCE, _STEPS, _EVERY = [0.5, 0.7, 0.6, 0.65, 0.9, 0.8], 2, 16, 10
_RIGHT = 4  # epochs, of six: then two in a row did not beat 0.7
Cut = tuple[int | None, float]  # (None, s): after s seconds; (epoch, s): s into its validation
_NIGHTS: list[list[Cut]] = [
    [(None, 0.66)],
    [(1, 0.005), (3, 0.005)],
    [(None, 0.3), (2, 0.012), (None, 0.2)],
]


class _Night:
    """A run in a folder, with power cuts, until it finishes; then it is started once more."""

    def __init__(self, root: Path, cuts: list[Cut]) -> None:
        self.root, self.cuts = root, cuts
        self.scores = [score + len(cuts) / 100 for score in _SCORES]  # differ from other nights'
        self.lives: list[_Term] = []

    async def run(self, answer: Callable[..., Any]) -> list[_Term]:
        folder = self.root / "0"
        folder.mkdir()
        for cut in [*self.cuts, None, None]:
            if len(self.lives) == 1:  # another run, which exposes scores kept in globals
                await self.live(answer, self.root, None, [0.99])
            self.lives.append(await self.live(answer, folder, cut, self.scores))
            folder = self.root / str(len(self.lives)) if cut else folder
        return self.lives

    async def live(
        self, answer: Callable[..., Any], folder: Path, cut: Cut | None, scores: list[float]
    ) -> _Term:
        term = _Term(scores, _STEPS, _PATIENCE)
        work = asyncio.create_task(term.run(answer, folder), name="train_and_save")
        if cut and cut[0] is not None:
            term.validating[cut[0]] = validating = asyncio.Event()
            waiting = asyncio.create_task(validating.wait())
            await asyncio.wait([work, waiting], return_when=asyncio.FIRST_COMPLETED)
            waiting.cancel()
        await asyncio.wait([work], timeout=cut[1] if cut else None)
        if cut:
            shutil.copytree(folder, self.root / str(len(self.lives) + 1))
        has_ended, done = work.done(), term.steps
        work.cancel()
        await asyncio.wait([work])
        term.steps = done  # as of the power cut
        term.result = plain(work.result()) if has_ended else None
        term.is_saved = _is_saved(folder)
        return term


def _is_saved(folder: Path) -> bool:
    return any(folder.glob("*.safetensors"))


def judge_nights(answer: Callable[..., Any]) -> None:
    """Raise `Wrong` unless the answer ends each night with the weights of an unbroken run."""
    whole = _night(answer, [])[0]
    total = _RIGHT * _STEPS
    shown = f"never stopped, it took {whole.steps} steps, expected {total}."
    why = "Each `fit` began at the first epoch again. How does it know where to go on?"
    is_once = whole.steps <= len(_SCORES) * _STEPS
    demand(is_once, "repeats", shown, why, "`epochs=epoch + 1` goes with `resume_from=last`.")
    why = f"The scores are {_SCORES[:_RIGHT]}, and patience is {_PATIENCE}: when is it used up?"
    more = "`epochs=epoch + 1` ends `fit` after an epoch. Then ask, as in your `train_model`."
    demand(whole.steps == total, "early", shown, why, more)
    _judge_scores(whole)
    for cuts in _NIGHTS:
        _judge_lives(_night(answer, cuts), whole)


def _night(answer: Callable[..., Any], cuts: list[Cut]) -> list[_Term]:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as root:
        night = _Night(Path(root), cuts)
        lives: list[_Term] = play(night.run, answer, of=answer, hints=_SAVE_HINTS).result
    return lives


def _judge_scores(life: _Term) -> None:
    found, right = life.result, life.scores[:_RIGHT]
    answers.demand_returned(found)
    with contextlib.suppress(TypeError):
        found = list(found)
    shown = f"it returned {shorten(found)}, but the scores were {right}."
    why = "All scores of the run, in order. Keep them in `folder`, and nowhere else."
    demand(found == right, "scores", shown, why)


def _judge_lives(lives: list[_Term], whole: _Term) -> None:
    first, second, last, again = lives[0], lives[1], lives[-2], lives[-1]
    shown = f"the power was cut after {first.steps} steps, and no checkpoint was in the folder."
    more = "`await checkpoints.save(step, model, optimizer)`, inside the loop over the steps."
    demand(first.is_saved, "never-saves", shown, "What can it go on from?", more)
    shown = f"the power was cut after {first.steps} steps, and it began at the first step again."
    more = "`last = await checkpoints.restore(model, optimizer)`, and `resume_from=last`."
    demand(
        second.steps != whole.steps,
        "never-restores",
        shown,
        "What looks into the folder?",
        more,
    )
    shown = f"after the cut it took {second.steps} steps, and the optimiser has counted no others."
    more = "`restore` and `save` get the `optimizer` that you were given."
    is_known = not second.steps or int(second.optimizer.t) > second.steps
    demand(is_known, "optimizer", shown, "What restores the optimiser's own memory?", more)
    _judge_memory(last)
    lost, cuts = sum(life.steps for life in lives[:-1]) - whole.steps, len(lives) - 2
    shown = f"the power was cut, and {lost} steps had to be taken again; cuts: {cuts}."
    why = f"Each cut may cost {_EVERY} steps, and the one that was running."
    more = "Save after each tenth step of an epoch, and after its end."
    demand(lost <= cuts * (_EVERY + 1), "rarely", shown, why, more)
    shown = "it ended with other weights than the run that was never stopped."
    why = "Do the weights, the optimiser and the place in the data come from the same step?"
    params = whole.model.params
    is_same = np.array_equal(last.model.params, params)
    demand(is_same, "other", shown, why, "`resume_from=last`.")
    _judge_scores(last)
    shown = f"it was over, but when started once more, it took {again.steps} more steps."
    why = "The scores in the folder say that patience is used up. When do you look at them?"
    more = "Save after the end of each epoch, too, and look before the next one begins."
    is_same = np.array_equal(again.model.params, params)
    demand(not again.steps and is_same, "goes-on", shown, why, more)


def _judge_memory(last: _Term) -> None:
    """Demand one score for each epoch, including those before the cuts."""
    scores = list(last.result) if isinstance(last.result, list | tuple) else []
    count, epochs = len(scores), last.epochs()
    shown = f"after power cuts it returned {count} scores, and epochs trained for: {epochs}; "
    shown += f"unbroken, both were {_RIGHT}."
    why = "An epoch whose end is done again has one score, not two. Where does it go?"
    more = "`scores[epoch:] = [score]` keeps one for each epoch."
    demand(count <= epochs, "scores-twice", shown, why, more)
    is_late = bool(scores) and scores == last.scores[max(0, epochs - count) : epochs]
    is_gap = count < epochs and not is_late
    why = "A cut in the middle of an epoch leaves steps of it to do. With which epoch do you go on?"
    more = (
        "`range(last.epoch if last else 0, epochs)`: an epoch that is over ends at once in `fit`."
    )
    demand(not is_gap, "skipped", shown, why, more)
    why = "Patience counts scores. Where are those of the epochs before the cut?"
    more = "Write the scores into a file in `folder` after each epoch, and read it at the start."
    demand(epochs == _RIGHT and count == epochs, "scores-lost", shown, why, more)
