"""A learner's cells as a program: written to a file, run as a process, and killed; lesson 12."""

import ast
import inspect
import linecache
import os
import subprocess
import symtable
import sys
import textwrap
import types
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from asyncml.clock import simulate
from asyncml.course.exercises.capstone import TimedMLP, World, load_data, train_and_save

_STEP = "step"  # begins the line that a process prints for each step
_ONE_BLAS_THREAD = dict.fromkeys(
    ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS"), "1"
)
_MAIN = """

if __name__ == "__main__":
    from asyncml.course.exercises.programs import live

    live({load}, {train})
"""


def write_program(path: Path, loading: Callable[..., Any], training: Callable[..., Any]) -> None:
    """Write two functions of a notebook, and everything they use, to a program that trains.

    If a function cannot be written to a file, print its name and the reason, and use ours instead.

    Args:
        path: where to write the program.
        loading: yields pairs (image, label), as in "12-load".
        training: trains and saves, as in "12-save".
    """
    parts: dict[str, str] = {}
    names = []
    for function, ours in ((loading, load_data), (training, train_and_save)):
        known = dict(parts)
        try:
            _collect(function.__name__, function, parts)
        except ValueError as error:
            print(f"ours in place of your `{function.__name__}`: {error}")
            function, parts = ours, known
            _collect(function.__name__, function, parts)
        names.append(function.__name__)
    text = "\n\n".join(part for part in parts.values() if part)
    main = _MAIN.format(load=names[0], train=names[1])
    path.write_text(text + "\n" + main, encoding="utf-8")


def _collect(name: str, value: Any, parts: dict[str, str]) -> None:
    """Add the source that defines a name to `parts`, after the sources of what it uses."""
    if name in parts:
        return
    parts[name] = ""  # it may use itself
    is_code = isinstance(value, types.FunctionType | types.BuiltinFunctionType | type)
    if isinstance(value, types.ModuleType):
        text = _renamed(f"import {value.__name__}", value.__name__, name)
    elif is_code and value.__module__ != "__main__":
        text = _renamed(f"from {value.__module__} import {value.__name__}", value.__name__, name)
    elif is_code:
        text, scope = _definition(name, value)
        used = _globals_in(symtable.symtable(text, name, "exec"))
        for other in sorted(used & scope.keys()):
            _collect(other, scope[other], parts)
    elif _is_literal(value):
        text = f"{name} = {value!r}"
    else:
        raise ValueError(f"`{name}` was made in another cell: make it inside your function")
    del parts[name]
    parts[name] = text


def _globals_in(table: symtable.SymbolTable) -> set[str]:
    """Return the global names that a source uses, without parameters and local variables."""
    names = {symbol.get_name() for symbol in table.get_symbols() if symbol.is_global()}
    return names.union(*map(_globals_in, table.get_children()))


def _renamed(text: str, own: str, name: str) -> str:
    return text if own == name else f"{text} as {name}"


def _is_literal(value: Any) -> bool:
    try:
        return bool(ast.literal_eval(repr(value)) == value)
    except (SyntaxError, ValueError):
        return False


def _definition(name: str, value: Any) -> tuple[str, dict[str, Any]]:
    """Return the source of a function or class from its cell, and its global names."""
    inner = inspect.unwrap(value)
    members = [inner] if isinstance(inner, types.FunctionType) else list(vars(inner).values())
    inside = [part for part in members if isinstance(part, types.FunctionType)]
    lines = linecache.getlines(inside[0].__code__.co_filename) if inside else []
    found = None
    for node in ast.walk(ast.parse("".join(lines))):
        if getattr(node, "name", None) == inner.__name__:
            found = node
    if not isinstance(found, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        raise ValueError(f"`{name}` cannot be found: write it with `def`, and run its cell again")
    first = min([found.lineno, *[decorator.lineno for decorator in found.decorator_list]])
    text = textwrap.dedent("".join(lines[first - 1 : found.end_lineno])).rstrip()
    renamed = "" if inner.__name__ == name else f"\n\n{name} = {inner.__name__}"
    return text + renamed, inside[0].__globals__


class _Loud(TimedMLP):
    """A network that prints a line before each step."""

    def loss_and_grads(self, x: Any, y: Any) -> float:
        print(_STEP, len(self.rows), flush=True)
        return super().loss_and_grads(x, y)


def live(load_data: Callable[..., Any], train: Callable[..., Any]) -> None:
    """Train in the folder named on the command line; print a line for each step."""
    model = train_here(load_data, train, Path(sys.argv[1]), _Loud([784, 32, 10], seed=0))
    np.save(Path(sys.argv[1]) / "weights.npy", model.params)


def train_here(
    load_data: Callable[..., Any],
    train: Callable[..., Any],
    folder: Path,
    model: TimedMLP | None = None,
) -> TimedMLP:
    """Train on 160 images until the run is over; return the model.

    The bucket waits in virtual time; the arithmetic and the files are real.

    Args:
        load_data: as in "12-load".
        train: as in "12-save".
        folder: for the checkpoints; created if it is missing.
        model: the model to train; by default a new one.
    """
    folder.mkdir(exist_ok=True)
    world = World(160, batch=8, model=model)
    parts = world.model, world.optimizer, world.batches(load_data), world.validate
    simulate(train(folder, *parts, 4, 2))
    return world.model


@dataclass(frozen=True)
class Life:
    """One process: the number of steps that it began, and whether it was killed."""

    steps: int
    is_killed: bool


def run_program(path: Path, folder: Path, *, kill_at: int | None = None) -> Life:
    """Run a program written by `write_program` as a process; kill it when it begins a step.

    Args:
        path: the program.
        folder: for its checkpoints, and finally its `weights.npy`.
        kill_at: the number of the step, from 0; None: do not kill it.

    Raises:
        RuntimeError: the process ended with an error, whose last line is in the message.
    """
    command = [sys.executable, str(path), str(folder)]
    env = os.environ | _ONE_BLAS_THREAD
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    steps, lines, is_killed = 0, [""], False
    with subprocess.Popen(command, env=env, text=True, encoding="utf-8", **pipes) as process:
        try:
            for line in process.stdout or ():
                steps += line.startswith(_STEP)
                lines.append(line.strip())
                if kill_at is not None and steps > kill_at and not is_killed:
                    process.kill()
                    is_killed = True
        finally:
            process.kill()  # whatever happens here, the process must not outlive us
    if process.returncode and not is_killed:
        raise RuntimeError(f"the process ended with an error: {lines[-1]}")
    return Life(steps, is_killed)
