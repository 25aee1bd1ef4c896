"""What visitors bring: uploads within their limits, files and links that are read before the answer, questions about
them, and citations; each session's for itself.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from frontdesk.extractor.chunks import estimated_tokens
from frontdesk.kit.clock import SystemClock
from frontdesk.kit.ids import new_id
from harness import documents
from harness.hostile_files import slow_pdf
from harness.identities import settings_for, with_files
from harness.model_stub import ModelStub
from harness.visitors import Chat, Visitor, assert_failure, build, file, is_end, link, public_chat, read_events, text_of
from harness.web_site import INNER, SITE, Site, web_site

TRAM = b"The tram to the harbour leaves every eleven minutes from the square behind the library. "
CLOCKS = b"The museum of clocks opens at nine and closes at six, and on Mondays it stays closed. "
BOOKS = "Библиотека выдаёт книги на двадцать один день, и продлить срок можно два раза. ".encode()
PADDING = b"Nothing of this paragraph says anything that anybody would ever want to know at all. " * 11
GUIDE = b"\n\n".join([TRAM, PADDING, CLOCKS, PADDING, BOOKS])
PNG = b"\x89PNG\r\n\x1a\n" + bytes(64)


@dataclass(frozen=True)
class Place:
    chat: Chat
    site: Site
    folder: Path

    def blobs(self, below: str = "") -> list[Path]:
        return [path for path in (self.folder / "blobs" / below).rglob("*") if path.is_file()]

    async def build(self, model: str = "scripted?tokens=1", **fields: Any) -> Chat:
        chosen = {"allowFileUpload": True, "rateLimitMessages": 1000, **fields}
        return await build(self.chat.owner, agent={"model": model}, **chosen)

    async def visitor(self, model: str = "scripted?tokens=1", **fields: Any) -> Visitor:
        return await (await self.build(model, **fields)).visitor()


@pytest.fixture(scope="module")
async def place(
    module_database_url: str, model_stub: ModelStub, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Place]:
    folder = tmp_path_factory.mktemp("files")
    async with web_site() as site:
        settings = settings_for(
            module_database_url,
            llm_enabled=True,
            llm_api_base=model_stub.url,
            **with_files(folder),
            link_networks=f"{SITE}/32",
            link_ports=f"80,443,{site.port}",
            visitor_sessions_per_address=1000,
            engine_tick_seconds=0.3,
        )
        async with public_chat(settings) as chat:
            yield Place(chat, site, folder)


def events_of(events: list[tuple[str, Any]], name: str) -> list[Any]:
    return [data for kind, data in events if kind == name]


def stages(events: list[tuple[str, Any]]) -> list[str]:
    return list(dict.fromkeys(data["stage"] for data in events_of(events, "attachment_progress")))


async def test_a_file_is_read_before_the_answer_which_cites_it(place: Place, model_stub: ModelStub) -> None:
    key = new_id()
    visitor = await place.visitor(f"scripted?echo=1&key={key}")
    uploaded = await visitor.brought(GUIDE, "guide.txt")
    events = await visitor.answer("When does the tram to the harbour leave?", file(uploaded))
    assert stages(events) == ["extracting", "embedding", "storing", "ready"]
    assert [name for name, _ in events].index("token") > [name for name, _ in events].index("attachment_progress")
    heard = (await model_stub.calls(key))[-1]["body"]
    assert heard["messages"][-1]["content"].startswith("When does the tram to the harbour leave?\n\n")
    assert "guide.txt" in heard["messages"][-1]["content"]
    assert [tool["function"]["name"] for tool in heard["tools"]] == ["search_attachments"]
    (streamed,) = events_of(events, "message")
    asked, answered = await visitor.messages()
    assert answered["citations"] == streamed["citations"]
    cited = answered["citations"][0]
    assert cited["source"] == {"type": "file", "name": "guide.txt", "url": None}
    span = cited["span"]
    assert GUIDE.decode()[span["start"] : span["end"]].startswith(cited["excerpt"][:100])
    (told,) = asked["attachments"]
    assert (told["name"], told["status"], told["mimeType"]) == ("guide.txt", "ready", "text/plain")
    assert await _fetched(place, told["downloadUrl"]) == GUIDE
    chat = visitor.chat
    transcript = (await chat.owner.made("GET", f"{chat.path}/sessions/{visitor.id}/messages"))["messages"]
    assert transcript[1]["citations"] == streamed["citations"]
    assert [one["name"] for one in transcript[0]["attachments"]] == ["guide.txt"]
    assert await _fetched(place, transcript[0]["attachments"][0]["downloadUrl"]) == GUIDE
    assert not list((place.folder / "scratch").rglob("*document*"))


async def test_what_goes_along_with_a_question_leaves_room_for_the_answer(place: Place, model_stub: ModelStub) -> None:
    key = new_id()
    visitor = await place.visitor(f"scripted?tokens=1&key={key}")
    uploaded = await visitor.brought(b"\n\n".join([TRAM * 10, CLOCKS * 10] * 5), "long.txt")
    await visitor.answer("When does the tram to the harbour leave?", file(uploaded))
    asked = (await model_stub.calls(key))[-1]["body"]["messages"][-1]["content"]
    assert 1_200 < estimated_tokens(asked) < 3_000


async def test_the_agent_searches_and_cites_what_it_found(place: Place) -> None:
    asked = '{"query":"Сколько дней можно держать книгу?","top_k":1}'
    visitor = await place.visitor(f"scripted?echo=1&calls=search_attachments:{asked}")
    uploaded = await visitor.brought(GUIDE, "guide.txt")
    events = await visitor.answer("hello", file(uploaded))
    names = [name for name, _ in events]
    assert "tool_call_completed" in names
    (message,) = events_of(events, "message")
    assert message["toolCalls"][0]["name"] == "search_attachments"
    spans = [GUIDE.decode()[cited["span"]["start"] : cited["span"]["end"]] for cited in message["citations"]]
    assert any("двадцать один день" in cited for cited in spans)


async def test_an_answer_that_took_nothing_cites_nothing(place: Place) -> None:
    visitor = await place.visitor("scripted?tokens=9")
    events = await visitor.answer("hello", file(await visitor.brought(GUIDE)))
    (message,) = events_of(events, "message")
    assert message["citations"] == []


async def test_a_link_is_fetched_and_one_that_leads_inside_is_not(place: Place, model_stub: ModelStub) -> None:
    key = new_id()
    visitor = await place.visitor(f"scripted?echo=1&key={key}")
    good, bad = (f"http://{host}:{place.site.port}/page" for host in (SITE, INNER))
    events = await visitor.answer("What is public?", link(good), link(bad))
    asked, answered = await visitor.messages()
    assert [one["status"] for one in asked["attachments"]] == ["ready", "failed"]
    assert asked["attachments"][1]["error"]["code"] == "link_refused"
    assert answered["citations"][0]["source"] == {"type": "url", "name": good, "url": good}
    failed = [data for data in events_of(events, "attachment_progress") if data["stage"] == "failed"]
    assert [(one["attachment"]["name"], one["error"]["code"]) for one in failed] == [(bad, "link_refused")]
    heard = (await model_stub.calls(key))[-1]["body"]["messages"][-1]["content"]
    assert f"The attachment {bad} could not be read" in heard
    assert place.site.asked["/page"] == 1


async def test_bad_files_have_their_errors_and_the_answer_goes_on(place: Place) -> None:
    visitor = await place.visitor("scripted?echo=1")
    brought = {
        "locked.pdf": documents.pdf(password="secret"),
        "blank.txt": b" \n ",
        "photo.png": PNG,
    }
    uploads = [await visitor.brought(content, name) for name, content in brought.items()]
    await visitor.answer("hello", *map(file, uploads))
    asked, answered = await visitor.messages()
    errors = [one["error"]["code"] for one in asked["attachments"]]
    assert errors == ["document_encrypted", "document_empty", "document_type_unsupported"]
    assert answered["status"] == "completed"
    assert answered["citations"] == []


@pytest.mark.parametrize("kind", ["docx", "pptx", "xlsx", "pdf", "html", "json", "csv", "md"])
async def test_every_kind_of_document_is_found(place: Place, kind: str) -> None:
    made: dict[str, Callable[[], bytes]] = {
        "docx": documents.word,
        "pptx": documents.slides,
        "xlsx": documents.sheet,
        "pdf": lambda: documents.pdf(pages=1),
        "html": lambda: b"<html><body><p>The quick brown fox</p></body></html>",
        "json": lambda: b'{"animal": "The quick brown fox"}',
        "csv": lambda: b"animal,price\nfox,12\n",
        "md": lambda: b"# Animals\n\nThe quick brown fox",
    }
    visitor = await place.visitor(allowedFileTypes=_TYPES)
    await visitor.answer("hello", file(await visitor.brought(made[kind](), f"document.{kind}")))
    (found, *_) = await visitor.query("a quick fox")
    assert "fox" in found["content"].lower()
    assert found["source"]["name"] == f"document.{kind}"


_OFFICE = "application/vnd.openxmlformats-officedocument."
_TYPES = [
    "application/pdf",
    "text/*",
    *(_OFFICE + kind for kind in ("wordprocessingml.document", "presentationml.presentation", "spreadsheetml.sheet")),
]


async def test_a_file_that_is_sent_again_is_found_once(place: Place) -> None:
    visitor = await place.visitor()
    uploaded = await visitor.brought(TRAM)
    for text in ("one", "two"):
        await visitor.answer(text, file(uploaded), file(uploaded))
    assert len(await visitor.query("tram")) == 1
    assert [len(message["attachments"]) for message in await visitor.messages()] == [1, 0, 1, 0]


async def test_a_question_finds_the_right_chunk(place: Place) -> None:
    visitor = await place.visitor()
    await visitor.answer("hello", file(await visitor.brought(GUIDE)))
    found = await visitor.query("On which day of the week is the museum shut?", topK=1)
    assert "Mondays" in found[0]["content"]
    assert 0.5 < found[0]["similarity"] <= 1
    found = await visitor.query("На сколько дней дают книги?", topK=1)
    assert "двадцать один день" in found[0]["content"]


async def test_an_upload_has_what_the_contract_says(place: Place) -> None:
    visitor = await place.visitor()
    uploaded = await visitor.brought(TRAM, "../../Tram plan.txt")
    interface = visitor.chat.interface["id"]
    assert uploaded["uri"] == uploaded["gcsUri"]
    key = uploaded["uri"].removeprefix("file:///")
    assert key.startswith(f"chat-attachments/{interface}/{visitor.id}/")
    assert key.endswith("_Tram_plan.txt")
    told = (uploaded["filename"], uploaded["size"], uploaded["mimeType"])
    assert told == ("Tram plan.txt", len(TRAM), "text/plain")
    expires = int(parse_qs(urlsplit(uploaded["downloadUrl"]).query)["expires"][0])
    assert abs(expires - SystemClock().now().timestamp() - 86_400) < 60
    answer = await _get(place, uploaded["downloadUrl"])
    assert answer.content == TRAM
    assert answer.headers["content-disposition"].startswith("attachment")
    assert answer.headers["x-content-type-options"] == "nosniff"


async def test_what_is_no_upload_is_refused(place: Place) -> None:
    visitor = await place.visitor(maxFileSizeMb=1)
    refused = assert_failure(await visitor.upload(b"MZ" + bytes(200), "notes.pdf"), 415, "file_type_not_allowed")
    assert refused["allowed"] == visitor.chat.interface["allowedFileTypes"]
    assert "application/pdf" in refused["error"]
    body = [b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\n', *[TRAM * 700] * 40]

    async def pieces() -> AsyncIterator[bytes]:
        for piece in body:
            yield piece

    headers = {"X-Session-Token": visitor.token, "Content-Type": "multipart/form-data; boundary=x"}
    streamed = await visitor.chat.ask("POST", "/upload", content=pieces(), headers=headers)
    assert_failure(streamed, 413, "file_too_large")
    assert_failure(await visitor.upload(TRAM * 30_000), 413, "file_too_large")
    assert place.blobs(f"chat-attachments/{visitor.chat.interface['id']}") == []
    nobody = {"X-Session-Token": "sess_" + "x" * 32}
    files = {"file": ("a.txt", TRAM, "text/plain")}
    assert_failure(await visitor.chat.ask("POST", "/upload", files=files, headers=nobody), 404, "not_found")
    assert_failure(await visitor.chat.ask("POST", "/upload", files=files), 404, "not_found")
    in_the_form = await visitor.chat.ask("POST", "/upload", files=files, data={"sessionToken": visitor.token})
    assert in_the_form.status_code == 201


async def test_a_chat_without_uploads_takes_no_files_and_no_links(place: Place) -> None:
    visitor = await place.visitor(allowFileUpload=False)
    assert_failure(await visitor.upload(TRAM), 403, "uploads_not_allowed")
    sent = await visitor.send("hello", attachments=[link("https://example.com/")])
    assert_failure(sent, 403, "uploads_not_allowed")
    assert await visitor.messages() == []


async def test_no_more_files_wait_than_a_message_can_bring(place: Place) -> None:
    visitor = await place.visitor(maxFiles=2)
    tried = await asyncio.gather(*(visitor.upload(TRAM, f"{number}.txt") for number in range(5)))
    assert sorted(answer.status_code for answer in tried) == [201, 201, 422, 422, 422]
    refused = next(answer for answer in tried if answer.status_code == 422)
    assert_failure(refused, 422, "too_many_files")
    first, second = (answer.json() for answer in tried if answer.status_code == 201)
    header = {"X-Session-Token": visitor.token}
    removed = await visitor.chat.ask("DELETE", f"/upload/{first['id']}", headers=header)
    assert removed.status_code == 204
    third = await visitor.brought(TRAM)
    links = [link(f"https://example.com/{number}") for number in range(3)]
    assert_failure(await visitor.send(attachments=links), 422, "too_many_files")
    await visitor.answer("hello", file(second), file(third))
    assert_failure(await visitor.chat.ask("DELETE", f"/upload/{third['id']}", headers=header), 404, "not_found")
    assert (await visitor.upload(TRAM)).status_code == 201


async def test_20_uploads_a_minute_and_no_more(place: Place) -> None:
    visitor = await place.visitor(maxFiles=20)
    tried = [await visitor.upload(TRAM) for _ in range(21)]
    assert [answer.status_code for answer in tried] == [201] * 20 + [429]
    assert_failure(tried[-1], 429, "rate_limited")
    assert int(tried[-1].headers["retry-after"]) > 0
    assert (await (await visitor.chat.visitor()).upload(TRAM)).status_code == 201


async def test_neither_of_two_sessions_reaches_what_the_other_brought(place: Place) -> None:
    one, two = [await place.visitor() for _ in range(2)]
    of_one, of_two = await one.brought(TRAM), await two.brought(CLOCKS)
    for name in ("gcsUri", "id"):
        taken = {"type": "file", "uri": of_one[name]}
        assert_failure(await two.send(attachments=[taken]), 422, "unknown_attachment")
    await one.answer("hello", file(of_one))
    await two.answer("hello", file(of_two))
    for visitor, own in ((one, TRAM), (two, CLOCKS)):
        found = await visitor.query("tram museum clocks harbour", topK=20)
        assert [chunk["content"] for chunk in found] == [own.decode().strip()]
    body = {"sessionToken": one.token, "query": "tram"}
    assert_failure(await two.chat.ask("POST", "/query", json=body), 404, "not_found")
    upload = {"X-Session-Token": one.token}
    refused = await two.chat.ask("POST", "/upload", files={"file": ("a.txt", TRAM)}, headers=upload)
    assert_failure(refused, 404, "not_found")
    path = f"/upload/{of_one['id']}"
    assert_failure(await two.chat.ask("DELETE", path, headers={"X-Session-Token": two.token}), 404, "not_found")
    key_one, key_two = (uploaded["uri"].removeprefix("file:///") for uploaded in (of_one, of_two))
    stolen = of_two["downloadUrl"].replace(key_two, key_one)
    assert (await _get(place, stolen)).status_code == 403


async def test_a_reading_is_stopped_and_the_next_message_is_answered(place: Place) -> None:
    visitor = await place.visitor(maxFiles=20)
    uploaded = await visitor.brought(slow_pdf(3000), "slow.pdf")
    sent = await visitor.say("hello", file(uploaded))
    async with visitor.stream() as stream:
        await read_events(stream, lambda event: event.type == "attachment_progress")
        body = {"sessionToken": visitor.token}
        stopped = await visitor.chat.ask("POST", f"/executions/{sent['executionId']}/cancel", json=body)
        assert (stopped.status_code, stopped.json()["status"]) == (202, "interrupted")
        assert (await read_events(stream, is_end))[-1].type == "execution_completed"
    assert text_of(await visitor.answer("and now?")) == "t0 "
    (left,) = (await visitor.messages())[0]["attachments"]
    assert (left["status"], left["error"]["code"]) == ("failed", "reading_stopped")


async def test_a_session_takes_its_files_and_chunks_with_it(place: Place) -> None:
    visitor = await place.visitor()
    await visitor.answer("hello", file(await visitor.brought(GUIDE)))
    unsent = await visitor.brought(TRAM)
    folder = f"chat-attachments/{visitor.chat.interface['id']}/{visitor.id}"
    assert len(place.blobs(folder)) == 2
    assert (await visitor.chat.ask("DELETE", f"/sessions/{visitor.token}")).status_code == 204
    assert place.blobs(folder) == []
    assert (await _get(place, unsent["downloadUrl"])).status_code == 404
    assert_failure(
        await visitor.chat.ask("POST", "/query", json={"sessionToken": visitor.token, "query": "tram"}),
        404,
        "not_found",
    )


async def test_pictures_of_an_interface_are_shown_replaced_copied_and_erased(place: Place) -> None:
    chat = await place.build()
    urls = {}
    for kind in ("cover", "icon"):
        made = await chat.owner.send("POST", f"{chat.path}/assets", files={"file": ("a.png", PNG)}, data={"type": kind})
        assert made.status_code == 201, made.text
        urls[kind] = made.json()["url"]
    shown = (await chat.ask("GET")).json()
    assert (shown["coverType"], shown["coverValue"], shown["iconUrl"]) == ("image", urls["cover"], urls["icon"])
    picture = await _get(place, urls["icon"])
    assert (picture.content, picture.headers["content-type"]) == (PNG, "image/png")
    copy = (await chat.owner.send("POST", f"{chat.path}/duplicate")).json()
    assert copy["iconUrl"] not in urls.values()
    again = await chat.owner.send("POST", f"{chat.path}/assets?type=icon", files={"file": ("b.png", PNG)})
    assert (await _get(place, urls["icon"])).status_code == 404
    bad = await chat.owner.send("POST", f"{chat.path}/assets?type=icon", files={"file": ("b.png", b"<svg></svg>")})
    assert_failure(bad, 415, "file_type_not_allowed")
    unnamed = await chat.owner.send("POST", f"{chat.path}/assets", files={"file": ("b.png", PNG)})
    assert_failure(unnamed, 422, "validation_error")
    assert (await chat.owner.send("DELETE", chat.path)).status_code == 204
    assert (await _get(place, again.json()["url"])).status_code == 404
    assert place.blobs(f"chat-assets/{chat.interface['id']}") == []
    assert (await _get(place, copy["iconUrl"])).content == PNG


async def _get(place: Place, url: str) -> httpx.Response:
    root = str(place.chat.owner.client.base_url).removesuffix("/api/")
    return await place.chat.owner.client.get(root + url)


async def _fetched(place: Place, url: str) -> bytes:
    return (await _get(place, url)).content
