"""Epochs of all who train, in a process of its own, since threads are counted when NumPy loads.

    python -m benchmarks.epochs ROUNDS SIZE KEY [KEY ...]

prints as JSON what `Run` holds.
"""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

import numpy as np

from benchmarks.measuring import interleaved
from benchmarks.network import EARLY, LATE, images, in_batches
from benchmarks.peers import TRAINERS, Unable, installed

LEARNT = 0.5  # of the images seen, recognised at the end; guessing gets 0.1
REST_S = 0.05


@dataclass
class Run:
    """What was measured.

    Args:
        seconds: of an epoch among the first six, by the key of who trains.
        late: the same after twelve.
        missing: the keys of those that are not installed.
        unable: why one that is installed cannot do it here.
    """

    seconds: dict[str, float] = field(default_factory=dict)
    late: dict[str, float] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    unable: dict[str, str] = field(default_factory=dict)


def run(rounds: int, size: int, keys: Sequence[str]) -> Run:
    """Measure in this process: epochs of `size` images, after two that warm everyone up.

    Once early in the training and, `rounds` times, late.
    """
    found, adapters = Run(), dict[str, Any]()
    for peer in TRAINERS:
        if peer.key not in keys:
            continue
        try:
            able, missing = installed((peer,))
        except Unable as error:
            found.unable[peer.key] = str(error)
        else:
            adapters.update((each.key, adapter) for each, adapter in able.items())
            found.missing += [each.key for each in missing]
    x, y = images(size)
    batches = in_batches(x, y)
    programs = [partial(adapter.epoch, batches) for adapter in adapters.values()]
    interleaved(*programs, rounds=2)
    early = interleaved(*programs, rounds=EARLY, rest_s=REST_S)
    interleaved(*programs, rounds=LATE - EARLY - 2)
    late = interleaved(*programs, rounds=rounds, rest_s=REST_S)
    for key, adapter in adapters.items():
        check(key, adapter, x, y)
    found.seconds = dict(zip(adapters, early, strict=True))
    found.late = dict(zip(adapters, late, strict=True))
    return found


def check(key: str, adapter: Any, x: np.ndarray, y: np.ndarray) -> None:
    """Raise RuntimeError for one that has learnt nothing, and so has not done the work."""
    if hasattr(adapter, "predict"):
        share = float(np.mean(adapter.predict(x) == y))
        if share < LEARNT:
            raise RuntimeError(f"{key} recognises only {share:.0%} of what it was trained on")


if __name__ == "__main__":
    rounds, size, *keys = sys.argv[1:]
    print(json.dumps(asdict(run(int(rounds), int(size), keys))))
