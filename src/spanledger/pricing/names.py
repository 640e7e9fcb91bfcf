"""What providers and models are called. Pure text; knows no price.

The same model is asked for as ``gpt-4o``, ``openai/gpt-4o``, ``gpt-4o-2024-08-06``, ``models/gemini-2.5-pro``,
``projects/p/locations/l/publishers/google/models/gemini-2.5-pro`` or an inference-profile ARN. ``candidates`` lists, best first, the names
under which a price may be found, and says which of them are guesses.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

_ALIASES = {
    "gcpgemini": "google",
    "gcpvertexai": "google",
    "gcpgenai": "google",
    "gemini": "google",
    "vertexai": "google",
    "vertexaibeta": "google",
    "googlegenai": "google",
    "googlevertexai": "google",
    "anthropicvertex": "google",
    "azureaiopenai": "azure",
    "azureaiinference": "azure",
    "azureopenai": "azure",
    "azureai": "azure",
    "awsbedrock": "aws",
    "bedrock": "aws",
    "bedrockconverse": "aws",
    "bedrockruntime": "aws",
    "amazonbedrock": "aws",
    "anthropicbedrock": "aws",
    "mistralai": "mistral",
    "moonshot": "moonshotai",
    "togetherai": "together",
    "fireworksai": "fireworks",
    "coherechat": "cohere",
    "perplexityai": "perplexity",
    "voyage": "voyageai",
    "zhipu": "zhipuai",
    "workersai": "cloudflare",
    "cloudflareworkersai": "cloudflare",
    "openairesponses": "openai",
    "githubmodels": "azure",
}
"""Provider names as the GenAI conventions, litellm, LangChain and others spell them -> genai-prices' id, both without punctuation."""

_GATEWAYS = frozenset({"", "litellm", "portkey", "helicone", "vercel", "vercelaigateway", "aigateway", "langchain", "unknown", "other"})
"""Names that say who forwards the call, not who bills it; the model's name has to tell that."""

_PASS_ON = frozenset({"openai", "openrouter"})
"""Providers whose client or API is often pointed at somebody else's models, which are then named ``maker/model``."""

_MAKERS = (
    (re.compile(r"^(gpt-|chatgpt-|o[1-9](-|$)|ft:gpt-|text-embedding-|whisper-1$|tts-1)"), "openai"),
    (re.compile(r"^claude"), "anthropic"),
    (re.compile(r"^gemini"), "google"),
    (re.compile(r"^grok"), "xai"),
    (re.compile(r"^deepseek-"), "deepseek"),
    (re.compile(r"^(mistral|ministral|magistral|codestral|devstral|pixtral)-"), "mistral"),
    (re.compile(r"^command-"), "cohere"),
)

_PATH = re.compile(r"^.*(?:\bmodels/|:foundation-model/|inference-profile/)", re.IGNORECASE)
_DATED = re.compile(r"(?:[-@](?:\d{4}-\d{2}-\d{2}|\d{8}|\d{2}-\d{4}|\d{2}-\d{2}|\d{4}|latest|default)|-v\d+:\d+)$", re.IGNORECASE)
_FINE_TUNED = re.compile(r"^ft:([^:]+):", re.IGNORECASE)
_ROUTED = re.compile(r":(?:nitro|floor|exacto|online|extended|thinking)$", re.IGNORECASE)
_CLAUDE = re.compile(r"claude-?(?:(?:[a-z]+)-)?v?(\d{1,2})(?:[-.](\d{1,2}))?(?!\d)", re.IGNORECASE)
_OPENAI = re.compile(r"gpt(?!-oss)|^o[1-9](?:-|$)|davinci|babbage|text-embedding-|codex", re.IGNORECASE)
_GPT = re.compile(r"gpt-(?!35)(\d+)(?:\.(\d+))?", re.IGNORECASE)  # gpt-35-turbo is Azure's GPT-3.5
_CLAUDE_NEW_TOKENIZER = (4, 7)
_WITHOUT_DOT = ("gpt-35-", "gpt-3.5-")
"""How Azure writes them: https://learn.microsoft.com/azure/ai-foundry/openai/concepts/models."""

FAMILY_OPENAI, FAMILY_CLAUDE, FAMILY_CLAUDE_NEW, FAMILY_GEMINI, FAMILY_DEFAULT = "openai", "claude", "claude-4.7", "gemini", "default"
_FAMILY_OF_PROVIDER = {"openai": FAMILY_OPENAI, "azure": FAMILY_OPENAI, "anthropic": FAMILY_CLAUDE_NEW, "google": FAMILY_GEMINI}


class Candidate(NamedTuple):
    """A name to look a price up under. ``provider`` is a ``provider_key``; ``exact`` is False if the name is a guess."""

    provider: str
    model: str
    exact: bool


def provider_key(provider: str) -> str:
    """One spelling per provider: lower case, letters and digits only, aliases resolved (``x_ai``, ``x-ai`` and ``xai`` are one)."""
    key = "".join(filter(str.isalnum, provider.lower()))
    return _ALIASES.get(key, key)


def candidates(provider: str, model: str, *, prefixed: bool = False) -> list[Candidate]:
    """Names under which the price of ``provider``'s ``model`` may be found, the most certain first, without repetitions.

    ``prefixed``: ``maker/model`` surely means that maker, whoever the provider is; gateways always speak so.
    """
    key = provider_key(provider)
    prefixed = prefixed or key in _GATEWAYS
    found: list[Candidate] = []
    for name, exact in spellings(model):
        found.append(Candidate(key, name, exact))
        maker, slash, rest = name.partition("/")
        certain = prefixed or provider_key(maker) == key
        if slash and (certain or key in _PASS_ON):
            found.append(Candidate(provider_key(maker), rest, exact and certain))
        elif key in _GATEWAYS:
            found.append(Candidate(_maker(name), name, exact))
    return sorted(dict.fromkeys(found), key=lambda candidate: not candidate.exact)


def split(candidates: list[Candidate]) -> tuple[list[Candidate], list[Candidate]]:
    """Names that surely mean the model, the undated ones of its snapshots included, and those that may mean another."""
    undated_too = {(found.provider, undated(found.model)) for found in candidates if found.exact}
    sure = [found for found in candidates if found.exact or (found.provider, found.model) in undated_too]
    return sure, [found for found in candidates if found not in sure]


def spellings(model: str) -> list[tuple[str, bool]]:
    """The model's name as given, without its resource path, and the undated or base name; each with whether it is exact.

    An undated name is a guess: providers may price a new snapshot differently, and a fine-tuned model costs more than its base.
    """
    name = model.strip()
    plain = _PATH.sub("", name)
    names = [(name, True), (plain, True), (plain.replace(*_WITHOUT_DOT, 1), True)]
    tuned = _FINE_TUNED.match(plain)
    base = tuned[1] if tuned else plain
    names += [(guess, False) for guess in (_ROUTED.sub("", plain), undated(plain), base, undated(base))]
    return list({spelling: (spelling, exact) for spelling, exact in reversed(names)}.values())[::-1]


def undated(model: str) -> str:
    """The name without the date or version that marks a snapshot: ``gpt-4o-2024-08-06`` -> ``gpt-4o``."""
    shorter = _DATED.sub("", model)
    return _DATED.sub("", shorter) if shorter != model else model


def is_free(model: str) -> bool:
    """OpenRouter's and Azure's ``:free`` variants cost nothing, by definition: https://openrouter.ai/docs/faq."""
    return model.lower().endswith(":free")


def claude_version(model: str) -> tuple[int, int] | None:
    """``claude-sonnet-4-5-20250929`` -> (4, 5); None if this is no Claude or has no version."""
    match = _CLAUDE.search(model)
    return (int(match[1]), int(match[2] or 0)) if match else None


def gpt_version(model: str) -> tuple[int, int] | None:
    """``gpt-5.4-mini`` -> (5, 4); None if this is no GPT or has no version."""
    match = _GPT.search(model)
    return (int(match[1]), int(match[2] or 0)) if match else None


@lru_cache(maxsize=1024)
def family(provider: str, model: str | None) -> str:
    """The tokenizer family: one of the ``FAMILY_`` names. Claude 4.7 brought a new tokenizer, with about 30 % more tokens."""
    name = (model or "").lower()
    if "claude" in name:
        return FAMILY_CLAUDE if (claude_version(name) or (0, 0)) < _CLAUDE_NEW_TOKENIZER else FAMILY_CLAUDE_NEW
    if "gemini" in name or "gemma" in name:
        return FAMILY_GEMINI
    if _OPENAI.search(name):
        return FAMILY_OPENAI
    return _FAMILY_OF_PROVIDER.get(provider_key(provider), FAMILY_DEFAULT)


def _maker(model: str) -> str:
    return next((maker for pattern, maker in _MAKERS if pattern.match(model.lower())), "")
