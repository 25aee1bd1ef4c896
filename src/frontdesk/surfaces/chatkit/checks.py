"""What agents and callers have stored, held against the protocol's own types: what they do not allow is not sent."""

from typing import Any, TypeVar

import structlog
from chatkit import types
from pydantic import BaseModel, TypeAdapter, ValidationError

_logger = structlog.get_logger(__name__)
_annotation = TypeAdapter(types.Annotation)
_widget = TypeAdapter(types.WidgetItem)
_image = TypeAdapter(types.GeneratedImageItem)
_question = TypeAdapter(types.StructuredInputItem)
_user_message = TypeAdapter(types.UserMessageItem)
_effect = TypeAdapter(types.ClientEffectEvent)
_progress = TypeAdapter(types.ProgressUpdateEvent)
M = TypeVar("M", bound=BaseModel)
Json = dict[str, Any]


def annotation(value: Json) -> Json | None:
    return _checked(_annotation, value)


def widget(value: Json) -> Json | None:
    return _checked(_widget, value)


def image(value: Json) -> Json | None:
    return _checked(_image, value)


def question(value: Json) -> Json | None:
    return _checked(_question, value)


def user_message(value: Json) -> Json | None:
    return _checked(_user_message, value)


def effect(value: Json) -> Json | None:
    return _checked(_effect, value)


def progress(value: Json) -> Json | None:
    return _checked(_progress, value)


def _checked(adapter: TypeAdapter[M], value: Json) -> Json | None:
    """As the protocol writes it; None, and a word to operators, when it cannot be written."""
    try:
        model = adapter.validate_python(value)
    except (ValidationError, RecursionError) as error:
        _logger.warning("not shown: no part of the protocol", kind=value.get("type"), reason=str(error)[:500])
        return None
    shown: Json = model.model_dump(mode="json", by_alias=True, exclude_none=True)
    return {**shown, "created_at": value["created_at"]} if "created_at" in value else shown
