"""Load over HTTP: asyncml beside FastAPI without batching, at 0.5 to 1.5 times the capacity.

    python -m benchmarks.over_http

The load comes from h2load, part of nghttp2 (Debian: `apt install nghttp2-client`). Each connection
sends requests at a fixed rate, with at most one in flight. While not all of them are waiting,
requests come at that rate however long the answers take (an open loop); otherwise the loop is
closed. Connections start one after another, so that they are not in step.
"""

import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import astuple, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.measuring import THREADS, machine
from benchmarks.results import digits, markdown, plain, write_section

LAYERS = [784, 2048, 2048, 10]  # about 2 ms for one row, 10 ms for 32
SERVERS = {"http_ours": "asyncml", "http_fastapi": "FastAPI, one by one"}
CONNECTIONS = 1, 16, 256
ENOUGH = 64  # connections without pauses: enough for full batches, few enough for no refusal
REFUSED_BY = 16
ROUNDS = 3
LOADS = 0.5, 0.8, 1.0, 1.5
KEPT, LIMIT = 0.9, "at least 90 % of its peak"
PATH = "/v2/models/model/infer"

NOTES = f"""\
- The same network, {"-".join(map(str, LAYERS))}, and the same requests, 784 numbers as JSON; server
  and load share the machine. Capacity: what a server answers when {ENOUGH} connections ask again at
  once. The load: h2load asks at that share of it. A connection asks again only when it is answered,
  so that n of them have n requests under way at most. Where "asked" stays below the load, all of
  them wait for answers: a closed loop, in which little more than the capacity can be offered, and
  in which 16 connections cannot fill a queue of 64. Two loads that both end so are one and the
  same: their figures differ by what the machine gives. Even 256 do not offer one and a half times
  the capacity: they wait in their sockets, since the server spends most of its time on reading and
  writing requests, and not on the model. So few are refused, and how long the others wait is
  bounded by the number of connections, and not by the queue.
- Medians of {ROUNDS} rounds. Asked, answered (200), refused (503): a second. p50, p99: of the
  answers, in ms, from when the request was sent. Cores: how many the server had, on average.
- Refused: with a model that takes longer than the run, so that nobody is served meanwhile.
"""


@dataclass(frozen=True)
class Answers:
    """The results of a load.

    Args:
        asked: requests per second.
        answered: answers with status 200 per second.
        refused: answers with another status per second.
        p50_ms, p99_ms: latencies of requests with status 200; of all if there were none.
        cores: processor cores that the server used, on average.
    """

    asked: float
    answered: float
    refused: float
    p50_ms: float
    p99_ms: float
    cores: float


def main(folder: Path = Path(__file__).parent, seconds: float = 0.5) -> None:
    """Measure, print and write the section of the results."""
    if not shutil.which("h2load"):
        print("h2load is missing: apt install nghttp2-client")
        return
    on = machine()
    found = {key: measure(key, seconds) for key in SERVERS}
    tables = [kept(found["http_ours"]), rows(found), refusals(seconds)]
    print(*(plain(table) + "\n" for table in tables), sep="\n")
    draw(found, folder / "over_http.png")
    head = f"`python -m benchmarks.over_http`: {_versions()}. {on}."
    figure = "![What is answered, and how long it takes, against the load.](over_http.png)"
    text = "\n\n".join([head, *map(markdown, tables), figure, NOTES])
    write_section(folder / "RESULTS.md", "Inference over HTTP", text)


def kept(runs: dict[int, dict[float, Answers]]) -> list[list[str]]:
    """Return a table of the answers at 1.5 times the capacity, beside our limit."""
    table = [["connections", "asked, of capacity", "answered", LIMIT, "kept?"]]
    (capacity,) = runs[ENOUGH].values()
    for connections in CONNECTIONS:
        over = runs[connections][LOADS[-1]]
        most = KEPT * max(run.answered for run in runs[connections].values())
        verdict = "yes" if over.answered >= most else "NO"
        asked = f"{over.asked / capacity.answered:.2f}"
        table.append([str(connections), asked, digits(over.answered), digits(most), verdict])
    return table


def refusals(seconds: float) -> list[list[str]]:
    """Measure the cost of refusing; return a table."""
    with serving("http_full") as server:
        run = load(server, REFUSED_BY, 0, seconds)
    each_ms = 1e3 * run.cores / run.refused
    head = ["connections", "refused a second", "processor, ms", "p50, ms", "p99, ms"]
    cells = map(digits, (run.refused, each_ms, run.p50_ms, run.p99_ms))
    return [head, [str(REFUSED_BY), *cells]]


def measure(key: str, seconds: float) -> dict[int, dict[float, Answers]]:
    """Return a server's results by connections and by load, where load 0 is its capacity.

    They are medians of rounds; each round runs every load once.
    """
    runs: dict[tuple[int, float], list[Answers]] = {}
    with serving(key) as server:
        load(server, 16, 0, seconds)  # starts its threads
        capacity = [load(server, ENOUGH, 0, seconds) for _ in range(ROUNDS)]
        most = middle(capacity)
        for _ in range(ROUNDS):
            for connections in CONNECTIONS:
                for share in LOADS:
                    run = load(server, connections, share * most.answered, seconds)
                    runs.setdefault((connections, share), []).append(run)
    found = {ENOUGH: {0.0: most}}
    for (connections, share), times in runs.items():
        found.setdefault(connections, {})[share] = middle(times)
    return found


def middle(runs: list[Answers]) -> Answers:
    """Return the median of each figure."""
    return Answers(*map(statistics.median, zip(*map(astuple, runs), strict=True)))


def rows(found: dict[str, dict[int, dict[float, Answers]]]) -> list[list[str]]:
    """Return a table of all measurements."""
    table = [["server", "connections", "load", *Answers.__dataclass_fields__]]
    for key, by_connections in found.items():
        for connections, by_load in by_connections.items():
            for share, run in by_load.items():
                name = f"{share:g}" if share else "capacity"
                figures = map(digits, astuple(run))
                table.append([SERVERS[key], str(connections), name, *figures])
    return table


@dataclass(frozen=True)
class Server:
    """A server in a separate process.

    Args:
        process: the process.
        url: the server's address.
    """

    process: "subprocess.Popen[bytes]"
    url: str

    def busy_s(self) -> float:
        """Return the processor seconds that it has used."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def serving(key: str) -> Iterator[Server]:
    """Run a server with one thread for BLAS."""
    with socket.socket() as it:
        it.bind(("127.0.0.1", 0))
        port = it.getsockname()[1]
    options = ["--port", str(port), "--log-level", "error", "--no-access-log"]
    command = [sys.executable, "-m", "uvicorn", f"benchmarks.peers.{key}:app", *options]
    process = subprocess.Popen(command, env=os.environ | dict.fromkeys(THREADS, "1"))
    server = Server(process, f"http://127.0.0.1:{port}")
    try:
        for _ in range(600):
            with suppress(OSError):
                urllib.request.urlopen(f"{server.url}/v2/health/ready").close()
                break
            time.sleep(0.05)
        yield server
    finally:
        process.terminate()
        process.wait()


def load(server: Server, connections: int, rate: float, seconds: float) -> Answers:
    """Send requests at a rate, or with rate 0 as fast as answers come; return the results."""
    image = np.random.default_rng(0).random(LAYERS[0]).round(3).tolist()
    tensor = {"name": "input", "shape": [1, LAYERS[0]], "datatype": "FP32", "data": image}
    begin_s = connections / rate if rate else 0.0  # until all connections have started
    with tempfile.TemporaryDirectory() as folder:
        body, log = Path(folder, "body.json"), Path(folder, "log")
        body.write_text(json.dumps({"inputs": [tensor]}), encoding="ascii")
        command = ["h2load", "--h1", f"--clients={connections}", f"--data={body}"]
        command += ["--header=content-type: application/json", f"--log-file={log}"]
        if rate:  # connections at evenly spread times
            command += [f"--rps={rate / connections}", f"-n{round(rate * (seconds + begin_s))}"]
            at_once = min(connections, max(1, round(rate / 100)))
            command += [f"--rate={at_once}", "--rate-period=10ms"]
        else:
            command += [f"--duration={1000 * seconds:.0f}ms"]
        busy_s, begun_s = server.busy_s(), time.perf_counter()
        subprocess.run([*command, server.url + PATH], check=True, stdout=subprocess.DEVNULL)
        cores = (server.busy_s() - busy_s) / (time.perf_counter() - begun_s)
        return answers(np.loadtxt(log, ndmin=2), begin_s, seconds, cores)


def answers(log: npt.NDArray[np.float64], begin_s: float, seconds: float, cores: float) -> Answers:
    """Return the results from h2load's log of the `seconds` after all connections had started."""
    log[:, 0] -= log[:, 0].min() + 1e6 * begin_s
    asked = log[(log[:, 0] >= 0) & (log[:, 0] < 1e6 * seconds)]
    ended_s = (log[:, 0] + log[:, 2]) / 1e6
    ended = log[(ended_s >= 0) & (ended_s < seconds)]
    right = ended[:, 1] == 200
    p50, p99 = np.percentile(ended[right if right.any() else ..., 2] / 1e3, (50, 99))
    answered, refused = float(right.sum() / seconds), float((~right).sum() / seconds)
    return Answers(len(asked) / seconds, answered, refused, float(p50), float(p99), cores)


def draw(found: dict[str, dict[int, dict[float, Answers]]], file: Path) -> None:
    """Draw answers per second, and the 99th percentile, against load, for the most connections."""
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
