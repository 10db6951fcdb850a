"""A network is served from its checkpoint; what cannot be served is refused clearly."""

import asyncio
import json
import socket
import subprocess
import sys
import time

import numpy as np
import pytest

from asyncml.course import serve
from asyncml.network import MLP, Adam, Linear, MeanSquaredError, ReLU, Sequential
from asyncml.training import Checkpointer, CheckpointError, Step

httpx = pytest.importorskip("httpx")
pytest.importorskip("uvicorn")
STEP = Step(0, 0, loss=1.0, examples=1, wait_s=0.0, compute_s=0.0)


def saved(folder, model):
    async def save():
        async with Checkpointer(folder) as checkpoints:
            await checkpoints.save(STEP, model, Adam(model))

    asyncio.run(save())
    return next(folder.glob("*.safetensors"))


@pytest.mark.parametrize(
    "model",
    [
        MLP([4, 3, 2], seed=1),
        Sequential(Linear(4, 1), loss=MeanSquaredError(), seed=2),
        Sequential(Linear(4, 4), ReLU(), ReLU(), Linear(4, 3), seed=3),
    ],
    ids=repr,
)
def test_the_network_of_a_file_or_of_a_folder_is_the_one_that_was_saved(tmp_path, model):
    file = saved(tmp_path, model)
    x = np.random.default_rng(0).random((5, 4), np.float32)
    for path in (file, tmp_path):
        found = serve.network_of(path)
        np.testing.assert_array_equal(found.forward(x), model.forward(x))
        assert type(found.loss) is type(model.loss)


class Doubled(ReLU):
    """A layer that asyncml does not know."""


def test_what_cannot_be_served_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no checkpoint in"):
        serve.network_of(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"there is no .*nowhere"):
        serve.network_of(tmp_path / "nowhere")
    file = saved(tmp_path, Sequential(Linear(4, 3), Doubled(), Linear(3, 2)))
    with pytest.raises(CheckpointError, match=r"only networks of Linear, ReLU, .* Doubled\(\)"):
        serve.network_of(file)
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(CheckpointError, match="is damaged, or no checkpoint"):
        serve.network_of(file)
    with pytest.raises(FileNotFoundError, match="only damaged ones: checkpoint-"):
        serve.network_of(tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "MLP",
        "print(1)",
        "MLP(print(1))",
        "MLP(Linear(2, 3), x=ReLU())",
        "MLP(Linear(__import__('os'), 3))",
        "MLP(Linear(2, 3), ReLU(n=1))",
        "MLP(Linear(2, 3), Linear(2, 3))",
        "MLP(Linear(-2, 3))",
        "MLP(*[1])",
        "MLP(Linear(2, 3), **{})",
    ],
)
def test_no_code_of_a_file_is_run(text):
    with pytest.raises(CheckpointError, match="only networks of"):
        serve._made(text)


def test_from_the_command_line(tmp_path):
    model = MLP([4, 3, 2], seed=1)
    saved(tmp_path, model)
    with socket.socket() as it:
        it.bind(("127.0.0.1", 0))
        port = it.getsockname()[1]
    command = [sys.executable, "-m", "asyncml", "serve", str(tmp_path), "--port", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    url, deadline = f"http://127.0.0.1:{port}/v2/models/model", time.monotonic() + 60
    try:
        while True:
            assert time.monotonic() < deadline
            try:
                about = httpx.get(url)
            except httpx.TransportError:
                time.sleep(0.05)
            else:
                break
        assert about.json()["inputs"][0]["shape"] == [-1, 4]
        rows = {"name": "input", "shape": [1, 4], "datatype": "FP32", "data": [1, 2, 3, 4]}
        answer = httpx.post(f"{url}/infer", content=json.dumps({"inputs": [rows]}))
        data = answer.json()["outputs"][0]["data"]
        np.testing.assert_allclose(data, model.forward(np.array([[1, 2, 3, 4]], "f4"))[0], 1e-5)
    finally:
        server.kill()
        server.wait()


def test_what_is_wrong_is_said_in_a_line(tmp_path):
    command = [sys.executable, "-m", "asyncml", "serve", str(tmp_path / "none")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.strip() == f"there is no {tmp_path / 'none'}"
