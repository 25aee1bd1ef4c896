"""What a message brings beside its text: files that its session uploaded, and links."""

from collections.abc import Sequence

import msgspec

from frontdesk.attachments.models import Attachment
from frontdesk.attachments.service import AttachmentService
from frontdesk.errors import TooManyFilesError, UnknownAttachmentError, UploadsNotAllowedError
from frontdesk.public_chat.interfaces.models import ChatInterface
from frontdesk.public_chat.sessions.models import VisitorSession
from frontdesk.public_chat.sessions.uploading import owner_of
from frontdesk.retrieval.errors import shown
from frontdesk.retrieval.sources.models import NewSource, SourceType


class Brought(msgspec.Struct, frozen=True):
    """`reference` is a file's URI or id, or a link."""

    type: SourceType
    reference: str


class Bringing:
    def __init__(self, attachments: AttachmentService) -> None:
        self._attachments = attachments

    async def resolve(
        self, interface: ChatInterface, session: VisitorSession, brought: Sequence[Brought]
    ) -> list[NewSource]:
        """Each of them once. Raises `UploadsNotAllowedError`, `TooManyFilesError`, `UnknownAttachmentError`."""
        if not brought:
            return []
        if not interface.allow_file_upload:
            raise UploadsNotAllowedError
        wanted = list(dict.fromkeys(brought))
        if len(wanted) > interface.max_files:
            raise TooManyFilesError(f"A message brings at most {interface.max_files} files and links")
        own = await self._attachments.list_of(owner_of(session))
        known = {name: one for one in own for name in (one.id, self._attachments.uri(one))}
        return [_link(one) if one.type is SourceType.url else _file(one, known) for one in wanted]


def _link(one: Brought) -> NewSource:
    return NewSource(type=SourceType.url, name=one.reference)


def _file(one: Brought, known: dict[str, Attachment]) -> NewSource:
    found = known.get(one.reference)
    if found is None:
        raise UnknownAttachmentError(f"There is no attachment {shown(one.reference)} to send here")
    return NewSource(
        type=SourceType.file,
        name=found.name,
        attachment_id=found.id,
        key=found.key,
        media_type=found.media_type,
        size=found.size,
    )
