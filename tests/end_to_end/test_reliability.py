"""The proofs of `python -m chaos` in small numbers, on one served program for each database."""

from collections.abc import AsyncIterator

import pytest

from chaos import aborts, cuts, kills, sends, slow_readers, stops
from chaos.fixtures import footing
from chaos.footing import Footing
from harness.model_stub import ModelStub
from harness.server import Server, serve

__all__ = ["footing"]


@pytest.fixture(scope="module")
async def server(
    footing: Footing, model_stub: ModelStub, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Server]:
    settings = kills.SETTINGS | aborts.SETTINGS | slow_readers.SETTINGS
    directory = tmp_path_factory.mktemp("server")
    async with serve(database_url=footing.url, model_url=model_stub.url, directory=directory, **settings) as running:
        yield running


@pytest.mark.alone  # a hundred at once are too many for a machine that is full
async def test_one_key_has_one_effect(server: Server, model_stub: ModelStub) -> None:
    found = await sends.prove_one_effect(server, model_stub, rounds=4)
    assert found.faults == []


async def test_tabs_see_one_order(server: Server) -> None:
    found = await sends.prove_one_order(server, sends=60)
    assert found.faults == []


async def test_cut_readers_resume_to_the_same_bytes(server: Server) -> None:
    found = await cuts.prove_cuts(server, cuts=200)
    assert found.faults == []
    assert found.counts["cuts"] >= 200


@pytest.mark.alone
async def test_stops_let_the_provider_go_and_keep_the_text(server: Server, model_stub: ModelStub) -> None:
    found = await stops.prove_stops(server, model_stub, stops=30)
    assert found.faults == []


async def test_readers_who_leave_stop_nothing(server: Server, model_stub: ModelStub) -> None:
    found = await stops.prove_detached(server, model_stub, readers=10)
    assert found.faults == []


@pytest.mark.alone
async def test_idle_streams_hold_no_connection(server: Server) -> None:
    found = await aborts.prove_idle_streams(server, streams=200)
    assert found.faults == []


@pytest.mark.alone
async def test_aborted_connections_leave_nothing(server: Server, footing: Footing) -> None:
    found = await aborts.prove_aborts(server, footing, aborts=500)
    assert found.faults == []


async def test_slow_readers_are_cut_and_resume(server: Server) -> None:
    found = await slow_readers.prove_slow_readers(server, readers=16)
    assert found.faults == []


async def test_a_kill_between_commit_and_reply_changes_nothing(
    server: Server, model_stub: ModelStub, footing: Footing
) -> None:
    found = await sends.prove_one_effect_across_kills(server, model_stub, footing, kills=1)
    assert found.faults == []


async def test_kills_lose_nothing(server: Server, model_stub: ModelStub, footing: Footing) -> None:
    found = await kills.prove_kills(server, model_stub, footing, kills=3, writers=8)
    assert found.faults == []
    assert found.counts["answers cut by a kill"] > 0
