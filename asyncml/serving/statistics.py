"""What a micro-batcher has done: how large its batches were, why they left, and who waited."""

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal, Self

from asyncml.look import printable
from asyncml.units import figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# why a batch left: it was full; nothing ran; it had waited `max_wait_s`, or while another one ran;
# the block ends
Reason = Literal["full", "idle", "waited", "busy", "closing"]


@dataclass
class BatcherStatistics:
    """What a `MicroBatcher` has done since its block began.

    Attributes:
        requests: rows that were asked for, those that were refused left out.
        answered: rows whose answer was handed out.
        batches: calls of the model that were planned; those that look for a bad row left out.
        sizes: rows in a batch -> how many batches had so many.
        reasons: why batches left -> how many: "full"; "idle": nothing ran; "waited": `max_wait_s`
            was over; "busy": a place became free, and they had gathered meanwhile; "closing".
        waited_s: seconds from the call to the batch, of all rows together.
        served_s: seconds that all batches took together.
        queued: rows that wait now.
        rejected: refused, since the queue was full.
        cancelled: given up by their callers.
        failed: answered with an error.
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
        """Return a copy that does not change any more, for so many rows that wait."""
        reasons = dict(Counter(self.reasons).most_common())
        return replace(self, queued=queued, sizes=dict(sorted(self.sizes.items())), reasons=reasons)

    @property
    def rows(self) -> int:
        """Rows that were in a batch."""
        return sum(size * count for size, count in self.sizes.items())

    @property
    def wait_s(self) -> float:
        """Mean seconds from the call to the batch; 0 where there was none."""
        return self.waited_s / self.rows if self.batches else 0.0

    @property
    def service_s(self) -> float:
        """Mean seconds that a batch took; 0 where there was none."""
        return self.served_s / self.batches if self.batches else 0.0

    @property
    def mean_size(self) -> float:
        """Rows a batch, on average; 0 where there was none."""
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
        """Draw how many batches had which size.

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
