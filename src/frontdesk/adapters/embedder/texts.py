"""What every embedder does to its texts before the model sees them, and to the vectors after it."""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from frontdesk.ports.embedder import Vectors

_E5 = re.compile(r"(^|[/_-])e5([-_]|$)", re.IGNORECASE)
_UNPAIRED = re.compile("[\ud800-\udfff]")


class Prefixes(NamedTuple):
    query: str = ""
    passage: str = ""


def prefixes_of(model: str) -> Prefixes | None:
    """What an E5 model was trained to see before a text; None for every other model, and for E5 that takes
    instructions. Source: the model cards of `intfloat/e5-*` and `intfloat/multilingual-e5-*`.
    """
    if _E5.search(model) and "instruct" not in model.lower():
        return Prefixes("query: ", "passage: ")
    return None


def clean(texts: Iterable[str], *, characters: int) -> list[str]:
    """Texts that any engine can take: no NUL, which ends a C string, nothing that UTF-8 cannot say, and not longer."""
    return [_UNPAIRED.sub("\ufffd", text[:characters].replace("\0", " ")) for text in texts]


def slices(texts: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    for start in range(0, len(texts), size):
        yield texts[start : start + size]


def unit_rows(rows: npt.NDArray[np.floating]) -> Vectors:
    """The rows at unit length. One without a direction stays zero, and is near to nothing."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.ascontiguousarray(rows / np.maximum(lengths, np.finfo(np.float32).tiny), dtype=np.float32)


def joined(parts: Sequence[Vectors], dimension: int) -> Vectors:
    return np.concatenate(parts) if parts else np.empty((0, dimension), np.float32)
