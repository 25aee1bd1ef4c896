"""What can be wrong with one document or one link. Each names it, and others go on without it."""

from frontdesk.errors import FrontdeskError


class SourceError(FrontdeskError):
    """`source` is the file's name or the link, as whoever gave it knows it."""

    code, status, title = "source_unusable", 422, "It cannot be used"

    def __init__(self, source: str, problem: str = "") -> None:
        self.source = shown(source)
        super().__init__(f"{self.source}: {problem or self.title}", source=self.source)


class DocumentError(SourceError):
    code, title = "document_unusable", "The document cannot be used"


class EmptyDocumentError(DocumentError):
    code, title = "document_empty", "There is no text in it"


class UnsupportedDocumentError(DocumentError):
    code, status, title = "document_type_unsupported", 415, "Documents of this type cannot be read"


class BrokenDocumentError(DocumentError):
    code, title = "document_broken", "It is damaged"


class EncryptedDocumentError(DocumentError):
    code, title = "document_encrypted", "It is protected with a password"


class UnsafeDocumentError(DocumentError):
    code, title = "document_unsafe", "It is made to do harm"


class DocumentTooLargeError(DocumentError):
    code, status, title = "document_too_large", 413, "It is too large"


class DocumentTooSlowError(DocumentError):
    code, title = "document_too_slow", "It takes too long to read"


class DocumentTooHeavyError(DocumentError):
    code, title = "document_too_heavy", "It takes too much memory to read"


class SourceTooSlowError(SourceError):
    code, title = "source_too_slow", "It takes too long to read"


class SourceStoppedError(FrontdeskError):
    """Of no source in particular: it is told of each that was left."""

    code, status, title = "reading_stopped", 422, "Its reading was stopped"


class SessionFullError(SourceError):
    code, title = "chat_full", "There is no more room for documents in this chat"


class LinkError(SourceError):
    code, title = "link_unusable", "The link cannot be followed"


class LinkRefusedError(LinkError):
    code, title = "link_refused", "The link is not to a public address"


class LinkUnreachableError(LinkError):
    code, title = "link_unreachable", "Nothing usable answers at the link"


class LinkUntrustedError(LinkError):
    code, title = "link_untrusted", "The certificate at the link is not valid"


class LinkTooLargeError(LinkError):
    code, status, title = "link_too_large", 413, "What is at the link is too large"


class LinkTooSlowError(LinkError):
    code, title = "link_too_slow", "The link took too long"


_MOST_SHOWN = 200


def shown(name: str) -> str:
    """A name as it can be shown in one line: without control and direction characters, and not endless."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in name[:_MOST_SHOWN])
