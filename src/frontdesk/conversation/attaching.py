"""Files that are sent with a message."""

from collections.abc import Sequence

import msgspec
from sqlalchemy import Connection

from frontdesk.attachments import repository as attachments
from frontdesk.attachments.models import Attachment, Owner
from frontdesk.conversation.messages.models import Message

KEY = "attachments"  # of a message's metadata


def attach(connection: Connection, owner: Owner, message: Message, *, ids: Sequence[str]) -> Message:
    """The message with its files, which belong to its thread from now on. Raises `UnknownAttachmentError`.

    What a sender writes into the metadata in their place is overwritten.
    """
    if not ids:
        return message
    claimed = attachments.claim(connection, owner, ids, thread_id=message.thread_id, message_id=message.id)
    told = [_told(attachment) for attachment in claimed]
    return msgspec.structs.replace(message, metadata={**message.metadata, KEY: told})


def _told(attachment: Attachment) -> dict[str, object]:
    return {name: getattr(attachment, name) for name in ("id", "name", "media_type", "size")}
