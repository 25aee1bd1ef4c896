"""Opening sessions: new ones, and the way back into those that a visitor can prove to be theirs."""

from urllib.parse import urlsplit

import msgspec
from sqlalchemy import Connection

from frontdesk.conversation.threads import repository as threads
from frontdesk.database import Database
from frontdesk.identity.limits import address_site, refusal
from frontdesk.kit.clock import Clock
from frontdesk.kit.ids import new_id
from frontdesk.ports.blob_store import BlobStore
from frontdesk.ports.rate_limiter import Limit, RateLimiter
from frontdesk.public_chat.interfaces import repository as interfaces
from frontdesk.public_chat.interfaces.models import ChatInterface, PersistenceType
from frontdesk.public_chat.interfaces.published import Published
from frontdesk.public_chat.sessions import repository as sessions
from frontdesk.public_chat.sessions.identity import Identity, verify_identity
from frontdesk.public_chat.sessions.models import (
    REFERRER_LENGTH,
    SessionStatus,
    Standing,
    TokenKind,
    VisitorSession,
)
from frontdesk.public_chat.sessions.tokens import digest, new_token, visitor_key
from frontdesk.public_chat.sessions.transcript import Said, latest_page, with_links

_LIMIT_NAME = "chat-sessions"


class Visit(msgspec.Struct, frozen=True, kw_only=True):
    """What a browser says when it comes."""

    browser_fingerprint: str | None = None
    referrer: str | None = None
    persistence_token: str | None = None
    identity: str | None = None


class Opened(msgspec.Struct, frozen=True, kw_only=True):
    """`said` is None in a new session, else its latest messages. The tokens are told now and never again."""

    standing: Standing
    session_token: str
    persistence_token: str | None
    said: Said | None


class SessionOpening:
    """At most `per_address` openings from one address in any `seconds`."""

    def __init__(
        self,
        *,
        database: Database,
        store: BlobStore,
        clock: Clock,
        limiter: RateLimiter,
        per_address: int,
        seconds: int,
    ) -> None:
        self._database = database
        self._store = store
        self._clock = clock
        self._limiter = limiter
        self._limit = Limit(_LIMIT_NAME, per_address, seconds)

    async def open(self, published: Published, visit: Visit, *, address: str) -> Opened:
        """The session that the visitor may go on with, or a new one.

        A persistence token leads back into its session, and a proven identity into its latest one, on any device. With
        both, an anonymous session becomes the identity's. Raises `TooManyRequestsError`, and `IdentityRejectedError`
        for an identity that is not proven.
        """
        await self._count(address)
        interface = published.interface
        identity = None if visit.identity is None else verify_identity(visit.identity, interface, self._clock)
        opened = await self._database.write(
            lambda connection: self._open(connection, published, visit, identity=identity)
        )
        if opened.said is None:
            return opened
        return msgspec.structs.replace(opened, said=await with_links(opened.said, self._store))

    async def _count(self, address: str) -> None:
        allowance = await self._limiter.hit(self._limit, address_site(address))
        if not allowance.allowed:
            raise refusal(self._limit, allowance)

    def _open(self, connection: Connection, published: Published, visit: Visit, *, identity: Identity | None) -> Opened:
        interface, now = published.interface, self._clock.now()
        found = self._find(connection, interface, visit, identity=identity)
        session_token = new_token(TokenKind.session)
        if found is None:
            session = self._new(interface, visit, identity, token_hash=digest(session_token))
            interfaces.count_session(connection, interface.id, at=now)
            sessions.add(connection, session)
        else:
            session = self._resume(connection, found, identity)
        kind = TokenKind.session
        sessions.add_token(connection, session.id, digest=digest(session_token), kind=kind, now=now)
        return Opened(
            standing=sessions.standing(connection, interface, session, now=now),
            session_token=session_token,
            persistence_token=self._persist(connection, interface, session, given=visit.persistence_token),
            said=None if found is None else _said(connection, published, session),
        )

    def _find(
        self, connection: Connection, interface: ChatInterface, visit: Visit, *, identity: Identity | None
    ) -> VisitorSession | None:
        """Who is known to the site is asked for more than the token: a shared computer keeps it for the next one."""
        held = None
        if visit.persistence_token is not None:
            held = sessions.find(connection, interface.id, visit.persistence_token, kind=TokenKind.persistence)
            held = held if self._goes_on(connection, interface, held) else None
        subject = None if identity is None else identity.subject
        if held is not None and held.identity_subject in {None, subject}:
            return held
        if subject is None:
            return None
        latest = sessions.find_latest(connection, interface.id, subject)
        return latest if self._goes_on(connection, interface, latest) else None

    def _goes_on(self, connection: Connection, interface: ChatInterface, session: VisitorSession | None) -> bool:
        """Nor does one whose conversation its owner has deleted."""
        if session is None:
            return False
        if session.thread_id is not None and threads.get_unscoped(connection, session.thread_id).is_deleted:
            return False
        return sessions.status_of(connection, interface, session, now=self._clock.now()) is SessionStatus.active

    def _new(
        self, interface: ChatInterface, visit: Visit, identity: Identity | None, *, token_hash: str
    ) -> VisitorSession:
        session_id, now = new_id(), self._clock.now()
        key = _visitor_key(interface, identity, fallback=visit.browser_fingerprint or session_id)
        return VisitorSession(
            id=session_id,
            interface_id=interface.id,
            thread_id=None,
            token_hash=token_hash,
            status=SessionStatus.active,
            visitor_key=key,
            identity_subject=None if identity is None else identity.subject,
            identity_name=None if identity is None else identity.name,
            identity_email=None if identity is None else identity.email,
            referrer=_page(visit.referrer),
            current_execution_id=None,
            message_count=0,
            duration_seconds=0,
            created_at=now,
            last_activity_at=now,
            ended_at=None,
        )

    def _resume(self, connection: Connection, session: VisitorSession, identity: Identity | None) -> VisitorSession:
        changes: dict[str, object] = {"last_activity_at": self._clock.now()}
        if identity is not None:
            changes |= {
                "identity_subject": identity.subject,
                "identity_name": identity.name,
                "identity_email": identity.email,
                "visitor_key": visitor_key(session.interface_id, "identity", identity.subject),
            }
        sessions.change(connection, session.id, changes)
        return msgspec.structs.replace(session, **changes)

    def _persist(
        self, connection: Connection, interface: ChatInterface, session: VisitorSession, *, given: str | None
    ) -> str | None:
        """The token that the visitor has, if it leads here, or one that they are to keep."""
        if interface.persistence_type is not PersistenceType.local_storage:
            return None
        if given is not None:
            leads_to = sessions.find(connection, interface.id, given, kind=TokenKind.persistence)
            if leads_to is not None and leads_to.id == session.id:
                return given
        token, kind = new_token(TokenKind.persistence), TokenKind.persistence
        sessions.add_token(connection, session.id, digest=digest(token), kind=kind, now=self._clock.now())
        return token


def _visitor_key(interface: ChatInterface, identity: Identity | None, *, fallback: str) -> str:
    if identity is not None:
        return visitor_key(interface.id, "identity", identity.subject)
    return visitor_key(interface.id, "browser", fallback)


def _said(connection: Connection, published: Published, session: VisitorSession) -> Said:
    if session.thread_id is None:
        return Said()
    return latest_page(connection, published.principal, session.thread_id)


def _page(referrer: str | None) -> str | None:
    """Where a visitor comes from, without what may be theirs in it: query, fragment, user."""
    try:
        parts = urlsplit(referrer or "")
        host = f"{parts.hostname}:{parts.port}" if parts.port else parts.hostname
    except ValueError:
        return None
    if parts.scheme not in {"http", "https"} or not host:
        return None
    return f"{parts.scheme}://{host}{parts.path}"[:REFERRER_LENGTH]
