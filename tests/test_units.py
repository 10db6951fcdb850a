"""Numbers and times for people to read: rounded, in full, and never 1000 ms."""

import pytest

from asyncml.units import duration, figure


@pytest.mark.parametrize(
    ("seconds", "shown", "in_tenths"),
    [
        (0, "0 ms", "0 ms"),
        (1.2e-8, "1.2e-05 ms", "1.2e-05 ms"),
        (0.0123456, "12.3 ms", "12.3 ms"),
        (0.9994, "999 ms", "999 ms"),
        (0.9995, "1 s", "1.0 s"),
        (12.345, "12.3 s", "12.3 s"),
        (999.4, "999 s", "999.4 s"),
        (999.5, "1000 s", "999.5 s"),
        (86_400, "86400 s", "86400.0 s"),
    ],
)
def test_a_duration(seconds, shown, in_tenths):
    assert duration(seconds) == shown
    assert duration(seconds, tenths=True) == in_tenths


@pytest.mark.parametrize(
    ("value", "digits", "shown"),
    [(0.1 + 0.2, 4, "0.3"), (1e-7, 3, "1e-07"), (1e20, 4, f"{10**20}"), (-12_345.6, 2, "-12346")],
)
def test_a_figure_is_never_a_power_of_ten_that_hides_digits(value, digits, shown):
    assert figure(value, digits) == shown
