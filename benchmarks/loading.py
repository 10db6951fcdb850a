"""Loading: our pipeline beside a version written by hand and libraries.

A complete run writes `RESULTS.md` and `loading.png`; a run with only some peers just prints.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import figure, imports, million
from benchmarks.measuring import interleaved, machine
from benchmarks.peers import PEERS, US, Peer, installed
from benchmarks.results import (
    Row,
    figures_table,
    limits_table,
    markdown,
    missing_line,
    plain,
    ratios_table,
    write_section,
)
from benchmarks.workloads import WORKLOADS, Limit, Workload

MOST_S = 3.0  # a program that has taken this long in total is not run again

NOTES = f"""\
- Medians of interleaved rounds, each from building the loader to its last item; a program that has
  taken {MOST_S:g} s altogether is not repeated. A dash: the library cannot do that.
- In batches, in order, except for "SPDL": there as completed, which is its default.
- By hand: workers over one iterator, and a window of 16 times the concurrency that restores the
  order. Plain functions that do nothing go to a thread in chunks of 32, pictures one by one.
- As far ahead as by hand: by default ours has at most 16 times the concurrency of items ahead of
  the consumer, here 32; by hand it is as many chunks of 32. So every 32 items cost us one hand-over
  to a thread and back, whose price stands in the row "one by one".
- aiostream has no plain `for` and does not prefetch: the blocking step stands in its `async for`.
- Executor.map and DataLoader call a function that blocks, in as many threads as the concurrency
  and in as many processes as there are cores. Executor.map takes in all items at once.
- Ideal: the sum of the waits, divided by the concurrency.
- Import: beyond `{imports.BASE}`; ours with its pipeline.
- A million items: an `async def` that does nothing, 16 at once; after {million.PATIENCE_S:g} s
  there are no more items, and the time is extrapolated.
- Memory: by how much the peak has grown by then, in the first process only; 1 MB is the least that
  can be told. Not measured on Windows.
"""


def main(rounds: int = 5, only: Sequence[str] = (), folder: Path = Path(__file__).parent) -> None:
    """Measure and print; write the results of a complete run.

    Args:
        rounds: the most runs of each program.
        only: the keys of some peers; ours is always included.
        folder: where the results of a complete run are written.
    """
    chosen = tuple(peer for peer in PEERS if not only or peer.key in only or peer == US)
    adapters, missing = installed(chosen)
    for peer in missing:
        print(missing_line(peer))
    peers, on = [*adapters], machine()
    rows = [*measured_rows(adapters, rounds)]
    print(f"\n{plain(limits_table(rows))}\n\n{plain(ratios_table(rows, peers))}")
    if chosen == PEERS:
        write_section(folder / "RESULTS.md", "Loading", page(rows, peers, missing, on))
        figure.draw(rows, peers, folder / "loading.png")


def measured_rows(adapters: Mapping[Peer, Any], rounds: int) -> Iterator[Row]:
    """Measure workload by workload."""
    logging.getLogger("spdl").setLevel(logging.ERROR)  # otherwise it logs a line for each pipeline
    for workload in WORKLOADS:
        print(f"measuring: {workload.name}", flush=True)
        yield measured_row(workload, adapters, rounds)
    print("measuring: import, a million items", flush=True)
    yield import_row([*adapters], rounds)
    yield from million_rows([peer for peer in adapters if hasattr(adapters[peer], "on_loop")])


def measured_row(workload: Workload, adapters: Mapping[Peer, Any], rounds: int) -> Row:
    """Measure one workload, for all peers that can do it."""
    able = {peer.key: each for peer, each in adapters.items() if hasattr(each, workload.how)}
    for adapter in able.values():
        workload.run(adapter, size=min(64, workload.size))  # a warm-up, and a check that it works
    programs = [partial(_repeat, workload, adapter) for adapter in able.values()]
    times = interleaved(*programs, rounds=rounds, most_s=MOST_S)
    figures = {key: time * workload.scale for key, time in zip(able, times, strict=True)}
    return Row(workload.name, workload.unit, figures, workload.limits)


def _repeat(workload: Workload, adapter: Any) -> None:
    for _ in range(workload.repeat):
        workload.run(adapter)


def import_row(peers: Sequence[Peer], rounds: int) -> Row:
    """Measure the import of each peer outside the standard library."""
    imported = [peer for peer in peers if peer.imports]
    times = imports.seconds_to_import([peer.imports for peer in imported], 2 * rounds)
    figures = {peer.key: 1e3 * time for peer, time in zip(imported, times, strict=True)}
    return Row("import", "ms", figures, (Limit(40.0),))


def million_rows(peers: Sequence[Peer]) -> Iterator[Row]:
    """Measure a million items, once per peer."""
    runs = {peer.key: million.measured(peer.key, million.SIZE) for peer in peers}
    times = {key: run.seconds * million.SIZE / run.items for key, run in runs.items()}
    yield Row("a million items", "s", times)
    peaks = {key: max(1.0, run.peak_mb) for key, run in runs.items() if run.peak_mb is not None}
    yield Row("a million items, memory", "MB", peaks)  # less than 1 MB is noise


def page(rows: Sequence[Row], peers: Sequence[Peer], missing: Sequence[Peer], on: str) -> str:
    """Return the section of the results page."""
    versions = dict.fromkeys(version for peer in peers if (version := peer.version()))
    absent = "".join(f"\n\n{missing_line(peer)}" for peer in missing)
    return f"""\
`python -m benchmarks loading`: {", ".join(versions)}. {on}.{absent}

![How many times our figure each peer's is, by workload](loading.png)

### Ours, and our limits

{markdown(limits_table(rows))}

### Times ours

{markdown(ratios_table(rows, peers))}

### As measured

{markdown(figures_table(rows, peers))}

{NOTES}"""
