"""One step of a training: what `fit` hands out, and what a run goes on from."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any


class _StateOnDemand:
    """Makes the field `pipeline_state` when it is first asked for, from `_snapshot`.

    `fit` hands out a step a millisecond, of which perhaps one in a thousand is saved. The slot of
    the field is left empty, and Python calls `__getattr__` for what it does not find. Whatever
    reads the field, such as `==`, pickle or `dataclasses.replace`, finds the state.
    """

    __slots__ = ("_snapshot",)
    _snapshot: Callable[[], dict[str, Any]]

    if not TYPE_CHECKING:  # else any misspelt name would be an attribute

        def __getattr__(self, name: str) -> Any:
            if name != "pipeline_state":
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
            object.__setattr__(self, name, self._snapshot())
            return self.pipeline_state


@dataclass(frozen=True, slots=True)
class Step(_StateOnDemand):
    """One whole step of training, as `fit` hands it out and `resume_from` takes it.

    Attributes:
        epoch: from 0.
        index: of the step in its epoch, from 0.
        loss: mean over the batch, before the parameters were changed.
        examples: in the batch.
        wait_s: seconds that training waited for the batch.
        compute_s: seconds that the thread computed.
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
    """Return `step`, new and without a state, as one whose state is `snapshot()` when asked for."""
    object.__setattr__(step, "_snapshot", snapshot)
    object.__delattr__(step, "pipeline_state")
    return step
