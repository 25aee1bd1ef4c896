"""YAML files of the configuration: a mapping of known keys, and no key twice."""

from collections.abc import Collection
from typing import Any

import yaml

from frontdesk.errors import ConfigurationError


def load_mapping(text: str, *, name: str, keys: Collection[str]) -> dict[str, Any]:
    """`name` is the file's: errors begin with it. Raises `ConfigurationError`."""
    try:
        content = yaml.load(text, _Loader)  # noqa: S506  a SafeLoader
    except yaml.YAMLError as error:
        raise ConfigurationError(f"{name}: it is not YAML: {error}") from error
    if not isinstance(content, dict):
        raise ConfigurationError(f"{name}: it must be a mapping with some of {', '.join(sorted(keys))}")
    if unknown := [key for key in content if key not in keys]:
        raise ConfigurationError(f"{name}: the key {unknown[0]!r} is none of {', '.join(sorted(keys))}")
    return content


class _Loader(yaml.CSafeLoader):  # type: ignore[misc]  # PyYAML is not typed
    """Refuses a key that is there twice, which YAML forbids and PyYAML overlooks."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002  PyYAML's
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        twice = [key for number, key in enumerate(keys) if key in keys[:number]]
        if twice:
            raise yaml.constructor.ConstructorError(None, None, f"the key {twice[0]!r} is there twice", node.start_mark)
        mapping: dict[Any, Any] = super().construct_mapping(node, deep=deep)
        return mapping
