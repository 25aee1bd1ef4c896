"""The Idempotency-Key header field of a request, with the fingerprint of what it asks for."""

import hmac
from hashlib import sha256
from typing import Annotated

from fastapi import Depends, Header
from starlette.requests import Request

from frontdesk.database.idempotency import MAX_KEY_LENGTH, IdempotencyKey
from frontdesk.http.routing import Caller, PossibleCaller, PossibleVisitor
from frontdesk.http.services import services
from frontdesk.identity.principal import Principal

REPLAYED = {"Idempotent-Replayed": "true"}
PRINTABLE = "^[!-~]([ -~]*[!-~])?$"
Given = Annotated[str | None, Header(alias="Idempotency-Key", max_length=MAX_KEY_LENGTH, pattern=PRINTABLE)]


async def _idempotency_key(request: Request, caller: Caller, given: Given = None) -> IdempotencyKey | None:
    return None if given is None else await idempotency_key(request, caller, given)


async def _possible_idempotency_key(
    request: Request, caller: PossibleCaller, given: Given = None
) -> IdempotencyKey | None:
    return None if given is None or caller is None else await idempotency_key(request, caller, given)


async def idempotency_key(request: Request, caller: Principal, given: str) -> IdempotencyKey:
    """Of a request whose body was read."""
    asked = f"{request.method} {request.url.path}?{request.url.query}\n".encode() + await request.body()
    held = services(request)
    # Keyed, because a body may hold a password: the stored digest must not let anyone try guesses.
    fingerprint = hmac.new(held.settings.jwt_secret_key.get_secret_value().encode(), asked, sha256).hexdigest()
    return IdempotencyKey(caller.id, given, fingerprint, held.clock.now())


async def _visitors_idempotency_key(
    request: Request, caller: PossibleVisitor, given: Given = None
) -> IdempotencyKey | None:
    """Who has no account has no keys either: theirs is ignored."""
    return None if given is None or caller is None else await idempotency_key(request, caller, given)


Idempotency = Annotated[IdempotencyKey | None, Depends(_idempotency_key)]
VisitorsIdempotency = Annotated[IdempotencyKey | None, Depends(_visitors_idempotency_key)]
PossibleIdempotency = Annotated[IdempotencyKey | None, Depends(_possible_idempotency_key)]
