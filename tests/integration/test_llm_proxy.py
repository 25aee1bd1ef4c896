"""The proxy's bytes, headers, limits and counts, and what it does when its reader or its provider does not go along."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable
from random import Random
from typing import Any

import httpx
import pytest

from frontdesk.identity.usage.models import Spent
from frontdesk.model_stub.frames import SECRET
from harness.callers import assert_problem
from harness.fault_proxy import FaultProxy, Faults
from harness.fixtures import Logged
from harness.model_stub import ModelStub
from harness.openai_api import HELLO, KEY, PROVIDER_KEY, OpenAiApi, openai_api

POLL_SECONDS = 0.02
CHAT = "/chat/completions"
OWN = re.compile(rb'"id":"chatcmpl-\w+"|"created":\d+|"id":\s*"chatcmpl-\w+",?\s*|"created":\s*\d+')


@pytest.fixture(scope="module")
async def api(module_database_url: str, model_stub: ModelStub) -> AsyncIterator[OpenAiApi]:
    async with openai_api(module_database_url, model_stub) as api:
        yield api


def asking(model: str, **members: Any) -> dict[str, Any]:
    return {"model": model, "messages": HELLO, "stream": True, **members}


def assert_openai_error(answer: httpx.Response, status: int, code: str | None) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    error: dict[str, Any] = answer.json()["error"]
    assert error.keys() == {"message", "type", "param", "code"}
    assert error["code"] == code, error
    return error


async def until(holds: Callable[[Spent], bool], used: Callable[[], Any], *, seconds: float = 10) -> Spent:
    async with asyncio.timeout(seconds):
        while True:
            found: Spent = await used()
            if holds(found):
                return found
            await asyncio.sleep(POLL_SECONDS)


# What goes through


@pytest.mark.parametrize(
    "form", ["", "unicode=1", "crlf=1", "comments=1", "multiline=1", "split=7", "crlf=1&split=1", "burst=50"]
)
@pytest.mark.parametrize("asks", [True, False])
async def test_the_bytes_are_the_providers(api: OpenAiApi, model_stub: ModelStub, form: str, *, asks: bool) -> None:
    """But for the one event with the usage, where the caller did not ask for it."""
    model = f"scripted?tokens=40&tool_call=weather&{form}".rstrip("&")
    wanted = asking(model, stream_options={"include_usage": True})
    async with httpx.AsyncClient(trust_env=False) as direct:
        theirs = OWN.sub(b"", (await direct.post(f"{model_stub.url}{CHAT}", json=wanted)).content)
    passed = await api.post(CHAT, json=wanted if asks else asking(model))
    assert passed.headers["content-type"] == "text/event-stream; charset=utf-8"
    ours = OWN.sub(b"", passed.content)
    if asks:
        assert ours == theirs
        return
    border = b"\r\n\r\n" if "crlf" in form else b"\n\n"
    events = theirs.split(border)
    assert ours.split(border) == [event for event in events if b'"prompt_tokens"' not in event]
    assert len(events) - len(ours.split(border)) == 1


async def test_an_event_goes_on_when_it_is_whole_and_not_later(api: OpenAiApi) -> None:
    """The stream stands still after three tokens, and they are there."""
    body, heard = asking("scripted?tokens=9&stall_at=3"), b""
    async with api.http.stream("POST", f"{api.url}{CHAT}", json=body, headers=api.user.headers) as answer:
        async with asyncio.timeout(30):
            async for piece in answer.aiter_raw():
                heard += piece
                if heard.count(b'"content":"t') == 3:
                    break
    assert heard.endswith(b"\n\n")


async def test_what_the_caller_says_arrives_as_it_was_written(api: OpenAiApi, model_stub: ModelStub) -> None:
    body = (
        b'{"model":"ignored", "stream" : true,"model":"scripted?tokens=1&key=proxy-written","messages":[],'
        b'"stream_options":{"other":1},"number":1.0e-7,"big":123456789012345678901234567890,"text":"\\u00e9"}'
    )
    assert (await api.post(CHAT, content=body)).status_code == 200
    asked = (await model_stub.call("proxy-written", seconds=5))["body"]
    assert list(asked) == ["model", "stream", "messages", "stream_options", "number", "big", "text"]
    assert asked["stream_options"] == {"other": 1, "include_usage": True}
    assert (asked["number"], asked["big"], asked["text"]) == (1.0e-7, 123456789012345678901234567890, "é")


async def test_only_listed_headers_pass(api: OpenAiApi, model_stub: ModelStub) -> None:
    given = {
        "Cookie": "session=canary",
        "X-Internal-Auth": KEY,
        "OpenAI-Organization": "canary",
        "X-Forwarded-For": "192.0.2.1",
        "Idempotency-Key": "canary",
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "X-Request-Id": "mine-1",
        "Accept": "text/event-stream",
        "Connection": "close, X-Custom",
        "X-Custom": "canary",
    }
    answer = await api.post(CHAT, json=asking("scripted?tokens=1&headers=1&key=proxy-headers"), headers=given)
    seen = (await model_stub.call("proxy-headers", seconds=5))["headers"]
    assert seen.keys() == {
        "host",
        "accept",
        "accept-encoding",
        "user-agent",
        "content-type",
        "content-length",
        "traceparent",
        "x-request-id",
    }
    assert (seen["x-request-id"], seen["traceparent"]) == ("mine-1", given["traceparent"])
    assert answer.headers["openai-processing-ms"] == "12"
    assert answer.headers["x-ratelimit-remaining-requests"] == "59"
    assert answer.headers.get_list("x-request-id") == ["mine-1"]
    assert not {"set-cookie", "x-upstream"} & answer.headers.keys()
    assert answer.headers["server"] != "scripted"


# What is refused


async def test_refusals_before_the_provider_are_openais_too(api: OpenAiApi) -> None:
    nobody = await api.http.post(f"{api.url}{CHAT}", json=asking("scripted"))
    assert_openai_error(nobody, 401, "invalid_api_key")
    assert nobody.headers["www-authenticate"].startswith("Bearer")
    assert_openai_error(await api.post("/nothing"), 404, "not_found")
    assert_openai_error(await api.http.get(f"{api.url}{CHAT}"), 405, "method_not_allowed")
    large = await api.post(CHAT, content=b"x" * 1_048_577)
    assert_openai_error(large, 413, "body_too_large")
    for body in (b"", b"{", b"\xff", b'{"model":' * 50_000):
        assert_openai_error(await api.post(CHAT, content=body), 400, "malformed_json")
    for body in (b"[]", b"1", b"null", b"[" * 100_000):
        assert_openai_error(await api.post(CHAT, content=body), 400, "bad_request")
    for member, value in (("model", 1), ("model", None), ("stream", "yes"), ("stream_options", [1]), ("n", "x")):
        wrong = await api.post(CHAT, json={**asking("scripted"), member: value})
        assert assert_openai_error(wrong, 400, "bad_request")["param"] == member
    assert_openai_error(await api.post("/embeddings", json={"input": "x"}), 400, "bad_request")


async def test_without_a_provider_it_is_a_502_and_switched_off_a_503(sqlite_url: str, model_stub: ModelStub) -> None:
    async with openai_api(sqlite_url, model_stub, llm_api_base="http://127.0.0.1:9/v1") as api:
        assert_openai_error(await api.post(CHAT, json=asking("scripted")), 502, "provider_unavailable")
        assert_openai_error(
            await api.http.get(f"{api.url}/models", headers=api.user.headers), 502, "provider_unavailable"
        )


async def test_switched_off_it_is_a_503(sqlite_url: str, model_stub: ModelStub) -> None:
    async with openai_api(sqlite_url, model_stub, llm_enabled=False) as api:
        refused = await api.post(CHAT, json=asking("scripted"))
        assert_openai_error(refused, 503, "llm_disabled")
        assert refused.headers["retry-after"] == "60"


async def test_a_silent_provider_is_given_up(sqlite_url: str, model_stub: ModelStub) -> None:
    async with openai_api(sqlite_url, model_stub, llm_proxy_timeout_seconds=0.3) as api:
        late = await api.post(CHAT, json=asking("scripted?first_ms=60000&key=proxy-silent"))
        assert_openai_error(late, 504, "provider_timeout")
        stalled = await api.post(CHAT, json=asking("scripted?tokens=9&stall_at=3&key=proxy-stalled"))
        last = stalled.text.split("\n\n")[-2]
        assert json.loads(last.removeprefix("data: "))["error"]["code"] == "timeout_between_bytes"
        assert stalled.text.count('"content":"t') == 3
        slow = await api.post(CHAT, json=asking("scripted?tokens=6&pause_ms=150"))
        assert slow.text.endswith("data: [DONE]\n\n")
        for key in ("proxy-silent", "proxy-stalled"):
            await model_stub.call(key, seconds=5)


async def test_no_key_and_no_address_is_told_or_logged(api: OpenAiApi, logged: Logged) -> None:
    for fault in ("status=400", "status=401", "status=429", "status=500", "html=1", "error_at=2", "bad_at=2"):
        told = await api.post(CHAT, json=asking(f"scripted?tokens=5&headers=1&{fault}"))
        for canary in (SECRET, PROVIDER_KEY, "10.0.0.7", api.token, KEY):
            assert canary not in told.text + str(told.headers), fault
            assert canary not in str(logged()), fault


async def test_a_provider_that_is_cut_off_is_never_taken_for_an_end(sqlite_url: str, model_stub: ModelStub) -> None:
    """At any byte: of a stream the last event says so; a whole answer's connection breaks."""
    port = int(model_stub.url.split(":")[2].removesuffix("/v1"))
    async with FaultProxy("127.0.0.1", port) as between:
        address = f"http://127.0.0.1:{between.port}/v1"
        async with openai_api(sqlite_url, model_stub, llm_api_base=address) as api:
            for after in range(200, 1100, 90):
                between.switch(Faults(cut_after=after))
                cut = await api.post(CHAT, json=asking("scripted?tokens=50&split=50"))
                assert cut.is_success
                assert '"error":{' in cut.text.split("\n\n")[-2]
                assert "[DONE]" not in cut.text
            between.switch(Faults(cut_after=2000))
            with pytest.raises(httpx.RemoteProtocolError):
                await api.post(CHAT, json=asking("scripted?tokens=2000", stream=False))
            between.switch(Faults())
            assert (await api.post(CHAT, json=asking("scripted"))).text.endswith("data: [DONE]\n\n")


# Who reads slowly, or leaves


async def test_leaving_at_any_time_leaves_nothing_behind(sqlite_url: str, model_stub: ModelStub) -> None:
    async with openai_api(sqlite_url, model_stub) as api:
        root = api.url.removesuffix("/v1")
        host, port = root.removeprefix("http://").split(":")
        seed = Random(1)

        async def metric(name: str) -> float:
            lines = (await api.http.get(f"{root}/metrics")).text.splitlines()
            return next(float(line.split()[1]) for line in lines if line.startswith(f"{name} "))

        async def leave(number: int) -> None:
            model = f"scripted?tokens=100000&pause_ms=1&first_ms={seed.choice((0, 60_000))}&key=proxy-leaving"
            payload = json.dumps(asking(model)).encode()
            fields = ["Host: x", f"Authorization: Bearer {api.token}", f"Content-Length: {len(payload)}"]
            whole = "\r\n".join([f"POST /v1{CHAT} HTTP/1.1", *fields, "", ""]).encode() + payload
            _, writer = await asyncio.open_connection(host, port)
            writer.write(whole[: seed.choice((len(whole), len(whole), len(whole) - 10))])
            await asyncio.sleep(seed.uniform(0, 0.2))  # at any time
            writer.transport.abort()

        await asyncio.gather(*(leave(number) for number in range(200)))
        async with asyncio.timeout(60):
            while True:
                calls = await model_stub.calls("proxy-leaving")
                open_now = await metric("frontdesk_streams_open") + await metric("frontdesk_requests_in_work")
                if calls and all(call["ended"] for call in calls) and open_now <= 0:
                    break
                await asyncio.sleep(POLL_SECONDS)
        assert {call["outcome"] for call in calls} == {"closed_by_client"}


async def test_a_slow_reader_slows_the_provider_down(api: OpenAiApi, model_stub: ModelStub) -> None:
    """128 MB, of which the kernel's buffers hold some."""
    body, size, tokens = asking("scripted?tokens=2000&size=65536&key=proxy-slow"), 65_536, 2000
    host, port = api.url.removeprefix("http://").removesuffix("/v1").split(":")
    reader, writer = await asyncio.open_connection(host, port, limit=65_536)
    payload = json.dumps(body).encode()
    head = [f"POST /v1{CHAT} HTTP/1.1", "Host: x", f"Authorization: Bearer {api.token}", "Connection: close"]
    writer.write("\r\n".join([*head, f"Content-Length: {len(payload)}", "", ""]).encode() + payload)
    sent = [-1, 0]
    async with asyncio.timeout(20):
        while sent[-1] == 0 or sent[-2] != sent[-1]:  # until it stands still
            await asyncio.sleep(0.3)
            calls = await model_stub.calls("proxy-slow")
            sent.append(calls[0]["tokens_sent"] if calls else 0)
    assert sent[-1] * size < 40_000_000
    heard, count = b"", 0
    async with asyncio.timeout(30):
        while piece := await reader.read(1 << 20):
            heard = heard[-16:] + piece
            count += heard.count(b'"content":"t') - heard[:16].count(b'"content":"t')
    writer.close()
    assert heard.endswith(b"0\r\n\r\n")
    assert count == tokens


async def test_who_reads_nothing_is_cut(sqlite_url: str, model_stub: ModelStub) -> None:
    async with openai_api(sqlite_url, model_stub, slow_reader_seconds=0.4) as api:
        body = asking("scripted?tokens=2000&size=65536&key=proxy-cut")
        async with api.http.stream("POST", f"{api.url}{CHAT}", json=body, headers=api.user.headers):
            cut = await model_stub.call("proxy-cut", seconds=15)
        assert cut["outcome"] == "closed_by_client"


# What is counted


async def test_what_is_used_is_counted(database_url: str, model_stub: ModelStub) -> None:
    async with openai_api(database_url, model_stub) as api:
        model = "scripted?tokens=7"
        asked = [
            api.post(CHAT, json=asking(model)),
            api.post(CHAT, json=asking(model, stream_options={"include_usage": True})),
            api.post(CHAT, json=asking(model, stream=False)),
            api.post(CHAT, json=asking(model, stream=False), headers={"X-Internal-Auth": KEY}),
            api.post("/embeddings", json={"model": model, "input": ["one two", "three"]}),
        ]
        assert [answer.status_code for answer in await asyncio.gather(*asked)] == [200] * 5
        mine = Spent(5 * 3 + 3, 7 * 3, 4)
        assert await until(lambda spent: spent.requests >= 4, lambda: api.used(api.user.id, model=model)) == mine
        internal = await until(lambda spent: spent.requests >= 1, lambda: api.used("internal", model=model))
        assert internal == Spent(5, 7, 1)
        await _assert_told(api, model)


async def _assert_told(api: OpenAiApi, model: str) -> None:
    """To each their own, to an administrator everybody's, and to Prometheus by kind."""
    used = {"requests": 4, "prompt_tokens": 18, "completion_tokens": 21}
    own = await api.user.made("GET", "/usage")
    (item,) = own["items"]
    assert (own["used"], own["total"]) == (used, 1)
    assert item == {"day": own["items"][0]["day"], "model": model, **used}
    assert own["since"] < item["day"]
    other = await api.another_user("bea")
    assert (await other.made("GET", "/usage?days=1"))["items"] == []
    assert_problem(await other.send("GET", "/usage/callers"), 403, "forbidden")
    everybody = await api.user.made("GET", "/usage/callers?days=1")
    internal = {"requests": 1, "prompt_tokens": 5, "completion_tokens": 7}
    assert everybody["items"] == [
        {"caller_kind": "user", "caller_id": api.user.id, **used},
        {"caller_kind": "service", "caller_id": "internal", **internal},
    ]
    assert everybody["used"] == {name: used[name] + internal[name] for name in used}
    assert (await api.user.made("GET", "/usage/callers?limit=1&page=2"))["items"] == everybody["items"][1:]
    assert_problem(await api.user.send("GET", "/usage?days=0"), 422, "validation_error")
    metrics = (await api.http.get(api.url.removesuffix("/v1") + "/metrics")).text
    assert 'frontdesk_llm_proxy_answers_total{caller="user"} 4.0' in metrics
    assert 'frontdesk_llm_proxy_tokens_total{caller="service",kind="completion"} 7.0' in metrics


async def test_an_answer_that_was_stopped_or_tells_no_usage_counts_by_what_came(
    api: OpenAiApi, model_stub: ModelStub
) -> None:
    silent = "scripted?tokens=30&usage=0"
    await api.post(CHAT, json=asking(silent))
    spent = await until(lambda spent: spent.requests == 1, lambda: api.used(api.user.id, model=silent))
    assert 30 <= spent.completion_tokens <= 32
    assert spent.prompt_tokens > 5
    stopped, heard = "scripted?tokens=1000&pause_ms=10&key=proxy-stopped", 0
    async with api.http.stream("POST", f"{api.url}{CHAT}", json=asking(stopped), headers=api.user.headers) as answer:
        async for line in answer.aiter_lines():
            heard += '"content":"t' in line
            if heard == 20:
                break
    spent = await until(lambda spent: spent.requests == 1, lambda: api.used(api.user.id, model=stopped))
    call = await model_stub.call("proxy-stopped", seconds=5)
    assert 20 <= spent.completion_tokens <= call["tokens_sent"] < 200


async def test_what_was_refused_or_failed_costs_nothing(api: OpenAiApi) -> None:
    refused, after = "scripted?status=400&key=proxy-free", "scripted?tokens=1&key=proxy-paid"
    await api.post(CHAT, json=asking(refused))
    await api.post(CHAT, json=asking(after))
    await until(lambda spent: spent.requests == 1, lambda: api.used(api.user.id, model=after))
    assert await api.used(api.user.id, model=refused) == Spent(requests=0)


async def test_requests_of_a_minute_are_limited_for_each_user(sqlite_url: str, model_stub: ModelStub) -> None:
    async with openai_api(sqlite_url, model_stub, llm_proxy_requests_per_minute=5) as api:
        body = asking("scripted?tokens=1", stream=False)
        answers = await asyncio.gather(*(api.post(CHAT, json=body) for _ in range(20)))
        assert sorted(answer.status_code for answer in answers) == [200] * 5 + [429] * 15
        refused = next(answer for answer in answers if answer.status_code == 429)
        assert assert_openai_error(refused, 429, "rate_limit_exceeded")["type"] == "rate_limit_error"
        assert 1 <= int(refused.headers["retry-after"]) <= 60
        assert refused.headers["ratelimit-policy"] == '"llm-requests";q=5;w=60'
        assert refused.headers["ratelimit"].startswith('"llm-requests";r=0;t=')
        other = await api.another_user("otto")
        assert (await api.post(CHAT, json=body, headers=other.headers)).status_code == 200
        for _ in range(8):
            assert (await api.post(CHAT, json=body, headers={"X-Internal-Auth": KEY})).status_code == 200
        assert (await api.http.get(f"{api.url}/models", headers=api.user.headers)).status_code == 200


async def test_tokens_of_a_day_are_set_aside_and_settled(sqlite_url: str, model_stub: ModelStub) -> None:
    async with openai_api(sqlite_url, model_stub, llm_proxy_tokens_per_day=500) as api:
        held = asking("scripted?tokens=5&stall_at=3&key=proxy-held", max_tokens=400)
        async with api.http.stream("POST", f"{api.url}{CHAT}", json=held, headers=api.user.headers) as answer:
            assert answer.status_code == 200  # and 400 and the prompt are set aside
            over = await api.post(CHAT, json=asking("scripted?tokens=5", max_tokens=400))
            assert assert_openai_error(over, 429, "insufficient_quota")["type"] == "rate_limit_error"
            assert over.headers["ratelimit-policy"] == '"llm-tokens";q=500;w=86400'
            assert 1 <= int(over.headers["retry-after"]) <= 86_400
            assert over.headers["x-should-retry"] == "false"
        failed = await api.post(CHAT, json=asking("scripted?status=500", max_tokens=400))
        assert_openai_error(failed, 500, "provider_failed")
        async with asyncio.timeout(30):  # the one that was left is settled
            while True:
                again = await api.post(CHAT, json=asking("scripted?tokens=5", max_tokens=400))
                if again.is_success:
                    break
                await asyncio.sleep(POLL_SECONDS)
        big = await api.post(CHAT, json=asking("scripted?tokens=480", max_tokens=300))
        assert big.status_code == 200  # it took more than was set aside: then nothing is left
        assert_openai_error(
            await api.post(CHAT, json=asking("scripted?tokens=1", max_tokens=1)), 429, "insufficient_quota"
        )
        unbounded = await api.post(CHAT, json=asking("scripted"), headers={"X-Internal-Auth": KEY})
        assert unbounded.status_code == 200
