"""The provider's words as bytes: frames of server-sent events, whole answers and error bodies in OpenAI's shapes."""

import json
from functools import lru_cache
from time import monotonic_ns
from typing import Any

import msgspec

from frontdesk.model_stub.script import Script

SECRET = "sk-stub-4f9c2b7e81d06a35-do-not-forward"  # noqa: S105  made up; tests look for it where it must not be
DONE = b"data: [DONE]\n\n"
BAD = b'data: {"id":"chatcmpl-broken","choices":[{"delta"\n\n'
COMMENT = b": keep-alive\n\n"
ROLE = {"role": "assistant", "content": "", "refusal": None}
ARGUMENTS = ('{"city":', '"Oslo"}')


# What providers send beside their answers; `headers=1` adds it.
HEADERS = (
    "openai-processing-ms: 12",
    "x-ratelimit-remaining-requests: 59",
    "x-request-id: req_scripted",
    "set-cookie: provider=1; Domain=example.com",
    "server: scripted",
    "x-upstream: 10.0.0.7:8443",
)


def error_body(message: str, *, kind: str = "server_error", code: str | None = None) -> bytes:
    return msgspec.json.encode({"error": {"message": message, "type": kind, "param": None, "code": code}})


ERROR = b"data: " + error_body(f"upstream 10.0.0.7:8443 refused {SECRET}") + b"\n\n"
HTML = (
    f"<!DOCTYPE html>\n<html><head><title>Bad gateway</title></head>\n"
    f"<body><h1>Bad gateway</h1><!-- {SECRET} --></body></html>\n"
).encode()


@lru_cache(maxsize=64)
def _numbered(tokens: int, size: int, unicode: int) -> tuple[str, ...]:
    core = "t{}é漢🙂" if unicode else "t{}"
    bare = [core.format(number) for number in range(tokens)]
    return tuple(text + "." * (size - len(text.encode()) - 1) + " " for text in bare)


@lru_cache(maxsize=64)
def _escaped(tokens: int, size: int, unicode: int) -> tuple[bytes, ...]:
    return tuple(msgspec.json.encode(text)[1:-1] for text in _numbered(tokens, size, unicode))


def _content(message: dict[str, Any]) -> str:
    content = message.get("content") or ""
    if isinstance(content, str):
        return content
    return " ".join(part.get("text", "") for part in content if isinstance(part, dict))


def _since_user(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The last user message and all behind it."""
    said = [number for number, message in enumerate(messages) if message.get("role") == "user"]
    return messages[said[-1] :] if said else []


def _heard(messages: list[dict[str, Any]]) -> str:
    """The last user message, or the results of the calls made since."""
    since = _since_user(messages)
    results = [_content(message) for message in since if message.get("role") == "tool"]
    return " ".join(results or [_content(message) for message in since[:1]])


class Answer:
    """One call's words. Token i is `f"t{i} "`, or what was heard last with `echo`.

    With `stamp`, `@` and the time of sending follow each word, in nanoseconds of the machine's monotonic clock.
    """

    def __init__(self, script: Script, *, call_id: str, created: int, request: dict[str, Any]) -> None:
        self._script = script
        self._request = request
        self._with_usage = bool((request.get("stream_options") or {}).get("include_usage"))
        self._identity = {"id": call_id, "created": created, "model": request["model"]}
        asked = [message for message in _since_user(request["messages"]) if message.get("tool_calls")]
        self._calls = script.calls_of(len(asked))
        if script.tool_call:
            self._calls.append((script.tool_call, "".join(ARGUMENTS)))
        if script.echo:
            self.texts: tuple[str, ...] = tuple(f"{word} " for word in _heard(request["messages"]).split())
            self._encoded = tuple(msgspec.json.encode(text)[1:-1] for text in self.texts)
        else:
            self.texts = _numbered(script.tokens, script.size, script.unicode)
            self._encoded = _escaped(script.tokens, script.size, script.unicode)
        pattern = self._chunk({"content": "\0"})
        self._before, self._after = pattern.split(b"\\u0000")
        self._between = self._after + self._before

    def opening(self) -> bytes:
        return self._chunk(ROLE, **self._conversation())

    def tokens(self, first: int, last: int) -> bytes:
        words = self._encoded[first:last]
        if self._script.stamp:
            words = tuple(b"%b@%d" % (word, monotonic_ns()) for word in words)
        return self._before + self._between.join(words) + self._after

    def closing(self) -> bytes:
        """All that follows the last token: tool call, finish, usage and `[DONE]`, as far as the script has them."""
        script, frames = self._script, []
        for number, (name, arguments) in enumerate(self._calls):
            frames.extend(self._tool_call(number, name, arguments))
        if script.finish:
            extra = {"agent_status": script.agent_status} if script.agent_status else {}
            frames.append(self._chunk({}, finish=self._finish_reason, **self._conversation(), **extra))
        if self._with_usage and script.usage:
            frames.append(self._frame([], usage=self._usage()))
        if script.done:
            frames.append(DONE)
        return b"".join(frames)

    def whole(self) -> bytes:
        """The `chat.completion` object of a call that does not stream."""
        message: dict[str, Any] = {"role": "assistant", "content": "".join(self.texts), "refusal": None}
        if self._calls:
            message["tool_calls"] = [
                {"id": _call_id(number), "type": "function", "function": {"name": name, "arguments": arguments}}
                for number, (name, arguments) in enumerate(self._calls)
            ]
        choice = {"message": message, "logprobs": None, "finish_reason": self._finish_reason}
        choices = [{"index": number, **choice} for number in range(self._request.get("n") or 1)]
        head = {"id": self._identity["id"], "object": "chat.completion", **self._identity}
        body = {**head, "choices": choices} | ({"usage": self._usage()} if self._script.usage else {})
        return msgspec.json.encode({**body, **self._conversation()})

    @property
    def _finish_reason(self) -> str:
        return "tool_calls" if self._calls else "stop"

    def _conversation(self) -> dict[str, str]:
        return {"conversation_id": self._script.conversation_id} if self._script.conversation_id else {}

    def _usage(self) -> dict[str, int]:
        prompt = sum(len(_content(message).split()) for message in self._request["messages"])
        completion = len(self.texts)
        return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}

    def _tool_call(self, number: int, name: str, arguments: str) -> list[bytes]:
        function = {"name": name, "arguments": ""}
        first = {"index": number, "id": _call_id(number), "type": "function", "function": function}
        half = len(arguments) // 2 + 1
        rest = [
            {"index": number, "function": {"arguments": piece}}
            for piece in (arguments[:half], arguments[half:])
            if piece
        ]
        return [self._chunk({"tool_calls": [call]}) for call in (first, *rest)]

    def _chunk(self, delta: dict[str, Any], *, finish: str | None = None, **extra: Any) -> bytes:
        return self._frame([{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}], **extra)

    def _frame(self, choices: list[Any], **extra: Any) -> bytes:
        usage = {"usage": None} if self._with_usage else {}
        head = {"id": self._identity["id"], "object": "chat.completion.chunk", **self._identity}
        body = {**head, "system_fingerprint": "fp_scripted", "choices": choices}
        return b"data: " + msgspec.json.encode({**body, **usage, **extra}) + b"\n\n"


def _call_id(number: int) -> str:
    return "call_scripted" + (f"_{number}" if number else "")


def dress(frames: bytes, script: Script) -> bytes:
    """The same events in the odd forms that the format allows: comments, several data lines, CRLF."""
    events = frames.split(b"\n\n")[:-1]
    if script.multiline:
        events = [_spread(event) for event in events]
    between = b"\n\n" + (COMMENT if script.comments else b"")
    dressed = b"".join(event + between for event in events)
    return dressed.replace(b"\n", b"\r\n") if script.crlf else dressed


def _spread(event: bytes) -> bytes:
    try:
        value = json.loads(event.removeprefix(b"data: "))
    except ValueError:
        return event
    lines = json.dumps(value, indent=1, ensure_ascii=False).encode().split(b"\n")
    return b"\n".join(b"data: " + line for line in lines)
