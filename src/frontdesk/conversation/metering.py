"""The limits of whoever sends, before anything is stored."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from sqlalchemy import Connection

from frontdesk.conversation.messages import repository as messages
from frontdesk.conversation.threads import repository as threads
from frontdesk.database import Database
from frontdesk.identity.message_limits import MessageLimits, Reserved, prompt_tokens
from frontdesk.identity.principal import Principal

_MOST_MESSAGES = 100  # of a branch are reckoned with


@dataclass(frozen=True)
class Question:
    """What is to be answered: what follows `parent_id`, or else the thread's end, and the `text` behind that."""

    principal: Principal
    thread_id: str
    text: str = ""
    parent_id: str | None = None


@dataclass
class Admission:
    """`reserved` is None where nothing is limited. One that was not used has not counted."""

    reserved: Reserved | None = None
    is_used: bool = False


class Metering:
    def __init__(self, database: Database, limits: MessageLimits) -> None:
        self._database = database
        self._limits = limits

    @asynccontextmanager
    async def admitted(self, question: Question, *, is_metered: bool) -> AsyncIterator[Admission]:
        """Around what stores a message and begins its answer.

        Raises `NotFoundError`, `NotAllowedError`, `LimitReachedError`, where it is metered.
        """
        if not is_metered:
            yield Admission()
            return
        asked = await self._database.read(lambda connection: _tokens(connection, question))
        reserved = await self._limits.admit(question.principal, asked=asked)
        admission = Admission(reserved)
        try:
            yield admission
        finally:
            if not admission.is_used:
                await self._limits.give_back(question.principal, reserved)


def _tokens(connection: Connection, question: Question) -> int:
    thread = threads.get(connection, question.principal, question.thread_id)
    said = [question.text] if question.text else []
    if (leaf := question.parent_id or thread.leaf_message_id) is not None:
        said += [text for _, text, _ in messages.list_branch(connection, thread.id, leaf, limit=_MOST_MESSAGES)]
    return prompt_tokens([{"content": text} for text in said])
