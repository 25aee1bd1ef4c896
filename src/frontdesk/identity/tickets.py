"""One-time tickets: what stands for a credential where a credential must not, such as in an address.

A ticket is signed, lives for `LIFE_SECONDS` and is taken once, by whichever process it is brought to. A visitor has no
account; the key that comes with the first ticket is what makes the next one the same visitor's.
"""

import hmac
import re
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from hashlib import sha256
from uuid import UUID

import msgspec

from frontdesk.database import Database
from frontdesk.database.idempotency import IdempotencyKey, once
from frontdesk.errors import BadTokenError
from frontdesk.identity.holders import Holder
from frontdesk.identity.principal import Principal, PrincipalKind
from frontdesk.identity.standings import Standings
from frontdesk.kit.clock import Clock
from frontdesk.kit.ids import new_id

LIFE_SECONDS = 30
VISITOR_KEY = r"[A-Za-z0-9_-]{22,64}"
_KEY_BYTES = 24
_TICKET = re.compile(r"([A-Za-z0-9_-]{1,400})\.([A-Za-z0-9_-]{43})")
_SCOPE = "tickets"
_THIS_MACHINE = "this machine"


class _Claims(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`version` is None for a visitor; `until` is in seconds since 1970."""

    id: str
    sub: str
    until: int
    version: int | None


class Tickets:
    def __init__(self, database: Database, clock: Clock, *, secret: str, standings: Standings) -> None:
        self._database = database
        self._clock = clock
        self._standings = standings
        self._key = hmac.digest(secret.encode(), b"frontdesk tickets", "sha256")

    def issue(self, holder: Holder) -> str:
        until = int(self._clock.now().timestamp()) + LIFE_SECONDS
        claims = _Claims(new_id(), holder.principal.id, until, holder.version)
        payload = _encode(msgspec.json.encode(claims))
        return f"{payload}.{self._signature(payload)}"

    async def redeem(self, ticket: str) -> Holder:
        """Whose it is; it is void from then on. Raises `BadTokenError`, `UnavailableError`."""
        claims = self._claims(ticket)
        holder = await self._holder(claims)
        key = IdempotencyKey(_SCOPE, claims.id, _SCOPE, self._clock.now())
        taken = await self._database.write(lambda connection: once(connection, key, str, effect=lambda: ""))
        if taken.replayed:
            raise BadTokenError("The ticket was used before")
        return holder

    @staticmethod
    def new_visitor_key() -> str:
        return secrets.token_urlsafe(_KEY_BYTES)

    def visitor(self, key: str) -> Holder:
        """The visitor that a key is: the same in every process, and found by nobody who does not have the key."""
        digest = bytearray(hmac.digest(self._key, key.encode(), "sha256")[:16])
        digest[6], digest[8] = digest[6] & 0x0F | 0x80, digest[8] & 0x3F | 0x80  # UUID version 8 (RFC 9562)
        return Holder(Principal(kind=PrincipalKind.visitor, id=str(UUID(bytes=bytes(digest)))), None)

    def this_machine(self) -> Holder:
        """The visitor that all programs of this machine are together, as long as nobody else can connect."""
        return self.visitor(_THIS_MACHINE)

    def _claims(self, ticket: str) -> _Claims:
        match = _TICKET.fullmatch(ticket)
        if match is None or not hmac.compare_digest(self._signature(match[1]), match[2]):
            raise BadTokenError("The ticket is not valid")
        claims = msgspec.json.decode(urlsafe_b64decode(match[1] + "=" * (-len(match[1]) % 4)), type=_Claims)
        if claims.until <= self._clock.now().timestamp():
            raise BadTokenError("The ticket has expired")
        return claims

    async def _holder(self, claims: _Claims) -> Holder:
        if claims.version is None:
            return Holder(Principal(kind=PrincipalKind.visitor, id=claims.sub), None)
        return Holder.of(await self._standings.current(claims.sub, claims.version))

    def _signature(self, payload: str) -> str:
        return _encode(hmac.digest(self._key, payload.encode(), sha256))


def _encode(data: bytes) -> str:
    return urlsafe_b64encode(data).decode().rstrip("=")
