"""Settings: everything a deployment may choose, from the environment, read once at the top."""

from __future__ import annotations

import os
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, Literal, Self, get_args

from pydantic import (
    AnyHttpUrl,
    Field,
    FilePath,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from booking_credits.postgres.pool import check_dsn

PREFIX: Final = "BOOKING_CREDITS_"


class SettingsFault(Exception):
    """What is wrong with the settings, a line each; no value is repeated."""


class Settings(BaseSettings):
    """The settings of a worker; each is `BOOKING_CREDITS_` and its name in capitals.

    A secret may also be read from the file that the same name with `_FILE` behind it tells.
    """

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True)

    kafka_bootstrap: str = Field(
        default="localhost:9092", description="Kafka's addresses, separated by commas."
    )
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        default="PLAINTEXT", description="How Kafka is spoken to: SSL is TLS, SASL a login."
    )
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        default="SCRAM-SHA-512", description="How the login goes."
    )
    kafka_username: str | None = Field(default=None, description="Who logs in.")
    kafka_password: SecretStr | None = Field(
        default=None, description="The password of the login; a secret."
    )
    kafka_ca_file: FilePath | None = Field(
        default=None,
        description="The authorities that vouch for Kafka, as PEM; without it the machine's own.",
    )
    kafka_certificate_file: FilePath | None = Field(
        default=None, description="The client's certificate, as PEM, where Kafka asks for one."
    )
    kafka_key_file: FilePath | None = Field(
        default=None, description="Its key, where that is not in the same file."
    )
    postgres_dsn: SecretStr = Field(
        default=SecretStr("postgresql://localhost/booking_credits"),
        description="Where the ledger is kept, with TLS as `sslmode` says; a secret.",
    )
    group_id: str = Field(
        default="booking-credits", description="The consumer group that the workers share."
    )
    input_topics: str = Field(
        default="bookings,billing-plans,accounts",
        description="The topics read, separated by commas; any event may come by any of them.",
    )
    topic_balance_changed: str = Field(
        default="balance-changed", description="Where balance-changed is published."
    )
    topic_overage_detected: str = Field(
        default="overage-detected", description="Where overage-detected is published."
    )
    topic_coverage_decided: str = Field(
        default="coverage-decided", description="Where coverage-decided is published."
    )
    topic_request_rejected: str = Field(
        default="request-rejected", description="Where request-rejected is published."
    )
    topic_credits_expiring: str = Field(
        default="credits-expiring", description="Where credits-expiring is published."
    )
    topic_period_closed: str = Field(
        default="period-closed", description="Where period-closed is published."
    )
    policies: Path | None = Field(
        default=None, description="The policy file; without it the three shipped policies hold."
    )
    log_format: Literal["auto", "json", "console"] = Field(
        default="auto", description="How logs are written; auto is console in a terminal."
    )
    batch_records: int = Field(
        default=1000, ge=1, le=10_000, description="How many records are posted together at most."
    )
    session_timeout_seconds: int = Field(
        default=30,
        ge=6,
        le=300,
        description="How long a worker may be silent before others take over its work.",
    )
    clock_poll_seconds: float = Field(
        default=0.2, gt=0, le=60, description="How often the clock looks for what is due."
    )
    shutdown_seconds: float = Field(
        default=9.0, gt=0, le=300, description="How long a shutdown may take in all."
    )
    health_host: str = Field(
        default="127.0.0.1",
        description="The address that answers probes and scrapes; 0.0.0.0 is every one.",
    )
    health_port: int = Field(
        default=8080, ge=0, le=65_535, description="Its port; 0 is for no answers."
    )
    audit_seconds: float = Field(
        default=900.0,
        ge=0,
        description="How often grants are held against balances; 0 is never.",
    )
    consumer_stuck_seconds: float = Field(
        default=120.0,
        gt=0,
        description="How long reading may stand still while Kafka answers.",
    )
    batch_stuck_seconds: float = Field(
        default=300.0,
        gt=0,
        description="How long a batch may be in hand while the database answers; one that takes a"
        " fifth of it is posted in halves.",
    )
    relay_stuck_seconds: float = Field(
        default=600.0,
        gt=0,
        description="How long publishing may stand still while something waits and Kafka answers.",
    )
    loop_blocked_seconds: float = Field(
        default=30.0, gt=0, description="How long the event loop may be blocked."
    )
    traces_endpoint: AnyHttpUrl | None = Field(
        default=None,
        description="Where traces are told by OTLP over HTTP, path included; without it nowhere.",
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - pydantic names its sources
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take what the caller gives, then the environment, then files of secrets."""
        return init_settings, env_settings, _SecretFiles(settings_cls)

    @field_validator("postgres_dsn")
    @classmethod
    def _check_dsn(cls, dsn: SecretStr) -> SecretStr:
        check_dsn(dsn.get_secret_value())
        return dsn

    @model_validator(mode="after")
    def _check_login(self) -> Self:
        if self.kafka_uses_sasl and not (self.kafka_username and self.kafka_password):
            raise ValueError("KAFKA_SECURITY_PROTOCOL asks for KAFKA_USERNAME and KAFKA_PASSWORD")
        return self

    @model_validator(mode="after")
    def _check_traces(self) -> Self:
        if self.traces_endpoint is not None and not _can_trace():
            raise ValueError("TRACES_ENDPOINT asks for the extra booking-credits[tracing]")
        return self

    @property
    def kafka_uses_sasl(self) -> bool:
        """Whether Kafka is logged in to."""
        return self.kafka_security_protocol.startswith("SASL_")

    @property
    def kafka_uses_tls(self) -> bool:
        """Whether what goes to Kafka is encrypted."""
        return self.kafka_security_protocol.endswith("SSL")

    @property
    def input_topic_names(self) -> tuple[str, ...]:
        """The input topics one by one."""
        return tuple(name.strip() for name in self.input_topics.split(",") if name.strip())

    @property
    def output_topics(self) -> dict[str, str]:
        """The topic of each published event type."""
        return {
            "balance-changed": self.topic_balance_changed,
            "overage-detected": self.topic_overage_detected,
            "coverage-decided": self.topic_coverage_decided,
            "request-rejected": self.topic_request_rejected,
            "credits-expiring": self.topic_credits_expiring,
            "period-closed": self.topic_period_closed,
        }


class _SecretFiles(PydanticBaseSettingsSource):
    """Secrets from the files that the environment names, as engines mount them."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """Read one field's file; None where it has none."""
        path = os.environ.get(f"{PREFIX}{field_name.upper()}_FILE")
        if not _is_secret(field) or not path:
            return None, field_name, False
        return Path(path).read_text(encoding="utf-8").rstrip("\r\n"), field_name, False

    def __call__(self) -> dict[str, Any]:
        """Read every secret that has a file."""
        fields = self.settings_cls.model_fields
        found = {name: self.get_field_value(field, name)[0] for name, field in fields.items()}
        return {name: secret for name, secret in found.items() if secret is not None}


def read_settings() -> Settings:
    """Read the settings from the environment.

    Raises:
        SettingsFault: they cannot be used.
    """
    try:
        return Settings()
    except ValidationError as error:
        problems = error.errors(include_input=False, include_url=False)
        raise SettingsFault("\n".join(map(_problem, problems))) from None
    except OSError as error:
        raise SettingsFault(f"{error.filename}: {error.strerror}") from None


def secret_names() -> set[str]:
    """Name the settings that are never shown."""
    return {name for name, field in Settings.model_fields.items() if _is_secret(field)}


def unknown_variables() -> list[str]:
    """Name the variables that look like settings and are none, as a slip of the pen is."""
    known = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields}
    known |= {f"{PREFIX}{name.upper()}_FILE" for name in secret_names()}
    return sorted(n for n in os.environ if n.startswith(PREFIX) and n not in known)


def _can_trace() -> bool:
    with suppress(ModuleNotFoundError):
        return find_spec("opentelemetry.exporter.otlp.proto.http") is not None
    return False


def _is_secret(field: FieldInfo) -> bool:
    return SecretStr in (field.annotation, *get_args(field.annotation))


def _problem(error: Any) -> str:
    name = "_".join(str(part) for part in error["loc"]).upper()
    message = str(error["msg"]).removeprefix("Value error, ")
    return f"{PREFIX}{name}: {message}" if name else message
