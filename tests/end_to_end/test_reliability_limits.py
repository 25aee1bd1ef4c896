"""What a provider or a client does wrong, against a server with short limits."""

from collections.abc import AsyncIterator

import pytest

from chaos import cuts, floods, model_faults, overload
from chaos.fixtures import footing
from chaos.footing import Footing
from harness.model_stub import ModelStub
from harness.server import Server, serve

__all__ = ["footing"]


@pytest.fixture(scope="module")
async def server(
    footing: Footing, model_stub: ModelStub, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Server]:
    settings = cuts.EXPIRY | model_faults.SETTINGS | overload.SETTINGS
    directory = tmp_path_factory.mktemp("server")
    async with serve(database_url=footing.url, model_url=model_stub.url, directory=directory, **settings) as running:
        yield running


async def test_a_resume_past_retention_is_told_and_complete(server: Server, model_stub: ModelStub) -> None:
    found = await cuts.prove_expiry(server, model_stub, answers=5)
    assert found.faults == []


async def test_model_faults_end_in_typed_events(server: Server) -> None:
    found = await model_faults.prove_model_faults(server, rounds=1)
    assert found.faults == []


@pytest.mark.alone
async def test_floods_do_not_hold_the_server(server: Server) -> None:
    found = await floods.prove_floods(server, connections=200, repeats=1)
    assert found.faults == []


@pytest.mark.alone
async def test_overload_is_turned_away_and_the_rest_is_answered(server: Server) -> None:
    found = await overload.prove_overload(server, seconds=5)
    assert found.faults == []
    assert found.counts["turned away"] > 0
