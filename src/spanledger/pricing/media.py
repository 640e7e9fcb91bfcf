"""How many input tokens an image, a recording, a film or a PDF costs, judged from its first bytes. Leans upwards.

Image rules: https://platform.openai.com/docs/guides/images-vision#calculating-costs,
https://platform.claude.com/docs/en/build-with-claude/vision, https://ai.google.dev/gemini-api/docs/tokens.
"""

from __future__ import annotations

import binascii
import re
from dataclasses import dataclass
from math import ceil
from typing import NamedTuple

from spanledger.pricing import tokens
from spanledger.pricing.names import FAMILY_CLAUDE, FAMILY_CLAUDE_NEW, FAMILY_GEMINI, FAMILY_OPENAI

UNKNOWN_FILE = 2_000
"""Tokens of a file known only by its id or address: a full-HD picture, or two pages of a PDF."""

_UNKNOWN_SIZE = (1920, 1080)
_HEAD, _LOOKED_AT = 4_096, 512
ENOUGH = 131_072
"""How much of a file is looked at: a JPEG's size may come after 64 kB of EXIF data, a PDF's pages anywhere."""

_AUDIO_FRAME = 80  # tokens any recording costs, seen in recorded calls
_AUDIO_PER_SECOND = {FAMILY_OPENAI: 10, FAMILY_GEMINI: 32}
_AUDIO_BYTES_PER_SECOND = 8_000  # 64 kbit/s: most compressed speech is above it
_VIDEO_BYTES_PER_TOKEN = 200  # 300 tokens a second at 0.5 Mbit/s
_PDF_PAGE = {FAMILY_CLAUDE: 3_500, FAMILY_CLAUDE_NEW: 4_000, FAMILY_OPENAI: 1_100}
_PDF_BYTES_PER_PAGE, _MOST_PAGES = 30_000, 1_000
_PACKED_BYTES_PER_TOKEN, _MOST_PACKED = 10, 20_000  # office documents: text shrinks to a fourth of its size, pictures do not
_TEXT_MARGIN = 1_400  # thousandths

_DATA_URL = re.compile(r"data:[\w.+-]{1,99}/[\w.+-]{1,99}(?:;[\w=.\"-]{1,99}){0,9},")
_NOT_BASE64 = re.compile(r"[^A-Za-z0-9+/_=\r\n-]")
_NOT_TEXT = re.compile(r"[\x00-\x08\x0e-\x1f\ufffd]")

_MAGIC = {
    b"\x89PNG": "image",
    b"\xff\xd8\xff": "image",
    b"GIF8": "image",
    b"%PDF": "pdf",
    b"ID3": "audio",
    b"OggS": "audio",
    b"fLaC": "audio",
    b"\x1aE\xdf\xa3": "video",
    b"PK\x03\x04": "packed",
}


_GEMINI_LARGEST = 3_072  # pixels; what is larger is scaled down


@dataclass(frozen=True, slots=True)
class Viewer:
    """Who looks at a file: a tokenizer family (see ``names``), the model's name, and OpenAI's ``detail``: ``low``, ``high`` or ``auto``."""

    family: str
    model: str
    detail: str | None = None


class _Tiles(NamedTuple):
    """A fixed part, and so much per tile of 512 pixels, after scaling to 2048 by 2048 and the short side to 768."""

    base: int
    tile: int


class _Patches(NamedTuple):
    """So much per patch of 32 pixels, up to a number of patches."""

    patch: float
    most: int


_OPENAI_NEW = _Patches(1.2, 10_000)
_OPENAI: tuple[tuple[str, _Tiles | _Patches], ...] = (
    ("gpt-4o-mini", _Tiles(2833, 5667)),
    ("gpt-4.1-mini", _Patches(1.62, 1536)),
    ("gpt-4.1-nano", _Patches(2.46, 1536)),
    ("gpt-4", _Tiles(85, 170)),
    ("chatgpt-4o", _Tiles(85, 170)),
    ("o4-mini", _Patches(1.72, 1536)),
    ("o", _Tiles(75, 150)),
    ("gpt-5-mini", _Patches(1.62, 1536)),
    ("gpt-5-nano", _Patches(2.46, 1536)),
    ("gpt-5.", _OPENAI_NEW),
    ("gpt-5", _Tiles(70, 140)),
    ("computer-use", _Tiles(65, 129)),
    ("", _OPENAI_NEW),
)
"""Rules by the beginning of the model's name; the first match holds."""


def from_base64(text: str, viewer: Viewer) -> int | None:
    """Tokens of a file given as base64, with or without ``data:...;base64,``; None if this is no such file.

    At most 128 kB of it are decoded.
    """
    url = _DATA_URL.match(text) if text.startswith("data:") else None
    start = url.end() if url else 0
    if _NOT_BASE64.search(text, start, start + _LOOKED_AT):
        return None
    head = _decode(text, start, _HEAD)
    kind = _kind(head)
    if kind is None and not start:
        return None
    if kind in {None, "pdf"} or (kind == "image" and _size(head) is None):
        head = _decode(text, start, ENOUGH)
    if kind is None and not _is_text(head):
        return UNKNOWN_FILE
    return _tokens(kind, head, (len(text) - start) * 3 // 4, viewer)


def from_bytes(head: bytes, length: int, viewer: Viewer) -> int:
    """Tokens of a file of ``length`` bytes that begins with ``head`` (``ENOUGH`` bytes do)."""
    return _tokens(_kind(head), head, length, viewer)


def image(size: tuple[int, int] | None, viewer: Viewer) -> int:
    """Tokens of an image of this width and height in pixels; of a full-HD one if the size is not known."""
    width, height = size or _UNKNOWN_SIZE
    if viewer.family == FAMILY_OPENAI:
        return _openai_image(width, height, viewer)
    if viewer.family == FAMILY_GEMINI:
        return _gemini_image(width, height, viewer.model)
    return min(ceil(width / 28) * ceil(height / 28), 1_600 if viewer.family == FAMILY_CLAUDE else 4_800) + 5


def _decode(text: str, start: int, length: int) -> bytes:
    chunk = text[start : start + length].replace("-", "+").replace("_", "/")
    try:
        return binascii.a2b_base64(chunk[: len(chunk) // 4 * 4])
    except (ValueError, UnicodeError):
        return b""


def _kind(head: bytes) -> str | None:
    for magic, kind in _MAGIC.items():
        if head.startswith(magic):
            return kind
    if head[:4] == b"RIFF":
        return "image" if head[8:12] == b"WEBP" else "audio" if head[8:12] == b"WAVE" else "video"
    if head[4:8] == b"ftyp":
        return "audio" if head[8:11] == b"M4A" else "video"
    return "audio" if head[:1] == b"\xff" and head[1:2] >= b"\xe0" and head[2:3] < b"\xf0" else None  # an MPEG audio frame


def _tokens(kind: str | None, head: bytes, length: int, viewer: Viewer) -> int:
    family = viewer.family
    if kind == "image":
        return image(_size(head), viewer)
    if kind == "pdf":
        pages = head.count(b"/Type/Page") + head.count(b"/Type /Page") - head.count(b"/Type/Pages") - head.count(b"/Type /Pages")
        pages = max(pages * length // len(head), length // _PDF_BYTES_PER_PAGE, 1)
        return min(pages, _MOST_PAGES) * _PDF_PAGE.get(family, 1_500)
    if kind == "audio":
        rate = int.from_bytes(head[28:32], "little") if head[:4] == b"RIFF" else 0
        return _AUDIO_FRAME + length * _AUDIO_PER_SECOND.get(family, 32) // (rate or _AUDIO_BYTES_PER_SECOND)
    if kind == "video":
        return UNKNOWN_FILE + length // _VIDEO_BYTES_PER_TOKEN
    return _document(kind, head, length, family)


def _document(kind: str | None, head: bytes, length: int, family: str) -> int:
    """Office documents, text as a file, and whatever else, which is no more than ``UNKNOWN_FILE``."""
    if kind == "packed":
        return max(UNKNOWN_FILE, min(length // _PACKED_BYTES_PER_TOKEN, _MOST_PACKED))
    if _is_text(head):
        return tokens.count(head.decode("utf-8", "replace"), family) * length // max(1, len(head)) * _TEXT_MARGIN // 1_000_000
    return min(length // 3, UNKNOWN_FILE)


def _is_text(head: bytes) -> bool:
    start = head[:_HEAD].decode("utf-8", "replace")
    return bool(head) and not _NOT_TEXT.search(start, 0, len(start) - 1)  # the last character may have been cut


def _size(head: bytes) -> tuple[int, int] | None:
    """Width and height from the header of a PNG, GIF, WebP or JPEG; None if they are not there."""
    width = height = 0
    if head[:4] == b"\x89PNG":
        width, height = int.from_bytes(head[16:20], "big"), int.from_bytes(head[20:24], "big")
    elif head[:4] == b"GIF8":
        width, height = int.from_bytes(head[6:8], "little"), int.from_bytes(head[8:10], "little")
    elif head[8:12] == b"WEBP":
        width, height = _webp_size(head)
    elif head[:2] == b"\xff\xd8":
        width, height = _jpeg_size(head)
    return (width, height) if width and height else None


def _webp_size(head: bytes) -> tuple[int, int]:
    """https://developers.google.com/speed/webp/docs/riff_container: three layouts."""
    if head[12:16] == b"VP8X":
        return int.from_bytes(head[24:27], "little") + 1, int.from_bytes(head[27:30], "little") + 1
    if head[12:16] == b"VP8L":
        bits = int.from_bytes(head[21:25], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    return int.from_bytes(head[26:28], "little") & 0x3FFF, int.from_bytes(head[28:30], "little") & 0x3FFF


def _jpeg_size(head: bytes) -> tuple[int, int]:
    """Walks the segments to the frame header (SOF0-SOF15, but not DHT, JPG, DAC): https://www.w3.org/Graphics/JPEG/itu-t81.pdf B.2.2."""
    place = 2
    while place + 9 < len(head) and head[place] == 0xFF:
        marker = head[place + 1]
        if 0xC0 <= marker <= 0xCF and marker not in {0xC4, 0xC8, 0xCC}:
            return int.from_bytes(head[place + 7 : place + 9], "big"), int.from_bytes(head[place + 5 : place + 7], "big")
        place += 2 + int.from_bytes(head[place + 2 : place + 4], "big")
    return 0, 0


def _openai_image(width: int, height: int, viewer: Viewer) -> int:
    low = viewer.detail == "low"
    rule = next(rule for prefix, rule in _OPENAI if viewer.model.startswith(prefix))
    if isinstance(rule, _Patches):
        patches = ceil(width / 32) * ceil(height / 32)
        return ceil(min(patches, 256 if low else rule.most) * rule.patch)
    if low:
        return rule.base
    scale = min(1, 2048 / max(width, height))
    scale *= min(1, 768 / (min(width, height) * scale))
    return rule.base + rule.tile * ceil(width * scale / 512) * ceil(height * scale / 512)


def _gemini_image(width: int, height: int, model: str) -> int:
    if "gemini-1" not in model and "gemini-2" not in model:
        return 1_120
    if max(width, height) <= 384:  # the documented limit of one tile
        return 258
    width, height = min(width, _GEMINI_LARGEST), min(height, _GEMINI_LARGEST)
    unit = max(256, min(768, int(min(width, height) / 1.5)))
    return 258 * ceil(width / unit) * ceil(height / unit)
