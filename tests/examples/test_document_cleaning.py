"""Cleaning, videos' addresses and file names, without a server."""

import re
from io import BytesIO

import docx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from document_api.cleaning import clean
from document_api.exports import file_name, render
from document_api.problems import BadVideoError
from document_api.youtube import canonical

PIECES = st.sampled_from(
    [
        "word",
        "two words",
        " ",
        "\n",
        "\n\n",
        "\t",
        "    ",
        "# ",
        "- ",
        "1. ",
        "> ",
        "|",
        "```",
        "~~~",
        "---",
        "===",
        "[music]",
        "(00:12)",
        "<c>",
        "</c>",
        "<00:01.000>",
        "[",
        "]",
        "00:01 --> 00:02",
        "7",
        "WEBVTT",
        "\r\n",
        "é",
        "\u200b",
        "\u2028",
        "\x00",
        "\ufeff",
        "\xa0",
        "漢",
        "🙂",
        "<v Ada>",
        "*",
        "=",
    ]
)


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("one   two\nthree\n\n\n\nfour", "one two three\n\nfour"),
        (
            "WEBVTT\n\n1\n00:00:01.000 --> 00:00:02.000\nHello <c>there</c>\n\n2\n00:00:02.000 --> 00:00:03.000 x\nYou",
            None,
        ),
        ("Hello there\nHello there\nhow are you", "Hello there how are you"),
        ("[00:12] Well [Music] then (inaudible)", "Well then"),
        ("# Title\r\n\r\n- a\r\n  - b   c\r\n", "# Title\n\n- a\n  - b c"),
        ("before\n\n```\na   b\n\n[music]\n```\nafter", "before\n\n```\na   b\n\n[music]\n```\nafter"),
        ("zero\u200bwidth\x00 e\u0301", "zerowidth é"),
        ("in 2010. \n12:30 is noon", "in 2010. 12:30 is noon"),
        ("    code   stays", "    code   stays"),
        ("a[1] (see b) <tag>", "a[1] (see b) <tag>"),
        (" \n\t\n", ""),
    ],
)
def test_a_text_is_cleaned(text: str, cleaned: str | None) -> None:
    assert clean(text) == ("Hello there\n\nYou" if cleaned is None else cleaned)


@given(st.lists(PIECES, max_size=12).map("".join))
def test_cleaning_twice_changes_nothing_more(text: str) -> None:
    assert clean(clean(text)) == clean(text)


@given(
    st.lists(st.sampled_from(["alpha", "beta", "gamma", "délta"]), max_size=20), st.sampled_from([" ", "\n", "\t  "])
)
def test_no_word_is_lost(words: list[str], between: str) -> None:
    once_each = [word for before, word in zip(["", *words], words, strict=False) if word != before]
    assert clean(between.join(once_each)).split() == once_each


@pytest.mark.parametrize("piece", ["[music", "(", "<v ", "00:01 --> ", "```\n", "\n\n", "    ", "| ", "<00:01", "1\n"])
def test_cleaning_and_exporting_take_hostile_texts(piece: str) -> None:
    text = (piece * 60_000)[:60_000]
    assert len(clean(text)) <= len(text)


@settings(max_examples=20, deadline=None)
@given(st.text(max_size=40), st.lists(PIECES, max_size=60).map("".join))
def test_every_text_has_every_export(title: str, text: str) -> None:
    assert render(title, text, "markdown").endswith(b"\n")
    page = render(title, text, "html").decode()
    assert page.count("<title>") == page.count("</title>") == 1
    assert docx.Document(BytesIO(render(title, text, "docx"))).paragraphs is not None
    assert re.fullmatch(r"[a-z0-9-]{1,60}-[0-9a-f]{16}\.docx", file_name(title, "0" * 32, "docx"))


@pytest.mark.parametrize(
    "video",
    [
        "dQw4w9WgXcQ",
        " dQw4w9WgXcQ ",
        "https://www.youtube.com/watch?v=dQw4w9WgXcQ&list=x",
        "http://youtube.com/watch?list=x&v=dQw4w9WgXcQ#t=1",
        "youtube.com/watch?v=dQw4w9WgXcQ",
        "https://m.youtube.com/shorts/dQw4w9WgXcQ",
        "https://www.youtube-nocookie.com/embed/dQw4w9WgXcQ?start=1",
        "https://youtu.be/dQw4w9WgXcQ",
        "HTTPS://WWW.YOUTUBE.COM/live/dQw4w9WgXcQ/",
    ],
)
def test_every_address_of_a_video_is_known(video: str) -> None:
    assert canonical(video) == "https://www.youtube.com/watch?v=dQw4w9WgXcQ"


@pytest.mark.parametrize(
    "video",
    [
        "",
        "dQw4w9WgXc",
        "dQw4w9WgXcQQ",
        "https://youtube.com.evil.example/watch?v=dQw4w9WgXcQ",
        "https://youtube.com@evil.example/watch?v=dQw4w9WgXcQ",
        "https://user@youtube.com/watch?v=dQw4w9WgXcQ",
        "javascript://youtube.com/watch?v=dQw4w9WgXcQ",
        "https://www.youtube.com/watch?v=../../etc",
        "https://www.youtube.com/playlist?list=dQw4w9WgXcQ",
        "https://youtu.be/a/dQw4w9WgXcQ",
        "https://[youtu.be/dQw4w9WgXcQ",
    ],
)
def test_no_other_address_is_taken_for_one(video: str) -> None:
    with pytest.raises(BadVideoError):
        canonical(video)
