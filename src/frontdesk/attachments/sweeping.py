"""The sweep of files: at the start, for what a killed process has left, and from time to time."""

import asyncio
from contextlib import suppress

import structlog

from frontdesk.attachments.service import AttachmentService
from frontdesk.errors import FrontdeskError

_INTERVAL_SECONDS = 600.0
_logger = structlog.get_logger(__name__)


class AttachmentSweeper:
    def __init__(self, attachments: AttachmentService) -> None:
        self._attachments = attachments
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> None:
        self._task = asyncio.create_task(self._sweep_on())

    async def aclose(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _sweep_on(self) -> None:
        while True:
            try:
                await self._attachments.sweep()
            except FrontdeskError as error:
                _logger.warning("files could not be swept", code=error.code)
            await asyncio.sleep(_INTERVAL_SECONDS)
