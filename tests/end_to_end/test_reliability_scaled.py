"""The proofs of `python -m chaos --footing scaled` in small numbers, on two replicas."""

from collections.abc import AsyncIterator

import pytest

from chaos import drain, hops, kills, postgres_away, redis_away
from chaos.topology import Topology, scaled
from harness.model_stub import ModelStub

pytestmark = pytest.mark.alone


@pytest.fixture(scope="module")
async def topology(model_stub: ModelStub, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Topology]:
    patient = {"execution_lease_seconds": 5}  # a busy machine may well keep a process waiting for two seconds
    settings = kills.SETTINGS | hops.SETTINGS | patient | {"drain_seconds": 1, "database_timeout_seconds": 2}
    directory = tmp_path_factory.mktemp("scaled")
    async with scaled(model_url=model_stub.url, directory=directory, **settings) as running:
        yield running


@pytest.fixture(autouse=True)
def nothing_asked_yet(topology: Topology) -> None:
    topology.asked.clear()


async def test_kills_of_either_replica_lose_nothing(topology: Topology, model_stub: ModelStub) -> None:
    found = await kills.prove_kills(topology, model_stub, topology.footing, kills=2, writers=6)
    assert found.faults == []
    assert found.counts["of them shown as restarted"] > 0


async def test_answers_go_on_without_redis(topology: Topology) -> None:
    found = await redis_away.prove_redis_faults(topology, users=20, pause=2.5, calm=3, flushes=1)
    assert found.faults == []
    assert found.counts["of them begun while Redis was away or just back"] > 0


async def test_postgres_may_restart_and_hang(topology: Topology, model_stub: ModelStub) -> None:
    found = await postgres_away.prove_postgres_faults(topology, model_stub, restarts=1, pause=3, writers=4)
    assert found.faults == []
    assert found.counts["of them turned away with 503"] > 0


async def test_bad_hops_break_no_history(topology: Topology, model_stub: ModelStub) -> None:
    found = await hops.prove_hop_faults(topology, model_stub, seconds=0.4, rest=0.1, writers=6)
    assert found.faults == []
    assert found.counts["answers"] > 0


async def test_replicas_that_end_send_their_readers_away(topology: Topology) -> None:
    found = await drain.prove_drains(topology, drains=2, streams=10, tokens=80)
    assert found.faults == []


async def test_a_killed_replicas_readers_all_come_back(topology: Topology) -> None:
    found = await drain.prove_herd(topology, readers=60, tokens=150)
    assert found.faults == []
