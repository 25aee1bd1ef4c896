"""Failures as ChatKit's clients are told of them."""

import json
from typing import Any

import pytest

from frontdesk.errors import (
    BadTokenError,
    FrontdeskError,
    InvalidRequestError,
    NotAllowedError,
    NotFoundError,
    UnauthenticatedError,
    UnavailableError,
)
from frontdesk.surfaces.chatkit.refusals import SessionExpiredError, _chat_refusal, _session_refusal

AWAY = {"error": "Chat service unavailable"}
NO_SESSION = {"error": "Failed to create session", "code": "SESSION_ERROR"}
NOBODY = {"error": "Authentication required", "code": "UNAUTHORIZED"}


@pytest.mark.parametrize(
    ("error", "status", "body"),
    [
        (BadTokenError("a detail"), 401, {"error": "Invalid client secret"}),
        (UnauthenticatedError(), 401, {"error": "Invalid client secret"}),
        (NotFoundError("a detail"), 404, {"error": "Not found"}),
        (UnavailableError("The database is away"), 500, AWAY),
        (FrontdeskError(), 500, AWAY),
        (NotAllowedError("Why"), 403, {"error": "Why", "code": "not_allowed"}),
        (InvalidRequestError("Why"), 400, {"error": "Why", "code": "validation_error"}),
    ],
)
def test_at_the_endpoint(error: FrontdeskError, status: int, body: dict[str, Any]) -> None:
    told = _chat_refusal(error)
    assert (told.status_code, json.loads(bytes(told.body))) == (status, body)
    assert ("retry-after" in told.headers) == isinstance(error, UnavailableError)


@pytest.mark.parametrize(
    ("error", "status", "body"),
    [
        (UnauthenticatedError(), 401, NOBODY),
        (BadTokenError(), 401, NOBODY),
        (SessionExpiredError(), 401, {"error": "Session expired", "code": "SESSION_EXPIRED"}),
        (UnavailableError(), 500, NO_SESSION),
        (FrontdeskError(), 500, NO_SESSION),
    ],
)
def test_where_secrets_are_given_out(error: FrontdeskError, status: int, body: dict[str, Any]) -> None:
    told = _session_refusal(error)
    assert (told.status_code, json.loads(bytes(told.body))) == (status, body)
