"""The provider's own API, passed through: requests as they are asked and answers as they come.

Owns the provider's address, its key, connections and time limits. It refuses to interpret bodies and statuses, and
follows nothing. What goes along in headers is the caller's choice, but never another key.
"""

from collections.abc import Mapping
from typing import Protocol

from frontdesk.ports.language_model import ModelCallError


class AnswerReader(Protocol):
    """Both are called from the socket's own callback; neither may raise anything."""

    def feed(self, data: bytes) -> None: ...

    def end(self, error: ModelCallError | None) -> None:
        """The answer is whole, or broke off. Nothing follows."""
        ...


class RelayedAnswer(Protocol):
    """`headers` have lower-case names. Whoever has one must `leave` it."""

    @property
    def status(self) -> int: ...

    @property
    def headers(self) -> Mapping[str, str]: ...

    def read(self, reader: AnswerReader) -> None:
        """Hand on the body to one reader, from its beginning."""
        ...

    def hold(self) -> None:
        """Take no more of the provider for now; its silence is not counted meanwhile."""
        ...

    def go_on(self) -> None: ...

    def leave(self) -> None:
        """No more is wanted. An answer that is not whole is ended at the provider too."""
        ...


class ModelRelay(Protocol):
    async def send(self, method: str, path: str, body: bytes | None, *, headers: Mapping[str, str]) -> RelayedAnswer:
        """Ask for a path below the provider's address; the answer, once its head is there, whatever its status.

        It is asked once. Cancelling closes the call. Raises `ModelCallError` with a kind of `connect`,
        `timeout_first_byte`, `reset` or `bad_response`; the reader is told `timeout_between_bytes` and `reset`.
        """
        ...
