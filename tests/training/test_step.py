"""A step: plain data, whose state is made when it is asked for."""

import copy
import dataclasses
import pickle

import pytest

from asyncml.clock import simulate
from asyncml.pipeline.pipeline import Pipeline, collate
from asyncml.training.step import Step, standing_at
from tests.training.test_fit import Loader, make, steps_of

STATE = {"position": 3}


def lazy(made):
    return standing_at(lambda: made.append(1) or dict(STATE), Step(0, 2, 0.5, 6, 0.1, 0.2))


PLAIN = Step(0, 2, 0.5, 6, 0.1, 0.2, STATE)


@pytest.mark.parametrize(
    "look",
    [
        lambda step: step,
        lambda step: pickle.loads(pickle.dumps(step)),
        copy.copy,
        copy.deepcopy,
        dataclasses.replace,
        lambda step: Step(**dataclasses.asdict(step)),
        lambda step: Step(*dataclasses.astuple(step)),
        lambda step: Step(*[getattr(step, each.name) for each in dataclasses.fields(step)]),
    ],
)
def test_whoever_looks_finds_the_state(look):
    made = []
    assert look(lazy(made)) == PLAIN
    step = lazy(made)
    assert step.pipeline_state is step.pipeline_state
    assert look(step) == PLAIN == look(PLAIN)
    assert len(made) == 2


def test_nobody_looks_and_no_state_is_made():
    made = []
    step = lazy(made)
    assert (repr(step), step.loss, step != 3) == (repr(PLAIN), 0.5, True)
    assert dataclasses.replace(step, pipeline_state=None).pipeline_state is None
    assert made == []


def test_it_stays_what_it_was():
    step = lazy([])
    with pytest.raises(dataclasses.FrozenInstanceError):
        step.pipeline_state = None
    with pytest.raises(AttributeError, match="'Step' object has no attribute 'pipeline'"):
        _ = step.pipeline
    assert not hasattr(step, "__dict__")
    assert Step(0, 2, 0.5, 6, 0.1, 0.2).pipeline_state is None


def test_an_error_of_the_state_is_raised_where_it_is_asked_for():
    def broken():
        raise TypeError("no fingerprint")

    step = standing_at(broken, Step(0, 2, 0.5, 6, 0.1, 0.2))
    for _ in range(2):
        with pytest.raises(TypeError, match="no fingerprint"):
            _ = step.pipeline_state


# what `fit` fills it with


def pipeline(kind=Pipeline):
    rows = [(x, y) for batch in make()[2] for x, y in zip(*batch, strict=True)]
    keys = kind(range(len(rows))).shuffle(5, seed=1)
    return keys.map(rows.__getitem__, executor="inline").batch(6, collate=collate)


def test_asked_for_late_it_is_the_state_after_the_batch():
    async def main():
        model, optimizer, _ = make()
        steps = await steps_of(model, optimizer, pipeline(), epochs=2)
        expected, other = [], pipeline()
        for _ in range(2):
            async for _ in other:
                expected.append(other.state_dict())
        assert [step.pipeline_state for step in steps] == expected

    simulate(main())


class Counting(Pipeline):
    """Counts how often its state is made, by means that `fit` does not see."""

    asked = 0

    def _as_state(self, *args):
        type(self).asked += 1
        return super()._as_state(*args)


def test_of_a_pipeline_it_is_made_for_those_who_ask():
    model, optimizer, _ = make()
    steps = simulate(steps_of(model, optimizer, pipeline(Counting)))
    assert Counting.asked == 0
    assert steps[3].pipeline_state["epoch"] == 0
    assert Counting.asked == 1


class Numbered(Pipeline):
    """Has something to add to the state of a pipeline."""

    number = 0

    def state_dict(self):
        type(self).number += 1
        return {**super().state_dict(), "number": self.number}


class Around:
    """Has the methods of a pipeline, and its own for the state."""

    def __init__(self, inner):
        self.inner, self.number = inner, 0

    def __getattr__(self, name):
        return getattr(self.inner, name)

    def __aiter__(self):
        return aiter(self.inner)

    def state_dict(self):
        self.number += 1
        return {**self.inner.state_dict(), "number": self.number}


@pytest.mark.parametrize("make_data", [lambda: pipeline(Numbered), lambda: Around(pipeline())])
def test_a_state_of_the_callers_own_is_made_at_once(make_data):
    model, optimizer, _ = make()
    Numbered.number = 0
    steps = simulate(steps_of(model, optimizer, make_data()))
    assert [step.pipeline_state["number"] for step in reversed(steps)] == [7, 6, 5, 4, 3, 2, 1]


def test_of_other_data_too():
    model, optimizer, data = make()
    loader = Loader(data)
    steps = simulate(steps_of(model, optimizer, loader))
    loader.position = 99
    assert [step.pipeline_state["position"] for step in steps] == list(range(1, len(data) + 1))
