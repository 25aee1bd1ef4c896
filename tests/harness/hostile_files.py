"""Files that are made to break who reads them: bombs, entities, loops, polyglots, damage and names.

`hostile_files(count)` deals them out in turns, each time with other parameters; the same seed gives the same files.
"""

import gzip
import io
import json
import random
import struct
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from harness import documents

CANARY = "canary-7f3a-kept-in-a-file-outside"
ANY = "any"
_WORD = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
_SHEET = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_NAMES = (
    "../../../etc/passwd",
    "/etc/passwd",
    "a\nb.pdf",
    "a\x00.pdf",
    "\u202efdp.exe",
    "n" * 5_000,
    "C:\\con.docx",
    "$(reboot).txt",
    "\ud800.txt",
    "--order=1",
)


@dataclass(frozen=True)
class HostileFile:
    """`expected` is the code of the error that it must bring, or `ANY`: any error, or a text without the canary."""

    name: str
    content: bytes
    expected: str = ANY


Make = Callable[[random.Random, str], HostileFile]


def hostile_files(count: int, *, canary_path: str, seed: int = 7) -> Iterator[HostileFile]:
    for number in range(count):
        rng = random.Random(f"{seed}/{number}")
        yield MAKERS[number % len(MAKERS)](rng, canary_path)


@cache
def _word() -> bytes:
    return documents.word()


@cache
def _sheet() -> bytes:
    return documents.sheet()


@cache
def _slides() -> bytes:
    return documents.slides()


@cache
def _pdf() -> bytes:
    return documents.pdf()


def _word_with(body: bytes, *, before: bytes = b"") -> bytes:
    xml = b'<?xml version="1.0"?>' + before + f'<w:document xmlns:w="{_WORD}"><w:body>'.encode() + body
    return documents.repacked(_word(), {"word/document.xml": xml + b"</w:body></w:document>"})


def _sheet_with(data: bytes) -> bytes:
    xml = f'<?xml version="1.0"?><worksheet xmlns="{_SHEET}">'.encode() + data + b"</worksheet>"
    return documents.repacked(_sheet(), {"xl/worksheets/sheet1.xml": xml})


def _bomb(rng: random.Random, _: str) -> HostileFile:
    paragraph = b"<w:p><w:r><w:t>AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA</w:t></w:r></w:p>"
    return HostileFile("bomb.docx", _word_with(paragraph * rng.randint(1_640_000, 1_700_000)), "document_unsafe")


def _ratio(rng: random.Random, _: str) -> HostileFile:
    return HostileFile(
        "ratio.xlsx",
        documents.repacked(_sheet(), {"xl/media/image1.bin": b"\0" * rng.randint(20_000_000, 90_000_000)}),
        "document_unsafe",
    )


def _lying_sizes(rng: random.Random, _: str) -> HostileFile:
    """The directory tells of a few bytes where many are."""
    data = bytearray(_word_with(b"<w:p><w:r><w:t>B</w:t></w:r></w:p>" * rng.randint(300_000, 600_000)))
    place = data.find(b"PK\x01\x02")
    while place >= 0:
        data[place + 24 : place + 28] = struct.pack("<I", 100)
        place = data.find(b"PK\x01\x02", place + 4)
    return HostileFile("liar.docx", bytes(data))


def _many_parts(rng: random.Random, _: str) -> HostileFile:
    made = io.BytesIO(_word())
    with zipfile.ZipFile(made, "a") as archive:
        for number in range(rng.randint(10_001, 11_000)):
            archive.writestr(f"word/part{number}.xml", b"<a/>")
    return HostileFile("parts.docx", made.getvalue(), "document_unsafe")


def _directory_only(rng: random.Random, _: str) -> HostileFile:
    entries = rng.randint(300_000, 400_000)
    entry = b"PK\x01\x02" + b"\0" * 42
    end = b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, 0xFFFF, 0xFFFF, entries * 46, 4, 0)
    return HostileFile("directory.docx", b"PK\x03\x04" + entry * entries + end, "document_unsafe")


def _twice(_: random.Random, __: str) -> HostileFile:
    data = _word()
    # The same name in another place of the archive: who reads it decides which of the two counts.
    return HostileFile("twice.docx", data.replace(b"docProps/app.xml", b"word/document.xml"[:16].ljust(16, b"l")))


def _entities(rng: random.Random, canary_path: str) -> HostileFile:
    kind = rng.choice(["laughs", "quadratic", "system", "parameter"])
    if kind == "laughs":
        levels = "".join(f'<!ENTITY e{n + 1} "{f"&e{n};" * 10}">' for n in range(10))
        declared, used = f'<!ENTITY e0 "lol">{levels}', "&e10;"
    elif kind == "quadratic":
        declared, used = f'<!ENTITY e "{"a" * 50_000}">', "&e;" * 50_000
    elif kind == "system":
        declared, used = f'<!ENTITY e SYSTEM "file://{canary_path}">', "&e;"
    else:
        declared, used = '<!ENTITY % e SYSTEM "http://127.0.0.1:9/egress"> %e;', "x"
    body = f"<w:p><w:r><w:t>{used}</w:t></w:r></w:p>".encode()
    content = _word_with(body, before=f"<!DOCTYPE w [{declared}]>".encode())
    return HostileFile("entities.docx", content, "document_unsafe")


def _late_entities(rng: random.Random, canary_path: str) -> HostileFile:
    """Behind more comment than is looked through."""
    declared = f'<!DOCTYPE w [<!ENTITY e SYSTEM "file://{canary_path}">]>'.encode()
    comment = b"<!-- " + b"x" * rng.randint(70_000, 200_000) + b" -->"
    return HostileFile("late.docx", _word_with(b"<w:p><w:r><w:t>&e;</w:t></w:r></w:p>", before=comment + declared))


def _wide_entities(_: random.Random, canary_path: str) -> HostileFile:
    xml = f'<?xml version="1.0" encoding="UTF-16"?><!DOCTYPE a [<!ENTITY e SYSTEM "file://{canary_path}">]><a>&e;</a>'
    return HostileFile(
        "wide.pptx",
        documents.repacked(_slides(), {"ppt/slides/slide1.xml": xml.encode("utf-16")}),
        "document_unsafe",
    )


def _deep_xml(rng: random.Random, _: str) -> HostileFile:
    depth = rng.randint(20_000, 200_000)
    return HostileFile("deep.docx", _word_with(b"<w:p>" * depth + b"</w:p>" * depth))


def _sparse_sheet(rng: random.Random, _: str) -> HostileFile:
    row = rng.choice([1_048_576, 4_294_967_295, 99_999_999_999])
    cells = f'<row r="1"><c r="A1"><v>1</v></c></row><row r="{row}"><c r="XFD{row}"><v>2</v></c></row>'
    return HostileFile("sparse.xlsx", _sheet_with(f"<sheetData>{cells}</sheetData>".encode()))


def _wide_sheet(rng: random.Random, _: str) -> HostileFile:
    cells = b"".join(b"<row>" + b"<c><v>1</v></c>" * 100 + b"</row>" for _ in range(rng.randint(5_000, 20_000)))
    return HostileFile("wide.xlsx", _sheet_with(b"<sheetData>" + cells + b"</sheetData>"))


def _merged_sheet(_: random.Random, __: str) -> HostileFile:
    merged = b'<mergeCells count="1"><mergeCell ref="A1:XFD1048576"/></mergeCells>'
    return HostileFile(
        "merged.xlsx", _sheet_with(b'<sheetData><row r="1"><c r="A1"><v>1</v></c></row></sheetData>' + merged)
    )


def _lost_strings(rng: random.Random, _: str) -> HostileFile:
    cell = f'<c r="A1" t="s"><v>{rng.randint(10_000, 2**63)}</v></c>'.encode()
    return HostileFile("strings.xlsx", _sheet_with(b'<sheetData><row r="1">' + cell + b"</row></sheetData>"))


def _pdf_of(*objects: bytes, trailer: bytes = b"<</Root 1 0 R/Size 9>>") -> bytes:
    made = bytearray(b"%PDF-1.7\n")
    places = []
    for number, content in enumerate(objects, 1):
        places.append(len(made))
        made += b"%d 0 obj\n" % number + content + b"\nendobj\n"
    start = len(made)
    made += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    for place in places:
        made += b"%010d 00000 n \n" % place
    return bytes(made + b"trailer\n" + trailer + b"\nstartxref\n%d\n%%%%EOF\n" % start)


def _stream(data: bytes, entries: bytes = b"") -> bytes:
    return b"<<" + entries + b"/Length %d>>\nstream\n" % len(data) + data + b"\nendstream"


def _inflating(unit: bytes, times: int) -> bytes:
    """A stream that inflates to the unit so many times, made without deflating all of that."""
    deflating = zlib.compressobj(9, wbits=-15)
    block = deflating.compress(unit) + deflating.flush(zlib.Z_FULL_FLUSH)
    return b"\x78\x9c" + block * times + b"\x03\x00" + bytes(4)


def _page_with(stream: bytes) -> bytes:
    font = b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>"
    page = b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 600 800]/Contents 4 0 R/Resources<</Font<</F 5 0 R>>>>>>"
    return _pdf_of(b"<</Type/Catalog/Pages 2 0 R>>", b"<</Type/Pages/Kids[3 0 R]/Count 1>>", page, stream, font)


def _pdf_tree_loop(rng: random.Random, _: str) -> HostileFile:
    kids = rng.choice([b"[2 0 R]", b"[1 0 R 2 0 R]", b"[3 0 R 3 0 R 2 0 R]"])
    page = b"<</Type/Pages/Parent 2 0 R/Kids[2 0 R]/Count 2000000000>>"
    pages = b"<</Type/Pages/Kids" + kids + b"/Count 2000000000>>"
    return HostileFile("loop.pdf", _pdf_of(b"<</Type/Catalog/Pages 2 0 R>>", pages, page))


def _pdf_table_loop(_: random.Random, __: str) -> HostileFile:
    data = _pdf_of(b"<</Type/Catalog/Pages 2 0 R>>", b"<</Type/Pages/Kids[]/Count 0>>")
    start = data.rindex(b"xref\n0")
    return HostileFile("prev.pdf", data.replace(b"/Size 9", b"/Size 9/Prev %d" % start))


def _pdf_reference_loop(_: random.Random, __: str) -> HostileFile:
    return HostileFile("refs.pdf", _pdf_of(b"2 0 R", b"3 0 R", b"1 0 R"))


def _pdf_bomb(rng: random.Random, _: str) -> HostileFile:
    packed = _inflating(b"q " * 500_000, rng.randint(50, 150))
    return HostileFile("flate.pdf", _page_with(_stream(packed, b"/Filter/FlateDecode")))


def _pdf_double_bomb(rng: random.Random, _: str) -> HostileFile:
    packed = zlib.compress(_inflating(b"\0" * 1_000_000, rng.randint(300, 900)), 9)
    return HostileFile("flates.pdf", _page_with(_stream(packed, b"/Filter[/FlateDecode/FlateDecode]")))


def _pdf_much_text(rng: random.Random, _: str) -> HostileFile:
    drawn = b"BT /F 1 Tf " + b"(AAAAAAAAAAAAAAAAAAAA) Tj " * rng.randint(20_000, 60_000) + b"ET"
    return HostileFile("text.pdf", _page_with(_stream(zlib.compress(drawn), b"/Filter/FlateDecode")))


def slow_pdf(pages: int = 400) -> bytes:
    """All its pages show the same, which is much: seconds of work in a few thousand bytes."""
    drawn = b"BT /F 1 Tf " + b"(AAAAAAAAAAAAAAAAAAAA) Tj " * 5_000 + b"ET"
    content = _stream(zlib.compress(drawn), b"/Filter/FlateDecode")
    page = b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 600 800]/Contents 3 0 R/Resources<</Font<</F 4 0 R>>>>>>"
    kids = b" ".join(b"%d 0 R" % number for number in range(5, 5 + pages))
    tree = b"<</Type/Pages/Count %d/Kids[" % pages + kids + b"]>>"
    font = b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>"
    return _pdf_of(b"<</Type/Catalog/Pages 2 0 R>>", tree, content, font, *[page] * pages)


def _pdf_deep(rng: random.Random, _: str) -> HostileFile:
    depth = rng.randint(10_000, 500_000)
    return HostileFile("arrays.pdf", _pdf_of(b"<</Type/Catalog/Pages 2 0 R>>", b"[" * depth + b"]" * depth))


def _pdf_form_loop(_: random.Random, __: str) -> HostileFile:
    form = _stream(b"/X Do /X Do", b"/Type/XObject/Subtype/Form/BBox[0 0 9 9]/Resources<</XObject<</X 4 0 R>>>>")
    page = b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 9 9]/Contents 4 0 R/Resources<</XObject<</X 4 0 R>>>>>>"
    return HostileFile(
        "form.pdf",
        _pdf_of(b"<</Type/Catalog/Pages 2 0 R>>", b"<</Type/Pages/Kids[3 0 R]/Count 1>>", page, form),
    )


def _pdf_actions(_: random.Random, canary_path: str) -> HostileFile:
    catalog = (
        f"<</Type/Catalog/Pages 2 0 R/OpenAction<</S/Launch/F({canary_path})>>"
        f"/AA<</O<</S/URI/URI(http://127.0.0.1:9/egress)>>>>>>"
    ).encode()
    return HostileFile("actions.pdf", _pdf_of(catalog, b"<</Type/Pages/Kids[]/Count 0>>"))


def _pdf_encrypted(rng: random.Random, _: str) -> HostileFile:
    return HostileFile("secret.pdf", documents.pdf(password=str(rng.random())), "document_encrypted")


def _office_encrypted(rng: random.Random, _: str) -> HostileFile:
    head = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + rng.randbytes(2_000)
    return HostileFile("secret.docx", head + "EncryptedPackage".encode("utf-16-le"), "document_encrypted")


def _archive_encrypted(_: random.Random, __: str) -> HostileFile:
    data = bytearray(_word())
    place = data.find(b"PK\x01\x02")
    data[place + 8] |= 1
    return HostileFile("secret.zip.docx", bytes(data), "document_encrypted")


def _deep_json(rng: random.Random, _: str) -> HostileFile:
    depth = rng.randint(100_000, 2_000_000)
    opened = rng.choice([b"[", b'{"a":'])
    return HostileFile("deep.json", opened * depth + b"1" + {b"[": b"]"}.get(opened, b"}") * depth, "document_unsafe")


def _heavy_json(rng: random.Random, _: str) -> HostileFile:
    return HostileFile("heavy.json", b"[" + b'{"a":[]},' * rng.randint(1_000_000, 2_000_000) + b"1]")


def _long_number(rng: random.Random, _: str) -> HostileFile:
    return HostileFile("number.json", b"[" + b"9" * rng.randint(100_000, 3_000_000) + b"]")


def _deep_html(rng: random.Random, _: str) -> HostileFile:
    return HostileFile("deep.html", b"<html><body>" + b"<div>" * rng.randint(10_000, 300_000) + b"x")


def _tabled_html(rng: random.Random, _: str) -> HostileFile:
    return HostileFile("tables.html", b"<html><table>" + b"<tr><td colspan=99999>" * rng.randint(1_000, 20_000))


def _attributed_html(rng: random.Random, _: str) -> HostileFile:
    return HostileFile("attributes.html", b"<html><p " + b"a='&amp;' " * rng.randint(10_000, 300_000) + b">x")


def _unclosed_html(rng: random.Random, _: str) -> HostileFile:
    return HostileFile("unclosed.html", b"<html>x" + rng.choice([b"<!--", b"<", b"&", b"<![CDATA["]) * 200_000)


def _including_html(_: random.Random, canary_path: str) -> HostileFile:
    page = f"<html><body><iframe src='file://{canary_path}'></iframe><img src='http://127.0.0.1:9/egress'>x</body>"
    return HostileFile("including.html", page.encode())


def _long_line(rng: random.Random, _: str) -> HostileFile:
    return HostileFile("line.csv", rng.choice([b",", b'"', b"a,", b'"a""']) * rng.randint(100_000, 2_000_000))


def _other_type(rng: random.Random, _: str) -> HostileFile:
    beginning = rng.choice(
        [
            b"\x89PNG\r\n\x1a\n",
            b"\xff\xd8\xff\xe0",
            b"\x7fELF\x02\x01",
            b"MZ\x90\x00",
            b"SQLite format 3\x00",
            b"%!PS-Adobe",
        ]
    )
    return HostileFile("report.pdf", beginning + rng.randbytes(3_000), "document_type_unsupported")


def _packed(rng: random.Random, _: str) -> HostileFile:
    return HostileFile("text.txt", gzip.compress(b"\0" * rng.randint(1, 10_000_000)), "document_type_unsupported")


def _noise(rng: random.Random, _: str) -> HostileFile:
    return HostileFile("noise.txt", b"\0" + rng.randbytes(rng.randint(10, 100_000)), "document_type_unsupported")


def _archive(rng: random.Random, _: str) -> HostileFile:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr(rng.choice(["../../escaped", "/etc/cron.d/x", "a" * 60_000]), b"x")
    return HostileFile("archive.docx", made.getvalue(), "document_type_unsupported")


def _polyglot(rng: random.Random, _: str) -> HostileFile:
    name, content, expected = rng.choice(
        [
            ("gif.pdf", b"GIF89a" + _pdf(), "document_type_unsupported"),
            ("pdf.docx", _pdf() + _word(), ANY),
            ("html.docx", b"<html>x</html>" + _word(), ANY),
            ("png.docx", b"\x89PNG\r\n\x1a\n" + _word(), "document_type_unsupported"),
            ("both.docx", documents.repacked(_word(), {"xl/workbook.xml": b"<workbook/>"}), "document_unsafe"),
        ]
    )
    return HostileFile(name, content, expected)


def _nothing(rng: random.Random, _: str) -> HostileFile:
    blank = rng.choice([b"", b" \n\t " * 1_000, b"\xef\xbb\xbf", b"\xff\xfe", b"\r\n", "\u2003\u00a0\ufeff".encode()])
    return HostileFile("nothing.txt", blank, "document_empty")


def _empty_pages(rng: random.Random, _: str) -> HostileFile:
    return HostileFile("scan.pdf", documents.pdf(pages=rng.randint(1, 20), lines=0), "document_empty")


def _named(rng: random.Random, _: str) -> HostileFile:
    return HostileFile(rng.choice(_NAMES), b"", "document_empty")


def _cut_off(rng: random.Random, _: str) -> HostileFile:
    whole = rng.choice([_word(), _sheet(), _slides(), _pdf()])
    return HostileFile("cut.pdf", whole[: rng.randint(5, len(whole) - 1)])


def _damaged(rng: random.Random, _: str) -> HostileFile:
    whole = bytearray(rng.choice([_word(), _sheet(), _slides(), _pdf()]))
    for _number in range(rng.randint(1, 200)):
        whole[rng.randrange(4, len(whole))] = rng.randrange(256)
    return HostileFile("damaged.docx", bytes(whole))


MAKERS: tuple[Make, ...] = (
    _cut_off, _damaged, _bomb, _ratio, _lying_sizes, _many_parts, _directory_only, _twice, _entities, _late_entities,
    _wide_entities, _deep_xml, _sparse_sheet, _wide_sheet, _merged_sheet, _lost_strings, _pdf_tree_loop,
    _pdf_table_loop, _pdf_reference_loop, _pdf_bomb, _pdf_double_bomb, _pdf_much_text, _pdf_deep, _pdf_form_loop,
    _pdf_actions, _pdf_encrypted, _office_encrypted, _archive_encrypted, _deep_json, _heavy_json, _long_number,
    _deep_html, _tabled_html, _attributed_html, _unclosed_html, _including_html, _long_line, _other_type, _packed,
    _noise, _archive, _polyglot, _nothing, _empty_pages, _named, _entities, _cut_off, _damaged, _polyglot, _named,
)  # fmt: skip


def heavy_files() -> Iterator[HostileFile]:
    """Files of about 50 MB that a person might send, which are the most work."""
    text = (" ".join(documents.SENTENCES) + "\n").encode()
    yield HostileFile("heavy.txt", text * (50_000_000 // len(text)))
    yield HostileFile("heavy.csv", b'1,"two",3.5,' + b"x" * 20 + b"\n" + b'1,"two",3.5\n' * 4_100_000)
    yield HostileFile("heavy.json", b"[" + b'{"name": "\\u0444\\u043e\\u043a\\u0441", "n": 1},\n' * 1_050_000 + b"1]")
    yield HostileFile("heavy.html", b"<html><body>" + b"<p>The quick <b>brown</b> fox.</p>\n" * 1_400_000)
    yield HostileFile("heavy.pdf", _large_pdf(3_000))
    rows = b"<row>" + b'<c t="n"><v>12345678</v></c>' * 20 + b"</row>"
    yield HostileFile("heavy.xlsx", _sheet_with(b"<sheetData>" + rows * 160_000 + b"</sheetData>"))


def _large_pdf(pages: int) -> bytes:
    line = b"(It is a truth universally acknowledged, that a fox jumps.) Tj 0 -12 Td\n"
    content = _stream(b"BT /F 9 Tf 40 800 Td\n" + line * 230 + b"ET")
    font = b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>"
    kids = b" ".join(b"%d 0 R" % (4 + 2 * number) for number in range(pages))
    tree = b"<</Type/Pages/Count %d/Kids[" % pages + kids + b"]>>"
    shown = []
    for number in range(pages):
        head = b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 600 800]/Resources<</Font<</F 3 0 R>>>>/Contents "
        shown += [head + b"%d 0 R>>" % (5 + 2 * number), content]
    return _pdf_of(b"<</Type/Catalog/Pages 2 0 R>>", tree, font, *shown)


def main() -> None:
    """`python -m harness.hostile_files FOLDER COUNT CANARY`: in a process of its own, since making them is work too."""
    folder, count, canary_path = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    made = hostile_files(count, canary_path=canary_path) if count else heavy_files()
    index = []
    for number, hostile in enumerate(made):
        (folder / str(number)).write_bytes(hostile.content)
        index.append([hostile.name, hostile.expected])
    (folder / "index.json").write_text(json.dumps(index))


if __name__ == "__main__":
    main()
