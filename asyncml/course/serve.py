"""Serve a network from a checkpoint: `python -m asyncml serve CHECKPOINT`.

A checkpoint names the layers of its network and their sizes. asyncml's own layers are made anew
from these; no code from the file is run.

    python -m asyncml serve checkpoints --port 8000

serves the newest one in the folder. For several processes behind one port, write a file `net.py`

    from pathlib import Path
    from asyncml.course.serve import app_of
    app = app_of(Path("checkpoints"))

and run `uvicorn net:app --workers 4`: each process has its own network and batcher.
"""

import argparse
import ast
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from asyncml.network import CrossEntropy, Linear, MeanSquaredError, ReLU, Sequential
from asyncml.serving import MicroBatcher, create_app
from asyncml.training import CheckpointError
from asyncml.training import checkpoint_files as files

if TYPE_CHECKING:
    from starlette.applications import Starlette

_PARTS: dict[str, Any] = {
    kind.__name__: kind for kind in (Linear, ReLU, CrossEntropy, MeanSquaredError)
}
_MODELS = "Sequential", "MLP"


def network_of(path: Path) -> Sequential:
    """Return the network of a checkpoint.

    Args:
        path: a file of `Checkpointer`, or its folder, from which the newest intact file is taken.

    Raises:
        FileNotFoundError: there is none.
        CheckpointError: it is damaged, or its network has parts from other libraries.
    """
    if path.is_dir():
        newest, damaged = files.newest(path)
        if newest is None:
            bad = f", only damaged ones: {', '.join(damaged)}" if damaged else ""
            raise FileNotFoundError(f"there is no checkpoint in {path}{bad}")
        path, found = newest
    elif not path.exists():
        raise FileNotFoundError(f"there is no {path}")
    elif (read := files.read(path)) is None:
        raise CheckpointError(f"{path} is damaged, or no checkpoint of asyncml")
    else:
        found = read
    network = _made(found.words["model"])
    params = found.arrays.get("params")
    if params is None or params.shape != network.params.shape:
        raise CheckpointError(f"{path} does not hold the parameters of {network}")
    network.params = params
    return network


def _made(text: str) -> Sequential:
    """Make a network from its `repr`, as stored in a checkpoint."""
    try:
        call = ast.parse(text, mode="eval").body
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name):
            loss = {str(word.arg): _part(word.value) for word in call.keywords}
            if call.func.id in _MODELS and loss.keys() <= {"loss"}:
                return Sequential(*map(_part, call.args), **loss)
    except (SyntaxError, ValueError, TypeError, KeyError):
        pass
    raise CheckpointError(
        f"only networks of {', '.join(_PARTS)} can be served from a checkpoint, this one is {text}"
    )


def _part(node: ast.expr) -> Any:
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)) or node.keywords:
        raise ValueError("no layer and no loss")
    return _PARTS[node.func.id](*map(ast.literal_eval, node.args))


def app_of(path: Path, name: str = "model", max_batch_size: int = 64) -> "Starlette":
    """Return the application that serves the network of a checkpoint: its outputs for n rows.

    Args:
        path: as for `network_of`.
        name: the model's name in the paths of the server.
        max_batch_size: how many rows a batch may have.

    Raises:
        ModuleNotFoundError: starlette is not installed.
        FileNotFoundError, CheckpointError: as for `network_of`.
    """
    network = network_of(path)
    batcher = MicroBatcher(network.forward, max_batch_size=max_batch_size)
    return create_app(batcher, name, example=np.zeros(network.n_in, np.float32))


def main(arguments: Sequence[str]) -> int | str:
    """Serve until interrupted; return an error message, or 0."""
    parser = argparse.ArgumentParser(
        "python -m asyncml serve", description="Serve the network of a checkpoint over HTTP."
    )
    parser.add_argument("checkpoint", type=Path, help="a file of a Checkpointer, or its folder")
    parser.add_argument("--name", default="model", help="of the model, in the paths")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--max-batch-size", type=int, default=64)
    options = parser.parse_args(arguments)
    try:
        import uvicorn

        app = app_of(options.checkpoint, options.name, options.max_batch_size)
    except (ModuleNotFoundError, FileNotFoundError, CheckpointError, ValueError) as error:
        return str(error)
    # a client that does not read its answer must not keep the server from ending
    uvicorn.run(app, host=options.host, port=options.port, timeout_graceful_shutdown=30)
    return 0
