"""Office documents are archives of XML: what is in one, and whether it is safe to unpack."""

import io
import re
import struct
import zipfile
import zlib

from frontdesk.extractor.kinds import Kind
from frontdesk.extractor.wire import Fault, RefusedError

MAX_MEMBERS = 10_000
MAX_RATIO = 200
# Below this much unpacked text no ratio is suspicious: an empty sheet packs very well.
_RATIO_COUNTS_FROM = 10_000_000
_MAIN_PARTS = {
    "word/document.xml": Kind.docx,
    "ppt/presentation.xml": Kind.pptx,
    "xl/workbook.xml": Kind.xlsx,
}
_ENCRYPTED = 1
# ECMA-376 part 2 forbids a document type declaration; entities are what it would be there for.
_DECLARATION = re.compile(rb"<!\s*(?:DOCTYPE|ENTITY)", re.IGNORECASE)
_PROLOGUE_BYTES = 65_536
_END_OF_DIRECTORY = b"PK\x05\x06"
_END_BYTES = 65_557
_ENTRY_BYTES = 46


def office_kind(data: bytes, *, max_unpacked_bytes: int) -> Kind:
    """Raises `RefusedError` for an archive that is none, that is no Office document, or that is a trap."""
    _require_few_entries(data)
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = archive.infolist()
            kind = _kind_of(members)
            _require_safe(members, len(data), max_unpacked_bytes)
            for member in members:
                if member.filename.endswith((".xml", ".rels")):
                    _require_no_declaration(archive, member)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, UnicodeDecodeError, struct.error) as error:
        raise RefusedError(Fault.broken, "The archive that it is cannot be opened") from error
    return kind


def _require_few_entries(data: bytes) -> None:
    """Before the directory is read: an archive of nothing but entries would take all the memory there is."""
    end = data.rfind(_END_OF_DIRECTORY, max(0, len(data) - _END_BYTES))
    size = int.from_bytes(data[end + 12 : end + 16], "little") if end >= 0 else 0
    if min(size, len(data)) // _ENTRY_BYTES > MAX_MEMBERS * 4:
        raise RefusedError(Fault.unsafe, f"It has more than {MAX_MEMBERS:,} parts")


def _kind_of(members: list[zipfile.ZipInfo]) -> Kind:
    names = {member.filename for member in members}
    if any(member.flag_bits & _ENCRYPTED for member in members):
        raise RefusedError(Fault.encrypted, "It is protected with a password")
    kinds = {kind for part, kind in _MAIN_PARTS.items() if part in names}
    if "[Content_Types].xml" not in names or not kinds:
        raise RefusedError(Fault.unsupported, "It is an archive and no Office document")
    if len(kinds) > 1:
        raise RefusedError(Fault.unsafe, "It claims to be several documents at once")
    return kinds.pop()


def _require_safe(members: list[zipfile.ZipInfo], size: int, max_unpacked_bytes: int) -> None:
    if len(members) > MAX_MEMBERS:
        raise RefusedError(Fault.unsafe, f"It has more than {MAX_MEMBERS:,} parts")
    if len({member.filename for member in members}) < len(members):
        raise RefusedError(Fault.unsafe, "It has two parts of one name")
    unpacked = sum(member.file_size for member in members)
    if unpacked > max_unpacked_bytes:
        raise RefusedError(Fault.unsafe, f"It unpacks to more than {max_unpacked_bytes:,} bytes")
    if unpacked > _RATIO_COUNTS_FROM and unpacked > MAX_RATIO * size:
        raise RefusedError(Fault.unsafe, f"It unpacks to more than {MAX_RATIO} times its size")


def _require_no_declaration(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> None:
    with archive.open(member) as part:
        prologue = part.read(_PROLOGUE_BYTES)
    if b"\x00" in prologue:  # UTF-16
        prologue = prologue.replace(b"\x00", b"")
    if _DECLARATION.search(prologue):
        raise RefusedError(Fault.unsafe, "It declares XML entities, which no Office document may")
