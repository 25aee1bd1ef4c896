"""The core's services as the surfaces reach them: the one object that hangs on the application's state."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from starlette.requests import HTTPConnection

from frontdesk.agents.service import AgentService
from frontdesk.attachments.links import BlobLinks
from frontdesk.attachments.service import AttachmentService
from frontdesk.conversation.feed import Feed
from frontdesk.conversation.health import Health
from frontdesk.conversation.history import History
from frontdesk.conversation.messages.service import MessageService
from frontdesk.conversation.model_list import ModelList
from frontdesk.conversation.service import ConversationService
from frontdesk.conversation.sessions.answers import AnswersSource
from frontdesk.conversation.sessions.feed import SessionFeed
from frontdesk.conversation.sessions.invoking import ToolInvoker
from frontdesk.conversation.sessions.service import SessionService
from frontdesk.conversation.sharing.service import SharingService
from frontdesk.conversation.threads.service import ThreadService
from frontdesk.conversation.tool_calls.inputs import InputService
from frontdesk.http.built_files import BuiltFiles
from frontdesk.http.event_stream import OpenStreams
from frontdesk.http.open_sockets import OpenSockets
from frontdesk.http.revocations import Revocations
from frontdesk.identity.client_secrets.service import ClientSecrets
from frontdesk.identity.external.service import ExternalIdentities
from frontdesk.identity.limits import SessionThrottle
from frontdesk.identity.tickets import Tickets
from frontdesk.identity.tokens.service import TokenService
from frontdesk.identity.usage.reports import UsageReports
from frontdesk.identity.usage.service import UsageService
from frontdesk.identity.users.administration import UserAdministration
from frontdesk.identity.users.service import UserService
from frontdesk.kit.clock import Clock
from frontdesk.observability.measurements import Measurements
from frontdesk.ports.blob_store import BlobStore
from frontdesk.ports.model_relay import ModelRelay
from frontdesk.ports.transcriber import Transcriber
from frontdesk.public_chat.services import PublicChat
from frontdesk.retrieval.service import SearchService
from frontdesk.settings import Settings


@dataclass(frozen=True, kw_only=True)
class Operations:
    """What operators are shown of a process, whatever it does. `count_unfinished` counts the executions of all of them
    by state and raises `UnavailableError`.
    """

    settings: Settings
    clock: Clock
    measurements: Measurements
    health: Health
    count_unfinished: Callable[[], Awaitable[Mapping[str, int]]]


@dataclass(frozen=True, kw_only=True)
class Services(Operations):
    users: UserService
    administration: UserAdministration
    tokens: TokenService
    threads: ThreadService
    sharing: SharingService
    messages: MessageService
    conversation: ConversationService
    inputs: InputService
    agents: AgentService
    attachments: AttachmentService
    blobs: BlobStore
    blob_links: BlobLinks
    feed: Feed
    search: SearchService
    sessions: SessionService
    session_throttle: SessionThrottle
    session_feed: SessionFeed
    invoker: ToolInvoker
    answers: AnswersSource
    tickets: Tickets
    public_chat: PublicChat
    revocations: Revocations
    streams: OpenStreams
    sockets: OpenSockets
    models: ModelList
    relay: ModelRelay
    usage: UsageService
    usage_reports: UsageReports
    history: History
    client_secrets: ClientSecrets
    external: ExternalIdentities
    transcriber: Transcriber | None
    built: BuiltFiles


def services(connection: HTTPConnection) -> Services:
    held = operations(connection)
    if not isinstance(held, Services):
        raise TypeError("the application has no services")
    return held


def operations(connection: HTTPConnection) -> Operations:
    """All that a process has which serves nothing else."""
    held = connection.app.state.services
    if not isinstance(held, Operations):
        raise TypeError("the application has no services yet")
    return held
