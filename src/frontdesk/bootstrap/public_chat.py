"""Public chats, put together."""

from frontdesk.attachments.service import AttachmentService
from frontdesk.bootstrap.parts import Parts
from frontdesk.conversation.feed import Feed
from frontdesk.conversation.service import ConversationService
from frontdesk.conversation.threads.service import ThreadService
from frontdesk.public_chat.interfaces.assets import InterfaceAssets
from frontdesk.public_chat.interfaces.published import PublishedInterfaces
from frontdesk.public_chat.interfaces.removal import InterfaceRemoval
from frontdesk.public_chat.interfaces.service import InterfaceService
from frontdesk.public_chat.services import PublicChat
from frontdesk.public_chat.sessions.bringing import Bringing
from frontdesk.public_chat.sessions.feed import VisitorFeed
from frontdesk.public_chat.sessions.opening import SessionOpening
from frontdesk.public_chat.sessions.querying import VisitorQueries
from frontdesk.public_chat.sessions.sending import VisitorMessages
from frontdesk.public_chat.sessions.service import VisitorSessions
from frontdesk.public_chat.sessions.uploading import VisitorUploads


def public_chat(
    parts: Parts,
    *,
    conversation: ConversationService,
    threads: ThreadService,
    attachments: AttachmentService,
    answers: Feed,
) -> PublicChat:
    database, clock, log, limiter = parts.database, parts.clock, parts.log, parts.limiter
    published = PublishedInterfaces(database, clock)
    sessions = VisitorSessions(
        database=database,
        log=log,
        threads=threads,
        conversation=conversation,
        files=attachments,
        store=parts.files.blobs,
        clock=clock,
    )
    assets = _assets(parts, attachments, published)
    return PublicChat(
        interfaces=InterfaceService(database=database, clock=clock, published=published, assets=assets),
        removal=InterfaceRemoval(
            database=database, clock=clock, published=published, erase_some=sessions.erase_some, assets=assets
        ),
        published=published,
        opening=_opening(parts),
        sessions=sessions,
        messages=VisitorMessages(
            database=database,
            conversation=conversation,
            bringing=Bringing(attachments),
            limiter=limiter,
            clock=clock,
        ),
        uploads=_uploads(parts, attachments),
        queries=VisitorQueries(database=database, documents=parts.files.documents, limiter=limiter, clock=clock),
        assets=assets,
        feed=VisitorFeed(database=database, log=log, answers=answers, published=published, clock=clock),
    )


def _assets(parts: Parts, attachments: AttachmentService, published: PublishedInterfaces) -> InterfaceAssets:
    settings = parts.settings
    return InterfaceAssets(
        database=parts.database,
        attachments=attachments,
        published=published,
        clock=parts.clock,
        place=f"{(settings.gateway_url or '').rstrip('/')}{settings.api_prefix}/public/chat-assets",
    )


def _opening(parts: Parts) -> SessionOpening:
    return SessionOpening(
        database=parts.database,
        store=parts.files.blobs,
        clock=parts.clock,
        limiter=parts.limiter,
        per_address=parts.settings.visitor_sessions_per_address,
        seconds=parts.settings.visitor_sessions_window_seconds,
    )


def _uploads(parts: Parts, attachments: AttachmentService) -> VisitorUploads:
    return VisitorUploads(
        database=parts.database,
        attachments=attachments,
        limiter=parts.limiter,
        clock=parts.clock,
        most_bytes=parts.settings.upload_max_bytes,
    )
