"""Structured logs: one line an event, for people or as JSON, with the ids that are bound to the context."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import structlog


def bound_request_id() -> str | None:
    """Of the request in whose context this runs."""
    found: str | None = structlog.contextvars.get_contextvars().get("request_id")
    return found


@contextmanager
def request_bound(request_id: str | None) -> Iterator[None]:
    """What is logged in here, and in the tasks that are begun in here, names the request."""
    named = {} if request_id is None else {"request_id": request_id}
    with structlog.contextvars.bound_contextvars(**named):
        yield


def configure_logging(*, level: str, form: str) -> None:
    """`form` is `console` or `json`. The libraries' own records take the same way."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    renderer: structlog.typing.Processor = structlog.processors.JSONRenderer()
    if form != "json":
        # The default shows every local variable, secrets among them, and takes the loop for seconds.
        plain = structlog.dev.plain_traceback
        renderer = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=plain)
    structlog.configure(
        processors=[
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    last: list[structlog.typing.Processor] = [structlog.stdlib.ProcessorFormatter.remove_processors_meta]
    if form == "json":
        last.append(structlog.processors.format_exc_info)
    formatter = structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=[*last, renderer])
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for chatty in ("aiohttp", "asyncio", "uvicorn.access", "alembic.runtime.plugins"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
