"""What turns text into vectors.

Owns the model, its prefixes, its batches and where it computes: never on the event loop. It refuses to know what the
texts are for, beyond being a question or something that is to be found.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, TypeAlias

if TYPE_CHECKING:  # it takes a process 36 MB and a third of a second, and many embed nothing
    import numpy as np
    import numpy.typing as npt

Vectors: TypeAlias = "npt.NDArray[np.float32]"
"""Shape (texts, dimension), each row of unit length."""


class Embedder(Protocol):
    """Raises `UnavailableError` when it cannot embed now, `ConfigurationError` from `open` when it never could."""

    @property
    def model(self) -> str:
        """The name that is recorded with an index: vectors of two names never mix."""
        ...

    @property
    def dimension(self) -> int:
        """Numbers of a vector; known once opened."""
        ...

    async def open(self) -> None: ...

    async def embed_queries(self, texts: Sequence[str]) -> Vectors:
        """What is asked, in the order given. Texts that are too long for the model are cut, none is refused."""
        ...

    async def embed_passages(self, texts: Sequence[str]) -> Vectors:
        """What is to be found, in the order given, in batches of the embedder's own choice."""
        ...

    async def aclose(self) -> None: ...
