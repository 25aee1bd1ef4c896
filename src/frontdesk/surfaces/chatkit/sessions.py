"""Where a page gets the secret with which its widget talks to us."""

from typing import Annotated

from fastapi import Depends, Request
from pydantic import BaseModel, Field
from starlette.requests import HTTPConnection

from frontdesk.errors import BadTokenError, UnauthenticatedError
from frontdesk.http.addresses import require_https
from frontdesk.http.routing import Declaration, DeclaredRouter, bearer_token
from frontdesk.http.services import services
from frontdesk.identity.principal import Principal
from frontdesk.identity.tokens.compact import MAX_TOKEN_LENGTH
from frontdesk.surfaces.chatkit.refusals import SessionExpiredError, SessionRoute

router = DeclaredRouter("/chatkit", tag="chatkit", route_class=SessionRoute)


async def _admit(request: HTTPConnection) -> Principal:
    """A user of ours, or of the identity provider that the configuration names."""
    held = services(request)
    require_https(request, held.settings)
    token = bearer_token(request)
    if token is None:
        raise UnauthenticatedError
    try:
        return await held.tokens.authenticate(token)
    except BadTokenError:
        return await held.external.authenticate(token)


Caller = Annotated[Principal, Depends(Declaration("user or external user", _admit))]


class SecretOut(BaseModel):
    client_secret: str


class RefreshIn(BaseModel):
    token: str = Field(min_length=1, max_length=MAX_TOKEN_LENGTH)


class RefusalOut(BaseModel):
    error: str
    code: str


_REFUSALS = {status: {"model": RefusalOut} for status in (400, 401, 403, 408, 413, 500)}


@router.post("/session", responses={status: _REFUSALS[status] for status in (400, 401, 403, 408, 413, 500)})
async def begin_session(request: Request, caller: Caller) -> SecretOut:
    return SecretOut(client_secret=await services(request).client_secrets.issue(caller))


@router.post("/refresh", responses={status: _REFUSALS[status] for status in (400, 401, 403, 408, 413, 500)})
async def renew_session(request: Request, caller: Caller, body: RefreshIn) -> SecretOut:
    try:
        return SecretOut(client_secret=await services(request).client_secrets.renew(caller, body.token))
    except BadTokenError as error:
        raise SessionExpiredError from error
