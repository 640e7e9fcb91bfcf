"""Every attribute, metric and event name, in one place; the only file that spells them.

Names follow the GenAI semantic conventions (https://github.com/open-telemetry/semantic-conventions-genai, all in development).
Two generations are known: ``DEFAULT``, what today's tools read (August 2026), and ``LATEST`` (October 2026, ``SPANLEDGER_SEMCONV=latest``).
What has no convention is ours, under ``spanledger.``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

# --- spans: what is asked
OPERATION = "gen_ai.operation.name"
PROVIDER = "gen_ai.provider.name"
REQUEST_MODEL = "gen_ai.request.model"
REQUEST_STREAM = "gen_ai.request.stream"
REQUEST_MAX_TOKENS = "gen_ai.request.max_tokens"
SERVER_ADDRESS = "server.address"
SERVER_PORT = "server.port"
ERROR_TYPE = "error.type"
CONVERSATION_ID = "gen_ai.conversation.id"
OPENAI_API_TYPE = "openai.api.type"

REQUEST_PARAMS: dict[str, tuple[str, type]] = {
    "temperature": ("gen_ai.request.temperature", float),
    "top_p": ("gen_ai.request.top_p", float),
    "top_k": ("gen_ai.request.top_k", int),
    "seed": ("gen_ai.request.seed", int),
    "frequency_penalty": ("gen_ai.request.frequency_penalty", float),
    "presence_penalty": ("gen_ai.request.presence_penalty", float),
    "stop_sequences": ("gen_ai.request.stop_sequences", list),
    "choice_count": ("gen_ai.request.choice.count", int),
    "output_type": ("gen_ai.output.type", str),
    "reasoning_level": ("gen_ai.request.reasoning.level", str),
    "previous_response_id": ("gen_ai.request.previous_response.id", str),
    "encoding_formats": ("gen_ai.request.encoding_formats", list),
    "dimension_count": ("gen_ai.embeddings.dimension.count", int),
    "conversation_id": (CONVERSATION_ID, str),
    "stream_cursor": ("gen_ai.request.stream_cursor", str),
    "service_tier": ("openai.request.service_tier", str),
    "own_service_tier": ("spanledger.request.service_tier", str),
}
"""Short name of a request parameter -> attribute and its type. The conventions name service tiers for OpenAI's format only."""

# --- spans: what came back
RESPONSE_ID = "gen_ai.response.id"
RESPONSE_MODEL = "gen_ai.response.model"
RESPONSE_STATUS = "gen_ai.response.status"
FINISH_REASONS = "gen_ai.response.finish_reasons"
TIME_TO_FIRST_CHUNK = "gen_ai.response.time_to_first_chunk"
OPENAI_FINGERPRINT = "openai.response.system_fingerprint"
INPUT_TOKENS = "gen_ai.usage.input_tokens"
OUTPUT_TOKENS = "gen_ai.usage.output_tokens"
CACHE_READ_TOKENS = "gen_ai.usage.cache_read.input_tokens"
REASONING_TOKENS = "gen_ai.usage.reasoning.output_tokens"
COST_AMOUNT = "gen_ai.usage.cost.amount"
"""Proposed for the conventions: https://github.com/open-telemetry/semantic-conventions-genai/pull/443."""
COST_CURRENCY = "gen_ai.usage.cost.currency"
USAGE_PREFIX = "gen_ai.usage."

# --- content, only when captured
INPUT_MESSAGES = "gen_ai.input.messages"
OUTPUT_MESSAGES = "gen_ai.output.messages"
SYSTEM_INSTRUCTIONS = "gen_ai.system_instructions"
TOOL_DEFINITIONS = "gen_ai.tool.definitions"
TOOL_ARGUMENTS = "gen_ai.tool.call.arguments"
TOOL_RESULT = "gen_ai.tool.call.result"
CONTENT = {
    "system_instructions": SYSTEM_INSTRUCTIONS,
    "input_messages": INPUT_MESSAGES,
    "output_messages": OUTPUT_MESSAGES,
    "tool_definitions": TOOL_DEFINITIONS,
    "tool_arguments": TOOL_ARGUMENTS,
    "tool_result": TOOL_RESULT,
}
"""Short name of captured content -> attribute."""

# --- tools, workflows
TOOL_NAME = "gen_ai.tool.name"
TOOL_TYPE = "gen_ai.tool.type"
WORKFLOW_NAME = "gen_ai.workflow.name"
INFERENCE = ("chat", "generate_content", "text_completion")
"""Operations that the conventions call inference; some metrics and events are for these alone."""
EXECUTE_TOOL = "execute_tool"
INVOKE_WORKFLOW = "invoke_workflow"
FETCH_RESPONSE = "fetch_response"

# --- ours
ENTRY_ID = "spanledger.entry.id"
ACTIVITY = "spanledger.activity"
COUNTED = "spanledger.counted"
CORRECTION = "spanledger.correction"
"""Set on a counted span that completes the numbers of an operation which another span counted already."""
SUPERSEDED = "spanledger.superseded"
"""On a call: its attempt was replaced before the call ended. As a prefix on a step: what the end of its attempt replaced, by activity."""
OUTCOME = "spanledger.outcome"
"""How a call ended: completed, error, cancelled, closed, caller_error, dropped, exit, refused."""
USAGE_STATE = "spanledger.usage.state"
USAGE_CLAMPED = "spanledger.usage.clamped"
CACHE_WRITE_1H = "spanledger.usage.cache_write_1h.input_tokens"
PLUGIN_TOKENS = "spanledger.plugin.tokens"
"""Tokens-equivalent of a plugin call."""
DURATION = "spanledger.duration"
TOOLS_USED = "spanledger.usage.tool_requests"
COST_NANO_USD = "spanledger.cost.nano_usd"
COST_STATUS = "spanledger.cost.status"
PRICE_SOURCE = "spanledger.price.source"
PRICE_VERSION = "spanledger.price.version"
PRICE_MODEL = "spanledger.price.model"
PRICE_EFFECTIVE = "spanledger.price.effective_from"
EXECUTION_ID = "spanledger.execution.id"
WORKFLOW_STATUS = "spanledger.workflow.status"
STEP_NAME = "spanledger.step.name"
STEP_ATTEMPT = "spanledger.step.attempt"
SCOPE_PREFIX = "spanledger.scope."
TOTALS_PREFIX = "spanledger.totals."
BUDGET_NAME = "spanledger.budget.name"
BUDGET_SCOPE = "spanledger.budget.scope"
BUDGET_UNIT = "spanledger.budget.unit"
BUDGET_LIMIT = "spanledger.budget.limit"
BUDGET_SPENT = "spanledger.budget.spent"
BUDGET_RESERVED = "spanledger.budget.reserved"
BUDGET_ASKED = "spanledger.budget.asked"
BUDGET_PERCENT = "spanledger.budget.percent"
BUDGET_WINDOW_END = "spanledger.budget.window_end"
BUDGET_REASON = "spanledger.budget.reason"

# --- events (span events and log records; also what ``subscribe`` gets, without the prefix)
EVENT_PREFIX = "spanledger."
EVENT_WORKFLOW_STARTED = "workflow_started"
EVENT_WORKFLOW_COMPLETED = "workflow_completed"
EVENT_WORKFLOW_FAILED = "workflow_failed"
EVENT_TOOL_CALLED = "tool_called"
EVENT_BUDGET_THRESHOLD = "budget_threshold"
EVENT_BUDGET_REFUSED = "budget_refused"
EVENT_INFERENCE_DETAILS = "gen_ai.client.inference.operation.details"

# --- metrics
METRIC_COST = "spanledger.cost"
METRIC_CALLS = "spanledger.calls"
METRIC_UNPRICED = "spanledger.unpriced"
METRIC_REDACTIONS = "spanledger.redactions"
METRIC_REFUSALS = "spanledger.budget.refusals"
METRIC_INTERNAL_NOTES = "spanledger.internal.collections"
"""Never has a value: its callback is the hook that runs before metrics are collected."""
METRIC_INTERNAL_ERRORS = "spanledger.internal_errors"
METRIC_BUDGETS = {"limit": "spanledger.budget.limit", "spent": "spanledger.budget.spent", "reserved": "spanledger.budget.reserved"}
METRIC_RECON_TOKENS = "spanledger.recon.tokens"
"""The same sums told by several sources, to be compared: tokens by exclusive type, cost in nano-USD, operations."""
METRIC_RECON_COST = "spanledger.recon.cost"
METRIC_RECON_OPERATIONS = "spanledger.recon.operations"
METRIC_RECON_SUPERSEDED = {
    "tokens": "spanledger.recon.superseded.tokens",
    "nano_usd": "spanledger.recon.superseded.cost",
    "operations": "spanledger.recon.superseded.operations",
}
"""The part of the three sums above that attempts of steps used which a later attempt replaced: consumed, but not billable."""
RECON_SOURCE = "spanledger.source"
"""``span`` (derived by the collector), ``sdk``, ``execution``, ``ledger`` or ``provider``."""
RECON_TOKEN_TYPE = "spanledger.token.type"  # noqa: S105  # an attribute name
"""``input`` (not cached), ``cache_read``, ``cache_write``, ``output`` (without reasoning), ``reasoning``, ``plugin``: disjoint."""
RECON_SERVICE = "spanledger.service"
"""The service whose calls a ledger's sums are of; other sources are of the resource's service."""
RECON_LEDGER = "spanledger.ledger.id"
EVENT_AUDIT = "audit"
METRIC_TOOL_DURATION = "gen_ai.execute_tool.duration"
TOKEN_TYPE = "gen_ai.token.type"  # noqa: S105  # an attribute name
REDACTION_LABEL = "spanledger.redaction.label"
ERROR_PLACE = "spanledger.error.place"

DURATION_BUCKETS = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
TOKEN_BUCKETS = tuple(4**n for n in range(14))
WORKFLOW_BUCKETS = (1, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200)


@dataclass(frozen=True)
class Generation:
    """Names that differ between the two generations. A ``None`` metric does not exist there."""

    cache_write_tokens: str
    modality: dict[str, str]
    """Usage field -> attribute, for audio and image tokens; empty where the generation has none."""
    token_usage: str | None
    operation_tokens: dict[str, str]
    """``input``/``output`` -> histogram of tokens per operation."""
    usage_counters: dict[str, str]
    """Usage field -> counter of tokens."""
    duration: dict[str, str]
    """Operation -> duration histogram; key ``""`` is the rest."""
    time_to_first_chunk: str
    workflow_duration: str


DEFAULT = Generation(
    cache_write_tokens="gen_ai.usage.cache_creation.input_tokens",
    modality={},
    token_usage="gen_ai.client.token.usage",  # noqa: S106  # a metric name
    operation_tokens={},
    usage_counters={},
    duration={"": "gen_ai.client.operation.duration"},
    time_to_first_chunk="gen_ai.client.operation.time_to_first_chunk",
    workflow_duration="gen_ai.workflow.duration",
)
LATEST = Generation(
    cache_write_tokens="gen_ai.usage.cache_write.input_tokens",
    modality={
        "input_audio": "gen_ai.usage.audio.input_tokens",
        "output_audio": "gen_ai.usage.audio.output_tokens",
        "input_image": "gen_ai.usage.image.input_tokens",
        "output_image": "gen_ai.usage.image.output_tokens",
        "cache_read_audio": "gen_ai.usage.audio.cache_read.input_tokens",
        "cache_read_image": "gen_ai.usage.image.cache_read.input_tokens",
    },
    token_usage=None,
    operation_tokens={
        "input": "gen_ai.client.inference.operation.input_tokens",
        "output": "gen_ai.client.inference.operation.output_tokens",
    },
    usage_counters={
        "input": "gen_ai.client.inference.usage.input_tokens",
        "output": "gen_ai.client.inference.usage.output_tokens",
        "cache_read": "gen_ai.client.inference.usage.cache_read.input_tokens",
        "cache_write": "gen_ai.client.inference.usage.cache_write.input_tokens",
        "reasoning": "gen_ai.client.inference.usage.reasoning.output_tokens",
    },
    duration={**dict.fromkeys(INFERENCE, "gen_ai.client.inference.duration"), "": "gen_ai.client.operation.duration"},
    time_to_first_chunk="gen_ai.client.inference.time_to_first_chunk",
    workflow_duration="gen_ai.invoke_workflow.duration",
)
TOKEN_MODALITY = "gen_ai.token.modality"  # noqa: S105  # an attribute name


def generation(name: str) -> Generation:
    """The generation that ``SPANLEDGER_SEMCONV`` names."""
    return LATEST if name == "latest" else DEFAULT


def as_param(kind: type, value: Any) -> Any:
    """A request parameter as its attribute's type; None if it does not have that type."""
    if kind is float and type(value) in (int, float):
        return float(value)
    if kind is list:
        return tuple([str(item) for item in value]) if isinstance(value, (list, tuple)) else None
    return value if type(value) is kind else None
