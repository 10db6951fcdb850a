"""Judges training loops that end: by early stopping, and by a kill after which they go on.

For lessons 09 and 12.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np

from asyncml.clock import compute
from asyncml.course.exercises import Wrong, answers, plain
from asyncml.course.exercises.scenes import NOT_AWAITABLE, Hints, demand, play
from asyncml.network.optimizers import Adam
from asyncml.network.sequential import MLP
from asyncml.pipeline.pipeline import Pipeline
from asyncml.training.step import Step

# ---- early stopping ----
_EARLY_HINTS: Hints = {
    "positional argument": ("signature", "Called with `steps, per_epoch, evaluate, patience`."),
    "object is not iterable": ("async-for", "Steps have to be waited for: `async for`."),
    "instances of 'coroutine'": (
        "not-awaited",
        "`evaluate()` is a coroutine function. When does it give you its number?",
        "`await evaluate()`.",
    ),
}


class Epochs:
    """What `fit` would hand out, with scores that are known beforehand."""

    def __init__(self, scores: list[float], per_epoch: int, patience: int) -> None:
        self.scores, self.per_epoch, self.patience = scores, per_epoch, patience
        self.steps = 0
        self.evaluated: list[int] = []  # after how many steps

    async def run(self, stop_early: Callable[..., Any]) -> Any:
        """Let an answer take the steps."""
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
        epoch = (self.steps - 1) // self.per_epoch
        await asyncio.sleep(0.01)
        return self.scores[max(epoch, 0)]


def ends_after(scores: list[float], patience: int, rule: str = "best") -> int:
    """Return after how many epochs a rule for stopping ends; all of them if it never does."""
    best = before = -np.inf
    poor = 0
    for done, score in enumerate(scores, 1):
        is_better = {
            "best": score > best,
            "previous": score > before,
            "ties": score >= best,
            "lowest": score < -best,
            "not-reset": score > best,
        }[rule]
        if is_better:
            best = -score if rule == "lowest" else max(best, score)
            poor = poor if rule == "not-reset" else 0
        else:
            poor += 1
        before = score
        if poor >= patience:
            return done
    return len(scores)


_RULES = {
    "previous": (
        "Is a score compared with the best so far, or with the one before?",
        "An epoch that only makes up for a bad one before it is no better than the best.",
    ),
    "not-reset": (
        "Three in a row: what happens to the count when a new best comes?",
        "A new best sets the count of poor epochs back to 0.",
    ),
    "ties": ("Is a score that only equals the best better than it?", "Compare with `>`."),
    "lowest": ("An accuracy is better when it is higher.", "Look for the highest score."),
}


def judge_early(answer: Callable[..., Any]) -> None:
    """Raise `Wrong`, unless the answer stops where it should, and hands back the scores."""
    for scores, per_epoch, patience in (
        # each wrong rule ends after another number of epochs here
        ([0.75, 0.7, 0.5, 0.8, 0.6, 0.8, 0.8, 0.65, 0.5, 0.6, 0.55], 4, 3),
        ([0.5, 0.4, 0.6, 0.5, 0.7, 0.65, 0.66, 0.67, 0.9, 0.95], 3, 3),
        ([0.5, 0.6, 0.6, 0.6, 0.6, 0.6, 0.9, 0.95], 2, 4),
        ([0.1, 0.2, 0.3, 0.4, 0.5], 3, 2),
        ([0.5, 0.6, 0.4, 0.8], 1, 1),
    ):
        epochs = Epochs(scores, per_epoch, patience)
        found = play(epochs.run, answer, of=answer, hints=_EARLY_HINTS).result
        judge_moments(epochs)
        judge_end(epochs)
        answers.demand_returned(found)
        right = scores[: len(epochs.evaluated)]
        is_right = isinstance(plain(found), list | tuple) and list(plain(found)) == right
        why = "All scores are asked for, one for each epoch, in order."
        demand(is_right, "scores", f"it returned {found!r:.60}, and not {right}.", why)


def judge_moments(epochs: Epochs) -> None:
    """Demand an evaluation at the end of each epoch, and at no other moment."""
    found, each = epochs.evaluated, epochs.per_epoch
    shown = f"epochs of {each} steps, and nothing was evaluated."
    demand(bool(found), "never", shown, "Which index has the last step of an epoch?")
    if found == [each * number for number in range(1, len(found) + 1)]:
        return
    shown = f"epochs of {each} steps, and it evaluated after step {', '.join(map(str, found[:4]))}."
    total = each * len(epochs.scores)
    if found[0] == total:
        why = "By then training was over. Who decides while it is still going on?"
        raise Wrong("too-late", shown, why, "Evaluate inside the `async for`.")
    if found[:2] == [1, 2]:
        raise Wrong("each-step", shown, "Once an epoch is enough: after its last step.")
    if found[0] == 1:
        why = "The first step of an epoch has index 0. Which index has its last?"
        raise Wrong("at-once", shown, why, "`step.index == per_epoch - 1`.")
    if found[0] == each + 1:
        why = "It noticed the end of the epoch one step later, when the next had begun."
        raise Wrong("next-epoch", shown, why, "`step.index == per_epoch - 1`.")
    raise Wrong("moments", shown, "Once, after the last step of each epoch.")


def judge_end(epochs: Epochs) -> None:
    """Demand that it ended where patience was used up, and took no step after that."""
    scores, patience, done = epochs.scores, epochs.patience, len(epochs.evaluated)
    right = ends_after(scores, patience)
    if done == right:
        beyond = epochs.steps - epochs.evaluated[-1]
        shown = f"after the last score {beyond} more steps were taken."
        demand(not beyond, "goes-on", shown, "What ends a loop at once?", "`break`, or `return`.")
        return
    if done == ends_after(scores, 3) and patience != 3:
        shown = f"with patience {patience} it ended after {done} epochs, as with 3."
        raise Wrong("hard-coded", shown, "`patience` is handed in: is it used?")
    row = ", ".join(f"{score:g}" for score in scores[: max(done, right)])
    shown = f"scores {row}; patience {patience}: it ended after {done} epochs, not {right}."
    for rule, (why, more) in _RULES.items():
        if done == ends_after(scores, patience, rule):
            raise Wrong(rule, shown, why, more)
    if done == len(scores):
        raise Wrong("never-stops", shown, "What ends the loop when patience is used up?")
    if done == ends_after(scores, patience + 1):
        raise Wrong("one-late", shown, "How many poor epochs in a row are enough?")
    if done == ends_after(scores, patience - 1):
        raise Wrong("one-early", shown, "How many poor epochs in a row are still allowed?")
    raise Wrong("end", shown, "Count the epochs since the best score.")


# ---- going on after a kill ----
_EPOCHS, _SHARDS, _EVERY = 3, 10, 4
_RESUME_HINTS: Hints = {
    "positional argument": (
        "signature",
        "Called with `checkpoints, model, optimizer, data, epochs`.",
    ),
    "'NoneType' object has no attribute": (
        "first-time",
        "The first time there is no checkpoint, and `restore` returns None.",
        "`fit` takes `resume_from=None` as well: from the beginning.",
    ),
    "got coroutine": (
        "restore-not-awaited",
        "`restore` is a coroutine function. When does it give you its step?",
        "`await checkpoints.restore(model, optimizer)`.",
    ),
    "'coroutine' object has no attribute": (
        "restore-not-awaited",
        "`restore` is a coroutine function. When does it give you its step?",
        "`await checkpoints.restore(model, optimizer)`.",
    ),
    "is the total of the run": (
        "epochs",
        "`epochs` counts the whole run, and what was done before the kill is part of it.",
        "Hand on `epochs=epochs`, the first time and after a kill alike.",
    ),
    **dict.fromkeys(
        NOT_AWAITABLE, ("for", "`fit(...)` itself is what you loop over, without `await`.")
    ),
    "'async for' requires": ("for", "`fit(...)` itself is what you loop over, without `await`."),
    "write `async for": ("for", "Steps have to be waited for: `async for`."),
}


class _Disk:
    """A `Checkpointer` in memory, which outlives a kill, and notes how it was used."""

    def __init__(self) -> None:
        self.kept: dict[str, Any] | None = None
        self.saved: list[tuple[int, int]] = []
        self.asked: list[tuple[int, int]] = []
        self.restored = 0

    def save(self, step: Step, model: Any, optimizer: Any) -> Awaitable[None]:
        """Keep a snapshot, once it is awaited."""
        self.asked.append((step.epoch, step.index))

        async def save() -> None:
            await asyncio.sleep(0.015)  # an earlier one may still be on its way to the disk
            state = {name: array.copy() for name, array in optimizer.state().items()}
            self.kept = {"step": step, "params": model.params.copy(), "state": state}
            self.saved.append((step.epoch, step.index))

        return save()

    async def restore(self, model: Any, optimizer: Any, pipeline: Any = None) -> Step | None:
        """Put back what was kept last."""
        self.restored += 1
        if self.kept is None:
            return None
        model.params = self.kept["params"]
        for name, array in optimizer.state().items():
            array[...] = self.kept["state"][name]
        step: Step = self.kept["step"]
        if pipeline is not None and step.pipeline_state is not None:
            pipeline.load_state_dict(step.pipeline_state)
        return step


class _Counting(MLP):
    """A network whose steps take 10 ms, and are counted."""

    steps = 0

    def loss_and_grads(self, x: Any, y: Any) -> float:
        """Count the step."""
        self.steps += 1
        compute(0.01)
        return super().loss_and_grads(x, y)


class _Night:
    """A run that is killed, and started anew, until it gets to its end."""

    def __init__(self, seed: int, kills_s: list[float]) -> None:
        chance = np.random.default_rng(seed)
        x = chance.standard_normal((_SHARDS, 6, 3)).astype(np.float32)
        self.batches = [(part, chance.integers(0, 3, 6)) for part in x]
        self.seed, self.kills_s, self.disk = seed, kills_s, _Disk()
        self.lives: list[int] = []  # steps in each
        self.since: list[int] = []  # steps of the whole run that were safe when it began
        self.params: Any = None

    def fresh(self) -> tuple[_Counting, Adam, Any]:
        async def load(number: int) -> Any:
            await asyncio.sleep(0.02)
            return self.batches[number]

        model = _Counting([3, 4, 3], seed=self.seed)
        data = Pipeline(range(_SHARDS)).shuffle(_SHARDS, seed=self.seed).map(load, concurrency=4)
        return model, Adam(model, lr=0.05), data

    async def unbroken(self) -> Any:
        model, optimizer, data = self.fresh()
        for _ in range(_EPOCHS):
            async for x, y in data:
                model.loss_and_grads(x, y)
                optimizer.step()
        return model.params.copy()

    async def run(self, train_on: Callable[..., Any]) -> None:
        for kill_s in [*self.kills_s, None]:
            model, optimizer, data = self.fresh()
            self.since.append(self.safe)
            work = asyncio.create_task(
                train_on(self.disk, model, optimizer, data, _EPOCHS), name="train_on"
            )
            await asyncio.wait([work], timeout=kill_s)
            is_ended = work.done()
            work.cancel()
            await asyncio.wait([work])
            self.lives.append(model.steps)
            self.params = model.params.copy()
            if is_ended:
                work.result()
            self.judge(is_ended)

    @property
    def safe(self) -> int:
        """How many steps of the whole run the newest checkpoint has."""
        if self.disk.kept is None:
            return 0
        step = self.disk.kept["step"]
        return int(step.epoch * _SHARDS + step.index + 1)

    def judge(self, is_ended: bool) -> None:
        disk, steps, total = self.disk, self.lives[-1], _EPOCHS * _SHARDS
        shown = "`save` was called, and never awaited: nothing was saved."
        demand(
            bool(disk.saved) or not disk.asked,
            "save-not-awaited",
            shown,
            "`await checkpoints.save(...)`.",
        )
        shown = f"it was killed after {steps} steps, and nothing had been saved."
        more = "`await checkpoints.save(step, model, optimizer)`, inside the loop."
        demand(bool(disk.saved), "never-saves", shown, "What can it go on from?", more)
        since, is_first = self.since[-1], len(self.lives) == 1
        shown = f"{since} steps of {total} were safe when it was started again."
        is_known = is_first or bool(disk.restored)
        demand(
            is_known,
            "never-restores",
            shown,
            "Who looks for a checkpoint?",
            "`await checkpoints.restore(model, optimizer)`, first of all.",
        )
        self.judge_saves()
        if is_ended and steps != total - since:
            before = "" if is_first else f"{shown} "
            self.refuse_count(f"{before}The run did {steps} steps, and not {total - since}.")

    def judge_saves(self) -> None:
        wrong = [place for place in self.disk.saved if place[1] % _EVERY != _EVERY - 1]
        more = "`if step.index % 4 == 3:`"
        if wrong:
            shown = f"saved after step {wrong[0][1]} of epoch {wrong[0][0]}."
            if len(self.disk.saved) >= self.lives[-1] - 1 > 2:
                shown = f"{len(self.disk.saved)} saves in {self.lives[-1]} steps."
                why = "Each save costs a copy: after each fourth step is often enough."
                raise Wrong("too-often", shown, why, more)
            raise Wrong("which", shown, "Steps are numbered from 0: the fourth is step 3.", more)
        begun = self.since[-1]
        for done in range(begun, begun + self.lives[-1] - 1):  # it may be killed in the last one
            place = divmod(done, _SHARDS)
            shown = f"nothing was saved after step {place[1]} of epoch {place[0]}."
            is_left = place in self.disk.asked and place not in self.disk.saved
            told = f"the run went on before step {place[1]} of epoch {place[0]} was saved."
            demand(not is_left, "save-left", told, "Who waits for `save`?", "Await it in the loop.")
            is_due = place[1] % _EVERY == _EVERY - 1 and place[0] < _EPOCHS
            why = "After each fourth step of every epoch."
            demand(not is_due or place in self.disk.saved, "rarely", shown, why, more)

    def refuse_count(self, shown: str) -> None:
        total, steps, since = _EPOCHS * _SHARDS, self.lives[-1], self.since[-1]
        if steps == total:
            why = "The weights were put back. Who told `fit` where to go on?"
            raise Wrong("place", shown, why, "`fit(..., resume_from=step)`.")
        if steps < total - since:
            why = "`epochs` is that of the whole run, not of what is left."
            raise Wrong("epochs", shown, why, "Hand on `epochs=epochs` as it is.")
        more = "`fit(..., resume_from=step)` knows the epoch as well as the place in it."
        raise Wrong("count", shown, "Each step of the run is to be done once.", more)


def judge_resume(answer: Callable[..., Any]) -> None:
    """Raise `Wrong`, unless the answer goes on after each kill, to the bit."""
    for seed, kills_s in (1, [0.21]), (2, [0.3, 0.12, 0.09]):
        night = _Night(seed, kills_s)
        play(night.run, answer, of=answer, hints=_RESUME_HINTS)
        is_same = np.array_equal(play(night.unbroken, of=answer).result, night.params)
        shown = "it ended with other weights than the run that was never stopped."
        why = "Are weights, optimiser and place those of one and the same step?"
        demand(is_same, "other", shown, why)
