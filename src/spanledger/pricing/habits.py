"""What models add to any request, how they see files, and what they do unasked."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from spanledger.pricing import extras, media, names
from spanledger.pricing.names import FAMILY_CLAUDE, FAMILY_CLAUDE_NEW, FAMILY_DEFAULT, FAMILY_GEMINI, FAMILY_OPENAI

if TYPE_CHECKING:
    from spanledger.model import Usage

_MICRO = 1_000_000

_MARGIN = {FAMILY_OPENAI: 1250, FAMILY_CLAUDE: 1300, FAMILY_CLAUDE_NEW: 1300, FAMILY_GEMINI: 1300, FAMILY_DEFAULT: 1400}
"""Thousandths by which an input estimate leans upwards, so that about 95 of 100 are not below the truth."""

_MESSAGE = {FAMILY_OPENAI: 4, FAMILY_CLAUDE: 7, FAMILY_CLAUDE_NEW: 8, FAMILY_GEMINI: 4, FAMILY_DEFAULT: 8}
_REQUEST = {FAMILY_OPENAI: 6, FAMILY_CLAUDE: 30, FAMILY_CLAUDE_NEW: 40, FAMILY_GEMINI: 6, FAMILY_DEFAULT: 32}
_TOOL = {FAMILY_OPENAI: 12, FAMILY_CLAUDE: 20, FAMILY_CLAUDE_NEW: 30, FAMILY_GEMINI: 12, FAMILY_DEFAULT: 30}
_TOOLS = {FAMILY_OPENAI: 20, FAMILY_CLAUDE: 550, FAMILY_CLAUDE_NEW: 700, FAMILY_GEMINI: 40, FAMILY_DEFAULT: 100}
_FORMAT = {FAMILY_CLAUDE: 150, FAMILY_CLAUDE_NEW: 200}
"""Tokens around each message, the request, each tool, all tools, and an output format (Claude has hidden prompts for the last three)."""

_HIDDEN = (("grok", 200, 250), ("gpt-oss", 70, 150), ("deepseek", 80, 250), ("llama-4", 20, 650), ("nova", 40, 550))
"""Hidden prompts of other models, by a part of their name: tokens of any request, and of one with tools, as seen in recorded calls."""


@dataclass(frozen=True, slots=True)
class Habits:
    """What a model adds to any request, in tokens, and how it sees files."""

    viewer: media.Viewer
    margin: int
    message: int
    request: int
    tool: int
    tools: int
    format: int
    caches: int = 0
    """Tokens from which on prompts are written to a cache unasked, and billed for it; 0 if they never are."""
    speaks: bool = False
    """Its answer may be speech, which costs more than text."""
    special: bool = False
    """Either of these."""

    def total(self, milli: int, messages: int) -> int:
        """The estimate for texts of so many thousandths of tokens in so many messages."""
        return (milli * self.margin + _MICRO - 1) // _MICRO + messages * self.message + self.request

    def add_unasked(self, usage: Usage) -> None:
        """Takes the input as written to a cache, or the output as spoken, where the model does so."""
        if self.caches and (usage.input or 0) >= self.caches:
            usage.cache_write, usage.cache_write_1h = usage.input, None
        if self.speaks:
            usage.output_audio = usage.output


@lru_cache(maxsize=1024)
def habits_of(provider: str, model: str | None) -> Habits:
    """The habits of a provider's model. The arguments need not be strings; those without a hash need ``__wrapped__``."""
    family, name = family_of(provider, model), str(model or "").lower().rpartition("/")[2].removeprefix("openai.")
    hidden, hidden_tools = next(((plain, tools) for part, plain, tools in _HIDDEN if part in name), (0, 0))
    caches, speaks = _caches(provider, name), "audio" in name and family == FAMILY_OPENAI
    return Habits(
        media.Viewer(family, name), _MARGIN[family], _MESSAGE[family], _REQUEST[family] + hidden, _TOOL[family],
        _TOOLS[family] + hidden_tools, _FORMAT.get(family, 0), caches, speaks, bool(caches or speaks),
    )  # fmt: skip


def _caches(provider: str, name: str) -> int:
    """OpenAI caches prompts of at least 1,024 tokens; Bedrock shorter ones, too, as seen in recorded calls."""
    if not extras.cached_unasked(name):
        return 0
    return 1 if "bedrock" in str(provider) else 1_024


def family_of(provider: str, model: str | None) -> str:
    """``names.family``, for names that may not even be strings."""
    try:
        return names.family(provider, model)
    except Exception:  # noqa: BLE001  # see above
        return FAMILY_DEFAULT
