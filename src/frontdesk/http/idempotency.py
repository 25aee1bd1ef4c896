"""The Idempotency-Key header field of a request, with the fingerprint of what it asks for."""

from hashlib import sha256
from typing import Annotated

from fastapi import Depends, Header
from starlette.requests import Request

from frontdesk.database.idempotency import MAX_KEY_LENGTH, IdempotencyKey
from frontdesk.errors import BadRequestError
from frontdesk.http.routing import Caller
from frontdesk.http.services import services

REPLAYED = {"Idempotent-Replayed": "true"}


async def _idempotency_key(
    request: Request,
    caller: Caller,
    idempotency_key: Annotated[str | None, Header(max_length=MAX_KEY_LENGTH)] = None,
) -> IdempotencyKey | None:
    if idempotency_key is None:
        return None
    if not idempotency_key.isascii() or not idempotency_key.isprintable() or not idempotency_key.strip():
        raise BadRequestError("An Idempotency-Key is printable ASCII")
    digest = sha256(f"{request.method} {request.url.path}?{request.url.query}\n".encode() + await request.body())
    now = services(request).clock.now()
    return IdempotencyKey(caller.id, idempotency_key, digest.hexdigest(), now)


Idempotency = Annotated[IdempotencyKey | None, Depends(_idempotency_key)]
