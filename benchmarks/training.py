"""Training: asyncml, torch, scikit-learn and the bare matrix products, side by side.

A complete run writes a section of `RESULTS.md`; a run with only some peers just prints.
"""

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.epochs import Run
from benchmarks.handover import BARE
from benchmarks.measuring import in_child, machine
from benchmarks.network import BATCH, EARLY, LATE, RATE, SIZES
from benchmarks.overlap import AT_ONCE, WAIT_S, Overlap
from benchmarks.parts import ADAM, ALONE, PARTS, PRODUCTS, REST, WHOLE
from benchmarks.peers import TRAINERS, US, Peer
from benchmarks.results import (
    BEST_TORCH,
    NAMES,
    Row,
    digits,
    figures_table,
    limits_table,
    markdown,
    missing_line,
    plain,
    ratios_table,
    write_section,
)
from benchmarks.workloads import Limit

IMAGES = 12_000
THREADS = (1, 2)
OF_TORCH = (Limit(0.85, BEST_TORCH), Limit(0.9, BEST_TORCH))
OF_PRODUCTS = Limit(1.35, "gemms")
LIMITS = {1: (*OF_TORCH, OF_PRODUCTS), 2: (OF_PRODUCTS,)}

NOTES = f"""\
- An MLP of {"-".join(map(str, SIZES))}, Adam with a rate of {RATE:g}, {IMAGES:,} images of the
  shipped set in batches of {BATCH}, always in the same order. Medians of interleaved epochs, the
  third to the sixth, and late: after {LATE}. At the end each must recognise what it was trained on.
  A dash: not measured, or not possible.
- Each number of threads in a process of its own: it is set for BLAS and OpenMP before they load.
- Matrix products alone: the eight of a step, written where they belong, and nothing else. There is
  no ninth, since nobody computes a gradient by the images.
- torch: eager, with Adam as it is by default; with the fused one; and network and loss compiled,
  with the fused one. MLPClassifier: `partial_fit`, without its penalty on the weights.
- asyncml's fit: `aml.fit` over the same batches in memory, in an event loop of its own, with as
  many threads for BLAS as the others (`blas_threads`); by itself it takes one.
- Overlap: `aml.fit` over a pipeline in which each batch waits {WAIT_S * 1e3:g} ms and is then made
  into floats, with one thread for BLAS; its time, divided by the longer of loading alone and
  computing alone. The last row has as many loads at once as make loading as long as computing: of
  what comes on top there, the first batch's {WAIT_S * 1e3:g} ms are inevitable.
- Beyond the bare loop: the steps are the same in each row. A queue is the least with which a thread
  can be handed a step and give word; the caller blocks meanwhile. With an event loop it is free to
  load, and whoever awaits the step is woken by way of the system's selector.
- Lag: how late a timer of 1 ms came at worst in an epoch of that, the median of epochs. Up to 1 ms
  of it is the system's, whose timers count in whole ones.
"""


def main(
    rounds: int = 5,
    only: Sequence[str] = (),
    folder: Path = Path(__file__).parent,
    size: int = IMAGES,
) -> None:
    """Measure and print; write the results of a complete run.

    Args:
        rounds: the number of timed epochs late in the training; early on, there are four.
        only: the keys of some peers; ours is always included.
        folder: where the results of a complete run are written.
        size: the number of images in an epoch.
    """
    keys = [peer.key for peer in TRAINERS if not only or peer.key in (US.key, *only)]
    on, runs, parts = machine(), {}, {}
    for threads in THREADS:
        print(f"measuring: epochs, {counted(threads)}", flush=True)
        found = in_child("benchmarks.epochs", rounds, size, *keys, threads=threads)
        runs[threads] = Run(**found)
        for name, before in ((counted(threads), 1), (f"{counted(threads)}, late", LATE)):
            parts[name] = in_child("benchmarks.parts", EARLY, size, before, threads=threads)
    print("measuring: training while loading", flush=True)
    found = in_child("benchmarks.overlap", EARLY, size, threads=1)
    handed = in_child("benchmarks.handover", EARLY, size, threads=1)
    rows = [*epoch_rows(runs), *overlap_rows([Overlap(**each) for each in found])]
    peers, absent = [peer for peer in TRAINERS if peer.key in runs[1].seconds], absences(runs[1])
    print(*absent, "", plain(limits_table(rows)), "", sep="\n")
    tables = figures_table(rows, peers), parts_table(parts), handover_table(handed)
    print(*map(plain, tables), sep="\n\n")
    if not only:
        text = page(rows, parts, handed, peers, absent, on)
        write_section(folder / "RESULTS.md", "Training", text)


def epoch_rows(runs: Mapping[int, Run]) -> list[Row]:
    """Return two rows for each number of threads."""
    rows = []
    for threads, run in runs.items():
        for when, times in (("", run.seconds), (" (late)", run.late)):
            figures = {key: 1e3 * seconds for key, seconds in times.items()}
            if torches := [figure for key, figure in figures.items() if key.startswith("torch")]:
                figures[BEST_TORCH] = min(torches)
            rows.append(Row(f"an epoch, {counted(threads)}{when}", "ms", figures, LIMITS[threads]))
    return rows


def counted(threads: int) -> str:
    return "1 thread" if threads == 1 else f"{threads} threads"


def overlap_rows(overlaps: Sequence[Overlap]) -> list[Row]:
    """Return the cost of training while loading, and the lag, with slack and without."""
    usual, even = overlaps
    return [
        _overlap_row(usual, f"loading {AT_ONCE} batches at once beside it", (Limit(1.1),)),
        Row("the same, longest lag", "ms", {US.key: 1e3 * usual.lag_s}, (Limit(5.0),)),
        _overlap_row(even, f"loading {even.at_once} at once, as long as computing", ()),
    ]


def _overlap_row(overlap: Overlap, name: str, limits: tuple[Limit, ...]) -> Row:
    return Row(name, "x the longer", {US.key: overlap.ratio}, limits)


def absences(run: Run) -> list[str]:
    """Return lines for peers that are not installed, or cannot run here."""
    missing = [missing_line(peer) for peer in TRAINERS if peer.key in run.missing]
    return missing + [f"{NAMES[key]} cannot do it here: {why}" for key, why in run.unable.items()]


def parts_table(parts: Mapping[str, Mapping[str, float]]) -> list[list[str]]:
    """Return a table of the milliseconds of each part of our step, by threads and time."""
    table = [["part of our epoch, ms", *parts]]
    for part in (ALONE, WHOLE, *PARTS):
        name = {ALONE: "matrix products alone", WHOLE: "our epoch"}.get(part, part)
        table.append([name, *(digits(1e3 * each[part]) for each in parts.values())])
    return table


def handover_table(seconds: Mapping[str, float]) -> list[list[str]]:
    """Return a table of the milliseconds of a step, from the bare loop to `fit`."""
    table = [["a step, 1 thread", "ms", "times the bare loop"]]
    for way, time in seconds.items():
        table.append([way, digits(1e3 * time), f"{time / seconds[BARE]:.2f}x"])
    return table


def rest_of_the_gap(parts: Mapping[str, float], late: Mapping[str, float]) -> str:
    """Return a text: where our time beyond the products goes, with one thread."""
    gap = parts[WHOLE] - parts[ALONE]
    others = [part for part in PARTS if part not in (PRODUCTS, ADAM, REST)]
    shares = {part: parts[part] / gap for part in (ADAM, REST, *others)}
    small = ", ".join(f"{part} {shares[part]:.0%}" for part in others)
    early = f"""\
With one thread our epoch takes {parts[WHOLE] / parts[ALONE]:.2f} times as long as the products
alone. Of what lies between, Adam is {shares[ADAM]:.0%}: ten passes of NumPy over all parameters,
each of which reads and writes memory anew, where torch's fused kernel makes one. It takes
{1e3 * parts[ADAM]:.0f} ms, of the {1e3 * (OF_PRODUCTS.most - 1) * parts[ALONE]:.0f} ms that
{OF_PRODUCTS.most:g} times the products would leave for all but them. The others:
{small}, and Python itself {shares[REST]:.0%} (calls, checks, the loop). The products take
{parts[PRODUCTS] / parts[ALONE]:.2f} times as long within the step as alone. Nothing the size
of a layer's output is allocated."""
    later = f"""\
After {LATE} epochs our Adam takes {late[ADAM] / parts[ADAM]:.1f} times as long. Where a parameter
has had no gradient for some 800 steps, as the weight of a pixel at the edge, its mean gradient,
times 0.9 at each step, falls below 1e-38: a denormal number, with which a core is many times
slower. Ours cuts it off before; the others do not, which is why their late epochs take longer than
their early ones.
"""
    return "\n\n".join(textwrap.fill(text, 100) for text in (early, later))


def page(
    rows: Sequence[Row],
    parts: Mapping[str, Mapping[str, float]],
    handed: Mapping[str, float],
    peers: Sequence[Peer],
    absent: Sequence[str],
    on: str,
) -> str:
    """Return the section of the results page."""
    versions = dict.fromkeys(version for peer in peers if (version := peer.version()))
    lines = "".join(f"\n\n{line}" for line in absent)
    return f"""\
`python -m benchmarks training`: {", ".join(versions)}. {on}.{lines}

### Ours, and our limits in training

{markdown(limits_table(rows))}

### Training, times ours

{markdown(ratios_table(rows[: len(parts)], peers))}

### Training, as measured

{markdown(figures_table(rows, peers))}

### Where our step's time goes

{rest_of_the_gap(parts["1 thread"], parts["1 thread, late"])}

{markdown(parts_table(parts))}

### What `fit` costs beyond the bare loop

{markdown(handover_table(handed))}

{NOTES}"""
