"""What one call of a plugin costs, as people write it. Apart from the price file because environment variables say it, too."""

from __future__ import annotations

import re
from decimal import Decimal

from spanledger.model import Unit

_PRICE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(usd|tokens?)\s*", re.IGNORECASE)
_LONGEST = 40  # no sane price is longer, and huge numbers are slow


def plugin_price(text: str) -> tuple[Unit, int]:
    """Reads ``0.002 USD`` (as nano-USD) or ``250 tokens``.

    Raises:
        ValueError: it is neither.
    """
    match = _PRICE.fullmatch(text)
    if not match or len(text) > _LONGEST:
        message = "not an amount of USD or tokens"
        raise ValueError(message)
    amount = Decimal(match[1])
    if match[2].lower() == "usd":
        return Unit.USD, int((amount * 10**9).to_integral_value())
    if amount != int(amount):
        message = "tokens are whole"
        raise ValueError(message)
    return Unit.TOKENS, int(amount)
