"""A slow training program for the learner to mend: it loads, trains and reports, in turn.

`Job` is its work in virtual time, and records what happened when. Lesson 05 gives it to the
learner's program, and says what the trainer waited for in the time above the bound.
"""

import asyncio
import inspect
from collections.abc import Callable
from typing import Any

from asyncml.clock import compute
from asyncml.course.exercises.scenes import demand, heart
from asyncml.pipeline.pipeline import Pipeline

_BATCH = "Hand over the batch alone: no key, no list, no coroutine."
MOST = 8  # requests that the store accepts at once
Span = tuple[float, float]


class Job:
    """Shards to load, to train on and to report, in virtual time.

    Args:
        count: the number of shards.
        load_s: the seconds that a load takes.
        train_s: the seconds that training on a batch takes.
        report_s: the seconds that a report takes.

    Attributes:
        keys: the names of the shards.
    """

    def __init__(
        self,
        count: int = 24,
        load_s: float = 0.09,
        train_s: float = 0.03,
        report_s: float = 0.06,
    ) -> None:
        self.keys = [f"shard-{number:02}" for number in range(count)]
        self.load_s, self.train_s, self.report_s = load_s, train_s, report_s
        self.loads: dict[str, Span] = {}
        self.trained: list[tuple[str, Span]] = []
        self.reported: list[str] = []
        self.lags: list[float] = []
        self.loading = self.most_loading = self.training = self.most_training = 0
        self.took_s, self.ended = 0.0, False
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def before_s(self) -> float:
        """The seconds that the given program takes."""
        return len(self.keys) * (self.load_s + self.train_s + self.report_s)

    @property
    def bound_s(self) -> float:
        """The least seconds possible: nothing can hide the first load and the last report."""
        return self.load_s + len(self.keys) * self.train_s + self.report_s

    def _now(self) -> float:
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        return self._loop.time()

    async def load(self, key: str) -> str:
        """Return the batch of a shard, after `load_s`."""
        demand(key in self.keys, "key", f"`load` takes one of `job.keys`, got {key!r:.60}.")
        demand(key not in self.loads, "twice", f"`{key}` was loaded twice.", "Once is enough.")
        start, self.loads[key] = self._now(), (0.0, float("inf"))
        self.loading += 1
        self.most_loading = max(self.most_loading, self.loading)
        try:
            if self.loading > MOST:
                raise ConnectionRefusedError(f"the store takes {MOST} requests at once")
            await asyncio.sleep(self.load_s)
        finally:
            self.loading -= 1
        self.loads[key] = start, self._now()
        return f"the batch of {key}"

    def train(self, batch: str) -> float:
        """Train on a batch; return the loss."""
        key = batch.removeprefix("the batch of ") if isinstance(batch, str) else ""
        got = "a coroutine" if inspect.isawaitable(batch) else f"{batch!r:.60}"
        shown = f"`train` takes a batch, which is what `await job.load(key)` returns; it got {got}."
        demand(key in self.loads and key != batch, "batch", shown, "Is the load awaited?", _BATCH)
        self.training += 1
        self.most_training = max(self.most_training, self.training)
        start = self._now()
        try:
            compute(self.train_s)
        finally:
            self.training -= 1
        self.trained.append((key, (start, self._now())))
        return self.loss(key)

    def loss(self, key: str) -> float:
        """Return the loss of training on a shard."""
        return 2.0 - self.keys.index(key) / 100

    async def report(self, key: str, loss: float) -> None:
        """Report a loss to another service; takes `report_s`."""
        got = "a coroutine" if inspect.isawaitable(loss) else f"{loss!r:.40}"
        shown = f"`report` got {key!r:.40} with {got}, which is not the loss of that shard."
        is_right = key in self.keys and isinstance(loss, float) and loss == self.loss(key)
        why = "Each report takes the key of a shard, and what `train` returned for its batch."
        demand(is_right, "loss", shown, why)
        is_trained = any(name == key for name, _ in self.trained)
        shown = f"`{key}` was reported before it was trained on."
        demand(is_trained, "loss", shown, why)
        await asyncio.sleep(self.report_s)
        demand(not self.ended, "left", "the program had ended, and reports were under way.")
        self.reported.append(key)

    async def run(self, program: Callable[["Job"], Any]) -> Any:
        """Run a program on the job, beside a heartbeat; record its time, and return its result."""
        begin = self._now()
        async with heart(self.lags, 0.01):
            try:
                result = await program(self)
            except BaseExceptionGroup as group:  # the verdict is about the error inside
                raise _first(group) from None
            self.took_s = self._now() - begin
            await asyncio.sleep(0.025)  # time for a late beat
        self.ended = True
        return result

    def waits(self) -> tuple[float, float]:
        """Return the seconds that the trainer waited for a batch, and with a batch ready.

        The first load, and anything after the last training, do not count.
        """
        hungry_s = held_s = 0.0
        for (_, (_, last)), (key, (start, _)) in zip(self.trained, self.trained[1:], strict=False):
            ready = self.loads[key][1]
            hungry_s += max(0.0, min(ready, start) - last)
            held_s += start - max(last, min(ready, start))
        return hungry_s, held_s

    def loads_meanwhile(self) -> bool:
        """Return whether any load overlapped with training."""
        return any(
            min(end, until) - max(start, since) > 1e-9
            for _, (since, until) in self.trained
            for start, end in self.loads.values()
        )


def _first(error: BaseException) -> BaseException:
    return _first(error.exceptions[0]) if isinstance(error, BaseExceptionGroup) else error


async def ours(job: Any) -> None:
    """Do the job like the lesson's solution; works on any object with these methods and `keys`."""

    def train(loaded: tuple[str, Any]) -> tuple[str, float]:
        key, batch = loaded
        return key, job.train(batch)

    async def load(key: str) -> tuple[str, Any]:
        return key, await job.load(key)

    async def report(trained: tuple[str, float]) -> None:
        await job.report(*trained)

    steps = Pipeline(job.keys).map(load, concurrency=3).map(train, concurrency=1)
    async for _ in steps.map(report, concurrency=2):
        pass
