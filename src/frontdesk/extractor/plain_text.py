"""Texts of every encoding, and JSON, which is made readable."""

import json
import re
from itertools import pairwise

from frontdesk.extractor.wire import Fault, RefusedError
from frontdesk.kit.media_types import byte_order_mark

_DECLARED = re.compile(rb"""<meta[^>]{0,200}charset\s*=\s*["']?\s*([A-Za-z0-9_-]{1,40})""", re.IGNORECASE)
_DECLARED_WITHIN = 2048
_KNOWN = frozenset(
    {"utf-8", "windows-1251", "windows-1252", "iso-8859-1", "iso-8859-5", "iso-8859-15", "koi8-r", "koi8-u"}
)
# What a text cannot be stored with, or shown with.
_UNWANTED = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufeff\ufffe\uffff\ud800-\udfff]")
_CYRILLIC_FROM = 0xC0
_MOSTLY = 0.7


def decoded(data: bytes) -> str:
    """By its mark, else as UTF-8, else as the one of windows-1251 and windows-1252 that the letters speak for."""
    mark = byte_order_mark(data)
    if mark is not None:
        return data.decode(mark, "replace")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        # A text that was cut within its last letter is still UTF-8.
        if error.start >= len(data) - 3 and error.reason == "unexpected end of data":
            return data.decode(errors="ignore")
    return data.decode(_legacy(data), "replace")


def decoded_html(data: bytes) -> str:
    declared = _DECLARED.search(data[:_DECLARED_WITHIN])
    name = declared[1].decode().lower() if declared else ""
    if byte_order_mark(data) is None and name in _KNOWN:
        return data.decode(name, "replace")
    return decoded(data)


def cleaned(text: str) -> str:
    return _UNWANTED.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))


def readable_json(text: str, max_characters: int) -> str:
    """One value a line and letters in place of their numbers; what is not JSON after all stays as it is.

    It ends somewhere behind `max_characters`. Raises `RefusedError` for what is nested too deeply.
    """
    try:
        value = json.loads(text)
        pieces = json.JSONEncoder(ensure_ascii=False, indent=1).iterencode(value)
        made, length = [], 0
        for piece in pieces:
            made.append(piece)
            length += len(piece)
            if length > max_characters:
                break
    except RecursionError as error:
        raise RefusedError(Fault.unsafe, "Its JSON is nested too deeply") from error
    except ValueError:
        return text
    return "".join(made)


def _legacy(data: bytes) -> str:
    sample = data[:100_000]
    high = sum(byte >= 0x80 for byte in sample)  # noqa: PLR2004  what is not ASCII
    letters = sum(byte >= _CYRILLIC_FROM for byte in sample)
    # Cyrillic texts have words of such letters, western ones single ones between others.
    pairs = sum(a >= _CYRILLIC_FROM and b >= _CYRILLIC_FROM for a, b in pairwise(sample))
    return "windows-1251" if letters >= high * _MOSTLY and pairs * 2 >= letters else "windows-1252"
