"""A data pipeline: a source, stages, and a cursor that says which item comes next.

Stages only describe. Each iteration is one epoch, which `epoch.py` and `engine.py` run. Lesson 07
builds a pipeline from scratch.
"""

import copy
import reprlib
from collections.abc import AsyncIterable, Callable, Generator, Iterable
from functools import partial
from typing import Any

from asyncml.checks import check_int
from asyncml.clocks import is_virtual
from asyncml.internals import running_loop
from asyncml.pipeline.batches import Batch, collate
from asyncml.pipeline.epoch import FINISHED, Epoch
from asyncml.pipeline.functions import check_function, is_async, name_of, unchanged
from asyncml.pipeline.iteration import Items, iterate
from asyncml.pipeline.map import Map, Where
from asyncml.pipeline.options import LOOKAHEAD, check_state, map_stage
from asyncml.pipeline.order import Shuffle
from asyncml.pipeline.pools import Pools
from asyncml.pipeline.retrying import Backoff, OnError, RetryOn
from asyncml.pipeline.sources import Source, check_same
from asyncml.pipeline.stages import Flatten, Shard, Stage, Take
from asyncml.pipeline.standing import Position, Standing
from asyncml.pipeline.statistics import PipelineStatistics

__all__ = ["Pipeline", "collate"]

_VERSION = 3
_FILTERS = 16  # how many items an asynchronous filter examines at once


class Pipeline:
    """Items of a source that pass through stages; each iteration is one epoch.

    Every method that adds a stage returns a new pipeline with its own cursor. A copy, for example
    by pickle, has the position of the original. Nothing runs further ahead than this:

    ======================  ================================  ==================================
    what                    calls at once                     items ahead of the next stage
    ======================  ================================  ==================================
    an iterable             1                                 0
    an async iterable       1                                 16
    `map`, `flat_map`       `concurrency`; "inline": 1        `lookahead`, or 16 * `concurrency`
    `filter`                `async def`: 16; else 1           `async def`: 256; else 0
    `shuffle`               -                                 `buffer_size`
    `batch`                 `collate`: 1                      the items of one batch
    `prefetch`              -                                 `n`
    plain `for`             -                                 3
    ======================  ================================  ==================================

    The bounds add up: over an async iterable, `prefetch(2)` has 2 items ready and 16 more read.

    Plain `for` loads in a thread, with a new event loop for each epoch; inside simulate() use
    `async for`. Functions see the context variables of the code that iterates, in threads too.

    However a loop ends, no task is left, and no thread except one that is still inside a plain
    function, whose result is dropped. Idle processes stay for the next epoch, as do the threads
    that feed them. After a `break` the tasks of `async for` end within the event loop's next turns.
    If an `async def` blocks its event loop, or takes more than a second to clean up, plain `for`
    leaves its thread running, with a RuntimeWarning.

    Some features of other libraries are left to the source and to functions:

    - to zip, iterate over pairs, `Pipeline(zip(xs, ys))`, or look both up in one `map`;
    - to load across the end of an epoch, let the source give the keys of all epochs;
    - to keep Python code out of this process, use `map(..., executor="process")`; for a whole
      pipeline, iterate in a `multiprocessing.Process` that puts the batches into a queue.

    Args:
        source: an iterable, an async iterable, or a function that returns either, or an awaitable
            of either. A function is called once per epoch, with the number of the epoch, from 0, if
            it has a parameter named `epoch`. A source that can be iterated only once serves one
            epoch.

    Raises:
        TypeError: `source` is none of these, or is itself a pipeline, unless `mix` or `chain`
            returned it.

    Example:
        >>> pipeline = Pipeline(range(5)).map(abs, concurrency=2).batch(2)
        >>> list(pipeline)
        [[0, 1], [2, 3], [4]]
        >>> growing = Pipeline(lambda epoch: range(epoch + 1))
        >>> [list(growing) for _ in range(3)]
        [[0], [0, 1], [0, 1, 2]]
    """

    def __init__(self, source: Iterable[Any] | AsyncIterable[Any] | Callable[..., Any]) -> None:
        if isinstance(source, Pipeline) and (source._stages or not source._source.is_joint):
            raise TypeError(
                "`source` must not be a pipeline: add the stages to that pipeline instead; "
                "several are combined by chain([p, q]) or mix([p, q])"
            )
        items = source._source if isinstance(source, Pipeline) else source
        self._source: Source = items if isinstance(items, Source) else Source(items)
        self._stages: tuple[Stage, ...] = ()
        self._pools = Pools()
        self._epoch: Epoch | None = None
        self._state: dict[str, Any] | None = None

    def _with(self, *stages: Stage) -> "Pipeline":
        pipeline = type(self).__new__(type(self))
        pipeline.__dict__.update(self.__dict__)
        pipeline._stages = (*self._stages, *stages)
        pipeline._epoch = pipeline._state = None
        return pipeline

    def __getstate__(self) -> dict[str, Any]:
        """Return the state of a copy, here or in another process, with the same position."""
        state = self.state_dict() if self._state or self._epoch else None
        return {**self.__dict__, "_epoch": None, "_state": state, "_pools": Pools()}

    # stages

    def map(
        self,
        fn: Callable[[Any], Any],
        *,
        concurrency: int = 16,
        executor: Where = "thread",
        ordered: bool = True,
        lookahead: int | None = None,
        timeout: float | None = None,
        retries: int = 0,
        retry_on: RetryOn | None = None,
        backoff: Backoff | None = None,
        on_error: OnError = "raise",
        max_failures: float | None = None,
    ) -> "Pipeline":
        """Call `fn` on each item, up to `concurrency` at once.

        Args:
            fn: an `async def` runs on the event loop; a plain function runs in `executor`.
            concurrency: how many items are processed at once, at most.
            executor: "thread" (daemon threads, for one epoch), "process" (kept for later epochs
                until the pipeline and those derived from it are gone), "inline" (on the event
                loop), or your own executor, which stays open, such as `client.get_executor()` of a
                Dask cluster.
            ordered: whether items leave in the order in which they came in.
            lookahead: how many items may be in flight or finished ahead of the next stage; the
                default is 16 times `concurrency`.
            timeout: seconds for one attempt. A plain function is abandoned after that: a process is
                ended, a thread runs on and its result is ignored. While `concurrency` abandoned
                functions are running, the next one to time out keeps its slot until one of them
                ends, so there are never more than twice `concurrency` threads.
            retries: how many attempts may follow a failed one.
            retry_on: which errors are retried: exception types, or a function `exception -> bool`.
                By default every Exception except those that another attempt cannot mend:
                ArithmeticError, AssertionError, AttributeError, ImportError, LookupError (KeyError,
                IndexError and ObjectNotFound are of that kind), NameError, NotImplementedError,
                TypeError, FileNotFoundError, IsADirectoryError, NotADirectoryError and
                PermissionError.
            backoff: the pauses before further attempts. By default 0.05 s before the second,
                doubling before each later one up to 5 s, each times a random factor from 0.5 to
                1.5: see `Backoff`.
            on_error: what to do after the last attempt: "raise" the error once the items before it
                have been delivered, "skip" the item (`skip(log=True)` also logs it), or call a
                function `(exception, item) -> replacement`. An executor that breaks or takes no
                work always raises. `statistics().failures` holds the last 100 skipped or replaced
                items.
            max_failures: how many items may be skipped or replaced before the epoch fails: a count,
                or a share from 0.0 to 1.0 of the items so far (of at least 100, until the epoch
                ends). A resumed epoch starts counting again.

        Raises:
            TypeError: `fn` cannot be called, or cannot be sent to a process.
            ValueError: an option is out of range.

        Warns:
            RuntimeWarning: the first 16 items that end are all skipped, or all items of an epoch of
                two or more.
        """
        bounds = concurrency, executor, ordered, lookahead, timeout
        failing = retries, retry_on, backoff, on_error, max_failures
        return self._with(map_stage("map", fn, *bounds, *failing))

    def flat_map(
        self,
        fn: Callable[[Any], Any],
        *,
        concurrency: int = 16,
        executor: Where = "thread",
        ordered: bool = True,
        lookahead: int | None = None,
        timeout: float | None = None,
        retries: int = 0,
        retry_on: RetryOn | None = None,
        backoff: Backoff | None = None,
        on_error: OnError = "raise",
        max_failures: float | None = None,
    ) -> "Pipeline":
        """Call `fn` on each item as `map` does, and pass on the items of each result, one by one.

        Items of a generator or another iterator, plain or asynchronous, leave as they are made. At
        most `lookahead` of them are ready, however many a call gives, so a shard may be larger than
        memory, or endless. A plain iterator is read in threads, part by part and not always in the
        same thread. An async iterable, or an awaitable of any of these, is read on the event loop,
        whether an `async def` or a plain function in a thread returned it. Three kinds of result
        are read to the end before their first item leaves: that of a plain function with a
        `timeout`, that of a plain function in an executor other than "thread", and a plain iterator
        from an `async def`. With `ordered=False` the call whose first item is ready comes next,
        with all of its items.

        Items that were passed on stay if the call fails afterwards: another attempt repeats the
        call and skips as many items, "skip" omits the rest, and a replacement from `on_error`, an
        iterable, takes the place of the rest. `timeout` counts the time spent making items, not
        waiting for room. A state from the middle of a call holds the item it was called with, and
        the resumed run repeats the call and skips what was delivered.

        Args:
            fn: a function that returns an iterable, an async iterable or an awaitable of either, or
                an async generator function.
            concurrency: how many calls run at once, at most.
            executor: as for `map`.
            ordered: whether the items leave in the order of the calls: see above.
            lookahead: how many items of all calls together may be ready or in the making; the
                default is 16 times `concurrency`.
            timeout: seconds for making all items of one attempt.
            retries: how many attempts may follow a failed one.
            retry_on: as for `map`.
            backoff: as for `map`.
            on_error: as for `map`; a function returns an iterable, which replaces the rest.
            max_failures: as for `map`, counted in calls.

        Raises:
            TypeError: `fn` cannot be called, or cannot be sent to a process.
            ValueError: an option is out of range.

        Example:
            >>> list(Pipeline([1, 2]).flat_map(range, executor="inline"))
            [0, 0, 1]
        """
        bounds = concurrency, executor, ordered, lookahead, timeout
        failing = retries, retry_on, backoff, on_error, max_failures
        return self._with(map_stage("flat_map", fn, *bounds, *failing), Flatten())

    def filter(self, fn: Callable[[Any], Any]) -> "Pipeline":
        """Keep the items for which `fn` is true.

        Args:
            fn: a plain function runs on the event loop, so it should be quick; an `async def`
                examines up to 16 items at once.

        Raises:
            TypeError: `fn` cannot be called.

        Example:
            >>> list(Pipeline(range(6)).filter(lambda number: number % 2))
            [1, 3, 5]
        """
        check_function(fn, "filter", "inline")
        if is_async(fn):
            return self._with(Map("filter", fn, _FILTERS, lookahead=LOOKAHEAD * _FILTERS))
        return self._with(Map("filter", fn))

    def shard(self, rank: int, world_size: int) -> "Pipeline":
        """Keep every `world_size`-th item, starting with number `rank`: the share of one worker.

        Args:
            rank: which worker this is, from 0 to `world_size - 1`.
            world_size: how many workers there are, >= 1.

        Raises:
            TypeError: either is not an int.
            ValueError: either is out of range.

        Example:
            >>> list(Pipeline("abcde").shard(1, 2))
            ['b', 'd']
        """
        world_size = check_int("world_size", world_size, 1)
        rank = check_int("rank", rank, 0)
        if rank >= world_size:
            raise ValueError(f"`rank` must be < world_size = {world_size}, got {rank}")
        return self._with(Shard(rank, world_size))

    def shuffle(self, buffer_size: int, *, seed: int = 0) -> "Pipeline":
        """Give out a random one of the next `buffer_size` items, in a new order each epoch.

        Shuffle keys, before the first `map`: a saved state is then one number, and nothing is
        loaded again. The order depends only on `seed`, the epoch and the place in the pipeline.

        Args:
            buffer_size: how many items are held, >= 1; a buffer for all of them shuffles uniformly.
            seed: an int >= 0 for the order.

        Raises:
            TypeError: either is not an int.
            ValueError: either is out of range.

        Example:
            >>> sorted(Pipeline(range(4)).shuffle(4, seed=1))
            [0, 1, 2, 3]
        """
        buffer_size = check_int("buffer_size", buffer_size, 1)
        return self._with(Shuffle(buffer_size, check_int("seed", seed, 0)))

    def take(self, n: int) -> "Pipeline":
        """Keep the first `n` items of each epoch.

        Args:
            n: how many, >= 0. If no stage above drops items, no more are requested than needed.

        Raises:
            TypeError: `n` is not an int.
            ValueError: `n` is < 0.

        Example:
            >>> list(Pipeline(range(1000)).take(2))
            [0, 1]
        """
        return self._with(Take(check_int("n", n, 0)))

    def batch(
        self,
        size: int,
        *,
        drop_last: bool = False,
        collate: Callable[[list[Any]], Any] | None = None,
    ) -> "Pipeline":
        """Join `size` items: into a list, or into the result of `collate` for that list.

        Args:
            size: how many items make a batch, >= 1.
            drop_last: whether to drop a last batch that is not full.
            collate: a plain function, such as `aml.collate`, which makes arrays `(batch, ...)`. It
                runs on the event loop; `.batch(64).map(aml.collate)` runs it in a thread.

        Raises:
            TypeError: `size` is not an int, or `collate` not a plain function.
            ValueError: `size` is < 1.

        Example:
            >>> list(Pipeline(range(5)).batch(2, drop_last=True, collate=sum))
            [1, 5]
        """
        size = check_int("size", size, 1)
        if collate is not None:
            check_function(collate, "collate", "inline")
            if is_async(collate):
                raise TypeError(f"`collate` must be a plain function, got {name_of(collate)}")
        return self._with(Batch(size, drop_last, collate))

    def prefetch(self, n: int) -> "Pipeline":
        """Keep up to `n` items ready before they are asked for.

        Args:
            n: how many items of this stage, such as batches, >= 1.

        Raises:
            TypeError: `n` is not an int.
            ValueError: `n` is < 1.

        Example:
            >>> list(Pipeline("abc").batch(2).prefetch(4))
            [['a', 'b'], ['c']]
        """
        return self._with(Map("prefetch", unchanged, lookahead=check_int("n", n, 1)))

    # iteration

    def __aiter__(self) -> Items:
        return Items(self._begin())

    def __iter__(self) -> Generator[Any, None, None]:
        if is_virtual(running_loop()):
            raise RuntimeError(
                "plain `for` waits in a thread, which virtual time cannot see: "
                "inside simulate() use `async for`"
            )
        return iterate(self._begin())

    def _begin(self) -> Epoch:
        state, before = self._state, self._epoch
        if before:
            before.supersede(
                "another iteration of this pipeline has begun, which ended this one: "
                "derive a pipeline for each, for example with .prefetch(1)"
            )
        if before and not (state or before.begun):  # as when tqdm makes a spare iterator
            state = self.state_dict()
        number = state["epoch"] if state else (before.number + 1 if before else 0)
        standing = Standing(self._source, self._stages, state)
        self._epoch = Epoch(standing, number, before=before, pools=self._pools)
        self._state = None
        return self._epoch

    def __len__(self) -> int:
        """Return the number of items in a whole epoch, at any position; TypeError if unknown."""
        items: int | None = None
        if hasattr(self._source.items, "__len__"):
            items = len(self._source.items)
        for stage in self._stages:
            items = items if items is None else stage.length(items)
        if items is None:
            raise TypeError("the length of this pipeline is not known before it has run")
        return items

    def __bool__(self) -> bool:
        return True  # even if its length is unknown

    def __repr__(self) -> str:
        stages = (stage.label for stage in self._stages if not isinstance(stage, Flatten))
        return ".".join([f"Pipeline({reprlib.repr(self._source.items)})", *stages])

    def statistics(self) -> PipelineStatistics:
        """Return the statistics of the current epoch, or of the last one."""
        return (self._epoch or Epoch(Standing(self._source, ()), 0)).statistics()

    # state

    def _labels(self) -> list[str]:
        stages = (stage.label for stage in self._stages if not stage.is_transparent)
        return [*self._source.labels, *stages]

    def state_dict(self) -> dict[str, Any]:
        """Return the position of this pipeline, after the last item it has handed out, as JSON.

        It holds positions and no data. Executors, concurrency and prefetching may change before it
        is loaded; the stages, their order and the source may not. A source is recognised by its
        length and by an attribute or method `fingerprint` (a str or an int), if it has them; if a
        function returns the source, by those of the result.

        Returns:
            a dict of strings, ints, lists and dicts, for `load_state_dict`.

        Raises:
            TypeError: the fingerprint is of another type.

        Example:
            >>> pipeline = Pipeline(range(5)).map(abs)
            >>> for item in pipeline:
            ...     if item == 2:
            ...         break
            >>> state = pipeline.state_dict()
            >>> again = Pipeline(range(5)).map(abs)
            >>> again.load_state_dict(state)
            >>> list(again)
            [3, 4]
        """
        return self._snapshot()()

    def _snapshot(self) -> Callable[[], dict[str, Any]]:
        """Return a function that returns, whenever called, the result of state_dict() as of now.

        Cheap enough to take for every batch, although few of these states are ever looked at.
        """
        if self._state:
            return partial(copy.deepcopy, self._state)
        epoch = self._epoch
        if epoch is None or epoch.end == FINISHED:
            number = 0 if epoch is None else epoch.number + 1
            return partial(self._as_state, number, Standing(self._source, self._stages))
        standing = epoch.standing
        if standing.reorders:
            return partial(self._as_state, epoch.number, standing, standing.position())
        number, mark = epoch.number, standing.mark
        return lambda: self._as_state(number, standing, standing.position_after(mark))

    def _as_state(self, number: int, standing: Standing, at: Position = (0, {})) -> dict[str, Any]:
        return {
            "version": _VERSION,
            "stages": self._labels(),
            "source": standing.made_of,
            "epoch": number,
            "position": at[0],
            "parts": dict(at[1]),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Make the next iteration yield the rest of the epoch in which `state` was taken.

        If that epoch was over, the next one begins. Right after its last item a pipeline does not
        know yet that the epoch is over: then the rest is empty. An iteration in progress ends.

        Args:
            state: a result of `state_dict`, from this process or another, also by way of JSON.

        Raises:
            ValueError: `state` comes from a pipeline with other stages, from a source with another
                length or fingerprint, or from another version of this module, or it is not a state.
                If a function returns the source, the iteration raises the error.
        """
        check_state(state, _VERSION)
        if state["stages"] != self._labels():
            raise ValueError(
                "`state` comes from a pipeline of other stages:\n"
                f"  it was {' -> '.join(state['stages']) or 'the source alone'}\n"
                f"  this is {' -> '.join(self._labels()) or 'the source alone'}"
            )
        check_same(state["source"], self._source.identity)
        Standing(self._source, self._stages, state).check()
        if self._epoch:
            self._epoch.supersede("load_state_dict() was called, which ended this iteration")
        self._state = copy.deepcopy(state)
