"""The results of a benchmark: figures beside our limits, as tables for a page or a terminal."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.peers import BATCHERS, PEERS, TRAINERS, US, Peer
from benchmarks.workloads import Limit

BEST_TORCH = "best-torch"
BOUNDS = {BEST_TORCH: "the best torch", "ceiling": "the ceiling", "full": "full batches"}
NAMES = {peer.key: peer.name for peer in (*PEERS, *TRAINERS, *BATCHERS)} | BOUNDS
CANNOT = "-"
TITLE = """\
# Benchmark results

What was measured: how fast the module is and how well it trains, beside other libraries.
`python -m benchmarks` measures it again on your machine.
"""


@dataclass(frozen=True)
class Row:
    """The measurements of one workload.

    Args:
        name: the workload's name.
        unit: the unit of the figures.
        figures: by the key of a peer; a peer that cannot do the workload has none.
        limits: the limits of our own figure.
    """

    name: str
    unit: str
    figures: Mapping[str, float]
    limits: tuple[Limit, ...] = ()

    @property
    def ours(self) -> float:
        return self.figures[US.key]

    def most(self, limit: Limit) -> float | None:
        """Return a limit in the row's unit; None if it depends on a peer without a figure."""
        if not limit.of:
            return limit.most
        figure = self.figures.get(limit.of)
        return None if figure is None else limit.most * figure

    def tightest(self) -> float | None:
        """Return the lowest known limit, or None."""
        known = [most for limit in self.limits if (most := self.most(limit)) is not None]
        return min(known, default=None)

    def ratio(self, peer: Peer) -> float | None:
        """Return a peer's figure as a multiple of ours, or None if that cannot be computed."""
        figure = self.figures.get(peer.key)
        return None if figure is None or min(figure, self.ours) <= 0 else figure / self.ours


def limits_table(rows: Iterable[Row]) -> list[list[str]]:
    """Return a table of our figures and their limits."""
    table = [["workload", "ours", "limit", "kept?"]]
    for row in rows:
        name, ours = row.name, f"{digits(row.ours)} {row.unit}"
        for limit in row.limits or (None,):
            verdict = "" if limit is None else _verdict(row, limit)
            table.append([name, ours, "none" if limit is None else limit_text(limit, row), verdict])
            name = ours = ""
    return table


def limit_text(limit: Limit, row: Row) -> str:
    """Put a limit in words: "at most 3 µs an item", or "at most 2x by hand (0.85)"."""
    if not limit.of:
        return f"at most {limit.most:g} {row.unit}"
    times = f"{limit.most:.3g}x" if limit.most > 0.5 else f"1/{1 / limit.most:.0f} of"
    most = row.most(limit)
    bound = "" if most is None else f" ({digits(most)})"
    return f"at most {times} {NAMES[limit.of]}{bound}"


def _verdict(row: Row, limit: Limit) -> str:
    most = row.most(limit)
    return "not measured" if most is None else "yes" if row.ours <= most else "NO"


def ratios_table(rows: Iterable[Row], peers: Sequence[Peer]) -> list[list[str]]:
    """Return a table of the peers' figures as multiples of ours."""
    others = [peer for peer in peers if peer.key != US.key]
    table = [["workload", f"{US.name} = 1", *(peer.name for peer in others)]]
    for row in rows:
        ratios = (row.ratio(peer) for peer in others)
        cells = (CANNOT if ratio is None else f"{digits(ratio)}x" for ratio in ratios)
        table.append([row.name, f"{digits(row.ours)} {row.unit}", *cells])
    return table


def figures_table(rows: Iterable[Row], peers: Sequence[Peer]) -> list[list[str]]:
    """Return a table of the measured figures."""
    table = [["workload", "unit", *(peer.name for peer in peers)]]
    for row in rows:
        figures = (row.figures.get(peer.key) for peer in peers)
        cells = (CANNOT if figure is None else digits(figure) for figure in figures)
        table.append([row.name, row.unit, *cells])
    return table


def missing_line(peer: Peer) -> str:
    """Return a line for a peer that is not installed."""
    return f"{peer.name} is missing: pip install -r benchmarks/requirements.txt"


def digits(value: float) -> str:
    """Round to a stopwatch's precision: "0.95", "2.8", "19", "1,200"."""
    if value < 0.005:
        return "0"
    return f"{value:.2f}" if value < 9.95 else f"{value:,.0f}"


def plain(table: Sequence[Sequence[str]]) -> str:
    """Return a table as text for a terminal."""
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = (
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in table
    )
    return "\n".join(lines)


def markdown(table: Sequence[Sequence[str]]) -> str:
    """Return a table as Markdown."""
    head, *lines = (f"| {' | '.join(line)} |" for line in table)
    return "\n".join([head, f"|{'---|' * len(table[0])}", *lines])


def write_section(page: Path, title: str, text: str) -> None:
    """Write a section to the page; it replaces a section with the same title."""
    before = page.read_text(encoding="utf-8") if page.exists() else TITLE
    section = f"## {title}\n\n{text.strip()}\n"
    pattern = re.compile(rf"^## {re.escape(title)}\n.*?(?=^## |\Z)", re.DOTALL | re.MULTILINE)
    if pattern.search(before):
        after = pattern.sub(lambda _: f"{section}\n", before)
    else:
        after = f"{before.rstrip()}\n\n{section}"
    page.write_text(after.rstrip() + "\n", encoding="utf-8", newline="\n")
