"""Which folder of the drive a session is linked to, and what it has published there."""

from sqlite3 import Connection

from document_api import documents, events
from document_api.database import now
from document_api.problems import DriveNotLinkedError
from document_api.schemas import DriveState, Publication


def link(connection: Connection, session_id: str, folder: str) -> DriveState:
    """In place of an earlier link; what was published stays where it is."""
    connection.execute("INSERT OR REPLACE INTO drive_links VALUES (?, ?, ?)", (session_id, folder, now()))
    events.add_pipeline(connection, session_id, "drive_linked", path=folder)
    return get_state(connection, session_id)


def get_folder(connection: Connection, session_id: str) -> str:
    """Raises `DriveNotLinkedError`."""
    row = connection.execute("SELECT folder FROM drive_links WHERE session_id = ?", (session_id,)).fetchone()
    if row is None:
        raise DriveNotLinkedError
    return str(row["folder"])


def get_state(connection: Connection, session_id: str) -> DriveState:
    link = connection.execute("SELECT * FROM drive_links WHERE session_id = ?", (session_id,)).fetchone()
    rows = connection.execute(
        "SELECT publication FROM publications WHERE session_id = ? ORDER BY path", (session_id,)
    ).fetchall()
    return DriveState(
        linked=link is not None,
        folder=link and link["folder"],
        linked_at=link and link["linked_at"],
        publications=[Publication.model_validate_json(row["publication"]) for row in rows],
    )


def record(connection: Connection, session_id: str, publication: Publication) -> None:
    connection.execute(
        "INSERT OR REPLACE INTO publications VALUES (?, ?, ?)",
        (publication.path, session_id, publication.model_dump_json()),
    )
    document = documents.get(connection, session_id, publication.document_id)
    published = document.model_copy(update={"version": publication.version})
    events.add_pipeline(connection, session_id, "published", document=published, path=publication.path)
