"""Fixtures that every test may ask for."""

import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from frontdesk.observability.logging import configure_logging
from harness.model_stub import ModelStub
from harness.processes import Process

Logged = Callable[[], list[dict[str, Any]]]


@pytest.fixture(scope="session")
def model_stub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModelStub]:
    """A scripted provider, shared by the whole run: tell calls apart by the script's `key`."""
    log = tmp_path_factory.mktemp("model_stub") / "log"
    with Process("frontdesk.model_stub", "--port", "0", log=log) as process:
        yield ModelStub(process.ready_line()["url"])


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> Logged:
    """What our loggers have said in the test so far, each with its `level` and `event`, however logging was set up."""
    configure_logging(level="INFO", form="json")
    caplog.set_level(logging.INFO)
    return lambda: [record.msg for record in caplog.records if isinstance(record.msg, dict)]
