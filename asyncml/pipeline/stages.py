"""The cheap stages of a pipeline: plain generators over entries, without a task or a queue.

An entry is `(value, mark)`. The mark says where in the source the value came from, so that the mark
of the last item handed out is all that a pipeline needs to know to go on after it. A stage with
nothing ready yields PENDING, and whoever drives the chain then waits; one that has held the loop
for long yields PAUSED, and is asked again at the loop's next turn. Lesson 07 builds such stages.
"""

from collections.abc import Awaitable, Callable, Hashable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final, cast

from asyncml.pipeline.executors import Pools
from asyncml.pipeline.held import Held
from asyncml.pipeline.meters import Meter

# What must be known of an item to go on right after it. Each stage makes its own mark of those of
# the items that it took:
#
#   keys                    number              of the key, from 0
#   map, filter, prefetch   mark                as it came
#   take, shard             [mark, ordinal]     how many were taken, or seen, before
#   flat_map                [mark, ordinal, is_last, was_held]
#                                               which item of its parent it is, whether more come,
#                                               and whether `mark` is an address, of a parent that
#                                               a resumed run has made again
#   batch                   [mark, mark, ...]   of its items
#   shuffle, ordered=False  [address, ordinal]  a `Given`: how many were given out before
#
# An address says which items of the source a value was made of, and how: it is the mark without
# what was counted, so that it is JSON and means the same in another run.
Mark = Any
Entry = tuple[Any, Mark]
Flow = Iterator[Entry]
Rebuild = Callable[[list[Any]], Awaitable[list[Entry]]]

# what stands in an entry's place has no mark
PENDING: Final[Entry] = ("nothing ready", None)
PAUSED: Final[Entry] = ("more at the loop's next turn", None)
END: Final[Entry] = ("no more", None)
# what works on the loop may hold it this long, in seconds, and gives so many items, before the
# loop's other tasks have their turn
PAUSE_S, TURN = 0.005, 1024


@dataclass
class Context:
    """What a stage of one running epoch knows: its state, its meter, and how to name an item.

    `drain` takes what the stage above has ready, up to so many entries, where that can be asked.
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
    """One stage: what it is, how it runs, and how its marks tell where it stood.

    The defaults are those of a stage that passes items on one by one, in order.
    """

    # whether it may stand before the keys, whose number is all that a state says of what is above
    # them: it calls no function of the user's, which a resumed run would repeat, and an error above
    # it cuts none of its items short, as it does a batch
    is_above_keys = False
    reorders = False
    is_transparent = False  # whether it makes no difference to a saved state

    @property
    def label(self) -> str:
        """What the stage is, as far as a saved state depends on it."""
        raise NotImplementedError

    def length(self, items: int) -> int | None:
        """How many items leave when `items` come in; None if that is not known beforehand."""
        return items

    def needs(self, items: int) -> int | None:
        """How many items must come in so that `items` leave; None if that is not known."""
        return items

    def accepts(self, part: Any) -> bool:
        """Whether `part` may stand for this stage in a saved state; None: it has no part there."""
        return part is None

    def flow(self, up: Flow, context: Context) -> Flow:
        """Run over the entries of the stage above."""
        raise NotImplementedError

    def split(self, mark: Mark, context: Context) -> tuple[Mark, Any]:
        """Return where the stages above stood after `mark`, and the state of this one.

        A mark of None: where they stood when the epoch was resumed.
        """
        return mark, None

    def address(self, mark: Mark, above: Callable[[Mark], Any]) -> Any:
        """Return which items of the source a value was made of, and how, as JSON."""
        return above(mark)

    def inner(self, addresses: list[Any]) -> list[Any]:
        """Return the addresses, one stage further up, that these were made of."""
        return addresses

    async def rebuild(self, addresses: list[Any], above: Rebuild) -> list[Entry]:
        """Make values again from their addresses; an entry's mark is its place in the list."""
        return await above(addresses)


@dataclass(frozen=True)
class Ordinal(Stage):
    """A stage whose state is a count: its marks are `[mark, ordinal]`."""

    is_above_keys = True

    def accepts(self, part: Any) -> bool:
        """Whether it is a count."""
        return part is None or is_count(part)

    def split(self, mark: Mark, context: Context) -> tuple[Mark, Any]:
        """Take the count from the mark."""
        return mark[0], mark[1] + 1

    def address(self, mark: Mark, above: Callable[[Mark], Any]) -> Any:
        """Leave out the count: it says nothing about the value."""
        return above(mark[0])


@dataclass(frozen=True)
class Take(Ordinal):
    """The first `n` items."""

    n: int

    def accepts(self, part: Any) -> bool:
        """Whether it is a count that it can have come to."""
        return part is None or (is_count(part) and part <= self.n)

    @property
    def label(self) -> str:
        """Name it, with all that a saved state depends on."""
        return f"take({self.n})"

    def length(self, items: int) -> int | None:
        """Count what leaves."""
        return min(items, self.n)

    def needs(self, items: int) -> int | None:
        """Count what must come in."""
        return min(items, self.n)

    def flow(self, up: Flow, context: Context) -> Flow:
        """Stop at `n`, without asking for another item."""
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
    """Every `world_size`-th item, beginning with the one numbered `rank`."""

    rank: int
    world_size: int

    @property
    def label(self) -> str:
        """Name it, with all that a saved state depends on."""
        return f"shard({self.rank}, {self.world_size})"

    def length(self, items: int) -> int | None:
        """Count what leaves."""
        return len(range(self.rank, items, self.world_size))

    def needs(self, items: int) -> int | None:
        """Count what must come in."""
        return self.rank + (items - 1) * self.world_size + 1 if items else 0

    def flow(self, up: Flow, context: Context) -> Flow:
        """Count all, pass on this rank's."""
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
    was delivered in part, and how many of its items were: a resumed run makes that parent again,
    whose mark is then its address, and begins with the others.
    """

    @property
    def label(self) -> str:
        """Name it, with all that a saved state depends on."""
        return "flatten()"

    def length(self, items: int) -> int | None:
        """Count what leaves."""
        return None

    def needs(self, items: int) -> int | None:
        """Nobody knows how many a parent has."""
        return None

    def accepts(self, part: Any) -> bool:
        """Whether it holds one parent."""
        return part is None or (is_held(part) and len(part["held"]) == 1)

    def flow(self, up: Flow, context: Context) -> Flow:
        """Pass on the items, first those of a parent that was delivered in part."""
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
        """Stand after the parent, and hold it if some of its items are still to come."""
        parent, ordinal, is_last, was_held = mark
        above = None if was_held else parent
        if is_last:
            return above, None
        address = parent if was_held else context.address(parent)
        return above, {"held": [address], "given": ordinal + 1}

    def address(self, mark: Mark, above: Callable[[Mark], Any]) -> Any:
        """Say which item of its parent it is."""
        parent, ordinal, _, was_held = mark
        return [parent if was_held else above(parent), ordinal]

    def inner(self, addresses: list[Any]) -> list[Any]:
        """Return the addresses of the parents, each once."""
        if not all(isinstance(a, list) and len(a) == 2 and is_count(a[1]) for a in addresses):
            raise ValueError("an item is one of a parent's, counted from 0")
        return list({_key(address[0]): address[0] for address in addresses}.values())

    async def rebuild(self, addresses: list[Any], above: Rebuild) -> list[Entry]:
        """Make the parents again, and pick the items."""
        parents = self.inner(addresses)
        values = {_key(parents[place]): value for value, place in await above(parents)}
        return [
            (values[_key(parent)][ordinal], place)
            for place, (parent, ordinal) in enumerate(addresses)
            if ordinal < len(values.get(_key(parent), ()))
        ]


def needed(stages: tuple[Stage, ...]) -> int | None:
    """Return how many items of the source are enough for what is taken further down, if known."""
    items: int | None = None
    for stage in reversed(stages):
        if isinstance(stage, Take):
            items = stage.n if items is None else stage.needs(items)
        elif items is not None:
            items = stage.needs(items)
    return items


def numbered(flow: Flow) -> Flow:
    """Replace the marks of keys by their ordinals."""
    ordinal = 0
    for entry in flow:
        if entry[1] is None:
            yield entry
        else:
            yield entry[0], ordinal
            ordinal += 1


def is_count(value: object) -> bool:
    """Whether it is an int >= 0."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def is_held(part: Any) -> bool:
    """Whether it is the state of a stage that holds items: how many it gave, which it holds."""
    keys = {"given", "held"}
    return (
        isinstance(part, dict)
        and part.keys() == keys
        and is_count(part["given"])
        and isinstance(part["held"], list)
        and len({repr(address) for address in part["held"]}) == len(part["held"])
    )


def leaf(mark: Mark) -> int:
    """Return the number, as a key, of the (first) item that a mark stands for."""
    while isinstance(mark, list):
        mark = mark[0]
    return int(mark)


def _key(address: Any) -> Hashable:
    return tuple(map(_key, address)) if isinstance(address, list) else cast(Hashable, address)
