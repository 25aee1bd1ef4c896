"""`python -m frontdesk.adapters.vector_index.chroma_process DIRECTORY`: holds Chroma, for the program that started it.

Chroma keeps the interpreter to itself while it writes and ends it when its files are damaged: so it has a process of
its own. It answers one call after another and ends when its input does. What it does not expect ends it too.
"""

import fcntl
import os
import shutil
import sqlite3
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, BinaryIO

import chromadb
import numpy as np
from chromadb.api.shared_system_client import SharedSystemClient
from chromadb.config import Settings
from chromadb.errors import ChromaError, InternalError, NotFoundError

from frontdesk.adapters.vector_index.chroma_wire import HEAD, Reply, decode_call, frame

LOCK_SECONDS = 2.0
_POLL_SECONDS = 0.05
EF_SEARCH = 200
# While it runs, Chroma only logs: a kill in the middle of writing a graph would leave one that it cannot read.
NEVER = 2**31 - 1
WRITTEN_ROWS = 1_000
STORE, SAFE = "store", "safe"
_FULL = ("disk is full", "No space left")
_CALLS = ("open", "put_aside", "create", "drop", "put", "remove", "remove_groups", "nearest", "ids", "count", "check")
# The index over segment and id serves this. Chroma's own pages are in the order of insertion.
_IDS = """
SELECT embedding_id FROM embeddings WHERE embedding_id > ? AND segment_id =
  (SELECT segments.id FROM segments JOIN collections ON collections.id = segments.collection
   WHERE collections.name = ? AND segments.scope = 'METADATA')
ORDER BY embedding_id LIMIT ?
"""


class InUseError(Exception):
    pass


class Store:
    """Chroma in one directory. Names are Chroma's; vectors are bytes of float32."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._store = directory / STORE
        self._lock: int | None = None
        self._client: Any = None
        self._collections: dict[str, Any] = {}

    def open(self) -> None:
        """Raises `InUseError`, OSError when the directory cannot be had, and `ChromaError` or ValueError when what it
        holds is damaged.
        """
        self._own()
        self._recover()
        if self._pending() >= WRITTEN_ROWS:
            self._write_graphs()
        self._connect()

    def put_aside(self) -> None:
        """Begin anew; what was there is kept in a folder beside, for whoever wants to look at it."""
        self._own()
        aside = self._directory / f"broken-{time.time_ns()}"
        aside.mkdir()
        for name in (STORE, SAFE):
            with suppress(FileNotFoundError):
                (self._directory / name).rename(aside / name)
        SharedSystemClient.clear_system_cache()
        self._connect()

    def _recover(self) -> None:
        """Take the copy for the store when the process was ended while it wrote graphs."""
        safe = self._directory / SAFE
        if safe.exists():
            shutil.rmtree(self._store, ignore_errors=True)
            safe.rename(self._store)
        for left in ("part", "done"):
            shutil.rmtree(self._directory / left, ignore_errors=True)

    def _pending(self) -> int:
        """Rows of the log that no graph on disk has: each is put into the graph again when it is loaded."""
        with suppress(sqlite3.Error), self._tables() as tables:
            return int(tables.execute("SELECT count(*) FROM embeddings_queue").fetchone()[0])
        return 0

    def _write_graphs(self) -> None:
        """Chroma writes a graph in place and then forgets the log, so a copy of all stands by until that is done."""
        part, safe, done = (self._directory / name for name in ("part", SAFE, "done"))
        shutil.copytree(self._store, part)
        part.rename(safe)
        self._connect()
        for collection in self._client.list_collections():
            collection.modify(configuration={"hnsw": {"sync_threshold": 2}})  # taken up when the graph is loaded
            named = self._client.get_collection(collection.name, embedding_function=None)
            first = named.get(limit=1, include=["embeddings"])
            if first["ids"]:
                named.query(query_embeddings=first["embeddings"], n_results=1)
            collection.modify(configuration={"hnsw": {"sync_threshold": NEVER}})
        self._client.close()
        os.sync()
        safe.rename(done)
        shutil.rmtree(done)

    def _connect(self) -> None:
        self._collections.clear()
        settings = Settings(anonymized_telemetry=False)
        try:
            self._client = chromadb.PersistentClient(path=str(self._store), settings=settings)
        except AttributeError as error:  # of a client that did not come to be, and that is then closed
            raise InternalError(str(error)) from error
        self._client.list_collections()

    def _tables(self) -> closing[sqlite3.Connection]:
        return closing(sqlite3.connect(f"file:{self._store / 'chroma.sqlite3'}?mode=ro", uri=True))

    def _own(self) -> None:
        if self._lock is None:
            self._directory.mkdir(parents=True, exist_ok=True)
            self._lock = _locked(self._directory / "frontdesk.lock")

    def create(self, name: str) -> None:
        graph = {"space": "cosine", "max_neighbors": 16, "ef_search": EF_SEARCH, "sync_threshold": NEVER}
        configuration = {"hnsw": graph}
        self._client.get_or_create_collection(name, configuration=configuration, embedding_function=None)

    def drop(self, name: str) -> None:
        self._collections.pop(name, None)
        with suppress(NotFoundError):
            self._client.delete_collection(name)

    def put(self, name: str, ids: list[str], vectors: bytes, *, metadatas: list[Any]) -> None:
        """Chroma adds metadata to what a row has: what it is no longer to have is named, as None."""
        collection = self._collection(name)
        known = collection.get(ids=ids, include=["metadatas"])
        former = dict(zip(known["ids"], known["metadatas"], strict=True))
        whole = [{**dict.fromkeys(former.get(id_, ())), **each} for id_, each in zip(ids, metadatas, strict=True)]
        collection.upsert(ids=ids, embeddings=_rows(vectors, len(ids)), metadatas=whole)

    def remove(self, name: str, ids: list[str]) -> None:
        if ids:
            self._collection(name).delete(ids=ids)

    def remove_groups(self, name: str, groups: list[str]) -> None:
        if groups:
            self._collection(name).delete(where={"group": {"$in": groups}})

    def nearest(self, name: str, vector: bytes, where: Any, *, count: int) -> list[tuple[str, str, float]]:
        """What the graph finds, or, when that is less than asked for, the same by comparing everything."""
        collection = self._collection(name)
        row = _rows(vector, 1)
        found = collection.query(query_embeddings=row, n_results=count, where=where, include=["metadatas", "distances"])
        if len(found["ids"][0]) < count:
            return _exact(collection.get(where=where, include=["metadatas", "embeddings"]), row[0])[:count]
        metadatas, distances = found["metadatas"][0], found["distances"][0]
        return [
            (id_, metadata["group"], 1.0 - float(distance))
            for id_, metadata, distance in zip(found["ids"][0], metadatas, distances, strict=True)
        ]

    def ids(self, name: str, after: str, count: int) -> list[str]:
        self._collection(name).get(limit=1, include=[])  # it now brings what was only logged into its tables
        with self._tables() as tables:
            return [row[0] for row in tables.execute(_IDS, (after, name, count))]

    def count(self, name: str) -> int:
        return int(self._collection(name).count())

    def check(self) -> None:
        self._client.list_collections()

    def _collection(self, name: str) -> Any:
        if name not in self._collections:
            self._collections[name] = self._client.get_collection(name, embedding_function=None)
        return self._collections[name]


def _locked(path: Path) -> int:
    """The lock is the process's until it ends, however it ends. One that is ending is waited for."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    deadline = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if time.monotonic() > deadline:
                os.close(descriptor)
                raise InUseError from error
            time.sleep(_POLL_SECONDS)
        else:
            return descriptor


def _rows(vectors: bytes, count: int) -> Any:
    return np.frombuffer(vectors, dtype=np.float32).reshape(count, -1)


def _exact(got: Mapping[str, Any], vector: Any) -> list[tuple[str, str, float]]:
    if not got["ids"]:
        return []
    rows = np.asarray(got["embeddings"], dtype=np.float32)
    lengths = np.linalg.norm(rows, axis=1) * np.linalg.norm(vector)
    similarities = rows @ vector / np.maximum(lengths, np.finfo(np.float32).tiny)
    order = np.argsort(-similarities, kind="stable")
    return [(got["ids"][at], got["metadatas"][at]["group"], float(similarities[at])) for at in order]


def _answer(calls: Mapping[str, Callable[..., Any]], data: bytes) -> Reply:
    call = decode_call(data)
    try:
        return Reply(calls[call.name](**call.arguments))
    except InUseError:
        return Reply("in use", "configuration")
    except OSError as error:
        return Reply(str(error.strerror), "configuration" if call.name == "open" else "unavailable")
    except (ChromaError, ValueError, sqlite3.Error) as error:
        full = any(sign in str(error) for sign in _FULL)
        return Reply(type(error).__name__, "unavailable" if full else "broken")


def _serve(store: Store, source: BinaryIO, sink: BinaryIO) -> None:
    calls = {name: getattr(store, name) for name in _CALLS}
    reply = Reply("ready")
    while True:
        sink.write(frame(reply))
        sink.flush()
        head = source.read(HEAD)
        if len(head) < HEAD:
            return
        reply = _answer(calls, source.read(int.from_bytes(head, "big")))


def main(arguments: Sequence[str]) -> None:
    # Whatever the library prints must not come between the frames.
    sink = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    _serve(Store(Path(arguments[0])), sys.stdin.buffer, sink)


if __name__ == "__main__":
    main(sys.argv[1:])
