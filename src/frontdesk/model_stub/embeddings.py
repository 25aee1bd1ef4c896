"""Embeddings that mean nothing and are always the same for the same text, in OpenAI's shape."""

import base64
import struct
from hashlib import sha256
from typing import Any

import msgspec

from frontdesk.model_stub.script import ScriptError

DIMENSIONS = 8


def answer(request: dict[str, Any]) -> bytes:
    """Raises `ScriptError` for an input that is neither a text, texts, tokens nor lists of tokens."""
    given = request.get("input")
    one = isinstance(given, str) or (isinstance(given, list) and all(isinstance(item, int) for item in given))
    inputs = [given] if one else given
    if not isinstance(inputs, list) or not inputs or not all(isinstance(item, str | list) and item for item in inputs):
        raise ScriptError("`input` must be a text or a list that is not empty")
    size = request.get("dimensions") or DIMENSIONS
    data = [
        {"object": "embedding", "index": number, "embedding": _encoded(_vector(item, size), request)}
        for number, item in enumerate(inputs)
    ]
    tokens = sum(len(item.split()) if isinstance(item, str) else len(item) for item in inputs)
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return msgspec.json.encode({"object": "list", "data": data, "model": request["model"], "usage": usage})


def _vector(item: Any, size: int) -> list[float]:
    """Numbers that a float of 32 bits holds exactly."""
    digest = sha256(msgspec.json.encode(item)).digest()
    return [digest[place % len(digest)] / 256 for place in range(size)]


def _encoded(vector: list[float], request: dict[str, Any]) -> Any:
    if request.get("encoding_format") != "base64":
        return vector
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
