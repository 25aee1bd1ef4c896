"""Markdown's tokens as a Word document."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO

import docx
from docx.document import Document
from docx.oxml.parser import OxmlElement
from docx.text.paragraph import Paragraph
from markdown_it.token import Token

# What XML 1.0 cannot say.
_NOT_XML = re.compile(r"[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_DEEPEST_LIST = 3
_CODE_FONT = "Courier New"


def to_docx(title: str, tokens: list[Token]) -> bytes:
    document = docx.Document()
    document.core_properties.title = _xml(title)[:255]
    _Writer(document).write(iter(tokens))
    file = BytesIO()
    document.save(file)
    return file.getvalue()


@dataclass(frozen=True)
class _Look:
    bold: bool = False
    italic: bool = False
    code: bool = False


class _Writer:
    """Lists and quotes are styles of their paragraphs; what Word has no style for is a plain paragraph."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._style_ids = {style.name: style.style_id for style in document.styles}
        self._end = document.element.body.sectPr
        self._lists: list[str] = []
        self._quotes = 0
        self._heading = 0

    def write(self, tokens: Iterator[Token]) -> None:
        for token in tokens:
            if token.type == "table_open":
                self._table(tokens)
            elif token.type == "inline":
                _inline(self._paragraph(self._style()), token)
            elif token.type in {"fence", "code_block"}:
                _add(self._paragraph("No Spacing"), token.content.rstrip("\n"), _Look(code=True))
            else:
                self._enter_or_leave(token)

    def _enter_or_leave(self, token: Token) -> None:
        if token.type in {"bullet_list_open", "ordered_list_open"}:
            self._lists.append("List Bullet" if token.tag == "ul" else "List Number")
        elif token.type in {"bullet_list_close", "ordered_list_close"}:
            self._lists.pop()
        elif token.type.startswith("blockquote"):
            self._quotes += token.nesting
        elif token.type.startswith("heading"):
            self._heading = int(token.tag[1]) if token.nesting > 0 else 0

    def _style(self) -> str:
        if self._heading:
            return f"Heading {self._heading}"
        if self._lists:
            depth = min(len(self._lists), _DEEPEST_LIST)
            return self._lists[-1] if depth == 1 else f"{self._lists[-1]} {depth}"
        return "Quote" if self._quotes else "Normal"

    def _paragraph(self, style: str) -> Paragraph:
        """As `Document.add_paragraph`, which looks through all the paragraphs and styles that there are."""
        element = OxmlElement("w:p")
        self._end.addprevious(element)
        element.style = self._style_ids[style]
        return Paragraph(element, self._document)

    def _table(self, tokens: Iterator[Token]) -> None:
        rows: list[list[Token]] = []
        for token in tokens:
            if token.type == "table_close":
                break
            if token.type == "tr_open":
                rows.append([])
            elif token.type == "inline":
                rows[-1].append(token)
        table = self._document.add_table(len(rows), len(rows[0]), "Table Grid")
        for row, cells in zip(table.rows, rows, strict=True):
            for cell, token in zip(row.cells, cells, strict=False):
                _inline(cell.paragraphs[0], token)


def _inline(paragraph: Paragraph, token: Token) -> None:
    """One run for all that follows each other and looks the same."""
    text, look = "", _Look()
    for said, looks in _pieces(token):
        if looks != look:
            _add(paragraph, text, look)
            text, look = "", looks
        text += said
    _add(paragraph, text, look)


def _pieces(token: Token) -> Iterator[tuple[str, _Look]]:
    bold = italic = 0
    for child in token.children or []:
        bold += child.nesting if child.tag == "strong" else 0
        italic += child.nesting if child.tag == "em" else 0
        text = {"softbreak": " ", "hardbreak": "\n"}.get(child.type, child.content)
        if text:
            yield text, _Look(bold > 0, italic > 0, child.type == "code_inline")


def _add(paragraph: Paragraph, text: str, look: _Look) -> None:
    if not text:
        return
    run = paragraph.add_run(_xml(text))
    run.bold, run.italic = look.bold or None, look.italic or None
    run.font.name = _CODE_FONT if look.code else None


def _xml(text: str) -> str:
    return _NOT_XML.sub("", text)
