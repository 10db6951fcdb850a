import ast
import importlib
import io
import math
import os
import re
import subprocess
import sys
import time
import tomllib
import types
from pathlib import Path

import pytest

from asyncml.course import ready as machine
from asyncml.course.readout import code
from asyncml.course.ready import Check

ROOT = Path(__file__).parents[2]
INSTALL = "-m pip install -r requirements.txt"


def run_module(*options):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "ascii"}
    command = [sys.executable, *options, "-m", "asyncml"]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment)


def without(monkeypatch, *missing):
    """Hide packages from the import system."""
    for name in list(sys.modules):
        if name.partition(".")[0] in missing:
            monkeypatch.delitem(sys.modules, name)

    class Hide:
        def find_spec(self, name, path=None, target=None):
            if name.partition(".")[0] in missing:
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    monkeypatch.setattr(sys, "meta_path", [Hide(), *sys.meta_path])


class TestTheWholeTable:
    def test_here_with_a_real_kernel(self):
        done = run_module()
        lines = done.stdout.splitlines()
        assert done.stderr == ""
        assert done.returncode == 0, done.stdout
        assert lines[-2] == "Ready: the course can be run here."
        assert lines[-1].startswith("Your code, for a workshop: ")
        for name in machine.CHECKS:
            assert sum(line[6:].startswith(name.ljust(13)) for line in lines) == 1, name

    def test_with_nothing_but_the_standard_library_it_is_still_a_table(self):
        done = run_module("-S")
        assert done.stderr == ""
        assert done.returncode == 1
        table, _, verdict = done.stdout.partition("\n\n")
        assert all(re.match(r"ok    |note  |FAIL  |      -> ", row) for row in table.splitlines())
        assert re.search(r"^FAIL  numpy +missing\n      -> .*" + INSTALL, table, re.MULTILINE)
        assert verdict.startswith("Not ready: numpy, threadpoolctl, pillow, ")
        assert "pytest" not in verdict

    def test_the_file_itself_can_be_read_by_an_old_python(self):
        source = Path(machine.__file__).read_text(encoding="utf-8")
        ast.parse(source, feature_version=(3, 8))


class TestMain:
    def test_all_right(self, capsys):
        assert machine.main([("a", lambda: Check("a", True, "1.0"))]) == 0
        assert capsys.readouterr().out == (
            "ok    a             1.0\n\nReady: the course can be run here.\n"
            f"Your code, for a workshop: {code({'a': True}, is_ready=True)}\n"
        )

    def test_each_thing_that_is_wrong_has_its_advice(self, capsys):
        checks = [
            ("a", lambda: Check("a", False, "no", "mend a")),
            ("b", lambda: Check("b", False, "slow", "think of b", needed=False)),
            ("c", lambda: Check("c", True, "fine", "not shown")),
            ("d", lambda: Check("d", False, "no", "mend d")),
            ("e", lambda: Check("e", False, "no", "mend d")),
        ]
        assert machine.main(checks) == 1
        states = {name: name == "c" for name, _ in checks}
        assert capsys.readouterr().out == (
            "FAIL  a             no\n      -> mend a\n"
            "note  b             slow\n      -> think of b\n"
            "ok    c             fine\n"
            "FAIL  d             no\n      -> mend d\n"
            "FAIL  e             no\n      -> as above\n"
            "\nNot ready: a, d, e. Follow the advice (->) and run this again.\n"
            f"Your code, for a workshop: {code(states, is_ready=False)}\n"
        )

    def test_what_is_not_needed_does_not_stop_the_course(self, capsys):
        assert machine.main([("a", lambda: Check("a", False, "no", "b", needed=False))]) == 0
        assert "Ready" in capsys.readouterr().out

    @pytest.mark.parametrize(
        ("error", "seen"),
        [
            (ModuleNotFoundError("No module named 'x'", name="x"), "needs x, which is missing"),
            (ImportError("broken\nand more"), "ImportError: broken"),
            (OSError(), "OSError: "),
        ],
    )
    def test_a_check_that_breaks_is_a_line_of_the_table(self, error, seen, capsys):
        def broken():
            raise error

        assert machine.main([("a", broken)]) == 1
        assert capsys.readouterr().out.startswith(f"FAIL  a             {seen}\n      -> ")

    def test_a_console_of_few_letters_is_enough(self, monkeypatch):
        out = io.TextIOWrapper(io.BytesIO(), encoding="cp1252")
        monkeypatch.setattr(sys, "stdout", out)
        assert machine.main([("a", lambda: Check("a", True, "C:\\Users\\Zoë Łuk"))]) == 0
        assert out.buffer.getvalue().startswith(
            "ok    a             C:\\Users\\Zoë ?uk".encode("cp1252")
        )


class TestPython:
    @pytest.mark.parametrize(
        ("version", "ok", "needed", "advice"),
        [
            ((3, 10, 9), False, True, "install Python 3.11 to 3.14"),
            ((3, 11, 0), True, False, ""),
            ((3, 13, 5), True, False, ""),
            ((3, 14, 10), True, False, ""),
            ((3, 15, 0), False, False, "tested on 3.11 to 3.14"),
        ],
    )
    def test_versions(self, version, ok, needed, advice):
        found = machine.check_python(version, has_lock=True)
        assert (found.ok, found.needed) == (ok, needed)
        assert advice in found.advice
        assert sys.executable in found.seen

    @pytest.mark.parametrize("version", [(3, 13, 15), (3, 14, 10), (3, 15, 2)])
    def test_a_build_without_the_global_lock_is_named(self, version):
        found = machine.check_python(version, has_lock=False)
        assert (found.ok, found.needed) == (False, False)
        assert found.seen.endswith(", free-threaded")
        assert "take the ordinary build" in found.advice

    def test_this_build_is_asked_by_itself(self):
        locked = getattr(sys, "_is_gil_enabled", lambda: True)()
        assert ("free-threaded" in machine.check_python().seen) == (not locked)


class TestPackages:
    def test_found(self):
        assert machine.check_package("pytest", "8.2").ok

    def test_missing(self):
        found = machine.check_package("no-such-package-anywhere", "1.0", needed=False)
        assert (found.ok, found.seen, found.needed) == (False, "missing", False)
        assert INSTALL in found.advice

    @pytest.mark.parametrize(
        ("version", "ok"),
        [("1.26", True), ("1.26.4", True), ("2.0rc1", True), ("1.25.9", False), ("0.99", False)],
    )
    def test_old(self, monkeypatch, version, ok):
        monkeypatch.setattr("importlib.metadata.version", lambda name: version)
        found = machine.check_package("numpy", "1.26")
        assert found.ok == ok
        assert found.seen == (version if ok else f"{version}, older than 1.26")

    @pytest.mark.parametrize(
        ("version", "ok"),
        [
            ("3.10.8", True),
            ("3.10.10", True),
            ("3.11.0rc1", True),
            ("3.10.7", False),
            ("3.10.7.post8", False),
            ("3.10", False),
        ],
    )
    def test_the_third_number_counts(self, monkeypatch, version, ok):
        monkeypatch.setattr("importlib.metadata.version", lambda name: version)
        assert machine.check_package("matplotlib", "3.10.8").ok == ok

    def test_the_table_asks_for_what_the_project_asks_for(self):
        project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        extras = project["optional-dependencies"]
        wanted = {"numpy": machine.PACKAGES["numpy"], "ipykernel": machine.PACKAGES["ipykernel"]}
        for group in (
            project["dependencies"],
            *map(extras.get, ("images", "plot", "checkpoints", "serving", "course")),
        ):
            wanted.update(r.split(">=") for r in group if not r.startswith("asyncml"))
        assert wanted == machine.PACKAGES
        tests = dict(r.split(">=") for r in extras["test"] if not r.startswith("asyncml"))
        assert tests == machine.TEST_PACKAGES


class TestKernel:
    def test_right(self):
        answer = {"prefix": sys.prefix, "package": "/somewhere/asyncml/__init__.py"}
        assert machine.check_kernel(lambda: answer).ok

    def test_another_python(self, tmp_path):
        found = machine.check_kernel(lambda: {"prefix": str(tmp_path), "package": "here"})
        assert not found.ok
        assert str(tmp_path) in found.seen
        assert "-m ipykernel install --sys-prefix" in found.advice

    def test_without_the_package(self):
        found = machine.check_kernel(lambda: {"prefix": sys.prefix, "package": ""})
        assert (found.ok, found.seen) == (False, "starts, but cannot import asyncml")
        assert INSTALL in found.advice

    def test_without_jupyter(self, monkeypatch):
        without(monkeypatch, "jupyter_client")
        found = machine.run_check("kernel", machine.check_kernel)
        assert (found.ok, found.seen) == (False, "needs jupyter_client, which is missing")

    def test_one_that_does_not_start(self, monkeypatch):
        def dies():
            raise RuntimeError("Kernel died before replying to kernel_info")

        monkeypatch.setattr(machine, "_ask_kernel", dies)
        found = machine.run_check("kernel", machine.check_kernel)
        assert found.seen == "RuntimeError: Kernel died before replying to kernel_info"


class TestCores:
    @pytest.fixture(autouse=True)
    def eight_cores(self, monkeypatch):
        monkeypatch.setattr(os, "cpu_count", lambda: 8)
        monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(6)), raising=False)

    @pytest.mark.parametrize(
        ("files", "seen", "ok"),
        [
            ({}, "6 usable of 8", True),
            ({"cpu.max": "max 100000\n"}, "6 usable of 8", True),
            ({"cpu.max": "250000 100000\n"}, "2.5 usable of 8", True),
            ({"cpu.max": "50000 100000\n"}, "0.5 usable of 8", False),
            ({"cpu.max": "nonsense"}, "6 usable of 8", True),
            (
                {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"},
                "6 usable of 8",
                True,
            ),
            (
                {"cpu/cpu.cfs_quota_us": "100000\n", "cpu/cpu.cfs_period_us": "100000\n"},
                "1 usable of 8",
                False,
            ),
        ],
    )
    def test_of_the_machine_the_process_and_the_container(self, tmp_path, files, seen, ok):
        for name, text in files.items():
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_text(text)
        found = machine.check_cores(tmp_path)
        assert (found.seen, found.ok, found.needed) == (seen, ok, False)

    def test_where_there_is_no_affinity(self, monkeypatch, tmp_path):
        monkeypatch.delattr(os, "sched_getaffinity")
        assert machine.check_cores(tmp_path).seen == "8 usable of 8"
        monkeypatch.setattr(os, "cpu_count", lambda: None)
        assert machine.check_cores(tmp_path).seen == "1 usable of 1"


class TestTimer:
    def test_says_what_it_measured(self):
        found = machine.check_timer()
        assert re.search(r"a sleep of 1 ms takes .* ms, in asyncio .* ms; clock .* s", found.seen)

    def test_a_coarse_one_gets_a_note(self, monkeypatch):
        monkeypatch.setattr(time, "sleep", lambda seconds, sleep=time.sleep: sleep(0.016))
        found = machine.check_timer()
        assert (found.ok, found.needed) == (False, False)
        assert "50 ms or more" in found.advice


class TestBlas:
    def test_here(self):
        found = machine.check_blas(cores=10_000, slowest_gflops=0, most_slower=math.inf)
        assert found.ok
        assert re.fullmatch(r".+, threads: \d+, usable cores: 10000, \d+ GFLOP/s", found.seen), (
            found.seen
        )

    def test_threads_that_cost_more_than_they_bring(self, monkeypatch):
        monkeypatch.setattr(machine, "_blas_threads", lambda: 2)
        found = machine.check_blas(cores=2, slowest_gflops=0, most_slower=0)
        assert (found.ok, found.needed) == (False, False)
        assert re.match(r"a small product takes \d+ times as long with 2 threads", found.advice)
        assert re.search(r"set [A-Z]+_NUM_THREADS=1 before JupyterLab starts", found.advice)
        monkeypatch.setattr(machine, "_blas_threads", lambda: 1)
        assert machine.check_blas(cores=2, slowest_gflops=0).ok  # nothing to compare

    def test_more_threads_than_cores(self, monkeypatch):
        monkeypatch.setattr(machine, "_blas_threads", lambda: 8)
        found = machine.check_blas(cores=1.5, slowest_gflops=0)
        assert (found.ok, found.needed) == (False, False)
        assert re.search(r"set [A-Z]+_NUM_THREADS=1 before JupyterLab starts", found.advice)

    def test_a_slow_one(self):
        found = machine.check_blas(slowest_gflops=1e9)
        assert (found.ok, found.needed) == (False, False)
        assert "NumPy is slow here" in found.advice

    @pytest.mark.parametrize(
        ("environment", "threads"),
        [({}, 8), ({"OMP_NUM_THREADS": "3"}, 3), ({"OPENBLAS_NUM_THREADS": "many"}, 8)],
    )
    def test_threads_where_threadpoolctl_is_missing(self, monkeypatch, environment, threads):
        without(monkeypatch, "threadpoolctl")
        monkeypatch.setattr(os, "cpu_count", lambda: 8)
        for variable in machine._BLAS_VARIABLES.values():
            monkeypatch.delenv(variable, raising=False)
        for variable, value in environment.items():
            monkeypatch.setenv(variable, value)
        assert machine._blas_threads() == threads

    def test_threads_as_threadpoolctl_tells(self, monkeypatch):
        pools = [{"user_api": "blas", "num_threads": 5}, {"user_api": "openmp", "num_threads": 9}]
        module = types.SimpleNamespace(threadpool_info=lambda: pools)
        monkeypatch.setattr(importlib, "import_module", lambda name: module)
        assert machine._blas_threads() == 5
        pools.clear()
        assert machine._blas_threads() == 1


class TestFigureAndImages:
    def test_right(self):
        assert machine.check_figure().ok
        found = machine.check_images()
        assert (found.ok, found.seen) == (True, "10,000 to train, 2,000 to test")

    def test_without_matplotlib(self, monkeypatch):
        without(monkeypatch, "matplotlib")
        found = machine.run_check("figure", machine.check_figure)
        assert (found.ok, found.needed) == (False, True)
        assert found.seen.startswith("needs matplotlib")
        assert INSTALL in found.advice

    def test_without_pillow(self, monkeypatch):
        without(monkeypatch, "PIL")
        found = machine.run_check("images", machine.check_images)
        assert not found.ok
        assert 'pip install "asyncml[images]"' in found.seen

    def test_damaged_images(self, monkeypatch):
        monkeypatch.setattr("asyncml.images.datasets._SHIPPED", ("0" * 64,) * 4)
        found = machine.run_check("images", machine.check_images)
        assert not found.ok
        assert found.seen.startswith("DatasetError: ")
