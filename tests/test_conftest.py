"""A test that leaves anything behind fails: one thing of each kind is left on purpose."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MODULE = """
import asyncio, sys, threading, time
import pytest
from hypothesis import given, strategies
from asyncml.clock import Deadlock, simulate

@given(strategies.integers())
def test_property(number):
    assert isinstance(number, int)

async def leave(error=None):
    asyncio.create_task(asyncio.sleep(9))
    if error:
        raise error

async def lose():
    asyncio.get_running_loop().create_future().set_exception(OSError())

async def hang():
    asyncio.create_task(asyncio.Event().wait())
    await asyncio.Event().wait()

def test_thread():
    threading.Thread(target=time.sleep, args=(1.5,), daemon=True).start()

def test_task():
    asyncio.run(leave())

def test_simulated_task():
    simulate(leave())

def test_task_beside_an_error():
    with pytest.raises(OSError):
        asyncio.run(leave(OSError()))

def test_exception():
    asyncio.run(lose())

def test_coroutine():
    leave()

def test_interval():
    sys.setswitchinterval(0.001)

@pytest.mark.untidy
def test_excused():
    asyncio.run(leave())
    asyncio.run(lose())

def test_clean():
    thread = threading.Thread(target=time.sleep, args=(0.02,))
    thread.start()
    asyncio.run(asyncio.sleep(0))
    with pytest.raises(Deadlock):
        simulate(hang())
"""


@pytest.fixture(scope="module")
def outcome(tmp_path_factory):
    """Return the outcome of pytest in a separate process, with this folder's fixtures."""
    folder = tmp_path_factory.mktemp("left")
    (folder / "test_left.py").write_text(MODULE)
    command = [sys.executable, "-m", "pytest", "-n", "0", "-c", str(ROOT / "pyproject.toml")]
    command += ["-p", "tests.notebook_gate", "-p", "no:nbval.plugin"]
    command += [f"--rootdir={folder}", "-p", "tests.conftest", "-p", "no:cacheprovider", "-rA"]
    done = subprocess.run([*command, folder], cwd=ROOT, capture_output=True, text=True)
    return done.stdout


@pytest.mark.parametrize(
    ("test", "words"),
    [
        ("thread", "is still running"),
        ("task", "was left to be cancelled"),
        ("simulated_task", "was left to be cancelled"),
        ("task_beside_an_error", "was left to be cancelled"),
        ("exception", "exception was never retrieved"),
        ("coroutine", "was never awaited"),
        ("interval", "the switch interval is 0.001 s"),
    ],
)
def test_what_is_left_fails_its_test(outcome, test, words):
    summary = re.findall(rf"^(ERROR|FAILED) \S+::test_{test}\b(?!_)", outcome, re.MULTILINE)
    assert len(summary) == 1
    assert words in outcome


@pytest.mark.parametrize("test", ["clean", "excused", "property"])
def test_a_test_that_leaves_nothing_behind_passes(outcome, test):
    assert set(re.findall(rf"^(\w+) \S+::test_{test}\b", outcome, re.MULTILINE)) == {"PASSED"}
