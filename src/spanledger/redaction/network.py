"""E-mail addresses, IP and MAC addresses, credentials in URLs, and IBANs: found at a sign in their middle or start, and read from there."""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import TYPE_CHECKING

from spanledger.interrupts import raised_by_handler
from spanledger.redaction import checks
from spanledger.redaction.text import Span, Text, among
from spanledger.redaction.view import LETTER, OPAQUE, SIGN

if TYPE_CHECKING:
    from collections.abc import Iterator

_ALNUM = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_LOCAL = _ALNUM + "._%+-'~!#$*/=?^{|}`" + LETTER
_LOCAL_EDGE = "._%+-'~!#$*/=?^{|}`"
_DOMAIN = re.compile(
    rf"(?:[0-9A-Za-z{LETTER}](?:[0-9A-Za-z{LETTER}-]{{0,61}}[0-9A-Za-z{LETTER}])?\.)+(?:[xX][nN]--[0-9A-Za-z-]{{2,59}}|[A-Za-z{LETTER}]{{2,24}})"
    r"|\[[0-9]{1,3}(?:\.[0-9]{1,3}){3}\]"
)
_PAYMENT_HANDLE = re.compile(
    r"(?:ok(?:sbi|icici|hdfcbank|axis)|upi|ybl|ibl|axl|paytm|apl|yapl|pt(?:sbi|axis|hdfc|yes)|sbi|icici|hdfcbank|axisbank|kotak|airtel|freecharge|ikwik)"
    r"(?![0-9A-Za-z.@_-])"
)
"""Of banks and apps that people in India are paid through: https://www.npci.org.in/what-we-do/upi/3rd-party-apps"""
_LONGEST_LOCAL, _LONGEST_DOMAIN = 64, 253
"""https://www.rfc-editor.org/rfc/rfc5321#section-4.5.3.1"""
_NOT_TLDS = among("png jpg jpeg gif svg webp js ts css json txt")
"""``icon@2x.png`` is a file."""
_SELDOM_TLDS = among("py md")
"""Paraguay's and Moldova's domains, if they are not right behind the ``@`` and a word, as in ``test@conftest.py``."""
_ROBOTS = frozenset({"git", "hg", "svn"})
"""User names of ``git@github.com:owner/name``."""


def email(text: Text, start: int, end: int) -> Iterator[Span]:
    """An address around the ``@`` at ``start``, or one for payments, which has no domain."""
    domain = _DOMAIN.match(text.text, end, end + _LONGEST_DOMAIN) or _PAYMENT_HANDLE.match(text.text, end)
    if not domain:
        return
    top = domain[0].rpartition(".")[2].lower()
    if top in _NOT_TLDS or (top in _SELDOM_TLDS and domain[0].count(".") == 1):
        return
    left = text.text[max(0, start - _LONGEST_LOCAL) : start]
    local = left[len(left.rstrip(_LOCAL)) :] or left[len(left.rstrip(SIGN)) :]
    local = re.split(r"[/=?{}|`]", local)[-1].lstrip(_LOCAL_EDGE)
    if local and local not in _ROBOTS:
        yield Span(start - len(local), domain.end(), "EMAIL")


_SPELLED_AFTER = re.compile(r" ?([a-z]{2,10})(?: dot ([a-z]{2,3}))?\b")
_SPELLED_WINDOW = 200


def spelled_email(text: Text, start: int, end: int) -> Iterator[Span]:
    """``jane at example dot com``, around the ``dot``."""
    before = text.lower[max(0, start - _SPELLED_WINDOW) : start]
    at = max(before.rfind(" at "), before.rfind("[at]"), before.rfind("(at)"))
    after = _SPELLED_AFTER.match(text.lower, end)
    if at < 0 or not after:
        return
    name_end = len(before[:at].rstrip(" "))
    name = len(before[:name_end].rstrip("abcdefghijklmnopqrstuvwxyz0123456789._+-"))
    if name < name_end and re.fullmatch(r"[\[( ]at[\]) ] ?[a-z0-9-]{1,40}(?: ?[\[( ]dot[\]) ] ?[a-z0-9-]{1,40})? ?", before[at:]):
        yield Span(start - len(before) + name, after.end(), "EMAIL")


_RANGE_BEFORE = re.compile(r"(?<![0-9A-Za-z._-])(?:[0-9]{1,3}\.){3}[0-9]{1,3}-$")
_RANGE_AFTER = re.compile(r"-(?:[0-9]{1,3}\.){3}[0-9]{1,3}(?![0-9A-Za-z._-])")
_LONGEST_RANGE = 18
"""``10.0.0.1-10.0.0.9``"""


def ipv4(text: Text, start: int, end: int) -> Iterator[Span]:
    """An address whose first dot is at ``start``; versions, longer dotted numbers and the addresses of every host are none."""
    left = text.text[max(0, start - 4) : start]
    size = len(left) - len(left.rstrip("0123456789"))
    begin = start - size
    before, after = text.char(begin - 1), text.char(end)
    if not 1 <= size <= 3 or before.isalnum() or before in "._" + LETTER:
        return
    if before == "-" and not _RANGE_BEFORE.search(text.text[max(0, begin - _LONGEST_RANGE) : begin]):
        return
    if (
        after.isalnum()
        or after in "_" + LETTER
        or (after in ".-" and text.char(end + 1).isalnum() and not _RANGE_AFTER.match(text.text, end))
    ):
        return
    if any(len(part) > 1 and part[0] == "0" or int(part) > 255 for part in text.text[begin:end].split(".")) or text.says_version(begin):  # noqa: RUF021
        return
    if before == "/" and text.char(begin - 2).isalpha() and text.text.endswith(".0.0", begin, end):
        return  # "Chrome/120.0.0.0"; no host has such an address
    yield Span(begin, _with_prefix(text, end), "IP")


_PREFIX = re.compile(r"/[0-9]{1,3}(?![0-9A-Za-z/]|\.[0-9])")


def _with_prefix(text: Text, end: int) -> int:
    """The end of ``10.0.0.0/8`` whose address ends at ``end``."""
    found = _PREFIX.match(text.text, end)
    return found.end() if found else end


_HEX_COLONS = "0123456789abcdefABCDEF:."
_LONGEST_IPV6 = 45
_MAC = re.compile(r"[0-9A-Fa-f]{2}(?:([:-])[0-9A-Fa-f]{2})(?:\1[0-9A-Fa-f]{2}){4}\Z")
_MAC_LENGTH = 17
_SHORT_IPV6 = 5
"""``x[::2]`` and ``a::b`` are code."""


def colons(text: Text, start: int, end: int) -> Iterator[Span]:
    """An IPv6 or MAC address around the two colons at ``start``."""
    left = text.text[max(0, start - _LONGEST_IPV6) : start]
    begin = start - len(left) + len(left.rstrip(_HEX_COLONS))
    right = text.text[end : end + _LONGEST_IPV6]
    stop = end + len(right) - len(right.lstrip(_HEX_COLONS))
    before, after = text.char(begin - 1), text.char(stop)
    if before.isalnum() or after.isalnum() or before in "_." + LETTER or after in "_" + LETTER:
        return
    value = text.text[begin:stop]
    trimmed = value.rstrip(".") if value.endswith("::") or not value.endswith(":") else value.rstrip(":.")
    if _MAC.match(trimmed):
        if trimmed.strip("0:"):
            yield Span(begin, begin + len(trimmed), "MAC")
    elif _is_ipv6(trimmed) and (_is_long_ipv6(trimmed) or text.says_host(begin) or _PREFIX.match(text.text, stop)):
        yield Span(begin, _with_prefix(text, begin + len(trimmed)), "IP")


def _is_long_ipv6(value: str) -> bool:
    return len(value) > _SHORT_IPV6 and not value.isalpha()


def _is_ipv6(value: str) -> bool:
    if value.count(":") < 2:
        return False
    try:
        ip_address(value)
    except ValueError as error:
        if raised_by_handler(error):
            raise
        return False
    return True


def dashes(text: Text, start: int, _: int) -> Iterator[Span]:
    """A MAC address written with dashes, whose first dash is at ``start``."""
    begin = start - 2
    value = text.text[max(0, begin) : begin + _MAC_LENGTH]
    before, after = text.char(begin - 1), text.char(begin + _MAC_LENGTH)
    if begin >= 0 and _MAC.match(value) and not before.isalnum() and not after.isalnum() and before not in "_-" and after not in "_-":
        yield Span(begin, begin + _MAC_LENGTH, "MAC")


def iban(text: Text, start: int, _: int) -> Iterator[Span]:
    """An IBAN at ``start``, whole or in groups of four; the country's length tells where it ends."""
    size = checks.IBAN_LENGTHS.get(text.text[start : start + 2].upper())
    before = text.char(start - 1)
    if size is None or before.isalnum() or before in "_" + LETTER:
        return
    signs = 0
    for index in range(start, min(len(text.text), start + size + size // 4 + 1)):
        signs += text.text[index] not in " -"
        if signs == size:
            after = text.char(index + 1)
            plain = text.text[start : index + 1].replace(" ", "").replace("-", "")
            if _is_one_case(plain) and not after.isalnum() and checks.is_iban(plain.upper()):
                yield Span(start, index + 1, "IBAN")
            return


_HEX = re.compile("[0-9a-f]+")


def _is_one_case(plain: str) -> bool:
    """Capitals as printed, or all small; then not what reads as hexadecimal, as ids do, unless only its country has letters."""
    return plain.isalnum() and (plain.isupper() or (plain.islower() and (plain[2:].isdigit() or not _HEX.fullmatch(plain))))


_USER = r"""([^\s/@:"'<>\\?#\[]*):"""
_LONE = r"""(?P<token>[^\s/@:"'<>\\?#]{16,})(?::(?:x-oauth-basic)?)?@"""
"""In the place of the user, with no password or with what GitHub wants for one, as told on
https://github.blog/news-insights/1270-easier-builds-and-deployments-using-git-over-https-and-oauth/."""
_CREDENTIALS = re.compile(rf"""{_USER}(?!x-oauth-basic@)(?P<password>[^\s/?"'<>]+)@|{_LONE}""")
_ODD_CREDENTIALS = re.compile(rf"""{_USER}(?![0-9]+[/?])(?P<password>[^\s/?@"'<>]+[/?][^\s@"'<>]{{0,256}})@""")
"""With ``/`` or ``?`` as they are in the password, where they should be escaped; digits before them are a port."""
_WEBHOOK = re.compile(
    r"(?:hooks\.slack(?:-gov)?\.com/(?:services|workflows|triggers)|(?:[0-9A-Za-z-]+\.)?(?:webhook\.)?office(?:365)?\.com/webhook[0-9A-Za-z]*|"
    r"(?:ptb\.|canary\.)?discord(?:app)?\.com/api/webhooks|chat\.googleapis\.com/v1/spaces|api\.telegram\.org/bot|hooks\.zapier\.com/hooks/catch|"
    r"[0-9A-Za-z-]+\.tines\.(?:com|io)/webhook|(?:[a-z]{1,10}\.)?thingsboard\.(?:cloud|io)/api/v1|hook\.[a-z]{2}[0-9]\.make\.com|"
    r"maker\.ifttt\.com/trigger|events\.pagerduty\.com/integration|webhook\.site)"
    r"/?([^\s\"'<>\\]{8,1000})"
)


_LONGEST_SCHEME = 12


def url(text: Text, start: int, end: int) -> Iterator[Span]:
    """``user:password@`` after the ``://`` at ``start``, or an address that is a secret itself (a webhook)."""
    found = _CREDENTIALS.match(text.text, end) or _ODD_CREDENTIALS.match(text.text, end)
    if found and not found[0].startswith(OPAQUE) and not checks.is_template(re.split("[/?]", found[found.lastgroup or 0])[0]):
        yield Span(end, found.end() - 1, "URL_CREDS")
    hook = _WEBHOOK.match(text.text, end)
    if hook:
        left = text.text[max(0, start - _LONGEST_SCHEME) : start]
        yield Span(start - len(left) + len(left.rstrip(_ALNUM)), hook.end(), "URL_CREDS")
