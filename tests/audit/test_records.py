"""What becomes of an alert and of a finding of the reconciliation; what never gets into a record."""

from __future__ import annotations

import json
from typing import Any

import pytest

from spanledger.audit import records
from spanledger.errors import ConfigurationError
from spanledger.ledger.memory import MemoryLedger

Alert = "Callable[..., dict[str, Any]]"


def parsed(alert: Any) -> dict[str, Any]:
    finding = records.from_alert(alert, "alerts[0]")
    assert finding is not None
    found: dict[str, Any] = json.loads(finding.text)
    return found


def test_an_alert_becomes_a_critical_record(alert: Alert) -> None:
    assert parsed(alert(source="span", status="resolved")) == {
        "kind": "alert",
        "severity": "CRITICAL",
        "status": "resolved",
        "name": "SpanledgerDiscrepancy",
        "summary": "llm: span differs from sdk by 3%",
        "labels": {"activity_type": "llm", "severity": "critical", "source": "span"},
        "fingerprint": "1a30ba71cca2921f",
        "started": "2026-02-06T13:08:45.828000Z",
        "ended": "2026-02-06T14:00:00.000000Z",
    }


def test_the_key_is_name_fingerprint_start_and_status(alert: Alert) -> None:
    finding = records.from_alert(alert(), "alerts[0]")
    assert finding is not None
    assert finding.key == "SpanledgerDiscrepancy/1a30ba71cca2921f/2026-02-06T13:08:45.828000Z/firing"


@pytest.mark.parametrize("spelling", ["2026-02-06T13:08:45.828Z", "2026-02-06T14:08:45.828+01:00", "2026-02-06T13:08:45.828000000Z"])
def test_one_moment_has_one_key_however_it_is_spelled(alert: Alert, spelling: str) -> None:
    assert records.from_alert({**alert(), "startsAt": spelling}, "") == records.from_alert(alert(), "")


@pytest.mark.parametrize(
    ("labels", "kept"),
    [
        ({"severity": "critical"}, True),
        ({"severity": "warning", "audit": "true"}, True),
        ({"severity": None, "audit": "true"}, True),
        ({"severity": "warning"}, False),
        ({"severity": "warning", "audit": "false"}, False),
        ({"severity": None}, False),
    ],
)
def test_which_alerts_are_for_the_audit(alert: Alert, labels: dict[str, Any], kept: bool) -> None:
    assert (records.from_alert(alert(**labels), "") is not None) is kept


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"status": "pending"}, "alerts[3].status"),
        ({"status": ["firing"]}, "alerts[3].status"),
        ({"fingerprint": "a@example.com"}, "alerts[3].fingerprint"),
        ({"fingerprint": None}, "alerts[3].fingerprint"),
        ({"labels": {"severity": "critical"}}, "alerts[3].labels.alertname"),
        ({"startsAt": "yesterday"}, "alerts[3].startsAt"),
        ({"startsAt": "2026-02-06T13:08:45"}, "alerts[3].startsAt"),  # without a zone it is no moment
        ({"startsAt": 5}, "alerts[3].startsAt"),
        ({"labels": None}, "alerts[3]"),
    ],
)
def test_a_bad_alert_is_named_by_its_place_and_not_quoted(alert: Alert, change: dict[str, Any], where: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        records.from_alert({**alert(), **change}, "alerts[3]")
    assert caught.value.where == where
    assert "example.com" not in str(caught.value)


def test_a_resolved_alert_without_a_readable_end_is_kept(alert: Alert) -> None:
    assert parsed({**alert(status="resolved"), "endsAt": "?"})["ended"] is None


def test_unknown_labels_other_annotations_and_urls_stay_out(alert: Alert) -> None:
    text = json.dumps(parsed(alert(customer="acme", user="jane", prompt="hello")))
    for word in ("acme", "jane", "hello", "not kept", "secret_expression", "prometheus.example.org"):
        assert word not in text


@pytest.mark.parametrize("mode", ["mask", "off"])
@pytest.mark.parametrize(
    ("private", "shown"),
    [
        ("john.doe@example.com", "[EMAIL]"),
        ("sk-proj-abcdefghijklmnopqrstuvwxyz0123456789", "[API_KEY]"),
        ("4111 1111 1111 1111", "[CREDIT_CARD]"),
        ("4111\n1111\n1111\n1111", "[CREDIT_CARD]"),
        ("4111\x011111\x021111\u202e1111", "[CREDIT_CARD]"),
        ("john.doe\x00@example.com", "[EMAIL]"),
        ("john.doe\u200b@example.com", "[EMAIL]"),
        ("john.doe\x01@example.com", "[EMAIL]"),  # found once the sign in it is gone
        ("12\x014111111111111111", "12[CREDIT_CARD]"),  # found as long as the sign before it is there
    ],
)
def test_private_values_are_replaced_whatever_the_settings_say(
    alert: Alert, monkeypatch: pytest.MonkeyPatch, mode: str, private: str, shown: str
) -> None:
    monkeypatch.setenv("SPANLEDGER_REDACTION", mode)
    finding = records.from_alert(alert(summary=f"ask {private} now", alertname=f"Alert {private}", service_name=private), "")
    assert finding is not None
    record = json.loads(finding.text)
    assert (record["summary"], record["name"], record["labels"]["service_name"]) == (f"ask {shown} now", f"Alert {shown}", shown)
    assert finding.key.startswith(f"Alert {shown}/")


@pytest.mark.parametrize(
    ("instance", "shown"),
    [
        ("10.1.2.3:8888", "10.1.2.3:8888"),
        ("[2001:db8::7]:8888", "[2001:db8::7]:8888"),
        ("host-17.example.org:9100", "host-17.example.org:9100"),
        ("0d9e6f7a-5f4e-4b6e-9a53-0f3a6d1b7c88", "0d9e6f7a-5f4e-4b6e-9a53-0f3a6d1b7c88"),
        ("10.1.2.3", "[IP]"),
        ("+49 151 23456789", "[PHONE]"),
        ("jane@example.com:9100", "[EMAIL]:9100"),
    ],
)
def test_of_instances_only_the_address_of_what_is_scraped_is_kept(alert: Alert, instance: str, shown: str) -> None:
    assert parsed(alert(instance=instance))["labels"]["instance"] == shown


def test_a_text_is_one_printable_line_of_bounded_length(alert: Alert) -> None:
    summary = parsed(alert(summary="\x1b[31mred\n\ttwo\u202e \ud800" + "x y" * 1000))["summary"]
    assert summary.startswith("[31mred two x y")
    assert summary.isprintable()
    assert len(summary) == 500


def found(**changes: Any) -> records.Finding:
    values: dict[str, Any] = {
        "execution": "run-7",
        "differences": {"llm": {"tokens": -120, "nano_usd": -360_000}},
        "counts": {"missing span": 2},
        "reasons": ["two spans were not exported"],
        "entries": [f"{number:032x}" for number in range(30)],
    }
    return records.discrepancy(**(values | changes))


def test_a_discrepancy_says_scope_amounts_reasons_and_a_sample() -> None:
    record = json.loads(found().text)
    assert record == {
        "kind": "discrepancy",
        "severity": "CRITICAL",
        "scope": {"execution": "run-7"},
        "differences": {"llm": {"tokens": -120, "nano_usd": -360_000}},
        "counts": {"missing span": 2},
        "reasons": ["two spans were not exported"],
        "entries": [f"{number:032x}" for number in range(20)],
    }


def test_a_discrepancy_of_a_time_window() -> None:
    record = json.loads(found(execution=None, since=1_767_225_600.0, until=None).text)
    assert record["scope"] == {"since": "2026-01-01T00:00:00.000000Z", "until": None}


def test_a_discrepancy_is_redacted() -> None:
    text = found(
        execution="run of jane.roe@example.com", reasons=["jane.roe@example.com was missing"], counts={"jane.roe@example.com": 1}
    ).text
    assert "jane.roe" not in text
    assert text.count("[EMAIL]") == 3


def test_the_same_finding_is_written_once_and_another_one_too() -> None:
    ledger = MemoryLedger()
    written = [
        records.write(ledger, finding) for finding in (found(), found(), found(execution="run-8"), found(counts={"missing span": 3}))
    ]
    assert [record.sequence if record else None for record in written] == [1, None, 2, 3]


def test_the_page_names_all_labels_that_are_kept(request: pytest.FixtureRequest) -> None:
    page = (request.config.rootpath / "docs" / "audit.md").read_text()
    told = page.split("these labels\nare kept: ", 1)[1].split(". ", 1)[0]
    assert sorted(told.replace("\n", " ").split(", ")) == list(records.LABELS)
