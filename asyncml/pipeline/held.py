"""What a reordering stage has taken in and not yet given out, for a saved state.

Such a stage runs ahead of the consumer, but a state must describe what the consumer has seen. So
the stage logs what it does, and the log is replayed up to the last item that was delivered.
"""

import threading
from collections import deque
from typing import Any
from weakref import ref

_LOG = 1024  # entries in a log before it is first compacted
_WORTH = 16  # this many addresses take as much memory as one entry


class Given(list[Any]):
    """The mark `[address, ordinal]` of an item that has left such a stage.

    Its own class, so that a weak reference shows when nothing holds it any more: then a filter has
    dropped the item, or it was delivered long ago, and no state right after it can be asked for.
    """

    __slots__ = ("__weakref__",)


# What a stage has done since the previous entry: how many items it has given out so far, the mark
# of the last one, the last item that it has taken in, the addresses that were added, and the slot
# that was given out, into which the last address moved. In place of the last two, an entry may have
# None and all addresses held.
Logged = tuple[int, "ref[Given]", Any, list[Any] | None, Any]


def _follow(held: list[Any], logged: Logged) -> list[Any]:
    """Return the addresses held after a log entry, given `held` before it, which may be changed."""
    _, _, _, taken, slot = logged
    if taken is None:
        return list(slot)
    held += taken
    held[slot] = held[-1]
    held.pop()
    return held


class Held:
    """What a reordering stage has taken in and not given out, as of the last delivery.

    Such a stage runs ahead of the consumer, so it logs what it does, and `settle` replays the log.
    If stages below drop its items, nothing is delivered for a long time. The log is then compacted,
    since states are needed only after items whose marks are still referenced.

    Args:
        addresses: where the held items came from, slot by slot.
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
        self._settling = threading.Lock()  # under plain `for` the consumer's thread settles

    def take(self, address: Any, mark: Any) -> None:
        """Log that an item came in."""
        self._taken.append(address)
        self._newest = mark

    def give(self, address: Any, slot: int) -> Given:
        """Log that the item in `slot` left and the last one moved there; return the item's mark."""
        mark = Given((address, self._given))
        self._given += 1
        self._log.append((self._given, ref(mark), self._newest, self._taken, slot))
        self._taken = []
        if len(self._log) > self._longest:
            self._shorten()
        return mark

    def settle(self, count: int) -> dict[str, Any]:
        """Replay the log up to `count` items given out; return the state at that point."""
        with self._settling:
            while self.count < count:
                logged = self._log.popleft()
                self.addresses = _follow(self.addresses, logged)
                self.count, _, self.last, _, _ = logged
            return {"given": self.count, "held": list(self.addresses)}

    def _shorten(self) -> None:
        """Replace runs of entries by one each where no item inside the run can be delivered."""
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
    """Held items that leave as soon as they are ready: the slot in `held` of each ticket.

    Args:
        held: the log to write to.
        first: how many items it held when the run was resumed; they have the first tickets.
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
        """Log that an item left; return its mark."""
        slot, last = self._slots.pop(ticket), self._tickets.pop()
        if last != ticket:
            self._tickets[slot] = last
            self._slots[last] = slot
        return self._held.give(address, slot)
