"""The requests that are answered with a stream: whatever begins an answer, or lets one go on."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec
from chatkit import types
from starlette.requests import Request
from starlette.responses import Response

from frontdesk.conversation.drafts import ACTION, Draft, IfActive
from frontdesk.conversation.executions.models import FINISHED, ExecutionState
from frontdesk.conversation.history import Begun
from frontdesk.conversation.messages.models import Message, Role
from frontdesk.conversation.threads.models import TITLE_LENGTH, Thread
from frontdesk.conversation.tool_calls.inputs import CallPlace
from frontdesk.conversation.tool_calls.models import AWAITING, SETTLED, CallState, ToolCall
from frontdesk.errors import FrontdeskError, NotFoundError
from frontdesk.http.routing import arrived_at
from frontdesk.http.services import Services, services
from frontdesk.identity.principal import Principal
from frontdesk.surfaces.chatkit import frames
from frontdesk.surfaces.chatkit.course import Place
from frontdesk.surfaces.chatkit.encoding import AnswerEncoder, AnswerStream
from frontdesk.surfaces.chatkit.images import image_links
from frontdesk.surfaces.chatkit.items import (
    METADATA,
    StoredCourse,
    items_of,
    message_id_of,
    place_of_answer,
    thread_of,
    user_item,
)
from frontdesk.surfaces.chatkit.questions import LEAVE, TOOL, decision, submitted
from frontdesk.surfaces.chatkit.reading import UntilWaiting
from frontdesk.surfaces.chatkit.requests import BadChatRequestError, SimpleRequest, kept_of, text_of
from frontdesk.surfaces.chatkit.simple import SimpleEncoder, SimpleStream

_TITLE = 60  # characters of the first message that name a thread
STOP = "frontdesk.stop"


class Answers:
    """Of one request, on behalf of `caller`."""

    def __init__(self, request: Request, caller: Principal) -> None:
        self._request = request
        self._caller = caller
        self._held: Services = services(request)
        self._images = image_links(request, caller)

    async def create(self, asked: types.ThreadsCreateReq) -> Response:
        message = asked.params.input
        text = text_of(message)
        thread = await self._new_thread(text, asked.metadata)
        sent = await self._send_first(thread, self._draft(message, text, {}))
        opening = frames.frame("thread.created", thread=thread_of(thread))
        return await self._follow_new(sent, opening=opening)

    async def add_message(self, asked: types.ThreadsAddUserMessageReq) -> Response:
        message, thread_id = asked.params.input, asked.params.thread_id
        text = text_of(message)
        draft = self._draft(message, text, {}, if_active=await self._if_active(thread_id))
        return await self._follow_new(await self._send(thread_id, draft))

    async def simple(self, asked: SimpleRequest) -> Response:
        text = asked.message.content
        if asked.thread_id is None:
            sent = await self._send_first(await self._new_thread(text, {}), Draft(text=text, is_metered=True))
        else:
            if_active = await self._if_active(asked.thread_id)
            sent = await self._send(asked.thread_id, Draft(text=text, is_metered=True, if_active=if_active))
        execution_id = sent.execution_id or ""
        place = await self._place(sent.thread_id, execution_id)
        encoder = SimpleEncoder(place)
        reader = await self._held.feed.join(sent.thread_id, execution_id)
        return SimpleStream(UntilWaiting(reader, encoder), encoder, self._held.streams)

    async def retry(self, asked: types.ThreadsRetryAfterItemReq) -> Response:
        """Another answer beside the one that the message had; the branch goes on behind it."""
        thread_id, message_id = asked.params.thread_id, message_id_of(asked.params.item_id)
        entry = await self._held.history.get_message(self._caller, thread_id, message_id)
        if entry.message.role is not Role.user or asked.params.item_id != message_id:
            raise BadChatRequestError("Only a user's message can be answered again")
        answer = await self._held.conversation.regenerate(
            self._caller, thread_id, message_id, model=None, if_active=IfActive.interrupt, is_metered=True
        )
        return await self._follow_answer(thread_id, answer.result.execution_id or "", opening=b"")

    async def act(self, asked: types.ThreadsCustomActionReq) -> Response:
        if asked.params.action.type == STOP:
            await self._held.conversation.stop_all(self._caller, asked.params.thread_id)
            return self._nothing_more(b"")
        place = await self.begin_action(asked.params)
        encoder = AnswerEncoder(place, opening=self._options())
        return await self._joined(encoder, place)

    async def begin_action(self, asked: types.ThreadCustomActionParams) -> Place:
        """The agent is told what was done, by a message that nobody sees. Raises `NotFoundError`."""
        self._held.conversation.require_model()
        senders = {} if asked.item_id is None else await self._sender(asked.thread_id, asked.item_id)
        told = {"type": asked.action.type, "payload": asked.action.payload, "item_id": asked.item_id}
        written = msgspec.json.encode(asked.action.payload).decode()
        draft = Draft(
            text=f"[Action] {asked.action.type} {written}",
            metadata={ACTION: told},
            if_active=await self._if_active(asked.thread_id),
            is_metered=True,
        )
        sent = await self._send(asked.thread_id, draft)
        return msgspec.structs.replace(await self._place(asked.thread_id, sent.execution_id or ""), senders=senders)

    async def add_output(self, asked: types.ThreadsAddClientToolOutputReq) -> Response:
        """The result of the one call that was offered; it is named by nothing, unless `metadata.call_id` says it."""
        thread_id = asked.params.thread_id
        begun = await self._held.history.find_latest_answer(self._caller, thread_id)
        if begun is None:
            return self._nothing_more(b"")
        call = self._awaited_of_client(begun, asked.metadata.get("call_id"))
        if call is None:
            return await self._rejoin(begun)
        content = msgspec.json.encode(asked.params.result).decode()
        if isinstance(asked.params.result, str):
            content = asked.params.result
        return await self._bring(begun, call, content=content)

    async def add_input(self, asked: types.ThreadsAddStructuredInputReq) -> Response:
        thread_id, item_id = asked.params.thread_id, asked.params.item_id
        entry = await self._held.history.get_message(self._caller, thread_id, message_id_of(item_id))
        execution_id = entry.message.execution_id
        kind, _, call_id = item_id.partition(".")[2].partition(".")
        calls = [call for step in entry.steps for call in step.calls if call.call_id == call_id and kind == "q"]
        if execution_id is None or not calls:
            raise NotFoundError
        begun = await self._held.history.get_answer(self._caller, thread_id, execution_id)
        (call,) = calls
        if call.state not in AWAITING:
            return await self._rejoin(begun)
        if call.state in LEAVE:
            decided, feedback = decision(asked.params.input)
            place = CallPlace(thread_id, execution_id, call_id)
            await self._held.inputs.decide(self._caller, place, decision=decided, feedback=feedback)
            return await self._go_on(begun, call, is_question=True)
        return await self._bring(begun, call, content=submitted(asked.params.input), is_question=True)

    async def _bring(self, begun: Begun, call: ToolCall, *, content: str, is_question: bool = False) -> Response:
        place = CallPlace(begun.thread.id, begun.execution.id, call.call_id)
        await self._held.inputs.bring_result(self._caller, place, content=content, is_error=False)
        return await self._go_on(begun, call, is_question=is_question)

    async def _go_on(self, before: Begun, call: ToolCall, *, is_question: bool) -> Response:
        """What comes behind a call that has what it waited for: the next one that waits, or the answer."""
        thread_id, execution_id = before.thread.id, before.execution.id
        begun = await self._held.history.get_answer(self._caller, thread_id, execution_id)
        course = StoredCourse(begun.entry)
        opening = self._options()
        if is_question and (asked := course.items.get(f"{begun.entry.message.id}.q.{call.call_id}")) is not None:
            opening += frames.frame("thread.item.replaced", item=asked)
        waiting = [each for step in begun.entry.steps for each in step.calls if each.state in AWAITING]
        if waiting and begun.execution.state not in FINISHED:
            return self._static(opening + (b"" if is_question else self._offer(begun)))
        stored = StoredCourse(before.entry)
        stored.finish()
        place, resumed = stored.place, before.execution
        after = resumed.resume_cursor if resumed.state is ExecutionState.waiting else None
        reader = await self._held.feed.open(self._caller, thread_id, execution_id, after=after)
        encoder = AnswerEncoder(place, opening=opening, behind=None if after else call.call_id)
        return AnswerStream(UntilWaiting(reader, encoder), encoder, self._held.streams)

    async def _rejoin(self, begun: Begun) -> Response:
        """What was brought was brought before: whoever lost the stream behind it gets that again."""
        calls = [call for call in _calls(begun) if call.state in SETTLED]
        if not calls or begun.execution.state in FINISHED:
            return self._nothing_more(b"")
        if any(call.state in AWAITING for call in _calls(begun)):
            return self._static(self._options() + self._offer(begun))
        last = max(calls, key=lambda call: call.finished_at or call.created_at)
        text = sum(len(step.text) for step in begun.entry.steps)
        message = msgspec.structs.replace(begun.entry.message, text=begun.entry.message.text[:text])
        stored = StoredCourse(msgspec.structs.replace(begun.entry, message=message))
        stored.finish()
        reader = await self._held.feed.open(self._caller, begun.thread.id, begun.execution.id)
        encoder = AnswerEncoder(stored.place, opening=self._options(), behind=last.call_id)
        return AnswerStream(UntilWaiting(reader, encoder), encoder, self._held.streams)

    def _awaited_of_client(self, begun: Begun, call_id: object) -> ToolCall | None:
        """Which call an output is for. One that came before the call was offered repeats an earlier one."""
        if call_id is not None:
            return next((call for call in _offers(begun) if call.call_id == call_id), None)
        offered = self._offered(begun)
        earlier = None if offered is None else _offered_behind(begun, offered)
        return None if earlier is not None and arrived_at(self._request) < earlier else offered

    def _offer(self, begun: Begun) -> bytes:
        offered = self._offered(begun)
        if offered is None:
            return b""
        item = StoredCourse(begun.entry).items.get(f"{begun.entry.message.id}.c.{offered.call_id}")
        return b"" if item is None else frames.frame("thread.item.done", item=item)

    @staticmethod
    def _offered(begun: Begun) -> ToolCall | None:
        return next(iter(_offers(begun)), None)

    async def _new_thread(self, text: str, metadata: Mapping[str, Any]) -> Thread:
        """Its agent is the one that the request names, or else the configuration. Raises `NotAllowedError`."""
        self._held.conversation.require_model()
        agent_id = metadata.get("agent_id") or self._held.settings.chatkit_agent_id
        named = {"agent_id": agent_id} if isinstance(agent_id, str) else {}
        made = await self._held.threads.create(self._caller, title=title_of(text), summary=None, metadata=named)
        return made.result

    async def _send_first(self, thread: Thread, draft: Draft) -> Message:
        """A thread whose first message is refused was never there."""
        try:
            return await self._send(thread.id, draft)
        except FrontdeskError:
            await self._held.threads.delete(self._caller, thread.id, purge=True)
            raise

    async def _send(self, thread_id: str, draft: Draft) -> Message:
        self._held.conversation.require_model()
        return (await self._held.conversation.send(self._caller, thread_id, draft)).result

    async def _if_active(self, thread_id: str) -> IfActive:
        """A new message waits for the answer under way, but not for one that itself waits for the user.

        The user is asked before the answer has gone to wait: their calls say it first.
        """
        begun = await self._held.history.find_latest_answer(self._caller, thread_id)
        if begun is None or begun.execution.state in FINISHED:
            return IfActive.queue
        states = {call.state for call in _calls(begun)}
        return IfActive.interrupt if states & AWAITING and CallState.requested not in states else IfActive.queue

    @staticmethod
    def _draft(
        message: types.UserMessageInput,
        text: str,
        metadata: dict[str, Any],
        *,
        if_active: IfActive = IfActive.reject,
    ) -> Draft:
        kept = kept_of(message)
        return Draft(
            text=text,
            model=message.inference_options.model,
            attachments=tuple(message.attachments),
            metadata={**metadata, METADATA: kept} if kept else metadata,
            if_active=if_active,
            is_metered=True,
        )

    async def _sender(self, thread_id: str, item_id: str) -> dict[str, datetime]:
        entry = await self._held.history.get_message(self._caller, thread_id, message_id_of(item_id))
        found = {item["id"]: item["created_at"] for item in items_of(entry, self._images) if item["type"] == "widget"}
        if item_id not in found:
            raise BadChatRequestError("The action's sender is no widget")
        return {item_id: found[item_id]}

    async def _follow_new(self, sent: Message, *, opening: bytes = b"") -> Response:
        opening += frames.frame("thread.item.done", item=user_item(sent, self._images))
        return await self._follow_answer(sent.thread_id, sent.execution_id or "", opening=opening)

    async def _follow_answer(self, thread_id: str, execution_id: str, *, opening: bytes) -> Response:
        """From its start: it has just been begun here."""
        place = await self._place(thread_id, execution_id)
        return await self._joined(AnswerEncoder(place, opening=opening + self._options()), place)

    async def _joined(self, encoder: AnswerEncoder, place: Place) -> Response:
        reader = await self._held.feed.join(place.thread_id, place.execution_id)
        return AnswerStream(UntilWaiting(reader, encoder), encoder, self._held.streams)

    async def _place(self, thread_id: str, execution_id: str) -> Place:
        begun = await self._held.history.get_answer(self._caller, thread_id, execution_id)
        return place_of_answer(begun.entry.message)

    def _options(self) -> bytes:
        return frames.stream_options(allow_cancel=self._held.settings.chatkit_allow_cancel)

    def _nothing_more(self, opening: bytes) -> Response:
        return self._static(opening + self._options())

    @staticmethod
    def _static(body: bytes) -> Response:
        return Response(body, 200, {"Cache-Control": "no-cache"}, "text/event-stream")


def title_of(text: str) -> str | None:
    """The beginning of what was first said, on one line."""
    line = " ".join(text.split())
    shown = line if len(line) <= _TITLE else line[: _TITLE - 1].rsplit(" ", 1)[0] + "…"
    return shown[:TITLE_LENGTH] or None


def _calls(begun: Begun) -> list[ToolCall]:
    return [call for step in begun.entry.steps for call in step.calls]


def _offers(begun: Begun) -> list[ToolCall]:
    return [call for call in _calls(begun) if call.state is CallState.awaiting_result and call.tool != TOOL]


def _offered_behind(begun: Begun, offered: ToolCall) -> datetime | None:
    """When it was its turn, if another call had its result before."""
    before = [call.finished_at for call in _calls(begun) if call.finished_at is not None and call.id < offered.id]
    return max(*before, offered.created_at) if before else None
