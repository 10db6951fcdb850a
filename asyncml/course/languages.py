"""Programs of lesson 13 in other languages: run where the tools are, and recorded elsewhere.

The sources are in `notebooks/other_languages/`, and so is `recorded.json`: what they printed on one
machine, on one day.
"""

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asyncml.course.lab import lessons

_LIMIT_S = 60.0  # for building, and for running
_BUILT = "{folder}/ping_pong.exe"  # every system runs a program of that name


@dataclass(frozen=True)
class Language:
    """How a source is built and run.

    Attributes:
        name: the name of the language.
        source: the file in `other_languages`.
        tools: commands, one of which is enough.
        build: the tool's arguments to build the program; empty if the tool runs it.
    """

    name: str
    source: str
    tools: tuple[str, ...]
    build: tuple[str, ...] = ()


LANGUAGES = (
    Language("C++20", "ping_pong.cpp", ("g++", "clang++"), ("-O2", "-std=c++20", "-o", _BUILT)),
    Language("Rust", "ping_pong.rs", ("rustc",), ("-O", "--edition", "2021", "-o", _BUILT)),
    Language("Go", "ping_pong.go", ("go",), ("build", "-o", _BUILT)),
    Language("JavaScript", "ping_pong.mjs", ("node",)),
    Language("Python", "ping_pong.py", (sys.executable,)),
)


@dataclass(frozen=True)
class Switch:
    """The cost of a switch: a row of the table."""

    language: str
    way: str
    nanoseconds: float
    is_here: bool

    def __repr__(self) -> str:
        """Return the row."""
        where = "here" if self.is_here else "recorded"
        return f"{self.language:11} {self.way:24} {self.nanoseconds:8,.0f} ns  {where}"


def sources() -> Path:
    """Return the folder of the sources."""
    return lessons() / "other_languages"


def recorded() -> dict[str, Any]:
    """Return the recorded results, with their machine and date."""
    found: dict[str, Any] = json.loads((sources() / "recorded.json").read_text(encoding="utf-8"))
    return found


def ping_pong(messages: int = 100_000) -> list[Switch]:
    """Return the cost of a switch in each language, run here if its tools are.

    Args:
        messages: how many, there and back; a tenth of them in Python.
    """
    rows = []
    for language in LANGUAGES:
        count = messages // 10 if language.name == "Python" else messages
        kept = dict(recorded()["ping_pong"][language.name]["ns"])
        here = dict(run(language, count) or ())
        for way, ns in kept.items():
            rows.append(Switch(language.name, way, here.get(way, float(ns)), way in here))
    return rows


def run(language: Language, messages: int) -> list[tuple[str, float]] | None:
    """Build and run the ping-pong in a language; return None if that fails.

    Returns:
        Each way of switching, with the nanoseconds that a switch takes.
    """
    tool = next(filter(None, map(shutil.which, language.tools)), None)
    if tool is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        source, built = str(sources() / language.source), _BUILT.format(folder=folder)
        command = [tool, source] if not language.build else [built]
        if language.build:
            options = [option.format(folder=folder) for option in language.build]
            if _printed([tool, *options, source]) is None:
                return None
        lines = _printed([*command, str(messages)])
    if lines is None:
        return None
    return [(way, float(ns)) for way, ns in map(str.split, lines)]


def run_python(name: str, *arguments: str) -> tuple[list[str], bool]:
    """Run one of the Python programs; return its lines, and whether it ran here.

    Args:
        name: the program, such as "with_torch"; if it fails, its recorded lines are returned.
        arguments: for the program.
    """
    lines = _printed([sys.executable, str(sources() / f"{name}.py"), *arguments])
    return (lines, True) if lines is not None else (list(recorded()[name]["lines"]), False)


def source_of(name: str, *definitions: str) -> str:
    """Return definitions from one of the files, verbatim.

    Args:
        name: the file, such as "with_torch.py".
        definitions: how each begins, such as "class Wrapped".
    """
    parts = list(_parts((sources() / name).read_text(encoding="utf-8")))
    return "\n\n".join(
        next(part for part in parts if part.startswith(start)) for start in definitions
    )


def _parts(text: str) -> Iterator[str]:
    """Yield the parts of a file, which two empty lines separate."""
    yield from (part.strip("\n") for part in text.split("\n\n\n"))


def _printed(command: Sequence[str]) -> list[str] | None:
    """Run a command; return the lines that it prints, or None if it fails."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_LIMIT_S, check=True, encoding="utf-8"
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.splitlines()
