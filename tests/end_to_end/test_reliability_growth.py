"""What fills up in time: one SQLite file that many write to, and a server that does everything at once."""

from pathlib import Path

import pytest

from chaos import soak, writers
from chaos.fixtures import footing
from chaos.footing import Footing
from harness.model_stub import ModelStub
from harness.server import serve

pytestmark = pytest.mark.alone

__all__ = ["footing"]


async def test_writers_of_one_sqlite_file_are_never_told_of_locks(
    sqlite_url: str, model_stub: ModelStub, tmp_path: Path
) -> None:
    urls = {"database_url": sqlite_url, "model_url": model_stub.url}
    async with serve(**urls, directory=tmp_path, **writers.SETTINGS) as server:
        found = await writers.prove_writers(server, Footing(sqlite_url), seconds=4)
    assert found.faults == []
    assert found.counts["threads erased"] > 0
    assert found.counts["accounts made and changed by the command line"] > 0


@pytest.mark.timeout(300)  # what is left of the answers may take its time on a busy machine
async def test_everything_at_once_leaves_nothing(footing: Footing, model_stub: ModelStub, tmp_path: Path) -> None:
    settings = soak.SETTINGS | {"log_retention_seconds": 1}
    async with serve(database_url=footing.url, model_url=model_stub.url, directory=tmp_path, **settings) as server:
        found = await soak.prove_soak(server, model_stub, footing, minutes=0.1, users=4, idle=2.0)
    assert found.faults == []
    assert found.counts["acts"] > 10
