"""What our metrics and labels are called in Prometheus.

Prometheus renames what it receives over OTLP (``translation_strategy: UnderscoreEscapingWithSuffixes``, its default): characters that it
does not know become underscores, a metric gets its unit and, if it only grows, ``_total`` at its end. The rules are in
https://github.com/prometheus/otlptranslator/blob/main/metric_namer.go; ``tests/dashboards`` holds them against a real Prometheus.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from spanledger.telemetry import semconv as s


class Kind(StrEnum):
    """What an instrument is, as far as its name in Prometheus depends on it."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True)
class Instrument:
    """A metric as OpenTelemetry knows it."""

    name: str
    kind: Kind
    unit: str


_UNIT_WORDS = {"s": "seconds"}
"""The only unit of ours that has a word of its own; units in braces are remarks and leave no trace."""


def metric(instrument: Instrument) -> str:
    """The instrument's name in Prometheus; a histogram's series have ``_bucket``, ``_sum`` or ``_count`` after it."""
    words = [word for word in re.split(r"[^a-zA-Z0-9]+", instrument.name) if word]
    unit = _UNIT_WORDS.get(instrument.unit)
    if unit and unit not in words:
        words.append(unit)
    if instrument.kind is Kind.COUNTER:
        words = [word for word in words if word != "total"] + ["total"]
    if instrument.kind is Kind.GAUGE and instrument.unit == "1":
        words = [word for word in words if word != "ratio"] + ["ratio"]
    return "_".join(words)


def label(attribute: str) -> str:
    """An attribute's name as a label."""
    return re.sub(r"[^a-zA-Z0-9_]", "_", attribute)


_known: dict[str, Instrument] = {}


def _ours(name: str, kind: Kind, unit: str) -> str:
    instrument = Instrument(name, kind, unit)
    _known[metric(instrument)] = instrument
    return metric(instrument)


def _seconds(*generations: str) -> tuple[str, ...]:
    """A duration, which may have another name in each generation of the conventions; a panel reads both."""
    return tuple(dict.fromkeys(_ours(name, Kind.HISTOGRAM, "s") for name in generations))


COST = _ours(s.METRIC_COST, Kind.COUNTER, "{nano_usd}")
CALLS = _ours(s.METRIC_CALLS, Kind.COUNTER, "{call}")
UNPRICED = _ours(s.METRIC_UNPRICED, Kind.COUNTER, "{call}")
REDACTIONS = _ours(s.METRIC_REDACTIONS, Kind.COUNTER, "{value}")
REFUSALS = _ours(s.METRIC_REFUSALS, Kind.COUNTER, "{call}")
INTERNAL_ERRORS = _ours(s.METRIC_INTERNAL_ERRORS, Kind.COUNTER, "{error}")
BUDGET = {field: _ours(name, Kind.GAUGE, "{unit}") for field, name in s.METRIC_BUDGETS.items()}
TOKENS = _ours(s.METRIC_RECON_TOKENS, Kind.COUNTER, "{token}")
RECON_COST = _ours(s.METRIC_RECON_COST, Kind.COUNTER, "{nano_usd}")
OPERATIONS = _ours(s.METRIC_RECON_OPERATIONS, Kind.COUNTER, "{operation}")
SUPERSEDED = {
    "tokens": _ours(s.METRIC_RECON_SUPERSEDED["tokens"], Kind.COUNTER, "{token}"),
    "cost": _ours(s.METRIC_RECON_SUPERSEDED["nano_usd"], Kind.COUNTER, "{nano_usd}"),
    "operations": _ours(s.METRIC_RECON_SUPERSEDED["operations"], Kind.COUNTER, "{operation}"),
}
DURATION = _seconds(*s.DEFAULT.duration.values(), *s.LATEST.duration.values())
FIRST_CHUNK = _seconds(s.DEFAULT.time_to_first_chunk, s.LATEST.time_to_first_chunk)
WORKFLOW = _seconds(s.DEFAULT.workflow_duration, s.LATEST.workflow_duration)
TOOL = _seconds(s.METRIC_TOOL_DURATION)

OURS: dict[str, Instrument] = dict(_known)
"""Every metric of ours that a panel may name."""

BUDGET_NAME, BUDGET_UNIT = label(s.BUDGET_NAME), label(s.BUDGET_UNIT)
ACTIVITY, PROVIDER, MODEL, STATE = label(s.ACTIVITY), label(s.PROVIDER), label(s.REQUEST_MODEL), label(s.USAGE_STATE)
ERROR_TYPE, ERROR_PLACE = label(s.ERROR_TYPE), label(s.ERROR_PLACE)
SERVICE = label("service.name")
"""Prometheus puts it on every series if told to: ``promote_resource_attributes`` in ``collector/prometheus.yaml``."""
KIND_OF_VALUE, TOOL_NAME, WORKFLOW_NAME = label(s.REDACTION_LABEL), label(s.TOOL_NAME), label(s.WORKFLOW_NAME)

# --- recorded by collector/rules/spanledger.rules.yaml
UNITS_OF_BOOKS = ("tokens", "cost", "operations")
GAINED = {what: f"spanledger_recon:{what}:window1h" for what in UNITS_OF_BOOKS}
"""Gained in the last hour, by source, activity_type and service_name."""
SIGNED = {what: f"spanledger_recon:{what}_signeddiff:window1h" for what in UNITS_OF_BOOKS}
"""How much more than ``sdk`` each other source gained."""
DISCREPANCY = "spanledger_recon:discrepancy:ratio1h"
"""The share by which two sources differ for certain, by pair, what, activity_type and service_name."""

# --- of others: the OpenTelemetry SDK (OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED=true), the collector, Prometheus itself
SDK_SPANS_PROCESSED = "otel_sdk_processor_span_processed_total"
SDK_SPANS_EXPORTED = "otel_sdk_exporter_span_exported_total"
COLLECTOR_SIGNALS = {"spans": "spans", "metric_points": "values of metrics"}


def collector(what: str, signal: str) -> str:
    """A collector's own counter, such as ``exporter_sent`` of ``spans``. It has no ``_total``: its exporter leaves the suffix out."""
    return f"otelcol_{what}_{signal}"


COLLECTOR_QUEUE_SIZE = "otelcol_exporter_queue_size"
COLLECTOR_QUEUE_CAPACITY = "otelcol_exporter_queue_capacity"
ALERTS = "ALERTS"
FOREIGN = re.compile(r"otelcol_\w+|otel_sdk_\w+|prometheus_\w+|up|ALERTS")
"""Names that are not ours to translate."""
