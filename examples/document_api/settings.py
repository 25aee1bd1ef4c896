"""What can be configured. The environment is read here and nowhere else."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self


class ConfigurationError(Exception):
    """The program cannot start as it is configured; the text names the setting."""


@dataclass(frozen=True)
class ModelSettings:
    """An OpenAI-compatible provider: `base` ends before `/chat/completions`."""

    base: str
    name: str
    key: str | None


@dataclass(frozen=True)
class Settings:
    data: Path
    drive: Path
    api_key: str | None
    model: ModelSettings | None

    @classmethod
    def read(cls, environment: Mapping[str, str], *, data: Path) -> Self:
        """Raises `ConfigurationError`."""
        drive = environment.get("DOCUMENTS_DRIVE")
        return cls(
            data=data,
            drive=Path(drive) if drive else data / "drive",
            api_key=environment.get("DOCUMENTS_API_KEY") or None,
            model=_model(environment),
        )


def _model(environment: Mapping[str, str]) -> ModelSettings | None:
    base, name = environment.get("DOCUMENTS_LLM_BASE"), environment.get("DOCUMENTS_LLM_MODEL")
    if not base:
        return None
    if not base.startswith(("http://", "https://")):
        raise ConfigurationError("DOCUMENTS_LLM_BASE is not an http or https address")
    if not name:
        raise ConfigurationError("DOCUMENTS_LLM_BASE needs DOCUMENTS_LLM_MODEL")
    return ModelSettings(base.rstrip("/"), name, environment.get("DOCUMENTS_LLM_KEY") or None)
