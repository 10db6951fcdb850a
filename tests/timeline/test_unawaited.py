"""Coroutines that are only called are noted, and Python warns of them as ever."""

import asyncio
import gc
import sys
import warnings

import pytest

from asyncml.timeline.unawaited import unawaited_noted


async def job():
    pass


def test_each_is_noted_with_its_line():
    notes = []
    with (
        pytest.warns(RuntimeWarning, match="'job' was never awaited"),
        unawaited_noted(lambda *note: notes.append(note)),
    ):
        job()
    line = sys._getframe().f_lineno - 1
    assert notes == [("job", __file__, line)]


def test_one_that_lived_on_is_noted_without_a_line_but_in_debug_mode():
    async def forget():
        kept = job()
        await asyncio.sleep(0)
        return kept is None

    for debug, line in [(None, 0), (True, forget.__code__.co_firstlineno + 1)]:
        notes = []
        with (
            pytest.warns(RuntimeWarning, match="'job' was never awaited"),
            unawaited_noted(lambda *note, notes=notes: notes.append(note)),
        ):
            asyncio.run(forget(), debug=debug)
        assert [note[2] for note in notes] == [line]


def test_the_block_leaves_python_as_it_was():
    before = warnings._warn_unawaited_coroutine
    with unawaited_noted(print), unawaited_noted(print):
        assert warnings._warn_unawaited_coroutine is not before
    with pytest.raises(ValueError), unawaited_noted(print):
        raise ValueError
    assert warnings._warn_unawaited_coroutine is before


def test_somebody_elses_hook_is_called_and_comes_back(monkeypatch):
    seen = []

    def hook(coro):
        seen.append(coro.__name__)

    monkeypatch.setattr(warnings, "_warn_unawaited_coroutine", hook)
    with unawaited_noted(lambda *_: None):
        job()
        gc.collect()
    assert seen == ["job"]
    assert warnings._warn_unawaited_coroutine is hook
