"""Public chats, put together."""

from frontdesk.bootstrap.parts import Parts
from frontdesk.conversation.feed import Feed
from frontdesk.conversation.service import ConversationService
from frontdesk.conversation.threads.service import ThreadService
from frontdesk.public_chat.interfaces.published import PublishedInterfaces
from frontdesk.public_chat.interfaces.removal import InterfaceRemoval
from frontdesk.public_chat.interfaces.service import InterfaceService
from frontdesk.public_chat.services import PublicChat
from frontdesk.public_chat.sessions.feed import VisitorFeed
from frontdesk.public_chat.sessions.opening import SessionOpening
from frontdesk.public_chat.sessions.sending import VisitorMessages
from frontdesk.public_chat.sessions.service import VisitorSessions


def public_chat(
    parts: Parts, *, conversation: ConversationService, threads: ThreadService, answers: Feed
) -> PublicChat:
    database, clock, log, settings = parts.database, parts.clock, parts.log, parts.settings
    limiter = parts.limiter
    published = PublishedInterfaces(database, clock)
    sessions = VisitorSessions(database=database, log=log, threads=threads, conversation=conversation, clock=clock)
    return PublicChat(
        interfaces=InterfaceService(database=database, clock=clock, published=published),
        removal=InterfaceRemoval(database=database, clock=clock, published=published, erase_some=sessions.erase_some),
        published=published,
        opening=SessionOpening(
            database=database,
            clock=clock,
            limiter=limiter,
            per_address=settings.visitor_sessions_per_address,
            seconds=settings.visitor_sessions_window_seconds,
        ),
        sessions=sessions,
        messages=VisitorMessages(database=database, conversation=conversation, limiter=limiter, clock=clock),
        feed=VisitorFeed(database=database, log=log, answers=answers, published=published, clock=clock),
    )
