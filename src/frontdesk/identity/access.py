"""The one place that decides who may do what. Everything else asks here."""

from collections.abc import Mapping
from typing import Any

from frontdesk.errors import NotAllowedError, NotFoundError
from frontdesk.identity.principal import Principal


def use_thread(principal: Principal, *, owner_id: str, metadata: Mapping[str, Any]) -> None:
    """Raises `NotFoundError` for another's thread, and `NotAllowedError` when its product or agent is not permitted."""
    own_thread(principal, owner_id=owner_id)
    use_metadata(principal, metadata)


def own_thread(principal: Principal, *, owner_id: str) -> None:
    """Raises `NotFoundError` for another's thread."""
    if owner_id != principal.id:
        raise NotFoundError


def use_metadata(principal: Principal, metadata: Mapping[str, Any]) -> None:
    """Raises `NotAllowedError` when `product_id` or `agent_id` is outside the principal's allow lists."""
    for key, permitted in (("product_id", principal.products), ("agent_id", principal.agents)):
        wanted = metadata.get(key)
        if wanted is None or permitted is None:
            continue
        if not isinstance(wanted, str) or wanted not in permitted:
            raise NotAllowedError
