"""CloudEvents 1.0 on Kafka: reading in binary and structured mode, writing in binary mode."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Final, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError, create_model

from booking_credits_contracts.errors import BrokenPart, ContractError, explain
from booking_credits_contracts.identifiers import Id, Source, Text
from booking_credits_contracts.quantities import Money
from booking_credits_contracts.received import RECEIVED, Received, ReceivedData
from booking_credits_contracts.times import Instant

VALUE_LIMIT_BYTES: Final = 1024 * 1024

_BINARY: Final = "application/json"
_STRUCTURED: Final = "application/cloudevents+json"

AdapterT = TypeVar("AdapterT")
ContentT = TypeVar("ContentT")
ParsedT = TypeVar("ParsedT")


class Attributes(BaseModel):
    """The CloudEvents attributes that are read; `time` is required here."""

    model_config = ConfigDict(strict=True, frozen=True, extra="ignore", hide_input_in_errors=True)

    specversion: Literal["1.0"]
    id: Id
    source: Source
    type: Id
    time: Instant


class WrittenAttributes(Attributes):
    """The CloudEvents attributes that are written."""

    subject: Text | None


class StructuredValue(BaseModel):
    """The part of a structured value that is not an attribute; narrowed for each event type."""

    model_config = ConfigDict(strict=True, frozen=True, extra="ignore", hide_input_in_errors=True)

    data: ReceivedData


@dataclass(frozen=True, slots=True)
class ReceivedEvent:
    """An event that keeps the contract. `source` and `id` together are its identity."""

    id: str
    source: str
    type: str
    occurred_at: datetime
    data: ReceivedData


def _list_field_names(model: type[BaseModel]) -> frozenset[str]:
    names = frozenset(model.model_fields)
    return names.union(*(_list_field_names(part) for part in model.__subclasses__()))


# By the header's name, as `Attributes` calls them.
_CONTENT_TYPE: Final = "content-type"
_READ_HEADERS: Final[Mapping[str, str]] = MappingProxyType(
    {_CONTENT_TYPE: _CONTENT_TYPE, **{f"ce_{name}": name for name in Attributes.model_fields}}
)
_FIELD_NAMES: Final = frozenset().union(
    *(_list_field_names(model) for model in (Received, Money, Attributes, StructuredValue))
)
_ATTRIBUTES: Final = TypeAdapter(Attributes)
_BINARY_VALUES: Final[Mapping[str, TypeAdapter[ReceivedData]]] = MappingProxyType(
    {event_type: TypeAdapter(model) for event_type, model in RECEIVED.items()}
)
_STRUCTURED_VALUES: Final[Mapping[str, TypeAdapter[StructuredValue]]] = MappingProxyType(
    {
        event_type: TypeAdapter(
            create_model("StructuredValue", __base__=StructuredValue, data=(model, ...))
        )
        for event_type, model in RECEIVED.items()
    }
)


def read_event(headers: Iterable[tuple[str, bytes | None]], value: bytes | None) -> ReceivedEvent:
    """Return the event that a Kafka record holds.

    Raises:
        ContractError: the record breaks the contract; no other exception is raised.
    """
    if value is None:
        raise ContractError("empty_value", "value: null")
    if len(value) > VALUE_LIMIT_BYTES:
        raise ContractError("too_large", f"value: over {VALUE_LIMIT_BYTES} bytes")
    texts = _decode_headers(headers)
    text = _decode("value", value)
    content_type = texts.pop(_CONTENT_TYPE, _BINARY)
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type == _STRUCTURED:
        return _read_structured(text)
    if media_type == _BINARY:
        return _read_binary(texts, text)
    raise ContractError("unsupported_content_type", f"neither {_BINARY} nor {_STRUCTURED}")


def write_headers(  # The parameters bear the names that CloudEvents gives them.
    *,
    id: str,  # noqa: A002
    source: str,
    type: str,  # noqa: A002
    time: datetime,
    subject: str | None = None,
) -> list[tuple[str, bytes]]:
    """Return the headers of an event in binary mode, whose value is its data as JSON.

    Raises:
        ValueError: an attribute is not one that `read_event` accepts.
    """
    attributes = WrittenAttributes(
        specversion="1.0", id=id, source=source, type=type, time=time, subject=subject
    )
    texts = attributes.model_dump(mode="json", exclude_none=True)
    return [
        (_CONTENT_TYPE, _BINARY.encode()),
        *((f"ce_{name}", text.encode()) for name, text in texts.items()),
    ]


def _decode_headers(headers: Iterable[tuple[str, bytes | None]]) -> dict[str, str]:
    """Return the attributes that headers give, and their content-type, whatever the case.

    Of a repeated one the last counts.
    """
    texts = {}
    for written_name, raw in headers:
        header = written_name.lower()
        name = _READ_HEADERS.get(header)
        if name is not None:
            texts[name] = _decode(header, raw)
    return texts


def _decode(name: str, raw: bytes | None) -> str:
    if raw is None:
        raise ContractError("missing_attribute", f"{name}: null")
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise ContractError("not_utf8", f"{name}: not UTF-8") from None


def _read_binary(texts: Mapping[str, str], value: str) -> ReceivedEvent:
    attributes = _parse(_ATTRIBUTES.validate_strings, texts, "attributes")
    adapter = _choose(_BINARY_VALUES, attributes)
    return _assemble(attributes, _parse(adapter.validate_json, value, "data"))


def _read_structured(value: str) -> ReceivedEvent:
    attributes = _parse(_ATTRIBUTES.validate_json, value, "attributes")
    adapter = _choose(_STRUCTURED_VALUES, attributes)
    return _assemble(attributes, _parse(adapter.validate_json, value, "data").data)


def _choose(by_type: Mapping[str, AdapterT], attributes: Attributes) -> AdapterT:
    adapter = by_type.get(attributes.type)
    if adapter is None:
        raise ContractError("unknown_type", "type: not one that is read")
    return adapter


def _assemble(attributes: Attributes, data: ReceivedData) -> ReceivedEvent:
    return ReceivedEvent(
        id=attributes.id,
        source=attributes.source,
        type=attributes.type,
        occurred_at=attributes.time,
        data=data,
    )


def _parse(parse: Callable[[ContentT], ParsedT], content: ContentT, broken: BrokenPart) -> ParsedT:
    try:
        return parse(content)
    except ValidationError as error:
        refusal = explain(error, broken, _FIELD_NAMES)
    # Raised out here, the refusal does not carry the error that refers to the message.
    raise refusal
