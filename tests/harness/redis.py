"""A real Redis server for tests: one for the run, which a test may stop, start, pause and resume."""

from collections.abc import Iterator

import pytest

from deploy.parts.redis import RedisServer
from harness.ports import lasting_port

PORTS = range(21000, 21100)  # its own, so that no other server takes its port while it is down


@pytest.fixture(scope="session")
def redis_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path_factory.mktemp("redis"), lasting_port(PORTS))
    try:
        yield server.start()
    finally:
        server.stop()


@pytest.fixture
def redis_server(redis_process: RedisServer) -> RedisServer:
    """Running and empty, whatever the test before did to it."""
    if not redis_process.running:
        redis_process.stop()
        redis_process.start()
    redis_process.flush()
    return redis_process
