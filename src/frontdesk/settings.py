"""Every setting, read from the environment and `.env` here and nowhere else."""

import os
from functools import cached_property
from typing import Literal

from dotenv import dotenv_values
from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

# The documented placeholders, refused on any bind but loopback.
DEFAULT_JWT_SECRET = "change-me"  # noqa: S105
DEFAULT_INTERNAL_KEY = "change-me-internal-key"


class Settings(BaseSettings):
    """Durations are seconds unless the name says otherwise; sizes are bytes."""

    model_config = SettingsConfigDict(env_prefix="CHAT_", env_file=".env", extra="ignore", env_ignore_empty=True)

    database_url: str = "sqlite:///./app.db"
    database_pool_size: int = Field(default=5, ge=1, le=200)
    database_timeout_seconds: float = Field(default=4.0, gt=0)
    redis_url: str | None = None
    api_prefix: str = "/api"

    llm_enabled: bool = True
    llm_api_base: str | None = None
    llm_api_scheme: Literal["http", "https"] = "http"
    llm_api_host: str = "127.0.0.1"
    llm_api_port: int = Field(default=8080, ge=1, le=65535)
    llm_api_path_prefix: str = "/v1"
    llm_api_key: SecretStr | None = None
    llm_timeout_seconds: float = Field(default=30.0, gt=0)
    llm_connect_timeout_seconds: float = Field(default=5.0, gt=0)
    llm_default_model: str | None = None
    llm_max_retries: int = Field(default=2, ge=0, le=10)
    llm_context_messages: int = Field(default=100, ge=1, le=1000)
    fallback_models: str = Field(default="", validation_alias="VITE_OPENAI_FALLBACK_MODELS")

    llm_proxy_timeout_seconds: float = Field(default=600.0, gt=0)
    llm_proxy_requests_per_minute: int | None = Field(default=None, ge=1)
    llm_proxy_tokens_per_day: int | None = Field(default=None, ge=1)
    search_enabled: bool = True
    search_min_similarity: float = Field(default=0.3, ge=-1, le=1)
    search_tick_seconds: float = Field(default=1.0, gt=0)
    embedder: Literal["auto", "packaged", "sentence_transformers", "openai"] = "auto"
    embedding_model_name: str = "intfloat/multilingual-e5-large"
    embedding_device: str | None = None
    embedding_batch_size: int = Field(default=8, ge=1, le=2048)
    embedding_api_base: str | None = None
    embedding_api_key: SecretStr | None = None
    embedding_dimensions: int | None = Field(default=None, ge=1, le=2000)
    vector_index: Literal["auto", "chroma", "pgvector"] = "auto"
    chroma_persist_directory: str = "./.chroma"
    blob_store: str = "file:./files"
    upload_max_bytes: int = Field(default=26_214_400, ge=1)
    upload_types: str = (
        "image/*,text/*,application/pdf,application/json"
        ",application/vnd.openxmlformats-officedocument.wordprocessingml.document"
        ",application/vnd.openxmlformats-officedocument.presentationml.presentation"
        ",application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
    )
    upload_timeout_seconds: float = Field(default=600.0, gt=0)
    uploads_at_once: int = Field(default=64, ge=1)

    scratch_directory: str | None = None
    extraction_processes: int = Field(default=2, ge=1, le=64)
    link_networks: str = ""
    link_ports: str = "80,443"

    jwt_secret_key: SecretStr = SecretStr(DEFAULT_JWT_SECRET)
    jwt_algorithm: Literal["HS256", "HS384", "HS512"] = "HS256"
    access_token_expire_minutes: int = Field(default=15, ge=1)
    refresh_token_expire_minutes: int = Field(default=10080, ge=1)
    jwt_issuer: str = "gwp-chat"
    jwt_audience: str | None = None

    internal_api_key: SecretStr = Field(
        default=SecretStr(DEFAULT_INTERNAL_KEY), validation_alias="gateway__internal_api_key"
    )

    gateway_agent_url: str | None = Field(default=None, validation_alias="gateway__agent_url")
    gateway_request_timeout: float = Field(default=30.0, gt=0, validation_alias="gateway__request_timeout")
    gateway_log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] = Field(
        default="DEBUG", validation_alias="gateway__log_level"
    )
    gateway_version: str | None = Field(default=None, validation_alias="gateway__version")
    # `loopback` is what `auto` comes to when the program listens on this machine alone.
    gateway_allow_anonymous: Literal["auto", "loopback", "true", "false"] = Field(
        default="auto", validation_alias="gateway__allow_anonymous"
    )
    gateway_allowed_origins: str = Field(default="", validation_alias="gateway__allowed_origins")
    gateway_sockets_per_caller: int = Field(default=2500, ge=1, validation_alias="gateway__sockets_per_caller")

    max_body_bytes: int = Field(default=1_048_576, ge=1024)
    requests_at_once: int = Field(default=32, ge=4)
    requests_waiting: int = Field(default=128, ge=0)
    body_timeout_seconds: float = Field(default=30.0, gt=0)
    trusted_proxies: str = ""
    password_hashing: Literal["rfc9106", "owasp"] = "rfc9106"  # noqa: S105  a cost
    login_attempts_per_user: int = Field(default=10, ge=1)
    login_attempts_per_address: int = Field(default=100, ge=1)
    login_window_seconds: int = Field(default=300, ge=1)

    visitor_sessions_per_address: int = Field(default=60, ge=1)
    visitor_sessions_window_seconds: int = Field(default=3600, ge=1)

    environment: Literal["development", "production"] = Field(default="development", validation_alias="CHAT_ENV")
    cors_origins: str = ""

    tiers: str = (
        '{"free": {"messages_per_minute": 10, "tokens_per_day": 10000}, '
        '"standard": {"messages_per_minute": 60, "tokens_per_day": 100000}}'
    )
    default_tier: str = "free"
    answer_tokens: int = Field(default=2000, ge=64)

    chatkit_secret_key: SecretStr | None = None
    chatkit_agent_id: str | None = None
    chatkit_allow_cancel: bool = False
    chatkit_jwks_url: str | None = None
    chatkit_issuer: str | None = None
    chatkit_audience: str | None = None
    transcription_model: str | None = None

    agents_file: str | None = None
    default_agent: str | None = Field(default=None, pattern=r"^(model|(python|remote):[A-Za-z0-9_.-]{1,64})$")
    tools_file: str | None = None
    tool_max_response_bytes: int = Field(default=1_048_576, ge=1024)
    api_base_url: str | None = Field(default=None, validation_alias="api_base_url")

    gateway_url: str | None = None
    sessions_allow_anonymous: Literal["auto", "true", "false"] = "auto"
    sessions_per_address: int = Field(default=120, ge=1)
    session_poll_seconds: float = Field(default=3.0, ge=0.05)
    forwarded_cookie_names: str = Field(
        default="session_id,CF_Authorization", validation_alias="forwarded_cookie_names"
    )

    engine_concurrency: int = Field(default=2000, ge=1)
    execution_lease_seconds: float = Field(default=8.0, gt=0)
    engine_tick_seconds: float = Field(default=2.0, gt=0)
    engine_max_attempts: int = Field(default=5, ge=1)
    heartbeat_seconds: float = Field(default=10.0, gt=0)
    drain_seconds: float = Field(default=5.0, ge=0)
    slow_reader_seconds: float = Field(default=30.0, gt=0)

    temporal_address: str | None = None
    temporal_namespace: str = "default"

    log_retention_seconds: float = Field(default=120.0, ge=0)
    log_retained_bytes: int = Field(default=33_554_432, ge=0)
    log_thread_bytes: int = Field(default=4_194_304, ge=65_536)

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    log_format: Literal["console", "json"] = "console"
    otlp_endpoint: str | None = None
    metrics_token: SecretStr | None = None

    @cached_property
    def llm_base_url(self) -> str:
        """The provider's base address without a trailing slash, such as `http://127.0.0.1:8080/v1`."""
        if self.llm_api_base:
            return self.llm_api_base.rstrip("/")
        prefix = self.llm_api_path_prefix.strip("/")
        base = f"{self.llm_api_scheme}://{self.llm_api_host}:{self.llm_api_port}"
        return f"{base}/{prefix}" if prefix else base

    @cached_property
    def forwarded_cookies(self) -> frozenset[str]:
        """The names of the cookies that go along to the back end."""
        return frozenset(name.strip() for name in self.forwarded_cookie_names.split(",") if name.strip())

    @cached_property
    def allowed_origins(self) -> frozenset[str]:
        """The origins whose pages may open sockets beside the gateway's own."""
        return frozenset(origin.strip() for origin in self.gateway_allowed_origins.split(",") if origin.strip())

    @cached_property
    def permitted_origins(self) -> list[str]:
        """The origins whose pages may call from a browser."""
        return [origin.strip().rstrip("/") for origin in self.cors_origins.split(",") if origin.strip()]

    @cached_property
    def upload_media_types(self) -> list[str]:
        """With wildcards, such as `image/*`."""
        return [pattern.strip().lower() for pattern in self.upload_types.split(",") if pattern.strip()]

    @property
    def has_default_jwt_secret(self) -> bool:
        return self.jwt_secret_key.get_secret_value() == DEFAULT_JWT_SECRET

    @property
    def has_default_internal_key(self) -> bool:
        return self.internal_api_key.get_secret_value() == DEFAULT_INTERNAL_KEY

    @property
    def default_secrets(self) -> list[str]:
        """The names of the secrets that are still the documented placeholders, known to everybody."""
        names = ["CHAT_JWT_SECRET_KEY"] if self.has_default_jwt_secret else []
        return [*names, "GATEWAY__INTERNAL_API_KEY"] if self.has_default_internal_key else names


def named_secret(name: str) -> str | None:
    """A setting that another file names, from the environment or `.env`; None when it is not there, or empty."""
    return os.environ.get(name) or dotenv_values(".env").get(name) or None
