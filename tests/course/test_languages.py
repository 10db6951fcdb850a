"""The ping-pong in other languages: each source runs where its tools are, and is recorded."""

import datetime
import shutil
import subprocess
import sys
from dataclasses import replace

import pytest

from asyncml.course import languages
from asyncml.course.languages import LANGUAGES, ping_pong, recorded, run, run_python, source_of

NAMES = [language.name for language in LANGUAGES]


def knows_coroutines(language):
    tool = next(filter(shutil.which, language.tools))
    command = [tool, "-std=c++20", "-fsyntax-only", "-x", "c++", "-"]
    program = "#include <coroutine>\nint main() {}"
    return subprocess.run(command, input=program, text=True, capture_output=True).returncode == 0


@pytest.mark.parametrize("language", LANGUAGES, ids=NAMES)
def test_each_source_runs_where_its_tools_are(language):
    if not any(map(shutil.which, language.tools)):
        pytest.skip(f"none of {', '.join(language.tools)} is installed")
    found = run(language, 200)
    if found is None and language.name == "C++20" and not knows_coroutines(language):
        pytest.skip("the compiler is older than C++20")
    assert found is not None
    assert all(0 < ns < 1e8 for _, ns in found)
    assert {way for way, _ in found} <= {*recorded()["ping_pong"][language.name]["ns"]}


def test_what_was_recorded_names_its_machine_and_its_day():
    kept = recorded()
    assert datetime.date.fromisoformat(kept["date"]) < datetime.date(2100, 1, 1)
    assert "cores" in kept["machine"]
    assert [*kept["ping_pong"]] == NAMES
    assert all(each["tool"] and each["ns"] for each in kept["ping_pong"].values())
    assert all(line for line in kept["with_torch"]["lines"])


def test_without_tools_all_of_it_is_as_recorded(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda tool: None)
    rows = ping_pong()
    assert not any(row.is_here for row in rows)
    kept = {name: each["ns"] for name, each in recorded()["ping_pong"].items()}
    assert [(row.language, row.way, row.nanoseconds) for row in rows] == [
        (name, way, ns) for name in NAMES for way, ns in kept[name].items()
    ]


def test_a_row_says_where_it_was_measured():
    row = languages.Switch("Go", "goroutines", 162.6, False)
    assert repr(row).split() == ["Go", "goroutines", "163", "ns", "recorded"]
    assert repr(replace(row, is_here=True)).endswith("here")


@pytest.mark.parametrize(
    "change",
    [{"build": ("-c", "raise SystemExit(1)")}, {"build": ("-c", "pass")}, {"source": "none.py"}],
    ids=["does not build", "builds nothing", "does not run"],
)
def test_what_does_not_build_or_run_is_left_to_what_was_recorded(change):
    assert run(replace(LANGUAGES[-1], **change), 10) is None


def test_a_program_that_fails_is_shown_as_recorded(monkeypatch):
    monkeypatch.setattr(languages, "_LIMIT_S", 0.0)
    assert run_python("with_torch") == (recorded()["with_torch"]["lines"], False)
    monkeypatch.setattr(sys, "executable", "no such Python")
    assert run_python("with_torch") == (recorded()["with_torch"]["lines"], False)


def test_torch_trains_with_our_loop_and_loads_with_our_pipeline():
    pytest.importorskip("torch", reason="not installed: see benchmarks/requirements.txt")
    lines, is_here = run_python("with_torch")
    assert is_here
    assert "300 steps" in lines[0]
    assert [line.split(": ")[1] for line in lines[1:]] == ["10 batches, 640 images"] * 2


def test_definitions_are_shown_as_they_stand_in_the_file():
    shown = source_of("with_torch.py", "class Wrapped:", "class WrappedOptimizer")
    assert shown.startswith("class Wrapped:")
    assert shown.count("class ") == 2
    assert shown.endswith("optimizer.step")
