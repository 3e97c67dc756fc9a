"""Kafka access: how each client of Kafka reaches it, and as whom."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from faststream.security import BaseSecurity, SASLPlaintext, SASLScram256, SASLScram512

if TYPE_CHECKING:
    from collections.abc import Mapping

    from booking_credits.settings import Settings

ClientOptions: TypeAlias = "Mapping[str, Any]"

_MECHANISMS: Final = {
    "PLAIN": SASLPlaintext,
    "SCRAM-SHA-256": SASLScram256,
    "SCRAM-SHA-512": SASLScram512,
}


def client_options(settings: Settings) -> ClientOptions:
    """Return the keyword arguments that every client of aiokafka takes. Raises OSError for TLS."""
    options: dict[str, Any] = {
        "bootstrap_servers": settings.kafka_bootstrap,
        "security_protocol": settings.kafka_security_protocol,
        "ssl_context": _ssl_context(settings),
    }
    if settings.kafka_username and settings.kafka_password:
        options["sasl_mechanism"] = settings.kafka_sasl_mechanism
        options["sasl_plain_username"] = settings.kafka_username
        options["sasl_plain_password"] = settings.kafka_password.get_secret_value()
    return options


def broker_security(settings: Settings) -> BaseSecurity:
    """Return the same as FastStream's broker takes it. Raises OSError for TLS."""
    uses_tls, context = settings.kafka_uses_tls, _ssl_context(settings)
    if not (settings.kafka_username and settings.kafka_password):
        return BaseSecurity(ssl_context=context, use_ssl=uses_tls)
    return _MECHANISMS[settings.kafka_sasl_mechanism](
        username=settings.kafka_username,
        password=settings.kafka_password.get_secret_value(),
        ssl_context=context,
        use_ssl=uses_tls,
    )


def _ssl_context(settings: Settings) -> ssl.SSLContext | None:
    """Trust the given authorities, or the machine's, and show the given certificate."""
    if not settings.kafka_uses_tls:
        return None
    context = ssl.create_default_context(cafile=settings.kafka_ca_file)
    if settings.kafka_certificate_file is not None:
        context.load_cert_chain(settings.kafka_certificate_file, settings.kafka_key_file)
    return context
