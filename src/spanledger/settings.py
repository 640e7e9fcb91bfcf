"""Every environment variable: name, type, default and one sentence. The only reader of ``os.environ``.

Reading never raises. What cannot be understood becomes a ``ConfigurationError`` in ``Settings.problems`` and the default is used,
so that the application starts; with ``SPANLEDGER_STRICT=true`` a refused budget refuses calls instead of being ignored.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from spanledger.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

PREFIX = "SPANLEDGER_"
BUDGET_PREFIX = PREFIX + "BUDGET_"
COLLECTORS = frozenset(
    PREFIX + name
    for name in (
        "AGENT_GRPC", "AGENT_HEALTH", "AGENT_HTTP", "AGENT_METRICS_PORT", "DECISION_WAIT", "GATEWAY", "GATEWAY_GRPC", "GATEWAY_HEALTH",
        "GATEWAY_HTTP", "GATEWAY_METRICS_PORT", "JAEGER", "PROMETHEUS", "SAMPLING_PERCENT",
    )
)  # fmt: skip
"""Variables that the configurations of the collectors read, and we do not."""
_TRUE, _FALSE = {"true", "1", "yes", "on"}, {"false", "0", "no", "off"}


def _text(value: str) -> str:
    return value


def _bool(value: str) -> bool:
    word = value.strip().lower()
    if word not in _TRUE | _FALSE:
        raise ValueError
    return word in _TRUE


def _positive_int(value: str) -> int:
    number = int(value)
    if number <= 0:
        raise ValueError
    return number


def _seconds(value: str) -> float:
    number = float(value)
    if not 0 <= number < float("inf"):
        raise ValueError
    return number


def _list(value: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in value.split(",") if part.strip())


def _choice(*words: str) -> Callable[[str], str]:
    def parse(value: str) -> str:
        word = value.strip().lower()
        if word not in words:
            raise ValueError
        return word

    return parse


def _capture(value: str) -> str:
    """Values of the GenAI conventions' switch, and the ``true``/``false`` of older instrumentations."""
    word = value.strip().upper()
    word = {"TRUE": "SPAN_ONLY", "FALSE": "NO_CONTENT", "": "NO_CONTENT"}.get(word, word)
    if word not in {"NO_CONTENT", "SPAN_ONLY", "EVENT_ONLY", "SPAN_AND_EVENT"}:
        raise ValueError
    return word


@dataclass(frozen=True)
class Variable:
    """One environment variable and the field of ``Settings`` it fills."""

    field: str
    name: str
    parse: Callable[[str], Any]
    default: Any
    expected: str
    sentence: str
    secret: bool = False


VARIABLES: tuple[Variable, ...] = (
    Variable("enabled", "SPANLEDGER_ENABLED", _bool, True, "true or false", "Turns all of Spanledger off when false."),
    Variable("ledger", "SPANLEDGER_LEDGER", _text, None, "memory: or sqlite:///path", "Where the books are kept; default is a SQLite file in the user's state directory."),
    Variable("on_ledger_error", "SPANLEDGER_ON_LEDGER_ERROR", _choice("allow", "block"), "allow", "allow or block", "What happens to a call when the ledger cannot be reached."),
    Variable("lease_seconds", "SPANLEDGER_LEASE_SECONDS", _seconds, 300.0, "a number of seconds", "How long the reservation of a call outlives its process."),
    Variable("strict", "SPANLEDGER_STRICT", _bool, False, "true or false", "Refuses all calls while a budget cannot be understood, instead of ignoring that budget."),
    Variable("timezone", "SPANLEDGER_TIMEZONE", ZoneInfo, ZoneInfo("UTC"), "an IANA time zone such as Europe/Berlin", "Time zone of the days, weeks and months of budgets."),
    Variable("assumed_output", "SPANLEDGER_ASSUMED_OUTPUT_TOKENS", _positive_int, 1024, "a number of tokens", "Output reserved for a request that sets no limit of its own."),
    Variable("on_unpriced", "SPANLEDGER_ON_UNPRICED", _choice("allow", "block"), "allow", "allow or block", "What a budget in USD does with a model that has no price."),
    Variable("prices", "SPANLEDGER_PRICES", Path, None, "the path of a YAML file", "Price overrides: models, aliases, multipliers and plugins."),
    Variable("prices_ttl", "SPANLEDGER_PRICES_TTL", _seconds, 60.0, "a number of seconds", "How often the price file is looked at for changes."),
    Variable("plugins", "SPANLEDGER_PLUGINS", _list, (), "a list such as myapp.mail:send_email, myapp.search:*", "Functions to record as plugin (tool) calls."),
    Variable("plugin_prices", "SPANLEDGER_PLUGIN_PRICES", _list, (), "a list such as send_email=0.001 USD, search=250 tokens", "Price of plugin calls by name."),
    Variable("plugin_tokens", "SPANLEDGER_PLUGIN_TOKENS", _positive_int, 400, "a number of tokens", "Tokens-equivalent of a plugin call without a price of its own."),
    Variable("stream_usage", "SPANLEDGER_STREAM_USAGE", _bool, False, "true or false", "Asks OpenAI-shaped streams for usage and hides the extra chunk."),
    Variable("baggage", "SPANLEDGER_BAGGAGE", _bool, False, "true or false", "Puts our scope into baggage, which other libraries may send to any host."),
    Variable("semconv", "SPANLEDGER_SEMCONV", _choice("default", "latest"), "default", "default or latest", "Which generation of GenAI attribute names is emitted."),
    Variable("redaction", "SPANLEDGER_REDACTION", _choice("mask", "hash", "drop", "off"), "mask", "mask, hash, drop or off", "What replaces personal data and secrets in spans and logs."),
    Variable("redaction_key", "SPANLEDGER_REDACTION_KEY", _text, None, "any text", "Key of the hashes that replace values when redaction is hash.", secret=True),
    Variable("capture", "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", _capture, "NO_CONTENT", "NO_CONTENT, SPAN_ONLY, EVENT_ONLY or SPAN_AND_EVENT", "Whether prompts and answers are recorded (redacted). `true`, as older instrumentations have it, is SPAN_ONLY, `false` NO_CONTENT."),
    Variable("disabled", "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS", _list, (), "a list of names, or *", "Instrumentations that `opentelemetry-instrument` and `spanledger run` leave out; with spanledger among them nothing is counted and no budget holds."),
    Variable("service", "OTEL_SERVICE_NAME", _text, None, "any text", "Name of this service, as OpenTelemetry knows it."),
    Variable("reconcile", "SPANLEDGER_RECONCILE", _choice("off", "execution"), "off", "off or execution", "Compares the ledger with what each workflow run added up, when it ends; for runs within one process."),
    Variable("debug", "SPANLEDGER_DEBUG", _bool, False, "true or false", "Re-raises internal errors instead of counting them; for tests."),
    Variable("stack_dir", "SPANLEDGER_STACK_DIR", Path, None, "the path of a directory", "Where `spanledger stack` keeps the state of its services; default is a folder in the user's state directory."),
    Variable("collector_bin", "SPANLEDGER_COLLECTOR_BIN", Path, None, "the path of a program", "The collector that `spanledger stack` and `spanledger collector` run, instead of one on PATH or of their own build."),
    Variable("jaeger_bin", "SPANLEDGER_JAEGER_BIN", Path, None, "the path of a program", "The same for Jaeger (2 or newer)."),
    Variable("prometheus_bin", "SPANLEDGER_PROMETHEUS_BIN", Path, None, "the path of a program", "The same for Prometheus (3 or newer)."),
    Variable("promtool_bin", "SPANLEDGER_PROMTOOL_BIN", Path, None, "the path of a program", "The same for promtool."),
    Variable("alertmanager_bin", "SPANLEDGER_ALERTMANAGER_BIN", Path, None, "the path of a program", "The same for Alertmanager."),
    Variable("audit_token", "SPANLEDGER_AUDIT_TOKEN", _text, None, "a long random text", "Bearer token that `spanledger audit serve` demands of who sends alerts; needed when it listens on more than the loopback address.", secret=True),
    Variable("otlp_endpoint", "OTEL_EXPORTER_OTLP_ENDPOINT", _text, None, "a URL such as http://127.0.0.1:4317", "Where telemetry is sent; `spanledger audit serve` sends audit records there too.", secret=True),
    Variable("otlp_logs_endpoint", "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", _text, None, "a URL such as http://127.0.0.1:4318/v1/logs", "Where log records, audit records among them, are sent instead.", secret=True),
    Variable("otlp_protocol", "OTEL_EXPORTER_OTLP_PROTOCOL", _text, "grpc", "grpc or http/protobuf", "How telemetry is sent."),
    Variable("otlp_metrics_protocol", "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", _text, None, "grpc or http/protobuf", "How metrics are sent instead; read by `spanledger ledger export`."),
    Variable("otlp_logs_protocol", "OTEL_EXPORTER_OTLP_LOGS_PROTOCOL", _text, None, "grpc or http/protobuf", "How log records are sent instead."),
)  # fmt: skip


@dataclass(frozen=True)
class Settings:
    """All settings, parsed. ``sources`` tells for each field the variable it came from, or ``default``."""

    enabled: bool
    ledger: str | None
    on_ledger_error: str
    lease_seconds: float
    strict: bool
    timezone: ZoneInfo
    assumed_output: int
    on_unpriced: str
    prices: Path | None
    prices_ttl: float
    plugins: tuple[str, ...]
    plugin_prices: tuple[str, ...]
    plugin_tokens: int
    stream_usage: bool
    baggage: bool
    semconv: str
    redaction: str
    redaction_key: str | None
    capture: str
    disabled: tuple[str, ...]
    service: str | None
    reconcile: str
    debug: bool
    stack_dir: Path | None
    collector_bin: Path | None
    jaeger_bin: Path | None
    prometheus_bin: Path | None
    promtool_bin: Path | None
    alertmanager_bin: Path | None
    audit_token: str | None
    otlp_endpoint: str | None
    otlp_logs_endpoint: str | None
    otlp_protocol: str
    otlp_metrics_protocol: str | None
    otlp_logs_protocol: str | None
    budgets: Mapping[str, str] = field(default_factory=dict)
    """Budget name (the text after the prefix) -> its text."""
    state_dir: Path = Path()
    cache_dir: Path = Path()
    sources: Mapping[str, str] = field(default_factory=dict)
    problems: tuple[ConfigurationError, ...] = ()

    @property
    def ledger_url(self) -> str:
        """The ledger's URL, the default filled in."""
        return self.ledger or self.default_ledger_url

    @property
    def default_ledger_url(self) -> str:
        """Where the books are kept if nobody says otherwise, or nothing that is understood."""
        return f"sqlite:///{self.state_dir / 'ledger.db'}"


def load(environ: Mapping[str, str] | None = None) -> Settings:
    """Reads all settings from ``environ`` (default: the process's environment). Never raises."""
    env = os.environ if environ is None else environ
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    problems: list[ConfigurationError] = []
    for variable in VARIABLES:
        values[variable.field], sources[variable.field] = _read(variable, env, problems)
    problems += _misspelt(env)
    return Settings(
        **values,
        budgets={name.removeprefix(BUDGET_PREFIX): text for name, text in env.items() if name.startswith(BUDGET_PREFIX)},
        state_dir=_base_directory(env, "XDG_STATE_HOME", ".local", "state"),
        cache_dir=_base_directory(env, "XDG_CACHE_HOME", ".cache"),
        sources=sources,
        problems=tuple(problems),
    )


def _read(variable: Variable, env: Mapping[str, str], problems: list[ConfigurationError]) -> tuple[Any, str]:
    text = env.get(variable.name, "").strip()
    if not text:
        return variable.default, "default"
    try:
        return variable.parse(text), variable.name
    except Exception:  # noqa: BLE001  # ZoneInfo alone raises five kinds of errors for a bad name
        shown = "(not shown)" if variable.secret else repr(text)
        problems.append(ConfigurationError(variable.name, f"cannot read {shown}, using the default", variable.expected))
        return variable.default, "default"


def _misspelt(env: Mapping[str, str]) -> list[ConfigurationError]:
    """Names that are nearly one of ours, or speak of a budget: one that nobody reads is not enforced. Others may begin as ours do."""
    known = {variable.name for variable in VARIABLES} | COLLECTORS
    strange = sorted(name for name in env if name.startswith(PREFIX) and not name.startswith(BUDGET_PREFIX) and name not in known)
    return [
        ConfigurationError(name, "there is no such variable, so it does nothing", nearest)
        for name in strange
        if (nearest := _nearest(name))
    ]


def _nearest(name: str) -> str | None:
    from difflib import get_close_matches  # noqa: PLC0415  # takes a millisecond to import, and is hardly ever needed

    rest = name.removeprefix(PREFIX)
    if re.search(_OF_KUBERNETES, rest):
        return None
    if "BUDGET" in rest or any(get_close_matches(word, ["BUDGET"], cutoff=_NEAR) for word in rest.split("_")):
        return f"{BUDGET_PREFIX} and the budget's name, as in {BUDGET_PREFIX}DAY"
    ours = [variable.name.removeprefix(PREFIX) for variable in VARIABLES if variable.name.startswith(PREFIX)]
    near = get_close_matches(rest, ours, n=1, cutoff=_NEAR)
    return PREFIX + near[0] if near else None


_OF_KUBERNETES = r"(^|_)(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)$"
"""What Kubernetes makes for services whose names begin with spanledger (https://kubernetes.io/docs/concepts/services-networking/service/)."""
_NEAR = 0.8
"""Share of letters that a misspelt name has in common with the right one."""


def _base_directory(env: Mapping[str, str], variable: str, *below_home: str) -> Path:
    """https://specifications.freedesktop.org/basedir-spec: state lives in $XDG_STATE_HOME or ~/.local/state, caches in $XDG_CACHE_HOME or ~/.cache."""
    base = env.get(variable) or os.path.join(env.get("HOME") or os.path.expanduser("~"), *below_home)  # noqa: PTH111, PTH118  # Path.home() raises without a home
    return Path(base) / "spanledger"


def export_environment(**variables: str) -> dict[str, str]:
    """A copy of the process's environment with variables set where they were not; for starting a child process."""
    return {**variables, **os.environ}
