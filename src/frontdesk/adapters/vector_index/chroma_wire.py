"""What passes between the program and the process that holds Chroma: frames of MessagePack, each behind its length."""

from typing import Any, Literal

import msgspec

HEAD = 4
Kind = Literal["configuration", "broken", "unavailable"]


class Call(msgspec.Struct, frozen=True, array_like=True):
    name: str
    arguments: dict[str, Any]


class Reply(msgspec.Struct, frozen=True, array_like=True):
    """`failure` is the kind of error that the caller is to have, and `result` its detail then."""

    result: Any
    failure: Kind | None = None


def frame(message: Call | Reply) -> bytes:
    data = msgspec.msgpack.encode(message)
    return len(data).to_bytes(HEAD, "big") + data


decode_call = msgspec.msgpack.Decoder(Call).decode
decode_reply = msgspec.msgpack.Decoder(Reply).decode
