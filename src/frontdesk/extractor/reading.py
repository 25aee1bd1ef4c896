"""From the bytes of a document to its text, page by page where it has pages."""

import re
from itertools import pairwise

import kreuzberg
import msgspec

from frontdesk.extractor.archives import office_kind
from frontdesk.extractor.kinds import Kind, read_as
from frontdesk.extractor.plain_text import cleaned, decoded, decoded_html, readable_json
from frontdesk.extractor.wire import MAX_PAGES, Fault, Order, RefusedError
from frontdesk.kit.media_types import HEAD_BYTES

_ENCRYPTED_PACKAGE = "EncryptedPackage".encode("utf-16-le")
_PAGED = {Kind.pdf, Kind.pptx}
# Its plain text leaves out headings' levels, and lists of definitions altogether.
_FORMATS = {Kind.html: "markdown", Kind.docx: "markdown"}
_HEAD = re.compile(r"</?head\b[^>]{0,200}>", re.IGNORECASE)
_TITLE = re.compile(r"(</?)title\b[^>]{0,200}>", re.IGNORECASE)
_TABLE = re.compile(r"^\|.*\|$", re.MULTILINE)
_PADDING = re.compile(r" {2,}|(?<=---)-+")


class Text(msgspec.Struct, frozen=True, kw_only=True):
    kind: Kind
    content: str
    pages: list[int]
    cut: bool


def read_document(data: bytes, order: Order) -> Text:
    """Raises `RefusedError`."""
    if not data:
        raise RefusedError(Fault.empty, "It has no content")
    kind = _kind_of(data, order)
    match kind:
        case Kind.text:
            # Four bytes are the longest letter.
            whole = decoded(data[: 4 * order.max_characters + 4])
            parts = [whole]
        case Kind.json:
            parts = [readable_json(decoded(data), order.max_characters)]
        case Kind.html:
            parts = _parsed(_titled(decoded_html(data)).encode(errors="replace"), kind)
        case _:
            parts = _parsed(data, kind)
    return _limited(kind, parts, order.max_characters)


def _kind_of(data: bytes, order: Order) -> Kind:
    media_type = read_as(data[:HEAD_BYTES])
    if media_type == "application/zip":
        return office_kind(data, max_unpacked_bytes=order.max_unpacked_bytes)
    if media_type == "application/x-ole-storage" and _ENCRYPTED_PACKAGE in data:
        raise RefusedError(Fault.encrypted, "It is protected with a password")
    try:
        return Kind(media_type)
    except ValueError:
        raise RefusedError(Fault.unsupported, f"It is of the type {media_type}") from None


def _parsed(data: bytes, kind: Kind) -> list[str]:
    """The pages, or one part for what has none."""
    try:
        result = kreuzberg.extract_bytes_sync(data, kind.value, _configuration(_FORMATS.get(kind, "plain")))
    except (kreuzberg.KreuzbergError, kreuzberg.ValidationError) as error:
        raise _refusal(str(error)) from error
    boundaries = (result.metadata.get("pages") or {}).get("boundaries") if kind in _PAGED else None
    if not boundaries:
        return [_TABLE.sub(_unpadded, result.content) if kind in _FORMATS else result.content]
    # Behind the last page the library repeats the whole text of some PDF files.
    content = result.content.encode()[: int(boundaries[-1]["byte_end"])]
    starts = sorted({0, *(int(boundary["byte_start"]) for boundary in boundaries[1:MAX_PAGES])})
    return [content[start:end].decode(errors="ignore") for start, end in pairwise([*starts, len(content)])]


def _configuration(output: str) -> kreuzberg.ExtractionConfig:
    return kreuzberg.ExtractionConfig(
        use_cache=False,
        enable_quality_processing=False,
        output_format=output,
        pages=kreuzberg.PageConfig(extract_pages=True),
        postprocessor=kreuzberg.PostProcessorConfig(enabled=False),
        concurrency=kreuzberg.ConcurrencyConfig(max_threads=1),
    )


def _titled(page: str) -> str:
    """With its title as its first heading: of a head the library makes a preamble of all it says to programs."""
    return _TITLE.sub(r"\1h1>", _HEAD.sub("", page, count=2), count=2)


def _unpadded(row: re.Match[str]) -> str:
    """Its columns are not as wide as their widest cell."""
    return _PADDING.sub(lambda found: " " if found[0].isspace() else "", row[0])


def _refusal(message: str) -> RefusedError:
    lowered = message.lower()
    if "password" in lowered or "encrypt" in lowered:
        return RefusedError(Fault.encrypted, "It is protected with a password")
    if "security limit" in lowered:
        return RefusedError(Fault.unsafe, "It unpacks to more than a document may")
    return RefusedError(Fault.broken, "It is damaged, or not what it begins like")


def _limited(kind: Kind, parts: list[str], max_characters: int) -> Text:
    made: list[str] = []
    pages: list[int] = []
    length, cut = 0, False
    for number, part in enumerate(parts):
        text = cleaned(part).rstrip() + ("\n\n" if number < len(parts) - 1 else "")
        if length + len(text) > max_characters:
            text, cut = text[: max_characters - length], True
        pages.append(length)
        made.append(text)
        length += len(text)
        if cut:
            break
    content = "".join(made)
    if not content.strip():
        raise RefusedError(Fault.empty, "There is no text in it")
    return Text(kind=kind, content=content, pages=pages if kind in _PAGED else [], cut=cut)
