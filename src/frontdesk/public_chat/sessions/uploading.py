"""Files that visitors bring: through the attachments' service, into a place of their session's own, within limits."""

from collections.abc import AsyncIterable

import msgspec
from sqlalchemy import Connection

from frontdesk.attachments import repository as attachments
from frontdesk.attachments.models import Attachment, Owner, OwnerKind
from frontdesk.attachments.service import AttachmentService, FileDraft
from frontdesk.database import Database
from frontdesk.errors import NotFoundError, TooManyFilesError, UploadsNotAllowedError
from frontdesk.identity.limits import refusal
from frontdesk.kit.clock import Clock
from frontdesk.ports.rate_limiter import Limit, RateLimiter
from frontdesk.public_chat.interfaces.models import ChatInterface
from frontdesk.public_chat.interfaces.published import Published
from frontdesk.public_chat.sessions import repository as sessions
from frontdesk.public_chat.sessions.models import VisitorSession

_FOLDER = "chat-attachments"
_LIMIT = Limit("chat-uploads", 20, 60)
_MEGABYTE = 1_048_576


class Uploaded(msgspec.Struct, frozen=True, kw_only=True):
    """`uri` names the file in a message, `url` is where it can be fetched for a day."""

    attachment: Attachment
    uri: str
    url: str


class VisitorUploads:
    """`most_bytes` bounds what any interface allows."""

    def __init__(
        self,
        *,
        database: Database,
        attachments: AttachmentService,
        limiter: RateLimiter,
        clock: Clock,
        most_bytes: int,
    ) -> None:
        self._database = database
        self._attachments = attachments
        self._limiter = limiter
        self._clock = clock
        self._most_bytes = most_bytes

    def max_bytes(self, interface: ChatInterface) -> int:
        return min(interface.max_file_size_mb * _MEGABYTE, self._most_bytes)

    async def admit(self, published: Published, token: str) -> VisitorSession:
        """The session that brings a file, which is counted. Raises `NotFoundError`, `SessionExpiredError`,
        `SessionEndedError`, `UploadsNotAllowedError`, `TooManyRequestsError`.
        """
        session = await self._session(published, token)
        if not published.interface.allow_file_upload:
            raise UploadsNotAllowedError
        allowance = await self._limiter.hit(_LIMIT, session.token_hash)
        if not allowance.allowed:
            raise refusal(_LIMIT, allowance)
        return session

    async def receive(
        self, published: Published, session: VisitorSession, *, name: str, chunks: AsyncIterable[bytes]
    ) -> Uploaded:
        """Raises `TooManyFilesError`, and as `AttachmentService.receive` does."""
        interface = published.interface
        owner = owner_of(session)

        def admit(connection: Connection) -> None:
            """One after the other, so that no two find the same place free."""
            sessions.lock(connection, session.id)
            if attachments.count_unsent(connection, owner) >= interface.max_files:
                raise TooManyFilesError(f"At most {interface.max_files} files wait to be sent: send or remove some")

        draft = FileDraft(
            owner=owner,
            name=name,
            folder=f"{_FOLDER}/{interface.id}/{session.id}",
            max_bytes=self.max_bytes(interface),
            allowed=interface.allowed_file_types,
            admit=admit,
        )
        stored = await self._attachments.receive(draft, chunks)
        url = await self._attachments.download_url(stored)
        return Uploaded(attachment=stored, uri=self._attachments.uri(stored), url=url or "")

    async def remove(self, published: Published, token: str, file_id: str) -> None:
        """One that was not sent. Raises `NotFoundError`, `SessionExpiredError`, `SessionEndedError`."""
        owner = owner_of(await self._session(published, token))
        if (await self._attachments.get(owner, file_id)).thread_id is not None:
            raise NotFoundError
        await self._attachments.delete(owner, file_id)

    async def _session(self, published: Published, token: str) -> VisitorSession:
        now = self._clock.now()
        return await self._database.read(
            lambda connection: sessions.get_active(connection, published.interface, token, now=now)
        )


def owner_of(session: VisitorSession) -> Owner:
    return Owner(kind=OwnerKind.session, id=session.id)
