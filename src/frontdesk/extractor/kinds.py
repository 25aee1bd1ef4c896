"""What a file is, by what it begins with and never by its name."""

import codecs
import re
from enum import StrEnum

HEAD_BYTES = 4096
_MARKS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
_BEGINNINGS = (
    (b"%PDF-", "application/pdf"),
    (b"PK\x03\x04", "application/zip"),
    (b"PK\x05\x06", "application/zip"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "application/x-ole-storage"),
    (b"\x89PNG\r\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
    (b"BM", "image/bmp"),
    (b"II*\x00", "image/tiff"),
    (b"MM\x00*", "image/tiff"),
    (b"\x1f\x8b", "application/gzip"),
    (b"BZh", "application/x-bzip2"),
    (b"\xfd7zXZ\x00", "application/x-xz"),
    (b"7z\xbc\xaf\x27\x1c", "application/x-7z-compressed"),
    (b"Rar!\x1a\x07", "application/vnd.rar"),
    (b"\x28\xb5\x2f\xfd", "application/zstd"),
    (b"\x7fELF", "application/x-elf"),
    (b"MZ\x90\x00", "application/vnd.microsoft.portable-executable"),
    (b"%!PS", "application/postscript"),
    (b"{\\rtf", "application/rtf"),
    (b"SQLite format 3\x00", "application/vnd.sqlite3"),
)
_HTML = re.compile(
    rb"\s*(?:<\?xml[^>]*>\s*)?(?:<!--.*?-->\s*)*<(?:!doctype\s+html|html|head|body|title|h1|p|div|table|script)\b",
    re.IGNORECASE | re.DOTALL,
)
# What a text holds: everything but the control characters that are no white space.
_CONTROL = bytes(byte for byte in range(32) if byte not in b"\t\n\r\f\x1b")
_MAX_CONTROL = 0.02


class Kind(StrEnum):
    """What the extractor can read. CSV and Markdown are text: nothing in them tells, and nothing has to."""

    pdf = "application/pdf"
    docx = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
    pptx = "application/vnd.openxmlformats-officedocument.presentationml.presentation"
    xlsx = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
    html = "text/html"
    json = "application/json"
    text = "text/plain"


def sniff(head: bytes) -> str:
    """The media type by the first `HEAD_BYTES`; `application/octet-stream` when nothing is known of it.

    An Office document is an `application/zip` here: only the whole archive tells what is in it.
    """
    mark = byte_order_mark(head)
    if mark is None:
        for beginning, media_type in _BEGINNINGS:
            if head.startswith(beginning):
                return media_type
        if not _is_text(head):
            return "application/octet-stream"
    text = head if mark in {None, "utf-8-sig"} else head.decode(mark or "", "replace").encode()
    text = text.removeprefix(codecs.BOM_UTF8)
    if _HTML.match(text):
        return Kind.html
    return Kind.json if text.lstrip()[:1] in {b"{", b"["} else Kind.text


def byte_order_mark(head: bytes) -> str | None:
    """The codec of a text that says which it is."""
    return next((codec for mark, codec in _MARKS if head.startswith(mark)), None)


def _is_text(head: bytes) -> bool:
    return b"\x00" not in head and len(head) - len(head.translate(None, _CONTROL)) <= len(head) * _MAX_CONTROL
