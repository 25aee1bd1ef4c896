"""What an agent's own tools are given to reach the conversation, where a framework runs them: the run's `context`.

@function_tool
async def add_task(context: RunContextWrapper[AnswerContext], title: str) -> str:
context.context.show(Widget(...))
context.context.call("refresh_task_list")
"""

from typing import Any

from frontdesk.agents.events import Citation, Effect, Image, Progress, Request, ToolCall, Widget
from frontdesk.ports.language_model import Action

Shown = Widget | Citation | Image | Effect | Progress


class AnswerContext:
    """Of one asking of the agent. What is shown goes out with its next word, and calls when it has said its last.

    `user_id` is the account whose thread it is. In a public chat that is the interface's owner: `visit` says who is
    talking there, and is None where that is the account itself. A tool that keeps something for whoever asks keeps
    it by `visit.subject` or `visit.session_id` where there is a visit.
    `key` is shared by an asking and its repetition after a crash: effects that are to happen once can be known by it.
    """

    def __init__(self, request: Request) -> None:
        self.user_id = request.user_id
        self.visit = request.visit
        self.thread_id = request.thread_id
        self.key = request.key
        self.action: Action | None = request.action
        self._shown: list[Shown] = []
        self._calls: list[ToolCall] = []

    def show(self, event: Shown) -> None:
        """Beside the text."""
        self._shown.append(event)

    def call(self, name: str, arguments: dict[str, Any] | None = None, *, is_last: bool = True) -> None:
        """Have the client perform one of the agent's tools. With `is_last` the agent is not asked again afterwards.

        The same call again is the same call.
        """
        asked = ToolCall(name, arguments or {}, is_last=is_last)
        if asked not in self._calls:
            self._calls.append(asked)

    def take_shown(self) -> list[Shown]:
        shown, self._shown = self._shown, []
        return shown

    def take_calls(self) -> list[ToolCall]:
        calls, self._calls = self._calls, []
        return calls
