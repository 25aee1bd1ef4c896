"""What breaks in a way that nobody foresaw: each surface tells it in its own words, and none tells what it was."""

import pytest

from frontdesk.http.plain_failures import PlainFailureRoute
from frontdesk.http.routing import DeclaredRouter, public
from frontdesk.surfaces.chatkit.refusals import ChatRoute, SessionRoute
from harness.identities import settings_for
from harness.served import served

SECRET = "hunter2"
CANARY = "canary-in-a-header"
AT = {
    "/api/breaks": DeclaredRouter("", tag="test"),
    "/v1/breaks": DeclaredRouter("", tag="test"),
    "/api/plain": DeclaredRouter("", tag="test", route_class=PlainFailureRoute),
    "/chatkit/breaks": DeclaredRouter("", tag="test", route_class=ChatRoute),
    "/api/chatkit/breaks": DeclaredRouter("", tag="test", route_class=SessionRoute),
}


async def _break() -> None:
    raise LookupError(SECRET)


async def test_each_surface_tells_it_in_its_own_words(sqlite_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    for path, router in AT.items():
        router.add_api_route(path, _break, dependencies=[public])
    async with served(settings_for(sqlite_url), *AT.values()) as client:
        root = str(client.base_url).removesuffix("/api/")
        told = {path: await client.get(root + path, headers={"X-Canary": CANARY}) for path in AT}
    assert {answer.status_code for answer in told.values()} == {500}
    assert not any(SECRET in answer.text for answer in told.values())
    assert told["/api/breaks"].headers["content-type"] == "application/problem+json"
    assert told["/v1/breaks"].json()["error"]["type"] == "server_error"
    assert told["/api/plain"].json()["success"] is False
    assert told["/chatkit/breaks"].json() == {"error": "Chat service unavailable"}
    assert told["/api/chatkit/breaks"].json() == {"error": "Failed to create session", "code": "SESSION_ERROR"}
    assert all("x-request-id" in answer.headers for answer in told.values())
    log = capsys.readouterr().err
    assert log.count(f"LookupError: {SECRET}") == log.count("request broke") == len(AT)
    assert CANARY not in log
