"""What may stand in the fields of an interface. They end in pages of ours, so none may say more than it should."""

import re
from typing import Annotated, Any

from pydantic import AfterValidator, Field, StringConstraints

from frontdesk.public_chat.interfaces.models import LABEL_LENGTH, NAME_LENGTH, TITLE_LENGTH, URL_LENGTH
from frontdesk.public_chat.interfaces.origins import parse_origin
from frontdesk.public_chat.sessions.identity import parse_jwks

_COLOR = r"#(?:[0-9a-fA-F]{3}|[0-9a-fA-F]{6}|[0-9a-fA-F]{8})"
_GRADIENT = re.compile(r"(?:linear|radial)-gradient\([#a-zA-Z0-9%., -]{1,300}\)")
_WEB = re.compile(r"(?:https?://|/)[^\s\"'<>\\()]{1,2000}")
_ICON = re.compile(r"[a-z0-9-]{1,64}")
_TYPE_PART = "[a-z0-9][a-z0-9.+-]{0,99}"
MOST_PROMPTS = 12
MOST_ORIGINS = 100


def _icon(text: str) -> str:
    if _ICON.fullmatch(text) is None:
        _address(text)
    return text


def _address(text: str) -> str:
    if _WEB.fullmatch(text) is None or text.startswith("//"):
        raise ValueError("an address begins with https://, http:// or /")
    return text


def check_cover(kind: str, value: str) -> None:
    """Raises `ValueError` when the value is none of its kind."""
    if kind == "color" and re.fullmatch(_COLOR, value) is None:
        raise ValueError("coverValue: a colour is #rgb, #rrggbb or #rrggbbaa")
    if kind == "gradient" and _GRADIENT.fullmatch(value) is None:
        raise ValueError("coverValue: a gradient is linear-gradient(...) or radial-gradient(...)")
    if kind == "image":
        _address(value)


Slug = Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]{3,64}$")]
Name = Annotated[str, StringConstraints(min_length=1, max_length=NAME_LENGTH, strip_whitespace=True)]
Id = Annotated[str, StringConstraints(max_length=36)]
Title = Annotated[str, StringConstraints(max_length=TITLE_LENGTH)]
Text = Annotated[str, StringConstraints(max_length=5_000)]
Label = Annotated[str, StringConstraints(max_length=LABEL_LENGTH)]
Cover = Annotated[str, StringConstraints(min_length=1, max_length=URL_LENGTH)]
Color = Annotated[str, StringConstraints(pattern=f"^{_COLOR}$")]
Font = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9 ,'\"_-]{1,200}$")]
Address = Annotated[str, StringConstraints(max_length=URL_LENGTH), AfterValidator(_address)]
Icon = Annotated[str, StringConstraints(max_length=URL_LENGTH), AfterValidator(_icon)]
PromptText = Annotated[str, StringConstraints(min_length=1, max_length=500)]
FileType = Annotated[str, StringConstraints(pattern=rf"^{_TYPE_PART}/(?:{_TYPE_PART}|\*)$")]
Origin = Annotated[str, StringConstraints(max_length=300), AfterValidator(parse_origin)]
Origins = Annotated[
    list[Origin], Field(max_length=MOST_ORIGINS), AfterValidator(lambda found: list(dict.fromkeys(found)))
]
Locale = Annotated[str, StringConstraints(pattern=r"^[A-Za-z]{2,3}(?:-[A-Za-z0-9]{2,8}){0,3}$")]
Jwks = Annotated[dict[str, Any], AfterValidator(parse_jwks)]
