"""The one place that decides who may do what. Everything else asks here."""

from collections.abc import Mapping
from typing import Any

from frontdesk.errors import ForbiddenError, NotAllowedError, NotFoundError
from frontdesk.identity.principal import Principal, PrincipalKind


def use_thread(principal: Principal, *, owner_id: str, metadata: Mapping[str, Any]) -> None:
    """Raises `NotFoundError` for another's thread, and `NotAllowedError` when its product or agent is not permitted."""
    own_thread(principal, owner_id=owner_id)
    use_metadata(principal, metadata)


def own_thread(principal: Principal, *, owner_id: str) -> None:
    """Raises `NotFoundError` for another's thread."""
    if owner_id != principal.id:
        raise NotFoundError


def use_session(caller: Principal | None, *, owner_kind: PrincipalKind, owner_id: str) -> Principal:
    """In whose name the caller uses a session. A user's is theirs alone; a visitor's is held by whoever knows its id.

    Raises `NotFoundError`.
    """
    if owner_kind is PrincipalKind.visitor:
        return Principal(kind=owner_kind, id=owner_id)
    if caller is None or caller.kind is not owner_kind or caller.id != owner_id:
        raise NotFoundError
    return caller


def use_metadata(principal: Principal, metadata: Mapping[str, Any]) -> None:
    """Raises `NotAllowedError` when `product_id` or `agent_id` is outside the principal's allow lists."""
    if not may_use_metadata(principal, metadata):
        raise NotAllowedError


def may_use_metadata(principal: Principal, metadata: Mapping[str, Any]) -> bool:
    """Lists ask the same in SQL: `retrieval.repository`."""
    for key, permitted in (("product_id", principal.products), ("agent_id", principal.agents)):
        wanted = metadata.get(key)
        if wanted is None or permitted is None:
            continue
        if not isinstance(wanted, str) or wanted not in permitted:
            return False
    return True


def administer(principal: Principal) -> None:
    """Raises `ForbiddenError` for who is no administrator."""
    if not principal.is_admin:
        raise ForbiddenError("For administrators only")
