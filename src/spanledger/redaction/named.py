"""Secrets that only their name gives away: ``password=...``, ``"apiKey": "..."``, ``--token ...``, ``Authorization: Bearer ...``."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from spanledger.redaction import checks, keys, refused
from spanledger.redaction.assigned import Assigned, assignment, value_end
from spanledger.redaction.text import Span, Text, among
from spanledger.redaction.view import OPAQUE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_SECRETS = frozenset({"PASSWORD", "SECRET", "API_KEY", "AUTHORIZATION", "COOKIE", "JWT", "PRIVATE_KEY"})
_NO_VALUE = among(
    "none null nil true false undefined str string &str &string int integer bytes bool boolean any object optional required empty "
    "missing invalid wrong secretstr password passwd secret token key changed reset hidden redacted example unknown and or not is are "
    "was were for in on of the a to with field fields must should will may can has have from type"
)
_NO_SECRET = _NO_VALUE | among(
    "valid set unset provided given incorrect correct configured present absent expired disabled enabled encrypted masked protected "
    "rejected accepted verified matched mismatch mismatched weak failed failure success minimum maximum enter choose yes no ok n/a "
    "string! int! id! return raise break continue pass yield del try if else elif while"
)
"""Also states of a password, demands on one, and words of programs after ``password:``."""
_PARAMETER = re.compile(r"[:@]{1,2}[A-Za-z_]+")
"""``:password`` and ``@password`` in SQL."""
_CODE = re.compile(r"[A-Za-z_]\w*(?:(?:\.|::|->)[A-Za-z_]\w*)+$|[*.xX#-]+$|\$[{(]?[A-Za-z_]|%[sdr(]|\{\{?", re.ASCII)
"""``os.environ``, ``****``, ``${TOKEN}``, ``%s``: no secret, but where one would be."""
_UUID = re.compile(r"(?:[0-9A-Za-z]{1,8}-)?[0-9A-Za-z]{8}(?:-[0-9A-Za-z]{4}){3}-[0-9A-Za-z]{12}$")
"""Or what is written like one, with more letters or a number before it."""
_SEGMENT = re.compile("[0-9A-Za-z]{16,}|[0-9A-Za-z+/]{22,}=")
_SHUFFLED, _PIECES, _WORD = re.compile("[0-9A-Za-z_+=-]{20,512}"), re.compile("[_+=-]"), re.compile("[A-Z]?[a-z]{3,}")
_TURN, _TURNS = re.compile("(?<=[0-9])(?=[A-Za-z])|(?<=[A-Za-z])(?=[0-9])"), 3
_TURNING = re.compile("(?:[A-Za-z]{1,2}[0-9]{1,2}){5,}[A-Za-z]{0,2}|(?:[0-9]{1,2}[A-Za-z]{1,2}){5,}[0-9]{0,2}")
_STRONG, _CONSTANT = re.compile("[!@#$%^&*]"), re.compile("[A-Z]+(?:_[A-Z]+)+")
_SCHEME = re.compile(r"(?:bearer|ssws|basic|token|api-?token|apikey|digest|negotiate|bot|key|aws4-hmac-sha256)\b[ :]{1,3}", re.IGNORECASE)
_OF_PARAMETERS, _LINE = ("digest", "aws4"), re.compile(r"[^\r\n]+")
"""Schemes that take a list of parameters, quoted or not: https://www.rfc-editor.org/rfc/rfc7616#section-3.4"""
_TOKEN = re.compile(r"(?:(?<= )|:? ) {0,2}([0-9A-Za-z._~+/=|\-]{8,})")
_CREDENTIAL = re.compile(rf"(?!{OPAQUE})[^\s\"',;]{{6,}}")
_USER = re.compile(r"[ =]{0,3}[\"']?([^\s:\"']{1,128}:[^\s\"']+)")
_USER_BEFORE = re.compile(r"\b(?:uid|user(?: ?id|[_ ]?name)?) ?= ?[\"']?([^\s;\"'=\x19]{1,64})[\"']?;[; \"'&+$]{0,8}$")
_FARTHEST_USER = 96
_COOKIES = re.compile(r"[^\s=;\"']{1,256}=[^\"'\n\r]+")
_ROLES = among(
    "cache partition primary foreign public idempotency sort routing lookup group dict dedup hash row index range object s unique "
    "natural map sub config registry translation message storage redis kv json label i18n query header field attribute press "
    "feature flag prompt reasoning thinking thought"
)
"""What a key can be that opens nothing; of ``s3`` the letter is a word."""
_THINGS = among(
    "document file event order shard tenant thread job node dedupe deduplication state chunk batch record block page blob asset image "
    "entity product item resource segment topic queue run step bucket entry table row tree digest artifact artefact build "
    "checksum content fingerprint join composite surrogate correlation conversation collection bundle component"
)
"""What, right before a key, has an identifier of this name: ``document_key``."""
_LOCKS = among("key keys login sig signature api access private")
"""What is a secret of whatever the word before names."""
_KEY_AT_END = re.compile("(?<=[a-z]{2})key$")
"""``tomtomkey``"""
_SIGNED = among("sig signature csrf xsrf")
"""Names that need no word before."""
_WORD_BEFORE = re.compile(r"([A-Za-z][0-9A-Za-z.]{1,40}) $")
_FARTHEST_WORD = 44
_FILE = re.compile(r"/[^/]{1,256}\.[A-Za-z][0-9A-Za-z]{1,4}$")
"""``uploads/0f1e2d3c.png``: a key of a storage of objects."""
_ARN, _FARTHEST_ARN = re.compile(r"\barn:[\w-]{1,16}:[\w-]{1,24}:[\w-]{0,24}:[0-9]{0,12}:$"), 96
_LONG = 24
_UNBROKEN = re.compile("[a-z]{24,}|[A-Z]{24,}|[0-9]{24,}")
"""Too long for a word or a number."""
_JOINED = re.compile(r"(?:(?i:key|token))?[-.]([0-9A-Za-z]{24,}(?:[-_][0-9A-Za-z]+){0,8})")
_CAPITALS = among("SECRET TOKEN KEY ACCESS PRIVATE")
_LOOSE = frozenset({"", ",", "|", "->"})
"""What stands between a name and its value, and as often between a name and something else; emphasis does, too."""
_SHORT_PASSWORD, _SHORT_SECRET, _SURE_SECRET = 3, 6, 12


def values(text: Text, places: Iterable[tuple[int, int]]) -> Iterator[Span]:
    """The values that belong to sensitive names around ``places``."""
    done = 0
    for start, end in places:
        span = _joined(text, start, end)
        if start < done and not span:
            continue
        stem = text.lower[start:end]
        if stem in _SPECIAL:
            span = _SPECIAL[stem](text, start, end)
        elif not span:
            assigned = assignment(text, start, end)
            span = _judge(text, assigned) if assigned else None
            done = _read_to(assigned) if assigned else end
        if span:
            done = span.end
            yield span


def _read_to(it: Assigned) -> int:
    """How far a name tells nothing more: of ``API Secret`` the second word may begin another, ``Secret Key``."""
    return it.name_end - len(it.name.partition(" ")[2])


def _joined(text: Text, start: int, end: int) -> Span | None:
    """``vendorSECRET-0123abcd...``: after a word in capitals, which ``vendor-key-0123abcd...`` has not."""
    found = _JOINED.match(text.text, end) if text.text[start:end] in _CAPITALS else None
    return Span(found.start(1), found.end(), "API_KEY") if found and _is_random_or_long(found[1]) else None


def _scheme(text: Text, start: int, end: int) -> Span | None:
    """``Bearer x`` and ``Basic x`` (RFC 6750, RFC 7617); both are words of prose too, so x must look random."""
    found = None if text.char(start - 1).isalnum() else _TOKEN.match(text.text, end)
    if not found:
        return None
    token = found[1]
    sure = len(token) >= _SURE_SECRET and any(sign.isdigit() for sign in token)
    return Span(found.start(1), found.end(1), "AUTHORIZATION") if sure or _is_random(token) else None


def _user(text: Text, _: int, end: int) -> Span | None:
    """``curl -u user:password``."""
    found = _USER.match(text.text, end)
    if not found or found[1].startswith("<"):
        return None
    password = found[1].partition(":")[2].rstrip("\"'")
    if password.startswith(OPAQUE) or password.lower() in _NO_VALUE or checks.is_template(password) or checks.is_stand_in(password):
        return None
    return Span(found.start(1), found.end(1), "URL_CREDS")


_AZURE = re.compile(r"[0-9A-Za-z_~.-]{3}[0-9]Q~[0-9A-Za-z_~.-]{31,34}(?![0-9A-Za-z_~-])")
_AZURE_LEAD = 4


def _azure(text: Text, start: int, _: int) -> Span | None:
    """Client secrets of Entra ID, which have ``Q~`` in their middle."""
    found = _AZURE.match(text.text, max(0, start - _AZURE_LEAD))
    return Span(found.start(), found.end(), "SECRET") if found else None


_BY = re.compile(r" ?[\"']?([^\s\"']{3,128})")


def _given(text: Text, start: int, end: int) -> Span | None:
    """``IDENTIFIED BY '...'`` in SQL, which small letters may be about something else, and ``sshpass -p ...``."""
    found = _BY.match(text.text, end)
    if not found or _CODE.match(found[1]) or checks.is_template(found[1]) or found[1].startswith(OPAQUE):
        return None
    sure = text.char(end - 1) != "'" or text.text[start:end].isupper() or _is_odd(found[1])
    return Span(found.start(1), found.end(1), "PASSWORD") if sure else None


_SPECIAL = {
    "bearer": _scheme,
    "basic ": _scheme,
    "--user": _user,
    " -u ": _user,
    "q~": _azure,
    "identified by '": _given,
    "sshpass -p": _given,
    "input_value": refused.in_line,
    "input'": refused.in_list,
    'input"': refused.in_list,
}
"""Places that introduce a secret in their own way."""


def _judge(text: Text, it: Assigned) -> Span | None:
    """The private part of an assignment, if it has one."""
    if it.value.startswith(OPAQUE) or _is_in_reference(text, it):  # masked before, or a name
        return None
    label = keys.label(it.name)
    if label == "COOKIE":
        cookies = _COOKIES.match(text.text, it.first) if it.sign else None
        return Span(it.first, cookies.end(), label) if cookies else None
    scheme = bool(it.sign and _SCHEME.match(text.text, it.first))
    if label == "AUTHORIZATION" or (label and scheme):
        given = scheme or it.sign not in _LOOSE or (it.sign == "," and it.quoted and _is_odd(it.value))  # not the next of a list of names
        return _authorization(text, it) if given else None
    if label:
        return _secret(text, it, label) if label in _SECRETS and _is_value(text, it, label) else None
    weak = keys.maybe(it.name) or _key_of(text, it)
    if weak and (_is_weak_value(it, weak) or (_is_parameter(text, it) and _is_odd(it.value) and not _is_none(it.value))):
        return Span(it.first, value_end(text, it), weak)
    return None


def _is_in_reference(text: Text, it: Assigned) -> bool:
    """``arn:aws:secretsmanager:eu-west-1:123456789012:secret:name``."""
    begin = it.name_end - len(it.name)
    return it.sign == ":" and bool(_ARN.search(text.text[max(0, begin - _FARTHEST_ARN) : begin]))


def _is_parameter(text: Text, it: Assigned) -> bool:
    """``?token=...`` and ``&pin=...`` in a URL name what opens something, not something that is told."""
    return it.sign == "=" and text.char(it.name_end - len(it.name) - 1) in "?&"


def _secret(text: Text, it: Assigned, label: str) -> Span:
    """The value; with the user before a password in a connection string (``Uid=...;Pwd=...``), as in a URL."""
    begin = it.name_end - len(it.name)
    before = text.lower[max(0, begin - _FARTHEST_USER) : begin]
    user = _USER_BEFORE.search(before) if label == "PASSWORD" and it.sign == "=" and ";" in before else None
    if user:
        return Span(begin - len(before) + user.start(1), value_end(text, it), "URL_CREDS")
    return Span(it.first, value_end(text, it), label)


def _is_weak_value(it: Assigned, label: str) -> bool:
    """Whether this is a secret under a name that may be harmless: something random, or a password that looks like one."""
    if _is_random_or_long(it.value):
        return (bool(it.sign) or it.name.isupper() or len(it.value) >= _LONG) and not checks.is_stand_in(it.value)
    if it.sign and _TURNING.fullmatch(it.value):  # "z9y8x7w6v5u"
        return True
    return label == "PASSWORD" and bool(it.sign) and _is_odd(it.value) and bool(_STRONG.search(it.value))


def _is_none(value: str) -> bool:
    """``your-api-key``, and ``ACCESS_TOKEN`` or ``:password``, which are names of a secret instead of one."""
    named = _CONSTANT.fullmatch(value) or _PARAMETER.fullmatch(value)
    return (named is not None and bool(keys.label(value) or keys.maybe(value))) or checks.is_stand_in(value) or checks.is_reference(value)


def _key_of(text: Text, it: Assigned) -> str | None:
    """``tomtom_key`` and ``tomtom key`` name a secret, ``cache_key`` a place."""
    parts = [part for part in keys.words(_KEY_AT_END.sub("_key", it.name)) if not part.isdigit()]
    if not parts or not _ROLES.isdisjoint(parts) or (parts[-1] in {"key", "keys"} and not _THINGS.isdisjoint(parts[-2:-1])):
        return None
    if parts[-1] in _SIGNED:
        return "API_KEY"
    if (
        parts[-1] not in _LOCKS or _FILE.search(it.value) or (not it.sign and (":" in it.value or _UUID.match(it.value)))
    ):  # "GET KEY user:0f1e..." asks for a place
        return None
    return "API_KEY" if len(parts) > 1 or _is_said_of_a_thing(text, it) else None


def _is_said_of_a_thing(text: Text, it: Assigned) -> bool:
    """Whether the word before a key names what it opens, not what it is for or which of several it is."""
    begin = it.name_end - len(it.name)
    before = _WORD_BEFORE.search(text.text[max(0, begin - _FARTHEST_WORD) : begin])
    if before is None or before[1].endswith("."):  # of the sentence before
        return False
    return before[1].lower().rstrip("0123456789") not in _ROLES | _THINGS | _NO_VALUE


def _authorization(text: Text, it: Assigned) -> Span | None:
    scheme = _SCHEME.match(text.text, it.first)
    begin = scheme.end() if scheme else it.first
    if scheme and scheme[0].lower().startswith(_OF_PARAMETERS):
        rest = _LINE.match(text.text, begin)
        return Span(begin, rest.end(), "AUTHORIZATION") if rest else None
    found = _CREDENTIAL.match(text.text, begin, it.last if it.quoted else len(text.text))
    if not found or _is_no_credential(found[0]) or (not it.quoted and found[0].isalpha() and found[0].islower()):
        return None
    return Span(begin, value_end(text, it) if it.quoted else found.end(), "AUTHORIZATION")


def _is_no_credential(value: str) -> bool:
    """``Bearer`` with nothing after it, or what stands where a credential would be."""
    return bool(_CODE.match(value) or _SCHEME.fullmatch(value + " ")) or checks.is_stand_in(value) or checks.is_template(value)


def _is_value(text: Text, it: Assigned, label: str) -> bool:
    """Whether this is a secret, and not code, a type, a placeholder or the next word of a sentence."""
    password = label == "PASSWORD"
    if it.value.lower() in _NO_SECRET or len(it.value) < (_SHORT_PASSWORD if password else _SHORT_SECRET) or _is_none(it.value):
        return False
    if _CODE.match(it.value) or (not it.quoted and text.char(it.last) in "(["):
        return _is_random(it.value)
    loose = it.sign in _LOOSE or "*" in it.sign
    if it.quoted and not loose:
        return (bool(it.sign) or _is_odd(it.value)) and (password or " " not in it.value.partition("\n")[0])
    if loose:
        return _is_random_or_long(it.value) or (_is_odd(it.value) and (password or _is_garbled(it.value)))
    return password or _is_odd(it.value) or len(it.value) >= _SURE_SECRET


def _is_odd(value: str) -> bool:
    """Not a word of any language: a digit or a sign among letters."""
    return (
        len(value) >= _SHORT_SECRET
        and any(sign.isdigit() or sign in "!@#$%^&*+~" for sign in value)
        and any(sign.isalpha() for sign in value)
    )


def _is_random(value: str) -> bool:
    """A long piece of letters and digits mixed, unlike ``claude-3-5-sonnet-20241022``."""
    if not any(sign.isdigit() for sign in value) or not any(sign.isalpha() for sign in value):
        return False
    if _UUID.match(value):
        return True
    return bool(_SEGMENT.search(value) and "://" not in value) or _is_shuffled(value)


def _is_random_or_long(value: str) -> bool:
    return _is_random(value) or (_UNBROKEN.search(value) is not None and not checks.is_placeholder(value))


def _is_garbled(value: str) -> bool:
    """``wwf*2#86t64!fgh6yav$aoeuo@u2o``, as Django makes its keys."""
    return len(value) >= _LONG and " " not in value and len(_STRONG.findall(value)) >= _TURNS and len(_TURN.findall(value)) >= _TURNS


def _is_shuffled(value: str) -> bool:
    """``yhTFulkELh3-jC6oudRX``: letters of both cases and digits in turns, and no word among them, unlike ``Qwen2-VL-72B-Instruct``."""
    if not _SHUFFLED.fullmatch(value) or value.isupper() or value.islower():
        return False
    return len(_TURN.findall(value)) >= _TURNS and not any(_WORD.fullmatch(piece) for piece in _PIECES.split(value))
