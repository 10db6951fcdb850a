"""Printed text reaches every console, whatever its encoding."""

import io
import os
import subprocess
import sys

import pytest

from asyncml.look import printable

PROGRAMS = {
    "verdicts": """
from asyncml.course.exercises import check
for answer in (2, 1, ..., "é", "日本"):
    print(check("01-bet", answer))
    print(str(check("01-parsons", answer)), repr(check("01-states", answer)))
""",
    "measured": """
print(aml.measured("a thread é 日", 6e-5, 5e-5), aml.measured("slow", 9e-5, 5e-9))
""",
    "timelines": """
async def main():
    await asyncio.create_task(asyncio.sleep(1), name="日本é and a name much too long to be shown")
    await asyncio.create_task(asyncio.sleep(1), name="é")
timeline = aml.simulate(aml.record(main()))
print(timeline.text(40), timeline.describe(), timeline.statistics(), timeline)
for finding in timeline.findings():
    print(finding)
""",
    "statistics": """
def zählen日(x):
    return x
pipeline = aml.Pipeline(range(3)).map(zählen日)
list(pipeline)
print(pipeline.statistics())
""",
}


class Console(io.StringIO):
    def __init__(self, encoding):
        super().__init__()
        self._encoding = encoding

    @property
    def encoding(self):
        return self._encoding


@pytest.mark.parametrize(
    ("encoding", "expected"),
    [
        ("utf-8", "✔ ✘ ○ … 62 µs é 日"),
        ("UTF-16", "✔ ✘ ○ … 62 µs é 日"),
        (None, "✔ ✘ ○ … 62 µs é 日"),
        ("cp1252", "+ x o … 62 µs é ?"),
        ("latin-1", "+ x o ~ 62 µs é ?"),
        ("cp437", "+ x o ~ 62 µs é ?"),
        ("ascii", "+ x o ~ 62 us ? ?"),
        ("no such encoding", "+ x o ~ 62 us ? ?"),
    ],
)
def test_what_an_encoding_lacks_is_replaced_sign_by_sign(monkeypatch, encoding, expected):
    monkeypatch.setattr(sys, "stdout", Console(encoding))
    assert printable("✔ ✘ ○ … 62 µs é 日") == expected
    assert printable("plain\n") == "plain\n"
    assert printable("") == ""


def test_without_an_output_nothing_is_replaced(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    assert printable("✔") == "✔"


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
@pytest.mark.parametrize("program", PROGRAMS)
def test_all_that_we_print_can_be_printed(encoding, program):
    source = f"import asyncio\nimport asyncml as aml\n{PROGRAMS[program]}"
    done = subprocess.run(
        [sys.executable, "-c", source],
        capture_output=True,
        encoding=encoding,
        env=os.environ | {"PYTHONIOENCODING": encoding},
        timeout=60,
    )
    assert (done.stderr, done.returncode) == ("", 0)
    shown = done.stdout
    if program == "verdicts":
        assert ("✔" if encoding == "utf-8" else "+ 01-bet passed: ") in shown
        assert ("○" if encoding == "utf-8" else "o 01-bet open: ") in shown
    if program == "measured":
        assert ("✘" if encoding == "utf-8" else "x") + " expected" in shown
