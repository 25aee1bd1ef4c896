from collections.abc import Iterator
from uuid import uuid4

import httpx
import pytest

from harness.document_api import DocumentApi, document_api
from harness.model_stub import ModelStub

POST = "t0 t1 t2 t3 t4 "


@pytest.fixture(scope="session")
def documents(tmp_path_factory: pytest.TempPathFactory, model_stub: ModelStub) -> Iterator[DocumentApi]:
    """One for the whole run; every test has a session of its own. Its model says `t0 t1 t2 t3 t4`."""
    model = {"llm_base": model_stub.url, "llm_model": "scripted?tokens=5", "llm_key": "sk-documents"}
    with document_api(tmp_path_factory.mktemp("documents") / "api", **model) as api:
        yield api


@pytest.fixture
def session(documents: DocumentApi) -> Iterator[httpx.Client]:
    with documents.session(uuid4().hex) as client:
        yield client


@pytest.fixture
def document_id(session: httpx.Client) -> str:
    answer = session.post("/documents/text", json={"title": "Notes", "text": "one   two [music]\nthree"})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])
