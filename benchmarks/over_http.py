"""Load over HTTP: us beside FastAPI that answers one by one, from half to one and a half capacity.

    python -m benchmarks.over_http

The load comes from h2load, of nghttp2 (Debian: `apt install nghttp2-client`): it asks at a fixed
rate, however long the answers take, and notes each of them.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.measuring import THREADS, machine
from benchmarks.results import digits, markdown, plain, write_section

LAYERS = [784, 2048, 2048, 10]  # about 2 ms for one row, 10 ms for 32
SERVERS = {"http_ours": "asyncml", "http_fastapi": "FastAPI, one by one"}
CONNECTIONS = 1, 16, 256
ENOUGH = 64  # connections that ask again at once: the batches are full, and nobody is refused
LOADS = 0.5, 0.8, 1.0, 1.5
KEPT, LIMIT = 0.9, "at least 90 % of its peak"
PATH = "/v2/models/model/infer"

NOTES = f"""\
- The same network, {"-".join(map(str, LAYERS))}, and the same requests, 784 numbers as JSON; server
  and load share the machine. Capacity: what a server answers when {ENOUGH} connections ask again at
  once. The load: h2load asks at that share of it, whatever the answers; where all connections wait
  it cannot, so with one that rate is not reached. Its connections ask in step: 256 requests
  come at once, and meet a queue of 64, so that some are refused at any load.
- Answered: with 200, a second. p50, p99: of those answers, in ms, from when the request was sent.
  Refused: 503 a second.
"""


@dataclass(frozen=True)
class Answers:
    """What came back.

    Args:
        answered: a second, with 200.
        refused: a second, with another status.
        p50_ms, p99_ms: of those that were answered.
    """

    answered: float
    refused: float
    p50_ms: float
    p99_ms: float


def main(folder: Path = Path(__file__).parent, seconds: float = 0.8) -> None:
    """Measure, print and write the section of the results."""
    if not shutil.which("h2load"):
        print("h2load is missing: apt install nghttp2-client")
        return
    on = machine()
    found = {key: measure(key, seconds) for key in SERVERS}
    kept = [["connections", "answered at 1.5 of capacity", LIMIT, "kept?"]]
    for connections in CONNECTIONS:
        runs = found["http_ours"][connections]
        peak = max(run.answered for run in runs.values())
        over = runs[1.5].answered
        verdict = "yes" if over >= KEPT * peak else "NO"
        kept.append([str(connections), digits(over), digits(KEPT * peak), verdict])
    tables = [kept, rows(found)]
    print(*(plain(table) + "\n" for table in tables), sep="\n")
    draw(found, folder / "over_http.png")
    head = f"`python -m benchmarks.over_http`: {_versions()}. {on}."
    figure = "![What is answered, and how long it takes, against the load.](over_http.png)"
    text = "\n\n".join([head, *map(markdown, tables), figure, NOTES])
    write_section(folder / "RESULTS.md", "Inference over HTTP", text)


def measure(key: str, seconds: float) -> dict[int, dict[float, Answers]]:
    """Return what a server answers, by connections and by load; 0 is its capacity."""
    with serving(key) as url:
        load(url, 16, 0, seconds)  # until its threads have started
        most = load(url, ENOUGH, 0, seconds)
        loads = {
            connections: {
                share: load(url, connections, share * most.answered, seconds) for share in LOADS
            }
            for connections in CONNECTIONS
        }
    return {ENOUGH: {0: most}} | loads


def rows(found: dict[str, dict[int, dict[float, Answers]]]) -> list[list[str]]:
    """Lay out all that was measured."""
    table = [["server", "connections", "load", "answered", "refused", "p50", "p99"]]
    for key, by_connections in found.items():
        for connections, by_load in by_connections.items():
            for share, run in by_load.items():
                figures = (run.answered, run.refused, run.p50_ms, run.p99_ms)
                name = f"{share:g}" if share else "capacity"
                table.append([SERVERS[key], str(connections), name, *map(digits, figures)])
    return table


@contextmanager
def serving(key: str) -> Iterator[str]:
    """Run a server in a process of its own, with one thread for BLAS; yield its address."""
    with socket.socket() as it:
        it.bind(("127.0.0.1", 0))
        port = it.getsockname()[1]
    options = ["--port", str(port), "--log-level", "error", "--no-access-log"]
    command = [sys.executable, "-m", "uvicorn", f"benchmarks.peers.{key}:app", *options]
    server = subprocess.Popen(command, env=os.environ | dict.fromkeys(THREADS, "1"))
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(600):
            with suppress(OSError):
                urllib.request.urlopen(f"{url}/v2/health/ready").close()
                break
            time.sleep(0.05)
        yield url
    finally:
        server.terminate()
        server.wait()


def load(url: str, connections: int, rate: float, seconds: float) -> Answers:
    """Ask at a rate, or with 0 as fast as answers come, and return what came back."""
    image = np.random.default_rng(0).random(LAYERS[0]).round(3).tolist()
    tensor = {"name": "input", "shape": [1, LAYERS[0]], "datatype": "FP32", "data": image}
    with tempfile.TemporaryDirectory() as folder:
        body, log = Path(folder, "body.json"), Path(folder, "log")
        body.write_text(json.dumps({"inputs": [tensor]}), encoding="ascii")
        command = [
            "h2load",
            "--h1",
            f"--clients={connections}",
            f"--duration={1000 * seconds:.0f}ms",
        ]
        command += [f"--data={body}", "--header=content-type: application/json"]
        command += [f"--log-file={log}", *([f"--rps={rate / connections}"] if rate else [])]
        subprocess.run([*command, url + PATH], check=True, stdout=subprocess.DEVNULL)
        start_us, status, took_us = np.loadtxt(log, ndmin=2).T
    span_s = (np.max(start_us + took_us) - start_us.min()) / 1e6
    right = status == 200
    p50, p99 = np.percentile(took_us[right], (50, 99)) / 1e3
    return Answers(right.sum() / span_s, (~right).sum() / span_s, p50, p99)


def draw(found: dict[str, dict[int, dict[float, Answers]]], file: Path) -> None:
    """Draw what is answered, and the 99th percentile, against the load with most connections."""
    from matplotlib.figure import Figure

    sketch = Figure(figsize=(9, 3.2), layout="constrained")
    many, late = sketch.subplots(1, 2)
    for key, colour in zip(SERVERS, ("#0072B2", "#D55E00"), strict=True):
        runs = {share: found[key][CONNECTIONS[-1]][share] for share in LOADS}
        many.plot(LOADS, [run.answered for run in runs.values()], "o-", color=colour)
        late.plot(LOADS, [run.p99_ms for run in runs.values()], "o-", color=colour)
        many.lines[-1].set_label(SERVERS[key])
    for axes, what in (many, "answered a second"), (late, "99th percentile (ms)"):
        axes.set(xlabel="load, as a share of each server's capacity", ylabel=what, ylim=(0, None))
        axes.spines[["top", "right"]].set_visible(False)
    many.legend(frameon=False)
    sketch.savefig(file, dpi=120, metadata={"Software": None})


def _versions() -> str:
    from importlib.metadata import version

    names = ("asyncml", "fastapi", "uvicorn")
    h2load = subprocess.run(["h2load", "--version"], check=True, capture_output=True, text=True)
    return "; ".join([*(f"{name} {version(name)}" for name in names), h2load.stdout.strip()])


if __name__ == "__main__":
    main()
