"""Who calls. This is the place to put your own accounts: check the token here, and let its owner be part of the scope.

The gateway in front sends its user's `Authorization` along and sets `X-Agent-Session-Id` to a session that the user
owns. Here a session's id, 128 random bits, is what its documents belong to.
"""

import hashlib
import re
import secrets
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Header
from pydantic import BaseModel
from starlette.requests import Request

from document_api.problems import SessionRequiredError, UnauthenticatedError

SESSION_HEADER = "X-Agent-Session-Id"
_SESSION_ID = re.compile(r"[A-Za-z0-9._:~-]{1,200}")


@dataclass(frozen=True)
class Caller:
    session_id: str
    idempotency_key: str | None


@dataclass(frozen=True)
class Attempt:
    """A request for an effect. `fingerprint` is a digest of all that the effect depends on."""

    session_id: str
    key: str | None
    fingerprint: str


def authenticate(request: Request) -> None:
    """Raises `UnauthenticatedError` when an API key is configured and another or none was sent."""
    expected = request.app.state.services.settings.api_key
    if expected is None:
        return
    scheme, _, sent = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not secrets.compare_digest(sent.strip().encode(), expected.encode()):
        raise UnauthenticatedError


def session_of(request: Request) -> str:
    """Raises `SessionRequiredError`."""
    session_id = request.headers.get(SESSION_HEADER, "")
    if _SESSION_ID.fullmatch(session_id) is None:
        raise SessionRequiredError
    return session_id


IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        description="The same key with the same request has its effect once in 24 hours, and the same answer.",
    ),
]


def _reader(request: Request) -> Caller:
    authenticate(request)
    return Caller(session_of(request), None)


def _writer(request: Request, idempotency_key: IdempotencyKey = None) -> Caller:
    authenticate(request)
    return Caller(session_of(request), idempotency_key)


Reader = Annotated[Caller, Depends(_reader)]
Writer = Annotated[Caller, Depends(_writer)]


def attempt(caller: Caller, operation: str, body: BaseModel) -> Attempt:
    text = f"{operation}\n{body.model_dump_json()}"
    return Attempt(caller.session_id, caller.idempotency_key, hashlib.sha256(text.encode()).hexdigest())
