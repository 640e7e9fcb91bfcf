"""The values that the parts hand each other. No I/O, no OpenTelemetry, no SDK.

Money is an integer of nano-USD (1e-9 USD) everywhere; times are seconds since the epoch (UTC) as float.
``None`` always means "not known", never zero.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping


class Activity(StrEnum):
    """What kind of work a call is; the dimension of all reconciliation views."""

    LLM = "llm"
    EMBEDDING = "embedding"
    MEMORY = "memory"
    CLASSIFICATION = "classification"
    PLUGIN = "plugin"


class State(StrEnum):
    """How much a usage number can be trusted: told by the provider, computed by us, or not known."""

    EXACT = "exact"
    ESTIMATED = "estimated"
    UNKNOWN = "unknown"


class CostStatus(StrEnum):
    """``partial``: some of the usage has no price. ``unpriced``: none has; there is no amount then."""

    EXACT = "exact"
    ESTIMATED = "estimated"
    PARTIAL = "partial"
    UNPRICED = "unpriced"


class Unit(StrEnum):
    """What a budget counts: nano-USD, tokens, or calls."""

    USD = "usd"
    TOKENS = "tokens"
    CALLS = "calls"


@dataclass(slots=True)
class Usage:
    """Tokens of one call, in the sense of the GenAI conventions: ``input`` and ``output`` are inclusive totals.

    The parts are disjoint among themselves within one side except audio and image, which are modalities of the total: ``cache_read``,
    ``cache_write`` (default lifetime, 5 minutes at Anthropic) and ``cache_write_1h`` (the longer one, 12 hours at OpenAI) are parts of
    ``input``; ``reasoning`` is a part of ``output``; ``input_audio``/``input_image``/``output_audio``/``output_image`` are parts of their
    totals, ``cache_read_audio``/``cache_read_image`` parts of ``cache_read``. ``tools`` counts what is billed per request
    (``{"web_search": 2}``). ``clamped`` is set when the provider's numbers were impossible (a part larger than its total) and were cut to
    fit. ``delegated`` says, for a tool of ``tools`` that worked with another model, what it used of that; it is no part of ``input`` and
    ``output``, goes into the cost only; ledgers need not keep it. ``parts`` says, where the totals sum several prompts, what each of them
    used, so that each is priced by its size and its model; ledgers need not keep that either.
    """

    input: int | None = None
    output: int | None = None
    cache_read: int | None = None
    cache_write: int | None = None
    cache_write_1h: int | None = None
    reasoning: int | None = None
    input_audio: int | None = None
    output_audio: int | None = None
    input_image: int | None = None
    output_image: int | None = None
    cache_read_audio: int | None = None
    cache_read_image: int | None = None
    tools: dict[str, int] | None = None
    state: State = State.EXACT
    clamped: bool = False
    delegated: dict[str, Delegated] | None = None
    parts: list[Part] | None = None

    @property
    def total(self) -> int:
        """Input plus output tokens; what a budget in tokens counts."""
        return (self.input or 0) + (self.output or 0)


class Delegated(NamedTuple):
    """What a tool used of another model than the one that called it: its calls are billed as tokens of that model."""

    model: str
    usage: Usage


class Part(NamedTuple):
    """What one of several prompts of a call used."""

    model: str | None
    """The model that it was sent to, if not that of the call."""
    usage: Usage


@dataclass(slots=True)
class Cost:
    """What a call cost and where the price came from. ``nano_usd`` is None exactly when ``status`` is unpriced."""

    nano_usd: int | None
    status: CostStatus
    source: str | None = None
    """``genai-prices``, ``file`` (an override), ``provider`` (told in the response) or ``plugin``."""
    version: str | None = None
    """Version of the source: a package version, or a hash of the override file."""
    model: str | None = None
    """The name the price was found under, as ``provider/model``."""
    effective_from: str | None = None
    """ISO date from which the price row is valid, if it is dated."""


@dataclass(slots=True)
class Request:
    """What is being asked of a provider, read from the arguments of an SDK call before it runs."""

    operation: str
    """A ``gen_ai.operation.name``: chat, text_completion, embeddings, execute_tool, fetch_response ..."""
    activity: Activity
    provider: str
    """A ``gen_ai.provider.name``."""
    model: str | None = None
    stream: bool = False
    max_output: int | None = None
    """The request's own bound on output tokens, reasoning included; None if it sets none."""
    choices: int = 1
    server_address: str | None = None
    server_port: int | None = None
    params: dict[str, Any] = field(default_factory=dict)
    """Request parameters (temperature, ...) as attributes, by the names and of the types of the conventions; only what was sent."""
    content: Any = None
    """The raw arguments that become input tokens (messages, tools, system), for estimating; never copied or recorded."""
    context: dict[str, str] | None = None
    """What the price depends on besides the model: ``service_tier``, ``batch``, ``speed``, ``inference_geo``, ``data_residency``."""
    tool_name: str | None = None
    charge: tuple[Usage, Cost] | None = None
    """What the call costs where that is known beforehand (a plugin's price per call)."""
    ask_usage: bool = False
    """We asked the provider for a usage chunk that the application did not ask for; it must not see it."""
    continues: str | None = None
    """Id of the response that this request goes on with: the provider keeps all that was said until then, and bills it as input."""


INVALID_RESPONSE = "invalid_response"
"""``error_type`` of an answer that cannot be read. The provider may have worked on the call: it told no error."""


class Called(str):
    """The name of a tool that the model calls, among the pieces of what it wrote."""

    __slots__ = ()


@dataclass(init=False, slots=True)
class Response:
    """What came back, folded from one result or from the chunks of a stream."""

    id: str | None = None
    model: str | None = None
    usage: Usage | None = None
    finish_reasons: list[str] = field(default_factory=list)
    text: list[str] = field(default_factory=list)
    """Pieces of generated text (answers, reasoning, tool arguments) as they arrived; output is estimated from them if usage is missing."""
    context: dict[str, str] | None = None
    """Price context as the provider reports it (the tier really served); wins over the request's."""
    cost_nano_usd: int | None = None
    """Cost as told by the provider itself, if it does (OpenRouter)."""
    fingerprint: str | None = None
    status: str | None = None
    """Lifecycle status of an OpenAI response: completed, incomplete, failed, in_progress, queued, cancelled."""
    error_type: str | None = None
    """Set when the provider reports a failure inside a successful HTTP answer."""
    output: list[dict[str, Any]] | None = None
    """Output messages in the conventions' JSON form; filled only when content is captured."""
    complete: bool = False
    """The provider's own end marker was seen (or the result was not a stream)."""
    told: dict[str, Any] | None = field(default=None, compare=False)
    """The provider's own fields that the usage was read from, for adapters that get them in several events."""

    def __init__(self, output: list[dict[str, Any]] | None = None) -> None:
        """Nothing is known until something comes back."""
        self.id = self.model = self.usage = self.context = self.cost_nano_usd = self.fingerprint = self.status = self.error_type = None
        self.told = None
        self.finish_reasons, self.text, self.output, self.complete = [], [], output, False


@dataclass(slots=True)
class Hold:
    """One budget account that a call is booked to, as its rule describes it now."""

    account: str
    """Unique id: budget name, scope values and window start."""
    budget: str
    scope: str
    """For people: ``"customer=acme"``, empty for everybody."""
    unit: Unit
    limit: int
    ends: float | None = None
    """When the window ends; None if the account is never reset; negative for the account of a run (see ``ledger.rules.idle_after``)."""
    blocking: bool = True
    """False for ``then warn``: never refuses."""
    tells_from: int = 0
    """The least spent amount at which there may be a threshold to tell."""


Charge = tuple[Hold, int]
"""What a call needs (reserve) or used (settle) of one budget account, in its unit. A plain tuple, because every call makes two."""


class Refusal(NamedTuple):
    """Why a reservation was not made: the first account that it did not fit, what was asked of it, and its state."""

    hold: Hold
    asked: int
    spent: int
    reserved: int
    reason: str = ""
    """What it was, where not that the amount does not fit."""


class Balance(NamedTuple):
    """The state of one budget account."""

    account: str
    budget: str
    scope: str
    unit: Unit
    limit: int
    spent: int
    reserved: int
    ends: float | None = None
    blocking: bool = True


@dataclass(slots=True)
class Entry:
    """One line of the books: one provider or plugin call. ``id`` is the idempotency key and is also on the span."""

    id: str
    time: float
    """When the call started."""
    activity: Activity
    provider: str
    operation: str
    model: str | None = None
    response_model: str | None = None
    response_id: str | None = None
    plugin: str | None = None
    trace_id: str | None = None
    span_id: str | None = None
    service: str | None = None
    workflow: str | None = None
    execution: str | None = None
    step: str | None = None
    attempt: int | None = None
    keys: Mapping[str, str] = field(default_factory=dict)
    """Scope keys: customer, user, agent, campaign, session and any other."""
    usage: Usage = field(default_factory=Usage)
    cost: Cost = field(default_factory=lambda: Cost(None, CostStatus.UNPRICED))
    duration: float | None = None
    """Seconds until the call ended, streams included."""
    time_to_first_chunk: float | None = None
    finish_reason: str | None = None
    error: str | None = None
    """``error.type``: class name or status; never a message (it may echo the prompt)."""
    superseded: bool = False
    """A later attempt of the same step replaced this one: consumed, but not billable."""

    def tokens_by_type(self) -> dict[str, int]:
        """Tokens in types that do not overlap; empty if the usage is unknown.

        ``input`` is what was not read from or written to a cache, ``output`` leaves out ``reasoning``, ``plugin`` is a plugin call's
        tokens-equivalent.
        """
        usage = self.usage
        if usage.state is State.UNKNOWN:
            return {}
        if self.plugin is not None:
            return {"plugin": usage.total}
        read, reasoning = usage.cache_read or 0, usage.reasoning or 0
        written = (usage.cache_write or 0) + (usage.cache_write_1h or 0)
        return {
            "input": max(0, (usage.input or 0) - read - written),
            "cache_read": read,
            "cache_write": written,
            "output": max(0, (usage.output or 0) - reasoning),
            "reasoning": reasoning,
        }


@dataclass(slots=True)
class Execution:
    """One run of a workflow, recorded when it ends, however it ends."""

    id: str
    workflow: str
    started: float
    ended: float
    status: str
    """completed, failed, timeout or cancelled."""
    keys: Mapping[str, str] = field(default_factory=dict)
    totals: Mapping[str, ActivityTotal] = field(default_factory=dict)
    """By activity, what the process itself added up: consumed, not billable."""
    error: str | None = None


class Unsettled(NamedTuple):
    """Calls that a process had under way when it ended, until the next process that keeps these books settles them."""

    calls: int = 0
    nano_usd: int = 0
    """Their estimates, as far as they have a price."""


class ActivityTotal(NamedTuple):
    """Sums of one activity in one execution; of ``calls``, ``estimated`` are those whose usage is not exact."""

    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    nano_usd: int = 0
    unpriced: int = 0
    estimated: int = 0
    errors: int = 0
    seconds: float = 0.0


class AuditRecord(NamedTuple):
    """One line of the audit table: append-only, each record's hash covers the record before it."""

    sequence: int
    """From 1, without gaps."""
    time: float
    key: str
    """What makes it the same event: a second record with this key is not written."""
    text: str
    """The record itself, JSON without personal data."""
    previous: str
    """Hash of the record before; 64 zeros for the first."""
    hash: str
    """SHA-256, hexadecimal, of all the above (``ledger.chain.link``)."""


class BookSum(NamedTuple):
    """What a ledger was ever told, by service, activity and usage state; never falls, not even when entries are replaced or deleted."""

    service: str
    activity: str
    usage_state: str
    operations: int = 0
    nano_usd: int = 0
    input: int = 0
    cache_read: int = 0
    cache_write: int = 0
    output: int = 0
    reasoning: int = 0
    plugin: int = 0
    superseded_operations: int = 0
    superseded_tokens: int = 0
    superseded_nano_usd: int = 0


@dataclass(slots=True)
class Total:
    """One row of a report: sums over the entries that share ``group``.

    ``calls``..``nano_usd`` are consumed (all that providers did); ``billable_*`` leave out superseded attempts. Calls counted
    as ``unpriced`` have no amount and are in neither sum of money.
    """

    group: dict[str, str | None]
    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    nano_usd: int = 0
    billable_calls: int = 0
    billable_tokens: int = 0
    billable_nano_usd: int = 0
    unpriced: int = 0
    estimated: int = 0
    unknown: int = 0
    errors: int = 0
    seconds: float = 0.0
    billable_unpriced: int = 0
    unpriced_unknown: int = 0
    """Of ``unpriced``: calls that have no usage either (the provider turned them away), so that it is no price they lack."""
    cost_estimated: int = 0
    """The usage is exact, its price is not."""
    cost_partial: int = 0
