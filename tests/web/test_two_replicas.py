"""The public page in Chromium over two replicas: who is behind the address changes, and nobody sees it."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, expect

from deploy.parts.redis import RedisServer
from harness.browser import watched_page
from harness.fault_proxy import FaultProxy
from harness.model_stub import ModelStub
from harness.pages import ChatPage
from harness.server import Server, serve

MODEL = "scripted?tokens=60&pause_ms=60"
WHOLE = [f"t{number}" for number in range(60)]


@pytest.fixture
async def replicas(
    postgres_url: str, redis_server: RedisServer, model_stub: ModelStub, tmp_path: Path
) -> AsyncIterator[tuple[Server, Server]]:
    common: dict[str, Any] = {
        "database_url": postgres_url,
        "model_url": model_stub.url,
        "redis_url": redis_server.url,
        "llm_default_model": MODEL,
        "execution_lease_seconds": 3,
    }
    folders = [tmp_path / name for name in ("one", "two")]
    for folder in folders:
        folder.mkdir()
    async with serve(directory=folders[0], **common) as one, serve(directory=folders[1], **common) as two:
        yield one, two


async def _published(server: Server) -> str:
    """The last part of a chat's links."""
    headers = (await server.user("ann")).headers

    async def post(path: str, body: Any) -> Any:
        async with server.session.post(f"{server.url}/api{path}", json=body, headers=headers) as response:
            assert response.ok, await response.text()
            return await response.json()

    agent = await post("/agents", {"name": "Guide"})
    made = await post("/chat-interfaces", {"name": "Help", "agentId": agent["id"]})
    await post(f"/chat-interfaces/{made['id']}/publish", None)
    return str(made["slug"])


@pytest.mark.parametrize("is_killed", [False, True], ids=["moves", "is killed"])
async def test_an_answer_goes_on_at_the_other_replica(
    browser: Browser,
    replicas: tuple[Server, Server],
    is_killed: bool,  # noqa: FBT001  as pytest gives it
) -> None:
    one, two = replicas
    slug = await _published(one)
    async with FaultProxy("127.0.0.1", one.port) as front, watched_page(browser) as seen:
        chat = ChatPage(seen.page)
        await seen.page.goto(f"http://127.0.0.1:{front.port}/c/{slug}")
        await chat.say("Tell me all")
        await expect(chat.answers.get_by_text("t5 ")).to_be_visible()
        front.lead_to(two.port)
        if is_killed:
            await one.kill_and_restart()
        front.reset_all()
        for _ in range(2):
            await expect(chat.send_button).to_be_visible()
            await expect(chat.answers).to_have_count(1)
            assert (await chat.answers.locator(".fd-markdown").inner_text()).split() == WHOLE
            await seen.page.reload()
