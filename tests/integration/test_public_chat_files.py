"""What visitors bring: uploads within their limits, files and links that are read before the answer, questions about
them, and citations; each session's for itself.
"""

import asyncio
import io
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from PIL import Image

from frontdesk.kit.ids import new_id
from harness import documents
from harness.callers import newcomer
from harness.hostile_files import slow_pdf
from harness.identities import settings_for
from harness.model_stub import ModelStub
from harness.visitors import Chat, assert_failure, build, file, link, public_chat, read_events, text_of
from harness.web_site import SITE, Site, web_site

GUIDE = (
    "The tram to the harbour leaves every eleven minutes from the square behind the library. "
    "The museum of clocks opens at nine and closes at six, on Mondays it stays closed. "
    "Библиотека выдаёт книги на двадцать один день, и продлить срок можно два раза. "
).encode()


@pytest.fixture(scope="module")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    async with web_site(tmp_path_factory.mktemp("site")) as opened:
        yield opened


@pytest.fixture(scope="module")
async def chat(
    each_module_database_url: str, model_stub: ModelStub, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Chat]:
    folder: Path = tmp_path_factory.mktemp("files")
    settings = settings_for(
        each_module_database_url,
        llm_enabled=True,
        llm_api_base=model_stub.url,
        llm_default_model="scripted?tokens=1",
        embedder="packaged",
        blob_store=f"file://{folder}/blobs",
        scratch_directory=str(folder / "scratch"),
        link_networks=f"{SITE}/32",
        link_ports=",".join(str(port) for port in range(1024, 65536)) if False else "80,443",
        visitor_sessions_per_address=1000,
    )
    async with public_chat(settings, allowFileUpload=True, rateLimitMessages=1000) as opened:
        yield opened


async def test_a_file_is_read_before_the_answer_and_cited(chat: Chat, model_stub: ModelStub) -> None:
    key = new_id()
    asked = await build(chat.owner, agent={"model": f"scripted?echo=1&key={key}"}, allowFileUpload=True)
    visitor = await asked.visitor()
    uploaded = await visitor.brought(GUIDE, "guide.txt")
    events = await visitor.answer("When does the tram leave?", file(uploaded))
    print(json.dumps(events, indent=1)[:6000])
    print(await visitor.messages())
    print(await visitor.query("when is the museum open"))
    print((await model_stub.calls(key))[-1]["body"])
    assert 0
