"""OpenAI's chunks, made of what an agent says that speaks no OpenAI itself."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from frontdesk.kit.clock import Clock
from frontdesk.kit.ids import new_id
from frontdesk.ports.language_model import AnswerPart, CallActivity, ModelChunks, ToolCallPart, Usage

_GAP = b'"\\u0000"'


class AgentChunks:
    """Those of one step, in the order in which they are made. `model` is the name that they carry."""

    def __init__(self, *, model: str, clock: Clock) -> None:
        self._identity = {
            "id": f"chatcmpl-{new_id()}",
            "object": "chat.completion.chunk",
            "created": int(clock.now().timestamp()),
            "model": model,
        }
        before, _, after = self._chunk({"content": "\0"}).rpartition(_GAP)
        self._before, self._after = before, after
        self._opening: tuple[bytes, ...] = (self._chunk({"role": "assistant", "content": ""}),)
        self.calls = 0

    def text(self, texts: Sequence[str]) -> ModelChunks:
        """One chunk for each. Raises `UnicodeEncodeError` for what is no text."""
        encode, before, after = msgspec.json.encode, self._before, self._after
        data = [before + encode(text) + after for text in texts]
        return ModelChunks(self._opened(data), "".join(texts), len(data))

    def call(
        self, call_id: str, name: str, arguments: str, *, decision_only: bool = False, to_client: bool = False
    ) -> ModelChunks:
        """Arguments are JSON as text. The step is at its end with this, unless more calls follow."""
        number, self.calls = self.calls, self.calls + 1
        function = {"name": name, "arguments": arguments}
        piece = {"index": number, "id": call_id, "type": "function", "function": function}
        part = ToolCallPart(number, call_id, name, arguments, decision_only, to_client)
        return ModelChunks(
            self._opened([self._chunk({"tool_calls": [piece]})]), finish_reason="tool_calls", tool_calls=[part]
        )

    @staticmethod
    def activity(one: CallActivity) -> ModelChunks:
        return ModelChunks((), activity=[one])

    @staticmethod
    def part(one: AnswerPart) -> ModelChunks:
        return ModelChunks((), parts=[one])

    def finish(self, usage: Usage | None) -> ModelChunks:
        reason = "tool_calls" if self.calls else "stop"
        data = [self._chunk({}, finish=reason)]
        if usage is not None:
            data.append(msgspec.json.encode({**self._identity, "choices": [], "usage": usage}))
        return ModelChunks(self._opened(data), finish_reason=reason, usage=usage)

    def _opened(self, data: list[bytes]) -> Sequence[bytes]:
        opening, self._opening = self._opening, ()
        return [*opening, *data] if opening else data

    def _chunk(self, delta: Mapping[str, Any], *, finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        return msgspec.json.encode({**self._identity, "choices": [choice]})
