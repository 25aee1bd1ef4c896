"""Where a call goes, made of a template and arguments that a stranger may have chosen.

A path is the template's, segment by segment; an argument fills exactly one of them. What is not unreserved (RFC 3986,
section 2.3) is percent-encoded, and what servers are known to read as another path even then is refused.
"""

import json
import re
from collections.abc import Mapping
from typing import Any
from unicodedata import normalize
from urllib.parse import quote, unquote

import msgspec

from frontdesk.agents.tools.declarations import HttpCall
from frontdesk.ports.tool_source import ToolCallError

_PLACEHOLDER = re.compile(r"\{([^{}/]+)\}")
_SEPARATORS = re.compile(r"[/\\\x00-\x1f\x7f-\x9f\u2028\u2029]")
_ROUNDS = 4


def request_target(call: HttpCall, arguments: Mapping[str, Any]) -> str:
    """The path and query to ask for. Raises `ToolCallError` for an argument that does not fit into its segment."""
    by_placeholder = {placeholder: name for name, placeholder in call.path_arguments.items()}

    def fill(match: re.Match[str]) -> str:
        name = by_placeholder[match[1]]
        return path_segment(name, arguments.get(name))

    path = _PLACEHOLDER.sub(fill, call.path)
    query = "&".join(
        f"{_quoted(name, wire_name)}={_quoted(name, value)}"
        for name, wire_name in call.query.items()
        for value in _query_values(arguments.get(name))
    )
    return f"{path}?{query}" if query else path


def request_body(call: HttpCall, arguments: Mapping[str, Any]) -> bytes | None:
    """What to send as JSON; None for no body. Raises `ToolCallError` for what JSON can't carry."""
    body: Any = {wire_name: arguments[name] for name, wire_name in call.body.items() if name in arguments}
    if call.whole_body is not None:
        body = arguments.get(call.whole_body)
    elif not call.body:
        return None
    try:
        return msgspec.json.encode(body)
    except (ValueError, OverflowError) as error:
        raise _refused("", "there is a number or a text that cannot be sent") from error


def path_segment(name: str, value: Any) -> str:
    """`value` as one segment of a path. `name` is the argument's, for the error."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if not isinstance(value, str):
        raise _refused(name, "a part of a path is a text or a whole number")
    if _leaves_its_segment(value):
        raise _refused(name, "it would lead to another path")
    return _quoted(name, value)


def _leaves_its_segment(value: str) -> bool:
    """Whether some server, decoding more than once or folding look-alikes, could read it as more than a segment."""
    for _ in range(_ROUNDS):
        folded = normalize("NFKC", value)
        if any(_SEPARATORS.search(form) or _is_dots(form) for form in (value, folded)):
            return True
        decoded = unquote(folded)
        if decoded == folded:
            return False
        value = decoded
    return True


def _is_dots(text: str) -> bool:
    """Also before a `;`, which some servers cut off, and with blanks around."""
    return text.partition(";")[0].strip() in {"", ".", ".."}


def _query_values(value: Any) -> list[str]:
    if value is None:
        return []
    if isinstance(value, list):
        return [text for one in value for text in _query_values(one)]
    if isinstance(value, str):
        return [value]
    return [json.dumps(value, ensure_ascii=False)]


def _quoted(name: str, text: str) -> str:
    try:
        return quote(text, safe="")
    except UnicodeEncodeError as error:
        raise _refused(name, "it has half of a surrogate pair") from error


def _refused(name: str, reason: str) -> ToolCallError:
    return ToolCallError("invalid_arguments", f"/{name}: {reason}", was_made=False)
