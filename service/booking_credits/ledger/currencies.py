"""Currencies: how many decimals their minor units have."""

from __future__ import annotations

from typing import Final

# ISO 4217: the decimals of currencies that have other than two.
_NO_DECIMALS: Final = frozenset(
    "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF".split()  # noqa: SIM905
)
_THREE_DECIMALS: Final = frozenset("BHD IQD JOD KWD LYD OMR TND".split())  # noqa: SIM905
_FOUR_DECIMALS: Final = frozenset({"CLF", "UYW"})


def minor_decimals(currency: str) -> int:
    """Return the decimals of a currency's minor unit: 2 for cents."""
    if currency in _NO_DECIMALS:
        return 0
    if currency in _THREE_DECIMALS:
        return 3
    return 4 if currency in _FOUR_DECIMALS else 2
