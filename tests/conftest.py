"""After each test: no task, no thread, no setting, and no exception that nobody asked for."""

import gc
import os
import signal
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests import leftovers

# the same examples in every run, so that a change is what turns a test red; `explore` looks further
QUIET = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("suite", derandomize=True, **QUIET)
settings.register_profile("explore", **QUIET)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "suite"))


@pytest.fixture(scope="session", autouse=True)
def what_was_there_before_the_tests_is_frozen() -> None:
    """Keep the collector out of it: the checks of exercises collect garbage each time.

    Hypothesis makes its random state for its first test, and asks the collector who holds it; what
    is frozen is not looked through, and from Python 3.14 on it then warns: that test comes first.
    """
    _first_property()
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def interrupts_are_heard() -> Iterator[None]:
    """Undo what `nohup`, and a shell for what runs in the background, do: they ignore SIGINT."""
    before = signal.getsignal(signal.SIGINT)
    if before is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(autouse=True)
def no_failures_yet() -> Iterator[None]:
    """Let each test begin with the first verdict on an exercise: the second says more."""
    with leftovers.no_failures_yet():
        yield


@pytest.fixture(autouse=True)
def nothing_is_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test that leaves something; `@pytest.mark.untidy` excuses tasks, not threads."""
    with leftovers.nothing_is_left(untidy=bool(request.node.get_closest_marker("untidy"))):
        yield


@given(st.none())
def _first_property(_: None) -> None: ...
