"""Settings: everything a deployment may choose, from the environment, read once at the top."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """The settings of a worker; each is `BOOKING_CREDITS_` and its name in capitals."""

    model_config = SettingsConfigDict(env_prefix="BOOKING_CREDITS_", frozen=True)

    kafka_bootstrap: str = Field(
        default="localhost:9092", description="Kafka's addresses, separated by commas."
    )
    postgres_dsn: SecretStr = Field(
        default=SecretStr("postgresql://localhost/booking_credits"),
        description="Where the ledger is kept.",
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
        description="How long a batch may be in hand while the database answers.",
    )
    relay_stuck_seconds: float = Field(
        default=600.0,
        gt=0,
        description="How long publishing may stand still while something waits and Kafka answers.",
    )
    loop_blocked_seconds: float = Field(
        default=30.0, gt=0, description="How long the event loop may be blocked."
    )

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
        }
