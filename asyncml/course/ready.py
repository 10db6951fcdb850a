"""Check a machine before a workshop: `python -m asyncml`.

It prints one line for each thing the course needs, and advice below each line that is not ok. The
exit status is 0 if the course can be run here. Each check imports what it needs, so a missing
package costs one line of the table, not the whole table. The last line is a code, to be read out
before a workshop; `python -m asyncml --explain CODE` says what it means.
"""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asyncml.course.readout import code
from asyncml.course.readout import explain as explained

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

TESTED = (3, 11), (3, 14)  # the first Python and the last
PACKAGES = {  # for the lessons
    "numpy": "1.26",
    "threadpoolctl": "3.5",
    "pillow": "10.3",
    "safetensors": "0.4",
    "matplotlib": "3.10.7",
    "starlette": "0.22",
    "uvicorn": "0.30",
    "prometheus-client": "0.20",
    "httpx": "0.27",
    "jupyterlab": "4.2",
    "ipykernel": "6",
    "nest-asyncio": "1.6",
    "nest-asyncio2": "1.7",
}
TEST_PACKAGES = {"pytest": "8.2", "pytest-xdist": "3.8", "nbval": "0.11", "hypothesis": "6.100"}

_INSTALL = f'in the folder of the course: "{sys.executable}" -m pip install -r requirements.txt'
_BLAS_VARIABLES = {  # part of a BLAS's name -> the variable that limits its threads
    "openblas": "OPENBLAS_NUM_THREADS",
    "mkl": "MKL_NUM_THREADS",
    "accelerate": "VECLIB_MAXIMUM_THREADS",
    "": "OMP_NUM_THREADS",
}


@dataclass(frozen=True)
class Check:
    """The result of one check.

    Args:
        name: what was checked.
        ok: whether it passed.
        seen: what was found, in a few words.
        advice: what to do if it failed.
        needed: False if the course can be run all the same.
    """

    name: str
    ok: bool
    seen: str
    advice: str = ""
    needed: bool = True

    def __str__(self) -> str:
        state = "ok" if self.ok else "FAIL" if self.needed else "note"
        return f"{state:4}  {self.name:13} {self.seen}"


def check_python(
    version: tuple[int, ...] = sys.version_info[:3], has_lock: bool | None = None
) -> Check:
    """Check the version and the build of Python.

    Args:
        version: the numbers of the version.
        has_lock: whether it runs with the global lock; detected by default.
    """
    seen = f"{'.'.join(map(str, version))}, {sys.executable}"
    first, last = TESTED
    tested = f"{first[0]}.{first[1]} to {last[0]}.{last[1]}"
    if version < first:
        advice = f"install Python {tested} from python.org, and start the course with it"
        return Check("Python", False, seen, advice)
    if has_lock is None:
        has_lock = getattr(sys, "_is_gil_enabled", lambda: True)()  # asked of 3.13 and newer
    if not has_lock:
        advice = (
            "the module works without the global lock; lessons 04, 05 and 09 measure what the "
            "lock does, and the course is tested with it: take the ordinary build for that"
        )
        return Check("Python", False, f"{seen}, free-threaded", advice, needed=False)
    advice = f"the course is tested on {tested}: on a newer Python some outputs may differ"
    return Check("Python", version[:2] <= last, seen, advice, needed=False)


def check_package(name: str, minimum: str, *, needed: bool = True) -> Check:
    """Look up the installed version of a package, without importing it."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        seen = version(name)
    except PackageNotFoundError:
        return Check(name, False, "missing", _INSTALL, needed)
    ok = _numbers(seen) >= _numbers(minimum)
    return Check(name, ok, seen if ok else f"{seen}, older than {minimum}", _INSTALL, needed)


def check_kernel(ask: Callable[[], Mapping[str, str]] | None = None) -> Check:
    """Start the notebooks' kernel, which must be this Python and must find asyncml.

    Args:
        ask: returns the `prefix` of the kernel's Python and the `package` it would import.
    """
    answer = (ask or _ask_kernel)()
    prefix, package = answer["prefix"], answer["package"]
    if Path(prefix).resolve() != Path(sys.prefix).resolve():
        advice = f'make it this one: "{sys.executable}" -m ipykernel install --sys-prefix'
        return Check("kernel", False, f'"python3" is another Python, in {prefix}', advice)
    if not package:
        return Check("kernel", False, "starts, but cannot import asyncml", _INSTALL)
    return Check("kernel", True, f'"python3" starts, in {prefix}')


def check_cores(cgroup: Path = Path("/sys/fs/cgroup")) -> Check:
    """Count the cores that the machine, the affinity and the container grant this process."""
    machine, usable = os.cpu_count() or 1, _usable_cores(cgroup)
    advice = (
        "two computations take turns on one core: where a lesson measures them side by side, "
        "it shows the prediction instead"
    )
    return Check("cores", usable >= 2, f"{usable:g} usable of {machine}", advice, needed=False)


def check_timer(longest_ms: float = 5.0) -> Check:
    """Measure how long the shortest sleeps take, and how fine the clock is."""
    import asyncio

    async def sleep() -> list[float]:
        seconds = []
        for _ in range(11):
            start = time.perf_counter()
            await asyncio.sleep(0.001)
            seconds.append(time.perf_counter() - start)
        return seconds

    slept = 1e3 * sorted(asyncio.run(sleep()))[5]
    blocked = 1e3 * sorted(_seconds(lambda: time.sleep(0.001)) for _ in range(11))[5]
    tick = time.get_clock_info("perf_counter").resolution
    seen = f"a sleep of 1 ms takes {blocked:.1f} ms, in asyncio {slept:.1f} ms; clock {tick:.0e} s"
    advice = "short waits are rounded up here; the lessons wait 50 ms or more where they measure"
    return Check("timer", max(slept, blocked) <= longest_ms, seen, advice, needed=False)


def check_blas(
    cores: float | None = None, slowest_gflops: float = 2.0, most_slower: float = 2.0
) -> Check:
    """Name the library behind NumPy's matrix product, count its threads and time it."""
    import numpy as np

    config: Any = np.show_config(mode="dicts")
    blas = config.get("Build Dependencies", {}).get("blas", {})
    threads = _blas_threads()
    a = np.ones((512, 512), np.float32)
    gflops = 2 * 512**3 / min(_seconds(lambda: a @ a) for _ in range(8)) / 1e9
    name = f"{blas.get('name', 'unknown')} {blas.get('version', '')}".strip()
    cores = _usable_cores() if cores is None else cores
    seen = f"{name}, threads: {threads}, usable cores: {cores:g}, {gflops:.0f} GFLOP/s"
    if gflops < slowest_gflops:
        advice = "NumPy is slow here: install its wheel, pip install --force-reinstall numpy"
        return Check("BLAS", False, seen, advice, needed=False)
    variable = next(_BLAS_VARIABLES[part] for part in _BLAS_VARIABLES if part in name.lower())
    if threads > max(cores, 1):
        advice = (
            f"more threads than cores slow each other down: set {variable}="
            f"{max(1, int(cores))} before JupyterLab starts"
        )
        return Check("BLAS", False, seen, advice, needed=False)
    slower = _times_slower() if threads > 1 else 1.0
    advice = (
        f"a small product takes {slower:.0f} times as long with {threads} threads as with one, as "
        "beside other programs: `fit` takes one thread for small networks; for all other code set "
        f"{variable}=1 before JupyterLab starts"
    )
    return Check("BLAS", slower < most_slower, seen, advice, needed=False)


def check_figure() -> Check:
    """Draw one figure, in memory."""
    import io

    from matplotlib.figure import Figure

    figure, out = Figure(figsize=(3, 2)), io.BytesIO()
    figure.subplots().set_title("async")
    figure.savefig(out, format="png")
    drawn = out.getvalue().startswith(b"\x89PNG")
    return Check("figure", drawn, f"drawn, {len(out.getvalue()):,} bytes of PNG", _INSTALL)


def check_images() -> Check:
    """Load the images of the course, and decode one."""
    from asyncml.images.datasets import fashion_mnist
    from asyncml.images.png import decode_png, encode_png

    train, test = fashion_mnist()
    same = bool((decode_png(encode_png(train.images[0])) == train.images[0]).all())
    return Check("images", same, f"{len(train):,} to train, {len(test):,} to test", _INSTALL)


CHECKS: dict[str, Callable[[], Check]] = {
    "Python": check_python,
    **{name: partial(check_package, name, minimum) for name, minimum in PACKAGES.items()},
    **{
        name: partial(check_package, name, minimum, needed=False)
        for name, minimum in TEST_PACKAGES.items()
    },
    "cores": check_cores,
    "timer": check_timer,
    "BLAS": check_blas,
    "figure": check_figure,
    "images": check_images,
    "kernel": check_kernel,
}


def run_check(name: str, check: Callable[[], Check]) -> Check:
    """Run one check; if it cannot run, return a failed one that says why."""
    import warnings

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the table is for newcomers
            return check()
    except ModuleNotFoundError as error:
        return Check(name, False, f"needs {error.name}, which is missing", _INSTALL)
    except Exception as error:
        reason = str(error).strip().partition("\n")[0]
        return Check(name, False, f"{type(error).__name__}: {reason}", _INSTALL)


def main(checks: Iterable[tuple[str, Callable[[], Check]]] = tuple(CHECKS.items())) -> int:
    """Run the checks, and print the result of each as it comes.

    Returns:
        The exit status: 0 if the course can be run here, 1 if not.
    """
    failed, said, states = [], "", {}
    for name, check in checks:
        found = run_check(name, check)
        states[name] = found.ok
        _print(str(found))
        if not found.ok:
            _print(f"      -> {'as above' if found.advice == said else found.advice}")
            failed += [name] * found.needed
            said = found.advice
    if failed:
        _print(f"\nNot ready: {', '.join(failed)}. Follow the advice (->) and run this again.")
    else:
        _print("\nReady: the course can be run here.")
    _print(f"Your code, for a workshop: {code(states, not failed)}")
    return 1 if failed else 0


def explain(codes: Sequence[str]) -> int:
    """Say what the codes of some machines mean: `python -m asyncml --explain CODE ...`."""
    if not codes:
        _print("which code? python -m asyncml --explain CODE, with as many as you like")
        return 2
    for text in codes:
        _print(f"{text}  {explained(text, list(CHECKS))}")
    return 0


def _print(text: str) -> None:
    encoding = sys.stdout.encoding or "ascii"  # an old console cannot show every path
    print(text.encode(encoding, "replace").decode(encoding), flush=True)


def _numbers(version: str) -> tuple[int, ...]:
    """Return the leading numbers of a version: (8, 2) for "8.2rc1"."""
    import re

    return tuple(map(int, re.findall(r"\d+", re.split(r"[^\d.]", version)[0])))


def _usable_cores(cgroup: Path = Path("/sys/fs/cgroup")) -> float:
    from asyncml.threads import cores as may_use

    cores = float(may_use())
    v1 = cgroup / "cpu"
    for files in ((cgroup / "cpu.max",), (v1 / "cpu.cfs_quota_us", v1 / "cpu.cfs_period_us")):
        try:
            quota, period = " ".join(file.read_text() for file in files).split()
        except (OSError, ValueError):
            continue
        if quota.isdigit():  # "max" and -1 mean no limit
            cores = min(cores, int(quota) / int(period))
    return cores


def _blas_threads() -> int:
    """Return how many threads BLAS uses: as BLAS says, or else as the environment says."""
    from importlib import import_module

    try:
        pools = import_module("threadpoolctl").threadpool_info()
    except ImportError:
        set_by = (os.environ.get(variable, "") for variable in _BLAS_VARIABLES.values())
        return next((int(n) for n in set_by if n.isdigit()), os.cpu_count() or 1)
    return max((pool["num_threads"] for pool in pools if pool["user_api"] == "blas"), default=1)


def _times_slower() -> float:
    """Return how many times longer a small network's products take with all threads than one."""
    from importlib import import_module
    from statistics import median

    import numpy as np

    limits = import_module("threadpoolctl").threadpool_limits
    x, weight = np.ones((64, 784), np.float32), np.ones((784, 128), np.float32)
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(5):  # alternately, since the machine's other load changes
        for found, most in zip(times, (None, 1), strict=True):
            with limits(most, "blas"):
                found.append(_seconds(lambda: [x @ weight for _ in range(50)]))
    return median(times[0]) / median(times[1])


def _seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def _ask_kernel() -> dict[str, str]:
    """Start a kernel in another folder; return where its Python and its asyncml are."""
    import ast
    import subprocess
    import tempfile
    from importlib import import_module

    run_kernel = import_module("jupyter_client.manager").run_kernel
    code = "import importlib.util, sys; spec = importlib.util.find_spec('asyncml')"
    expressions = {"prefix": "sys.prefix", "package": "spec.origin if spec else ''"}
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with run_kernel(kernel_name="python3", cwd=tempfile.gettempdir(), **quiet) as client:
        reply = client.execute(code, reply=True, timeout=60, user_expressions=expressions)
    answers = reply["content"]["user_expressions"]
    return {name: ast.literal_eval(answers[name]["data"]["text/plain"]) for name in expressions}
