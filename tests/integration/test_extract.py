import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from frontdesk.extractor.kinds import Kind
from frontdesk.retrieval import errors
from frontdesk.retrieval.extract import Extracted, ExtractionLimits, Extractor
from harness import documents
from harness.documents import SENTENCES
from harness.hostile_files import slow_pdf
from harness.tool_sources import until

ROOT = Path(__file__).parents[2]
CONFINED = """
import ctypes, json, os, signal, socket, subprocess, sys
from frontdesk.extractor.confinement import confine
granted = confine(scratch=sys.argv[1], seconds=20, memory_bytes=1 << 29)
def tried(act):
    try:
        act()
    except (OSError, MemoryError) as error:
        return type(error).__name__
    return "done"
print(json.dumps({"granted": granted, **{name: tried(act) for name, act in {
    "socket": socket.socket,
    "program": lambda: os.execv(sys.executable, [sys.executable, "-V"]),
    "fork": os.fork,
    "signal": lambda: os.kill(os.getppid(), 0),
    "read": lambda: open(sys.argv[2]).read(),
    "write": lambda: open(sys.argv[2] + ".new", "w"),
    "list": lambda: os.listdir(os.path.dirname(sys.argv[2])),
    "memory": lambda: bytearray(1 << 29),
    "scratch": lambda: open(sys.argv[1] + "/own", "w").write("x"),
}.items()}}))
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    return scratch


@pytest.fixture
def extractor(folder: Path):
    yield Extractor(folder)
    assert list(folder.iterdir()) == []


async def read(extractor: Extractor, folder: Path, content: bytes, name: str = "given.bin") -> Extracted:
    path = folder.parent / "content"
    path.write_bytes(content)
    return await extractor.extract(path, name=name)


async def refused(extractor: Extractor, folder: Path, content: bytes, name: str = "given.bin") -> errors.SourceError:
    with pytest.raises(errors.DocumentError) as caught:
        await read(extractor, folder, content, name)
    return caught.value


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (documents.pdf(), Kind.pdf),
        (documents.word(), Kind.docx),
        (documents.slides(), Kind.pptx),
        (f"<!doctype html><html><body><p>{'<p>'.join(SENTENCES)}<script>hidden()</script>".encode(), Kind.html),
        (json.dumps({"texts": SENTENCES}).encode(), Kind.json),
        ("# Title\n\n{}\n\n{}\n".format(*SENTENCES).encode(), Kind.text),
        ('number,"text"\n1,"{}"\n2,"{}"\n'.format(*SENTENCES).encode(), Kind.text),
        (" ".join(SENTENCES).encode("utf-16"), Kind.text),
    ],
    ids=["pdf", "docx", "pptx", "html", "json", "md", "csv", "utf16"],
)
async def test_reads_each_kind_by_its_content(extractor, folder, content, kind):
    extracted = await read(extractor, folder, content, name="misleading.exe")
    assert extracted.kind == kind
    assert all(sentence in extracted.text for sentence in SENTENCES)
    assert "hidden" not in extracted.text
    assert not extracted.cut


async def test_reads_every_sheet(extractor, folder):
    extracted = await read(extractor, folder, documents.sheet())
    assert extracted.kind == Kind.xlsx
    assert all(cell in extracted.text for cell in ("Продажи", "Цена", "Булка", "12.5", "Second", "behind"))


async def test_a_page_keeps_its_lists_of_definitions_its_headings_and_its_title(extractor, folder):
    body = (
        "<h2>Options</h2><dl><dt><b>lowmem=1</b></dt><dd>Saves memory.</dd><dt>plain</dt><dd>Changes nothing.</dd></dl>"
    )
    table = f"<table><tr><td>{'wide ' * 30}</td></tr><tr><td>narrow</td></tr></table>"
    page = f"<html><head><meta name=generator content=Pen><title>Manual</title></head><body>{body}{table}</body></html>"
    extracted = await read(extractor, folder, page.encode())
    assert extracted.text.startswith("# Manual\n\n## Options\n")
    assert all(said in extracted.text for said in ("lowmem=1", "Saves memory.", "plain", "Changes nothing."))
    assert "Pen" not in extracted.text
    assert "| narrow |" in extracted.text
    assert "----" not in extracted.text


async def test_chunks_say_under_which_headings_they_stand(extractor, folder):
    (chunk,) = (await read(extractor, folder, documents.word())).chunks
    assert chunk.heading == "Отчёт за год"
    paragraphs = "\n\n".join(["A sentence of a guide." * 3] * 30)
    guide = f"# Guide\n\n## Part\n\n{paragraphs}"
    assert {chunk.heading for chunk in (await read(extractor, folder, guide.encode())).chunks} == {
        "Guide",
        "Guide > Part",
    }


@pytest.mark.parametrize("charset", ["windows-1251", "koi8-r"])
async def test_reads_old_encodings(extractor, folder, charset):
    page = f"<html><meta charset={charset}><p>{SENTENCES[1]}"
    assert SENTENCES[1] in (await read(extractor, folder, page.encode(charset))).text


async def test_knows_cyrillic_from_western_texts_without_a_mark(extractor, folder):
    assert SENTENCES[1] in (await read(extractor, folder, SENTENCES[1].encode("windows-1251"))).text
    western = "L'été à la façade, où était-elle ?"
    assert western in (await read(extractor, folder, western.encode("windows-1252"))).text


async def test_tells_where_pages_begin(extractor, folder):
    extracted = await read(extractor, folder, documents.pdf(pages=5))
    assert len(extracted.pages) == 5
    assert extracted.text.count("Page 1, line 0") == 1
    assert all(
        extracted.text[start:].startswith(f"Page {page}, line 0") for page, start in enumerate(extracted.pages, 1)
    )


async def test_cuts_long_texts_and_says_so(folder):
    extractor = Extractor(folder, limits=ExtractionLimits(max_characters=1_000))
    for content in (documents.pdf(pages=9, lines=9), "я".encode() * 5_000, b"[" + b"1," * 5_000 + b"1]"):
        extracted = await read(extractor, folder, content)
        assert extracted.cut
        assert len(extracted.text) == 1_000


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"", errors.EmptyDocumentError),
        (documents.pdf(lines=0), errors.EmptyDocumentError),
        (documents.pdf(password="open sesame"), errors.EncryptedDocumentError),
        (documents.pdf()[:200], errors.BrokenDocumentError),
        (documents.word()[:9_000], errors.BrokenDocumentError),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 100, errors.UnsupportedDocumentError),
        (documents.repacked(documents.word(), {"big": b"\0" * 20_000_000}), errors.UnsafeDocumentError),
    ],
    ids=["nothing", "scan", "password", "cut pdf", "cut docx", "image", "bomb"],
)
async def test_names_the_file_and_what_is_wrong(extractor, folder, content, error):
    told = await refused(extractor, folder, content, name="Report\n\u202e.pdf")
    assert type(told) is error
    assert told.detail.startswith("Report\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}.pdf: ")
    assert len(told.detail) > len("Report...pdf: ")


async def test_refuses_what_is_no_plain_file(extractor, folder, tmp_path):
    (tmp_path / "target").write_bytes(documents.pdf())
    (tmp_path / "link").symlink_to(tmp_path / "target")
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "link", tmp_path / "pipe", tmp_path, Path("/dev/zero"), tmp_path / "missing"):
        with pytest.raises(errors.BrokenDocumentError):
            await extractor.extract(path, name=path.name)


async def test_refuses_what_is_too_large_before_it_is_read(folder):
    extractor = Extractor(folder, limits=ExtractionLimits(max_file_bytes=1_000))
    assert isinstance(await refused(extractor, folder, b"x" * 1_001), errors.DocumentTooLargeError)
    assert (await read(extractor, folder, b"x" * 1_000)).text == "x" * 1_000


async def test_ends_what_takes_too_long(folder):
    extractor = Extractor(folder, limits=ExtractionLimits(seconds=1))
    assert isinstance(await refused(extractor, folder, slow_pdf()), errors.DocumentTooSlowError)
    assert list(folder.iterdir()) == []


async def test_ends_what_takes_too_much_memory(folder):
    extractor = Extractor(folder, limits=ExtractionLimits(memory_bytes=256 * 1024 * 1024))
    told = await refused(extractor, folder, b"[" + b'{"a":[]},' * 1_000_000 + b"1]")
    assert isinstance(told, errors.DocumentTooHeavyError)


async def test_cancelling_kills_the_process_and_leaves_nothing(folder, extractor):
    (folder.parent / "content").write_bytes(slow_pdf())
    task = asyncio.create_task(extractor.extract(folder.parent / "content", name="long.pdf"))
    await until(lambda: _children("frontdesk.extractor", str(folder)))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not _children("frontdesk.extractor", str(folder))


async def test_reads_no_more_files_at_once_than_it_may(folder):
    extractor = Extractor(folder, processes=1)
    (folder.parent / "content").write_bytes(documents.word())
    most = 0
    reading = [asyncio.create_task(extractor.extract(folder.parent / "content", name="a.docx")) for _ in range(3)]
    while not all(task.done() for task in reading):
        most = max(most, len(list(folder.iterdir())))
        await asyncio.sleep(0.005)
    assert most == 1
    assert {(await task).kind for task in reading} == {Kind.docx}


def test_the_extractor_reaches_nothing_outside(tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("kept")
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", CONFINED, str(scratch), str(secret)],
        env={"PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        check=True,
        text=True,
    )
    told = json.loads(done.stdout)
    granted = told.pop("granted")
    assert {"limits", "seccomp"} <= set(granted)
    denied = {"socket", "program", "fork", "signal"} | ({"read", "write", "list"} if "landlock" in granted else set())
    assert {name: told[name] for name in sorted(denied)} == dict.fromkeys(sorted(denied), "PermissionError")
    assert told["memory"] == "MemoryError"
    assert told["scratch"] == "done"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["scratch", "secret"]


def _children(*words: str) -> list[Path]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().decode(errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if all(word in line for word in words):
            found.append(path)
    return found
