"""LibreOffice's how-to pages: the same ones in English and Russian. The question is the title, the keyword the first
entry that the page has in the index.
"""

import re
from html.parser import HTMLParser
from pathlib import Path

from benchmarks.corpus.pages import Page, cut, is_russian

FOLDERS = {"en": ("libreoffice-help-en-us", "en-US"), "ru": ("libreoffice-help-ru", "ru")}
_LINK = re.compile(r'href="[\w-]+/(text/[^"#]+\.html)')
_SPACES = re.compile(r"\s+")
_BEGIN, _RELATED, _END = '<div id="DisplayArea"', '<div class="relatedtopics">', '<div id="SearchFrame">'


def help_pages(corpus: Path) -> list[Page]:
    return [page for language in FOLDERS for page in _pages(corpus, language)]


def _pages(corpus: Path, language: str) -> list[Page]:
    package, name = FOLDERS[language]
    folder = corpus / package / "usr" / "share" / "libreoffice" / "help" / name
    read = (_page(path, str(path.relative_to(folder)), language) for path in sorted(folder.glob("text/*/guide/*.html")))
    return [page for page in read if page is not None]


def _page(path: Path, key: str, language: str) -> Page | None:
    """None for one that is not translated, and for one with no text of its own."""
    _, _, shown = path.read_text(encoding="utf-8").partition(_BEGIN)
    body, _, rest = shown.partition(_END)[0].partition(_RELATED)
    reader = _Reader()
    reader.feed(body)
    messages = cut(reader.paragraphs)
    if not reader.title or len("".join(messages)) < 100:
        return None
    if language == "ru" and not (is_russian(reader.title + reader.keyword) and is_russian(" ".join(messages))):
        return None
    twins = {"en": "ru", "ru": "en"}
    topic = frozenset(f"{language}/{link}" for link in _LINK.findall(rest))
    named = f"{twins[language]}/{key}"
    return Page(f"{language}/{key}", language, reader.title, messages, reader.keyword, topic, named)


class _Reader(HTMLParser):
    """The text of paragraphs; headings are left out, the first of them is the title."""

    def __init__(self) -> None:
        super().__init__()
        self.title = ""
        self.keyword = ""
        self.paragraphs: list[str] = []
        self._held: list[str] | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "meta" and given.get("itemprop") == "keywords":
            self.keyword = self.keyword or (given.get("content") or "").strip()
        if tag in {"p", "h1"}:
            self._held = []

    def handle_endtag(self, tag: str) -> None:
        if tag not in {"p", "h1"} or self._held is None:
            return
        text = _SPACES.sub(" ", "".join(self._held)).strip()
        if tag == "h1":
            self.title = self.title or text
        elif text:
            self.paragraphs.append(text)
        self._held = None

    def handle_data(self, data: str) -> None:
        if self._held is not None:
            self._held.append(data)
