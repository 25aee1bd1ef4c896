"""OpenAI's own clients on the proxy, with nothing but an address and a key: Python's and the one for Node."""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import openai
import pytest

from frontdesk.model_stub.embeddings import DIMENSIONS
from frontdesk.model_stub.frames import SECRET
from harness.model_stub import ModelStub
from harness.openai_api import HELLO, KEY, PROVIDER_KEY, OpenAiApi, openai_api

CLIENTS = Path(__file__).parents[1] / "clients"
WEATHER: list[Any] = [
    {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}
]


@pytest.fixture(scope="module")
async def api(module_database_url: str, model_stub: ModelStub) -> AsyncIterator[OpenAiApi]:
    async with openai_api(module_database_url, model_stub) as api:
        yield api


@pytest.fixture(scope="module")
async def client(api: OpenAiApi) -> AsyncIterator[openai.AsyncOpenAI]:
    async with api.client() as client:
        yield client


def words(count: int) -> str:
    return "".join(f"t{number} " for number in range(count))


@pytest.mark.parametrize("internal", [False, True])
async def test_a_chat_with_a_users_token_or_the_internal_key(api: OpenAiApi, *, internal: bool) -> None:
    async with api.client(KEY if internal else None) as client:
        answer = await client.chat.completions.create(model="scripted?tokens=3", messages=HELLO)
    assert answer.choices[0].message.content == words(3)
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (5, 3)
    assert answer._request_id


async def test_several_choices_and_a_response_format_are_asked_for(
    client: openai.AsyncOpenAI, model_stub: ModelStub
) -> None:
    answer = await client.chat.completions.create(
        model="scripted?tokens=2&key=proxy-choices",
        messages=HELLO,
        n=3,
        response_format={"type": "json_object"},
        seed=9007199254740993,
        temperature=0.30000000000000004,
        extra_body={"own_member": [1.10, "é"]},
    )
    assert [(choice.index, choice.message.content) for choice in answer.choices] == [(n, words(2)) for n in range(3)]
    asked = (await model_stub.call("proxy-choices", seconds=5))["body"]
    assert asked == {
        "model": "scripted?tokens=2&key=proxy-choices",
        "messages": HELLO,
        "n": 3,
        "response_format": {"type": "json_object"},
        "seed": 9007199254740993,
        "temperature": 0.30000000000000004,
        "own_member": [1.10, "é"],
    }


async def test_a_stream_without_usage_shows_none(client: openai.AsyncOpenAI) -> None:
    stream = await client.chat.completions.create(model="scripted?tokens=5", messages=HELLO, stream=True)
    chunks = [chunk async for chunk in stream]
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == words(5)
    assert [chunk.usage for chunk in chunks] == [None] * len(chunks)
    assert chunks[-1].choices[0].finish_reason == "stop"


async def test_a_stream_with_usage_ends_with_it(client: openai.AsyncOpenAI) -> None:
    stream = await client.chat.completions.create(
        model="scripted?tokens=5", messages=HELLO, stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 5


@pytest.mark.parametrize("streams", [False, True])
async def test_calls_of_tools(client: openai.AsyncOpenAI, *, streams: bool) -> None:
    asked: dict[str, Any] = {"model": "scripted?tokens=1&tool_call=weather", "messages": HELLO, "tools": WEATHER}
    if streams:
        async with client.chat.completions.stream(**asked) as stream:
            answer: Any = await stream.get_final_completion()
    else:
        answer = await client.chat.completions.create(**asked)
    (call,) = answer.choices[0].message.tool_calls
    assert (call.function.name, json.loads(call.function.arguments)) == ("weather", {"city": "Oslo"})
    assert answer.choices[0].finish_reason == "tool_calls"


async def test_models(client: openai.AsyncOpenAI) -> None:
    listed = [model.id async for model in client.models.list()]
    assert "scripted" in listed
    found = await client.models.retrieve("scripted?echo=1")
    assert (found.id, found.object) == ("scripted?echo=1", "model")
    for name in ("nobody", "../stub/calls"):
        with pytest.raises(openai.NotFoundError):
            await client.models.retrieve(name)


async def test_embeddings_as_numbers_and_as_base64(client: openai.AsyncOpenAI) -> None:
    packed = await client.embeddings.create(model="scripted", input=["one text", "another"])  # base64 on the wire
    plain = await client.embeddings.create(model="scripted", input="one text", encoding_format="float")
    tokens = await client.embeddings.create(model="scripted", input=[[1, 2, 3]], dimensions=3)
    assert packed.data[0].embedding == plain.data[0].embedding != packed.data[1].embedding
    assert (len(plain.data[0].embedding), len(tokens.data[0].embedding)) == (DIMENSIONS, 3)
    assert (packed.usage.prompt_tokens, tokens.usage.prompt_tokens) == (3, 3)


ERRORS: list[tuple[str, type[openai.APIStatusError], int]] = [
    ("scripted?status=400", openai.BadRequestError, 400),
    ("scripted?status=401", openai.InternalServerError, 502),
    ("scripted?status=403", openai.InternalServerError, 502),
    ("scripted?status=409", openai.ConflictError, 409),
    ("scripted?status=422", openai.UnprocessableEntityError, 422),
    ("scripted?status=429&retry_after=7", openai.RateLimitError, 429),
    ("scripted?status=500", openai.InternalServerError, 500),
    ("scripted?status=503&retry_after=7", openai.InternalServerError, 503),
    ("scripted?status=302", openai.InternalServerError, 502),
    ("scripted?html=1", openai.InternalServerError, 502),
    ("scripted?html=1&status=404", openai.NotFoundError, 404),
    ("unknown", openai.NotFoundError, 404),
    ("scripted?tokens=many", openai.BadRequestError, 400),
]


@pytest.mark.parametrize(("model", "kind", "status"), ERRORS)
@pytest.mark.parametrize("streams", [False, True])
async def test_the_providers_refusals_are_the_clients_exceptions(
    client: openai.AsyncOpenAI, model: str, kind: type[openai.APIStatusError], status: int, *, streams: bool
) -> None:
    asked: dict[str, Any] = {"model": model, "messages": HELLO, "stream": streams}
    with pytest.raises(kind) as raised:
        await client.chat.completions.create(**asked)
    error = raised.value
    assert error.status_code == status
    assert error.response.headers["content-type"] == "application/json"
    told = error.response.json()["error"]
    assert set(told) == {"message", "type", "param", "code"}
    assert isinstance(told["message"], str)
    assert told["message"]
    assert error.response.headers.get("retry-after") == ("7" if "retry_after" in model else None)
    for secret in (SECRET, PROVIDER_KEY, "10.0.0.7"):
        assert secret not in error.response.text


async def test_our_own_refusals_are_the_clients_exceptions(api: OpenAiApi, client: openai.AsyncOpenAI) -> None:
    for key in ("nobody's", KEY + "x", "x.y.z"):
        async with api.client(key) as stranger:
            with pytest.raises(openai.AuthenticationError) as refused:
                await stranger.chat.completions.create(model="scripted", messages=HELLO)
            assert refused.value.code == "invalid_api_key"
    with pytest.raises(openai.BadRequestError) as nameless:
        await client.chat.completions.create(model="", messages=HELLO)
    assert nameless.value.param == "model"
    with pytest.raises(openai.APIStatusError) as large:
        await client.embeddings.create(model="scripted", input="x" * 1_100_000)
    assert (large.value.status_code, large.value.code) == (413, "body_too_large")
    with pytest.raises(openai.NotFoundError):
        await client.files.list()


async def test_a_timeout_of_the_clients_ends_the_call(api: OpenAiApi, model_stub: ModelStub) -> None:
    for streams in (False, True):
        key = f"proxy-impatient-{streams}"
        async with api.client(timeout=0.3) as client:
            with pytest.raises(openai.APITimeoutError):
                await client.chat.completions.create(
                    model=f"scripted?first_ms=60000&key={key}", messages=HELLO, stream=streams
                )
        assert (await model_stub.call(key, seconds=5))["outcome"] == "closed_by_client"


async def test_the_client_tries_again(api: OpenAiApi, model_stub: ModelStub) -> None:
    model = "scripted?tokens=2&status=503&retry_after=0&fail_first=2&key=proxy-again"
    async with api.client(max_retries=2) as client:
        answer = await client.chat.completions.create(model=model, messages=HELLO)
    assert answer.choices[0].message.content == words(2)
    assert len(await model_stub.calls("proxy-again")) == 3


async def test_leaving_in_mid_stream_ends_the_call(api: OpenAiApi, model_stub: ModelStub) -> None:
    async with api.client() as client:
        stream = await client.chat.completions.create(
            model="scripted?tokens=1000&pause_ms=20&key=proxy-left", messages=HELLO, stream=True
        )
        async for chunk in stream:
            if chunk.choices[0].delta.content == "t3 ":
                break
        await stream.close()
    call = await model_stub.call("proxy-left", seconds=5)
    assert (call["outcome"], call["tokens_sent"] < 100) == ("closed_by_client", True)


async def _hear(stream: openai.AsyncStream[Any], heard: list[str]) -> None:
    async for chunk in stream:
        heard += [chunk.choices[0].delta.content or ""]


BROKEN = {"error_at": "reported an error", "reset_at": "broke off", "close_at": "broke off"}


@pytest.mark.parametrize("fault", BROKEN)
async def test_a_stream_that_breaks_is_an_error_and_not_an_end(client: openai.AsyncOpenAI, fault: str) -> None:
    stream = await client.chat.completions.create(model=f"scripted?{fault}=3", messages=HELLO, stream=True)
    heard: list[str] = []
    with pytest.raises(openai.APIError, match=BROKEN[fault]) as broken:
        await _hear(stream, heard)
    assert "".join(heard) == words(3)
    assert SECRET not in str(broken.value.body)


async def test_the_client_for_node(api: OpenAiApi, model_stub: ModelStub) -> None:
    """`tests/clients/calls.mjs` makes the usual calls and says what came of each."""
    environment = {**os.environ, "BASE_URL": api.url, "API_KEY": api.token, "NODE_NO_WARNINGS": "1"}
    node = await asyncio.create_subprocess_exec(
        "node", "calls.mjs", cwd=CLIENTS, env=environment, stdout=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(60):
        output, _ = await node.communicate()
    assert node.returncode == 0
    told = json.loads(output)
    assert told == {
        "whole": [words(3), 3],
        "stream": [words(5), "stop", 0],
        "usage": 5,
        "tool": ["weather", '{"city":"Oslo"}'],
        "models": True,
        "model": "scripted",
        "embeddings": [DIMENSIONS, DIMENSIONS, True],
        "errors": {
            "400": "BadRequestError",
            "404": "NotFoundError",
            "409": "ConflictError",
            "422": "UnprocessableEntityError",
            "429": "RateLimitError",
            "500": "InternalServerError",
            "502": "InternalServerError",
            "key": "AuthenticationError",
        },
        "timeout": "APIConnectionTimeoutError",
        "retried": words(2),
        "broken": [words(3), "APIError"],
        "left": True,
    }
    assert (await model_stub.call("node-left", seconds=5))["outcome"] == "closed_by_client"
    assert len(await model_stub.calls("node-again")) == 3
