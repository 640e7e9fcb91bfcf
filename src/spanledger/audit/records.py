"""What an audit record says, and how an alert or a finding of the reconciliation becomes one.

A record can never be changed or removed. So nothing gets in that is not on the lists below, and all of it is redacted, whatever
SPANLEDGER_REDACTION says: the same event also has to read the same whoever writes it.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import re
import time
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from spanledger.errors import ConfigurationError
from spanledger.redaction.redactor import Redactor

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from spanledger.ledger.ledger import Ledger
    from spanledger.model import AuditRecord

SEVERITY = "CRITICAL"
"""There are no others: what is less does not go into the audit."""
LABELS = (
    "activity_type", "budget", "code", "error_type", "exporter", "instance", "job", "pair", "place", "receiver", "service_name", "severity",
    "source", "spanledger_budget_name", "spanledger_budget_unit", "spanledger_error_place", "token_type", "usage_state", "what",
)  # fmt: skip
"""Labels of an alert that are kept beside its name. All others may hold anything, such as a customer."""
_LONGEST = 500
"""Characters of one text."""
_MOST_ENTRIES = 20
_SCRAPED = re.compile(r"(?:[0-9]{1,3}\.){3}[0-9]{1,3}:[0-9]{1,5}|\[[0-9a-f:]{2,39}\]:[0-9]{1,5}")
"""Address and port of what Prometheus reads, as the label ``instance`` has it: of the service itself, not of a person."""
_FINGERPRINT = re.compile("[0-9a-f]{16}")
"""As Alertmanager writes them: ``%016x`` (https://github.com/prometheus/common/blob/main/model/fingerprinting.go)."""


class Finding(NamedTuple):
    """What an audit record will say. ``key`` makes it the same event: it is written once."""

    key: str
    text: str


def write(ledger: Ledger, finding: Finding) -> AuditRecord | None:
    """Appends the finding to the chain, now; None if it is there already. Raises LedgerError if the ledger cannot be written."""
    return ledger.append_audit(time.time(), finding.key, finding.text)


def from_alert(alert: Any, where: str) -> Finding | None:
    """The finding that an alert of Alertmanager's webhook is; None if it is not for the audit.

    For the audit are alerts with the label ``severity="critical"`` or ``audit="true"``; that they fire is one record, that they are
    resolved another one.

    Args:
        alert: one item of ``alerts`` (https://prometheus.io/docs/alerting/latest/configuration/#webhook_config).
        where: its place in the payload, for the error.

    Raises:
        ConfigurationError: it is for the audit, or may be, but is no alert. The message does not repeat what it holds.
    """
    if not isinstance(alert, dict) or not isinstance(labels := alert.get("labels"), dict):
        raise ConfigurationError(where, "is no alert", "an object with labels")
    if labels.get("severity") != "critical" and labels.get("audit") != "true":
        return None
    status, fingerprint = alert.get("status"), alert.get("fingerprint")
    if status not in ("firing", "resolved"):
        raise _wrong(where, "status", "is not known", "firing or resolved")
    if not isinstance(fingerprint, str) or not _FINGERPRINT.fullmatch(fingerprint):
        raise _wrong(where, "fingerprint", "is no fingerprint", "16 hexadecimal digits")
    if not (name := _clean("alertname", labels.get("alertname"))):
        raise _wrong(where, "labels.alertname", "is missing", "the name of the alert's rule")
    if not (started := _utc(alert.get("startsAt"))):
        raise _wrong(where, "startsAt", "is no time", "RFC 3339, as in 2026-01-31T12:00:00Z")
    record = {
        "kind": "alert",
        "severity": SEVERITY,
        "status": status,
        "name": name,
        "summary": _summary(alert.get("annotations")),
        "labels": _labels(labels),
        "fingerprint": fingerprint,
        "started": started,
        "ended": _utc(alert.get("endsAt")) if status == "resolved" else None,
    }
    return Finding(f"{name}/{fingerprint}/{started}/{status}", _text(record))


def discrepancy(  # noqa: PLR0913  # plain values, all named
    *,
    execution: str | None = None,
    since: float | None = None,
    until: float | None = None,
    services: Sequence[str] = (),
    differences: Mapping[str, Mapping[str, int]],
    counts: Mapping[str, int],
    reasons: Iterable[str] = (),
    entries: Iterable[str] = (),
) -> Finding:
    """The finding that sources of the same sum differ; the same finding about the same scope is the same event.

    Args:
        execution: the run of a workflow that was looked at, if it was one.
        since: else the time from which entries were looked at (seconds since the epoch); None: from the first on.
        until: the time up to which they were looked at; None: up to now.
        services: whose entries were looked at, if not those of all.
        differences: by activity, what differs by how much: ``{"llm": {"tokens": -120, "nano_usd": -360_000}}``.
        counts: how many entries differ, by kind of difference.
        reasons: what explains them, one sentence each.
        entries: ids of entries that differ; the first 20 are kept.
    """
    scope = {"execution": _clean("execution", execution)} if execution else {"since": _from_epoch(since), "until": _from_epoch(until)}
    named = {"services": [_clean("service_name", service) for service in services]} if services else {}
    record = {
        "kind": "discrepancy",
        "severity": SEVERITY,
        "scope": scope | named,
        "differences": {_clean("activity", name): _numbers(by_measure) for name, by_measure in differences.items()},
        "counts": _numbers(counts),
        "reasons": [_clean("reason", reason) for reason in reasons],
        "entries": [_clean("entry_id", entry) for entry in list(entries)[:_MOST_ENTRIES]],
    }
    text = _text(record)
    return Finding(f"discrepancy/{hashlib.sha256(text.encode()).hexdigest()}", text)


def _wrong(where: str, field: str, problem: str, expected: str) -> ConfigurationError:
    return ConfigurationError(f"{where}.{field}", problem, expected)


def _numbers(by_name: Mapping[str, int]) -> dict[str, int]:
    return {_clean("name", name): int(number) for name, number in by_name.items()}


def _labels(labels: Mapping[str, Any]) -> dict[str, str]:
    kept = {name: _clean(name, labels.get(name)) for name in LABELS}
    instance = labels.get("instance")
    if isinstance(instance, str) and _SCRAPED.fullmatch(instance):
        kept["instance"] = instance
    return {name: value for name, value in kept.items() if value}


def _summary(annotations: Any) -> str:
    return _clean("summary", annotations.get("summary")) if isinstance(annotations, dict) else ""


def _clean(key: str, text: Any) -> str:
    """One line that a terminal can show, without private values; empty if it is no text.

    Redacted twice: signs that cannot be shown may stand inside of a private value and hide it, or between it and what else would.
    """
    if not isinstance(text, str):
        return ""
    shown = "".join(sign if sign.isprintable() else " " * sign.isspace() for sign in str(_redactor().value(key, text)))
    return str(_redactor().value(key, " ".join(shown.split())))[:_LONGEST]


@cache
def _redactor() -> Redactor:
    return Redactor("mask")


def _utc(text: Any) -> str | None:
    """A time as Alertmanager writes it, in one spelling; None if it is none."""
    try:
        moment = dt.datetime.fromisoformat(text)
        return _spelled(moment.astimezone(dt.UTC)) if moment.tzinfo else None
    except (TypeError, ValueError, OverflowError):
        return None


def _from_epoch(seconds: float | None) -> str | None:
    return None if seconds is None else _spelled(dt.datetime.fromtimestamp(seconds, dt.UTC))


def _spelled(moment: dt.datetime) -> str:
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


def _text(record: Mapping[str, Any]) -> str:
    return json.dumps(record, ensure_ascii=False, separators=(",", ":"))
