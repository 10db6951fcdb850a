"""Pipelines as the source of another: one after the other, in turn, or at random by weight.

Each epoch of the whole runs an epoch of each pipeline on the same event loop and takes item after
item out of them. Which pipeline gives item number n depends on n, the seed, the epoch, and on which
pipelines have ended, so a resumed run makes the same choices. The mark of an item says where each
pipeline stood after it: nothing is logged, and no function is called twice. Lesson 07 builds the
pipelines that are combined here.
"""

import asyncio
import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from copy import copy
from typing import Any

import numpy as np

from asyncml.checks import check_int
from asyncml.failures import add_note, shorten
from asyncml.pipeline.epoch import Epoch
from asyncml.pipeline.meters import Meter
from asyncml.pipeline.options import check_standing
from asyncml.pipeline.pipeline import Pipeline
from asyncml.pipeline.sources import Joint, Source, check_same
from asyncml.pipeline.stages import PENDING, Flow, Mark, is_count
from asyncml.pipeline.standing import Standing

_DRAWS = 512  # random numbers made at once
_OF_MIX = 0x6D6978  # another stream of random numbers than that of a shuffle with the same seed


def chain(pipelines: Sequence[Pipeline]) -> Pipeline:
    """Return a pipeline that gives all items of the first of `pipelines`, then of the second, ...

    A pipeline of the chain starts when the one before it has ended. Everything else that `mix` says
    about stages, states and statistics holds here too.

    Args:
        pipelines: at least one. Each is run afresh in each epoch, wherever its own cursor stands.

    Raises:
        TypeError: `pipelines` is not a list of pipelines.
        ValueError: it is empty.

    Example:
        >>> list(chain([Pipeline("ab"), Pipeline(range(3)).batch(2)]))
        ['a', 'b', [0, 1], [2]]
    """
    return _joined(Plan("chain", pipelines))


def mix(
    pipelines: Sequence[Pipeline], *, weights: Sequence[float] | None = None, seed: int = 0
) -> Pipeline:
    """Return a pipeline that takes its items from several others until all of them have ended.

    With `weights`, each item comes from a pipeline drawn at random, in a new order each epoch;
    without, the pipelines take turns. When one ends, the others go on, and their weights keep their
    proportions. All of them load at once, each as far ahead as its own stages allow.

    The result can have stages, and can be mixed again; give nested mixes different seeds. A saved
    state says where each pipeline stands, and a resumed run does not load consumed items again.
    `statistics()` lists the stages of the first pipeline as `0/...`, and so on.

    Args:
        pipelines: at least one. Each is run afresh in each epoch, wherever its own cursor stands.
        weights: one number > 0 for each pipeline: how often it is drawn, relative to the others.
        seed: an int >= 0 for the random order; without `weights` it changes nothing.

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
    return _joined(Plan("mix", pipelines, weights, check_int("seed", seed, 0)))


def _joined(plan: "Plan") -> Pipeline:
    source: Any = Combined(plan)
    return Pipeline(source)


class Plan:
    """Which pipelines are combined, and how: what a combined source iterates."""

    def __init__(
        self,
        name: str,
        pipelines: Sequence[Pipeline],
        weights: Sequence[float] | None = None,
        seed: int = 0,
    ) -> None:
        self.name = name
        self.pipelines = _checked(name, pipelines)
        self.weights = None if weights is None else _checked_weights(weights, len(self.pipelines))
        self.seed = seed
        self.count = len(self.pipelines)
        self.is_chain = name == "chain"

    def __len__(self) -> int:
        return sum(map(len, self.pipelines))

    def __repr__(self) -> str:
        return f"{self.name}({list(self.pipelines)}{self._options()})"

    def _options(self) -> str:
        return "" if self.weights is None else f", weights={self.weights}, seed={self.seed}"

    @property
    def label(self) -> str:
        """All that a saved state depends on, but for the sources."""
        pipelines = (" -> ".join(pipeline._labels()) or "source" for pipeline in self.pipelines)
        return f"{self.name}([{', '.join(pipelines)}]{self._options()})"

    def orders(self, epoch: int, number: int) -> Callable[[int], Iterable[int]]:
        """Return a function that is called for each item from `number` on.

        It is given the last pipeline, and returns in which order they are asked: the first that has
        not ended gives the item. So it makes no difference when somebody found out that one had.
        """
        count = self.count
        if self.is_chain:
            return lambda last: range(max(last, 0), count)
        if self.weights is None:
            return lambda last: itertools.chain(range(last + 1, count), range(last + 1))
        rows = self._rows(epoch, number)
        return lambda last: next(rows)

    def _rows(self, epoch: int, number: int) -> Iterator[list[int]]:
        """Yield for each item a random order of all pipelines; heavy ones tend to come first.

        Each one waits for a time that is exponentially distributed, at the rate of its weight, and
        the first to come is number i with the probability weights[i] / sum(weights): also among any
        part of them (Efraimidis and Spirakis, "Weighted random sampling with a reservoir", 2006).
        """
        bits = np.random.PCG64([self.seed, epoch, _OF_MIX])
        bits.advance(number * self.count)  # one draw of 64 bits each
        generator = np.random.Generator(bits)
        shape = max(1, _DRAWS // self.count), self.count
        while True:
            waits = -np.log1p(-generator.random(shape)) / self.weights
            yield from waits.argsort(axis=1, kind="stable").tolist()


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
    return tuple(member._with() for member in members)  # with no cursor that somebody could move


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
    """A plan, as what a pipeline iterates."""

    is_joint = True
    _is_iterable = True

    def __init__(self, plan: Plan) -> None:
        self.items: Plan = plan
        self.labels = [plan.label]
        self.reorders = any(Standing(p._source, p._stages).reorders for p in plan.pipelines)

    async def open(self, meter: Meter, most: int | None, epoch: int) -> tuple[Joint, Plan]:
        """Return what `resume` begins to iterate, for at most so many items, and the plan."""
        return Joined(self.items, meter, most, epoch), self.items

    def knows(self, address: Any) -> bool:
        """Whether it is `[number, pipeline, address there]`."""
        number, index, _ = address
        return is_count(number) and is_count(index) and index < self.items.count

    def check(self, number: int, part: Any, wanted: dict[int, Any]) -> None:
        """Raise ValueError where these cannot come from a state."""
        plan = self.items
        if part is None and not number:  # of a chain, held items may be of one that is over
            part = {"last": 0, "pipelines": {}}
        known = {str(index): None for index in range(plan.count)}
        is_one = isinstance(part, dict) and part.keys() == {"last", "pipelines"}
        is_one = is_one and is_count(part["last"]) and part["last"] < plan.count
        is_one = is_one and isinstance(part["pipelines"], dict)
        if not (is_one and part["pipelines"].keys() <= known.keys()):
            raise ValueError(f"`state` is not that of a {plan.name}: {shorten(part)}")
        again = _by_pipeline(wanted)
        for index, pipeline in enumerate(plan.pipelines):
            inner = part["pipelines"].get(str(index))
            if inner is not None:
                check_standing(inner)
                check_same(inner["source"], pipeline._source.identity)
            addresses = [*again.get(index, {}).values()]
            Standing(pipeline._source, pipeline._stages, inner, addresses).check()


def _by_pipeline(wanted: dict[int, Any]) -> dict[int, dict[int, Any]]:
    """Sort addresses: for each pipeline the addresses there, by the number of the item."""
    again: dict[int, dict[int, Any]] = {}
    for number, index, address in wanted.values():
        again.setdefault(index, {})[number] = address
    return again


class Joined:
    """A plan in one epoch: an epoch of each pipeline, and whose turn it is.

    The mark of an item is `[number, pipeline, marks]`; `marks` has the mark of the last item of
    each pipeline that has given one since the epoch was begun or resumed.

    Args:
        plan: what is combined.
        meter: counts the items.
        most: how many items are wanted at most.
        epoch: the number of the epoch.
    """

    def __init__(self, plan: Plan, meter: Meter, most: int | None, epoch: int) -> None:
        self._plan = plan
        self._meter = meter
        self._most = most
        self._epoch = epoch
        self._number = 0  # of the next item
        self._last = -1  # which pipeline gave the one before
        self._base: dict[str, Any] = {}  # states of the pipelines when the epoch was resumed
        self._epochs: dict[int, Epoch] = {}
        self._over: set[int] = set()
        self._closed = False
        self._starting: asyncio.Task[Epoch] | None = None
        self._asked: Callable[[Callable[[], None]], None] | None = None

    # the beginning

    async def resume(self, number: int, part: Any, wanted: dict[int, Any]) -> dict[int, Any]:
        """Start the pipelines where they stood; return items wanted, made again, by their number.

        Of a chain only the one whose turn it is, and those whose items are wanted.
        """
        if part is not None:
            self._number, self._last, self._base = number, part["last"], part["pipelines"]
        again, made = _by_pipeline(wanted), dict[int, Any]()
        begun = {max(self._last, 0)} if self._plan.is_chain else {*range(self._plan.count)}
        for index in sorted(begun | again.keys()):
            if self._closed:  # as the one before was opened
                break
            numbers = [*again.get(index, ())]
            epoch = await self._begin(index, again.get(index, {}))
            made |= {numbers[place]: value for value, place in epoch.remade}
            epoch.remade.clear()
            if index not in begun:
                epoch.stop()
        return made

    async def _begin(self, index: int, again: dict[int, Any]) -> Epoch:
        pipeline, state = self._plan.pipelines[index], self._base.get(str(index))
        standing = Standing(pipeline._source, pipeline._stages, state, [*again.values()])
        failures, pools = self._meter.failures, pipeline._pools
        epoch = Epoch(standing, self._epoch, failures=failures, pools=pools)
        self._epochs[index] = epoch
        try:
            await epoch.start()
        except Exception as error:
            self._note(error, index)
            raise
        return epoch

    def _note(self, error: Exception, index: int) -> None:
        add_note(error, f"in pipeline {index} of a {self._plan.name}")

    # items

    def __iter__(self) -> Flow:
        meter, epochs, over = self._meter, self._epochs, self._over
        number, last = self._number, self._last
        order = self._plan.orders(self._epoch, number)
        marks: dict[int, Mark] = {}
        self.room()
        while number != self._most:
            for index in order(last):
                if index in over:
                    continue
                if index not in epochs:
                    yield from self._wait_for(index)
                try:
                    for entry in epochs[index].flow:
                        if entry[1] is not None:
                            break
                        self._asked = epochs[index].notify
                        yield entry
                    else:
                        self._end(index)
                        marks = {} if self._plan.is_chain else marks
                        continue
                except Exception as error:
                    self._note(error, index)
                    raise
                break
            else:
                return
            marks[index] = entry[1]
            meter.items += 1
            yield entry[0], [number, index, marks.copy()]
            number, last = number + 1, index

    def _wait_for(self, index: int) -> Flow:
        """Start the next pipeline of a chain, in a task, since the flow cannot await."""
        name = f"{self._plan.name}-{index}"
        task = asyncio.get_running_loop().create_task(self._begin(index, {}), name=name)
        task.add_done_callback(lambda task: task.cancelled() or task.exception())  # it is heard of
        self._starting = task
        self._asked = lambda callback: task.add_done_callback(lambda _: callback())
        while not task.done():
            yield PENDING
        task.result()

    def _end(self, index: int) -> None:
        self._over.add(index)
        self._epochs[index].look_back()
        self._epochs[index].stop()

    # what the stages below ask of a source

    def room(self) -> None:
        """Let the pipelines run ahead, also those whose turn has not come."""
        for epoch in self._epochs.values():
            if not epoch.closed:
                epoch.room()

    def notify(self, callback: Callable[[], None]) -> None:
        """Call back once, as soon as the pipeline whose turn it is has something."""
        assert self._asked is not None
        self._asked(callback)

    def halt(self) -> None:
        """Let no pipeline begin anything more."""
        for epoch in self._epochs.values():
            epoch.halt()

    @property
    def tasks(self) -> set[asyncio.Task[Any]]:
        """Those of all pipelines, and the one that starts the next of a chain."""
        tasks = {task for epoch in self._epochs.values() for task in epoch.tasks()}
        return tasks | ({self._starting} if self._starting else set())

    def close(self) -> None:
        """Stop all pipelines, even where the clean-up of one fails."""
        self._closed = True
        if self._starting:
            self._starting.cancel()
        with ExitStack() as stack:
            for epoch in self._epochs.values():
                stack.callback(epoch.stop)

    def raise_failure(self) -> None:
        """Let go of all pipelines, and raise what went wrong as their sources were closed."""
        with ExitStack() as stack:
            for epoch in self._epochs.values():
                stack.callback(epoch.let_go)

    # where it stands

    def address(self, mark: Mark) -> list[Any]:
        """Return the number of an item, its pipeline, and its address there."""
        number, index, marks = mark
        return [number, index, self._epochs[index].standing.address(marks[index])]

    def state(self, mark: Mark) -> dict[str, Any]:
        """Return which pipeline gave an item, and where each of them stood after it."""
        _, last, marks = mark
        first = last if self._plan.is_chain else 0  # those of a chain before that are over
        states = {index: state for index, state in self._base.items() if int(index) >= first}
        for index, inner in marks.items():
            states[str(index)] = self._epochs[index].standing.state(inner)
        return {"last": last, "pipelines": states}

    def meters(self) -> list[Meter]:
        """Return the counts of all pipelines, each named after its pipeline."""
        meters = []
        for index, epoch in list(self._epochs.items()):  # another thread may begin one meanwhile
            for meter in map(copy, epoch.meters()):
                meter.label = f"{index}/{meter.label}"
                meters.append(meter)
        return meters
