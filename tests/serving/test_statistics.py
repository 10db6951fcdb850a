"""The statistics of a batcher, as people read them."""

import pytest

from asyncml.serving.statistics import BatcherStatistics


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0.0, "0 ms"),
        (0.0000123, "0.0123 ms"),
        (0.4567, "457 ms"),
        (1.15, "1150 ms"),
        (75, "75000 ms"),
    ],
)
def test_times_are_never_written_as_a_power_of_ten(seconds, expected):
    text = str(BatcherStatistics(batches=1, sizes={1: 1}, waited_s=seconds, served_s=seconds))
    assert f"waited     {expected} on average" in text
    assert f"service    {expected} a batch" in text
