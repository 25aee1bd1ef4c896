"""Arguments are held against a tool's JSON Schema before the tool is called.

The schema may be a stranger's: what it can cost is bounded when it is compiled, its patterns run in time linear in the
text (Rust's `regex`, which has neither look-around nor back-references), and no reference is ever fetched.
"""

from collections.abc import Mapping
from typing import Any

import msgspec
from jsonschema_rs import ReferencingError, RegexOptions, ValidationError, Validator, validator_for

from frontdesk.agents.tools.schema_cost import SchemaError, schema_cost

MAX_SCHEMA_BYTES = 131_072
MAX_SCHEMA_DEPTH = 64
MAX_COST = 5_000
MAX_PATTERNS = 32
MAX_PATTERN = 1_000
MAX_ARGUMENT_DEPTH = 32
MAX_ARGUMENT_VALUES = 20_000
MAX_REASON = 300
_PATTERN_BYTES = 262_144

__all__ = ["ArgumentCheck", "SchemaError"]


class ArgumentCheck:
    """A schema, compiled once. JSON Schema draft 2020-12, unless its `$schema` names draft 4, 6, 7 or 2019-09."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        """Raises `SchemaError` unless it is a valid schema of an object that costs little to check."""
        if not isinstance(schema, dict) or schema.get("type") != "object":
            raise SchemaError("it is not the schema of an object: `type` must be `object`")
        if _depth_beyond(schema, MAX_SCHEMA_DEPTH):
            raise SchemaError(f"it is nested deeper than {MAX_SCHEMA_DEPTH} levels")
        if len(_encoded(schema)) > MAX_SCHEMA_BYTES:
            raise SchemaError(f"it is larger than {MAX_SCHEMA_BYTES} bytes")
        _require_few_patterns(schema)
        schema_cost(schema, depth=MAX_ARGUMENT_DEPTH, limit=MAX_COST)
        self._validator = _compiled(schema)

    def fault(self, arguments: Any) -> str | None:
        """The path of the first wrong value and why, such as `/tags/0: 3 is not of type "string"`; None if none is."""
        if _values_beyond(arguments, MAX_ARGUMENT_VALUES):
            return f"/: there are more than {MAX_ARGUMENT_VALUES} values"
        if _depth_beyond(arguments, MAX_ARGUMENT_DEPTH):
            return f"/: they are nested deeper than {MAX_ARGUMENT_DEPTH} levels"
        try:
            self._validator.validate(arguments)
        except ValidationError as error:
            path = "/" + "/".join(str(part).replace("~", "~0").replace("/", "~1") for part in error.instance_path)
            return f"{path}: {_shortened(error.message)}"
        except (ValueError, OverflowError) as error:
            return f"/: {_shortened(str(error))}"
        return None


def _require_few_patterns(schema: Any) -> None:
    """A pattern may take 10 ms to compile, in which the process does nothing else."""
    patterns: list[str] = []
    waiting = [schema]
    while waiting:
        one = waiting.pop()
        waiting.extend(_children(one))
        if isinstance(one, dict):
            patterns += [one["pattern"]] if isinstance(one.get("pattern"), str) else []
            patterns += one["patternProperties"] if isinstance(one.get("patternProperties"), dict) else []
    if len(patterns) > MAX_PATTERNS or any(len(pattern) > MAX_PATTERN for pattern in patterns):
        raise SchemaError(f"it has more than {MAX_PATTERNS} patterns, or one longer than {MAX_PATTERN} characters")


def _compiled(schema: dict[str, Any]) -> Validator:
    options = RegexOptions(size_limit=_PATTERN_BYTES, dfa_size_limit=_PATTERN_BYTES)
    try:
        return validator_for(schema, offline=True, pattern_options=options)
    except (ValueError, ReferencingError) as error:
        where = "/".join(map(str, getattr(error, "instance_path", [])))
        message = _shortened(str(getattr(error, "message", error)))
        raise SchemaError(f"it is not a valid JSON Schema: /{where}: {message}") from error


def _encoded(schema: Any) -> bytes:
    try:
        return msgspec.json.encode(schema)
    except (TypeError, ValueError, msgspec.MsgspecError) as error:
        raise SchemaError("it has values that JSON does not have") from error


def _shortened(text: str) -> str:
    """A long value is in the middle of its message, so the end stays too."""
    return text if len(text) <= MAX_REASON else f"{text[: MAX_REASON // 2]}...{text[-MAX_REASON // 2 :]}"


def _depth_beyond(value: Any, depth: int) -> bool:
    level = [value]
    for _ in range(depth):
        level = [child for one in level for child in _children(one)]
        if not level:
            return False
    return any(True for one in level for _ in _children(one))


def _values_beyond(value: Any, count: int) -> bool:
    waiting, seen = [value], 0
    while waiting:
        seen += 1
        if seen + len(waiting) > count:
            return True
        waiting.extend(_children(waiting.pop()))
    return False


def _children(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []
