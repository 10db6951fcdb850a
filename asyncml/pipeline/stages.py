"""The cheap stages of a pipeline: plain generators over entries, without a task or a queue.

An entry is `(value, mark)`. The mark says where in the source the value came from, so a pipeline
needs only the mark of the last item handed out to continue after it. A stage with nothing ready
yields PENDING, and the driver of the chain then waits; a stage that has held the loop for long
yields PAUSED, and is asked again at the loop's next turn. Lesson 07 builds such stages.
"""

from collections.abc import Awaitable, Callable, Hashable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final, cast

from asyncml.pipeline.held import Held
from asyncml.pipeline.meters import Meter
from asyncml.pipeline.pools import Pools

# What must be known about an item to continue right after it. Each stage makes its own marks from
# those of the items that it took:
#
#   keys                    number              of the key, from 0
#   map, filter, prefetch   mark                unchanged
#   take, shard             [mark, ordinal]     how many were taken, or seen, before it
#   flat_map                [mark, ordinal, is_last, was_held]
#                                               its index in its parent, whether it is the last one,
#                                               and whether `mark` is an address, of a parent that a
#                                               resumed run has made again
#   batch                   [mark, mark, ...]   of its items
#   shuffle, ordered=False  [address, ordinal]  a `Given`: how many were given out before it
#
# An address says which items of the source a value was made from, and how: it is the mark without
# the counts, so it is JSON and means the same in another run.
Mark = Any
Entry = tuple[Any, Mark]
Flow = Iterator[Entry]
Rebuild = Callable[[list[Any]], Awaitable[list[Entry]]]

# signals in the place of an entry; they have no mark
PENDING: Final[Entry] = ("nothing ready", None)
PAUSED: Final[Entry] = ("more at the loop's next turn", None)
END: Final[Entry] = ("no more", None)
# how long a stage may hold the loop, in seconds, and how many items it may give, before the loop's
# other tasks have their turn
PAUSE_S, TURN = 0.005, 1024


@dataclass
class Context:
    """What a stage of a running epoch knows: its state, its meter, and how to address an item.

    `drain(n)` takes up to n ready entries from the stage above, if it can be asked for them.
    """

    epoch: int
    index: int
    part: Any
    meter: Meter
    time: Callable[[], float]
    address: Callable[[Mark], Any] = lambda mark: mark
    drain: Callable[[int], list[Entry]] = lambda most: []
    pools: Pools | None = None
    held: Held | None = None
    first: list[Entry] = field(default_factory=list)


@dataclass(frozen=True)
class Stage:
    """One stage: what it is, how it runs, and how its marks give its position.

    The defaults suit a stage that passes items on one by one, in order.
    """

    # Whether the stage may come above the keys, of which a state records only the number. Such a
    # stage calls none of the caller's functions, which a resumed run would repeat, and an error
    # above it cuts none of its items short, as it does a batch.
    is_above_keys = False
    reorders = False
    is_transparent = False  # whether it makes no difference to a saved state

    @property
    def label(self) -> str:
        """The stage's name, with everything that a saved state depends on."""
        raise NotImplementedError

    def length(self, items: int) -> int | None:
        """Return how many items leave when `items` come in; None if that is unknown."""
        return items

    def needs(self, items: int) -> int | None:
        """Return how many items must come in for `items` to leave; None if that is unknown."""
        return items

    def accepts(self, part: Any) -> bool:
        """Return whether `part` can be this stage's saved state; `part` is None if it has none."""
        return part is None

    def flow(self, up: Flow, context: Context) -> Flow:
        """Yield entries, made from those of the stage above."""
        raise NotImplementedError

    def split(self, mark: Mark, context: Context) -> tuple[Mark, Any]:
        """Return where the stages above stood after `mark`, and the state of this stage.

        If the former is None, nothing has come from above since the epoch was resumed.
        """
        return mark, None

    def address(self, mark: Mark, above: Callable[[Mark], Any]) -> Any:
        """Return which items of the source a value was made from, and how, as JSON."""
        return above(mark)

    def inner(self, addresses: list[Any]) -> list[Any]:
        """Return the addresses, one stage further up, that these were made from."""
        return addresses

    async def rebuild(self, addresses: list[Any], above: Rebuild) -> list[Entry]:
        """Remake values from their addresses; an entry's mark is its index in the list."""
        return await above(addresses)


@dataclass(frozen=True)
class Ordinal(Stage):
    """A stage whose state is a count; its marks are `[mark, ordinal]`."""

    is_above_keys = True

    def accepts(self, part: Any) -> bool:
        """Return whether `part` is None or a count."""
        return part is None or is_count(part)

    def split(self, mark: Mark, context: Context) -> tuple[Mark, Any]:
        """Return the mark of the stage above, and the count."""
        return mark[0], mark[1] + 1

    def address(self, mark: Mark, above: Callable[[Mark], Any]) -> Any:
        """Return the address without the count, which says nothing about the value."""
        return above(mark[0])


@dataclass(frozen=True)
class Take(Ordinal):
    """The first `n` items."""

    n: int

    def accepts(self, part: Any) -> bool:
        """Return whether `part` is None or a count that this stage can reach."""
        return part is None or (is_count(part) and part <= self.n)

    @property
    def label(self) -> str:
        """The stage's name, with everything that a saved state depends on."""
        return f"take({self.n})"

    def length(self, items: int) -> int | None:
        """Return how many items leave when `items` come in."""
        return min(items, self.n)

    def needs(self, items: int) -> int | None:
        """Return how many items must come in for `items` to leave."""
        return min(items, self.n)

    def flow(self, up: Flow, context: Context) -> Flow:
        """Stop at `n` items, without asking for another."""
        taken = context.part or 0
        while taken < self.n:
            entry = next(up, END)
            if entry is END:
                return
            if entry[1] is not None:
                context.meter.items += 1
                entry = entry[0], [entry[1], taken]
                taken += 1
            yield entry


@dataclass(frozen=True)
class Shard(Ordinal):
    """Every `world_size`-th item, starting with number `rank`."""

    rank: int
    world_size: int

    @property
    def label(self) -> str:
        """The stage's name, with everything that a saved state depends on."""
        return f"shard({self.rank}, {self.world_size})"

    def length(self, items: int) -> int | None:
        """Return how many items leave when `items` come in."""
        return len(range(self.rank, items, self.world_size))

    def needs(self, items: int) -> int | None:
        """Return how many items must come in for `items` to leave."""
        return self.rank + (items - 1) * self.world_size + 1 if items else 0

    def flow(self, up: Flow, context: Context) -> Flow:
        """Count all items, and pass on those of this rank."""
        seen = context.part or 0
        for entry in up:
            if entry[1] is None:
                yield entry
                continue
            if seen % self.world_size == self.rank:
                context.meter.items += 1
                yield entry[0], [entry[1], seen]
            seen += 1


@dataclass(frozen=True)
class Flatten(Stage):
    """The items of each item, one after the other.

    Its marks are `[mark, ordinal, is_last, was_held]`. Its state holds the address of a parent that
    was delivered in part, and how many of its items were. A resumed run makes that parent again,
    with its address as its mark, and begins with the remaining items.
    """

    @property
    def label(self) -> str:
        """The stage's name, with everything that a saved state depends on."""
        return "flatten()"

    def length(self, items: int) -> int | None:
        """Return None: the number of items in a parent is not known."""
        return None

    def needs(self, items: int) -> int | None:
        """Return None: the number of items in a parent is not known."""
        return None

    def accepts(self, part: Any) -> bool:
        """Return whether `part` is None or holds exactly one parent."""
        return part is None or (is_held(part) and len(part["held"]) == 1)

    def flow(self, up: Flow, context: Context) -> Flow:
        """Pass on the items, starting with the rest of a parent that was delivered in part."""
        for values, address in context.first:
            yield from self._items(values, address, context, context.part["given"])
        for entry in up:
            if entry[1] is None:
                yield entry
            elif isinstance(entry[0], list):
                yield from self._items(*entry, context)
            else:
                yield from entry[0].entries(entry[1], context.meter)

    def _items(self, values: Any, mark: Mark, context: Context, given: int = 0) -> Flow:
        last = len(values) - 1
        for ordinal in range(given, len(values)):
            context.meter.items += 1
            yield values[ordinal], [mark, ordinal, ordinal == last, given > 0]
            if not ordinal % TURN and ordinal:
                yield PAUSED

    def split(self, mark: Mark, context: Context) -> tuple[Mark, Any]:
        """Return the parent's mark; the state holds the parent if some items are yet to come."""
        parent, ordinal, is_last, was_held = mark
        above = None if was_held else parent
        if is_last:
            return above, None
        address = parent if was_held else context.address(parent)
        return above, {"held": [address], "given": ordinal + 1}

    def address(self, mark: Mark, above: Callable[[Mark], Any]) -> Any:
        """Return the address of the parent, and the item's index in it."""
        parent, ordinal, _, was_held = mark
        return [parent if was_held else above(parent), ordinal]

    def inner(self, addresses: list[Any]) -> list[Any]:
        """Return the addresses of the parents, each once."""
        if not all(isinstance(a, list) and len(a) == 2 and is_count(a[1]) for a in addresses):
            raise ValueError("an item is one of a parent's, counted from 0")
        return list({_key(address[0]): address[0] for address in addresses}.values())

    async def rebuild(self, addresses: list[Any], above: Rebuild) -> list[Entry]:
        """Remake the parents, and pick the items."""
        parents = self.inner(addresses)
        values = {_key(parents[place]): value for value, place in await above(parents)}
        return [
            (values[_key(parent)][ordinal], place)
            for place, (parent, ordinal) in enumerate(addresses)
            if ordinal < len(values.get(_key(parent), ()))
        ]


def needed(stages: tuple[Stage, ...]) -> int | None:
    """Return how many items of the source suffice for what `take` lets through, if known."""
    items: int | None = None
    for stage in reversed(stages):
        if isinstance(stage, Take):
            items = stage.n if items is None else stage.needs(items)
        elif items is not None:
            items = stage.needs(items)
    return items


def numbered(flow: Flow) -> Flow:
    """Replace the marks of keys with their ordinals."""
    ordinal = 0
    for entry in flow:
        if entry[1] is None:
            yield entry
        else:
            yield entry[0], ordinal
            ordinal += 1


def is_count(value: object) -> bool:
    """Return whether `value` is an int >= 0."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def is_held(part: Any) -> bool:
    """Return whether `part` is the state of a stage that holds items: a count and addresses."""
    keys = {"given", "held"}
    return (
        isinstance(part, dict)
        and part.keys() == keys
        and is_count(part["given"])
        and isinstance(part["held"], list)
        and len({repr(address) for address in part["held"]}) == len(part["held"])
    )


def leaf(mark: Mark) -> int:
    """Return the number of the (first) key that a mark was made from."""
    while isinstance(mark, list):
        mark = mark[0]
    return int(mark)


def _key(address: Any) -> Hashable:
    return tuple(map(_key, address)) if isinstance(address, list) else cast(Hashable, address)
