"""The pictures of an interface, its cover and its icon: public, under addresses that nobody guesses, gone with it."""

from collections.abc import AsyncIterable, AsyncIterator
from enum import StrEnum
from typing import Any

import msgspec
from sqlalchemy import Connection

from frontdesk.attachments import repository as attachments
from frontdesk.attachments.models import Attachment, AttachmentState, Owner, OwnerKind
from frontdesk.attachments.service import AttachmentService, FileDraft
from frontdesk.database import Database
from frontdesk.errors import NotFoundError
from frontdesk.identity.principal import Principal
from frontdesk.kit.clock import Clock
from frontdesk.kit.ids import is_id
from frontdesk.public_chat.interfaces import repository as interfaces
from frontdesk.public_chat.interfaces.models import ChatInterface, CoverType
from frontdesk.public_chat.interfaces.published import PublishedInterfaces

MOST_BYTES = 5 * 1_048_576
_FOLDER = "chat-assets"
# Pictures that hold no scripts.
_PICTURES = (
    *("image/png", "image/jpeg", "image/gif", "image/webp", "image/avif"),
    *("image/bmp", "image/x-icon"),
)


class AssetKind(StrEnum):
    cover = "cover"
    icon = "icon"


class Asset(msgspec.Struct, frozen=True, kw_only=True):
    """`url` is where anybody may see it, for as long as it is the interface's."""

    kind: AssetKind
    attachment: Attachment
    url: str


class InterfaceAssets:
    """`place` is the address under which the server shows them, such as `/api/public/chat-assets`."""

    def __init__(
        self,
        *,
        database: Database,
        attachments: AttachmentService,
        published: PublishedInterfaces,
        clock: Clock,
        place: str,
    ) -> None:
        self._database = database
        self._attachments = attachments
        self._published = published
        self._clock = clock
        self._place = place

    async def receive(
        self, principal: Principal, interface_id: str, kind: AssetKind, *, name: str, chunks: AsyncIterable[bytes]
    ) -> Asset:
        """The interface shows it from now on, in place of what it showed before, which is erased.

        Raises `NotFoundError`, and as `AttachmentService.receive` does.
        """
        await self._database.read(lambda connection: interfaces.get(connection, principal, interface_id))
        stored = await self._store(interface_id, name, chunks)
        url = f"{self._place}/{stored.id}"

        def show(connection: Connection) -> ChatInterface:
            known = interfaces.get(connection, principal, interface_id)
            interfaces.change(connection, interface_id, {**_shown(kind, url), "updated_at": self._clock.now()})
            return known

        try:
            before = await self._database.write(show)
        except NotFoundError:  # it was deleted meanwhile
            await self.erase(interface_id)
            raise
        self._published.forget(before.slug)
        await self._drop(before, kind)
        return Asset(kind=kind, attachment=stored, url=url)

    async def find(self, asset_id: str) -> Attachment:
        """For anybody. Raises `NotFoundError`."""

        def work(connection: Connection) -> Attachment:
            found = attachments.get_of_kind(connection, OwnerKind.interface, asset_id)
            interface = interfaces.find(connection, found.owner_id)
            if found.state is not AttachmentState.stored or interface is None or interface.is_deleted:
                raise NotFoundError
            return found

        return await self._database.read(work)

    async def copied(self, known: ChatInterface, copy: ChatInterface) -> dict[str, Any]:
        """What is to be changed of a copy, so that it shows pictures of its own."""
        changes: dict[str, Any] = {}
        for kind in AssetKind:
            asset_id = self._id_of(_address(known, kind))
            if asset_id is not None:
                found = await self._attachments.get(_owner(known.id), asset_id)
                stored = await self._store(copy.id, found.name, self._bytes(found))
                changes |= _shown(kind, f"{self._place}/{stored.id}")
        return changes

    async def erase(self, interface_id: str) -> None:
        await self._attachments.erase_owner(_owner(interface_id))

    async def _store(self, interface_id: str, name: str, chunks: AsyncIterable[bytes]) -> Attachment:
        folder = f"{_FOLDER}/{interface_id}"
        draft = FileDraft(owner=_owner(interface_id), name=name, folder=folder, max_bytes=MOST_BYTES, allowed=_PICTURES)
        return await self._attachments.receive(draft, chunks)

    async def _bytes(self, attachment: Attachment) -> AsyncIterator[bytes]:
        async with self._attachments.open(attachment) as blob:
            async for piece in blob.body():
                yield piece

    async def _drop(self, interface: ChatInterface, kind: AssetKind) -> None:
        asset_id = self._id_of(_address(interface, kind))
        if asset_id is not None:
            await self._attachments.delete(_owner(interface.id), asset_id)

    def _id_of(self, address: str | None) -> str | None:
        """Of a picture that was brought here; None for one that lies elsewhere."""
        place, _, asset_id = (address or "").rpartition("/")
        return asset_id if place == self._place and is_id(asset_id) else None


def _owner(interface_id: str) -> Owner:
    return Owner(kind=OwnerKind.interface, id=interface_id)


def _shown(kind: AssetKind, url: str) -> dict[str, Any]:
    return {"icon_url": url} if kind is AssetKind.icon else {"cover_type": CoverType.image, "cover_value": url}


def _address(interface: ChatInterface, kind: AssetKind) -> str | None:
    if kind is AssetKind.icon:
        return interface.icon_url
    return interface.cover_value if interface.cover_type is CoverType.image else None
