import io
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frontdesk.kit.media_types import HEAD_BYTES, TAIL_BYTES, is_allowed, sniff

PNG = b"\x89PNG\r\n\x1a\n" + bytes(100)
OFFICE = "application/vnd.openxmlformats-officedocument."
TYPES = ["image/png", "image/svg+xml", "text/html", "text/plain", "application/json", "application/pdf"]


def archive(*names: str) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as file:
        for name in names:
            file.writestr(name, "x" * 5000)
    return data.getvalue()


@pytest.mark.parametrize(
    ("content", "media_type"),
    [
        (b"", "text/plain"),
        (b"just words", "text/plain"),
        ("Grüße".encode("utf-16"), "text/plain"),
        (b"\xef\xbb\xbfwords", "text/plain"),
        (b"a,b\n1,2\n3,4\n", "text/csv"),
        (b"one, two and three\nfour\n", "text/plain"),
        (b'{"a": 1}', "application/json"),
        (b" [1, 2]", "application/json"),
        (b"[a link](there)", "text/plain"),
        (b"  <!DOCTYPE html><p>x", "text/html"),
        (b"a text with <script>alert(1)</script>", "text/html"),
        ("<html>".encode("utf-16"), "text/html"),
        (b"<?xml version='1.0'?><a/>", "application/xml"),
        (b"<?xml version='1.0'?><svg xmlns='x'/>", "image/svg+xml"),
        (b"%PDF-1.7\n", "application/pdf"),
        (b"\x00" * 100 + b"%PDF-1.7", "application/pdf"),
        (PNG, "image/png"),
        (b"\xff\xd8\xff\xe0" + bytes(50), "image/jpeg"),
        (b"RIFF\x00\x00\x00\x00WEBPVP8 ", "image/webp"),
        (b"\x00\x00\x00\x18ftypavif", "image/avif"),
        (b"MZ" + bytes(100), "application/vnd.microsoft.portable-executable"),
        (b"#!/bin/sh\nrm", "text/x-shellscript"),
        (b"\x00\x01\x02", "application/octet-stream"),
        (archive("a.txt"), "application/zip"),
        (archive("[Content_Types].xml", "word/document.xml"), f"{OFFICE}wordprocessingml.document"),
        (archive("[Content_Types].xml", "ppt/presentation.xml"), f"{OFFICE}presentationml.presentation"),
        (archive("[Content_Types].xml", "xl/workbook.xml"), f"{OFFICE}spreadsheetml.sheet"),
        (archive("word/document.xml", "word/vbaProject.bin"), "application/vnd.ms-office.macro-enabled"),
    ],
)
def test_what_a_file_is(content: bytes, media_type: str) -> None:
    assert sniff(content[:HEAD_BYTES], content[-TAIL_BYTES:]) == media_type


@pytest.mark.parametrize(
    ("content", "media_type"),
    [
        (PNG + b"<script>alert(1)</script>", "text/html"),
        (b"GIF89a/*" + bytes(20) + b"*/<html>", "text/html"),
        (PNG + archive("a.class"), "application/zip"),
        (b"%PDF-1.7\n" + archive("a.txt"), "application/zip"),
        (PNG + b"%PDF-1.4", "application/pdf"),
        (b"MZ" + bytes(50) + b"%PDF-1.4 <html>", "application/vnd.microsoft.portable-executable"),
        (b"%PDF-1.7 <script >", "text/html"),
    ],
)
def test_what_is_several_things_counts_as_the_most_dangerous(content: bytes, media_type: str) -> None:
    assert sniff(content[:HEAD_BYTES], content[-TAIL_BYTES:]) == media_type


@given(st.binary(max_size=300), st.binary(max_size=300))
def test_anything_is_something(head: bytes, tail: bytes) -> None:
    family, _, kind = sniff(head, tail).partition("/")
    assert family
    assert kind


@pytest.mark.parametrize(
    ("allowed", "expected"),
    [
        (["image/*"], {"image/png"}),
        (["image/svg+xml"], {"image/svg+xml"}),
        (["text/*"], {"text/html", "text/plain", "application/json"}),
        (["TEXT/PLAIN "], {"text/plain", "application/json"}),
        (["application/pdf", "text/html"], {"application/pdf", "text/html"}),
        (["*/*"], set(TYPES) - {"image/svg+xml"}),
        ([], set()),
    ],
)
def test_lists_of_types(allowed: list[str], expected: set[str]) -> None:
    assert {media_type for media_type in TYPES if is_allowed(media_type, allowed)} == expected
