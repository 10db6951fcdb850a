"""A learner's own copy of the lessons: `python -m asyncml lab`.

The lessons of the course stay executed and unchanged. The copy, in `my-course/`, has no outputs, so
nothing answers a question before it is asked, and a lesson that the learner has changed is never
overwritten. Our solutions to the exercises are in `my-course/solutions/`.
"""

import argparse
import copy
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from asyncml.course.routes import Route, part_of, routes

_FOLDER = "my-course"
_GLOSSARY = "glossary.md"
_SETTINGS = Path(__file__).with_name("jupyter")  # code wraps, the glossary opens rendered, no news
_RECORD = ".lessons.json"  # what each copy was made from, and its digest then
_APART = """\
Yours first. Then compare it with ours: [solutions/{name}](solutions/{name}).
"""

_BESIDE = re.compile(r"\]\((?![a-z]+:|#|/)")  # a link to something in the same folder
_NOT_LESSONS = re.compile(rf"\]\((?=pictures/|other_languages/|examples/|{re.escape(_GLOSSARY)})")

Notebook = dict[str, Any]


def lessons() -> Path:
    """Return the folder of the lessons: beside the package in a checkout, inside it in a wheel.

    Raises:
        FileNotFoundError: they are in neither place.
    """
    here = Path(__file__)
    for folder in (here.parent / "lessons", here.parents[2] / "notebooks"):
        if any(folder.glob("*.ipynb")):
            return folder
    raise FileNotFoundError("the lessons are not installed: use a copy of the course's repository")


def main(arguments: Sequence[str]) -> int:
    """Make the missing parts of the copy, report what happened, and open JupyterLab on it."""
    ways = {route.name: route for route in routes()}
    parser = argparse.ArgumentParser(
        "python -m asyncml lab", description="Make your own copy of the lessons, and open it."
    )
    parser.add_argument(
        "--folder", default=_FOLDER, type=Path, help=f"of the copy; the default is {_FOLDER}"
    )
    parser.add_argument(
        "--fresh",
        metavar="NN",
        action="append",
        default=[],
        help="bring a lesson back as it was; yours is kept beside it",
    )
    parser.add_argument(
        "--solutions", action="store_true", help="leave the solutions in the lessons, folded"
    )
    parser.add_argument("--route", choices=sorted(ways), help="make only what this route takes")
    parser.add_argument("--no-browser", action="store_true", help="only make the copy")
    options = parser.parse_args(arguments)
    names = [path.name for path in sorted(lessons().glob("*.ipynb"))]
    unknown = [start for start in options.fresh if not any(n.startswith(start) for n in names)]
    if unknown:
        parser.error(f"there is no lesson {', '.join(unknown)}; there are {', '.join(names)}")
    for line in make(options.folder, fresh=options.fresh, solutions=options.solutions):
        print(line)
    first = options.folder / names[0]
    if options.route:
        first, *_ = make_route(options.folder, ways[options.route], solutions=options.solutions)
        print(f"{ways[options.route].title}: in {first.parent}")
    command = [sys.executable, "-m", "jupyterlab", str(first)]
    if options.no_browser:
        print(f'To begin: "{sys.executable}" -m jupyterlab "{first}"')
        return 0
    try:
        return subprocess.run(command, env=_environment(), check=False).returncode
    except KeyboardInterrupt:  # how a server is ended
        return 0


def _environment() -> dict[str, str]:
    """Return JupyterLab's environment, with our defaults, which the reader's settings override."""
    paths = [str(_SETTINGS), os.environ.get("JUPYTER_CONFIG_PATH", "")]
    return {**os.environ, "JUPYTER_CONFIG_PATH": os.pathsep.join(filter(None, paths))}


def make(folder: Path, *, fresh: Iterable[str] = (), solutions: bool = False) -> list[str]:
    """Copy the lessons that are missing; return what happened, one line for each thing.

    Args:
        folder: where the copy is.
        fresh: prefixes of the lessons to make again; the existing copy is renamed.
        solutions: whether the solutions stay in the lessons, folded.
    """
    source, said, made = lessons(), [], 0
    (folder / "solutions").mkdir(parents=True, exist_ok=True)
    examples = source.parent / "examples"  # in a checkout; in a wheel they are beside the lessons
    for beside in [*source.iterdir(), examples]:  # pictures, and programs in other languages
        if beside.is_dir() and beside.name[0] not in "._":
            shutil.copytree(beside, folder / beside.name, dirs_exist_ok=True)
    shutil.copy(source / _GLOSSARY, folder / _GLOSSARY)
    record = _read_record(folder)
    for path in sorted(source.glob("*.ipynb")):
        original, mine = path.read_bytes(), folder / path.name
        notebook = json.loads(original)
        print_of = hashlib.sha256(original).hexdigest()
        again = any(path.name.startswith(start) for start in fresh)
        if mine.exists() and not again:
            known = record.get(path.name, {})
            if known.get("made") == _digest(mine) and known.get("from") != print_of:
                again = True  # the copy is unchanged
            elif known.get("from") != print_of:
                said.append(
                    f"{path.name}: the course has a newer version. Yours is as it was; "
                    f"`--fresh {_start_of(path)}` brings the new one, and keeps yours beside it"
                )
        if mine.exists() and again and record.get(path.name, {}).get("made") != _digest(mine):
            kept = _free(mine)
            mine.rename(kept)
            said.append(f"{path.name} is as it was; yours is {kept.name} now")
        if not mine.exists() or again:
            _write(mine, cleared(path.name, notebook, solutions=solutions))
            apart = cleared(path.name, notebook, solutions=True)
            _write(folder / "solutions" / path.name, _one_folder_down(apart, _NOT_LESSONS))
            record[path.name] = {"from": print_of, "made": _digest(mine)}
            made += 1
    _write(folder / _RECORD, record)
    said.insert(
        0, f"{made} lessons copied to {folder}" if made else f"Your lessons are in {folder}"
    )
    return said


def make_route(folder: Path, route: Route, *, solutions: bool = False) -> list[Path]:
    """Make the missing notebooks of a route; return the paths of all of them, in order.

    Args:
        folder: where the copy of all lessons is, to which the parts refer.
        route: the route.
        solutions: whether the solutions stay in the parts, folded.
    """
    made = []
    (folder / route.name).mkdir(parents=True, exist_ok=True)
    for part in route.parts:
        name = f"{part.lesson}.ipynb"
        notebook = json.loads((lessons() / name).read_text(encoding="utf-8"))
        notebook = cleared(name, part_of(notebook, part), solutions=solutions)
        made.append(folder / route.name / name)
        if not made[-1].exists():
            _write(made[-1], _one_folder_down(notebook, _BESIDE))
    return made


def cleared(name: str, notebook: Notebook, *, solutions: bool) -> Notebook:
    """Return a notebook without outputs; without `solutions`, a link replaces each solution.

    Text that is tagged as part of a solution is left out with it.
    """
    made: list[dict[str, Any]] = []
    apart = _APART.format(name=name).splitlines(keepends=True)
    for cell in copy.deepcopy(notebook["cells"]):
        is_ours = "solution" in cell["metadata"].get("tags", ()) and not solutions
        if cell["cell_type"] == "code":
            if not is_ours:
                cell |= {"outputs": [], "execution_count": None}
            elif made and made[-1]["source"] == apart:
                continue  # the same link is just above
            else:
                link = {"cell_type": "markdown", "metadata": {}, "source": apart}
                cell = {**link, "id": cell["id"]}
        elif is_ours:
            continue
        else:  # the copy has the examples beside it
            text = "".join(cell["source"]).replace("](../examples/", "](examples/")
            cell["source"] = text.splitlines(keepends=True)
        made.append(cell)
    return {**notebook, "cells": made}


def _one_folder_down(notebook: Notebook, links: re.Pattern[str]) -> Notebook:
    """Return a notebook whose links that match the pattern now point to the folder above."""
    for cell in notebook["cells"]:
        if cell["cell_type"] == "markdown":
            text = links.sub("](../", "".join(cell["source"]))
            cell["source"] = text.splitlines(keepends=True)
    return notebook


def _read_record(folder: Path) -> dict[str, dict[str, str]]:
    try:
        found = json.loads((folder / _RECORD).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):  # then every copy counts as changed
        return {}
    return found if isinstance(found, dict) else {}


def _write(path: Path, content: dict[str, Any]) -> None:
    text = json.dumps(content, ensure_ascii=False, indent=1) + "\n"
    path.write_text(text, encoding="utf-8", newline="\n")


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _start_of(path: Path) -> str:
    """Return the prefix that identifies a lesson."""
    return path.name[:2] if path.name[:2].isdigit() else path.stem


def _free(path: Path) -> Path:
    """Return an unused name beside `path`."""
    number = 1
    while (other := path.with_stem(f"{path.stem}_mine_{number}")).exists():
        number += 1
    return other
