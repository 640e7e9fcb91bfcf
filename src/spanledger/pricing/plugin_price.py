"""What one call of a plugin costs, as people write it. Apart from the price file because environment variables say it, too."""

from __future__ import annotations

import re
from decimal import Decimal

from spanledger.model import Unit

_PRICE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(usd|tokens?)\s*", re.IGNORECASE)
_LONGEST = 40  # no sane price is longer, and huge numbers are slow
_MOST = 10**15
"""A million USD in nano-USD; the books keep no larger numbers of one call (``ledger.rows``)."""


def plugin_price(text: object) -> tuple[Unit, int]:
    """Reads ``0.002 USD`` (as nano-USD) or ``250 tokens``.

    Raises:
        ValueError: it is neither, too small to be told from nothing, or too large for the books.
    """
    match = _PRICE.fullmatch(text) if isinstance(text, str) and len(text) <= _LONGEST else None
    if not match:
        message = "not an amount of USD or tokens, as text"
        raise ValueError(message)
    unit, scale = (Unit.USD, 9) if match[2].lower() == "usd" else (Unit.TOKENS, 0)
    amount = Decimal(match[1]).scaleb(scale)
    if amount != int(amount):
        message = "at most nine decimals of a USD" if unit is Unit.USD else "tokens are whole"
        raise ValueError(message)
    if amount > _MOST:
        message = "at most a million USD" if unit is Unit.USD else f"at most {_MOST} tokens"
        raise ValueError(message)
    return unit, int(amount)
