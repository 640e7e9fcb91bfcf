"""Secrets that are recognisable by themselves: keys with a vendor's prefix, JSON web tokens, PEM blocks, password hashes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from spanledger.redaction.text import Span, Text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_WORD = "[0-9A-Za-z_-]"
_MIXED = r"(?=[a-z]{2,10}_[a-z0-9]{0,40}[A-Z])(?=[a-z]{2,10}_[A-Za-z]{0,40}[0-9])"
_PREFIXES = (
    # language models
    r"sk-(?:ant|proj|svcacct|admin|or|lf|None)?-?" + _WORD + "{20,}", r"(?:sess|pplx|xai|nvapi|tvly|csk|fc)-" + _WORD + "{16,}",
    r"(?:hf|gsk|r8|jina|e2b|fw|pcsk|hfp)_[0-9A-Za-z_]{20,}", r"api_org_[0-9A-Za-z]{20,}", r"lsv2_(?:pt|sk)_[0-9a-z_]{24,}", r"pylf_v[0-9]_[0-9A-Za-z_]{20,}",
    # clouds
    r"(?:AKIA|ASIA|AGPA|AIDA|AROA|AIPA|ANPA|ANVA|ABIA|ACCA|A3T[0-9A-Z])[0-9A-Z]{16}(?![0-9A-Za-z])", r"AIza" + _WORD + "{30,}", r"GOCSPX-" + _WORD + "{20,}",
    r"LTAI[0-9A-Za-z]{16,24}", r"AKID[0-9A-Za-z]{28,}", r"do[opr]_v1_[0-9a-f]{32,}", r"dapi[0-9A-Fa-f]{32}(?:-[0-9])?", r"tskey-[a-z]{2,10}-" + _WORD + "{12,}",
    r"HRKU-" + _WORD + "{20,}", r"pscale_(?:tkn|pw|oauth)_" + _WORD + "{20,}", r"cf(?:ut|at|k)_[0-9A-Za-z]{32,}", r"vc[apkri]_[0-9A-Za-z]{20,}",
    # code hosts and registries
    r"gh[pousr]_[0-9A-Za-z]{20,}", r"github_pat_[0-9A-Za-z_]{22,}", r"gl(?:pat|dt|rt|rtr|cbt|ptt|ft|soat|imt|agent|oas|ffct|wt)-" + _WORD + "{16,}",
    r"npm_[0-9A-Za-z]{30,}", r"pypi-" + _WORD + "{32,}", r"rubygems_[0-9a-f]{32,}", r"dckr_(?:pat|oat)_" + _WORD + "{20,}", r"oy2[0-9a-z]{43}", r"CLOJARS_[0-9A-Za-z]{40,}",
    r"AT(?:ATT|CTT)3" + _WORD + "{20,}", r"ATBB[0-9A-Za-z]{24,}", r"bkua_[0-9a-f]{32,}", r"CCI(?:PAT|PRJ)_" + _WORD + "{20,}", r"sgp_" + _WORD + "{32,}", r"lin_(?:api|oauth)_[0-9A-Za-z]{32,}",
    # services
    r"xox[a-z]-" + _WORD + "{10,}", r"xapp-[0-9]-" + _WORD + "{16,}", r"(?:sk|rk|pk)_(?:live|test|prod)_[0-9A-Za-z]{10,}", r"whsec_[0-9A-Za-z+/]{20,}",
    r"(?:SK|AC)[0-9a-f]{32}(?![0-9A-Za-z])", r"key-[0-9a-zA-Z]{32}(?![0-9A-Za-z])", r"[0-9a-f]{32}-us[0-9]{1,2}(?![0-9A-Za-z])", r"shp(?:at|ca|pa|ss)_[0-9A-Fa-f]{32}", r"sq0[a-z]{3}-" + _WORD + "{20,}",
    r"EAA[0-9A-Za-z]{30,}", r"gl(?:sa|c)_" + _WORD + "{20,}", r"sntry[su]_" + _WORD + "{30,}", r"ph[cx]_[0-9A-Za-z]{32,}", r"NR(?:AK|II|JS|RA)-[0-9A-Za-z-]{19,}", r"PMAK-[0-9A-Za-z-]{40,}",
    r"figd_" + _WORD + "{30,}", r"ntn_[0-9A-Za-z]{40,}", r"duffel_(?:test|live)_" + _WORD + "{20,}", r"FLW(?:PUB|SEC)K(?:_TEST)?-[0-9A-Za-z]{12,}", r"EZ[AT]K[0-9A-Za-z]{40,}", r"CFPAT-" + _WORD + "{40,}",
    r"pul-[0-9a-f]{40}", r"pnu_[0-9A-Za-z]{36}", r"rdme_[0-9a-z]{60,}", r"aio_[0-9A-Za-z]{28}", r"fio-u-" + _WORD + "{40,}", r"AQVN" + _WORD + "{35,}", r"sb[ap]_[0-9a-f]{40}", r"ops_eyJ" + _WORD + "{50,}",
    r"AGE-SECRET-KEY-1[0-9A-Z]{50,}", r"django-insecure-[^\s\"'<>]{20,}", r"apify_api_[0-9A-Za-z]{30,}", r"fm[12]_" + _WORD + "{20,}", r"(?:sdk|mob|api)-[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
    r"GR1348941" + _WORD + "{20,}", r"shippo_(?:live|test)_[0-9a-fA-F]{40}", r"pk_[0-9]{6,}_[0-9A-Z]{20,}", r"sk_[0-9a-f]{40,}", r"mdb_sa_sk_" + _WORD + "{30,}",
    # anything that calls itself a key
    r"[0-9A-Za-z]{2,16}[_-](?:live|prod|pat|secret|tok|token|apikey|api[_-]key|sk)[_-](?=[0-9A-Za-z]{0,30}[0-9])[0-9A-Za-z]{24,}",
    _MIXED + "[a-z]{2,10}_[0-9A-Za-z]{32,}",
)  # fmt: skip
"""Published by the vendors for secret scanners (https://docs.github.com/code-security/secret-scanning/introduction/supported-secret-scanning-patterns)."""

_KEY = re.compile("(?<![0-9A-Za-z])(?:" + "|".join(_PREFIXES) + ")")
_DOTTED_KEYS = re.compile(
    r"SG\.[\w-]{16,}\.[\w-]{16,}|hv[bsr]\.[\w-]{20,}|dp\.(?:pt|st|ct|sa|scim|audit)\.(?:[a-z_-]{1,40}\.)?[\w]{40,}|ya29\.[\w-]{20,}|"
    r"dt0[a-z][0-9]{2}\.[A-Z0-9]{20,}\.[A-Z0-9]{40,}|[psta]k\.eyJ[\w-]{10,}(?:\.[\w-]{10,})?|xoxe\.xox[a-z]-[\w-]{16,}",
    re.ASCII,
)
_JWT = re.compile(r"eyJ[0-9A-Za-z_-]{8,}\.[0-9A-Za-z_-]{2,}(?:\.[0-9A-Za-z_-]*){0,3}")
_TELEGRAM = re.compile(r"[0-9]{8,10}:[0-9A-Za-z_-]{35}(?![0-9A-Za-z_-])")
_LONGEST_LEAD = 64


def long_words(text: Text, places: Iterable[tuple[int, int]]) -> Iterator[Span]:
    """Vendors' keys and tokens in words of 20 characters and more."""
    done = 0
    for start, end in places:
        if start < done:
            continue
        for span in _in_word(text, start, end):
            done = max(done, span.end)
            yield span


def _in_word(text: Text, start: int, end: int) -> Iterator[Span]:
    token = _JWT.match(text.text, start)
    if token:
        yield Span(start, token.end(), "JWT")
        return
    if text.char(start - 1) in ".:":
        yield from _led_by_dot(text, start)
    for found in _KEY.finditer(text.text, start, end + 1):
        if not found[0].islower() or any(sign.isdigit() for sign in found[0]):
            yield Span(found.start(), found.end(), "API_KEY")


def _led_by_dot(text: Text, start: int) -> Iterator[Span]:
    """A key whose prefix ends in a sign that words do not have; the long word is its middle."""
    left = text.text[max(0, start - _LONGEST_LEAD) : start]
    lead = start - len(left) + len(left.rstrip("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz._-:"))
    for pattern in (_DOTTED_KEYS, _TELEGRAM):
        for found in pattern.finditer(text.text, lead, start + 4096):
            if found.start() < start:
                yield Span(found.start(), found.end(), "API_KEY")


_BEGIN = re.compile(r"-----BEGIN [0-9A-Z ]{0,40}PRIVATE KEY(?: BLOCK)?-----")
_BODY = re.compile(r"[0-9A-Za-z+/=\s:,.\\-]*")


def pem(text: Text, places: Iterable[tuple[int, int]]) -> Iterator[Span]:
    """Private keys from their first line to their last, or as far as a cut-off one reaches."""
    done, more = 0, True
    for start, _ in places:
        begin = _BEGIN.match(text.text, start) if start >= done else None
        if not begin:
            continue
        end = text.text.find("-----END ", begin.end()) if more else -1
        more = end >= 0  # looking again for what is not there would take quadratic time
        last = text.text.find("-----", end + 9, end + 80) if more else -1
        body = _BODY.match(text.text, begin.end())
        done = last + 5 if last >= 0 else body.end() if body else begin.end()
        yield Span(start, done, "PRIVATE_KEY")


_HASH = re.compile(r"\$(?:2[abxy]?|1|5|6|7|8|y|gy|apr1|sha1|md5|argon2[a-z]{1,2}|pbkdf2[a-z0-9-]{0,10}|krb5[a-z]{2,8})\$[^\s\"'<>]{16,512}")


def password_hashes(text: Text, places: Iterable[tuple[int, int]]) -> Iterator[Span]:
    """Hashes in the modular crypt format (https://passlib.readthedocs.io/en/stable/modular_crypt_format.html)."""
    for start, _ in places:
        found = _HASH.match(text.text, start)
        if found:
            yield Span(start, found.end(), "PASSWORD")
