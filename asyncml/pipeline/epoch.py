"""One running epoch of a pipeline: the chain of its stages, its position, and its end.

The epoch owns every task and every pool of its stages. When it ends it cancels and awaits the tasks
and closes the pools. Lesson 07 shows a resumed run.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import chain
from typing import Any, cast

from asyncml.clocks import clock_of
from asyncml.internals import running_loop
from asyncml.pipeline.engine import Above, Ready, Window, Work
from asyncml.pipeline.held import Held
from asyncml.pipeline.map import Map
from asyncml.pipeline.meters import Meter, summarise
from asyncml.pipeline.pools import Pools
from asyncml.pipeline.retrying import LOGGED, FailedItem
from asyncml.pipeline.sources import Joint, Opened
from asyncml.pipeline.stages import (
    END,
    PAUSED,
    Context,
    Entry,
    Flatten,
    Flow,
    Stage,
    leaf,
    needed,
    numbered,
)
from asyncml.pipeline.standing import Standing
from asyncml.pipeline.statistics import PipelineStatistics
from asyncml.pipeline.streams import Streams, StreamVisits
from asyncml.pipeline.visits import Visits

# how an epoch ends for its consumer: it has received all items, or abandoned the epoch before that
FINISHED, LEFT = "finished", "left"


class Epoch:
    """One pass through the stages, from a given position.

    Args:
        standing: the source, the stages, and the position to start from.
        number: the number of this epoch; a shuffle depends on it.
        before: the previous epoch, which ends when this one starts.
        failures: collects the items that are skipped or replaced.
        pools: process pools that are kept for the next epoch.
    """

    def __init__(
        self,
        standing: Standing,
        number: int,
        *,
        before: "Epoch | None" = None,
        failures: deque[FailedItem] | None = None,
        pools: Pools | None = None,
    ) -> None:
        self.number = number
        self.end = ""  # for its consumer: FINISHED, LEFT, or the reason why something else ended it
        self.closed = False  # whether its stages have been stopped, which may be later than `end`
        self.standing = standing
        self.waited_s = 0.0
        self.flow: Flow = iter(())
        self._before = before
        self._failures = deque[FailedItem](maxlen=LOGGED) if failures is None else failures
        advice = "its items come slowly: list them, or read ahead"
        self._meters = [Meter("source", advice=advice, failures=self._failures)]
        self._windows: list[Opened | Window] = []  # the source, and the stages that wait
        self._joint: Joint | None = None  # the source, if it is made of pipelines
        self._pools = pools
        self.remade: list[Entry] = []  # items of `standing.again`, with their indices there
        self._top: Window | None = None  # the window that `flow` reads from directly, if it does
        self._kept: dict[int, Any] = {}
        self._ready: Above | None = None
        self.time: Callable[[], float] = lambda: 0.0  # the loop's clock, in seconds, once it runs
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiter: asyncio.Future[None] | None = None
        self.began_s = 0.0
        self._ended_s: float | None = None

    @property
    def begun(self) -> bool:
        """Whether an item has been asked for."""
        return self._loop is not None

    async def arrived(self, entry: Entry) -> Entry:
        """Return the next item, given what the flow has just yielded; END if there is none.

        Every caller asks the flow itself and passes on the answer: mostly that is an item already,
        and nothing has to be awaited.
        """
        while entry[1] is None and entry is not END:
            if entry is PAUSED:
                await asyncio.sleep(0)
            else:
                assert self._ready is not None
                await self.wait(self._ready)
            entry = END if self.closed else next(self.flow, END)
        return entry

    async def wait(self, ready: Ready) -> None:
        """Wait until `ready` says that it is worth asking again."""
        if self.closed:  # by a function that the flow has just called
            return
        assert self._loop is not None
        self._waiter = self._loop.create_future()
        ready.notify(partial(_wake, self._waiter))
        await self._waiter

    # the beginning
    #
    # A resumed epoch is restored from the top down. The keys consumed before are skipped without
    # any call. The state of a stage that held items has their addresses: `Standing.wanted` traces
    # these to the keys that they were made from, `_skip` keeps those keys as it passes them, and
    # `_rebuild` sends them down through the stages again, each of which picks the very items that
    # were held from those that it makes. They reach their stage as `context.first`, before anything
    # new, with their addresses as their marks. A parent of which `flat_map` delivered only a part
    # is restored in the same way: it is made again as a whole, and its first items are skipped.

    async def start(self) -> None:
        """Build the chain of stages and bring it to its starting position."""
        self._loop = loop = asyncio.get_running_loop()
        self.time = clock_of(loop)  # asking the loop itself would cost three times as much
        self.began_s = self.time()
        while self._before:  # several, if an iterator was made and not used
            await self._before.aclose()
            self._before = self._before._before
        if self.closed:
            return
        await self._open()
        for place, stage in zip(self.standing.places, self.standing.keys, strict=False):
            self._attach(stage, Context(self.number, place, None, self._meter(stage), self.time))
        if self.standing.keys:
            self.flow, self._top = numbered(self.flow), None
        await self._skip()
        stages = self.standing.stages
        for level, stage in enumerate(stages):
            await self._resume(level, stage)
        self.remade = await self._rebuild(len(stages), self.standing.again)
        self._kept.clear()
        if self.closed:  # in the meantime
            self._stop()

    async def _open(self) -> None:
        own, most = self.standing.source, needed(self.standing.all_stages)
        opened = own.open(self._meters[0], most, self.number)
        source, iterated = await opened
        self._windows.append(source)
        if own.is_joint:
            self._joint = cast(Joint, source)
        self.standing.open(iterated, self._joint)
        self.flow, self._ready = iter(source), source
        self._top = source if isinstance(source, Window) else None

    def _meter(self, stage: Stage) -> Meter:
        slots, advice = (stage.slots, stage.advice) if isinstance(stage, Map) else (1, "")
        on_loop = isinstance(stage, Map) and stage.on_loop
        meter = Meter(stage.label, slots, advice, on_loop=on_loop, failures=self._failures)
        self._meters.append(meter)
        return meter

    def _attach(self, stage: Stage, context: Context) -> None:
        if isinstance(stage, Map) and not stage.inline:
            assert self._ready is not None
            context.pools = self._pools
            work = _kind(stage)(stage, self.flow, self._ready, context)
            self._ready = work
            self._windows.append(work)
            self.flow = iter(work)
            self._top = work
        else:
            if self._top:  # in a copy: contexts outlive the epoch, and its windows must not
                context = replace(context, drain=self._top.drain)
            self.flow = stage.flow(self.flow, context)
            self._top = None

    async def _skip(self) -> None:
        """Skip the keys consumed before, and keep those whose items a stage still held."""
        (position, parts), wanted = self.standing.base, self.standing.wanted()
        if self._joint:
            self._kept = await self._joint.resume(position, parts.get("source"), wanted)
            return
        again: list[Entry] = []  # a stage may hold some of a key's items and still need the rest
        passed = 0
        while passed < position or wanted:
            entry = await self.arrived(next(self.flow, END))
            if entry is END and self.closed:
                return
            if entry is END:
                raise ValueError(
                    f"the source ended after {passed} items, but the state that was loaded "
                    f"stands at {position}: load it into a pipeline over the same source"
                )
            if passed in wanted:
                del wanted[passed]
                self._kept[passed] = entry[0]
            if passed >= position:
                again.append(entry)
            passed += 1
        if again:
            self.flow, self._top = chain(again, self.flow), None

    async def _resume(self, level: int, stage: Stage) -> None:
        standing, meter = self.standing, self._meter(stage)
        where = standing.place(level), standing.part(level)
        context = Context(self.number, *where, meter, self.time, standing.addresses[level])
        held = standing.held(level)
        first = await self._rebuild(level, held["held"])
        context.first = [(value, held["held"][index]) for value, index in first]
        if stage.reorders:
            context.held = Held([address for _, address in context.first], held["given"])
        standing.contexts.append(context)
        self._attach(stage, context)

    async def _rebuild(self, level: int, addresses: list[Any]) -> list[Entry]:
        """Remake the items with these addresses, as they came out of the stage above `level`."""
        if not level:
            kept = enumerate(map(leaf, addresses))
            return [(self._kept[key], index) for index, key in kept if key in self._kept]
        stage, above = self.standing.stages[level - 1], partial(self._rebuild, level - 1)
        if not isinstance(stage, Map) or stage.kind in ("filter", "prefetch") or not addresses:
            return await stage.rebuild(addresses, above)
        entries = await above(addresses)
        main = self.flow, self._ready, self._top
        context = Context(self.number, -1, None, Meter(stage.label), self.time)
        self.flow = iter(entries)
        again = replace(stage, ordered=True)
        self._attach(again, context)
        if stage.kind == "flat_map":
            self.flow = Flatten().flow(self.flow, context)
        made = []
        while (entry := await self.arrived(next(self.flow, END))) is not END:
            made.append(entry)
        if not again.inline:
            self._windows[-1].close()
        self.flow, self._ready, self._top = main
        if stage.kind != "flat_map":
            return made
        parents: dict[int, list[Any]] = {}
        for item, (index, *_) in made:
            parents.setdefault(index, []).append(item)
        return [(items, index) for index, items in parents.items()]

    # statistics

    def meters(self) -> list[Meter]:
        """Return the meters of the source, of the pipelines inside it, and of the stages."""
        inner = self._joint.meters() if self._joint else []
        return [self._meters[0], *inner, *self._meters[1:]]

    def statistics(self) -> PipelineStatistics:
        """Return the statistics of each stage so far."""
        now = self.time() if self._ended_s is None else self._ended_s
        failures = tuple(self._failures)
        return summarise(self.meters(), now - self.began_s, self.waited_s, failures)

    # the end

    def look_back(self) -> None:
        """Raise a stage's last error if more of its items have failed than it allows."""
        is_whole = self.standing.base == (0, {})
        for stage, meter in zip(self.standing.all_stages, self._meters[1:], strict=False):
            if isinstance(stage, Map):
                stage.ended(meter, is_whole=is_whole)

    def finish(self) -> None:
        """Record that the consumer has received all items, unless the epoch was ended before."""
        self.end = self.end or FINISHED

    def leave(self) -> None:
        """Record that the consumer has abandoned the epoch, unless it has finished."""
        if self.end != FINISHED:
            self.end = LEFT

    def supersede(self, why: str) -> None:
        """End at once; the next step of an unfinished iteration raises an error that says why."""
        self.end = self.end or why
        self.stop()

    def check(self) -> None:
        """Raise RuntimeError if something else ended the epoch before its consumer did."""
        if self.end not in ("", FINISHED, LEFT):
            raise RuntimeError(self.end)

    def stop(self) -> None:
        """Stop the stages, from any thread; `aclose` waits until no task is left."""
        if self._loop is not None and self._loop is not running_loop():
            with contextlib.suppress(RuntimeError):  # that loop is closed
                self._loop.call_soon_threadsafe(self._stop)
                return
        self._stop()

    def _stop(self) -> None:
        if not self.closed and self._loop:
            self._ended_s = self.time()
        self.closed = True
        self.flow = iter(())
        if self._waiter and self._loop and not self._loop.is_closed():
            _wake(self._waiter)
        for window in self._windows[::-1]:  # the source comes last: its own clean-up may fail
            window.close()

    async def aclose(self) -> None:
        """End the epoch and return when no task is left; then re-raise any cancellation."""
        if self._loop is not running_loop():
            self.stop()  # it runs in another thread, or its loop is gone
            return
        try:
            self._stop()
        finally:
            await self._rest()

    async def _rest(self) -> None:
        cancelled = None
        while left := self.tasks():
            try:
                await asyncio.wait(left)
            except asyncio.CancelledError as error:
                cancelled = error
        if cancelled is None:
            self.let_go()
            return
        with contextlib.suppress(Exception):
            self.let_go()
        try:
            raise cancelled
        finally:
            del cancelled  # its traceback holds this frame

    def tasks(self) -> set[asyncio.Task[Any]]:
        """Return the tasks that are still running."""
        tasks = chain.from_iterable(window.tasks for window in self._windows)
        return {task for task in tasks if not task.done()}

    def let_go(self) -> None:
        """Release everything that the stages hold; raise any error from closing the source."""
        windows, self._windows, self._ready, self._top = self._windows, [], None, None
        for window in windows:  # from Python 3.12 on a cancelled task keeps its traceback, whose
            window.tasks.clear()  # frames hold the window and the epoch
        if windows:
            cast(Opened, windows[0]).raise_failure()

    # for a source made of pipelines, which runs their epochs

    def room(self) -> None:
        """Let the stage that runs ahead start; otherwise it waits until it is first asked."""
        last = self._windows[-1]
        if isinstance(last, Window):
            last.room()
        elif self._joint:
            self._joint.room()

    def notify(self, callback: Callable[[], None]) -> None:
        """Call `callback` once, as soon as it is worth asking the flow again."""
        assert self._ready is not None
        self._ready.notify(callback)

    def halt(self) -> None:
        """Take in no more items: none will be asked for."""
        if self._ready:
            self._ready.halt()


def _kind(stage: Map) -> type[Work]:
    if stage.kind == "flat_map":
        return StreamVisits if stage.visits_threads else Streams
    return Visits if stage.visits_threads else Work


def _wake(waiter: "asyncio.Future[None]") -> None:
    if not waiter.done():
        waiter.set_result(None)
