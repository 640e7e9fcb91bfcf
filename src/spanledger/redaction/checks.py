"""Checksums and number plans: whether digits that look like a card, an IBAN or a social security number can be one."""

from __future__ import annotations

import re

from spanledger.redaction.text import among

_DOUBLED = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)
_ORD_0 = ord("0")


def luhn(digits: str) -> bool:
    """ISO/IEC 7812-1 annex B."""
    numbers = [ord(digit) - _ORD_0 for digit in reversed(digits)]
    return (sum(numbers[::2]) + sum(_DOUBLED[number] for number in numbers[1::2])) % 10 == 0


_ISSUERS: tuple[tuple[range, tuple[int, ...]], ...] = (
    (range(400000, 500000), (13, 16, 19)),  # Visa
    (range(510000, 560000), (16,)),  # Mastercard
    (range(222100, 272100), (16,)),  # Mastercard
    (range(340000, 350000), (15,)),  # American Express
    (range(370000, 380000), (15,)),
    (range(300000, 306000), (14, 16)),  # Diners Club
    (range(309500, 309600), (14, 16)),
    (range(360000, 370000), (14,)),
    (range(380000, 400000), (14, 16)),
    (range(601100, 601200), (16, 19)),  # Discover
    (range(644000, 660000), (16, 19)),
    (range(352800, 359000), (16, 19)),  # JCB
    (range(620000, 630000), (16, 17, 18, 19)),  # UnionPay
    (range(810000, 820000), (16, 17, 18, 19)),
    (range(220000, 220500), (16,)),  # Mir
    (range(500000, 510000), (16,)),  # Maestro
    (range(560000, 590000), (16,)),
    (range(600000, 700000), (16,)),
)


def is_issued(digits: str) -> bool:
    """Whether an issuer has cards with these first six digits and this length (https://en.wikipedia.org/wiki/Payment_card_number)."""
    first, length = int(digits[:6]), len(digits)
    return any(first in prefixes and length in lengths for prefixes, lengths in _ISSUERS)


_FIRST_NEVER_AREA = 900


def is_ssn(area: str, group: str, serial: str) -> bool:
    """Areas 000, 666 and 900-999, group 00 and serial 0000 are never given out (https://www.ssa.gov/employer/randomization.html)."""
    return area not in {"000", "666"} and int(area) < _FIRST_NEVER_AREA and group != "00" and serial != "0000"


IBAN_LENGTHS = {
    "AD": 24, "AE": 23, "AL": 28, "AT": 20, "AZ": 28, "BA": 20, "BE": 16, "BG": 22, "BH": 22, "BI": 27, "BR": 29, "BY": 28, "CH": 21,
    "CR": 22, "CY": 28, "CZ": 24, "DE": 22, "DJ": 27, "DK": 18, "DO": 28, "EE": 20, "EG": 29, "ES": 24, "FI": 18, "FK": 18, "FO": 18,
    "FR": 27, "GB": 22, "GE": 22, "GI": 23, "GL": 18, "GR": 27, "GT": 28, "HN": 28, "HR": 21, "HU": 28, "IE": 22, "IL": 23, "IQ": 23,
    "IS": 26, "IT": 27, "JO": 30, "KW": 30, "KZ": 20, "LB": 28, "LC": 32, "LI": 21, "LT": 20, "LU": 20, "LV": 21, "LY": 25, "MC": 27,
    "MD": 24, "ME": 22, "MK": 19, "MN": 20, "MR": 27, "MT": 31, "MU": 30, "NI": 28, "NL": 18, "NO": 15, "OM": 23, "PK": 24, "PL": 28,
    "PS": 29, "PT": 25, "QA": 29, "RO": 24, "RS": 22, "RU": 33, "SA": 24, "SC": 31, "SD": 18, "SE": 24, "SI": 19, "SK": 24, "SM": 27,
    "SO": 23, "ST": 25, "SV": 28, "TL": 23, "TN": 24, "TR": 26, "UA": 29, "VA": 22, "VG": 24, "XK": 20, "YE": 30,
}  # fmt: skip
"""Length by country (https://www.swift.com/standards/data-standards/iban-international-bank-account-number)."""


def is_iban(text: str) -> bool:
    """ISO 13616: the country's length, and the number mod 97 is 1."""
    if IBAN_LENGTHS.get(text[:2]) != len(text):
        return False
    return int("".join(str(int(sign, 36)) for sign in text[4:] + text[:4])) % 97 == 1


_TWO_DIGIT_CODES = among(
    "20 27 30 31 32 33 34 36 39 40 41 43 44 45 46 47 48 49 51 52 53 54 55 56 57 58 60 61 62 63 64 65 66 81 82 84 86 90 91 92 93 94 95 98"
)
_THREE_DIGIT_STARTS = among("21 22 23 24 25 26 29 35 37 38 42 50 59 67 68 69 80 85 87 88 96 97 99")


def is_country_code(digits: str) -> bool:
    """Whether an international number can begin with these digits (ITU-T E.164, https://www.itu.int/pub/T-SP-E.164D)."""
    return digits[:1] in {"1", "7"} or digits[:2] in _TWO_DIGIT_CODES or digits[:2] in _THREE_DIGIT_STARTS


USUAL_CARDS = frozenset({14, 15, 16})


def is_usual_card(digits: str) -> bool:
    """A card number that needs no words around it: of a usual length, of a known issuer, with a right check digit."""
    return len(digits) in USUAL_CARDS and luhn(digits) and is_issued(digits)


_TEMPLATE = re.compile(r"[$%]?\{\{?[^{}]*\}?\}|\$\(?\w+\)?|<[^<>]*>|[*xX.#]{3,}|%[sd]|\[[A-Z_]+\]", re.ASCII)
_VARIED, _ENOUGH = 5, 10


def is_template(value: str) -> bool:
    """``${TOKEN}``, ``<password>``, ``****``: the place of a secret."""
    return bool(_TEMPLATE.fullmatch(value))


_REFERENCE = re.compile(r"arn:[\w-]+:[\w-]+:[\w:/+=,.@-]+|op://[^\s\"']+|vault:[\w./#:-]+|projects/[\w.:-]+/secrets/[\w./-]+", re.ASCII)


def is_reference(value: str) -> bool:
    """``arn:aws:secretsmanager:...``, ``op://vault/item``: where a secret is kept, not the secret."""
    return bool(_REFERENCE.fullmatch(value))


def is_placeholder(key: str) -> bool:
    """``sk-XXXXXXXXXXXX``: after the prefix hardly any different signs, as never in what is random."""
    signs = [sign for sign in key[6:] if sign.isalnum()]
    return len(signs) >= _ENOUGH and len(set(signs)) <= _VARIED


_FEWEST_FILLED = 6
_JOINED = re.compile("[A-Za-z_-]{6,64}")
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_SAID_INSTEAD = among("your fake dummy insert placeholder example sample here")
_SAID_TO_BE = among("key apikey token secret password passwd pass passphrase api auth credential credentials id code value string")


def is_stand_in(value: str) -> bool:
    """What documentation has where a secret goes: ``hf_xxxxxxxx``, ``your-api-key``, ``INSERT_TOKEN_HERE``.

    A secret made of words (``wish-you-were-here``) does not say that it is one.
    """
    signs = [sign for sign in value if sign.isalnum()]
    filled = signs.count("x") + signs.count("X")
    if len(signs) >= _FEWEST_FILLED and (filled * 5 >= len(signs) * 3 or set(signs) == {"0"}):
        return True
    if not _JOINED.fullmatch(value):
        return False
    words = {word.lower() for word in _WORD.findall(value)}
    return not _SAID_INSTEAD.isdisjoint(words) and not _SAID_TO_BE.isdisjoint(words)
