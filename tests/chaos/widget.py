"""Whoever closes the widget in the middle of an answer stops nothing: every answer ends, and is stored whole (R9b)."""

import asyncio
import random

import httpx

from chaos.findings import Findings
from harness.callers import Caller
from harness.chatkit_client import ChatKitClient, message, text_of
from harness.chatkit_server import NO_LIMITS, widget_of
from harness.server import Server

SETTINGS: dict[str, object] = {**NO_LIMITS, "llm_timeout_seconds": 600}
AT_ONCE = 25
TOKENS = 60
SETTLE_SECONDS = 60.0
_WHOLE = "".join(f"t{number} " for number in range(TOKENS))
_MODEL = f"scripted?tokens={TOKENS}&pause_ms=5"


async def prove_closed_widgets(server: Server, *, closed: int) -> Findings:
    """So many sockets, each closed behind another token."""
    findings = Findings("closed widgets")
    user = await server.user("widget")
    limits = httpx.Limits(max_connections=2 * AT_ONCE)
    async with httpx.AsyncClient(base_url=f"{server.url}/api", timeout=60, limits=limits, trust_env=False) as http:
        client = await widget_of(Caller(http, user.user_id, "widget", user.headers), server.url)
        left: list[str] = []
        while len(left) < closed:
            count = min(AT_ONCE, closed - len(left))
            left += await asyncio.gather(*(_leave(client) for _ in range(count)))
        broken = [thread_id for thread_id in left if not await _is_whole(client, thread_id)]
    findings.expect(f"{len(broken)} answers are not whole, such as {broken[:3]}", when=not broken)
    findings.counts |= {"closed": len(left), "stored whole": len(left) - len(broken)}
    return findings


async def _leave(client: ChatKitClient) -> str:
    tokens, thread_id = random.randrange(TOKENS - 10), ""
    async with client.streaming("threads.create", input=message("x", model=_MODEL)) as frames:
        async for frame in frames:
            if frame["type"] == "thread.created":
                thread_id = frame["thread"]["id"]
            if len("".join(map(text_of, client.shown(thread_id)[1:])).split()) > tokens:
                break
    return thread_id


async def _is_whole(client: ChatKitClient, thread_id: str) -> bool:
    """Once it has had the time to end."""
    deadline = asyncio.get_running_loop().time() + SETTLE_SECONDS
    while True:
        thread = await client.ask("threads.get_by_id", thread_id=thread_id)
        if "".join(map(text_of, thread["items"]["data"][1:])) == _WHOLE:
            return True
        if asyncio.get_running_loop().time() > deadline:
            return False
        await asyncio.sleep(0.1)
