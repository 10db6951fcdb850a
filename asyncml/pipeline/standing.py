"""Where an epoch stands: the keys consumed, and what each stage below them has counted or holds.

All of it follows from the mark of the last item handed out, so only that mark is kept while an
epoch runs. Lesson 07 shows a resumed run.
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

# how many items may be delivered, batched or not, before reordering stages settle their logs
SETTLE = 64
# how many keys are consumed, and the states of the stages below them, by place
Position = tuple[int, dict[str, Any]]


class Standing:
    """Where an epoch stood when it was resumed, and where it stands after an item.

    Args:
        source: the source.
        stages: the stages.
        at: where it stood, as in a state: `position`, how many keys were consumed (a key is an item
            that reaches the first function or the first batch), `parts`, the states of the stages
            below the keys, by place, and `source`, the identity of the source.
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
        self.contexts: list[Context] = []  # of the stages below the keys
        self.addresses: list[Callable[[Mark], Any]] = []  # mark to address, above each of these
        self._expected: Identity | None = at["source"] if at else None
        self._opened: Any = None
        self._made_of: Identity | None = None
        self._joint: Joint | None = None
        batched = math.prod(stage.size for stage in self.stages if isinstance(stage, Batch))
        self._settles_every = max(1, SETTLE // batched)
        self._delivered = 0
        self._settling = threading.Lock()  # under plain `for` the consumer's thread settles

    def open(self, opened: Any, joint: Joint | None) -> None:
        """Record what is iterated; raise ValueError if the epoch stood over another source."""
        self._opened, self._joint = opened, joint
        # not methods of the epoch: neither it nor anything that outlives it may hold it
        self.addresses = [joint.address if joint else lambda mark: mark]
        for stage in self.stages:
            self.addresses.append(partial(stage.address, above=self.addresses[-1]))
        if self._expected is not None:
            check_same(self._expected, self.made_of)

    @property
    def made_of(self) -> Identity:
        """The identity of the source, as far as it is known."""
        if self._opened is None:
            return self.source.identity
        if self._made_of is None:  # once per epoch: a fingerprint may be slow
            self._made_of = identify(self._opened)
        return self._made_of

    # where it stood

    def part(self, level: int) -> Any:
        """Return the state of a stage below the keys, if it had one."""
        if self.stages[level].is_transparent:  # it shares the place of another
            return None
        return self.base[1].get(str(self.place(level)))

    def place(self, level: int) -> int:
        """Return the place, among all stages, of a stage below the keys."""
        return self.places[len(self.keys) + level]

    def held(self, level: int) -> dict[str, Any]:
        """Return how many items a stage had given out, and the addresses of those that it held."""
        part = self.part(level)
        return part if isinstance(part, dict) else {"held": [], "given": 0}

    def wanted(self) -> dict[int, Any]:
        """Return the addresses of the keys whose items a stage still held, by key number."""
        wanted: dict[int, Any] = {}
        for level in range(len(self.stages) + 1):
            below = level == len(self.stages)
            addresses = self.again if below else self.held(level)["held"]
            for stage in reversed(self.stages[:level]):
                addresses = stage.inner(addresses)
            wanted.update((leaf(address), address) for address in addresses)
        return wanted

    def check(self) -> None:
        """Raise ValueError if the stages cannot have these states."""
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
            raise ValueError(f"`state` holds items unknown to the source: {shorten(parts)}")
        self.source.check(position, parts.get("source"), wanted)

    # where it stands

    def settle(self) -> None:
        """Every few items, settle the stages' logs up to the last item handed out."""
        self._delivered += 1
        if not self._delivered % self._settles_every:
            self.position()

    def position(self) -> Position:
        """Return the current position, even if another thread is handed the next item meanwhile."""
        with self._settling:  # the mark and the logs must be of the same moment
            return self.position_after(self.mark)

    def position_after(self, mark: Mark) -> Position:
        """Return the position after an item.

        A mark never changes once it is made, so for most pipelines this can be asked for any mark
        at any time. A stage that reorders reads what it held from a log, which cannot go back: then
        ask before another item is handed out.
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
        """Return the position after an item, for the state of a source made of pipelines."""
        position, parts = self.position_after(mark)
        return {"source": self.made_of, "position": position, "parts": parts}

    def address(self, mark: Mark) -> Any:
        """Return the address of the item with this mark."""
        return self.addresses[-1](mark)
