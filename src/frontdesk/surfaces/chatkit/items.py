"""What is stored of a thread, as the protocol's threads and items."""

from collections.abc import Sequence
from typing import Any

import msgspec

from frontdesk.conversation.attaching import KEY as ATTACHMENTS
from frontdesk.conversation.drafts import ACTION
from frontdesk.conversation.history import Entry, History
from frontdesk.conversation.messages.models import Message, Role
from frontdesk.conversation.parts.models import Part
from frontdesk.conversation.threads.models import Thread
from frontdesk.conversation.tool_calls.models import AWAITING, AnswerStep, CallState, ToolCall
from frontdesk.conversation.tool_calls.telling import decoded
from frontdesk.errors import NotFoundError
from frontdesk.identity.principal import Principal
from frontdesk.kit.ids import is_id
from frontdesk.ports.language_model import ActivityState, PartKind
from frontdesk.surfaces.chatkit import checks
from frontdesk.surfaces.chatkit.course import Call, Course, Json, Place
from frontdesk.surfaces.chatkit.images import ImageLinks
from frontdesk.surfaces.chatkit.questions import LEAVE, TOOL

DEFAULT_LIMIT, MAX_LIMIT = 20, 100
METADATA = "chatkit"  # in a message's metadata: what it had beside its text
_NEVER_ASKED = frozenset({"unknown_tool", "bad_arguments", "interrupted"})


def thread_of(thread: Thread, page: Json | None = None) -> Json:
    shown: Json = {"id": thread.id, "created_at": thread.created_at, "status": {"type": "active"}, "metadata": {}}
    if thread.title is not None:
        shown["title"] = thread.title
    return {**shown, "items": page or {"data": [], "has_more": False}}


def items_of(entry: Entry, images: ImageLinks) -> list[Json]:
    """Oldest first; none for what is hidden, and for what other surfaces keep."""
    message = entry.message
    if message.role is Role.user:
        return [] if ACTION in message.metadata else [user_item(message, images)]
    if message.role is not Role.assistant:
        return []
    course = StoredCourse(entry)
    course.finish()
    return list(course.items.values())


def user_item(message: Message, images: ImageLinks) -> Json:
    item: Json = {
        "id": message.id,
        "thread_id": message.thread_id,
        "created_at": message.created_at,
        "type": "user_message",
        "content": [{"type": "input_text", "text": message.text}],
        "attachments": _attachments(message, images),
        "inference_options": {},
    }
    told = message.metadata.get(METADATA)
    if isinstance(told, dict):
        kept = {name: told[name] for name in ("content", "quoted_text", "inference_options") if name in told}
        return checks.user_message({**item, **kept}) or item
    return item


def place_of_answer(message: Message) -> Place:
    return Place(
        thread_id=message.thread_id,
        message_id=message.id,
        created_at=message.created_at,
        execution_id=message.execution_id or "",
    )


def _attachments(message: Message, images: ImageLinks) -> list[Json]:
    told = message.metadata.get(ATTACHMENTS)
    files = told if isinstance(told, list) else []
    shown = [
        images.kind(one["id"], one["media_type"])
        | {"id": one["id"], "name": one["name"], "mime_type": one["media_type"]}
        for one in files
        if isinstance(one, dict) and all(isinstance(one.get(name), str) for name in ("id", "name", "media_type"))
    ]
    return [{**one, "thread_id": message.thread_id} for one in shown]


class StoredCourse(Course):
    """An answer's course as far as it is stored: `items` by their ids, as they are now."""

    def __init__(self, entry: Entry) -> None:
        message = entry.message
        super().__init__(place_of_answer(message))
        self.items: dict[str, Json] = {}
        self._left = list(entry.parts)
        spoken = "".join(step.text for step in entry.steps)  # what is stored of the message may be a little behind
        self._stored = max(message.text, spoken, key=len)
        for step in entry.steps:
            self._follow(self._parts_until(step.number), until=self._length + len(step.text))
            self._make(step)
        self._follow(self._left, until=len(self._stored))

    def _parts_until(self, step: int) -> list[Part]:
        taken = [part for part in self._left if part.step <= step]
        self._left = self._left[len(taken) :]
        return taken

    def _follow(self, parts: Sequence[Part], *, until: int) -> None:
        for part in parts:
            self._say_until(min(part.at, until))
            self._add(part)
        self._say_until(until)

    def _say_until(self, place: int) -> None:
        if place > self._length:
            self.say(self._stored[self._length : place])

    def _add(self, part: Part) -> None:
        if part.kind is PartKind.widget:
            self.show_widget(part.key, part.data)
        elif part.kind is PartKind.image:
            self.show_image(part.key, part.data)
        elif part.kind is PartKind.citation:
            self.cite(part.data)
        elif part.kind is PartKind.activity:
            call = msgspec.convert(part.data, Call)
            self.start_call(call)
            if call.state != ActivityState.running:
                self.end_call(call, failed=call.state == ActivityState.failed)

    def _make(self, step: AnswerStep) -> None:
        """As they were told: what was made at once, what somebody was asked, and what was made with their leave."""
        asked = [call for call in step.calls if _was_asked(call)]
        for call in [call for call in step.calls if call.started_at is not None and call.decision is None]:
            self._made(call)
        has_offered = False
        for call in asked:
            is_offer = call.state is CallState.awaiting_result
            if not (is_offer and has_offered):
                self._ask(call)
            has_offered = has_offered or (is_offer and call.tool != TOOL)
        for call in [call for call in asked if call.started_at is not None]:
            self._made(call)

    def _made(self, call: ToolCall) -> None:
        told = told_call(call)
        self.start_call(told)
        if call.state is not CallState.running:
            self.end_call(told, failed=call.state is CallState.failed)

    def _ask(self, call: ToolCall) -> None:
        told = told_call(call)
        is_open = call.state in AWAITING
        brought = None if is_open else decoded(call.content or "")
        if call.state in LEAVE or call.decision is not None:
            self.ask_user(told, leave=call.decision or "")
            if call.state is not CallState.awaiting_result:
                return
        answer = brought if isinstance(brought, dict) else None
        if call.tool == TOOL and (is_open or answer is not None) and self.ask_user(told, answer=answer):
            return
        self.ask_client(told, output=None if is_open else _output(brought))

    def _added(self, item: Json) -> None:
        self._note(item["id"])

    def _done(self, item: Json) -> None:
        self._note(item["id"])
        self.items[item["id"]] = item

    def _replaced(self, item: Json) -> None:
        if item["id"] in self.items:
            self.items[item["id"]] = item

    def _tell(self, told: bytes) -> None:
        """Nobody follows."""

    def _delta(self, text: Any, said: str) -> None:
        """Nobody follows."""


def told_call(call: ToolCall) -> Call:
    return Call(
        call_id=call.call_id,
        tool=call.tool,
        state=call.state,
        arguments=decoded(call.arguments),
        step=call.step,
    )


def _was_asked(call: ToolCall) -> bool:
    if call.decision is not None or call.state in AWAITING:
        return True
    return call.started_at is None and call.state is not CallState.requested and call.error_code not in _NEVER_ASKED


def _output(brought: Any) -> Json:
    return {} if brought is None else {"output": brought}


def message_id_of(item_id: str) -> str:
    """The message that an item belongs to. Raises `NotFoundError` for what is no id of ours."""
    message_id = item_id.partition(".")[0]
    if not is_id(message_id):
        raise NotFoundError
    return message_id


class Items:
    """Pages of a thread's items."""

    def __init__(self, history: History, images: ImageLinks) -> None:
        self._history = history
        self._images = images

    async def page(
        self, principal: Principal, thread_id: str, *, after: str | None, limit: int | None, is_ascending: bool
    ) -> tuple[Thread, Json]:
        """Raises `NotFoundError`, also when there is no item `after`, and `NotAllowedError`."""
        size = min(limit or DEFAULT_LIMIT, MAX_LIMIT)
        start = None if after is None else message_id_of(after)
        found: list[Json] = []
        read: set[str] = set()
        while True:
            thread, entries = await self._history.list_entries(
                principal, thread_id, start=start, limit=size + 2, is_ascending=is_ascending
            )
            for entry in [entry for entry in entries if entry.message.id not in read]:
                found += _ordered(items_of(entry, self._images), is_ascending=is_ascending)
            if not read and after is not None:
                found = _behind(found, after)
            if len(found) > size or len(entries) < size + 2:
                break
            read.update(entry.message.id for entry in entries)
            start = entries[-1].message.id
        data, has_more = found[:size], len(found) > size
        return thread, {"data": data, "has_more": has_more, **({"after": data[-1]["id"]} if has_more else {})}


def _ordered(items: list[Json], *, is_ascending: bool) -> list[Json]:
    return items if is_ascending else items[::-1]


def _behind(items: list[Json], after: str) -> list[Json]:
    ids = [item["id"] for item in items]
    if after not in ids:
        raise NotFoundError
    return items[ids.index(after) + 1 :]
