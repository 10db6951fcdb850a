"""The stop button in a kernel shows the learner's own line, and none of ours.

Also, after a cell that failed, a verdict says which cell defined the judged answer.
"""

import re
from pathlib import Path

import pytest

from tests.notebook_kernel import Kernel

SETUP = """
import asyncio, signal, threading, time
import asyncml as aml
from asyncml.exercises import check
def press_stop():
    threading.Timer(0.5, signal.raise_signal, [signal.SIGINT]).start()
async def busy(*args):
    while True:
        await asyncio.sleep(1)
def slow(x):
    time.sleep(0.05)
    return x
"""
CELLS = [
    'check("01-keep-going", busy)',
    "aml.simulate(aml.record(busy()))",
    "aml.compute(60)",
    "for x in aml.Pipeline(range(10_000)).map(slow): pass",
    "async for x in aml.Pipeline(range(10_000)).map(slow): pass",
    "await aml.record(busy())",
]


@pytest.fixture(scope="module")
def kernel(tmp_path_factory):
    kernel = Kernel(Path(tmp_path_factory.mktemp("kernel")))
    try:
        kernel.run(SETUP)
        yield kernel
    finally:
        kernel.stop()


@pytest.mark.parametrize("cell", CELLS)
def test_a_stop_shows_one_line_and_it_is_the_readers(kernel, cell):
    (output,) = kernel.run(f"press_stop()\n{cell}").outputs
    assert output["ename"] in ("KeyboardInterrupt", "CancelledError")
    text = re.sub(r"\x1b\[[\d;]*m", "", "\n".join(output["traceback"]))
    frames = re.findall(r"^(?:File|Cell In) ?.*", text, re.MULTILINE)
    assert [re.sub(r"\d+", "n", frame) for frame in frames] == ["Cell In[n], line n"]
    assert f"----> 2 {cell}" in text


def text_of(run):
    return "".join(out.get("data", {}).get("text/plain", "") for out in run.outputs)


def test_after_a_mistake_in_a_cell_the_verdict_says_what_was_judged(kernel):
    define = "async def keep_going(aws):\n    return [await aw for aw in aws]"
    kernel.run(define)
    first = text_of(kernel.run('check("01-keep-going", keep_going)'))
    kernel.run("async def keep_going(aws)\n    return 1")
    second = text_of(kernel.run('check("01-keep-going", keep_going)'))
    kernel.run(define + "  # again")
    third = text_of(kernel.run('check("01-keep-going", keep_going)'))
    said = r"This was `keep_going` as cell \[(\d+)\] defined it: cell \[(\d+)\] is newer"
    assert "defined it" not in first + third
    place, newer = map(int, re.search(said, second).groups())
    assert newer == place + 2
