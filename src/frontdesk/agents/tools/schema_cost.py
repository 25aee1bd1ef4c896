"""How much work a JSON Schema can make of one value, reckoned before it is used: a stranger may have written it."""

from collections.abc import Iterator, Mapping
from typing import Any

MAX_NESTING = 100
MAX_STEPS = 30_000
_IN_PLACE_LISTS = ("allOf", "anyOf", "oneOf")
_IN_PLACE = ("not", "if", "then", "else")
_IN_PLACE_MAPS = ("dependentSchemas", "dependencies")
_ITEM_LISTS = ("prefixItems", "items")
_ITEMS = ("items", "additionalItems", "unevaluatedItems")
_PROPERTIES = ("additionalProperties", "unevaluatedProperties")
_MOVES_THE_ROOT = ("$dynamicRef", "$recursiveRef", "$anchor", "$dynamicAnchor")


class SchemaError(ValueError):
    """What is wrong with a schema, in a sentence for operators."""


def schema_cost(root: Mapping[str, Any], *, depth: int, limit: int) -> int:
    """At most how many subschemas one value is held against, in arguments nested no deeper than `depth`.

    Only references within the document are followed. Raises `SchemaError` when the cost passes `limit`, for a reference
    that leads elsewhere or round to itself, and for keywords that change what a reference means.
    """
    return _Costs(root, limit).of(root, depth)


class _Costs:
    """Costs by subschema, kind of value and depth. Schemas are told apart by identity: nobody changes the document."""

    def __init__(self, root: Mapping[str, Any], limit: int) -> None:
        self._root = root
        self._limit = limit
        self._known: dict[tuple[int, bool, int], int | None] = {}
        self._nesting = 0
        self._steps = 0

    def of(self, schema: Any, depth: int) -> int:
        if not isinstance(schema, dict) or depth < 0:
            return 1
        self._refuse_moved_roots(schema)
        return max(self._of_kind(schema, depth, is_object=is_object) for is_object in (True, False))

    def _of_kind(self, schema: Any, depth: int, *, is_object: bool) -> int:
        if not isinstance(schema, dict):
            return 1
        place = (id(schema), is_object, depth)
        if place in self._known:
            known = self._known[place]
            if known is None:
                raise SchemaError("a reference leads to itself")
            return known
        self._known[place] = None
        self._refuse_moved_roots(schema)
        self._step()
        cost = 1 + sum(self._of_kind(part, depth, is_object=is_object) for part in self._in_place(schema))
        cost += self._in_object(schema, depth - 1) if is_object else self._in_array(schema, depth - 1)
        if cost > self._limit:
            raise SchemaError("checking a value against it could take too long")
        self._nesting -= 1
        self._known[place] = cost
        return cost

    def _step(self) -> None:
        """The reckoning itself has bounds, too."""
        self._nesting += 1
        self._steps += 1
        if self._nesting > MAX_NESTING:
            raise SchemaError("its references make it too deep")
        if self._steps > MAX_STEPS:
            raise SchemaError("it has too many parts")

    def _in_place(self, schema: dict[str, Any]) -> Iterator[Any]:
        """What holds for the very value that the schema holds for."""
        if (reference := schema.get("$ref")) is not None:
            yield resolve(self._root, reference)
        for key in _IN_PLACE_LISTS:
            yield from _list(schema.get(key))
        for key in _IN_PLACE:
            yield schema.get(key)
        for key in _IN_PLACE_MAPS:
            yield from _values(schema.get(key))

    def _in_object(self, schema: dict[str, Any], depth: int) -> int:
        """A property has one name: one of those that go by it applies, and each of those that do not."""
        by_name = [*_values(schema.get("properties")), *(schema.get(key) for key in _PROPERTIES)]
        each = [*_values(schema.get("patternProperties")), schema.get("propertyNames")]
        return self._one_and_each(by_name, each, depth)

    def _in_array(self, schema: dict[str, Any], depth: int) -> int:
        by_place = [schema.get(key) for key in _ITEMS]
        for key in _ITEM_LISTS:
            by_place += _list(schema.get(key))
        return self._one_and_each(by_place, [schema.get("contains")], depth)

    def _one_and_each(self, one: list[Any], each: list[Any], depth: int) -> int:
        return max(self.of(part, depth) for part in one) + sum(self.of(part, depth) for part in each)

    def _refuse_moved_roots(self, schema: dict[str, Any]) -> None:
        moved = [key for key in _MOVES_THE_ROOT if key in schema]
        if "$id" in schema and schema is not self._root:
            moved.append("$id")
        if moved:
            raise SchemaError(f"{moved[0]} is not supported")


def resolve(root: Mapping[str, Any], reference: Any) -> Any:
    """What `#` or `#/pointer` means in a document (RFC 6901). Raises `SchemaError` for any other, and for none."""
    if not isinstance(reference, str) or not (reference == "#" or reference.startswith("#/")):
        raise SchemaError(f"the reference {str(reference)[:100]!r} leads out of the document")
    target: Any = root
    for part in reference.split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        if isinstance(target, list) and key.isdecimal() and int(key) < len(target):
            target = target[int(key)]
        elif isinstance(target, Mapping) and key in target:
            target = target[key]
        else:
            raise SchemaError(f"the reference {reference[:100]!r} leads nowhere")
    return target


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _values(value: Any) -> list[Any]:
    return list(value.values()) if isinstance(value, dict) else []
