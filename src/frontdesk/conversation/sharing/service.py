"""Makes, lists, ends and reads shares. What is stored of a token is its digest alone."""

import re
import secrets
from collections.abc import Iterable
from datetime import datetime
from functools import partial
from hashlib import sha256

from sqlalchemy import Connection

from frontdesk.conversation.messages import branch
from frontdesk.conversation.messages.models import Message, MessageStatus, Role
from frontdesk.conversation.sharing import repository
from frontdesk.conversation.sharing.models import Share, SharedMessage, Snapshot
from frontdesk.conversation.threads import repository as threads
from frontdesk.conversation.threads.models import Thread
from frontdesk.database import Database
from frontdesk.errors import NotFoundError, TooManySharesError
from frontdesk.identity import access
from frontdesk.identity.principal import Principal
from frontdesk.identity.standings import read_standing
from frontdesk.kit.clock import Clock
from frontdesk.kit.ids import new_id

MAX_SHARES = 20
MAX_MESSAGES = 1_000
MAX_CHARACTERS = 1_000_000
_BYTES = 24
_TOKEN = re.compile(r"[A-Za-z0-9_-]{32}", re.ASCII)
_UNDER_WAY = frozenset({MessageStatus.queued, MessageStatus.running})


class SharingService:
    def __init__(self, *, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def share(self, principal: Principal, thread_id: str) -> tuple[Share, str]:
        """A copy of the branch in use as it is now, the latest `MAX_MESSAGES` of it and `MAX_CHARACTERS` at most, and
        the token that opens it, which is told this once.

        Raises `NotFoundError`, `NotAllowedError`, and `TooManySharesError` beyond `MAX_SHARES` of a thread.
        """
        token, now = secrets.token_urlsafe(_BYTES), self._clock.now()

        def work(connection: Connection) -> Share:
            thread = threads.get(connection, principal, thread_id, lock=True)
            if repository.count(connection, thread_id) >= MAX_SHARES:
                raise TooManySharesError
            latest = branch.list_backwards(connection, thread, start=None, limit=MAX_MESSAGES + 1)
            messages = _within_bounds(latest)
            is_cut = len(latest) > MAX_MESSAGES or len(messages) < sum(map(_is_shown, latest))
            share = _share(thread, messages, is_cut=is_cut, now=now)
            repository.add(connection, share, digest=_digest(token), messages=messages)
            return share

        return await self._database.write(work), token

    async def list_shares(self, principal: Principal, thread_id: str) -> list[Share]:
        """The latest first. Raises `NotFoundError`, `NotAllowedError`."""

        def work(connection: Connection) -> list[Share]:
            threads.get(connection, principal, thread_id)
            return repository.list_all(connection, thread_id)

        return await self._database.read(work)

    async def revoke(self, principal: Principal, thread_id: str, share_id: str) -> None:
        """From the commit on nobody reads it. Raises `NotFoundError`, `NotAllowedError`."""

        def work(connection: Connection) -> None:
            threads.get(connection, principal, thread_id, lock=True)
            if not repository.erase(connection, thread_id, share_id):
                raise NotFoundError

        await self._database.write(work)

    async def read(self, token: str) -> Snapshot:
        """For whoever has the token, as long as the owner could open the thread. Raises `NotFoundError`."""
        if _TOKEN.fullmatch(token) is None:
            raise NotFoundError
        found = await self._database.read(partial(_find_readable, digest=_digest(token)))
        if found is None:
            raise NotFoundError
        return found


def _find_readable(connection: Connection, digest: str) -> Snapshot | None:
    found = repository.find_open(connection, digest)
    owner = None if found is None else read_standing(connection, found.owner_id)
    if found is None or owner is None or not owner.is_active:
        return None
    return found.snapshot if access.may_use_metadata(owner.principal, found.metadata) else None


def _share(thread: Thread, messages: list[SharedMessage], *, is_cut: bool, now: datetime) -> Share:
    return Share(
        id=new_id(),
        thread_id=thread.id,
        user_id=thread.user_id,
        title=thread.title,
        message_count=len(messages),
        is_cut=is_cut,
        created_at=now,
    )


def _is_shown(message: Message) -> bool:
    is_answer = message.role is Role.assistant and message.status not in _UNDER_WAY and message.text != ""
    return is_answer or message.role is Role.user


def _within_bounds(latest: Iterable[Message]) -> list[SharedMessage]:
    """Oldest first; of too many or too long ones the latest."""
    taken: list[SharedMessage] = []
    characters = 0
    for message in filter(_is_shown, latest):
        characters += len(message.text)
        if len(taken) == MAX_MESSAGES or (taken and characters > MAX_CHARACTERS):
            break
        taken.append(_shared(message))
    return taken[::-1]


def _shared(message: Message) -> SharedMessage:
    files = message.metadata.get("attachments")
    names = [each.get("name") for each in files if isinstance(each, dict)] if isinstance(files, list) else []
    return SharedMessage(
        role=message.role.value,
        text=message.text,
        created_at=message.created_at,
        files=tuple(name for name in names if isinstance(name, str)),
    )


def _digest(token: str) -> str:
    """A fast hash is enough: nobody guesses 192 random bits."""
    return sha256(token.encode()).hexdigest()
