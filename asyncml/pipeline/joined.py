"""Several pipelines in one epoch: whose turn it is, and the position of each.

An epoch of the whole runs an epoch of each pipeline on the same event loop and takes item after
item from them. The mark of an item says where each pipeline stood after it, so nothing is logged
and no function is called twice. Lesson 07 builds the pipelines that are combined here.
"""

import asyncio
import itertools
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from copy import copy
from typing import Any

import numpy as np

from asyncml.failures import add_note
from asyncml.pipeline.epoch import Epoch
from asyncml.pipeline.meters import Meter
from asyncml.pipeline.pipeline import Pipeline
from asyncml.pipeline.stages import PENDING, Flow, Mark
from asyncml.pipeline.standing import Standing

_DRAWS = 512  # random numbers made at once
_OF_MIX = 0x6D6978  # keeps these random numbers apart from those of a shuffle with the same seed


class Plan:
    """The pipelines that a combined source iterates, and how it combines them."""

    def __init__(
        self,
        name: str,
        pipelines: tuple[Pipeline, ...],
        weights: list[float] | None = None,
        seed: int = 0,
    ) -> None:
        self.name, self.pipelines = name, pipelines
        self.weights, self.seed = weights, seed
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
        """Everything that a saved state depends on, except the sources."""
        pipelines = (" -> ".join(pipeline._labels()) or "source" for pipeline in self.pipelines)
        return f"{self.name}([{', '.join(pipelines)}]{self._options()})"

    def orders(self, epoch: int, number: int) -> Callable[[int], Iterable[int]]:
        """Return a function to be called for each item from `number` on.

        It takes the index of the pipeline that gave the previous item and returns the order in
        which to ask the pipelines: the first that has not ended gives the item. So it makes no
        difference when the end of a pipeline is noticed.
        """
        count = self.count
        if self.is_chain:
            return lambda last: range(max(last, 0), count)
        if self.weights is None:
            return lambda last: itertools.chain(range(last + 1, count), range(last + 1))
        rows = self._rows(epoch, number)
        return lambda last: next(rows)

    def _rows(self, epoch: int, number: int) -> Iterator[list[int]]:
        """Yield a random order of all pipelines for each item; heavier ones tend to come first.

        Each pipeline draws an exponentially distributed waiting time, at the rate of its weight.
        Pipeline i has the shortest with probability weights[i] / sum(weights), and the same holds
        in any subset (Efraimidis and Spirakis, "Weighted random sampling with a reservoir", 2006).
        """
        bits = np.random.PCG64([self.seed, epoch, _OF_MIX])
        bits.advance(number * self.count)  # one draw of 64 bits each
        generator = np.random.Generator(bits)
        shape = max(1, _DRAWS // self.count), self.count
        while True:
            waits = -np.log1p(-generator.random(shape)) / self.weights
            yield from waits.argsort(axis=1, kind="stable").tolist()


def by_pipeline(wanted: dict[int, Any]) -> dict[int, dict[int, Any]]:
    """Group addresses by pipeline: for each one, its own addresses by the number of the item."""
    again: dict[int, dict[int, Any]] = {}
    for number, index, address in wanted.values():
        again.setdefault(index, {})[number] = address
    return again


class Joined:
    """A plan in one epoch: an epoch of each pipeline, and whose turn it is.

    The mark of an item is `[number, pipeline, marks]`; `marks` has the mark of the last item of
    each pipeline that has given one since the epoch began or was resumed.

    Args:
        plan: the pipelines to combine, and how.
        meter: counts the items.
        most: how many items are needed at most; None for no limit.
        epoch: the number of the epoch.
    """

    def __init__(self, plan: Plan, meter: Meter, most: int | None, epoch: int) -> None:
        self._plan = plan
        self._meter = meter
        self._most = most
        self._epoch = epoch
        self._number = 0  # of the next item
        self._last = -1  # the pipeline that gave the previous item
        self._base: dict[str, Any] = {}  # states of the pipelines when the epoch was resumed
        self._epochs: dict[int, Epoch] = {}
        self._over: set[int] = set()
        self._closed = False
        self._starting: asyncio.Task[Epoch] | None = None
        self._asked: Callable[[Callable[[], None]], None] | None = None

    # the beginning

    async def resume(self, number: int, part: Any, wanted: dict[int, Any]) -> dict[int, Any]:
        """Start the pipelines at their positions; return the wanted items, remade, by their number.

        Of a chain, start only the pipeline whose turn it is and those whose items are wanted.
        """
        if part is not None:
            self._number, self._last, self._base = number, part["last"], part["pipelines"]
        again, made = by_pipeline(wanted), dict[int, Any]()
        begun = {max(self._last, 0)} if self._plan.is_chain else {*range(self._plan.count)}
        for index in sorted(begun | again.keys()):
            if self._closed:  # while the previous one was opened
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
        """Start a chain's next pipeline in a task, since the flow cannot await; yield PENDING."""
        name = f"{self._plan.name}-{index}"
        task = asyncio.get_running_loop().create_task(self._begin(index, {}), name=name)
        task.add_done_callback(lambda task: task.cancelled() or task.exception())  # retrieve it
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
        """Let the pipelines run ahead, including those whose turn has not come."""
        for epoch in self._epochs.values():
            if not epoch.closed:
                epoch.room()

    def notify(self, callback: Callable[[], None]) -> None:
        """Call `callback` once, as soon as the pipeline whose turn it is has something."""
        assert self._asked is not None
        self._asked(callback)

    def halt(self) -> None:
        """Let no pipeline start anything more."""
        for epoch in self._epochs.values():
            epoch.halt()

    @property
    def tasks(self) -> set[asyncio.Task[Any]]:
        """The tasks of all pipelines, and the task that starts the next pipeline of a chain."""
        tasks = {task for epoch in self._epochs.values() for task in epoch.tasks()}
        return tasks | ({self._starting} if self._starting else set())

    def close(self) -> None:
        """Stop all pipelines, even if the clean-up of one fails."""
        self._closed = True
        if self._starting:
            self._starting.cancel()
        with ExitStack() as stack:
            for epoch in self._epochs.values():
                stack.callback(epoch.stop)

    def raise_failure(self) -> None:
        """Release all pipelines; raise any error from closing their sources."""
        with ExitStack() as stack:
            for epoch in self._epochs.values():
                stack.callback(epoch.let_go)

    # position

    def address(self, mark: Mark) -> list[Any]:
        """Return the number of an item, its pipeline, and its address there."""
        number, index, marks = mark
        return [number, index, self._epochs[index].standing.address(marks[index])]

    def state(self, mark: Mark) -> dict[str, Any]:
        """Return which pipeline gave an item, and the state of each pipeline after it."""
        _, last, marks = mark
        first = last if self._plan.is_chain else 0  # earlier pipelines of a chain have ended
        states = {index: state for index, state in self._base.items() if int(index) >= first}
        for index, inner in marks.items():
            states[str(index)] = self._epochs[index].standing.state(inner)
        return {"last": last, "pipelines": states}

    def meters(self) -> list[Meter]:
        """Return the meters of all pipelines, each labelled with the index of its pipeline."""
        meters = []
        for index, epoch in list(self._epochs.items()):  # another thread may start one meanwhile
            for meter in map(copy, epoch.meters()):
                meter.label = f"{index}/{meter.label}"
                meters.append(meter)
        return meters
