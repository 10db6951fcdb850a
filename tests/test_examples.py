"""The programs in `examples/`: run like a reader runs them, stopped, killed, and run again."""

import os
import re
import shutil
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("obstore")
from safetensors.numpy import load_file

EXAMPLES = sorted((Path(__file__).parent.parent / "examples").glob("*.py"))
FASHION = EXAMPLES[0]
ENV = os.environ | dict.fromkeys(("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
S3 = """
import sys
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()
server.stop()
"""


def fashion(*arguments, stop_at=None, with_signal=None, env=ENV):
    """Run the program; stop it when a line contains `stop_at`; return its exit code and output."""
    command = [sys.executable, str(FASHION), *map(str, arguments)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    said = ""
    with subprocess.Popen(command, env=env, encoding="utf-8", **pipes) as process:
        try:
            for line in process.stdout:
                said += line
                if stop_at and stop_at in line:
                    process.send_signal(with_signal) if with_signal else process.kill()
                    stop_at = None
        finally:
            process.kill()
    return process.returncode, said


def newest(run):
    return load_file(max(run.glob("*.safetensors")))


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """A folder of images, one of which is damaged."""
    folder = tmp_path_factory.mktemp("images") / "new"
    code, said = fashion(folder, "--make", 400)
    assert (code, "400 images written" in said) == (0, True)
    (folder / sorted(path.name for path in folder.iterdir())[7]).write_bytes(b"no PNG")
    return folder


@pytest.fixture(scope="module")
def whole(images, tmp_path_factory):
    """Return a run that was never stopped, and its output."""
    run = tmp_path_factory.mktemp("whole")
    code, said = fashion(images, "--run", run, "--epochs", 6)
    assert code == 0, said
    return run, said


def test_each_example_is_short_and_says_what_it_does():
    for path in EXAMPLES:
        lines = path.read_text(encoding="utf-8").splitlines()
        assert len(lines) <= 120
        assert lines[0].startswith('"""')


def test_help_says_how_it_is_called():
    code, said = fashion("--help")
    assert code == 0
    assert "usage: fashion.py" in said
    assert "python examples/fashion.py s3://bucket/prefix" in said


@pytest.mark.parametrize(("arguments", "code", "words"), [
    (["nowhere"], 1, r"fashion.py: no folder is at \S+nowhere; .*"),
    (["ftp://a/b"], 1, r"fashion.py: `url` must begin with .*"),
    (["images", "--make", "-3"], 2, r"(?s)usage: .*--make must be 1 or more"),
    (["images", "--set", "region"], 2, r"(?s)usage: .*--set wants NAME=VALUE, .*"),
    (["images", "--patience", "0"], 2, r"(?s)usage: .*--patience and --make must be 1 or more"),
])  # fmt: skip
def test_what_is_wrong_is_said_in_a_line(arguments, code, words):
    found, said = fashion(*arguments)
    assert found == code
    assert re.fullmatch(rf"{words}\n", said), said


def test_a_run_does_not_go_on_with_other_images(images, whole, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(images, other)
    next(other.iterdir()).unlink()
    code, said = fashion(other, "--run", whole[0])
    assert code == 1
    assert said.startswith("fashion.py: `state` comes from a pipeline of other stages")


def test_a_damaged_image_is_left_out_and_named(images, whole):
    damaged = next(path.name for path in images.iterdir() if path.read_bytes() == b"no PNG")
    assert damaged in whole[1]


def test_after_each_stop_the_same_command_goes_on_to_the_same_weights(images, whole, tmp_path):
    run = tmp_path / "run"
    command = images, "--run", run, "--epochs", 6
    code, said = fashion(*command, stop_at="epoch 1:")
    assert code not in (0, 130)
    if sys.platform != "win32":  # Windows cannot send Ctrl-C to a single process
        code, said = fashion(*command, stop_at="epoch 3:", with_signal=signal.SIGINT)
        assert code == 130
        assert said.startswith("going on after step ")
        assert said.endswith(f"the same command goes on from what is saved in {run}\n")
    code, said = fashion(*command)
    assert code == 0
    assert said.startswith("going on after step ")
    weights, right = newest(run), newest(whole[0])
    assert weights.keys() == right.keys()
    assert all(np.array_equal(weights[name], right[name]) for name in weights)
    assert (run / "scores.json").read_text() == (whole[0] / "scores.json").read_text()


def test_a_bucket_of_s3_is_a_source_as_well(images, tmp_path):
    pytest.importorskip("moto")
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen([sys.executable, "-c", S3], text=True, **pipes) as server:
        address = f"http://127.0.0.1:{int(server.stdout.readline())}"
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        direct.open(urllib.request.Request(f"{address}/bucket", method="PUT")).close()
        env = ENV | {
            "AWS_ACCESS_KEY_ID": "a",
            "AWS_SECRET_ACCESS_KEY": "b",
            "NO_PROXY": "127.0.0.1",
        }
        bucket = "s3://bucket/clothes", "--set", f"endpoint={address}", "--set", "region=eu-west-1"
        code, said = fashion(*bucket, "--make", 60, env=env)
        assert (code, said) == (0, "60 images written to s3://bucket/clothes\n")
        code, said = fashion(*bucket, "--run", tmp_path, "--epochs", 1, env=env)
        assert (code, said[:8]) == (0, "epoch 0:"), said
        server.stdin.close()


def test_what_is_over_is_trained_no_further_and_answers_over_http(images, whole):
    run, before = whole[0], newest(whole[0])
    command = [sys.executable, str(FASHION), str(images), "--run", str(run), "--epochs", "6"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    with subprocess.Popen([*command, "--serve", "0"], env=ENV, text=True, **pipes) as process:
        try:
            said = ""
            for line in process.stdout:
                said += line
                if "running on" in line:
                    break
            address = re.search(r"http://127.0.0.1:\d+", said)[0]
            direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
            with direct.open(f"{address}/v2/models/fashion/ready") as answer:
                assert b"true" in answer.read()
        finally:
            process.kill()
    assert all(np.array_equal(before[name], array) for name, array in newest(run).items())
