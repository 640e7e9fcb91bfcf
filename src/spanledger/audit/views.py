"""Audit records and what was found out about their chain, for people and as JSON. Shows also what somebody tampered with."""

from __future__ import annotations

import datetime as dt
import json
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from spanledger import outside

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spanledger.audit.verify import Verdict
    from spanledger.model import AuditRecord

_STYLES = {"firing": "red", "discrepancy": "red", "resolved": "green"}


def records_json(records: Sequence[AuditRecord]) -> list[dict[str, Any]]:
    """Records for programs: ``text`` as it is hashed, and as ``record`` the value that it is (null if it is no JSON)."""
    return [{**record._asdict(), "record": _parsed(record.text)} for record in records]


def records_view(records: Sequence[AuditRecord], zone: dt.tzinfo) -> Table:
    """One row per record, newest last."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("#", justify="right", no_wrap=True)
    for name in ("written", "event", "what", "summary"):
        table.add_column(name, overflow="fold")
    for record in records:
        event, what, summary = _described(_parsed(record.text))
        table.add_row(str(record.sequence), _when(record.time, zone), Text(event, style=_STYLES.get(event, "")), Text(what), Text(summary))
    return table


def verdict_json(verdict: Verdict) -> dict[str, Any]:
    """What ``verify`` found, for programs."""
    return {"whole": verdict.whole, **verdict._asdict()}


def verdict_text(verdict: Verdict) -> str:
    """What ``verify`` found and what it means."""
    if verdict.broken is not None:
        return (
            f"The chain is broken at record {verdict.broken}: this record or the one before it was changed, removed or put in after it "
            f"was written. Of the records before it {verdict.records - 1} fit; from it on, none can be trusted."
        )
    if verdict.noted is False:
        return (
            f"No record has the hash that was noted. The {verdict.records} records that are there fit, so either the newest ones were "
            "removed since, or the whole chain was written anew."
        )
    if not verdict.records:
        return "There are no audit records."
    return f"The chain is whole: records 1 to {verdict.records}. The newest hash is {verdict.head}; note it elsewhere, for verify --noted."


def _when(seconds: Any, zone: dt.tzinfo) -> str:
    try:
        return f"{dt.datetime.fromtimestamp(seconds, zone):%Y-%m-%d %H:%M:%S %Z}"
    except (TypeError, ValueError, OverflowError, OSError):
        return "no time"


def _parsed(text: Any) -> Any:
    try:
        return json.loads(text)
    except (TypeError, ValueError, RecursionError):
        return None


def _described(record: Any) -> tuple[str, str, str]:
    """Event, what it is about, and a sentence."""
    if not isinstance(record, dict):
        return "unreadable", "", ""
    if record.get("kind") == "discrepancy":
        return "discrepancy", _joined(record.get("scope")), _joined(record.get("differences"))
    return _shown(record.get("status")), _shown(record.get("name")), _shown(record.get("summary")) or _joined(record.get("labels"))


def _joined(value: Any) -> str:
    """``{"llm": {"tokens": -120}}`` -> ``llm tokens -120``."""
    if not isinstance(value, dict):
        return _shown(value)
    return ", ".join(f"{_shown(name)} {_joined(part)}" for name, part in value.items() if part is not None)


def _shown(value: Any) -> str:
    return "" if value is None else outside.plain(str(value))
