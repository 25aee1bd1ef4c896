"""A text in the formats that it can leave in. The texts are taken for Markdown.

What leaves is safe to open: HTML in a text is text, links have harmless schemes, and nothing is fetched from elsewhere.
"""

import html
import re

from markdown_it import MarkdownIt

from document_api.docx_export import to_docx
from document_api.schemas import Format

MEDIA_TYPES: dict[Format, str] = {
    "markdown": "text/markdown; charset=utf-8",
    "html": "text/html; charset=utf-8",
    "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
}
_ENDINGS: dict[Format, str] = {"markdown": "md", "html": "html", "docx": "docx"}
_PARSER = MarkdownIt("commonmark", {"html": False}).enable("table").disable(["image", "html_block", "html_inline"])
_PAGE = """<!DOCTYPE html>
<html>
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>body {{ max-width: 42rem; margin: 2rem auto; padding: 0 1rem; font: 1rem/1.6 sans-serif }}</style>
</head>
<body>
{body}</body>
</html>
"""


def render(title: str, text: str, form: Format) -> bytes:
    if form == "markdown":
        return f"{text.rstrip()}\n".encode()
    if form == "html":
        return _PAGE.format(title=html.escape(title), body=_PARSER.render(text)).encode()
    return to_docx(title, _PARSER.parse(text))


def file_name(title: str, document_id: str, form: Format) -> str:
    """Of ASCII letters, digits, dashes and one dot; another document's is another one."""
    words = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")[:60].strip("-")
    return f"{words or 'document'}-{document_id[:16]}.{_ENDINGS[form]}"
