"""Epochs of all trainers, in a separate process because NumPy fixes its threads at import.

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

LEARNT = 0.5  # the share of training images that must be recognised at the end; chance is 0.1
REST_S = 0.05


@dataclass
class Run:
    """The measurements.

    Args:
        seconds: an epoch among the first six, by the trainer's key.
        late: an epoch after the first twelve, by the trainer's key.
        missing: the keys of trainers that are not installed.
        unable: key -> why an installed trainer cannot run here.
    """

    seconds: dict[str, float] = field(default_factory=dict)
    late: dict[str, float] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    unable: dict[str, str] = field(default_factory=dict)


def run(rounds: int, size: int, keys: Sequence[str]) -> Run:
    """Measure epochs of `size` images in this process, after two epochs of warm-up.

    Measures `EARLY` epochs early in the training and `rounds` epochs late.
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
    """Raise RuntimeError if a trainer has learnt nothing, so cannot have done the work."""
    if hasattr(adapter, "predict"):
        share = float(np.mean(adapter.predict(x) == y))
        if share < LEARNT:
            raise RuntimeError(f"{key} recognises only {share:.0%} of what it was trained on")


if __name__ == "__main__":
    rounds, size, *keys = sys.argv[1:]
    print(json.dumps(asdict(run(int(rounds), int(size), keys))))
