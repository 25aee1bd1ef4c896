"""Speech as text."""

from typing import Protocol

from frontdesk.errors import ProviderError


class TranscriptionError(ProviderError):
    code, title = "transcription_failed", "The speech could not be transcribed"


class Transcriber(Protocol):
    async def transcribe(self, audio: bytes, *, media_type: str) -> str:
        """Raises `TranscriptionError`."""
        ...

    async def aclose(self) -> None: ...
