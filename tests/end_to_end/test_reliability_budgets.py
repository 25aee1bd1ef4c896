"""Limits and budgets that several processes share by a Redis, in small numbers."""

from pathlib import Path

import pytest

from chaos import budgets, limits
from chaos.footing import Footing
from deploy.parts.redis import RedisServer


@pytest.mark.timeout(300)  # sign-ins are slow by design, and a round that a busy machine disturbed is repeated
async def test_sign_ins_at_four_gateways_get_exactly_the_limit(
    sqlite_url: str, redis_server: RedisServer, tmp_path: Path
) -> None:
    footing = Footing(sqlite_url)
    found = await limits.prove_limits(footing, redis_url=redis_server.url, folder=tmp_path, rounds=1, amount=20)
    assert found.faults == []


async def test_a_budget_begins_anew_at_midnight(redis_server: RedisServer, tmp_path: Path) -> None:
    found = await budgets.prove_midnight(redis_server.url, tmp_path, midnights=1)
    assert found.faults == []
    assert found.counts["refused"] > 0


async def test_what_a_killed_process_had_reserved_is_taken_until_midnight(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    found = await budgets.prove_kills_between(redis_server.url, tmp_path, kills=4, longest=0.3)
    assert found.faults == []
