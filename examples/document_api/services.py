"""The parts of the running program, built in one place and reached through the application."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends
from starlette.requests import Request

from document_api.database import Database
from document_api.drive import Drive
from document_api.jobs import JobRunner
from document_api.model import Model
from document_api.settings import Settings
from document_api.works import Works


@dataclass(frozen=True)
class ServiceSet:
    settings: Settings
    database: Database
    drive: Drive
    model: Model
    jobs: JobRunner


def build(settings: Settings) -> ServiceSet:
    settings.data.mkdir(parents=True, exist_ok=True)
    database = Database(settings.data / "documents.db")
    drive, model = Drive(settings.drive), Model(settings.model)
    works = Works(database, model, drive)
    return ServiceSet(settings, database, drive, model, JobRunner(database, works.by_kind()))


def _services(request: Request) -> ServiceSet:
    services: ServiceSet = request.app.state.services
    return services


Services = Annotated[ServiceSet, Depends(_services)]
