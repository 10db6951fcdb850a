"""For the tests of the exercises, whose checks collect garbage after each answer."""

import gc

import pytest


@pytest.fixture(scope="module", autouse=True)
def what_other_tests_have_imported_is_frozen() -> None:
    """Keep it from the collector, which would look through all of it some thousand times."""
    gc.collect()
    gc.freeze()
