"""Jobs record when they worked, and the number that worked at once is exact."""

import multiprocessing
import os
import threading
import time

import matplotlib.pyplot as plt
import pytest

from asyncml.course import workloads
from asyncml.course.workloads import at_once, process_pool, stretches, thread_pool


def rounds(*lengths, start=0.0):
    stamps = [start]
    for length in lengths:
        stamps.append(stamps[-1] + length)
    return stamps


def test_a_round_that_took_far_too_long_was_a_wait():
    assert stretches(rounds(1, 1, 1, 9, 1)) == [(0, 3), (12, 13)]
    assert stretches(rounds(1, 1, 4, 1)) == [(0, 7)]
    assert stretches(rounds(7)) == [(0, 7)]


@pytest.mark.parametrize(
    ("jobs", "expected"),
    [
        ([rounds(1, 1, 1)], 1.0),
        ([rounds(1, 1), rounds(1, 1, start=2)], 1.0),
        ([rounds(1, 1), rounds(1, 1, start=5)], 1.0),
        ([rounds(1, 1), rounds(1, 1)], 2.0),
        ([rounds(1, 1), rounds(1, 1, start=1)], 4 / 3),
        ([rounds(1, 1, 1, 10, 1, 1, 1), rounds(1, 1, 1, 12, 1, 1, 1, start=3)], 1.0),  # in turns
        ([rounds(4), rounds(1, start=1), rounds(1, start=2)], 1.5),
    ],
)
def test_how_many_were_at_work_at_once(jobs, expected):
    assert at_once(jobs) == pytest.approx(expected)


def test_jobs_note_the_time_after_each_round():
    for work in workloads.numpy_work, workloads.python_work:
        stamps = work(7)
        assert len(stamps) == 8
        assert stamps == sorted(stamps)
    start, end = workloads.wait_work(0.001)
    assert end - start >= 0.001


def test_one_thread_computes_one_thing_at_a_time():
    assert at_once([workloads.numpy_work(20), workloads.numpy_work(20)]) == pytest.approx(1.0)


def test_the_threads_of_a_pool_have_started_and_end_with_it():
    with thread_pool(3) as pool:
        names = {thread.name for thread in threading.enumerate() if "worker" in thread.name}
        assert len(names) == 3
        together = threading.Barrier(3)  # none can pass it alone
        assert sorted(pool.map(lambda _: together.wait(10), range(3))) == [0, 1, 2]
    assert not [thread for thread in threading.enumerate() if "worker" in thread.name]


def test_pools_do_without_a_core_of_their_own_where_the_system_gives_none(monkeypatch):
    monkeypatch.delattr(os, "sched_setaffinity", raising=False)
    with thread_pool(2) as pool:
        assert list(pool.map(abs, [-1, -2])) == [1, 2]


def test_the_processes_of_a_pool_have_started_and_share_a_clock():
    with process_pool(2) as pool:
        assert len(multiprocessing.active_children()) == 2
        before = time.perf_counter()
        jobs = list(pool.map(workloads.wait_work, [0.01, 0.01]))
        after = time.perf_counter()
    assert all(before < start < end < after for start, end in jobs)
    assert multiprocessing.active_children() == []


def test_the_plot_has_a_row_for_each_job():
    figure, axes = plt.subplots(2)
    runs = {"apart": [rounds(1, 1), rounds(1, 1, start=2)], "together": [rounds(1), rounds(1)]}
    workloads.plot_at_work(runs, axes)
    assert [ax.get_title() for ax in axes] == ["apart", "together"]
    assert axes[0].get_xlim() == (0, 4000)
    assert axes[1].get_xlabel() == "time (ms)"
    assert [label.get_text() for label in axes[0].get_yticklabels()] == ["job 1", "job 2"]
    plt.close(figure)
