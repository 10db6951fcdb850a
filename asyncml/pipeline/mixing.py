"""Pipelines as the source of another: one after the other, in turn, or at random by weight.

Which pipeline gives item number n depends on n, the seed, the epoch, and on which pipelines have
ended, so a resumed run makes the same choices. `joined` runs them. Lesson 07 builds the pipelines
that are combined here.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Any

from asyncml.checks import check_int
from asyncml.failures import shorten
from asyncml.pipeline.joined import Joined, Plan, by_pipeline
from asyncml.pipeline.meters import Meter
from asyncml.pipeline.options import check_standing
from asyncml.pipeline.pipeline import Pipeline
from asyncml.pipeline.sources import Joint, Source, check_same
from asyncml.pipeline.stages import is_count
from asyncml.pipeline.standing import Standing


def chain(pipelines: Sequence[Pipeline]) -> Pipeline:
    """Return a pipeline that gives all items of the first of `pipelines`, then of the second, ...

    Each pipeline starts when the one before it has ended. Everything else that `mix` says about
    stages, states and statistics holds here too.

    Args:
        pipelines: at least one. Each runs from its start in every epoch, whatever its position.

    Raises:
        TypeError: `pipelines` is not a list of pipelines.
        ValueError: it is empty.

    Example:
        >>> list(chain([Pipeline("ab"), Pipeline(range(3)).batch(2)]))
        ['a', 'b', [0, 1], [2]]
    """
    return _joined(Plan("chain", _checked("chain", pipelines)))


def mix(
    pipelines: Sequence[Pipeline], *, weights: Sequence[float] | None = None, seed: int = 0
) -> Pipeline:
    """Return a pipeline that takes its items from several others until all of them have ended.

    With `weights`, each item comes from a pipeline drawn at random, in a new order each epoch;
    without, the pipelines take turns. When one ends, the others continue, and their weights keep
    their proportions. All of them load at once, each as far ahead as its own stages allow.

    You can add stages to the result, and mix it again; give nested mixes different seeds. A saved
    state has the position of each pipeline, and a resumed run does not load consumed items again.
    `statistics()` lists the stages of the first pipeline as `0/...`, and so on.

    Args:
        pipelines: at least one. Each runs from its start in every epoch, whatever its position.
        weights: one number > 0 for each pipeline: how often it is drawn, relative to the others.
        seed: an int >= 0 for the random order; it has no effect without `weights`.

    Raises:
        TypeError: `pipelines` is not a list of pipelines, or `weights` not a list of numbers.
        ValueError: `pipelines` is empty, `weights` is of another length, or a number is not > 0.

    Example:
        >>> list(mix([Pipeline("abcd"), Pipeline(range(2))]))
        ['a', 0, 'b', 1, 'c', 'd']
        >>> drawn = list(mix([Pipeline("a" * 300), Pipeline("b" * 300)], weights=[3, 1]).take(200))
        >>> 130 < drawn.count("a") < 170
        True
    """
    members = _checked("mix", pipelines)
    numbers = None if weights is None else _checked_weights(weights, len(members))
    return _joined(Plan("mix", members, numbers, check_int("seed", seed, 0)))


def _joined(plan: Plan) -> Pipeline:
    source: Any = Combined(plan)
    return Pipeline(source)


def _checked(name: str, pipelines: Any) -> tuple[Pipeline, ...]:
    if isinstance(pipelines, Pipeline) or not isinstance(pipelines, Iterable):
        got = shorten(pipelines)
        raise TypeError(f"`{name}` needs a list of pipelines, such as [p, q], got {got}")
    members = tuple(pipelines)
    for member in members:
        if not isinstance(member, Pipeline):
            raise TypeError(f"`{name}` takes pipelines: write Pipeline({shorten(member)})")
    if not members:
        raise ValueError(f"`{name}` needs at least one pipeline, got none")
    return tuple(member._with() for member in members)  # no caller can move their cursors


def _checked_weights(weights: Any, count: int) -> list[float]:
    try:
        numbers = [float(weight) for weight in weights]
    except (TypeError, ValueError):
        raise TypeError(f"`weights` must be a list of numbers, got {shorten(weights)}") from None
    if len(numbers) != count:
        raise ValueError(f"`weights` must be one number for each of {count}, got {len(numbers)}")
    if not all(0 < number < math.inf for number in numbers):
        raise ValueError(f"`weights` must be > 0, got {shorten(weights)}")
    return numbers


class Combined(Source):
    """A plan as the source of a pipeline."""

    is_joint = True
    _is_iterable = True

    def __init__(self, plan: Plan) -> None:
        self.items: Plan = plan
        self.labels = [plan.label]
        self.reorders = any(Standing(p._source, p._stages).reorders for p in plan.pipelines)

    async def open(self, meter: Meter, most: int | None, epoch: int) -> tuple[Joint, Plan]:
        """Return the source for at most `most` items, which `resume` starts, and the plan."""
        return Joined(self.items, meter, most, epoch), self.items

    def knows(self, address: Any) -> bool:
        """Return whether `address` is `[number, pipeline, address inside it]`."""
        number, index, _ = address
        return is_count(number) and is_count(index) and index < self.items.count

    def check(self, number: int, part: Any, wanted: dict[int, Any]) -> None:
        """Raise ValueError if these cannot come from a state."""
        plan = self.items
        if part is None and not number:  # a chain may still hold items of a pipeline that has ended
            part = {"last": 0, "pipelines": {}}
        known = {str(index): None for index in range(plan.count)}
        is_one = isinstance(part, dict) and part.keys() == {"last", "pipelines"}
        is_one = is_one and is_count(part["last"]) and part["last"] < plan.count
        is_one = is_one and isinstance(part["pipelines"], dict)
        if not (is_one and part["pipelines"].keys() <= known.keys()):
            raise ValueError(f"`state` is not that of a {plan.name}: {shorten(part)}")
        again = by_pipeline(wanted)
        for index, pipeline in enumerate(plan.pipelines):
            inner = part["pipelines"].get(str(index))
            if inner is not None:
                check_standing(inner)
                check_same(inner["source"], pipeline._source.identity)
            addresses = [*again.get(index, {}).values()]
            Standing(pipeline._source, pipeline._stages, inner, addresses).check()
