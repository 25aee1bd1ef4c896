"""What visitors say: through the conversation's core, in a thread of the interface's owner, within the limits."""

from collections.abc import Sequence
from hashlib import sha256
from typing import Any

import msgspec
from sqlalchemy import Connection

from frontdesk.agents import repository as agents
from frontdesk.conversation.drafts import Draft
from frontdesk.conversation.executions.models import Execution
from frontdesk.conversation.messages.models import Message
from frontdesk.conversation.service import ConversationService
from frontdesk.conversation.threads import repository as threads
from frontdesk.conversation.threads.models import TITLE_LENGTH
from frontdesk.conversation.threads.service import new_thread
from frontdesk.database import Database
from frontdesk.database.idempotency import IdempotencyKey, Once
from frontdesk.errors import AgentUnavailableError, NotFoundError, TooManyRequestsError
from frontdesk.identity.limits import refusal
from frontdesk.kit.clock import Clock
from frontdesk.ports.rate_limiter import Allowance, Limit, RateLimiter
from frontdesk.public_chat.interfaces import repository as interfaces
from frontdesk.public_chat.interfaces.models import ChatInterface
from frontdesk.public_chat.interfaces.published import Published
from frontdesk.public_chat.sessions import repository as sessions
from frontdesk.public_chat.sessions.bringing import Bringing, Brought
from frontdesk.public_chat.sessions.models import VisitorSession
from frontdesk.public_chat.sessions.uploading import owner_of
from frontdesk.retrieval.sources import repository as sources
from frontdesk.retrieval.sources.models import NewSource

_TITLE = "Chat: "
_SOURCE = "chat_interface"
_SHOWN_LIMIT = "messages"


class Sent(msgspec.Struct, frozen=True, kw_only=True):
    """`limit` and `allowance` say what may still be sent."""

    execution_id: str
    thread_id: str
    replayed: bool
    limit: Limit
    allowance: Allowance


class VisitorMessages:
    def __init__(
        self,
        *,
        database: Database,
        conversation: ConversationService,
        bringing: Bringing,
        limiter: RateLimiter,
        clock: Clock,
    ) -> None:
        self._database = database
        self._bringing = bringing
        self._conversation = conversation
        self._limiter = limiter
        self._clock = clock

    async def send(
        self,
        published: Published,
        token: str,
        text: str,
        *,
        brought: Sequence[Brought] = (),
        key: str | None = None,
    ) -> Sent:
        """Say something and begin its answer. A `key` that comes again with the same message sends nothing again.

        What it brings is stored with it, and read by whoever makes the answer, before that begins. Raises
        `NotFoundError`, `SessionExpiredError`, `SessionEndedError`, `AgentUnavailableError`, `TooManyRequestsError`,
        `ExecutionActiveError`, `LlmDisabledError`, and as `Bringing.resolve` does.
        """
        self._conversation.require_model()
        interface = published.interface
        session, agent_id = await self._database.read(lambda connection: self._admit(connection, published, token))
        limit, allowance = await self._count(interface, session)
        if agent_id != interface.agent_id:
            await self._database.write(lambda connection: self._prepare_thread(connection, published, session))
        found = await self._bringing.resolve(interface, session, brought)
        said = "\n".join([text, *(one.reference for one in brought)])
        checked = None if key is None else _key(session, token, said, key=key, clock=self._clock)
        sent = await self._store(published, session, text, found=found, key=checked)
        return Sent(
            execution_id=sent.result.execution_id or "",
            thread_id=sent.result.thread_id,
            replayed=sent.replayed,
            limit=limit,
            allowance=allowance,
        )

    async def _store(
        self,
        published: Published,
        session: VisitorSession,
        text: str,
        *,
        found: Sequence[NewSource],
        key: IdempotencyKey | None,
    ) -> Once[Message]:
        now = self._clock.now()

        def note(connection: Connection, message: Message) -> None:
            sessions.note_message(connection, session, message.execution_id, now=now)
            sources.add(connection, found, thread_id=message.thread_id, message_id=message.id, at=now)

        files = tuple(one.attachment_id for one in found if one.attachment_id is not None)
        draft = Draft(text=text, attachments=files)
        owner = owner_of(session)
        sent = await self._conversation.send(
            published.principal, session.id, draft, key=key, within=note, files_of=owner
        )
        if not sent.replayed:
            interface_id = published.interface.id
            await self._database.write(lambda connection: interfaces.count_message(connection, interface_id, at=now))
        return sent

    async def cancel(self, published: Published, token: str, execution_id: str) -> Execution:
        """Stop an answer of the session's own. Raises `NotFoundError`, `IllegalTransitionError`, and as `send` does."""

        def work(connection: Connection) -> VisitorSession:
            return sessions.get_active(connection, published.interface, token, now=self._clock.now())

        session = await self._database.read(work)
        if session.thread_id is None:
            raise NotFoundError
        return (await self._conversation.cancel(published.principal, session.thread_id, execution_id)).result

    def _admit(self, connection: Connection, published: Published, token: str) -> tuple[VisitorSession, str | None]:
        """The session, and who has answered in it so far."""
        interface = published.interface
        session = sessions.get_active(connection, interface, token, now=self._clock.now())
        try:
            agents.get(connection, published.principal, interface.agent_id)
        except NotFoundError as error:
            raise AgentUnavailableError from error
        thread_id = session.thread_id
        return session, None if thread_id is None else threads.find_agent_id(connection, thread_id)

    async def _count(self, interface: ChatInterface, session: VisitorSession) -> tuple[Limit, Allowance]:
        limit = Limit(interface.id, interface.rate_limit_messages, interface.rate_limit_window_seconds)
        allowance = await self._limiter.hit(limit, session.token_hash)
        shown = msgspec.structs.replace(limit, name=_SHOWN_LIMIT)
        if not allowance.allowed:
            raise _told(refusal(shown, allowance), allowance)
        return shown, allowance

    def _prepare_thread(self, connection: Connection, published: Published, session: VisitorSession) -> None:
        """One for what is said first, with the session's own id: so it can be followed before it is there, and of two
        firsts one makes it. In one that is there, the interface's agent answers from now on.
        """
        interface = published.interface
        metadata: dict[str, Any] = {"source": _SOURCE, "interfaceId": interface.id, "sessionId": session.id}
        metadata["agent_id"] = interface.agent_id
        if not sessions.lock_without_thread(connection, session.id):
            threads.change(connection, session.id, {"metadata": metadata})
            return
        title = (_TITLE + interface.name)[:TITLE_LENGTH]
        now = self._clock.now()
        thread = new_thread(published.principal, title=title, summary=None, metadata=metadata, now=now)
        threads.add(connection, msgspec.structs.replace(thread, id=session.id))
        sessions.change(connection, session.id, {"thread_id": session.id})


def _told(refused: TooManyRequestsError, allowance: Allowance) -> TooManyRequestsError:
    refused.extra["remaining"] = allowance.remaining
    return refused


def _key(session: VisitorSession, token: str, text: str, *, key: str, clock: Clock) -> IdempotencyKey:
    """The token is a key of its own for the digest: what is stored lets nobody try guesses."""
    return IdempotencyKey(session.id, key, sha256(f"{token}\n{text}".encode()).hexdigest(), clock.now())
