"""How often visitors may speak and come: exact, for each session and each address, and told to whoever is refused."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from frontdesk.public_chat.sessions.tokens import digest
from harness.identities import settings_for
from harness.model_stub import ModelStub
from harness.redis import RedisServer
from harness.visitors import Chat, assert_failure, build, public_chat, text_of

LIMIT = 100


@pytest.fixture(scope="module")
async def chat(module_database_url: str, model_stub: ModelStub) -> AsyncIterator[Chat]:
    chosen = settings_for(
        module_database_url,
        llm_enabled=True,
        llm_api_base=model_stub.url,
        llm_default_model="scripted?tokens=1",
        visitor_sessions_per_address=20,
        trusted_proxies="127.0.0.1",
        requests_waiting=500,
    )
    async with public_chat(chosen) as opened:
        yield opened


def _from(address: str) -> dict[str, str]:
    return {"X-Forwarded-For": address}


async def test_of_200_messages_at_once_exactly_the_limit_is_let_in(chat: Chat) -> None:
    """What is let in may still find an answer under way; what is not is told how long to wait."""
    limited = await build(chat.owner, rateLimitMessages=LIMIT, rateLimitWindowSeconds=300)
    visitor = await limited.visitor()
    other = await limited.visitor()
    answers = await asyncio.gather(*(visitor.send(str(number)) for number in range(2 * LIMIT)))
    counts = Counter(answer.status_code for answer in answers)
    assert counts[429] == LIMIT
    assert counts[202] + counts[409] == LIMIT
    assert counts[202] >= 1
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert assert_failure(refused, 429, "rate_limited")["remaining"] == 0
    assert 0 < int(refused.headers["retry-after"]) <= 300
    assert refused.headers["ratelimit-policy"] == f'"messages";q={LIMIT};w=300'
    assert refused.headers["ratelimit"].startswith('"messages";r=0;t=')
    assert (await other.send()).headers["ratelimit"].startswith(f'"messages";r={LIMIT - 1};t=')


async def test_resuming_gives_no_more_messages(chat: Chat) -> None:
    limited = await build(chat.owner, rateLimitMessages=2, persistenceType="local_storage")
    visitor = await limited.visitor()
    await visitor.answer()
    again = await limited.visitor(persistenceToken=visitor.opened["persistenceToken"])
    await again.answer()
    for each in (visitor, again):
        assert_failure(await each.send(), 429, "rate_limited")


async def test_a_visitors_messages_do_not_count_for_the_owner(sqlite_url: str, model_stub: ModelStub) -> None:
    """An answer has no fewer tokens for it either: nothing of the owner's day is reserved."""
    chosen = settings_for(
        sqlite_url,
        llm_enabled=True,
        llm_api_base=model_stub.url,
        llm_default_model="scripted?tokens=100",
        tiers='{"free": {"messages_per_minute": 1, "tokens_per_day": 70}}',
    )
    async with public_chat(chosen) as chat:
        visitor = await chat.visitor()
        for _ in range(2):
            assert text_of(await visitor.answer()).split()[-1] == "t99"


async def test_sessions_of_an_address_are_counted_behind_trusted_proxies(chat: Chat) -> None:
    async def opened(address: str) -> int:
        return (await chat.ask("POST", "/sessions", json={}, headers=_from(address))).status_code

    assert [await opened("203.0.113.7") for _ in range(21)] == [201] * 20 + [429]
    # What stands before the last address that is no proxy's is what the visitor says of themselves.
    assert await opened("198.51.100.1, 203.0.113.7") == 429
    assert await opened("203.0.113.8") == 201
    assert [await opened(f"2001:db8::{number}") for number in range(21)][-1] == 429
    refused = await chat.ask("POST", "/sessions", headers=_from("203.0.113.7"))
    assert_failure(refused, 429, "rate_limited")
    assert int(refused.headers["retry-after"]) > 0


async def test_an_address_that_a_stranger_writes_counts_for_nothing(sqlite_url: str, model_stub: ModelStub) -> None:
    chosen = settings_for(sqlite_url, llm_enabled=True, llm_api_base=model_stub.url, visitor_sessions_per_address=3)
    async with public_chat(chosen) as chat:
        asked = [await chat.ask("POST", "/sessions", headers=_from(f"198.51.100.{number}")) for number in range(4)]
        assert [answer.status_code for answer in asked] == [201, 201, 201, 429]


async def test_redis_holds_the_window_under_the_sessions_key(
    sqlite_url: str, model_stub: ModelStub, redis_server: RedisServer
) -> None:
    chosen = settings_for(sqlite_url, llm_enabled=True, llm_api_base=model_stub.url, redis_url=redis_server.url)
    chosen = chosen.model_copy(update={"llm_default_model": "scripted?tokens=1"})
    async with public_chat(chosen, rateLimitMessages=3) as chat:
        visitor = await chat.visitor()
        statuses = [(await visitor.send()).status_code for _ in range(4)]
        assert statuses[0] == 202
        assert statuses[3] == 429
        async with Redis.from_url(redis_server.url) as redis:
            key = f"chat-rate:{chat.interface['id']}:{digest(visitor.token)}"
            assert await redis.llen(key) == 3
