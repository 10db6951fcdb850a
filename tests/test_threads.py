"""The pool of daemon threads, where its users' tests do not reach, and the count of cores."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from asyncml.threads import ThreadPool, cores

ROOT = Path(__file__).parent.parent


def test_where_the_interpreter_ends_a_thread_that_will_never_run_is_not_waited_for(monkeypatch):
    release = threading.Event()
    pool = ThreadPool(1)
    future = pool.submit(release.wait, 10)
    monkeypatch.setattr(sys, "is_finalizing", lambda: True)
    pool.shutdown()
    assert not future.done()
    monkeypatch.undo()
    release.set()
    pool.shutdown()  # this one waits
    assert future.result()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("thread-")]


LEFT = """
import asyncio
import numpy as np
import asyncml as aml

batches = [(np.zeros((4, 8), np.float32), np.zeros(4, int))] * 9

class Owner:
    pass

async def main():
    global steps
    model = aml.MLP([8, 3])
    steps = aml.fit(model, aml.SGD(model, 0.1), batches, epochs=3)
    async for step in steps:
        {leave}

{before}
asyncio.run(main())
{after}
print("done")
"""


@pytest.mark.parametrize(
    ("leave", "before", "after"),
    [
        ("break", "", ""),
        ("break", "", "Owner.steps = steps; del steps"),
        ("break", "", "steps.me = steps; del steps"),
        ("break", "", "import sys; sys.kept = steps"),
        ("await asyncio.sleep(0)", "", ""),
        ("break", "loop = asyncio.new_event_loop(); asyncio.run = loop.run_until_complete", ""),
    ],
)
def test_a_program_ends_that_still_holds_a_training_left_with_break(leave, before, after):
    source = LEFT.format(leave=leave, before=before, after=after)
    done = subprocess.run(
        [sys.executable, "-c", source], capture_output=True, text=True, cwd=ROOT, timeout=60
    )
    assert (done.stdout, done.returncode) == ("done\n", 0)
    assert "Traceback" not in done.stderr


SUSPENDED = """
import asyncio, sys, time
import numpy as np
import asyncml as aml

class Slow(aml.MLP):
    def predict(self, x):
        time.sleep(0.05)
        return super().predict(x)

model = Slow([8, 3])
batches = [(np.zeros((4, 8), np.float32), np.zeros(4, int))] * 9

async def checkpoints():
    async with aml.Checkpointer(sys.argv[1]) as checkpoints:
        await checkpoints.save(aml.Step(0, 0, 0.5, 4, 0.0, 0.0), model, aml.SGD(model, 0.1))
        await asyncio.sleep(9)

loop = asyncio.new_event_loop()
task = loop.create_task({coroutine})
loop.call_later(0.12, loop.stop)
loop.run_forever()
print("done")
"""


@pytest.mark.parametrize("coroutine", ["aml.evaluate(model, batches)", "checkpoints()"])
def test_a_program_ends_whose_loop_stopped_in_the_midst(tmp_path, coroutine):
    command = [sys.executable, "-c", SUSPENDED.format(coroutine=coroutine), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=60)
    assert (done.stdout, done.returncode) == ("done\n", 0)


def test_cores_are_those_that_may_be_used(monkeypatch):
    assert 1 <= cores() <= (os.cpu_count() or 1)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 2, 5}, raising=False)
    assert cores() == 3
    monkeypatch.delattr(os, "sched_getaffinity")
    assert cores() == os.cpu_count()
    monkeypatch.setattr(os, "cpu_count", lambda: None)  # as on a system that does not tell
    assert cores() == 1
