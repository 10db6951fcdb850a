"""The bucket from hell: a store that does everything that stores do on a bad day; lesson 07.

It is slow and uneven, limits its rate, loses connections, and has two damaged images. Everything is
drawn from a seed and waits in virtual time, so it is the same on every machine.

If M requests must be accepted, with a burst of B, a rate of R and a shortest latency l, then

    T >= (M - B) / R + l,

since by time t no more than B + R t requests have been accepted, whoever asks. That is a token
bucket, the mirror image of the leaky bucket of Turner 1986. `league.py` measures loaders against
this bound.
"""

import asyncio
import itertools
import random
from collections import Counter
from functools import cache

from asyncml.images.datasets import Dataset, fashion_mnist
from asyncml.images.png import encode_png
from asyncml.stores.memory import RequestFailed

SEED, IMAGES = 7, 400
LATENCY_S, JITTER = 0.05, 0.4
STRAGGLERS, SLOWER = 0.04, 8  # one request in 25 takes eight times as long
LOST = 0.1
RATE, BURST = 200, 20  # requests a second, and at once after a pause
REFUSAL_S = 0.01
PATIENCE = 300  # refusals after which it stops answering
HOPELESS = 50  # requests for one key after which it stops answering


class TooManyRequests(ConnectionError):
    """The bucket had too many requests (HTTP status 429).

    Attributes:
        retry_after_s: the seconds until it can accept another request.
    """

    def __init__(self, retry_after_s: float) -> None:
        super().__init__(f"429 too many requests: retry after {retry_after_s * 1e3:.0f} ms")
        self.retry_after_s = retry_after_s


class Bucket:
    """A store of PNG images that does everything that stores do on a bad day.

    Args:
        seed: everything in the bucket depends on it.
        images: the number of images.
        labelled: whether keys end with the label, as `label_of` reads it. If so, the images are
            from the training set, which is larger than the test set.

    Attributes:
        keys: the keys, in order.
        good: the images that can be decoded, by key, in the order of the keys.
        refused: the number of requests answered with `TooManyRequests`.
        lost: the number of requests lost.
        asked: the number of requests accepted, by key.
    """

    def __init__(self, seed: int = SEED, images: int = IMAGES, *, labelled: bool = False) -> None:
        self.seed = seed
        chance, dataset = random.Random(f"bucket/{seed}"), _datasets()[not labelled]
        rows = sorted(chance.sample(range(len(dataset)), images))
        names = [
            str(dataset.labels[row]) if labelled else f"{chance.randrange(16**4):04x}"
            for row in rows
        ]
        self.keys = [f"{place:03}-{name}.png" for place, name in enumerate(names)]
        self.damaged = set(chance.sample(self.keys, 2))
        self._data, self.good = {}, {}
        for key, row in zip(self.keys, rows, strict=True):
            image, self._data[key] = dataset.images[row], _png(not labelled, row)
            if key in self.damaged:  # cut off, as by an interrupted upload
                self._data[key] = self._data[key][: len(self._data[key]) // 2]
            else:
                self.good[key] = image
        self.asked: Counter[str] = Counter()
        self.refused = self.lost = 0
        self._tokens, self._at = float(BURST), 0.0

    def fate(self, key: str, attempt: int) -> tuple[float, bool]:
        """Return the seconds that a request takes, and whether it is lost."""
        chance = random.Random(f"{self.seed}/{key}/{attempt}")
        seconds = LATENCY_S * (1 + JITTER * chance.uniform(-1, 1))
        if chance.random() < STRAGGLERS:
            seconds *= SLOWER
        return seconds, chance.random() < LOST

    def requests_needed(self) -> int:
        """Return how many requests must be accepted: for each good image, until it arrives."""
        return sum(1 if key in self.damaged else self._needed(key) for key in self.keys)

    def bound_s(self) -> float:
        """Return the seconds that no loader can beat."""
        return (self.requests_needed() - BURST) / RATE + LATENCY_S * (1 - JITTER)

    def _needed(self, key: str) -> int:
        return next(n for n in itertools.count(1) if not self.fate(key, n)[1])

    async def get(self, key: str) -> bytes:
        """Return the bytes of an image, after a while.

        Raises:
            RequestFailed: the connection was lost.
            TooManyRequests: the rate limit was exceeded.
            KeyError: there is no such key.
        """
        data, loop = self._data[key], asyncio.get_running_loop()
        now = loop.time()
        self._tokens = min(float(BURST), self._tokens + (now - self._at) * RATE)
        self._at = now
        if self._tokens < 1 - 1e-9:
            self.refused += 1
            await (asyncio.sleep(REFUSAL_S) if self.refused <= PATIENCE else _for_ever())
            raise TooManyRequests((1 - self._tokens) / RATE)
        self._tokens -= 1
        self.asked[key] += 1
        if self.asked[key] > HOPELESS:
            await _for_ever()
        seconds, is_lost = self.fate(key, self.asked[key])
        await asyncio.sleep(seconds)
        if is_lost:
            self.lost += 1
            raise RequestFailed(f"the connection was lost while {key!r} was on its way")
        return data


async def _for_ever() -> None:
    await asyncio.get_running_loop().create_future()


@cache
def _datasets() -> tuple[Dataset, Dataset]:
    return fashion_mnist()


@cache
def _png(which: int, row: int) -> bytes:
    return encode_png(_datasets()[which].images[row])
