"""A form of `multipart/form-data` (RFC 7578) with one file, parsed as it comes."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from frontdesk.errors import BadRequestError

if TYPE_CHECKING:  # a name that the package has for type checkers alone
    from python_multipart.multipart import MultipartCallbacks

FORM_BYTES = 65_536  # all that there may be beside the file
_HEADERS = 8
_HEADER_BYTES = 2048


class Form:
    """`feed` it, and `take` what of the file has come. `fields` are those that stand before the file.

    `file_name` is None until the file has begun. Raises `BadRequestError` for what is no form or has two files.
    """

    def __init__(self, boundary: bytes, field: str) -> None:
        self.fields: dict[str, str] = {}
        self.file_name: str | None = None
        self.is_whole = False
        self._field = field
        self._pieces: list[bytes] = []
        self._head = self._value = self._disposition = b""
        self._name: str | None = None
        self._in_file = False
        self._beside = 0
        callbacks: MultipartCallbacks = {
            "on_part_begin": self._begin_part,
            "on_header_field": self._add_head,
            "on_header_value": self._add_value,
            "on_header_end": self._end_header,
            "on_headers_finished": self._begin_data,
            "on_part_data": self._add_data,
            "on_part_end": self._end_part,
            "on_end": self._end,
        }
        try:
            self._parser = MultipartParser(
                boundary, callbacks, max_header_count=_HEADERS, max_header_size=_HEADER_BYTES
            )
        except FormParserError as error:
            raise BadRequestError("The form cannot be read") from error

    def feed(self, data: bytes) -> None:
        before = sum(map(len, self._pieces))
        try:
            self._parser.write(data)
        except FormParserError as error:
            raise BadRequestError("The form cannot be read") from error
        self._beside += len(data) - (sum(map(len, self._pieces)) - before)
        if self._beside > FORM_BYTES:
            raise BadRequestError(f"The form has more than {FORM_BYTES} bytes beside its file")

    def take(self) -> Iterator[bytes]:
        """What has come of the file since the last time."""
        pieces, self._pieces = self._pieces, []
        yield from pieces

    def _begin_part(self) -> None:
        self._head = self._value = self._disposition = b""

    def _add_head(self, data: bytes, start: int, end: int) -> None:
        self._head += data[start:end]

    def _add_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _end_header(self) -> None:
        if self._head.lower() == b"content-disposition":
            self._disposition = self._value
        self._head = self._value = b""

    def _begin_data(self) -> None:
        _, options = parse_options_header(self._disposition)
        self._name = options.get(b"name", b"").decode(errors="replace")
        given = options.get(b"filename")
        self._in_file = given is not None and self._name == self._field
        if not self._in_file:
            return
        if self.file_name is not None:
            raise BadRequestError("The form has more than one file")
        # Browsers write a quote in a name as %22, and nothing else so.
        self.file_name = (given or b"").decode(errors="replace").replace("%22", '"')

    def _add_data(self, data: bytes, start: int, end: int) -> None:
        (self._pieces.append if self._in_file else self._add_field)(data[start:end])

    def _add_field(self, piece: bytes) -> None:
        self._value += piece

    def _end_part(self) -> None:
        if not self._in_file and self._name and self.file_name is None:
            self.fields[self._name] = self._value.decode(errors="replace")
        self._in_file = False

    def _end(self) -> None:
        self.is_whole = True


def boundary_of(content_type: str | None) -> bytes:
    """Raises `BadRequestError` for what is no form."""
    media_type, options = parse_options_header(content_type)
    boundary = options.get(b"boundary")
    if media_type != b"multipart/form-data" or not boundary:
        raise BadRequestError("The body must be multipart/form-data, with its boundary")
    return boundary
