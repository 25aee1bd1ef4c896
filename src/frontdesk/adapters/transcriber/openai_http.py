"""Speech to the provider's `/audio/transcriptions`, as OpenAI has it."""

import msgspec
from aiohttp import ClientError, ClientSession, ClientTimeout, DummyCookieJar, FormData

from frontdesk.ports.transcriber import TranscriptionError

MAX_ANSWER_BYTES = 262_144
_SUFFIXES = {"audio/webm": "webm", "audio/ogg": "ogg", "audio/mp4": "mp4", "audio/mpeg": "mp3", "audio/wav": "wav"}


class _Answer(msgspec.Struct):
    text: str


class OpenAIHttpTranscriber:
    """`timeout` is in seconds, for the whole exchange. No redirect is followed and no proxy used."""

    def __init__(self, base_url: str, *, model: str, api_key: str | None, timeout: float) -> None:
        self._url = f"{base_url}/audio/transcriptions"
        self._model = model
        self._headers = {} if api_key is None else {"Authorization": f"Bearer {api_key}"}
        self._timeout = ClientTimeout(total=timeout)
        self._session: ClientSession | None = None

    async def transcribe(self, audio: bytes, *, media_type: str) -> str:
        if self._session is None:
            self._session = ClientSession(trust_env=False, cookie_jar=DummyCookieJar())
        form = FormData({"model": self._model, "response_format": "json"})
        suffix = _SUFFIXES.get(media_type, "bin")
        form.add_field("file", audio, filename=f"speech.{suffix}", content_type=media_type)
        try:
            async with self._session.post(
                self._url, data=form, headers=self._headers, timeout=self._timeout, allow_redirects=False
            ) as response:
                body = await response.content.read(MAX_ANSWER_BYTES)
                while (more := await response.content.read(MAX_ANSWER_BYTES)) and len(body) <= MAX_ANSWER_BYTES:
                    body += more
                if response.status != 200:  # noqa: PLR2004  OK
                    raise TranscriptionError
                return msgspec.json.decode(body, type=_Answer).text
        except (ClientError, OSError, TimeoutError, ValueError, msgspec.MsgspecError) as error:
            raise TranscriptionError from error

    async def aclose(self) -> None:
        if self._session is not None:
            await self._session.close()
