"""A million items in a process of its own: how long, and how much memory at the peak.

    python -m benchmarks.million KEY [SIZE]

prints it as JSON. A peer that is slow is stopped after a while by a source that ends early.
"""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.peers import PEERS
from benchmarks.workloads import Job, Step, nothing, same

SIZE = 1_000_000
PATIENCE_S = 6.0  # the source ends after that
STATUS = Path("/proc/self/status")


@dataclass(frozen=True)
class Run:
    """What a peer did.

    Args:
        items: how many items came out.
        seconds: how long that took.
        peak_mb: by how much the most memory that the process has had grew; None if unknown.
    """

    items: int
    seconds: float
    peak_mb: float | None


def measured(key: str, size: int) -> Run:
    """Measure a peer in a new process."""
    command = [sys.executable, "-m", "benchmarks.million", key, str(size)]
    root = Path(__file__).parent.parent
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=root)
    return Run(**json.loads(done.stdout))


def run(key: str, size: int) -> Run:
    """Measure a peer in this process."""
    adapter = next(peer for peer in PEERS if peer.key == key).adapter()
    adapter.on_loop(_job(range(64), Step()))  # imports, and what is made once
    step, before, begun = Step(), peak_bytes(), time.perf_counter()
    adapter.on_loop(_job(Source(size), step))
    seconds, after = time.perf_counter() - begun, peak_bytes()
    grown = None if before is None or after is None else (after - before) / 1e6
    return Run(step.items, seconds, grown)


class Source:
    """Numbers, until there were `size` or patience is at an end."""

    def __init__(self, size: int) -> None:
        self.size = size

    def __iter__(self) -> Iterator[int]:
        deadline = time.perf_counter() + PATIENCE_S
        for number in range(self.size):
            if number % 256 == 0 and time.perf_counter() > deadline:
                return
            yield number


def peak_bytes() -> int | None:
    """Return the most memory that this process has had; None where that is not known."""
    if STATUS.exists():  # Linux: there ru_maxrss begins with that of the process which started this
        line = next(line for line in STATUS.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    try:
        import resource
    except ImportError:  # Windows
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # in bytes on macOS


def _job(items: "range | Source", step: Step) -> Job:
    return Job(items, nothing, same, concurrency=16, batch=32, step=step)


if __name__ == "__main__":
    key, *size = sys.argv[1:]
    print(json.dumps(asdict(run(key, int(size[0]) if size else SIZE))))
