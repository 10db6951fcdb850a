"""Set-up for the tests of the exercises, whose checks collect garbage after each answer."""

import gc

import pytest


@pytest.fixture(scope="module", autouse=True)
def what_other_tests_have_imported_is_frozen() -> None:
    """Hide it from the collector, which would scan all of it some thousand times."""
    gc.collect()
    gc.freeze()
