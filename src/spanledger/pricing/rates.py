"""What one model costs at one time, as integers, and what a call costs at these rates.

A rate is in femto-USD (1e-15 USD) per token or per request, so that sums are exact: every token price in use has at most nine decimals of
a USD per million tokens. The few that do not (prices per second of audio) are Fractions. Rounding happens once, at the end.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import TYPE_CHECKING, NamedTuple

from spanledger.model import CostStatus, State

if TYPE_CHECKING:
    from collections.abc import Mapping

    from spanledger.model import Usage

Amount = int | Fraction

FEMTO = 10**15
_NANO = 10**6  # femto-USD per nano-USD
_HALF = _NANO // 2
_EXACT, _ESTIMATED, _PARTIAL = range(3)
_STATUS = (CostStatus.EXACT, CostStatus.ESTIMATED, CostStatus.PARTIAL)
_NO_TOOLS = (None, _EXACT)
_TOLD, _GUESSED = State.EXACT, CostStatus.ESTIMATED  # see docs/decisions/0010-straight-lines-on-the-hot-path.md

_TOOL_UNITS = {
    "web_search": "web_searches",
    "web_search_preview": "web_searches",
    "web_search_requests": "web_searches",
    "google_search": "web_searches",
    "x_search": "social_searches",
    "file_search": "storage_searches",
    "code_execution": "code_executions",
    "code_interpreter": "code_executions",
    "rerank": "rerank_searches",
    "search_units": "rerank_searches",
}
"""Names of provider tools -> the unit genai-prices bills them in."""

_FREE_TOOLS = frozenset({"web_fetch", "web_fetch_requests"})
"""No charge beyond tokens: https://platform.claude.com/docs/en/agents-and-tools/tool-use/web-fetch-tool."""


def tool_unit(name: str) -> str:
    """The unit a tool is billed in; a name we do not know is taken as that of a unit."""
    return _TOOL_UNITS.get(name, name)


class Rate(NamedTuple):
    """Femto-USD per token. ``input`` and ``output`` are None if the model has no such price; the parts are then 0 and unused.

    A part without a price of its own costs what its total costs, as genai-prices does. ``own_*`` tell whether audio (and generated
    images) have one: they never cost what text costs, so billing them as text is not the whole truth; and whether writing to a cache for
    longer has one where writing has a price.
    """

    input: Amount | None
    output: Amount | None
    cache_read: Amount
    cache_write: Amount
    cache_write_1h: Amount
    reasoning: Amount
    input_audio: Amount
    cache_read_audio: Amount
    input_image: Amount
    cache_read_image: Amount
    output_audio: Amount
    output_image: Amount
    own_input_audio: bool
    own_output_audio: bool
    own_output_image: bool
    own_cache_write_1h: bool


@dataclass(frozen=True, slots=True)
class Flat:
    """All that an ordinary call needs of its model's rates: one whose text, in and out, costs the same however much it is.

    Femto-USD per token of the totals, and what a token that is read from the cache, or goes into reasoning, costs more (or less).
    """

    input: Amount
    output: Amount
    cache_read: Amount
    reasoning: Amount
    status: CostStatus
    """Of usage that is exact."""


@dataclass(frozen=True, slots=True)
class Rates:
    """All rates of one model in one context, valid for ``since <= time < until``, and where they come from."""

    rate: Rate
    source: str | None = None
    version: str | None = None
    model: str | None = None
    effective_from: str | None = None
    exact: bool = True
    """False if the name was a guess or the context asked for (a service tier ...) has no price of its own."""
    tiers: tuple[tuple[int, Rate], ...] = ()
    """Rates for all tokens of a call whose input exceeds the threshold, ascending."""
    per_request: Mapping[str, Amount] = field(default_factory=dict)
    """Femto-USD per unit of what is not tokens: ``web_searches``, ``audio_seconds``, ``input_document_pages`` ..."""
    per_call: Amount | None = None
    partial: bool = False
    """Each call costs something on top, for which there is no price."""
    since: float = float("-inf")
    until: float = float("inf")
    flat: Flat | None = None
    """Set by ``flatten``, for ``charge`` to take its short way where it can."""


def rate(own: Mapping[str, Fraction]) -> Rate:
    """A Rate from prices in USD per token, keyed by the names of ``Usage``'s fields; parts without a price get their total's."""
    price = {name: whole(value * FEMTO) for name, value in own.items()}
    text_in, text_out = price.get("input", 0), price.get("output", 0)
    read, write = price.get("cache_read", text_in), price.get("cache_write", text_in)
    audio_in, image_in = price.get("input_audio", text_in), price.get("input_image", text_in)
    return Rate(
        input=price.get("input"),
        output=price.get("output"),
        cache_read=read,
        cache_write=write,
        cache_write_1h=price.get("cache_write_1h", write),
        reasoning=price.get("reasoning", text_out),
        input_audio=audio_in,
        cache_read_audio=price.get("cache_read_audio", audio_in if "input_audio" in own else read),
        input_image=image_in,
        cache_read_image=price.get("cache_read_image", image_in if "input_image" in own else read),
        output_audio=price.get("output_audio", text_out),
        output_image=price.get("output_image", text_out),
        own_input_audio="input_audio" in own,
        own_output_audio="output_audio" in own,
        own_output_image="output_image" in own,
        own_cache_write_1h="cache_write_1h" in own or "cache_write" not in own,
    )


def whole(value: Fraction) -> Amount:
    """An int where the value is one: int arithmetic is ten times faster."""
    return value.numerator if value.denominator == 1 else value


UNPRICED = Rates(rate({}))
FREE = rate(dict.fromkeys(("input", "output", "input_audio", "output_audio", "output_image"), Fraction()))


def charge(rates: Rates, usage: Usage) -> tuple[int | None, CostStatus]:
    """What ``usage`` costs in nano-USD, rounded half up, and how far that can be trusted. None if nothing of it has a price.

    Impossible numbers (negative, a part larger than its total) are cut to fit and make the cost an estimate.
    """
    flat = rates.flat
    total_in = usage.input
    total_out = usage.output
    read = usage.cache_read or 0
    reasoning = usage.reasoning or 0
    if (  # anything but plain text; nearly all calls are only that, and pass this in a few straight lines
        flat is None or total_in is None or total_out is None or usage.tools or usage.clamped or usage.cache_write or usage.cache_write_1h
        or usage.input_audio or usage.input_image or usage.output_audio or usage.output_image
        or not (0 <= read <= total_in and 0 <= reasoning <= total_out)
    ):  # fmt: skip
        return _charge(rates, usage)
    femto = total_in * flat.input + total_out * flat.output + read * flat.cache_read + reasoning * flat.reasoning
    return (femto + _HALF) // _NANO, flat.status if usage.state is _TOLD else _GUESSED


def flatten(rates: Rates) -> Rates:
    """The same rates with ``flat`` set, unless a side has no price, prices depend on the size, or a call as such costs something."""
    rate = rates.rate
    if rate.input is None or rate.output is None or rates.tiers or rates.per_call is not None or rates.partial:
        return rates
    status = CostStatus.EXACT if rates.exact else CostStatus.ESTIMATED
    return replace(rates, flat=Flat(rate.input, rate.output, rate.cache_read - rate.input, rate.reasoning - rate.output, status))


def _charge(rates: Rates, usage: Usage) -> tuple[int | None, CostStatus]:
    """``charge``, for any rates and usage."""
    rate, sure = _by_size(rates, usage) if rates.tiers else (rates.rate, True)
    flaw = _EXACT if sure and rates.exact and usage.state is _TOLD and not usage.clamped else _ESTIMATED
    input_amount, input_flaw = _input(rate, usage)
    output_amount, output_flaw = _output(rate, usage)
    tools_amount, tools_flaw = _tools(rates, usage) if usage.tools or rates.per_call is not None else _NO_TOOLS
    if input_amount is None and output_amount is None and tools_amount is None:
        return None, CostStatus.UNPRICED
    total = (input_amount or 0) + (output_amount or 0) + (tools_amount or 0)
    if input_flaw or output_flaw or tools_flaw or rates.partial:
        flaw = _PARTIAL if rates.partial else max(flaw, input_flaw, output_flaw, tools_flaw)
    return (total + _HALF) // _NANO, _STATUS[flaw]


def _by_size(rates: Rates, usage: Usage) -> tuple[Rate, bool]:
    """The rate for prompts of that size, and whether they surely have it.

    Between its calls of a provider's tools a model is sent the prompt again, longer each time, and the input sums these prompts: no more
    than the tools were used, and one. If they are long on average, one is for sure; else the plain price is the likely one.
    What is estimated before a call leans upwards.
    """
    total = usage.input or 0
    prompts = 1 + sum(usage.tools.values()) if usage.tools and usage.state is _TOLD else 1
    rate = _reached(rates, total / max(prompts, 1))
    return rate, prompts == 1 or rate is _reached(rates, total)


def _reached(rates: Rates, size: float) -> Rate:
    rate = rates.rate
    for threshold, tier in rates.tiers:
        if size > threshold:
            rate = tier
    return rate


def _input(rate: Rate, usage: Usage) -> tuple[Amount | None, int]:
    total, price = usage.input, rate.input
    if total is None:
        return None, _PARTIAL if price else _EXACT
    if price is None:
        return None, _PARTIAL if total else _EXACT
    if total >= 0 and not (usage.cache_read or usage.cache_write or usage.cache_write_1h or usage.input_audio or usage.input_image):
        return total * price, _EXACT
    read, write, hour = usage.cache_read or 0, usage.cache_write or 0, usage.cache_write_1h or 0
    fresh, flaw = total - read - write - hour, _EXACT
    if fresh < 0 or read < 0 or write < 0 or hour < 0:
        (fresh, hour, write, read), flaw = _fit(total, hour, write, read), _ESTIMATED
    if hour and not rate.own_cache_write_1h:
        flaw = _ESTIMATED
    amount = fresh * price + read * rate.cache_read + write * rate.cache_write + hour * rate.cache_write_1h
    if usage.input_audio or usage.input_image:
        extra, modal_flaw = _input_modalities(rate, usage, fresh, read)
        return amount + extra, max(flaw, modal_flaw)
    return amount, flaw


def _output(rate: Rate, usage: Usage) -> tuple[Amount | None, int]:
    total, price = usage.output, rate.output
    if total is None:
        return None, _PARTIAL if price else _EXACT
    if price is None:
        return None, _PARTIAL if total else _EXACT
    if total >= 0 and not (usage.reasoning or usage.output_audio or usage.output_image):
        return total * price, _EXACT
    reasoning, audio, image = usage.reasoning or 0, usage.output_audio or 0, usage.output_image or 0
    text, flaw = total - reasoning - audio - image, _EXACT
    if text < 0 or reasoning < 0 or audio < 0 or image < 0:
        (text, audio, image, reasoning), flaw = _fit(total, audio, image, reasoning), _ESTIMATED
    if (audio and not rate.own_output_audio) or (image and not rate.own_output_image):
        flaw = _PARTIAL
    return text * price + reasoning * rate.reasoning + audio * rate.output_audio + image * rate.output_image, flaw


def _input_modalities(rate: Rate, usage: Usage, fresh: int, read: int) -> tuple[Amount, int]:
    """What audio and image tokens cost beyond what they cost as text, given the fresh and cached tokens of all modalities."""
    audio_new, audio_read = rate.input_audio - (rate.input or 0), rate.cache_read_audio - rate.cache_read
    image_new, image_read = rate.input_image - (rate.input or 0), rate.cache_read_image - rate.cache_read
    audio, cached_audio, audio_flaw = _split(usage.input_audio, usage.cache_read_audio, fresh, read, audio_read - audio_new)
    fresh, read = fresh - audio, read - cached_audio
    image, cached_image, image_flaw = _split(usage.input_image, usage.cache_read_image, fresh, read, image_read - image_new)
    flaw = _PARTIAL if usage.input_audio and not rate.own_input_audio else max(audio_flaw, image_flaw)
    return audio * audio_new + cached_audio * audio_read + image * image_new + cached_image * image_read, flaw


def _split(total: int | None, cached: int | None, fresh: int, read: int, difference: Amount) -> tuple[int, int, int]:
    """Fresh and cached tokens of one modality, and the flaw of that split.

    If the provider does not tell how many of them were read from the cache, the dearer of the possible splits is taken;
    ``difference`` is what a token costs more when it is one of the cached.
    """
    total = min(max(total or 0, 0), fresh + read)
    least, most = max(0, total - fresh), min(total, read)
    if cached is None:
        cached = most if difference > 0 else least
        return total - cached, cached, _EXACT if least == most or not difference else _ESTIMATED
    fitted = min(max(cached, least), most)
    return total - fitted, fitted, _EXACT if fitted == cached else _ESTIMATED


def _fit(total: int, *parts: int) -> tuple[int, ...]:
    """What is left of the total, then the parts, cut from the last on so that none is negative and together they do not exceed it."""
    left = max(total, 0)
    kept = []
    for part in parts:
        kept.append(min(max(part, 0), left))
        left -= kept[-1]
    return (left, *kept)


def _tools(rates: Rates, usage: Usage) -> tuple[Amount | None, int]:
    amount, flaw = rates.per_call, _EXACT
    for name, count in (usage.tools or {}).items():
        price = rates.per_request.get(name, rates.per_request.get(tool_unit(name)))
        if price is not None:
            amount = (amount or 0) + price * max(count, 0)
        elif count and name not in _FREE_TOOLS:
            flaw = _PARTIAL
    return amount, flaw
