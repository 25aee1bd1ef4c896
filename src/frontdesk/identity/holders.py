"""With what something was opened that goes on for as long as that counts."""

import msgspec

from frontdesk.identity.principal import Principal
from frontdesk.identity.standings import Standing


class Holder(msgspec.Struct, frozen=True):
    """Whose a connection is, and with which version of their credentials; None where those cannot be revoked.

    `expires_at` is when the token ends, in seconds since 1970. `visit` is the digest of a visitor's session token.
    """

    principal: Principal
    version: int | None
    expires_at: int | None = None
    visit: str | None = None

    @classmethod
    def of(cls, standing: Standing) -> "Holder":
        return cls(standing.principal, standing.version)

    def may_use_as(self, other: "Holder") -> bool:
        """Whether both are permitted the same products and agents."""
        ours, theirs = self.principal, other.principal
        return (ours.products, ours.agents) == (theirs.products, theirs.agents)

    def outlasting(self) -> "Holder":
        """As it is for what may go on when the token has expired."""
        return self if self.expires_at is None else msgspec.structs.replace(self, expires_at=None)
