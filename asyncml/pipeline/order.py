"""Stages that give items out in another order, and what a saved state must record about them.

The state of such a stage lists the addresses of the items that it has taken in and not given out,
and a resumed run makes these again. Lesson 07 shows why keys are shuffled and data is not.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from asyncml.pipeline.stages import END, Context, Flow, Mark, Stage, is_held

_DRAWS = 512  # random numbers made at once


@dataclass(frozen=True)
class Reorder(Stage):
    """A stage that gives items out in another order; its marks are `[address, ordinal]`."""

    reorders = True

    def accepts(self, part: Any) -> bool:
        """Return whether `part` is None, or a count and a list of addresses."""
        return part is None or is_held(part)

    def split(self, mark: Mark, context: Context) -> tuple[Mark, Any]:
        """Return where the stages above stood, and what this one held, both from the log."""
        assert context.held is not None
        part = context.held.settle(mark[1] + 1)
        return context.held.last, part

    def address(self, mark: Mark, above: Callable[[Mark], Any]) -> Any:
        """Return the address that such a mark contains."""
        return mark[0]


@dataclass(frozen=True)
class Shuffle(Reorder):
    """Give out a random one of `buffer_size` items and put the next item in its place."""

    buffer_size: int
    seed: int
    is_above_keys = True

    @property
    def label(self) -> str:
        """The stage's name, with everything that a saved state depends on."""
        return f"shuffle({self.buffer_size}, seed={self.seed})"

    def accepts(self, part: Any) -> bool:
        """Return whether `part` is None, or a count and no more addresses than fit in."""
        return part is None or (is_held(part) and len(part["held"]) <= self.buffer_size)

    def needs(self, items: int) -> int | None:
        """Return how many items must come in: nothing leaves before the buffer is full."""
        return items + self.buffer_size - 1 if items else 0

    def flow(self, up: Flow, context: Context) -> Flow:
        """Fill the buffer, give out a random slot, and repeat."""
        held = context.held
        buffer = list(context.first)
        draws = self._draws(context.epoch, context.index, held.count if held else 0)
        ended = False
        while True:
            while not ended and len(buffer) < self.buffer_size:
                entry = next(up, END)
                if entry is END:
                    ended = True
                elif entry[1] is None:
                    yield entry
                else:
                    if held:
                        address = context.address(entry[1])
                        held.take(address, entry[1])
                        entry = entry[0], address
                    buffer.append(entry)
            if not buffer:
                return
            slot = int(next(draws) * len(buffer))
            value, mark = buffer[slot]
            buffer[slot] = buffer[-1]
            buffer.pop()
            context.meter.items += 1
            yield value, held.give(mark, slot) if held else mark

    def _draws(self, epoch: int, index: int, skip: int) -> Iterator[float]:
        bits = np.random.PCG64([self.seed, epoch, index])
        bits.advance(skip)  # one draw of 64 bits per item
        generator = np.random.Generator(bits)
        while True:
            yield from generator.random(_DRAWS).tolist()
