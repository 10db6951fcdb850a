"""The figure of a benchmark: each peer's time as a multiple of ours, and our limits."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.peers import US, Peer
from benchmarks.results import Row, digits

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# distinguishable for colour-blind readers, and by shape
STYLES = (
    ("#000000", "o"),
    ("#0072B2", "s"),
    ("#56B4E9", "D"),
    ("#D55E00", "^"),
    ("#E69F00", "v"),
    ("#009E73", "P"),
    ("#CC79A7", "X"),
)


def draw(rows: Sequence[Row], peers: Sequence[Peer], file: Path) -> None:
    """Draw the ratios on a logarithmic axis, one line per workload, and save the figure."""
    from matplotlib.figure import Figure

    sketch = Figure(figsize=(11, 0.5 * len(rows) + 1.6), layout="constrained")
    axes = sketch.subplots()
    axes.axvline(1, color="#0072B2", linewidth=2, label=US.name, zorder=1)
    others = [peer for peer in peers if peer != US]
    for peer, (colour, marker) in zip(others, STYLES, strict=False):
        ratios = [row.ratio(peer) for row in rows]
        _dots(axes, ratios, marker, color=colour, markersize=7, label=peer.name, zorder=3)
    limits = [most / row.ours if (most := row.tightest()) else None for row in rows]
    mark = {"color": "#CC0000", "markersize": 18, "markeredgewidth": 2.5}
    _dots(axes, limits, "|", label="our limit (left of the line: missed)", **mark)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}x")
    names = [f"{row.name}\n{digits(row.ours)} {row.unit}".replace("`", "") for row in rows]
    axes.set_yticks(range(len(rows)), names)
    axes.invert_yaxis()
    axes.set_xlabel(f"times {US.name}'s figure (named at the left); to the right: slower, or more")
    axes.grid(axis="x", alpha=0.3)
    sketch.legend(loc="outside lower center", ncols=3, frameon=False)
    sketch.savefig(file, dpi=120, metadata={"Software": None})


def _dots(axes: "Axes", ratios: Sequence[float | None], marker: str, **style: Any) -> None:
    """Draw the known values, each on the line of its row."""
    known = [(ratio, line) for line, ratio in enumerate(ratios) if ratio]
    axes.plot([x for x, _ in known], [y for _, y in known], marker, **style)
