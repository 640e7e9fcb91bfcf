"""What a name says about its value: password, token, e-mail, or an identifier that looks like one but must survive."""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

from spanledger.redaction.checks import is_usual_card
from spanledger.redaction.text import Digits, among

_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_RUNS = re.compile("[A-Za-z]+")
_PLURAL = re.compile("(?<=ss)es$|(?<=[^s])s$")

_ALONE = {
    "password": "PASSWORD", "passwd": "PASSWORD", "passwrd": "PASSWORD", "pwd": "PASSWORD", "pswd": "PASSWORD",
    "passphrase": "PASSWORD", "passcode": "PASSWORD", "secret": "SECRET", "clientsecret": "SECRET",
    "credential": "SECRET", "authorization": "AUTHORIZATION", "cookie": "COOKIE",
    "apikey": "API_KEY", "jwt": "JWT", "privatekey": "PRIVATE_KEY", "accesstoken": "API_KEY", "authtoken": "API_KEY",
    "accesskey": "API_KEY", "secretkey": "API_KEY", "ssn": "US_SSN", "email": "EMAIL", "phone": "PHONE",
    "telephone": "PHONE", "msisdn": "PHONE", "phonenumber": "PHONE", "emailaddress": "EMAIL", "fullname": "PERSON",
    "firstname": "PERSON", "lastname": "PERSON", "surname": "PERSON", "cvv": "CARD_CODE", "cvc": "CARD_CODE", "cvv2": "CARD_CODE",
    "creditcard": "CREDIT_CARD", "cardnumber": "CREDIT_CARD", "iban": "IBAN", "dob": "BIRTH_DATE", "birthday": "BIRTH_DATE",
    "birthdate": "BIRTH_DATE", "passport": "PASSPORT", "passwort": "PASSWORD", "kennwort": "PASSWORD",
    "senha": "PASSWORD", "contrasena": "PASSWORD", "motdepasse": "PASSWORD", "wachtwoord": "PASSWORD",
}  # fmt: skip
_TOGETHER = {
    "api key": "API_KEY", "api token": "API_KEY", "api secret": "API_KEY", "access key": "API_KEY",
    "access token": "API_KEY", "access tokens": "API_KEY", "refresh token": "API_KEY", "refresh tokens": "API_KEY", "id token": "API_KEY",
    "auth token": "API_KEY", "auth tokens": "API_KEY", "bearer tokens": "API_KEY", "csrf tokens": "API_KEY", "xsrf tokens": "API_KEY",
    "bearer token": "API_KEY", "session token": "API_KEY", "security token": "API_KEY", "csrf token": "API_KEY",
    "xsrf token": "API_KEY", "reset token": "API_KEY", "bot token": "API_KEY", "personal token": "API_KEY", "service token": "API_KEY",
    "user token": "API_KEY", "secret key": "API_KEY", "auth key": "API_KEY", "account key": "API_KEY", "master key": "API_KEY",
    "encryption key": "API_KEY", "signing key": "API_KEY", "shared key": "API_KEY", "license key": "API_KEY",
    "subscription key": "API_KEY", "private key": "PRIVATE_KEY", "ssh key": "PRIVATE_KEY", "pass phrase": "PASSWORD",
    "pass word": "PASSWORD", "de passe": "PASSWORD", "user pass": "PASSWORD", "db pass": "PASSWORD",
    "card number": "CREDIT_CARD", "credit card": "CREDIT_CARD",
    "debit card": "CREDIT_CARD", "card cvv": "CARD_CODE", "security code": "CARD_CODE", "social security": "US_SSN",
    "mobile number": "PHONE", "cell number": "PHONE", "fax number": "PHONE", "full name": "PERSON", "first name": "PERSON",
    "last name": "PERSON", "given name": "PERSON", "family name": "PERSON", "maiden name": "PERSON", "date birth": "BIRTH_DATE",
    "birth date": "BIRTH_DATE", "bank account": "ACCOUNT", "account number": "ACCOUNT", "routing number": "ACCOUNT",
    "passport number": "PASSPORT", "driver license": "GOV_ID", "drivers license": "GOV_ID", "tax id": "GOV_ID", "national id": "GOV_ID",
    "street address": "ADDRESS", "home address": "ADDRESS", "postal address": "ADDRESS", "mailing address": "ADDRESS",
    "client address": "IP", "client ip": "IP", "remote addr": "IP", "forwarded for": "IP",
}  # fmt: skip
"""In the plural, too, but of tokens only where those cannot be a model's: the session tokens of a user may be what they used."""
_PASSWORDS = (
    "contrase\u00f1a",
    "\u043f\u0430\u0440\u043e\u043b",
    "\u5bc6\u7801",
    "\u5bc6\u78bc",
    "\u30d1\u30b9\u30ef\u30fc\u30c9",
    "\ube44\ubc00\ubc88\ud638",
)
"""In Spanish, Russian, Chinese, Japanese and Korean."""
_ENDINGS = (("password", "PASSWORD"), ("passwd", "PASSWORD"), ("apikey", "API_KEY"), ("secret", "SECRET"), ("secretkey", "API_KEY"),
            ("secrettoken", "API_KEY"), ("authtoken", "API_KEY"), ("apitoken", "API_KEY"), ("accesskey", "API_KEY"),
            ("accesstoken", "API_KEY"), ("privatekey", "PRIVATE_KEY"), ("privatetoken", "API_KEY"))  # fmt: skip
_MAYBE = {"token": "API_KEY", "auth": "API_KEY", "pat": "API_KEY", "pass": "PASSWORD", "pin": "PASSWORD", "otp": "PASSWORD",
          "mobile": "PHONE"}  # fmt: skip
"""Words that name a secret or something harmless: only text is masked, and only without a word of ``_COUNTING`` beside them."""

_COUNTING = among(
    "count counts counter usage used max min limit limits total num input output prompt completion cache cached reasoning time first "
    "last per budget cost price rate type kind size length latency duration tokens ratio attempts retries page next pagination "
    "continuation cursor"
)
_AMOUNTS = among("nano usd byte bytes ns us ms seconds timestamp sum amount score hash seed memory offset id ids spent reserved spanledger")
"""Further words of names of numbers that are no card's."""
_ABOUT = among(
    "count total size length type kind arn enabled disabled required policy expires expiry expiration expired ttl verified valid status "
    "attempts version algorithm provider method mode format source url uri endpoint path file created updated at seconds ms name names "
    "alias ref refs reference store template present retries latency duration queue service server domain model os carrier "
    "alg issuer result decision consent action strength score"
)
"""A last word that makes the name one of a property of the secret or of where it is, not of the secret. Not ``sent`` or ``failed``: a text
under such a name may be what was sent; counts stay because they are numbers."""
_REFERS = frozenset({"existing secret", "pull secret"})
"""Ends of names of the manifests of Kubernetes and Helm under which the name of a secret stands."""
_IDENTIFIER = among(
    "id ids uuid guid trace span parent model version hash sha digest etag fingerprint arn time timestamp nano nanos ts date "
    "revision commit count total seq sequence offset port pid tid seed"
)
_IDS = among("id ids uuid guid")
_MADE_BY_MACHINES = _IDENTIFIER - _IDS
"""Names of values in which even a right checksum is chance: there are too many of them."""
_SPEAKING = among(
    "tel telephone telefon phone cell cellular cellphone handset hotline pager callback fax whatsapp sms contact mobile card cards credit "
    "debit visa amex cc pan social key keys sig signature csrf xsrf login access private"
)
_SERVERS = frozenset({"server address", "local address", "host ip"})
"""Names of the conventions for hosts of the service itself, not of a person."""
_OF = frozenset({"of", "the", "s"})


def words(name: str) -> list[str]:
    """``userAPIKey_v2`` -> ``user api key v 2``."""
    return [word.lower() for word in _WORDS.findall(name)]


@lru_cache(maxsize=4096)
def label(name: str) -> str | None:
    """What a value under this name is, whatever it looks like; ``None`` if the name does not tell.

    Source of the lists: the attribute registry of the OpenTelemetry conventions (what must survive), and the deny lists of common
    telemetry scrubbers (what must not).
    """
    parts = [word for word in words(name) if word not in _OF]
    if not name.isascii() and any(word in name.lower() for word in _PASSWORDS):
        return "PASSWORD"
    if not parts:
        return None
    last = parts[-1]
    parts = [_singular(word) for word in parts]
    pairs = [f"{first} {second}" for first, second in pairwise(parts)]
    if pairs and pairs[-1] in _TOGETHER:
        return _TOGETHER[pairs[-1]]
    if last in _ABOUT or last in {"tokens", "id", "ids"} or (pairs and pairs[-1] in _REFERS):
        return None
    for pair in pairs:
        if pair in _TOGETHER:
            return _TOGETHER[pair]
    return next((_ALONE[word] for word in parts if word in _ALONE), None) or _run_together(name)


def _singular(word: str) -> str:
    """``keys`` -> ``key``, ``addresses`` -> ``address``. Tokens stay: most are counted, and these are no secrets."""
    return word if word == "tokens" else _PLURAL.sub("", word)


def _run_together(name: str) -> str | None:
    """``fbapikey``, ``SECRETTOKEN``, ``cloudPRIVATEkey``: words without a break, whose capitals tell nothing, but whose end does."""
    for run in map(_singular, _RUNS.findall(name.lower())):
        for ending, meaning in _ENDINGS:
            if run.endswith(ending):
                return meaning
    return None


@lru_cache(maxsize=4096)
def maybe(name: str) -> str | None:
    """What a *text* under this name may be: ``token``, ``auth`` and the like, unless a word beside them says that something is counted."""
    parts = words(name)
    if not parts or parts[-1] in _ABOUT or parts[-1] in _IDENTIFIER or not _COUNTING.isdisjoint(parts):
        return None
    return next((_MAYBE[word] for word in parts if word in _MAYBE), None)


@lru_cache(maxsize=4096)
def digits(name: str) -> Digits:
    """Which digits under this name can be a number of a person."""
    parts = [word for word in words(name) if not word.isdigit()]
    if not parts or (parts[-1] not in _IDENTIFIER and " ".join(parts[-2:]) not in _SERVERS):
        return Digits.ANY
    return Digits.SURE if parts[-1] in _IDS and _MADE_BY_MACHINES.isdisjoint(parts) else Digits.NONE


@lru_cache(maxsize=4096)
def counts(name: str) -> bool:
    """Whether a number under this name is a count, a size, a time, a price or an id."""
    return not (_COUNTING | _AMOUNTS | _IDENTIFIER).isdisjoint(words(name))


@lru_cache(maxsize=4096)
def spoken(name: str) -> str:
    """The name as words before a value, if they can tell what digits or a random word are: ``home tel homeTel: ``; else nothing."""
    parts = words(name)
    if _SPEAKING.isdisjoint(parts) or digits(name) is not Digits.ANY:
        return ""
    own = name.rpartition(".header.")[2]
    said = " ".join(parts[-3:])
    return f"{own}: " if said == own.lower() else f"{said} {own}: "


class Key(NamedTuple):
    """What is known about one key: how it may be shown, and what it says about its value."""

    shown: str
    label: str | None
    maybe: str | None
    digits: Digits
    spoken: str
    counts: bool


def known(name: str, shown: str) -> Key:
    """All that this module knows about a key, which may be shown as ``shown``."""
    return Key(shown, label(name), maybe(name), digits(name), spoken(name), counts(name))


NAMELESS = tuple(Key("", None, None, which, "", counts=which is not Digits.ANY) for which in Digits)
"""Of values without a name, inside a text under a name of which only the digits are known."""
NO_KEY = NAMELESS[Digits.ANY]

FIRST_CARD = 10**13
"""Whole numbers below are no card's."""
_FIRST_NUMBERS = {
    "PASSWORD": 0, "CARD_CODE": 0, "ACCOUNT": 10**4, "BIRTH_DATE": 10**5, "PASSPORT": 10**5, "GOV_ID": 10**5, "US_SSN": 10**6,
    "PHONE": 10**6, "SECRET": 10**7, "IP": 10**7, "CREDIT_CARD": 10**11, "API_KEY": 10**11, "PRIVATE_KEY": 10**11,
}  # fmt: skip
"""From where on a number under a name can be what the name says, and is no count of it. No number is an e-mail address or a person."""


def number_label(key: Key, number: float) -> str | None:
    """What a number under this name is; payment cards give themselves away where nothing is counted or measured."""
    if key.label is not None:
        first = _FIRST_NUMBERS.get(key.label)
        return key.label if first is not None and abs(number) >= first else None
    card = isinstance(number, int) and number >= FIRST_CARD and not key.counts and is_usual_card(str(number))
    return "CREDIT_CARD" if card else None
