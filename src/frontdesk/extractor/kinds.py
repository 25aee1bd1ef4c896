"""What reads a file, by what it begins with and never by its name."""

import codecs
import re
from enum import StrEnum

from frontdesk.kit.media_types import UNKNOWN, by_beginning, byte_order_mark, is_text

_HTML = re.compile(
    rb"\s*(?:<\?xml[^>]*>\s*)?(?:<!--.*?-->\s*)*<(?:!doctype\s+html|html|head|body|title|h1|p|div|table|script)\b",
    re.IGNORECASE | re.DOTALL,
)


class Kind(StrEnum):
    """What the extractor can read. CSV and Markdown are text: nothing in them tells, and nothing has to."""

    pdf = "application/pdf"
    docx = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
    pptx = "application/vnd.openxmlformats-officedocument.presentationml.presentation"
    xlsx = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
    html = "text/html"
    json = "application/json"
    text = "text/plain"


HEADED = frozenset({Kind.docx, Kind.html, Kind.text})
"""Those whose text is Markdown, or may be."""


def read_as(head: bytes) -> str:
    """The media type as which its reader takes it, by the first `HEAD_BYTES`; `UNKNOWN` when nothing is known of it.

    What it is safest to call it is `kit.media_types.sniff`. An Office document is an `application/zip` here: only the
    whole archive tells what is in it.
    """
    mark = byte_order_mark(head)
    known = None if mark else by_beginning(head)
    if known is not None and not known.startswith("text/"):
        return known
    if mark is None and not is_text(head):
        return UNKNOWN
    text = head if mark in {None, "utf-8-sig"} else head.decode(mark or "", "replace").encode()
    text = text.removeprefix(codecs.BOM_UTF8)
    if _HTML.match(text):
        return Kind.html
    return Kind.json if text.lstrip()[:1] in {b"{", b"["} else Kind.text
