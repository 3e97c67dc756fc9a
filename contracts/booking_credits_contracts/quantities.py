"""Credits as decimal strings, and money in minor units."""

from typing import Annotated, Final

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

from booking_credits_contracts.identifiers import Id

AMOUNT_MINOR_LIMIT: Final = 10**15

# ISO 4217 alphabetic codes in use that have a minor unit: without metals, XDR, XTS, XXX and the
# like. A code that has been accepted stays, for old events must remain readable.
CURRENCIES: Final = frozenset(
    """
    AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BHD BIF BMD BND BOB BOV BRL BSD BTN BWP BYN
    BZD CAD CDF CHE CHF CHW CLF CLP CNY COP COU CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR
    FJD FKP GBP GEL GHS GIP GMD GNF GTQ GYD HKD HNL HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY
    KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA MKD MMK MNT MOP MRU
    MUR MVR MWK MXN MXV MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON
    RSD RUB RWF SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP
    TRY TTD TWD TZS UAH UGX USD USN UYI UYU UYW UZS VED VES VND VUV WST XAD XAF XCD XCG XOF XPF
    YER ZAR ZMW ZWG
    """.split()  # noqa: SIM905 (a column of codes reads better without their quotes)
)


def _require_known_currency(currency: str) -> str:
    if currency not in CURRENCIES:
        raise PydanticCustomError("unknown_currency", "not an ISO 4217 code in use")
    return currency


def require_positive(quantity: str) -> str:
    """Refuse a quantity of nothing."""
    if not quantity.strip("0."):
        raise PydanticCustomError("not_positive", "a grant is greater than zero")
    return quantity


Quantity = Annotated[str, Field(pattern=r"^[0-9]{1,15}(\.[0-9]{1,6})?$")]
"""A quantity of one unit: up to 15 digits and 6 decimals, no sign, no exponent."""

GrantQuantity = Annotated[
    str,
    Field(
        pattern=r"^([0-9]{1,15}(\.[0-9]{1,6})?|unlimited)$",
        # At least one digit that is not 0.
        json_schema_extra={"not": {"pattern": r"^[0.]+$"}},
    ),
    AfterValidator(require_positive),
]
"""A quantity greater than zero, or `unlimited`."""

Total = Annotated[str, Field(pattern=r"^[0-9]{1,19}(\.[0-9]{1,6})?$")]
"""A sum of quantities, which may have more digits than any of them."""

Change = Annotated[str, Field(pattern=r"^-?[0-9]{1,19}(\.[0-9]{1,6})?$")]
"""A sum of quantities that came and went, which may be negative."""

Costs = Annotated[dict[Id, Quantity], Field(max_length=8)]
"""Quantities by unit, at most 8."""

Currency = Annotated[str, Field(pattern=r"^[A-Z]{3}$"), AfterValidator(_require_known_currency)]
AmountMinor = Annotated[int, Field(ge=0, le=AMOUNT_MINOR_LIMIT)]


class Money(BaseModel):
    """An amount in the minor unit of an ISO 4217 currency, such as cents."""

    model_config = ConfigDict(strict=True, frozen=True, extra="ignore", hide_input_in_errors=True)

    amount_minor: AmountMinor
    currency: Currency
