"""The catalogue's file as it is written: which keys there are, of which type. Any other key is an error."""

from typing import Annotated, Any

from msgspec import Meta, Struct

Name = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
ServerName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{1,32}$")]
Seconds = Annotated[float, Meta(gt=0, le=3600)]
Text = Annotated[str, Meta(min_length=1)]
Placed = list[str] | dict[str, Text]


class Entry(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What every entry may say, and `defaults` for all of them."""

    timeout_seconds: Seconds | None = None
    retry_safe: bool | None = None
    requires_approval: bool | None = None


class HttpEntry(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    method: str
    path: str
    path_arguments: Placed = []
    query: Placed = []
    body: Placed = []
    stream: bool = False


class ToolEntry(Entry, frozen=True, kw_only=True, forbid_unknown_fields=True):
    name: Name
    description: Text
    parameters: dict[str, Any]
    http: HttpEntry | None = None
    client: bool = False


class OpenApiEntry(Entry, frozen=True, kw_only=True, forbid_unknown_fields=True):
    url: Text | None = None
    file: Text | None = None
    include: tuple[Text, ...] = ("*",)


class McpEntry(Entry, frozen=True, kw_only=True, forbid_unknown_fields=True):
    name: ServerName
    url: Text | None = None
    command: Text | None = None
    args: list[str] = []
    env: dict[str, str] = {}
    include: tuple[Text, ...] = ("*",)


class PythonEntry(Entry, frozen=True, kw_only=True, forbid_unknown_fields=True):
    function: Annotated[str, Meta(pattern=r"^[\w.]+:[\w.]+$")]
    name: Name | None = None
