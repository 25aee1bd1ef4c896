"""Manual pages in English and Russian. The question is what the section NAME says that the page is about, and
the keyword the first of the names.
"""

import gzip
import re
from pathlib import Path

from benchmarks.corpus.pages import Page, cut, is_russian

FOLDERS = {
    "en": [("manpages", "usr/share/man/man[1-8]"), ("manpages-dev", "usr/share/man/man[2-8]")],
    "ru": [("manpages-ru", "usr/share/man/ru/man[1-8]")],
}
NAMES = {"NAME", "ИМЯ", "НАЗВАНИЕ"}
DESCRIPTIONS = {"DESCRIPTION", "ОПИСАНИЕ"}
EVERY = {"en": 4, "ru": 1}  # of the English ones there are many more
_ESCAPES = re.compile(r"\\f(?:\[\w*\]|.)|\\[&|^/,%:]|\\s[-+]?\d")
_CHARACTERS = {r"\-": "-", r"\(aq": "'", r"\(em": "-", r"\(en": "-", r"\e": "\\", r"\ ": " ", r"\~": " ", r"\(dq": '"'}
_TEXT_MACROS = {".B", ".I", ".BR", ".IR", ".RB", ".RI", ".BI", ".IB", ".SM", ".SB"}
_BREAKS = {".PP", ".P", ".LP", ".TP", ".IP", ".SS"}


def manual_pages(corpus: Path) -> list[Page]:
    return [page for language in FOLDERS for page in _pages(corpus, language)]


def _pages(corpus: Path, language: str) -> list[Page]:
    paths = [path for package, places in FOLDERS[language] for path in sorted((corpus / package).glob(places + "/*"))]
    read = [_page(path, language) for path in paths if not path.is_symlink()]
    return [page for page in read if page is not None][:: EVERY[language]]


def _page(path: Path, language: str) -> Page | None:
    """None for one that only stands for another, and for one that is not translated."""
    sections = _sections(gzip.decompress(path.read_bytes()).decode("utf-8", errors="replace"))
    names = next((text for title, text in sections.items() if title in NAMES), [])
    keyword, dash, question = " ".join(names).partition(" - ")
    messages = cut(next((text for title, text in sections.items() if title in DESCRIPTIONS), []))
    if not dash or len("".join(messages)) < 100:
        return None
    if language == "ru" and not (is_russian(question) and is_russian(" ".join(messages))):
        return None
    return Page(f"{language}/man/{path.name}", language, question.strip(), messages, keyword.partition(",")[0].strip())


def _sections(source: str) -> dict[str, list[str]]:
    """The paragraphs of each, as far as a reader of plain text needs them."""
    sections: dict[str, list[str]] = {}
    held: list[str] = []
    for line in source.splitlines():
        macro, _, rest = line.partition(" ")
        if macro == ".SH":
            held = sections.setdefault(_plain(rest).strip('" '), [""])
        elif macro in _BREAKS:
            held.append("")
        elif held and (text := _text(macro, rest, line)):
            held[-1] = f"{held[-1]} {text}".strip()
    return {title: [paragraph for paragraph in held if paragraph] for title, held in sections.items()}


def _text(macro: str, rest: str, line: str) -> str:
    if not line.startswith((".", "'")):
        return _plain(line).strip()
    if macro not in _TEXT_MACROS:
        return ""
    joined = "" if len(macro) == 3 else " "  # alternating fonts stand without a space between them
    words = [quoted or word for quoted, word in re.findall(r'"([^"]*)"|(\S+)', rest)]
    return _plain(joined.join(words)).strip()


def _plain(text: str) -> str:
    for written, character in _CHARACTERS.items():
        text = text.replace(written, character)
    return _ESCAPES.sub("", text)
