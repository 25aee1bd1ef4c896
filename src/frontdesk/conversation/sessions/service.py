"""Sessions as records: opening, finding and ending them, and the messages in them."""

import secrets
from base64 import urlsafe_b64encode
from collections.abc import Awaitable, Callable
from contextlib import suppress
from hashlib import sha256
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from frontdesk.agents import repository as agents
from frontdesk.conversation.drafts import Draft
from frontdesk.conversation.messages import repository as messages
from frontdesk.conversation.messages.models import Message
from frontdesk.conversation.service import ConversationService
from frontdesk.conversation.sessions import repository as sessions
from frontdesk.conversation.sessions.models import GatewaySession, HeldSession
from frontdesk.conversation.threads import repository as threads
from frontdesk.conversation.threads.service import ThreadService, new_thread
from frontdesk.database import Database
from frontdesk.database.idempotency import IdempotencyKey, Once, once
from frontdesk.errors import NotFoundError
from frontdesk.identity import access
from frontdesk.identity.principal import Principal, PrincipalKind
from frontdesk.kit.clock import Clock
from frontdesk.kit.ids import is_id, new_id
from frontdesk.ports.thread_log import ThreadLog

_SESSION_ID_BYTES = 24
Permit = Callable[[], Awaitable[None]]


class SessionService:
    """A caller of None has no account: what they open belongs to a visitor made for it."""

    def __init__(
        self,
        *,
        database: Database,
        log: ThreadLog,
        threads: ThreadService,
        conversation: ConversationService,
        clock: Clock,
    ) -> None:
        self._database = database
        self._log = log
        self._threads = threads
        self._conversation = conversation
        self._clock = clock

    async def create(
        self,
        caller: Principal | None,
        *,
        title: str | None,
        metadata: dict[str, Any],
        key: IdempotencyKey | None = None,
    ) -> Once[HeldSession]:
        """`metadata` may name the `agent_id` that answers. Raises `NotAllowedError`, and `NotFoundError` for an agent
        that is not there for the caller.
        """
        principal = caller or Principal(kind=PrincipalKind.visitor, id=new_id())
        access.use_metadata(principal, metadata)
        now = self._clock.now()
        thread = new_thread(principal, title=title, summary=None, metadata=metadata, now=now)
        session = GatewaySession(
            id=secrets.token_urlsafe(_SESSION_ID_BYTES),
            thread_id=thread.id,
            owner_kind=principal.kind,
            owner_id=principal.id,
            created_at=now,
        )

        def effect(connection: Connection) -> HeldSession:
            _require_agent(connection, principal, metadata.get("agent_id"))
            threads.add(connection, thread)
            sessions.add(connection, session)
            return HeldSession(session=session, principal=principal, thread=thread)

        def work(connection: Connection) -> Once[HeldSession]:
            made = once(connection, key, HeldSession, effect=lambda: effect(connection))
            if made.replayed:
                return Once(sessions.get(connection, caller, made.result.session.id), replayed=True)
            return made

        return await self._database.write(work)

    async def open_named(
        self, principal: Principal, name: str, *, permit: Permit | None = None
    ) -> tuple[Principal, str]:
        """The conversation that a caller calls so: a session that they hold or a thread of theirs with this id, or the
        session of theirs with this name, which is made if there is none. In whose name it is used, and the thread's id.

        `permit` is asked before one is made. Raises `NotAllowedError`, and what `permit` raises.
        """
        session_id = _id_of_named(principal, name)

        def find(connection: Connection) -> tuple[Principal, str] | None:
            for known in (name, session_id):
                with suppress(NotFoundError):
                    held = sessions.get(connection, principal, known)
                    return held.principal, held.thread.id
            with suppress(NotFoundError):
                return (principal, threads.get(connection, principal, name).id) if is_id(name) else None
            return None

        def make(connection: Connection) -> tuple[Principal, str]:
            now = self._clock.now()
            thread = new_thread(principal, title=None, summary=None, metadata={}, now=now)
            threads.add(connection, thread)
            session = GatewaySession(
                id=session_id, thread_id=thread.id, owner_kind=principal.kind, owner_id=principal.id, created_at=now
            )
            sessions.add_or_move(connection, session)
            return principal, thread.id

        found = await self._database.read(find)
        if found is None and permit is not None:
            await permit()
        while found is None:
            with suppress(IntegrityError):  # somebody has made it in this moment
                found = await self._database.write(lambda connection: find(connection) or make(connection))
        return found

    async def get(self, caller: Principal | None, session_id: str) -> HeldSession:
        """Raises `NotFoundError`, `NotAllowedError`."""
        return await self._database.read(lambda connection: sessions.get(connection, caller, session_id))

    async def list_messages(
        self, caller: Principal | None, session_id: str, *, after: str | None, limit: int
    ) -> tuple[list[Message], bool]:
        """Oldest first, from behind the message `after`, and whether there are more. Raises `NotFoundError`."""

        def work(connection: Connection) -> list[Message]:
            thread_id = sessions.get(connection, caller, session_id).thread.id
            position = 0 if after is None else messages.get(connection, thread_id, after).position
            return messages.list_following(connection, thread_id, after=position, limit=limit + 1)

        found = await self._database.read(work)
        return found[:limit], len(found) > limit

    async def add_message(
        self,
        caller: Principal | None,
        session_id: str,
        draft: Draft,
        *,
        respond: bool,
        key: IdempotencyKey | None = None,
    ) -> Once[Message]:
        """Store a message and, to `respond`, begin its answer by the session's agent.

        Raises `NotFoundError`, `NotAllowedError`, `ExecutionActiveError`.
        """
        held = await self.get(caller, session_id)
        add = self._conversation.send if respond else self._conversation.append
        return await add(held.principal, held.thread.id, draft, key=key)

    async def delete(self, caller: Principal | None, session_id: str) -> None:
        """Hide its thread, stop its answers and end its feeds. Raises `NotFoundError`, `NotAllowedError`."""
        held = await self.get(caller, session_id)
        await self._threads.delete(held.principal, held.thread.id, purge=False)
        self._log.discard(held.thread.id, [])  # its readers look where they are, and find it gone


def _id_of_named(principal: Principal, name: str) -> str:
    """The same in every process. Whose a name is, is part of it: nobody meets another's session by its name."""
    digest = sha256(f"{principal.kind}\n{principal.id}\n{name}".encode()).digest()
    return f"n-{urlsafe_b64encode(digest).decode().rstrip('=')}"


def _require_agent(connection: Connection, principal: Principal, agent_id: object) -> None:
    """An id of another form is a label of the caller's own."""
    if (
        isinstance(agent_id, str)
        and is_id(agent_id)
        and agents.find(connection, agent_id, user_id=principal.id) is None
    ):
        raise NotFoundError("There is no such agent")
