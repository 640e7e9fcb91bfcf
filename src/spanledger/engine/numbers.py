"""What a call used and what it cost, from what came back of it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from spanledger.engine.adapter import is_told
from spanledger.model import INVALID_RESPONSE, Activity, Cost, CostStatus, State, Usage
from spanledger.pricing.estimate import estimate_input, estimate_text
from spanledger.pricing.overrides import SOURCE as FILE
from spanledger.telemetry.semconv import FETCH_RESPONSE

if TYPE_CHECKING:
    from spanledger.engine.call import Call

_BEDROCK = "aws.bedrock"


def usage(call: Call, error: BaseException | None) -> Usage:
    """The usage of a call that was not told all of it."""
    request, response = call.request, call.response
    told = response.usage
    if told is not None:  # a stream cut short: what was told about the output was told too early
        told.output = max(told.output or 0, _text_tokens(call))
        told.state = State.ESTIMATED
        return told
    if request.operation == FETCH_RESPONSE or _turned_away(call, error):
        return Usage(state=State.UNKNOWN)
    in_background = not request.stream and response.status in ("queued", "in_progress")
    if not call.chunks or in_background:
        return _unseen(call)
    has_output = request.activity is not Activity.EMBEDDING
    return Usage(_input_tokens(call), _text_tokens(call) if has_output else None, state=State.ESTIMATED)


def _turned_away(call: Call, error: BaseException | None) -> bool:
    """The provider was never asked, or told an error and nothing else. See docs/decisions/0006-what-a-failed-call-costs.md."""
    response = call.response
    if error is not None and (is_told(error) or (not call.chunks and call.reader.turned_away(error))):
        return not response.text
    return response.error_type not in {None, INVALID_RESPONSE} and not response.text


def _unseen(call: Call) -> Usage:
    """Sent, but nothing came back: what was estimated before the call stands, as unknown."""
    estimate = call.entry.usage
    if estimate.input is None:
        estimate = Usage(_input_tokens(call))
    estimate.state = State.UNKNOWN
    return estimate


def _input_tokens(call: Call) -> int:
    estimate, request = call.entry.usage.input, call.request
    return estimate_input(request.content, request.provider, request.model) if estimate is None else estimate


def _text_tokens(call: Call) -> int:
    response, request = call.response, call.request
    return estimate_text(response.text, request.provider, response.model or request.model)


def cost(call: Call) -> Cost:
    """What the provider told, or the price of what was used."""
    response, entry = call.response, call.entry
    told = response.cost_nano_usd
    if told is not None and (response.complete or not call.request.stream):
        return Cost(told, CostStatus.EXACT, source="provider")
    asked, served = call.request.context, response.context
    context = {**asked, **served} if asked and served else served or asked
    book = call.runtime.book
    price = book.price(entry.provider, response.model or entry.model, entry.usage, when=entry.time, context=context)
    if response.model and response.model != entry.model and (price.nano_usd is None or entry.provider == _BEDROCK):
        asked_for = book.price(entry.provider, entry.model, entry.usage, when=entry.time, context=context)
        price = asked_for if price.nano_usd is None else _on_bedrock(call, asked_for, price)
    return price if told is None else _at_least(told, price)


def _on_bedrock(call: Call, asked: Cost, served: Cost) -> Cost:
    """The prices of the name asked for and of the name in the answer: which of them holds on Bedrock.

    Only the former says whether the call may run anywhere (``global.``) or in a region, for 10 % more
    (https://platform.claude.com/docs/en/about-claude/pricing). It does not where it is the ARN of an inference profile of one's own, or
    where another model answered. A price in a file is for the name it is given for.
    """
    name, answered = call.entry.model or "", call.response.model or ""
    if served.source == FILE or name in answered:
        return served
    if answered in name and asked.nano_usd is not None:
        return asked
    return replace(served, status=CostStatus.ESTIMATED) if served.status is CostStatus.EXACT else served


def _at_least(told: int, price: Cost) -> Cost:
    """What a stream cost that was cut short. Perplexity tells with every chunk what the answer has cost so far, as seen in recorded calls;
    the price of the request itself, the largest part of it, is told with the last one."""
    return Cost(told, CostStatus.ESTIMATED, source="provider") if price.nano_usd is None or price.nano_usd < told else price
