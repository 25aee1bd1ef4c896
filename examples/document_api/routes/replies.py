"""Answers of effects, which may be an earlier attempt's."""

from pydantic import BaseModel
from starlette.responses import Response

REPLAYED = "Idempotent-Replayed"


def reply(answer: BaseModel, status: int, *, replayed: bool) -> Response:
    headers = {REPLAYED: "true"} if replayed else None
    return Response(answer.model_dump_json(), status, headers, "application/json")
