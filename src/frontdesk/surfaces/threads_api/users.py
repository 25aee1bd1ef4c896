"""Everybody's accounts, for administrators."""

from typing import Annotated

from fastapi import Depends, Path, Request

from frontdesk.errors import InvalidRequestError
from frontdesk.http.description import problems
from frontdesk.http.parameters import PageQuery, known_id
from frontdesk.http.routing import Caller, DeclaredRouter
from frontdesk.http.services import services
from frontdesk.identity.message_limits import parse_tiers
from frontdesk.surfaces.threads_api.account_schemas import AccountOut, AccountPatch, AccountsOut

router = DeclaredRouter("/users", tag="users")


async def _user_id(user_id: Annotated[str, Path()]) -> str:
    return known_id(user_id)


UserId = Annotated[str, Depends(_user_id)]


@router.get("", responses=problems(401, 403, 404, 422, 503))
async def list_users(request: Request, caller: Caller, page: PageQuery) -> AccountsOut:
    """All accounts in the order of their creation, and the tiers that there are."""
    held = services(request)
    found, total = await held.administration.list_users(caller, page)
    return AccountsOut(
        items=[AccountOut.of(user) for user in found],
        page=page.number,
        limit=page.limit,
        total=total,
        tiers=list(parse_tiers(held.settings.tiers)),
        default_tier=held.settings.default_tier,
    )


@router.patch("/{user_id}", responses=problems(400, 401, 403, 404, 408, 409, 413, 422, 503))
async def change_user(request: Request, caller: Caller, user_id: UserId, body: AccountPatch) -> AccountOut:
    """A new password, a suspension and the loss of the administrator's role end every log-in of the user."""
    held = services(request)
    if body.tier is not None and body.tier not in parse_tiers(held.settings.tiers):
        raise InvalidRequestError(
            errors=[{"loc": ["body", "tier"], "msg": "There is no such tier in CHAT_TIERS", "type": "tier"}]
        )
    return AccountOut.of(await held.administration.change(caller, user_id, body.changes()))
