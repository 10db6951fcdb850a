"""One step of training: what `fit` yields, and what a run resumes from."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any


class _StateOnDemand:
    """Builds the field `pipeline_state` from `_snapshot` when it is first read.

    `fit` yields a step every millisecond, of which perhaps one in a thousand is saved. The slot of
    the field is left empty, so Python calls `__getattr__` for it. Everything that reads the field,
    such as `==`, pickle or `dataclasses.replace`, gets the state.
    """

    __slots__ = ("_snapshot",)
    _snapshot: Callable[[], dict[str, Any]]

    if not TYPE_CHECKING:  # otherwise type checkers would accept any misspelt name

        def __getattr__(self, name: str) -> Any:
            if name != "pipeline_state":
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
            object.__setattr__(self, name, self._snapshot())
            return self.pipeline_state


@dataclass(frozen=True, slots=True)
class Step(_StateOnDemand):
    """One complete step of training, as `fit` yields it and `resume_from` takes it.

    Attributes:
        epoch: the epoch, from 0.
        index: the index of the step in its epoch, from 0.
        loss: the mean over the batch, before the parameters were changed.
        examples: the number of examples in the batch.
        wait_s: how long training waited for the batch, in seconds.
        compute_s: how long the thread computed, in seconds.
        pipeline_state: `state_dict()` of the data after this batch; None if it has no such method.
    """

    epoch: int
    index: int
    loss: float
    examples: int
    wait_s: float
    compute_s: float
    pipeline_state: dict[str, Any] | None = field(default=None, repr=False)


def standing_at(snapshot: Callable[[], dict[str, Any]], step: Step) -> Step:
    """Give `step`, which has no state yet, the state `snapshot()`, built on demand; return it."""
    object.__setattr__(step, "_snapshot", snapshot)
    object.__delattr__(step, "pipeline_state")
    return step
