"""Fixtures that every test may ask for."""

from collections.abc import Iterator

import pytest

from harness.model_stub import ModelStub
from harness.processes import Process


@pytest.fixture(scope="session")
def model_stub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModelStub]:
    """A scripted provider, shared by the whole run: tell calls apart by the script's `key`."""
    log = tmp_path_factory.mktemp("model_stub") / "log"
    with Process("frontdesk.model_stub", "--port", "0", log=log) as process:
        yield ModelStub(process.ready_line()["url"])
