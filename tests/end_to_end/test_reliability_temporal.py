"""The proofs of `python -m chaos --footing temporal` in small numbers, on two replicas and two workers."""

from collections.abc import AsyncIterator

import pytest

from chaos import drain, hops, kills, temporal_away
from chaos.topology import Topology, scaled
from harness.model_stub import ModelStub


@pytest.fixture(scope="module")
async def running_topology(model_stub: ModelStub, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Topology]:
    # The lease is the default one: a busy machine must not keep a worker waiting for longer than its patience.
    settings = hops.SETTINGS | {"drain_seconds": 2, "database_timeout_seconds": 2}
    directory = tmp_path_factory.mktemp("temporal")
    async with scaled(model_url=model_stub.url, directory=directory, workers=2, **settings) as running:
        yield running


@pytest.fixture
async def topology(running_topology: Topology) -> AsyncIterator[Topology]:
    running_topology.asked.clear()
    yield running_topology
    assert running_topology.ended == []


async def test_an_absence_of_temporal_loses_nothing(topology: Topology, model_stub: ModelStub) -> None:
    found = await temporal_away.prove_temporal_faults(topology, model_stub, pause=6, users=4, running=4)
    assert found.faults == []


async def test_kills_of_replicas_and_workers_lose_nothing(topology: Topology, model_stub: ModelStub) -> None:
    runners = len(topology.runners)
    found = await kills.prove_kills(topology, model_stub, topology.footing, kills=runners, writers=6, longest_pause=1)
    assert found.faults == []
    assert found.counts["of them shown as restarted"] > 0


async def test_workers_that_end_finish_or_hand_over(topology: Topology) -> None:
    found = await drain.prove_worker_drains(topology, drains=1, answers=10, tokens=150, few=10)
    assert found.faults == []


async def test_replicas_that_end_interrupt_no_answer(topology: Topology) -> None:
    found = await drain.prove_drains(topology, drains=1, streams=10, tokens=100)
    assert found.faults == []


async def test_bad_hops_break_no_history(topology: Topology, model_stub: ModelStub) -> None:
    found = await hops.prove_hop_faults(topology, model_stub, seconds=0.4, rest=0.1, writers=6, only=["temporal"])
    assert found.faults == []
    assert found.counts["answers"] > 0
