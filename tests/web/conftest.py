from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Browser

from harness.browser import chromium
from harness.callers import Caller, founder
from harness.identities import settings_for
from harness.model_stub import ModelStub
from harness.served import served


@pytest.fixture(scope="session")
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as opened:
        yield opened


@pytest.fixture(scope="module")
async def owner(module_database_url: str, model_stub: ModelStub) -> AsyncIterator[Caller]:
    """Somebody who builds chats, and whose server the browser asks."""
    chosen = settings_for(
        module_database_url,
        llm_enabled=True,
        llm_api_base=model_stub.url,
        llm_default_model="scripted",
        visitor_sessions_per_address=10_000,
    )
    async with served(chosen) as client:
        yield await founder(client)
