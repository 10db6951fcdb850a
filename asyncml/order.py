"""Stages that give items out in another order, and what a saved state must know of them.

What such a stage holds was taken in and not given out, so its state lists where these items came
from, and a resumed run makes them again. Lesson 07 shows why keys are shuffled and data is not.
"""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from asyncml.stages import END, Context, Flow, Mark, Stage

_DRAWS = 512  # random numbers made at once


class Held:
    """What a stage that changes the order has taken in and not given out, as of the last delivery.

    Such a stage runs ahead of the consumer, so it logs what it does, and `settle` follows the log.

    Args:
        addresses: where what it holds came from, slot by slot.
        count: how many items it has given out.
    """

    def __init__(self, addresses: list[Any], count: int) -> None:
        self.addresses = addresses
        self.count = count
        self.last: Mark = None
        self._given = count
        self._taken: list[Any] = []
        self._newest: Mark = None
        self._log: deque[tuple[list[Any], Mark, int]] = deque()

    def take(self, address: Any, mark: Mark) -> None:
        """Log that an item came in."""
        self._taken.append(address)
        self._newest = mark

    def give(self, slot: int) -> int:
        """Log that the item in `slot` went out and the last one moved there; return its ordinal."""
        self._log.append((self._taken, self._newest, slot))
        self._taken = []
        self._given += 1
        return self._given - 1

    def settle(self, count: int) -> dict[str, Any]:
        """Follow the log up to `count` items given out; return that state."""
        while self.count < count:
            taken, self.last, slot = self._log.popleft()
            self.addresses += taken
            self.addresses[slot] = self.addresses[-1]
            self.addresses.pop()
            self.count += 1
        return {"given": self.count, "held": list(self.addresses)}


class Slots:
    """Held items that leave as they are ready: which slot of `held` each ticket has.

    Args:
        held: what is logged to.
        first: how many it held when the run was resumed; they have the first tickets.
    """

    def __init__(self, held: Held, first: int) -> None:
        self._held = held
        self._tickets = list(range(first))  # slot by slot
        self._slots = {ticket: ticket for ticket in self._tickets}

    def __contains__(self, ticket: int) -> bool:
        return ticket in self._slots

    def take(self, ticket: int, address: Any, mark: Mark) -> None:
        """Log that an item came in."""
        self._held.take(address, mark)
        self._slots[ticket] = len(self._tickets)
        self._tickets.append(ticket)

    def give(self, ticket: int) -> int:
        """Log that an item went out; return its ordinal."""
        slot, last = self._slots.pop(ticket), self._tickets.pop()
        if last != ticket:
            self._tickets[slot] = last
            self._slots[last] = slot
        return self._held.give(slot)


@dataclass(frozen=True)
class Reorder(Stage):
    """A stage that gives items out in another order: its marks are `[address, ordinal]`."""

    reorders = True

    def split(self, mark: Mark, context: Context) -> tuple[Mark, Any]:
        """Take from the log what it held then."""
        assert context.held is not None
        part = context.held.settle(mark[1] + 1)
        return context.held.last, part

    def address(self, mark: Mark, above: Callable[[Mark], Any]) -> Any:
        """Return the address, which such a mark carries."""
        return mark[0]


@dataclass(frozen=True)
class Shuffle(Reorder):
    """Give out a random one of `buffer_size` items, and put the next item in its place."""

    buffer_size: int
    seed: int
    calls = False

    @property
    def label(self) -> str:
        """Name it, with all that a saved state depends on."""
        return f"shuffle({self.buffer_size}, seed={self.seed})"

    def flow(self, up: Flow, context: Context) -> Flow:
        """Fill the buffer, give out a random slot, and so on."""
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
            yield value, [mark, held.give(slot)] if held else mark

    def _draws(self, epoch: int, index: int, skip: int) -> Iterator[float]:
        bits = np.random.PCG64([self.seed, epoch, index])
        bits.advance(skip)  # one draw of 64 bits an item
        generator = np.random.Generator(bits)
        while True:
            yield from generator.random(_DRAWS).tolist()
