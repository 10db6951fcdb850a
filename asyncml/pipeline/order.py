"""Stages that give items out in another order, and what a saved state must know of them.

What such a stage holds was taken in and not given out, so its state lists where these items came
from, and a resumed run makes them again. Lesson 07 shows why keys are shuffled and data is not.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from weakref import ref

import numpy as np

from asyncml.pipeline.stages import END, Context, Flow, Mark, Stage, is_held

_DRAWS = 512  # random numbers made at once
_LOG = 1024  # entries of a log before it is looked at whether it can be shorter
_WORTH = 16  # so many addresses take as much memory as one entry


class Given(list[Any]):
    """The mark `[address, ordinal]` of an item that has left such a stage.

    A class of its own, so that one can see when nobody holds it any more: then the item is lost to
    a filter, or long delivered, and no state can be asked for that stands right after it.
    """

    __slots__ = ("__weakref__",)


# what a stage has done since the entry before: how many items it had given out by then, the mark of
# the last one, the last item that it had taken in, the addresses that were added, and the slot that
# was given out, to which the last one moved; or, in place of these two, None and all that it held
Logged = tuple[int, "ref[Given]", Mark, list[Any] | None, Any]


def _follow(held: list[Any], logged: Logged) -> list[Any]:
    """Return what is held after an entry of the log, given what was before."""
    _, _, _, taken, slot = logged
    if taken is None:
        return list(slot)
    held += taken
    held[slot] = held[-1]
    held.pop()
    return held


class Held:
    """What a stage that changes the order has taken in and not given out, as of the last delivery.

    Such a stage runs ahead of the consumer, so it logs what it does, and `settle` follows the log.
    Where stages below drop what it gives out, nothing is delivered for long: then the log is
    made shorter, since states are wanted only after items that somebody still holds.

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
        self._log: deque[Logged] = deque()
        self._longest = _LOG
        self._settling = threading.Lock()  # under plain `for` the consumer settles

    def take(self, address: Any, mark: Mark) -> None:
        """Log that an item came in."""
        self._taken.append(address)
        self._newest = mark

    def give(self, address: Any, slot: int) -> Given:
        """Log that the item in `slot` went out and the last one moved there; return its mark."""
        mark = Given((address, self._given))
        self._given += 1
        self._log.append((self._given, ref(mark), self._newest, self._taken, slot))
        self._taken = []
        if len(self._log) > self._longest:
            self._shorten()
        return mark

    def settle(self, count: int) -> dict[str, Any]:
        """Follow the log up to `count` items given out; return that state."""
        with self._settling:
            while self.count < count:
                logged = self._log.popleft()
                self.addresses = _follow(self.addresses, logged)
                self.count, _, self.last, _, _ = logged
            return {"given": self.count, "held": list(self.addresses)}

    def _shorten(self) -> None:
        """Write one entry in place of many where no item between them can be delivered."""
        with self._settling:
            held, log, run = list(self.addresses), deque[Logged](), list[Logged]()
            for logged in self._log:
                held = _follow(held, logged)
                run.append(logged)
                count, mark, newest, _, _ = logged
                if mark() is None and logged is not self._log[-1]:
                    continue
                if len(run) * _WORTH > len(held):
                    run = [(count, mark, newest, None, list(held))]
                log.extend(run)
                run = []
            self._log = log
            self._longest = max(_LOG, 2 * len(log))


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

    def give(self, ticket: int, address: Any) -> Given:
        """Log that an item went out; return its mark."""
        slot, last = self._slots.pop(ticket), self._tickets.pop()
        if last != ticket:
            self._tickets[slot] = last
            self._slots[last] = slot
        return self._held.give(address, slot)


@dataclass(frozen=True)
class Reorder(Stage):
    """A stage that gives items out in another order: its marks are `[address, ordinal]`."""

    reorders = True

    def accepts(self, part: Any) -> bool:
        """Whether it is a count and a list of addresses."""
        return part is None or is_held(part)

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
    is_above_keys = True

    @property
    def label(self) -> str:
        """Name it, with all that a saved state depends on."""
        return f"shuffle({self.buffer_size}, seed={self.seed})"

    def accepts(self, part: Any) -> bool:
        """Whether it is a count and no more addresses than fit in."""
        return part is None or (is_held(part) and len(part["held"]) <= self.buffer_size)

    def needs(self, items: int) -> int | None:
        """It gives out nothing before its buffer is full."""
        return items + self.buffer_size - 1 if items else 0

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
            yield value, held.give(mark, slot) if held else mark

    def _draws(self, epoch: int, index: int, skip: int) -> Iterator[float]:
        bits = np.random.PCG64([self.seed, epoch, index])
        bits.advance(skip)  # one draw of 64 bits an item
        generator = np.random.Generator(bits)
        while True:
            yield from generator.random(_DRAWS).tolist()
