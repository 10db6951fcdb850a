"""`fit` in a real notebook kernel: the stop button, what the next cell finds, the live curve."""

import json
import os
import signal
import sys
import threading
import time
from contextlib import contextmanager

import pytest

from tests.notebook_kernel import Kernel

SET_UP = """
import asyncio, json, sys, threading, time
from pathlib import Path
import numpy as np
import asyncml as aml

class Model(aml.MLP):
    def loss_and_grads(self, x, y):
        time.sleep(delays["step"])
        return super().loss_and_grads(x, y)

class Blocking:  # a plain iterable, which is stepped on the event loop
    def __iter__(self):
        for batch in batches:
            time.sleep(delays["blocking load"])
            yield batch

rng = np.random.default_rng(0)
rows = [(rng.random(4, np.float32), i % 3) for i in range(60)]
batches = [(rng.random((4, 4), np.float32), rng.integers(0, 3, 4)) for _ in range(15)]

async def load(i):
    await asyncio.sleep(delays["load"])
    return rows[i]

def made(seed=0):
    model = Model([4, 8, 3], seed=seed)
    data = Blocking()
    if not delays["blocking load"]:
        data = aml.Pipeline(range(60)).shuffle(16).map(load, concurrency=2)
        data = data.batch(4, collate=aml.collate)
    return model, aml.Adam(model), data

def bits(model, optimizer):
    return [model.params.tobytes(), *(a.tobytes() for a in optimizer.state().values())]

async def run(model, optimizer, data, steps, stop=None, **options):
    async for step in aml.fit(model, optimizer, data, epochs=2, **options):
        steps.append(step)
        if len(steps) == stop:
            break

def left():
    threads = [t.name for t in threading.enumerate() if t.name.startswith("trainer")]
    tasks = [t.get_name() for t in asyncio.all_tasks() if t.get_name().startswith("fit")]
    return threads + tasks + [sys.getswitchinterval()] * (sys.getswitchinterval() != before_s)

before_s = sys.getswitchinterval()
"""

TRAIN = """
delays = {{"load": 0, "blocking load": 0, "step": 0, "body": 0, "blocking body": 0}}
delays[{where!r}] = 0.02
model, optimizer, data = made()
steps, at_s = [], []
async for step in aml.fit(model, optimizer, data, epochs=2):
    steps.append(step)
    time.sleep(delays["blocking body"])
    at_s.append(time.monotonic())
    if len(steps) == 3:
        delays[{where!r}] *= 10  # the button comes in the midst of it, on a busy machine too
        Path({file!r}).touch()
    {last}
    await asyncio.sleep(delays["body"])
"""

# what is left; whether the state is that of the steps handed out; whether all ends as it should
JUDGE = """
threads_and_tasks, of_a_whole_step, as_unbroken = left(), bits(model, optimizer), []
delays = dict.fromkeys(delays, 0) | {"blocking load": delays["blocking load"] and 1e-6}
by_hand, optimizer_by_hand, data = made()
await run(by_hand, optimizer_by_hand, data, [], stop=len(steps))
of_a_whole_step = of_a_whole_step == bits(by_hand, optimizer_by_hand)
_, _, data = made()
await run(model, optimizer, data, [], resume_from=steps[-1])
unbroken, optimizer_unbroken, data = made()
await run(unbroken, optimizer_unbroken, data, [])
as_unbroken = bits(model, optimizer) == bits(unbroken, optimizer_unbroken)
json.dumps([threads_and_tasks, of_a_whole_step, as_unbroken, 3 <= len(steps) < 30])
"""


@pytest.fixture(scope="module")
def kernel(tmp_path_factory):
    kernel = Kernel(tmp_path_factory.mktemp("kernel"))
    try:
        assert kernel.run(SET_UP).status == "ok"
        yield kernel
    finally:
        kernel.stop()


@contextmanager
def stopped(kernel, file):
    """Press the stop button once `file` is there, a moment later; give when that had been done."""
    pressed_s = []

    def press():
        while not file.exists():
            time.sleep(0.001)
        time.sleep(0.01)  # into the midst of what takes 200 ms
        # what the button does; `interrupt_kernel` would need an event loop in this thread
        os.kill(kernel.km.provisioner.pid, signal.SIGINT)
        pressed_s.append(time.monotonic())

    thread = threading.Thread(target=press, daemon=True)
    thread.start()
    yield pressed_s
    thread.join(10)


def judge(kernel):
    run = kernel.run(JUDGE)
    assert run.status == "ok", run.outputs
    assert not run.late
    assert json.loads(run.outputs[0]["data"]["text/plain"].strip("'")) == [[], True, True, True]


@pytest.mark.skipif(sys.platform == "win32", reason="the button sends no signal there")
@pytest.mark.parametrize("where", ["step", "load", "blocking load", "body", "blocking body"])
def test_the_stop_button_ends_it_between_two_steps(kernel, tmp_path, where):
    file = tmp_path / "begun"
    with stopped(kernel, file) as pressed_s:
        run = kernel.run(TRAIN.format(where=where, file=str(file), last="pass"))
    assert run.status == "error"
    assert run.outputs[-1]["ename"] in ("CancelledError", "KeyboardInterrupt")
    run = kernel.run(f"sum(at > {pressed_s[0]!r} for at in at_s)")
    assert int(run.outputs[0]["data"]["text/plain"]) <= 3  # of 27
    judge(kernel)


@pytest.mark.parametrize(
    ("last", "status"),
    [("if len(steps) == 3: break", "ok"), ("if len(steps) == 3: raise KeyError(3)", "error")],
)
def test_leaving_the_loop_and_an_error_in_its_body_do_too(kernel, tmp_path, last, status):
    file = str(tmp_path / "begun")
    run = kernel.run(TRAIN.format(where="step", file=file, last=last))
    assert run.status == status
    judge(kernel)


LIVE = """
delays = {"load": 0, "blocking load": 0, "step": 0.005, "body": 0, "blocking body": 0}
model, optimizer, data = made()
curve, pictures = aml.LossCurve(every_s=0), []
picture = curve._picture
curve._picture = lambda: pictures.append(len(curve.steps)) or picture()
async for step in aml.fit(model, optimizer, data, epochs=2):
    curve.add(step)
    curve._next_s = 0 if step.index % 10 == 0 else curve._next_s
print(pictures[0], len(pictures), curve.steps[-1].index, left())
"""


def test_the_loss_is_shown_while_the_training_runs(kernel):
    run = kernel.run(LIVE)
    assert run.status == "ok", run.outputs
    assert [out["output_type"] for out in run.outputs] == ["display_data", "stream"]
    assert run.outputs[0]["data"]["image/png"]
    first, count, last, left = run.outputs[1]["text"].split(maxsplit=3)
    assert (first, last, left) == ("2", "14", "[]\n")
    assert int(count) >= 3
    assert not run.late


SHOWN = """
delays = {{"load": 0, "blocking load": 0, "step": 0.02, "body": 0, "blocking body": 0}}
model, optimizer, data = made()
curve, pictures = aml.LossCurve(every_s=1000), []
picture = curve._picture
curve._picture = lambda: pictures.append(len(curve.steps)) or picture()
async for step in aml.fit(model, optimizer, data, epochs=2):
    curve.add(step)
    if len(curve.steps) == 4:
        Path({file!r}).touch()
        {last}
"""


@pytest.mark.skipif(sys.platform == "win32", reason="the button sends no signal there")
@pytest.mark.parametrize("last", ["pass", "break", "raise KeyError(4)"])
def test_the_last_picture_holds_the_last_step_however_the_loop_ends(kernel, tmp_path, last):
    file = tmp_path / "begun"
    source = SHOWN.format(file=str(file), last=last)
    if last == "pass":
        with stopped(kernel, file):
            run = kernel.run(source)
    else:
        run = kernel.run(source)
    assert run.status == ("ok" if last == "break" else "error")
    assert run.outputs[0]["output_type"] == "display_data"
    assert not run.late
    run = kernel.run("print(pictures == [2, len(curve.steps)], 4 <= len(curve.steps) < 30, left())")
    assert run.outputs[0]["text"] == "True True []\n"
