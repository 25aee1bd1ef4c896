"""Accounts: registration, sign-in, and who one is."""

from starlette.requests import Request
from starlette.responses import Response

from frontdesk.http.addresses import client_address, parse_networks
from frontdesk.http.admission import waiting_elsewhere
from frontdesk.http.description import problems
from frontdesk.http.idempotency import PossibleIdempotency
from frontdesk.http.parameters import mark_replayed
from frontdesk.http.routing import Caller, DeclaredRouter, PossibleCaller, arrived_at, public
from frontdesk.http.services import services
from frontdesk.identity.tokens.models import TokenPair
from frontdesk.surfaces.threads_api.account_schemas import LoginIn, RefreshIn, RegisterIn, TokenPairOut, UserOut

router = DeclaredRouter("/auth", tag="accounts")
_NOT_STORED = {"Cache-Control": "no-store"}  # RFC 6749, 5.1


@router.post("/register", status_code=201, responses=problems(400, 401, 403, 408, 409, 413, 422, 503))
async def register(
    request: Request, response: Response, caller: PossibleCaller, body: RegisterIn, key: PossibleIdempotency
) -> UserOut:
    """Open while there are no users; that account becomes an administrator. Afterwards administrators only."""
    made = await services(request).users.register(caller, body.registration(), key=key)
    mark_replayed(response, replayed=made.replayed)
    return UserOut.of(made.result)


@router.post(
    "/login",
    dependencies=[public],
    response_model=TokenPairOut,
    responses=problems(400, 401, 408, 413, 422, 429, 503),
)
async def login(request: Request, response: Response, body: LoginIn) -> TokenPair:
    held = services(request)
    address = client_address(request, parse_networks(held.settings.trusted_proxies))
    user = await held.users.login(body.username, body.password, address=address)
    response.headers.update(_NOT_STORED)
    return await held.tokens.issue(user)


@router.post(
    "/refresh", dependencies=[public], response_model=TokenPairOut, responses=problems(400, 401, 408, 413, 422, 503)
)
async def refresh(request: Request, response: Response, body: RefreshIn) -> TokenPair:
    """A new pair; the old refresh token dies. One that is used again revokes every token of its sign-in."""
    response.headers.update(_NOT_STORED)
    with waiting_elsewhere(request):  # it is held back for most of its time
        return await services(request).tokens.refresh(body.refresh_token, arrived_at=arrived_at(request))


@router.post("/logout", status_code=204, responses=problems(400, 401, 408, 413, 503))
async def logout(request: Request, caller: Caller) -> None:
    """Every token of the caller is dead at once, on every device."""
    await services(request).tokens.logout(caller.id)


@router.get("/me", responses=problems(401, 404, 503))
async def me(request: Request, caller: Caller) -> UserOut:
    return UserOut.of(await services(request).users.get(caller.id))
