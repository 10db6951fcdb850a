"""Coroutines that are only called are noted, and Python warns of them as ever."""

import gc
import sys
import warnings

import pytest

from asyncml.unawaited import unawaited_noted


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


def test_the_block_leaves_python_as_it_was():
    before = warnings._warn_unawaited_coroutine, sys.get_coroutine_origin_tracking_depth()
    with unawaited_noted(print), unawaited_noted(print):
        assert sys.get_coroutine_origin_tracking_depth() == 1
    with pytest.raises(ValueError), unawaited_noted(print):
        raise ValueError
    after = warnings._warn_unawaited_coroutine, sys.get_coroutine_origin_tracking_depth()
    assert after == before


def test_a_deeper_tracking_is_kept():
    sys.set_coroutine_origin_tracking_depth(5)
    try:
        with unawaited_noted(print):
            assert sys.get_coroutine_origin_tracking_depth() == 5
        assert sys.get_coroutine_origin_tracking_depth() == 5
    finally:
        sys.set_coroutine_origin_tracking_depth(0)


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
