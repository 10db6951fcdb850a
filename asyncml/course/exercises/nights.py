"""Judges training runs that are ended by a power cut: what is in the folder is all that is left.

A cut is simulated: the folder is copied at that moment, the run is cancelled, and the next life
begins with the copy, a new model and new data. For lesson 12.
"""

import asyncio
import contextlib
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from asyncml.course.exercises import Wrong, answers, plain
from asyncml.course.exercises.endings import Counting
from asyncml.course.exercises.scenes import UNAWAITABLE, Hints, demand, play
from asyncml.failures import shorten
from asyncml.network.optimizers import Adam
from asyncml.pipeline.pipeline import Pipeline

_SCORES, _PATIENCE, _STEPS, _EVERY = [0.5, 0.7, 0.6, 0.65, 0.9, 0.8], 2, 16, 10
_RIGHT = 4  # epochs, of six: then two in a row were no better than 0.7
Cuts = list[tuple[int | None, float]]
_NIGHTS: list[Cuts] = [
    [(None, 0.373)],
    [(1, 0.02), (3, 0.02)],
    [(None, 0.203), (2, 0.06), (None, 0.303)],
]
_CALL = "train_and_save(folder, model, optimizer, batches, validate, epochs, patience)"
_HINTS: Hints = {
    "positional argument": ("signature", f"Called as `{_CALL}`."),
    "'NoneType' object has no attribute": (
        "first-time",
        "The first time there is no checkpoint, and `restore` returns None.",
        "`last.epoch if last else 0`; `fit` takes `resume_from=None` as well.",
    ),
    "oroutine": (
        "not-awaited",
        "`restore`, `save` and `validate` are coroutine functions. Is each of them awaited?",
        "`last = await checkpoints.restore(model, optimizer)`.",
    ),
    "within its `async with` block": (
        "block",
        "A Checkpointer works within its block.",
        "`async with aml.Checkpointer(folder) as checkpoints:` around all of it.",
    ),
    "is the total of the run": (
        "epochs",
        "`epochs` of `fit` counts from the beginning of the run, whatever was done before.",
        "In epoch number `epoch`: `aml.fit(..., epochs=epoch + 1, resume_from=last)`.",
    ),
    "list index out of range": (
        "scores-short",
        "There are fewer scores than epochs. Where do those of the epochs before a cut come from?",
        "From a file in `folder`. And `resume_from=last`, so that `fit` begins with that epoch.",
    ),
    "No such file or directory": (
        "first-time",
        "The first time the folder is empty. Is the file there?",
        "`if path.exists():` before you read it.",
    ),
    UNAWAITABLE: ("for", "`async for step in aml.fit(...)`, without `await`."),
}


@dataclass
class _Life:
    """What one life of a run has done."""

    steps: int
    epochs: int
    params: Any
    scores: Any
    files: int


class _Night:
    """A run in a folder, with cuts: (None, s) after s seconds, (epoch, s) into its validation."""

    def __init__(self, root: Path, cuts: Cuts) -> None:
        chance = np.random.default_rng(3)
        x = chance.standard_normal((_STEPS, 6, 3)).astype(np.float32)
        self.data = [(part, chance.integers(0, 3, 6)) for part in x]
        self.root, self.cuts = root, cuts
        self.lives: list[_Life] = []

    async def run(self, answer: Callable[..., Any]) -> list[_Life]:
        folder = self.root / "0"
        folder.mkdir()
        for cut in [*self.cuts, None, None]:  # the last one is started once more
            if len(self.lives) == 1:  # what is left in memory of this night is another's
                await self.live(answer, self.root, None, [0.99])
            self.lives.append(await self.live(answer, folder, cut))
            folder = self.root / str(len(self.lives)) if cut else folder
        return self.lives

    async def live(
        self,
        answer: Callable[..., Any],
        folder: Path,
        cut: tuple[int | None, float] | None,
        scores: list[float] = _SCORES,
    ) -> _Life:
        model, validating = Counting([3, 4, 3], seed=2), asyncio.Event()
        optimizer = Adam(model, lr=0.05)

        async def load(number: int) -> Any:
            await asyncio.sleep(0.005)
            return self.data[number]

        async def validate() -> float:
            epoch = int(optimizer.t) // _STEPS - 1
            if cut and cut[0] == epoch:
                validating.set()
            await asyncio.sleep(0.05)
            return scores[max(0, epoch)]

        batches = Pipeline(range(_STEPS)).shuffle(_STEPS, seed=3).map(load, concurrency=4)
        args = folder, model, optimizer, batches, validate, len(scores), _PATIENCE
        work = asyncio.create_task(answer(*args), name="train_and_save")
        if cut:
            await self._wait(work, validating, cut)
            shutil.copytree(folder, self.root / str(len(self.lives) + 1))
        else:
            await asyncio.wait([work])
        has_ended, steps = work.done(), model.steps
        work.cancel()
        await asyncio.wait([work])
        result = work.result() if has_ended else None
        epochs = int(optimizer.t) // _STEPS
        return _Life(steps, epochs, model.params.copy(), result, self.saved(folder))

    def saved(self, folder: Path) -> int:
        return len(list(folder.glob("*.safetensors")))

    async def _wait(
        self, work: "asyncio.Task[Any]", validating: asyncio.Event, cut: tuple[int | None, float]
    ) -> None:
        if cut[0] is not None:
            waiting = asyncio.create_task(validating.wait())
            await asyncio.wait([work, waiting], return_when=asyncio.FIRST_COMPLETED)
            waiting.cancel()
        await asyncio.wait([work], timeout=cut[1])


def judge_nights(answer: Callable[..., Any]) -> str:
    """Raise `Wrong`, unless the answer ends each night with the weights of the unbroken one."""
    whole = _night(answer, [])[0]
    total, more = _RIGHT * _STEPS, "In epoch number `epoch`: `epochs=epoch + 1`."
    shown = f"never stopped, it took {whole.steps} steps, all of them in the first epoch."
    why = "`epochs` of `fit` counts from the beginning of the run, whatever was done before."
    demand(whole.steps != _STEPS, "epochs", shown, why, more)
    shown = f"never stopped, it took {whole.steps} steps, and {total} were expected."
    why = f"The scores are {_SCORES[:_RIGHT]}, and patience is {_PATIENCE}: when is it used up?"
    demand(whole.steps == total, "early", shown, why, "As in your `train_model`.")
    _judge_scores(whole.scores)
    for cuts in _NIGHTS:
        _judge_lives(_night(answer, cuts), whole)
    return "six power cuts in three nights, and each ended with the weights of the unbroken run."


def _night(answer: Callable[..., Any], cuts: Cuts) -> list[_Life]:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as root:
        night = _Night(Path(root), cuts)
        lives: list[_Life] = play(night.run, answer, of=answer, hints=_HINTS).result
    return lives


def _judge_scores(found: Any) -> None:
    answers.demand_returned(found)
    with contextlib.suppress(TypeError):
        found = list(plain(found))
    shown = f"it returned {shorten(found)}, and the scores were {_SCORES[:_RIGHT]}."
    demand(found == _SCORES[:_RIGHT], "scores", shown, "All scores of the run, in order.")


def _judge_lives(lives: list[_Life], whole: _Life) -> None:
    first, second, last, again = lives[0], lives[1], lives[-2], lives[-1]
    shown = f"the power was cut after {first.steps} steps, and no checkpoint was in the folder."
    more = "`await checkpoints.save(step, model, optimizer)`, inside the loop over the steps."
    demand(first.files > 0, "never-saves", shown, "What can it go on from?", more)
    shown = f"the power was cut after {first.steps} steps, and it began at the first step again."
    more = "`last = await checkpoints.restore(model, optimizer)`, and `resume_from=last`."
    demand(second.steps != whole.steps, "never-restores", shown, "Who looks in the folder?", more)
    count, epochs = len(last.scores) if isinstance(last.scores, list) else 0, last.epochs
    shown = f"after power cuts it had {count} scores of {epochs} epochs."
    why = "An epoch whose end is done again has one score, not two. Where does it go?"
    more = "`scores[epoch:] = [score]` keeps one for each epoch."
    demand(count <= epochs, "scores-twice", shown, why, more)
    shown = f"unbroken it trained for {_RIGHT} epochs, and with power cuts for {epochs}."
    why = "Patience counts scores. Where are those of the epochs before the cut?"
    more = "Write the scores into a file in `folder` after each epoch, and read it at the start."
    demand(epochs == _RIGHT and count == epochs, "scores-lost", shown, why, more)
    lost = sum(life.steps for life in lives[:-1]) - whole.steps
    cuts = len(lives) - 2
    shown = f"{cuts} power cuts, and {lost} steps had to be taken again."
    why = f"Each cut may cost {_EVERY} steps, and the one that was running."
    more = "Save after each tenth step of an epoch, and after its end."
    demand(lost <= cuts * (_EVERY + 1), "rarely", shown, why, more)
    shown = "it ended with other weights than the run that was never stopped."
    why = "Do the weights, the optimiser and the place in the data come from one and the same step?"
    demand(np.array_equal(last.params, whole.params), "other", shown, why, "`resume_from=last`.")
    _judge_scores(last.scores)
    shown = f"it was over, was started once more, and took {again.steps} more steps."
    why = "The scores in the folder say that patience is used up. When do you look at them?"
    more = "Ask before each epoch, and not only after it."
    demand(not again.steps, "goes-on", shown, why, more)
    if not np.array_equal(again.params, whole.params):
        raise Wrong("other", "started once more when it was over, it has other weights.", why)
