"""Functions that the catalogue makes tools of."""

import asyncio
import time
from datetime import date
from typing import Annotated, Any

from pydantic import BaseModel, Field

release = asyncio.Event()


class Found(BaseModel):
    day: date
    count: int


async def echo(text: str) -> str:
    """Says it again."""
    return text


def fail() -> str:
    """Never works."""
    raise ValueError("it failed")


def fail_secretly() -> str:
    """Never works, and says why to operators alone."""
    raise RuntimeError("the password is 12345")


async def hang() -> str:
    """Never ends."""
    await asyncio.sleep(600)
    return ""


def hang_in_a_thread() -> str:
    """Never ends, as far as a test can tell."""
    time.sleep(600)
    return ""


def leave() -> None:
    """Would end the program."""
    raise SystemExit(3)


def large(number: int) -> str:
    """So many letters."""
    return "x" * number


def look(
    day: Annotated[date, Field(description="Since when.")],
    count: Annotated[int, Field(ge=1)] = 1,
    *,
    deep: bool = False,
) -> Found:
    """Looks for something.

    And says how much there was.
    """
    assert isinstance(day, date)
    return Found(day=day, count=count + (100 if deep else 0))


def unspeakable() -> Any:
    """Brings what is not JSON."""
    return object()


def by_place(text: str, /) -> str:
    return text


def untyped(*texts: str) -> str:
    return "".join(texts)


not_a_function = 7
