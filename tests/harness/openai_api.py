"""A served program as OpenAI's official clients see it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date
from typing import Any

import httpx
import openai

from frontdesk.database import open_database
from frontdesk.identity.principal import Principal, PrincipalKind
from frontdesk.identity.usage import repository
from frontdesk.identity.usage.models import Spent
from harness.callers import Caller, founder, newcomer
from harness.identities import settings_for
from harness.model_stub import ModelStub
from harness.served import served

KEY = "the key of the gateway's own parts"
PROVIDER_KEY = "sk-provider-canary-71c0ffee"
HELLO: list[Any] = [{"role": "user", "content": "how long is the coast"}]


@dataclass(frozen=True)
class OpenAiApi:
    """`user` is an administrator and `url` the base address that a client is given."""

    user: Caller
    url: str
    database_url: str

    @property
    def http(self) -> httpx.AsyncClient:
        return self.user.client

    @property
    def token(self) -> str:
        return self.user.headers["Authorization"].removeprefix("Bearer ")

    @asynccontextmanager
    async def client(self, api_key: str | None = None, **settings: Any) -> AsyncIterator[openai.AsyncOpenAI]:
        """The official client, without retries unless told."""
        chosen: dict[str, Any] = {"max_retries": 0, "timeout": 20, **settings}
        http = openai.DefaultAsyncHttpxClient(trust_env=False)
        key = self.token if api_key is None else api_key
        async with openai.AsyncOpenAI(base_url=self.url, api_key=key, http_client=http, **chosen) as client:
            yield client

    async def post(self, path: str, **request: Any) -> httpx.Response:
        headers = {**self.user.headers, **request.pop("headers", {})}
        return await self.http.post(f"{self.url}{path}", headers=headers, **request)

    async def another_user(self, name: str) -> Caller:
        return await newcomer(self.user, name)

    async def used(self, caller_id: str, *, model: str) -> Spent:
        """What the caller's row for this model says, over all days; nothing when there is none."""
        kind = PrincipalKind.service if caller_id == "internal" else PrincipalKind.user
        database = open_database(self.database_url, pool_size=1, timeout=5)
        try:
            principal = Principal(kind=kind, id=caller_id)
            days = await database.read(
                lambda connection: repository.list_days(connection, principal, since=date.min, limit=1000, offset=0)
            )
        finally:
            await database.aclose()
        return sum((spent for day, spent in days if day.model == model), Spent(requests=0))


@asynccontextmanager
async def openai_api(database_url: str, stub: ModelStub, **settings: object) -> AsyncIterator[OpenAiApi]:
    chosen = settings_for(
        database_url,
        **{
            "llm_enabled": True,
            "llm_api_base": stub.url,
            "llm_api_key": PROVIDER_KEY,
            "gateway__internal_api_key": KEY,
            **settings,
        },
    )
    async with served(chosen) as client:
        yield OpenAiApi(await founder(client), f"http://{client.base_url.netloc.decode()}/v1", database_url)
