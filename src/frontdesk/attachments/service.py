"""Bringing, finding and throwing away files. A blob is stored and erased outside of transactions: what its row says
comes first when it goes, and last when it comes, so that nothing is left that no row names.
"""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, contextmanager, suppress
from datetime import timedelta
from uuid import uuid4

import msgspec
from sqlalchemy import Connection

from frontdesk.attachments import repository as attachments
from frontdesk.attachments.inspection import Inspection
from frontdesk.attachments.models import Attachment, AttachmentState, Owner
from frontdesk.database import Database
from frontdesk.errors import (
    AttachmentNotUploadedError,
    FileTooLargeError,
    FileTypeNotAllowedError,
    NotFoundError,
    OverloadedError,
    StorageUnavailableError,
)
from frontdesk.kit.clock import Clock
from frontdesk.kit.file_names import clean_name, key_name
from frontdesk.kit.ids import new_id
from frontdesk.kit.time_limit import not_counted
from frontdesk.ports.blob_store import BlobStore, OpenBlob, UploadLink

LINK_SECONDS = 24 * 60 * 60
_UPLOAD_SECONDS = 60 * 60
_UNUSED_FOR = timedelta(hours=24)
_AT_ONCE = 100
_PATIENCE_SECONDS = 3.0


class FileDraft(msgspec.Struct, frozen=True, kw_only=True):
    """`name` is as its sender gave it. `folder` is where the blob lies: segments of a key, without a slash at the end.

    `allowed` are media types, with wildcards as `kit.media_types.is_allowed` knows them. What `admit` raises, in the
    transaction that makes room for the file, keeps it out.
    """

    owner: Owner
    name: str
    folder: str
    max_bytes: int
    allowed: Sequence[str]
    admit: Callable[[Connection], None] | None = None


class AttachmentService:
    """`at_once` files come at the same time at most."""

    def __init__(self, *, database: Database, store: BlobStore, clock: Clock, at_once: int) -> None:
        self._database = database
        self._store = store
        self._clock = clock
        self._at_once = at_once
        self._coming = 0

    async def receive(self, draft: FileDraft, chunks: AsyncIterable[bytes]) -> Attachment:
        """Store a file as it comes.

        Raises `FileTooLargeError`, `FileTypeNotAllowedError`, `StorageFullError`, `StorageUnavailableError`,
        `OverloadedError`, and whatever `chunks` raises: then nothing of it is left.
        """
        with self.one_more():
            attachment = await self._add(draft)
            try:
                return await self._take_in(attachment, chunks)
            except BaseException:
                await self._give_up(attachment)
                raise

    async def announce(self, draft: FileDraft) -> tuple[Attachment, UploadLink]:
        """A place for a file that its owner puts there, within an hour. Raises `StorageUnavailableError`."""
        attachment = await self._add(draft)
        link = await self._store.upload_link(
            attachment.arriving_key, max_bytes=draft.max_bytes, seconds=_UPLOAD_SECONDS
        )
        return attachment, link

    async def complete(self, owner: Owner, attachment_id: str) -> Attachment:
        """Look at what was put in an announced file's place, and keep it if it may be.

        Raises `NotFoundError`, `AttachmentNotUploadedError`, and as `receive` does.
        """
        attachment = await self.get(owner, attachment_id)
        if attachment.state is AttachmentState.stored:
            return attachment
        with self.one_more():
            try:
                kept = await self._take_in(attachment, self._arrived(attachment))
            except (FileTooLargeError, FileTypeNotAllowedError):
                await self._give_up(attachment)
                raise
            with suppress(StorageUnavailableError):  # it goes with the attachment at the latest
                await self._store.delete(attachment.arriving_key)
            return kept

    async def _arrived(self, attachment: Attachment) -> AsyncIterator[bytes]:
        async with AsyncExitStack() as stack:
            try:
                blob = await stack.enter_async_context(self._store.open(attachment.arriving_key))
            except NotFoundError as error:
                raise AttachmentNotUploadedError from error
            async for piece in blob.body():
                yield piece

    async def complete_all(self, owner: Owner, ids: Sequence[str]) -> None:
        """Those of them that are announced and not completed; raises as `complete` does."""
        if not ids:
            return
        for pending in await self._database.read(lambda connection: attachments.list_pending(connection, owner, ids)):
            await self.complete(owner, pending.id)

    async def get(self, owner: Owner, attachment_id: str) -> Attachment:
        """Raises `NotFoundError`."""
        return await self._database.read(lambda connection: attachments.get(connection, owner, attachment_id))

    async def download_url(self, attachment: Attachment) -> str | None:
        """For a day; None while there is nothing to download."""
        if attachment.state is not AttachmentState.stored or attachment.media_type is None:
            return None
        return await self._store.download_url(
            attachment.key, name=attachment.name, media_type=attachment.media_type, seconds=LINK_SECONDS
        )

    async def list_of(self, owner: Owner) -> list[Attachment]:
        """All that it has brought, oldest first."""
        return await self._database.read(lambda connection: attachments.list_of(connection, owner))

    def uri(self, attachment: Attachment) -> str:
        """What names its blob to people and other programs."""
        return self._store.uri(attachment.key)

    def open(self, attachment: Attachment) -> AbstractAsyncContextManager[OpenBlob]:
        """Its bytes. Raises as `BlobStore.open` does."""
        return self._store.open(attachment.key)

    async def delete(self, owner: Owner, attachment_id: str) -> None:
        """Raises `NotFoundError`."""

        def work(connection: Connection) -> None:
            attachments.get(connection, owner, attachment_id)
            attachments.mark_deleted(connection, owner=owner, attachment_id=attachment_id)

        await self._database.write(work)
        await self.erase_deleted()

    async def erase_owner(self, owner: Owner) -> None:
        """All that it has ever brought."""
        await self._database.write(lambda connection: attachments.mark_owners_deleted(connection, owner))
        await self.erase_deleted()

    async def erase_deleted(self, *, seconds: float | None = _PATIENCE_SECONDS) -> None:
        """The blobs and rows of what is deleted. What the store cannot erase in time is erased by the next sweep."""
        while gone := await self._database.read(_some_deleted):
            try:
                with not_counted():
                    async with asyncio.timeout(seconds):
                        await self._erase_blobs(gone)
            except (StorageUnavailableError, TimeoutError):
                return
            ids = [attachment.id for attachment in gone]
            await self._database.write(lambda connection: attachments.erase(connection, ids))  # noqa: B023  awaited here

    async def sweep(self) -> None:
        """Erase what nobody has used for a day, and what killed processes have left."""
        before = self._clock.now() - _UNUSED_FOR
        await self._database.write(lambda connection: attachments.mark_unused_deleted(connection, before=before))
        await self.erase_deleted(seconds=None)
        await self._store.sweep()

    async def _erase_blobs(self, gone: Sequence[Attachment]) -> None:
        for attachment in gone:
            await self._store.delete(attachment.key)
            await self._store.delete(attachment.arriving_key)

    @contextmanager
    def one_more(self) -> Iterator[None]:
        """Around the coming of a file. Raises `OverloadedError`."""
        if self._coming >= self._at_once:
            raise OverloadedError("Too many files come at once", retry_after=2)
        self._coming += 1
        try:
            yield
        finally:
            self._coming -= 1

    async def _add(self, draft: FileDraft) -> Attachment:
        now = self._clock.now()
        name = clean_name(draft.name)
        moment = f"{int(now.timestamp() * 1000)}-{uuid4().hex[:8]}"
        attachment = Attachment(
            id=new_id(),
            owner_kind=draft.owner.kind,
            owner_id=draft.owner.id,
            thread_id=None,
            message_id=None,
            state=AttachmentState.pending,
            key=f"{draft.folder}/{moment}_{key_name(name)}",
            name=name,
            media_type=None,
            size=None,
            sha256=None,
            max_bytes=draft.max_bytes,
            allowed=list(draft.allowed),
            created_at=now,
        )

        def work(connection: Connection) -> None:
            if draft.admit is not None:
                draft.admit(connection)
            attachments.add(connection, attachment)

        await self._database.write(work)
        return attachment

    async def _take_in(self, attachment: Attachment, chunks: AsyncIterable[bytes]) -> Attachment:
        inspection = Inspection(attachment.allowed)
        with not_counted():
            stored = await self._store.put(
                attachment.key, inspection.of(chunks), max_bytes=attachment.max_bytes, name=attachment.name
            )
        owner = Owner(kind=attachment.owner_kind, id=attachment.owner_id)

        def settle(connection: Connection) -> Attachment:
            attachments.settle(connection, attachment.id, stored, media_type=inspection.media_type)
            return attachments.get(connection, owner, attachment.id)

        try:
            return await self._database.write(settle)
        except NotFoundError:  # deleted meanwhile, row and all: nobody would find the blob again
            await self._store.delete(attachment.key)
            raise

    async def _give_up(self, attachment: Attachment) -> None:
        owner = Owner(kind=attachment.owner_kind, id=attachment.owner_id)
        await self._database.write(
            lambda connection: attachments.mark_deleted(connection, owner=owner, attachment_id=attachment.id)
        )
        await self.erase_deleted()


def _some_deleted(connection: Connection) -> list[Attachment]:
    return attachments.list_deleted(connection, limit=_AT_ONCE)
