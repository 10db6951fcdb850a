"""A training program that is slow, and is to be mended: it loads, trains and reports, in turn.

`Job` is its work in virtual time, and remembers what went on when. Lesson 05 hands it to a program
of the learner's, and says of each second over the bound what the trainer waited for in it.
"""

import asyncio
import inspect
from collections.abc import Callable
from typing import Any

from asyncml.clock import compute
from asyncml.course.exercises.scenes import demand, heart
from asyncml.pipeline.pipeline import Pipeline

_BATCH = "Hand over the batch alone: no key, no list, no coroutine."
MOST = 8  # requests that the store takes at once
Span = tuple[float, float]


class Job:
    """Shards to load, to train on and to report, in virtual time.

    Args:
        count: how many shards.
        load_s: what a load takes, in seconds.
        train_s: what training on a batch takes, in seconds.
        report_s: what a report takes, in seconds.

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
        """How long the program takes as it is."""
        return len(self.keys) * (self.load_s + self.train_s + self.report_s)

    @property
    def bound_s(self) -> float:
        """The least that it can take: nothing hides the first load and the last report."""
        return self.load_s + len(self.keys) * self.train_s + self.report_s

    def _now(self) -> float:
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        return self._loop.time()

    async def load(self, key: str) -> str:
        """Return the batch of a shard, after a while."""
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
        """Train on a batch, and return the loss."""
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
        """Return the loss that training on a shard has."""
        return 2.0 - self.keys.index(key) / 100

    async def report(self, key: str, loss: float) -> None:
        """Tell another service of a loss; takes a while."""
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
        """Let a program do the job while a heart beats beside it, and note how long it takes."""
        begin = self._now()
        async with heart(self.lags, 0.01):
            try:
                result = await program(self)
            except BaseExceptionGroup as group:  # the verdict tells of the error inside
                raise _first(group) from None
            self.took_s = self._now() - begin
            await asyncio.sleep(0.025)  # a beat that is late comes now
        self.ended = True
        return result

    def waits(self) -> tuple[float, float]:
        """Return for how long the trainer waited without a batch, and with one lying ready.

        The first load and what comes after the last training do not count.
        """
        hungry_s = held_s = 0.0
        for (_, (_, last)), (key, (start, _)) in zip(self.trained, self.trained[1:], strict=False):
            ready = self.loads[key][1]
            hungry_s += max(0.0, min(ready, start) - last)
            held_s += start - max(last, min(ready, start))
        return hungry_s, held_s

    def loads_meanwhile(self) -> bool:
        """Tell whether any load went on while the trainer worked."""
        return any(
            min(end, until) - max(start, since) > 1e-9
            for _, (since, until) in self.trained
            for start, end in self.loads.values()
        )


def _first(error: BaseException) -> BaseException:
    return _first(error.exceptions[0]) if isinstance(error, BaseExceptionGroup) else error


async def ours(job: Any) -> None:
    """Do the job as the lesson's solution does it; runs on any job with keys and these methods."""

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
