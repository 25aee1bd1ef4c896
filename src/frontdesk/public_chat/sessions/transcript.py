"""What was said in a session, as its two sides may read it: questions and finished answers, with the calls made."""

from collections.abc import Mapping, Sequence

import msgspec
from sqlalchemy import Connection

from frontdesk.attachments.service import LINK_SECONDS
from frontdesk.conversation.messages import repository as messages
from frontdesk.conversation.messages.models import Message, MessageStatus, Role
from frontdesk.conversation.messages.service import Details
from frontdesk.conversation.parts.models import Part
from frontdesk.conversation.threads import repository as threads
from frontdesk.conversation.tool_calls.models import ToolCall
from frontdesk.identity.principal import Principal
from frontdesk.ports.blob_store import BlobStore
from frontdesk.retrieval.sources import repository as sources
from frontdesk.retrieval.sources.models import Source

PAGE = 100
_SPOKEN = frozenset({Role.user, Role.assistant})
_UNDER_WAY = frozenset({MessageStatus.queued, MessageStatus.running})


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """Oldest first; `calls` by the execution that made them, the rest by message. `has_more` when there are earlier
    ones. `links` are where files can be fetched, by their keys.
    """

    messages: Sequence[Message] = ()
    calls: Mapping[str, Sequence[ToolCall]] = {}
    sources: Mapping[str, Sequence[Source]] = {}
    parts: Mapping[str, Sequence[Part]] = {}
    links: Mapping[str, str] = {}
    has_more: bool = False


def latest_page(
    connection: Connection, principal: Principal, thread_id: str, *, before: str | None = None, limit: int = PAGE
) -> Said:
    """The latest messages, or those before one. An answer under way is left out: its stream has it from the start.

    Raises `NotFoundError`, `NotAllowedError`.
    """
    threads.get(connection, principal, thread_id)
    position = None if before is None else messages.get(connection, thread_id, before).position
    found = messages.list_page(connection, thread_id, limit=limit + 1, before=position)
    shown = [message for message in reversed(found[:limit]) if _is_shown(message)]
    ids = [message.id for message in shown]
    details = Details.read(connection, shown)
    return Said(
        messages=shown,
        calls=details.calls,
        sources=sources.list_of_messages(connection, thread_id, ids),
        parts=details.parts,
        has_more=len(found) > limit,
    )


async def with_links(said: Said, store: BlobStore) -> Said:
    """With where its files can be fetched for a day. Raises `StorageUnavailableError`."""
    links = {}
    for source in (one for brought in said.sources.values() for one in brought):
        if source.blob_key is not None and source.media_type is not None:
            links[source.blob_key] = await store.download_url(
                source.blob_key, name=source.source_name, media_type=source.media_type, seconds=LINK_SECONDS
            )
    return msgspec.structs.replace(said, links=links)


def _is_shown(message: Message) -> bool:
    return message.role is Role.user or (message.role in _SPOKEN and message.status not in _UNDER_WAY)
