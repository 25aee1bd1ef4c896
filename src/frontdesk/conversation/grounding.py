"""What an answer stands on beside the conversation: what its visitor has brought is read before the model is asked, the
best of it goes along with the question, and what the answer used of it becomes its citations.
"""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import msgspec

from frontdesk.conversation.answer import Answer, Claim
from frontdesk.conversation.parts.telling import told_part
from frontdesk.conversation.tool_calls import repository as tool_calls
from frontdesk.database import Database
from frontdesk.errors import UnavailableError
from frontdesk.ports.language_model import AnswerPart, PartKind
from frontdesk.ports.thread_log import EventType, StaleAttemptError, ThreadLog
from frontdesk.retrieval.sources.citing import cited, excerpts, unread
from frontdesk.retrieval.sources.documents import Documents
from frontdesk.retrieval.sources.models import SEARCH_TOOL, FoundChunk, Source

_GIVEN = 4  # chunks that go along with a question
_GIVEN_TOKENS = 2_400  # by an estimate: small models have room for 4,096


class _Result(msgspec.Struct):
    label: str


class _Results(msgspec.Struct):
    results: list[_Result] = []


_decode_results = msgspec.json.Decoder(_Results).decode


class Grounds(msgspec.Struct, frozen=True):
    """`claim` is what is to be answered with all that belongs to it, `given` the chunks that are in it."""

    claim: Claim
    given: Sequence[FoundChunk]


class Grounding:
    def __init__(self, *, database: Database, log: ThreadLog, documents: Documents) -> None:
        self._database = database
        self._log = log
        self._documents = documents

    async def prepare(self, claim: Claim, answer: Answer) -> Grounds:
        """Read what is to be read, telling on the log how far that is, and give the best of it to the agent.

        What cannot be read or found keeps nobody from answering.
        """
        agent, thread_id = claim.agent, claim.execution.thread_id
        if agent is None:
            return Grounds(claim, ())

        def report(source: Source, told: dict[str, Any]) -> None:
            self._tell(answer, source, told)

        known = await self._documents.read_pending(thread_id, claim.execution.user_message_id, report)
        found: Sequence[FoundChunk] = ()
        with suppress(UnavailableError):
            found = await self._documents.best(thread_id, _question(claim), count=_GIVEN, tokens=_GIVEN_TOKENS)
        note = excerpts(found, unread(known, claim.execution.user_message_id))
        more = [] if SEARCH_TOOL in agent.tools else [SEARCH_TOOL]
        equipped = msgspec.structs.replace(agent, tools=[*agent.tools, *more])
        return Grounds(msgspec.structs.replace(claim, history=_with_note(claim.history, note), agent=equipped), found)

    async def cite(self, answer: Answer, grounds: Grounds) -> None:
        """Tell and keep what the answer has used. The labels of an answer that was begun elsewhere count too."""
        execution = answer.execution
        calls = await self._database.read(lambda connection: tool_calls.list_calls(connection, execution.id))
        known = {chunk.label: chunk for chunk in grounds.given}
        sought = dict.fromkeys(
            label for call in calls if call.tool == SEARCH_TOOL for label in _labels(call.content) if label not in known
        )
        more = await self._documents.list_labelled(execution.thread_id, list(sought))
        used = cited(answer.text, [*known.values(), *more])
        parts = [AnswerPart(PartKind.citation, f"cite-{one.chunk.label}", one.told()) for one in used]
        entries = [told_part(part) for part in answer.take_parts(parts)]
        if entries:
            answer.cursor = self._log.append(execution.thread_id, execution.id, execution.attempt, entries=entries)

    def _tell(self, answer: Answer, source: Source, told: dict[str, Any]) -> None:
        execution = answer.execution
        shown = {"index": source.source_index, "type": source.source_type, "name": source.source_name}
        payload = msgspec.json.encode({"status": "reading", "attachment": shown, **told})
        entries = [(EventType.progress, payload)]
        with suppress(StaleAttemptError):  # the next word on the log ends this attempt
            answer.cursor = self._log.append(execution.thread_id, execution.id, execution.attempt, entries=entries)


def _question(claim: Claim) -> str:
    asked = claim.history[-1]["content"] if claim.history else ""
    return asked if isinstance(asked, str) else ""


def _with_note(history: Sequence[dict[str, Any]], note: str) -> list[dict[str, Any]]:
    """Behind the question, with the authority of whoever asks it."""
    if not note or not history:
        return list(history)
    last = history[-1]
    return [*history[:-1], {**last, "content": f"{last['content']}\n\n{note}"}]


def _labels(content: str | None) -> list[str]:
    try:
        return [one.label for one in _decode_results(content or "{}").results]
    except msgspec.MsgspecError:
        return []
