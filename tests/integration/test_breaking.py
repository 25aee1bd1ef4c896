"""What breaks in a way that nobody foresaw: its caller is told so, and not what it was; the log tells no variables."""

import pytest

from frontdesk.http.routing import api_router, public
from harness.identities import settings_for
from harness.served import served

SECRET = "hunter2"
CANARY = "canary-in-a-header"


async def _break() -> None:
    raise LookupError(SECRET)


async def test_a_problem_is_told_and_the_log_shows_no_variables(
    sqlite_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    router = api_router("/breaks", tag="test")
    router.add_api_route("", _break, dependencies=[public])
    async with served(settings_for(sqlite_url), router) as client:
        root = str(client.base_url).removesuffix("/api/")
        told = await client.get(f"{root}/breaks", headers={"X-Canary": CANARY})
    assert (told.status_code, told.headers["content-type"]) == (500, "application/problem+json")
    assert SECRET not in told.text
    assert "x-request-id" in told.headers
    log = capsys.readouterr().err
    assert log.count(f"LookupError: {SECRET}") == log.count("request broke") == 1
    assert CANARY not in log
