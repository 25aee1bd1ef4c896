"""A user who is served by any of several replicas."""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from harness.threads_client import Reply, ThreadsClient


@dataclass
class Asked:
    """One request: when it left, in the loop's time, and what came; `status` is 0 when nothing did."""

    method: str
    begun: float
    seconds: float
    status: int
    retry_after: str | None


class RoamingClient(ThreadsClient):
    """`user`, whose requests go to any of `urls`, and whose readers come back to another than they were cut off from.

    `asked` has every request but streams.
    """

    def __init__(self, user: ThreadsClient, urls: Sequence[str], asked: list[Asked]) -> None:
        super().__init__(user._session, urls[0], token=None, user_id=user.user_id)
        self.headers = user.headers
        self.asked = asked
        self._urls = urls
        self._read_at: dict[str, int] = {}

    def place(self, execution_id: str | None = None) -> str:
        if execution_id is None:
            return random.choice(self._urls)
        before = self._read_at.get(execution_id, random.randrange(len(self._urls)))
        self._read_at[execution_id] = place = (before + 1) % len(self._urls)
        return self._urls[place]

    async def ask(self, method: str, path: str, body: Any = None, **options: Any) -> Reply:
        begun = asyncio.get_running_loop().time()
        status, retry_after = 0, None
        try:
            reply = await super().ask(method, path, body, **options)
            status, retry_after = reply.status, reply.headers.get("Retry-After")
        finally:
            took = asyncio.get_running_loop().time() - begun
            self.asked.append(Asked(method, begun, took, status, retry_after))
        return reply
