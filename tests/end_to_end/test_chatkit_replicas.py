"""The widget before two replicas over one PostgreSQL and one Redis: each request may come to either of them."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from deploy.parts.redis import RedisServer
from harness.chatkit_client import ChatKitClient, message, text_of
from harness.chatkit_server import World, files, settle
from harness.chatkit_story import tell_story
from harness.conversations import until
from harness.model_stub import ModelStub
from harness.processes import SOURCE
from harness.server import Server, serve

TIERS = '{"free": {"messages_per_minute": 100}}'


@dataclass(frozen=True)
class Replicas:
    one: Server
    two: Server
    world: World

    async def person(self, name: str) -> tuple[ChatKitClient, ChatKitClient]:
        """One user, at either of them."""
        _, client = await self.world.person(name)
        return client, ChatKitClient(client._http, self.two.url, client.secret)


@pytest.fixture(scope="module")
async def replicas(
    postgres_server: Any, redis_process: RedisServer, model_stub: ModelStub, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Replicas]:
    redis_process.flush()
    name = postgres_server.create()
    folder = tmp_path_factory.mktemp("shared")
    settings: dict[str, Any] = {
        "redis_url": redis_process.url,
        "tiers": TIERS,
        "requests_at_once": 256,  # none of them is turned away for another reason
        "blob_store": f"file://{folder}/files",
        "llm_default_model": "scripted?tokens=3",
        "PYTHONPATH": f"{SOURCE}:{SOURCE.parent / 'tests'}",  # where the agent is
        **files(folder),
    }
    common: dict[str, Any] = {"database_url": postgres_server.url(name), "model_url": model_stub.url, **settings}
    async with (
        serve(directory=tmp_path_factory.mktemp("one"), **common) as one,
        serve(directory=tmp_path_factory.mktemp("two"), **common) as two,
        httpx.AsyncClient(base_url=f"{one.url}/api", timeout=60, trust_env=False) as http,
    ):
        yield Replicas(one, two, await settle(http))
    postgres_server.drop(name)


async def test_a_conversation_over_two_replicas(replicas: Replicas) -> None:
    await tell_story(replicas.world, *await replicas.person("olga"))


@pytest.mark.alone  # a Redis that answers late is not counted with
async def test_a_limit_holds_over_both(replicas: Replicas) -> None:
    """At one they are told that the other has served them."""
    clients = await replicas.person("hasty")
    body = {"type": "threads.create", "params": {"input": message("x", model="scripted?tokens=1")}}
    answers = await asyncio.gather(*(clients[number % 2].post(body) for number in range(200)))
    assert sorted(answer.status_code for answer in answers) == [200] * 100 + [429] * 100


async def test_an_answer_whose_reader_left_is_shown_by_the_other(replicas: Replicas) -> None:
    here, there = await replicas.person("leaver")
    async with here.streaming("threads.create", input=message("x", model="scripted?tokens=60&pause_ms=10")) as frames:
        async for frame in frames:
            if frame["type"] == "thread.item.added":
                break
    (thread_id,) = here.items

    async def text() -> str:
        thread = await there.ask("threads.get_by_id", thread_id=thread_id)
        return "".join(text_of(item) for item in thread["items"]["data"][1:])

    whole = "".join(f"t{number} " for number in range(60))
    assert await until(text, lambda found: found == whole) == whole
