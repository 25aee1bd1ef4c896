"""Issues, verifies, rotates and revokes tokens. Rotation: docs/decisions/0003-refresh-rotation-with-linger.md."""

import asyncio
from datetime import UTC, datetime, timedelta
from functools import partial

import msgspec
from sqlalchemy import Connection

from frontdesk.database import Database
from frontdesk.errors import BadTokenError
from frontdesk.identity.holders import Holder
from frontdesk.identity.principal import Principal
from frontdesk.identity.standings import Standings, read_standing, revoke_tokens
from frontdesk.identity.tokens import repository
from frontdesk.identity.tokens.codec import TokenCodec
from frontdesk.identity.tokens.models import Claims, Family, TokenPair, TokenType
from frontdesk.identity.users.models import User
from frontdesk.kit.clock import Clock
from frontdesk.kit.ids import new_id
from frontdesk.kit.time_limit import not_counted
from frontdesk.settings import Settings

LINGER = timedelta(milliseconds=250)  # longer than requests that tabs send together are apart; a person notices little
LONGEST_ROTATION = timedelta(seconds=3)  # whoever keeps asking cannot keep the others waiting for ever


class TokenService:
    def __init__(self, database: Database, clock: Clock, *, settings: Settings, standings: Standings) -> None:
        self._database = database
        self._clock = clock
        self._standings = standings
        self._issuer, self._audience = settings.jwt_issuer, settings.jwt_audience
        self._access_life = timedelta(minutes=settings.access_token_expire_minutes)
        self._refresh_life = timedelta(minutes=settings.refresh_token_expire_minutes)
        self._codec = TokenCodec(
            clock,
            secret=settings.jwt_secret_key.get_secret_value(),
            algorithm=settings.jwt_algorithm,
            issuer=settings.jwt_issuer,
            audience=settings.jwt_audience,
        )

    async def authenticate(self, token: str) -> Principal:
        """Whose access token it is. Raises `BadTokenError`, and `UnavailableError` when that cannot be found out."""
        return (await self.holder(token)).principal

    async def holder(self, token: str) -> Holder:
        """As `authenticate`, for what goes on: with what ends it when the token is revoked or expires."""
        claims = self._codec.decode(token, TokenType.access)
        standing = await self._standings.current(claims.sub, claims.ver)
        return Holder(standing.principal, standing.version, expires_at=claims.exp)

    async def issue(self, user: User) -> TokenPair:
        """The first pair of a new family. A user who was changed since it was read gets a pair that is dead."""
        family = self._successor(user.id, new_id(), used=None)
        await self._database.write(partial(repository.insert_family, family=family))
        return self._pair(family, user.token_version)

    async def refresh(self, token: str, *, arrived_at: datetime) -> TokenPair:
        """The next pair; `arrived_at` is when the request came, before its body was read.

        The answers are held back until nobody has asked with the same token for `LINGER`. Who came before that gets the
        same pair; who comes later has the whole family revoked. Raises `BadTokenError`.
        """
        claims = self._codec.decode(token, TokenType.refresh)
        family = await self._database.write(partial(self._rotate, claims=claims, arrived_at=arrived_at))
        while family is not None and family.closed_at is None and family.open_until is not None:
            remaining = family.open_until - self._clock.now()
            with not_counted():
                await asyncio.sleep(min(remaining, LINGER).total_seconds())
            family = await self._database.write(partial(self._close, family=family))
        if family is None:
            raise BadTokenError
        return self._pair(family, claims.ver)

    async def logout(self, user_id: str) -> None:
        """Every token of the user is dead: here at once, in other processes within a second."""
        await self._database.write(partial(revoke_tokens, user_id=user_id, now=self._clock.now()))
        self._standings.forget(user_id)

    async def purge_expired(self, now: datetime) -> int:
        """Forget the families whose last token has expired; how many those were."""
        return await self._database.write(partial(repository.purge_expired, now=now))

    def _rotate(self, connection: Connection, *, claims: Claims, arrived_at: datetime) -> Family | None:
        standing = read_standing(connection, claims.sub)
        if claims.fam is None or standing is None or not standing.is_active or standing.version != claims.ver:
            return None
        successor = self._successor(claims.sub, claims.fam, used=claims.jti)
        if repository.rotate_family(connection, successor):
            return successor
        family = repository.find_family(connection, claims.fam)
        if family is None or family.revoked_at is not None:
            return None
        if family.previous_jti == claims.jti and self._is_concurrent(connection, family, arrived_at):
            return family
        repository.revoke_family(connection, family.id, self._clock.now())
        return None

    def _is_concurrent(self, connection: Connection, family: Family, arrived_at: datetime) -> bool:
        """Whether the request was under way before anyone could hold the successor of its token."""
        if family.rotated_at is None:
            return False
        until = min(self._clock.now() + LINGER, family.rotated_at + LONGEST_ROTATION)
        if repository.extend_rotation(connection, family, until):
            return True
        closed = repository.find_family(connection, family.id)
        return closed is not None and closed.closed_at is not None and arrived_at < closed.closed_at

    def _close(self, connection: Connection, *, family: Family) -> Family | None:
        """The family as it is after an attempt to close its rotation; one that has moved on is closed."""
        now = self._clock.now()
        repository.close_rotation(connection, family, now)
        latest = repository.find_family(connection, family.id)
        if latest is None or latest.revoked_at is not None:
            return None
        has_moved_on = latest.current_jti != family.current_jti
        return msgspec.structs.replace(family, closed_at=now) if has_moved_on else latest

    def _successor(self, user_id: str, family_id: str, *, used: str | None) -> Family:
        now = self._clock.now()
        issued_at = now.replace(microsecond=0)
        return Family(
            id=family_id,
            user_id=user_id,
            current_jti=new_id(),
            previous_jti=used,
            access_jti=new_id(),
            issued_at=issued_at,
            rotated_at=None if used is None else now,
            open_until=None if used is None else now + LINGER,
            closed_at=None,
            revoked_at=None,
            expires_at=issued_at + self._refresh_life,
        )

    def _pair(self, family: Family, version: int) -> TokenPair:
        access = self._claims(family, version, typ=TokenType.access)
        refresh = self._claims(family, version, typ=TokenType.refresh)
        return TokenPair(
            access_token=self._codec.encode(access),
            refresh_token=self._codec.encode(refresh),
            expires_in=int(self._access_life.total_seconds()),
        )

    def _claims(self, family: Family, version: int, *, typ: TokenType) -> Claims:
        is_refresh = typ is TokenType.refresh
        expires_at = family.expires_at if is_refresh else family.issued_at + self._access_life
        return Claims(
            sub=family.user_id,
            iss=self._issuer,
            aud=self._audience,
            iat=_seconds(family.issued_at),
            nbf=_seconds(family.issued_at),
            exp=_seconds(expires_at),
            jti=family.current_jti if is_refresh else family.access_jti,
            ver=version,
            typ=typ,
            fam=family.id if is_refresh else None,
        )


def _seconds(moment: datetime) -> int:
    return int(moment.astimezone(UTC).timestamp())
