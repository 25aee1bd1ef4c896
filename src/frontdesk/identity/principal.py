"""Who is asking: what a surface has authenticated, and all that the core is told of it."""

from enum import StrEnum

import msgspec


class PrincipalKind(StrEnum):
    user = "user"
    visitor = "visitor"
    service = "service"


class Principal(msgspec.Struct, frozen=True, kw_only=True):
    """An allow list of None permits everything; an empty one nothing. A `tier` of None is the default one."""

    kind: PrincipalKind
    id: str
    is_admin: bool = False
    products: frozenset[str] | None = None
    agents: frozenset[str] | None = None
    tier: str | None = None
