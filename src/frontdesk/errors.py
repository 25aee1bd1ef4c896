"""The one tree of expected failures. Each class owns a stable machine code and an HTTP status; a surface renders
them.
"""

from collections.abc import Mapping
from typing import Any, ClassVar


class FrontdeskError(Exception):
    """Something that a caller can be told. `detail` is written for the caller and holds no secret."""

    code: ClassVar[str] = "internal_error"
    status: ClassVar[int] = 500
    title: ClassVar[str] = "Internal error"

    def __init__(self, detail: str = "", *, headers: Mapping[str, str] | None = None, **extra: Any) -> None:
        super().__init__(detail or self.title)
        self.detail = detail or self.title
        self.headers = dict(headers or {})
        self.extra = extra


class BadRequestError(FrontdeskError):
    code, status, title = "bad_request", 400, "Bad request"


class MalformedJsonError(BadRequestError):
    code, title = "malformed_json", "The body is not valid JSON"


class BadCursorError(BadRequestError):
    code, title = "bad_cursor", "The cursor was not made by this server"


class SessionRequiredError(BadRequestError):
    code, title = "session_required", "Name the session: the X-Agent-Session-Id header, or session_id in the body"


class UnauthenticatedError(FrontdeskError):
    code, status, title = "unauthenticated", 401, "Authentication is required"


class BadCredentialsError(UnauthenticatedError):
    code, title = "bad_credentials", "The user name or the password is wrong"


class BadTokenError(UnauthenticatedError):
    code, title = "bad_token", "The token is not valid"


class BadInternalKeyError(UnauthenticatedError):
    code, title = "bad_internal_key", "The internal key is not valid"


class ForbiddenError(FrontdeskError):
    code, status, title = "forbidden", 403, "Not permitted"


class OriginRefusedError(ForbiddenError):
    code, title = "origin_refused", "Pages of this origin may not connect"


class HttpsRequiredError(ForbiddenError):
    code, title = "https_required", "HTTPS is required"


class NotAllowedError(ForbiddenError):
    code, title = "not_allowed", "Your allow lists do not include this product or agent"


class SenderMismatchError(ForbiddenError):
    code, title = "sender_mismatch", "A message can be sent only in your own name"


class BadLinkError(ForbiddenError):
    code, title = "bad_link", "The link was not made by this server"


class LinkExpiredError(ForbiddenError):
    code, title = "link_expired", "The link has expired"


class OriginNotAllowedError(ForbiddenError):
    code, title = "origin_not_allowed", "This chat is not for that site"


class UploadsNotAllowedError(ForbiddenError):
    code, title = "uploads_not_allowed", "This chat takes no files and no links"


class IdentityRejectedError(ForbiddenError):
    code, title = "identity_rejected", "The visitor's identity is not proven"


class NotFoundError(FrontdeskError):
    code, status, title = "not_found", 404, "Not found"


class UnknownToolError(NotFoundError):
    code, title = "unknown_tool", "There is no such tool"


class ConflictError(FrontdeskError):
    code, status, title = "conflict", 409, "Conflict"


class ExecutionActiveError(ConflictError):
    code, title = "execution_active", "An answer is under way in this thread"


class IllegalTransitionError(ConflictError):
    code, title = "illegal_transition", "The state does not permit this"


class CallNotAwaitedError(ConflictError):
    code, title = "call_not_awaited", "The call does not wait for this"


class ClientToolError(ConflictError):
    code, title = "client_tool", "The tool is performed by the client, for an agent that asks for it"


class UsernameTakenError(ConflictError):
    code, title = "username_taken", "The user name is taken"


class TooManySharesError(ConflictError):
    code, title = "too_many_shares", "This thread is shared as often as it can be; end a share first"


class OwnAccountError(ConflictError):
    code, title = "own_account", "Nobody takes the administrator's role from, or suspends, their own account"


class AttachmentNotUploadedError(ConflictError):
    code, title = "attachment_not_uploaded", "The file has not been uploaded yet"


class SlugTakenError(ConflictError):
    code, title = "slug_taken", "The slug is taken"


class AgentUnavailableError(ConflictError):
    code, title = "agent_unavailable", "Nobody answers here at the moment"


class SessionExpiredError(FrontdeskError):
    code, status, title = "session_expired", 410, "The session has expired: start a new session"


class SessionEndedError(FrontdeskError):
    code, status, title = "session_ended", 410, "The session has ended: start a new session"


class BodyTimeoutError(FrontdeskError):
    code, status, title = "body_timeout", 408, "The body did not come in time"


class BodyTooLargeError(FrontdeskError):
    code, status, title = "body_too_large", 413, "The body is too large"


class FileTooLargeError(BodyTooLargeError):
    code, title = "file_too_large", "The file is too large"


class FileTypeNotAllowedError(FrontdeskError):
    """`allowed` lists the media types that are, with wildcards."""

    code, status, title = "file_type_not_allowed", 415, "Files of this type are not allowed"


class RangeNotSatisfiableError(FrontdeskError):
    code, status, title = "range_not_satisfiable", 416, "The file has no such part"


class HeadTooLargeError(FrontdeskError):
    code, status, title = "head_too_large", 431, "The request's address and header fields are too large"


class InvalidRequestError(FrontdeskError):
    """`errors` lists `{loc, msg, type}`, one for each wrong field."""

    code, status, title = "validation_error", 422, "The request is not valid"


class BadArgumentsError(FrontdeskError):
    """`errors` lists `{loc, msg, type}` where the path of what is wrong is known."""

    code, status, title = "bad_arguments", 422, "The tool's schema does not allow these arguments"


class InvalidAgentError(FrontdeskError):
    """`errors` lists `{loc, msg, type}` of the field that it is about."""

    code, status, title = "invalid_agent", 422, "The agent cannot be made like this"


class UnknownAttachmentError(FrontdeskError):
    code, status, title = "unknown_attachment", 422, "There is no such attachment to send here"


class TooManyFilesError(FrontdeskError):
    code, status, title = "too_many_files", 422, "These are too many files"


class BadRegexError(FrontdeskError):
    code, status, title = "bad_regex", 422, "The regular expression cannot be used"


class IdempotencyKeyReusedError(FrontdeskError):
    code, status, title = "idempotency_key_reused", 422, "The idempotency key was used with another request"


class TooManyRequestsError(FrontdeskError):
    """`retry_after` is in whole seconds."""

    code, status, title = "rate_limited", 429, "Too many requests"

    def __init__(self, detail: str = "", *, retry_after: int, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail, headers={**(headers or {}), "Retry-After": str(retry_after)})


class QuotaExceededError(TooManyRequestsError):
    code, title = "insufficient_quota", "The day's tokens are used up"


class ProviderError(FrontdeskError):
    code, status, title = "provider_unavailable", 502, "The model provider cannot be reached"


class ProviderUnauthorizedError(ProviderError):
    code, title = "provider_unauthorized", "The model provider does not accept the gateway's credentials"


class ProviderTimeoutError(ProviderError):
    code, status, title = "provider_timeout", 504, "The model provider took too long"


class ToolFailedError(FrontdeskError):
    code, status, title = "tool_failed", 502, "The tool failed"


class BackEndUnreachableError(FrontdeskError):
    code, status, title = "backend_unreachable", 502, "The back end cannot be reached"


class BackEndBadResponseError(FrontdeskError):
    code, status, title = "backend_bad_response", 502, "The back end's answer cannot be passed on"


class BackEndResponseTooLargeError(FrontdeskError):
    code, status, title = "backend_response_too_large", 502, "The back end's answer is too large"


class BackEndTimeoutError(FrontdeskError):
    code, status, title = "backend_timeout", 504, "The back end took too long"


class BackEndNotConfiguredError(FrontdeskError):
    code, status, title = "backend_not_configured", 503, "API_BASE_URL is not set"


class NotConfiguredError(FrontdeskError):
    code, status, title = "not_configured", 501, "This is not configured here"


class UnavailableError(FrontdeskError):
    code, status, title = "unavailable", 503, "Temporarily unavailable"

    def __init__(self, detail: str = "", *, retry_after: int = 1) -> None:
        super().__init__(detail, headers={"Retry-After": str(retry_after)})


class OverloadedError(UnavailableError):
    code, title = "overloaded", "More requests come than can be served"


class StorageUnavailableError(UnavailableError):
    code, title = "storage_unavailable", "Files cannot be stored or read for now"


class StorageFullError(FrontdeskError):
    code, status, title = "storage_full", 507, "There is no space left for files"


class SearchDisabledError(FrontdeskError):
    code, status, title = "search_disabled", 503, "Search is off: CHAT_SEARCH_ENABLED is false"


class NotReadyError(FrontdeskError):
    """`parts` tells the state of each part of the program."""

    code, status, title = "not_ready", 503, "A part that is needed is down"


class ConfigurationError(FrontdeskError):
    """The server cannot start as it is configured; the detail names the setting."""

    code, title = "configuration_error", "The configuration is not usable"


class BadEmbeddingError(UnavailableError):
    """An embedder answered, but not with one vector of its dimension for each text."""

    code, title = "bad_embedding", "The embedder's answer cannot be used"


class SearchIndexError(FrontdeskError):
    """`detail` says what is wrong and what repairs it."""

    code, status, title = "search_index_broken", 503, "The search index cannot be used"

    def __init__(self, detail: str = "") -> None:
        super().__init__(f"{detail or self.title}; `frontdesk search reindex` makes it again")


class LlmDisabledError(UnavailableError):
    code, title = "llm_disabled", "No answers are made here: CHAT_LLM_ENABLED is false"

    def __init__(self) -> None:
        super().__init__(retry_after=60)
