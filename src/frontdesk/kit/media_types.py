"""What a file is, by its content and never by its name, and whether a list of types allows it.

A file that is several things at once counts as the most dangerous of them, since that is how it will be opened.
"""

import codecs
import re
from collections.abc import Iterable, Iterator

HEAD_BYTES = 4096
TAIL_BYTES = 66_000  # a ZIP archive's end lies in them, whatever its comment
UNKNOWN = "application/octet-stream"
_OFFICE = "application/vnd.openxmlformats-officedocument."
_MARKS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
_BEGINNINGS = (
    (b"MZ", "application/vnd.microsoft.portable-executable"),
    (b"\x7fELF", "application/x-elf"),
    (b"\xcf\xfa\xed\xfe", "application/x-mach-binary"),
    (b"\xca\xfe\xba\xbe", "application/java-vm"),
    (b"#!", "text/x-shellscript"),
    (b"%PDF-", "application/pdf"),
    (b"PK\x03\x04", "application/zip"),
    (b"PK\x05\x06", "application/zip"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "application/x-ole-storage"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"II*\x00", "image/tiff"),
    (b"MM\x00*", "image/tiff"),
    (b"\x00\x00\x01\x00", "image/x-icon"),
    (b"\x1f\x8b", "application/gzip"),
    (b"BZh", "application/x-bzip2"),
    (b"\xfd7zXZ\x00", "application/x-xz"),
    (b"7z\xbc\xaf\x27\x1c", "application/x-7z-compressed"),
    (b"Rar!\x1a\x07", "application/vnd.rar"),
    (b"\x28\xb5\x2f\xfd", "application/zstd"),
    (b"%!PS", "application/postscript"),
    (b"{\\rtf", "application/rtf"),
    (b"SQLite format 3\x00", "application/vnd.sqlite3"),
    (b"OggS", "audio/ogg"),
    (b"fLaC", "audio/flac"),
    (b"ID3", "audio/mpeg"),
    (b"\xff\xfb", "audio/mpeg"),
    (b"\x1aE\xdf\xa3", "video/webm"),
)
_RIFF = {b"WEBP": "image/webp", b"WAVE": "audio/wav", b"AVI ": "video/x-msvideo"}
_BRANDS = {b"avif": "image/avif", b"heic": "image/heic", b"mif1": "image/heif", b"M4A ": "audio/mp4"}
_IN_ARCHIVE = (
    (b"word/document.xml", _OFFICE + "wordprocessingml.document"),
    (b"ppt/presentation.xml", _OFFICE + "presentationml.presentation"),
    (b"xl/workbook.xml", _OFFICE + "spreadsheetml.sheet"),
)
_MACROS = b"vbaProject.bin"
_HTML = re.compile(
    rb"<(?:!doctype\s+html|html|head|body|title|script|iframe|style|link|meta|object|embed|form|img|table|div|h1|p|a)"
    rb"[\s/>]",
    re.IGNORECASE,
)
_ACTIVE = re.compile(rb"<(?:!doctype\s+html|html|script|iframe|object|embed)[\s/>]", re.IGNORECASE)
_SVG = re.compile(rb"<svg[\s>]", re.IGNORECASE)
_JSON = re.compile(rb"\s*(?:\{\s*[\"}]|\[\s*(?:[\[{\"\]0-9-]|true|false|null))")
_PDF_WITHIN = 1024  # readers look for a PDF's beginning so far
_CONTROL = bytes(byte for byte in range(32) if byte not in b"\t\n\r\f\x1b")
_MAX_CONTROL = 0.02
_MARKUP = frozenset({"text/html", "image/svg+xml", "application/xml"})
# What is text to a reader is told apart by guesses alone, so one of them on a list allows the others.
_PLAIN = frozenset({"text/plain", "text/csv", "text/markdown", "application/json"})


def sniff(head: bytes, tail: bytes = b"") -> str:
    """The media type, by the first `HEAD_BYTES` and the last `TAIL_BYTES`; without a tail, as far as that shows."""
    return max(_readings(head, tail), key=_danger)


def is_allowed(media_type: str, allowed: Iterable[str]) -> bool:
    """Patterns are `image/png`, `image/*` or `*/*`. A drawing that can hold scripts must be named: `image/svg+xml`."""
    family = media_type.partition("/")[0]
    patterns = {pattern.strip().lower() for pattern in allowed}
    if media_type in _PLAIN:
        return bool(patterns & (_PLAIN | {"text/*", "*/*"}))
    if media_type == "image/svg+xml":
        return media_type in patterns
    return bool(patterns & {media_type, f"{family}/*", "*/*"})


def _danger(media_type: str) -> int:
    if media_type.startswith("application/x-") or "executable" in media_type or "shellscript" in media_type:
        return 5
    if media_type in _MARKUP:
        return 4
    if media_type == "application/zip" or media_type.startswith(_OFFICE) or "macro" in media_type:
        return 3
    if media_type == "application/pdf":
        return 2
    return 0 if media_type == UNKNOWN else 1


def _readings(head: bytes, tail: bytes) -> Iterator[str]:
    """Everything as which a program may read it."""
    yield UNKNOWN
    mark = byte_order_mark(head)
    known = None if mark else by_beginning(head)
    if known == "application/zip" or b"PK\x05\x06" in tail:
        yield _archive(tail or head)
    elif known is not None:
        yield known
    if b"%PDF-" in head[:_PDF_WITHIN]:
        yield "application/pdf"
    if known is not None:
        if known != "application/zip" and _ACTIVE.search(head):
            yield "text/html"
    elif mark or is_text(head):
        yield _text_type(head if mark in {None, "utf-8-sig"} else head.decode("utf-16", "replace").encode())


def by_beginning(head: bytes) -> str | None:
    """What its first bytes alone say; None for texts, and for what nobody knows."""
    for beginning, media_type in _BEGINNINGS:
        if head.startswith(beginning):
            return media_type
    if head.startswith(b"RIFF"):
        return _RIFF.get(head[8:12])
    if head.startswith(b"BM") and head[6:10] == bytes(4):
        return "image/bmp"
    if head[4:8] == b"ftyp":
        return _BRANDS.get(head[8:12], "video/mp4")
    return None


def _archive(text: bytes) -> str:
    """What an archive holds stands in its directory, at its end."""
    if _MACROS in text:
        return "application/vnd.ms-office.macro-enabled"
    return next((media_type for name, media_type in _IN_ARCHIVE if name in text), "application/zip")


def _text_type(text: bytes) -> str:
    text = text.removeprefix(codecs.BOM_UTF8)
    if _SVG.search(text):
        return "image/svg+xml"
    bare = text.lstrip()
    if _ACTIVE.search(text):
        return "text/html"
    if bare.startswith(b"<?xml"):
        return "application/xml"
    if bare.startswith(b"<") and _HTML.search(text):
        return "text/html"
    if _JSON.match(text):
        return "application/json"
    return "text/csv" if _is_table(text) else "text/plain"


def _is_table(text: bytes) -> bool:
    """Whether the first lines, of which there are two at least, have the same number of separators."""
    whole = text.splitlines()[:-1] or text.splitlines()  # the last one may be cut
    lines = [line for line in whole if line][:10]
    if len(lines) <= 1:
        return False
    counts = ({line.count(separator) for line in lines} for separator in (b",", b";", b"\t"))
    return any(len(found) == 1 and 0 not in found for found in counts)


def byte_order_mark(head: bytes) -> str | None:
    """The codec of a text that says which it is."""
    return next((codec for mark, codec in _MARKS if head.startswith(mark)), None)


def is_text(head: bytes) -> bool:
    """Whether it holds next to nothing but what texts do."""
    return b"\x00" not in head and len(head) - len(head.translate(None, _CONTROL)) <= len(head) * _MAX_CONTROL
