"""What one call shall do, written in its `model` field: `scripted?tokens=200&pause_ms=20`."""

from functools import lru_cache
from typing import Annotated, Literal
from urllib.parse import parse_qsl

import msgspec

NAME = "scripted"
MAX_TOKENS = 1_000_000

Count = Annotated[int, msgspec.Meta(ge=0, le=MAX_TOKENS)]
Milliseconds = Annotated[float, msgspec.Meta(ge=0, le=3_600_000)]
Position = Annotated[int, msgspec.Meta(ge=0)] | None
Flag = Literal[0, 1]


class ScriptError(ValueError):
    """The model's name is not a script; the text says which key or value is wrong."""


class UnknownModelError(ScriptError):
    """The model's name does not begin with `scripted`."""


class Script(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A position counts text tokens from 0: the fault stands in front of that token."""

    tokens: Count = 20
    size: Annotated[int, msgspec.Meta(ge=0, le=16_777_216)] = 0
    unicode: Flag = 0
    echo: Flag = 0
    stamp: Flag = 0
    first_ms: Milliseconds = 0
    pause_ms: Milliseconds = 0
    stall_at: Position = None
    stall_ms: Milliseconds | None = None
    reset_at: Position = None
    close_at: Position = None
    burst: Annotated[int, msgspec.Meta(ge=1, le=1024)] = 1
    bad_at: Position = None
    error_at: Position = None
    finish: Flag = 1
    done: Flag = 1
    usage: Flag = 1
    status: Annotated[int, msgspec.Meta(ge=200, le=599)] = 200
    retry_after: str = ""
    html: Flag = 0
    plain: Flag = 0
    fail_first: Count = 0
    key: str = ""
    crlf: Flag = 0
    comments: Flag = 0
    multiline: Flag = 0
    split: Count = 0
    conversation_id: str = ""
    agent_status: str = ""
    headers: Flag = 0
    tool_call: str = ""
    calls: str = ""

    def calls_of(self, step: int) -> list[tuple[str, str]]:
        """Name and arguments of each call that the answer ends in when the model is asked for the `step`th time."""
        steps = self.calls.split("|") if self.calls else []
        written = steps[step].split(";") if step < len(steps) else []
        return [(name, arguments or "{}") for name, _, arguments in (each.partition(":") for each in written)]

    def without_faults(self) -> "Script":
        """The same answer after `fail_first` calls: no status, no page, no fault in the stream."""
        return msgspec.structs.replace(
            self,
            stall_at=None,
            reset_at=None,
            close_at=None,
            bad_at=None,
            error_at=None,
            finish=1,
            done=1,
            status=200,
            html=0,
        )

    @property
    def is_dressed(self) -> bool:
        return bool(self.crlf or self.comments or self.multiline)


def _number(text: str) -> int | float | str:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


TEXTS = frozenset({"key", "retry_after", "conversation_id", "agent_status", "tool_call", "calls"})


@lru_cache(maxsize=4096)
def parse(model: str) -> Script:
    """Raises `UnknownModelError`, or `ScriptError` for an unknown key, a repeated key or a value out of range."""
    name, _, query = model.partition("?")
    if name != NAME:
        raise UnknownModelError(
            f"The model {model!r} does not exist; this server knows {NAME!r} and '{NAME}?key=value'"
        )
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query))
        values = {key: value if key in TEXTS else _number(value) for key, value in pairs}
        if len(values) != len(pairs):
            raise ScriptError("The script names a key twice")
        return msgspec.convert(values, Script)
    except msgspec.ValidationError as error:
        raise ScriptError(f"The script is not valid: {error}") from error
    except ValueError as error:
        raise ScriptError(f"The script is not valid: {error}") from error
