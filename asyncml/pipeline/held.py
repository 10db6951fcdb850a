"""What a stage that changes the order has taken in and not given out, so that a state can say it.

Such a stage runs ahead of the consumer, and a state is wanted of what the consumer has seen. So the
stage writes a log of what it does, and the log is followed as far as something was delivered.
"""

import threading
from collections import deque
from typing import Any
from weakref import ref

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
Logged = tuple[int, "ref[Given]", Any, list[Any] | None, Any]


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
        self.last: Any = None
        self._given = count
        self._taken: list[Any] = []
        self._newest: Any = None
        self._log: deque[Logged] = deque()
        self._longest = _LOG
        self._settling = threading.Lock()  # under plain `for` the consumer settles

    def take(self, address: Any, mark: Any) -> None:
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

    def take(self, ticket: int, address: Any, mark: Any) -> None:
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
