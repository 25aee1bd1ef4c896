"""Chat interfaces as their owners build them: every field, what is refused, and the figures."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, insert

from frontdesk.database import open_database
from frontdesk.kit.clock import SystemClock
from frontdesk.kit.ids import new_id
from frontdesk.public_chat.interfaces.analytics import Period, analytics
from frontdesk.public_chat.interfaces.models import chat_interface_hours
from frontdesk.public_chat.sessions.models import chat_interface_sessions
from harness.callers import Caller, newcomer
from harness.identities import settings_for
from harness.model_stub import ModelStub
from harness.visitors import Chat, assert_failure, build, public_chat

CHOSEN: dict[str, Any] = {
    "title": "Ask us",
    "description": "About everything",
    "coverType": "gradient",
    "coverValue": "linear-gradient(90deg, #fff 0%, #000 100%)",
    "iconUrl": "https://cdn.example/icon.png",
    "primaryColor": "#A1b2C3",
    "fontFamily": "Inter, 'Segoe UI', sans-serif",
    "borderRadius": 0,
    "welcomeMessage": "Hello!",
    "placeholderText": "Type here",
    "suggestedPrompts": [{"text": "Where is my order?", "icon": "box"}, {"text": "Returns", "icon": None}],
    "allowFileUpload": True,
    "maxFiles": 5,
    "maxFileSizeMb": 25,
    "allowedFileTypes": ["image/png", "text/*"],
    "persistenceType": "local_storage",
    "sessionTimeoutMinutes": 0,
    "widgetPosition": "bottom-left",
    "widgetButtonIcon": "chat-bubble",
    "widgetButtonText": "Help",
    "widgetInitialState": "expanded",
    "rateLimitMessages": 3,
    "rateLimitWindowSeconds": 10,
    "allowedOrigins": ["https://shop.example"],
    "locale": "pt-BR",
}
DEFAULTS: dict[str, Any] = {
    "maxFiles": 3,
    "maxFileSizeMb": 10,
    "allowedFileTypes": ["application/pdf", "image/*", "text/*"],
    "persistenceType": "session",
    "sessionTimeoutMinutes": 60,
    "widgetPosition": "bottom-right",
    "widgetInitialState": "collapsed",
    "rateLimitMessages": 10,
    "rateLimitWindowSeconds": 60,
    "allowedOrigins": [],
    "status": "draft",
    "sessionCount": 0,
    "messageCount": 0,
    "lastActivityAt": None,
}
FORGED: dict[str, Any] = {
    "id": "01900000-0000-7000-8000-000000000000",
    "ownerId": "01900000-0000-7000-8000-000000000000",
    "owner_id": "01900000-0000-7000-8000-000000000000",
    "status": "published",
    "sessionCount": 999,
    "messageCount": 999,
    "lastActivityAt": "2001-01-01T00:00:00Z",
    "createdAt": "2001-01-01T00:00:00Z",
    "isDeleted": True,
    "identitySecret": "mine",
    "identity_secret": "mine",
    "threadId": "01900000-0000-7000-8000-000000000000",
    "role": "admin",
    "tenant": "other",
}


WRONG: list[dict[str, Any]] = [
    *({"slug": slug} for slug in ("ab", "A-slug", "a slug", "a_b_c", "x" * 65, "é-é-é", "abc\n")),
    *({"primaryColor": color} for color in ("red", "#12", "#12345", "#gggggg", "#fff;", "url(x)", "")),
    {"coverType": "color", "coverValue": "red"},
    {"coverType": "gradient", "coverValue": "linear-gradient(url(//x))"},
    {"coverType": "image", "coverValue": "javascript:alert(1)"},
    {"coverType": "image", "coverValue": "//evil.example/x"},
    {"coverType": "image", "coverValue": "https://x.example/a b"},
    {"coverType": "video", "coverValue": "x"},
    *({"iconUrl": url} for url in ("data:text/html,x", "javascript:x", 'https://x/"onerror', "ftp://x")),
    *({"fontFamily": font} for font in ("a;b", "url(x)", "</style>", "", "x" * 201)),
    *({"borderRadius": size} for size in (-1, 65, 1.5, "x")),
    {"suggestedPrompts": [{"text": ""}]},
    {"suggestedPrompts": [{"icon": "x"}]},
    {"suggestedPrompts": [{"text": "x"}] * 13},
    *({"maxFiles": count} for count in (0, 21, "many")),
    *({"maxFileSizeMb": size} for size in (0, 101)),
    *({"allowedFileTypes": [kind]} for kind in ("*/*", "pdf", "image/", "text/html; x", "IMAGE/PNG")),
    {"persistenceType": "cookie"},
    *({"sessionTimeoutMinutes": minutes} for minutes in (-1, 525_601)),
    {"widgetPosition": "top"},
    {"widgetInitialState": "open"},
    {"widgetButtonIcon": "<svg>"},
    *({"rateLimitMessages": count} for count in (0, 10_001)),
    *({"rateLimitWindowSeconds": seconds} for seconds in (0, 86_401)),
    *(
        {"allowedOrigins": [origin]}
        for origin in ("*", "https://*.x.example", "shop.example", "https://x.example/path", "null", "ftp://x")
    ),
    {"allowedOrigins": ["https://x.example; script-src *"]},
    *({"locale": locale} for locale in ("", "english", "e", "en_US", "en-")),
    {"name": ""},
    {"name": None},
    {"title": "x" * 201},
]


@pytest.fixture(scope="module")
async def place(each_module_database_url: str, model_stub: ModelStub) -> AsyncIterator[Chat]:
    chosen = settings_for(
        each_module_database_url,
        llm_enabled=True,
        llm_api_base=model_stub.url,
        llm_default_model="scripted?tokens=3",
        visitor_sessions_per_address=10_000,
    )
    async with public_chat(chosen) as opened:
        yield opened


@pytest.fixture(scope="module")
def owner(place: Chat) -> Caller:
    return place.owner


async def test_every_field_is_kept(place: Chat, owner: Caller) -> None:
    agent = place.interface["agentId"]
    made = await owner.made("POST", "/chat-interfaces", json={"name": " Shop ", "agentId": agent, **CHOSEN})
    assert {name: made[name] for name in CHOSEN} == CHOSEN
    assert (made["name"], made["status"]) == ("Shop", "draft")
    path = f"/chat-interfaces/{made['id']}"
    assert await owner.made("GET", path) == made
    plain = await owner.made("POST", "/chat-interfaces", json={"name": "Plain", "agentId": agent, "slug": "a-1"})
    assert {name: plain[name] for name in DEFAULTS} == DEFAULTS
    assert plain["slug"] == "a-1"
    changed = await owner.made("PUT", path, json={"title": "Other", "slug": "renamed", "locale": "de"})
    assert changed == {**made, "title": "Other", "slug": "renamed", "locale": "de", "updatedAt": changed["updatedAt"]}
    whole = await owner.made("PUT", path, json={**made, "slug": "renamed-again"})
    assert {name: whole[name] for name in CHOSEN} == CHOSEN


async def test_what_cannot_be_is_refused(place: Chat, owner: Caller) -> None:
    for wrong in WRONG:
        body = {"name": "x", "agentId": place.interface["agentId"], **wrong}
        failure = assert_failure(await owner.send("POST", "/chat-interfaces", json=body), 422, "validation_error")
        assert failure["errors"], wrong
        assert_failure(await owner.send("PUT", place.path, json=wrong), 422, "validation_error")
    assert await owner.made("GET", place.path) == place.interface


async def test_a_slug_is_taken_once(place: Chat, owner: Caller) -> None:
    other = await build(owner, publish=False)
    body = {"name": "x", "agentId": place.interface["agentId"], "slug": place.interface["slug"]}
    assert_failure(await owner.send("POST", "/chat-interfaces", json=body), 409, "slug_taken")
    assert_failure(await owner.send("PUT", other.path, json={"slug": place.interface["slug"]}), 409, "slug_taken")
    assert (await owner.send("DELETE", other.path)).status_code == 204
    again = await owner.made("POST", "/chat-interfaces", json={**body, "slug": other.interface["slug"]})
    assert again["slug"] == other.interface["slug"]


async def test_fields_that_are_not_an_owners_to_set_have_no_effect(place: Chat, owner: Caller) -> None:
    body = {"name": "x", "agentId": place.interface["agentId"], **FORGED}
    made = await owner.made("POST", "/chat-interfaces", json=body)
    assert {name: made[name] for name in DEFAULTS} == DEFAULTS
    assert made["id"] != FORGED["id"]
    path = f"/chat-interfaces/{made['id']}"
    changed = await owner.made("PUT", path, json={"title": "t", **FORGED})
    assert changed == {**made, "title": "t", "updatedAt": changed["updatedAt"]}
    assert changed["hasIdentitySecret"] is False
    visitor = await place.visitor(**FORGED, token="sess_x", sessionId=FORGED["id"])
    assert visitor.id != FORGED["id"]
    assert visitor.opened["threadId"] is None
    sent = await place.ask("POST", "/messages", json={**FORGED, "sessionToken": visitor.token, "message": "x"})
    assert sent.json()["threadId"] == visitor.id


async def test_agents_of_others_are_not_there(place: Chat, owner: Caller) -> None:
    bob = await newcomer(owner, f"bob {place.interface['slug']}")
    for agent in (place.interface["agentId"], new_id(), "no-id"):
        asked = await bob.send("POST", "/chat-interfaces", json={"name": "x", "agentId": agent})
        assert_failure(asked, 404, "not_found")
    mine = await build(bob, publish=False)
    asked = await bob.send("PUT", mine.path, json={"agentId": place.interface["agentId"]})
    assert_failure(asked, 404, "not_found")
    for method, below in (("GET", ""), ("PUT", ""), ("DELETE", ""), ("POST", "/publish"), ("POST", "/duplicate")):
        body = {"json": {}} if method == "PUT" else {}
        assert_failure(await bob.send(method, place.path + below, **body), 404, "not_found")
    assert [one["id"] for one in (await bob.made("GET", "/chat-interfaces"))["items"]] == [mine.interface["id"]]
    for method, path in (("GET", "/chat-interfaces"), ("POST", "/chat-interfaces"), ("GET", place.path)):
        assert_failure(await owner.client.request(method, path), 401, "unauthenticated")


async def test_interfaces_are_listed_by_pages_and_by_agent(owner: Caller) -> None:
    chat = await build(owner, publish=False)
    agent = chat.interface["agentId"]
    more = [
        await owner.made("POST", "/chat-interfaces", json={"name": str(number), "agentId": agent})
        for number in range(2)
    ]
    ids = [more[1]["id"], more[0]["id"], chat.interface["id"]]
    listed = await owner.made("GET", f"/chat-interfaces?agentId={agent}&limit=2")
    assert ([one["id"] for one in listed["items"]], listed["total"]) == (ids[:2], 3)
    rest = await owner.made("GET", f"/chat-interfaces?agentId={agent}&after={ids[1]}")
    assert [one["id"] for one in rest["items"]] == ids[2:]


async def test_a_text_that_is_no_slug_names_nothing(place: Chat) -> None:
    root = place.root.rpartition("/")[0]
    for slug in ("%00", "a%00b", "x", "A-B", "no-such-chat", "%F0%9F%92%A9", "a" * 300, "%27--"):
        for below in ("", "/stream?sessionToken=x", "/sessions/%00/messages"):
            assert_failure(await place.owner.client.get(f"{root}/{slug}{below}"), 404, "not_found")
    for token in ("%00", "sess_%00", "sess_" + "%F0%9F%92%A9" * 8):
        assert_failure(await place.ask("GET", f"/sessions/{token}/messages"), 404, "not_found")


async def test_a_draft_is_not_public_and_a_copy_is_a_draft(owner: Caller) -> None:
    chat = await build(owner, publish=False, **CHOSEN)
    assert_failure(await chat.ask("GET"), 404, "not_found")
    published = await owner.made("POST", f"{chat.path}/publish")
    assert published["status"] == "published"
    assert (await chat.ask("GET")).status_code == 200
    await owner.made("POST", f"{chat.path}/identity-secret")
    copy = await owner.made("POST", f"{chat.path}/duplicate")
    assert {name: copy[name] for name in CHOSEN} == CHOSEN
    assert (copy["status"], copy["hasIdentitySecret"], copy["name"]) == ("draft", False, "Copy of Help")
    assert copy["slug"] != chat.interface["slug"]
    assert (await owner.made("POST", f"{chat.path}/unpublish"))["status"] == "draft"


async def test_the_figures_of_real_visits(owner: Caller) -> None:
    chat = await build(owner)
    first = await chat.visitor(browserFingerprint="one", referrer="https://a.example/x?y=1")
    await first.answer()
    await first.answer()
    await chat.visitor(browserFingerprint="one", referrer="https://a.example/x")
    await chat.visitor(browserFingerprint="two", referrer="javascript:alert(1)")
    figures = await owner.made("GET", f"{chat.path}/analytics?period=day")
    assert (figures["sessions"], figures["uniqueVisitors"], figures["messages"]) == (3, 2, 2)
    assert figures["messagesPerSession"] == 0.67
    assert figures["topReferrers"] == [{"referrer": "https://a.example/x", "sessions": 2}]
    assert sum(figures["messagesByHour"]) == 2
    assert len(figures["messagesByHour"]) == 24
    kept = await owner.made("GET", chat.path)
    assert (kept["sessionCount"], kept["messageCount"]) == (3, 2)
    assert kept["lastActivityAt"] is not None
    assert_failure(await owner.send("GET", f"{chat.path}/analytics?period=year"), 422, "validation_error")


async def test_the_figures_of_a_million_messages(owner: Caller, each_module_database_url: str) -> None:
    chat = await build(owner, publish=False)
    database = open_database(each_module_database_url, pool_size=2, timeout=30)
    now = SystemClock().now()
    count = 10_000

    def fill(connection: Connection) -> None:
        for start in range(0, count, 5_000):
            connection.execute(
                insert(chat_interface_sessions),
                [_session(chat.interface["id"], number, now) for number in range(start, start + 5_000)],
            )
        hours = [
            {
                "interface_id": chat.interface["id"],
                "hour": (now - timedelta(hours=number)).replace(minute=0, second=0, microsecond=0),
                "messages": 1_000,
            }
            for number in range(1_000)
        ]
        connection.execute(insert(chat_interface_hours), hours)

    try:
        await database.write(fill)
        found = await database.read(
            lambda connection: analytics(connection, chat.interface["id"], Period.month, now=now)
        )
    finally:
        await database.aclose()
    assert found.sessions == 7_201
    assert found.unique_visitors == 1_000
    assert (found.messages_per_session, found.duration_seconds) == (100.0, 30.0)
    assert found.top_referrers[0].sessions == 1_441
    assert 720_000 <= found.messages <= 721_000


def _session(interface_id: str, number: int, now: Any) -> dict[str, Any]:
    """One in every 360 seconds, back from now."""
    at = now - timedelta(seconds=360 * number)
    return {
        "id": new_id(),
        "interface_id": interface_id,
        "thread_id": None,
        "token_hash": "x",
        "status": "active",
        "visitor_key": f"{number % 1_000}",
        "identity_subject": None,
        "identity_name": None,
        "identity_email": None,
        "referrer": f"https://{number % 5}.example/",
        "current_execution_id": None,
        "message_count": 100,
        "duration_seconds": 30,
        "created_at": at,
        "last_activity_at": at,
        "ended_at": None,
    }
