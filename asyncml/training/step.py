"""One step of a training: what `fit` hands out, and what a run goes on from."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Step:
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
