"""An answer as the items that it is made of, in the order in which they come: pieces of text, with a workflow of tool
calls, a widget, a question or a client's tool between them.

The same course is taken by an answer under way and by one that is stored, so an item has the same id in both.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

from frontdesk.conversation.parts.models import place_of
from frontdesk.surfaces.chatkit import checks
from frontdesk.surfaces.chatkit.frames import DELTA_END, delta_start, encode, error, frame, made_at, updated
from frontdesk.surfaces.chatkit.questions import approval, structured_input

Json = dict[str, Any]
_PART_ADDED, _PART_DONE = "assistant_message.content_part.added", "assistant_message.content_part.done"


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Which answer it is. `texts` and `workflows` are how many there were before, `length` that of the text.

    `senders` are widgets of earlier answers that it may change, with when they were made.
    """

    thread_id: str
    message_id: str
    created_at: datetime
    execution_id: str = ""
    texts: int = 0
    workflows: int = 0
    length: int = 0
    senders: Mapping[str, datetime] = {}


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """A tool call as the log tells of it. `step` is there when the gateway knows of it, and keeps it."""

    call_id: str
    tool: str
    state: str
    arguments: Any = None
    step: int | None = None
    awaited: int = 1


class _Text:
    __slots__ = ("annotations", "delta_start", "id", "offset", "parts")

    def __init__(self, item_id: str, offset: int) -> None:
        self.id = item_id
        self.offset = offset
        self.parts: list[str] = []
        self.annotations: list[Json] = []
        self.delta_start = delta_start(item_id)

    def content(self) -> Json:
        return {"type": "output_text", "text": "".join(self.parts), "annotations": self.annotations}


class _Workflow:
    __slots__ = ("id", "is_open", "tasks")

    def __init__(self, item_id: str) -> None:
        self.id = item_id
        self.tasks: list[Json] = []
        self.is_open = True


class Course:
    """`take` gives the frames that have come together since it was last called; `changed` are the items of earlier
    answers that look different now.
    """

    def __init__(self, place: Place) -> None:
        self._place = place
        self._length = place.length
        self._texts, self._workflows = place.texts, place.workflows
        self._frames: list[bytes] = []
        self._text: _Text | None = None
        self._workflow: _Workflow | None = None
        self._calls: dict[str, tuple[_Workflow, int]] = {}
        self._known: set[str] = set()
        self.changed: dict[str, Json] = {}
        self._since_mark: list[str] = []
        self._mark = (self._texts, self._workflows, self._length)

    def take(self) -> bytes:
        frames, self._frames = self._frames, []
        return frames[0] if len(frames) == 1 else b"".join(frames)

    @property
    def place(self) -> Place:
        """Where the course goes on behind what has come."""
        return msgspec.structs.replace(self._place, texts=self._texts, workflows=self._workflows, length=self._length)

    def say(self, text: str) -> None:
        if self._text is None:
            self._close_workflow()
            self._text = self._open_text()
        self._text.parts.append(text)
        self._length += len(text)
        self._delta(self._text, text)

    def catch_up(self, text: str) -> None:
        """The whole text as it is stored: what is new of it."""
        if len(text) > self._length:
            self.say(text[self._length :])

    def cite(self, data: Json) -> None:
        text = self._text or self._open_text()
        self._text = text
        index = data.get("index")
        told = {"type": "annotation", **data}
        if isinstance(index, int):
            told["index"] = max(0, index - text.offset)
        if (shown := checks.annotation(told)) is not None:
            text.annotations.append(shown)
            number = len(text.annotations) - 1
            kind = "assistant_message.content_part.annotation_added"
            self._tell(updated(text.id, kind, content_index=0, annotation_index=number, annotation=shown))

    def start_call(self, call: Call) -> None:
        task = {"type": "custom", "title": call.tool, "status_indicator": "loading"}
        self._close_text()
        if self._workflow is None:
            self._workflow = self._open_workflow(task)
        else:
            self._workflow.tasks.append(task)
            number = len(self._workflow.tasks) - 1
            self._tell(updated(self._workflow.id, "workflow.task.added", task_index=number, task=task))
        self._calls[call.call_id] = (self._workflow, len(self._workflow.tasks) - 1)
        self._keep(call)

    def end_call(self, call: Call, *, failed: bool) -> None:
        """Of calls that began here; what could not be begun, or was made outside, is shown otherwise or not at all."""
        if (known := self._calls.pop(call.call_id, None)) is None:
            return
        workflow, number = known
        task: Json = {"type": "custom", "title": call.tool, "status_indicator": "complete"}
        if failed:
            task |= {"status_indicator": "none", "content": "Failed"}
        workflow.tasks[number] = task
        if workflow.is_open:
            self._tell(updated(workflow.id, "workflow.task.updated", task_index=number, task=task))
        else:
            self._replaced(self._workflow_item(workflow))
        self._keep(call)

    def ask_client(self, call: Call, *, output: Json | None = None) -> None:
        """Have the client perform a tool; or show what it brought, which stands in `output`."""
        self._close()
        arguments = call.arguments if isinstance(call.arguments, dict) else {}
        status = "pending" if output is None else "completed"
        told = {"status": status, "call_id": call.call_id, "name": call.tool, "arguments": arguments, **(output or {})}
        self._done(self._item(f"c.{call.call_id}", "client_tool_call", **told))
        self._keep(call)

    def ask_user(self, call: Call, *, answer: Json | None = None, leave: str | None = None) -> bool:
        """Ask what a call asks the user, or for leave to make it. False when it asks for nothing that can be shown."""
        item_id = f"q.{call.call_id}"
        asked = (
            structured_input(call.arguments, answer) if leave is None else approval(call.tool, call.arguments, leave)
        )
        item = checks.question(self._item(item_id, "structured_input", **asked))
        if item is None:
            return False
        self._close()
        self._done(item)
        self._keep(call)
        return True

    def show_widget(self, key: str, data: Json) -> None:
        item = checks.widget(self._item(f"p.{key}", "widget", **data))
        if item is not None:
            self._show(item)

    def show_image(self, key: str, data: Json) -> None:
        image = {"id": f"{self._place.message_id}.p.{key}", **data}
        item = checks.image(self._item(f"p.{key}", "generated_image", image=image))
        if item is not None:
            self._show(item)

    def replace(self, data: Json) -> None:
        """A widget of an earlier answer looks different now."""
        place = place_of(str(data.get("item_id", "")))
        if place is None:
            return
        shown = {name: value for name, value in data.items() if name != "item_id"}
        message_id, key = place
        item_id = f"{message_id}.p.{key}"
        created_at = self._place.senders.get(item_id) or made_at(message_id)
        item = self._item("", "widget", **shown) | {"id": item_id, "created_at": created_at}
        if (checked := checks.widget(item)) is not None:
            self.changed[checked["id"]] = checked
            self._replaced(checked)

    def affect(self, data: Json) -> None:
        """Something for the client alone, of which nothing stays."""
        if (shown := checks.effect({"type": "client_effect", **data})) is not None:
            self._tell(b"data: " + encode(shown) + b"\n\n")

    def tell_progress(self, data: Json) -> None:
        if (shown := checks.progress({"type": "progress_update", **data})) is not None:
            self._tell(b"data: " + encode(shown) + b"\n\n")

    def tell_error(self, message: str) -> None:
        self._tell(error(message, allow_retry=True))

    def void(self) -> None:
        """What came since the gateway last kept something is begun again."""
        for item_id in self._since_mark:
            self._tell(frame("thread.item.removed", item_id=item_id))
            self._known.discard(item_id)
        self._text = None
        if self._workflow is not None and self._workflow.id in self._since_mark:
            self._workflow = None
        self._since_mark = []
        self._texts, self._workflows, self._length = self._mark

    def finish(self) -> None:
        self._close()

    def _keep(self, call: Call) -> None:
        """The gateway has stored all that led to a call of its own."""
        if call.step is not None:
            self._since_mark = []
            self._mark = (self._texts, self._workflows, self._length)

    def _open_text(self) -> _Text:
        self._close_workflow()
        item_id = self._place.message_id if not self._texts else f"{self._place.message_id}.{self._texts}"
        self._texts += 1
        text = _Text(item_id, self._length)
        self._added(self._text_item(text, []))
        self._tell(updated(item_id, _PART_ADDED, content_index=0, content=text.content()))
        return text

    def _close_text(self) -> None:
        if (text := self._text) is not None:
            self._text = None
            content = text.content()
            self._tell(updated(text.id, _PART_DONE, content_index=0, content=content))
            self._done(self._text_item(text, [content]))

    def _open_workflow(self, task: Json) -> _Workflow:
        workflow = _Workflow(f"{self._place.message_id}.w{self._workflows}")
        self._workflows += 1
        workflow.tasks.append(task)
        self._added(self._workflow_item(workflow))
        return workflow

    def _close_workflow(self) -> None:
        if (workflow := self._workflow) is not None:
            self._workflow = None
            workflow.is_open = False
            self._done(self._workflow_item(workflow))

    def _close(self) -> None:
        self._close_text()
        self._close_workflow()

    def _show(self, item: Json) -> None:
        if item["id"] in self._known:
            self._replaced(item)
        else:
            self._close()
            self._done(item)

    def _text_item(self, text: _Text, content: list[Json]) -> Json:
        return self._item("", "assistant_message", content=content) | {"id": text.id}

    def _workflow_item(self, workflow: _Workflow) -> Json:
        shown = {"type": "custom", "tasks": workflow.tasks, "expanded": False}
        return self._item("", "workflow", workflow=shown) | {"id": workflow.id}

    def _item(self, own: str, kind: str, /, **fields: Any) -> Json:
        place = self._place
        return {
            "id": f"{place.message_id}.{own}",
            "thread_id": place.thread_id,
            "created_at": place.created_at,
            "type": kind,
            **fields,
        }

    def _note(self, item_id: str) -> None:
        if item_id not in self._known:
            self._known.add(item_id)
            self._since_mark.append(item_id)

    def _added(self, item: Json) -> None:
        self._note(item["id"])
        self._tell(frame("thread.item.added", item=item))

    def _done(self, item: Json) -> None:
        self._note(item["id"])
        self._tell(frame("thread.item.done", item=item))

    def _replaced(self, item: Json) -> None:
        self._tell(frame("thread.item.replaced", item=item))

    def _tell(self, told: bytes) -> None:
        self._frames.append(told)

    def _delta(self, text: _Text, said: str) -> None:
        self._frames.append(text.delta_start + encode(said) + DELTA_END)
