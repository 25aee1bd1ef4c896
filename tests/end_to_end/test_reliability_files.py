"""The proofs of `python -m chaos --only files` in small numbers."""

from pathlib import Path

import pytest

from chaos import files
from chaos.footing import Footing
from harness.model_stub import ModelStub
from harness.server import serve


@pytest.fixture
def footing(sqlite_template: Path, tmp_path: Path) -> Footing:
    copy = tmp_path / "frontdesk.db"
    copy.write_bytes(sqlite_template.read_bytes())
    return Footing(f"sqlite:///{copy}")


async def test_a_bucket_that_fails_shows_nothing_that_is_not_whole(footing: Footing) -> None:
    found = await files.prove_flaky_bucket(footing, files=60)
    assert found.faults == []
    assert found.counts["of them failed"] > 20


async def test_kills_while_files_come_lose_nothing(footing: Footing, model_stub: ModelStub, tmp_path: Path) -> None:
    chosen = files.settings(tmp_path)
    async with serve(database_url=footing.url, model_url=model_stub.url, directory=tmp_path, **chosen) as server:
        found = await files.prove_kills_while_files_come(server, kills=1)
    assert found.faults == []
    assert found.counts["stored"] > 0
