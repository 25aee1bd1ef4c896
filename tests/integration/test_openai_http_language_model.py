"""Promise R27: whatever a provider does, an answer ends with the right chunks or a typed failure, in time."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from frontdesk.adapters import http_client
from frontdesk.adapters.language_model.openai_http import OpenAIHttpLanguageModel
from frontdesk.model_stub.frames import SECRET
from frontdesk.ports.language_model import ModelCallError, ModelChunks, ModelRequest, Usage
from harness.conversations import until
from harness.fault_proxy import FaultProxy, Faults
from harness.model_stub import ModelStub

MESSAGES = [{"role": "user", "content": "What is it?"}]
TIMEOUT = 1.0
KEY = "sk-ours-7d1f"


@asynccontextmanager
async def opened(url: str, *, within: float = TIMEOUT, max_retries: int = 0, max_event_bytes: int = 1_048_576):
    model = OpenAIHttpLanguageModel(
        base_url=url,
        api_key=KEY,
        timeout=within,
        connect_timeout=0.5,
        max_retries=max_retries,
        max_event_bytes=max_event_bytes,
    )
    try:
        yield model
    finally:
        await model.aclose()


@pytest.fixture
async def model(model_stub: ModelStub) -> AsyncIterator[OpenAIHttpLanguageModel]:
    async with opened(model_stub.url) as made:
        yield made


def request(script: str) -> ModelRequest:
    return ModelRequest(f"scripted?{script}", MESSAGES)


async def answered(model: OpenAIHttpLanguageModel, script: str) -> list[ModelChunks]:
    batches: list[ModelChunks] = []
    await model.stream(request(script), batches.append)
    return batches


async def failed(model: OpenAIHttpLanguageModel, script: str) -> tuple[str, ModelCallError]:
    """The text that came before the failure, and the failure, which must say nothing of the provider's."""
    text = ""
    loop = asyncio.get_running_loop()
    heard = loop.time()

    def take(batch: ModelChunks) -> None:
        nonlocal text, heard
        text += batch.text
        heard = loop.time()

    try:
        await model.stream(request(script), take)
    except ModelCallError as failure:
        assert loop.time() - heard < TIMEOUT + 1
        shown = f"{failure.detail} {failure.extra} {failure.headers}"
        assert not any(part in shown for part in (SECRET, KEY, "127.0.0.1", "10.0.0.7"))
        return text, failure
    pytest.fail(f"No failure, but {text!r}")


@asynccontextmanager
async def begun(model: OpenAIHttpLanguageModel, script: str) -> AsyncIterator[asyncio.Task[None]]:
    """A call whose first chunk has come; it is left at the end."""
    came = asyncio.Event()
    call = asyncio.create_task(model.stream(request(script), lambda _: came.set()))
    try:
        async with asyncio.timeout(30):
            await came.wait()
        yield call
    finally:
        call.cancel()
        await asyncio.wait([call])


def said(count: int, pattern: str = "t{} ") -> str:
    return "".join(pattern.format(number) for number in range(count))


def text_of(chunks: list[ModelChunks]) -> str:
    return "".join(chunk.text for chunk in chunks)


async def test_an_answer_comes_byte_for_byte_with_its_fields(model: OpenAIHttpLanguageModel) -> None:
    chunks = await answered(model, "tokens=300&conversation_id=c9&agent_status=completed&tool_call=look")
    assert text_of(chunks) == said(300)
    shown = [json.loads(data) for batch in chunks for data in batch.data]
    assert {value["object"] for value in shown} == {"chat.completion.chunk"}
    assert len({value["id"] for value in shown}) == 1
    assert chunks[0].conversation_id == "c9"
    assert [bool(value["choices"] and value["choices"][0]["delta"].get("tool_calls")) for value in shown[-5:]] == [
        True,
        True,
        True,
        False,
        False,
    ]
    assert [batch.finish_reason for batch in chunks if batch.finish_reason] == ["tool_calls"]
    assert [batch.agent_status for batch in chunks if batch.agent_status][-1] == "completed"
    assert chunks[-1].usage == Usage(3, 300, 303)
    assert all(b"\n" not in data for batch in chunks for data in batch.data)


async def test_the_call_carries_the_key_and_the_conversation(
    model: OpenAIHttpLanguageModel, model_stub: ModelStub
) -> None:
    asked = ModelRequest("scripted?key=carries", MESSAGES, conversation_id="c7")
    batches: list[ModelChunks] = []
    await model.stream(asked, batches.append)
    assert text_of(batches) == said(20)
    call = await model_stub.call("carries", seconds=5)
    assert call["authorized"]
    assert (call["body"]["conversation_id"], call["body"]["stream_options"]) == ("c7", {"include_usage": True})


@pytest.mark.parametrize(
    "framing", ["crlf=1", "comments=1", "split=3", "multiline=1", "crlf=1&comments=1&multiline=1&split=7"]
)
async def test_odd_framing_changes_nothing(model: OpenAIHttpLanguageModel, framing: str) -> None:
    chunks = await answered(model, f"tokens=40&unicode=1&{framing}")
    assert text_of(chunks) == said(40, "t{}é漢🙂 ")
    assert all(b"\n" not in data and json.loads(data) for batch in chunks for data in batch.data)
    assert chunks[-1].usage is not None


async def test_pauses_shorter_than_the_limit_are_waited_for(model: OpenAIHttpLanguageModel) -> None:
    chunks = await answered(model, "tokens=9&first_ms=500&pause_ms=200&stall_at=3&stall_ms=400")
    assert text_of(chunks) == said(9)


@pytest.mark.parametrize("script", ["tokens=5&done=0", "tokens=5&usage=0", "tokens=5&finish=0"])
async def test_an_answer_without_some_of_its_end_is_well(model: OpenAIHttpLanguageModel, script: str) -> None:
    assert text_of(await answered(model, script)) == said(5)


async def test_a_provider_that_does_not_stream_is_understood(model: OpenAIHttpLanguageModel) -> None:
    (chunk,) = await answered(model, "tokens=5&plain=1")
    assert (chunk.text, chunk.finish_reason, chunk.usage) == (said(5), "stop", Usage(3, 5, 8))
    assert json.loads(chunk.data[0])["choices"][0]["delta"]["role"] == "assistant"


@pytest.mark.parametrize(
    ("script", "text", "kind"),
    [
        ("stall_at=3", said(3), "timeout_between_bytes"),
        ("stall_at=0", "", "timeout_between_bytes"),
        ("first_ms=5000", "", "timeout_first_byte"),
        ("plain=1&first_ms=5000", "", "timeout_first_byte"),
        ("reset_at=0", "", "reset"),
        ("reset_at=3", said(3), "reset"),
        ("reset_at=20", said(20), "reset"),
        ("close_at=0", "", "reset"),
        ("close_at=3", said(3), "reset"),
        ("finish=0&done=0", said(20), "reset"),
        ("bad_at=3", said(3), "bad_frame"),
        ("bad_at=3&split=5", said(3), "bad_frame"),
        ("error_at=3", said(3), "error_in_stream"),
        ("error_at=0", "", "error_in_stream"),
        ("status=400", "", "refused"),
        ("status=401", "", "refused"),
        ("status=302", "", "refused"),
        ("status=429", "", "rate_limited"),
        ("status=500", "", "server_error"),
        ("status=503", "", "server_error"),
        ("html=1", "", "bad_response"),
        ("html=1&status=502", "", "server_error"),
        ("status=204", "", "bad_response"),
        ("no_such_key=1", "", "refused"),
    ],
)
async def test_each_fault_has_its_kind(model: OpenAIHttpLanguageModel, script: str, text: str, kind: str) -> None:
    came, failure = await failed(model, script)
    assert (failure.kind, came) == (kind, text)


async def test_a_frame_beyond_the_bound_is_refused(model_stub: ModelStub) -> None:
    async with opened(model_stub.url, max_event_bytes=10_000) as model:
        assert len(text_of(await answered(model, "tokens=2&size=9000"))) == 18_000
        came, failure = await failed(model, "tokens=2&size=2000000")
    assert (failure.kind, came) == ("bad_frame", "")


async def test_nobody_there_is_a_failure_to_connect() -> None:
    server = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    async with opened(f"http://127.0.0.1:{port}/v1") as model:
        assert (await failed(model, ""))[1].kind == "connect"


@pytest.mark.parametrize("fault", ["status=503", "status=429", "reset_at=0", "close_at=0"])
async def test_a_fault_before_the_first_byte_is_tried_again(model_stub: ModelStub, fault: str) -> None:
    key = f"again-{fault}".replace("=", "-")
    async with opened(model_stub.url, within=5, max_retries=2) as model:
        assert text_of(await answered(model, f"{fault}&fail_first=2&key={key}")) == said(20)
    assert [call["tokens_sent"] for call in await model_stub.calls(key)] == [0, 0, 20]


@pytest.mark.parametrize("fault", ["status=400", "reset_at=2", "bad_at=0", "html=1"])
async def test_other_faults_are_not_tried_again(model_stub: ModelStub, fault: str) -> None:
    key = f"once-{fault}".replace("=", "-")
    async with opened(model_stub.url, within=5, max_retries=2) as model:
        await failed(model, f"{fault}&key={key}")
    assert len(await model_stub.calls(key)) == 1


async def test_attempts_are_counted(model_stub: ModelStub) -> None:
    async with opened(model_stub.url, within=5, max_retries=1) as model:
        assert (await failed(model, "status=500&key=counted"))[1].kind == "server_error"
    assert len(await model_stub.calls("counted")) == 2


async def test_retry_after_is_waited_for(model_stub: ModelStub) -> None:
    async with opened(model_stub.url, within=5, max_retries=1) as model:
        assert text_of(await answered(model, "status=429&retry_after=1&fail_first=1&key=waited")) == said(20)
    first, second = await model_stub.calls("waited")
    assert second["started"] - first["ended"] >= 1


async def test_a_retry_after_beyond_the_limit_is_told_and_not_waited_for(model_stub: ModelStub) -> None:
    async with opened(model_stub.url, max_retries=5) as model:
        _, failure = await failed(model, "status=429&retry_after=3600&key=beyond")
    assert (failure.kind, failure.retry_after) == ("rate_limited", 3600)
    assert len(await model_stub.calls("beyond")) == 1


async def test_leaving_closes_the_call_within_a_second(model: OpenAIHttpLanguageModel, model_stub: ModelStub) -> None:
    async with begun(model, "tokens=100000&pause_ms=10&key=left"):
        pass
    call = await model_stub.call("left", seconds=1)
    assert call["outcome"] == "closed_by_client"


async def test_who_refuses_a_chunk_ends_the_call_and_hears_why(
    model: OpenAIHttpLanguageModel, model_stub: ModelStub
) -> None:
    def take(_: ModelChunks) -> None:
        raise LookupError("not ours any more")

    with pytest.raises(LookupError, match="not ours any more"):
        await model.stream(request("tokens=100000&pause_ms=10&key=not-taken"), take)
    assert (await model_stub.call("not-taken", seconds=1))["outcome"] == "closed_by_client"


async def test_cancelling_closes_the_call_within_a_second(
    model: OpenAIHttpLanguageModel, model_stub: ModelStub
) -> None:
    task = asyncio.create_task(answered(model, "stall_at=2&key=cancelled"))
    await model_stub.call("cancelled", lambda call: call["outcome"] == "stalled", seconds=5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await model_stub.call("cancelled", seconds=1))["outcome"] == "closed_by_client"


async def test_a_timed_out_call_is_closed(model: OpenAIHttpLanguageModel, model_stub: ModelStub) -> None:
    await failed(model, "first_ms=60000&key=late")
    assert (await model_stub.call("late", seconds=1))["outcome"] == "closed_by_client"


async def test_finished_calls_share_a_connection(model_stub: ModelStub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_client, "GOODBYE_SECONDS", 30.0)  # however late a busy machine brings the last chunk
    host, port = model_stub.url.removeprefix("http://").removesuffix("/v1").split(":")
    async with FaultProxy(host, int(port)) as proxy, opened(f"http://127.0.0.1:{proxy.port}/v1") as model:
        for _ in range(5):
            assert text_of(await answered(model, "tokens=50")) == said(50)
            # Only with the last chunk, which follows what is said, is the connection free again.
            await until(lambda: asyncio.sleep(0, model.client._idle), bool)
        assert proxy.accepted == 1
        async with begun(model, "stall_at=1"):
            pass
        await answered(model, "tokens=1")
        assert proxy.accepted == 2


async def test_a_line_that_goes_dead_is_noticed(model_stub: ModelStub) -> None:
    host, port = model_stub.url.removeprefix("http://").removesuffix("/v1").split(":")
    async with FaultProxy(host, int(port)) as proxy, opened(f"http://127.0.0.1:{proxy.port}/v1") as model:
        async with begun(model, "tokens=1000&pause_ms=5") as call:
            proxy.switch(Faults(half_open=True))
            with pytest.raises(ModelCallError) as caught:
                await call
        assert caught.value.kind == "timeout_between_bytes"


Raw = Callable[[bytes], Awaitable[tuple[str, str]]]


@pytest.fixture
async def raw() -> AsyncIterator[Raw]:
    """Answers a call with these very bytes, then closes; gives the text and the kind of the failure."""
    answers: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(
            int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-le")
        )
        await reader.readexactly(length)
        writer.write(answers[-1])
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server, opened(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1") as model:

        async def call(answer: bytes) -> tuple[str, str]:
            answers.append(answer)
            batches: list[ModelChunks] = []
            try:
                await model.stream(request(""), batches.append)
            except ModelCallError as failure:
                return text_of(batches), failure.kind
            return text_of(batches), ""

        yield call


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
HINTS = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
UPGRADE = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n"
HELLO = b'data: {"choices":[{"delta":{"content":"hello"},"finish_reason":"stop"}]}'


@pytest.mark.parametrize(
    ("answer", "text", "kind"),
    [
        (HEAD + b"\r\n" + HELLO + b"\n\n", "hello", ""),
        (HEAD + b"\r\n" + HELLO, "hello", ""),
        (HEAD + b"\r\n" + HELLO[:-9], "", "reset"),
        (HEAD + b"\r\n" + HELLO.replace(b'"stop"', b"null"), "hello", "reset"),
        (HEAD + b"\r\ndata: [DONE]", "", ""),
        (HINTS + HEAD + b"\r\n" + HELLO, "hello", ""),
        (HEAD + b"Content-Length: %d\r\n\r\n" % len(HELLO) + HELLO, "hello", ""),
        (HEAD + b"Content-Length: %d\r\n\r\n" % len(HELLO) + HELLO + HEAD + b"\r\n" + HELLO, "hello", ""),
        (HEAD.replace(b"text/event-stream", b"Text/Event-Stream; charset=utf-8") + b"\r\n" + HELLO, "hello", ""),
        (b"HTTP/1.0 200 OK\r\nContent-Type: text/event-stream\r\n\r\n" + HELLO, "hello", ""),
        (HEAD + b"X: " + b"x" * 1_000_000 + b"\r\n\r\n" + HELLO, "", "bad_response"),
        (UPGRADE, "", "bad_response"),
        (HEAD + b"\r\n", "", "reset"),
        (HEAD + b"Content-Length: 500\r\n\r\n" + HELLO + b"\n\n", "hello", "reset"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", "", "bad_response"),
        (HEAD + b"Content-Encoding: gzip\r\n\r\n\x1f\x8b\x08", "", "bad_response"),
        (HEAD + b"\r\ndata: \xff\xfe\n\n", "", "bad_frame"),
        (b"HTTP/1.1 200 OK\r\n\r\nhello", "", "bad_response"),
        (b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{", "", "bad_response"),
        (b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{"error":{"message":"x"}}', "", "error_in_stream"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "", "bad_response"),
        (b"", "", "reset"),
    ],
)
async def test_bytes_that_no_provider_should_send(raw: Raw, answer: bytes, text: str, kind: str) -> None:
    assert await raw(answer) == (text, kind)


async def test_a_connection_that_died_while_it_waited_is_not_a_failure(model_stub: ModelStub) -> None:
    host, port = model_stub.url.removeprefix("http://").removesuffix("/v1").split(":")
    behind = FaultProxy(host, int(port))
    async with behind as proxy, opened(f"http://127.0.0.1:{proxy.port}/v1", max_retries=1) as model:
        for accepted in range(1, 4):
            assert text_of(await answered(model, "tokens=5")) == said(5)
            assert proxy.accepted == accepted
            proxy.reset_all()


async def test_models_are_listed(model: OpenAIHttpLanguageModel) -> None:
    listed = await model.models()
    assert listed[0]["id"] == "scripted"
    assert {entry["object"] for entry in listed} == {"model"}


async def test_models_of_nobody_are_a_failure(model_stub: ModelStub) -> None:
    async with opened(model_stub.url + "/nowhere") as model:
        with pytest.raises(ModelCallError) as caught:
            await model.models()
    assert caught.value.kind == "refused"
