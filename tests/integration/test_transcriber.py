"""Speech to a provider, and what a provider can do wrong."""

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from aiohttp import web

from frontdesk.adapters.transcriber.openai_http import MAX_ANSWER_BYTES, OpenAIHttpTranscriber
from frontdesk.ports.transcriber import TranscriptionError

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@pytest.fixture
async def provider() -> AsyncIterator[tuple[str, dict[str, Handler]]]:
    """Its base address, and how it answers: `handlers["now"]`."""
    handlers: dict[str, Handler] = {}
    application = web.Application()

    async def answer(request: web.Request) -> web.StreamResponse:
        return await handlers["now"](request)

    application.router.add_post("/v1/audio/transcriptions", answer)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}/v1", handlers
    await runner.cleanup()


async def transcribed(base: str, *, seconds: float = 5) -> str:
    transcriber = OpenAIHttpTranscriber(base, model="whisper-1", api_key="key", timeout=seconds)
    try:
        return await transcriber.transcribe(b"RIFF\0audio", media_type="audio/webm")
    finally:
        await transcriber.aclose()


async def test_speech_is_sent_as_openai_has_it(provider: tuple[str, dict[str, Handler]]) -> None:
    base, handlers = provider

    async def hear(request: web.Request) -> web.Response:
        form = await request.post()
        file = form["file"]
        assert isinstance(file, web.FileField)
        assert (file.filename, file.content_type, file.file.read()) == ("speech.webm", "audio/webm", b"RIFF\0audio")
        assert (form["model"], form["response_format"]) == ("whisper-1", "json")
        assert request.headers["Authorization"] == "Bearer key"
        return web.json_response({"text": "buy milk"})

    handlers["now"] = hear
    assert await transcribed(base) == "buy milk"


@pytest.mark.parametrize(
    "answer",
    [
        lambda: web.Response(status=500, text="the key was sk-123"),
        lambda: web.Response(status=302, headers={"Location": "http://127.0.0.1:1/"}),
        lambda: web.json_response({"words": []}),
        lambda: web.Response(text="buy milk"),
        lambda: web.Response(body=b'{"text": "' + b"a" * 2 * MAX_ANSWER_BYTES + b'"}'),
    ],
)
async def test_what_is_no_answer_is_a_failure_of_ours(
    provider: tuple[str, dict[str, Handler]], answer: Callable[[], web.Response]
) -> None:
    base, handlers = provider

    async def misbehave(_request: web.Request) -> web.Response:
        return answer()

    handlers["now"] = misbehave
    with pytest.raises(TranscriptionError) as told:
        await transcribed(base)
    assert "sk-123" not in told.value.detail


async def test_a_provider_that_is_away_or_silent(provider: tuple[str, dict[str, Handler]]) -> None:
    with pytest.raises(TranscriptionError):
        await transcribed("http://127.0.0.1:9/v1")
    with pytest.raises(TranscriptionError):
        await transcribed(provider[0], seconds=0.001)
