"""The proof of `python -m chaos --only tools` in small numbers, on one served program."""

from pathlib import Path

from chaos import tool_kills
from chaos.fixtures import footing
from chaos.footing import Footing
from harness.model_stub import ModelStub
from harness.server import serve

__all__ = ["footing"]


async def test_kills_around_tool_calls_double_no_effect(
    footing: Footing, model_stub: ModelStub, tmp_path: Path
) -> None:
    chosen = tool_kills.settings(tmp_path)
    async with serve(database_url=footing.url, model_url=model_stub.url, directory=tmp_path, **chosen) as server:
        found = await tool_kills.prove_tool_kills(server, model_stub, footing, kills=4)
    assert found.faults == []
    assert found.counts["calls"] > 0
