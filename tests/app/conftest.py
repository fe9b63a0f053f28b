"""Every test here runs with a guard against blocking the event loop, and leaves the process's logs alone."""

import logging
from collections.abc import Iterator

import pytest

from proa.app import logs, testing
from proa.app._log_sink import Sink


@pytest.fixture(autouse=True)
def _no_blocking() -> Iterator[None]:
    with testing.no_blocking("proa"):
        yield


@pytest.fixture
def restored_logs() -> Iterator[None]:
    """Undo `logs.configure`: close its writer, and give `logging` its handlers and level back."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    before = logs.use_sink(Sink(logging.DEBUG, lambda *_: None))
    logs.use_sink(before)
    yield
    logs.use_sink(before).close()
    root.handlers[:] = handlers
    root.setLevel(level)
