"""Frontdesk as a contender: one server on an SQLite file, one account, a new thread for each streamed request."""

import json
import secrets
from pathlib import Path

from benchmarks.client import Answer, ask_all
from benchmarks.contenders import PATH, Contender, Provider, http_request
from benchmarks.programs import HOST, python

NAME = "frontdesk"
SETUP_CONCURRENCY = 4


class Frontdesk(Contender):
    """The whole journey: the caller is authenticated, question and answer stored, every event logged and resumable.

    Limits that a benchmark's single user would meet are lifted; nothing else differs from the defaults.
    """

    name = NAME

    def __init__(self, folder: Path, *, name: str = NAME, **settings: str) -> None:
        self.name = name
        super().__init__(folder)
        self._settings = settings
        self._secret = secrets.token_urlsafe(48)
        self.password = secrets.token_urlsafe(16)
        self._token = ""

    @property
    def database(self) -> Path:
        return self.folder / "frontdesk.db"

    def command(self, provider: Provider) -> list[str]:  # noqa: ARG002  it is told in the environment
        return python("-m", "frontdesk", "serve", "--host", HOST, "--port", str(self.port))

    async def start(self, provider: Provider) -> None:
        fresh = not self.database.exists()
        self.program = self._run(self.command(provider), **self.environment(provider))
        await self.program.listening(self.port)
        account = {"username": "bench", "password": self.password}
        if fresh:
            await self.call("POST", "/api/auth/register", account)
        self._token = json.loads((await self.call("POST", "/api/auth/login", account)).body)["access_token"]

    def environment(self, provider: Provider) -> dict[str, str]:
        return {
            "CHAT_DATABASE_URL": f"sqlite:///{self.database}",
            "CHAT_LLM_API_BASE": provider.url,
            "CHAT_JWT_SECRET_KEY": self._secret,
            "CHAT_ACCESS_TOKEN_EXPIRE_MINUTES": "1440",
            "CHAT_LOG_LEVEL": "WARNING",
            "CHAT_SEARCH_ENABLED": "false",  # what embedding takes is not the price of a token
            **self._settings,
        }

    def token(self) -> str:
        return self._token

    def request(self, method: str, path: str, body: object = None) -> bytes:
        return http_request(method, path, port=self.port, body=body, token=self._token)

    async def call(self, method: str, path: str, body: object = None) -> Answer:
        """One request on a connection of its own."""
        return (await ask_all(self.port, [self.request(method, path, body)], concurrency=1))[0]

    async def measurement(self, name: str) -> float:
        """The value of a measurement without labels."""
        lines = (await self.call("GET", "/metrics")).body.decode().splitlines()
        return next(float(line.split()[1]) for line in lines if line.startswith(f"{name} "))

    async def threads(self, count: int) -> list[str]:
        wanted = [self.request("POST", "/api/threads", {})] * count
        answers = await ask_all(self.port, wanted, concurrency=SETUP_CONCURRENCY)
        return [json.loads(answer.body)["id"] for answer in answers]

    def stream_request(self, thread: str, model: str) -> bytes:
        body = {"text": "How long is the coast?", "model": model}
        return self.request("POST", f"/api/threads/{thread}/messages/stream", body)

    async def requests(self, model: str, count: int) -> list[bytes]:
        return [self.stream_request(thread, model) for thread in await self.threads(count)]

    def end(self) -> None:
        """As an operator would, so that the database file is whole; `start` then goes on with the same file."""
        self.running().stop(graceful=True)


class FrontdeskProxy(Frontdesk):
    """OpenAI's API of the same server: the caller is authenticated and what they use is stored; there is no thread."""

    async def requests(self, model: str, count: int) -> list[bytes]:
        return [http_request("POST", PATH, port=self.port, body=self.body(model), token=self.token())] * count
