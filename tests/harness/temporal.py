"""A real Temporal server for tests: one for the run, which a test may stop, start, pause and resume."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.parts.temporal import TemporalServer
from harness.ports import lasting_port

# Below the range from which the kernel takes the ports of outgoing connections: a restart finds its port free.
PORTS = range(22000, 22200)


@pytest.fixture(scope="session")
def running_temporal() -> Iterator[TemporalServer]:
    folder = Path(tempfile.mkdtemp(prefix="temporal"))
    server = TemporalServer(folder, lasting_port(PORTS))
    try:
        yield server.start()
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def temporal(running_temporal: TemporalServer) -> Iterator[TemporalServer]:
    """The run's one server, as it was started."""
    yield running_temporal
    running_temporal.ensure()
