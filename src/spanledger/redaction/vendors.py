"""Secrets that are recognisable by themselves: keys with a vendor's prefix, JSON web tokens, PEM blocks, password hashes."""

from __future__ import annotations

import binascii
import re
from typing import TYPE_CHECKING

from spanledger.redaction import checks
from spanledger.redaction.text import Span, Text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_MODELS = r"""
    sk-(?:ant|proj|svcacct|admin|or|lf|None)?-?WORD{20,} (?:sess|pplx|xai|nvapi|tvly|csk|fc)-WORD{16,} sk_[0-9a-f]{40,}
    (?:hf|gsk|r8|jina|e2b|fw|pcsk|hfp)_[0-9A-Za-z_]{20,} api_org_[0-9A-Za-z]{20,}
    lsv2_(?:pt|sk)_[0-9a-z_]{24,} pylf_v[0-9]_[0-9A-Za-z_]{20,} tgp_v1_WORD{40,} wandb_v1_WORD{40,} nk-MIXEDWORD{43}END key_[0-9a-f]{64}END
    pk-lf-UUID ls__[0-9a-f]{32} n8n_api_WORD{30,} vercel_blob_rw_WORD{30,} sk_MIXEDWORD{40,} a[ks]-MIXED[0-9A-Za-z]{22}END ALTAK-[0-9A-Za-z]{21}(?:/[0-9a-f]{40})?
"""
_CLOUDS = r"""
    (?:AKIA|ASIA|AGPA|AIDA|AROA|AIPA|ANPA|ANVA|ABIA|ACCA|A3T[0-9A-Z])[0-9A-Z]{16}END AIzaWORD{30,} GOCSPX-WORD{20,} LTAI[0-9A-Za-z]{16,24}
    AKID[0-9A-Za-z]{28,} AQVNWORD{35,} do[opr]_v1_[0-9a-f]{32,} dapi[0-9A-Fa-f]{32}(?:-[0-9])? tskey-[a-z]{2,10}-WORD{12,} HRKU-WORD{20,}
    pscale_(?:tkn|pw|oauth)_WORD{20,} cf(?:ut|at|k)_[0-9A-Za-z]{32,} vc[apkri]_[0-9A-Za-z]{20,} sb[ap]_[0-9a-z]{40} fm[12]_[0-9A-Za-z_+/-]{20,}={0,2}
    ABSK[0-9A-Za-z+/]{30,}={0,2} [0-9A-Za-z]{52}JQQJ99[0-9A-Za-z]{26} [0-9A-Za-z]{76}AZDO[0-9A-Za-z]{4} sb_secret_WORD{20,}
    pa-(?=[0-9a-z_-]{0,30}[A-Z])(?=[A-Za-z_-]{0,30}[0-9])WORD{43}END tfp_[0-9A-Za-z_]{40,} [ps]ub-c-UUID NF-[0-9]{32}END
    mdb_sa_sk_WORD{30,} pul-[0-9a-f]{40} NR(?:AK|II|JS|RA)-[0-9A-Za-z-]{19,} AKLT[0-9A-Za-z]{40,} SCW[0-9A-Z]{17}END YCMIXEDWORD{38}END
    (?:IQoJb3JpZ2lu|FwoGZXIvYXdz)[0-9A-Za-z%+/]{8,}={0,2} 4b1dMIXED[0-9A-Za-z]{38}END
    rnd_MIXED[0-9A-Za-z]{28,} napi_[0-9a-z]{60,} tk-us-MIXEDWORD{48} dnkey-[0-9a-z_=-]{26}-[0-9a-z]{52} dd[pw]_[0-9A-Za-z]{36}END jca_[0-9A-Za-z]{36}END
"""
_CODE = r"""
    gh[pousr]_[0-9A-Za-z]{20,} github_pat_[0-9A-Za-z_]{22,} gl(?:pat|dt|rt|rtr|cbt|ptt|ft|soat|imt|agent|oas|ffct|wt)-WORD{16,}ROUTED
    GR1348941WORD{20,} npm_[0-9A-Za-z]{30,} pypi-WORD{32,} rubygems_[0-9a-f]{32,} dckr_(?:pat|oat)_WORD{20,} oy2[0-9a-z]{43}
    AKCp[0-9A-Za-z]{60,} cmVmdGtu[0-9A-Za-z]{56} sq[apu]_[0-9a-f]{40} cioMIXED[0-9A-Za-z]{32}END slk_[0-9a-f]{64} PMAT-[0-9A-Z]{26} waka_UUID
    API-(?=[A-Z]{0,25}[0-9])[0-9A-Z]{26}END s-s4t2(?:ud|af)-[0-9a-f]{64} ico-MIXED[0-9A-Za-z]{32}END sm_[aps]at_[0-9A-Za-z]{16}END
    CLOJARS_[0-9A-Za-z]{40,} AT(?:ATT|CTT)3WORD{20,} ATBB[0-9A-Za-z]{24,} bkua_[0-9a-f]{32,} CCI(?:PAT|PRJ)_WORD{20,} sgp_WORD{32,}
    lin_(?:api|oauth)_[0-9A-Za-z]{32,} django-insecure-[^\s"'<>]{20,} PMAK-[0-9A-Za-z-]{40,} pnu_[0-9A-Za-z]{36} rdme_[0-9a-z]{60,}
"""
_SERVICES = r"""
    xox[abceprs]-WORD{10,} xoxd-[0-9A-Za-z%+/_-]{10,}={0,2} xoxo-[0-9]{8,}-WORD{8,} xapp-[0-9]-WORD{16,} (?:sk|rk|pk)_(?:live|test|prod)_[0-9A-Za-z]{10,} whsec_[0-9A-Za-z+/]{20,}
    (?:SK|AC)[0-9a-f]{32}END (?<![_-])key-[0-9a-zA-Z]{32}END [0-9a-f]{32}-us[0-9]{1,2}END shp(?:at|ca|pa|ss)_[0-9A-Fa-f]{32}
    sq0[a-z]{3}-WORD{20,} EAA[0-9A-Za-z]{30,}
    glsa_WORD{20,} glc_[0-9A-Za-z+/_-]{16,}={0,2} sntrys_[0-9A-Za-z+/_=-]{13,} sntryu_WORD{30,} ph[cxsr]_WORD{32,} figd_WORD{30,} ntn_[0-9A-Za-z]{40,} duffel_(?:test|live)_WORD{20,}
    FLW(?:PUB|SEC)K(?:_TEST)?-[0-9A-Za-z]{12,} EZ[AT]K[0-9A-Za-z]{40,} CFPAT-WORD{40,} aio_[0-9A-Za-z]{28} fio-u-WORD{40,} ops_eyJWORD{50,}
    AGE-SECRET-KEY-1[0-9A-Z]{50,} apify_api_[0-9A-Za-z]{30,} shippo_(?:live|test)_[0-9a-fA-F]{40} pk_[0-9]{6,}_[0-9A-Z]{20,}
    [0-9]{1,4}-(?=[0-9a-z]{0,40}[A-Z])(?=[0-9A-Z]{0,40}[a-z])[0-9A-Za-z]{64}END
    (?:sdk|mob|api|pat-(?:na|eu|ap)[0-9]|access-(?:sandbox|development|production))-UUID x(?:key|smtp)sib-[0-9a-f]{64}-[0-9A-Za-z]{16}
    p8e-[0-9a-z]{32}END db-MIXED[0-9A-Za-z]{29}END [0-9A-Za-z]{6}_[0-9A-Za-z]{29}_mmk re_MIXED[0-9A-Za-z]{8}_[0-9A-Za-z]{20,} rzp_(?:live|test)_[0-9A-Za-z]{14,}
    [0-9a-f]{32}-[0-9a-f]{8}-[0-9a-f]{8}END (?:live|test)_(?:pub_)?[0-9a-f]{31,} live_MIXEDWORD{40}END 6L[c-f]MIXEDWORD{37}END eyJrIjoi[0-9A-Za-z]{60,}={0,3}
    A{21}[0-9A-Za-z%]{60,}
"""
_UNNAMED = r"""
    [0-9A-Za-z]{2,16}[_-](?:live|prod|pat|secret|tok|token|apikey|api[_-]key|sk)[_-](?=[0-9A-Za-z]{0,30}[0-9])[0-9A-Za-z]{24,}
    (?<![0-9A-Za-z][_-])(?=[a-z]{2,10}_[a-z0-9]{0,40}[A-Z])(?=[a-z]{2,10}_(?:[A-Za-z]{0,40}[0-9]){2})[a-z]{2,10}_[0-9A-Za-z]{32,}
"""
"""Of no vendor we know: what calls itself a key, and a prefix before 32 letters of both cases and digits, not only one as in ``V2``."""
_MIXED = "(?=[0-9a-z_-]{0,40}[A-Z])(?=[A-Za-z_-]{0,40}[0-9])"
"""Ahead of what prefixes of two or three letters begin, which words have, too."""
_UUID = "[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
# Published by the vendors for scanners: https://docs.github.com/code-security/secret-scanning/introduction/supported-secret-scanning-patterns
_KEY = re.compile(
    "(?<![0-9A-Za-z])(?:"
    + "|".join((_MODELS + _CLOUDS + _CODE + _SERVICES + _UNNAMED).split())
    .replace("ROUTED", r"(?:\.[0-9a-z]{2}\.[0-9a-z]{9})?")
    .replace("UUID", _UUID)
    .replace("MIXED", _MIXED)
    .replace("WORD", "[0-9A-Za-z_-]")
    .replace("END", "(?![0-9A-Za-z])")
    + ")"
)
_STEMS = ("secret", "token", "access", "private")
_CALLED = re.compile(
    rf"(?:[0-9a-z]{{2,16}}[_.-]?)?(?:{'|'.join(_STEMS)})[_.-](?:(?:key|token)[_.-]){{0,2}}"
    rf"(?:{_UUID}|(?=[a-z]{{0,30}}[0-9])(?=[0-9]{{0,30}}[a-z])[0-9a-z]{{20,}})",
    re.IGNORECASE,
)
"""What calls itself a secret and goes on with something random: ``vault-secret-123e4567-...``."""
_DOTTED_KEYS = re.compile(
    r"SG\.[\w-]{16,}\.[\w-]{16,}|hv[bsr]\.[\w-]{20,}|dp\.(?:pt|st|ct|sa|scim|audit)\.(?:[a-z_-]{1,40}\.)?[\w]{40,}|ya29\.[\w-]{20,}|1//0[\w-]{24,}|"
    r"pat[0-9A-Za-z]{14}\.[0-9a-f]{64}|[MNO][0-9A-Za-z_-]{23,27}\.[0-9A-Za-z_-]{6}\.[0-9A-Za-z_-]{25,}|[0-9A-Za-z]{14}\.atlasv1\.[\w-]{60,}|"
    r"VF\.(?:DM|WS)\.[0-9a-f]{24}\.\w{16}|tkn\.v1_[0-9A-Za-z+/=]{60,}|1000\.[0-9a-f]{32}\.[0-9a-f]{32}|"
    r"dt0[a-z][0-9]{2}\.[A-Z0-9]{20,}\.[A-Z0-9]{40,}|[psta]k\.eyJ[\w-]{10,}(?:\.[\w-]{10,})?|xoxe\.xox[a-z]-[\w-]{16,}|"
    r"00D[0-9A-Za-z]{12,15}![0-9A-Za-z._]{60,}|v1\.0-[0-9a-f]{24}-[0-9a-f]{99,}|sl\.(?:u\.)?[\w-]{100,}|[ps]at\.[\w-]{22}\.[0-9a-f]{24}\.[0-9A-Za-z]{20}|hawk\.[\w-]{20}\.[\w-]{20}|"
    r"t1\.[\w-]{20,}={0,2}\.[\w-]{80,}={0,2}|v[1-4]\.(?:local|public)\.[\w-]{40,}|[0-2]/[0-9]{13,16}(?:/[0-9]{13,16})?:[0-9a-f]{32}|"
    r"(?:sc|ext|scauth|authress)_[0-9a-z]{5,30}\.[0-9a-z]{4,6}\.acc[_-][0-9a-z-]{10,32}\.[\w+/=-]{30,}|sha256~MIXED[\w-]{43}|"
    r"AQ\.Ab[\w-]{30,}|amzn\.mws\.UUID|[0-9]{1,17}\|MIXED[\w-]{27,48}(?![\w-])|[0-9a-f]{32}\.MIXED[0-9A-Za-z]{16}(?![\w.])".replace(
        "MIXED", _MIXED
    ).replace("UUID", _UUID),
    re.ASCII,
)
_JWT = re.compile(r"eyJ[0-9A-Za-z_-]{8,}\.{1,2}[0-9A-Za-z_-]{2,}(?:\.[0-9A-Za-z_-]*){0,3}")
_SHORT_HEADER, _LONGEST_HEADER = re.compile(r"(?<![0-9A-Za-z_-])eyJ[0-9A-Za-z_-]{8,16}\.$"), 21
_ENCODED_BEGIN, _ENCODED_HEAD, _BASE64 = "LS0tLS1CRUdJTi", 64, re.compile("[0-9A-Za-z+/]{64,}={0,2}")
"""``-----BEGIN``; and enough signs for the longest line that begins a private key."""
_TELEGRAM = re.compile(r"[0-9]{8,10}:[0-9A-Za-z_-]{35}(?![0-9A-Za-z_-])")
_LONGEST_LEAD, _ENOUGH = 64, 160
"""Characters before a word in which its key may begin, and from there on how many tell that it is one."""
_LED_COSTS = 3
"""Reading these takes as long as looking at so many other places."""


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
    token = _JWT.match(text.text, _header(text, start))
    if token:
        yield Span(token.start(), token.end(), "JWT")
        return
    if _is_encoded_key(text, start):
        whole = _BASE64.match(text.text, start)
        yield Span(start, whole.end() if whole else end, "PRIVATE_KEY")
        return
    if text.char(start - 1) in ".:!~|" or text.char(end) == "." or text.text.endswith("1//", 0, start):
        yield from _led_by_sign(text, start)
    word = text.lower[start:end]
    if any(stem in word for stem in _STEMS):
        yield from (Span(found.start(), found.end(), "API_KEY") for found in _CALLED.finditer(text.text, start, end))
    for found in _KEY.finditer(text.text, start, end + 1):
        if _is_made_up(found[0]) and not _is_none(found[0]):
            whole = _KEY.match(text.text, found.start()) or found  # some go on with signs that words do not have
            yield Span(found.start(), whole.end(), "API_KEY")


def _header(text: Text, start: int) -> int:
    """Where the token begins whose middle a word is, if its first part is shorter than words are that are looked at: ``{"alg":"none"}``."""
    found = _SHORT_HEADER.search(text.text[max(0, start - _LONGEST_HEADER) : start]) if text.char(start - 1) == "." else None
    return start - len(found[0]) if found else start


def _is_encoded_key(text: Text, start: int) -> bool:
    """Whether a private key in PEM, in base64 once more as Kubernetes keeps it, begins here; a certificate begins with the same signs."""
    head = text.text[start : start + _ENCODED_HEAD] if text.text.startswith(_ENCODED_BEGIN, start) else ""
    return _BASE64.fullmatch(head) is not None and bool(_BEGIN.match(binascii.a2b_base64(head).decode("latin-1")))


def _is_none(key: str) -> bool:
    return checks.is_placeholder(key) or checks.is_stand_in(key)


def _is_made_up(key: str) -> bool:
    """By chance, not by a person as ``hf_requiredCharacteristicTypes`` was: with digits, or with as many capitals as chance gives."""
    letters = [sign for sign in key[3:] if sign.isalpha()]
    return any(sign.isdigit() for sign in key) or sum(sign.isupper() for sign in letters) * 4 >= len(letters) > 0


def _led_by_sign(text: Text, start: int) -> Iterator[Span]:
    """A key whose prefix ends in a sign that words do not have; the long word is its middle."""
    text.budget.spend(_LED_COSTS)
    left = text.text[max(0, start - _LONGEST_LEAD) : start]
    lead = start - len(left) + len(left.rstrip("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz._-:/!~|"))
    for pattern in (_DOTTED_KEYS, _TELEGRAM):
        for found in pattern.finditer(text.text, lead, start + _ENOUGH):
            whole = pattern.match(text.text, found.start()) if found.start() <= start else None
            if whole and not _is_none(whole[0]):
                yield Span(whole.start(), whole.end(), "API_KEY")


_BEGIN = re.compile(r"-----BEGIN [0-9A-Z ]{0,40}PRIVATE KEY(?: BLOCK)?-----")
_BODY = re.compile(r"[0-9A-Za-z+/=\s:,.\\-]*")


def pem(text: Text, places: Iterable[tuple[int, int]]) -> Iterator[Span]:
    """Private keys from their first line to their last, or as far as a cut-off one reaches."""
    done = end = 0
    for start, _ in places:
        begin = _BEGIN.match(text.text, start) if start >= done else None
        if not begin:
            continue
        if 0 <= end < begin.end():  # looking again for one far ahead, or for none, would take quadratic time
            end = text.text.find("-----END ", begin.end())
        last = text.text.find("-----", end + 9, end + 80) if end >= 0 else -1
        done = last + 5 if last >= 0 else _cut_off(text, begin.end())
        yield Span(start, done, "PRIVATE_KEY")


def _cut_off(text: Text, start: int) -> int:
    """Where a private key without a last line ends."""
    body = _BODY.match(text.text, start)
    return body.end() if body else start


_HASH = re.compile(r"\$(?:2[abxy]?|1|5|6|7|8|y|gy|apr1|sha1|md5|argon2[a-z]{1,2}|pbkdf2[a-z0-9-]{0,10}|krb5[a-z]{2,8})\$[^\s\"'<>]{16,}")


def password_hashes(text: Text, places: Iterable[tuple[int, int]]) -> Iterator[Span]:
    """Hashes in the modular crypt format (https://passlib.readthedocs.io/en/stable/modular_crypt_format.html)."""
    done = 0
    for start, _ in places:
        found = _HASH.match(text.text, start) if start >= done else None
        if found:
            done = found.end()
            yield Span(start, found.end(), "PASSWORD")
