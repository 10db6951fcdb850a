"""A million items in a separate process: the time, and the peak memory.

    python -m benchmarks.million KEY [SIZE]

prints both as JSON. For a slow peer the source ends early, after `PATIENCE_S`.
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
PATIENCE_S = 6.0  # the source ends after this
STATUS = Path("/proc/self/status")


@dataclass(frozen=True)
class Run:
    """The measurements of one peer.

    Args:
        items: the number of items that came out.
        seconds: the time that they took.
        peak_mb: the growth of the process's peak memory; None if unknown.
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
    adapter.on_loop(_job(range(64), Step()))  # imports, and one-time set-up
    step, before, begun = Step(), peak_bytes(), time.perf_counter()
    adapter.on_loop(_job(Source(size), step))
    seconds, after = time.perf_counter() - begun, peak_bytes()
    grown = None if before is None or after is None else (after - before) / 1e6
    return Run(step.items, seconds, grown)


class Source:
    """Numbers up to `size`, or until `PATIENCE_S` have passed."""

    def __init__(self, size: int) -> None:
        self.size = size

    def __iter__(self) -> Iterator[int]:
        deadline = time.perf_counter() + PATIENCE_S
        for number in range(self.size):
            if number % 256 == 0 and time.perf_counter() > deadline:
                return
            yield number


def peak_bytes() -> int | None:
    """Return the peak memory of this process in bytes, or None if unknown."""
    if STATUS.exists():  # on Linux, ru_maxrss starts with the parent process's
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
