"""Issues, verifies, renews and revokes client secrets. They are no login: nothing but an embedded client's surface
accepts one.
"""

from datetime import UTC, datetime, timedelta
from functools import partial
from hashlib import sha256
from hmac import digest

import msgspec

from frontdesk.database import Database
from frontdesk.errors import BadTokenError
from frontdesk.identity.client_secrets import repository
from frontdesk.identity.client_secrets.models import SecretClaims
from frontdesk.identity.holders import Holder
from frontdesk.identity.principal import Principal
from frontdesk.identity.standings import Standing, Standings
from frontdesk.identity.tokens.codec import LAST_SECOND
from frontdesk.identity.tokens.compact import CompactForm
from frontdesk.kit.clock import Clock
from frontdesk.kit.ids import is_id, new_id
from frontdesk.settings import Settings

LIFE = timedelta(hours=1)
AUDIENCE = "chatkit"
_DERIVED = b"frontdesk client secrets"


class ClientSecrets:
    def __init__(self, database: Database, clock: Clock, *, settings: Settings, standings: Standings) -> None:
        self._database = database
        self._clock = clock
        self._standings = standings
        self._issuer = settings.jwt_issuer
        self._form = CompactForm(secret=_key(settings), algorithm="HS256")

    async def issue(self, principal: Principal) -> str:
        """Raises `BadTokenError` for somebody who has no account any more, and `UnavailableError`."""
        standing = await self._standings.find(principal.id)
        if standing is None or not standing.is_active:
            raise BadTokenError
        return self._sign(principal.id, standing.version)

    async def authenticate(self, secret: str) -> Holder:
        """Whose secret it is. Raises `BadTokenError`, and `UnavailableError` when that cannot be found out."""
        claims, standing = await self._verified(secret)
        if await self._database.read(partial(repository.is_revoked, secret_id=claims.jti)):
            raise BadTokenError
        return Holder.of(standing)

    async def renew(self, principal: Principal, secret: str) -> str:
        """Another secret in place of this one, which is dead then. Of two that renew it at once, one does.

        Raises `BadTokenError` for one that is not the principal's or lives no more, and `UnavailableError`.
        """
        claims, standing = await self._verified(secret)
        if claims.sub != principal.id:
            raise BadTokenError
        expires_at = datetime.fromtimestamp(claims.exp, UTC)
        if not await self._database.write(lambda connection: repository.revoke(connection, claims.jti, expires_at)):
            raise BadTokenError
        return self._sign(principal.id, standing.version)

    async def purge_expired(self, now: datetime) -> int:
        """Forget which secrets were revoked that live no more in any case; how many those were."""
        return await self._database.write(partial(repository.purge_expired, now=now))

    async def _verified(self, secret: str) -> tuple[SecretClaims, Standing]:
        claims = self._read(secret)
        standing = await self._standings.find(claims.sub)
        if standing is None or not standing.is_active or standing.version != claims.ver:
            raise BadTokenError
        return claims, standing

    def _sign(self, user_id: str, version: int) -> str:
        now = int(self._clock.now().timestamp())
        claims = SecretClaims(
            sub=user_id,
            iat=now,
            exp=now + int(LIFE.total_seconds()),
            iss=self._issuer,
            aud=AUDIENCE,
            jti=new_id(),
            ver=version,
        )
        return self._form.write(claims)

    def _read(self, secret: str) -> SecretClaims:
        try:
            claims = msgspec.convert(self._form.read(secret), SecretClaims)
        except (ValueError, RecursionError, msgspec.MsgspecError) as error:
            raise BadTokenError from error
        now = self._clock.now().timestamp()
        is_current = 0 < claims.iat <= now < claims.exp <= LAST_SECOND
        is_ours = claims.iss == self._issuer and claims.aud == AUDIENCE
        if not (is_current and is_ours and is_id(claims.sub) and is_id(claims.jti) and claims.ver >= 0):
            raise BadTokenError
        return claims


def _key(settings: Settings) -> bytes:
    """The configured one, or one that follows from the login key and does not give that away."""
    if settings.chatkit_secret_key is not None:
        return settings.chatkit_secret_key.get_secret_value().encode()
    return digest(settings.jwt_secret_key.get_secret_value().encode(), _DERIVED, sha256)
