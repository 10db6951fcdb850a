"""The capstone's world, and our four functions in it; lesson 12.

The world is a labelled bucket from hell, a slow decoder on two cores, and a network with slow
steps. All waits are in virtual time; the arithmetic and the files are real.
"""

import json
import threading
from collections.abc import AsyncIterable, Awaitable, Callable, Coroutine
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from asyncml.clock import compute
from asyncml.course.exercises.bucket import RATE, Bucket
from asyncml.images.datasets import fashion_mnist, label_of
from asyncml.images.png import Bytes, decode_png, encode_png
from asyncml.network.optimizers import Adam
from asyncml.network.sequential import MLP
from asyncml.pipeline.pipeline import Pipeline
from asyncml.serving.app import create_app
from asyncml.serving.batcher import MicroBatcher
from asyncml.stores.hedged import Hedged
from asyncml.stores.limited import RateLimited
from asyncml.training.checkpoint import Checkpointer
from asyncml.training.evaluate import evaluate
from asyncml.training.fit import fit

IMAGES, BATCH, SEED = 3000, 100, 7
CORES, DECODE_S, ROW_S = 2, 0.008, 0.004  # an image takes 8 ms on one core; a row of a step, 4 ms
# times of the whole program by pencil and paper, in seconds
PAGE = {
    "load": 16.59,
    "decode": 12.0,
    "train": 12.0,
    "one after the other": 40.59,
    "overlapped": 16.59,
    "twice the rate": 12.0,
    "saved": 0.0,
}
Get = Callable[[str], Coroutine[Any, Any, bytes]]
Decode = Callable[[bytes], Bytes]
Validate = Callable[[], Awaitable[float]]


class Decoder:
    """Decodes images, each in 8 ms of one core, and records how it was used.

    Attributes:
        calls: the number of images that it was given.
        at_once: the most images decoded at a time.
        threads: the ids of the threads that called it.
    """

    def __init__(self) -> None:
        self.calls = self.at_once = self._now = 0
        self.threads: set[int] = set()
        self._lock = threading.Lock()

    def decode(self, data: bytes) -> Bytes:
        """Return the image in a PNG file; raise ValueError if it is damaged."""
        with self._lock:
            self.calls += 1
            self._now += 1
            self.at_once = max(self.at_once, self._now)
            self.threads.add(threading.get_ident())
        try:
            compute(DECODE_S)
            return decode_png(data)
        finally:
            with self._lock:
                self._now -= 1


class TimedMLP(MLP):
    """A network whose steps take 4 ms of virtual time a row; its arithmetic is real.

    Attributes:
        rows: the number of rows in each step.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.rows: list[int] = []

    def loss_and_grads(self, x: Any, y: Any) -> float:
        """Compute loss and gradients as `MLP` does, and take 4 ms a row."""
        self.rows.append(len(x))
        compute(ROW_S * len(x))
        return super().loss_and_grads(x, y)


class World:
    """Everything a run needs: a bucket, a decoder, a model and its optimiser.

    Args:
        images: the number of images in the bucket.
        seed: the bucket's seed.
        batch: images in a step.
        model: the model to train; by default a `TimedMLP`.

    Attributes:
        load_s, decode_s, train_s: the least seconds that each takes, alone, for one epoch.
        bound_s: the seconds that no program can beat, computed before anything runs.
    """

    def __init__(
        self,
        images: int = IMAGES,
        seed: int = SEED,
        batch: int = BATCH,
        model: TimedMLP | None = None,
    ) -> None:
        self.batch = batch
        self.bucket, self.decoder = Bucket(seed, images, labelled=True), Decoder()
        self.model = TimedMLP([784, 32, 10], seed=0) if model is None else model
        self.optimizer = Adam(self.model)
        self.needed, good = self.bucket.requests_needed(), len(self.bucket.good)
        self.load_s, self.decode_s = self.bucket.bound_s(), images * DECODE_S / CORES
        self.train_s = good * ROW_S
        # The last requests may be for the damaged images, so the last good image can arrive that
        # much earlier. After it come its decoding and the step of its batch.
        last_step_s = ROW_S * (good % batch or batch)
        loaded_s = self.load_s - len(self.bucket.damaged) / RATE
        self.bound_s = max(loaded_s + DECODE_S + last_step_s, self.decode_s, self.train_s)

    def batches(self, load_data: Callable[..., Any]) -> Pipeline:
        """Return batches (x, y) of the pairs that `load_data` yields."""
        bucket, decode = self.bucket, self.decoder.decode

        async def get(key: str) -> bytes:  # hides the rest of the bucket
            return await bucket.get(key)

        made = load_data(list(bucket.keys), get, decode)
        if not isinstance(made, Pipeline):  # a generator: each epoch starts a new one
            made = Pipeline(lambda: load_data(list(bucket.keys), get, decode))
        return made.batch(self.batch, collate=as_arrays)

    def alone(self, load_data: Callable[..., Any]) -> dict[str, AsyncIterable[Any]]:
        """Return an epoch of loading, one of decoding and one of training, each to be run alone."""
        keys, good = list(self.bucket.keys), len(self.bucket.good)
        sizes = [self.batch] * (good // self.batch) + [good % self.batch]
        steps = [(np.zeros((n, 784), np.float32), np.zeros(n, int)) for n in sizes if n]
        at_hand = [encode_png(image) for image in fashion_mnist()[0].images[: len(keys)]]
        return {
            "load": load_data(keys, self.bucket.get, decode_png),
            "decode": Pipeline(at_hand).map(self.decoder.decode, concurrency=CORES),
            "train": fit(self.model, self.optimizer, steps),
        }

    async def validate(self) -> float:
        """Return the accuracy on 500 images that are in no bucket."""
        return await evaluate(self.model, [_unseen()])


def as_arrays(pairs: list[tuple[Bytes, int]]) -> tuple[Any, Any]:
    """Return x (n, 784) float32 from 0 to 1 and y (n,) int64, from pairs (image, label)."""
    images, labels = zip(*pairs, strict=True)
    return np.stack(images).reshape(-1, 784).astype(np.float32) / 255, np.array(labels)


@cache
def _unseen() -> tuple[Any, Any]:
    return as_arrays(list(fashion_mnist()[1][:500]))


# ---- our four functions ----


class Asked:
    """A read-only store on top of a `get` function."""

    def __init__(self, get: Get) -> None:
        self._get = get

    async def get(self, key: str) -> bytes:
        """Return what `get(key)` returns."""
        return await self._get(key)

    async def put(self, key: str, data: bytes) -> None:
        """Do nothing."""

    async def list(self, prefix: str) -> list[str]:
        """Return an empty list."""
        return []


def load_data(keys: list[str], get: Get, decode: Decode) -> Pipeline:
    """Load at the rate that the bucket allows, hedge stragglers, and skip damaged images."""
    store = Hedged(RateLimited(Asked(get), per_second=200, burst=20), after_s=0.075)

    async def fetch(key: str) -> tuple[str, bytes]:
        return key, await store.get(key)

    def labelled(pair: tuple[str, bytes]) -> tuple[Bytes, int]:
        return decode(pair[1]), label_of(pair[0])

    images = Pipeline(keys).map(fetch, concurrency=16, retries=8)
    return images.map(labelled, concurrency=CORES, on_error="skip")


async def train_model(
    model: Any, optimizer: Any, batches: Any, validate: Validate, epochs: int, patience: int
) -> tuple[list[float], list[float]]:
    """Train until `patience` epochs in a row did not improve; return the losses and the scores."""
    losses, scores = [], list[float]()
    for _ in range(epochs):
        async for step in fit(model, optimizer, batches):
            losses.append(step.loss)
        scores.append(await validate())
        if len(scores) - 1 - scores.index(max(scores)) >= patience:
            break
    return losses, scores


async def train_and_save(
    folder: Path,
    model: Any,
    optimizer: Any,
    batches: Any,
    validate: Validate,
    epochs: int,
    patience: int,
) -> list[float]:
    """Train like `train_model`, save every ten steps, and resume from what is in the folder."""
    book = folder / "scores.json"
    scores = json.loads(book.read_text()) if book.exists() else []
    async with Checkpointer(folder) as checkpoints:
        last = await checkpoints.restore(model, optimizer)
        for epoch in range(last.epoch if last else 0, epochs):
            known = scores[:epoch]
            if known and len(known) - 1 - known.index(max(known)) >= patience:
                break
            steps = fit(model, optimizer, batches, epochs=epoch + 1, resume_from=last)
            async for last in steps:
                if last.index % 10 == 9:
                    await checkpoints.save(last, model, optimizer)
            scores[epoch:] = [await validate()]  # before the save: a saved epoch has its score
            new = book.with_suffix(".new")
            new.write_text(json.dumps(scores))
            new.replace(book)
            if last is not None:
                await checkpoints.save(last, model, optimizer)
    return scores


def serve_model(forward: Callable[[Any], Any], example: Any) -> Any:
    """Serve in batches of at most 64; refuse requests that would be answered too late."""
    batcher = MicroBatcher(forward, max_batch_size=64, max_pending=64)
    return create_app(batcher, "clothes", example=example)
