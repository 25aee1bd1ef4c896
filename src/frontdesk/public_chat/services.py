"""The services of public chats, as one object."""

from dataclasses import dataclass

from frontdesk.public_chat.interfaces.assets import InterfaceAssets
from frontdesk.public_chat.interfaces.published import PublishedInterfaces
from frontdesk.public_chat.interfaces.removal import InterfaceRemoval
from frontdesk.public_chat.interfaces.service import InterfaceService
from frontdesk.public_chat.sessions.feed import VisitorFeed
from frontdesk.public_chat.sessions.opening import SessionOpening
from frontdesk.public_chat.sessions.querying import VisitorQueries
from frontdesk.public_chat.sessions.sending import VisitorMessages
from frontdesk.public_chat.sessions.service import VisitorSessions
from frontdesk.public_chat.sessions.uploading import VisitorUploads


@dataclass(frozen=True, kw_only=True)
class PublicChat:
    interfaces: InterfaceService
    removal: InterfaceRemoval
    published: PublishedInterfaces
    opening: SessionOpening
    sessions: VisitorSessions
    messages: VisitorMessages
    feed: VisitorFeed
    uploads: VisitorUploads
    queries: VisitorQueries
    assets: InterfaceAssets
