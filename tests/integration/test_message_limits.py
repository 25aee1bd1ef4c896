"""What users may send and what their answers may cost: exact, whoever counts, and however an answer ends."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from deploy.parts.redis import RedisServer
from frontdesk.adapters.rate_limiter.in_process import InProcessRateLimiter
from frontdesk.adapters.rate_limiter.redis import RedisRateLimiter
from frontdesk.conversation.drafts import Draft
from frontdesk.errors import ConfigurationError, ExecutionActiveError, NotFoundError
from frontdesk.identity.message_limits import (
    LimitReachedError,
    MessageLimits,
    Tier,
    estimated_tokens,
    parse_tiers,
)
from frontdesk.identity.principal import Principal, PrincipalKind
from frontdesk.kit.clock import SystemClock
from frontdesk.kit.ids import new_id
from frontdesk.ports.rate_limiter import Budget, RateLimiter
from harness.chatkit_client import message
from harness.chatkit_server import World, files, settle
from harness.conversations import Core, a_user, message_limits, open_core, until
from harness.identities import settings_for
from harness.model_stub import ModelStub
from harness.served import served

DAY = Tier(tokens_per_day=10_000)


@pytest.fixture
def limiter() -> InProcessRateLimiter:
    return InProcessRateLimiter(SystemClock())


async def left(limiter: RateLimiter, user: Principal, amount: int = 10_000) -> int:
    """What is left of the day's tokens: neither used nor reserved."""
    return (await limiter.reserve(Budget("tokens", amount), f"user:{user.id}", 0)).remaining


async def test_two_hundred_at_once_are_a_hundred(limiter: InProcessRateLimiter) -> None:
    limits = message_limits(limiter, Tier(messages_per_minute=100))
    answers = await asyncio.gather(*(limits.admit(USER, asked=1) for _ in range(200)), return_exceptions=True)
    refused = [answer for answer in answers if isinstance(answer, LimitReachedError)]
    assert len(refused) == 100
    assert {(error.remaining, error.status) for error in refused} == {(0, 429)}
    assert all(0 < int(error.headers["Retry-After"]) <= 60 for error in refused)


async def test_two_hundred_at_once_are_a_hundred_over_several_processes(redis_server: RedisServer) -> None:
    """Each limiter is as a process of its own has it."""
    limiters = [RedisRateLimiter(redis_server.url, SystemClock()) for _ in range(4)]
    try:
        every = [message_limits(limiter, Tier(messages_per_minute=100)) for limiter in limiters]
        admitted = (every[number % 4].admit(USER, asked=1) for number in range(200))
        answers = await asyncio.gather(*admitted, return_exceptions=True)
        assert sum(isinstance(answer, LimitReachedError) for answer in answers) == 100
        tokens = [message_limits(limiter, DAY, answer_tokens=90) for limiter in limiters]
        admitted = (tokens[number % 4].admit(OTHER, asked=10) for number in range(200))
        answers = await asyncio.gather(*admitted, return_exceptions=True)
        assert sum(isinstance(answer, LimitReachedError) for answer in answers) == 100
        reserved = [answer for answer in answers if not isinstance(answer, BaseException)]
        await asyncio.gather(*(tokens[number % 4].settle(one, 7) for number, one in enumerate(reserved)))
        assert await left(limiters[0], OTHER) == 10_000 - 100 * 7
    finally:
        for limiter in limiters:
            await limiter.aclose()


USER, OTHER = (Principal(kind=PrincipalKind.user, id=new_id()) for _ in range(2))


async def test_the_last_tokens_of_a_day_can_be_used(limiter: InProcessRateLimiter) -> None:
    limits = message_limits(limiter, Tier(tokens_per_day=1_000), answer_tokens=600)
    first = await limits.admit(USER, asked=100)
    assert first.answer_tokens == 600
    second = await limits.admit(USER, asked=100)
    assert second.answer_tokens == 200
    with pytest.raises(LimitReachedError) as told:
        await limits.admit(USER, asked=1)
    assert (told.value.remaining, told.value.headers["RateLimit"].partition(";t=")[0]) == (0, '"tokens";r=0')
    await limits.give_back(USER, second)
    assert await left(limiter, USER, 1_000) == 300


async def test_a_tier_is_configuration(limiter: InProcessRateLimiter) -> None:
    tiers = parse_tiers('{"free": {"messages_per_minute": 1}, "gold": {"messages_per_minute": 3}}')
    limits = MessageLimits(limiter, tiers, default_tier="free", answer_tokens=100)
    gold = Principal(kind=PrincipalKind.user, id=new_id(), tier="gold")
    assert [await _admitted(limits, gold) for _ in range(4)] == [True, True, True, False]
    assert [await _admitted(limits, USER) for _ in range(2)] == [True, False]
    for wrong in ("", "[]", '{"free": {"messages": 1}}', '{"free": {"messages_per_minute": "x"}}'):
        with pytest.raises(ConfigurationError, match="CHAT_TIERS"):
            parse_tiers(wrong)
    with pytest.raises(ConfigurationError, match="CHAT_DEFAULT_TIER"):
        MessageLimits(limiter, tiers, default_tier="silver", answer_tokens=100)


async def _admitted(limits: MessageLimits, principal: Principal) -> bool:
    try:
        await limits.admit(principal, asked=1)
    except LimitReachedError:
        return False
    return True


def test_tokens_are_estimated_from_pieces_or_from_bytes() -> None:
    assert estimated_tokens("t0 t1 t2 ", pieces=3) == 3
    assert estimated_tokens("a" * 400, pieces=2) == 100
    assert estimated_tokens("é" * 10) == 5
    assert estimated_tokens("") == 0


@pytest.fixture
async def core(sqlite_url: str, model_stub: ModelStub, limiter: InProcessRateLimiter) -> AsyncIterator[Core]:
    limits = message_limits(limiter, DAY, answer_tokens=1_000)
    async with open_core(sqlite_url, model_stub.url, user=a_user(), limits=limits) as opened:
        yield opened


async def send(core: Core, thread_id: str, model: str, text: str = "hello") -> Any:
    draft = Draft(text=text, model=model, is_metered=True)
    return (await core.conversation.send(core.user, thread_id, draft)).result


@pytest.mark.parametrize(
    ("model", "spent"),
    [
        ("scripted?tokens=50", None),
        ("scripted?tokens=50&usage=0", 6 + 50),
        ("scripted?tokens=50&error_at=20&usage=0", 6 + 20),
        ("scripted?tokens=50&reset_at=20", 6 + 20),
        ("scripted?status=500&fail_first=9", 6),
    ],
)
async def test_an_answer_costs_what_it_cost(
    core: Core, limiter: InProcessRateLimiter, model: str, spent: int | None
) -> None:
    """As the provider says, or else as estimated: the question's two tokens and four for a message, one for a piece."""
    thread_id = await core.thread()
    sent = await send(core, thread_id, model)
    await core.ended(thread_id)
    if spent is None:
        usage = (await core.answer_to(sent)).usage
        assert usage is not None
        spent = usage.total_tokens
    assert await until(lambda: left(limiter, core.user), lambda found: found > 9_000) == 10_000 - spent


async def test_a_stopped_answer_costs_what_came(
    core: Core, limiter: InProcessRateLimiter, model_stub: ModelStub
) -> None:
    thread_id, key = await core.thread(), new_id()
    sent = await send(core, thread_id, f"scripted?tokens=50&stall_at=20&key={key}")
    assert await left(limiter, core.user) == 10_000 - 1_006
    await until(lambda: core.stored_text(sent), lambda text: "t19" in text)
    await core.conversation.cancel(core.user, thread_id, sent.execution_id)
    assert await left(limiter, core.user) == 10_000 - 26
    (call,) = await model_stub.calls(key)
    assert call["body"]["max_tokens"] == 1_000


async def test_what_is_not_sent_costs_nothing(core: Core, limiter: InProcessRateLimiter) -> None:
    thread_id = await core.thread()
    await send(core, thread_id, f"scripted?tokens=50&stall_at=1&key={new_id()}")
    held = await left(limiter, core.user)
    with pytest.raises(ExecutionActiveError):
        await send(core, thread_id, "scripted")
    with pytest.raises(NotFoundError):
        await send(core, new_id(), "scripted")
    assert await left(limiter, core.user) == held
    await core.conversation.stop_all(core.user, thread_id)


@pytest.fixture(scope="module")
async def world(
    module_database_url: str, model_stub: ModelStub, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[World]:
    settings = settings_for(
        module_database_url,
        llm_enabled=True,
        llm_api_base=model_stub.url,
        llm_default_model="scripted?tokens=3",
        tiers='{"free": {"messages_per_minute": 100, "tokens_per_day": 1000000}, "tiny": {"tokens_per_day": 500}}',
        answer_tokens=64,
        requests_at_once=200,
        **files(tmp_path_factory.mktemp("agents")),
    )
    async with served(settings) as http:
        yield await settle(http)


async def test_the_widget_is_told_what_was_reached(world: World) -> None:
    """Two hundred messages at once: a hundred are answered, and each of the others gets a notice."""
    _, client = await world.person("hasty")
    body = {"type": "threads.create", "params": {"input": message("x", model="scripted?tokens=1")}}
    answers = await asyncio.gather(*(client.post(body) for _ in range(200)))
    refused = [answer for answer in answers if answer.status_code == 429]
    assert sorted({answer.status_code for answer in answers}) == [200, 429]
    assert len(refused) == 100
    for answer in refused:
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert 0 < int(answer.headers["retry-after"]) <= 60
        assert answer.headers["ratelimit"].startswith('"messages";r=0;t=')
        notice = json.loads(answer.text.removeprefix("data: "))
        assert (notice["type"], notice["level"]) == ("notice", "warning")
        assert "100 messages" in notice["message"]
    listed = await client.ask("threads.list", limit=100)
    assert (len(listed["data"]), listed["has_more"]) == (100, False)
