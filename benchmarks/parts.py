"""Where our step's time goes: a stopwatch around each part, beside the bare matrix products.

    python -m benchmarks.parts ROUNDS SIZE BEFORE

prints the seconds of an epoch, after BEFORE others, as JSON. The stopwatches wrap the functions
that our step calls anyway, so this measures our step, not a second version of it.
"""

import contextlib
import json
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from asyncml.network import layers, losses, optimizers
from benchmarks.measuring import interleaved
from benchmarks.network import Batches, images, in_batches
from benchmarks.peers import gemms, trains_ours

ALONE, WHOLE = "alone", "whole"
PRODUCTS, BIASES, RELU, LOSS, ADAM, REST = PARTS = (
    "matrix products",
    "biases",
    "ReLU",
    "softmax and loss",
    "Adam",
    "the rest: Python",
)
WATCHED = (
    (np, "matmul", PRODUCTS),
    (layers.Linear, "forward", BIASES),  # the products are subtracted below
    (layers.Linear, "backward", BIASES),
    (layers.ReLU, "forward", RELU),
    (layers.ReLU, "backward", RELU),
    (losses.CrossEntropy, "forward", LOSS),
    (optimizers.Adam, "step", ADAM),
)


def seconds(rounds: int, batches: Batches, before: int = 1) -> dict[str, float]:
    """Return the median seconds of an epoch, of its parts, and of the bare products."""
    ours, products = trains_ours.Adapter(), gemms.Adapter()
    for _ in range(before):
        ours.epoch(batches)
    spent: list[dict[str, float]] = []
    alone, whole = interleaved(
        lambda: products.epoch(batches),
        lambda: spent.append(_parts(lambda: ours.epoch(batches))),
        rounds=rounds,
    )
    medians = {part: statistics.median(each[part] for each in spent) for part in PARTS}
    return medians | {ALONE: alone, WHOLE: whole}


def _parts(program: Callable[[], None]) -> dict[str, float]:
    """Run a program; return the seconds of each part."""
    spent: Counter[str] = Counter()
    with contextlib.ExitStack() as stack:
        for owner, name, part in WATCHED:
            stack.enter_context(_stopwatch(owner, name, part, spent))
        begun = time.perf_counter()
        program()
        whole = time.perf_counter() - begun
    spent[BIASES] -= spent[PRODUCTS]
    spent[REST] = whole - sum(spent.values())
    return dict(spent)


@contextlib.contextmanager
def _stopwatch(owner: Any, name: str, part: str, spent: Counter[str]) -> Iterator[None]:
    """Add the seconds of each call of `owner.name` to `spent[part]`."""
    call = getattr(owner, name)

    def timed(*args: Any, **options: Any) -> Any:
        begun = time.perf_counter()
        result = call(*args, **options)
        spent[part] += time.perf_counter() - begun
        return result

    setattr(owner, name, timed)
    try:
        yield
    finally:
        setattr(owner, name, call)


if __name__ == "__main__":
    rounds, size, before = map(int, sys.argv[1:])
    print(json.dumps(seconds(rounds, in_batches(*images(size)), before)))
