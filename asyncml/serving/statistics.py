"""Statistics of a micro-batcher: the size of its batches, why they left, how long rows waited."""

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal, Self

from asyncml.look import printable
from asyncml.units import figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# why a batch left: it was full; nothing was running; it had waited for `max_wait_s`, or while
# another one ran; the block was ending
Reason = Literal["full", "idle", "waited", "busy", "closing"]


@dataclass
class BatcherStatistics:
    """What a `MicroBatcher` has done since its block began.

    Attributes:
        requests: rows that were requested, without those that were refused.
        answered: rows whose answer was handed out.
        batches: planned calls of the model, without those that search for a bad row.
        sizes: rows in a batch -> number of batches with as many.
        reasons: why batches left -> number of batches: "full"; "idle": nothing was running;
            "waited": `max_wait_s` was over; "busy": a place became free, and it had gathered
            meanwhile; "closing".
        waited_s: seconds from the call to the batch, summed over all rows.
        served_s: seconds that batches took, summed over all of them.
        queued: rows that are waiting now.
        rejected: rows refused because the queue was full.
        cancelled: rows given up by their callers.
        failed: rows answered with an error.
    """

    requests: int = 0
    answered: int = 0
    batches: int = 0
    sizes: dict[int, int] = field(default_factory=Counter)
    reasons: dict[str, int] = field(default_factory=Counter)
    waited_s: float = 0.0
    served_s: float = 0.0
    queued: int = 0
    rejected: int = 0
    cancelled: int = 0
    failed: int = 0

    def now(self, queued: int) -> Self:
        """Return a copy that no longer changes, with `queued` rows waiting."""
        reasons = dict(Counter(self.reasons).most_common())
        return replace(self, queued=queued, sizes=dict(sorted(self.sizes.items())), reasons=reasons)

    @property
    def rows(self) -> int:
        """How many rows were in a batch."""
        return sum(size * count for size, count in self.sizes.items())

    @property
    def wait_s(self) -> float:
        """Mean seconds from the call to the batch; 0 if there was none."""
        return self.waited_s / self.rows if self.batches else 0.0

    @property
    def service_s(self) -> float:
        """Mean seconds that a batch took; 0 if there was none."""
        return self.served_s / self.batches if self.batches else 0.0

    @property
    def mean_size(self) -> float:
        """Mean number of rows per batch; 0 if there was none."""
        return self.rows / self.batches if self.batches else 0.0

    def __str__(self) -> str:
        return printable("\n".join(f"{name:10} {value}" for name, value in self._rows()))

    def _repr_html_(self) -> str:
        import html  # only notebooks need it

        rows = (
            f"<tr><th>{name}</th><td>{html.escape(value)}</td></tr>" for name, value in self._rows()
        )
        return f"<table>{''.join(rows)}</table>"

    def _rows(self) -> list[tuple[str, str]]:
        reasons = ", ".join(f"{count} {reason}" for reason, count in self.reasons.items())
        return [
            ("requests", f"{self.requests}, {self.answered} answered"),
            ("batches", f"{self.batches} of {self.mean_size:.1f} rows on average"),
            ("left", reasons or "none yet"),
            ("waited", f"{figure(self.wait_s * 1e3, 3)} ms on average"),
            ("service", f"{figure(self.service_s * 1e3, 3)} ms a batch"),
            ("queued", str(self.queued)),
            ("refused", str(self.rejected)),
            ("cancelled", str(self.cancelled)),
            ("failed", str(self.failed)),
        ]

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Draw the number of batches of each size.

        Args:
            ax: the axes to draw on; by default a new figure.

        Raises:
            ModuleNotFoundError: matplotlib is not installed.
        """
        import matplotlib.pyplot as plt

        if ax is None:
            _, ax = plt.subplots(figsize=(8, 3), layout="constrained")
        ax.bar(list(self.sizes), list(self.sizes.values()), color="#0072B2")
        ax.set_xlabel("rows in a batch")
        ax.set_ylabel("batches")
        ax.spines[["top", "right"]].set_visible(False)
        return ax
