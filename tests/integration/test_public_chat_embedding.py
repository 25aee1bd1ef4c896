"""Where a chat may stand: which origins may use it, who may frame what, and what is told to everybody."""

import random
import re
from collections.abc import AsyncIterator

import pytest

from frontdesk.public_chat.interfaces.origins import is_allowed, parse_origin
from harness.callers import Caller
from harness.identities import settings_for
from harness.model_stub import ModelStub
from harness.visitors import Chat, assert_failure, build, public_chat

SITES = ["https://shop.example", "https://www.shop.example:8443", "http://localhost:3000"]
ENDS = [".", "/", ":443", ":80", ":8443", "0", ".evil.example", "%00", "\t", "@evil", "#", "?"]
ORIGIN = ["https://canary-origin.example"]
PUBLIC = {
    *("slug", "title", "description", "coverType", "coverValue", "iconUrl", "primaryColor", "fontFamily"),
    *("borderRadius", "welcomeMessage", "placeholderText", "suggestedPrompts", "allowFileUpload", "maxFiles"),
    *("maxFileSizeMb", "allowedFileTypes", "persistenceType", "widgetPosition", "widgetButtonIcon"),
    *("widgetButtonText", "widgetInitialState", "locale"),
}


@pytest.fixture(scope="module")
async def chat(module_database_url: str, model_stub: ModelStub) -> AsyncIterator[Chat]:
    chosen = settings_for(
        module_database_url,
        llm_enabled=True,
        llm_api_base=model_stub.url,
        llm_default_model="scripted?tokens=3",
        visitor_sessions_per_address=10_000,
    )
    async with public_chat(chosen, allowedOrigins=SITES) as opened:
        yield opened


def foreign_origins(count: int) -> list[str]:
    """Origins that are like the allowed ones and are not: what tricks of every kind make of them."""
    dice = random.Random(17)
    made = {"null", "", "https://", "file://", "*", "https://*", "https://*.shop.example"}
    tricks = [
        lambda site: (
            site + dice.choice([".", "/", ":443", ":80", ":8443", "0", ".evil.example", "%00", "\t", "@evil", "#", "?"])
        ),
        lambda site: site.replace("://", dice.choice([":/", ":///", "://x.", "://x@", "://x:y@", "://.", "://evil-"])),
        lambda site: site.replace("https", dice.choice(["http", "ws", "wss", "HTTPS", "httpss", "ftp", "data"])),
        lambda site: site.replace("example", dice.choice(["exampl", "example.com", "\u0435xample", "EXAMPLE"])),
        lambda site: site.replace("shop", dice.choice(["sh0p", "Shop", "xn--shop", "shop-", "www.shop", "a.shop"])),
        lambda site: site.replace(".", dice.choice(["", "..", "-", "%2e", "\u3002"])),
        lambda site: dice.choice(["https://evil.example/", "https://evil.example#", "evil "]) + site,
        lambda _: f"https://{''.join(dice.choices('abcdefghij.-', k=dice.randint(1, 20)))}",
        lambda site: site[: dice.randint(1, len(site) - 1)],
        lambda site: f"{site}, https://evil.example",
    ]
    while len(made) < count:
        origin = dice.choice(SITES)
        for _ in range(dice.randint(1, 2)):
            origin = dice.choice(tricks)(origin) if len(origin) > 2 else origin
        if origin not in SITES:
            made.add(origin)
    return sorted(made)


def test_of_10000_origins_none_but_the_listed_is_allowed() -> None:
    assert not any(is_allowed(origin, SITES) for origin in foreign_origins(10_000))
    assert all(is_allowed(origin, SITES) for origin in SITES)


async def test_hundreds_of_foreign_origins_get_nothing(chat: Chat) -> None:
    visitor = await chat.visitor()
    paths = [
        ("GET", "", None),
        ("OPTIONS", "/messages", None),
        ("POST", "/sessions", {}),
        ("POST", "/messages", {"sessionToken": visitor.token, "message": "x"}),
        ("GET", f"/stream?sessionToken={visitor.token}", None),
        ("GET", f"/sessions/{visitor.token}/messages", None),
        ("DELETE", f"/sessions/{visitor.token}", None),
    ]
    sendable = [
        origin for origin in foreign_origins(400) if re.fullmatch(r"[\x21-\x7e][\x20-\x7e]*[\x21-\x7e]", origin)
    ]
    assert len(sendable) >= 300
    for number, origin in enumerate(sendable):
        method, below, body = paths[number % len(paths)]
        asked = await chat.ask(method, below, headers={"Origin": origin}, **({} if body is None else {"json": body}))
        assert_failure(asked, 403, "origin_not_allowed")
        assert "access-control-allow-origin" not in asked.headers, origin
        assert "access-control-allow-credentials" not in asked.headers
        assert asked.headers["vary"] == "Origin"
    assert await visitor.messages() == []


async def test_an_allowed_origin_is_named_and_no_other(chat: Chat) -> None:
    visitor = await chat.visitor()
    for origin in SITES:
        for method, below in (("GET", ""), ("POST", "/sessions"), ("GET", f"/sessions/{visitor.token}/messages")):
            asked = await chat.ask(method, below, headers={"Origin": origin})
            assert asked.is_success, asked.text
            assert asked.headers["access-control-allow-origin"] == origin
            assert asked.headers["vary"] == "Origin"
            assert "access-control-allow-credentials" not in asked.headers
            assert "set-cookie" not in asked.headers
        wants = {"Origin": origin, "Access-Control-Request-Method": "POST"}
        preflight = await chat.ask("OPTIONS", "/messages", headers=wants)
        assert preflight.status_code == 204
        assert preflight.headers["access-control-allow-origin"] == origin
        assert "X-Session-Token" in preflight.headers["access-control-allow-headers"]
        refused = await chat.ask("POST", "/messages", headers={"Origin": origin}, json={})
        assert_failure(refused, 422, "validation_error")
        assert refused.headers["access-control-allow-origin"] == origin


async def test_our_own_pages_and_programs_are_not_strangers(chat: Chat) -> None:
    host = str(chat.owner.client.base_url.netloc.decode())
    for headers in ({}, {"Origin": f"http://{host}"}, {"Origin": f"https://{host}"}):
        assert (await chat.ask("GET", headers=headers)).status_code == 200
    assert_failure(await chat.ask("GET", headers={"Origin": f"http://{host}0"}), 403, "origin_not_allowed")


async def test_a_name_that_leads_here_is_not_ours_once_ours_is_configured(
    sqlite_url: str, model_stub: ModelStub
) -> None:
    """Whoever owns a name can have it lead anywhere."""
    chosen = settings_for(sqlite_url, llm_enabled=True, llm_api_base=model_stub.url)
    async with public_chat(
        chosen.model_copy(update={"gateway_url": "https://chat.example/"}), allowedOrigins=SITES
    ) as chat:
        rebound = {"Host": "evil.example", "Origin": "http://evil.example"}
        assert_failure(await chat.ask("GET", headers=rebound), 403, "origin_not_allowed")
        assert (await chat.ask("GET", headers={"Origin": "https://chat.example"})).status_code == 200


async def test_the_origins_of_other_surfaces_are_not_those_of_a_chat(sqlite_url: str, model_stub: ModelStub) -> None:
    named = "https://app.example"
    chosen = settings_for(sqlite_url, llm_enabled=True, llm_api_base=model_stub.url, cors_origins=named)
    wants = {"Access-Control-Request-Method": "POST"}
    async with public_chat(chosen, allowedOrigins=SITES) as chat:
        preflight = await chat.ask("OPTIONS", "/messages", headers={"Origin": SITES[0], **wants})
        assert preflight.status_code == 204
        for answer in (preflight, await chat.ask("GET", headers={"Origin": SITES[0]})):
            assert answer.headers.get_list("access-control-allow-origin") == [SITES[0]]
        assert_failure(await chat.ask("GET", headers={"Origin": named}), 403, "origin_not_allowed")
        builders = await chat.owner.client.options("/chat-interfaces", headers={"Origin": named, **wants})
        assert builders.headers["access-control-allow-origin"] == named


async def test_without_a_list_anybody_may_ask_and_nobody_with_credentials(chat: Chat) -> None:
    anyone = await build(chat.owner)
    for origin in (*SITES, "https://evil.example", "null"):
        asked = await anyone.ask("GET", headers={"Origin": origin})
        assert asked.headers["access-control-allow-origin"] == "*"
        assert "access-control-allow-credentials" not in asked.headers
    assert (await anyone.ask("GET")).headers["content-security-policy"] == "frame-ancestors *"


async def test_a_stream_is_readable_where_its_chat_is(chat: Chat) -> None:
    visitor = await chat.visitor()
    await visitor.say()
    from_site = {"Origin": SITES[0], "X-Session-Token": visitor.token}
    streamed = await chat.ask("GET", "/stream", headers=from_site)
    assert streamed.status_code == 200
    assert streamed.headers["access-control-allow-origin"] == SITES[0]
    assert "event: execution_completed" in streamed.text


async def test_only_the_chat_may_be_framed_and_only_where_it_may_stand(chat: Chat) -> None:
    shown = await chat.ask("GET")
    assert shown.headers["content-security-policy"] == f"frame-ancestors 'self' {' '.join(SITES)}"
    assert "x-frame-options" not in shown.headers
    owner: Caller = chat.owner
    others = [
        await owner.send("GET", "/auth/me"),
        await owner.send("GET", "/openapi.json"),
        await owner.send("GET", chat.path),
        await owner.send("GET", "/nothing"),
        await chat.ask("GET", "/nothing"),
        await owner.client.get(str(owner.client.base_url).removesuffix("/api/") + "/health"),
    ]
    for answer in others:
        assert answer.headers["content-security-policy"] == "frame-ancestors 'none'", answer.url
        assert answer.headers["x-frame-options"] == "DENY"


async def test_what_everybody_is_told_has_no_secret(chat: Chat) -> None:
    """Neither the interface's settings that are its owner's business nor any of its ids, in any public answer."""
    agent = {"instructions": "canary-instructions", "model": "scripted?tokens=2&key=canary-model"}
    secret = await build(chat.owner, agent=agent, name="canary-name", slug="scanned", allowedOrigins=ORIGIN)
    key = (await chat.owner.made("POST", f"{secret.path}/identity-secret"))["identitySecret"]
    visitor = await secret.visitor()
    body = {"sessionToken": visitor.token, "message": "hello"}
    public = await secret.ask("GET")
    assert set(public.json()) == PUBLIC
    answers = [
        public,
        await secret.ask("POST", "/messages", json=body),
        await secret.ask("GET", "/stream", params={"sessionToken": visitor.token}),
        await secret.ask("GET", f"/sessions/{visitor.token}/messages"),
        await secret.ask("POST", "/sessions", json={"identity": "x.y.z"}),
        await secret.ask("POST", "/messages", json={}),
        await secret.ask("POST", f"/sessions/{visitor.token}/end"),
    ]
    hidden = [key, "canary-instructions", "canary-model", "canary-name"]
    hidden += [secret.interface[name] for name in ("id", "agentId")] + [chat.owner.id]
    for answer in answers:
        told = answer.text + str(answer.headers)
        assert not [text for text in hidden if text in told], answer.url
        assert "set-cookie" not in answer.headers
    assert "canary-origin" not in public.text
    listed = await chat.owner.made("GET", secret.path)
    assert key not in str(listed)
    assert listed["hasIdentitySecret"] is True


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        ("https://Shop.Example", "https://shop.example"),
        ("https://shop.example/", "https://shop.example"),
        ("https://shop.example:443", "https://shop.example"),
        ("http://shop.example:080", "http://shop.example"),
        ("http://[::1]:8000", "http://[::1]:8000"),
    ],
)
def test_an_origin_is_kept_as_browsers_send_it(given: str, taken: str) -> None:
    assert parse_origin(given) == taken
