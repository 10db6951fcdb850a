"""A timeline can be saved, and tells the same about the same program."""

import asyncio
import json

import pytest

from asyncml.clock import compute, simulate
from asyncml.timeline.recorder import record


def recorded(main):
    return simulate(record(main))


async def fetch(seconds):
    await asyncio.sleep(seconds)


async def mixed():
    async with asyncio.TaskGroup() as group:
        group.create_task(fetch(1))
        group.create_task(fetch(3))
        group.create_task(asyncio.to_thread(compute, 2))
    compute(1)


def test_a_trace_is_saved(tmp_path):
    timeline = recorded(mixed())
    timeline.save(tmp_path / "trace.json")
    timeline.save(str(tmp_path / "again.json"))
    assert (tmp_path / "trace.json").read_bytes() == (tmp_path / "again.json").read_bytes()
    events = json.loads((tmp_path / "trace.json").read_text(encoding="utf-8"))["traceEvents"]
    names = {event["tid"]: event["args"]["name"] for event in events if event["ph"] == "M"}
    assert list(names.values()) == timeline.lanes
    slices = [event for event in events if event["ph"] == "X"]
    assert len(slices) == len(timeline.slices)
    for event, piece in zip(slices, timeline.slices, strict=True):
        assert names[event["tid"]] == piece.lane
        assert event["cat"] == piece.state
        assert event["ts"] == piece.start_s * 1e6
        assert event["dur"] == pytest.approx((piece.end_s - piece.start_s) * 1e6)


def test_the_same_program_gives_the_same_timeline():
    first, second = recorded(mixed()), recorded(mixed())
    assert first.slices == second.slices
    assert first.text() == second.text()
    assert first.describe() == second.describe()
