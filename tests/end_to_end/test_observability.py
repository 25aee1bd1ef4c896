"""What operators see of one message: spans, measurements, and logs that keep its text to themselves."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web

from frontdesk.kit.ids import is_id
from harness.model_stub import ModelStub
from harness.server import PASSWORD, serve

CANARY = "canary-7d1f"


def logged_in(folder: Path) -> str:
    """By every process."""
    return "".join(path.read_text() for path in folder.glob("*.log"))


@asynccontextmanager
async def collector() -> AsyncIterator[tuple[str, list[bytes]]]:
    """An OTLP/HTTP endpoint that keeps what it is sent."""
    received: list[bytes] = []

    async def take(request: web.Request) -> web.Response:
        received.append(await request.read())
        return web.Response(content_type="application/x-protobuf")

    app = web.Application()
    app.router.add_post("/v1/traces", take)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        yield f"http://{host}:{port}/v1/traces", received
    finally:
        await runner.cleanup()


async def test_a_message_can_be_traced_and_its_text_is_nowhere(
    sqlite_url: str, model_stub: ModelStub, tmp_path: Path
) -> None:
    async with collector() as (endpoint, spans):
        settings = {"otlp_endpoint": endpoint, "log_format": "json", "llm_api_key": f"sk-{CANARY}"}
        async with serve(database_url=sqlite_url, model_url=model_stub.url, directory=tmp_path, **settings) as server:
            user = await server.user("ada")
            thread_id = await user.new_thread()
            async with user.stream(thread_id, f"tell {CANARY}", model="scripted?echo=1") as stream:
                await stream.read_all(seconds=60)
            assert CANARY in "".join(stream.data)
            assert await server.metric('frontdesk_executions_ended_total{state="completed"}') == 1
            assert await server.metric("frontdesk_time_to_first_token_seconds_count") == 1
            assert await server.metric("frontdesk_tokens_total") > 0
            assert await server.settled("frontdesk_streams_open", 0, seconds=30) == 0
            assert await server.metric("frontdesk_log_lag_events") == 0
            # Spans are sent in batches, the last at the end.
            assert await asyncio.to_thread(server.process.stop, seconds=60) == 0
        log = logged_in(tmp_path)
    assert b"execution" in b"".join(spans)
    assert b"request" in b"".join(spans)
    records = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    answered = [record for record in records if record["event"] == "request" and record["route"].endswith("/stream")]
    ended = [record for record in records if record["event"] == "execution ended"]
    assert [record["status"] for record in answered] == [200]
    assert [record["state"] for record in ended] == ["completed"]
    assert is_id(ended[0]["execution_id"])
    assert ended[0]["request_id"] == answered[0]["request_id"]
    for secret in (CANARY, PASSWORD):
        assert secret not in log
