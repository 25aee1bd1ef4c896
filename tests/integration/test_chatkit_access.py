"""Who gets a client secret, what one opens, and what opens nothing."""

import asyncio
import base64
import hmac
import json
import re
import time
from collections.abc import AsyncIterator, Iterator
from hashlib import sha256
from typing import Any

import jwt
import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from frontdesk.kit.ids import new_id
from harness.callers import newcomer
from harness.chatkit_client import ChatKitClient, frames_of
from harness.chatkit_server import NO_LIMITS, World, files, settle, widget_of
from harness.identities import SECRET, settings_for
from harness.model_stub import ModelStub
from harness.served import served

Json = dict[str, Any]
KEY = "the key of the client secrets, and of nothing else"
ISSUER, AUDIENCE = "https://login.example/", "chat"
UNAUTHORIZED = {"error": "Authentication required", "code": "UNAUTHORIZED"}
EXPIRED = {"error": "Session expired", "code": "SESSION_EXPIRED"}
INVALID = {"error": "Invalid client secret"}
HEADER = {"alg": "HS256", "typ": "JWT"}


class Provider:
    """Somebody else's sign-in: its keys as it publishes them, and how often they were asked for."""

    def __init__(self) -> None:
        self.rsa = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.ec = ec.generate_private_key(ec.SECP256R1())
        self.asked = 0

    def jwks(self) -> Json:
        rsa_key = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(self.rsa.public_key()))
        ec_key = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(self.ec.public_key()))
        symmetric = {"kty": "oct", "kid": "oct", "k": segment(b"x" * 32)}
        listed = [rsa_key | {"kid": "rsa", "use": "sig"}, ec_key | {"kid": "ec", "alg": "ES256"}, symmetric]
        return {"keys": [*listed, rsa_key | {"kid": "enc", "use": "enc"}]}

    async def answer(self, _request: web.Request) -> web.Response:
        self.asked += 1
        return web.json_response(self.jwks())

    def token(self, key: Any = None, /, *, kid: str = "rsa", alg: str = "RS256", **claims: Any) -> str:
        now = int(time.time())
        told = {"iss": ISSUER, "aud": AUDIENCE, "sub": "ext|1", "iat": now, "exp": now + 60, **claims}
        told = {name: value for name, value in told.items() if value is not None}
        return jwt.encode(told, key or self.rsa, algorithm=alg, headers={"kid": kid})


@pytest.fixture(scope="module")
async def provider() -> AsyncIterator[tuple[Provider, str]]:
    told = Provider()
    application = web.Application()
    application.router.add_get("/keys", told.answer)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    yield told, f"http://127.0.0.1:{port}/keys"
    await runner.cleanup()


@pytest.fixture(scope="module")
async def world(
    module_database_url: str,
    model_stub: ModelStub,
    provider: tuple[Provider, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[World]:
    settings = settings_for(
        module_database_url,
        llm_enabled=True,
        llm_api_base=model_stub.url,
        llm_default_model="scripted?tokens=3",
        chatkit_secret_key=KEY,
        chatkit_jwks_url=provider[1],
        chatkit_issuer=ISSUER,
        chatkit_audience=AUDIENCE,
        **files(tmp_path_factory.mktemp("agents")),
        **NO_LIMITS,
    )
    async with served(settings) as http:
        yield await settle(http)


def segment(data: bytes | object) -> str:
    raw = data if isinstance(data, bytes) else json.dumps(data).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def signed(payload: object, *, header: object = HEADER, key: str = KEY) -> str:
    text = f"{segment(header)}.{segment(payload)}"
    return f"{text}.{segment(hmac.digest(key.encode(), text.encode(), sha256))}"


def payload_of(secret: str) -> Json:
    part = secret.split(".")[1]
    told: Json = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return told


async def opens(client: ChatKitClient, secret: str) -> bool:
    answer = await ChatKitClient(client._http, client.root, secret).post({"type": "threads.list", "params": {}})
    if answer.status_code != 200:
        assert (answer.status_code, answer.json()) == (401, INVALID), answer.text
        assert answer.headers["www-authenticate"].startswith("Bearer")
    return answer.status_code == 200


async def test_a_secret_says_whose_it_is_for_an_hour(world: World) -> None:
    caller, client = await world.person("claims")
    told = payload_of(client.secret)
    assert told.keys() == {"sub", "iat", "exp", "iss", "aud", "jti", "ver"}
    assert (told["sub"], told["exp"] - told["iat"], told["iss"]) == (caller.id, 3600, "gwp-chat")
    assert await opens(client, client.secret)
    refused = await caller.client.post("/chatkit/session")
    assert (refused.status_code, refused.json()) == (401, UNAUTHORIZED)
    as_login = await caller.client.get("/threads", headers=client.headers)
    assert as_login.status_code == 401
    login = caller.headers["Authorization"].removeprefix("Bearer ")
    assert not await opens(client, login)


async def test_a_secret_is_renewed_once_and_by_its_owner(world: World) -> None:
    caller, client = await world.person("renewing")
    other, _ = await world.person("another")
    stolen = await other.send("POST", "/chatkit/refresh", json={"token": client.secret})
    assert (stolen.status_code, stolen.json()) == (401, EXPIRED)
    answers = await asyncio.gather(
        *(caller.send("POST", "/chatkit/refresh", json={"token": client.secret}) for _ in range(20))
    )
    renewed = [answer.json()["client_secret"] for answer in answers if answer.status_code == 200]
    assert len(renewed) == 1
    assert all(answer.json() == EXPIRED for answer in answers if answer.status_code != 200)
    assert not await opens(client, client.secret)
    assert await opens(client, renewed[0])
    for body in ({}, {"token": ""}, {"token": 7}, []):
        assert (await caller.send("POST", "/chatkit/refresh", json=body)).status_code == 400


async def test_logging_out_kills_it(world: World) -> None:
    caller, client = await world.person("leaving")
    assert (await caller.send("POST", "/auth/logout")).status_code == 204
    assert not await opens(client, client.secret)


def forged(good: Json) -> Iterator[str]:
    now = int(time.time())
    for alg in ("none", "None", "NONE", "", "hs256", "HS384", "HS512", "RS256", "ES256", "EdDSA", None, 0, [], {}):
        for signature in ("", segment(b"\0" * 32)):
            yield f"{segment({**HEADER, 'alg': alg})}.{segment(good)}.{signature}"
        yield signed(good, header={**HEADER, "alg": alg})
    for extra in (
        *({"jwk": {"kty": "oct", "k": segment(KEY.encode())}}, {"jku": "http://127.0.0.1/"}, {"kid": "../../dev/null"}),
        *({"crit": ["exp"]}, {"zip": "DEF"}, {"typ": "at+jwt"}, {"typ": None}, {"b64": False}, {"x5u": "http://x"}),
    ):
        yield signed(good, header={**HEADER, **extra})
    for key in (SECRET, "", "change-me", KEY[:-1], KEY + "\n", "null"):
        yield signed(good, key=key)
    odd: list[Any] = [None, True, 0, -1, 1.5, "", "x", [], {}, "1" * 300, 10**30]
    for name in good:
        yield signed({key: value for key, value in good.items() if key != name})
        for value in odd:
            yield signed({**good, name: value})
    yield signed({**good, "exp": now - 1})
    yield signed({**good, "iat": now + 60})
    yield signed({**good, "aud": ["chatkit"]})
    yield signed({**good, "aud": "other"})
    yield signed({**good, "iss": "other"})
    yield signed({**good, "ver": good["ver"] + 1})
    yield signed({**good, "sub": new_id()})
    yield signed({**good, "typ": "access"})
    yield signed({**good, "role": "admin"})
    yield from (".", "..", "a.b.c", "' OR 1=1--", "x" * 9000)
    head, body, mark = signed(good).split(".")
    yield from (f"{head}.{body}", f"{head}.{body}.{mark}.{mark}", f"{head}.{body}.{mark}=", f" {head}.{body}.{mark} x")
    yield f"{head}.{body[:-1]}{'A' if body[-1] != 'A' else 'B'}.{mark}"
    twice = json.dumps(good)[:-1] + f',"sub":"{new_id()}"}}'
    yield signed_raw(twice.encode())
    yield signed_raw(b'{"a":' * 60 + b"1" + b"}" * 60)


def signed_raw(payload: bytes) -> str:
    text = f"{segment(HEADER)}.{segment(payload)}"
    return f"{text}.{segment(hmac.digest(KEY.encode(), text.encode(), sha256))}"


async def test_nothing_forged_opens_anything(world: World) -> None:
    _, client = await world.person("forged")
    good = payload_of(client.secret)
    assert await opens(client, signed(good))
    tokens = [token for token in forged(good) if token.isascii()]
    assert len(tokens) >= 100
    for token in tokens:
        assert not await opens(client, token), token
    for headers in ({}, {"Authorization": "Bearer"}, {"Authorization": f"Basic {client.secret}"}):
        answer = await client._http.post(f"{client.root}/chatkit", content=b'{"broken', headers=headers)
        assert (answer.status_code, answer.json()) == (401, INVALID)


async def test_what_is_anothers_is_missing(world: World) -> None:
    """Every request with every id of somebody else's is answered as with one that nobody has."""
    _, owner = await world.person("owner")
    _, thief = await world.person("thief")
    theirs, _ = await owner.create("widget secret-one;tool ask", metadata=world.agent)
    widget = next(item["id"] for item in owner.shown(theirs) if item["type"] == "widget")
    file_id = (await owner.ask("attachments.create", name="a.txt", size=1, mime_type="text/plain"))["id"]
    mine, _ = await thief.create("hello")
    my_item = thief.shown(mine)[0]["id"]
    before = await owner.stored(theirs)
    text = {"content": [{"type": "input_text", "text": "x"}], "inference_options": {}}

    def bodies(thread: str, item: str, file: str) -> list[Json]:
        said = {"input": {**text, "attachments": []}}
        action = {"action": {"type": "press", "payload": {}}}
        structured = {"input": {"status": "answered", "answers": {}}}
        on_thread: list[tuple[str, Json]] = [
            ("threads.add_user_message", said),
            ("threads.add_client_tool_output", {"result": 1}),
            ("threads.custom_action", action),
            ("threads.sync_custom_action", action),
            ("threads.sync_custom_action", {"action": {"type": "frontdesk.stop"}}),
            ("threads.get_by_id", {}),
            ("threads.update", {"title": "stolen"}),
            ("threads.delete", {}),
            ("items.list", {}),
            ("items.feedback", {"item_ids": [item], "kind": "negative"}),
            ("threads.retry_after_item", {"item_id": item.split(".", maxsplit=1)[0]}),
            ("threads.add_structured_input", {"item_id": f"{item.split('.', maxsplit=1)[0]}.q.x", **structured}),
        ]
        on_item: list[tuple[str, Json]] = [
            ("threads.custom_action", {"item_id": item, **action}),
            ("threads.sync_custom_action", {"item_id": item, **action}),
            ("threads.retry_after_item", {"item_id": item.split(".", maxsplit=1)[0]}),
            ("items.feedback", {"item_ids": [item], "kind": "negative"}),
            ("items.list", {"after": item}),
        ]
        made = [{"type": kind, "params": {"thread_id": thread, **params}} for kind, params in on_thread]
        made += [{"type": kind, "params": {"thread_id": mine, **params}} for kind, params in on_item]
        made.append({"type": "attachments.delete", "params": {"attachment_id": file}})
        made.append({"type": "threads.list", "params": {"after": thread}})
        made.append({"type": "threads.create", "params": {"input": {**text, "attachments": [file]}}})
        made.append({"thread_id": thread, "message": {"role": "user", "content": "x"}})
        return made

    for foreign, unknown in zip(
        bodies(theirs, widget, file_id), bodies(new_id(), f"{new_id()}.p.card", new_id()), strict=True
    ):
        refused, missing = await thief.post(foreign), await thief.post(unknown)
        assert refused.status_code in {400, 404}, (foreign, refused.text)
        assert (refused.status_code, without_ids(refused.text)) == (missing.status_code, without_ids(missing.text))
        assert refused.status_code == 404 or foreign["type"] == "threads.create", foreign
    assert await owner.stored(theirs) == before
    assert my_item in [item["id"] for item in await thief.stored(mine)]


async def test_nothing_can_be_had_by_naming_it(world: World) -> None:
    """Owners, ids, roles, times and tiers that a request names besides are not heard (S2)."""
    caller, client = await world.person("assigning")
    other, others = await world.person("assigned")
    named = {"user_id": other.id, "owner_id": other.id, "sender_id": other.id, "id": new_id(), "tier": "unlimited"}
    more = {**named, "role": "assistant", "created_at": "2001-01-01T00:00:00Z", "status": {"type": "locked"}}
    said = {
        "content": [{"type": "input_text", "text": "x", **more}],
        "attachments": [],
        "inference_options": {},
        **more,
    }
    body = {"type": "threads.create", "params": {"input": said, "metadata": more, **more}, "metadata": more, **more}
    frames = frames_of((await client.post(body)).text)
    thread, item = frames[0]["thread"], frames[1]["item"]
    assert (thread["status"], thread["metadata"], item["type"]) == ({"type": "active"}, {}, "user_message")
    assert named["id"] not in {thread["id"], item["id"]}
    assert not item["created_at"].startswith("2001")
    change = {"type": "threads.update", "params": {"thread_id": thread["id"], "title": "y", **named, "metadata": more}}
    changed = (await client.post(change)).json()
    assert changed == {**changed, "id": thread["id"], "title": "y", "metadata": {}, "created_at": thread["created_at"]}
    stored = await caller.made("GET", f"/threads/{thread['id']}")
    assert stored["metadata"] == {}
    assert (await others.post({"type": "threads.get_by_id", "params": {"thread_id": thread["id"]}})).status_code == 404


def without_ids(text: str) -> str:
    """What was asked for may be named again."""
    return re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "ID", text)


async def test_an_agent_that_is_not_yours_answers_nobody(world: World) -> None:
    limited = await newcomer(world.admin, "limited", allowed_agents=[])
    client = await widget_of(limited, world.root)
    sent = {"content": [{"type": "input_text", "text": "x"}], "attachments": [], "inference_options": {}}
    body = {"type": "threads.create", "params": {"input": sent}, "metadata": world.agent}
    assert (await client.post(body)).status_code == 403
    assert (await client.ask("threads.list"))["data"] == []


async def test_another_sign_in_gets_secrets(world: World, provider: tuple[Provider, str]) -> None:
    told = provider[0]

    async def session(token: str) -> Any:
        return await world.http.post("/chatkit/session", headers={"Authorization": f"Bearer {token}"})

    answers = await asyncio.gather(*(session(told.token()) for _ in range(10)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({payload_of(answer.json()["client_secret"])["sub"] for answer in answers}) == 1
    client = ChatKitClient(world.http, world.root, answers[0].json()["client_secret"])
    thread_id, _ = await client.create("hello")
    again = (await session(told.token(told.ec, kid="ec", alg="ES256"))).json()["client_secret"]
    assert [item["type"] for item in await ChatKitClient(world.http, world.root, again).stored(thread_id)] == [
        "user_message",
        "assistant_message",
    ]
    somebody = (await session(told.token(sub="ext|2"))).json()["client_secret"]
    assert payload_of(somebody)["sub"] != payload_of(again)["sub"]
    now = int(time.time())
    public = told.jwks()["keys"][0]["n"]
    wrong = [
        *(told.token(aud="other"), told.token(iss="https://evil.example/"), told.token(exp=now - 60)),
        *(told.token(iat=now + 600), told.token(sub=None), told.token(sub=""), told.token(sub="x" * 300)),
        *(told.token(exp=None), told.token(aud=None), told.token(kid="nobody"), told.token(kid="enc")),
        told.token(rsa.generate_private_key(public_exponent=65537, key_size=2048)),
        *(told.token(kid="ec"), told.token(told.ec, kid="rsa", alg="ES256"), told.token(alg="RS512", kid="ec")),
        jwt.encode({"sub": "ext|1", "iss": ISSUER, "aud": AUDIENCE}, None, algorithm="none", headers={"kid": "rsa"}),
        signed({"sub": "ext|1", "iss": ISSUER, "aud": AUDIENCE, "iat": now, "exp": now + 60}, key=public),
        jwt.encode({"sub": "ext|1", "iat": now, "exp": now + 60}, "x" * 32, headers={"kid": "oct"}),
    ]
    for token in wrong:
        answer = await session(token)
        assert (answer.status_code, answer.json()) == (401, UNAUTHORIZED), token
    assert told.asked <= 2  # unknown keys do not make it be asked each time
    assert (await world.http.get("/threads", headers={"Authorization": f"Bearer {told.token()}"})).status_code == 401
