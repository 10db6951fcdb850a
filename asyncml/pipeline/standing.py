"""Where an epoch stands: the keys consumed, and what each stage behind them has counted or holds.

All of it follows from the mark of the last item handed out, so while an epoch runs only that mark
is kept. Lesson 07 shows a resumed run.
"""

import math
import threading
from collections.abc import Callable, Sequence
from functools import partial
from itertools import accumulate
from typing import Any

from asyncml.failures import shorten
from asyncml.pipeline.batches import Batch
from asyncml.pipeline.sources import Identity, Joint, Source, check_same, identify
from asyncml.pipeline.stages import Context, Mark, Stage, leaf

# how many items may be delivered, in batches or not, before stages that change the order settle
# their logs
SETTLE = 64
# how many keys are consumed, and the states of the stages behind them, by their place
Position = tuple[int, dict[str, Any]]


class Standing:
    """Where an epoch stood when it was resumed, and where it stands after an item.

    Args:
        source: what is iterated.
        stages: what is done with its items.
        at: where it stood, as a state says it: `position`, how many keys were consumed (a key is
            what comes to the first function or the first batch), `parts`, the states of the stages
            behind the keys, by their place, and `source`, what that was like.
        again: addresses of items that left the epoch before, to be made again.
    """

    def __init__(
        self,
        source: Source,
        stages: tuple[Stage, ...],
        at: dict[str, Any] | None = None,
        again: Sequence[Any] = (),
    ) -> None:
        self.base: Position = (at["position"], dict(at["parts"])) if at else (0, {})
        self.mark: Mark = None  # of the last item handed to the consumer
        self.again = list(again)
        above = (place for place, stage in enumerate(stages) if not stage.is_above_keys)
        keys = 0 if source.is_joint else next(above, len(stages))
        self.source, self.all_stages = source, stages
        self.keys, self.stages = stages[:keys], stages[keys:]
        # a transparent stage shares the place of the one above: it leaves no trace in a state
        self.places = [*accumulate((not stage.is_transparent for stage in stages), initial=-1)][1:]
        self.reorders = source.reorders or any(stage.reorders for stage in self.stages)
        self.contexts: list[Context] = []  # of the stages behind the keys
        self.addresses: list[Callable[[Mark], Any]] = []  # what comes out above each of these
        self._expected: Identity | None = at["source"] if at else None
        self._opened: Any = None
        self._made_of: Identity | None = None
        self._joint: Joint | None = None
        batched = math.prod(stage.size for stage in self.stages if isinstance(stage, Batch))
        self._settles_every = max(1, SETTLE // batched)
        self._delivered = 0
        self._settling = threading.Lock()  # under plain `for` the consumer settles

    def open(self, opened: Any, joint: Joint | None) -> None:
        """Take note of what is iterated; ValueError if the epoch stood over another source."""
        self._opened, self._joint = opened, joint
        # not methods of the epoch: nothing that lives on may hold it, nor it itself
        self.addresses = [joint.address if joint else lambda mark: mark]
        for stage in self.stages:
            self.addresses.append(partial(stage.address, above=self.addresses[-1]))
        if self._expected is not None:
            check_same(self._expected, self.made_of)

    @property
    def made_of(self) -> Identity:
        """By what its source can be told from another."""
        if self._opened is None:
            return self.source.identity
        if self._made_of is None:  # once an epoch: a fingerprint may take its time
            self._made_of = identify(self._opened)
        return self._made_of

    # where it stood

    def part(self, level: int) -> Any:
        """Return the state of a stage behind the keys, if it had one."""
        if self.stages[level].is_transparent:  # its place is another's
            return None
        return self.base[1].get(str(self.place(level)))

    def place(self, level: int) -> int:
        """Return the place of a stage behind the keys among all of them."""
        return self.places[len(self.keys) + level]

    def held(self, level: int) -> dict[str, Any]:
        """Return how many items a stage had given out, and the addresses of those that it held."""
        part = self.part(level)
        return part if isinstance(part, dict) else {"held": [], "given": 0}

    def wanted(self) -> dict[int, Any]:
        """Return the addresses of the keys whose items a stage still held, by their number."""
        wanted: dict[int, Any] = {}
        for level in range(len(self.stages) + 1):
            below = level == len(self.stages)
            addresses = self.again if below else self.held(level)["held"]
            for stage in reversed(self.stages[:level]):
                addresses = stage.inner(addresses)
            wanted.update((leaf(address), address) for address in addresses)
        return wanted

    def check(self) -> None:
        """Raise ValueError where the states of the stages cannot be theirs."""
        position, parts = self.base
        places = {str(place) for place in self.places[len(self.keys) :]}
        places |= {"source"} if self.source.is_joint else set()
        wrong = [place for place in parts if place not in places]
        for level, stage in enumerate(self.stages):
            if not stage.is_transparent and not stage.accepts(self.part(level)):
                wrong.append(str(self.place(level)))
        if wrong:
            raise ValueError(f"`state` has wrong `parts`: {shorten(parts)}, see {wrong[0]}")
        try:
            wanted = self.wanted()
            known = all(map(self.source.knows, wanted.values()))
        except (TypeError, LookupError, ValueError, RecursionError):
            known = False
        if not known:
            raise ValueError(f"`state` holds items that are of no place: {shorten(parts)}")
        self.source.check(position, parts.get("source"), wanted)

    # where it stands

    def settle(self) -> None:
        """Now and then let the logs of the stages end with the item that was handed out last."""
        self._delivered += 1
        if not self._delivered % self._settles_every:
            self.position()

    def position(self) -> Position:
        """Return where it stands now, though another thread be handed the next item meanwhile."""
        with self._settling:  # whoever holds it sees the mark and the logs of one moment
            return self.position_after(self.mark)

    def position_after(self, mark: Mark) -> Position:
        """Return where it stood after an item.

        Nothing changes a mark once it is made, so for most pipelines this can be asked for any mark
        at any time. A stage that changes the order knows what it held from a log, which does not go
        back: then it must be asked before another item is handed out.
        """
        if mark is None:
            return self.base
        parts: dict[str, Any] = {}
        for stage, context in zip(self.stages[::-1], self.contexts[::-1], strict=True):
            mark, part = stage.split(mark, context)
            if part is not None:
                parts[str(context.index)] = part
            if mark is None:  # nothing came from above since the epoch was resumed
                above = [str(place) for place in range(context.index)] + ["source"]
                old = {key: part for key, part in self.base[1].items() if key in above}
                return self.base[0], parts | old
        if self._joint:
            parts["source"] = self._joint.state(mark)
        return leaf(mark) + 1, parts

    def state(self, mark: Mark) -> dict[str, Any]:
        """Return where it stood after an item, for the state of a source made of pipelines."""
        position, parts = self.position_after(mark)
        return {"source": self.made_of, "position": position, "parts": parts}

    def address(self, mark: Mark) -> Any:
        """Return which item it is that has this mark."""
        return self.addresses[-1](mark)
