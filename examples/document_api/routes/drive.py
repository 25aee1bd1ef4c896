"""The folder of the drive that a session publishes to."""

from sqlite3 import Connection

from fastapi import APIRouter
from starlette.responses import Response

from document_api import publications
from document_api.callers import Reader, Writer, attempt
from document_api.idempotency import once
from document_api.jobs import Order
from document_api.problems import (
    BodyTooLargeError,
    BusyError,
    DriveFolderRefusedError,
    DriveNotLinkedError,
    IdempotencyKeyReusedError,
    InterruptedJobError,
    NotFoundError,
    UnauthenticatedError,
    responses,
)
from document_api.routes.replies import reply
from document_api.schemas import DriveLink, DrivePublish, DriveState, Published
from document_api.services import Services
from document_api.works import prepare_publishing

router = APIRouter(prefix="/drive", tags=["drive"])
LINK = responses(UnauthenticatedError, DriveFolderRefusedError, IdempotencyKeyReusedError, BodyTooLargeError)
PUBLISH = responses(
    UnauthenticatedError,
    NotFoundError,
    DriveNotLinkedError,
    DriveFolderRefusedError,
    IdempotencyKeyReusedError,
    BodyTooLargeError,
    BusyError,
    InterruptedJobError,
)


@router.put("/link", operation_id="drive_link", response_model=DriveState, responses=LINK)
async def drive_link(body: DriveLink, caller: Writer, services: Services) -> Response:
    """Link the session to a folder of the drive, which is made if it is not there. An earlier link is replaced."""
    wanted = attempt(caller, "drive_link", body)

    def unit(connection: Connection) -> tuple[DriveState, bool]:
        def effect() -> DriveState:
            services.drive.link(body.folder)
            return publications.link(connection, caller.session_id, body.folder)

        return once(connection, wanted, DriveState, effect=effect)

    state, replayed = await services.database.run(unit)
    return reply(state, 200, replayed=replayed)


@router.get("/status", operation_id="drive_status", responses=responses(UnauthenticatedError))
async def drive_status(caller: Reader, services: Services) -> DriveState:
    """The folder that the session is linked to, and what it has published."""
    return await services.database.run(lambda connection: publications.get_state(connection, caller.session_id))


@router.post("/publish", operation_id="drive_publish", response_model=Published, responses=PUBLISH)
async def drive_publish(body: DrivePublish, caller: Writer, services: Services) -> Response:
    """Put a document's latest version into the linked folder, in place of an earlier one in the same format."""

    def prepare(connection: Connection) -> DrivePublish:
        return prepare_publishing(connection, caller.session_id, body)

    wanted = attempt(caller, "drive_publish", body)
    job_id, replayed = await services.jobs.accept(wanted, Order("drive_publish", body.document_id, prepare))
    job = await services.jobs.outcome(job_id)
    return reply(Published.model_validate(job.result), 200, replayed=replayed)
