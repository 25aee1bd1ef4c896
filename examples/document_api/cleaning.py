"""The deterministic part of improving a text, in time that grows with its length only."""

import re
import unicodedata
from itertools import pairwise

_LINE_ENDS = re.compile(r"\r\n|[\r\v\f\x1c-\x1e\x85\u2028\u2029]")
_INVISIBLE = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x9f\u00ad\u200b\u2060\ufeff]")
_SPACES = re.compile(r"\s+")
_TIME = r"(?:\d{1,2}:)?\d{1,2}:\d{2}(?:[.,]\d{1,3})?"
_CUE = re.compile(rf"{_TIME} --> {_TIME}")
_MARKS = re.compile(
    rf"[\[(](?:{_TIME}|music|applause|laughter|inaudible)[\])]|</?(?:{_TIME}|c|v)[^<>]*>", re.IGNORECASE
)
_STRUCTURE = re.compile(r"#{1,6} |[-*+] |\d{1,9}[.)] |>|\||=+$|-{2,}$|\*{3,}$| {4}")
_FENCES = ("```", "~~~")
# Taking a mark away may uncover another one.
_PASSES = 3


def clean(text: str) -> str:
    """Without the marks of captions and what cannot be seen; with one space between words and one line a paragraph.

    Markdown's lists, headings, quotes and tables keep their lines, and code stays as it is.
    """
    for _ in range(_PASSES):
        text = "\n\n".join(_blocks(_lines(text)))
    return text


def _lines(text: str) -> list[str]:
    text = _INVISIBLE.sub("", _LINE_ENDS.sub("\n", unicodedata.normalize("NFC", text)))
    return text.removeprefix("WEBVTT\n").split("\n")


def _blocks(lines: list[str]) -> list[str]:
    """What blank lines are between, without the lines that only say when a caption is shown."""
    blocks: list[list[str]] = [[]]
    fence = ""
    for line, following in pairwise([*lines, ""]):
        if fence:
            blocks[-1].append(line)
            fence = "" if line.startswith(fence) else fence
        elif line.startswith(_FENCES):
            blocks[-1].append(line)
            fence = line[:3]
        elif not line.strip():
            blocks.append([])
        elif not _CUE.match(line) and not (line.isdecimal() and _CUE.match(following)):
            blocks[-1].append(_line(line))
    return [joined for block in blocks if (joined := _joined(block))]


def _line(line: str) -> str:
    line = line.expandtabs(4).rstrip()
    indent = line[: len(line) - len(line.lstrip(" "))]
    body = _SPACES.sub(" ", _MARKS.sub(" ", line)).strip()
    if indent.startswith("    "):
        return line
    return indent + body if _STRUCTURE.match(body) else body


def _joined(lines: list[str]) -> str:
    if any(line.startswith(_FENCES) or _STRUCTURE.match(line.lstrip(" ")) or line.startswith(" ") for line in lines):
        return "\n".join(line for line in lines if line.strip() or line == "").strip("\n")
    # Rolling captions say each line twice.
    return " ".join(line for before, line in pairwise(["", *lines]) if line and line != before)
