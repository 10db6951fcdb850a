"""The history: compact columns, and what is read from them."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

import asyncml as aml
from tests.distributed.models import Quadratic, Times, run, server_of


def test_a_thousand_workers_for_ten_seconds_take_at_most_32_bytes_an_update():
    shares = [Times(10)] * 1000
    history = run(server_of(aml.Async(), Quadratic(4)), shares, compute_time=lambda rng, w: 1.0)
    assert len(history.updates) == 10_000
    assert history.updates[-1].time == 10
    assert history.nbytes / 10_000 <= 32
    assert (history.staleness[1000:] == 999).all()


def test_updates_are_a_sequence_of_records_that_agree_with_the_columns():
    history = run(server_of(aml.SoftSync(2)), [Times(10)] * 4)
    updates = history.updates
    assert [*updates] == [updates[i] for i in range(len(updates))] == updates[:]
    assert updates[-1] == updates[len(updates) - 1]
    assert [s for update in updates for s in update.stalenesses] == history.staleness.tolist()
    assert [w for update in updates for w in update.workers] == history.workers.tolist()
    assert [update.loss for update in updates] == history.losses.tolist()
    assert (np.diff(history.times) >= 0).all()
    with pytest.raises(IndexError):
        updates[len(updates)]
    assert repr(updates) == f"<{len(updates)} updates>"


def test_statistics_say_who_was_busy():
    history = run(server_of(aml.Sync()), [Times(4)] * 2, compute_time=lambda rng, w: 1.0 + w)
    text = str(history.statistics())
    assert text == (
        "4 updates of 8 gradients in 8 s, mean staleness 0.00\n"
        "  worker 0: 4 gradients, busy 50%\n"
        "  worker 1: 4 gradients, busy 100%"
    )


def test_the_plot_has_a_curve_for_time_one_for_updates_and_a_bar_for_each_worker():
    history = run(server_of(aml.Async()), [Times(300)] * 3)
    figure = history.plot()
    over_time, over_updates, workers = figure.axes
    assert over_time.get_xlabel() == "time (s)"
    assert over_updates.get_xlabel() == "updates"
    assert len(workers.patches) == 6
    plt.close(figure)
    with pytest.raises(ValueError, match="changed no parameters"):
        aml.History().plot()
