"""Sessions as their two sides keep them: visitors read, end and erase their own, owners those of their interfaces."""

from collections.abc import Callable
from contextlib import suppress

from sqlalchemy import Connection

from frontdesk.attachments import repository as attachments
from frontdesk.attachments.service import AttachmentService
from frontdesk.conversation.service import ConversationService
from frontdesk.conversation.threads.service import ThreadService
from frontdesk.database import Database
from frontdesk.database.idempotency import forget_results
from frontdesk.errors import NotFoundError
from frontdesk.identity.principal import Principal, PrincipalKind
from frontdesk.kit.clock import Clock
from frontdesk.kit.paging import Page
from frontdesk.ports.blob_store import BlobStore
from frontdesk.ports.thread_log import ThreadLog
from frontdesk.public_chat.interfaces import repository as interfaces
from frontdesk.public_chat.interfaces.models import ChatInterface
from frontdesk.public_chat.interfaces.published import Published
from frontdesk.public_chat.sessions import repository as sessions
from frontdesk.public_chat.sessions.models import SessionStatus, Standing, VisitorSession
from frontdesk.public_chat.sessions.transcript import PAGE, Said, latest_page, with_links
from frontdesk.public_chat.sessions.uploading import owner_of


class VisitorSessions:
    def __init__(
        self,
        *,
        database: Database,
        log: ThreadLog,
        threads: ThreadService,
        conversation: ConversationService,
        files: AttachmentService,
        store: BlobStore,
        clock: Clock,
    ) -> None:
        self._database = database
        self._log = log
        self._threads = threads
        self._conversation = conversation
        self._files = files
        self._store = store
        self._clock = clock

    # What a visitor does.

    async def messages(self, published: Published, token: str, *, before: str | None = None, limit: int = PAGE) -> Said:
        """Raises `NotFoundError`, `SessionExpiredError`, `SessionEndedError`."""

        def work(connection: Connection) -> Said:
            session = sessions.get_active(connection, published.interface, token, now=self._clock.now())
            return _said(connection, published.principal, session, before=before, limit=limit)

        return await with_links(await self._database.read(work), self._store)

    async def end(self, published: Published, token: str) -> Standing:
        """Nothing can be said in it any more, and its answer is stopped. Ending an ended one is fine.

        Raises `NotFoundError`.
        """
        return await self._end(
            published.principal,
            lambda connection: (published.interface, sessions.get(connection, published.interface, token)),
        )

    async def erase(self, published: Published, token: str) -> None:
        """With its thread and everything in that. Raises `NotFoundError`."""
        session = await self._database.read(lambda connection: sessions.get(connection, published.interface, token))
        await self._erase(published.principal.id, session)

    # What the interface's owner does.

    async def list_sessions(
        self, principal: Principal, interface_id: str, page: Page, *, status: SessionStatus | None = None
    ) -> tuple[list[Standing], int]:
        """A page, newest first, and how many there are, of all or of those in a state. Raises `NotFoundError`."""

        def work(connection: Connection) -> tuple[list[Standing], int]:
            interface, now = interfaces.get(connection, principal, interface_id), self._clock.now()
            after = None if page.after is None else sessions.get_listed(connection, interface_id, page.after)
            those = None if status is None else sessions.in_state(interface, status, now=now)
            listed = sessions.list_page(
                connection, interface_id, limit=page.limit, offset=page.offset, after=after, those=those
            )
            standings = [sessions.standing(connection, interface, session, now=now) for session in listed]
            return standings, sessions.count(connection, interface_id, those=those)

        return await self._database.read(work)

    async def get_listed(self, principal: Principal, interface_id: str, session_id: str) -> Standing:
        """Raises `NotFoundError`."""

        def work(connection: Connection) -> Standing:
            interface = interfaces.get(connection, principal, interface_id)
            session = sessions.get_listed(connection, interface_id, session_id)
            return sessions.standing(connection, interface, session, now=self._clock.now())

        return await self._database.read(work)

    async def transcript(
        self, principal: Principal, interface_id: str, session_id: str, *, before: str | None, limit: int
    ) -> Said:
        """Of a session in any state. Raises `NotFoundError`, `NotAllowedError`."""

        def work(connection: Connection) -> Said:
            interfaces.get(connection, principal, interface_id)
            session = sessions.get_listed(connection, interface_id, session_id)
            return _said(connection, principal, session, before=before, limit=limit)

        return await with_links(await self._database.read(work), self._store)

    async def end_listed(self, principal: Principal, interface_id: str, session_id: str) -> Standing:
        """As a visitor's `end`. Raises `NotFoundError`."""
        return await self._end(
            principal,
            lambda connection: (
                interfaces.get(connection, principal, interface_id),
                sessions.get_listed(connection, interface_id, session_id),
            ),
        )

    async def erase_listed(self, principal: Principal, interface_id: str, session_id: str) -> None:
        """Raises `NotFoundError`."""
        standing = await self.get_listed(principal, interface_id, session_id)
        await self._erase(principal.id, standing.session)

    async def erase_some(self, interface_id: str, owner_id: str, *, limit: int) -> int:
        """Erase sessions of an interface that goes; how many there were."""
        found = await self._database.read(lambda connection: sessions.list_page(connection, interface_id, limit=limit))
        for session in found:
            await self._erase(owner_id, session)
        return len(found)

    async def _end(
        self, principal: Principal, find: Callable[[Connection], tuple[ChatInterface, VisitorSession]]
    ) -> Standing:
        now = self._clock.now()

        def close(connection: Connection) -> VisitorSession:
            _, session = find(connection)
            if session.status is SessionStatus.active:
                sessions.change(connection, session.id, {"status": SessionStatus.ended, "ended_at": now})
            return session

        session = await self._database.write(close)
        if session.thread_id is not None:
            await self._conversation.stop_all(principal, session.thread_id)
        self._log.discard(session.id, [])  # its readers look where they are, and find it ended

        def look(connection: Connection) -> Standing:
            interface, ended = find(connection)
            return sessions.standing(connection, interface, ended, now=now)

        return await self._database.read(look)

    async def _erase(self, owner_id: str, session: VisitorSession) -> None:
        """The thread takes its session with it. Nobody's allow list keeps it from going."""
        owner = Principal(kind=PrincipalKind.service, id=owner_id)
        if session.thread_id is not None:
            with suppress(NotFoundError):  # its owner was faster
                await self._threads.delete(owner, session.thread_id, purge=True)

        def forget(connection: Connection) -> None:
            sessions.erase(connection, session.id)
            forget_results(connection, session.id, naming=session.id)
            attachments.mark_owners_deleted(connection, owner_of(session))

        await self._database.write(forget)
        await self._files.erase_deleted()
        self._log.discard(session.id, [])


def _said(
    connection: Connection, principal: Principal, session: VisitorSession, *, before: str | None, limit: int
) -> Said:
    if session.thread_id is None:
        return Said()
    return latest_page(connection, principal, session.thread_id, before=before, limit=limit)
