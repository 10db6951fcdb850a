"""Judges a snapshot from which a training run resumes, exact to the bit; for lesson 09."""

from collections.abc import Callable
from typing import Any

import numpy as np

from asyncml.course.exercises import Wrong, answers
from asyncml.course.exercises.feeders import called
from asyncml.course.exercises.scenes import demand, play
from asyncml.network.optimizers import SGD, Adam, Optimizer
from asyncml.network.sequential import MLP
from asyncml.pipeline.pipeline import Pipeline

_FORGOTTEN = {
    "params": "What has the training learnt so far?",
    "optimizer": "The next step depends on what the optimiser remembers: `optimizer.state()`.",
    "data": "Which batches come next, and in which order? `pipeline.state_dict()` knows.",
}


class _Course:
    """A small training run that can be stopped after any step."""

    def __init__(self, seed: int) -> None:
        chance = np.random.default_rng(seed)
        x = chance.standard_normal((8, 4, 3)).astype(np.float32)
        batches = [(part, chance.integers(0, 3, 4)) for part in x]
        self.model = MLP([3, 4, 3], seed=seed)
        adam, sgd = Adam(self.model, lr=0.05), SGD(self.model, lr=0.05, momentum=0.9)
        self.optimizer: Optimizer = adam if seed == 1 else sgd
        self.pipeline = Pipeline(batches).shuffle(8, seed=seed)

    async def steps(self) -> Any:
        for _ in range(2):  # the rest of this epoch, and the next one
            async for x, y in self.pipeline:
                self.model.loss_and_grads(x, y)
                self.optimizer.step()
                yield


def judge_snapshot(answer: Any) -> None:
    """Raise `Wrong` for a snapshot that lacks something or that later steps change."""
    hints = called("snapshot(model, optimizer, pipeline)")
    for seed, stop_after in (1, 5), (2, 3):
        play(_interrupt, answer, seed, stop_after, of=answer, hints=hints)


async def _interrupt(snapshot: Callable[..., Any], seed: int, stop_after: int) -> None:
    course, again, done, kept = _Course(seed), _Course(seed), 0, None
    async for _ in course.steps():
        done += 1
        if done == stop_after:
            before = course.model.params.copy()
            kept = snapshot(course.model, course.optimizer, course.pipeline)
            is_same = np.array_equal(before, course.model.params)
            demand(is_same, "changed", "taking the snapshot has changed the model.")
            _judge_parts(kept, course)
    try:
        again.model.params = kept["params"]  # type: ignore[index]
        for name, array in again.optimizer.state().items():
            array[...] = kept["optimizer"][name]  # type: ignore[index]
        again.pipeline.load_state_dict(kept["data"])  # type: ignore[index]
    except (TypeError, ValueError) as error:
        text = str(error).partition("\n")[0]
        raise Wrong("not-whole", f"it could not be put back: {text}.") from None
    async for _ in again.steps():
        pass
    shown = "a run that goes on from it ends with other weights than one that never stopped."
    why = "Are the values those of the moment when the snapshot was taken?"
    demand(np.array_equal(course.model.params, again.model.params), "other", shown, why)


def _judge_parts(kept: Any, course: _Course) -> None:
    answers.demand_returned(kept)
    shown = f"it returned {type(kept).__name__}, not a dict with the keys "
    demand(isinstance(kept, dict), "kind", f"{shown}{', '.join(_FORGOTTEN)}.")
    for key, why in _FORGOTTEN.items():
        is_there, shown = kept.get(key) is not None, f"there is nothing under the key {key!r}."
        demand(is_there, f"{key}-forgotten", shown, why)
    live, found, params = course.optimizer.state(), kept["optimizer"], kept["params"]
    shown = f"`params` is of type {type(params).__name__}, not an array."
    demand(isinstance(params, np.ndarray), "kind", shown)
    has_names = isinstance(found, dict) and set(found) == set(live)
    shown = f"`optimizer` does not hold the arrays {', '.join(sorted(live))}."
    why = "`optimizer.state()` returns a dictionary of arrays: keep all of them, by their names."
    demand(has_names, "optimizer-kind", shown, why)
    shown = "`params` is the model's own array: the next step changes the snapshot as well."
    why = "Another name is not a copy. What makes a copy of an array?"
    is_own = not np.shares_memory(params, course.model.params)
    demand(is_own, "reference", shown, why, "`model.params.copy()`.")
    is_own = not any(np.shares_memory(found[name], array) for name, array in live.items())
    shown = "`optimizer` holds the optimiser's own arrays: the next step changes them as well."
    why = "A copy of the dictionary still holds the same arrays."
    more = "Copy each: `{name: array.copy() for name, array in optimizer.state().items()}`."
    demand(is_own, "reference-optimizer", shown, why, more)
