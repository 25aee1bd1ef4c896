"""What the document back end does, over HTTP."""

import hashlib
from io import BytesIO

import docx
import httpx
import pytest

from harness.document_api import DocumentApi, events_of, listed

MARKDOWN = """# Plan

Some **bold** and *slanted* `code`, a [link](https://example.com), [bad](javascript:alert(1)).

- first
  - inner
- second

1. one

> quoted

| a | b |
| - | - |
| c | d |

```
raw  <b>
```

<script>alert(1)</script> ![spy](https://evil.example/x.png)
"""


def test_a_text_becomes_a_document(session: httpx.Client) -> None:
    answer = session.post("/documents/text", json={"title": "Plan", "text": MARKDOWN})
    assert answer.status_code == 201
    document = answer.json()
    assert document["kind"] == "text"
    assert document["version"] == 1
    assert document["characters"] == len(MARKDOWN)
    assert document["created_at"].endswith("Z")
    assert listed(session) == [document]
    exported = session.get(f"/documents/{document['id']}/exports")
    assert exported.text == MARKDOWN
    assert exported.headers["Content-Type"] == "text/markdown; charset=utf-8"
    assert exported.headers["Content-Disposition"] == f'attachment; filename="plan-{document["id"][:16]}.md"'


def test_a_transcript_becomes_a_document(session: httpx.Client) -> None:
    body = {"video": "https://youtu.be/dQw4w9WgXcQ?t=3", "transcript": "WEBVTT\n\n00:01 --> 00:02\nHello\n"}
    document = session.post("/documents/youtube", json=body).json()
    assert document["kind"] == "youtube"
    assert document["source"] == "https://www.youtube.com/watch?v=dQw4w9WgXcQ"
    optimized = session.post(f"/documents/{document['id']}/optimize", json={}).json()
    assert optimized["changed"] is True
    assert session.get(f"/documents/{document['id']}/exports").text == "Hello\n"


def test_what_is_no_video_is_refused(session: httpx.Client) -> None:
    for video in ("https://evil.example/watch?v=dQw4w9WgXcQ", "dQw4w9WgXc", "file:///etc/passwd"):
        answer = session.post("/documents/youtube", json={"video": video, "transcript": "Hello"})
        assert answer.status_code == 422
        assert answer.json()["code"] == "bad_video"
    assert listed(session) == []


def test_documents_are_listed_in_pages(session: httpx.Client) -> None:
    made = [session.post("/documents/text", json={"title": f"n{n}", "text": "x"}).json()["id"] for n in range(5)]
    seen: list[str] = []
    before: dict[str, str] = {}
    while True:
        page = session.get("/documents", params={"limit": 2, **before}).json()
        seen += [item["id"] for item in page["items"]]
        if page["next"] is None:
            break
        before = {"before": page["next"]}
    assert seen == made[::-1]


def test_optimizing_makes_a_version_once_there_is_something_to_improve(session: httpx.Client, document_id: str) -> None:
    first = session.post(f"/documents/{document_id}/optimize", json={}).json()
    assert first["changed"] is True
    assert first["document"]["version"] == 2
    second = session.post(f"/documents/{document_id}/optimize", json={}).json()
    assert second["changed"] is False
    assert second["document"]["version"] == 2
    versions = session.get(f"/documents/{document_id}/versions").json()
    assert [(item["version"], item["origin"]) for item in versions["items"]] == [(2, "optimized"), (1, "ingested")]
    texts = [session.get(f"/documents/{document_id}/exports", params={"version": number}).text for number in (1, 2)]
    assert texts == ["one   two [music]\nthree\n", "one two three\n"]
    page = session.get(f"/documents/{document_id}/versions", params={"limit": 1}).json()
    assert page["next"] == 2
    rest = session.get(f"/documents/{document_id}/versions", params={"before": page["next"]}).json()
    assert [item["version"] for item in rest["items"]] == [1]
    assert rest["next"] is None


def test_html_is_safe_to_open(session: httpx.Client) -> None:
    title = "</title><script>alert(1)</script>"
    document = session.post("/documents/text", json={"title": title, "text": MARKDOWN}).json()
    page = session.get(f"/documents/{document['id']}/exports", params={"format": "html"})
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    assert page.headers["X-Content-Type-Options"] == "nosniff"
    for harmless in ("<h1>Plan</h1>", "<strong>bold</strong>", "<td>c</td>", '<a href="https://example.com">'):
        assert harmless in page.text
    for harmful in ("<script", "<img", 'href="javascript'):
        assert harmful not in page.text


def test_word_documents_have_the_texts_structure(session: httpx.Client) -> None:
    document = session.post("/documents/text", json={"title": "Plan", "text": MARKDOWN + "\n\x01\x00end"}).json()
    answer = session.get(f"/documents/{document['id']}/exports", params={"format": "docx"})
    word = docx.Document(BytesIO(answer.content))
    said = {paragraph.text: paragraph.style.name for paragraph in word.paragraphs if paragraph.style is not None}
    assert said["Plan"] == "Heading 1"
    assert said["first"] == "List Bullet"
    assert said["inner"] == "List Bullet 2"
    assert said["one"] == "List Number"
    assert said["quoted"] == "Quote"
    assert said["raw  <b>"] == "No Spacing"
    assert [[cell.text for cell in row.cells] for row in word.tables[0].rows] == [["a", "b"], ["c", "d"]]
    runs = {run.text: run for paragraph in word.paragraphs for run in paragraph.runs}
    assert runs["bold"].bold
    assert runs["slanted"].italic
    assert word.core_properties.title == "Plan"


@pytest.mark.parametrize("form", ["markdown", "html", "docx"])
def test_publishing_puts_a_file_on_the_drive(
    form: str, session: httpx.Client, document_id: str, documents: DocumentApi
) -> None:
    publish = {"document_id": document_id, "format": form}
    refused = session.post("/drive/publish", json=publish)
    assert (refused.status_code, refused.json()["code"]) == (409, "drive_not_linked")
    assert session.get("/drive/status").json()["linked"] is False
    assert session.put("/drive/link", json={"folder": f"{form}/blog posts"}).json()["linked"] is True
    answer = session.post("/drive/publish", json=publish)
    assert answer.status_code == 200, answer.text
    publication = answer.json()["publication"]
    content = (documents.drive / publication["path"]).read_bytes()
    assert hashlib.sha256(content).hexdigest() == publication["sha256"]
    assert len(content) == publication["bytes"]
    assert publication["path"].startswith(f"{form}/blog posts/notes-")
    status = session.get("/drive/status").json()
    assert status["folder"] == f"{form}/blog posts"
    assert status["publications"] == [publication]


def test_publishing_again_replaces_the_file(session: httpx.Client, document_id: str, documents: DocumentApi) -> None:
    session.put("/drive/link", json={"folder": "again"})
    first = session.post("/drive/publish", json={"document_id": document_id}).json()["publication"]
    session.post(f"/documents/{document_id}/optimize", json={})
    second = session.post("/drive/publish", json={"document_id": document_id}).json()["publication"]
    assert (first["version"], second["version"]) == (1, 2)
    assert first["path"] == second["path"]
    assert (documents.drive / second["path"]).read_text() == "one two three\n"
    assert session.get("/drive/status").json()["publications"] == [second]


def test_the_event_feed_tells_everything_once_and_in_order(session: httpx.Client, document_id: str) -> None:
    session.post(f"/documents/{document_id}/optimize", json={})
    session.put("/drive/link", json={"folder": "told"})
    session.post("/drive/publish", json={"document_id": document_id})
    told = [event.get("stage") or f"{event['kind']} {event['state']}" for event in events_of(session)]
    assert told == [
        "ingested",
        *("optimize queued", "optimize running", "optimized", "optimize completed"),
        "drive_linked",
        *("drive_publish queued", "drive_publish running", "published", "drive_publish completed"),
    ]


def test_a_poller_that_goes_on_misses_nothing_and_gets_nothing_twice(session: httpx.Client, document_id: str) -> None:
    session.post(f"/documents/{document_id}/optimize", json={})
    whole = events_of(session)
    cursors = [event["cursor"] for event in whole]
    assert cursors == sorted(set(cursors))
    parts, since = [], None
    for _ in range(len(whole) + 1):
        page = session.get("/sessions/events", params={"limit": 2} | ({"since": since} if since else {})).json()
        parts += page["events"]
        since = page["next"]
    assert parts == whole
    assert since == cursors[-1]
    refused = session.get("/sessions/events", params={"since": "yesterday"})
    assert (refused.status_code, refused.json()["code"]) == (400, "bad_cursor")


@pytest.mark.parametrize(
    ("tool", "body"),
    [("optimize", {"use_model": 0}), ("optimize", {"use_model": "true"}), ("blog", {"words": "600"})],
)
def test_another_type_than_the_described_is_refused(
    tool: str, body: dict[str, object], session: httpx.Client, document_id: str
) -> None:
    assert session.post(f"/documents/{document_id}/{tool}", json=body).status_code == 422


def test_failures_are_problem_documents(session: httpx.Client, document_id: str) -> None:
    for answer, status, code in (
        (session.post("/documents/text", json={"title": "x"}), 422, "validation_error"),
        (session.post("/documents/text", json={"title": "x", "text": " \n"}), 422, "validation_error"),
        (session.post("/documents/text", json={"title": "x", "text": "y", "more": 1}), 422, "validation_error"),
        (session.post("/documents/text", content=b"{", headers={"Content-Type": "application/json"}), 422, ""),
        (session.post("/documents/text", content=b"x" * 6_100_000), 413, "body_too_large"),
        (session.post("/documents/text", content=iter([b"x" * 1_000_000] * 7)), 413, "body_too_large"),
        (session.get("/documents/nothing/versions"), 422, "validation_error"),
        (session.get(f"/documents/{'0' * 32}/versions"), 404, "not_found"),
        (session.get(f"/documents/{document_id}/exports", params={"version": 9}), 404, "not_found"),
        (session.delete("/documents"), 405, "method_not_allowed"),
        (session.get("/nothing"), 404, "not_found"),
    ):
        assert answer.status_code == status, answer.text
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert answer.json()["status"] == status
        assert code in answer.json()["code"]
    assert len(listed(session)) == 1
